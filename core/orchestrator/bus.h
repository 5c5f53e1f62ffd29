/*
 * The port to the message broker, as the orchestrator sees it. The adapter (core/kafka) implements
 * `struct bus_ops`; what arrives it hands to the orchestrator_on_* functions of orchestrator.h.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct bus_header {
    const char *name;
    const void *value; /* NULL: a null value */
    size_t len;
};

struct bus_message {
    const char *topic;
    int32_t partition; /* -1: by key, or any */
    const void *key;   /* NULL: none */
    size_t key_len;
    const void *value; /* NULL: a null value */
    size_t value_len;
    const struct bus_header *headers;
    size_t n_headers;
};

enum bus_result {
    BUS_DELIVERED,   /* acknowledged by all in-sync replicas */
    BUS_NOT_SENT,    /* certainly not in the log; trying again may help */
    BUS_UNKNOWN,     /* may be in the log */
    BUS_FULL,        /* not sent: limits.producer_queue */
    BUS_TOO_LARGE,   /* not sent, and never will be: the record is too large */
    BUS_IMPOSSIBLE,  /* not sent, and never will be: no such topic or partition, not authorised */
};

struct bus_delivery {
    enum bus_result result;
    int32_t partition; /* BUS_DELIVERED only */
    int64_t offset;
    const char *reason; /* for logs; NULL when delivered */
};

struct bus_ops {
    /*
     * Sends a copy of `message`. Any thread; never blocks. Returns BUS_DELIVERED when it is on its way:
     * then orchestrator_on_sent(token) follows exactly once, perhaps before this returns; otherwise what
     * is wrong, and nothing follows.
     */
    enum bus_result (*send)(void *ctx, const struct bus_message *message, uint64_t token);

    /* Something for the task consumer to collect: see orchestrator_collect(). Any thread. */
    void (*wake)(void *ctx);
};

struct bus {
    const struct bus_ops *ops;
    void *ctx;
};
