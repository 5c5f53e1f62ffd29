/*
 * The limit: request and reply over librdkafka, and nothing else. Two parts in one process, each
 * with a producer and a consumer of its own:
 *
 *   main   keeps IN_FLIGHT requests away; what comes back is matched by its correlation id
 *   echo   sends each request's value to the reply topic, with the request's correlation id
 *
 * The clients are set as taskwired sets its own; there are no groups: every partition is assigned.
 */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>

#include "samples.h"

#define CORRELATION_ID "kafka_correlationId"

enum { PARTITIONS = 4, VALUE_LEN = 120, KEYS = 2000, BATCH = 256 };
enum { WAIT_MS = 100, TIMEOUT_MS = 10000 };
enum { ID_LEN = 36 }; /* as long as the text of a UUID */

struct client {
    rd_kafka_t *producer, *consumer;
    rd_kafka_topic_t *from;
    rd_kafka_queue_t *queue;
    const char *to;
};

struct request {
    uint64_t number;
    int64_t sent;
};

struct bench {
    struct client requester, echo;
    struct request *away;
    uint64_t in_flight, next, left;
    int64_t begin, end, last; /* of the measured period; when a reply last came */
    struct samples samples;
    atomic_bool echo_stop;
};

static rd_kafka_t *client_new(rd_kafka_type_t type, const char *brokers,
                              const char *const (*settings)[2], size_t n)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char error[256];
    rd_kafka_t *rk;

    if (rd_kafka_conf_set(conf, "bootstrap.servers", brokers, error, sizeof(error)) !=
        RD_KAFKA_CONF_OK)
        die(error);
    for (size_t i = 0; i < n; i++)
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], error, sizeof(error)) !=
            RD_KAFKA_CONF_OK)
            die(error);
    rk = rd_kafka_new(type, conf, error, sizeof(error));
    if (rk == NULL)
        die(error);
    return rk;
}

/* Consumes from where each partition ends now, and knows the topic it will send to. */
static void client_init(struct client *c, const char *brokers, const char *from, const char *to)
{
    static const char *const producer[][2] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        {"linger.ms", "0"},
        {"max.in.flight.requests.per.connection", "1"},
        {"socket.nagle.disable", "true"},
    };
    static const char *const consumer[][2] = {
        {"socket.nagle.disable", "true"},
        {"fetch.wait.max.ms", "500"},
    };
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic;

    c->producer =
        client_new(RD_KAFKA_PRODUCER, brokers, producer, sizeof(producer) / sizeof(producer[0]));
    c->consumer =
        client_new(RD_KAFKA_CONSUMER, brokers, consumer, sizeof(consumer) / sizeof(consumer[0]));
    c->from = rd_kafka_topic_new(c->consumer, from, NULL);
    c->queue = rd_kafka_queue_new(c->consumer);
    c->to = to;
    for (int32_t p = 0; p < PARTITIONS; p++) {
        int64_t low, high;

        if (rd_kafka_query_watermark_offsets(c->consumer, from, p, &low, &high, TIMEOUT_MS) !=
                RD_KAFKA_RESP_ERR_NO_ERROR ||
            rd_kafka_consume_start_queue(c->from, p, high, c->queue) != 0)
            die("cannot consume");
    }
    /* The first record to a topic that is not known yet takes a second. */
    topic = rd_kafka_topic_new(c->producer, to, NULL);
    if (rd_kafka_metadata(c->producer, 0, topic, &metadata, TIMEOUT_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        die("the broker does not answer");
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
}

static void client_done(struct client *c)
{
    for (int32_t p = 0; p < PARTITIONS; p++)
        rd_kafka_consume_stop(c->from, p);
    rd_kafka_topic_destroy(c->from);
    rd_kafka_queue_destroy(c->queue);
    rd_kafka_destroy(c->consumer);
    rd_kafka_flush(c->producer, TIMEOUT_MS);
    rd_kafka_destroy(c->producer);
}

static void client_send(struct client *c, const void *key, size_t key_len, const void *value,
                        size_t value_len, const void *id)
{
    rd_kafka_resp_err_t error = rd_kafka_producev(
        c->producer, RD_KAFKA_V_TOPIC(c->to), RD_KAFKA_V_KEY((void *)(uintptr_t)key, key_len),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)value, value_len),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADER(CORRELATION_ID, id, ID_LEN),
        RD_KAFKA_V_END);

    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        die(rd_kafka_err2str(error));
}

/* Waits WAIT_MS for something, and takes all there is. */
static size_t client_receive(struct client *c, rd_kafka_message_t *batch[static BATCH])
{
    ssize_t n;

    batch[0] = rd_kafka_consume_queue(c->queue, WAIT_MS);
    if (batch[0] == NULL)
        return 0;
    n = rd_kafka_consume_batch_queue(c->queue, 0, batch + 1, BATCH - 1);
    return n < 0 ? 1 : 1 + (size_t)n;
}

