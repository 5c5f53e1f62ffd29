#include "base/util.h"
#include "http/internal.h"

void latch_init(struct latch *latch)
{
    pthread_mutex_init(&latch->lock, NULL);
    pthread_cond_init(&latch->done, NULL);
    latch->left = 0;
}

void latch_done(struct latch *latch)
{
    pthread_cond_destroy(&latch->done);
    pthread_mutex_destroy(&latch->lock);
}

void latch_wait(struct latch *latch)
{
    pthread_mutex_lock(&latch->lock);
    while (latch->left > 0)
        pthread_cond_wait(&latch->done, &latch->lock);
    pthread_mutex_unlock(&latch->lock);
}

void latch_expect(struct latch *latch)
{
    pthread_mutex_lock(&latch->lock);
    latch->left++;
    pthread_mutex_unlock(&latch->lock);
}

/* The signal is given under the lock: the waiting thread may destroy the latch right after. */
void latch_count_down(struct latch *latch)
{
    pthread_mutex_lock(&latch->lock);
    if (--latch->left == 0)
        pthread_cond_signal(&latch->done);
    pthread_mutex_unlock(&latch->lock);
}

/* Any thread of an adapter; only stores and wakes. */
static void on_answer(struct waiter *waiter, const struct answer *answer)
{
    struct http_waiter *w = TW_CONTAINER_OF(waiter, struct http_waiter, waiter);

    w->answer = *answer;
    buf_ref(w->answer.body);
    latch_count_down(w->latch);
}

void http_waiter_init(struct http_waiter *w, struct latch *latch)
{
    *w = (struct http_waiter){.waiter.answer = on_answer, .latch = latch};
    latch_expect(latch);
}

void http_waiter_cancel(struct http_waiter *w)
{
    latch_count_down(w->latch);
}

void http_waiter_done(struct http_waiter *w)
{
    buf_unref(w->answer.body);
}
