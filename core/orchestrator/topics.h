/* The loaded topics, as everything above config sees them. Immutable once made; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "contract/rules.h"

struct handler;

struct topic {
    size_t index; /* in the table; the metrics' topic label */
    const struct topic_config *config;
    const struct handler *handler; /* NULL: other services answer */
    const struct rules *rules;     /* NULL: base fields only */
};

struct topic_table {
    struct topic *items;
    size_t count;
};

/* NULL when there is none. The list is short: a linear search is enough. */
const struct topic *topic_find(const struct topic_table *table, const char *name, size_t len);
const struct topic *topic_find_kafka(const struct topic_table *table, const char *kafka_topic);

/* Whether `name` matches one of the patterns, in which "*" stands for any characters. */
bool topic_matches(const struct string_list *patterns, const char *name, size_t len);
