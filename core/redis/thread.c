/* The redis thread: its loop, its queue, and whether Redis is up. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"
#include "redis/internal.h"

#define PROBE_EVERY NS_PER_S
#define SILENT_AFTER (3 * NS_PER_S)
#define COMPLAIN_EVERY (10 * NS_PER_S)

enum { TICK_MS = 100 };

static const char PROBE[] = "probe";

static void set_up(struct redis *r, const char *why)
{
    bool up = why == NULL, was = atomic_exchange(&r->up, up);

    if (r->closing)
        return;
    if (up != was && up)
        log_info("redis", "up");
    else if (up != was)
        log_warn("redis", "away: %s", why);
    if (up || was)
        r->listener.up(r->listener.arg, up);
}

/* The scripts, and a write: what takes none is not ready. */
static void commands_greet(struct link *l)
{
    char key[512];

    scripts_load(l);
    snprintf(key, sizeof(key), "%sprobe:%s", l->r->prefix, l->r->incarnation);
    link_greeting(l, NULL, NULL, 5, "SET", key, "1", "PX", "10000");
}

static void commands_ready(struct link *l)
{
    atomic_store(&l->r->connected, true);
    l->r->refusing = false;
    l->r->next_probe = 0;
    l->r->heard = clock_monotonic(l->r->clock); /* nothing was published meanwhile */
    set_up(l->r, NULL);
}

static void commands_down(struct link *l)
{
    atomic_store(&l->r->connected, false);
    set_up(l->r, l->why);
}

static bool begins_with_one(const char *error, const char *const *codes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strstr(error, codes[i]) != NULL) /* Redis 6 wraps what a script met */
            return true;
    return false;
}

void redis_error(struct redis *r, const char *error)
{
    static const char *const gone[] = {"READONLY", "LOADING",    "NOAUTH",
                                       "NOSCRIPT", "MASTERDOWN", "UNBLOCKED"};
    static const char *const refusing[] = {"OOM", "MISCONF", "NOREPLICAS", "BUSY"};
    int64_t now = clock_monotonic(r->clock);

    metric_inc(r->metrics, METRIC_REDIS_ERRORS, 0);
    if (begins_with_one(error, gone, TW_ARRAY_LEN(gone))) {
        link_fail(&r->commands, error);
    } else if (begins_with_one(error, refusing, TW_ARRAY_LEN(refusing))) {
        r->refusing = true;
        set_up(r, error);
    } else if (now >= r->next_complaint) { /* it says nothing of Redis as a whole */
        log_warn("redis", "a command failed: %s", error);
        r->next_complaint = now + COMPLAIN_EVERY;
    }
}

static void probed(void *arg, const redisReply *reply)
{
    struct redis *r = arg;

    if (reply == NULL)
        return;
    if (reply->type == REDIS_REPLY_ERROR) {
        r->refusing = true;
        set_up(r, reply->str);
        redis_error(r, reply->str);
    } else if (r->refusing) {
        r->refusing = false;
        set_up(r, NULL);
    }
}

static void published(void *arg, const redisReply *reply)
{
    (void)arg;
    (void)reply;
}

/* Redis takes writes, as our scripts make them, and Pub/Sub brings what is published. */
static void probe(struct redis *r, int64_t now)
{
    const char *publish[] = {"PUBLISH", r->channel, PROBE};
    size_t publish_lens[] = {7, strlen(r->channel), strlen(PROBE)};
    struct arguments a;
    char key[512];

    r->next_probe = now + PROBE_EVERY;
    snprintf(key, sizeof(key), "%sprobe:%s", r->prefix, r->incarnation);
    script_begin(r, &a, SCRIPT_PROBE, 1);
    arguments_addz(&a, key);
    arguments_addz(&a, "10000");
    link_command(&r->commands, a.count, a.argv, a.lens, probed, r);
    if (r->pubsub.state == LINK_READY)
        link_command(&r->commands, 3, publish, publish_lens, published, r);
    link_flush(&r->commands);
}

/* Of our channel: {"subscribe", channel, n} once, then {"message", channel, text}. */
static void on_message(redisAsyncContext *ac, void *answer, void *privdata)
{
    struct link *l = ac->data;
    const redisReply *reply = answer;
    const redisReply *text;

    (void)privdata;
    if (reply == NULL || l == NULL || l->ac != ac)
        return;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
        return;
    l->r->heard = clock_monotonic(l->r->clock);
    text = reply->element[2];
    if (l->state != LINK_READY) { /* subscribed */
        link_greeted(l);
    } else if (text->type == REDIS_REPLY_STRING && text->len == UUID_TEXT_LEN) {
        store_recall(l->r, text->str, text->len);
    }
}

static void pubsub_greet(struct link *l)
{
    const char *argv[] = {"SUBSCRIBE", l->r->channel};
    const size_t lens[] = {9, strlen(l->r->channel)};

    l->greetings++; /* its answer comes to on_message */
    if (l->ac != NULL)
        redisAsyncCommandArgv(l->ac, on_message, NULL, 2, argv, lens);
}

