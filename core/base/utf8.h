/* UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Length in bytes of the well-formed sequence at `p`, or 0 when it is malformed or cut. */
size_t utf8_sequence(const char *p, size_t len);

/* Whether all of `p` is well-formed. */
bool utf8_valid(const char *p, size_t len);

/* Code points in `p`, which is well-formed. */
size_t utf8_length(const char *p, size_t len);
