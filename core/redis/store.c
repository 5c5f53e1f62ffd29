/*
 * The port's calls that change something, as commands to Redis. Each is an op: made on the caller's
 * thread, issued and answered on the redis thread, freed once its `done` was called.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "base/util.h"
#include "redis/reply_blob.h"
#include "redis/store_op.h"

struct store_op *op_of(struct op *p)
{
    return TW_CONTAINER_OF(p, struct store_op, op);
}

struct store_op *op_new(struct redis *r, void (*issue)(struct op *), void (*fail)(struct op *))
{
    struct store_op *op = tw_zalloc(sizeof(*op));

    if (op != NULL)
        op->op = (struct op){.r = r, .issue = issue, .fail = fail};
    return op;
}

void op_push(struct store_op *op)
{
    if (!redis_push(op->op.r, &op->op))
        op->op.fail(&op->op);
}

void op_free(struct op *op)
{
    free(op_of(op));
}

bool op_is_error(struct redis *r, const redisReply *reply)
{
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR)
        redis_error(r, reply->str);
    return reply == NULL || reply->type == REDIS_REPLY_ERROR;
}

void op_send(struct store_op *op, const struct arguments *a, command_done *done)
{
    link_command(&op->op.r->commands, a->count, (const char **)(uintptr_t)a->argv, a->lens, done,
                 op);
}

int op_key(const struct redis *r, char *out, size_t size, char kind, const char *rest)
{
    return snprintf(out, size, "%s%c:%s", r->prefix, kind, rest);
}

void op_identity_key(const struct store_op *op, char out[static KEY_MAX])
{
    char rest[24 + CALLER_MAX + 1 + TASK_ID_MAX + 1];

    /* both may hold colons: the length of the first says where it ends */
    snprintf(rest, sizeof(rest), "%zu:%s:%s", strlen(op->caller), op->caller, op->id);
    op_key(op->op.r, out, KEY_MAX, 'i', rest);
}

/* ---- results that may be waited for here ----------------------------------------------------- */

static void nobody_asked(void *arg, enum store_verdict verdict)
{
    (void)arg;
    (void)verdict;
}

/* A reply that Redis keeps: the inner store learns it, and tells who waits. */
static void learn(struct redis *r, const struct uuid *correlation, const redisReply *reply)
{
    struct store_reply known;
    int64_t arrived;

    if (reply != NULL && reply->type == REDIS_REPLY_STRING &&
        reply_blob_read(reply->str, reply->len, &known, &arrived))
        r->inner.ops->complete(r->inner.ctx, correlation, &known, nobody_asked, NULL);
}

static void recalled(void *arg, const redisReply *reply)
{
    struct store_op *op = arg;

    learn(op->op.r, &op->correlation, reply);
    free(op);
}

void store_recall(struct redis *r, const char *correlation, size_t len)
{
    struct store_op *op = op_new(r, NULL, NULL);
    char text[UUID_TEXT_LEN + 1], k[KEY_MAX];
    struct arguments a = {0};

    if (op == NULL || !uuid_from_wire(correlation, len, &op->correlation)) {
        free(op);
        return;
    }
    uuid_format(&op->correlation, text);
    op_key(r, k, sizeof(k), 't', text);
    arguments_addz(&a, "HGET");
    arguments_addz(&a, k);
    arguments_addz(&a, "r");
    op_send(op, &a, recalled);
    link_flush(&r->commands);
}

/* ---- begin, again, forget -------------------------------------------------------------------- */

static void begun(void *arg, const redisReply *reply)
{
    struct store_op *op = arg;

    if (!op_is_error(op->op.r, reply))
        learn(op->op.r, &op->correlation, reply);
    free(op);
}

static void issue_begin(struct op *p)
{
    struct store_op *op = op_of(p);
    char text[UUID_TEXT_LEN + 1], task[KEY_MAX], identity[KEY_MAX], prefix[KEY_MAX];
    struct redis *r = p->r;
    struct arguments a;

    uuid_format(&op->correlation, text);
    op_key(r, task, sizeof(task), 't', text);
    op_identity_key(op, identity);
    script_begin(r, &a, SCRIPT_BEGIN, 2);
    arguments_addz(&a, task);
    arguments_addz(&a, identity);
    arguments_addz(&a, r->incarnation);
    arguments_addz(&a, op->caller);
    arguments_addz(&a, op->id);
    arguments_addz(&a, op->topic);
    arguments_number(&a, op->accepted);
    arguments_number(&a, op->ttl);
    arguments_addz(&a, text);
    op_key(r, prefix, sizeof(prefix), 't', "");
    arguments_addz(&a, prefix);
    op_send(op, &a, begun);
}

