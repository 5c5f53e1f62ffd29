/* Worker threads and plugin code: what a job does stands in the record's text. */
#include <stdio.h>
#include <string.h>

#include "orchestrator/internal.h"
#include "sim.h"

static void let_go(struct held *h)
{
    struct held **at = &h->pod->held;

    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    free(h);
}

struct entry *held_entry(const struct held *h)
{
    return &h->pod->s->broker.logs[h->topic][h->partition].entries[h->offset];
}

static struct job *job_of(const struct held *h)
{
    int n = held_entry(h)->job;

    return n < 0 ? NULL : h->pod->s->jobs[n];
}

static void end(struct held *h)
{
    struct handlers_publication publications[2];
    const struct job *job = job_of(h);
    struct handlers_result result = {.outcome = OUTCOME_OK, .publications = publications};
    struct pod *pod = h->pod;
    struct sim *s = pod->s;
    char text[VALUE_MAX + 64], child[128];
    int64_t stale = pod_stale(pod);
    struct work *work = h->work;
    bool detached = work->partition == NULL;

    result.result = text;
    result.result_len = (size_t)snprintf(text, sizeof(text), "{\"n\":%d}", job->number);
    if (job->does == DOES_TOO_MUCH) {
        memset(text + 1, ' ', VALUE_MAX);
        text[VALUE_MAX + 1] = '}';
        result.result_len = VALUE_MAX + 2;
    } else if (job->does == DOES_REJECT) {
        result.outcome = OUTCOME_REJECT;
        result.error = "no";
    } else if (job->does == DOES_FAIL) {
        result.outcome = OUTCOME_FAIL;
        result.error = "it broke";
    }
    for (int i = 0; i < job->n_publishes; i++) {
        const struct job *further = s->jobs[job->publishes[i]];

        job_text(further, child);
        publications[result.n_publications++] = (struct handlers_publication){
            .topic = job->does == DOES_PUBLISH_NOWHERE ? "nowhere" : broker_name(further->topic),
            .task = buf_new(child, strlen(child))};
    }
    sim_trace(s, "ran    pod %d job %d", pod->number, job->number);
    held_entry(h)->fate.ended = true;
    sim_cover(s, detached ? COVER_RUNNING_STALE : COVER_RUNNING_CLOSING);
    let_go(h);
    orchestrator_on_ran(pod->o, work, &result);
    for (size_t i = 0; i < result.n_publications; i++)
        buf_unref(publications[i].task);
    if (pod_stale(pod) > stale && !detached)
        sim_cover(s, COVER_CLOSING_STALE);
}

static void on_end(struct sim *s, struct event *e)
{
    (void)s;
    end(e->ptr);
}

static void on_crash(struct sim *s, struct event *e)
{
    (void)s;
    pod_crash(e->pod, "its handler");
}

static void run(void *ctx, const struct handlers_task *task, struct work *work)
{
    struct pod *pod = ctx;
    struct sim *s = pod->s;
    struct held *h = pod->held;
    const struct job *job;

    while (h->work != work)
        h = h->next;
    json_doc_free(task->doc);
    job = job_of(h);
    check_run(s, h, task->redelivered, work->attempts);
    if (s->sabotage == SABOTAGE_TWICE && sim_chance(s, 100))
        check_run(s, h, task->redelivered, work->attempts);
    h->running = true;
    if (job->does == DOES_CRASH)
        sim_at(s, s->now + sim_delay(s, 0, SEC), on_crash, pod, NULL, 0);
    else if (sim_chance(s, 200))
        end(h);
    else
        sim_at(s, s->now + sim_delay(s, MS, sim_chance(s, s->slow) ? 8 * SEC : 800 * MS), on_end,
               pod, h, 0);
}

static void on_execute(struct sim *s, struct event *e)
{
    struct held *h = e->ptr;
    struct pod *pod = h->pod;
    struct work *work = h->work;
    int64_t stale = pod_stale(pod);

    orchestrator_execute(pod->o, work);
    for (h = pod->held; h != NULL && h->work != work; h = h->next)
        ;
    if (pod_stale(pod) > stale)
        sim_cover(s, COVER_RUNNING_ABANDONED);
    if (h != NULL && !h->running)
        let_go(h); /* it was refused, or abandoned */
}

static void start(void *ctx, struct work *work)
{
    struct pod *pod = ctx;
    struct sim *s = pod->s;
    struct held *h = calloc(1, sizeof(*h));
    const struct record *r = work->record;

    *h = (struct held){.work = work,
                       .pod = pod,
                       .next = pod->held,
                       .topic = (int)r->topic,
                       .partition = r->partition,
                       .offset = r->offset,
                       .epoch = member_epoch(pod, (int)r->topic, r->partition)};
    pod->held = h;
    sim_cover(s, COVER_QUEUED_RUNNING);
    sim_at(s, s->now + sim_delay(s, 0, 20 * MS), on_execute, pod, h, 0);
}

static bool validate(void *ctx, const struct handler *handler, const char *id, const char *topic,
                     struct json_doc *doc, int64_t now, struct violations *v)
{
    (void)ctx, (void)handler, (void)id, (void)topic, (void)doc, (void)now, (void)v;
    return true;
}

struct handlers handlers_port(struct pod *pod)
{
    static const struct handlers_ops ops = {validate, run, start};

    return (struct handlers){&ops, pod};
}
