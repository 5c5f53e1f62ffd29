#include "taskwired/pod.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "http/server.h"
#include "kafka/kafka.h"
#include "memory/store.h"
#include "ops/pages.h"
#include "plugin/registry.h"
#include "redis/redis.h"
#include "taskwired/workers.h"

#define STOP_WITHIN (9500 * NS_PER_MS) /* all of it; what runs has server.drain_timeout of that */
#define CLOSE_WITHIN (2 * NS_PER_S)    /* connections, once everybody was answered */

struct pod {
    struct pod_setup setup;
    const struct config *config;
    struct topic_table topics;
    struct metrics *metrics;
    struct registry *registry;
    struct kafka *kafka;
    struct memory_store *store;
    struct redis *redis; /* NULL: no store is shared */
    struct workers *workers;
    struct orchestrator *orchestrator;
    struct timer *timer;
    struct http_server *http;
    atomic_bool draining;
};

static int prepare(void *ctx, const char *topic_name, const char *task_text, size_t len,
                   struct buf **ret, char **ret_why)
{
    struct pod *pod = ctx;
    const struct topic *topic = topic_find(&pod->topics, topic_name, strlen(topic_name));
    STRBUF_CLEANUP struct strbuf why = STRBUF_INIT;
    struct violations *v = violations_new();
    TASK_CLEANUP struct task *task = NULL;
    struct json_error error;
    int r = topic == NULL || v == NULL ? -EINVAL : 0;

    if (topic == NULL)
        strbuf_addz(&why, "no such topic");
    if (r == 0)
        r = orchestrator_check(pod->orchestrator, topic, task_text, len, v, &task, &error);
    if (r == 0)
        *ret = buf_ref(task->text);
    else if (r == -EBADMSG)
        strbuf_addz(&why, error.detail);
    else if (v != NULL)
        violations_summary(v, &why);
    if (r < 0)
        *ret_why = strbuf_take(&why);
    violations_free(v);
    return r;
}

static void add_error(struct config_report *report, const char *place, char *why)
{
    config_report_error(report, place, "%s", why == NULL ? "out of memory" : why);
    free(why);
}

/* One entry of plugins.load: a name, or an absolute path. */
static void load_plugin(struct pod *pod, const char *entry, struct config_report *report)
{
    const char *directory = pod->config->plugin_directory[0] != '\0' ? pod->config->plugin_directory
                                                                     : pod->setup.plugin_directory;
    TW_CLEANUP_FREE struct plugin_setting *settings = NULL;
    TW_CLEANUP_FREE char *path = NULL;
    const char *slash = strrchr(entry, '/');
    const char *name = slash == NULL ? entry : slash + 1;
    size_t name_len = strcspn(name, "."), n = 0;
    char *why = NULL;

    if ((slash != NULL ? asprintf(&path, "%s", entry)
                       : asprintf(&path, "%s/%s.so", directory, entry)) < 0) {
        path = NULL;
        return;
    }
    for (size_t i = 0; i < pod->config->n_plugin_sections; i++) {
        const struct plugin_section *s = &pod->config->plugin_sections[i];

        if (strlen(s->name) != name_len || memcmp(s->name, name, name_len) != 0)
            continue;
        settings = calloc(TW_MAX(s->options.count, 1), sizeof(*settings));
        for (; settings != NULL && n < s->options.count; n++)
            settings[n] = (struct plugin_setting){
                s->options.items[n].name, s->options.items[n].value, s->options.items[n].place};
    }
    if (registry_load(pod->registry, path, settings, n, &why) < 0)
        add_error(report, "plugins.load", why);
}

/* The topics, with their handlers. */
static bool bind_topics(struct pod *pod, struct config_report *report)
{
    const struct config *c = pod->config;
    const char **names = calloc(TW_MAX(c->n_topics, 1), sizeof(char *));

    pod->topics.items = calloc(TW_MAX(c->n_topics, 1), sizeof(*pod->topics.items));
    if (names == NULL || pod->topics.items == NULL) {
        free(names);
        return false;
    }
    pod->topics.count = c->n_topics;
    for (size_t i = 0; i < c->n_topics; i++) {
        struct topic *t = &pod->topics.items[i];

        t->index = i;
        t->config = &c->topics[i];
        names[i] = c->topics[i].topic;
        if (t->config->handler == NULL)
            continue;
        t->handler = registry_find(pod->registry, t->config->handler);
        if (t->handler == NULL)
            config_report_error(report, t->config->handler_place,
                                "handler: no loaded plugin has a handler \"%s\"",
                                t->config->handler);
        else
            t->rules = handler_rules(t->handler);
    }
    pod->metrics = metrics_new(names, c->n_topics);
    free(names);
    return pod->metrics != NULL;
}

