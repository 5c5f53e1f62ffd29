/* What is wrong with a task, field by field: the `errors` of a 422. */
#pragma once

#include <stddef.h>

#include "base/strbuf.h"

enum { VIOLATIONS_MAX = 100 }; /* entries kept; further ones are counted only */

struct violation {
    char *pointer; /* JSON Pointer, "" for the whole; UTF-8 */
    char *detail;  /* for people; UTF-8, no control characters */
};

struct violations {
    struct violation *items; /* grows */
    size_t count, capacity;
    size_t total; /* found, also beyond the limit */
};

/* NULL when memory is short. */
struct violations *violations_new(void);
void violations_free(struct violations *v); /* may be NULL */

void violations_add(struct violations *v, const char *pointer, const char *detail, ...)
    TW_PRINTF(3, 4);
void violations_vadd(struct violations *v, const char *pointer, const char *detail, va_list ap)
    TW_PRINTF(3, 0);

/* Appends the JSON array [{"pointer": ..., "detail": ...}, ...]. */
void violations_write(const struct violations *v, struct strbuf *out);

/* Appends one line for people: "/amount: differs from the total; /items: too long". */
void violations_summary(const struct violations *v, struct strbuf *out);
