/* Work on checked JSON text without a tree; for this folder. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"
#include "contract/json.h"

static inline bool json_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline bool json_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The value of a hexadecimal digit, or -1. */
int json_hex_digit(char c);

/* Writes what the `len` raw bytes between two quotes stand for, at most `len` bytes of UTF-8, and
 * returns their number. `out` may not overlap `raw`. */
size_t json_unescape(const char *raw, size_t len, char *out);

/* Whether the value is a string that reads `text`. */
bool json_string_is(struct json_span value, const char *text, size_t len);

/* A string value, with its quotes, as a NUL-terminated heap string; NULL when memory is short. */
char *json_string_copy(struct json_span value, size_t *ret_len);

/* The same for the raw text of a member's name. */
char *json_name_copy(struct json_span name, size_t *ret_len);

/* The object `text` with `members` ("\"a\":1", at least one) put in right after its opening brace; every
 * other byte stays. NULL when memory is short. */
struct buf *json_insert(const char *text, size_t len, const struct strbuf *members);

/* json_doc_parse without the check: `text` passed json_check. Returns 0, -EBADMSG, or -ENOMEM. */
int json_doc_build(struct buf *text, unsigned max_depth, struct json_doc **ret,
                   struct json_error *ret_error);
