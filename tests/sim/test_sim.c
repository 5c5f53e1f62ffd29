/* The simulator in every run: thousands of schedules, as many as take some ten seconds. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/log.h"
#include "sim.h"

enum { LEAST = 300, MOST = 100000, TO_BE_CAUGHT = 100 };
#define LONG (10 * SEC)

static uint64_t coverage[COVERS];

static void every_schedule_keeps_the_promises(void **state)
{
    int64_t end = clock_monotonic(&clock_system) + LONG;
    uint64_t seed = 1;

    (void)state;
    for (; seed <= MOST && (seed <= LEAST || clock_monotonic(&clock_system) < end); seed++) {
        struct sim_result r = sim_schedule(seed, SABOTAGE_NONE, false, coverage);

        if (r.failed)
            fail_msg("seed %" PRIu64 ": %s; to see it: sim --seed %" PRIu64 " --trace", seed, r.why,
                     seed);
    }
    printf("%" PRIu64 " schedules\n", seed - 1);
}

static void every_transition_was_seen(void **state)
{
    (void)state;
    assert_int_equal(coverage_print(coverage), 0);
}

/* Whatever is broken on purpose is noticed. */
static void every_sabotage_is_caught(void **state)
{
    uint64_t ignored[COVERS] = {0};

    (void)state;
    for (int i = 1; i < SABOTAGES; i++) {
        struct sim_result r = {0};

        for (uint64_t seed = 1; seed <= TO_BE_CAUGHT && !r.failed; seed++) {
            r = sim_schedule(seed, (enum sabotage)i, false, ignored);
            if (r.failed)
                printf("%-10s caught by seed %3" PRIu64 ": %s\n", sabotage_name((enum sabotage)i),
                       seed, r.why);
        }
        if (!r.failed)
            fail_msg("%s (%s) is not caught", sabotage_name((enum sabotage)i),
                     sabotage_what((enum sabotage)i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_schedule_keeps_the_promises),
        cmocka_unit_test(every_transition_was_seen),
        cmocka_unit_test(every_sabotage_is_caught),
    };

    log_setup((enum log_level)(LOG_LEVEL_ERROR + 1), false);
    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