static const char *message_id(const rd_kafka_message_t *m)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t len;

    if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        die(rd_kafka_message_errstr(m));
    if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, CORRELATION_ID, &value, &len) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        len != ID_LEN)
        die("a message without correlation id");
    return value;
}

static void *echo_main(void *arg)
{
    struct bench *b = arg;
    rd_kafka_message_t *batch[BATCH];

    while (!atomic_load(&b->echo_stop)) {
        size_t n = client_receive(&b->echo, batch);

        for (size_t i = 0; i < n; i++) {
            client_send(&b->echo, NULL, 0, batch[i]->payload, batch[i]->len, message_id(batch[i]));
            rd_kafka_message_destroy(batch[i]);
        }
    }
    return NULL;
}

static void send_request(struct bench *b, uint64_t slot)
{
    char id[ID_LEN + 1], key[16], value[VALUE_LEN];
    uint64_t number = b->next++;

    snprintf(id, sizeof(id), "%016" PRIx64 "-%019" PRIx64, slot, number);
    snprintf(key, sizeof(key), "user-%04u", (unsigned)(number % KEYS));
    memset(value, 'x', sizeof(value));
    b->away[slot] = (struct request){number, now_ns()};
    client_send(&b->requester, key, strlen(key), value, sizeof(value), id);
}

static void take_reply(struct bench *b, const rd_kafka_message_t *m)
{
    char id[ID_LEN + 1];
    uint64_t slot, number;

    memcpy(id, message_id(m), ID_LEN);
    id[ID_LEN] = '\0';
    if (sscanf(id, "%" SCNx64 "-%" SCNx64, &slot, &number) != 2 || slot >= b->in_flight ||
        b->away[slot].number != number || m->len != VALUE_LEN)
        die("a reply that nobody waits for");
    b->last = now_ns();
    if (b->last >= b->begin && b->last < b->end)
        samples_add(&b->samples, b->last - b->away[slot].sent);
    if (b->last < b->end)
        send_request(b, slot);
    else
        b->left--;
}

static double cpu_seconds(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* Sends until the period is over, then waits for what is still away. Returns the CPU seconds that
 * the measured period took. */
static double run(struct bench *b)
{
    double at_begin = -1, at_end = -1;
    rd_kafka_message_t *batch[BATCH];

    b->left = b->in_flight;
    b->last = now_ns();
    for (uint64_t slot = 0; slot < b->in_flight; slot++)
        send_request(b, slot);
    while (b->left > 0) {
        size_t n = client_receive(&b->requester, batch);
        int64_t now = now_ns();

        if (at_begin < 0 && now >= b->begin)
            at_begin = cpu_seconds();
        if (at_end < 0 && now >= b->end)
            at_end = cpu_seconds();
        for (size_t i = 0; i < n; i++) {
            take_reply(b, batch[i]);
            rd_kafka_message_destroy(batch[i]);
        }
        if (now - b->last > TIMEOUT_MS * (NS_PER_S / 1000))
            die("no reply");
    }
    return (at_end < 0 ? cpu_seconds() : at_end) - at_begin;
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    double warm, seconds, cpu;
    pthread_t echo;

    if (argc != 7)
        die("usage: bare BROKERS REQUEST-TOPIC REPLY-TOPIC IN-FLIGHT WARM-SECONDS SECONDS");
    b.in_flight = strtoul(argv[4], NULL, 10);
    if (b.in_flight < 1 || b.in_flight > 65536)
        die("1 to 65536 in flight");
    warm = seconds_argument(argv[5]);
    seconds = seconds_argument(argv[6]);
    b.away = calloc(b.in_flight, sizeof(*b.away));
    if (b.away == NULL)
        die("out of memory");
    client_init(&b.requester, argv[1], argv[3], argv[2]);
    client_init(&b.echo, argv[1], argv[2], argv[3]);
    if (pthread_create(&echo, NULL, echo_main, &b) != 0)
        die("no thread");

    b.begin = now_ns() + (int64_t)(warm * 1e9);
    b.end = b.begin + (int64_t)(seconds * 1e9);
    cpu = run(&b);

    atomic_store(&b.echo_stop, true);
    pthread_join(echo, NULL);
    client_done(&b.requester);
    client_done(&b.echo);
    printf("{");
    samples_print(&b.samples, seconds);
    printf(", \"cpu_seconds\": %.3f, \"errors\": 0}\n", cpu);
    free(b.samples.us);
    free(b.away);
    return 0;
}
