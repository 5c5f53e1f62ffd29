#include "config/topics.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ids.h"
#include "base/util.h"
#include "config/scalar.h"

static const char *const unsupported[] = {"deadline", "contract", "headers"};
static const char keys[] = "topic kafka_topic handler route partitions create timeout ordering key "
                           "concurrency retry events";

static char *copy_place(const struct node *n)
{
    return n == NULL ? NULL : strdup(n->place);
}

static void read_retry(struct topic_config *t, struct node *map, struct config_report *report)
{
    struct node *n;

    if (map == NULL)
        return;
    if (map->type != NODE_MAP) {
        config_report_error(report, map->place, "retry: expected a map");
        return;
    }
    read_int(node_member(map, "retries"), "retry.retries", 0, 1000, &t->retry.retries, report);
    read_duration(node_member(map, "initialRetryTime"), "retry.initialRetryTime", NS_PER_MS, 0,
                  3600 * NS_PER_S, &t->retry.initial, report);
    read_duration(node_member(map, "maxRetryTime"), "retry.maxRetryTime", NS_PER_MS, 0,
                  86400 * NS_PER_S, &t->retry.max, report);
    n = node_member(map, "multiplier");
    if (n != NULL) {
        char *end = NULL;
        double value = n->type == NODE_SCALAR ? strtod(n->text, &end) : 0;

        if (end == NULL || end == n->text || *end != '\0' || !(value >= 1 && value <= 10))
            config_report_error(report, n->place, "retry.multiplier: must be between 1 and 10");
        else
            t->retry.multiplier = value;
    }
    refuse_unknown(map, "retry", "retries initialRetryTime multiplier maxRetryTime", report);
}

static void read_events(struct topic_config *t, struct node *map, struct config_report *report)
{
    if (map == NULL)
        return;
    if (map->type != NODE_MAP) {
        config_report_error(report, map->place, "events: expected a map");
        return;
    }
    if (read_string(node_member(map, "channel"), "events.channel", 1, 128, &t->channel, report) &&
        !task_id_valid(t->channel, strlen(t->channel)))
        config_report_error(report, node_member(map, "channel")->place,
                            "events.channel: may hold only A-Z a-z 0-9 . _ : -");
    refuse_unknown(map, "events", "channel", report);
}

static bool pointer_valid(const char *p)
{
    if (*p != '\0' && *p != '/')
        return false;
    for (; *p != '\0'; p++)
        if (*p == '~' && p[1] != '0' && p[1] != '1')
            return false;
    return true;
}

static bool route_valid(const char *route)
{
    static const char *const ours[] = {"/kafka/", "/events/"};
    static const char *const exactly[] = {"/", "/livez", "/readyz", "/metrics", "/openapi.json",
                                          "/executor/tasks", "/executor/tasks/",
                                          "/executor/tasks/execute", "/executor/tasks/batch"};

    if (route[0] != '/' || strspn(route, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                         "0123456789._~/-") != strlen(route))
        return false;
    for (size_t i = 0; i < TW_ARRAY_LEN(ours); i++)
        if (strncmp(route, ours[i], strlen(ours[i])) == 0)
            return false;
    for (size_t i = 0; i < TW_ARRAY_LEN(exactly); i++)
        if (strcmp(route, exactly[i]) == 0)
            return false;
    return true;
}

static void check_names(struct topic_config *t, struct node *root, struct config_report *report)
{
    if (t->topic == NULL)
        config_report_error(report, root->place, "topic: is required");
    else if (!topic_name_valid(t->topic, strlen(t->topic)))
        config_report_error(report, node_member(root, "topic")->place,
                            "topic: may hold only A-Z a-z 0-9 . _ -");
    if (t->kafka_topic == NULL && t->topic != NULL)
        t->kafka_topic = strdup(t->topic);
    else if (t->kafka_topic != NULL && !topic_name_valid(t->kafka_topic, strlen(t->kafka_topic)))
        config_report_error(report, node_member(root, "kafka_topic")->place,
                            "kafka_topic: may hold only A-Z a-z 0-9 . _ -");
    if (t->handler != NULL && t->kafka_topic != NULL) {
        if (asprintf(&t->dead_letter, "%s-dlt", t->kafka_topic) < 0)
            t->dead_letter = NULL;
        else if (!topic_name_valid(t->dead_letter, strlen(t->dead_letter)))
            config_report_error(report, t->place, "kafka_topic: %s leaves no room for its dead "
                                                  "letter topic's -dlt",
                                t->kafka_topic);
    }
    if (t->key != NULL && !pointer_valid(t->key))
        config_report_error(report, t->key_place, "key: \"%s\" is not a JSON Pointer such as /userId",
                            t->key);
    if (t->route != NULL && !route_valid(t->route))
        config_report_error(report, t->route_place,
                            "route: \"%s\" is not a free path of A-Z a-z 0-9 . _ ~ - and /",
                            t->route);
}

