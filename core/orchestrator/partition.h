/*
 * The unfinished records of one assigned partition: in order of offset, and in lanes, one a key (or one
 * for the partition, with `ordering: partition`). The dispatcher's lock is held by the caller.
 */
#pragma once

#include "orchestrator/dispatch.h"

struct work_list {
    struct work *first, *last;
};

void work_list_push(struct work_list *list, struct work *work);
void work_list_append(struct work_list *list, struct work *more); /* linked by `next`; may be NULL */
struct work *work_list_pop(struct work_list *list); /* NULL when empty */

struct partition {
    size_t topic;
    int32_t number;
    bool revoked;
    struct lane *lanes;           /* of keys with unfinished records */
    struct work *oldest, *newest; /* unfinished, in order of offset */
    size_t active;                /* running or closing */
    size_t crowded;               /* lanes at limits.parked_per_key */
    int64_t end;                  /* what lies below may have been run before */
    int64_t next_offset;          /* after the last record taken; -1: none yet */
    int64_t lost_offset;          /* could not be taken: to be read again; -1: none */
    int64_t told_offset;          /* last one collected */
    bool paused;                  /* as the consumer was told */
    struct partition *next;       /* of the topic */
};

/* NULL when memory is short. */
struct partition *partition_new(size_t topic, int32_t number);

enum partition_taken { PARTITION_READY, PARTITION_PARKED, PARTITION_NO_MEMORY };

/* Links a record in. READY: it is the first of its lane, or has none. */
enum partition_taken partition_take(struct partition *p, struct work *work, bool one_lane,
                                    size_t parked_per_key);

/* The work leaves its lane; returns the one behind it, now ready, or NULL. */
struct work *partition_leave_lane(struct work *work, size_t parked_per_key);

/* Nothing more will happen to the work. */
void partition_forget(struct partition *p, struct work *work);

/* Everything below is finished; -1: nothing was ever taken. */
int64_t partition_commit_point(const struct partition *p);

/* What the consumer has to do about it since the last call; false: nothing. `above`: a limit is reached;
 * `above_half`: half of one is. */
bool partition_news(struct partition *p, bool above, bool above_half, struct metrics *metrics,
                    struct partition_order *ret);

/* Drops what is parked in its lanes, and `ready`, which the caller took from its own lists; returns
 * how many. What runs stays. */
size_t partition_drop_queued(struct partition *p, struct work_list *ready);

/* A started work is not run: it is to be read again. */
void partition_give_back(struct partition *p, struct work *work);

/* What still runs is stale from now on. */
void partition_detach(struct partition *p);
void partition_free(struct partition *p); /* detached as well */

/* As new, but to be read again from its commit point on; nothing is queued. */
void partition_restart(struct partition *p);
