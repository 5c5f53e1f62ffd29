/* One schedule: a world of some size, faults while there is work, then calm until all is settled.
 */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#define SETTLE_WITHIN (240 * SEC)

static void configure(struct sim *s)
{
    static char *reply_topics[] = {(char *)(uintptr_t) "*.reply"};

    s->config = (struct config){
        .kafka_reply_topic = (char *)(uintptr_t)broker_name(REPLIES),
        .kafka_reply_topics = {reply_topics, 1},
        .kafka_group_id = (char *)(uintptr_t) "ours",
        .kafka_session_timeout = SESSION,
        .limit_crash = CRASH_LIMIT,
        .limit_reply_backlog = sim_chance(s, 300) ? 1500 : 1 << 20,
        .limit_json_depth = 32,
        .limit_pending = sim_chance(s, 100) ? 4 : 1000,
        .limit_results = sim_chance(s, 100) ? 10 : 1000,
        .limit_result_bytes = 1 << 20,
        .limit_result_ttl = sim_between(s, 15, 60) * SEC,
        .limit_topic_queue = sim_chance(s, 300) ? 6 : 1000,
        .limit_unfinished_span = sim_chance(s, 300) ? 8 : 1000,
        .limit_parked_per_key = sim_chance(s, 300) ? 2 : 100,
    };
    for (int i = 0; i < 3; i++) {
        s->topic_configs[i] = (struct topic_config){
            .topic = (char *)(uintptr_t)broker_name(i),
            .kafka_topic = (char *)(uintptr_t)broker_name(i),
            .dead_letter = (char *)(uintptr_t)broker_name(i == KEYED ? KEYED_DLT : SERIAL_DLT),
            .concurrency = sim_between(s, 1, 6),
            .ordering =
                i == SERIAL && s->sabotage != SABOTAGE_ORDER ? ORDERING_PARTITION : ORDERING_KEY,
            .key = (char *)(uintptr_t) "/key"};
        s->topics[i] = (struct topic){.index = (size_t)i, .config = &s->topic_configs[i]};
        if (i != PEER) /* never looked into */
            s->topics[i].handler = (const struct handler *)(uintptr_t)0x1000;
    }
    s->table = (struct topic_table){s->topics, 3};
}

static struct pod *any_alive(struct sim *s)
{
    struct pod *pod = &s->pods[sim_random(s, (uint64_t)s->n_pods)];

    return pod->alive ? pod : NULL;
}

/* ---- faults -----------------------------------------------------------------------------------
 */

static void on_bus(struct sim *s, struct event *e)
{
    orchestrator_on_bus(e->pod->o, s->broker.away_until <= s->now);
}

static void broker_away(struct sim *s)
{
    int64_t until = s->now + sim_delay(s, SEC, 8 * SEC);

    sim_trace(s, "fault  the broker is away until %.3f",
              (double)(until - BEGIN_OF_TIME) / (double)SEC);
    s->broker.away_until = until;
    for (int i = 0; i < s->n_pods; i++)
        if (s->pods[i].alive) {
            sim_at(s, s->now + sim_between(s, 0, 2 * SEC), on_bus, &s->pods[i], NULL, 0);
            sim_at(s, until + sim_between(s, 1, SEC), on_bus, &s->pods[i], NULL, 0);
        }
}

static void on_down(struct sim *s, struct event *e)
{
    (void)s;
    client_down(e->pod);
}

static void on_up(struct sim *s, struct event *e)
{
    if (!s->shared.away)
        client_up(e->pod);
}

static void store_back(struct sim *s, struct event *e)
{
    (void)e;
    s->shared.away = false;
    for (int i = 0; i < s->n_pods; i++)
        if (s->pods[i].alive)
            sim_at(s, s->now + sim_delay(s, MS, SEC), on_up, &s->pods[i], NULL, 0);
}

static void store_away(struct sim *s)
{
    if (s->shared.away)
        return;
    sim_trace(s, "fault  the store is away");
    s->shared.away = true;
    for (int i = 0; i < s->n_pods; i++)
        if (s->pods[i].alive)
            sim_at(s, s->now + sim_between(s, 0, 50 * MS), on_down, &s->pods[i], NULL, 0);
    sim_at(s, s->now + sim_delay(s, SEC, 10 * SEC), store_back, NULL, NULL, 0);
}

/* One connection breaks, or its channel: then wake-ups may have been missed. */
static void connection(struct sim *s, struct pod *pod)
{
    if (pod->client.up && sim_chance(s, 700))
        client_down(pod);
    sim_at(s, s->now + sim_delay(s, 60 * MS, 3 * SEC), on_up, pod, NULL, 0);
}

static void fault(struct sim *s)
{
    struct pod *pod = any_alive(s);
    int64_t until;

    switch (sim_random(s, 10)) {
    case 0:
        if (pod != NULL)
            pod_crash(pod, "a fault");
        break;
    case 1:
    case 2:
        if (pod != NULL && !pod->draining) {
            until = s->now + sim_between(s, 100 * MS, 10 * SEC);
            pod->frozen_until = TW_MAX(pod->frozen_until, until);
            sim_trace(s, "fault  pod %d is frozen until %.3f", pod->number,
                      (double)(pod->frozen_until - BEGIN_OF_TIME) / (double)SEC);
        }
        break;
    case 3:
        if (pod != NULL && !pod->draining && pod->frozen_until <= s->now)
            pod_drain(pod);
        break;
    case 4:
        s->groups[sim_random(s, GROUPS)].shuffle = true;
        break;
    case 5:
        if (pod != NULL)
            member_cut_off(pod->members[sim_random(s, GROUPS)],
                           s->now + sim_between(s, SEC, 9 * SEC));
        break;
    case 6:
        broker_away(s);
        break;
    case 7:
        store_away(s);
        break;
    case 8:
        if (pod != NULL && !pod->draining && pod->frozen_until <= s->now)
            connection(s, pod);
        break;
    default:
        if (sim_chance(s, 300))
            shared_empty(s);
        else
            s->wall += sim_between(s, -3600 * SEC, 3600 * SEC);
    }
}

