/*
 * The gateway's half: requests in, answers out.
 *
 * A request enters the pending table before it is produced, because a reply can be faster than the
 * call that sends it. What can happen to it, and who answers:
 *
 *   reply arrives            -> store.complete -> result: answered with it     (reply consumer)
 *   it arrived at another pod -> woken, or looked up -> result                 (store's thread)
 *   broker refused it        -> 503, nothing was sent                          (delivery thread)
 *   broker's answer is lost  -> waits on: the reply may come; else 504 unknown (timer)
 *   wait is over             -> 504 timeout, the work goes on; 504 unknown while unacknowledged
 *   shutdown                 -> 503 draining                                   (main)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "orchestrator/internal.h"
#include "orchestrator/wire.h"

enum {
    HEADERS_OWN = 8,
    HEADERS_MAX = HEADERS_OWN + 32,
    IDENTITY_MAX = CALLER_MAX + 1 + TASK_ID_MAX + 1
};

struct orchestrator *orchestrator_new(const struct orchestrator_world *world)
{
    struct orchestrator *o = calloc(1, sizeof(*o));

    if (o == NULL)
        return NULL;
    o->world = *world;
    o->dispatch = dispatch_new(world->config, world->topics, world->metrics);
    o->reply_topic = strdup(world->config->kafka_reply_topic);
    if (o->dispatch == NULL || o->reply_topic == NULL) {
        dispatch_free(o->dispatch);
        free(o->reply_topic);
        free(o);
        return NULL;
    }
    pending_init(&o->pending, (size_t)world->config->limit_pending);
    arrivals_init(&o->arrivals, (size_t)world->config->limit_reply_backlog, world->metrics);
    pthread_mutex_init(&o->work_lock, NULL);
    intake_listen(o);
    return o;
}

void orchestrator_free(struct orchestrator *o)
{
    if (o == NULL)
        return;
    dispatch_free(o->dispatch);
    work_done(o);
    pending_done(&o->pending);
    arrivals_done(&o->arrivals);
    pthread_mutex_destroy(&o->work_lock);
    free(o->reply_topic);
    free(o);
}

bool topic_record_key(const struct topic *topic, struct json_doc *doc, const char **ret,
                      size_t *ret_len)
{
    struct json_object *value;

    return topic->config->key != NULL &&
           json_pointer(json_doc_root(doc), topic->config->key, &value) &&
           json_scalar_text(value, ret, ret_len);
}

int orchestrator_check(struct orchestrator *o, const struct topic *topic, const char *text,
                       size_t len, struct violations *v, struct task **ret,
                       struct json_error *ret_error)
{
    const struct handlers *handlers = &o->world.handlers;
    TASK_CLEANUP struct task *task = NULL;
    int64_t now = clock_wall(o->world.clock);
    int r = task_parse(text, len, topic->config->topic, now,
                       (unsigned)o->world.config->limit_json_depth, v, &task, ret_error);

    if ((r == 0 || r == -EINVAL) && task != NULL && topic->handler != NULL &&
        !handlers->ops->validate(handlers->ctx, topic->handler, task->id, topic->config->topic,
                                 task->doc, now, v))
        r = -EINVAL;
    if (r == -EINVAL)
        metric_inc(o->world.metrics, METRIC_TASKS_REFUSED, topic->index);
    if (r == 0)
        *ret = TW_TAKE_PTR(task);
    return r;
}

void orchestrator_lookup(struct orchestrator *o, const char *caller, const char *id,
                         store_looked_up *done, void *arg)
{
    o->world.store.ops->lookup(o->world.store.ctx, caller, id, done, arg);
}

static void answer_error(struct waiter *waiter, enum error_code error)
{
    const struct answer a = {.kind = ANSWER_ERROR, .error = error};

    if (waiter != NULL)
        waiter->answer(waiter, &a);
}

/* Counts and answers a request whose record is certainly not in the log. */
static void answer_unsent(struct orchestrator *o, const struct pending_view *p,
                          enum error_code error)
{
    metric_inc(o->world.metrics, METRIC_TASKS_UNSENT, p->topic->index);
    if (p->reply_wanted)
        o->world.store.ops->forget(o->world.store.ctx, &p->correlation);
    answer_error(p->waiter, error);
}

