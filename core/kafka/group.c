#include "kafka/group.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"
#include "kafka/internal.h"

#define REVOKE_WAIT (5 * NS_PER_S)

enum { TURN_EVENTS = 256 };

struct revocation {
    rd_kafka_topic_partition_list_t *partitions;
    int64_t deadline; /* monotonic */
};

int group_open(struct group *g, struct kafka *k, const struct group_ops *ops, const char *group_id,
               bool fixed, char **ret_why)
{
    char session[24], heartbeat[24];
    const char *const settings[][2] = {
        {"group.id", group_id},
        {"partition.assignment.strategy", "cooperative-sticky"},
        {"session.timeout.ms", session},
        {"heartbeat.interval.ms", heartbeat},
        {"enable.auto.commit", fixed ? "false" : "true"},
        {"auto.commit.interval.ms", "500"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "earliest"},
        {"enable.partition.eof", "false"},
        {"queued.max.messages.kbytes", "4096"},
        {"queued.min.messages", "1000"},
        {"fetch.error.backoff.ms", "100"},
        {"fetch.wait.max.ms", k->embedded != NULL ? FETCH_WAIT_MOCK : FETCH_WAIT},
    };

    g->k = k;
    g->ops = ops;
    g->fixed = fixed;
    snprintf(session, sizeof(session), "%" PRId64, k->config->kafka_session_timeout / NS_PER_MS);
    snprintf(heartbeat, sizeof(heartbeat), "%" PRId64,
             k->config->kafka_heartbeat_interval / NS_PER_MS);
    g->rk = client_new(k, RD_KAFKA_CONSUMER, settings, TW_ARRAY_LEN(settings), ret_why);
    if (g->rk == NULL)
        return -EINVAL;
    rd_kafka_poll_set_consumer(g->rk); /* errors come on the same queue */
    g->queue = rd_kafka_queue_get_consumer(g->rk);
    return 0;
}

static void each(struct group *g, const rd_kafka_topic_partition_list_t *list,
                 void (*tell)(struct group *g, const char *topic, int32_t partition))
{
    for (int i = 0; i < list->cnt; i++)
        tell(g, list->elems[i].topic, list->elems[i].partition);
}

static void check(struct group *g, const char *what, rd_kafka_error_t *error)
{
    if (error == NULL)
        return;
    metric_inc(g->k->metrics, METRIC_KAFKA_ERRORS, 0);
    log_warn("kafka", "%s: %s: %s", g->ops->thread, what, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
}

static void unassign(struct group *g, const rd_kafka_topic_partition_list_t *list)
{
    each(g, list, g->ops->unassigned);
    check(g, "unassign", rd_kafka_incremental_unassign(g->rk, list));
    atomic_fetch_sub(&g->partitions, list->cnt);
    log_info("kafka", "%s: %d partitions given up", g->ops->thread, list->cnt);
}

static void take_order(void *ctx, const struct partition_order *order)
{
    struct group *g = ctx;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, g->ops->topic_name(g, order), order->partition)
        ->offset = order->offset;
    if (order->offset >= 0 && !g->fixed)
        rd_kafka_offsets_store(g->rk, list);
    /* First: a pause notes where to go on, and takes the last record handed out for that, not a
     * seek. */
    if (order->pause)
        rd_kafka_pause_partitions(g->rk, list);
    if (order->rewind >= 0) {
        list->elems[0].offset = order->rewind;
        check(g, "seek", rd_kafka_seek_partitions(g->rk, list, 0)); /* 0: does not wait */
    }
    if (order->resume)
        rd_kafka_resume_partitions(g->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
}

static void finish_revocation(struct group *g)
{
    g->ops->collect(g, take_order); /* the last that finished is committed too */
    unassign(g, g->revocation->partitions);
    rd_kafka_topic_partition_list_destroy(g->revocation->partitions);
    free(TW_TAKE_PTR(g->revocation));
}

static void begin_revocation(struct group *g, const rd_kafka_topic_partition_list_t *list)
{
    each(g, list, g->ops->revoked);
    if (!rd_kafka_assignment_lost(g->rk) && list->cnt > 0)
        g->revocation = calloc(1, sizeof(*g->revocation));
    if (g->revocation == NULL) { /* lost: others have them already; there is nothing to wait for */
        unassign(g, list);
        return;
    }
    g->revocation->partitions = rd_kafka_topic_partition_list_copy(list);
    g->revocation->deadline = clock_monotonic(&clock_system) + REVOKE_WAIT;
}

static void rebalance(struct group *g, rd_kafka_event_t *event)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);

    /* One follows the other only after the unassign; a second revocation ends the first. */
    if (g->revocation != NULL)
        finish_revocation(g);
    if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        each(g, list, g->ops->assigned);
        if (g->ops->all_assigned != NULL && list->cnt > 0)
            g->ops->all_assigned(g, list);
        check(g, "assign", rd_kafka_incremental_assign(g->rk, list));
        rd_kafka_resume_partitions(g->rk, list); /* it remembers pauses of earlier assignments */
        atomic_fetch_add(&g->partitions, list->cnt);
        atomic_store(&g->ready, true);
        log_info("kafka", "%s: %d partitions assigned", g->ops->thread, list->cnt);
    } else {
        begin_revocation(g, list);
    }
}

