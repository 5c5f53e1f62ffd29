#include "orchestrator/arrivals.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "orchestrator/wire.h"

/* What the consumer has fetched when the limit is reached is taken too, so far: reading it again is
 * dear. */
enum { SLACK = 4 << 20 };

struct reply_partition {
    int32_t number;
    bool revoked, paused;
    struct arrival *oldest, *newest; /* not done */
    int64_t next_offset;             /* after the last one taken; -1: none yet */
    int64_t lost_offset;             /* there was no room: to be read again from; -1 */
    int64_t told_offset;
    struct reply_partition *next;
};

void arrivals_init(struct arrivals *t, size_t limit, struct metrics *metrics)
{
    *t = (struct arrivals){.limit = limit, .metrics = metrics, .without_group = -1};
    pthread_mutex_init(&t->lock, NULL);
}

void arrivals_done(struct arrivals *t)
{
    while (t->held != NULL) {
        struct arrival *a = t->held;

        t->held = a->next;
        free(a);
    }
    while (t->partitions != NULL) {
        struct reply_partition *p = t->partitions;

        t->partitions = p->next;
        free(p);
    }
    pthread_mutex_destroy(&t->lock);
}

/* Locked. */
static struct reply_partition *find(struct arrivals *t, int32_t number)
{
    struct reply_partition *p = t->partitions;

    while (p != NULL && p->number != number)
        p = p->next;
    return p;
}

/* Locked. */
static void account(struct arrivals *t, struct arrival *a, bool in)
{
    t->bytes += in ? a->bytes : -a->bytes;
    metric_set(t->metrics, METRIC_REPLY_BACKLOG, 0, (int64_t)t->bytes);
}

static const char *put(char **at, const char *text, size_t len)
{
    char *start = *at;

    if (text == NULL)
        return NULL;
    memcpy(start, text, len);
    *at += len;
    return start;
}

static void borrow(const struct bus_header *header, const char **ret, size_t *ret_len)
{
    *ret = header == NULL ? NULL : header->value;
    *ret_len = header == NULL ? 0 : header->len;
}

static struct arrival *copy(const struct record *record, const struct uuid *correlation)
{
    struct store_reply r = {.text = {.value = record->value, .value_len = record->value_len},
                            .attempts = wire_number(record_header(record, WIRE_ATTEMPTS))};
    struct arrival *a;
    size_t size;
    char *at;

    borrow(record_header(record, WIRE_NEST_ERROR), &r.text.nest_error, &r.text.nest_error_len);
    borrow(record_header(record, WIRE_OUTCOME), &r.text.outcome, &r.text.outcome_len);
    borrow(record_header(record, WIRE_OWNER), &r.owner, &r.owner_len);
    size = sizeof(*a) + r.text.value_len + r.text.nest_error_len + r.text.outcome_len + r.owner_len;
    a = tw_zalloc(size);
    if (a == NULL)
        return NULL;
    at = (char *)(a + 1);
    r.text.value = put(&at, r.text.value, r.text.value_len);
    r.text.nest_error = put(&at, r.text.nest_error, r.text.nest_error_len);
    r.text.outcome = put(&at, r.text.outcome, r.text.outcome_len);
    r.owner = put(&at, r.owner, r.owner_len);
    a->reply = r;
    a->correlation = *correlation;
    a->offset = record->offset;
    a->bytes = size;
    return a;
}

struct arrival *arrivals_take(struct arrivals *t, const struct record *record,
                              const struct uuid *correlation)
{
    struct arrival *a = copy(record, correlation);
    struct reply_partition *p;

    pthread_mutex_lock(&t->lock);
    p = find(t, record->partition);
    if (p != NULL && (p->lost_offset >= 0 || record->offset < p->next_offset)) {
        free(a); /* it comes again */
        a = NULL;
    } else if (p != NULL && (a == NULL || t->bytes >= t->limit + SLACK)) {
        p->lost_offset = record->offset; /* it is read again, once there is room */
        free(a);
        a = NULL;
    } else if (p != NULL) {
        p->next_offset = record->offset + 1;
        a->partition = p;
        a->older = p->newest;
        if (p->newest == NULL)
            p->oldest = a;
        else
            p->newest->newer = a;
        p->newest = a;
    }
    if (a != NULL)
        account(t, a, true);
    pthread_mutex_unlock(&t->lock);
    return a;
}

void arrivals_skip(struct arrivals *t, const struct record *record)
{
    struct reply_partition *p;

    pthread_mutex_lock(&t->lock);
    p = find(t, record->partition);
    if (p != NULL && p->lost_offset < 0)
        p->next_offset = TW_MAX(p->next_offset, record->offset + 1);
    pthread_mutex_unlock(&t->lock);
}

/* Locked. */
static void unlink_from_partition(struct arrival *a)
{
    struct reply_partition *p = a->partition;

    if (p == NULL)
        return;
    if (a->older == NULL)
        p->oldest = a->newer;
    else
        a->older->newer = a->newer;
    if (a->newer == NULL)
        p->newest = a->older;
    else
        a->newer->older = a->older;
    a->older = a->newer = NULL;
    a->partition = NULL;
}

void arrivals_finish(struct arrivals *t, struct arrival *a)
{
    pthread_mutex_lock(&t->lock);
    unlink_from_partition(a);
    account(t, a, false);
    pthread_mutex_unlock(&t->lock);
    free(a);
}

