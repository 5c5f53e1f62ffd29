/*
 * A growing byte string. Errors are sticky: after memory ran short nothing is added, `failed` is
 * set, and only the last step needs to look. One thread at a time.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/util.h"

struct strbuf {
    char *data; /* NUL-terminated once anything was added; may be NULL before */
    size_t len;
    size_t cap;
    bool failed;
};

#define STRBUF_INIT ((struct strbuf){0})

void strbuf_done(struct strbuf *sb); /* frees; the struct is as new */
void strbuf_add(struct strbuf *sb, const void *data, size_t len);
void strbuf_addz(struct strbuf *sb, const char *text);
void strbuf_addc(struct strbuf *sb, char c);
void strbuf_add_int(struct strbuf *sb, int64_t value); /* decimal */
void strbuf_addf(struct strbuf *sb, const char *fmt, ...) TW_PRINTF(2, 3);
void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap) TW_PRINTF(2, 0);

/* Empties it and keeps the memory; clears `failed`. */
void strbuf_reset(struct strbuf *sb);

/* The text as a heap string that the caller frees, or NULL when it failed; `sb` is as new. */
char *strbuf_take(struct strbuf *sb);

/* A copy as one reference, or NULL when it failed; `sb` keeps its content. */
struct buf *strbuf_to_buf(const struct strbuf *sb);

#define STRBUF_CLEANUP __attribute__((cleanup(strbuf_done)))
