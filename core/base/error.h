/* The table of error.def as an enum and a lookup. */
#pragma once

enum error_code {
    ERROR_NONE = 0,
#define ERROR(code, slug, status, retry_after, title) ERROR_##code,
#include "base/error.def"
#undef ERROR
    ERROR_COUNT
};

struct error_info {
    const char *slug;
    int status;      /* HTTP */
    int retry_after; /* s; 0: no Retry-After header */
    const char *title;
};

/* The row of `code`, which is not ERROR_NONE. Static storage. */
const struct error_info *error_info(enum error_code code);
