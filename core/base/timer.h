/*
 * The `timer` thread. It calls `tick` when the deadline that the last tick named has come, or a
 * sooner one that timer_wake named. It keeps no list: who ticks keeps its own heap.
 */
#pragma once

#include <stdint.h>

#define TIMER_NEVER INT64_MAX

struct timer;

/* `tick` gets the monotonic time and returns its next deadline (TIMER_NEVER: none). It runs on the
 * timer thread only. */
typedef int64_t timer_tick(void *ctx, int64_t now);

/* Starts the thread. Returns 0 or a negative errno. */
int timer_start(timer_tick *tick, void *ctx, struct timer **ret);

/* Makes sure that a tick comes at `deadline` (monotonic ns) or sooner. Any thread. */
void timer_wake(struct timer *t, int64_t deadline);

/* Stops and joins the thread; timer_wake does nothing from then on. May be NULL. */
void timer_stop(struct timer *t);
void timer_free(struct timer *t); /* stopped; may be NULL */
