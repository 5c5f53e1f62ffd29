#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/redis_url.h"
#include "config/scalar.h"
#include "config/settings.h"
#include "config/topics.h"
#include "config/tree.h"

/* Properties of librdkafka that taskwire owns, or that are no text. */
static const char *const denied[] = {
    "bootstrap.servers", "metadata.broker.list", "client.id", "group.id", "group.instance.id",
    "enable.idempotence", "acks", "request.required.acks", "linger.ms", "queue.buffering.max.ms",
    "max.in.flight", "max.in.flight.requests.per.connection", "message.timeout.ms",
    "delivery.timeout.ms", "message.max.bytes", "queue.buffering.max.kbytes", "session.timeout.ms",
    "heartbeat.interval.ms", "enable.auto.commit", "enable.auto.offset.store",
    "auto.commit.enable", "auto.offset.reset", "partition.assignment.strategy",
    "transactional.id", "plugin.library.paths", "opaque", "enable.gapless.guarantee",
};

static void properties_done(struct property_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].name);
        free(list->items[i].value);
        free(list->items[i].place);
    }
    free(list->items);
}

/* The scalars of a map, as text. */
static void read_properties(struct node *map, const char *name, struct property_list *ret,
                            struct config_report *report)
{
    if (map == NULL)
        return;
    if (map->type != NODE_MAP) {
        config_report_error(report, map->place, "%s: expected a map", name);
        return;
    }
    for (struct node *n = map->first; n != NULL; n = n->next) {
        struct property *items = realloc(ret->items, (ret->count + 1) * sizeof(*items));

        if (items == NULL)
            return;
        ret->items = items;
        if (n->type != NODE_SCALAR) {
            config_report_error(report, n->place, "%s.%s: expected a single value", name, n->key);
            continue;
        }
        items[ret->count++] =
            (struct property){strdup(n->key), strdup(n->text), strdup(n->place)};
    }
}

static void check_properties(const struct property_list *list, struct config_report *report)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct property *p = &list->items[i];
        size_t len = strlen(p->name);

        for (size_t d = 0; d < TW_ARRAY_LEN(denied); d++)
            if (strcmp(p->name, denied[d]) == 0)
                config_report_error(report, p->place, "kafka.properties: %s is taskwire's to set",
                                    p->name);
        if (len > 3 && strcmp(p->name + len - 3, "_cb") == 0)
            config_report_error(report, p->place, "kafka.properties: %s is not text", p->name);
    }
}

static void read_plugin_options(struct config *c, struct node *map, struct config_report *report)
{
    if (map == NULL)
        return;
    if (map->type != NODE_MAP) {
        config_report_error(report, map->place, "plugins.options: expected a map");
        return;
    }
    for (struct node *n = map->first; n != NULL; n = n->next) {
        struct plugin_section *sections =
            realloc(c->plugin_sections, (c->n_plugin_sections + 1) * sizeof(*sections));

        if (sections == NULL)
            return;
        c->plugin_sections = sections;
        sections += c->n_plugin_sections++;
        *sections = (struct plugin_section){.name = strdup(n->key), .place = strdup(n->place)};
        read_properties(n, n->key, &sections->options, report);
    }
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "localhost") == 0;
}

static void set(char **field, const char *text)
{
    char *copy = strdup(text);

    if (copy != NULL) {
        free(*field);
        *field = copy;
    }
}

static const char *place_of(struct node *root, const char *section, const char *key,
                            const char *otherwise)
{
    struct node *map = node_member(root, section), *n = NULL;

    if (map != NULL && map->type == NODE_MAP)
        n = node_member(map, key);
    return n == NULL ? otherwise : n->place;
}

static void check_redis(const struct config *c, struct node *root, getenv_fn *env,
                        struct config_report *report)
{
    const char *variable = env("REDIS_URL");
    bool overridden = variable != NULL && variable[0] != '\0';
    struct redis_url url;
    char *why = NULL;

