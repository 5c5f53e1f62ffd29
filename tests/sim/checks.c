/* What must hold, whatever happens. */
#include <string.h>

#include "orchestrator/wire.h"
#include "sim.h"

#define LOOK (2 * SEC)
#define SLACK SEC

/* ---- answers ----------------------------------------------------------------------------------
 */

static struct entry *entry_of(struct sim *s, const struct job *job)
{
    return job->appended_topic < 0 ? NULL
                                   : &s->broker.logs[job->appended_topic][job->appended_partition]
                                          .entries[job->appended_offset];
}

static void check_reply(struct sim *s, struct job *job, const struct answer *a)
{
    static const enum outcome outcomes[] = {
        [DOES_WELL] = OUTCOME_OK,    [DOES_REJECT] = OUTCOME_REJECT, [DOES_FAIL] = OUTCOME_FAIL,
        [DOES_PUBLISH] = OUTCOME_OK, [DOES_TOO_MUCH] = OUTCOME_FAIL, [DOES_CRASH] = OUTCOME_FAIL,
    };
    int n = job_of_text(a->body->data, a->body->len);
    const struct entry *e = entry_of(s, job);

    if (!job->asks)
        sim_fail(s, "job %d wanted no reply and got one", job->number);
    if (e == NULL)
        sim_fail(s, "job %d is not in the log and has a result", job->number);
    else if (n >= 0 && n != job->number)
        sim_fail(s, "job %d was answered with the result of job %d", job->number, n);
    else if (memmem(a->body->data, a->body->len, job->id, strlen(job->id)) == NULL)
        sim_fail(s, "job %d was answered without its id", job->number);
    else if (job->does != DOES_PUBLISH_NOWHERE && a->outcome != outcomes[job->does] &&
             !(a->outcome == OUTCOME_FAIL && e->fate.letter))
        sim_fail(s, "job %d ended as %s", job->number, outcome_name(a->outcome));
    sim_cover(s, job->acked ? COVER_ANSWERED_ACKED : COVER_ANSWERED_UNACKED);
    if (job->maybe)
        sim_cover(s, COVER_LOST_ANSWERED);
    sim_cover(s, s->shared.bringing);
}

static void check_error(struct sim *s, struct job *job, enum error_code error)
{
    bool over = job->asks && s->now >= job->begun + job->wait;
    const char *slug = error_info(error)->slug;

    switch (error) {
    case ERROR_TIMEOUT:
        if (!over || job->appended_topic < 0)
            sim_fail(s, "job %d was told %s, %s", job->number, slug,
                     over ? "and is not in the log" : "too early");
        sim_cover(s, COVER_TIMEOUT);
        sim_cover(s, COVER_EXPIRED_ACKED);
        break;
    case ERROR_OUTCOME_UNKNOWN:
        if (job->asks && !over)
            sim_fail(s, "job %d was told %s too early", job->number, slug);
        if (job->asks)
            sim_cover(s, COVER_EXPIRED_UNACKED);
        sim_cover(s, job->maybe ? COVER_LOST_504 : COVER_UNACKED_504);
        break;
    case ERROR_DRAINING:
        if (!job->pod->draining)
            sim_fail(s, "job %d was told %s", job->number, slug);
        sim_cover(s, COVER_DRAINING);
        break;
    default:
        job->refused = true;
        if (job->appended_topic >= 0)
            sim_fail(s, "job %d was told %s, that nothing was sent, and it is in the log",
                     job->number, slug);
        sim_cover(s, COVER_UNSENT);
        sim_cover(s, COVER_REFUSED_503);
    }
}

void check_answer(struct sim *s, struct job *job, const struct answer *a)
{
    sim_trace(s, "answer job %d: %s", job->number,
              a->kind == ANSWER_REPLY  ? outcome_name(a->outcome)
              : a->kind == ANSWER_SENT ? "sent"
                                       : error_info(a->error)->slug);
    if (++job->answers > 1)
        sim_fail(s, "job %d was answered twice", job->number);
    if (!job->taken || job->orphaned)
        sim_fail(s, "job %d was answered, and nobody waits for it", job->number);
    if (job->asks && job->pod->frozen_until < job->begun && s->now > job->begun + job->wait + SLACK)
        sim_fail(s, "job %d was answered %.3f s after its wait was over", job->number,
                 (double)(s->now - job->begun - job->wait) / (double)SEC);
    if (a->kind == ANSWER_REPLY) {
        check_reply(s, job, a);
    } else if (a->kind == ANSWER_SENT) {
        if (job->asks || job->appended_topic != job->topic ||
            job->appended_partition != a->partition || job->appended_offset != a->offset)
            sim_fail(s, "job %d was told to be at [%d] %lld, and is not", job->number,
                     (int)a->partition, (long long)a->offset);
        sim_cover(s, COVER_SENT);
    } else {
        check_error(s, job, a->error);
    }
}

