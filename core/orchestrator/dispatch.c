#include "orchestrator/dispatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"

struct work_list {
    struct work *first, *last;
};

/* The records of one key (or of one partition, with `ordering: partition`). It exists while it has
 * an owner: the one record of it that is ready, or running. */
struct lane {
    UT_hash_handle hh;
    struct work_list parked;
    size_t n_parked;
    size_t key_len;
    char key[];
};

struct partition {
    size_t topic;
    int32_t number;
    bool revoked;
    struct lane *lanes;
    struct work *oldest, *newest; /* unfinished, in order of offset */
    size_t active;                /* running or closing */
    size_t crowded;               /* lanes at limits.parked_per_key */
    int64_t next_offset;          /* after the last record offered; -1: none yet */
    int64_t told_offset;          /* last one collected */
    bool paused;                  /* as the consumer was told */
    struct partition *next;
};

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
    size_t active; /* running or closing, stale ones too */
    bool stopped;
    size_t n_queues;
    struct topic_queue queues[];
};

static void list_push(struct work_list *list, struct work *work)
{
    work->next = NULL;
    if (list->last == NULL)
        list->first = work;
    else
        list->last->next = work;
    list->last = work;
}

static struct work *list_pop(struct work_list *list)
{
    struct work *work = list->first;

    if (work == NULL)
        return NULL;
    list->first = work->next;
    if (list->first == NULL)
        list->last = NULL;
    work->next = NULL;
    return work;
}

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

void work_free(struct work *work)
{
    if (work == NULL)
        return;
    buf_unref(work->reply);
    free(work->record);
    free(work);
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
    struct partition *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return false;
    p->topic = topic;
    p->number = partition;
    p->next_offset = p->told_offset = -1;
    pthread_mutex_lock(&d->lock);
    assert(find(d, topic, partition) == NULL);
    p->next = d->queues[topic].partitions;
    d->queues[topic].partitions = p;
    pthread_mutex_unlock(&d->lock);
    return true;
}

/* Locked. */
static void unlink_unfinished(struct partition *p, struct work *work)
{
    if (work->older == NULL)
        p->oldest = work->newer;
    else
        work->older->newer = work->newer;
    if (work->newer == NULL)
        p->newest = work->older;
    else
        work->newer->older = work->older;
    work->older = work->newer = NULL;
}

/* Locked. Lanes are found by key within their partition. NULL when memory is short. */
static struct lane *lane_of(struct partition *p, const char *key, size_t len)
{
    struct lane *lane;

    HASH_FIND(hh, p->lanes, key, len, lane);
    if (lane != NULL)
        return lane;
    lane = calloc(1, sizeof(*lane) + len);
    if (lane == NULL)
        return NULL;
    memcpy(lane->key, key, len);
    lane->key_len = len;
    return lane;
}

static void lane_free(struct partition *p, struct lane *lane)
{
    HASH_DELETE(hh, p->lanes, lane);
    free(lane);
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

    while (!d->stopped && q->running < concurrency && (work = list_pop(&q->ready)) != NULL) {
        q->queued--;
        q->running++;
        d->active++;
        work->partition->active++;
        work->state = WORK_RUNNING;
        list_push(&start, work);
    }
    show(d, q);
    return start.first;
}

/* Locked. Links a new work into its partition, its lane, and the list it belongs to. */
static bool enqueue(struct topic_queue *q, struct partition *p, struct work *work,
                    size_t parked_per_key)
{
    const struct record *r = work->record;
    bool by_partition = q->topic->config->ordering == ORDERING_PARTITION;

    if (by_partition || r->key != NULL) {
        const char *key = by_partition ? "" : r->key;
        size_t len = by_partition ? 0 : r->key_len;
        struct lane *lane = lane_of(p, key, len);

        if (lane == NULL)
            return false;
        work->lane = lane;
        if (lane->hh.tbl == NULL) { /* new: this record owns it */
            HASH_ADD_KEYPTR(hh, p->lanes, lane->key, lane->key_len, lane);
            list_push(&q->ready, work);
        } else {
            list_push(&lane->parked, work);
            if (++lane->n_parked == parked_per_key)
                p->crowded++;
        }
    } else {
        list_push(&q->ready, work);
    }
    q->queued++;
    work->partition = p;
    work->older = p->newest;
    if (p->newest == NULL)
        p->oldest = work;
    else
        p->newest->newer = work;
    p->newest = work;
    p->next_offset = r->offset + 1;
    return true;
}

struct work *dispatch_offer(struct dispatch *d, struct record *record)
{
    struct topic_queue *q = &d->queues[record->topic];
    struct work *work = calloc(1, sizeof(*work)), *start = NULL;
    struct partition *p;
    bool taken = false;

