/*
 * The consumer of tasks: one group for all pods that work. What a partition held when we got it may
 * have been run before: its end is asked for then, and waited for, up to ENDS_TIMEOUT_MS. If that
 * fails it is told with the first record, as the fetch that brought the record saw it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/util.h"
#include "kafka/internal.h"

/* The index of a Kafka topic that is handled here; it is, or we had not asked for it. */
static size_t topic_index(const struct kafka *k, const char *kafka_topic)
{
    const struct topic *topic = topic_find_kafka(k->topics, kafka_topic);

    assert(topic != NULL);
    return topic->index;
}

enum { ENDS_TIMEOUT_MS = 1000 };

static void all_assigned(struct group *g, const rd_kafka_topic_partition_list_t *assigned)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_copy(assigned);
    rd_kafka_resp_err_t error;

    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = RD_KAFKA_OFFSET_END;
    /* ListOffsets takes the logical offset for a time */
    error = rd_kafka_offsets_for_times(g->rk, list, ENDS_TIMEOUT_MS);
    for (int i = 0; error == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &list->elems[i];

        if (p->err != RD_KAFKA_RESP_ERR_NO_ERROR || p->offset < 0)
            continue;
        orchestrator_on_end(g->k->orchestrator, topic_index(g->k, p->topic), p->partition,
                            p->offset);
        rd_kafka_topic_partition_list_del(g->k->fresh, p->topic, p->partition);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* The first record of a partition whose end is not known: tells it. */
static void tell_end(struct group *g, const rd_kafka_message_t *m, size_t topic)
{
    const char *name = rd_kafka_topic_name(m->rkt);
    int64_t low, high;

    if (!rd_kafka_topic_partition_list_del(g->k->fresh, name, m->partition))
        return;
    if (rd_kafka_get_watermark_offsets(g->rk, name, m->partition, &low, &high) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        high < 0)
        high = m->offset + 1;
    orchestrator_on_end(g->k->orchestrator, topic, m->partition, high);
}

static void record(struct group *g, const rd_kafka_message_t *m)
{
    size_t topic = topic_index(g->k, rd_kafka_topic_name(m->rkt));

    if (!g->fixed && g->k->fresh->cnt > 0)
        tell_end(g, m, topic);
    client_deliver(m, topic, orchestrator_on_task, g->k->orchestrator);
}

static void assigned(struct group *g, const char *topic, int32_t partition)
{
    rd_kafka_topic_partition_list_add(g->k->fresh, topic, partition);
    orchestrator_on_assigned(g->k->orchestrator, topic_index(g->k, topic), partition);
}

static void revoked(struct group *g, const char *topic, int32_t partition)
{
    rd_kafka_topic_partition_list_del(g->k->fresh, topic, partition);
    orchestrator_on_revoked(g->k->orchestrator, topic_index(g->k, topic), partition);
}

static bool idle(struct group *g, const char *topic, int32_t partition)
{
    return orchestrator_partition_idle(g->k->orchestrator, topic_index(g->k, topic), partition);
}

static void unassigned(struct group *g, const char *topic, int32_t partition)
{
    orchestrator_on_unassigned(g->k->orchestrator, topic_index(g->k, topic), partition);
}

static void collect(struct group *g, void (*take)(void *ctx, const struct partition_order *order))
{
    orchestrator_collect(g->k->orchestrator, take, g);
}

static const char *topic_name(struct group *g, const struct partition_order *order)
{
    return g->k->topics->items[order->topic].config->kafka_topic;
}

/* After standing still for long every partition is as new. */
static void told_turn(struct group *g)
{
    rd_kafka_topic_partition_list_t *all;

    if (g->fixed || !orchestrator_on_polled(g->k->orchestrator) ||
        rd_kafka_assignment(g->rk, &all) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    rd_kafka_topic_partition_list_destroy(g->k->fresh);
    g->k->fresh = all;
}

static const struct group_ops ops = {
    .thread = "kafka-tasks",
    .record = record,
    .assigned = assigned,
    .all_assigned = all_assigned,
    .revoked = revoked,
    .idle = idle,
    .unassigned = unassigned,
    .collect = collect,
    .topic_name = topic_name,
    .turn = told_turn,
};

int tasks_open(struct kafka *k, char **ret_why)
{
    bool handled = false;

    for (size_t i = 0; i < k->topics->count; i++)
        handled |= k->topics->items[i].handler != NULL;
    if (!handled || !k->worker) {
        atomic_store(&k->tasks.ready, true);
        return 0;
    }
    k->fresh = rd_kafka_topic_partition_list_new(16);
    return group_open(&k->tasks, k, &ops, k->config->kafka_group_id, k->embedded != NULL, ret_why);
}

void tasks_subscribe(struct kafka *k)
{
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t error;

    if (k->tasks.rk == NULL)
        return;
    list = rd_kafka_topic_partition_list_new(8);
    for (size_t i = 0; i < k->topics->count; i++) {
        const struct topic_config *topic = k->topics->items[i].config;

        if (k->topics->items[i].handler == NULL)
            continue;
        if (!k->tasks.fixed) {
            rd_kafka_topic_partition_list_add(list, topic->kafka_topic, RD_KAFKA_PARTITION_UA);
            continue;
        }
        for (int32_t p = 0; p < atomic_load(&k->wanted[i].partitions); p++) {
            rd_kafka_topic_partition_list_add(list, topic->kafka_topic, p)->offset =
                RD_KAFKA_OFFSET_BEGINNING;
            orchestrator_on_assigned(k->orchestrator, i, p);
        }
    }
    if (!k->tasks.fixed) {
        error = rd_kafka_subscribe(k->tasks.rk, list);
    } else {
        error = rd_kafka_assign(k->tasks.rk, list);
        atomic_store(&k->tasks.partitions, list->cnt);
        atomic_store(&k->tasks.ready, true);
    }
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        log_error("kafka", "cannot subscribe: %s", rd_kafka_err2str(error));
    rd_kafka_topic_partition_list_destroy(list);
}
