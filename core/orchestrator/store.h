/*
 * The port to what pods share: which tasks exist, and how they ended. core/memory implements it
 * inside one process. A task is known under its correlation id and under (caller, task id).
 *
 * State of a task:   (none) --begin--> live --complete--> finished --TTL--> (none)
 *                                       `----forget, TTL----------------------^
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
    const char *topic;
    int64_t wait; /* ns; the task is kept that long plus limits.result_ttl while live */
};

enum store_verdict {
    STORE_FIRST,    /* this reply is the result */
    STORE_REPEATED, /* there was a result already */
    STORE_UNKNOWN,  /* no such task */
    STORE_FAILED,   /* not stored: memory is short */
};

/* `body` is borrowed: take a reference to keep it. NULL unless STORE_FIRST. */
typedef void store_completed(void *arg, const struct uuid *correlation,
                             enum store_verdict verdict, enum outcome outcome, struct buf *body);

struct store_view {
    const char *topic;
    bool finished;
    enum outcome outcome; /* the rest only when finished */
    struct buf *body;     /* TaskResponseContract; borrowed */
    int attempts;
    int64_t accepted; /* wall clock, ns; always */
};

/* `view` is NULL when there is no such task. */
typedef void store_looked_up(void *arg, const struct store_view *view);

struct store_ops {
    /* 0, -EEXIST (a live task with that caller and id), -ENOSPC (limits.results, and somebody waits for
     * each), -ENOMEM. Any thread, never blocks. */
    int (*begin)(void *ctx, const struct store_task *task);

    /* The task was never sent. */
    void (*forget)(void *ctx, const struct uuid *correlation);

    /*
     * Keeps the first reply as the result; normalises it (response_from_reply). `attempts` is what the
     * worker said, 0 when unknown. Calls `done` exactly once.
     */
    void (*complete)(void *ctx, const struct uuid *correlation, const struct reply_text *reply,
                     int attempts, store_completed *done, void *arg);

    /* Calls `done` exactly once. */
    void (*lookup)(void *ctx, const char *caller, const char *id, store_looked_up *done, void *arg);

    /* Drops what has outlived its TTL; returns when to be called again (monotonic ns). */
    int64_t (*tick)(void *ctx, int64_t now);
};

struct store {
    const struct store_ops *ops;
    void *ctx;
};
