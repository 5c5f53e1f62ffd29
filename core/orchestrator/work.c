/*
 * The worker's half: records in, handlers, further tasks out. dispatch.h has the states.
 *
 * When the handler is done its further tasks are sent first; once they are acknowledged the dead
 * letter, if one is due (letter.c); then the reply, if one is wanted (reply.c); then the record is
 * finished.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "orchestrator/internal.h"
#include "orchestrator/wire.h"

void work_free(struct work *work)
{
    if (work == NULL)
        return;
    buf_unref(work->reply);
    buf_unref(work->letter_error);
    free(work->record);
    free(work);
}

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
    while ((work = work_list_pop(&o->suspects)) != NULL)
        work_free(work);
}

void work_start(struct orchestrator *o, struct work *list)
{
    while (list != NULL) {
        struct work *work = list;

        list = work->next;
        work->next = NULL;
        work->o = o;
        redelivery_begin(o, work);
    }
}

void orchestrator_on_task(struct orchestrator *o, const struct record *record)
{
    metric_inc(o->world.metrics, METRIC_RECORDS_RECEIVED, record->topic);
    work_start(o, dispatch_offer(o->dispatch, record));
}

static void finish(struct orchestrator *o, struct work *work)
{
    redelivery_over(o, work);
    if (dispatch_finished(o->dispatch, work))
        o->world.bus.ops->wake(o->world.bus.ctx);
}

/* Sends `message` for this work. The token is made first: the answer may come before send returns.
 */