static void revocation_turn(struct group *g)
{
    const rd_kafka_topic_partition_list_t *list;
    bool idle = true;

    if (g->revocation == NULL)
        return;
    list = g->revocation->partitions;
    for (int i = 0; i < list->cnt; i++)
        idle &= g->ops->idle(g, list->elems[i].topic, list->elems[i].partition);
    if (idle || clock_monotonic(&clock_system) >= g->revocation->deadline)
        finish_revocation(g);
}

static void on_event(struct group *g, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *m;

    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_FETCH:
        while ((m = rd_kafka_event_message_next(event)) != NULL) {
            if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR)
                client_error(g->k, g->rk, m->err, rd_kafka_message_errstr(m));
            else
                g->ops->record(g, m);
        }
        break;
    case RD_KAFKA_EVENT_REBALANCE:
        rebalance(g, event);
        break;
    case RD_KAFKA_EVENT_ERROR:
        client_error(g->k, g->rk,
                     rd_kafka_event_error_is_fatal(event) ? RD_KAFKA_RESP_ERR__FATAL
                                                          : rd_kafka_event_error(event),
                     rd_kafka_event_error_string(event));
        break;
    default: /* the result of a commit: what failed is committed again with the next */
        break;
    }
}

static void turn(struct group *g)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(g->queue, POLL_MS);

    if (g->ops->turn != NULL)
        g->ops->turn(g);
    /* A bound on the turn: offsets and pauses must not wait for a lull. */
    for (int n = 0; event != NULL; n++) {
        on_event(g, event);
        rd_kafka_event_destroy(event);
        event = n < TURN_EVENTS ? rd_kafka_queue_poll(g->queue, 0) : NULL;
    }
    g->ops->collect(g, take_order);
    revocation_turn(g);
}

static void *group_main(void *arg)
{
    struct group *g = arg;

    while (!atomic_load(&g->stop))
        turn(g);
    if (!g->fixed) {
        check(g, "close", rd_kafka_consumer_close_queue(g->rk, g->queue));
        while (!rd_kafka_consumer_closed(g->rk) &&
               clock_monotonic(&clock_system) < atomic_load(&g->deadline))
            turn(g);
    }
    if (g->revocation != NULL)
        finish_revocation(g);
    return NULL;
}

int group_start(struct group *g)
{
    int r = thread_start(&g->thread, g->ops->thread, group_main, g);

    g->running = r == 0;
    return r;
}

void group_wake(struct group *g)
{
    if (g->queue != NULL)
        rd_kafka_queue_yield(g->queue);
}

void group_stop(struct group *g, int64_t deadline)
{
    if (!g->running)
        return;
    atomic_store(&g->deadline, deadline);
    atomic_store(&g->stop, true);
    group_wake(g);
    pthread_join(g->thread, NULL);
    g->running = false;
}

void group_close(struct group *g)
{
    if (g->queue != NULL)
        rd_kafka_queue_destroy(g->queue);
    if (g->rk != NULL) /* group_stop closed it, or gave up doing so */
        rd_kafka_destroy_flags(g->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}
