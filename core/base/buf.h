/*
 * A reference-counted buffer that never changes once it is made, so that any thread may read it.
 * The bytes are followed by a NUL that does not count.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

struct buf {
    atomic_uint refs;
    unsigned magic;
    size_t len; /* bytes in data, without the final NUL */
    char data[];
};

/* Copies `len` bytes. Returns one reference, or NULL when memory is short. */
struct buf *buf_new(const void *data, size_t len);

/* `len` bytes that the caller fills before anybody else sees it. NULL when memory is short. */
struct buf *buf_space(size_t len);

/* Takes another reference; `b` may be NULL. Any thread. Returns `b`. */
struct buf *buf_ref(struct buf *b);

/* Drops a reference; `b` may be NULL. Any thread. */
void buf_unref(struct buf *b);

static inline void buf_unrefp(struct buf **b)
{
    buf_unref(*b);
}
#define BUF_CLEANUP __attribute__((cleanup(buf_unrefp)))