/* The embedded default needs nothing but its own process. */
bool pod_shares(const struct pod *pod)
{
    return !pod->setup.dev && config_shares(pod->config);
}

int pod_new(const struct pod_setup *setup, struct config_report *report, struct pod **ret)
{
    struct pod *pod = calloc(1, sizeof(*pod));
    size_t before = report->errors;

    if (pod == NULL)
        return -ENOMEM;
    pod->setup = *setup;
    pod->config = setup->config;
    pod->registry = registry_new(&(struct registry_host){.prepare = prepare, .ctx = pod});
    if (pod->registry != NULL)
        for (size_t i = 0; i < pod->config->plugin_load.count; i++)
            load_plugin(pod, pod->config->plugin_load.items[i], report);
    for (size_t i = 0; i < pod->config->kafka_properties.count; i++) {
        const struct property *p = &pod->config->kafka_properties.items[i];
        char *why = NULL;

        if (!kafka_property_valid(p->name, p->value, &why))
            add_error(report, p->place, why);
    }
    if (pod->registry == NULL || !bind_topics(pod, report) || report->errors > before) {
        pod_free(pod);
        return report->errors > before ? -EINVAL : -ENOMEM;
    }
    *ret = pod;
    return 0;
}

static int64_t tick(void *ctx, int64_t now)
{
    struct pod *pod = ctx;

    return orchestrator_tick(pod->orchestrator, now);
}

static void wake_timer(void *ctx, int64_t deadline)
{
    struct pod *pod = ctx;

    timer_wake(pod->timer, deadline);
}

static int partitions_of(void *ctx, size_t topic)
{
    struct pod *pod = ctx;

    return kafka_partitions(pod->kafka, topic);
}

static struct ops_facts facts(struct pod *pod)
{
    struct kafka_status k;
    struct ops_facts f;

    kafka_status(pod->kafka, &k);
    f = (struct ops_facts){
        .kafka_up = k.up,
        .topics_ready = k.topics_ready,
        .replies_ready = k.replies_ready,
        .tasks_ready = k.tasks_ready,
        .brokers = k.brokers,
        .partitions = k.partitions,
        .reply_partitions = k.reply_partitions,
        .shared = pod->redis != NULL,
        .pending = orchestrator_pending(pod->orchestrator),
        .pending_limit = (size_t)pod->config->limit_pending,
        .workers = (size_t)pod->config->workers,
        .workers_busy = (size_t)metric_get(pod->metrics, METRIC_WORKERS_BUSY, 0),
        .draining = atomic_load(&pod->draining),
        .pod = pod->config->hostname,
    };
    if (f.shared)
        f.store_up = redis_is_up(pod->redis);
    return f;
}

static int page_health(void *ctx, struct strbuf *out)
{
    const struct ops_facts f = facts(ctx);

    return ops_health(&f, out);
}

static int page_ready(void *ctx, bool verbose, struct strbuf *out)
{
    const struct ops_facts f = facts(ctx);

    return ops_ready(&f, verbose, out);
}

static int page_topics(void *ctx, struct strbuf *out)
{
    struct pod *pod = ctx;

    ops_topics(&pod->topics, partitions_of, pod, out);
    return 200;
}

static int page_metrics(void *ctx, struct strbuf *out)
{
    struct pod *pod = ctx;

    metric_set(pod->metrics, METRIC_PENDING, 0, (int64_t)orchestrator_pending(pod->orchestrator));
    metric_set(pod->metrics, METRIC_LOG_DROPPED, 0, (int64_t)log_dropped());
    metrics_write(pod->metrics, out);
    return 200;
}