static void make_known(struct redis *r, const struct store_task *task)
{
    struct store_op *op;

    if (!atomic_load(&r->up)) /* all that waits is made known when it comes back */
        return;
    op = op_new(r, issue_begin, op_free);
    if (op == NULL)
        return;
    op->correlation = *task->correlation;
    op->topic = task->topic;
    op->ttl = (task->wait + r->config->limit_result_ttl) / NS_PER_MS;
    op->accepted = clock_wall(r->clock) / NS_PER_MS;
    snprintf(op->caller, sizeof(op->caller), "%s", task->caller);
    snprintf(op->id, sizeof(op->id), "%s", task->id);
    op_push(op);
}

static int redis_begin(void *ctx, const struct store_task *task)
{
    struct redis *r = ctx;
    int e = r->inner.ops->begin(r->inner.ctx, task);

    if (e == 0)
        make_known(r, task);
    return e;
}

static void redis_again(void *ctx, const struct store_task *task)
{
    make_known(ctx, task);
}

void op_done(void *arg, const redisReply *reply)
{
    struct store_op *op = arg;

    op_is_error(op->op.r, reply);
    free(op);
}

static void issue_forget(struct op *p)
{
    struct store_op *op = op_of(p);
    char text[UUID_TEXT_LEN + 1], task[KEY_MAX];
    struct arguments a;

    uuid_format(&op->correlation, text);
    op_key(p->r, task, sizeof(task), 't', text);
    script_begin(p->r, &a, SCRIPT_FORGET, 1);
    arguments_addz(&a, task);
    arguments_addz(&a, p->r->prefix);
    arguments_addz(&a, text);
    op_send(op, &a, op_done);
}

static void redis_forget(void *ctx, const struct uuid *correlation)
{
    struct redis *r = ctx;
    struct store_op *op;

    r->inner.ops->forget(r->inner.ctx, correlation);
    if (!atomic_load(&r->up) || (op = op_new(r, issue_forget, op_free)) == NULL)
        return;
    op->correlation = *correlation;
    op_push(op);
}

/* ---- complete -------------------------------------------------------------------------------- */

static void fail_complete(struct op *p)
{
    struct store_op *op = op_of(p);

    op->done.completed(op->arg, STORE_FAILED);
    free(op);
}

static void completed(void *arg, const redisReply *reply)
{
    static const enum store_verdict verdicts[] = {STORE_FAILED, STORE_FIRST, STORE_REPEATED,
                                                  STORE_UNKNOWN, STORE_UNKNOWN};
    struct store_op *op = arg;
    long long n = 0;

    if (!op_is_error(op->op.r, reply) && reply->type == REDIS_REPLY_INTEGER)
        n = reply->integer;
    if (n < 0 || n >= (long long)TW_ARRAY_LEN(verdicts))
        n = 0;
    op->done.completed(op->arg, verdicts[n]);
    free(op);
}

static void issue_complete(struct op *p)
{
    STRBUF_CLEANUP struct strbuf blob = STRBUF_INIT;
    struct store_op *op = op_of(p);
    char text[UUID_TEXT_LEN + 1], task[KEY_MAX], identity[KEY_MAX];
    struct redis *r = p->r;
    struct arguments a;

    reply_blob_write(&blob, op->reply, clock_wall(r->clock));
    if (blob.failed) {
        fail_complete(p);
        return;
    }
    uuid_format(&op->correlation, text);
    op_key(r, task, sizeof(task), 't', text);
    script_begin(r, &a, SCRIPT_COMPLETE, 1);
    arguments_addz(&a, task);
    arguments_add(&a, blob.data, blob.len);
    arguments_number(&a, r->config->limit_result_ttl / NS_PER_MS);
    arguments_addz(&a, r->incarnation);
    arguments_addz(&a, op->owner);
    arguments_number(&a, r->config->limit_unknown_replies);
    arguments_addz(&a, r->prefix);
    arguments_addz(&a, text);
    if (op->topic != NULL) { /* ours: Redis may never have heard of it */
        op_identity_key(op, identity);
        arguments_addz(&a, identity);
        arguments_addz(&a, op->caller);
        arguments_addz(&a, op->id);
        arguments_addz(&a, op->topic);
        arguments_number(&a, op->accepted);
        arguments_addz(&a, op->reply->awaited ? "1" : "0");
    }
    op_send(op, &a, completed);
}

