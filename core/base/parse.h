/* Strict reading of what people write in configuration files and query strings. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A duration: digits, optionally with a fraction, and a unit of ns, us, ms, s, m, h or d ("300ms",
 * "1.5s"). A bare number counts in `bare_unit_ns`, or is refused when that is 0. False when it is
 * malformed or above 100 years.
 */
bool parse_duration(const char *text, size_t len, int64_t bare_unit_ns, int64_t *ret_ns);

/* A size in bytes: digits and an optional unit of B, KB, MB, GB (1000) or KiB, MiB, GiB (1024). */
bool parse_size(const char *text, size_t len, int64_t *ret_bytes);

/* An integer, all of the text, optional minus sign. */
bool parse_int(const char *text, size_t len, int64_t *ret);

/* A decimal as JSON writes it ("12.30", "1e2") times 10^scale, exactly: `scale` 2 makes 12.30 into
 * 1230. Scale is 0 to 18. False when it is malformed, needs more decimals, or overflows. */
bool parse_decimal(const char *text, size_t len, unsigned scale, int64_t *ret);

/* Writes a duration as parse_duration reads it, in the largest exact unit: "30s". */
void format_duration(int64_t ns, char out[static 24]);
