/*
 * An orchestrator in a world that the test holds in its hands: a clock that stands still, a bus that
 * keeps what is sent until the test says what became of it, handlers that do as they are told. The
 * store is core/memory's.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/store.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/wire.h"
#include "unit.h"

enum { WORLD_SENT = 64 };

struct sent {
    uint64_t token;
    char topic[64];
    int32_t partition;
    struct record *record; /* key, value, headers as they were sent */
};

struct world {
    struct config config;
    struct topic_config topic_configs[2]; /* T has a handler, PEER has none */
    struct topic topics[2];
    struct topic_table table;
    struct metrics *metrics;
    struct memory_store *store;
    struct orchestrator *o;
    int64_t now;

    enum bus_result take; /* what the bus says to the next sends */
    bool reply_at_once;   /* the reply is there before send() returns */
    struct sent sent[WORLD_SENT];
    size_t n_sent;
    size_t wakes;

    struct handlers_result does; /* what the handler does; outcome EXPIRED: nothing yet */
    struct work *running, *held[8]; /* the last that runs, and all that do */
    size_t n_held;
    size_t runs, redelivered;
};

/* One caller, and what it was told. */
struct caller {
    struct waiter waiter;
    int answers;
    struct answer answer;
    char body[512];
};

static int64_t world_clock(void *ctx)
{
    return ((struct world *)ctx)->now;
}

static const struct bus_header *sent_header(const struct sent *s, const char *name)
{
    return record_header(s->record, name);
}

/* Somebody's reply to what was sent. */
static void world_reply(struct world *w, const struct sent *to, const char *value,
                        const char *outcome)
{
    const struct bus_header *correlation = sent_header(to, WIRE_CORRELATION_ID);
    struct bus_header headers[] = {
        {WIRE_CORRELATION_ID, correlation->value, correlation->len},
        {WIRE_OUTCOME, outcome, outcome == NULL ? 0 : strlen(outcome)},
    };
    const struct record r = {.value = value, .value_len = value == NULL ? 0 : strlen(value),
                             .headers = headers, .n_headers = outcome == NULL ? 1 : 2};

    orchestrator_on_reply(w->o, &r);
}

static enum bus_result world_send(void *ctx, const struct bus_message *m, uint64_t token)
{
    struct world *w = ctx;
    const struct record r = {.key = m->key, .key_len = m->key_len, .value = m->value,
                             .value_len = m->value_len, .n_headers = m->n_headers,
                             .headers = (struct bus_header *)(uintptr_t)m->headers};
    struct sent *s;

    if (w->take != BUS_DELIVERED)
        return w->take;
    assert_true(w->n_sent < WORLD_SENT);
    s = &w->sent[w->n_sent++];
    s->token = token;
    snprintf(s->topic, sizeof(s->topic), "%s", m->topic);
    s->partition = m->partition;
    s->record = record_copy(&r);
    if (w->reply_at_once)
        world_reply(w, s, "\"quick\"", "ok");
    return BUS_DELIVERED;
}

static void world_wake(void *ctx)
{
    ((struct world *)ctx)->wakes++;
}

static inline void world_deliver(struct world *w, size_t i, enum bus_result result)
{
    const struct bus_delivery d = {.result = result, .partition = 3, .offset = 42,
                                   .reason = result == BUS_DELIVERED ? NULL : "the test says so"};

    orchestrator_on_sent(w->o, w->sent[i].token, &d);
}

static bool world_validate(void *ctx, const struct handler *handler, const char *id,
                           const char *topic, struct json_doc *doc, int64_t now,
                           struct violations *v)
{
    (void)ctx, (void)handler, (void)id, (void)topic, (void)doc, (void)now, (void)v;
    return true;
}

static void world_run(void *ctx, const struct handlers_task *task, struct work *work)
{
    struct world *w = ctx;

    w->runs++;
    w->redelivered += task->redelivered;
    json_doc_free(task->doc);
    if (w->does.outcome == OUTCOME_EXPIRED)
        w->held[w->n_held++] = w->running = work;
    else
        orchestrator_on_ran(w->o, work, &w->does);
}

/* A handler that ran until now is done. */
static inline void world_ends(struct world *w, struct work *work, enum outcome outcome)
{
    const struct handlers_result result = {.outcome = outcome, .error = "it was ended"};

    for (size_t i = 0; i < w->n_held; i++)
        if (w->held[i] == work)
            w->held[i] = w->held[--w->n_held];
    orchestrator_on_ran(w->o, work, &result);
}

static void world_start(void *ctx, struct work *work)
{
    orchestrator_execute(((struct world *)ctx)->o, work);
}

static void world_wake_timer(void *ctx, int64_t deadline)
{
    (void)ctx, (void)deadline;
}

static const struct clock *world_clock_of(struct world *w)
{
    static struct clock clock;

    clock = (struct clock){world_clock, world_clock, w};
    return &clock;
}

