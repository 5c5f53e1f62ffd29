/*
 * Writes compact JSON (RFC 8259) onto a strbuf; commas are put where they belong. Errors are the
 * strbuf's: sticky. Nothing checks that objects and arrays are closed in order.
 */
#pragma once

#include <stdint.h>

#include "base/strbuf.h"

void json_begin_object(struct strbuf *sb);
void json_end_object(struct strbuf *sb);
void json_begin_array(struct strbuf *sb);
void json_end_array(struct strbuf *sb);
void json_key(struct strbuf *sb, const char *key);

/* A string value; malformed UTF-8 becomes U+FFFD. */
void json_string(struct strbuf *sb, const char *text, size_t len);
void json_stringz(struct strbuf *sb, const char *text); /* NULL: null */
void json_int(struct strbuf *sb, int64_t value);
void json_boolean(struct strbuf *sb, bool value);
void json_null(struct strbuf *sb);

/* Nanoseconds as seconds with three decimals: 1700000000.123 */
void json_seconds(struct strbuf *sb, int64_t ns);

/* A value that is JSON text already. */
void json_raw(struct strbuf *sb, const char *json, size_t len);

/* key and value in one call */
void json_member_string(struct strbuf *sb, const char *key, const char *text); /* NULL: null */
void json_member_int(struct strbuf *sb, const char *key, int64_t value);
void json_member_boolean(struct strbuf *sb, const char *key, bool value);
void json_member_seconds(struct strbuf *sb, const char *key, int64_t ns);