/* A result that another pod brought must be with who waits within two looks. */
static void on_late(struct sim *s, struct event *e)
{
    const struct job *job = e->ptr;
    const struct pod *pod = job->pod;

    if (s->now < TW_MAX(job->stored_at, job->begun + LOOK) + LOOK + SLACK)
        return; /* it was lost and stored again meanwhile: another look is due */
    if (job->answers > 0 || job->orphaned || !pod->client.up ||
        pod->client.up_since > job->stored_at || s->shared.away ||
        (s->shared.emptied > 0 && s->shared.emptied_at >= job->stored_at) ||
        pod->frozen_until >= job->stored_at || !pod->alive)
        return;
    sim_fail(s, "job %d has a result since %.3f s, and pod %d where it waits does not know",
             job->number, (double)(s->now - job->stored_at) / (double)SEC, pod->number);
}

static bool same(const struct job *job, const struct uuid *id)
{
    struct uuid own;

    return job->correlation_len > 0 &&
           uuid_from_wire(job->correlation, job->correlation_len, &own) && uuid_equal(&own, id);
}

void check_stored(struct sim *s, const struct uuid *correlation)
{
    for (int i = 0; i < s->n_jobs; i++) {
        struct job *job = s->jobs[i];

        if (!same(job, correlation))
            continue;
        job->stored_at = s->now;
        if (job->taken && job->answers == 0)
            sim_at(s, TW_MAX(s->now, job->begun + LOOK) + LOOK + SLACK, on_late, NULL, job, 0);
    }
}

void check_reply_safe(struct sim *s, const char *correlation)
{
    struct uuid id, own;

    uuid_from_wire(correlation, UUID_TEXT_LEN, &id);
    for (int p = 0; p < broker_partitions(REPLIES); p++)
        for (int64_t i = 0; i < s->broker.logs[REPLIES][p].end; i++) {
            struct entry *e = &s->broker.logs[REPLIES][p].entries[i];
            const struct bus_header *c = record_header(e->record, WIRE_CORRELATION_ID);

            if (!e->stored && uuid_from_wire(c->value, c->len, &own) && uuid_equal(&own, &id))
                e->stored = true;
        }
}

/* ---- the log ----------------------------------------------------------------------------------
 */

static struct job *job_of_correlation(struct sim *s, const struct record *r)
{
    const struct bus_header *c = record_header(r, WIRE_CORRELATION_ID);

    for (int i = 0; c != NULL && i < s->n_jobs; i++)
        if (s->jobs[i]->correlation_len == c->len &&
            memcmp(s->jobs[i]->correlation, c->value, c->len) == 0)
            return s->jobs[i];
    return NULL;
}

static void task_appended(struct sim *s, struct entry *e)
{
    const struct bus_header *c = record_header(e->record, WIRE_CORRELATION_ID);
    struct job *job = e->job >= 0 ? s->jobs[e->job] : job_of_correlation(s, e->record);

    if (job == NULL)
        return;
    if (job->refused)
        sim_fail(s, "job %d is in the log, and its caller was told that it is not", job->number);
    if (job->appended_topic >= 0 && job->taken)
        sim_fail(s, "job %d is in the log twice", job->number);
    e->job = job->number;
    job->appended_topic = (int)e->record->topic;
    job->appended_partition = e->record->partition;
    job->appended_offset = e->record->offset;
    if (c != NULL) {
        memcpy(job->correlation, c->value, c->len);
        job->correlation_len = c->len;
    }
}

static int64_t number(const struct bus_header *h)
{
    uint64_t n = 0;

    for (size_t i = 0; i < h->len; i++)
        n = n << 8 | ((const uint8_t *)h->value)[i];
    return (int64_t)n;
}

