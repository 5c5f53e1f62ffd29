/* Virtual time and chance. */
#include <stdarg.h>
#include <stdio.h>

#include "sim.h"

/* splitmix64 */
uint64_t sim_random(struct sim *s, uint64_t below)
{
    uint64_t z = (s->schedule.random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

bool sim_chance(struct sim *s, unsigned in_thousand)
{
    return sim_random(s, 1000) < in_thousand;
}

int64_t sim_between(struct sim *s, int64_t least, int64_t most)
{
    return least + (int64_t)sim_random(s, (uint64_t)(most - least) + 1);
}

int64_t sim_delay(struct sim *s, int64_t least, int64_t most)
{
    return sim_between(s, least, sim_chance(s, 900) ? least + (most - least) / 10 : most);
}

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->number < b->number;
}

static void push(struct schedule *q, struct event e)
{
    size_t i = q->count++;

    if (q->count > q->capacity) {
        q->capacity = q->capacity == 0 ? 256 : 2 * q->capacity;
        q->heap = realloc(q->heap, q->capacity * sizeof(*q->heap));
        if (q->heap == NULL)
            abort();
    }
    for (; i > 0 && before(&e, &q->heap[(i - 1) / 2]); i = (i - 1) / 2)
        q->heap[i] = q->heap[(i - 1) / 2];
    q->heap[i] = e;
}

static struct event pop(struct schedule *q)
{
    struct event first = q->heap[0], last = q->heap[--q->count];
    size_t i = 0, child;

    for (; (child = 2 * i + 1) < q->count; i = child) {
        if (child + 1 < q->count && before(&q->heap[child + 1], &q->heap[child]))
            child++;
        if (!before(&q->heap[child], &last))
            break;
        q->heap[i] = q->heap[child];
    }
    q->heap[i] = last;
    return first;
}

void sim_at(struct sim *s, int64_t at, void (*fire)(struct sim *, struct event *), struct pod *pod,
            void *ptr, int64_t n)
{
    push(&s->schedule, (struct event){.at = TW_MAX(at, s->now),
                                      .number = ++s->schedule.made,
                                      .fire = fire,
                                      .pod = pod,
                                      .life = pod == NULL ? 0 : pod->life,
                                      .ptr = ptr,
                                      .n = n});
}

void sim_run(struct sim *s, int64_t until)
{
    while (!s->failed && s->schedule.count > 0 && s->schedule.heap[0].at <= until) {
        struct event e = pop(&s->schedule);
        const struct pod *pod = e.pod;

        s->now = e.at;
        if (pod != NULL && (!pod->alive || pod->life != e.life))
            continue;
        if (pod != NULL && pod->frozen_until > s->now) {
            e.at = pod->frozen_until;
            push(&s->schedule, e);
            continue;
        }
        e.fire(s, &e);
    }
    if (!s->failed)
        s->now = until;
}

void sim_trace(struct sim *s, const char *fmt, ...)
{
    va_list ap;

    if (!s->trace)
        return;
    printf("%9.3f  ", (double)(s->now - BEGIN_OF_TIME) / (double)SEC);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
    va_list ap;
    int at;

    if (s->failed)
        return;
    s->failed = true;
    at = snprintf(s->why, sizeof(s->why),
                  "at %.3f s: ", (double)(s->now - BEGIN_OF_TIME) / (double)SEC);
    va_start(ap, fmt);
    vsnprintf(s->why + at, sizeof(s->why) - (size_t)at, fmt, ap);
    va_end(ap);
    sim_trace(s, "FAILED %s", s->why);
}

void sim_cover(struct sim *s, enum cover what)
{
    s->coverage[what]++;
}
