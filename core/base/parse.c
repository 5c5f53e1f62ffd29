#include "base/parse.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit duration_units[] = {
    {"ns", 1},          {"us", 1000},         {"ms", NS_PER_MS},       {"s", NS_PER_S},
    {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}, {"d", 86400 * NS_PER_S},
};

static const struct unit size_units[] = {
    {"", 1},          {"B", 1},           {"KB", 1000},          {"MB", 1000000},
    {"GB", 1000000000}, {"KiB", INT64_C(1) << 10}, {"MiB", INT64_C(1) << 20}, {"GiB", INT64_C(1) << 30},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool find_unit(const struct unit *units, size_t n, const char *text, size_t len,
                      int64_t *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (strlen(units[i].name) == len && memcmp(units[i].name, text, len) == 0) {
            *ret = units[i].factor;
            return true;
        }
    }
    return false;
}

/* digits[.digits] times factor, exactly or rounded down below one. */
static bool scaled(const char *text, size_t len, int64_t factor, int64_t *ret)
{
    int64_t whole = 0, part = 0, unit = factor;
    size_t i = 0;

    if (len == 0 || !is_digit(text[0]))
        return false;
    for (; i < len && is_digit(text[i]); i++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, text[i] - '0', &whole))
            return false;
    if (__builtin_mul_overflow(whole, factor, &whole))
        return false;
    if (i < len) {
        if (text[i++] != '.' || i == len)
            return false;
        for (; i < len; i++) {
            if (!is_digit(text[i]))
                return false;
            unit /= 10;
            part += unit * (text[i] - '0');
        }
    }
    return !__builtin_add_overflow(whole, part, ret);
}

bool parse_duration(const char *text, size_t len, int64_t bare_unit_ns, int64_t *ret_ns)
{
    size_t number = 0;
    int64_t factor, ns;

    while (number < len && (is_digit(text[number]) || text[number] == '.'))
        number++;
    if (number == len)
        factor = bare_unit_ns;
    else if (!find_unit(duration_units, TW_ARRAY_LEN(duration_units), text + number, len - number,
                        &factor))
        return false;
    if (factor == 0 || !scaled(text, number, factor, &ns) || ns > 36525 * (86400 * NS_PER_S))
        return false;
    *ret_ns = ns;
    return true;
}

bool parse_size(const char *text, size_t len, int64_t *ret_bytes)
{
    size_t number = 0;
    int64_t factor;

    while (number < len && (is_digit(text[number]) || text[number] == '.'))
        number++;
    return find_unit(size_units, TW_ARRAY_LEN(size_units), text + number, len - number, &factor) &&
           scaled(text, number, factor, ret_bytes);
}

bool parse_int(const char *text, size_t len, int64_t *ret)
{
    bool negative = len > 0 && text[0] == '-';
    int64_t value = 0;

    if (len == (size_t)negative)
        return false;
    for (size_t i = negative; i < len; i++) {
        int digit = text[i] - '0';

        if (!is_digit(text[i]) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value)) /* negative holds INT64_MIN too */
            return false;
    }
    if (!negative && value == INT64_MIN)
        return false;
    *ret = negative ? value : -value;
    return true;
}

bool parse_decimal(const char *text, size_t len, unsigned scale, int64_t *ret)
{
    bool negative = len > 0 && text[0] == '-';
    size_t i = negative, digits = 0;
    int64_t exponent = 0, value = 0;
    size_t zeros = 0; /* trailing, not yet multiplied in */
    bool point = false;

    assert(scale <= 18);
    for (; i < len && (is_digit(text[i]) || (text[i] == '.' && !point)); i++) {
        if (text[i] == '.') {
            point = true;
            continue;
        }
        digits++;
        exponent -= point;
        if (text[i] == '0') {
            zeros++;
            continue;
        }
        for (; zeros > 0; zeros--)
            if (__builtin_mul_overflow(value, 10, &value))
                return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, text[i] - '0', &value))
            return false;
    }
    if (digits == 0)
        return false;
    if (i < len) {
        int64_t written;
        size_t sign = i + 1 < len && text[i + 1] == '+';

        if ((text[i] != 'e' && text[i] != 'E') ||
            !parse_int(text + i + 1 + sign, len - i - 1 - sign, &written) ||
            (sign && text[i + 2] == '-') || written > 1000000 || written < -1000000)
            return false;
        exponent += written;
    }
    exponent += (int64_t)zeros + scale;
    if (value == 0)
        exponent = 0;
    if (exponent < 0)
        return false;
    for (; exponent > 0; exponent--)
        if (__builtin_mul_overflow(value, 10, &value))
            return false;
    if (!negative && value == INT64_MIN)
        return false;
    *ret = negative ? value : -value;
    return true;
}

void format_duration(int64_t ns, char out[static 24])
{
    size_t i = TW_ARRAY_LEN(duration_units) - 1;

    if (ns == 0) {
        memcpy(out, "0s", 3);
        return;
    }
    while (ns % duration_units[i].factor != 0)
        i--;
    snprintf(out, 24, "%" PRId64 "%s", ns / duration_units[i].factor, duration_units[i].name);
}
