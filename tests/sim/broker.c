/* The log: what producers send is appended, acknowledged, refused, lost, each a little later. */
#include <stdio.h>
#include <string.h>

#include "orchestrator/wire.h"
#include "sim.h"

#define MESSAGE_TIMEOUT (5 * SEC)

static const struct {
    const char *name;
    int partitions;
} topics[TOPICS] = {
    [KEYED] = {"keyed", 3},
    [SERIAL] = {"serial", 2},
    [PEER] = {"peer", 2},
    [REPLIES] = {"ours.replies", 4},
    [PEER_REPLIES] = {"peer.reply", 2},
    [KEYED_DLT] = {"keyed-dlt", 2},
    [SERIAL_DLT] = {"serial-dlt", 2},
};

/* A record between send() and what the producer is told. */
struct sent {
    struct pod *pod;
    unsigned life;
    uint64_t token;
    int topic, partition;
    struct record *record;
    bool keep, told,
        over; /* it will be appended; nobody waits for the answer; its append is past */
    enum bus_result result;
    int64_t offset;
    struct sent *next;
};

int broker_partitions(int topic)
{
    return topics[topic].partitions;
}

const char *broker_name(int topic)
{
    return topics[topic].name;
}

int broker_find(const char *name)
{
    for (int i = 0; i < TOPICS; i++)
        if (strcmp(topics[i].name, name) == 0)
            return i;
    return -1;
}

int broker_partition_of(struct sim *s, int topic, const void *key, size_t len)
{
    const unsigned char *k = key;
    unsigned hash = 0;

    if (key == NULL)
        return (int)sim_random(s, (uint64_t)topics[topic].partitions);
    for (size_t i = 0; i < len; i++)
        hash = hash * 31 + k[i];
    return (int)(hash % (unsigned)topics[topic].partitions);
}

static void peer_answers(struct sim *s, struct event *e)
{
    jobs_on_peer(s, &s->broker.logs[PEER][e->n % PARTS_MAX].entries[e->n / PARTS_MAX]);
}

/* Sabotage: the payload goes one reply on. */
static void swap(struct sim *s, struct record *r)
{
    char *value = malloc(r->value_len + 1);

    memcpy(value, r->value, r->value_len);
    if (s->broker.swapped != NULL && s->broker.swapped_len <= r->value_len) {
        memcpy((char *)(uintptr_t)r->value, s->broker.swapped, s->broker.swapped_len);
        free(TW_TAKE_PTR(s->broker.swapped));
        free(value);
        r->value_len = s->broker.swapped_len;
        return;
    }
    free(s->broker.swapped);
    s->broker.swapped = value;
    s->broker.swapped_len = r->value_len;
}

int64_t broker_append(struct sim *s, int topic, int partition, const struct record *record)
{
    struct log_partition *log = &s->broker.logs[topic][partition];
    struct record *r = record_copy(record);
    int64_t offset = log->end++;

    r->partition = partition;
    r->offset = offset;
    r->topic = (size_t)topic;
    r->timestamp = s->wall / MS;
    if (s->sabotage == SABOTAGE_SWAP && topic == REPLIES && r->value != NULL)
        swap(s, r);
    if (s->sabotage == SABOTAGE_LETTER && topic >= KEYED_DLT && r->value_len > 0)
        r->value_len--;
    if (log->end > log->capacity) {
        log->capacity = log->capacity == 0 ? 32 : 2 * log->capacity;
        log->entries = realloc(log->entries, (size_t)log->capacity * sizeof(*log->entries));
        if (log->entries == NULL)
            abort();
    }
    log->entries[offset] = (struct entry){
        .record = r, .job = r->value == NULL ? -1 : job_of_text(r->value, r->value_len)};
    sim_trace(s, "log    %s [%d] %lld job %d", topics[topic].name, partition, (long long)offset,
              log->entries[offset].job);
    check_append(s, topic, partition, offset);
    if (topic == PEER)
        sim_at(s, s->now + sim_delay(s, MS, 6 * SEC), peer_answers, NULL, NULL,
               offset * PARTS_MAX + partition);
    return offset;
}

static void forget(struct sim *s, struct sent *sent)
{
    struct sent **at = &s->broker.sent;

    while (*at != sent)
        at = &(*at)->next;
    *at = sent->next;
    free(sent->record);
    free(sent);
}

static void append(struct sim *s, struct event *e)
{
    struct sent *sent = e->ptr;

    sent->over = true;
    if (sent->keep)
        sent->offset = broker_append(s, sent->topic, sent->partition, sent->record);
    if (sent->told)
        forget(s, sent);
}

static struct job *job_of_sent(struct sim *s, const struct sent *sent)
{
    int n = sent->token >> 63 || sent->record->value == NULL
                ? -1
                : job_of_text(sent->record->value, sent->record->value_len);

    return n < 0 ? NULL : s->jobs[n];
}

static void tell(struct sim *s, struct sent *sent)
{
    const struct bus_delivery d = {.result = sent->result,
                                   .partition = sent->partition,
                                   .offset = sent->offset,
                                   .reason = sent->result == BUS_DELIVERED ? NULL : "a fault"};
    struct job *job = job_of_sent(s, sent);
    struct pod *pod = sent->pod;
    int64_t stale = pod_stale(pod);

    sent->told = true;
    sim_trace(s, "ack    pod %d %s job %d: %d", pod->number, topics[sent->topic].name,
              job == NULL ? -1 : job->number, (int)sent->result);
    if (job != NULL && sent->result == BUS_DELIVERED) {
        job->acked = true;
        if (job->answers == 0 && job->asks)
            sim_cover(s, COVER_ACKED);
        else if (job->asks)
            sim_cover(s, COVER_DELIVERED_LATE);
    } else if (job != NULL && sent->result == BUS_UNKNOWN) {
        job->maybe = true;
    } else if (sent->token >> 63 && sent->result != BUS_DELIVERED) {
        sim_cover(s, sent->topic >= KEYED_DLT ? COVER_LETTER_AGAIN : COVER_REPLY_AGAIN);
    }
    orchestrator_on_sent(pod->o, sent->token, &d);
    if (pod_stale(pod) > stale)
        sim_cover(s, COVER_CLOSING_STALE);
}

