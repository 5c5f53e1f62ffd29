/*
 * The consumer of tasks: one group for all pods, cooperative-sticky. Everything that touches it runs on
 * the kafka-tasks thread, in this order every turn:
 *
 *   events      records -> orchestrator; assign; revoke begins a revocation
 *   collect     what the orchestrator wants stored, paused, resumed
 *   revocation  once nothing runs in its partitions, or 5 s after it began: unassign, which commits
 *
 * With the embedded broker there is no group (its first join takes 3 s): all partitions are assigned.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"
#include "kafka/internal.h"

#define REVOKE_WAIT (5 * NS_PER_S)

struct revocation {
    rd_kafka_topic_partition_list_t *partitions;
    int64_t deadline; /* monotonic */
};

int tasks_open(struct kafka *k, char **ret_why)
{
    char session[24], heartbeat[24];
    const char *const settings[][2] = {
        {"group.id", k->config->kafka_group_id},
        {"partition.assignment.strategy", "cooperative-sticky"},
        {"session.timeout.ms", session},
        {"heartbeat.interval.ms", heartbeat},
        {"enable.auto.commit", k->embedded != NULL ? "false" : "true"},
        {"auto.commit.interval.ms", "500"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "earliest"},
        {"enable.partition.eof", "false"},
        {"queued.max.messages.kbytes", "4096"},
        {"queued.min.messages", "1000"},
        {"fetch.error.backoff.ms", "100"},
        {"fetch.wait.max.ms", k->embedded != NULL ? FETCH_WAIT_MOCK : FETCH_WAIT},
    };
    bool handled = false;

    for (size_t i = 0; i < k->topics->count; i++)
        handled |= k->topics->items[i].handler != NULL;
    if (!handled)
        return 0;
    snprintf(session, sizeof(session), "%" PRId64, k->config->kafka_session_timeout / NS_PER_MS);
    snprintf(heartbeat, sizeof(heartbeat), "%" PRId64,
             k->config->kafka_heartbeat_interval / NS_PER_MS);
    k->tasks = client_new(k, RD_KAFKA_CONSUMER, settings, TW_ARRAY_LEN(settings), ret_why);
    if (k->tasks == NULL)
        return -EINVAL;
    rd_kafka_poll_set_consumer(k->tasks); /* errors come on the same queue */
    k->tasks_queue = rd_kafka_queue_get_consumer(k->tasks);
    return 0;
}

/* The index of a Kafka topic that is handled here; it is, or we had not asked for it. */
static size_t topic_index(const struct kafka *k, const char *kafka_topic)
{
    const struct topic *topic = topic_find_kafka(k->topics, kafka_topic);

    assert(topic != NULL);
    return topic->index;
}

static void each(struct kafka *k, const rd_kafka_topic_partition_list_t *list,
                 void (*tell)(struct orchestrator *o, size_t topic, int32_t partition))
{
    for (int i = 0; i < list->cnt; i++)
        tell(k->orchestrator, topic_index(k, list->elems[i].topic), list->elems[i].partition);
}

static void check(struct kafka *k, const char *what, rd_kafka_error_t *error)
{
    if (error == NULL)
        return;
    metric_inc(k->metrics, METRIC_KAFKA_ERRORS, 0);
    log_warn("kafka", "%s: %s", what, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
}

static void unassign(struct kafka *k, const rd_kafka_topic_partition_list_t *list)
{
    each(k, list, orchestrator_on_unassigned);
    check(k, "unassign", rd_kafka_incremental_unassign(k->tasks, list));
    atomic_fetch_sub(&k->partitions, list->cnt);
    log_info("kafka", "%d partitions given up", list->cnt);
}

static void finish_revocation(struct kafka *k)
{
    unassign(k, k->revocation->partitions);
    rd_kafka_topic_partition_list_destroy(k->revocation->partitions);
    free(TW_TAKE_PTR(k->revocation));
}

static void begin_revocation(struct kafka *k, const rd_kafka_topic_partition_list_t *list)
{
    each(k, list, orchestrator_on_revoked);
    if (!rd_kafka_assignment_lost(k->tasks) && list->cnt > 0)
        k->revocation = calloc(1, sizeof(*k->revocation));
    if (k->revocation == NULL) { /* lost: others have them already; there is nothing to wait for */
        unassign(k, list);
        return;
    }
    k->revocation->partitions = rd_kafka_topic_partition_list_copy(list);
    k->revocation->deadline = clock_monotonic(&clock_system) + REVOKE_WAIT;
}

static void rebalance(struct kafka *k, rd_kafka_event_t *event)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);

    /* One follows the other only after the unassign; a second revocation ends the first. */
    if (k->revocation != NULL)
        finish_revocation(k);
    if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        each(k, list, orchestrator_on_assigned);
        check(k, "assign", rd_kafka_incremental_assign(k->tasks, list));
        atomic_fetch_add(&k->partitions, list->cnt);
        atomic_store(&k->tasks_ready, true);
        log_info("kafka", "%d partitions assigned", list->cnt);
    } else {
        begin_revocation(k, list);
    }
}

