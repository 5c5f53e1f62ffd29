#include "base/buf.h"

#include <string.h>

#include "base/util.h"

enum { BUF_MAGIC = 0x62756621 };

struct buf *buf_space(size_t len)
{
    struct buf *b = malloc(sizeof(*b) + len + 1);

    if (b == NULL)
        return NULL;
    atomic_init(&b->refs, 1);
    b->magic = BUF_MAGIC;
    b->len = len;
    b->data[len] = '\0';
    return b;
}

struct buf *buf_new(const void *data, size_t len)
{
    struct buf *b = buf_space(len);

    if (b != NULL && len > 0)
        memcpy(b->data, data, len);
    return b;
}

struct buf *buf_ref(struct buf *b)
{
    if (b != NULL) {
        assert(b->magic == BUF_MAGIC);
        atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    }
    return b;
}

void buf_unref(struct buf *b)
{
    if (b == NULL)
        return;
    assert(b->magic == BUF_MAGIC);
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1) {
        b->magic = 0;
        free(b);
    }
}