static void acknowledge(struct sim *s, struct event *e)
{
    struct sent *sent = e->ptr;

    tell(s, sent);
    if (sent->over)
        forget(s, sent);
}

/* When a healthy broker would have it, and what is said of it; faults decide. */
static int64_t decide(struct sim *s, struct sent *sent)
{
    int64_t wait = sim_delay(s, MS, 300 * MS);

    sent->keep = true;
    sent->result = BUS_DELIVERED;
    if (s->broker.away_until > s->now)
        wait += s->broker.away_until - s->now;
    if (wait > MESSAGE_TIMEOUT) {
        wait = MESSAGE_TIMEOUT;
        sent->keep = false;
        sent->result = sim_chance(s, 500) ? BUS_NOT_SENT : BUS_UNKNOWN;
    } else if (!s->calm && sim_chance(s, s->unknown)) {
        sent->keep = sim_chance(s, 600);
        sent->result = BUS_UNKNOWN;
    } else if (!s->calm && sim_chance(s, s->refused)) {
        sent->keep = false;
        sent->result = BUS_NOT_SENT;
    }
    if (s->sabotage == SABOTAGE_LIE && sent->topic <= PEER && sim_chance(s, 100))
        sent->keep = false;
    if (s->sabotage == SABOTAGE_LATE_SEND && sent->result == BUS_NOT_SENT)
        sent->keep = true;
    return s->now + wait;
}

static enum bus_result bus_send(void *ctx, const struct bus_message *m, uint64_t token)
{
    struct pod *pod = ctx;
    struct sim *s = pod->s;
    int topic = broker_find(m->topic);
    const struct record record = {.key = m->key,
                                  .key_len = m->key_len,
                                  .value = m->value,
                                  .value_len = m->value_len,
                                  .n_headers = m->n_headers,
                                  .headers = (struct bus_header *)(uintptr_t)m->headers};
    struct sent *sent;
    int64_t at, *last;

    if (topic < 0 || m->partition >= topics[topic].partitions) {
        sim_cover(s, topic >= KEYED_DLT ? COVER_LETTER_ANYWHERE : COVER_REPLY_ELSEWHERE);
        return BUS_IMPOSSIBLE;
    }
    if (m->value_len > VALUE_MAX) {
        sim_cover(s, COVER_REPLY_SMALL);
        return BUS_TOO_LARGE;
    }
    if (!s->calm && sim_chance(s, s->full))
        return BUS_FULL;
    sent = calloc(1, sizeof(*sent));
    sent->pod = pod;
    sent->life = pod->life;
    sent->token = token;
    sent->topic = topic;
    sent->partition =
        m->partition >= 0 ? m->partition : broker_partition_of(s, topic, m->key, m->key_len);
    sent->record = record_copy(&record);
    sent->next = s->broker.sent;
    s->broker.sent = sent;
    last = &pod->last_append[topic][sent->partition];
    if (*last <= s->now && s->broker.away_until <= s->now && sim_chance(s, s->at_once)) {
        sent->keep = true;
        append(s, &(struct event){.ptr = sent});
        tell(s, sent);
        forget(s, sent);
        return BUS_DELIVERED;
    }
    at = TW_MAX(decide(s, sent), *last); /* in order, as an idempotent producer */
    *last = at;
    sim_at(s, at, append, NULL, sent, 0);
    sim_at(s, at + sim_delay(s, 0, 400 * MS), acknowledge, pod, sent, 0);
    return BUS_DELIVERED;
}

static void bus_wake(void *ctx)
{
    struct pod *pod = ctx;

    member_wake(pod->members[GROUP_TASKS]);
}

struct bus broker_bus(struct pod *pod)
{
    static const struct bus_ops ops = {bus_send, bus_wake};

    return (struct bus){&ops, pod};
}

void broker_forget_pod(struct sim *s, struct pod *pod)
{
    for (struct sent *sent = s->broker.sent, *next; sent != NULL; sent = next) {
        next = sent->next;
        if (sent->pod != pod || sent->life != pod->life || sent->told)
            continue;
        sent->told = true;
        if (sent->over)
            forget(s, sent);
        else if (sim_chance(s, 500)) /* it had not left the process */
            sent->keep = false;
    }
}

bool broker_quiet(const struct sim *s, const struct pod *pod)
{
    for (const struct sent *sent = s->broker.sent; sent != NULL; sent = sent->next)
        if (sent->pod == pod && sent->life == pod->life && !sent->told)
            return false;
    return true;
}

void broker_done(struct sim *s)
{
    while (s->broker.sent != NULL)
        forget(s, s->broker.sent);
    for (int t = 0; t < TOPICS; t++)
        for (int p = 0; p < PARTS_MAX; p++) {
            struct log_partition *log = &s->broker.logs[t][p];

            for (int64_t i = 0; i < log->end; i++)
                free(log->entries[i].record);
            free(log->entries);
        }
    free(s->broker.swapped);
}