    if (!config_shares(c))
        return;
    if (redis_url_parse(c->redis_url, &url, &why))
        redis_url_done(&url);
    else
        config_report_error(report,
                            overridden ? "environment: REDIS_URL"
                                       : place_of(root, "redis", "url", "redis.url"),
                            "redis.url: %s", why == NULL ? "out of memory" : why);
    free(why);
}

/* What one setting says of another. */
static void check_together(struct config *c, const char *path, const struct node *mode,
                           struct config_report *report)
{
    TW_CLEANUP_FREE char *replies = NULL;

    if (mode == NULL)
        config_report_error(report, path, "auth.mode: is required: write `auth: {mode: none}` to "
                                          "let anyone call");
    for (size_t i = 0; i < c->roles.count; i++) {
        if (strcmp(c->roles.items[i], "gateway") == 0)
            c->gateway = true;
        else if (strcmp(c->roles.items[i], "worker") == 0)
            c->worker = true;
        else
            config_report_error(report, path, "server.roles: \"%s\" is neither gateway nor worker",
                                c->roles.items[i]);
    }
    if (c->kafka_heartbeat_interval * 3 > c->kafka_session_timeout)
        config_report_error(report, path, "kafka.heartbeat_interval: must be at most a third of "
                                          "kafka.session_timeout");
    if (!c->http_listen_written)
        set(&c->http_listen, "127.0.0.1");
    else if (!is_loopback(c->http_listen))
        config_report_warning(report, path, "http.listen: anyone who reaches %s may call, because "
                                            "auth.mode is none", c->http_listen);
    if (c->mode == MODE_PRODUCTION)
        config_report_warning(report, path, "auth.mode: none in production");
    if (c->kafka_reply_topic[0] == '\0' && asprintf(&replies, "%s.replies", c->kafka_group_id) > 0)
        set(&c->kafka_reply_topic, replies);
}

int config_load(const char *path, char *(*env)(const char *name), struct config **ret,
                struct config_report *report)
{
    struct config *c = calloc(1, sizeof(*c));
    struct node *root, *section, *mode = NULL;

    if (c == NULL || !settings_defaults(c)) {
        config_free(c);
        return -ENOMEM;
    }
    root = tree_read(path, env, report);
    if (root != NULL) {
        section = node_member(root, "kafka");
        if (section != NULL && section->type == NODE_MAP)
            read_properties(node_member(section, "properties"), "kafka.properties",
                            &c->kafka_properties, report);
        section = node_member(root, "plugins");
        if (section != NULL && section->type == NODE_MAP)
            read_plugin_options(c, node_member(section, "options"), report);
        section = node_member(root, "http");
        c->http_listen_written =
            section != NULL && section->type == NODE_MAP && node_member(section, "listen") != NULL;
        section = node_member(root, "auth");
        if (section != NULL && section->type == NODE_MAP)
            mode = node_member(section, "mode");
        settings_read(c, root, report);
        settings_environment(c, env, report);
        check_properties(&c->kafka_properties, report);
        check_together(c, path, mode, report);
        check_redis(c, root, env, report);
        topics_read(c, path, env, report);
        node_free(root);
    }
    if (report->errors > 0) {
        config_free(c);
        return -EINVAL;
    }
    *ret = c;
    return 0;
}

bool config_shares(const struct config *config)
{
    return config->redis_url[0] != '\0' && strcmp(config->redis_url, "none") != 0;
}

void config_free(struct config *c)
{
    if (c == NULL)
        return;
    properties_done(&c->kafka_properties);
    for (size_t i = 0; i < c->n_plugin_sections; i++) {
        free(c->plugin_sections[i].name);
        free(c->plugin_sections[i].place);
        properties_done(&c->plugin_sections[i].options);
    }
    free(c->plugin_sections);
    topics_done(c);
    settings_done(c);
    free(c);
}
