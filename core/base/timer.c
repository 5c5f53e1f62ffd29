#include "base/timer.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "base/clock.h"
#include "base/thread.h"
#include "base/util.h"

struct timer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t deadline;
    bool stopping;
    timer_tick *tick;
    void *ctx;
};

static void *timer_main(void *arg)
{
    struct timer *t = arg;

    pthread_mutex_lock(&t->lock);
    while (!t->stopping) {
        int64_t next;

        if (clock_monotonic(&clock_system) < t->deadline) {
            if (t->deadline == TIMER_NEVER)
                pthread_cond_wait(&t->changed, &t->lock);
            else
                cond_wait_until(&t->changed, &t->lock, t->deadline);
            continue;
        }
        t->deadline = TIMER_NEVER;
        pthread_mutex_unlock(&t->lock);
        next = t->tick(t->ctx, clock_monotonic(&clock_system));
        pthread_mutex_lock(&t->lock);
        t->deadline = TW_MIN(t->deadline, next);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

int timer_start(timer_tick *tick, void *ctx, struct timer **ret)
{
    struct timer *t = calloc(1, sizeof(*t));
    int r;

    if (t == NULL)
        return -ENOMEM;
    t->tick = tick;
    t->ctx = ctx;
    t->deadline = TIMER_NEVER;
    pthread_mutex_init(&t->lock, NULL);
    cond_init_monotonic(&t->changed);
    r = thread_start(&t->thread, "timer", timer_main, t);
    if (r < 0) {
        pthread_cond_destroy(&t->changed);
        pthread_mutex_destroy(&t->lock);
        free(t);
        return r;
    }
    *ret = t;
    return 0;
}

void timer_wake(struct timer *t, int64_t deadline)
{
    bool sooner;

    pthread_mutex_lock(&t->lock);
    sooner = deadline < t->deadline;
    if (sooner)
        t->deadline = deadline;
    pthread_mutex_unlock(&t->lock);
    if (sooner)
        pthread_cond_signal(&t->changed);
}

void timer_stop(struct timer *t)
{
    if (t == NULL || t->stopping)
        return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_mutex_unlock(&t->lock);
    pthread_cond_signal(&t->changed);
    pthread_join(t->thread, NULL);
}

void timer_free(struct timer *t)
{
    if (t == NULL)
        return;
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
