/*
 * The worker's half: records in, handlers, further tasks out. dispatch.h has the states.
 *
 * When the handler is done its further tasks are sent first; once they are acknowledged the reply is
 * sent (reply.c), and once that is acknowledged the record is finished.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "orchestrator/internal.h"
#include "orchestrator/wire.h"

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
    metric_inc(o->world.metrics, METRIC_RECORDS_RECEIVED, record->topic);
    work_start(o, dispatch_offer(o->dispatch, record));
}

void work_finish(struct orchestrator *o, struct work *work)
{
    if (dispatch_finished(o->dispatch, work))
        o->world.bus.ops->wake(o->world.bus.ctx);
}

/* Sends `message` for this work. The token is made first: the answer may come before send returns. */
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

static void close_work(struct orchestrator *o, struct work *work)
{
    if (work->publication_failed && work->outcome == OUTCOME_OK) {
        work->outcome = OUTCOME_FAIL;
        metric_inc(o->world.metrics, METRIC_RECORDS_FAILED, work->topic->index);
        if (work->reply != NULL)
            reply_replace(o, work, "a further task could not be sent");
    } else if (work->outcome == OUTCOME_OK) {
        metric_inc(o->world.metrics, METRIC_RECORDS_SUCCEEDED, work->topic->index);
    }
    if (work->reply == NULL)
        work_finish(o, work);
    else
        reply_send(o, work);
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
    else
        reply_on_sent(o, work, delivery);
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

void orchestrator_on_ran(struct orchestrator *o, struct work *work,
                         const struct handlers_result *result)
{
    bool failed = false, last;

    work->outcome = result->outcome;
    if (result->outcome == OUTCOME_REJECT)
        metric_inc(o->world.metrics, METRIC_RECORDS_REJECTED, work->topic->index);
    else if (result->outcome != OUTCOME_OK)
        metric_inc(o->world.metrics, METRIC_RECORDS_FAILED, work->topic->index);
    reply_make(o, work, result);

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
    dispatch_leave(o->dispatch);
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
