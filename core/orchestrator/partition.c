#include "orchestrator/partition.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/util.h"

/* It exists while it has an owner: the one record of it that is ready, or running. */
struct lane {
    UT_hash_handle hh;
    struct work_list parked;
    size_t n_parked;
    size_t key_len;
    char key[];
};

void work_list_push(struct work_list *list, struct work *work)
{
    work->next = NULL;
    if (list->last == NULL)
        list->first = work;
    else
        list->last->next = work;
    list->last = work;
}

void work_list_append(struct work_list *list, struct work *more)
{
    while (more != NULL) {
        struct work *work = more;

        more = work->next;
        work_list_push(list, work);
    }
}

struct work *work_list_pop(struct work_list *list)
{
    struct work *work = list->first;

    if (work == NULL)
        return NULL;
    list->first = work->next;
    if (list->first == NULL)
        list->last = NULL;
    work->next = NULL;
    return work;
}

struct partition *partition_new(size_t topic, int32_t number)
{
    struct partition *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->topic = topic;
    p->number = number;
    p->next_offset = p->lost_offset = p->told_offset = p->end = -1;
    return p;
}

void partition_forget(struct partition *p, struct work *work)
{
    if (work->older == NULL)
        p->oldest = work->newer;
    else
        work->older->newer = work->newer;
    if (work->newer == NULL)
        p->newest = work->older;
    else
        work->newer->older = work->older;
    work->older = work->newer = NULL;
}

static struct lane *lane_find(struct partition *p, const char *key, size_t len)
{
    struct lane *lane;

    HASH_FIND(hh, p->lanes, key, len, lane);
    return lane;
}

static struct lane *lane_new(struct partition *p, const char *key, size_t len)
{
    struct lane *lane = tw_zalloc(sizeof(*lane) + len);

    if (lane == NULL)
        return NULL;
    memcpy(lane->key, key, len);
    lane->key_len = len;
    HASH_ADD_KEYPTR(hh, p->lanes, lane->key, lane->key_len, lane);
    if (lane->hh.tbl != NULL)
        return lane;
    free(lane);
    return NULL;
}

static void lane_free(struct partition *p, struct lane *lane)
{
    HASH_DELETE(hh, p->lanes, lane);
    free(lane);
}

/* Gives the work its lane. */
static enum partition_taken enter_lane(struct partition *p, struct work *work, const char *key,
                                       size_t len, size_t parked_per_key)
{
    work->lane = lane_find(p, key, len);
    if (work->lane == NULL) {
        work->lane = lane_new(p, key, len);
        return work->lane == NULL ? PARTITION_NO_MEMORY : PARTITION_READY;
    }
    work_list_push(&work->lane->parked, work);
    if (++work->lane->n_parked == parked_per_key)
        p->crowded++;
    return PARTITION_PARKED;
}

enum partition_taken partition_take(struct partition *p, struct work *work, bool one_lane,
                                    size_t parked_per_key)
{
    const struct record *r = work->record;
    enum partition_taken taken = PARTITION_READY;

    if (one_lane)
        taken = enter_lane(p, work, "", 0, parked_per_key);
    else if (r->key != NULL)
        taken = enter_lane(p, work, r->key, r->key_len, parked_per_key);
    if (taken == PARTITION_NO_MEMORY)
        return taken;
    work->partition = p;
    work->older = p->newest;
    if (p->newest == NULL)
        p->oldest = work;
    else
        p->newest->newer = work;
    p->newest = work;
    p->next_offset = r->offset + 1;
    return taken;
}

struct work *partition_leave_lane(struct work *work, size_t parked_per_key)
{
    struct lane *lane = TW_TAKE_PTR(work->lane);
    struct work *next;

    if (lane == NULL)
        return NULL;
    next = work_list_pop(&lane->parked);
    if (next == NULL)
        lane_free(work->partition, lane);
    else if (lane->n_parked-- == parked_per_key)
        work->partition->crowded--;
    return next;
}

int64_t partition_commit_point(const struct partition *p)
{
    if (p->oldest != NULL && p->oldest->record->offset < p->next_offset)
        return p->oldest->record->offset;
    return p->next_offset;
}

/* It was queued, and will be read again by whoever has the partition then. */
static void drop(struct partition *p, struct work *work)
{
    p->next_offset = TW_MIN(p->next_offset, work->record->offset);
    partition_forget(p, work);
    work_free(work);
}

size_t partition_drop_queued(struct partition *p, struct work_list *ready)
{
    struct lane *lane, *next;
    struct work *work;
    size_t n = 0;

    HASH_ITER (hh, p->lanes, lane, next) {
        for (; (work = work_list_pop(&lane->parked)) != NULL; n++)
            drop(p, work);
        lane->n_parked = 0;
    }
    p->crowded = 0;
    for (; (work = work_list_pop(ready)) != NULL; n++) {
        if (work->lane != NULL)
            lane_free(p, work->lane);
        drop(p, work);
    }
    return n;
}

void partition_give_back(struct partition *p, struct work *work)
{
    p->next_offset = TW_MIN(p->next_offset, work->record->offset);
    partition_forget(p, work);
    work->partition = NULL;
}

void partition_detach(struct partition *p)
{
    while (p->oldest != NULL) { /* running or closing */
        struct work *work = p->oldest;

        partition_forget(p, work);
        work->partition = NULL;
        if (work->lane != NULL)
            lane_free(p, TW_TAKE_PTR(work->lane));
    }
    p->active = 0;
    assert(p->lanes == NULL);
}

void partition_free(struct partition *p)
{
    partition_detach(p);
    free(p);
}

void partition_restart(struct partition *p)
{
    int64_t from = partition_commit_point(p);

    partition_detach(p);
    p->end = -1;
    p->next_offset = from; /* what is finished below is still told */
    if (from >= 0)
        p->lost_offset = from;
}

bool partition_news(struct partition *p, bool above, bool above_half, struct metrics *metrics,
                    struct partition_order *ret)
{
    int64_t offset = partition_commit_point(p);

    *ret = (struct partition_order){
        .topic = p->topic, .partition = p->number, .offset = -1, .rewind = p->lost_offset};
    p->lost_offset = -1;
    if (offset != p->told_offset)
        ret->offset = p->told_offset = offset;
    if (!p->revoked && !p->paused && above) {
        ret->pause = p->paused = true;
        ret->rewind = ret->rewind >= 0 ? ret->rewind : p->next_offset;
        metric_inc(metrics, METRIC_PARTITION_PAUSES, p->topic);
    } else if (!p->revoked && p->paused && !above_half) {
        ret->resume = true;
        p->paused = false;
    }
    return ret->offset >= 0 || ret->rewind >= 0 || ret->pause || ret->resume;
}
