/* The worker threads, the only ones that run plugin code; and handlers.h over core/plugin. */
#pragma once

#include "base/metrics.h"
#include "orchestrator/orchestrator.h"
#include "plugin/registry.h"

struct workers;

/* `capacity`: the sum of all topics' concurrency. NULL when memory is short. */
struct workers *workers_new(size_t threads, size_t capacity, struct metrics *metrics);
struct handlers workers_port(struct workers *w);

/* Returns 0 or a negative errno. */
int workers_start(struct workers *w, struct orchestrator *o);

/* Ends the threads once they are idle; true when all did before `deadline` (monotonic). */
bool workers_stop(struct workers *w, int64_t deadline);
void workers_free(struct workers *w); /* they were stopped; may be NULL */
