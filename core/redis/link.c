#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "redis/internal.h"

#define BACKOFF_LEAST (100 * NS_PER_MS)
#define BACKOFF_MOST NS_PER_S

struct command {
    uint64_t id;
    command_done *done;
    void *arg;
    int64_t sent;
    struct command *older, *newer; /* of link::oldest */
};

struct greeting {
    struct link *link;
    command_done *done;
    void *arg;
};

static int64_t now_of(const struct link *l)
{
    return clock_monotonic(l->r->clock);
}

static void forget(struct link *l, struct command *c)
{
    if (c->older == NULL)
        l->oldest = c->newer;
    else
        c->older->newer = c->newer;
    if (c->newer == NULL)
        l->newest = c->older;
    else
        c->newer->older = c->older;
    atomic_fetch_sub(&l->r->in_flight, 1);
}

/* The connection is no longer ours; hiredis frees it, or link_fail does. */
static void gone(struct link *l, const char *why)
{
    bool was_ready = l->state == LINK_READY;

    l->ac = NULL;
    l->adapter = NULL;
    l->state = LINK_IDLE;
    l->greetings = 0;
    l->next_try = now_of(l) + l->backoff;
    l->backoff = TW_MAX(TW_MIN(2 * l->backoff, BACKOFF_MOST), BACKOFF_LEAST);
    /* the first reason is seldom the cause: a closed connection, and then a wrong password */
    if (!l->told || strncmp(l->why, why, sizeof(l->why) - 1) != 0)
        log_warn("redis", "%s: %s", l->name, why);
    snprintf(l->why, sizeof(l->why), "%s", why);
    l->told = true;
    if (was_ready)
        l->down(l);
    while (l->oldest != NULL) {
        struct command *c = l->oldest;

        forget(l, c);
        slots_take(&l->slots, c->id);
        c->done(c->arg, NULL);
        free(c);
    }
}

/* hiredis: the connection ended by itself. */
static void on_disconnect(const redisAsyncContext *ac, int status)
{
    struct link *l = ac->data;

    (void)status;
    if (l != NULL && l->ac == ac)
        gone(l, ac->err != 0 ? ac->errstr : "the connection ended");
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct link *l = ac->data;

    if (status != REDIS_OK && l != NULL && l->ac == ac)
        gone(l, ac->errstr);
}

void link_fail(struct link *l, const char *why)
{
    redisAsyncContext *ac = l->ac;

    if (ac == NULL)
        return;
    ac->data = NULL;
    gone(l, why);
    redisAsyncFree(ac); /* at once, or after the callback that we are called from */
}

void link_close(struct link *l)
{
    snprintf(l->why, sizeof(l->why), "stopped");
    l->told = true; /* it is no news */
    link_fail(l, "stopped");
    slots_done(&l->slots);
}

/* NULL answers are hiredis letting go: gone() has told, or will. */
static void on_reply(redisAsyncContext *ac, void *answer, void *privdata)
{
    struct link *l = ac->data;
    struct command *c;

    if (answer == NULL || l == NULL || l->ac != ac)
        return;
    c = slots_take(&l->slots, (uint64_t)(uintptr_t)privdata);
    if (c == NULL)
        return;
    forget(l, c);
    c->done(c->arg, answer);
    free(c);
}

void link_command(struct link *l, int argc, const char **argv, const size_t *lens,
                  command_done *done, void *arg)
{
    struct command *c = l->ac == NULL ? NULL : tw_zalloc(sizeof(*c));

    if (c != NULL)
        c->id = slots_add(&l->slots, c);
    if (c == NULL || c->id == 0 ||
        redisAsyncCommandArgv(l->ac, on_reply, (void *)(uintptr_t)c->id, argc, argv, lens) !=
            REDIS_OK) {
        if (c != NULL)
            slots_take(&l->slots, c->id);
        free(c);
        done(arg, NULL);
        return;
    }
    c->done = done;
    c->arg = arg;
    c->sent = now_of(l);
    c->older = l->newest;
    if (l->newest == NULL)
        l->oldest = c;
    else
        l->newest->newer = c;
    l->newest = c;
    atomic_fetch_add(&l->r->in_flight, 1);
}

/* Writes at once what can be, instead of asking the loop first. */
void link_flush(struct link *l)
{
    if (l->ac != NULL && l->state != LINK_IDLE && (l->ac->c.flags & REDIS_CONNECTED))
        redisAsyncHandleWrite(l->ac);
    if (l->adapter != NULL)
        adapter_sync(l->adapter);
}

static void connect_to(struct link *l, const char *host, int port, enum link_state state);

void link_greeted(struct link *l)
{
    if (l->state != LINK_GREETING || --l->greetings > 0)
        return;
    l->state = LINK_READY;
    l->backoff = BACKOFF_LEAST;
    l->why[0] = '\0';
    l->told = false;
    l->ready(l);
}

