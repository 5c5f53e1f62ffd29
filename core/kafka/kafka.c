#include "kafka/kafka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "base/util.h"
#include "kafka/internal.h"

int kafka_new(const struct config *config, const struct topic_table *topics,
              struct metrics *metrics, bool embedded, bool shared, struct kafka **ret,
              char **ret_why)
{
    struct kafka *k = calloc(1, sizeof(*k));
    int r = 0;

    if (k == NULL)
        return -ENOMEM;
    k->config = config;
    k->topics = topics;
    k->metrics = metrics;
    k->shared = shared;
    k->gateway = config->gateway;
    k->worker = config->worker;
    pthread_mutex_init(&k->admin_lock, NULL);
    cond_init_monotonic(&k->admin_wake);
    if (embedded) {
        k->embedded = devbroker_new(ret_why);
        r = k->embedded == NULL ? -EINVAL : 0;
    }
    if (r == 0)
        r = producer_open(k, ret_why);
    if (r == 0)
        r = tasks_open(k, ret_why);
    if (r == 0 && k->gateway)
        r = shared ? reply_group_open(k, ret_why) : replies_open(k, ret_why);
    if (r == 0)
        r = admin_open(k);
    if (r < 0) {
        kafka_free(k);
        return r;
    }
    *ret = k;
    return 0;
}

void kafka_free(struct kafka *k)
{
    if (k == NULL)
        return;
    admin_close(k);
    if (k->replies_queue != NULL)
        rd_kafka_queue_destroy(k->replies_queue);
    if (k->replies_topic != NULL)
        rd_kafka_topic_destroy(k->replies_topic);
    if (k->replies != NULL)
        rd_kafka_destroy(k->replies);
    group_close(&k->reply_group);
    group_close(&k->tasks);
    if (k->fresh != NULL)
        rd_kafka_topic_partition_list_destroy(k->fresh);
    if (k->producer != NULL)
        rd_kafka_destroy(k->producer);
    devbroker_free(k->embedded);
    pthread_cond_destroy(&k->admin_wake);
    pthread_mutex_destroy(&k->admin_lock);
    free(k);
}

struct bus kafka_bus(struct kafka *k)
{
    return (struct bus){.ops = &kafka_bus_ops, .ctx = k};
}

int kafka_start(struct kafka *k, struct orchestrator *o, void (*fatal)(void *ctx), void *ctx)
{
    int r;

    k->orchestrator = o;
    k->fatal = fatal;
    k->fatal_ctx = ctx;
    r = producer_start(k);
    if (r == 0 && k->replies != NULL)
        r = replies_start(k);
    if (r == 0 && k->reply_group.rk != NULL)
        r = group_start(&k->reply_group);
    if (r == 0 && k->tasks.rk != NULL)
        r = group_start(&k->tasks);
    if (r == 0)
        r = admin_start(k);
    return r;
}

void kafka_stop_tasks(struct kafka *k, int64_t deadline)
{
    admin_stop(k);
    group_stop(&k->tasks, deadline);
}

void kafka_stop(struct kafka *k, int64_t deadline)
{
    producer_stop(k, deadline);
    replies_stop(k);
    group_stop(&k->reply_group, deadline);
}

void kafka_status(const struct kafka *k, struct kafka_status *ret)
{
    *ret = (struct kafka_status){
        .up = orchestrator_bus_up(k->orchestrator),
        .topics_ready = atomic_load(&k->topics_ready),
        .replies_ready = atomic_load(&k->replies_ready),
        .tasks_ready = atomic_load(&k->tasks.ready),
        .brokers = atomic_load(&k->brokers),
        .partitions = atomic_load(&k->tasks.partitions),
        .reply_partitions = k->shared ? atomic_load(&k->reply_group.partitions)
                            : k->replies_ready
                                ? atomic_load(&k->wanted[k->topics->count].partitions)
                                : 0,
    };
}

const char *kafka_embedded_address(const struct kafka *k)
{
    return k->embedded == NULL ? NULL : devbroker_address(k->embedded);
}

int kafka_partitions(const struct kafka *k, size_t topic)
{
    return atomic_load(&k->wanted[topic].partitions);
}
