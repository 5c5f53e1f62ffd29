#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "kafka/internal.h"

/* Called from any librdkafka thread; only writes a line. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    /* What it says about connections is said by client_error already, once and for all brokers. */
    enum log_level ours = level <= 3 ? LOG_LEVEL_WARN : level <= 6 ? LOG_LEVEL_DEBUG : LOG_LEVEL_DEBUG;

    (void)rk;
    if (log_enabled(ours))
        log_write(ours, "kafka", "%s: %s", facility, text);
}

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value, char **ret_why)
{
    char error[256];

    if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) == RD_KAFKA_CONF_OK)
        return true;
    if (asprintf(ret_why, "the Kafka library refuses %s: %s", name, error) < 0)
        *ret_why = NULL;
    return false;
}

bool kafka_property_valid(const char *name, const char *value, char **ret_why)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool valid = set(conf, name, value, ret_why);

    rd_kafka_conf_destroy(conf);
    return valid;
}

/* "a:9092,b:9092"; NULL when memory is short. */
static char *join(const struct string_list *list)
{
    struct strbuf sb = STRBUF_INIT;

    for (size_t i = 0; i < list->count; i++)
        strbuf_addf(&sb, "%s%s", i > 0 ? "," : "", list->items[i]);
    return strbuf_take(&sb);
}

static bool configure(struct kafka *k, rd_kafka_conf_t *conf, const char *const (*settings)[2],
                      size_t n, char **ret_why)
{
    TW_CLEANUP_FREE char *brokers = k->embedded == NULL
                                        ? join(&k->config->kafka_brokers)
                                        : strdup(devbroker_address(k->embedded));
    static const char *const common[][2] = {
        {"reconnect.backoff.ms", "100"},
        {"reconnect.backoff.max.ms", "1000"},
        {"socket.keepalive.enable", "true"},
        {"socket.nagle.disable", "true"},
        {"allow.auto.create.topics", "false"},
        {"topic.metadata.propagation.max.ms", "5000"},
        {"log.connection.close", "false"},
    };

    if (brokers == NULL || !set(conf, "bootstrap.servers", brokers, ret_why) ||
        !set(conf, "client.id", k->config->kafka_client_id, ret_why))
        return false;
    for (size_t i = 0; i < TW_ARRAY_LEN(common); i++)
        if (!set(conf, common[i][0], common[i][1], ret_why))
            return false;
    for (size_t i = 0; i < k->config->kafka_properties.count; i++) {
        const struct property *p = &k->config->kafka_properties.items[i];

        if (!set(conf, p->name, p->value, ret_why))
            return false;
    }
    for (size_t i = 0; i < n; i++) /* last: what we rely on is not for others to change */
        if (!set(conf, settings[i][0], settings[i][1], ret_why))
            return false;
    return true;
}

rd_kafka_t *client_new(struct kafka *k, rd_kafka_type_t type, const char *const (*settings)[2],
                       size_t n, char **ret_why)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char error[256];
    rd_kafka_t *rk;

    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR |
                                       RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_OFFSET_COMMIT);
    if (!configure(k, conf, settings, n, ret_why)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rk = rd_kafka_new(type, conf, error, sizeof(error));
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        if (asprintf(ret_why, "the Kafka library does not start: %s", error) < 0)
            *ret_why = NULL;
    }
    return rk;
}

void client_error(struct kafka *k, rd_kafka_t *rk, rd_kafka_resp_err_t error, const char *reason)
{
    metric_inc(k->metrics, METRIC_KAFKA_ERRORS, 0);
    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        if (orchestrator_bus_up(k->orchestrator))
            log_warn("kafka", "no broker answers");
        orchestrator_on_bus(k->orchestrator, false);
        admin_probe_now(k);
    } else if (error == RD_KAFKA_RESP_ERR__FATAL) {
        char text[256];

        error = rd_kafka_fatal_error(rk, text, sizeof(text));
        log_error("kafka", "fatal: %s: %s", rd_kafka_err2name(error), text);
        orchestrator_on_bus(k->orchestrator, false);
        if (!atomic_flag_test_and_set(&k->fatal_told))
            k->fatal(k->fatal_ctx);
    } else if (error == RD_KAFKA_RESP_ERR__TRANSPORT || error == RD_KAFKA_RESP_ERR__RESOLVE) {
        log_debug("kafka", "%s: %s", rd_kafka_err2name(error), reason); /* one of several brokers */
    } else {
        log_warn("kafka", "%s: %s", rd_kafka_err2name(error), reason);
    }
}

void client_deliver(const rd_kafka_message_t *m, size_t topic,
                    void (*take)(struct orchestrator *o, const struct record *r),
                    struct orchestrator *o)
{
    struct bus_header on_stack[16], *headers = on_stack;
    struct record record = {
        .topic = topic,
        .partition = m->partition,
        .offset = m->offset,
        .key = m->key,
        .key_len = m->key_len,
        .value = m->payload,
        .value_len = m->len,
    };
    rd_kafka_timestamp_type_t type;
    rd_kafka_headers_t *list;

    record.timestamp = rd_kafka_message_timestamp(m, &type);
    record.log_append_time = type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
    if (rd_kafka_message_headers(m, &list) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        size_t n = rd_kafka_header_cnt(list);

        if (n > TW_ARRAY_LEN(on_stack))
            headers = calloc(n, sizeof(*headers));
        for (size_t i = 0; headers != NULL && i < n; i++) {
            if (rd_kafka_header_get_all(list, i, &headers[i].name, &headers[i].value,
                                        &headers[i].len) != RD_KAFKA_RESP_ERR_NO_ERROR)
                break;
            record.n_headers = i + 1;
        }
    }
    record.headers = headers;
    take(o, &record);
    if (headers != on_stack)
        free(headers);
}
