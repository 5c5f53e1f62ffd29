/*
 * The simulator: the orchestrators of several pods in one thread, in a world made of a log
 * (broker.c), the members of two consumer groups (group.c), a shared store (store.c), handlers and
 * callers. Time is virtual, and all that could happen in more than one order is decided by one
 * seeded generator, so that a seed is a schedule.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/util.h"
#include "memory/store.h"
#include "orchestrator/dispatch.h"
#include "orchestrator/orchestrator.h"

struct sim;

#define MS NS_PER_MS
#define SEC NS_PER_S
#define SESSION (6 * SEC)
#define BEGIN_OF_TIME (1000 * SEC) /* monotonic */

enum { PODS = 4, PARTS_MAX = 8, JOBS_MAX = 192, CRASH_LIMIT = 3, VALUE_MAX = 2000, KEYS = 4 };

/* The first three are loaded topics, in the order of the table. */
enum { KEYED, SERIAL, PEER, REPLIES, PEER_REPLIES, KEYED_DLT, SERIAL_DLT, TOPICS };

enum sabotage {
#define SABOTAGE(NAME, what) SABOTAGE_##NAME,
#include "sabotage.def"
#undef SABOTAGE
    SABOTAGES
};

enum cover {
#define COVER(NAME, table, what) COVER_##NAME,
#include "coverage.def"
#undef COVER
    COVERS
};

/* ---- schedule.c: time and chance --------------------------------------------------------------
 */

struct pod;

struct event {
    int64_t at;
    uint64_t number; /* of its making: decides between equal times */
    void (*fire)(struct sim *s, struct event *e);
    struct pod
        *pod; /* NULL: the world's; else it falls with this life of the pod, waits while frozen */
    unsigned life;
    void *ptr;
    int64_t n;
};

struct schedule {
    struct event *heap;
    size_t count, capacity;
    uint64_t made, random;
};

uint64_t sim_random(struct sim *s, uint64_t below);
bool sim_chance(struct sim *s, unsigned in_thousand);
int64_t sim_between(struct sim *s, int64_t least, int64_t most); /* both may come */
/* Mostly near `least`. */
int64_t sim_delay(struct sim *s, int64_t least, int64_t most);
void sim_at(struct sim *s, int64_t at, void (*fire)(struct sim *, struct event *), struct pod *pod,
            void *ptr, int64_t n);
/* Runs what is due until `until`, or until a check fails. */
void sim_run(struct sim *s, int64_t until);
void sim_trace(struct sim *s, const char *fmt, ...) TW_PRINTF(2, 3);
/* The first sentence is kept; the schedule ends. */
void sim_fail(struct sim *s, const char *fmt, ...) TW_PRINTF(2, 3);
void sim_cover(struct sim *s, enum cover what);

/* ---- broker.c: the log ------------------------------------------------------------------------
 */

/* What became of a record of a task topic, for the checks. */
struct fate {
    unsigned begun, lost; /* runs; attempts that were counted in a pod that crashed before it ran */
    bool ended, replied, letter, crash_letter;
    int64_t taken; /* by the last consumer */
};

struct entry {
    struct record *record;
    int job; /* -1: none of ours */
    struct fate fate;
    bool stored; /* a reply: the shared store has had it, or its request was answered where it
                    arrived */
};

struct log_partition {
    struct entry *entries; /* the index is the offset */
    int64_t end, capacity;
};

struct broker {
    struct log_partition logs[TOPICS][PARTS_MAX];
    int64_t away_until;
    struct sent *sent; /* under way */
    char *swapped;     /* sabotage: the value of the reply before */
    size_t swapped_len;
};

int broker_partitions(int topic);
const char *broker_name(int topic);
int broker_find(const char *name); /* -1 */
struct bus broker_bus(struct pod *pod);
int64_t broker_append(struct sim *s, int topic, int partition, const struct record *record);
int broker_partition_of(struct sim *s, int topic, const void *key, size_t len);
void broker_forget_pod(struct sim *s, struct pod *pod);        /* it crashed */
bool broker_quiet(const struct sim *s, const struct pod *pod); /* it has nothing under way */
void broker_done(struct sim *s);

/* ---- group.c: who consumes what ---------------------------------------------------------------
 */

enum { GROUP_TASKS, GROUP_REPLIES, GROUPS };

struct group_partition {
    int topic, number;
    int64_t committed;
    struct member *owner, *wanted;
};

struct group {
    int count;
    struct group_partition partitions[PARTS_MAX];
    struct member *members; /* all that ever were */
    bool shuffle;
};

void groups_init(struct sim *s);
void groups_done(struct sim *s);
struct member *group_join(struct pod *pod, int group);
void group_leave(struct member *m); /* begins it; member_left says when it is done */
bool member_left(const struct member *m);
void member_wake(struct member *m);
void member_cut_off(struct member *m, int64_t until); /* no heartbeat gets through */
unsigned member_epoch(const struct pod *pod, int topic, int partition);
bool groups_at_end(struct sim *s, bool tell);

/* ---- store.c: what pods share -----------------------------------------------------------------
 */

struct shared_task;
struct shared_count;
struct shared {
    struct shared_task *tasks;
    struct shared_count *counts;
    unsigned unknown, emptied;
    int64_t emptied_at;
    bool away;
    bool returning, delivering; /* a pod is told that it is back; a reply is given to a pod */
    unsigned lossy, queue_full; /* in a thousand: wake-ups lost; replies not taken */
    enum cover bringing;        /* how the result that is told now got here */
};