enum bus_result work_send(struct orchestrator *o, struct work *work,
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

void work_advance(struct orchestrator *o, struct work *work)
{
    work->tries = 0;
    if (work->letter_code != NULL && !work->buried) {
        work->stage = STAGE_BURYING;
        letter_send(o, work);
    } else if (work->reply != NULL) {
        work->stage = STAGE_REPLYING;
        reply_send(o, work);
    } else {
        finish(o, work);
    }
}

/* Everything that the handler wanted sent is acknowledged, or cannot be sent. */
static void close_work(struct orchestrator *o, struct work *work)
{
    static const char error[] = "a further task could not be sent";

    if (work->publication_failed && work->outcome == OUTCOME_OK) {
        work->outcome = OUTCOME_FAIL;
        metric_inc(o->world.metrics, METRIC_RECORDS_FAILED, work->topic->index);
        if (work->reply != NULL)
            reply_replace(o, work, error);
        letter_want(work, "publish.failed", error);
    } else if (work->outcome == OUTCOME_OK) {
        metric_inc(o->world.metrics, METRIC_RECORDS_SUCCEEDED, work->topic->index);
    }
    work_advance(o, work);
}

void work_on_sent(struct orchestrator *o, uint64_t token, const struct bus_delivery *delivery)
{
    struct work *work;
    bool last;

    pthread_mutex_lock(&o->work_lock);
    work = slots_take(&o->sends, token);
    last = work != NULL && --work->sends_left == 0;
    if (work != NULL && work->stage == STAGE_PUBLISHING && delivery->result != BUS_DELIVERED)
        work->publication_failed = true;
    pthread_mutex_unlock(&o->work_lock);
    if (!last)
        return;
    if (work->stage == STAGE_PUBLISHING)
        close_work(o, work);
    else if (work->stage == STAGE_BURYING)
        letter_on_sent(o, work, delivery);
    else
        reply_on_sent(o, work, delivery);
}

bool work_retry_later(struct orchestrator *o, struct work *work, int64_t delay)
{
    int64_t deadline = clock_monotonic(o->world.clock) + delay;
    bool added;

    work->retry.deadline = deadline;
    pthread_mutex_lock(&o->work_lock);
    added = heap_add(&o->retries, &work->retry);
    pthread_mutex_unlock(&o->work_lock);
    if (added) /* and it may be gone by now */
        o->world.wake_timer(o->world.timer_ctx, deadline);
    return added;
}

int64_t work_tick(struct orchestrator *o, int64_t now)
{
    for (;;) {
        struct heap_node *first;
        struct work *work;
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
        work = TW_CONTAINER_OF(first, struct work, retry);
        if (work->stage == STAGE_BURYING)
            letter_send(o, work);
        else
            reply_send(o, work);
    }
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
    return work_send(o, work, &message) == BUS_DELIVERED;
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

/* `code` is why it goes to the dead letters, should it have to. */
static void end_run(struct orchestrator *o, struct work *work, const struct handlers_result *result,
                    const char *code)
{
    STRBUF_CLEANUP struct strbuf scratch = STRBUF_INIT;
    const char *error = error_text(result, &scratch);
    bool failed = false, last;

    work->outcome = result->outcome;
    if (result->outcome == OUTCOME_REJECT)
        metric_inc(o->world.metrics, METRIC_RECORDS_REJECTED, work->topic->index);
    else if (result->outcome != OUTCOME_OK)
        metric_inc(o->world.metrics, METRIC_RECORDS_FAILED, work->topic->index);
    reply_make(o, work, result, error);
    if (result->outcome == OUTCOME_FAIL ||
        (result->outcome == OUTCOME_REJECT && work->reply == NULL))
        letter_want(work, code, error);

    pthread_mutex_lock(&o->work_lock);
    work->stage = STAGE_PUBLISHING;
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
    dispatch_leave(o->dispatch);
}

void orchestrator_on_ran(struct orchestrator *o, struct work *work,
                         const struct handlers_result *result)
{
    redelivery_ran(o, work);
    end_run(o, work, result,
            result->outcome == OUTCOME_REJECT ? "handler.rejected" : "handler.failed");
}

void work_refuse(struct orchestrator *o, struct work *work, enum outcome outcome, const char *code,
                 const char *error, const struct violations *v)
{
    redelivery_ran(o, work);
    end_run(o, work, &(struct handlers_result){.outcome = outcome, .error = error, .violations = v},
            code);
}

void orchestrator_execute(struct orchestrator *o, struct work *work)
{
    const struct record *r = work->record;
    struct handlers_task run = {
        .handler = work->topic->handler,
        .topic = work->topic->config->topic,
        .now = clock_wall(o->world.clock),
        .redelivered = work->redelivered,
    };
    TASK_CLEANUP struct task *task = NULL;
    struct violations *v;
    struct json_error error;
    int ret = -ENOMEM;

    if (!redelivery_may_run(o, work))
        return;
    v = violations_new();
    if (r->value == NULL)
        ret = -ENODATA;
    else if (v != NULL)
        ret = task_parse(r->value, r->value_len, run.topic, run.now,
                         (unsigned)o->world.config->limit_json_depth, v, &task, &error);
    if (task != NULL)
        memcpy(work->id, task->id, sizeof(work->id));
    if (ret == 0) {
        run.id = work->id;
        run.doc = TW_TAKE_PTR(task->doc);
        o->world.handlers.ops->run(o->world.handlers.ctx, &run, work);
    } else if (ret == -ENOMEM) {
        work_refuse(o, work, OUTCOME_FAIL, "handler.failed", "out of memory", NULL);
    } else {
        work_refuse(o, work, OUTCOME_REJECT, "contract.invalid",
                    ret == -ENODATA   ? "the record has no value"
                    : ret == -EBADMSG ? error.detail
                                      : NULL,
                    v);
    }
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

void orchestrator_on_end(struct orchestrator *o, size_t topic, int32_t partition, int64_t end)
{
    dispatch_end(o->dispatch, topic, partition, end);
}

bool orchestrator_on_polled(struct orchestrator *o)
{
    struct work *start;
    bool gap = dispatch_polled(o->dispatch, clock_monotonic(o->world.clock), &start);

    work_start(o, start);

    if (gap)
        log_warn("orchestrator", "this process stood still for too long: its partitions may be "
                                 "others', so what was queued is read again");
    return gap;
}

void orchestrator_on_revoked(struct orchestrator *o, size_t topic, int32_t partition)
{
    dispatch_revoke(o->dispatch, topic, partition);
    redelivery_revoked(o, topic, partition);
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
