/*
 * A member of a consumer group, on a thread of its own; cooperative-sticky. Everything that touches
 * the consumer runs on that thread, in this order every turn:
 *
 *   events      records -> ops->record; assign; revoke begins a revocation
 *   collect     what the orchestrator wants stored, read again, paused, resumed
 *   revocation  once nothing is under way in its partitions, or after 5 s: unassign, which commits
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "orchestrator/orchestrator.h"

struct group;
struct kafka;

/* All are called on the group's thread. */
struct group_ops {
    const char *thread;
    void (*record)(struct group *g, const rd_kafka_message_t *m);
    void (*assigned)(struct group *g, const char *topic, int32_t partition);
    void (*all_assigned)(struct group *g,
                         const rd_kafka_topic_partition_list_t *list); /* or NULL */
    void (*revoked)(struct group *g, const char *topic, int32_t partition);
    bool (*idle)(struct group *g, const char *topic, int32_t partition);
    void (*unassigned)(struct group *g, const char *topic, int32_t partition);
    void (*collect)(struct group *g, void (*take)(void *ctx, const struct partition_order *order));
    const char *(*topic_name)(struct group *g, const struct partition_order *order);
    void (*turn)(struct group *g); /* before each poll; may be NULL */
};

struct group {
    struct kafka *k;
    const struct group_ops *ops;
    rd_kafka_t *rk; /* NULL: not opened */
    rd_kafka_queue_t *queue;
    bool fixed; /* all partitions are assigned by hand: nothing is committed */
    pthread_t thread;
    bool running;
    atomic_bool stop;
    _Atomic int64_t deadline;      /* of the stop; monotonic */
    struct revocation *revocation; /* under way */
    atomic_bool ready;             /* it was told its share, which may be none */
    atomic_int partitions;
};

/* Makes the consumer. With `fixed` it joins no group (the mock takes 3 s for the first join).
 * Returns 0, or -EINVAL with a sentence. */
int group_open(struct group *g, struct kafka *k, const struct group_ops *ops, const char *group_id,
               bool fixed, char **ret_why);
int group_start(struct group *g);
void group_wake(struct group *g); /* any thread */

/* Leaves the group, bounded by `deadline`; joins the thread. */
void group_stop(struct group *g, int64_t deadline);
void group_close(struct group *g); /* frees the consumer */
