/*
 * Order and limits of the work on task records: serial per key, parallel across keys, at most
 * `concurrency` of a topic at once, offsets up to the lowest unfinished record.
 *
 *   queued --start--> running --ran--> closing --finished--> (gone; the offset may move)
 *      |                 |                |
 *      +-----------------+----------------+-- partition revoked: dropped / finishes as stale
 *                        `-- not run: abandoned, read again
 *
 * "closing": the handler returned, its key and place are free again; its further tasks, its dead
 * letter and its reply wait for the broker's acknowledgement. The functions lock for themselves.
 * Those that return work return what is to be started now: a list linked by `next`.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/metrics.h"
#include "config/config.h"
#include "orchestrator/orchestrator.h"

/* One record, from its delivery until its offset may move. */
struct work {
    struct record *record;
    const struct topic *topic;
    struct work *next; /* in one of the lists: ready, parked, to be started */

    /* dispatch.c, under its lock: */
    struct partition *partition; /* NULL once it is no longer ours */
    struct lane *lane;           /* NULL: ordered by nothing */
    struct work *older, *newer;  /* in partition->unfinished */
    enum { WORK_QUEUED, WORK_RUNNING, WORK_CLOSING } state;

    /* the others, by one thread at a time: */
    struct orchestrator *o;
    char id[TASK_ID_MAX + 1]; /* "" when the record has no usable one */
    enum { STAGE_RUNNING, STAGE_PUBLISHING, STAGE_BURYING, STAGE_REPLYING } stage;
    bool redelivered; /* it may have been run before */
    int attempts;     /* of it since, this one included; 0: not counted */
    enum outcome outcome;
    struct buf *reply;       /* made when the handler is done; NULL: nobody wants one */
    bool hint_failed;        /* the partition the requester listens at does not exist */
    bool reply_small;        /* the error reply that stands in for one that cannot go */
    const char *letter_code; /* NULL: no dead letter */
    struct buf *letter_error;
    bool letter_anywhere; /* not on the record's own partition number */
    int letter_cut;       /* too large: 1 without message, 2 without value */
    bool buried;          /* the dead letter is acknowledged */
    unsigned tries;       /* of this stage */
    size_t sends_left;    /* under work_lock, as the following */
    bool publication_failed;
    struct heap_node retry; /* place != 0: waits to be sent again */
};

struct dispatch;

struct dispatch *dispatch_new(const struct config *config, const struct topic_table *topics,
                              struct metrics *metrics);
void dispatch_free(struct dispatch *d);

/* False when memory is short. */
bool dispatch_assign(struct dispatch *d, size_t topic, int32_t partition);
void dispatch_revoke(struct dispatch *d, size_t topic, int32_t partition);
bool dispatch_idle(struct dispatch *d, size_t topic, int32_t partition);
void dispatch_unassign(struct dispatch *d, size_t topic, int32_t partition);

/*
 * Takes a copy of `record`, unless its assignment is over. When memory is short the partition is to
 * be read again from there, and what follows is not taken until dispatch_collect has said so.
 */
struct work *dispatch_offer(struct dispatch *d, const struct record *record);

/* The handler has returned. dispatch_wait_idle waits for the calling thread too, which may be a
 * plugin's own that nobody joins, until its dispatch_leave. */
struct work *dispatch_ran(struct dispatch *d, struct work *work);
void dispatch_leave(struct dispatch *d);

/*
 * Whether a started work may run its handler now (monotonic). Not once dispatch_stop was called or
 * its partition is no longer ours, and not while the group was not asked for news for over half a
 * session: others may have the partition, and dispatch_polled will start it anew. Then it is to be
 * abandoned.
 */
bool dispatch_may_run(struct dispatch *d, const struct work *work, int64_t now);

/* Whether the work's partition is still the one it came from. */
bool dispatch_is_ours(struct dispatch *d, const struct work *work);

/* Ends a started work that was not run; its record is read again. Frees it. */
void dispatch_abandon(struct dispatch *d, struct work *work);

/* See orchestrator_on_end, orchestrator_on_polled. */
void dispatch_end(struct dispatch *d, size_t topic, int32_t partition, int64_t end);
bool dispatch_polled(struct dispatch *d, int64_t now, struct work **ret_start);

/* Nothing more will happen to it; frees it. True when the consumer has something to collect. */
bool dispatch_finished(struct dispatch *d, struct work *work);

/* Nothing is started from now on. */
void dispatch_stop(struct dispatch *d);

/* Blocks until nothing is running or closing, or until the monotonic deadline. */
bool dispatch_wait_idle(struct dispatch *d, int64_t deadline);

void dispatch_collect(struct dispatch *d,
                      void (*take)(void *ctx, const struct partition_order *order), void *ctx);

void work_free(struct work *work);