static void revocation_turn(struct kafka *k)
{
    const rd_kafka_topic_partition_list_t *list;
    bool idle = true;

    if (k->revocation == NULL)
        return;
    list = k->revocation->partitions;
    for (int i = 0; i < list->cnt; i++)
        idle &= orchestrator_partition_idle(k->orchestrator, topic_index(k, list->elems[i].topic),
                                            list->elems[i].partition);
    if (idle || clock_monotonic(&clock_system) >= k->revocation->deadline)
        finish_revocation(k);
}

static void on_event(struct kafka *k, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *m;

    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_FETCH:
        while ((m = rd_kafka_event_message_next(event)) != NULL) {
            if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR)
                client_error(k, k->tasks, m->err, rd_kafka_message_errstr(m));
            else
                client_deliver(m, topic_index(k, rd_kafka_topic_name(m->rkt)),
                               orchestrator_on_task, k->orchestrator);
        }
        break;
    case RD_KAFKA_EVENT_REBALANCE:
        rebalance(k, event);
        break;
    case RD_KAFKA_EVENT_ERROR:
        client_error(k, k->tasks, rd_kafka_event_error(event), rd_kafka_event_error_string(event));
        break;
    default: /* the result of a commit: what failed is committed again with the next */
        break;
    }
}

static void take_order(void *ctx, const struct partition_order *order)
{
    struct kafka *k = ctx;
    const char *topic = k->topics->items[order->topic].config->kafka_topic;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, topic, order->partition)->offset = order->offset;
    if (order->offset >= 0 && k->embedded == NULL)
        rd_kafka_offsets_store(k->tasks, list);
    if (order->rewind >= 0) {
        list->elems[0].offset = order->rewind;
        check(k, "seek", rd_kafka_seek_partitions(k->tasks, list, 0)); /* 0: does not wait */
    }
    if (order->pause)
        rd_kafka_pause_partitions(k->tasks, list);
    if (order->resume)
        rd_kafka_resume_partitions(k->tasks, list);
    rd_kafka_topic_partition_list_destroy(list);
}

static void turn(struct kafka *k)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(k->tasks_queue, POLL_MS);

    /* A bound on the turn: offsets and pauses must not wait for a lull. */
    for (int n = 0; event != NULL; n++) {
        on_event(k, event);
        rd_kafka_event_destroy(event);
        event = n < 256 ? rd_kafka_queue_poll(k->tasks_queue, 0) : NULL;
    }
    orchestrator_collect(k->orchestrator, take_order, k);
    revocation_turn(k);
}

static void *tasks_main(void *arg)
{
    struct kafka *k = arg;

    while (!atomic_load(&k->tasks_stop))
        turn(k);
    if (k->embedded == NULL) {
        check(k, "close", rd_kafka_consumer_close_queue(k->tasks, k->tasks_queue));
        while (!rd_kafka_consumer_closed(k->tasks) &&
               clock_monotonic(&clock_system) < atomic_load(&k->tasks_deadline))
            turn(k);
    }
    if (k->revocation != NULL)
        finish_revocation(k);
    return NULL;
}

int tasks_start(struct kafka *k)
{
    int r = k->tasks == NULL ? 0 : thread_start(&k->tasks_thread, "kafka-tasks", tasks_main, k);

    k->tasks_running = k->tasks != NULL && r == 0;
    if (k->tasks == NULL)
        atomic_store(&k->tasks_ready, true);
    return r;
}

void tasks_subscribe(struct kafka *k)
{
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t error;

    if (k->tasks == NULL)
        return;
    list = rd_kafka_topic_partition_list_new(8);
    for (size_t i = 0; i < k->topics->count; i++) {
        const struct topic_config *topic = k->topics->items[i].config;

        if (k->topics->items[i].handler == NULL)
            continue;
        if (k->embedded == NULL) {
            rd_kafka_topic_partition_list_add(list, topic->kafka_topic, RD_KAFKA_PARTITION_UA);
            continue;
        }
        for (int32_t p = 0; p < atomic_load(&k->topic_partitions[i]); p++) {
            rd_kafka_topic_partition_list_add(list, topic->kafka_topic, p)->offset =
                RD_KAFKA_OFFSET_BEGINNING;
            orchestrator_on_assigned(k->orchestrator, i, p);
        }
    }
    if (k->embedded == NULL) {
        error = rd_kafka_subscribe(k->tasks, list);
    } else {
        error = rd_kafka_assign(k->tasks, list);
        atomic_store(&k->partitions, list->cnt);
        atomic_store(&k->tasks_ready, true);
    }
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        log_error("kafka", "cannot subscribe: %s", rd_kafka_err2str(error));
    rd_kafka_topic_partition_list_destroy(list);
}

void tasks_wake(struct kafka *k)
{
    if (k->tasks_queue != NULL)
        rd_kafka_queue_yield(k->tasks_queue);
}

void tasks_stop(struct kafka *k, int64_t deadline)
{
    if (!k->tasks_running)
        return;
    atomic_store(&k->tasks_deadline, deadline);
    atomic_store(&k->tasks_stop, true);
    tasks_wake(k);
    pthread_join(k->tasks_thread, NULL);
    k->tasks_running = false;
}
