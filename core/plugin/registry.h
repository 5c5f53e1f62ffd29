/*
 * Plugins: loading, the registry of handlers, and running one task in one handler.
 *
 * Life of a plugin: loaded (dlopen, ABI, tables checked and compiled) -> initialised (init) ->
 * stopped (fini). All on the main thread. The registry does not change between registry_init and
 * registry_fini, so that any thread may read it without a lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "contract/json.h"
#include "contract/response.h"
#include "contract/rules.h"
#include "contract/violations.h"

struct registry;
struct handler; /* one handler of one plugin; lives as long as the registry */

/* A further task that a handler wants sent: filled by tw_call_publish. */
struct publication {
    char *topic;
    char *key; /* NULL: the topic's rule */
    size_t key_len;
    struct buf *task; /* checked, base fields in place */
};

/* What the registry asks of the rest of the program. Called from the threads named. */
struct registry_host {
    /*
     * Checks a task that a handler publishes, and puts its base fields in place. Worker threads, and
     * threads that finish deferred calls. Returns 0 and one reference in *ret, or a negative errno with a
     * sentence in *ret_why (heap).
     */
    int (*prepare)(void *ctx, const char *topic, const char *task, size_t len, struct buf **ret,
                   char **ret_why);
    void *ctx;
};

struct registry *registry_new(const struct registry_host *host);

/* fini() of what was initialised, in reverse order; then closes and frees. May be NULL. */
void registry_free(struct registry *r);

/* One option of a plugin's section of the configuration, as text, with where it stands. */
struct plugin_setting {
    const char *name;
    const char *value;
    const char *place; /* "taskwire.yaml:12:5", for errors */
};

/*
 * Loads one plugin. `path` must be absolute, a regular file, and neither it nor its folder writable by others
 * (group or world; a sticky world-writable folder does not help). Settings are copied.
 * Returns 0, or a negative errno with one sentence in *ret_why (heap) that names the file, what was
 * found and what was expected.
 */
int registry_load(struct registry *r, const char *path, const struct plugin_setting *settings,
                  size_t n_settings, char **ret_why);

/* The file name without ".so" is the plugin's name in the configuration. */

/* Runs every init(), in the order of loading. On failure fini() runs for those that succeeded. */
int registry_init(struct registry *r, char **ret_why);

/* NULL when there is none of that name. */
const struct handler *registry_find(const struct registry *r, const char *name);

const char *handler_name(const struct handler *h);
const struct rules *handler_rules(const struct handler *h);

/* Iterates: pass NULL first; returns NULL after the last. */
const struct handler *registry_next(const struct registry *r, const struct handler *h);

/*
 * Applies the rules and the plugin's validate to a task. HTTP and worker threads. Adds what is wrong
 * to `v`; returns false when anything is. `validate` runs only when the rules hold.
 */
bool handler_validate(const struct handler *h, const char *id, const char *topic,
                      struct json_doc *doc, int64_t now, struct violations *v);

/* One task to be run. Strings and doc are the caller's until `done` is called. */
struct run_request {
    const char *id;
    const char *topic;
    struct json_doc *doc; /* passes to the run; freed by it, on the thread that finishes */
    int64_t now;          /* wall clock, ns */
    bool redelivered;     /* it may have been run before */
};

struct run_result {
    enum outcome outcome;
    bool retry;           /* the handler said TW_RETRY (outcome is OUTCOME_FAIL) */
    const char *error;    /* NULL when ok; for the client */
    const struct violations *violations; /* OUTCOME_REJECT: may be empty, else NULL */
    const char *result;   /* JSON object text of the reply's members; NULL when there are none */
    size_t result_len;
    struct publication *publications; /* in order; `done` may take their task references */
    size_t n_publications;
};

/*
 * Validates and runs a task. Worker threads only. `done` is called exactly once: before this returns,
 * or, when the handler deferred, from the thread that finishes. What `result` points to lives until
 * `done` returns. A handler that returns something that is no outcome gives OUTCOME_FAIL and a log line.
 */
void handler_run(const struct handler *h, const struct run_request *request,
                 void (*done)(void *ctx, const struct run_result *result), void *ctx);