static enum error_code error_of(enum bus_result result)
{
    switch (result) {
    case BUS_FULL:
        return ERROR_OVERLOADED;
    case BUS_TOO_LARGE:
        return ERROR_TOO_LARGE;
    case BUS_IMPOSSIBLE:
        return ERROR_KAFKA_REFUSED;
    default:
        return ERROR_KAFKA_UNAVAILABLE;
    }
}

/* What our own workers honour: where we listen, and who we are. Returns how many it wrote. */
static size_t own_headers(struct orchestrator *o, char hint[static 12], struct bus_header *out)
{
    int32_t partition = arrivals_hint(&o->arrivals);
    size_t n = 0;

    if (partition >= 0)
        out[n++] =
            (struct bus_header){WIRE_REPLY_HINT, hint, (size_t)sprintf(hint, "%d", (int)partition)};
    if (o->world.incarnation != NULL)
        out[n++] =
            (struct bus_header){WIRE_OWNER, o->world.incarnation, strlen(o->world.incarnation)};
    return n;
}

static enum bus_result send_task(struct orchestrator *o, const struct submission *s,
                                 const struct uuid *correlation, uint64_t token)
{
    char id[UUID_TEXT_LEN + 1], traceparent[WIRE_TRACEPARENT_LEN + 1];
    struct bus_header headers[HEADERS_MAX];
    char hint[12];
    struct bus_message message = {
        .topic = s->topic->config->kafka_topic,
        .partition = -1,
        .key = s->key,
        .key_len = s->key_len,
        .value = s->task->text->data,
        .value_len = s->task->text->len,
        .headers = headers,
    };
    size_t n = 0;

    if (s->key == NULL) {
        const char *key;
        size_t len;

        if (topic_record_key(s->topic, s->task->doc, &key, &len)) {
            message.key = key;
            message.key_len = len;
        }
    }
    if (s->reply_wanted) {
        uuid_format(correlation, id);
        headers[n++] = (struct bus_header){WIRE_CORRELATION_ID, id, UUID_TEXT_LEN};
        headers[n++] =
            (struct bus_header){WIRE_REPLY_TOPIC, o->reply_topic, strlen(o->reply_topic)};
        n += own_headers(o, hint, &headers[n]);
    }
    headers[n++] = (struct bus_header){WIRE_CONTENT_TYPE, "application/json", 16};
    if (s->traceparent == NULL)
        wire_traceparent_new(traceparent);
    headers[n++] =
        (struct bus_header){WIRE_TRACEPARENT, s->traceparent == NULL ? traceparent : s->traceparent,
                            WIRE_TRACEPARENT_LEN};
    if (s->tracestate != NULL)
        headers[n++] = (struct bus_header){WIRE_TRACESTATE, s->tracestate, strlen(s->tracestate)};
    assert(s->n_headers <= HEADERS_MAX - HEADERS_OWN);
    for (size_t i = 0; i < s->n_headers; i++)
        headers[n++] =
            (struct bus_header){s->headers[i].name, s->headers[i].value, s->headers[i].value_len};
    message.n_headers = n;
    return o->world.bus.ops->send(o->world.bus.ctx, &message, token);
}

/* caller, NUL, id */
static struct buf *identity_new(const char *caller, const char *id)
{
    char text[IDENTITY_MAX];
    size_t len = strlen(caller) + 1;

    assert(len <= CALLER_MAX + 1);
    memcpy(text, caller, len);
    memcpy(text + len, id, strlen(id) + 1);
    return buf_new(text, len + strlen(id) + 1);
}

enum error_code orchestrator_submit(struct orchestrator *o, const struct submission *s,
                                    struct waiter *waiter)
{
    struct metrics *metrics = o->world.metrics;
    struct store *store = &o->world.store;
    struct pending_view view = {
        .topic = s->topic, .waiter = waiter, .reply_wanted = s->reply_wanted, .wait = s->wait};
    BUF_CLEANUP struct buf *identity = NULL;
    int64_t deadline = INT64_MAX;
    enum bus_result result;
    uint64_t token;

