#include "base/metrics.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/util.h"

enum metric_kind { COUNTER, GAUGE };
enum metric_label { NONE, TOPIC };

static const struct {
    const char *name;
    const char *help;
    enum metric_kind kind;
    enum metric_label label;
} table[METRIC_COUNT] = {
#define METRIC(name, kind, label, help) {#name, help, kind, label},
#include "base/metrics.def"
#undef METRIC
};

struct metrics {
    size_t n_topics;
    char **topics;
    atomic_int_fast64_t values[]; /* metric * rows + topic */
};

static size_t rows(const struct metrics *m)
{
    return TW_MAX(m->n_topics, 1);
}

struct metrics *metrics_new(const char *const *topics, size_t n_topics)
{
    size_t cells = METRIC_COUNT * TW_MAX(n_topics, 1);
    struct metrics *m = calloc(1, sizeof(*m) + cells * sizeof(m->values[0]));

    if (m == NULL)
        return NULL;
    m->n_topics = n_topics;
    m->topics = calloc(TW_MAX(n_topics, 1), sizeof(char *));
    for (size_t i = 0; m->topics != NULL && i < n_topics; i++) {
        m->topics[i] = strdup(topics[i]);
        if (m->topics[i] == NULL) {
            metrics_free(m);
            return NULL;
        }
    }
    if (m->topics == NULL) {
        free(m);
        return NULL;
    }
    return m;
}

void metrics_free(struct metrics *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->n_topics; i++)
        free(m->topics[i]);
    free(m->topics);
    free(m);
}

static size_t cell(const struct metrics *m, enum metric metric, size_t topic)
{
    assert(topic < rows(m));
    return (size_t)metric * rows(m) + topic;
}

void metric_add(struct metrics *m, enum metric metric, size_t topic, int64_t n)
{
    atomic_fetch_add_explicit(&m->values[cell(m, metric, topic)], n, memory_order_relaxed);
}

void metric_set(struct metrics *m, enum metric metric, size_t topic, int64_t value)
{
    atomic_store_explicit(&m->values[cell(m, metric, topic)], value, memory_order_relaxed);
}

int64_t metric_get(const struct metrics *m, enum metric metric, size_t topic)
{
    return atomic_load_explicit(&m->values[cell(m, metric, topic)], memory_order_relaxed);
}

static void write_name(struct strbuf *out, enum metric metric)
{
    strbuf_addz(out, "taskwire_");
    for (const char *p = table[metric].name; *p != '\0'; p++)
        strbuf_addc(out, (char)tolower((unsigned char)*p));
    if (table[metric].kind == COUNTER)
        strbuf_addz(out, "_total");
}

void metrics_write(const struct metrics *m, struct strbuf *out)
{
    for (enum metric i = 0; i < METRIC_COUNT; i++) {
        bool labelled = table[i].label == TOPIC;

        strbuf_addz(out, "# HELP ");
        write_name(out, i);
        strbuf_addf(out, " %s\n# TYPE ", table[i].help);
        write_name(out, i);
        strbuf_addz(out, table[i].kind == COUNTER ? " counter\n" : " gauge\n");
        for (size_t t = 0; t < (labelled ? m->n_topics : 1); t++) {
            write_name(out, i);
            if (labelled) /* topic names need no escaping: [A-Za-z0-9._-] */
                strbuf_addf(out, "{topic=\"%s\"}", m->topics[t]);
            strbuf_addf(out, " %" PRId64 "\n", metric_get(m, i, t));
        }
    }
}
