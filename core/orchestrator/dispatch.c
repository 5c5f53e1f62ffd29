#include "orchestrator/dispatch.h"

#include <errno.h>
#include <stdlib.h>

#include "base/thread.h"
#include "base/util.h"
#include "orchestrator/partition.h"

/* After standing still a heartbeat is sent at once; its answer, or that there is none, tells whether we are
 * still in the group. So long, and an interval, nothing is started. */
#define SETTLE (500 * NS_PER_MS)

struct topic_queue {
    const struct topic *topic;
    struct work_list ready;
    size_t queued, running;
    struct partition *partitions;
};

struct dispatch {
    pthread_mutex_t lock;
    pthread_cond_t idle; /* monotonic */
    struct metrics *metrics;
    size_t topic_queue, unfinished_span, parked_per_key;
    size_t active; /* running or closing, stale ones too; threads between dispatch_ran and _leave */
    bool stopped;
    bool late; /* something was not run because of `fence`: every partition is to start anew */
    int64_t polled, fence; /* monotonic; ns without a poll after which nothing is run */
    int64_t fenced, settle; /* nothing is started until then; 0: no; ns it lasts */
    size_t n_queues;
    struct topic_queue queues[];
};

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
    d->settle = config->kafka_heartbeat_interval + SETTLE;
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

static struct partition *find(struct dispatch *d, size_t topic, int32_t number)
{
    struct partition *p = d->queues[topic].partitions;

    while (p != NULL && p->number != number)
        p = p->next;
    return p;
}

bool dispatch_assign(struct dispatch *d, size_t topic, int32_t partition)
{
    struct partition *p = partition_new(topic, partition);

    if (p == NULL)
        return false;
    pthread_mutex_lock(&d->lock);
    assert(find(d, topic, partition) == NULL);
    p->next = d->queues[topic].partitions;
    d->queues[topic].partitions = p;
    pthread_mutex_unlock(&d->lock);
    return true;
}

/* Locked. */
static void show(struct dispatch *d, struct topic_queue *q)
{
    metric_set(d->metrics, METRIC_RECORDS_QUEUED, q->topic->index, (int64_t)q->queued);
    metric_set(d->metrics, METRIC_RECORDS_RUNNING, q->topic->index, (int64_t)q->running);
}

/* Locked. What may run now, as a list. */
static struct work *pump(struct dispatch *d, struct topic_queue *q)
{
    size_t concurrency = (size_t)q->topic->config->concurrency;
    struct work_list start = {0};
    struct work *work;

    while (!d->stopped && d->fenced == 0 && q->running < concurrency && (work = work_list_pop(&q->ready)) != NULL) {
        q->queued--;
        q->running++;
        d->active++;
        work->partition->active++;
        work->state = WORK_RUNNING;
        work_list_push(&start, work);
    }
    show(d, q);
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
    p = find(d, record->topic, record->partition);
    if (d->stopped || p == NULL || p->revoked || p->lost_offset >= 0 ||
        record->offset < p->next_offset) {
        metric_inc(d->metrics, METRIC_RECORDS_STALE, q->topic->index);
    } else if (!d->late && work != NULL && work->record != NULL && enqueue(d, q, p, work)) {
        taken = true;
        work->redelivered = record->offset < p->end;
        start = pump(d, q);
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
    start = pump(d, q);
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

void dispatch_end(struct dispatch *d, size_t topic, int32_t partition, int64_t end)
{
    struct partition *p;

    pthread_mutex_lock(&d->lock);
    p = find(d, topic, partition);
    if (p != NULL)
        p->end = end;
    pthread_mutex_unlock(&d->lock);
}

void dispatch_leave(struct dispatch *d)
{
    pthread_mutex_lock(&d->lock);
    leave(d);
    pthread_mutex_unlock(&d->lock);
}

/* Locked. Whether a limit is reached; `share` 2 asks for half the limit, so that a partition is not
 * paused and resumed for every record. */
static bool above(const struct dispatch *d, const struct partition *p, size_t share)
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
        resume = p->paused && !above(d, p, 2);
    } else {
        metric_inc(d->metrics, METRIC_RECORDS_STALE, work->topic->index);
    }
    leave(d);
    pthread_mutex_unlock(&d->lock);
    work_free(work);
    return resume;
}

