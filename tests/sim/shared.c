/* What the shared store holds, and what each call does to it in one step: core/redis/commands.c. */
#include "shared.h"

#include <string.h>

#include "orchestrator/internal.h"

enum { UNKNOWN_KEPT = 20 };

struct shared_task {
    struct uuid correlation;
    bool begun;
    char owner[UUID_TEXT_LEN + 1];
    struct blob *reply;
    int64_t expires;
    struct shared_task *next;
};

struct shared_count {
    const char *topic;
    int32_t partition;
    int64_t offset;
    int n;
    struct shared_count *next;
};

struct blob *blob_new(const struct store_reply *reply)
{
    const struct reply_text *t = &reply->text;
    struct blob *b = calloc(1, sizeof(*b) + t->value_len + t->nest_error_len + t->outcome_len);

    *b = (struct blob){t->value_len,          t->nest_error_len,  t->outcome_len, t->value != NULL,
                       t->nest_error != NULL, t->outcome != NULL, reply->attempts};
    if (b->has_value)
        memcpy(b->text, t->value, t->value_len);
    if (b->has_error)
        memcpy(b->text + b->value_len, t->nest_error, t->nest_error_len);
    if (b->has_outcome)
        memcpy(b->text + b->value_len + b->error_len, t->outcome, t->outcome_len);
    return b;
}

struct store_reply blob_reply(const struct blob *b)
{
    return (struct store_reply){
        .text = {.value = b->has_value ? b->text : NULL,
                 .value_len = b->value_len,
                 .nest_error = b->has_error ? b->text + b->value_len : NULL,
                 .nest_error_len = b->error_len,
                 .outcome = b->has_outcome ? b->text + b->value_len + b->error_len : NULL,
                 .outcome_len = b->outcome_len},
        .attempts = b->attempts,
    };
}

static struct blob *blob_copy(const struct blob *b)
{
    const struct store_reply reply = blob_reply(b);

    return blob_new(&reply);
}

bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static void drop(struct shared_task **at)
{
    struct shared_task *t = *at;

    *at = t->next;
    free(t->reply);
    free(t);
}

/* Where it is, or where it would be put. */
static struct shared_task **find(struct sim *s, const struct uuid *correlation)
{
    struct shared_task **at = &s->shared.tasks;

    while (*at != NULL) {
        if ((*at)->expires <= s->now) {
            sim_cover(s, (*at)->reply != NULL ? COVER_FINISHED_TTL : COVER_LIVE_TTL);
            drop(at);
        } else if (uuid_equal(&(*at)->correlation, correlation)) {
            break;
        } else {
            at = &(*at)->next;
        }
    }
    return at;
}

static struct shared_task *have(struct sim *s, const struct uuid *correlation, int64_t ttl)
{
    struct shared_task **at = find(s, correlation);

    if (*at == NULL) {
        *at = calloc(1, sizeof(**at));
        (*at)->correlation = *correlation;
    }
    (*at)->expires = TW_MAX((*at)->expires, s->now + ttl);
    return *at;
}

bool shared_has_result(const struct sim *s, const void *correlation)
{
    for (const struct shared_task *t = s->shared.tasks; t != NULL; t = t->next)
        if (uuid_equal(&t->correlation, correlation))
            return t->reply != NULL && t->expires > s->now;
    return false;
}

static void begin(struct sim *s, struct op *op)
{
    struct shared_task *t = *find(s, &op->correlation);

    if (t == NULL)
        sim_cover(s, COVER_BEGIN);
    else if (!t->begun)
        sim_cover(s, COVER_EARLY_BEGIN);
    t = have(s, &op->correlation, op->ttl);
    t->begun = true;
    memcpy(t->owner, op->pod->incarnation, sizeof(t->owner));
    if (t->reply != NULL)
        op->answer_blob = blob_copy(t->reply);
}

/* The replies in the log that this call is about are safe now. */
static void mark_stored(struct sim *s, const struct op *op)
{
    char text[UUID_TEXT_LEN + 1];

    uuid_format(&op->correlation, text);
    check_reply_safe(s, text);
}

static void complete(struct sim *s, struct op *op)
{
    struct shared_task *t = *find(s, &op->correlation);
    bool begun = t != NULL && t->begun, ours = strcmp(op->owner, op->pod->incarnation) == 0;

    op->verdict = STORE_FIRST;
    if (s->sabotage == SABOTAGE_LOSE && sim_chance(s, 300))
        return;
    if (t != NULL && t->reply != NULL) {
        op->verdict = STORE_REPEATED;
        sim_cover(s, COVER_REPEATED);
    } else {
        if (!begun && !ours) {
            op->verdict = STORE_UNKNOWN;
            sim_cover(s, COVER_EARLY);
        } else {
            sim_cover(s, COVER_FINISH);
        }
        if (op->verdict == STORE_FIRST || s->shared.unknown++ < UNKNOWN_KEPT) {
            t = have(s, &op->correlation, s->config.limit_result_ttl);
            t->reply = blob_copy(op->blob);
            check_stored(s, &op->correlation);
        }
    }
    mark_stored(s, op);
    if (begun && strcmp(t->owner, op->pod->incarnation) != 0)
        client_wake(s, t->owner, &op->correlation);
    else if (!begun && op->owner[0] != '\0' && !ours)
        client_wake(s, op->owner, &op->correlation);
}

