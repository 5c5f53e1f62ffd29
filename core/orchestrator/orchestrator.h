/*
 * The life of a task: accept, store, produce, await, dispatch, run, reply, complete, expire.
 *
 * Pure: it starts no thread, reads no clock and knows no library; it sees the world through bus.h,
 * store.h and handlers.h, and is told what happened through the orchestrator_on_* functions. All
 * functions may be called from any thread unless said otherwise, and none of them blocks. No lock
 * is held while a port is called.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "config/config.h"
#include "contract/response.h"
#include "contract/task.h"
#include "orchestrator/bus.h"
#include "orchestrator/handlers.h"
#include "orchestrator/record.h"
#include "orchestrator/store.h"
#include "orchestrator/topics.h"

struct orchestrator;
struct work;

struct orchestrator_world {
    const struct config *config;
    const struct topic_table *topics;
    struct metrics *metrics;
    const struct clock *clock;
    struct bus bus;
    struct store store;
    struct handlers handlers;
    /* A tick is needed at `deadline` (monotonic) or sooner. */
    void (*wake_timer)(void *ctx, int64_t deadline);
    void *timer_ctx;
    /* This pod's name among those that share a store; NULL when none is shared. Borrowed. */
    const char *incarnation;
};

/* `world` is copied; what it points to outlives the orchestrator. NULL when memory is short. */
struct orchestrator *orchestrator_new(const struct orchestrator_world *world);

/* Nobody calls it any more. Waiters are not answered: orchestrator_abandon did. */
void orchestrator_free(struct orchestrator *o);

/* ---- The gateway's side --------------------------------------------------------------------- */

enum answer_kind {
    ANSWER_REPLY, /* body is a TaskResponseContract, outcome says how it ended */
    ANSWER_SENT,  /* fire and forget: acknowledged at partition and offset */
    ANSWER_ERROR, /* error says why there is no answer */
};

struct answer {
    enum answer_kind kind;
    enum error_code error;
    enum outcome outcome;
    struct buf *body; /* borrowed during the call */
    int32_t partition;
    int64_t offset;
};

/*
 * Who waits. `answer` is called exactly once for each submission that was taken, by the thread that
 * removed the entry from the pending table, possibly before orchestrator_submit returns. It only
 * stores and wakes.
 */
struct waiter {
    void (*answer)(struct waiter *w, const struct answer *a);
};

/*
 * Checks the text of a flat task for `topic`: base fields, rules, the plugin's validate. HTTP
 * threads, and whoever publishes. Returns 0 with *ret; -EBADMSG with *ret_error (not JSON); -EINVAL
 * with what is wrong in `v`; -ENOMEM.
 */
int orchestrator_check(struct orchestrator *o, const struct topic *topic, const char *text,
                       size_t len, struct violations *v, struct task **ret,
                       struct json_error *ret_error);

/* What is known of a task: see store.h. */
void orchestrator_lookup(struct orchestrator *o, const char *caller, const char *id,
                         store_looked_up *done, void *arg);

enum { CALLER_MAX = 64 };

struct submission {
    const struct topic *topic;
    const struct task *task;
    const char *caller; /* "" when nobody is known; at most CALLER_MAX */
    bool reply_wanted;  /* false: fire and forget */
    int64_t wait;       /* ns, when a reply is wanted */
    const char *key;    /* NULL: as the topic's `key` says */
    size_t key_len;
    const struct message_header *headers;
    size_t n_headers;
    const char *traceparent; /* NULL: a new one is made */
    const char *tracestate;  /* NULL: none */
};

/*
 * Takes a checked task. Returns ERROR_NONE: `waiter` will be answered; anything else: it will not,
 * and nothing was sent.
 */
enum error_code orchestrator_submit(struct orchestrator *o, const struct submission *s,
                                    struct waiter *waiter);

/* Requests that wait for an answer. */
size_t orchestrator_pending(struct orchestrator *o);

/* From now on submissions are refused with ERROR_DRAINING. */
void orchestrator_drain(struct orchestrator *o);

/* Waits until nobody waits, or until `deadline` (monotonic). The one function that blocks. */
bool orchestrator_wait_answered(struct orchestrator *o, int64_t deadline);

