/*
 * The consumer of replies when pods share a store: one group for all pods that take requests. Any
 * of them may get any reply; what came is committed once the store has acknowledged it.
 */
#include "base/log.h"
#include "kafka/internal.h"

static void record(struct group *g, const rd_kafka_message_t *m)
{
    client_deliver(m, 0, orchestrator_on_reply, g->k->orchestrator);
}

static void assigned(struct group *g, const char *topic, int32_t partition)
{
    (void)topic;
    orchestrator_on_replies_assigned(g->k->orchestrator, partition);
}

static void revoked(struct group *g, const char *topic, int32_t partition)
{
    (void)topic;
    orchestrator_on_replies_revoked(g->k->orchestrator, partition);
}

static bool idle(struct group *g, const char *topic, int32_t partition)
{
    (void)topic;
    return orchestrator_replies_idle(g->k->orchestrator, partition);
}

static void unassigned(struct group *g, const char *topic, int32_t partition)
{
    (void)topic;
    orchestrator_on_replies_unassigned(g->k->orchestrator, partition);
}

static void collect(struct group *g, void (*take)(void *ctx, const struct partition_order *order))
{
    orchestrator_collect_replies(g->k->orchestrator, take, g);
}

static const char *topic_name(struct group *g, const struct partition_order *order)
{
    (void)order;
    return g->k->config->kafka_reply_topic;
}

static const struct group_ops ops = {
    .thread = "kafka-replies",
    .record = record,
    .assigned = assigned,
    .revoked = revoked,
    .idle = idle,
    .unassigned = unassigned,
    .collect = collect,
    .topic_name = topic_name,
};

int reply_group_open(struct kafka *k, char **ret_why)
{
    /* the group's name is that of its topic: one application has one */
    return group_open(&k->reply_group, k, &ops, k->config->kafka_reply_topic, false, ret_why);
}

void reply_group_subscribe(struct kafka *k)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_resp_err_t error;

    rd_kafka_topic_partition_list_add(list, k->config->kafka_reply_topic, RD_KAFKA_PARTITION_UA);
    error = rd_kafka_subscribe(k->reply_group.rk, list);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        log_error("kafka", "cannot subscribe to %s: %s", k->config->kafka_reply_topic,
                  rd_kafka_err2str(error));
    rd_kafka_topic_partition_list_destroy(list);
}
