#include "orchestrator/pending.h"

#include <errno.h>
#include <stdlib.h>

#include "base/thread.h"
#include "base/util.h"

struct pending {
    struct heap_node deadline;
    struct pending_view view;
    bool told; /* the broker has told what became of the record */
    UT_hash_handle hh;
};

void pending_init(struct pending_table *t, size_t limit)
{
    *t = (struct pending_table){.limit = limit};
    pthread_mutex_init(&t->lock, NULL);
    cond_init_monotonic(&t->emptied);
}

static void entry_free(struct pending *p)
{
    buf_unref(p->view.identity);
    free(p);
}

void pending_done(struct pending_table *t)
{
    struct pending *p, *next;
    uint32_t at = 0;

    HASH_ITER(hh, t->by_correlation, p, next)
    {
        HASH_DELETE(hh, t->by_correlation, p);
        if (p->told) /* its slot is gone already */
            entry_free(p);
    }
    while ((p = slots_next(&t->slots, &at)) != NULL)
        entry_free(p);
    slots_done(&t->slots);
    heap_done(&t->deadlines);
    pthread_cond_destroy(&t->emptied);
    pthread_mutex_destroy(&t->lock);
}

uint64_t pending_add(struct pending_table *t, const struct pending_view *view, int64_t deadline)
{
    struct pending *p = tw_zalloc(sizeof(*p));
    uint64_t token = 0;

    if (p == NULL)
        return 0;
    p->view = *view;
    p->view.identity = buf_ref(view->identity);
    p->deadline.deadline = deadline;
    pthread_mutex_lock(&t->lock);
    if (t->waiting < t->limit && heap_add(&t->deadlines, &p->deadline)) {
        token = slots_add(&t->slots, p);
        if (token != 0)
            HASH_ADD(hh, t->by_correlation, view.correlation, sizeof(struct uuid), p);
        if (token != 0 && p->hh.tbl != NULL) {
            t->waiting++;
        } else { /* memory is short */
            slots_take(&t->slots, token);
            heap_remove(&t->deadlines, &p->deadline);
            token = 0;
        }
    }
    pthread_mutex_unlock(&t->lock);
    if (token == 0)
        entry_free(p);
    return token;
}

/* Locked. Nobody waits for it any more. */
static void end_wait(struct pending_table *t, struct pending *p)
{
    if (p->view.waiter == NULL)
        return;
    HASH_DELETE(hh, t->by_correlation, p);
    heap_remove(&t->deadlines, &p->deadline);
    p->view.waiter = NULL;
    if (--t->waiting == 0)
        pthread_cond_broadcast(&t->emptied);
}

/* Locked. Frees an entry of which nothing more will be heard. */
static void settle(struct pending *p)
{
    if (p->told && p->view.waiter == NULL)
        entry_free(p);
}

/* Locked. What is told of an entry, which may be freed right after. */
static struct pending_view view_of(const struct pending *p)
{
    struct pending_view view = p->view;

    view.identity = NULL;
    return view;
}

void pending_drop(struct pending_table *t, uint64_t token, struct pending_view *ret)
{
    struct pending *p;

    pthread_mutex_lock(&t->lock);
    p = slots_take(&t->slots, token);
    assert(p != NULL && !p->told);
    *ret = view_of(p);
    end_wait(t, p);
    entry_free(p);
    pthread_mutex_unlock(&t->lock);
}

bool pending_delivered(struct pending_table *t, uint64_t token, bool acked, bool over,
                       struct pending_view *ret)
{
    struct pending *p;

    pthread_mutex_lock(&t->lock);
    p = slots_take(&t->slots, token);
    if (p != NULL) {
        p->told = true;
        p->view.acked = acked;
        *ret = view_of(p);
        if (over || !p->view.reply_wanted)
            end_wait(t, p);
        else
            ret->waiter = NULL;
        settle(p);
    }
    pthread_mutex_unlock(&t->lock);
    return p != NULL;
}

bool pending_answer(struct pending_table *t, const struct uuid *correlation,
                    struct pending_view *ret)
{
    struct pending *p;

    pthread_mutex_lock(&t->lock);
    HASH_FIND(hh, t->by_correlation, correlation, sizeof(*correlation), p);
    if (p != NULL) {
        *ret = view_of(p);
        end_wait(t, p);
        settle(p);
    }
    pthread_mutex_unlock(&t->lock);
    return p != NULL;
}

bool pending_expire(struct pending_table *t, int64_t now, struct pending_view *ret,
                    int64_t *ret_next)
{
    struct heap_node *first;
    bool found;

    pthread_mutex_lock(&t->lock);
    first = heap_first(&t->deadlines);
    found = first != NULL && first->deadline <= now;
    if (found) {
        struct pending *p = TW_CONTAINER_OF(first, struct pending, deadline);

        *ret = view_of(p);
        end_wait(t, p);
        settle(p);
    } else {
        *ret_next = first == NULL ? INT64_MAX : first->deadline;
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}

size_t pending_waiting(struct pending_table *t)
{
    size_t n;

    pthread_mutex_lock(&t->lock);
    n = t->waiting;
    pthread_mutex_unlock(&t->lock);
    return n;
}

bool pending_wait_empty(struct pending_table *t, int64_t deadline)
{
    bool empty;

    pthread_mutex_lock(&t->lock);
    while (t->waiting > 0)
        if (cond_wait_until(&t->emptied, &t->lock, deadline) == -ETIMEDOUT)
            break;
    empty = t->waiting == 0;
    pthread_mutex_unlock(&t->lock);
    return empty;
}

bool pending_awaited(struct pending_table *t, const struct uuid *correlation)
{
    struct pending *p;

    pthread_mutex_lock(&t->lock);
    HASH_FIND(hh, t->by_correlation, correlation, sizeof(*correlation), p);
    pthread_mutex_unlock(&t->lock);
    return p != NULL;
}

size_t pending_list(struct pending_table *t, int64_t begun, struct pending_view **ret)
{
    struct pending_view *list = NULL;
    struct pending *p, *next;
    size_t n = 0;

    pthread_mutex_lock(&t->lock);
    if (t->waiting > 0)
        list = calloc(t->waiting, sizeof(*list));
    HASH_ITER(hh, t->by_correlation, p, next)
    {
        if (list != NULL && p->view.reply_wanted && p->view.begun <= begun) {
            list[n] = p->view;
            buf_ref(list[n++].identity);
        }
    }
    pthread_mutex_unlock(&t->lock);
    *ret = list;
    return n;
}

void pending_list_free(struct pending_view *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_unref(list[i].identity);
    free(list);
}
