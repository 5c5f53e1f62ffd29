/*
 * The store of world.h as one that pods share: core/memory's inside, and Redis in the test's hands. What is
 * asked of it is noted; it answers at once, or, with `slow`, when the test says so.
 */
#pragma once

#include "world.h"

enum { SHARED_ASKED = 16 };

struct shared_store {
    struct store inner;
    struct store_listener listener;
    bool away, slow;
    int again; /* calls */
    int completes;
    enum store_verdict verdict;

    enum store_attempted says;
    int attempts; /* as known */
    const char *reply;
    struct {
        struct store_attempt a;
        store_attempted_fn *done;
        void *arg;
    } asked[SHARED_ASKED];
    int n_asked, over;
};

static struct shared_store shared;

static void shared_listen(void *ctx, const struct store_listener *listener)
{
    (void)ctx;
    shared.listener = *listener;
    shared.inner.ops->listen(shared.inner.ctx, listener);
}

static int shared_begin(void *ctx, const struct store_task *task)
{
    (void)ctx;
    return shared.inner.ops->begin(shared.inner.ctx, task);
}

static void shared_again(void *ctx, const struct store_task *task)
{
    (void)ctx;
    assert_string_equal(task->topic, "PEER");
    shared.again++;
}

static void shared_forget(void *ctx, const struct uuid *correlation)
{
    (void)ctx;
    shared.inner.ops->forget(shared.inner.ctx, correlation);
}

static void shared_inner_done(void *arg, enum store_verdict verdict)
{
    *(enum store_verdict *)arg = verdict;
}

static void shared_complete(void *ctx, const struct uuid *correlation,
                            const struct store_reply *reply, store_completed *done, void *arg)
{
    enum store_verdict verdict;

    (void)ctx;
    shared.completes++;
    shared.inner.ops->complete(shared.inner.ctx, correlation, reply, shared_inner_done, &verdict);
    done(arg, shared.away ? STORE_FAILED : verdict);
}

static void shared_lookup(void *ctx, const char *caller, const char *id, store_looked_up *done,
                          void *arg)
{
    (void)ctx;
    shared.inner.ops->lookup(shared.inner.ctx, caller, id, done, arg);
}

static inline void shared_answer(int i, enum store_attempted says, int attempts, const char *reply)
{
    const struct store_reply r = {.text = {.value = reply,
                                           .value_len = reply == NULL ? 0 : strlen(reply),
                                           .outcome = "ok",
                                           .outcome_len = 2}};

    shared.asked[i].done(shared.asked[i].arg, says, attempts, &r);
}

/* Counts as Redis does, unless the test says otherwise. */
static void shared_attempt(void *ctx, const struct store_attempt *a, store_attempted_fn *done,
                           void *arg)
{
    int i = shared.n_asked++;

    (void)ctx;
    assert_true(i < SHARED_ASKED);
    shared.asked[i].a = *a;
    shared.asked[i].done = done;
    shared.asked[i].arg = arg;
    if (shared.slow)
        return;
    if (shared.away)
        shared_answer(i, STORE_NO_ANSWER, 0, NULL);
    else if (shared.reply != NULL)
        shared_answer(i, STORE_ANSWERED, 0, shared.reply);
    else if (shared.attempts < a->count_below)
        shared_answer(i, STORE_COUNTED, ++shared.attempts, NULL);
    else
        shared_answer(i, STORE_NOT_COUNTED, shared.attempts, NULL);
}

static void shared_attempt_over(void *ctx, const char *topic, int32_t partition, int64_t offset)
{
    (void)ctx, (void)topic, (void)partition, (void)offset;
    shared.over++;
}

static int64_t shared_tick(void *ctx, int64_t now)
{
    (void)ctx;
    return shared.inner.ops->tick(shared.inner.ctx, now);
}

/* The world of world.h, with its orchestrator on a shared store. */
static inline int shared_setup(void **state)
{
    static const struct store_ops ops = {
        shared_listen, shared_begin, shared_again, shared_forget, shared_complete, shared_lookup,
        shared_attempt, shared_attempt_over, shared_tick, NULL};

    world_setup(state);
    shared = (struct shared_store){.inner = memory_store_port(((struct world *)*state)->store)};
    world_remake(*state, (struct store){&ops, NULL}, "pod-1");
    return 0;
}
