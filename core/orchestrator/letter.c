/*
 * Dead letters: the record as it was, with its cause in headers as Spring Kafka writes them, on the
 * same partition of <topic>-dlt. One that is too large goes without its message, or else without
 * its value: its offset says where that is. One that cannot be written is tried again for ever: the
 * record is not passed over, and nothing is started in its place beyond limits.unfinished_span.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "orchestrator/internal.h"
#include "orchestrator/wire.h"

#define RETRY_DELAY NS_PER_S

enum { OWN = 8, LOG_EVERY = 30, ERROR_MAX = 4096 };

void letter_want(struct work *work, const char *code, const char *error)
{
    if (work->letter_code != NULL)
        return;
    work->letter_code = code;
    work->letter_error = buf_new(error, TW_MIN(strlen(error), ERROR_MAX));
}

static void big_endian(uint64_t value, uint8_t *out, size_t size)
{
    for (size_t i = size; i > 0; i--, value >>= 8)
        out[i - 1] = (uint8_t)value;
}

static bool is_ours(const char *name)
{
    return strncmp(name, "kafka_dlt-", 10) == 0;
}

static void failed(struct orchestrator *o, struct work *work, enum bus_result result,
                   const char *reason)
{
    const struct record *r = work->record;

    metric_inc(o->world.metrics, METRIC_DEAD_LETTERS_FAILED, work->topic->index);
    if (work->tries % LOG_EVERY == 1)
        log_error("orchestrator",
                  "the dead letter of %s [%d] offset %lld cannot be written to %s, "
                  "and the partition is held: %s",
                  work->topic->config->kafka_topic, (int)r->partition, (long long)r->offset,
                  work->topic->config->dead_letter, reason);
    if (result == BUS_TOO_LARGE && work->letter_cut < 2) {
        work->letter_cut++;
        letter_send(o, work);
    } else if (result == BUS_IMPOSSIBLE && !work->letter_anywhere) {
        work->letter_anywhere = true; /* it may have fewer partitions */
        letter_send(o, work);
    } else if (!work_retry_later(o, work, RETRY_DELAY)) {
        log_error("orchestrator", "out of memory: the partition is held until a restart");
    }
}

void letter_send(struct orchestrator *o, struct work *work)
{
    const struct record *r = work->record;
    const struct topic_config *topic = work->topic->config;
    const char *group = o->world.config->kafka_group_id;
    const char *kind = r->log_append_time ? "LogAppendTime" : "CreateTime";
    struct bus_header *headers = calloc(r->n_headers + OWN, sizeof(*headers));
    uint8_t partition[4], offset[8], timestamp[8];
    struct bus_message message = {
        .topic = topic->dead_letter,
        .partition = work->letter_anywhere ? -1 : r->partition,
        .key = r->key,
        .key_len = r->key_len,
        .value = work->letter_cut < 2 ? r->value : NULL,
        .value_len = work->letter_cut < 2 ? r->value_len : 0,
        .headers = headers,
    };
    enum bus_result result = BUS_FULL;
    size_t n = 0;

    work->tries++;
    big_endian((uint32_t)r->partition, partition, sizeof(partition));
    big_endian((uint64_t)r->offset, offset, sizeof(offset));
    big_endian((uint64_t)r->timestamp, timestamp, sizeof(timestamp));
    if (headers != NULL) {
        for (size_t i = 0; i < r->n_headers; i++)
            if (!is_ours(r->headers[i].name))
                headers[n++] = r->headers[i];
        headers[n++] = (struct bus_header){"kafka_dlt-original-topic", topic->kafka_topic,
                                           strlen(topic->kafka_topic)};
        headers[n++] = (struct bus_header){"kafka_dlt-original-partition", partition, 4};
        headers[n++] = (struct bus_header){"kafka_dlt-original-offset", offset, 8};
        headers[n++] = (struct bus_header){"kafka_dlt-original-timestamp", timestamp, 8};
        headers[n++] = (struct bus_header){"kafka_dlt-original-timestamp-type", kind, strlen(kind)};
        headers[n++] =
            (struct bus_header){"kafka_dlt-original-consumer-group", group, strlen(group)};
        headers[n++] = (struct bus_header){"kafka_dlt-exception-fqcn", work->letter_code,
                                           strlen(work->letter_code)};
        if (work->letter_error != NULL && work->letter_cut == 0)
            headers[n++] = (struct bus_header){"kafka_dlt-exception-message",
                                               work->letter_error->data, work->letter_error->len};
        message.n_headers = n;
        result = work_send(o, work, &message);
    }
    free(headers);
    if (result != BUS_DELIVERED)
        failed(o, work, result, "it was not taken");
}

void letter_on_sent(struct orchestrator *o, struct work *work, const struct bus_delivery *delivery)
{
    if (delivery->result != BUS_DELIVERED) {
        failed(o, work, delivery->result, delivery->reason);
        return;
    }
    work->buried = true;
    metric_inc(o->world.metrics, METRIC_DEAD_LETTERS, work->topic->index);
    work_advance(o, work);
}