static bool bytes_equal(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return (a == NULL) == (b == NULL) && a_len == b_len && (a == NULL || memcmp(a, b, a_len) == 0);
}

static void letter_appended(struct sim *s, int topic, const struct record *r)
{
    int64_t partition = number(record_header(r, "kafka_dlt-original-partition"));
    int64_t offset = number(record_header(r, "kafka_dlt-original-offset"));
    const struct bus_header *code = record_header(r, "kafka_dlt-exception-fqcn");
    struct entry *e =
        &s->broker.logs[topic == KEYED_DLT ? KEYED : SERIAL][partition].entries[offset];

    if (!bytes_equal(r->value, r->value_len, e->record->value, e->record->value_len) ||
        !bytes_equal(r->key, r->key_len, e->record->key, e->record->key_len))
        sim_fail(s, "the dead letter of %s [%d] %lld is not that record", broker_name(topic),
                 (int)partition, (long long)offset);
    e->fate.letter = true;
    sim_trace(s, "letter job %d: %.*s", e->job, (int)code->len, (const char *)code->value);
    if (code->len == 19 && memcmp(code->value, "reply.undeliverable", 19) == 0)
        sim_cover(s, COVER_REPLY_GIVEN_UP);
    if (code->len != 11 || memcmp(code->value, "crash.limit", 11) != 0)
        return;
    e->fate.crash_letter = true;
    sim_cover(s, COVER_CRASH_LIMIT);
    if (s->jobs[e->job]->does != DOES_NOT_PARSE && e->fate.begun + e->fate.lost < CRASH_LIMIT)
        sim_fail(s, "job %d was dead-lettered for its crashes after %u runs only", e->job,
                 e->fate.begun);
}

void check_append(struct sim *s, int topic, int partition, int64_t offset)
{
    struct entry *e = &s->broker.logs[topic][partition].entries[offset];
    const struct job *job;

    if (topic <= PEER) {
        task_appended(s, e);
    } else if (topic <= PEER_REPLIES) {
        job = job_of_correlation(s, e->record);
        if (job != NULL && entry_of(s, job) != NULL)
            entry_of(s, job)->fate.replied = true;
    } else {
        letter_appended(s, topic, e->record);
    }
}

static bool reply_due(const struct record *r)
{
    const struct bus_header *topic = record_header(r, WIRE_REPLY_TOPIC);

    return record_header(r, WIRE_CORRELATION_ID) != NULL && topic != NULL &&
           !(topic->len == 4 && memcmp(topic->value, "evil", 4) == 0);
}

/* Everything that a task record was to cause is in the log. */
static bool finished(struct sim *s, const struct entry *e)
{
    const struct job *job = e->job < 0 ? NULL : s->jobs[e->job];
    bool due = reply_due(e->record), run = job != NULL && job->does != DOES_NOT_PARSE;
    bool letter = run ? job->does == DOES_FAIL || job->does == DOES_CRASH ||
                            job->does == DOES_PUBLISH_NOWHERE || (job->does == DOES_REJECT && !due)
                      : !due;

    if ((letter && !e->fate.letter) || (due && !e->fate.replied && !e->fate.letter))
        return false;
    for (int i = 0; run && i < job->n_publishes && !e->fate.letter; i++)
        if (s->jobs[job->publishes[i]]->appended_topic < 0)
            return false;
    return !run || e->fate.ended || e->fate.crash_letter;
}

void check_commit(struct sim *s, const struct group_partition *p, int64_t offset)
{
    const struct log_partition *log = &s->broker.logs[p->topic][p->number];
    struct uuid id;

    if (offset < p->committed || offset > log->end)
        sim_fail(s, "%s [%d] is committed from %lld to %lld, its end is %lld",
                 broker_name(p->topic), p->number, (long long)p->committed, (long long)offset,
                 (long long)log->end);
    if (p->topic != REPLIES)
        sim_cover(s, COVER_CLOSING_GONE);
    for (int64_t i = p->committed; i < offset && i < log->end; i++) {
        const struct entry *e = &log->entries[i];
        const struct bus_header *c = record_header(e->record, WIRE_CORRELATION_ID);

        if (p->topic != REPLIES ? finished(s, e)
                                : e->stored || !uuid_from_wire(c->value, c->len, &id))
            continue;
        sim_fail(s, "%s [%d] is committed up to %lld, and job %d at %lld is not finished",
                 broker_name(p->topic), p->number, (long long)offset, e->job, (long long)i);
    }
}