void shared_lose_attempt(struct sim *s, const struct op *op)
{
    s->broker.logs[broker_find(op->topic)][op->partition].entries[op->offset].fate.lost++;
}

static void attempt(struct sim *s, struct op *op)
{
    struct shared_task *t = op->has_correlation ? *find(s, &op->correlation) : NULL;
    struct shared_count *c = s->shared.counts;

    if (t != NULL && t->reply != NULL && s->sabotage != SABOTAGE_AGAIN) {
        op->what = STORE_ANSWERED;
        op->answer_blob = blob_copy(t->reply);
        return;
    }
    while (c != NULL && (strcmp(c->topic, op->topic) != 0 || c->partition != op->partition ||
                         c->offset != op->offset))
        c = c->next;
    if (c == NULL) {
        c = calloc(1, sizeof(*c));
        *c = (struct shared_count){op->topic, op->partition, op->offset, 0, s->shared.counts};
        s->shared.counts = c;
    }
    if (op->count_below < 0 && c->n > 0) /* one was counted for nothing */
        c->n--;
    op->what = c->n < op->count_below ? STORE_COUNTED : STORE_NOT_COUNTED;
    op->counted = op->what == STORE_COUNTED;
    if (op->counted && op->silent)
        shared_lose_attempt(s, op);
    if (op->counted)
        c->n += s->sabotage == SABOTAGE_COUNT ? 3 : 1;
    op->attempts = c->n;
    sim_trace(s, "count  pod %d %s [%d] %lld: %d%s%s", op->pod->number, op->topic,
              (int)op->partition, (long long)op->offset, c->n, op->counted ? "" : " already",
              op->silent ? ", for nobody" : "");
}

static void over(struct sim *s, const struct op *op)
{
    for (struct shared_count *c = s->shared.counts; c != NULL; c = c->next)
        if (strcmp(c->topic, op->topic) == 0 && c->partition == op->partition &&
            c->offset == op->offset)
            c->n = 0;
}

void shared_apply(struct sim *s, struct op *op)
{
    struct shared_task **at = find(s, &op->correlation);

    switch (op->kind) {
    case OP_BEGIN:
        begin(s, op);
        break;
    case OP_RECALL:
        if (*at != NULL && (*at)->reply != NULL)
            op->answer_blob = blob_copy((*at)->reply);
        break;
    case OP_FORGET:
        if (*at != NULL) {
            sim_cover(s, COVER_FORGET);
            drop(at);
        }
        break;
    case OP_COMPLETE:
        complete(s, op);
        break;
    case OP_ATTEMPT:
        attempt(s, op);
        break;
    case OP_OVER:
        over(s, op);
        break;
    case OP_LOOKUP: /* answered by the inner store */
        break;
    }
}

void shared_cover_complete(struct sim *s, const struct op *op)
{
    const struct arrival *a = op->arg;
    char text[UUID_TEXT_LEN + 1];

    if (op->verdict != STORE_FAILED) {
        sim_cover(s, COVER_TAKEN_DONE);
    } else if (a->answered) {
        sim_cover(s, COVER_ANSWERED_DONE);
        uuid_format(&op->correlation, text);
        check_reply_safe(s, text);
    } else {
        sim_cover(s, COVER_TAKEN_HELD);
    }
}

void shared_cover_attempt(struct sim *s, const struct op *op, bool failed)
{
    const struct work *work = op->arg;

    if (work == NULL)
        return;
    if (!failed && op->what == STORE_ANSWERED)
        sim_cover(s, COVER_REPLAYED);
    else if (!failed && op->what == STORE_COUNTED)
        sim_cover(s, op->attempts > 1 ? COVER_SUSPECT : COVER_COUNTED);
    else if (failed)
        sim_cover(s, COVER_UNCOUNTED);
    else if (op->attempts < CRASH_LIMIT && work->o->suspect != NULL && work->o->suspect != work)
        sim_cover(s, COVER_SUSPECT_WAITS);
}

void shared_empty(struct sim *s)
{
    sim_trace(s, "store  emptied");
    s->shared.emptied++;
    s->shared.emptied_at = s->now;
    while (s->shared.tasks != NULL)
        drop(&s->shared.tasks);
    while (s->shared.counts != NULL) {
        struct shared_count *c = s->shared.counts;

        s->shared.counts = c->next;
        free(c);
    }
}

void shared_done(struct sim *s)
{
    shared_empty(s);
}
