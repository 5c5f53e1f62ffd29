/* The names of the two tables. */
#include <inttypes.h>
#include <stdio.h>

#include "sim.h"

static const char *const names[SABOTAGES] = {
#define SABOTAGE(NAME, what) #NAME,
#include "sabotage.def"
#undef SABOTAGE
};
static const char *const whats[SABOTAGES] = {
#define SABOTAGE(NAME, what) what,
#include "sabotage.def"
#undef SABOTAGE
};
static const struct {
    const char *table, *what;
} covers[COVERS] = {
#define COVER(NAME, table, what) {table, what},
#include "coverage.def"
#undef COVER
};

const char *sabotage_name(enum sabotage sabotage)
{
    return names[sabotage];
}

const char *sabotage_what(enum sabotage sabotage)
{
    return whats[sabotage];
}

int coverage_print(const uint64_t *coverage)
{
    int missing = 0;

    for (int i = 0; i < COVERS; i++) {
        printf("%12" PRIu64 "  %-14s %s\n", coverage[i], covers[i].table, covers[i].what);
        missing += coverage[i] == 0;
    }
    return missing;
}
