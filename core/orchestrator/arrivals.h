/*
 * Replies on their way from the reply topic into the store, and what that means for the offsets of
 * the reply topic's partitions.
 *
 *   taken --complete()--> done: the offset may move
 *     ^  `-- the store failed --> nobody here was answered by it: held
 *     `------- the store is back, or every 2 s ---------------------'
 *
 * A reply that answered somebody here does not hold its offset, and is dropped when half the room
 * is used. While more than limits.reply_backlog bytes are not done, the partitions pause, and 4 MiB
 * above that nothing is taken. A partition that is not tracked (no group) has no offsets to move.
 * The functions lock for themselves.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "orchestrator/orchestrator.h"

struct arrival {
    struct orchestrator *o;
    struct uuid correlation;
    struct store_reply reply; /* its texts stand behind the struct */
    bool answered;            /* somebody here */

    /* under the table's lock: */
    struct reply_partition *partition; /* NULL: not tracked, or no longer ours */
    bool held;
    int64_t offset;
    size_t bytes;
    struct arrival *older, *newer; /* in the partition, by offset */
    struct arrival *next;          /* held */
};

struct arrivals {
    pthread_mutex_t lock;
    struct reply_partition *partitions;
    int32_t without_group;            /* where to ask replies to come to; -1 */
    struct arrival *held, *last_held; /* the first is completed first */
    size_t bytes, limit;
    struct metrics *metrics;
};

void arrivals_init(struct arrivals *t, size_t limit, struct metrics *metrics);
void arrivals_done(struct arrivals *t); /* frees what is held */

/* A copy of the record's reply; NULL when memory is short. */
struct arrival *arrivals_take(struct arrivals *t, const struct record *record,
                              const struct uuid *correlation);
/* The record is no reply to anything: its offset may move. */
void arrivals_skip(struct arrivals *t, const struct record *record);
void arrivals_finish(struct arrivals *t, struct arrival *a); /* frees it */
void arrivals_hold(struct arrivals *t, struct arrival *a);

/* The offset may move; it is held all the same, while it leaves room for those whose offset may
 * not. */
void arrivals_keep(struct arrivals *t, struct arrival *a);

/* All that is held, linked by `next`, taken anew. */
struct arrival *arrivals_unhold(struct arrivals *t);

bool arrivals_assign(struct arrivals *t, int32_t partition); /* false: memory is short */
void arrivals_revoke(struct arrivals *t, int32_t partition); /* no more hints to it */
bool arrivals_idle(struct arrivals *t, int32_t partition);   /* nothing but held ones */
void arrivals_unassign(struct arrivals *t, int32_t partition);

/*
 * The partition that a reply to us is best sent to, or -1. One at a time, so that replies share
 * batches: the producers have one request a partition under way.
 */
int32_t arrivals_hint(struct arrivals *t);
void arrivals_without_group(struct arrivals *t, int32_t partition);

void arrivals_collect(struct arrivals *t,
                      void (*take)(void *ctx, const struct partition_order *order), void *ctx);
