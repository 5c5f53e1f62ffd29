/* What the files of this folder share. */
#pragma once

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "kafka/group.h"
#include "kafka/kafka.h"

enum { POLL_MS = 100, PROBE_MS = 2000, PROBE_TIMEOUT_MS = 1000 };

/*
 * A broker wakes a waiting fetch at once, but a partition that is assigned while one waits is fetched
 * only after it: 500 ms made the first answer after a start take up to 1 s; 100 ms idle at 0.5 % of a
 * core, as 500 do. The mock does not wake a waiting fetch.
 */
#define FETCH_WAIT "100"
#define FETCH_WAIT_MOCK "2"

struct devbroker;

struct kafka {
    const struct config *config;
    const struct topic_table *topics;
    struct metrics *metrics;
    struct orchestrator *orchestrator;
    struct devbroker *embedded; /* NULL: real brokers */
    bool gateway, worker;       /* roles */
    bool shared;                /* the store is: replies may come to any pod */
    void (*fatal)(void *ctx);
    void *fatal_ctx;
    atomic_flag fatal_told;

    /* producer.c */
    rd_kafka_t *producer;
    pthread_t delivery_thread;
    bool delivery_running;
    atomic_bool delivery_stop;

    /* tasks.c; not opened when no topic has a handler here */
    struct group tasks;
    rd_kafka_topic_partition_list_t *fresh; /* their end is not known yet; its thread's */

    /* replies.c: all partitions of the reply topic from their ends, when the store is not shared */
    rd_kafka_t *replies;
    rd_kafka_topic_t *replies_topic;
    rd_kafka_queue_t *replies_queue;
    pthread_t replies_thread;
    bool replies_running;
    atomic_bool replies_stop;
    int replies_partitions; /* consumed so far; admin thread only */

    /* reply_group.c: our share of the reply topic, when it is */
    struct group reply_group;

    /* admin.c */
    struct wanted_topic *wanted; /* topics, in their order; the reply topic; dead letter topics */
    size_t n_wanted;
    pthread_t admin_thread;
    bool admin_running;
    pthread_mutex_t admin_lock;
    pthread_cond_t admin_wake; /* monotonic */
    bool admin_stop;
    bool admin_probe; /* at once */

    atomic_bool topics_ready, replies_ready; /* for kafka_status */
    atomic_int brokers;
};

/* A topic that is to exist. */
struct wanted_topic {
    const char *name;
    int64_t create; /* with so many partitions; 0: it is for others to create */
    bool needed;    /* before anything is sent */
    const char *retention; /* in ms, when created; NULL: the broker's */
    rd_kafka_topic_t *handle; /* the producer's */
    atomic_int partitions;    /* as last seen; 0: it does not exist */
};

/* client.c */
rd_kafka_t *client_new(struct kafka *k, rd_kafka_type_t type, const char *const (*settings)[2],
                       size_t n, char **ret_why);
/* An error event of one of the clients. Any thread. */
void client_error(struct kafka *k, rd_kafka_t *rk, rd_kafka_resp_err_t error, const char *reason);
/* Calls `take` with the message as a record that borrows from it. `topic` as in struct record. */
void client_deliver(const rd_kafka_message_t *m, size_t topic,
                    void (*take)(struct orchestrator *o, const struct record *r),
                    struct orchestrator *o);

/* producer.c */
int producer_open(struct kafka *k, char **ret_why);
int producer_start(struct kafka *k);
void producer_stop(struct kafka *k, int64_t deadline);
extern const struct bus_ops kafka_bus_ops;

/* tasks.c */
int tasks_open(struct kafka *k, char **ret_why);
void tasks_subscribe(struct kafka *k); /* once all topics exist; admin thread */

/* reply_group.c */
int reply_group_open(struct kafka *k, char **ret_why);
void reply_group_subscribe(struct kafka *k); /* admin thread */

/* replies.c */
int replies_open(struct kafka *k, char **ret_why);
int replies_start(struct kafka *k);
/* Consumes partitions of the reply topic up to `count`, new ones from where they stand now. */
bool replies_consume(struct kafka *k, int count);
void replies_stop(struct kafka *k);

/* admin.c */
int admin_open(struct kafka *k);
int admin_start(struct kafka *k);
void admin_stop(struct kafka *k);
void admin_close(struct kafka *k);
void admin_probe_now(struct kafka *k);

/* devbroker.c */
struct devbroker *devbroker_new(char **ret_why);
void devbroker_free(struct devbroker *b);
const char *devbroker_address(const struct devbroker *b);
bool devbroker_create_topic(struct devbroker *b, const char *topic, int partitions);