static void on_fault(struct sim *s, struct event *e)
{
    (void)e;
    if (!s->calm)
        fault(s);
}

/* What people do, all at random times. */
static void on_deed(struct sim *s, struct event *e)
{
    static void (*const deeds[])(struct sim *) = {jobs_submit, jobs_foreign, jobs_lookup,
                                                  jobs_garble};

    deeds[e->n](s);
}

static void arrange(struct sim *s, int64_t end)
{
    int submissions = (int)sim_between(s, 5, 60), foreign = (int)sim_between(s, 0, 30);
    int faults = (int)sim_between(s, 0, 10);
    bool burst = sim_chance(s, 300);

    for (int i = 0; i < submissions; i++)
        sim_at(s, sim_between(s, s->now, burst ? s->now + 2 * SEC : end), on_deed, NULL, NULL, 0);
    for (int i = 0; i < foreign; i++)
        sim_at(s, sim_between(s, s->now, end), on_deed, NULL, NULL, 1);
    for (int i = 0; i < 10; i++)
        sim_at(s, sim_between(s, s->now, end), on_deed, NULL, NULL, 2);
    for (int i = (int)sim_between(s, 0, 6); i > 0; i--)
        sim_at(s, sim_between(s, s->now, end), on_deed, NULL, NULL, 3);
    for (int i = 0; i < faults; i++)
        sim_at(s, sim_between(s, s->now, end), on_fault, NULL, NULL, 0);
    s->unknown = sim_chance(s, 500) ? 60 : 0;
    s->refused = sim_chance(s, 500) ? 60 : 0;
    s->full = sim_chance(s, 300) ? 20 : 0;
    s->at_once = sim_chance(s, 300) ? 300 : 0;
    s->poison = sim_chance(s, 250) ? 60 : 0;
    s->slow = sim_chance(s, 500) ? 60 : 5;
    s->shared.lossy = sim_chance(s, 500) ? 500 : 0;
    s->shared.queue_full = sim_chance(s, 300) ? 50 : 0;
}

/* Nothing goes wrong from now on, but for handlers that crash their pod. */
static void calm_down(struct sim *s)
{
    sim_trace(s, "calm");
    s->calm = true;
    s->broker.away_until = TW_MIN(s->broker.away_until, s->now);
    store_back(s, NULL);
    for (int i = 0; i < s->n_pods; i++)
        if (s->pods[i].alive)
            sim_at(s, s->now + MS, on_bus, &s->pods[i], NULL, 0);
}

static void settle(struct sim *s)
{
    int64_t limit = s->now + SETTLE_WITHIN;

    while (!s->failed && s->now < limit && !check_settled(s, false))
        sim_run(s, s->now + SEC);
    if (!s->failed && !check_settled(s, true))
        sim_fail(s, "it does not settle");
    check_end(s);
}

static void stop_all(struct sim *s)
{
    s->ending = true;
    for (int i = 0; i < s->n_pods; i++)
        if (s->pods[i].alive && !s->pods[i].draining)
            pod_drain(&s->pods[i]);
    sim_run(s, s->now + 15 * SEC);
    for (int i = 0; i < s->n_pods; i++)
        if (s->pods[i].alive) {
            sim_fail(s, "pod %d does not stop", i);
            pod_crash(&s->pods[i], "the end");
        }
}

/* Events that are left may own what they point to. */
static void finish_events(struct sim *s)
{
    for (size_t i = 0; i < s->schedule.count; i++)
        client_drop_event(&s->schedule.heap[i]);
    free(s->schedule.heap);
}

struct sim_result sim_schedule(uint64_t seed, enum sabotage sabotage, bool trace,
                               uint64_t *coverage)
{
    struct sim *s = calloc(1, sizeof(*s));
    struct sim_result result;
    int64_t end;

    s->seed = seed;
    s->schedule.random = seed;
    s->sabotage = sabotage;
    s->trace = trace;
    s->coverage = coverage;
    s->now = BEGIN_OF_TIME;
    s->wall = 1700000000 * SEC;
    s->shared.bringing = COVER_REPLY_HERE;
    configure(s);
    groups_init(s);
    s->n_pods = (int)sim_between(s, 1, PODS);
    end = s->now + sim_between(s, 5, 40) * SEC;
    for (int i = 0; i < s->n_pods; i++) {
        s->pods[i] = (struct pod){.s = s, .number = i};
        pod_start(&s->pods[i]);
    }
    arrange(s, end);
    sim_run(s, end);
    calm_down(s);
    settle(s);
    stop_all(s);
    result = (struct sim_result){.failed = s->failed, .virtual_time = s->now - BEGIN_OF_TIME};
    memcpy(result.why, s->why, sizeof(result.why));
    finish_events(s);
    broker_done(s);
    shared_done(s);
    groups_done(s);
    for (int i = 0; i < s->n_jobs; i++)
        free(s->jobs[i]);
    free(s);
    return result;
}
