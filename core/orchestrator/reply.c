/*
 * The reply to one task: made, sent, sent again while that may help. One that never can be sent is
 * replaced by a small error reply, and after that given up: nothing holds a partition for ever.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "orchestrator/internal.h"
#include "orchestrator/wire.h"

#define RETRY_DELAY (200 * NS_PER_MS)

enum { REPLY_TRIES = 3 }; /* while brokers answer; while they do not, tries do not count */

/* The record goes to the dead letters, unless it is there already. */
static void give_up(struct orchestrator *o, struct work *work, const char *reason)
{
    metric_inc(o->world.metrics, METRIC_REPLIES_UNDELIVERED, 0);
    log_error("orchestrator", "the reply to task %s of %s [%d] at offset %lld was given up: %s",
              work->id, work->topic->config->kafka_topic, (int)work->record->partition,
              (long long)work->record->offset, reason);
    buf_unref(TW_TAKE_PTR(work->reply));
    letter_want(work, "reply.undeliverable", reason);
}

bool reply_wanted(struct orchestrator *o, const struct work *work)
{
    const struct bus_header *correlation = record_header(work->record, WIRE_CORRELATION_ID);
    const struct bus_header *topic = record_header(work->record, WIRE_REPLY_TOPIC);

    if (correlation == NULL || correlation->value == NULL || topic == NULL || topic->value == NULL)
        return false; /* an event: handled, not answered */
    if (topic_name_valid(topic->value, topic->len) &&
        (strcmp(topic->value, o->reply_topic) == 0 ||
         topic_matches(&o->world.config->kafka_reply_topics, topic->value, topic->len)))
        return true;
    metric_inc(o->world.metrics, METRIC_REPLY_TOPIC_REFUSED, 0);
    log_warn("orchestrator",
             "task %s of %s [%d] at offset %lld is not answered: its reply topic is not in "
             "kafka.reply_topics",
             work->id, work->topic->config->kafka_topic, (int)work->record->partition,
             (long long)work->record->offset);
    return false;
}

void reply_make(struct orchestrator *o, struct work *work, const struct handlers_result *result,
                const char *error)
{
    STRBUF_CLEANUP struct strbuf text = STRBUF_INIT, errors = STRBUF_INIT;

    if (!reply_wanted(o, work))
        return;
    if (result->violations != NULL && result->violations->count > 0)
        violations_write(result->violations, &errors);
    response_write(&text, work->id, work->topic->config->topic, error, clock_wall(o->world.clock),
                   errors.len > 0 ? errors.data : NULL, errors.len,
                   error == NULL ? result->result : NULL, result->result_len);
    work->reply = strbuf_to_buf(&text);
    if (work->reply == NULL)
        give_up(o, work, "out of memory");
}

static void failed(struct orchestrator *o, struct work *work, enum bus_result result,
                   const char *reason);

/* Where the requester pins it; else where the requesting pod listens now, if it is one of ours. */
static int32_t place(struct orchestrator *o, const struct work *work, const char *topic)
{
    int32_t pinned = wire_reply_partition(record_header(work->record, WIRE_REPLY_PARTITION));

    if (pinned < 0 && !work->hint_failed && strcmp(topic, o->reply_topic) == 0)
        pinned = wire_reply_partition(record_header(work->record, WIRE_REPLY_HINT));
    return pinned;
}

void reply_send(struct orchestrator *o, struct work *work)
{
    const struct record *r = work->record;
    const struct bus_header *correlation = record_header(r, WIRE_CORRELATION_ID);
    const struct bus_header *topic = record_header(r, WIRE_REPLY_TOPIC);
    const struct bus_header *trace = record_header(r, WIRE_TRACEPARENT);
    const char *outcome = outcome_name(work->outcome);
    const struct bus_header *owner = record_header(r, WIRE_OWNER);
    struct bus_header headers[8];
    char attempts[12];
    struct bus_message message = {
        .topic = topic->value,
        .partition = place(o, work, topic->value),
        .value = work->reply->data,
        .value_len = work->reply->len,
        .headers = headers,
    };
    enum bus_result result;
    size_t n = 0;

    headers[n++] = (struct bus_header){WIRE_CORRELATION_ID, correlation->value, correlation->len};
    headers[n++] = (struct bus_header){WIRE_CONTENT_TYPE, "application/json", 16};
    headers[n++] = (struct bus_header){WIRE_OUTCOME, outcome, strlen(outcome)};
    headers[n++] = (struct bus_header){WIRE_ATTEMPTS, attempts,
                                       (size_t)sprintf(attempts, "%d", TW_MAX(work->attempts, 1))};
    headers[n++] = (struct bus_header){WIRE_NEST_DISPOSED, "", 1}; /* one 0x00 byte */
    if (work->outcome != OUTCOME_OK)
        headers[n++] = (struct bus_header){WIRE_NEST_ERROR, work->reply->data, work->reply->len};
    if (trace != NULL && trace->value != NULL)
        headers[n++] = (struct bus_header){WIRE_TRACEPARENT, trace->value, trace->len};
    if (owner != NULL && owner->value != NULL)
        headers[n++] = (struct bus_header){WIRE_OWNER, owner->value, owner->len};
    message.n_headers = n;
    work->tries++;
    result = work_send(o, work, &message);
    if (result != BUS_DELIVERED)
        failed(o, work, result, "it was not taken");
}

bool reply_replace(struct orchestrator *o, struct work *work, const char *error)
{
    STRBUF_CLEANUP struct strbuf text = STRBUF_INIT;
    struct buf *reply;

    response_write(&text, work->id, work->topic->config->topic, error, clock_wall(o->world.clock),
                   NULL, 0, NULL, 0);
    reply = strbuf_to_buf(&text);
    if (reply == NULL)
        return false;
    buf_unref(work->reply);
    work->reply = reply;
    work->outcome = OUTCOME_FAIL;
    work->reply_small = true;
    return true;
}

static void failed(struct orchestrator *o, struct work *work, enum bus_result result,
                   const char *reason)
{
    bool for_good = result == BUS_TOO_LARGE || result == BUS_IMPOSSIBLE;

    if (!for_good && !orchestrator_bus_up(o))
        work->tries = 0;
    if (!for_good && (result == BUS_FULL || work->tries < REPLY_TRIES)) {
        if (work_retry_later(o, work, RETRY_DELAY))
            return;
    } else if (result == BUS_IMPOSSIBLE && !work->hint_failed) {
        work->hint_failed = true; /* no such partition: anywhere in the topic is as good */
        reply_send(o, work);
        return;
    } else if (result == BUS_TOO_LARGE && !work->reply_small &&
               reply_replace(o, work, "the reply is too large to be sent")) {
        reply_send(o, work);
        return;
    }
    give_up(o, work, reason);
    work_advance(o, work);
}

void reply_on_sent(struct orchestrator *o, struct work *work, const struct bus_delivery *delivery)
{
    if (delivery->result != BUS_DELIVERED) {
        failed(o, work, delivery->result, delivery->reason);
        return;
    }
    buf_unref(TW_TAKE_PTR(work->reply));
    work_advance(o, work);
}
