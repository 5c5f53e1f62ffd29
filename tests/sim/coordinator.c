/*
 * The coordinators of the two groups. A partition is taken away from one member before it is given
 * to another, as cooperative-sticky does; a member that is silent for a session has lost all it
 * had, and nothing more that it commits is taken.
 */
#include "group.h"

static struct member *any_member(struct sim *s, struct group *g)
{
    struct member *found = NULL;
    uint64_t n = 0;

    for (struct member *m = g->members; m != NULL; m = m->next)
        if (m->joined && !m->leaving && sim_random(s, ++n) == 0)
            found = m;
    return found;
}

static void expel(struct sim *s, struct group *g, struct member *m)
{
    sim_trace(s, "group  pod %d is expelled from %s", m->pod->number,
              m->kind == GROUP_TASKS ? "tasks" : "replies");
    m->joined = false;
    for (int i = 0; i < g->count; i++)
        if (g->partitions[i].owner == m)
            g->partitions[i].owner = NULL;
}

/* Every partition has somebody to go to; a newcomer gets its share. */
static void plan(struct sim *s, struct group *g)
{
    for (int i = 0; i < g->count; i++) {
        struct group_partition *p = &g->partitions[i];

        if (p->wanted == NULL || !p->wanted->joined || p->wanted->leaving || g->shuffle)
            p->wanted = any_member(s, g);
    }
    g->shuffle = false;
}

static void tell(struct sim *s, struct group *g, int i)
{
    struct group_partition *p = &g->partitions[i];

    if (p->owner == NULL && p->wanted != NULL && !p->wanted->parts[i].assigned) {
        p->owner = p->wanted;
        p->owner->parts[i].taking = true;
        member_wake(p->owner);
    } else if (p->owner != NULL && p->owner != p->wanted && p->owner->parts[i].assigned &&
               !p->owner->parts[i].giving && !p->owner->leaving) {
        p->owner->parts[i].asked = true;
        if (sim_chance(s, 500))
            member_wake(p->owner);
    }
}

static void tick(struct sim *s, struct event *e)
{
    struct group *g = e->ptr;

    for (struct member *m = g->members; m != NULL; m = m->next) {
        bool silent = !member_live(m) || m->pod->frozen_until > s->now || m->cut_until > s->now;

        if (!silent && m->joined && s->now - m->heard < SESSION)
            m->heard = s->now;
        if (m->joined && s->now - m->heard >= SESSION)
            expel(s, g, m);
    }
    plan(s, g);
    for (int i = 0; i < g->count; i++)
        tell(s, g, i);
    sim_at(s, s->now + sim_between(s, 100 * MS, 800 * MS), tick, NULL, g, 0);
}

void groups_init(struct sim *s)
{
    static const int topics[GROUPS][2] = {{KEYED, SERIAL}, {REPLIES, -1}};

    for (int kind = 0; kind < GROUPS; kind++) {
        struct group *g = &s->groups[kind];

        for (int t = 0; t < 2 && topics[kind][t] >= 0; t++)
            for (int p = 0; p < broker_partitions(topics[kind][t]); p++)
                g->partitions[g->count++] =
                    (struct group_partition){.topic = topics[kind][t], .number = p};
        sim_at(s, s->now, tick, NULL, g, 0);
    }
}

bool groups_at_end(struct sim *s, bool say)
{
    for (int kind = 0; kind < GROUPS; kind++)
        for (int i = 0; i < s->groups[kind].count; i++) {
            const struct group_partition *p = &s->groups[kind].partitions[i];
            int64_t end = s->broker.logs[p->topic][p->number].end;

            if (p->committed == end)
                continue;
            if (say)
                sim_fail(s, "%s [%d] is committed up to %lld only, its end is %lld",
                         broker_name(p->topic), p->number, (long long)p->committed, (long long)end);
            return false;
        }
    return true;
}

void groups_done(struct sim *s)
{
    for (int kind = 0; kind < GROUPS; kind++)
        while (s->groups[kind].members != NULL) {
            struct member *m = s->groups[kind].members;

            s->groups[kind].members = m->next;
            free(m);
        }
}
