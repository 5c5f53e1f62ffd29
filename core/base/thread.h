/* What pthreads leave out: names, and condition variables on the monotonic clock. */
#pragma once

#include <pthread.h>
#include <stdint.h>

/* Starts a joinable thread with all signals blocked and the name that ps shows (15 characters).
 * Returns 0 or a negative errno. */
int thread_start(pthread_t *ret, const char *name, void *(*main)(void *), void *arg);

void cond_init_monotonic(pthread_cond_t *cond);

/* `cond` was made by cond_init_monotonic. Returns 0, or -ETIMEDOUT once `deadline` (monotonic ns)
 * is past. May return early, as any wait on a condition. */
int cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline);
