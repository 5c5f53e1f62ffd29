/*
 * The port to the code that does the work: the plugins' handlers, and the threads that run them.
 * `taskwired` wires it to core/plugin.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "contract/json.h"
#include "contract/response.h"
#include "contract/violations.h"

struct work;
struct handler; /* opaque here */

/* A further task that a handler wants sent. */
struct handlers_publication {
    const char *topic;
    const char *key; /* NULL: the topic's rule gives it */
    size_t key_len;
    struct buf *task; /* checked, base fields in place; borrowed */
};

struct handlers_result {
    enum outcome outcome;
    const char *error; /* NULL when ok */
    const struct violations *violations; /* NULL unless rejected */
    const char *result;                  /* JSON, or NULL */
    size_t result_len;
    const struct handlers_publication *publications;
    size_t n_publications;
};

/* A task to be run. Strings live until orchestrator_on_ran. */
struct handlers_task {
    const struct handler *handler;
    const char *id;
    const char *topic;
    struct json_doc *doc;
    int64_t now;      /* wall clock, ns */
    bool redelivered; /* it may have been run before */
};

struct handlers_ops {
    /* HTTP threads. Adds what is wrong to `v`; true when nothing is. */
    bool (*validate)(void *ctx, const struct handler *handler, const char *id, const char *topic,
                     struct json_doc *doc, int64_t now, struct violations *v);

    /*
     * Runs a task; takes its `doc`. Worker threads. Then orchestrator_on_ran(work, result) is called
     * exactly once, before this returns or later from another thread; what `result` points to lives until
     * that returns.
     */
    void (*run)(void *ctx, const struct handlers_task *task, struct work *work);

    /*
     * Hands the work to a worker thread, which calls orchestrator_execute(work). Any thread, never blocks:
     * at most the sum of all topics' `concurrency` is outstanding.
     */
    void (*start)(void *ctx, struct work *work);
};

struct handlers {
    const struct handlers_ops *ops;
    void *ctx;
};
