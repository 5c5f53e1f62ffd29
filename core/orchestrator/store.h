/*
 * The port to what pods share: which tasks exist, and how they ended. core/memory implements it
 * inside one process, core/redis for many pods. A task is known under its correlation id and under
 * (caller, task id).
 *
 *   (none) --begin--> live --complete--> finished --TTL--> (none)
 *     |                 `----forget, TTL---------------------^
 *     `--complete--> early --begin--> finished                     (a reply overtook its request)
 *
 * All functions may be called from any thread and never block. What is called back may be called on
 * the calling thread, before the function returns, or later on a thread of the store.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ids.h"
#include "contract/response.h"

struct store_task {
    const struct uuid *correlation;
    const char *caller; /* "" when nobody is known */
    const char *id;
    const char *topic; /* outlives the store */
    int64_t wait;      /* ns; the task is kept that long plus limits.result_ttl while live */
};

/* A reply as it was found on the reply topic. */
struct store_reply {
    struct reply_text text;
    int attempts;      /* what the worker said, 0 when unknown */
    const char *owner; /* the pod that is said to wait for it; NULL when unknown */
    size_t owner_len;
    bool awaited; /* somebody waits for it here */
};

enum store_verdict {
    STORE_FIRST,    /* this reply is the result */
    STORE_REPEATED, /* there was a result already */
    STORE_UNKNOWN,  /* no such task, so far */
    STORE_FAILED,   /* not known to be stored: worth another try when the store is up again */
};
typedef void store_completed(void *arg, enum store_verdict verdict);

struct store_view {
    const char *topic;
    bool finished;
    enum outcome outcome; /* the rest only when finished */
    struct buf *body;     /* TaskResponseContract; borrowed */
    int attempts;
    int64_t accepted; /* wall clock, ns; always */
};

/* `view` is NULL when there is no such task, or, with `away`, when that cannot be known now. */
typedef void store_looked_up(void *arg, const struct store_view *view, bool away);

/* A record that may have been run before, about to be run. */
struct store_attempt {
    const struct uuid *correlation; /* NULL: nobody waits for a result */
    const char *topic;              /* Kafka's; outlives the store */
    int32_t partition;
    int64_t offset;
    int count_below; /* counted only while fewer attempts are known; -1: one was counted for nothing
                      */
};

enum store_attempted {
    STORE_COUNTED,     /* `attempts` include this one */
    STORE_NOT_COUNTED, /* `attempts` as they were */
    STORE_ANSWERED,    /* `reply` is its result already; valid during the call */
    STORE_NO_ANSWER,   /* the store is away, or keeps no count */
};
typedef void store_attempted_fn(void *arg, enum store_attempted what, int attempts,
                                const struct store_reply *reply);

/* Of a task that was begun here: strings live during the call, `topic` longer. Wall clock, ns. */
typedef void store_described(void *arg, const char *caller, const char *id, const char *topic,
                             int64_t accepted);

struct store_listener {
    /* The result of a task that was begun here. `body` is borrowed. */
    void (*result)(void *arg, const struct uuid *correlation, enum outcome outcome,
                   struct buf *body);
    /* The store came back, or went away. It starts away when it can go away at all, else up. */
    void (*up)(void *arg, bool up);
    void *arg;
};

struct store_ops {
    /* Before anything else is called. */
    void (*listen)(void *ctx, const struct store_listener *listener);

    /* 0, -EEXIST (a live task with that caller and id, begun here), -ENOMEM. */
    int (*begin)(void *ctx, const struct store_task *task);

    /* NULL in a store that is not shared. The task still waits: it is made known again where that
     * was lost, and its result, should there be one, is told to the listener. */
    void (*again)(void *ctx, const struct store_task *task);

    /* The task was never sent. */
    void (*forget)(void *ctx, const struct uuid *correlation);

    /* Keeps the first reply as the result, normalised by response_from_reply when it is read.
     * `reply` is the caller's until `done`, which is called exactly once. */
    void (*complete)(void *ctx, const struct uuid *correlation, const struct store_reply *reply,
                     store_completed *done, void *arg);

    /* Calls `done` exactly once. */
    void (*lookup)(void *ctx, const char *caller, const char *id, store_looked_up *done, void *arg);

    /* Calls `done` exactly once. */
    void (*attempt)(void *ctx, const struct store_attempt *a, store_attempted_fn *done, void *arg);

    /* A counted record is finished: its count is not needed any more. */
    void (*attempt_over)(void *ctx, const char *topic, int32_t partition, int64_t offset);

    /* Drops what has outlived its TTL; returns when to be called again (monotonic ns). */
    int64_t (*tick)(void *ctx, int64_t now);

    /* For a store around this one; NULL in such a store. Calls `done` before it returns, or not at
     * all when no such task was begun here. */
    void (*describe)(void *ctx, const struct uuid *correlation, store_described *done, void *arg);
};

struct store {
    const struct store_ops *ops;
    void *ctx;
};