    if (atomic_load(&o->draining))
        return ERROR_DRAINING;
    if (!orchestrator_bus_up(o))
        return ERROR_KAFKA_UNAVAILABLE;
    uuid_v7(&view.correlation);
    if (s->reply_wanted) {
        int r;

        view.identity = identity = identity_new(s->caller, s->task->id);
        if (identity == NULL)
            return ERROR_OVERLOADED;
        r = store->ops->begin(store->ctx, &(struct store_task){.correlation = &view.correlation,
                                                               .caller = s->caller,
                                                               .id = s->task->id,
                                                               .topic = s->topic->config->topic,
                                                               .wait = s->wait});
        if (r < 0)
            return r == -EEXIST ? ERROR_DUPLICATE : ERROR_OVERLOADED;
        view.begun = clock_monotonic(o->world.clock);
        deadline = view.begun + s->wait;
    }
    token = pending_add(&o->pending, &view, deadline);
    if (token == 0) {
        metric_inc(metrics, METRIC_LIMIT_PENDING, 0);
        if (s->reply_wanted)
            store->ops->forget(store->ctx, &view.correlation);
        return ERROR_OVERLOADED;
    }
    if (s->reply_wanted)
        o->world.wake_timer(o->world.timer_ctx, deadline);
    result = send_task(o, s, &view.correlation, token);
    if (result == BUS_DELIVERED)
        return ERROR_NONE;
    if (result == BUS_FULL)
        metric_inc(metrics, METRIC_LIMIT_PRODUCER, 0);
    /* The wait may have ended meanwhile; then it was answered, and this must not answer again. */
    pending_drop(&o->pending, token, &view);
    answer_unsent(o, &view, error_of(result));
    return ERROR_NONE;
}

void gateway_on_sent(struct orchestrator *o, uint64_t token, const struct bus_delivery *delivery)
{
    struct metrics *metrics = o->world.metrics;
    bool acked = delivery->result == BUS_DELIVERED;
    bool lost = !acked && delivery->result != BUS_UNKNOWN;
    struct pending_view view;

    if (!pending_delivered(&o->pending, token, acked, lost, &view))
        return;
    if (acked) {
        const struct answer a = {
            .kind = ANSWER_SENT, .partition = delivery->partition, .offset = delivery->offset};

        metric_inc(metrics, METRIC_TASKS_ACCEPTED, view.topic->index);
        if (view.waiter != NULL)
            view.waiter->answer(view.waiter, &a);
    } else if (lost) {
        log_warn("orchestrator", "a task for %s was not sent: %s", view.topic->config->topic,
                 delivery->reason);
        answer_unsent(o, &view, error_of(delivery->result));
    } else {
        metric_inc(metrics, METRIC_TASKS_UNKNOWN, view.topic->index);
        answer_error(view.waiter, ERROR_OUTCOME_UNKNOWN);
    }
}

void orchestrator_on_sent(struct orchestrator *o, uint64_t token,
                          const struct bus_delivery *delivery)
{
    if (token & TOKEN_WORK)
        work_on_sent(o, token & ~TOKEN_WORK, delivery);
    else
        gateway_on_sent(o, token, delivery);
}

void orchestrator_on_bus(struct orchestrator *o, bool up)
{
    if (atomic_exchange(&o->bus_up, up) != up)
        metric_set(o->world.metrics, METRIC_KAFKA_UP, 0, up);
}

bool orchestrator_bus_up(const struct orchestrator *o)
{
    return atomic_load(&o->bus_up);
}

size_t orchestrator_pending(struct orchestrator *o)
{
    return pending_waiting(&o->pending);
}

void orchestrator_drain(struct orchestrator *o)
{
    atomic_store(&o->draining, true);
}

bool orchestrator_wait_answered(struct orchestrator *o, int64_t deadline)
{
    return pending_wait_empty(&o->pending, deadline);
}

/* Answers those whose deadline is at or before `now`; returns the next deadline. */
static int64_t expire(struct orchestrator *o, int64_t now, enum error_code error)
{
    struct pending_view view;
    int64_t next;

    while (pending_expire(&o->pending, now, &view, &next)) {
        enum error_code why = error;

        if (error == ERROR_TIMEOUT) {
            metric_inc(o->world.metrics, METRIC_TASKS_TIMED_OUT, view.topic->index);
            if (!view.acked)
                why = ERROR_OUTCOME_UNKNOWN;
        }
        answer_error(view.waiter, why);
    }
    return next;
}

void orchestrator_abandon(struct orchestrator *o)
{
    expire(o, INT64_MAX, ERROR_DRAINING);
}

int64_t orchestrator_tick(struct orchestrator *o, int64_t now)
{
    int64_t next = expire(o, now, ERROR_TIMEOUT);
    int64_t stored = o->world.store.ops->tick(o->world.store.ctx, now);
    int64_t worked = work_tick(o, now);

    next = TW_MIN(next, stored);
    next = TW_MIN(next, worked);
    stored = intake_tick(o, now);
    return TW_MIN(next, stored);
}
