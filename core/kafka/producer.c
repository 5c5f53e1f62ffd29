/*
 * The producer: idempotent, acks=all, and one request in flight a connection without lingering, so
 * that a batch is whatever came while the last one was away.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"
#include "kafka/internal.h"

int producer_open(struct kafka *k, char **ret_why)
{
    char timeout[24], queue[24], largest[24];
    const char *const settings[][2] = {
        /* the mock takes 0.4 s to give a producer its id */
        {"enable.idempotence", k->embedded != NULL ? "false" : "true"},
        {"acks", "all"},
        {"linger.ms", "0"},
        {"max.in.flight.requests.per.connection", "1"},
        {"message.timeout.ms", timeout},
        {"queue.buffering.max.kbytes", queue},
        {"message.max.bytes", largest},
    };

    snprintf(timeout, sizeof(timeout), "%" PRId64, k->config->kafka_message_timeout / NS_PER_MS);
    snprintf(queue, sizeof(queue), "%" PRId64, k->config->limit_producer_queue / 1024);
    /* room for key, headers and inserted base fields beside the largest body */
    snprintf(largest, sizeof(largest), "%" PRId64, k->config->limit_body + 65536);
    k->producer = client_new(k, RD_KAFKA_PRODUCER, settings, TW_ARRAY_LEN(settings), ret_why);
    return k->producer == NULL ? -EINVAL : 0;
}

static enum bus_result result_of(rd_kafka_resp_err_t error)
{
    switch (error) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return BUS_DELIVERED;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return BUS_FULL;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        return BUS_TOO_LARGE;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
        return BUS_IMPOSSIBLE;
    default:
        return BUS_NOT_SENT;
    }
}

static enum bus_result kafka_send(void *ctx, const struct bus_message *m, uint64_t token)
{
    struct kafka *k = ctx;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(m->n_headers);
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;

    for (size_t i = 0; error == RD_KAFKA_RESP_ERR_NO_ERROR && i < m->n_headers; i++)
        error = rd_kafka_header_add(headers, m->headers[i].name, -1, m->headers[i].value,
                                    (ssize_t)m->headers[i].len);
    /* librdkafka takes these as pointers to what it copies; they are not changed. */
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        error = rd_kafka_producev(
            k->producer, RD_KAFKA_V_TOPIC(m->topic),
            RD_KAFKA_V_PARTITION(m->partition < 0 ? RD_KAFKA_PARTITION_UA : m->partition),
            RD_KAFKA_V_KEY((void *)(uintptr_t)m->key, m->key_len),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)m->value, m->value_len),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_OPAQUE((void *)(uintptr_t)token), RD_KAFKA_V_END);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_headers_destroy(headers); /* taken only on success */
    return result_of(error);
}

static void kafka_wake(void *ctx)
{
    group_wake(&((struct kafka *)ctx)->tasks);
}

const struct bus_ops kafka_bus_ops = {.send = kafka_send, .wake = kafka_wake};

static void delivered(struct kafka *k, const rd_kafka_message_t *m)
{
    struct bus_delivery d = {
        .result = result_of(m->err),
        .partition = m->partition,
        .offset = m->offset,
        .reason = m->err == RD_KAFKA_RESP_ERR_NO_ERROR ? NULL : rd_kafka_err2str(m->err),
    };

    if (d.result != BUS_DELIVERED &&
        rd_kafka_message_status(m) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
        d.result = BUS_UNKNOWN;
    orchestrator_on_sent(k->orchestrator, (uint64_t)(uintptr_t)m->_private, &d);
}

static void *delivery_main(void *arg)
{
    struct kafka *k = arg;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_main(k->producer);

    while (!atomic_load(&k->delivery_stop)) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, POLL_MS);
        const rd_kafka_message_t *m;

        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
            while ((m = rd_kafka_event_message_next(event)) != NULL)
                delivered(k, m);
        else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
            client_error(k, k->producer,
                         rd_kafka_event_error_is_fatal(event) ? RD_KAFKA_RESP_ERR__FATAL
                                                              : rd_kafka_event_error(event),
                         rd_kafka_event_error_string(event));
        if (event != NULL)
            rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    return NULL;
}

int producer_start(struct kafka *k)
{
    int r = thread_start(&k->delivery_thread, "kafka-delivery", delivery_main, k);

    k->delivery_running = r == 0;
    return r;
}

void producer_stop(struct kafka *k, int64_t deadline)
{
    int64_t left = (deadline - clock_monotonic(&clock_system)) / NS_PER_MS;
    int unsent;

    if (!k->delivery_running)
        return;
    k->delivery_running = false;

    /* The delivery thread empties the queue of acknowledgements meanwhile. */
    rd_kafka_flush(k->producer, (int)TW_MAX(left, 0));
    unsent = rd_kafka_outq_len(k->producer);
    if (unsent > 0)
        log_warn("kafka", "%d records were given up: not acknowledged before the end", unsent);
    rd_kafka_purge(k->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    atomic_store(&k->delivery_stop, true);
    pthread_join(k->delivery_thread, NULL);
}
