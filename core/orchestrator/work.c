/*
 * The worker's half: records in, handlers, replies out. dispatch.h has the states.
 *
 * When the handler is done its further tasks are sent first; once they are acknowledged the reply is
 * sent, and once that is acknowledged the record is finished. A reply that could not be sent for now
 * is sent again; one that never can be is replaced by a small error reply, and after that given up:
 * nothing holds a partition for ever.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "orchestrator/internal.h"
#include "orchestrator/wire.h"

#define RETRY_DELAY (200 * NS_PER_MS)

enum { REPLY_TRIES = 3 }; /* while brokers answer; while they do not, tries do not count */

void work_done(struct orchestrator *o)
{
    struct heap_node *node;
    struct work *work;
    uint32_t at = 0;

    while ((work = slots_next(&o->sends, &at)) != NULL)
        if (--work->sends_left == 0) /* several sends of one work are under way when it published */
            work_free(work);
    slots_done(&o->sends);
    while ((node = heap_first(&o->retries)) != NULL) {
        heap_remove(&o->retries, node);
        work_free(TW_CONTAINER_OF(node, struct work, retry));
    }
    heap_done(&o->retries);
}

void work_start(struct orchestrator *o, struct work *list)
{
    while (list != NULL) {
        struct work *work = list;

        list = work->next;
        work->next = NULL;
        o->world.handlers.ops->start(o->world.handlers.ctx, work);
    }
}

void orchestrator_on_task(struct orchestrator *o, const struct record *record)
{
    struct record *copy = record_copy(record);

    metric_inc(o->world.metrics, METRIC_RECORDS_RECEIVED, record->topic);
    if (copy != NULL)
        work_start(o, dispatch_offer(o->dispatch, copy));
    else /* its offset cannot move, so it comes again after the next assignment */
        log_error("orchestrator", "out of memory: a record of %s [%d] at offset %lld was not taken",
                  o->world.topics->items[record->topic].config->kafka_topic, (int)record->partition,
                  (long long)record->offset);
}

static void finish(struct orchestrator *o, struct work *work)
{
    if (dispatch_finished(o->dispatch, work))
        o->world.bus.ops->wake(o->world.bus.ctx);
}

/* Sends `message` for this work. The token is made first: the answer may come before send returns. */
static enum bus_result send(struct orchestrator *o, struct work *work,
                            const struct bus_message *message)
{
    enum bus_result result;
    uint64_t token;

    pthread_mutex_lock(&o->work_lock);
    token = slots_add(&o->sends, work);
    if (token != 0)
        work->sends_left++;
    pthread_mutex_unlock(&o->work_lock);
    if (token == 0)
        return BUS_FULL;
    result = o->world.bus.ops->send(o->world.bus.ctx, message, token | TOKEN_WORK);
    if (result != BUS_DELIVERED) {
        pthread_mutex_lock(&o->work_lock);
        slots_take(&o->sends, token);
        work->sends_left--;
        pthread_mutex_unlock(&o->work_lock);
    }
    return result;
}

static void reply_failed(struct orchestrator *o, struct work *work, enum bus_result result,
                         const char *reason);

static void send_reply(struct orchestrator *o, struct work *work)
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
    result = send(o, work, &message);
    if (result != BUS_DELIVERED)
        reply_failed(o, work, result, "it was not taken");
}

/* Replaces the reply by one that says only that it could not be sent. False when memory is short. */
static bool shrink_reply(struct work *work, int64_t now)
{
    STRBUF_CLEANUP struct strbuf text = STRBUF_INIT;
    struct buf *reply;

    response_write(&text, work->id, work->topic->config->topic, "the reply could not be sent", now,
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
        metric_inc(o->world.metrics, METRIC_REPLIES_UNDELIVERED, 0);
        finish(o, work);
    }
}