static void read_topic(struct topic_config *t, struct node *root, struct config_report *report)
{
    int ordering = ORDERING_KEY;

    *t = (struct topic_config){
        .partitions = 4,
        .create = true,
        .timeout = 30 * NS_PER_S,
        .concurrency = 16,
        .retry = {5, 300 * NS_PER_MS, 2, 30 * NS_PER_S},
        .place = copy_place(root),
        .handler_place = copy_place(node_member(root, "handler")),
        .route_place = copy_place(node_member(root, "route")),
        .key_place = copy_place(node_member(root, "key")),
    };
    read_string(node_member(root, "topic"), "topic", 1, 249, &t->topic, report);
    read_string(node_member(root, "kafka_topic"), "kafka_topic", 1, 249, &t->kafka_topic, report);
    read_string(node_member(root, "handler"), "handler", 1, 64, &t->handler, report);
    read_string(node_member(root, "route"), "route", 1, 512, &t->route, report);
    read_string(node_member(root, "key"), "key", 0, 256, &t->key, report);
    read_int(node_member(root, "partitions"), "partitions", 1, 1000, &t->partitions, report);
    read_int(node_member(root, "concurrency"), "concurrency", 1, 1024, &t->concurrency, report);
    read_bool(node_member(root, "create"), "create", &t->create, report);
    read_duration(node_member(root, "timeout"), "timeout", 0, NS_PER_MS, 3600 * NS_PER_S,
                  &t->timeout, report);
    read_enum(node_member(root, "ordering"), "ordering", "key|partition", &ordering, report);
    t->ordering = (enum ordering)ordering;
    read_retry(t, node_member(root, "retry"), report);
    read_events(t, node_member(root, "events"), report);
    for (size_t i = 0; i < TW_ARRAY_LEN(unsupported); i++) {
        struct node *n = node_member(root, unsupported[i]);

        if (n != NULL)
            config_report_error(report, n->key_place, "%s: is not yet supported", n->key);
    }
    refuse_unknown(root, "a topic", keys, report);
    check_names(t, root, report);
}

static bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static void check_unique(struct config *c, struct config_report *report)
{
    for (size_t i = 0; i < c->n_topics; i++) {
        const struct topic_config *t = &c->topics[i];

        if (same(t->kafka_topic, c->kafka_reply_topic))
            config_report_error(report, t->place, "kafka_topic: %s is the reply topic",
                                t->kafka_topic);
        for (size_t j = 0; j < i; j++) {
            const struct topic_config *other = &c->topics[j];

            if (same(t->topic, other->topic))
                config_report_error(report, t->place, "topic: %s stands in %s too", t->topic,
                                    other->place);
            else if (same(t->kafka_topic, other->dead_letter) ||
                     same(t->dead_letter, other->kafka_topic))
                config_report_error(report, t->place, "kafka_topic: %s and %s: one is the other's "
                                                      "dead letter topic",
                                    t->kafka_topic, other->kafka_topic);
            else if (same(t->kafka_topic, other->kafka_topic))
                config_report_error(report, t->place, "kafka_topic: %s stands in %s too",
                                    t->kafka_topic, other->place);
            if (same(t->route, other->route))
                config_report_error(report, t->route_place, "route: %s stands in %s too", t->route,
                                    other->place);
        }
    }
}

static int is_yaml(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    return entry->d_name[0] != '.' && dot != NULL &&
           (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

void topics_read(struct config *c, const char *path, getenv_fn *env, struct config_report *report)
{
    const char *slash = strrchr(path, '/');
    int directory_len = slash == NULL ? 0 : (int)(slash - path) + 1;
    TW_CLEANUP_FREE char *directory = NULL;
    struct dirent **entries = NULL;
    int n;

    if (asprintf(&directory, "%.*stopics.d", directory_len, path) < 0) {
        directory = NULL;
        return;
    }
    n = scandir(directory, &entries, is_yaml, alphasort);
    if (n < 0 && errno != ENOENT)
        config_report_error(report, directory, "cannot be read: %s", strerror(errno));
    c->topics = calloc((size_t)TW_MAX(n, 1), sizeof(*c->topics));
    for (int i = 0; i < n; i++) {
        TW_CLEANUP_FREE char *file = NULL;
        struct node *root = NULL;

        if (c->topics != NULL &&
            asprintf(&file, "%s/%s", directory, entries[i]->d_name) >= 0)
            root = tree_read(file, env, report);
        if (root != NULL)
            read_topic(&c->topics[c->n_topics++], root, report);
        node_free(root);
        free(entries[i]);
    }
    free(entries);
    check_unique(c, report);
}

void topics_done(struct config *c)
{
    for (size_t i = 0; i < c->n_topics; i++) {
        struct topic_config *t = &c->topics[i];

        free(t->topic);
        free(t->kafka_topic);
        free(t->dead_letter);
        free(t->handler);
        free(t->route);
        free(t->key);
        free(t->channel);
        free(t->place);
        free(t->handler_place);
        free(t->route_place);
        free(t->key_place);
    }
    free(c->topics);
}
