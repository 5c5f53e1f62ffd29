#include "ops/pages.h"

#include "base/json_write.h"

static bool kafka_ready(const struct ops_facts *f)
{
    return f->kafka_up && f->topics_ready && f->replies_ready && f->tasks_ready;
}

int ops_health(const struct ops_facts *f, struct strbuf *out)
{
    bool up = f->kafka_up;
    bool well = kafka_ready(f) && !f->draining && (!f->shared || f->store_up);
    const char *status = !up ? "down" : well ? "ok" : "degraded";

    json_begin_object(out);
    json_member_string(out, "status", status);
    json_member_string(out, "pod", f->pod);
    json_key(out, "kafka");
    json_begin_object(out);
    json_member_boolean(out, "connected", up);
    json_member_int(out, "brokers", f->brokers);
    json_member_boolean(out, "producer", up && f->topics_ready);
    json_member_boolean(out, "consumer", up && f->tasks_ready);
    json_member_boolean(out, "replies", up && f->replies_ready);
    json_member_int(out, "partitions", f->partitions);
    json_member_int(out, "replyPartitions", f->reply_partitions);
    json_end_object(out);
    json_member_string(out, "store", f->shared ? "redis" : "memory");
    if (f->shared) {
        json_key(out, "redis");
        json_begin_object(out);
        json_member_boolean(out, "connected", f->store_up);
        json_end_object(out);
    }
    json_member_int(out, "pending", (int64_t)f->pending);
    json_member_int(out, "pendingLimit", (int64_t)f->pending_limit);
    json_end_object(out);
    return up ? 200 : 503;
}

static void check(struct strbuf *out, const char *name, bool good)
{
    json_begin_object(out);
    json_member_string(out, "name", name);
    json_member_boolean(out, "ok", good);
    json_end_object(out);
}

int ops_ready(const struct ops_facts *f, bool verbose, struct strbuf *out)
{
    bool workers = f->workers_busy < f->workers;
    bool ready = kafka_ready(f) && workers && !f->draining;

    json_begin_object(out);
    json_member_string(out, "status",
                       !ready ? "not ready" : f->shared && !f->store_up ? "degraded" : "ready");
    if (verbose) {
        json_key(out, "checks");
        json_begin_array(out);
        check(out, "kafka", f->kafka_up);
        check(out, "topics", f->topics_ready);
        check(out, "replies", f->replies_ready);
        check(out, "tasks", f->tasks_ready);
        if (f->shared)
            check(out, "redis", f->store_up);
        check(out, "workers", workers);
        check(out, "not draining", !f->draining);
        json_end_array(out);
    }
    json_end_object(out);
    return ready ? 200 : 503;
}

void ops_topics(const struct topic_table *topics, int (*partitions)(void *ctx, size_t topic),
                void *ctx, struct strbuf *out)
{
    json_begin_object(out);
    json_key(out, "topics");
    json_begin_array(out);
    for (size_t i = 0; i < topics->count; i++) {
        const struct topic_config *t = topics->items[i].config;

        json_begin_object(out);
        json_member_string(out, "topic", t->topic);
        json_member_string(out, "route", t->route);
        json_member_string(out, "handler", t->handler);
        json_member_int(out, "partitions", partitions(ctx, i));
        json_end_object(out);
    }
    json_end_array(out);
    json_end_object(out);
}