/* Of a task that was begun here. */
static void describe(void *arg, const char *caller, const char *id, const char *topic,
                     int64_t accepted)
{
    struct store_op *op = arg;

    snprintf(op->caller, sizeof(op->caller), "%s", caller);
    snprintf(op->id, sizeof(op->id), "%s", id);
    op->topic = topic;
    op->accepted = accepted / NS_PER_MS;
}

static void redis_complete(void *ctx, const struct uuid *correlation,
                           const struct store_reply *reply, store_completed *done, void *arg)
{
    struct redis *r = ctx;
    struct store_op *op;

    r->inner.ops->complete(r->inner.ctx, correlation, reply, nobody_asked, NULL);
    op = atomic_load(&r->up) ? op_new(r, issue_complete, fail_complete) : NULL;
    if (op == NULL) {
        done(arg, STORE_FAILED);
        return;
    }
    op->correlation = *correlation;
    op->reply = reply;
    op->done.completed = done;
    op->arg = arg;
    r->inner.ops->describe(r->inner.ctx, correlation, describe, op);
    if (op->topic == NULL && reply->owner != NULL && reply->owner_len == UUID_TEXT_LEN &&
        task_id_valid(reply->owner, reply->owner_len))
        memcpy(op->owner, reply->owner, reply->owner_len);
    op_push(op);
}

/* ---- the port -------------------------------------------------------------------------------- */

static void redis_listen(void *ctx, const struct store_listener *listener)
{
    struct redis *r = ctx;

    r->listener = *listener;
    r->inner.ops->listen(r->inner.ctx, listener);
}

static int64_t redis_tick(void *ctx, int64_t now)
{
    struct redis *r = ctx;

    return r->inner.ops->tick(r->inner.ctx, now);
}

struct store redis_store_port(struct redis *r)
{
    static const struct store_ops ops = {
        .listen = redis_listen,
        .begin = redis_begin,
        .again = redis_again,
        .forget = redis_forget,
        .complete = redis_complete,
        .lookup = redis_lookup,
        .attempt = redis_attempt,
        .attempt_over = redis_attempt_over,
        .tick = redis_tick,
    };

    return (struct store){.ops = &ops, .ctx = r};
}

int redis_new(const struct config *config, const struct clock *clock, struct metrics *metrics,
              struct store inner, struct redis **ret, char **ret_why)
{
    struct redis *r = calloc(1, sizeof(*r));
    struct uuid incarnation;

    if (r == NULL)
        return -ENOMEM;
    r->config = config;
    r->clock = clock;
    r->metrics = metrics;
    r->inner = inner;
    pthread_mutex_init(&r->lock, NULL);
    cond_init_monotonic(&r->end);
    uuid_v7(&incarnation);
    uuid_format(&incarnation, r->incarnation);
    if (!redis_url_parse(config->redis_url, &r->url, ret_why)) {
        redis_free(r);
        return -EINVAL;
    }
    if (asprintf(&r->prefix, "tw:%s:", config->kafka_group_id) < 0)
        r->prefix = NULL;
    else if (asprintf(&r->channel, "%spod:%s", r->prefix, r->incarnation) < 0)
        r->channel = NULL;
    if (r->channel == NULL) {
        redis_free(r);
        return -ENOMEM;
    }
    *ret = r;
    return 0;
}

void redis_free(struct redis *r)
{
    if (r == NULL)
        return;
    redis_url_done(&r->url);
    free(r->prefix);
    free(r->channel);
    pthread_cond_destroy(&r->end);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

const char *redis_incarnation(const struct redis *r)
{
    return r->incarnation;
}
