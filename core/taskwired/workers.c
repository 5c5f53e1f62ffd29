#include "taskwired/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/thread.h"
#include "base/util.h"

struct workers {
    struct queue *queue;
    struct metrics *metrics;
    struct orchestrator *orchestrator;
    size_t wanted, running;
    pthread_t *threads;
    pthread_mutex_t lock;
    pthread_cond_t ended; /* monotonic */
    size_t alive;
};

/* One run under way, from run() to ran(). */
struct run {
    struct orchestrator *orchestrator;
    struct work *work;
};

struct workers *workers_new(size_t threads, size_t capacity, struct metrics *metrics)
{
    struct workers *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return NULL;
    pthread_mutex_init(&w->lock, NULL);
    cond_init_monotonic(&w->ended);
    w->metrics = metrics;
    w->wanted = threads;
    w->threads = calloc(threads, sizeof(*w->threads));
    w->queue = queue_new(TW_MAX(capacity, 1));
    if (w->threads == NULL || w->queue == NULL) {
        workers_free(w);
        return NULL;
    }
    return w;
}

void workers_free(struct workers *w)
{
    if (w == NULL)
        return;
    queue_free(w->queue);
    free(w->threads);
    pthread_cond_destroy(&w->ended);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static void *worker_main(void *arg)
{
    struct workers *w = arg;
    struct work *work;

    while ((work = queue_pop(w->queue)) != NULL) {
        metric_add(w->metrics, METRIC_WORKERS_BUSY, 0, 1);
        orchestrator_execute(w->orchestrator, work);
        metric_add(w->metrics, METRIC_WORKERS_BUSY, 0, -1);
    }
    pthread_mutex_lock(&w->lock);
    w->alive--;
    pthread_mutex_unlock(&w->lock);
    pthread_cond_signal(&w->ended);
    return NULL;
}

int workers_start(struct workers *w, struct orchestrator *o)
{
    w->orchestrator = o;
    for (; w->running < w->wanted; w->running++) {
        char name[32]; /* the kernel keeps 15 characters */
        int r;

        snprintf(name, sizeof(name), "worker-%zu", w->running);
        pthread_mutex_lock(&w->lock);
        w->alive++;
        pthread_mutex_unlock(&w->lock);
        r = thread_start(&w->threads[w->running], name, worker_main, w);
        if (r < 0)
            return r;
    }
    return 0;
}

bool workers_stop(struct workers *w, int64_t deadline)
{
    bool all;

    queue_close(w->queue);
    pthread_mutex_lock(&w->lock);
    while (w->alive > 0)
        if (cond_wait_until(&w->ended, &w->lock, deadline) == -ETIMEDOUT)
            break;
    all = w->alive == 0;
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; all && i < w->running; i++)
        pthread_join(w->threads[i], NULL);
    return all;
}

static bool port_validate(void *ctx, const struct handler *handler, const char *id,
                          const char *topic, struct json_doc *doc, int64_t now,
                          struct violations *v)
{
    (void)ctx;
    return handler_validate(handler, id, topic, doc, now, v);
}

/* The worker's thread, or the one that finishes a deferred call. */
static void ran(void *ctx, const struct run_result *r)
{
    struct run *run = ctx;
    struct handlers_publication *publications = calloc(TW_MAX(r->n_publications, 1),
                                                       sizeof(*publications));
    struct handlers_result result = {
        .outcome = publications == NULL ? OUTCOME_FAIL : r->outcome,
        .error = publications == NULL ? "out of memory" : r->error,
        .violations = r->violations,
        .result = r->result,
        .result_len = r->result_len,
        .publications = publications,
        .n_publications = publications == NULL ? 0 : r->n_publications,
    };

    for (size_t i = 0; i < result.n_publications; i++)
        publications[i] = (struct handlers_publication){
            r->publications[i].topic, r->publications[i].key, r->publications[i].key_len,
            r->publications[i].task};
    orchestrator_on_ran(run->orchestrator, run->work, &result);
    free(publications);
    free(run);
}

static void port_run(void *ctx, const struct handlers_task *task, struct work *work)
{
    struct workers *w = ctx;
    const struct run_request request = {.id = task->id,
                                        .topic = task->topic,
                                        .doc = task->doc,
                                        .now = task->now,
                                        .redelivered = task->redelivered};
    struct run *run = malloc(sizeof(*run));

    if (run == NULL) {
        const struct handlers_result failed = {.outcome = OUTCOME_FAIL, .error = "out of memory"};

        json_doc_free(task->doc);
        orchestrator_on_ran(w->orchestrator, work, &failed);
        return;
    }
    *run = (struct run){w->orchestrator, work};
    handler_run(task->handler, &request, ran, run);
}

static void port_start(void *ctx, struct work *work)
{
    struct workers *w = ctx;
    bool pushed = queue_push(w->queue, work);

    assert(pushed); /* there is room for all that the dispatcher may start */
    (void)pushed;
}

struct handlers workers_port(struct workers *w)
{
    static const struct handlers_ops ops = {
        .validate = port_validate, .run = port_run, .start = port_start};

    return (struct handlers){.ops = &ops, .ctx = w};
}