static void greeted(void *arg, const redisReply *reply)
{
    struct greeting *g = arg;
    struct link *l = g->link;

    if (reply == NULL) { /* the connection ended */
        free(g);
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        link_fail(l, reply->str);
        free(g);
        return;
    }
    if (g->done != NULL)
        g->done(g->arg, reply);
    free(g);
    link_greeted(l);
}

void link_greeting(struct link *l, command_done *done, void *arg, int argc, ...)
{
    struct greeting *g = malloc(sizeof(*g));
    const char *argv[ARGS_MAX];
    size_t lens[ARGS_MAX];
    va_list ap;

    assert(argc <= ARGS_MAX);
    va_start(ap, argc);
    for (int i = 0; i < argc; i++) {
        argv[i] = va_arg(ap, const char *);
        lens[i] = strlen(argv[i]);
    }
    va_end(ap);
    if (g == NULL) {
        link_fail(l, "out of memory");
        return;
    }
    *g = (struct greeting){l, done, arg};
    l->greetings++;
    link_command(l, argc, argv, lens, greeted, g);
}

static void is_master(void *arg, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
        strcmp(reply->element[0]->str, "master") != 0)
        link_fail(arg, "it is a replica, not the master");
}

static void greet(struct link *l)
{
    const struct redis_url *url = &l->r->url;
    char db[12];

    snprintf(db, sizeof(db), "%d", url->db);
    if (url->password != NULL && url->user != NULL)
        link_greeting(l, NULL, NULL, 3, "AUTH", url->user, url->password);
    else if (url->password != NULL)
        link_greeting(l, NULL, NULL, 2, "AUTH", url->password);
    if (url->db != 0)
        link_greeting(l, NULL, NULL, 2, "SELECT", db);
    link_greeting(l, NULL, NULL, 3, "CLIENT", "SETNAME", "taskwire");
    if (url->master != NULL)
        link_greeting(l, is_master, l, 1, "ROLE");
    l->greet(l);
}

/* What a Sentinel says of the master: host and port, or nothing. */
static void told_master(void *arg, const redisReply *reply)
{
    struct link *l = arg;
    char host[256], port[8];
    redisAsyncContext *ac = l->ac;

    if (reply == NULL)
        return;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->len >= sizeof(host) || reply->element[1]->len >= sizeof(port)) {
        link_fail(l, reply->type == REDIS_REPLY_ERROR ? reply->str
                                                      : "the Sentinel does not know the master");
        return;
    }
    memcpy(host, reply->element[0]->str, reply->element[0]->len + 1);
    memcpy(port, reply->element[1]->str, reply->element[1]->len + 1);
    l->ac = NULL;
    l->adapter = NULL;
    ac->data = NULL;
    redisAsyncFree(ac); /* after this callback */
    connect_to(l, host, atoi(port), LINK_GREETING);
}

static void connect_to(struct link *l, const char *host, int port, enum link_state state)
{
    redisAsyncContext *ac = redisAsyncConnect(host, port);

    l->state = state;
    l->greetings = 0;
    if (ac == NULL || ac->err != 0) {
        gone(l, ac == NULL ? "out of memory" : ac->errstr);
        if (ac != NULL)
            redisAsyncFree(ac);
        return;
    }
    l->adapter = adapter_attach(&l->r->loop, ac);
    if (l->adapter == NULL) {
        gone(l, "out of memory");
        redisAsyncFree(ac);
        return;
    }
    l->ac = ac;
    ac->data = l;
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
    if (state == LINK_ASKING) {
        const char *argv[] = {"SENTINEL", "get-master-addr-by-name", l->r->url.master};
        const size_t lens[] = {8, 23, strlen(l->r->url.master)};

        link_command(l, 3, argv, lens, told_master, l);
    } else {
        greet(l);
    }
    if (l->adapter != NULL)
        adapter_sync(l->adapter);
}

static void begin(struct link *l, int64_t now)
{
    const struct redis_url *url = &l->r->url;
    const struct redis_host *host = &url->hosts[l->sentinel++ % url->n_hosts];

    l->begun = now;
    connect_to(l, host->name, host->port, url->master != NULL ? LINK_ASKING : LINK_GREETING);
}

void link_tick(struct link *l, int64_t now)
{
    const struct config *c = l->r->config;

    if (l->state == LINK_IDLE && now >= l->next_try)
        begin(l, now);
    else if ((l->state == LINK_ASKING || l->state == LINK_GREETING) &&
             now - l->begun > c->redis_connect_timeout)
        link_fail(l, "no connection and login within redis.connect_timeout");
    else if (l->state == LINK_READY && l->oldest != NULL &&
             now - l->oldest->sent > c->redis_command_timeout)
        link_fail(l, "no answer within redis.command_timeout");
}
