/*
 * Records that may have been run before, because they lie below their partition's end as it was
 * when we got it. Before one is run the store is asked:
 *
 *   its result is there      -> replied again, not run
 *   first attempt since      -> counted, run, marked as redelivered
 *   more                     -> a suspect: suspects run one at a time, so that one that ends the
 * process does not drag others along limits.crash_limit       -> dead-lettered (the run before the
 * first redelivery is not known of) the store is away        -> run, marked, not counted
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "orchestrator/internal.h"
#include "orchestrator/wire.h"

static void ask(struct orchestrator *o, struct work *work, int count_below);

static void replay(struct orchestrator *o, struct work *work, const struct store_reply *reply)
{
    const struct reply_text *t = &reply->text;

    metric_inc(o->world.metrics, METRIC_RECORDS_REPLAYED, work->topic->index);
    if (t->outcome == NULL || !outcome_from_name(t->outcome, t->outcome_len, &work->outcome))
        work->outcome = t->nest_error == NULL ? OUTCOME_OK : OUTCOME_FAIL;
    if (t->value != NULL && reply_wanted(o, work))
        work->reply = buf_new(t->value, t->value_len);
    work_start(o, dispatch_ran(o->dispatch, work));
    work_advance(o, work);
    dispatch_leave(o->dispatch);
}

static void bury(struct orchestrator *o, struct work *work, int attempts)
{
    char error[64];

    snprintf(error, sizeof(error), "its handler was begun %d times or more and never ended",
             attempts);
    log_error("orchestrator", "task at %s [%d] offset %lld: %s", work->topic->config->kafka_topic,
              (int)work->record->partition, (long long)work->record->offset, error);
    work_refuse(o, work, OUTCOME_FAIL, "crash.limit", error, NULL);
}

/* True when the place of the one suspect that may run is the work's now; else it waits for it. */
static bool take_place(struct orchestrator *o, struct work *work)
{
    bool mine;

    pthread_mutex_lock(&o->work_lock);
    mine = o->suspect == NULL || o->suspect == work;
    if (mine)
        o->suspect = work;
    else
        work_list_push(&o->suspects, work);
    pthread_mutex_unlock(&o->work_lock);
    return mine;
}

static void give_place(struct orchestrator *o, struct work *work)
{
    struct work *next = NULL;

    pthread_mutex_lock(&o->work_lock);
    if (o->suspect == work)
        o->suspect = next = work_list_pop(&o->suspects);
    pthread_mutex_unlock(&o->work_lock);
    if (next != NULL)
        ask(o, next, (int)o->world.config->limit_crash);
}

static void given_back(void *arg, enum store_attempted what, int attempts,
                       const struct store_reply *reply)
{
    (void)arg, (void)what, (void)attempts, (void)reply;
}

bool redelivery_may_run(struct orchestrator *o, struct work *work)
{
    if (dispatch_may_run(o->dispatch, work, clock_monotonic(o->world.clock)))
        return true;
    redelivery_ran(o, work);
    if (work->attempts > 0) /* counted, and its handler is not begun */
        o->world.store.ops->attempt(
            o->world.store.ctx,
            &(struct store_attempt){.topic = work->topic->config->kafka_topic,
                                    .partition = work->record->partition,
                                    .offset = work->record->offset,
                                    .count_below = -1},
            given_back, NULL);
    dispatch_abandon(o->dispatch, work);
    return false;
}

/* Any thread of the store, or the one that asked. */
static void asked(void *arg, enum store_attempted what, int attempts,
                  const struct store_reply *reply)
{
    struct work *work = arg;
    struct orchestrator *o = work->o;
    int limit = (int)o->world.config->limit_crash;

    if (what == STORE_COUNTED)
        work->attempts = attempts;
    if (!redelivery_may_run(o, work))
        return;
    switch (what) {
    case STORE_ANSWERED:
        give_place(o, work);
        replay(o, work, reply);
        return;
    case STORE_NOT_COUNTED:
        if (attempts >= limit)
            bury(o, work, attempts);
        else if (take_place(o, work))
            ask(o, work, limit);
        return;
    case STORE_COUNTED:
        if (attempts > 1)
            log_warn("orchestrator",
                     "task at %s [%d] offset %lld was begun %d times and never ended: "
                     "it is begun again, alone",
                     work->topic->config->kafka_topic, (int)work->record->partition,
                     (long long)work->record->offset, attempts - 1);
        break;
    case STORE_NO_ANSWER:
        break;
    }
    metric_inc(o->world.metrics, METRIC_RECORDS_REDELIVERED, work->topic->index);
    o->world.handlers.ops->start(o->world.handlers.ctx, work);
}

static void ask(struct orchestrator *o, struct work *work, int count_below)
{
    const struct record *r = work->record;
    const struct bus_header *correlation = record_header(r, WIRE_CORRELATION_ID);
    struct store_attempt a = {.topic = work->topic->config->kafka_topic,
                              .partition = r->partition,
                              .offset = r->offset,
                              .count_below = count_below};
    struct uuid id;

    if (correlation != NULL && correlation->value != NULL &&
        uuid_from_wire(correlation->value, correlation->len, &id))
        a.correlation = &id;
    o->world.store.ops->attempt(o->world.store.ctx, &a, asked, work);
}

void redelivery_begin(struct orchestrator *o, struct work *work)
{
    if (work->redelivered)
        ask(o, work, 1);
    else
        o->world.handlers.ops->start(o->world.handlers.ctx, work);
}

void redelivery_ran(struct orchestrator *o, struct work *work)
{
    if (work->redelivered)
        give_place(o, work);
}

void redelivery_over(struct orchestrator *o, struct work *work)
{
    if (work->attempts > 0 &&
        dispatch_is_ours(o->dispatch, work)) /* else it is counted elsewhere */
        o->world.store.ops->attempt_over(o->world.store.ctx, work->topic->config->kafka_topic,
                                         work->record->partition, work->record->offset);
}

void redelivery_revoked(struct orchestrator *o, size_t topic, int32_t partition)
{
    struct work_list kept = {0}, gone = {0};
    struct work *work;

    pthread_mutex_lock(&o->work_lock);
    while ((work = work_list_pop(&o->suspects)) != NULL)
        work_list_push(work->record->topic == topic && work->record->partition == partition ? &gone
                                                                                            : &kept,
                       work);
    o->suspects = kept;
    pthread_mutex_unlock(&o->work_lock);
    while ((work = work_list_pop(&gone)) != NULL)
        dispatch_abandon(o->dispatch, work);
}
