#include "memory/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/heap.h"
#include "base/util.h"

/* Under both ids; live in the heap by when it expires, finished in the list, the oldest first. */
struct entry {
    struct uuid correlation;
    const char *topic; /* config's: outlives us */
    bool finished;
    enum outcome outcome;
    int attempts;
    struct buf *body;
    int64_t accepted; /* wall clock */
    int64_t waited;   /* live: until then somebody waits (monotonic) */
    struct heap_node expiry;
    struct entry *prev, *next;
    UT_hash_handle by_correlation;
    UT_hash_handle by_id;
    size_t id_len;
    char id[]; /* caller, NUL, task id */
};

struct memory_store {
    pthread_mutex_t lock;
    const struct clock *clock;
    struct metrics *metrics;
    size_t limit, limit_bytes, bytes, count;
    int64_t ttl;
    unsigned max_depth;
    struct entry *by_correlation, *by_id;
    struct heap live;
    struct entry *finished;
    struct store_listener listener;
};

/* What an entry costs besides its body, roughly. */
enum { ENTRY_BYTES = sizeof(struct entry) + 64 };

struct memory_store *memory_store_new(const struct config *config, const struct clock *clock,
                                      struct metrics *metrics)
{
    struct memory_store *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    s->clock = clock;
    s->metrics = metrics;
    s->limit = (size_t)config->limit_results;
    s->limit_bytes = (size_t)config->limit_result_bytes;
    s->ttl = config->limit_result_ttl;
    s->max_depth = (unsigned)config->limit_json_depth;
    return s;
}

/* The live one that expires first, or NULL. */
static struct entry *first_live(const struct memory_store *s)
{
    struct heap_node *node = heap_first(&s->live);

    return node == NULL ? NULL : TW_CONTAINER_OF(node, struct entry, expiry);
}

/* Locked. */
static void drop(struct memory_store *s, struct entry *e)
{
    HASH_DELETE(by_correlation, s->by_correlation, e);
    HASH_DELETE(by_id, s->by_id, e);
    heap_remove(&s->live, &e->expiry);
    if (e->finished)
        DL_DELETE(s->finished, e);
    s->count--;
    s->bytes -= ENTRY_BYTES + e->id_len + (e->body == NULL ? 0 : e->body->len);
    buf_unref(e->body);
    free(e);
}

