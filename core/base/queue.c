#include "base/queue.h"

#include <pthread.h>

#include "base/util.h"

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    size_t capacity, head, count;
    size_t idle;  /* waiting readers */
    bool waking;  /* one of them was signalled, and has not looked yet */
    bool closed;
    void *items[];
};

struct queue *queue_new(size_t capacity)
{
    struct queue *q = calloc(1, sizeof(*q) + capacity * sizeof(q->items[0]));

    assert(capacity > 0);
    if (q == NULL)
        return NULL;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->filled, NULL);
    q->capacity = capacity;
    return q;
}

void queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* Locked. Whether to signal: one wake at a time, and who was woken wakes the next if there is more. A
 * burst then costs as many wakes as it needs readers, not one an item. */
static bool wake_one(struct queue *q)
{
    bool wake = q->count > 0 && q->idle > 0 && !q->waking;

    q->waking |= wake;
    return wake;
}

bool queue_push(struct queue *q, void *item)
{
    bool room, wake;

    pthread_mutex_lock(&q->lock);
    room = !q->closed && q->count < q->capacity;
    if (room)
        q->items[(q->head + q->count++) % q->capacity] = item;
    wake = wake_one(q);
    pthread_mutex_unlock(&q->lock);
    if (wake)
        pthread_cond_signal(&q->filled);
    return room;
}

void *queue_pop(struct queue *q)
{
    void *item = NULL;
    bool wake;

    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->closed) {
        q->idle++;
        pthread_cond_wait(&q->filled, &q->lock);
        q->idle--;
        q->waking = false;
    }
    if (q->count > 0) {
        item = q->items[q->head];
        q->head = (q->head + 1) % q->capacity;
        q->count--;
    }
    wake = wake_one(q);
    pthread_mutex_unlock(&q->lock);
    if (wake)
        pthread_cond_signal(&q->filled);
    return item;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_mutex_unlock(&q->lock);
    pthread_cond_broadcast(&q->filled);
}

size_t queue_length(struct queue *q)
{
    size_t count;

    pthread_mutex_lock(&q->lock);
    count = q->count;
    pthread_mutex_unlock(&q->lock);
    return count;
}
