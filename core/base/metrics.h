/* The counters and gauges of metrics.def, and their Prometheus text (0.0.4). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

enum metric {
#define METRIC(name, kind, label, help) METRIC_##name,
#include "base/metrics.def"
#undef METRIC
    METRIC_COUNT
};

struct metrics;

/* `topics` are the values of the label "topic", copied; NULL when memory is short. */
struct metrics *metrics_new(const char *const *topics, size_t n_topics);
void metrics_free(struct metrics *m);

/* Any thread, no lock. `topic` is the index given to metrics_new; 0 for metrics without label. */
void metric_add(struct metrics *m, enum metric metric, size_t topic, int64_t n);
void metric_set(struct metrics *m, enum metric metric, size_t topic, int64_t value);
int64_t metric_get(const struct metrics *m, enum metric metric, size_t topic);

static inline void metric_inc(struct metrics *m, enum metric metric, size_t topic)
{
    metric_add(m, metric, topic, 1);
}

/* Appends the whole page. */
void metrics_write(const struct metrics *m, struct strbuf *out);
