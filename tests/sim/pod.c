/* One life of a pod after the other: start, crash, stop in order as core/taskwired/pod.c does. */
#include <stdio.h>
#include <string.h>

#include "sim.h"

#define DRAIN (4 * SEC)
#define STOP (9500 * MS)

static int64_t monotonic(void *ctx)
{
    return ((struct pod *)ctx)->s->now;
}

static int64_t wall(void *ctx)
{
    const struct sim *s = ((struct pod *)ctx)->s;

    return s->now + s->wall;
}

static void on_tick(struct sim *s, struct event *e)
{
    struct pod *pod = e->pod;
    int64_t next;

    if (e->n != pod->tick_at)
        return;
    pod->tick_at = INT64_MAX;
    next = orchestrator_tick(pod->o, s->now);
    if (next < pod->tick_at) {
        pod->tick_at = TW_MAX(next, s->now);
        sim_at(s, pod->tick_at + sim_between(s, 0, 5 * MS), on_tick, pod, NULL, pod->tick_at);
    }
}

static void wake_timer(void *ctx, int64_t deadline)
{
    struct pod *pod = ctx;

    if (deadline >= pod->tick_at)
        return;
    pod->tick_at = TW_MAX(deadline, pod->s->now);
    sim_at(pod->s, pod->tick_at + sim_between(pod->s, 0, 5 * MS), on_tick, pod, NULL, pod->tick_at);
}

static void on_store(struct sim *s, struct event *e)
{
    if (!s->shared.away)
        client_up(e->pod);
}

void pod_start(struct pod *pod)
{
    struct sim *s = pod->s;
    const char *names[3] = {broker_name(KEYED), broker_name(SERIAL), broker_name(PEER)};

    pod->life++;
    pod->alive = true;
    pod->draining = false;
    pod->frozen_until = 0;
    pod->tick_at = INT64_MAX;
    pod->client = (struct client){0};
    memset(pod->last_append, 0, sizeof(pod->last_append));
    memset(pod->last_run, 0, sizeof(pod->last_run));
    snprintf(pod->incarnation, sizeof(pod->incarnation), "%08d-0000-7000-8000-%012u", pod->number,
             pod->life);
    pod->clock = (struct clock){monotonic, wall, pod};
    pod->metrics = metrics_new(names, 3);
    pod->client.inner = memory_store_new(&s->config, &pod->clock, pod->metrics);
    pod->o = orchestrator_new(&(struct orchestrator_world){.config = &s->config,
                                                           .topics = &s->table,
                                                           .metrics = pod->metrics,
                                                           .clock = &pod->clock,
                                                           .bus = broker_bus(pod),
                                                           .store = client_port(pod),
                                                           .handlers = handlers_port(pod),
                                                           .wake_timer = wake_timer,
                                                           .timer_ctx = pod,
                                                           .incarnation = pod->incarnation});
    sim_trace(s, "pod    %d starts, life %u", pod->number, pod->life);
    orchestrator_on_bus(pod->o, s->broker.away_until <= s->now);
    for (int g = 0; g < GROUPS; g++)
        pod->members[g] = group_join(pod, g);
    sim_at(s, s->now + sim_delay(s, MS, 500 * MS), on_store, pod, NULL, 0);
}

int64_t pod_stale(const struct pod *pod)
{
    return metric_get(pod->metrics, METRIC_RECORDS_STALE, KEYED) +
           metric_get(pod->metrics, METRIC_RECORDS_STALE, SERIAL);
}

static void free_all(struct pod *pod)
{
    struct sim *s = pod->s;

    client_crash(pod);
    broker_forget_pod(s, pod);
    pod->alive = false;
    orchestrator_free(TW_TAKE_PTR(pod->o));
    client_free_lost(pod);
    while (pod->held != NULL) {
        struct held *h = pod->held;

        pod->held = h->next;
        work_free(h->work);
        free(h);
    }
    memory_store_free(pod->client.inner);
    metrics_free(pod->metrics);
}

static void on_restart(struct sim *s, struct event *e)
{
    struct pod *pod = e->ptr;

    if (!pod->alive && !s->ending)
        pod_start(pod);
}

void pod_crash(struct pod *pod, const char *why)
{
    struct sim *s = pod->s;

    sim_trace(s, "pod    %d crashes: %s", pod->number, why);
    for (struct held *h = pod->held; h != NULL; h = h->next)
        held_entry(h)->fate.lost += !h->running && h->work->attempts > 0;
    for (int i = 0; i < s->n_jobs; i++)
        if (s->jobs[i]->pod == pod && s->jobs[i]->answers == 0)
            s->jobs[i]->orphaned = true;
    free_all(pod);
    sim_at(s, s->now + sim_between(s, 500 * MS, 8 * SEC), on_restart, NULL, pod, 0);
}

static void finish_stop(struct pod *pod)
{
    struct sim *s = pod->s;

    pod->client.stopping = true;
    client_down(pod);
    sim_trace(s, "pod    %d has stopped", pod->number);
    for (int i = 0; i < s->n_jobs; i++)
        if (s->jobs[i]->pod == pod && s->jobs[i]->taken && s->jobs[i]->answers == 0 &&
            !s->jobs[i]->orphaned)
            sim_fail(s, "job %d was taken, and its pod stopped in order without an answer", i);
    if (s->ending && (pod->held != NULL || orchestrator_pending(pod->o) > 0 ||
                      !orchestrator_wait_worked(pod->o, 0)))
        sim_fail(s, "pod %d stopped at rest, and %zu requests or works are left", pod->number,
                 orchestrator_pending(pod->o));
    free_all(pod);
    if (!s->ending)
        sim_at(s, s->now + sim_between(s, 500 * MS, 4 * SEC), on_restart, NULL, pod, 0);
}

/* 0: waiters; 1: works; 2: groups; 3: producer */
static void on_stop(struct sim *s, struct event *e)
{
    struct pod *pod = e->pod;
    int64_t stage = e->n;
    bool late = s->now >= pod->drain_until;

    if (stage == 0 && (orchestrator_wait_answered(pod->o, 0) || late)) {
        orchestrator_abandon(pod->o);
        orchestrator_stop_work(pod->o);
        stage = 1;
    } else if (stage == 1 && (orchestrator_wait_worked(pod->o, 0) || late)) {
        for (int g = 0; g < GROUPS; g++)
            group_leave(pod->members[g]);
        stage = 2;
    } else if (stage == 2 && ((member_left(pod->members[0]) && member_left(pod->members[1])) ||
                              s->now >= pod->drain_until + STOP - DRAIN)) {
        stage = 3;
    } else if (stage == 3 && (broker_quiet(s, pod) || s->now >= pod->drain_until + STOP - DRAIN)) {
        finish_stop(pod);
        return;
    }
    sim_at(s, s->now + 50 * MS, on_stop, pod, NULL, stage);
}

void pod_drain(struct pod *pod)
{
    struct sim *s = pod->s;

    sim_trace(s, "pod    %d drains", pod->number);
    pod->draining = true;
    pod->drain_until = s->now + DRAIN;
    orchestrator_drain(pod->o);
    sim_at(s, s->now, on_stop, pod, NULL, 0);
}
