/* The dispatcher's side of partitions: got, given up, started anew, collected from. */
#include "base/util.h"
#include "orchestrator/dispatch_private.h"

bool dispatch_assign(struct dispatch *d, size_t topic, int32_t partition)
{
    struct partition *p = partition_new(topic, partition);

    if (p == NULL)
        return false;
    pthread_mutex_lock(&d->lock);
    assert(dispatch_find(d, topic, partition) == NULL);
    p->next = d->queues[topic].partitions;
    d->queues[topic].partitions = p;
    pthread_mutex_unlock(&d->lock);
    return true;
}

void dispatch_end(struct dispatch *d, size_t topic, int32_t partition, int64_t end)
{
    struct partition *p;

    pthread_mutex_lock(&d->lock);
    p = dispatch_find(d, topic, partition);
    if (p != NULL)
        p->end = end;
    pthread_mutex_unlock(&d->lock);
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
    dispatch_show(d, q);
}

void dispatch_revoke(struct dispatch *d, size_t topic, int32_t partition)
{
    struct partition *p;

    pthread_mutex_lock(&d->lock);
    p = dispatch_find(d, topic, partition);
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
        work_list_append(&start, dispatch_pump(d, &d->queues[i]));
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
    p = dispatch_find(d, topic, partition);
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
                    partition_news(p, dispatch_above(d, p, 1), dispatch_above(d, p, 2), d->metrics,
                                   &orders[n]))
                    n++;
        pthread_mutex_unlock(&d->lock);
        for (size_t i = 0; i < n; i++)
            take(ctx, &orders[i]);
    } while (n == TW_ARRAY_LEN(orders));
}