/* A pod's connection to it. */
struct client {
    struct memory_store *inner;
    struct store_listener listener;
    struct op *ops; /* under way, the oldest first */
    int64_t last_applied, last_answered, up_since;
    bool up, stopping;
};

struct store client_port(struct pod *pod);
void client_up(struct pod *pod);
void client_down(struct pod *pod);             /* the connection is gone: what is under way fails */
void client_crash(struct pod *pod);            /* before orchestrator_free */
void client_free_lost(struct pod *pod);        /* after it */
void client_drop_event(const struct event *e); /* it will not come */
void shared_empty(struct sim *s);
bool shared_has_result(const struct sim *s, const void *correlation);
void shared_done(struct sim *s);

/* ---- handlers.c -------------------------------------------------------------------------------
 */

/* A work in the hands of a worker thread. */
struct held {
    struct work *work;
    struct pod *pod;
    int topic, partition;
    int64_t offset;
    unsigned epoch;
    bool running, suspect;
    int64_t begun;
    struct held *next;
};

struct handlers handlers_port(struct pod *pod);
struct entry *held_entry(const struct held *h);

/* ---- pod.c ------------------------------------------------------------------------------------
 */

struct pod {
    struct sim *s;
    int number;
    unsigned life; /* counts starts */
    bool alive, draining, left;
    int64_t frozen_until, tick_at, drain_until, last_append[TOPICS][PARTS_MAX];
    struct clock clock;
    struct metrics *metrics;
    struct orchestrator *o;
    struct client client;
    struct member *members[GROUPS];
    struct held *held;
    struct {
        unsigned epoch;
        int64_t offset;
    } last_run[2][PARTS_MAX][KEYS + 1]; /* for the order of each key */
    char incarnation[UUID_TEXT_LEN + 1];
};

void pod_start(struct pod *pod);
void pod_crash(struct pod *pod, const char *why);
void pod_drain(struct pod *pod);          /* stops it in order; then it is not alive */
int64_t pod_stale(const struct pod *pod); /* METRIC_RECORDS_STALE of all topics */

/* ---- jobs.c: tasks, and who wants them done ---------------------------------------------------
 */

enum does {
    DOES_WELL,
    DOES_REJECT,
    DOES_FAIL,
    DOES_PUBLISH,
    DOES_PUBLISH_NOWHERE,
    DOES_TOO_MUCH, /* its result is too large for a record */
    DOES_CRASH,
    DOES_NOT_PARSE, /* the record breaks the contract */
};

struct job {
    struct waiter waiter;
    struct sim *s;
    int number, topic, key; /* key -1: none */
    enum does does;
    bool asks, foreign; /* it wants a reply; it was put on the topic by others */
    bool taken, acked, maybe, refused,
        orphaned; /* refused: certainly not sent; orphaned: its pod crashed */
    int answers;
    struct pod *pod;
    int64_t begun, wait, stored_at;
    char correlation[UUID_TEXT_LEN + 1];
    size_t correlation_len;
    int publishes[2], n_publishes;
    int appended_topic, appended_partition; /* -1: not in the log */
    int64_t appended_offset;
    char id[24];
};

void jobs_submit(struct sim *s);  /* by a caller at some pod */
void jobs_foreign(struct sim *s); /* a record of somebody else */
void jobs_lookup(struct sim *s);
void jobs_garble(struct sim *s);                         /* a reply to nothing */
void jobs_on_peer(struct sim *s, const struct entry *e); /* somebody else answers it */
int job_of_text(const char *text, size_t len);           /* the number in it, or -1 */
struct job *job_new(struct sim *s, int topic, enum does does);
void job_text(const struct job *job, char out[static 128]);
bool uuid_equal(const struct uuid *a, const struct uuid *b);

/* ---- checks.c: what must hold -----------------------------------------------------------------
 */

void check_answer(struct sim *s, struct job *job, const struct answer *a);
void check_append(struct sim *s, int topic, int partition, int64_t offset);
void check_run(struct sim *s, struct held *h, bool redelivered, int attempts);
void check_commit(struct sim *s, const struct group_partition *p, int64_t offset);
void check_stored(struct sim *s, const struct uuid *correlation); /* a result, for the first time */
void check_reply_safe(struct sim *s, const char *correlation);    /* its offset may move */
bool check_settled(struct sim *s, bool tell);
void check_end(struct sim *s);

/* ---- world.c ----------------------------------------------------------------------------------
 */

struct sim {
    uint64_t seed;
    enum sabotage sabotage;
    bool trace;
    int64_t now, wall;
    struct schedule schedule;
    struct config config;
    struct topic_config topic_configs[3];
    struct topic topics[3];
    struct topic_table table;
    struct broker broker;
    struct group groups[GROUPS];
    struct shared shared;
    struct pod pods[PODS];
    int n_pods;
    struct job *jobs[JOBS_MAX];
    int n_jobs;
    int lookups;       /* under way */
    bool calm, ending; /* faults are over; all pods stop */
    /* faults of this schedule, in a thousand */
    unsigned unknown, refused, full, at_once, poison, slow;
    uint64_t *coverage; /* [COVERS] */
    bool failed;
    char why[400];
};

struct sim_result {
    bool failed;
    char why[400];
    int64_t virtual_time;
};

/* Runs one schedule; adds to coverage[COVERS]. */
struct sim_result sim_schedule(uint64_t seed, enum sabotage sabotage, bool trace,
                               uint64_t *coverage);
const char *sabotage_name(enum sabotage sabotage);
const char *sabotage_what(enum sabotage sabotage);
/* Prints the table; the number of transitions that were never seen. */
int coverage_print(const uint64_t *coverage);
