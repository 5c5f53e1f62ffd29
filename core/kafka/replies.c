/*
 * The consumer of replies: no group, every partition, from where it ends when we come. So a pod sees
 * every reply and drops what is not its own. The offsets are asked for before anything is consumed:
 * a reply that is produced after replies_consume has returned is seen.
 */
#include <errno.h>
#include <string.h>

#include "base/ids.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"
#include "kafka/internal.h"

enum { BATCH = 256, OFFSETS_TIMEOUT_MS = 2000 };

int replies_open(struct kafka *k, char **ret_why)
{
    const char *const settings[][2] = {
        {"enable.auto.commit", "false"},
        {"auto.offset.reset", "earliest"}, /* only when a log was cut: lose no reply */
        {"queued.max.messages.kbytes", "4096"},
        {"queued.min.messages", "1000"},
        {"fetch.error.backoff.ms", "100"},
        {"fetch.wait.max.ms", k->embedded != NULL ? FETCH_WAIT_MOCK : FETCH_WAIT},
    };

    k->replies = client_new(k, RD_KAFKA_CONSUMER, settings, TW_ARRAY_LEN(settings), ret_why);
    if (k->replies == NULL)
        return -EINVAL;
    k->replies_topic = rd_kafka_topic_new(k->replies, k->config->kafka_reply_topic, NULL);
    k->replies_queue = rd_kafka_queue_new(k->replies);
    return k->replies_topic == NULL ? -ENOMEM : 0;
}

bool replies_consume(struct kafka *k, int count)
{
    const char *topic = k->config->kafka_reply_topic;
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t error;

    if (count <= k->replies_partitions)
        return true;
    list = rd_kafka_topic_partition_list_new(count);
    for (int i = k->replies_partitions; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_END;
    /* ListOffsets takes the logical offset for a time: the end of each partition, in one go. */
    error = rd_kafka_offsets_for_times(k->replies, list, OFFSETS_TIMEOUT_MS);
    for (int i = 0; error == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
        error = list->elems[i].err;
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR && list->elems[i].offset < 0)
            error = RD_KAFKA_RESP_ERR__NO_OFFSET;
    }
    for (int i = 0; error == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
        if (rd_kafka_consume_start_queue(k->replies_topic, list->elems[i].partition,
                                         list->elems[i].offset, k->replies_queue) != 0)
            error = rd_kafka_last_error();
        else
            k->replies_partitions++;
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) { /* any will do; pods choose different ones */
        uint32_t random;

        random_bytes(&random, sizeof(random));
        orchestrator_on_all_replies(k->orchestrator, (int32_t)(random % (uint32_t)count));
    }
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        log_warn("kafka", "cannot consume %s yet: %s", topic, rd_kafka_err2str(error));
    return error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void take(struct kafka *k, rd_kafka_message_t *m)
{
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        client_deliver(m, 0, orchestrator_on_reply, k->orchestrator);
    else
        client_error(k, k->replies, m->err, rd_kafka_message_errstr(m));
    rd_kafka_message_destroy(m);
}

static void *replies_main(void *arg)
{
    struct kafka *k = arg;
    rd_kafka_message_t *first, *rest[BATCH];
    rd_kafka_queue_t *main_queue = rd_kafka_queue_get_main(k->replies);

    while (!atomic_load(&k->replies_stop)) {
        rd_kafka_event_t *event;
        ssize_t n = 0;

        /* The batch call waits until the batch is full, so only the first message is waited for. */
        first = rd_kafka_consume_queue(k->replies_queue, POLL_MS);
        if (first != NULL) {
            take(k, first);
            n = rd_kafka_consume_batch_queue(k->replies_queue, 0, rest, BATCH);
        }
        for (ssize_t i = 0; i < n; i++)
            take(k, rest[i]);
        while ((event = rd_kafka_queue_poll(main_queue, 0)) != NULL) {
            if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
                client_error(k, k->replies, rd_kafka_event_error(event),
                             rd_kafka_event_error_string(event));
            rd_kafka_event_destroy(event);
        }
    }
    rd_kafka_queue_destroy(main_queue);
    return NULL;
}

int replies_start(struct kafka *k)
{
    int r = thread_start(&k->replies_thread, "kafka-replies", replies_main, k);

    k->replies_running = r == 0;
    return r;
}

void replies_stop(struct kafka *k)
{
    if (!k->replies_running)
        return;
    k->replies_running = false;
    atomic_store(&k->replies_stop, true);
    rd_kafka_queue_yield(k->replies_queue);
    pthread_join(k->replies_thread, NULL);
    for (int i = 0; i < k->replies_partitions; i++)
        rd_kafka_consume_stop(k->replies_topic, i);
}
