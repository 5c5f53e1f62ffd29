#include "base/thread.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"

int thread_start(pthread_t *ret, const char *name, void *(*main)(void *), void *arg)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(ret, NULL, main, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        {
        char cut[16];

        snprintf(cut, sizeof(cut), "%.15s", name);
        pthread_setname_np(*ret, cut);
    }
    return -r;
}

void cond_init_monotonic(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

int cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline)
{
    struct timespec until = {
        .tv_sec = (time_t)(deadline / NS_PER_S),
        .tv_nsec = (long)(deadline % NS_PER_S),
    };

    return -pthread_cond_timedwait(cond, lock, &until);
}
