/*
 * The kafka-admin thread: from "no broker yet" to ready, and then a look every 2 s.
 *
 *   unknown --metadata--> some topics missing --create--> all known --replies consumed--> ready
 *      ^---------------------- nothing answers: wait 0.2 s, look again ----------------------'
 *
 * Metadata of every topic is asked before ready: the first record to a topic would otherwise take a
 * second. Only this thread blocks on a broker.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"
#include "kafka/internal.h"

/* Replies are worth nothing once nobody waits for them; the longest wait is an hour. */
#define REPLY_RETENTION_MS "7200000"

enum { START_MS = 200, CREATE_TIMEOUT_MS = 5000, OTHERS_TRIES = 50 };

int admin_open(struct kafka *k)
{
    size_t count = k->topics->count;
    struct wanted_topic *w;

    k->n_wanted = count + 1;
    k->wanted = calloc(2 * count + 1, sizeof(*k->wanted));
    if (k->wanted == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct topic_config *t = k->topics->items[i].config;

        k->wanted[i] = (struct wanted_topic){
            .name = t->kafka_topic, .create = t->create ? t->partitions : 0, .needed = true};
        if (t->dead_letter != NULL)
            k->wanted[k->n_wanted++] =
                (struct wanted_topic){.name = t->dead_letter, .create = k->wanted[i].create};
    }
    k->wanted[count] = (struct wanted_topic){.name = k->config->kafka_reply_topic,
                                             .create = k->config->kafka_reply_partitions,
                                             .needed = true,
                                             .retention = REPLY_RETENTION_MS};
    for (size_t i = 0; i < k->n_wanted; i++) {
        w = &k->wanted[i];
        w->handle = rd_kafka_topic_new(k->producer, w->name, NULL);
        if (w->handle == NULL)
            return -ENOMEM;
    }
    return 0;
}

void admin_close(struct kafka *k)
{
    for (size_t i = 0; k->wanted != NULL && i < k->n_wanted; i++)
        if (k->wanted[i].handle != NULL)
            rd_kafka_topic_destroy(k->wanted[i].handle);
    free(k->wanted);
}

/* What the cluster lacks. */
struct missing {
    size_t needed; /* nothing works without */
    size_t others; /* and that we may create */
};