/* ---- runs -------------------------------------------------------------------------------------
 */

static void check_order(struct sim *s, const struct held *h, const struct job *job)
{
    int lane = h->topic == SERIAL ? 0 : job->key + 1;
    struct pod *pod = h->pod;

    if (h->topic == KEYED && job->key < 0)
        return;
    for (const struct held *o = pod->held; o != NULL; o = o->next)
        if (o != h && o->running && o->epoch == h->epoch && o->topic == h->topic &&
            o->partition == h->partition &&
            (h->topic == SERIAL || s->jobs[held_entry(o)->job]->key == job->key))
            sim_fail(s, "job %d runs beside job %d, which is of the same key", job->number,
                     held_entry(o)->job);
    if (pod->last_run[h->topic][h->partition][lane].epoch == h->epoch &&
        pod->last_run[h->topic][h->partition][lane].offset >= h->offset)
        sim_fail(s, "job %d runs after a later one of its key", job->number);
    pod->last_run[h->topic][h->partition][lane].epoch = h->epoch;
    pod->last_run[h->topic][h->partition][lane].offset = h->offset;
}

void check_run(struct sim *s, struct held *h, bool redelivered, int attempts)
{
    struct fate *fate = &held_entry(h)->fate;
    int n = held_entry(h)->job;
    const struct pod *pod = h->pod;
    const struct job *job;
    struct uuid id;

    if (n < 0 || s->jobs[n]->does == DOES_NOT_PARSE) {
        sim_fail(s, "a record that is no task was run");
        return;
    }
    job = s->jobs[n];
    sim_trace(s, "run    pod %d job %d%s, attempts %d", pod->number, n, redelivered ? " again" : "",
              attempts);
    if (fate->begun++ > 0 && !redelivered)
        sim_fail(s, "job %d is run a second time, and not marked as redelivered", n);
    if (h->epoch != member_epoch(pod, h->topic, h->partition))
        sim_fail(s, "job %d is run for an assignment that is over", n);
    if (attempts > CRASH_LIMIT)
        sim_fail(s, "job %d is run, and %d attempts are counted", n, attempts);
    h->suspect = attempts > 1;
    for (const struct held *o = pod->held; h->suspect && o != NULL; o = o->next)
        if (o != h && o->running && o->suspect)
            sim_fail(s, "two suspects run at once, jobs %d and %d", n, held_entry(o)->job);
    if (redelivered && job->stored_at > 0 && job->stored_at < fate->taken && pod->client.up &&
        pod->client.up_since < fate->taken && !s->shared.away &&
        uuid_from_wire(job->correlation, job->correlation_len, &id) && shared_has_result(s, &id))
        sim_fail(s, "job %d is run again, and its result is stored", n);
    check_order(s, h, job);
}

/* ---- the end ----------------------------------------------------------------------------------
 */

bool check_settled(struct sim *s, bool say)
{
    for (int i = 0; i < s->n_jobs; i++)
        if (s->jobs[i]->taken && s->jobs[i]->answers == 0 && !s->jobs[i]->orphaned) {
            if (say)
                sim_fail(s, "job %d was never answered", i);
            return false;
        }
    for (int i = 0; i < s->n_pods; i++)
        if (s->pods[i].alive && (s->pods[i].held != NULL || !broker_quiet(s, &s->pods[i]))) {
            if (say)
                sim_fail(s, "pod %d is never at rest", i);
            return false;
        }
    return groups_at_end(s, say) && s->lookups == 0;
}

void check_end(struct sim *s)
{
    for (int t = KEYED; t <= SERIAL; t++)
        for (int p = 0; p < broker_partitions(t); p++)
            for (int64_t i = 0; i < s->broker.logs[t][p].end; i++)
                if (!finished(s, &s->broker.logs[t][p].entries[i]))
                    sim_fail(s, "%s [%d] %lld, job %d, was never finished", broker_name(t), p,
                             (long long)i, s->broker.logs[t][p].entries[i].job);
    if (s->lookups != 0)
        sim_fail(s, "%d look-ups were never answered", s->lookups);
}
