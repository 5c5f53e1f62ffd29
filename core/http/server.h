/*
 * The HTTP server: civetweb's threads, the request filter, the route table. One thread serves one
 * connection; while a handler waits for its reply, its thread waits.
 */
#pragma once

#include <stdbool.h>

#include "base/metrics.h"
#include "base/strbuf.h"
#include "config/config.h"
#include "orchestrator/orchestrator.h"

struct http_server;

struct http_world {
    const struct config *config;
    const struct topic_table *topics;
    struct metrics *metrics;
    struct orchestrator *orchestrator;
    /* Each appends its page and returns the HTTP status. Any HTTP thread. */
    struct http_pages {
        int (*health)(void *ctx, struct strbuf *out);             /* GET /kafka/health */
        int (*topics)(void *ctx, struct strbuf *out);             /* GET /kafka/topics */
        int (*ready)(void *ctx, bool verbose, struct strbuf *out); /* GET /readyz */
        int (*metrics)(void *ctx, struct strbuf *out);            /* GET /metrics */
        void *ctx;
    } pages;
};

/* Listens. Returns 0, or a negative errno with one sentence in *ret_why (heap). */
int http_server_start(const struct http_world *world, struct http_server **ret, char **ret_why);

/* The port that is listened on. */
int http_server_port(const struct http_server *s);

/* No connection is kept alive from now on. */
void http_server_drain(struct http_server *s);

/*
 * Takes no new connection, answers those that are there (until `deadline`, monotonic), joins the
 * threads. Everybody who waits was answered. `s` may be NULL.
 */
void http_server_stop(struct http_server *s, int64_t deadline);
