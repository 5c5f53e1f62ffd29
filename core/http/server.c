#include "http/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "http/internal.h"

static struct http_server *server_of(const struct mg_connection *conn)
{
    return mg_get_user_data(mg_get_context(conn));
}

/* HTTP thread: does everything, civetweb's own handling is never reached. */
static int on_request(struct mg_connection *conn)
{
    struct request r = {.server = server_of(conn), .conn = conn,
                        .info = mg_get_request_info(conn), .content_length = -1};
    struct metrics *metrics = r.server->world.metrics;
    enum error_code error = filter_request(&r);

    metric_add(metrics, METRIC_HTTP_BUSY, 0, 1);
    r.head = strcmp(r.info->request_method, "HEAD") == 0;
    if (error == ERROR_NONE) {
        metric_inc(metrics, METRIC_HTTP_REQUESTS, 0);
        express_request_taken(&r);
        if (r.content_length > 0 && (r.head || strcmp(r.info->request_method, "GET") == 0))
            r.close = true; /* nobody will read it */
        route_request(&r);
    } else {
        metric_inc(metrics, METRIC_HTTP_REFUSED, 0);
        r.close = true;
        respond_error(&r, error, NULL, NULL);
    }
    if (r.close)
        mg_disable_connection_keep_alive(conn);
    buf_unref(r.body);
    if (r.path != r.short_path)
        free(r.path);
    metric_add(metrics, METRIC_HTTP_BUSY, 0, -1);
    return 1;
}

/* HTTP thread: what civetweb itself refuses (its parser, its limits) looks like our refusals. */
static int on_error(struct mg_connection *conn, int status, const char *text)
{
    static const struct mg_request_info nothing;
    struct request r = {.server = server_of(conn), .conn = conn, .info = &nothing, .close = true};
    enum error_code error = status == 413   ? ERROR_HEADERS_TOO_LARGE
                            : status == 411 ? ERROR_LENGTH_REQUIRED
                            : status < 500 || status == 505 ? ERROR_BAD_REQUEST
                                                            : ERROR_INTERNAL;

    (void)text;
    metric_inc(r.server->world.metrics, METRIC_HTTP_REFUSED, 0);
    respond_error(&r, error, NULL, NULL);
    return 0;
}

/* HTTP thread, a new connection. */
static int on_connection(const struct mg_connection *conn, void **ret_data)
{
    (void)ret_data;
    express_connection_init();
    atomic_fetch_add(&server_of(conn)->connections, 1);
    return 0;
}

static void on_closed(const struct mg_connection *conn)
{
    atomic_fetch_sub(&server_of(conn)->connections, 1);
    stop_on_closed(server_of(conn));
}

/* Any civetweb thread. */
static int on_message(const struct mg_connection *conn, const char *text)
{
    struct http_server *s = server_of(conn);

    if (s != NULL) {
        pthread_mutex_lock(&s->error_lock);
        if (s->first_error[0] == '\0')
            snprintf(s->first_error, sizeof(s->first_error), "%s", text);
        pthread_mutex_unlock(&s->error_lock);
    }
    log_debug("http", "%s", text);
    return 1;
}

static void *on_thread(const struct mg_context *mg, int type)
{
    if (type == 1) { /* a worker */
        watch_thread_init(mg_get_user_data(mg));
        express_thread_init();
    }
    return NULL;
}

int http_server_start(const struct http_world *world, struct http_server **ret, char **ret_why)
{
    const struct config *c = world->config;
    char address[280], threads[24], queue[24], backlog[24], idle[24], request[24], header[24];
    const char *options[] = {
        "listening_ports", address,
        "num_threads", threads,
        "connection_queue", queue,
        "listen_backlog", backlog,
        "keep_alive_timeout_ms", idle,
        "request_timeout_ms", request,
        "max_request_size", header,
        "enable_keep_alive", "yes",
        "tcp_nodelay", "1",
        "decode_url", "no",
        NULL,
    };
    struct mg_callbacks callbacks = {
        .begin_request = on_request,
        .http_error = on_error,
        .init_connection = on_connection,
        .connection_closed = on_closed,
        .log_message = on_message,
        .init_thread = on_thread,
    };
    struct mg_server_port port;
    struct http_server *s = calloc(1, sizeof(*s));
    int r;

    if (s == NULL)
        return -ENOMEM;
    s->world = *world;
    pthread_mutex_init(&s->error_lock, NULL);
    stop_init(s);
    snprintf(address, sizeof(address), "%s%s%" PRId64, c->http_listen,
             c->http_listen[0] == '\0' ? "" : ":", c->http_port);
    snprintf(threads, sizeof(threads), "%" PRId64, c->http_threads);
    snprintf(queue, sizeof(queue), "%" PRId64, c->http_connection_queue);
    snprintf(backlog, sizeof(backlog), "%" PRId64, c->http_listen_backlog);
    snprintf(idle, sizeof(idle), "%" PRId64, c->http_keep_alive_timeout / NS_PER_MS);
    snprintf(request, sizeof(request), "%" PRId64, c->http_request_timeout / NS_PER_MS);
    snprintf(header, sizeof(header), "%" PRId64, 2 * c->limit_header);
    r = watch_start(s);
    if (r < 0) {
        free(s);
        return r;
    }
    mg_init_library(MG_FEATURES_DEFAULT);
    s->mg = mg_start(&callbacks, s, options);
    if (s->mg == NULL || mg_get_server_ports(s->mg, 1, &port) != 1) {
        if (asprintf(ret_why, "cannot listen on %s: %s", address, s->first_error) < 0)
            *ret_why = NULL;
        http_server_stop(s, 0);
        return -EINVAL;
    }
    s->port = port.port;
    *ret = s;
    return 0;
}

int http_server_port(const struct http_server *s)
{
    return s->port;
}

void http_server_drain(struct http_server *s)
{
    atomic_store(&s->draining, true);
}

void http_server_stop(struct http_server *s, int64_t deadline)
{
    if (s == NULL)
        return;
    if (s->mg != NULL) {
        stop_connections(s, deadline);
        mg_stop(s->mg);
    }
    mg_exit_library();
    watch_stop(s);
    stop_done(s);
    pthread_mutex_destroy(&s->error_lock);
    free(s);
}