static void reply_failed(struct orchestrator *o, struct work *work, enum bus_result result,
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
        shrink_reply(work, clock_wall(o->world.clock))) {
        send_reply(o, work);
        return;
    }
    metric_inc(o->world.metrics, METRIC_REPLIES_UNDELIVERED, 0);
    log_error("orchestrator", "the reply to task %s of %s [%d] at offset %lld was given up: %s",
              work->id, work->topic->config->kafka_topic, (int)work->record->partition,
              (long long)work->record->offset, reason);
    finish(o, work);
}

static void close_work(struct orchestrator *o, struct work *work)
{
    if (work->publication_failed && work->outcome == OUTCOME_OK) {
        work->outcome = OUTCOME_FAIL;
        metric_inc(o->world.metrics, METRIC_RECORDS_FAILED, work->topic->index);
        if (work->reply != NULL)
            shrink_reply(work, clock_wall(o->world.clock));
    } else if (work->outcome == OUTCOME_OK) {
        metric_inc(o->world.metrics, METRIC_RECORDS_SUCCEEDED, work->topic->index);
    }
    if (work->reply == NULL)
        finish(o, work);
    else
        send_reply(o, work);
}

void work_on_sent(struct orchestrator *o, uint64_t token, const struct bus_delivery *delivery)
{
    struct work *work;
    bool last;

    pthread_mutex_lock(&o->work_lock);
    work = slots_take(&o->sends, token);
    last = work != NULL && --work->sends_left == 0;
    if (work != NULL && !work->replying && delivery->result != BUS_DELIVERED)
        work->publication_failed = true;
    pthread_mutex_unlock(&o->work_lock);
    if (!last)
        return;
    if (!work->replying)
        close_work(o, work);
    else if (delivery->result == BUS_DELIVERED)
        finish(o, work);
    else
        reply_failed(o, work, delivery->result, delivery->reason);
}

int64_t work_tick(struct orchestrator *o, int64_t now)
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
        send_reply(o, TW_CONTAINER_OF(first, struct work, retry));
    }
}

/* Whether the requester wants a reply, at a place it may name. */
static bool reply_wanted(struct orchestrator *o, const struct work *work)
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

static struct buf *make_reply(struct orchestrator *o, const struct work *work,
                              const struct handlers_result *result)
{
    STRBUF_CLEANUP struct strbuf text = STRBUF_INIT, errors = STRBUF_INIT, scratch = STRBUF_INIT;

    if (result->violations != NULL && result->violations->count > 0)
        violations_write(result->violations, &errors);
    response_write(&text, work->id, work->topic->config->topic, error_text(result, &scratch),
                   clock_wall(o->world.clock), errors.len > 0 ? errors.data : NULL, errors.len,
                   result->outcome == OUTCOME_OK ? result->result : NULL, result->result_len);
    return strbuf_to_buf(&text);
}

/* Sends one further task. A work holds one send of its own, so that it cannot end in between. */
static bool publish(struct orchestrator *o, struct work *work, const struct handlers_publication *p)
{
    const struct topic *topic = topic_find(o->world.topics, p->topic, strlen(p->topic));
    const struct bus_header *trace = record_header(work->record, WIRE_TRACEPARENT);
    struct bus_header headers[2] = {{WIRE_CONTENT_TYPE, "application/json", 16}};
    struct bus_message message = {
        .partition = -1,
        .key = p->key,
        .key_len = p->key_len,
        .value = p->task->data,
        .value_len = p->task->len,
        .headers = headers,
        .n_headers = 1,
    };
    JSON_DOC_CLEANUP struct json_doc *doc = NULL;
    struct json_error error;

    if (topic == NULL)
        return false;
    message.topic = topic->config->kafka_topic;
    if (trace != NULL && trace->value != NULL)
        headers[message.n_headers++] =
            (struct bus_header){WIRE_TRACEPARENT, trace->value, trace->len};
    if (p->key == NULL && topic->config->key != NULL &&
        json_doc_parse(p->task, (unsigned)o->world.config->limit_json_depth, &doc, &error) == 0) {
        const char *key;
        size_t len;

        if (topic_record_key(topic, doc, &key, &len)) {
            message.key = key;
            message.key_len = len;
        }
    }
    return send(o, work, &message) == BUS_DELIVERED;
}

