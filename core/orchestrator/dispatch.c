#include "orchestrator/dispatch_private.h"

#include <errno.h>
#include <stdlib.h>

#include "base/thread.h"
#include "base/util.h"

struct dispatch *dispatch_new(const struct config *config, const struct topic_table *topics,
                              struct metrics *metrics)
{
    struct dispatch *d = calloc(1, sizeof(*d) + topics->count * sizeof(d->queues[0]));

    if (d == NULL)
        return NULL;
    pthread_mutex_init(&d->lock, NULL);
    cond_init_monotonic(&d->idle);
    d->metrics = metrics;
    d->topic_queue = (size_t)config->limit_topic_queue;
    d->unfinished_span = (size_t)config->limit_unfinished_span;
    d->parked_per_key = (size_t)config->limit_parked_per_key;
    d->fence = config->kafka_session_timeout / 2;
    d->settle = config->kafka_heartbeat_interval + DISPATCH_SETTLE;
    d->n_queues = topics->count;
    for (size_t i = 0; i < topics->count; i++)
        d->queues[i].topic = &topics->items[i];
    return d;
}

void dispatch_free(struct dispatch *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->n_queues; i++)
        while (d->queues[i].partitions != NULL) {
            struct partition *p = d->queues[i].partitions;

            dispatch_revoke(d, i, p->number);
            dispatch_unassign(d, i, p->number);
        }
    pthread_cond_destroy(&d->idle);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

struct partition *dispatch_find(struct dispatch *d, size_t topic, int32_t number)
{
    struct partition *p = d->queues[topic].partitions;

    while (p != NULL && p->number != number)
        p = p->next;
    return p;
}

/* Locked. */
void dispatch_show(struct dispatch *d, struct topic_queue *q)
{
    metric_set(d->metrics, METRIC_RECORDS_QUEUED, q->topic->index, (int64_t)q->queued);
    metric_set(d->metrics, METRIC_RECORDS_RUNNING, q->topic->index, (int64_t)q->running);
}

/* Locked. What may run now, as a list. */
struct work *dispatch_pump(struct dispatch *d, struct topic_queue *q)
{
    size_t concurrency = (size_t)q->topic->config->concurrency;
    struct work_list start = {0};
    struct work *work;

    while (!d->stopped && d->fenced == 0 && q->running < concurrency &&
           (work = work_list_pop(&q->ready)) != NULL) {
        q->queued--;
        q->running++;
        d->active++;
        work->partition->active++;
        work->state = WORK_RUNNING;
        work_list_push(&start, work);
    }
    dispatch_show(d, q);
    return start.first;
}

/* Locked. Takes the work into the queue; false when memory is short. */
static bool enqueue(struct dispatch *d, struct topic_queue *q, struct partition *p,
                    struct work *work)
{
    enum partition_taken taken = partition_take(
        p, work, q->topic->config->ordering == ORDERING_PARTITION, d->parked_per_key);

    if (taken == PARTITION_NO_MEMORY)
        return false;
    if (taken == PARTITION_READY)
        work_list_push(&q->ready, work);
    q->queued++;
    return true;
}

struct work *dispatch_offer(struct dispatch *d, const struct record *record)
{
    struct topic_queue *q = &d->queues[record->topic];
    struct work *work = tw_zalloc(sizeof(*work)), *start = NULL;
    bool taken = false;
    struct partition *p;

    if (work != NULL) {
        work->topic = q->topic;
        work->record = record_copy(record);
    }
    pthread_mutex_lock(&d->lock);
    p = dispatch_find(d, record->topic, record->partition);
    if (d->stopped || p == NULL || p->revoked || p->lost_offset >= 0 ||
        record->offset < p->next_offset) {
        metric_inc(d->metrics, METRIC_RECORDS_STALE, q->topic->index);
    } else if (!d->late && work != NULL && work->record != NULL && enqueue(d, q, p, work)) {
        taken = true;
        work->redelivered = record->offset < p->end;
        start = dispatch_pump(d, q);
    } else {
        metric_inc(d->metrics, METRIC_RECORDS_REWOUND, q->topic->index);
        p->lost_offset = record->offset;
    }
    pthread_mutex_unlock(&d->lock);
    if (!taken)
        work_free(work);
    return start;
}