/* Notes what the cluster says. False when a broker did not answer. */
static bool look(struct kafka *k, struct missing *ret)
{
    const struct rd_kafka_metadata *metadata;

    *ret = (struct missing){0};
    /* all_topics 0: those that the producer has handles of */
    if (rd_kafka_metadata(k->producer, 0, NULL, &metadata, PROBE_TIMEOUT_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    atomic_store(&k->brokers, metadata->broker_cnt);
    for (size_t i = 0; i < k->n_wanted; i++) {
        struct wanted_topic *w = &k->wanted[i];
        int partitions = 0;

        for (int t = 0; t < metadata->topic_cnt; t++) {
            const struct rd_kafka_metadata_topic *topic = &metadata->topics[t];
            bool led = topic->err == RD_KAFKA_RESP_ERR_NO_ERROR;

            if (strcmp(topic->topic, w->name) != 0)
                continue;
            for (int p = 0; p < topic->partition_cnt; p++)
                led &= topic->partitions[p].leader >= 0;
            if (led)
                partitions = topic->partition_cnt;
        }
        atomic_store(&w->partitions, partitions);
        if (partitions == 0 && w->needed)
            ret->needed++;
        else if (partitions == 0 && w->create > 0)
            ret->others++;
    }
    rd_kafka_metadata_destroy(metadata);
    return true;
}

static void log_created(rd_kafka_event_t *event)
{
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    const rd_kafka_topic_result_t **topics;
    size_t n;

    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        log_warn("kafka", "cannot create topics: %s", rd_kafka_event_error_string(event));
        return;
    }
    topics = rd_kafka_CreateTopics_result_topics(result, &n);
    for (size_t i = 0; i < n; i++) {
        rd_kafka_resp_err_t error = rd_kafka_topic_result_error(topics[i]);

        if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
            log_info("kafka", "topic %s created", rd_kafka_topic_result_name(topics[i]));
        else if (error != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) /* another pod was quicker */
            log_error("kafka", "cannot create topic %s: %s", rd_kafka_topic_result_name(topics[i]),
                      rd_kafka_topic_result_error_string(topics[i]));
    }
}

static void request_topics(struct kafka *k, rd_kafka_NewTopic_t **new_topics, size_t n)
{
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(k->producer, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(k->producer);
    rd_kafka_event_t *event;

    rd_kafka_AdminOptions_set_request_timeout(options, CREATE_TIMEOUT_MS, NULL, 0);
    rd_kafka_CreateTopics(k->producer, new_topics, n, options, queue);
    event = rd_kafka_queue_poll(queue, CREATE_TIMEOUT_MS + 1000);
    if (event != NULL) {
        log_created(event);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
}

/* NULL when it cannot be. */
static rd_kafka_NewTopic_t *new_topic(const struct kafka *k, const struct wanted_topic *w)
{
    char error[256];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(
        w->name, (int)w->create, (int)k->config->kafka_replication_factor, error, sizeof(error));

    if (topic == NULL)
        log_error("kafka", "cannot create topic %s: %s", w->name, error);
    else if (w->retention != NULL)
        rd_kafka_NewTopic_set_config(topic, "retention.ms", w->retention);
    return topic;
}

/* Creates what is missing and may be created; says once what is missing and may not. */
static void create_missing(struct kafka *k, bool *told)
{
    rd_kafka_NewTopic_t **new_topics = calloc(k->n_wanted, sizeof(rd_kafka_NewTopic_t *));
    size_t n = 0;

    for (size_t i = 0; new_topics != NULL && i < k->n_wanted; i++) {
        const struct wanted_topic *w = &k->wanted[i];
        rd_kafka_NewTopic_t *topic;

        if (atomic_load(&w->partitions) > 0)
            continue;
        if (w->create == 0) {
            if (!*told)
                log_error("kafka", "topic %s does not exist, and `create` is false", w->name);
        } else if (k->embedded != NULL) {
            devbroker_create_topic(k->embedded, w->name, (int)w->create);
        } else if ((topic = new_topic(k, w)) != NULL) {
            new_topics[n++] = topic;
        }
    }
    *told = true;
    if (n > 0) {
        request_topics(k, new_topics, n);
        rd_kafka_NewTopic_destroy_array(new_topics, n);
    }
    free(new_topics);
}

/* Waits; true when the thread is to end. */
static bool pause_for(struct kafka *k, int ms)
{
    int64_t until = clock_monotonic(&clock_system) + ms * NS_PER_MS;
    bool stop;

    pthread_mutex_lock(&k->admin_lock);
    while (!k->admin_stop && !k->admin_probe)
        if (cond_wait_until(&k->admin_wake, &k->admin_lock, until) == -ETIMEDOUT)
            break;
    k->admin_probe = false;
    stop = k->admin_stop;
    pthread_mutex_unlock(&k->admin_lock);
    return stop;
}

/* Replies are seen from now on. False: not yet. */
static bool listen_to_replies(struct kafka *k)
{
    if (!k->gateway)
        return true;
    if (k->shared)
        return atomic_load(&k->reply_group.ready);
    return replies_consume(k, atomic_load(&k->wanted[k->topics->count].partitions));
}

static bool make_ready(struct kafka *k)
{
    bool told_waiting = false, told_missing = false;
    int tries = 0;

    for (;;) {
        struct missing missing;
        bool answered = look(k, &missing);

        if (!answered) {
            if (!told_waiting)
                log_info("kafka", "waiting for a broker to answer");
            told_waiting = true;
        } else if (missing.needed + missing.others == 0) {
            break;
        } else if (tries++ % 10 == 0) { /* a topic just created needs a moment to have a leader */
            create_missing(k, &told_missing);
        }
        if (answered && missing.needed == 0 && tries > OTHERS_TRIES)
            break;
        if (pause_for(k, answered && tries % 10 != 0 ? START_MS / 10 : START_MS))
            return false;
    }
    atomic_store(&k->topics_ready, true);
    tasks_subscribe(k);
    if (k->gateway && k->shared)
        reply_group_subscribe(k);
    while (!listen_to_replies(k))
        if (pause_for(k, k->shared ? START_MS / 10 : START_MS))
            return false;
    atomic_store(&k->replies_ready, true);
    return true;
}

static void *admin_main(void *arg)
{
    struct kafka *k = arg;

    if (!make_ready(k))
        return NULL;
    orchestrator_on_bus(k->orchestrator, true);
    log_info("kafka", "ready");
    while (!pause_for(k, orchestrator_bus_up(k->orchestrator) ? PROBE_MS : START_MS)) {
        struct missing missing;
        bool up = look(k, &missing);

        if (up)
            up = listen_to_replies(k);
        if (up != orchestrator_bus_up(k->orchestrator))
            log_info("kafka", up ? "brokers answer again" : "no broker answers");
        orchestrator_on_bus(k->orchestrator, up);
    }
    return NULL;
}

int admin_start(struct kafka *k)
{
    int r = thread_start(&k->admin_thread, "kafka-admin", admin_main, k);

    k->admin_running = r == 0;
    return r;
}

void admin_stop(struct kafka *k)
{
    if (!k->admin_running)
        return;
    k->admin_running = false;
    pthread_mutex_lock(&k->admin_lock);
    k->admin_stop = true;
    pthread_mutex_unlock(&k->admin_lock);
    pthread_cond_signal(&k->admin_wake);
    pthread_join(k->admin_thread, NULL);
}

void admin_probe_now(struct kafka *k)
{
    pthread_mutex_lock(&k->admin_lock);
    k->admin_probe = true;
    pthread_mutex_unlock(&k->admin_lock);
    pthread_cond_signal(&k->admin_wake);
}
