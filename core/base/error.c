#include "base/error.h"

#include "base/util.h"

static const struct error_info table[ERROR_COUNT] = {
#define ERROR(code, slug_, status_, retry_after_, title_)                                          \
    [ERROR_##code] = {                                                                             \
        .slug = (slug_),                                                                           \
        .status = (status_),                                                                       \
        .retry_after = (retry_after_),                                                             \
        .title = (title_),                                                                         \
    },
#include "base/error.def"
#undef ERROR
};

const struct error_info *error_info(enum error_code code)
{
    assert(code > ERROR_NONE && code < ERROR_COUNT);
    return &table[code];
}