struct work *dispatch_ran(struct dispatch *d, struct work *work)
{
    struct topic_queue *q = &d->queues[work->record->topic];
    struct work *start, *next;

    pthread_mutex_lock(&d->lock);
    assert(work->state == WORK_RUNNING);
    work->state = WORK_CLOSING;
    d->active++;
    q->running--;
    next = partition_leave_lane(work, d->parked_per_key);
    if (next != NULL)
        work_list_push(&q->ready, next);
    start = dispatch_pump(d, q);
    pthread_mutex_unlock(&d->lock);
    return start;
}

/* Locked. Signalled under the lock: the waiting thread may free it all right after. */
static void leave(struct dispatch *d)
{
    if (--d->active == 0)
        pthread_cond_broadcast(&d->idle);
}

bool dispatch_may_run(struct dispatch *d, const struct work *work, int64_t now)
{
    bool may;

    pthread_mutex_lock(&d->lock);
    d->late |= d->polled != 0 && now - d->polled > d->fence;
    may = !d->stopped && !d->late && work->partition != NULL;
    pthread_mutex_unlock(&d->lock);
    return may;
}

bool dispatch_is_ours(struct dispatch *d, const struct work *work)
{
    bool ours;

    pthread_mutex_lock(&d->lock);
    ours = work->partition != NULL;
    pthread_mutex_unlock(&d->lock);
    return ours;
}

void dispatch_abandon(struct dispatch *d, struct work *work)
{
    struct topic_queue *q = &d->queues[work->record->topic];
    struct work *next;

    pthread_mutex_lock(&d->lock);
    assert(work->state == WORK_RUNNING);
    q->running--;
    next = partition_leave_lane(work, d->parked_per_key);
    if (next != NULL) /* only to be dropped: nothing is started until the partition starts anew */
        work_list_push(&q->ready, next);
    if (work->partition != NULL) {
        work->partition->active--;
        partition_give_back(work->partition, work);
    }
    metric_inc(d->metrics, METRIC_RECORDS_STALE, work->topic->index);
    leave(d);
    pthread_mutex_unlock(&d->lock);
    work_free(work);
}

void dispatch_leave(struct dispatch *d)
{
    pthread_mutex_lock(&d->lock);
    leave(d);
    pthread_mutex_unlock(&d->lock);
}

/* Locked. Whether a limit is reached; `share` 2 asks for half the limit, so that a partition is not
 * paused and resumed for every record. */
bool dispatch_above(const struct dispatch *d, const struct partition *p, size_t share)
{
    size_t span = (size_t)(p->next_offset - partition_commit_point(p));

    return d->queues[p->topic].queued * share >= d->topic_queue ||
           span * share >= d->unfinished_span || p->crowded > 0;
}

bool dispatch_finished(struct dispatch *d, struct work *work)
{
    struct partition *p;
    bool resume = false;

    pthread_mutex_lock(&d->lock);
    assert(work->state == WORK_CLOSING);
    p = work->partition;
    if (p != NULL) {
        partition_forget(p, work);
        p->active--;
        resume = p->paused && !dispatch_above(d, p, 2);
    } else {
        metric_inc(d->metrics, METRIC_RECORDS_STALE, work->topic->index);
    }
    leave(d);
    pthread_mutex_unlock(&d->lock);
    work_free(work);
    return resume;
}

void dispatch_stop(struct dispatch *d)
{
    pthread_mutex_lock(&d->lock);
    d->stopped = true;
    pthread_mutex_unlock(&d->lock);
}

bool dispatch_wait_idle(struct dispatch *d, int64_t deadline)
{
    bool idle;

    pthread_mutex_lock(&d->lock);
    while (d->active > 0)
        if (cond_wait_until(&d->idle, &d->lock, deadline) == -ETIMEDOUT)
            break;
    idle = d->active == 0;
    pthread_mutex_unlock(&d->lock);
    return idle;
}