void orchestrator_on_ran(struct orchestrator *o, struct work *work,
                         const struct handlers_result *result)
{
    bool failed = false, last;

    work->outcome = result->outcome;
    if (result->outcome == OUTCOME_REJECT)
        metric_inc(o->world.metrics, METRIC_RECORDS_REJECTED, work->topic->index);
    else if (result->outcome != OUTCOME_OK)
        metric_inc(o->world.metrics, METRIC_RECORDS_FAILED, work->topic->index);
    if (reply_wanted(o, work))
        work->reply = make_reply(o, work, result);

    pthread_mutex_lock(&o->work_lock);
    work->sends_left++; /* ours, until all further tasks are on their way */
    pthread_mutex_unlock(&o->work_lock);
    for (size_t i = 0; result->outcome == OUTCOME_OK && !failed && i < result->n_publications; i++)
        failed = !publish(o, work, &result->publications[i]);
    work_start(o, dispatch_ran(o->dispatch, work));
    pthread_mutex_lock(&o->work_lock);
    work->publication_failed |= failed;
    last = --work->sends_left == 0;
    pthread_mutex_unlock(&o->work_lock);
    if (last)
        close_work(o, work);
}

static void refuse(struct orchestrator *o, struct work *work, const char *error,
                   const struct violations *v)
{
    const struct handlers_result result = {
        .outcome = OUTCOME_REJECT, .error = error, .violations = v};

    orchestrator_on_ran(o, work, &result);
}

void orchestrator_execute(struct orchestrator *o, struct work *work)
{
    const struct record *r = work->record;
    const char *topic = work->topic->config->topic;
    int64_t now = clock_wall(o->world.clock);
    struct violations *v = violations_new();
    TASK_CLEANUP struct task *task = NULL;
    struct json_error error;
    int ret = -ENOMEM;

    if (r->value == NULL)
        ret = -ENODATA;
    else if (v != NULL)
        ret = task_parse(r->value, r->value_len, topic, now,
                         (unsigned)o->world.config->limit_json_depth, v, &task, &error);
    if (task != NULL)
        memcpy(work->id, task->id, sizeof(work->id));
    if (ret == 0)
        o->world.handlers.ops->run(o->world.handlers.ctx, work->topic->handler, work->id, topic,
                                   TW_TAKE_PTR(task->doc), now, work);
    else if (ret == -ENODATA)
        refuse(o, work, "the record has no value", NULL);
    else if (ret == -EBADMSG)
        refuse(o, work, error.detail, NULL);
    else if (ret == -EINVAL)
        refuse(o, work, NULL, v);
    else
        refuse(o, work, "out of memory", NULL);
    violations_free(v);
}

void orchestrator_stop_work(struct orchestrator *o)
{
    dispatch_stop(o->dispatch);
}

bool orchestrator_wait_worked(struct orchestrator *o, int64_t deadline)
{
    return dispatch_wait_idle(o->dispatch, deadline);
}

void orchestrator_on_assigned(struct orchestrator *o, size_t topic, int32_t partition)
{
    if (!dispatch_assign(o->dispatch, topic, partition))
        log_error("orchestrator", "out of memory: partition %d of %s is not worked on",
                  (int)partition, o->world.topics->items[topic].config->kafka_topic);
}

void orchestrator_on_revoked(struct orchestrator *o, size_t topic, int32_t partition)
{
    dispatch_revoke(o->dispatch, topic, partition);
}

bool orchestrator_partition_idle(struct orchestrator *o, size_t topic, int32_t partition)
{
    return dispatch_idle(o->dispatch, topic, partition);
}

void orchestrator_on_unassigned(struct orchestrator *o, size_t topic, int32_t partition)
{
    dispatch_unassign(o->dispatch, topic, partition);
}

void orchestrator_collect(struct orchestrator *o,
                          void (*take)(void *ctx, const struct partition_order *order), void *ctx)
{
    dispatch_collect(o->dispatch, take, ctx);
}
