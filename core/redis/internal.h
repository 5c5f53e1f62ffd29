/* What the files of this folder share. All but thread.c's queue belongs to the redis thread. */
#pragma once

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/strbuf.h"
#include "config/redis_url.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/slots.h"
#include "redis/redis.h"

/* adapter.c: a hiredis context on the loop. hiredis's own swallows the errors of a refused
 * connection. */
struct adapter;
struct adapter *adapter_attach(uv_loop_t *loop, redisAsyncContext *ac); /* NULL: memory is short */
/* Tells the loop what is wanted now. Not after the context was freed. */
void adapter_sync(struct adapter *a);

/*
 * link.c: one connection and its life.
 *
 *   idle --connect--> asking (a Sentinel where the master is) --> greeting --all answered--> ready
 *     ^----- back-off, 100 ms to 1 s ----- refused, closed, an answer overdue ---------------'
 */
enum link_state { LINK_IDLE, LINK_ASKING, LINK_GREETING, LINK_READY };

typedef void command_done(void *arg, const redisReply *reply); /* NULL: no answer will come */

struct link {
    struct redis *r;
    const char *name;              /* "commands", "pub/sub" */
    void (*greet)(struct link *l); /* sends what is to be answered before it is ready */
    void (*ready)(struct link *l);
    void (*down)(struct link *l);
    enum link_state state;
    redisAsyncContext *ac;
    struct adapter *adapter;
    int64_t next_try, begun, backoff; /* monotonic */
    size_t sentinel;                  /* to be asked next */
    size_t greetings;                 /* not answered yet */
    struct slots slots;               /* of commands: what hiredis gets is an id */
    struct command *oldest, *newest;  /* in flight, in order */
    char why[128];                    /* it is not ready */
    bool told;                        /* that, in the log */
};

void link_tick(struct link *l, int64_t now);
void link_fail(struct link *l, const char *why);
void link_close(struct link *l); /* for good */
/* `done` is called exactly once, perhaps before this returns. */
void link_command(struct link *l, int argc, const char **argv, const size_t *lens,
                  command_done *done, void *arg);
/* A command whose answer only has to be no error, before the link is ready. */
void link_greeting(struct link *l, command_done *done, void *arg, int argc, ...);
/* One of what link::greetings counts was answered. */
void link_greeted(struct link *l);
void link_flush(struct link *l); /* after a batch of commands */

/* commands.c: the scripts */
enum script {
    SCRIPT_BEGIN,
    SCRIPT_COMPLETE,
    SCRIPT_LOOKUP,
    SCRIPT_ATTEMPT,
    SCRIPT_FORGET,
    SCRIPT_PROBE,
    SCRIPT_COUNT
};
enum { SHA_LEN = 40, ARGS_MAX = 20 };

/* The arguments of one command. The bytes are borrowed; numbers are written into `numbers`. */
struct arguments {
    int count;
    const char *argv[ARGS_MAX];
    size_t lens[ARGS_MAX];
    char numbers[6][24];
    int n_numbers;
};
void arguments_add(struct arguments *a, const char *text, size_t len);
void arguments_addz(struct arguments *a, const char *text);
void arguments_number(struct arguments *a, int64_t number);

void scripts_load(struct link *l); /* as greetings */
/* Begins an EVALSHA. */
void script_begin(struct redis *r, struct arguments *a, enum script script, int keys);

struct redis {
    const struct config *config;
    const struct clock *clock;
    struct metrics *metrics;
    struct store inner;
    struct redis_url url;
    struct store_listener listener;
    char incarnation[UUID_TEXT_LEN + 1];
    char *prefix, *channel;
    char shas[SCRIPT_COUNT][SHA_LEN + 1];

    /* thread.c */
    pthread_t thread;
    bool running;
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer;
    int64_t next_probe, heard; /* of our own channel */
    bool closing;
    int64_t next_complaint;
    bool refusing; /* it answers, and takes no writes */
    struct link commands, pubsub;
    int64_t stop_deadline;

    pthread_mutex_t lock;
    struct op *first, *last; /* queued */
    size_t queued;
    atomic_size_t in_flight; /* commands that Redis has not answered */
    bool stopping, ended;
    pthread_cond_t end; /* monotonic */
    atomic_bool up, connected; /* takes writes; answers */
};

/* thread.c */
void redis_error(struct redis *r, const char *error); /* a command's answer */
/* False when it is full, or stopped. */
bool redis_push(struct redis *r, struct op *op);

/* store.c */
struct op {
    struct op *next;
    struct redis *r;
    void (*issue)(struct op *op); /* redis thread: sends it */
    void (*fail)(struct op *op);  /* any thread: it cannot be; frees it */
};
/* The result of a task that may be waited for here: asked for, and told to the inner store. */
void store_recall(struct redis *r, const char *correlation, size_t len);
