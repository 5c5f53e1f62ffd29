#include "orchestrator/topics.h"

#include <string.h>

const struct topic *topic_find(const struct topic_table *table, const char *name, size_t len)
{
    for (size_t i = 0; i < table->count; i++) {
        const char *topic = table->items[i].config->topic;

        if (strlen(topic) == len && memcmp(topic, name, len) == 0)
            return &table->items[i];
    }
    return NULL;
}

const struct topic *topic_find_kafka(const struct topic_table *table, const char *kafka_topic)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->items[i].config->kafka_topic, kafka_topic) == 0)
            return &table->items[i];
    return NULL;
}

/* Iterative: on a mismatch, go back to the last "*" and let it take one character more. */
static bool pattern_matches(const char *pattern, const char *name, size_t len)
{
    const char *star = NULL;
    size_t at = 0, retry = 0;

    while (at < len) {
        if (*pattern == '*') {
            star = pattern++;
            retry = at;
        } else if (*pattern != '\0' && *pattern == name[at]) {
            pattern++;
            at++;
        } else if (star != NULL) {
            pattern = star + 1;
            at = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool topic_matches(const struct string_list *patterns, const char *name, size_t len)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (pattern_matches(patterns->items[i], name, len))
            return true;
    return false;
}
