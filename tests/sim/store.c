/*
 * The store that pods share, with what core/redis does: an inner store that knows the tasks begun
 * here, one connection a pod on which calls are carried out in order, wake-ups by a channel. Calls
 * under way when a connection breaks fail, and may have been carried out.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared.h"

static struct op *op_new(struct pod *pod, enum op_kind kind)
{
    struct op *op = calloc(1, sizeof(*op));

    op->pod = pod;
    op->life = pod->life;
    op->kind = kind;
    return op;
}

static void op_free(struct op *op)
{
    free(op->blob);
    free(op->answer_blob);
    free(op);
}

static void unlink_op(struct client *c, const struct op *op)
{
    struct op **at = &c->ops;

    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
}

static void ignore(void *arg, enum store_verdict verdict)
{
    (void)arg, (void)verdict;
}

/* What a begin or a recall brought: the inner store learns it, and tells who waits. */
static void learn(struct sim *s, struct op *op)
{
    struct client *c = &op->pod->client;
    struct store_reply reply;

    if (op->answer_blob == NULL || s->sabotage == SABOTAGE_SILENT)
        return;
    s->shared.bringing = op->kind == OP_RECALL ? COVER_WOKEN : COVER_LOOKED_UP;
    reply = blob_reply(op->answer_blob);
    memory_store_port(c->inner).ops->complete(c->inner, &op->correlation, &reply, ignore, NULL);
    s->shared.bringing = COVER_REPLY_HERE;
}

static void look_here(struct op *op, bool away)
{
    struct memory_store *inner = op->pod->client.inner;

    (void)away;
    memory_store_port(inner).ops->lookup(inner, op->caller, op->id, op->done.looked_up, op->arg);
}

/* `op` is in no list any more. */
static void answer(struct sim *s, struct op *op, bool failed)
{
    struct pod *pod = op->pod;
    struct store_reply reply = {0};
    int64_t stale = pod_stale(pod);

    switch (op->kind) {
    case OP_BEGIN:
    case OP_RECALL:
        if (!failed)
            learn(s, op);
        break;
    case OP_COMPLETE:
        if (failed)
            op->verdict = STORE_FAILED;
        shared_cover_complete(s, op);
        op->done.completed(op->arg, op->verdict);
        break;
    case OP_LOOKUP:
        look_here(op, failed);
        break;
    case OP_ATTEMPT:
        if (op->answer_blob != NULL)
            reply = blob_reply(op->answer_blob);
        shared_cover_attempt(s, op, failed);
        op->done.attempted(op->arg, failed ? STORE_NO_ANSWER : op->what, op->attempts,
                           failed || op->answer_blob == NULL ? NULL : &reply);
        if (pod_stale(pod) > stale)
            sim_cover(s, COVER_RUNNING_ABANDONED);
        break;
    case OP_FORGET:
    case OP_OVER:
        break;
    }
}

static void on_answer(struct sim *s, struct event *e)
{
    struct op *op = e->ptr;

    if (!op->silent && op->pod->frozen_until > s->now) {
        sim_at(s, op->pod->frozen_until, on_answer, NULL, op, 0);
        return;
    }
    if (!op->silent) {
        unlink_op(&op->pod->client, op);
        answer(s, op, op->dropped);
    }
    op_free(op);
}

static void on_apply(struct sim *s, struct event *e)
{
    struct op *op = e->ptr;

    if (!op->dropped && s->shared.away)
        op->dropped = true;
    if (!op->dropped)
        shared_apply(s, op);
}

static void issue(struct op *op)
{
    struct sim *s = op->pod->s;
    struct client *c = &op->pod->client;
    struct op **at = &c->ops;

    while (*at != NULL)
        at = &(*at)->next;
    *at = op;
    c->last_applied = TW_MAX(c->last_applied, s->now + sim_delay(s, MS / 10, 60 * MS));
    c->last_answered = TW_MAX(c->last_answered, c->last_applied + sim_delay(s, MS / 10, 60 * MS));
    sim_at(s, c->last_applied, on_apply, NULL, op, 0);
    sim_at(s, c->last_answered, on_answer, NULL, op, 0);
}

/* A wake-up: the result is asked for. */
void client_recall(struct sim *s, struct event *e)
{
    struct op *op = e->ptr;

    if (op->pod->life != op->life || !op->pod->alive || !op->pod->client.up ||
        op->pod->frozen_until > s->now) {
        op_free(op);
        return;
    }
    issue(op);
}

void client_wake(struct sim *s, const char *owner, const struct uuid *correlation)
{
    for (int i = 0; i < s->n_pods; i++) {
        struct pod *pod = &s->pods[i];
        struct op *op;

        if (!pod->alive || strcmp(pod->incarnation, owner) != 0)
            continue;
        if (!s->calm && sim_chance(s, s->shared.lossy))
            return;
        op = op_new(pod, OP_RECALL);
        op->correlation = *correlation;
        sim_at(s, s->now + sim_delay(s, MS, 500 * MS), client_recall, NULL, op, 0);
    }
}

/* ---- the port ---------------------------------------------------------------------------------
 */

static void listen(void *ctx, const struct store_listener *listener)
{
    struct pod *pod = ctx;

    pod->client.listener = *listener;
    memory_store_port(pod->client.inner).ops->listen(pod->client.inner, listener);
}

static void again(void *ctx, const struct store_task *task)
{
    struct pod *pod = ctx;
    struct op *op;

    if (!pod->client.up)
        return;
    op = op_new(pod, OP_BEGIN);
    op->correlation = *task->correlation;
    op->topic = task->topic;
    op->ttl = task->wait + pod->s->config.limit_result_ttl;
    snprintf(op->caller, sizeof(op->caller), "%s", task->caller);
    snprintf(op->id, sizeof(op->id), "%s", task->id);
    issue(op);
}

