/* The broker of `taskwired --dev`: librdkafka's mock cluster, on real TCP, in this process. */
#include <stdlib.h>
#include <string.h>

#include "kafka/internal.h"

#include <librdkafka/rdkafka_mock.h> /* only after rdkafka.h */

struct devbroker {
    rd_kafka_t *rk; /* the cluster's host; it connects to nothing */
    rd_kafka_mock_cluster_t *cluster;
};

/* Its complaint that no broker is configured is the idea. Any librdkafka thread. */
static void discard_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    (void)facility;
    (void)text;
}

struct devbroker *devbroker_new(char **ret_why)
{
    struct devbroker *b = calloc(1, sizeof(*b));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    rd_kafka_conf_set_log_cb(conf, discard_log);
    if (b != NULL)
        b->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    if (b == NULL || b->rk == NULL)
        rd_kafka_conf_destroy(conf);
    else
        b->cluster = rd_kafka_mock_cluster_new(b->rk, 1);
    if (b == NULL || b->cluster == NULL) {
        devbroker_free(b);
        *ret_why = strdup("the embedded broker does not start");
        return NULL;
    }
    return b;
}

void devbroker_free(struct devbroker *b)
{
    if (b == NULL)
        return;
    if (b->cluster != NULL)
        rd_kafka_mock_cluster_destroy(b->cluster);
    if (b->rk != NULL)
        rd_kafka_destroy(b->rk);
    free(b);
}

const char *devbroker_address(const struct devbroker *b)
{
    return rd_kafka_mock_cluster_bootstraps(b->cluster);
}

bool devbroker_create_topic(struct devbroker *b, const char *topic, int partitions)
{
    return rd_kafka_mock_topic_create(b->cluster, topic, partitions, 1) ==
           RD_KAFKA_RESP_ERR_NO_ERROR;
}