void memory_store_free(struct memory_store *s)
{
    struct entry *e;

    if (s == NULL)
        return;
    while ((e = first_live(s)) != NULL)
        drop(s, e);
    while (s->finished != NULL)
        drop(s, s->finished);
    heap_done(&s->live);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/*
 * Locked. Makes the limits hold again: finished tasks go first, then live ones for which nobody
 * waits any more. Those that somebody waits for are bounded by limits.pending, and stay.
 */
static void shrink(struct memory_store *s)
{
    while (s->count > s->limit || s->bytes > s->limit_bytes) {
        struct entry *victim = s->finished != NULL ? s->finished : first_live(s);

        if (victim == NULL || (!victim->finished && victim->waited > clock_monotonic(s->clock)))
            break;
        metric_inc(s->metrics, METRIC_LIMIT_RESULTS, 0);
        drop(s, victim);
    }
    metric_set(s->metrics, METRIC_RESULTS, 0, (int64_t)s->count);
}

static struct entry *entry_new(const char *caller, const char *id)
{
    size_t caller_len = strlen(caller), id_len = strlen(id);
    struct entry *e = tw_zalloc(sizeof(*e) + caller_len + 1 + id_len + 1);

    if (e == NULL)
        return NULL;
    e->id_len = caller_len + 1 + id_len;
    memcpy(e->id, caller, caller_len + 1);
    memcpy(e->id + caller_len + 1, id, id_len + 1);
    return e;
}

static const char *task_id(const struct entry *e)
{
    return e->id + strlen(e->id) + 1;
}

/* Locked. Puts it where it is found; false when memory is short. */
static bool insert(struct memory_store *s, struct entry *e)
{
    if (!heap_add(&s->live, &e->expiry))
        return false;
    HASH_ADD(by_correlation, s->by_correlation, correlation, sizeof(e->correlation), e);
    if (e->by_correlation.tbl != NULL) {
        HASH_ADD_KEYPTR(by_id, s->by_id, e->id, e->id_len, e);
        if (e->by_id.tbl != NULL) {
            s->count++;
            s->bytes += ENTRY_BYTES + e->id_len;
            return true;
        }
        HASH_DELETE(by_correlation, s->by_correlation, e);
    }
    heap_remove(&s->live, &e->expiry);
    return false;
}

static int memory_begin(void *ctx, const struct store_task *task)
{
    struct memory_store *s = ctx;
    struct entry *e = entry_new(task->caller, task->id), *known;
    int r = 0;

    if (e == NULL)
        return -ENOMEM;
    e->correlation = *task->correlation;
    e->topic = task->topic;
    e->accepted = clock_wall(s->clock);
    e->waited = clock_monotonic(s->clock) + task->wait;
    e->expiry.deadline = e->waited + s->ttl;
    pthread_mutex_lock(&s->lock);
    HASH_FIND(by_id, s->by_id, e->id, e->id_len, known);
    if (known != NULL && !known->finished)
        r = -EEXIST;
    else if (known != NULL) /* the id is used again: the new task takes its place */
        drop(s, known);
    if (r == 0 && !insert(s, e))
        r = -ENOMEM;
    if (r == 0)
        shrink(s);
    pthread_mutex_unlock(&s->lock);
    if (r < 0)
        free(e);
    return r;
}

/* Locked. */
static struct entry *find(struct memory_store *s, const struct uuid *correlation)
{
    struct entry *e;

    HASH_FIND(by_correlation, s->by_correlation, correlation, sizeof(*correlation), e);
    return e;
}

static void memory_forget(void *ctx, const struct uuid *correlation)
{
    struct memory_store *s = ctx;
    struct entry *e;

    pthread_mutex_lock(&s->lock);
    e = find(s, correlation);
    if (e != NULL && !e->finished)
        drop(s, e);
    metric_set(s->metrics, METRIC_RESULTS, 0, (int64_t)s->count);
    pthread_mutex_unlock(&s->lock);
}

/* Whose reply it is: STORE_FIRST when it is still awaited. */
static enum store_verdict identify(struct memory_store *s, const struct uuid *correlation,
                                   char id[static TASK_ID_MAX + 1], const char **ret_topic)
{
    enum store_verdict verdict = STORE_UNKNOWN;
    struct entry *e;

    pthread_mutex_lock(&s->lock);
    e = find(s, correlation);
    if (e != NULL && !e->finished) {
        const char *text = task_id(e);

        verdict = STORE_FIRST;
        memcpy(id, text, strlen(text) + 1);
        *ret_topic = e->topic;
    } else if (e != NULL) {
        verdict = STORE_REPEATED;
    }
    pthread_mutex_unlock(&s->lock);
    return verdict;
}

/* The reply is read outside the lock; another one may come first meanwhile. */
static enum store_verdict keep(struct memory_store *s, const struct uuid *correlation,
                               enum outcome outcome, struct buf *body, int attempts)
{
    enum store_verdict verdict = STORE_UNKNOWN;
    struct entry *e;

    pthread_mutex_lock(&s->lock);
    e = find(s, correlation);
    if (e != NULL && e->finished) {
        verdict = STORE_REPEATED;
    } else if (e != NULL) {
        verdict = STORE_FIRST;
        heap_remove(&s->live, &e->expiry);
        DL_APPEND(s->finished, e);
        e->finished = true;
        e->outcome = outcome;
        e->attempts = attempts;
        e->expiry.deadline = clock_monotonic(s->clock) + s->ttl;
        e->body = buf_ref(body);
        s->bytes += body->len;
        shrink(s);
    }
    pthread_mutex_unlock(&s->lock);
    return verdict;
}

static void memory_complete(void *ctx, const struct uuid *correlation,
                            const struct store_reply *reply, store_completed *done, void *arg)
{
    struct memory_store *s = ctx;
    BUF_CLEANUP struct buf *body = NULL;
    enum outcome outcome = OUTCOME_FAIL;
    char id[TASK_ID_MAX + 1];
    const char *topic;
    enum store_verdict verdict = identify(s, correlation, id, &topic);

    if (verdict == STORE_FIRST) {
        body = response_from_reply(&reply->text, id, topic, clock_wall(s->clock), s->max_depth,
                                   &outcome);
        verdict =
            body == NULL ? STORE_FAILED : keep(s, correlation, outcome, body, reply->attempts);
    }
    if (verdict == STORE_FIRST && s->listener.result != NULL)
        s->listener.result(s->listener.arg, correlation, outcome, body);
    done(arg, verdict);
}

static void memory_lookup(void *ctx, const char *caller, const char *id, store_looked_up *done,
                          void *arg)
{
    struct memory_store *s = ctx;
    struct entry *wanted = entry_new(caller, id), *e = NULL;
    BUF_CLEANUP struct buf *body = NULL;
    struct store_view view;

    if (wanted != NULL) {
        pthread_mutex_lock(&s->lock);
        HASH_FIND(by_id, s->by_id, wanted->id, wanted->id_len, e);
        if (e != NULL) {
            body = buf_ref(e->body);
            view = (struct store_view){.topic = e->topic,
                                       .finished = e->finished,
                                       .outcome = e->outcome,
                                       .body = body,
                                       .attempts = e->attempts,
                                       .accepted = e->accepted};
        }
        pthread_mutex_unlock(&s->lock);
        free(wanted);
    }
    done(arg, e == NULL ? NULL : &view, false);
}

static void memory_describe(void *ctx, const struct uuid *correlation, store_described *done,
                            void *arg)
{
    TW_CLEANUP_FREE char *identity = NULL;
    struct memory_store *s = ctx;
    const char *topic = NULL;
    int64_t accepted = 0;
    struct entry *e;

    pthread_mutex_lock(&s->lock);
    e = find(s, correlation);
    if (e != NULL)
        identity = malloc(e->id_len + 1);
    if (identity != NULL) {
        memcpy(identity, e->id, e->id_len + 1);
        topic = e->topic;
        accepted = e->accepted;
    }
    pthread_mutex_unlock(&s->lock);
    if (identity != NULL)
        done(arg, identity, identity + strlen(identity) + 1, topic, accepted);
}

/* One process knows of no crash. */
static void memory_attempt(void *ctx, const struct store_attempt *a, store_attempted_fn *done,
                           void *arg)
{
    (void)ctx;
    (void)a;
    done(arg, STORE_NO_ANSWER, 0, NULL);
}

static void memory_attempt_over(void *ctx, const char *topic, int32_t partition, int64_t offset)
{
    (void)ctx;
    (void)topic;
    (void)partition;
    (void)offset;
}

static void memory_listen(void *ctx, const struct store_listener *listener)
{
    struct memory_store *s = ctx;

    s->listener = *listener;
}

static int64_t memory_tick(void *ctx, int64_t now)
{
    struct memory_store *s = ctx;
    int64_t next = INT64_MAX;
    struct entry *e;

    pthread_mutex_lock(&s->lock);
    while (s->finished != NULL && s->finished->expiry.deadline <= now)
        drop(s, s->finished);
    while ((e = first_live(s)) != NULL && e->expiry.deadline <= now)
        drop(s, e);
    if (e != NULL)
        next = e->expiry.deadline;
    if (s->finished != NULL)
        next = TW_MIN(next, s->finished->expiry.deadline);
    metric_set(s->metrics, METRIC_RESULTS, 0, (int64_t)s->count);
    pthread_mutex_unlock(&s->lock);
    return next;
}

struct store memory_store_port(struct memory_store *s)
{
    static const struct store_ops ops = {
        .listen = memory_listen,
        .begin = memory_begin,
        .forget = memory_forget,
        .complete = memory_complete,
        .lookup = memory_lookup,
        .attempt = memory_attempt,
        .attempt_over = memory_attempt_over,
        .tick = memory_tick,
        .describe = memory_describe,
    };

    return (struct store){.ops = &ops, .ctx = s};
}