/* Locked. Takes the records of `p` out of the list; the others stay in order. */
static struct work_list take_of(struct work_list *list, const struct partition *p)
{
    struct work_list kept = {0}, taken = {0};
    struct work *work;

    while ((work = work_list_pop(list)) != NULL)
        work_list_push(work->partition == p ? &taken : &kept, work);
    *list = kept;
    return taken;
}

/* Locked. */
static void drop_queued(struct dispatch *d, struct partition *p)
{
    struct topic_queue *q = &d->queues[p->topic];
    struct work_list ready = take_of(&q->ready, p);

    q->queued -= partition_drop_queued(p, &ready);
    show(d, q);
}

void dispatch_revoke(struct dispatch *d, size_t topic, int32_t partition)
{
    struct partition *p;

    pthread_mutex_lock(&d->lock);
    p = find(d, topic, partition);
    if (p != NULL && !p->revoked) {
        p->revoked = true;
        drop_queued(d, p);
    }
    pthread_mutex_unlock(&d->lock);
}

bool dispatch_polled(struct dispatch *d, int64_t now, struct work **ret_start)
{
    struct work_list start = {0};
    bool gap, over;

    pthread_mutex_lock(&d->lock);
    gap = d->late || (d->polled != 0 && now - d->polled > d->fence);
    d->late = false;
    d->polled = now;
    over = !gap && d->fenced != 0 && now >= d->fenced;
    if (gap || over)
        d->fenced = gap ? now + d->settle : 0;
    for (size_t i = 0; over && i < d->n_queues; i++)
        work_list_append(&start, pump(d, &d->queues[i]));
    for (size_t i = 0; gap && i < d->n_queues; i++)
        for (struct partition *p = d->queues[i].partitions; p != NULL; p = p->next)
            if (!p->revoked) {
                drop_queued(d, p);
                partition_restart(p);
            }
    pthread_mutex_unlock(&d->lock);
    *ret_start = start.first;
    return gap;
}

bool dispatch_idle(struct dispatch *d, size_t topic, int32_t partition)
{
    struct partition *p;
    bool idle;

    pthread_mutex_lock(&d->lock);
    p = find(d, topic, partition);
    idle = p == NULL || p->active == 0;
    pthread_mutex_unlock(&d->lock);
    return idle;
}

void dispatch_unassign(struct dispatch *d, size_t topic, int32_t partition)
{
    struct partition **at, *p;

    dispatch_revoke(d, topic, partition);
    pthread_mutex_lock(&d->lock);
    for (at = &d->queues[topic].partitions; *at != NULL && (*at)->number != partition;)
        at = &(*at)->next;
    p = *at;
    if (p != NULL) {
        *at = p->next;
        partition_free(p);
    }
    pthread_mutex_unlock(&d->lock);
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

void dispatch_collect(struct dispatch *d,
                      void (*take)(void *ctx, const struct partition_order *order), void *ctx)
{
    struct partition_order orders[64];
    size_t n;

    do { /* in portions: what is told once is not news again */
        n = 0;
        pthread_mutex_lock(&d->lock);
        for (size_t i = 0; i < d->n_queues; i++)
            for (struct partition *p = d->queues[i].partitions; p != NULL; p = p->next)
                if (n < TW_ARRAY_LEN(orders) &&
                    partition_news(p, above(d, p, 1), above(d, p, 2), d->metrics, &orders[n]))
                    n++;
        pthread_mutex_unlock(&d->lock);
        for (size_t i = 0; i < n; i++)
            take(ctx, &orders[i]);
    } while (n == TW_ARRAY_LEN(orders));
}
