/* The route table. An exact path beats one with a parameter. */
#include <string.h>
#include <strings.h>

#include "http/internal.h"

enum method { METHOD_GET = 1, METHOD_POST = 2 };

struct route {
    const char *path; /* ":" stands for one segment, the parameter */
    enum method method;
    void (*handle)(struct request *r, const char *parameter);
    bool gateway; /* only with that role */
};

static const struct topic *loaded_topic(struct request *r, const char *name)
{
    const struct topic *topic = topic_find(r->server->world.topics, name, strlen(name));

    if (topic == NULL)
        respond_error(r, ERROR_UNKNOWN_TOPIC, NULL, NULL);
    return topic;
}

static bool body_ready(struct request *r)
{
    enum error_code error = request_read_body(r);

    if (error == ERROR_NONE)
        return true;
    r->close = true;
    respond_error(r, error, NULL, NULL);
    if (error != ERROR_BODY_TIMEOUT)
        request_discard(r);
    return false;
}

static void post_send(struct request *r, const char *name)
{
    const struct topic *topic;

    if (body_ready(r) && (topic = loaded_topic(r, name)) != NULL)
        tasks_send(r, topic, false);
}

static void post_request(struct request *r, const char *name)
{
    const struct topic *topic;

    if (body_ready(r) && (topic = loaded_topic(r, name)) != NULL)
        tasks_send(r, topic, true);
}

static void post_execute(struct request *r, const char *parameter)
{
    (void)parameter;
    if (body_ready(r))
        tasks_flat(r, NULL);
}

static void post_batch(struct request *r, const char *parameter)
{
    (void)parameter;
    if (body_ready(r))
        batch_execute(r);
}

static void page(struct request *r, int (*write)(void *ctx, struct strbuf *out), const char *type)
{
    STRBUF_CLEANUP struct strbuf body = STRBUF_INIT;
    int status = write(r->server->world.pages.ctx, &body);

    respond(r, status, type, NULL, &body);
}

static void get_health(struct request *r, const char *parameter)
{
    (void)parameter;
    page(r, r->server->world.pages.health, "application/json");
}

static void get_topics(struct request *r, const char *parameter)
{
    (void)parameter;
    page(r, r->server->world.pages.topics, "application/json");
}

static void get_metrics(struct request *r, const char *parameter)
{
    (void)parameter;
    page(r, r->server->world.pages.metrics, "text/plain; version=0.0.4; charset=utf-8");
}

static void get_live(struct request *r, const char *parameter)
{
    STRBUF_CLEANUP struct strbuf body = STRBUF_INIT;

    (void)parameter;
    strbuf_addz(&body, "{\"status\":\"ok\"}");
    respond(r, 200, "application/json", NULL, &body);
}

static void get_ready(struct request *r, const char *parameter)
{
    STRBUF_CLEANUP struct strbuf body = STRBUF_INIT;
    const char *query = r->info->query_string;
    bool verbose = query != NULL && strncmp(query, "verbose", 7) == 0;
    int status = r->server->world.pages.ready(r->server->world.pages.ctx, verbose, &body);

    (void)parameter;
    respond(r, status, "application/json", NULL, &body);
}

static const struct route table[] = {
    {"/kafka/send/:", METHOD_POST, post_send, true},
    {"/kafka/request/:", METHOD_POST, post_request, true},
    {"/kafka/health", METHOD_GET, get_health, false},
    {"/kafka/topics", METHOD_GET, get_topics, false},
    {"/executor/tasks/execute", METHOD_POST, post_execute, true},
    {"/executor/tasks/batch", METHOD_POST, post_batch, true},
    {"/executor/tasks/:", METHOD_GET, tasks_get, true},
    {"/livez", METHOD_GET, get_live, false},
    {"/readyz", METHOD_GET, get_ready, false},
    {"/metrics", METHOD_GET, get_metrics, false},
};

/* Whether the request's segments are those of `path`. */
static bool matches(const struct request *r, const char *path, const char **ret_parameter)
{
    *ret_parameter = NULL;
    for (size_t i = 0; i < r->n_segments; i++) {
        size_t len;

        if (*path++ != '/')
            return false;
        len = strcspn(path, "/");
        if (len == 1 && *path == ':' && r->segments[i][0] != '\0')
            *ret_parameter = r->segments[i];
        else if (strlen(r->segments[i]) != len || memcmp(r->segments[i], path, len) != 0)
            return false;
        path += len;
    }
    return *path == '\0';
}

static int method_of(const char *name)
{
    if (strcmp(name, "GET") == 0 || strcmp(name, "HEAD") == 0)
        return METHOD_GET;
    return strcmp(name, "POST") == 0 ? METHOD_POST : 0;
}

static void wrong_method(struct request *r, enum method allowed)
{
    const char *allow =
        allowed == METHOD_GET ? "Allow: GET, HEAD, OPTIONS\r\n" : "Allow: POST, OPTIONS\r\n";

    if (strcmp(r->info->request_method, "OPTIONS") == 0) {
        STRBUF_CLEANUP struct strbuf none = STRBUF_INIT;

        respond(r, 200, NULL, allow, &none);
    } else {
        respond_error(r, ERROR_METHOD_NOT_ALLOWED, NULL, allow);
    }
}

void route_request(struct request *r)
{
    const struct topic_table *topics = r->server->world.topics;
    const struct route *found = NULL;
    const struct topic *topic = NULL;
    const char *parameter = NULL, *value;
    bool gateway = r->server->world.config->gateway;
    int method = method_of(r->info->request_method);

    for (size_t i = 0; gateway && i < topics->count; i++)
        if (topics->items[i].config->route != NULL &&
            matches(r, topics->items[i].config->route, &value))
            topic = &topics->items[i];
    for (size_t i = 0; topic == NULL && i < sizeof(table) / sizeof(table[0]); i++)
        if ((gateway || !table[i].gateway) && (found == NULL || parameter != NULL) &&
            matches(r, table[i].path, &value)) {
            if (found != NULL && value != NULL)
                continue;
            found = &table[i];
            parameter = value;
        }
    if (topic == NULL && found == NULL)
        respond_error(r, ERROR_NOT_FOUND, NULL, NULL);
    else if (method != (int)(topic != NULL ? METHOD_POST : found->method))
        wrong_method(r, topic != NULL ? METHOD_POST : found->method);
    else if (found != NULL && found->handle != get_metrics && !request_accepts_json(r))
        respond_error(r, ERROR_NOT_ACCEPTABLE, NULL, NULL);
    else if (topic != NULL && body_ready(r))
        tasks_flat(r, topic);
    else if (found != NULL)
        found->handle(r, parameter);
    if (r->content_length > 0 && r->body == NULL)
        r->close = true;
}
