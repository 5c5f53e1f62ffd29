/*
 * Configuration: taskwire.yaml, topics.d/<any>.yaml beside it, and the environment, as typed settings.
 *
 * The text is expanded (${VAR}, ${VAR:-default}; "$$" is a dollar), parsed by libyaml into a tree
 * that knows line and column of every node, and the tree is read by the table of settings.def.
 * Unknown and repeated keys, wrong types, values out of range, aliases, tags, several documents are
 * errors; all of them are collected, each "file:line:column: sentence". The environment variables of
 * the reference (KAFKA_BROKERS, KAFKA_CLIENT_ID, KAFKA_GROUP_ID, REDIS_URL, PORT, HOSTNAME, NODE_ENV)
 * override the file; what is wrong in one is reported as "environment: PORT: sentence". An empty
 * variable counts as not set.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

struct string_list {
    char **items;
    size_t count;
};

/* name and value as text, and where it was written ("taskwire.yaml:3:5") */
struct property {
    char *name;
    char *value;
    char *place;
};

struct property_list {
    struct property *items;
    size_t count;
};

struct plugin_section {
    char *name; /* file name without .so */
    struct property_list options;
    char *place;
};

enum ordering { ORDERING_KEY, ORDERING_PARTITION };
enum { MODE_DEVELOPMENT, MODE_PRODUCTION };
enum { LOG_FORMAT_AUTO, LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

/* One file of topics.d. */
struct topic_config {
    char *topic;       /* required; [A-Za-z0-9._-]{1,249} */
    char *kafka_topic; /* default: topic */
    char *dead_letter; /* <kafka_topic>-dlt; NULL without handler */
    char *handler;     /* NULL: other services answer */
    char *route;       /* NULL: none; begins with "/", of [A-Za-z0-9._~/-], not under a built-in one */
    int64_t partitions;    /* 1..1000, default 4; when created */
    bool create;           /* default true */
    int64_t timeout;       /* ns, default 30s */
    enum ordering ordering; /* default key */
    char *key;             /* JSON Pointer to the record key; NULL: no key */
    int64_t concurrency;   /* 1..1024, default 16; tasks that run at once */
    struct {
        int64_t retries;      /* 0..1000, default 5 */
        int64_t initial;      /* ns, default 300ms; key initialRetryTime, bare numbers are ms */
        double multiplier;    /* 1..10, default 2 */
        int64_t max;          /* ns, default 30s; key maxRetryTime */
    } retry;
    char *channel; /* events.channel: [A-Za-z0-9._:-]{1,128}; NULL: none */
    char *place;   /* "topics.d/user-login.yaml:1:1" */
    char *handler_place, *route_place, *key_place; /* NULL when absent */
};

struct config {
    /* one field a row of settings.def: */
    char *hostname;
    int mode; /* MODE_* */
    struct string_list roles;
    int64_t workers, drain_timeout;
    char *http_listen;
    int64_t http_port, http_threads, http_connection_queue, http_listen_backlog;
    int64_t http_keep_alive_timeout, http_request_timeout, http_body_timeout;
    struct string_list kafka_brokers;
    char *kafka_client_id, *kafka_group_id, *kafka_reply_topic;
    int64_t kafka_reply_partitions;
    struct string_list kafka_reply_topics;
    int64_t kafka_replication_factor, kafka_session_timeout, kafka_heartbeat_interval;
    int64_t kafka_message_timeout;
    int64_t limit_body, limit_header, limit_json_depth, limit_batch, limit_pending;
    int64_t limit_longest_wait, limit_results, limit_result_bytes, limit_result_ttl;
    int64_t limit_producer_queue, limit_topic_queue, limit_unfinished_span, limit_parked_per_key;
    int64_t limit_crash, limit_reply_backlog;
    int auth_mode;
    char *redis_url;
    int64_t redis_connect_timeout, redis_command_timeout, limit_redis_queue, limit_unknown_replies;
    int log_level; /* enum log_level */
    int log_format;
    char *plugin_directory;
    struct string_list plugin_load;

    struct property_list kafka_properties; /* kafka.properties: passed to librdkafka */
    struct plugin_section *plugin_sections; /* plugins.options.<name> */
    size_t n_plugin_sections;
    struct topic_config *topics; /* in order of file name */
    size_t n_topics;
    bool http_listen_written; /* as opposed to defaulted */
    bool gateway, worker;     /* server.roles */
};

/* What was wrong, and what is worth knowing though not wrong. */
struct config_report {
    struct strbuf text; /* one line each */
    size_t errors;
    size_t warnings;
};
void config_report_done(struct config_report *report);
void config_report_error(struct config_report *report, const char *place, const char *fmt, ...)
    TW_PRINTF(3, 4);
void config_report_warning(struct config_report *report, const char *place, const char *fmt, ...)
    TW_PRINTF(3, 4); /* the line says "warning: " behind the place */

/*
 * Reads everything. `env` stands for getenv(3), for tests. Always adds all errors to `report`.
 * Returns 0 with *ret set, -EINVAL when there was any error, or -ENOMEM.
 *
 * Also checked across settings: auth.mode is written; heartbeat_interval at most a third of session_timeout;
 * topics, Kafka topics and routes are unique; no topic uses the reply topic; a `contract:` block is
 * refused as not yet supported; production with auth.mode none is a warning; http.listen that is
 * not loopback with auth.mode none is a warning; kafka.properties may not set what taskwire needs
 * to own (enable.idempotence, acks, group.id, client.id, bootstrap.servers,
 * enable.auto.commit, enable.auto.offset.store, partition.assignment.strategy, ...).
 */
int config_load(const char *path, char *(*env)(const char *name), struct config **ret,
                struct config_report *report);
void config_free(struct config *config); /* may be NULL */

/* Whether redis.url asks for a Redis, which pods share. */
bool config_shares(const struct config *config);

/* Appends one line a setting, with default and range, for `--help`. */
void config_help(struct strbuf *out);