/* An orchestrator, anew, on this store. */
static inline void world_remake(struct world *w, struct store store, const char *incarnation)
{
    static const struct bus_ops bus = {world_send, world_wake};
    static const struct handlers_ops handlers = {world_validate, world_run, world_start};

    orchestrator_free(w->o);
    w->o = orchestrator_new(&(struct orchestrator_world){
        .config = &w->config, .topics = &w->table, .metrics = w->metrics,
        .clock = world_clock_of(w), .bus = {&bus, w}, .store = store,
        .handlers = {&handlers, w}, .wake_timer = world_wake_timer, .incarnation = incarnation});
    orchestrator_on_bus(w->o, true);
    orchestrator_on_assigned(w->o, 0, 0);
}

static inline int world_setup(void **state)
{
    static char *reply_topics[] = {(char *)(uintptr_t)"*.reply"};
    const char *const names[] = {"T", "PEER"};
    struct world *w = calloc(1, sizeof(*w));

    w->now = 1000 * NS_PER_S;
    w->config = (struct config){
        .kafka_reply_topic = (char *)(uintptr_t)"ours.replies",
        .kafka_reply_topics = {reply_topics, 1},
        .kafka_group_id = (char *)(uintptr_t)"group", .kafka_session_timeout = 6 * NS_PER_S,
        .kafka_heartbeat_interval = 1500 * NS_PER_MS,
        .limit_crash = 3, .limit_reply_backlog = 4096,
        .limit_json_depth = 32, .limit_pending = 4, .limit_results = 8,
        .limit_result_bytes = 1 << 20, .limit_result_ttl = 60 * NS_PER_S,
        .limit_topic_queue = 100, .limit_unfinished_span = 100, .limit_parked_per_key = 100,
    };
    for (size_t i = 0; i < 2; i++) {
        w->topic_configs[i] = (struct topic_config){
            .topic = (char *)(uintptr_t)names[i], .kafka_topic = (char *)(uintptr_t)names[i],
            .dead_letter = (char *)(uintptr_t)"T-dlt", .concurrency = 16, .key = (char *)(uintptr_t)"/key"};
        w->topics[i] = (struct topic){.index = i, .config = &w->topic_configs[i]};
    }
    w->topics[0].handler = (const struct handler *)(uintptr_t)0x1000; /* never looked into */
    w->table = (struct topic_table){w->topics, 2};
    w->metrics = metrics_new(names, 2);
    w->store = memory_store_new(&w->config, world_clock_of(w), w->metrics);
    w->take = BUS_DELIVERED;
    world_remake(w, memory_store_port(w->store), NULL);
    *state = w;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *w = *state;

    while (w->n_held > 0)
        world_ends(w, w->held[0], OUTCOME_OK);
    orchestrator_free(w->o);
    memory_store_free(w->store);
    metrics_free(w->metrics);
    for (size_t i = 0; i < w->n_sent; i++)
        free(w->sent[i].record);
    free(w);
    return 0;
}

static inline int64_t world_count(const struct world *w, enum metric m)
{
    return metric_get(w->metrics, m, 0);
}

static inline void world_answer(struct waiter *waiter, const struct answer *a)
{
    struct caller *c = (struct caller *)waiter;

    c->answers++;
    c->answer = *a;
    if (a->body != NULL)
        snprintf(c->body, sizeof(c->body), "%.*s", (int)a->body->len, a->body->data);
}

/* Submits `text` for topic `topic`. ERROR_NONE: taken. */
static inline enum error_code world_submit(struct world *w, struct caller *c, size_t topic,
                                           const char *text, bool reply_wanted)
{
    struct violations *v = violations_new();
    TASK_CLEANUP struct task *task = NULL;
    struct json_error error;
    struct submission s = {.topic = &w->topics[topic], .caller = "", .reply_wanted = reply_wanted,
                           .wait = 10 * NS_PER_S};

    memset(c, 0, sizeof(*c));
    c->waiter.answer = world_answer;
    assert_int_equal(
        orchestrator_check(w->o, s.topic, text, strlen(text), v, &task, &error), 0);
    violations_free(v);
    s.task = task;
    return orchestrator_submit(w->o, &s, &c->waiter);
}

/* A record of topic T arrives; `headers` end with a NULL name. */
static inline void world_record(struct world *w, int64_t offset, const char *value,
                                const struct bus_header *headers)
{
    struct record r = {.offset = offset, .value = value,
                       .value_len = value == NULL ? 0 : strlen(value),
                       .headers = (struct bus_header *)(uintptr_t)headers};

    while (headers != NULL && headers[r.n_headers].name != NULL)
        r.n_headers++;
    orchestrator_on_task(w->o, &r);
}

static inline void world_take_order(void *ctx, const struct partition_order *order)
{
    if (order->offset >= 0)
        *(int64_t *)ctx = order->offset;
}

static inline void world_take_rewind(void *ctx, const struct partition_order *order)
{
    if (order->rewind >= 0)
        *(int64_t *)ctx = order->rewind;
}

/* The offset that is to be committed, or -1 when there is no news. */
static inline int64_t world_committed(struct world *w)
{
    int64_t offset = -1;

    orchestrator_collect(w->o, world_take_order, &offset);
    return offset;
}