/* Whether the shared store is there; true without one. */
bool orchestrator_store_up(const struct orchestrator *o);

/* Answers everybody who still waits with ERROR_DRAINING. */
void orchestrator_abandon(struct orchestrator *o);

/* ---- The worker's side ---------------------------------------------------------------------- */

/* Worker threads: parses the record and runs its handler. */
void orchestrator_execute(struct orchestrator *o, struct work *work);

/* The handler is done: see handlers.h. */
void orchestrator_on_ran(struct orchestrator *o, struct work *work,
                         const struct handlers_result *result);

/* No further record is started. */
void orchestrator_stop_work(struct orchestrator *o);

/* Waits until nothing runs or waits for an acknowledgement, or until `deadline`. Blocks. */
bool orchestrator_wait_worked(struct orchestrator *o, int64_t deadline);

/* ---- What the adapters tell ------------------------------------------------------------------ */

/* Any thread of the bus adapter. */
void orchestrator_on_sent(struct orchestrator *o, uint64_t token,
                          const struct bus_delivery *delivery);

/* A record of a task's topic; `record` is copied. The task consumer's thread. */
void orchestrator_on_task(struct orchestrator *o, const struct record *record);

/* A record of the reply topic. The reply consumer's thread, as all of the following. */
void orchestrator_on_reply(struct orchestrator *o, const struct record *record);

/*
 * Partitions of the reply topic that a group gives us: as orchestrator_on_assigned and so on below.
 * Without a group every reply is seen, only a partition to ask them to is told, and no offsets are
 * kept.
 */
void orchestrator_on_all_replies(struct orchestrator *o, int32_t partition);
void orchestrator_on_replies_assigned(struct orchestrator *o, int32_t partition);
void orchestrator_on_replies_revoked(struct orchestrator *o, int32_t partition);
bool orchestrator_replies_idle(struct orchestrator *o, int32_t partition);
void orchestrator_on_replies_unassigned(struct orchestrator *o, int32_t partition);

/* Brokers answer, or no longer do. */
void orchestrator_on_bus(struct orchestrator *o, bool up);
bool orchestrator_bus_up(const struct orchestrator *o);

/* The partition is ours, anew: completions of an earlier assignment no longer count. The task
 * consumer's thread, as all of the following. */
void orchestrator_on_assigned(struct orchestrator *o, size_t topic, int32_t partition);

/* The partition's end at its assignment or later: what lies below may have been run before. To be
 * told before the first record. */
void orchestrator_on_end(struct orchestrator *o, size_t topic, int32_t partition, int64_t end);

/*
 * The group was asked for news: while that is over half a session ago nothing new is run. True when
 * it was until now: others may have the partitions, so all of them start anew from what is to be
 * read again, as after an assignment (orchestrator_on_end included), and nothing is started until
 * the group has had time to tell (a heartbeat interval and 500 ms).
 */
bool orchestrator_on_polled(struct orchestrator *o);

/* Stop dispatching: what is queued is dropped. What runs may still finish and move the offset,
 * until orchestrator_on_unassigned. */
void orchestrator_on_revoked(struct orchestrator *o, size_t topic, int32_t partition);
bool orchestrator_partition_idle(struct orchestrator *o, size_t topic, int32_t partition);
void orchestrator_on_unassigned(struct orchestrator *o, size_t topic, int32_t partition);

/* What the consumer has to do about a partition. */
struct partition_order {
    size_t topic;
    int32_t partition;
    int64_t offset; /* to commit: everything below is finished; -1: no news */
    int64_t rewind; /* to be read again from here on; -1: no */
    bool pause,
        resume; /* at most one of them; to be paused before it is rewound, where it goes on */
};

/* Calls `take` for every partition with news since the last call: of tasks, and of replies. */
void orchestrator_collect(struct orchestrator *o,
                          void (*take)(void *ctx, const struct partition_order *order), void *ctx);
void orchestrator_collect_replies(struct orchestrator *o,
                                  void (*take)(void *ctx, const struct partition_order *order),
                                  void *ctx);

/* The timer thread. Returns when to be called again (monotonic). */
int64_t orchestrator_tick(struct orchestrator *o, int64_t now);