/* Locked. */
static void hold(struct arrivals *t, struct arrival *a)
{
    a->held = true;
    a->next = NULL;
    *(t->held == NULL ? &t->held : &t->last_held->next) = a;
    t->last_held = a;
}

void arrivals_hold(struct arrivals *t, struct arrival *a)
{
    pthread_mutex_lock(&t->lock);
    hold(t, a);
    pthread_mutex_unlock(&t->lock);
}

void arrivals_keep(struct arrivals *t, struct arrival *a)
{
    bool room;

    pthread_mutex_lock(&t->lock);
    unlink_from_partition(a);
    room = t->bytes <= t->limit / 2;
    if (room)
        hold(t, a);
    else
        account(t, a, false);
    pthread_mutex_unlock(&t->lock);
    if (!room)
        free(a);
}

struct arrival *arrivals_unhold(struct arrivals *t)
{
    struct arrival *list;

    pthread_mutex_lock(&t->lock);
    list = TW_TAKE_PTR(t->held);
    for (struct arrival *a = list; a != NULL; a = a->next)
        a->held = false;
    pthread_mutex_unlock(&t->lock);
    return list;
}

bool arrivals_assign(struct arrivals *t, int32_t partition)
{
    struct reply_partition *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return false;
    p->number = partition;
    p->next_offset = p->lost_offset = p->told_offset = -1;
    pthread_mutex_lock(&t->lock);
    assert(find(t, partition) == NULL);
    p->next = t->partitions;
    t->partitions = p;
    pthread_mutex_unlock(&t->lock);
    return true;
}

void arrivals_revoke(struct arrivals *t, int32_t partition)
{
    struct reply_partition *p;

    pthread_mutex_lock(&t->lock);
    p = find(t, partition);
    if (p != NULL)
        p->revoked = true;
    pthread_mutex_unlock(&t->lock);
}

bool arrivals_idle(struct arrivals *t, int32_t partition)
{
    struct reply_partition *p;
    bool idle = true;

    pthread_mutex_lock(&t->lock);
    p = find(t, partition);
    for (struct arrival *a = p == NULL ? NULL : p->oldest; a != NULL; a = a->newer)
        idle &= a->held;
    pthread_mutex_unlock(&t->lock);
    return idle;
}

/* Held ones of the partition are dropped: whoever has it now reads them. */
static void drop_held(struct arrivals *t, const struct reply_partition *p)
{
    struct arrival *a = TW_TAKE_PTR(t->held), *next;

    for (; a != NULL; a = next) {
        next = a->next;
        if (a->partition != p) {
            hold(t, a);
            continue;
        }
        unlink_from_partition(a);
        account(t, a, false);
        free(a);
    }
}

void arrivals_unassign(struct arrivals *t, int32_t partition)
{
    struct reply_partition **at, *p;

    arrivals_revoke(t, partition);
    pthread_mutex_lock(&t->lock);
    for (at = &t->partitions; *at != NULL && (*at)->number != partition;)
        at = &(*at)->next;
    p = *at;
    if (p != NULL) {
        *at = p->next;
        drop_held(t, p);
        while (p->oldest != NULL)
            unlink_from_partition(p->oldest);
        free(p);
    }
    pthread_mutex_unlock(&t->lock);
}

int32_t arrivals_hint(struct arrivals *t)
{
    struct reply_partition *p;
    int32_t hint;

    pthread_mutex_lock(&t->lock);
    for (p = t->partitions; p != NULL && p->revoked; p = p->next)
        ;
    hint = p != NULL ? p->number : t->without_group;
    pthread_mutex_unlock(&t->lock);
    return hint;
}

void arrivals_without_group(struct arrivals *t, int32_t partition)
{
    pthread_mutex_lock(&t->lock);
    t->without_group = partition;
    pthread_mutex_unlock(&t->lock);
}

/* Locked. Fills in what is new about `p`; false when nothing is. */
static bool news(const struct arrivals *t, struct reply_partition *p, struct partition_order *ret)
{
    int64_t offset = p->oldest == NULL ? p->next_offset : p->oldest->offset;

    *ret = (struct partition_order){.partition = p->number, .offset = -1, .rewind = p->lost_offset};
    p->lost_offset = -1;
    if (offset != p->told_offset)
        ret->offset = p->told_offset = offset;
    if (!p->paused && t->bytes >= t->limit) {
        ret->pause = p->paused = true;
        ret->rewind = ret->rewind >= 0 ? ret->rewind : p->next_offset;
        metric_inc(t->metrics, METRIC_REPLY_PAUSES, 0);
    } else if (p->paused && t->bytes < t->limit / 2) {
        ret->resume = true;
        p->paused = false;
    }
    return ret->offset >= 0 || ret->rewind >= 0 || ret->pause || ret->resume;
}

void arrivals_collect(struct arrivals *t,
                      void (*take)(void *ctx, const struct partition_order *order), void *ctx)
{
    struct partition_order orders[64];
    size_t n;

    do { /* in portions: what is told once is not news again */
        n = 0;
        pthread_mutex_lock(&t->lock);
        for (struct reply_partition *p = t->partitions; p != NULL; p = p->next)
            if (n < TW_ARRAY_LEN(orders) && news(t, p, &orders[n]))
                n++;
        pthread_mutex_unlock(&t->lock);
        for (size_t i = 0; i < n; i++)
            take(ctx, &orders[i]);
    } while (n == TW_ARRAY_LEN(orders));
}
