/*
 * The members of the two consumer groups, of tasks and of replies, as core/kafka/group.c and
 * tasks.c turn.
 */
#include "group.h"

#define REVOKE_WAIT (5 * SEC)
#define COMMIT_EVERY (500 * MS)

static void turn(struct sim *s, struct event *e);

static void plan_turn(struct member *m, int64_t at)
{
    if (m->turn_at > m->pod->s->now && m->turn_at <= at)
        return;
    m->turn_at = at;
    sim_at(m->pod->s, at, turn, m->pod, m, at);
}

bool member_live(const struct member *m)
{
    return m->pod->alive && m == m->pod->members[m->kind] && !m->left;
}

void member_wake(struct member *m)
{
    if (m != NULL && member_live(m))
        plan_turn(m, m->pod->s->now + sim_between(m->pod->s, 0, 5 * MS));
}

void member_cut_off(struct member *m, int64_t until)
{
    m->cut_until = until;
}

/* ---- the orchestrator's side ------------------------------------------------------------------
 */

static void order(void *ctx, const struct partition_order *o)
{
    struct member *m = ctx;
    struct sim *s = m->pod->s;
    int i = 0;

    while (m->group->partitions[i].number != o->partition ||
           (m->kind == GROUP_TASKS && m->group->partitions[i].topic != (int)o->topic))
        i++;
    if (o->offset >= 0)
        m->parts[i].stored = o->offset;
    if (o->rewind >= 0) {
        m->parts[i].position = o->rewind;
        sim_cover(s, COVER_REWOUND);
    }
    if (o->pause)
        sim_cover(s, m->kind == GROUP_TASKS ? COVER_PAUSED : COVER_REPLIES_PAUSED);
    if (o->resume)
        sim_cover(s, m->kind == GROUP_TASKS ? COVER_RESUMED : COVER_REPLIES_RESUMED);
    m->parts[i].paused = (m->parts[i].paused || o->pause) && !o->resume;
}

static void collect(struct member *m)
{
    if (m->kind == GROUP_TASKS)
        orchestrator_collect(m->pod->o, order, m);
    else
        orchestrator_collect_replies(m->pod->o, order, m);
}

static void commit(struct member *m, int i)
{
    struct group_partition *p = &m->group->partitions[i];
    struct sim *s = m->pod->s;
    int64_t offset = m->parts[i].stored;

    if (offset < 0 || !m->joined || p->owner != m)
        return; /* fenced */
    if (s->sabotage == SABOTAGE_COMMIT && offset < s->broker.logs[p->topic][p->number].end)
        offset++;
    if (offset == p->committed)
        return;
    sim_trace(s, "commit pod %d %s [%d] %lld", m->pod->number, broker_name(p->topic), p->number,
              (long long)offset);
    check_commit(s, p, offset);
    p->committed = offset;
}

static void commit_all(struct sim *s, struct event *e)
{
    struct member *m = e->ptr;

    if (m->left)
        return;
    for (int i = 0; i < m->group->count && m->cut_until <= s->now; i++)
        if (m->parts[i].assigned)
            commit(m, i);
    sim_at(s, s->now + COMMIT_EVERY, commit_all, m->pod, m, 0);
}

static void assign(struct member *m, int i)
{
    const struct group_partition *p = &m->group->partitions[i];
    struct held_partition *h = &m->parts[i];
    struct sim *s = m->pod->s;

    *h = (struct held_partition){
        .assigned = true, .position = p->committed, .stored = -1, .epoch = h->epoch + 1};
    h->end = s->broker.logs[p->topic][p->number].end;
    h->fresh = sim_chance(s, 200); /* the question for its end was not answered */
    sim_trace(s, "group  pod %d gets %s [%d] from %lld, end %lld%s", m->pod->number,
              broker_name(p->topic), p->number, (long long)h->position, (long long)h->end,
              h->fresh ? " (not told)" : "");
    if (m->kind == GROUP_REPLIES) {
        orchestrator_on_replies_assigned(m->pod->o, p->number);
        return;
    }
    orchestrator_on_assigned(m->pod->o, (size_t)p->topic, p->number);
    if (!h->fresh)
        orchestrator_on_end(m->pod->o, (size_t)p->topic, p->number, h->end);
}

