/* A record taken from the broker: one heap block, owned by whoever holds it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "orchestrator/bus.h"

struct record {
    size_t topic; /* index of the topic; unused for replies */
    int32_t partition;
    int64_t offset;
    const char *key;     /* NULL: none */
    size_t key_len;
    const char *value; /* NULL: a null value */
    size_t value_len;
    struct bus_header *headers;
    size_t n_headers;
    int64_t timestamp; /* Unix ms, or -1 */
    bool log_append_time; /* what `timestamp` is; else the producer's */
};

/* Copies what `from` points to. NULL when memory is short. Free with free(3). */
struct record *record_copy(const struct record *from);

/* The last header of that name (wire.md: of repeated headers the last counts), or NULL. */
const struct bus_header *record_header(const struct record *record, const char *name);
