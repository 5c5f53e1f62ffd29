#include <string.h>

#include "base/clock.h"
#include "base/datetime.h"
#include "base/parse.h"
#include "base/util.h"
#include "unit.h"

static void decimals_are_exact(void **state)
{
    static const struct {
        const char *text;
        unsigned scale;
        bool good;
        int64_t value;
    } cases[] = {
        {"12.30", 2, true, 1230}, {"12.3", 2, true, 1230},  {"0.05", 2, true, 5},
        {"12", 2, true, 1200},    {"-0.01", 2, true, -1},   {"1e2", 2, true, 10000},
        {"1.5e1", 0, true, 15},   {"12.300", 2, true, 1230}, {"12.301", 2, false, 0},
        {"1e-3", 2, false, 0},    {"0e999", 2, true, 0},    {"1e19", 0, false, 0},
        {"100", 0, true, 100},    {"10.01", 2, true, 1001}, {"9223372036854775807", 0, true, INT64_MAX},
        {"-9223372036854775808", 0, true, INT64_MIN}, {"9223372036854775808", 0, false, 0},
        {"", 0, false, 0},        {"1.2.3", 2, false, 0},   {"1e", 0, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < TW_ARRAY_LEN(cases); i++) {
        int64_t value = 0;
        bool good = parse_decimal(cases[i].text, strlen(cases[i].text), cases[i].scale, &value);

        if (good != cases[i].good || value != cases[i].value)
            fail_msg("%s at scale %u: %d, %lld", cases[i].text, cases[i].scale, good,
                     (long long)value);
    }
}

static void durations_have_units(void **state)
{
    int64_t ns;

    (void)state;
    assert_true(parse_duration("300ms", 5, 0, &ns) && ns == 300 * NS_PER_MS);
    assert_true(parse_duration("1.5s", 4, 0, &ns) && ns == 1500 * NS_PER_MS);
    assert_true(parse_duration("250", 3, NS_PER_MS, &ns) && ns == 250 * NS_PER_MS);
    assert_false(parse_duration("250", 3, 0, &ns));
    assert_false(parse_duration("-1s", 3, 0, &ns));
    assert_false(parse_duration("1 s", 3, 0, &ns));
    assert_false(parse_duration("99999999d", 9, 0, &ns));
}

static void times_are_real_dates(void **state)
{
    static const char *const wrong[] = {"2026-02-29T00:00:00Z", "2026-01-01 00:00:00Z",
                                        "2026-01-01T24:00:00Z", "2026-01-01T00:00:00",
                                        "2026-01-01T00:00:00.Z", "2026-01-01T12:00:60Z",
                                        "2026-01-01T00:00:00+24:00", "26-01-01T00:00:00Z"};
    int64_t ns;

    (void)state;
    assert_true(datetime_parse("1970-01-01T00:00:01.5Z", 22, &ns) && ns == 1500 * NS_PER_MS);
    assert_true(datetime_parse("2000-02-29T01:00:00+01:00", 25, &ns) &&
                ns == INT64_C(951782400) * NS_PER_S);
    assert_true(datetime_parse("2016-12-31T23:59:60Z", 20, &ns));
    for (size_t i = 0; i < TW_ARRAY_LEN(wrong); i++)
        assert_false(datetime_parse(wrong[i], strlen(wrong[i]), &ns));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decimals_are_exact),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(times_are_real_dates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