    if (work != NULL) {
        work->record = record;
        work->topic = q->topic;
        pthread_mutex_lock(&d->lock);
        p = find(d, record->topic, record->partition);
        taken = p != NULL && !p->revoked && record->offset >= p->next_offset &&
                enqueue(q, p, work, d->parked_per_key);
        if (taken)
            start = pump(d, q);
        pthread_mutex_unlock(&d->lock);
    }
    if (!taken) {
        metric_inc(d->metrics, METRIC_RECORDS_STALE, q->topic->index);
        if (work == NULL)
            free(record);
        work_free(work);
    }
    return start;
}

struct work *dispatch_ran(struct dispatch *d, struct work *work)
{
    struct topic_queue *q = &d->queues[work->record->topic];
    struct lane *lane;
    struct work *start;

    pthread_mutex_lock(&d->lock);
    assert(work->state == WORK_RUNNING);
    work->state = WORK_CLOSING;
    q->running--;
    lane = TW_TAKE_PTR(work->lane);
    if (lane != NULL) {
        struct work *next = list_pop(&lane->parked);

        if (next == NULL)
            lane_free(work->partition, lane);
        else {
            if (lane->n_parked-- == d->parked_per_key)
                work->partition->crowded--;
            list_push(&q->ready, next);
        }
    }
    start = pump(d, q);
    pthread_mutex_unlock(&d->lock);
    return start;
}

/* Locked. Everything below is finished. -1: nothing was ever offered. */
static int64_t commit_point(const struct partition *p)
{
    if (p->oldest != NULL && p->oldest->record->offset < p->next_offset)
        return p->oldest->record->offset;
    return p->next_offset;
}

/* Locked. Whether a limit is reached; `share` 2 asks for half the limit, so that a partition is not
 * paused and resumed for every record. */
static bool above(const struct dispatch *d, const struct partition *p, size_t share)
{
    size_t span = (size_t)(p->next_offset - commit_point(p));

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
        unlink_unfinished(p, work);
        p->active--;
        resume = p->paused && !above(d, p, 2);
    } else {
        metric_inc(d->metrics, METRIC_RECORDS_STALE, work->topic->index);
    }
    if (--d->active == 0)
        pthread_cond_broadcast(&d->idle);
    pthread_mutex_unlock(&d->lock);
    work_free(work);
    return resume;
}

/* Locked. The records of the list that belong to `p` go to `dropped`; the others stay in order. */
static void drop_of(struct work_list *list, const struct partition *p, struct work_list *dropped)
{
    struct work_list kept = {0};
    struct work *work;

    while ((work = list_pop(list)) != NULL)
        list_push(work->partition == p ? dropped : &kept, work);
    *list = kept;
}

void dispatch_revoke(struct dispatch *d, size_t topic, int32_t partition)
{
    struct topic_queue *q = &d->queues[topic];
    struct work_list ready = {0}, dropped = {0};
    struct lane *lane, *next;
    struct partition *p;
    struct work *work;

    pthread_mutex_lock(&d->lock);
    p = find(d, topic, partition);
    if (p != NULL && !p->revoked) {
        p->revoked = true;
        p->crowded = 0;
        drop_of(&q->ready, p, &ready);
        HASH_ITER(hh, p->lanes, lane, next)
        {
            while ((work = list_pop(&lane->parked)) != NULL)
                list_push(&dropped, work);
            lane->n_parked = 0;
        }
        while ((work = list_pop(&ready)) != NULL) {
            if (work->lane != NULL)
                lane_free(p, work->lane);
            list_push(&dropped, work);
        }
        while ((work = list_pop(&dropped)) != NULL) {
            q->queued--;
            p->next_offset = TW_MIN(p->next_offset, work->record->offset);
            unlink_unfinished(p, work);
            work_free(work);
        }
        show(d, q);
    }
    pthread_mutex_unlock(&d->lock);
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
        while (p->oldest != NULL) { /* still running or closing: stale from now on */
            struct work *work = p->oldest;

            unlink_unfinished(p, work);
            work->partition = NULL;
            if (work->lane != NULL)
                lane_free(p, TW_TAKE_PTR(work->lane));
        }
        assert(p->lanes == NULL);
        free(p);
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

/* Locked. Fills in what is new about `p`; false when nothing is. */
static bool news(struct dispatch *d, struct partition *p, struct partition_order *ret)
{
    int64_t offset = commit_point(p);

    *ret = (struct partition_order){.topic = p->topic, .partition = p->number, .offset = -1};
    if (offset != p->told_offset)
        ret->offset = p->told_offset = offset;
    if (!p->revoked && !p->paused && above(d, p, 1)) {
        ret->pause = p->paused = true;
        metric_inc(d->metrics, METRIC_PARTITION_PAUSES, p->topic);
    } else if (!p->revoked && p->paused && !above(d, p, 2)) {
        ret->resume = true;
        p->paused = false;
    }
    return ret->offset >= 0 || ret->pause || ret->resume;
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
                if (n < TW_ARRAY_LEN(orders) && news(d, p, &orders[n]))
                    n++;
        pthread_mutex_unlock(&d->lock);
        for (size_t i = 0; i < n; i++)
            take(ctx, &orders[i]);
    } while (n == TW_ARRAY_LEN(orders));
}
