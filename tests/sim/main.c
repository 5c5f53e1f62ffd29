/*
 * sim --schedules N [--from SEED]      runs many; stops at the first that fails, exit 1
 * sim --seed N [--trace]               runs exactly that one
 * sim ... --sabotage NAME              breaks one thing in the simulated world on purpose
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "sim.h"

static int usage(void)
{
    fprintf(stderr, "Usage: sim (--seed N [--trace] | --schedules N [--from SEED]) "
                    "[--sabotage NAME] [--all]\nSabotages:\n");
    for (int i = 1; i < SABOTAGES; i++)
        fprintf(stderr, "  %-10s %s\n", sabotage_name((enum sabotage)i),
                sabotage_what((enum sabotage)i));
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t coverage[COVERS] = {0}, from = 1, n = 0, failed = 0;
    enum sabotage sabotage = SABOTAGE_NONE;
    bool trace = false, all = false;

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
            continue;
        } else if (strcmp(argv[i], "--all") == 0) { /* does not stop at a failure */
            all = true;
            continue;
        } else if (strcmp(argv[i], "--seed") == 0) {
            from = strtoull(value, NULL, 10);
            n = 1;
        } else if (strcmp(argv[i], "--schedules") == 0) {
            n = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--from") == 0) {
            from = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--sabotage") == 0) {
            for (int k = 0; k < SABOTAGES; k++)
                if (strcasecmp(sabotage_name((enum sabotage)k), value) == 0)
                    sabotage = (enum sabotage)k;
        } else {
            return usage();
        }
        i++;
    }
    if (n == 0)
        return usage();
    log_setup(trace ? LOG_LEVEL_WARN : (enum log_level)(LOG_LEVEL_ERROR + 1), false);
    for (uint64_t seed = from; seed < from + n && (failed == 0 || all); seed++) {
        struct sim_result r = sim_schedule(seed, sabotage, trace, coverage);

        failed += r.failed;
        if (r.failed)
            printf("seed %" PRIu64 ": %s\n", seed, r.why);
    }
    if (n > 1)
        coverage_print(coverage);
    if (failed > 0)
        printf("%" PRIu64 " failed; to see one: sim --seed N --trace\n", failed);
    return failed > 0;
}