static int begin(void *ctx, const struct store_task *task)
{
    struct pod *pod = ctx;
    int r = memory_store_port(pod->client.inner).ops->begin(pod->client.inner, task);

    if (r == 0)
        again(ctx, task);
    return r;
}

static void forget(void *ctx, const struct uuid *correlation)
{
    struct pod *pod = ctx;
    struct op *op;

    memory_store_port(pod->client.inner).ops->forget(pod->client.inner, correlation);
    if (!pod->client.up)
        return;
    op = op_new(pod, OP_FORGET);
    op->correlation = *correlation;
    issue(op);
}

static void inner_completed(void *arg, enum store_verdict verdict)
{
    *(bool *)arg = verdict == STORE_FIRST || verdict == STORE_REPEATED;
}

static void complete(void *ctx, const struct uuid *correlation, const struct store_reply *reply,
                     store_completed *done, void *arg)
{
    struct pod *pod = ctx;
    struct op *op = op_new(pod, OP_COMPLETE);
    bool ours = false;

    if (!pod->s->shared.delivering)
        sim_cover(pod->s, pod->s->shared.returning ? COVER_HELD_UP : COVER_HELD_TICK);
    memory_store_port(pod->client.inner)
        .ops->complete(pod->client.inner, correlation, reply, inner_completed, &ours);
    op->correlation = *correlation;
    op->blob = blob_new(reply);
    op->done.completed = done;
    op->arg = arg;
    if (ours)
        memcpy(op->owner, pod->incarnation, sizeof(op->owner));
    else if (reply->owner != NULL && reply->owner_len == UUID_TEXT_LEN)
        memcpy(op->owner, reply->owner, UUID_TEXT_LEN);
    if (pod->client.up && !pod->client.stopping &&
        (pod->s->calm || !sim_chance(pod->s, pod->s->shared.queue_full))) {
        issue(op);
    } else {
        answer(pod->s, op, true);
        op_free(op);
    }
}

static void lookup(void *ctx, const char *caller, const char *id, store_looked_up *done, void *arg)
{
    struct op *op = op_new(ctx, OP_LOOKUP);

    snprintf(op->caller, sizeof(op->caller), "%s", caller);
    snprintf(op->id, sizeof(op->id), "%s", id);
    op->done.looked_up = done;
    op->arg = arg;
    issue(op);
}

static void attempt(void *ctx, const struct store_attempt *a, store_attempted_fn *done, void *arg)
{
    struct pod *pod = ctx;
    struct op *op = op_new(pod, OP_ATTEMPT);

    op->topic = a->topic;
    op->partition = a->partition;
    op->offset = a->offset;
    op->count_below = a->count_below;
    op->has_correlation = a->correlation != NULL;
    if (op->has_correlation)
        op->correlation = *a->correlation;
    op->done.attempted = done;
    op->arg = arg;
    if (pod->client.up && !pod->client.stopping) {
        issue(op);
    } else {
        answer(pod->s, op, true);
        op_free(op);
    }
}

static void attempt_over(void *ctx, const char *topic, int32_t partition, int64_t offset)
{
    struct pod *pod = ctx;
    struct op *op;

    if (!pod->client.up || pod->client.stopping)
        return;
    op = op_new(pod, OP_OVER);
    op->topic = topic;
    op->partition = partition;
    op->offset = offset;
    issue(op);
}

static int64_t tick(void *ctx, int64_t now)
{
    struct pod *pod = ctx;

    return memory_store_port(pod->client.inner).ops->tick(pod->client.inner, now);
}

struct store client_port(struct pod *pod)
{
    static const struct store_ops ops = {
        .listen = listen,
        .begin = begin,
        .again = again,
        .forget = forget,
        .complete = complete,
        .lookup = lookup,
        .attempt = attempt,
        .attempt_over = attempt_over,
        .tick = tick,
    };

    return (struct store){&ops, pod};
}

/* ---- the connection ---------------------------------------------------------------------------
 */

void client_up(struct pod *pod)
{
    struct client *c = &pod->client;

    if (!c->up)
        c->up_since = pod->s->now;
    c->up = true;
    pod->s->shared.returning = true;
    c->listener.up(c->listener.arg, true);
    pod->s->shared.returning = false;
}

void client_down(struct pod *pod)
{
    struct client *c = &pod->client;
    struct op *list = TW_TAKE_PTR(c->ops), *next;
    bool was = c->up;

    c->up = false;
    sim_trace(pod->s, "store  pod %d lost it", pod->number);
    if (was)
        c->listener.up(c->listener.arg, false);
    for (struct op *op = list; op != NULL; op = next) {
        next = op->next;
        op->silent = true; /* it is freed by its event; it may still be carried out */
        op->dropped |= sim_chance(pod->s, 500);
        answer(pod->s, op, true);
    }
}

void client_crash(struct pod *pod)
{
    for (struct op *op = pod->client.ops; op != NULL; op = op->next) {
        op->silent = true;
        op->dropped |= !op->counted && sim_chance(pod->s, 500);
        if (op->counted)
            shared_lose_attempt(pod->s, op);
    }
    pod->client.up = false;
}

void client_free_lost(struct pod *pod)
{
    for (struct op *op = TW_TAKE_PTR(pod->client.ops), *next; op != NULL; op = next) {
        next = op->next;
        if (op->kind == OP_ATTEMPT)
            work_free(op->arg);
        else if (op->kind == OP_COMPLETE)
            free(op->arg); /* an arrival */
        else if (op->kind == OP_LOOKUP)
            op->done.looked_up(op->arg, NULL, true);
    }
}

void client_drop_event(const struct event *e)
{
    if (e->fire == on_answer || e->fire == client_recall)
        op_free(e->ptr);
}
