/*
 * Two clocks. Waits, retries and heartbeats use the monotonic one; deadlines and what people read
 * use the wall clock. Both are in nanoseconds. Code that decides takes a `struct clock`, so that
 * tests and the simulator can bring their own.
 */
#pragma once

#include <stdint.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

struct clock {
    int64_t (*monotonic)(void *ctx); /* since some fixed moment */
    int64_t (*wall)(void *ctx);      /* since 1970-01-01T00:00:00Z */
    void *ctx;
};

/* The machine's clocks. Any thread. */
extern const struct clock clock_system;

static inline int64_t clock_monotonic(const struct clock *c)
{
    return c->monotonic(c->ctx);
}

static inline int64_t clock_wall(const struct clock *c)
{
    return c->wall(c->ctx);
}