static void revoke(struct member *m, int i)
{
    const struct group_partition *p = &m->group->partitions[i];
    int64_t queued;

    m->parts[i].giving = true;
    if (m->kind == GROUP_REPLIES) {
        orchestrator_on_replies_revoked(m->pod->o, p->number);
        return;
    }
    queued = metric_get(m->pod->metrics, METRIC_RECORDS_QUEUED, (size_t)p->topic);
    orchestrator_on_revoked(m->pod->o, (size_t)p->topic, p->number);
    if (metric_get(m->pod->metrics, METRIC_RECORDS_QUEUED, (size_t)p->topic) < queued)
        sim_cover(m->pod->s, COVER_QUEUED_DROPPED);
}

static void unassign(struct member *m, int i, bool lost)
{
    struct group_partition *p = &m->group->partitions[i];
    int64_t backlog = metric_get(m->pod->metrics, METRIC_REPLY_BACKLOG, 0);

    sim_trace(m->pod->s, "group  pod %d %s %s [%d]", m->pod->number, lost ? "lost" : "gives up",
              broker_name(p->topic), p->number);
    if (m->kind == GROUP_REPLIES)
        orchestrator_on_replies_unassigned(m->pod->o, p->number);
    else
        orchestrator_on_unassigned(m->pod->o, (size_t)p->topic, p->number);
    if (metric_get(m->pod->metrics, METRIC_REPLY_BACKLOG, 0) < backlog)
        sim_cover(m->pod->s, COVER_HELD_DROPPED);
    if (!lost)
        commit(m, i);
    m->parts[i].assigned = m->parts[i].giving = false;
    m->parts[i].epoch++;
    if (p->owner == m)
        p->owner = NULL;
}

static void finish_revocation(struct member *m)
{
    collect(m);
    m->revoking = false;
    for (int i = 0; i < m->group->count; i++)
        if (m->parts[i].giving)
            unassign(m, i, false);
}

static void lose_all(struct member *m)
{
    for (int i = 0; i < m->group->count; i++) {
        if (m->parts[i].taking && m->group->partitions[i].owner == m)
            m->group->partitions[i].owner = NULL;
        m->parts[i].taking = m->parts[i].asked = false;
        if (!m->parts[i].assigned)
            continue;
        revoke(m, i);
        unassign(m, i, true);
    }
    m->revoking = false;
}

static void begin_revocation(struct member *m)
{
    m->revoking = true;
    m->deadline = m->pod->s->now + REVOKE_WAIT;
}

/* ---- a member's turn --------------------------------------------------------------------------
 */

static void deliver(struct member *m, int i, const struct entry *e)
{
    const struct group_partition *p = &m->group->partitions[i];
    struct held_partition *h = &m->parts[i];

    if (m->kind == GROUP_REPLIES) {
        m->pod->s->shared.delivering = true;
        orchestrator_on_reply(m->pod->o, e->record);
        m->pod->s->shared.delivering = false;
        return;
    }
    if (h->fresh)
        orchestrator_on_end(m->pod->o, (size_t)p->topic, p->number, h->end);
    h->fresh = false;
    orchestrator_on_task(m->pod->o, e->record);
}

static void fetch(struct member *m)
{
    struct sim *s = m->pod->s;

    for (int i = 0; i < m->group->count; i++) {
        const struct group_partition *p = &m->group->partitions[i];
        struct log_partition *log = &s->broker.logs[p->topic][p->number];
        struct held_partition *h = &m->parts[i];
        int64_t n = sim_between(s, 1, 8);

        if (!h->assigned || h->paused || s->broker.away_until > s->now)
            continue;
        h->end = log->end;
        for (; n > 0 && h->position < log->end; n--) {
            struct entry *e = &log->entries[h->position++];

            if (s->sabotage == SABOTAGE_DROP && m->kind == GROUP_TASKS && sim_chance(s, 50))
                continue;
            e->fate.taken = s->now;
            deliver(m, i, e);
        }
    }
}

