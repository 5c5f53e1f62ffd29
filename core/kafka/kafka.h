/*
 * bus.h over librdkafka. Three clients, so that none waits for another: a producer, a consumer of
 * tasks (a group), a consumer of replies (a group when pods share a store; else every partition,
 * from its end). A pod without the role `worker` has no consumer of tasks, one without `gateway`
 * none of replies. Four threads:
 *
 *   kafka-admin     waits for the brokers, creates and looks up topics, then probes every 2 s
 *   kafka-delivery  the producer's acknowledgements -> orchestrator_on_sent
 *   kafka-tasks     records and rebalances          -> orchestrator_on_task, _on_assigned, ...
 *   kafka-replies   records                         -> orchestrator_on_reply
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "config/config.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/topics.h"

struct kafka;

/*
 * Makes the clients; nothing connects yet. With `embedded` the brokers are librdkafka's mock
 * cluster in this process. With `shared` the store is Redis: replies are consumed by a group.
 * Returns 0, or -EINVAL with one sentence in *ret_why (heap).
 */
int kafka_new(const struct config *config, const struct topic_table *topics,
              struct metrics *metrics, bool embedded, bool shared, struct kafka **ret,
              char **ret_why);

/* Everything was stopped. May be NULL. */
void kafka_free(struct kafka *k);

struct bus kafka_bus(struct kafka *k);

/* `fatal` is called at most once, from any thread, when the producer cannot go on; it only wakes.
 */
int kafka_start(struct kafka *k, struct orchestrator *o, void (*fatal)(void *ctx), void *ctx);

/* Finished offsets are committed and the group is left; no more records are taken. Bounded by
 * `deadline` (monotonic). */
void kafka_stop_tasks(struct kafka *k, int64_t deadline);

/* Sends what is queued, until `deadline`, and stops all threads. */
void kafka_stop(struct kafka *k, int64_t deadline);

struct kafka_status {
    bool up;              /* brokers answer */
    bool topics_ready;    /* all topics exist and are known */
    bool replies_ready;   /* replies to us will be seen */
    bool tasks_ready;     /* the group has told our share, or nothing is handled here */
    int brokers;          /* in the cluster, as last seen */
    int partitions;       /* of tasks, assigned to us */
    int reply_partitions; /* of the reply topic, consumed by us */
};

/* Any thread. */
void kafka_status(const struct kafka *k, struct kafka_status *ret);

/* The embedded broker's address, or NULL. */
const char *kafka_embedded_address(const struct kafka *k);

/* Whether librdkafka takes that property; if not, one sentence in *ret_why (heap). */
bool kafka_property_valid(const char *name, const char *value, char **ret_why);

/* Partitions of a topic as last seen, or 0. */
int kafka_partitions(const struct kafka *k, size_t topic);
