/* What both programs share: a clock, and the latencies of one measured period. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)

struct samples {
    uint32_t *us;
    size_t count, capacity;
};

static inline int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static inline _Noreturn void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline void samples_add(struct samples *s, int64_t ns)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity == 0 ? 65536 : 2 * s->capacity;
        s->us = realloc(s->us, s->capacity * sizeof(*s->us));
        if (s->us == NULL)
            die("out of memory");
    }
    s->us[s->count++] = (uint32_t)(ns / 1000);
}

static inline int samples_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* The members of one JSON object, without its braces. */
static inline void samples_print(struct samples *s, double seconds)
{
    if (s->count == 0)
        die("nothing was answered in the measured period");
    qsort(s->us, s->count, sizeof(*s->us), samples_compare);
    printf("\"requests\": %zu, \"seconds\": %.3f, \"rate\": %.1f, \"p50_us\": %u, \"p99_us\": %u",
           s->count, seconds, (double)s->count / seconds, s->us[s->count / 2],
           s->us[s->count * 99 / 100]);
}

static inline double seconds_argument(const char *text)
{
    double seconds = strtod(text, NULL);

    if (!(seconds >= 0 && seconds <= 600))
        die("seconds must be 0 to 600");
    return seconds;
}