static int make(struct pod *pod, char **ret_why)
{
    size_t capacity = 0;
    int r = registry_init(pod->registry, ret_why);

    for (size_t i = 0; i < pod->topics.count; i++)
        capacity += (size_t)pod->topics.items[i].config->concurrency;
    if (r == 0)
        r = kafka_new(pod->config, &pod->topics, pod->metrics, pod->setup.dev, pod_shares(pod),
                      &pod->kafka, ret_why);
    if (r < 0)
        return r;
    pod->store = memory_store_new(pod->config, &clock_system, pod->metrics);
    if (pod->store != NULL && pod_shares(pod))
        r = redis_new(pod->config, &clock_system, pod->metrics, memory_store_port(pod->store),
                      &pod->redis, ret_why);
    if (r < 0)
        return r;
    pod->workers = workers_new((size_t)pod->config->workers, capacity, pod->metrics);
    if (pod->store == NULL || pod->workers == NULL)
        return -ENOMEM;
    pod->orchestrator = orchestrator_new(&(struct orchestrator_world){
        .config = pod->config,
        .topics = &pod->topics,
        .metrics = pod->metrics,
        .clock = &clock_system,
        .bus = kafka_bus(pod->kafka),
        .store = pod->redis != NULL ? redis_store_port(pod->redis) : memory_store_port(pod->store),
        .handlers = workers_port(pod->workers),
        .wake_timer = wake_timer,
        .timer_ctx = pod,
        .incarnation = pod->redis != NULL ? redis_incarnation(pod->redis) : NULL,
    });
    return pod->orchestrator == NULL ? -ENOMEM : 0;
}

int pod_start(struct pod *pod, char **ret_why)
{
    const struct http_world world = {
        .config = pod->config,
        .topics = &pod->topics,
        .metrics = pod->metrics,
        .orchestrator = NULL,
        .pages = {page_health, page_topics, page_ready, page_metrics, pod},
    };
    struct http_world http = world;
    int r = make(pod, ret_why);

    if (r == 0)
        r = timer_start(tick, pod, &pod->timer);
    if (r == 0)
        r = workers_start(pod->workers, pod->orchestrator);
    if (r == 0 && pod->redis != NULL)
        r = redis_start(pod->redis);
    if (r == 0)
        r = kafka_start(pod->kafka, pod->orchestrator, pod->setup.fatal, pod->setup.fatal_ctx);
    http.orchestrator = pod->orchestrator;
    if (r == 0)
        r = http_server_start(&http, &pod->http, ret_why);
    return r;
}

int pod_port(const struct pod *pod)
{
    return http_server_port(pod->http);
}

const char *pod_broker(const struct pod *pod)
{
    return kafka_embedded_address(pod->kafka);
}

bool pod_stop(struct pod *pod)
{
    int64_t now = clock_monotonic(&clock_system), end = now + STOP_WITHIN;
    int64_t drain = TW_MIN(now + pod->config->drain_timeout, end);
    bool clean = true;

    atomic_store(&pod->draining, true);
    if (pod->http != NULL)
        http_server_drain(pod->http);
    if (pod->orchestrator != NULL) {
        orchestrator_drain(pod->orchestrator);
        if (!orchestrator_wait_answered(pod->orchestrator, drain))
            log_warn("taskwired", "%zu requests still wait: they are told where to ask",
                     orchestrator_pending(pod->orchestrator));
        orchestrator_abandon(pod->orchestrator);
    }
    http_server_stop(TW_TAKE_PTR(pod->http),
                     TW_MIN(clock_monotonic(&clock_system) + CLOSE_WITHIN, end));
    if (pod->orchestrator != NULL) {
        orchestrator_stop_work(pod->orchestrator);
        clean = orchestrator_wait_worked(pod->orchestrator, drain);
    }
    if (pod->kafka != NULL) {
        kafka_stop_tasks(pod->kafka, end);
        kafka_stop(pod->kafka, end);
    }
    if (pod->workers != NULL)
        clean = workers_stop(pod->workers, TW_MAX(drain, clock_monotonic(&clock_system))) && clean;
    timer_stop(pod->timer); /* who wakes it from now on does nothing */
    if (pod->redis != NULL)
        clean =
            redis_stop(pod->redis, TW_MIN(clock_monotonic(&clock_system) + CLOSE_WITHIN, end)) &&
            clean;
    if (!clean)
        log_warn("taskwired",
                 "not everything had ended: tasks that were not acknowledged are run again");
    return clean;
}

void pod_free(struct pod *pod)
{
    if (pod == NULL)
        return;
    kafka_free(pod->kafka);
    orchestrator_free(pod->orchestrator);
    timer_free(pod->timer);
    workers_free(pod->workers);
    redis_free(pod->redis);
    memory_store_free(pod->store);
    registry_free(pod->registry);
    metrics_free(pod->metrics);
    free(pod->topics.items);
    free(pod);
}
