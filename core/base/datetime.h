/* Date and time as RFC 3339 writes them: 2026-01-31T12:00:00.5Z, 2026-01-31T13:00:00+01:00 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nanoseconds since 1970-01-01T00:00:00Z; years 1678 to 2261. A leap second counts as the second
 * before it. Digits beyond nanoseconds are cut. False when it is malformed or no real date. */
bool datetime_parse(const char *text, size_t len, int64_t *ret_ns);
