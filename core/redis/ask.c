/* What is asked of Redis: a task's state, and whether a record was run before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/reply_blob.h"
#include "redis/store_op.h"

#define ATTEMPTS_TTL_MS (24 * 3600 * INT64_C(1000))

/* ---- lookup ---------------------------------------------------------------------------------- */

struct local_look {
    struct store_op *op;
    bool only_finished; /* a live one may have ended elsewhere */
    bool answered;
};

static void looked_here(void *arg, const struct store_view *view, bool away)
{
    struct local_look *l = arg;

    (void)away;
    if (view == NULL || (l->only_finished && !view->finished))
        return;
    l->op->done.looked_up(l->op->arg, view, false);
    l->answered = true;
}

/* Asks the inner store; true when that was the answer. */
static bool look_here(struct store_op *op, bool only_finished)
{
    struct local_look l = {.op = op, .only_finished = only_finished};
    struct redis *r = op->op.r;

    r->inner.ops->lookup(r->inner.ctx, op->caller, op->id, looked_here, &l);
    return l.answered;
}

static void fail_lookup(struct op *p)
{
    struct store_op *op = op_of(p);

    if (!look_here(op, false))
        op->done.looked_up(op->arg, NULL, true);
    free(op);
}

static void tell_view(struct store_op *op, const redisReply *reply)
{
    const struct config *c = op->op.r->config;
    redisReply *const *f = reply->element;
    BUF_CLEANUP struct buf *body = NULL;
    struct store_view view = {0};
    struct store_reply known;
    int64_t arrived;

    if (reply->elements != 4 || f[0]->type != REDIS_REPLY_STRING ||
        f[1]->type != REDIS_REPLY_STRING) { /* its record is gone, or was never made */
        op->done.looked_up(op->arg, NULL, false);
        return;
    }
    if (f[3]->type != REDIS_REPLY_STRING || strcmp(f[3]->str, op->id) != 0) {
        /* another task's: rather no answer than a wrong one */
        op->done.looked_up(op->arg, NULL, true);
        return;
    }
    view.topic = f[0]->str;
    view.accepted = strtoll(f[1]->str, NULL, 10) * NS_PER_MS;
    if (f[2]->type == REDIS_REPLY_STRING &&
        reply_blob_read(f[2]->str, f[2]->len, &known, &arrived)) {
        body = response_from_reply(&known.text, op->id, view.topic, arrived,
                                   (unsigned)c->limit_json_depth, &view.outcome);
        view.attempts = known.attempts;
        view.finished = body != NULL;
        view.body = body;
    }
    op->done.looked_up(op->arg, &view, false);
}

static void looked_up(void *arg, const redisReply *reply)
{
    struct store_op *op = arg;

    if (op_is_error(op->op.r, reply)) {
        fail_lookup(&op->op);
        return;
    }
    if (reply->type == REDIS_REPLY_ARRAY)
        tell_view(op, reply);
    else if (!look_here(op, false)) /* it may not have got there yet */
        op->done.looked_up(op->arg, NULL, false);
    free(op);
}

static void issue_lookup(struct op *p)
{
    struct store_op *op = op_of(p);
    char identity[KEY_MAX], prefix[KEY_MAX];
    struct arguments a;

    op_identity_key(op, identity);
    op_key(p->r, prefix, sizeof(prefix), 't', "");
    script_begin(p->r, &a, SCRIPT_LOOKUP, 1);
    arguments_addz(&a, identity);
    arguments_addz(&a, prefix);
    op_send(op, &a, looked_up);
}

void redis_lookup(void *ctx, const char *caller, const char *id, store_looked_up *done, void *arg)
{
    struct redis *r = ctx;
    struct store_op *op = op_new(r, issue_lookup, fail_lookup);

    if (op == NULL) {
        done(arg, NULL, true);
        return;
    }
    op->done.looked_up = done;
    op->arg = arg;
    snprintf(op->caller, sizeof(op->caller), "%s", caller);
    snprintf(op->id, sizeof(op->id), "%s", id);
    if (look_here(op, true))
        free(op);
    else if (atomic_load(&r->connected))
        op_push(op);
    else
        fail_lookup(&op->op);
}

/* ---- attempts -------------------------------------------------------------------------------- */

static void fail_attempt(struct op *p)
{
    struct store_op *op = op_of(p);

    op->done.attempted(op->arg, STORE_NO_ANSWER, 0, NULL);
    free(op);
}

static void attempted(void *arg, const redisReply *reply)
{
    struct store_op *op = arg;
    struct store_reply known;
    int64_t arrived;

    if (op_is_error(op->op.r, reply)) {
        fail_attempt(&op->op);
        return;
    }
    if (reply->type == REDIS_REPLY_STRING &&
        reply_blob_read(reply->str, reply->len, &known, &arrived))
        op->done.attempted(op->arg, STORE_ANSWERED, 0, &known);
    else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
        op->done.attempted(op->arg, reply->element[1]->integer ? STORE_COUNTED : STORE_NOT_COUNTED,
                           (int)reply->element[0]->integer, NULL);
    else
        op->done.attempted(op->arg, STORE_NO_ANSWER, 0, NULL);
    free(op);
}

static void record_key(const struct store_op *op, char out[static KEY_MAX])
{
    char rest[300];

    snprintf(rest, sizeof(rest), "%s:%d:%lld", op->topic, (int)op->partition,
             (long long)op->offset);
    op_key(op->op.r, out, KEY_MAX, 'x', rest);
}

static void issue_attempt(struct op *p)
{
    struct store_op *op = op_of(p);
    char text[UUID_TEXT_LEN + 1], record[KEY_MAX], task[KEY_MAX];
    struct arguments a;

    record_key(op, record);
    uuid_format(&op->correlation, text);
    op_key(p->r, task, sizeof(task), 't', text);
    script_begin(p->r, &a, SCRIPT_ATTEMPT, 2);
    arguments_addz(&a, record);
    arguments_addz(&a, op->has_correlation ? task : record);
    arguments_number(&a, op->count_below);
    arguments_number(&a, ATTEMPTS_TTL_MS);
    op_send(op, &a, attempted);
}

void redis_attempt(void *ctx, const struct store_attempt *attempt, store_attempted_fn *done,
                   void *arg)
{
    struct redis *r = ctx;
    struct store_op *op = atomic_load(&r->up) ? op_new(r, issue_attempt, fail_attempt) : NULL;

    if (op == NULL) {
        done(arg, STORE_NO_ANSWER, 0, NULL);
        return;
    }
    op->done.attempted = done;
    op->arg = arg;
    op->topic = attempt->topic;
    op->partition = attempt->partition;
    op->offset = attempt->offset;
    op->count_below = attempt->count_below;
    op->has_correlation = attempt->correlation != NULL;
    if (op->has_correlation)
        op->correlation = *attempt->correlation;
    op_push(op);
}

static void issue_attempt_over(struct op *p)
{
    struct store_op *op = op_of(p);
    struct arguments a = {0};
    char record[KEY_MAX];

    record_key(op, record);
    arguments_addz(&a, "DEL");
    arguments_addz(&a, record);
    op_send(op, &a, op_done);
}

void redis_attempt_over(void *ctx, const char *topic, int32_t partition, int64_t offset)
{
    struct redis *r = ctx;
    struct store_op *op = op_new(r, issue_attempt_over, op_free);

    if (op == NULL)
        return;
    op->topic = topic;
    op->partition = partition;
    op->offset = offset;
    op_push(op);
}