/* Wake-ups may have been missed. */
static void pubsub_ready(struct link *l)
{
    if (atomic_load(&l->r->up))
        l->r->listener.up(l->r->listener.arg, true);
}

static void pubsub_down(struct link *l)
{
    (void)l; /* what waits is looked up */
}

static struct op *take_all(struct redis *r, bool *ret_stopping)
{
    struct op *list;

    pthread_mutex_lock(&r->lock);
    list = r->first;
    r->first = r->last = NULL;
    r->queued = 0;
    *ret_stopping = r->stopping;
    pthread_mutex_unlock(&r->lock);
    return list;
}

static void end_loop(struct redis *r)
{
    r->closing = true;
    link_close(&r->commands);
    link_close(&r->pubsub);
    atomic_store(&r->up, false);
    uv_close((uv_handle_t *)&r->wake, NULL);
    uv_close((uv_handle_t *)&r->timer, NULL);
}

static void on_wake(uv_async_t *wake)
{
    struct redis *r = wake->data;
    bool stopping;
    struct op *op = take_all(r, &stopping), *next;

    for (; op != NULL; op = next) {
        next = op->next;
        if (r->commands.state == LINK_READY)
            op->issue(op);
        else
            op->fail(op);
    }
    link_flush(&r->commands);
}

static void on_tick(uv_timer_t *timer)
{
    struct redis *r = timer->data;
    int64_t now = clock_monotonic(r->clock);
    bool stopping, idle;

    pthread_mutex_lock(&r->lock);
    stopping = r->stopping;
    idle = r->first == NULL;
    pthread_mutex_unlock(&r->lock);
    if (stopping && ((idle && r->commands.oldest == NULL) || now >= r->stop_deadline)) {
        end_loop(r);
        return;
    }
    link_tick(&r->commands, now);
    link_tick(&r->pubsub, now);
    if (r->commands.state == LINK_READY && now >= r->next_probe)
        probe(r, now);
    if (r->pubsub.state == LINK_READY && r->commands.state == LINK_READY &&
        now - r->heard > SILENT_AFTER)
        link_fail(&r->pubsub, "it brings nothing of what is published");
}

static void *redis_main(void *arg)
{
    struct redis *r = arg;
    struct op *op, *next;
    bool stopping;

    on_tick(&r->timer); /* connect at once */
    uv_run(&r->loop, UV_RUN_DEFAULT);
    for (op = take_all(r, &stopping); op != NULL; op = next) {
        next = op->next;
        op->fail(op);
    }
    pthread_mutex_lock(&r->lock);
    r->ended = true;
    pthread_mutex_unlock(&r->lock);
    pthread_cond_signal(&r->end);
    return NULL;
}

bool redis_push(struct redis *r, struct op *op)
{
    bool taken, first;

    pthread_mutex_lock(&r->lock);
    taken = r->running && !r->stopping &&
            r->queued + atomic_load(&r->in_flight) < (size_t)r->config->limit_redis_queue;
    first = r->first == NULL;
    if (taken) {
        op->next = NULL;
        if (first)
            r->first = op;
        else
            r->last->next = op;
        r->last = op;
        r->queued++;
    }
    pthread_mutex_unlock(&r->lock);
    if (!taken)
        metric_inc(r->metrics, METRIC_LIMIT_REDIS, 0);
    else if (first)
        uv_async_send(&r->wake);
    return taken;
}

int redis_start(struct redis *r)
{
    int e = uv_loop_init(&r->loop);

    if (e < 0)
        return e;
    uv_async_init(&r->loop, &r->wake, on_wake);
    uv_timer_init(&r->loop, &r->timer);
    r->wake.data = r->timer.data = r;
    uv_timer_start(&r->timer, on_tick, TICK_MS, TICK_MS);
    r->commands = (struct link){.r = r,
                                .name = "commands",
                                .greet = commands_greet,
                                .ready = commands_ready,
                                .down = commands_down};
    r->pubsub = (struct link){.r = r,
                              .name = "pub/sub",
                              .greet = pubsub_greet,
                              .ready = pubsub_ready,
                              .down = pubsub_down};
    r->running = true;
    e = thread_start(&r->thread, "redis", redis_main, r);
    if (e < 0)
        r->running = false;
    return e;
}

bool redis_stop(struct redis *r, int64_t deadline)
{
    bool ended;

    if (!r->running)
        return true;
    pthread_mutex_lock(&r->lock);
    r->stop_deadline = deadline;
    r->stopping = true;
    pthread_mutex_unlock(&r->lock);
    uv_async_send(&r->wake);
    pthread_mutex_lock(&r->lock);
    while (!r->ended) /* it may be resolving a name, which nothing interrupts */
        if (cond_wait_until(&r->end, &r->lock, deadline + NS_PER_S) == -ETIMEDOUT)
            break;
    ended = r->ended;
    pthread_mutex_unlock(&r->lock);
    if (!ended)
        return false;
    pthread_join(r->thread, NULL);
    r->running = false;
    uv_loop_close(&r->loop);
    return true;
}

bool redis_is_up(const struct redis *r)
{
    return atomic_load(&r->up);
}
