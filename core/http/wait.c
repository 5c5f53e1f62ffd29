#include "base/util.h"
#include "http/internal.h"

void latch_init(struct latch *latch)
{
    atomic_init(&latch->left, 1);
    sem_init(&latch->open, 0, 0);
}

void latch_done(struct latch *latch)
{
    sem_destroy(&latch->open);
}

void latch_expect(struct latch *latch)
{
    atomic_fetch_add(&latch->left, 1);
}

void latch_wait(struct latch *latch)
{
    if (atomic_fetch_sub(&latch->left, 1) == 1)
        return;
    while (sem_wait(&latch->open) != 0) /* a signal */
        ;
}

void latch_count_down(struct latch *latch)
{
    if (atomic_fetch_sub(&latch->left, 1) == 1)
        sem_post(&latch->open);
}

/* Any thread of an adapter; only stores and wakes, or writes without blocking. */
static void on_answer(struct waiter *waiter, const struct answer *answer)
{
    struct http_waiter *w = TW_CONTAINER_OF(waiter, struct http_waiter, waiter);

    w->answer = *answer;
    buf_ref(w->answer.body);
    if (w->express != NULL)
        express_answer(w->express);
    else
        latch_count_down(w->latch);
}

void http_waiter_init(struct http_waiter *w, struct latch *latch, struct express *express)
{
    *w = (struct http_waiter){.waiter.answer = on_answer, .latch = latch, .express = express};
    if (express == NULL)
        latch_expect(latch);
}

void http_waiter_cancel(struct http_waiter *w)
{
    if (w->express == NULL)
        latch_count_down(w->latch);
}

void http_waiter_done(struct http_waiter *w)
{
    buf_unref(w->answer.body);
    w->answer.body = NULL;
}
