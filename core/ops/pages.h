/* The pages that operators read: health, readiness, topics. Pure: what they show is given. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"
#include "orchestrator/topics.h"

struct ops_facts {
    bool kafka_up, topics_ready, replies_ready, tasks_ready;
    bool shared, store_up; /* the store: other pods see it; it answers */
    int brokers, partitions, reply_partitions;
    size_t pending, pending_limit;
    size_t workers, workers_busy;
    bool draining;
    const char *pod;
};

/* Each appends a JSON page and returns the HTTP status. */
int ops_health(const struct ops_facts *facts, struct strbuf *out);
int ops_ready(const struct ops_facts *facts, bool verbose, struct strbuf *out);

/* `partitions`: as last seen in the cluster, one a topic. */
void ops_topics(const struct topic_table *topics, int (*partitions)(void *ctx, size_t topic),
                void *ctx, struct strbuf *out);
