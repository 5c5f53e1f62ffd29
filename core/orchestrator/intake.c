/*
 * Replies in: from the reply topic into the store, and results out of the store to who waits here.
 * arrivals.h has the states of a reply. Pub/Sub of a shared store is only a wake-up: what has
 * waited for 2 s is looked up every 2 s, and all that waits is made known again when the store
 * comes back.
 */
#include <string.h>

#include "base/log.h"
#include "orchestrator/internal.h"
#include "orchestrator/wire.h"

#define LOOK_UP (2 * NS_PER_S)

/* The reply has been told to the store, as the verdict says. */
static void completed(void *arg, enum store_verdict verdict)
{
    struct arrival *a = arg;
    struct orchestrator *o = a->o;

    if (verdict == STORE_REPEATED)
        metric_inc(o->world.metrics, METRIC_REPLIES_REPEATED, 0);
    else if (verdict == STORE_UNKNOWN)
        metric_inc(o->world.metrics, METRIC_REPLIES_FOREIGN, 0);
    else if (verdict == STORE_FAILED)
        metric_inc(o->world.metrics, METRIC_STORE_FAILED, 0);
    if (verdict != STORE_FAILED || o->world.store.ops->again == NULL)
        arrivals_finish(&o->arrivals, a);
    else if (a->answered)
        arrivals_keep(&o->arrivals, a);
    else
        arrivals_hold(&o->arrivals, a);
}

static void complete(struct orchestrator *o, struct arrival *a)
{
    a->answered |= pending_awaited(&o->pending, &a->correlation);
    a->reply.awaited = a->answered;
    o->world.store.ops->complete(o->world.store.ctx, &a->correlation, &a->reply, completed, a);
}

void orchestrator_on_reply(struct orchestrator *o, const struct record *record)
{
    const struct bus_header *correlation = record_header(record, WIRE_CORRELATION_ID);
    struct arrival *a;
    struct uuid id;

    metric_inc(o->world.metrics, METRIC_REPLIES_RECEIVED, 0);
    if (correlation == NULL || correlation->value == NULL ||
        !uuid_from_wire(correlation->value, correlation->len, &id)) {
        metric_inc(o->world.metrics, METRIC_REPLIES_MALFORMED, 0);
        arrivals_skip(&o->arrivals, record);
        return;
    }
    a = arrivals_take(&o->arrivals, record, &id);
    if (a == NULL)
        return;
    a->o = o;
    complete(o, a);
}

static void complete_held(struct orchestrator *o)
{
    struct arrival *a = arrivals_unhold(&o->arrivals), *next;

    for (; a != NULL; a = next) {
        next = a->next;
        complete(o, a);
    }
}

/* Those who have waited since `begun` or longer are made known again, and told what is known. */
static void remind(struct orchestrator *o, int64_t begun)
{
    struct store *store = &o->world.store;
    struct pending_view *list;
    size_t n = pending_list(&o->pending, begun, &list);

    for (size_t i = 0; i < n; i++) {
        const char *caller = list[i].identity->data;

        if (!pending_awaited(&o->pending, &list[i].correlation))
            continue; /* it ended meanwhile, perhaps unsent and forgotten */
        store->ops->again(store->ctx, &(struct store_task){.correlation = &list[i].correlation,
                                                           .caller = caller,
                                                           .id = caller + strlen(caller) + 1,
                                                           .topic = list[i].topic->config->topic,
                                                           .wait = list[i].wait});
    }
    pending_list_free(list, n);
}

static void on_result(void *arg, const struct uuid *correlation, enum outcome outcome,
                      struct buf *body)
{
    struct orchestrator *o = arg;
    const struct answer a = {.kind = ANSWER_REPLY, .outcome = outcome, .body = body};
    struct pending_view view;

    if (!pending_answer(&o->pending, correlation, &view))
        return;
    metric_inc(o->world.metrics, METRIC_TASKS_ANSWERED, view.topic->index);
    view.waiter->answer(view.waiter, &a);
}

static void on_store(void *arg, bool up)
{
    struct orchestrator *o = arg;

    atomic_store(&o->store_up, up);
    metric_set(o->world.metrics, METRIC_STORE_UP, 0, up);
    if (!up)
        return;
    o->world.wake_timer(o->world.timer_ctx, 0); /* intake_tick looks every 2 s from now on */
    remind(o, INT64_MAX);
    complete_held(o);
}

void orchestrator_on_all_replies(struct orchestrator *o, int32_t partition)
{
    arrivals_without_group(&o->arrivals, partition);
}

void orchestrator_on_replies_assigned(struct orchestrator *o, int32_t partition)
{
    if (!arrivals_assign(&o->arrivals, partition))
        log_error("orchestrator", "out of memory: offsets of reply partition %d are not kept",
                  (int)partition);
}

void orchestrator_on_replies_revoked(struct orchestrator *o, int32_t partition)
{
    arrivals_revoke(&o->arrivals, partition);
}

bool orchestrator_replies_idle(struct orchestrator *o, int32_t partition)
{
    return arrivals_idle(&o->arrivals, partition);
}

void orchestrator_on_replies_unassigned(struct orchestrator *o, int32_t partition)
{
    arrivals_unassign(&o->arrivals, partition);
}

void orchestrator_collect_replies(struct orchestrator *o,
                                  void (*take)(void *ctx, const struct partition_order *order),
                                  void *ctx)
{
    arrivals_collect(&o->arrivals, take, ctx);
}

void intake_listen(struct orchestrator *o)
{
    atomic_init(&o->store_up,
                o->world.store.ops->again == NULL); /* away until it says it is there */
    o->world.store.ops->listen(o->world.store.ctx,
                               &(struct store_listener){on_result, on_store, o});
}

int64_t intake_tick(struct orchestrator *o, int64_t now)
{
    if (o->world.store.ops->again == NULL)
        return INT64_MAX;
    if (now >= o->next_look) {
        o->next_look = now + LOOK_UP;
        if (orchestrator_store_up(o)) {
            remind(o, now - LOOK_UP);
            complete_held(o);
        }
    }
    return o->next_look;
}

bool orchestrator_store_up(const struct orchestrator *o)
{
    return atomic_load(&o->store_up);
}