static void rebalance(struct member *m)
{
    struct sim *s = m->pod->s;
    bool given = false, taken = false;

    if (!m->joined || s->now - m->heard >= SESSION) {
        bool had = m->joined;

        m->joined = false;
        lose_all(m);
        if (!had && m->cut_until <= s->now && !m->leaving) { /* joins anew */
            m->heard = s->now;
            m->joined = true;
        }
        return;
    }
    for (int i = 0; i < m->group->count; i++) {
        taken |= m->parts[i].taking;
        given |= m->parts[i].asked;
    }
    if (m->revoking && (taken || given))
        finish_revocation(m);
    for (int i = 0; i < m->group->count; i++) {
        if (m->parts[i].taking)
            assign(m, i);
        else if (m->parts[i].asked)
            revoke(m, i);
        m->parts[i].taking = m->parts[i].asked = false;
    }
    if (given)
        begin_revocation(m);
}

static void revocation_turn(struct member *m)
{
    bool idle = true;

    for (int i = 0; i < m->group->count && m->revoking; i++) {
        const struct group_partition *p = &m->group->partitions[i];

        if (m->parts[i].giving)
            idle &= m->kind == GROUP_REPLIES
                        ? orchestrator_replies_idle(m->pod->o, p->number)
                        : orchestrator_partition_idle(m->pod->o, (size_t)p->topic, p->number);
    }
    if (m->revoking && (idle || m->pod->s->now >= m->deadline))
        finish_revocation(m);
}

static int64_t queued(const struct pod *pod)
{
    return metric_get(pod->metrics, METRIC_RECORDS_QUEUED, KEYED) +
           metric_get(pod->metrics, METRIC_RECORDS_QUEUED, SERIAL);
}

static void turn(struct sim *s, struct event *e)
{
    struct member *m = e->ptr;
    int64_t before = m->kind == GROUP_TASKS ? queued(m->pod) : 0;

    if (m->left || e->n != m->turn_at)
        return;
    /* It stood still with events in its hands: they come before the group is asked again. */
    if (m->kind == GROUP_TASKS && m->polled != 0 && s->now - m->polled > SESSION / 2 &&
        sim_chance(s, 700)) {
        fetch(m);
        collect(m);
    }
    m->polled = s->now;
    if (m->kind == GROUP_TASKS && orchestrator_on_polled(m->pod->o)) {
        sim_trace(s, "fence  pod %d", m->pod->number);
        if (queued(m->pod) < before)
            sim_cover(s, COVER_QUEUED_DROPPED);
        for (int i = 0; i < m->group->count; i++) {
            m->parts[i].fresh = true;
            m->parts[i].epoch += m->parts[i].assigned && !m->parts[i].giving;
        }
    }
    rebalance(m);
    fetch(m);
    collect(m);
    revocation_turn(m);
    if (m->leaving && !m->revoking) {
        m->left = true;
        m->joined = false;
        return;
    }
    plan_turn(m, s->now + sim_delay(s, 20 * MS, 400 * MS));
}

unsigned member_epoch(const struct pod *pod, int topic, int partition)
{
    const struct member *m = pod->members[GROUP_TASKS];

    for (int i = 0; i < m->group->count; i++)
        if (m->group->partitions[i].topic == topic && m->group->partitions[i].number == partition)
            return m->parts[i].epoch;
    return 0;
}

/* ---- joining and leaving ----------------------------------------------------------------------
 */

struct member *group_join(struct pod *pod, int kind)
{
    struct sim *s = pod->s;
    struct member *m = calloc(1, sizeof(*m));

    *m = (struct member){.pod = pod,
                         .group = &s->groups[kind],
                         .kind = kind,
                         .joined = true,
                         .heard = s->now,
                         .next = s->groups[kind].members};
    s->groups[kind].members = m;
    plan_turn(m, s->now + sim_delay(s, 0, 500 * MS));
    sim_at(s, s->now + COMMIT_EVERY, commit_all, pod, m, 0);
    return m;
}

void group_leave(struct member *m)
{
    m->leaving = true;
    if (m->revoking)
        finish_revocation(m);
    for (int i = 0; i < m->group->count; i++) {
        if (m->parts[i].taking)
            m->group->partitions[i].owner = NULL;
        m->parts[i].taking = m->parts[i].asked = false;
        if (m->parts[i].assigned)
            revoke(m, i);
    }
    begin_revocation(m);
    member_wake(m);
}

bool member_left(const struct member *m)
{
    return m->left;
}
