/* What dispatch.c (records) and dispatch_partitions.c (partitions) share. */
#pragma once

#include "orchestrator/dispatch.h"
#include "orchestrator/partition.h"

/* After standing still a heartbeat is sent at once; its answer, or that there is none, tells whether we are
 * still in the group. So long, and an interval, nothing is started. */
#define DISPATCH_SETTLE (500 * NS_PER_MS)

struct topic_queue {
    const struct topic *topic;
    struct work_list ready;
    size_t queued, running;
    struct partition *partitions;
};

struct dispatch {
    pthread_mutex_t lock;
    pthread_cond_t idle; /* monotonic */
    struct metrics *metrics;
    size_t topic_queue, unfinished_span, parked_per_key;
    size_t active; /* running or closing, stale ones too; threads between dispatch_ran and _leave */
    bool stopped;
    bool late; /* something was not run because of `fence`: every partition is to start anew */
    int64_t polled, fence; /* monotonic; ns without a poll after which nothing is run */
    int64_t fenced, settle; /* nothing is started until then; 0: no; ns it lasts */
    size_t n_queues;
    struct topic_queue queues[];
};

/* All with the lock held. */
struct partition *dispatch_find(struct dispatch *d, size_t topic, int32_t number);
void dispatch_show(struct dispatch *d, struct topic_queue *q);
struct work *dispatch_pump(struct dispatch *d, struct topic_queue *q); /* what may run now, as a list */
bool dispatch_above(const struct dispatch *d, const struct partition *p, size_t share);
