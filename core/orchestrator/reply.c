/*
 * The reply to one task: made, sent, sent again while that may help. One that never can be sent is
 * replaced by a small error reply, and after that given up: nothing holds a partition for ever.
 */
#include <string.h>

#include "base/log.h"
#include "orchestrator/internal.h"
#include "orchestrator/wire.h"

#define RETRY_DELAY (200 * NS_PER_MS)

enum { REPLY_TRIES = 3 }; /* while brokers answer; while they do not, tries do not count */

static void give_up(struct orchestrator *o, const struct work *work, const char *reason)
{
    metric_inc(o->world.metrics, METRIC_REPLIES_UNDELIVERED, 0);
    log_error("orchestrator", "the reply to task %s of %s [%d] at offset %lld was given up: %s",
              work->id, work->topic->config->kafka_topic, (int)work->record->partition,
              (long long)work->record->offset, reason);
}

/* Whether the requester wants a reply, at a place it may name. */
static bool wanted(struct orchestrator *o, const struct work *work)
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

static const char *error_text(const struct handlers_result *result, struct strbuf *scratch)
{
    if (result->outcome == OUTCOME_OK)
        return NULL;
    if (result->error != NULL)
        return result->error;
    if (result->violations != NULL && result->violations->count > 0)
        violations_summary(result->violations, scratch);
    return scratch->len > 0 && !scratch->failed ? scratch->data : "the handler failed";
}

void reply_make(struct orchestrator *o, struct work *work, const struct handlers_result *result)
{
    STRBUF_CLEANUP struct strbuf text = STRBUF_INIT, errors = STRBUF_INIT, scratch = STRBUF_INIT;

    if (!wanted(o, work))
        return;
    if (result->violations != NULL && result->violations->count > 0)
        violations_write(result->violations, &errors);
    response_write(&text, work->id, work->topic->config->topic, error_text(result, &scratch),
                   clock_wall(o->world.clock), errors.len > 0 ? errors.data : NULL, errors.len,
                   result->outcome == OUTCOME_OK ? result->result : NULL, result->result_len);
    work->reply = strbuf_to_buf(&text);
    if (work->reply == NULL)
        give_up(o, work, "out of memory");
}

static void failed(struct orchestrator *o, struct work *work, enum bus_result result,
                   const char *reason);

void reply_send(struct orchestrator *o, struct work *work)
{
    const struct record *r = work->record;
    const struct bus_header *correlation = record_header(r, WIRE_CORRELATION_ID);
    const struct bus_header *topic = record_header(r, WIRE_REPLY_TOPIC);
    const struct bus_header *trace = record_header(r, WIRE_TRACEPARENT);
    const char *outcome = outcome_name(work->outcome);
    struct bus_header headers[7];
    struct bus_message message = {
        .topic = topic->value,
        .partition = wire_reply_partition(record_header(r, WIRE_REPLY_PARTITION)),
        .value = work->reply->data,
        .value_len = work->reply->len,
        .headers = headers,
    };
    enum bus_result result;
    size_t n = 0;

    headers[n++] = (struct bus_header){WIRE_CORRELATION_ID, correlation->value, correlation->len};
    headers[n++] = (struct bus_header){WIRE_CONTENT_TYPE, "application/json", 16};
    headers[n++] = (struct bus_header){WIRE_OUTCOME, outcome, strlen(outcome)};
    headers[n++] = (struct bus_header){WIRE_ATTEMPTS, "1", 1};
    headers[n++] = (struct bus_header){WIRE_NEST_DISPOSED, "", 1}; /* one 0x00 byte */
    if (work->outcome != OUTCOME_OK)
        headers[n++] = (struct bus_header){WIRE_NEST_ERROR, work->reply->data, work->reply->len};
    if (trace != NULL && trace->value != NULL)
        headers[n++] = (struct bus_header){WIRE_TRACEPARENT, trace->value, trace->len};
    message.n_headers = n;
    work->replying = true;
    work->reply_tries++;
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

static void retry_later(struct orchestrator *o, struct work *work)
{
    bool added;

    work->retry.deadline = clock_monotonic(o->world.clock) + RETRY_DELAY;
    pthread_mutex_lock(&o->work_lock);
    added = heap_add(&o->retries, &work->retry);
    pthread_mutex_unlock(&o->work_lock);
    if (added) {
        o->world.wake_timer(o->world.timer_ctx, work->retry.deadline);
    } else {
        give_up(o, work, "out of memory");
        work_finish(o, work);
    }
}

static void failed(struct orchestrator *o, struct work *work, enum bus_result result,
                   const char *reason)
{
    bool for_good = result == BUS_TOO_LARGE || result == BUS_IMPOSSIBLE;

    if (!for_good && !orchestrator_bus_up(o))
        work->reply_tries = 0;
    if (!for_good && (result == BUS_FULL || work->reply_tries < REPLY_TRIES)) {
        retry_later(o, work);
        return;
    }
    if (result == BUS_TOO_LARGE && !work->reply_small &&
        reply_replace(o, work, "the reply is too large to be sent")) {
        reply_send(o, work);
        return;
    }
    give_up(o, work, reason);
    work_finish(o, work);
}

void reply_on_sent(struct orchestrator *o, struct work *work, const struct bus_delivery *delivery)
{
    if (delivery->result == BUS_DELIVERED)
        work_finish(o, work);
    else
        failed(o, work, delivery->result, delivery->reason);
}

int64_t reply_tick(struct orchestrator *o, int64_t now)
{
    for (;;) {
        struct heap_node *first;
        int64_t next = INT64_MAX;

        pthread_mutex_lock(&o->work_lock);
        first = heap_first(&o->retries);
        if (first != NULL && first->deadline > now) {
            next = first->deadline;
            first = NULL;
        }
        if (first != NULL)
            heap_remove(&o->retries, first);
        pthread_mutex_unlock(&o->work_lock);
        if (first == NULL)
            return next;
        reply_send(o, TW_CONTAINER_OF(first, struct work, retry));
    }
}
