/* store.h of the orchestrator inside one process: what is known is this pod's, and dies with it. */
#pragma once

#include "base/clock.h"
#include "base/metrics.h"
#include "config/config.h"
#include "orchestrator/store.h"

struct memory_store;

/* NULL when memory is short. Bounded by limits.results and limits.result_bytes: the oldest go first. */
struct memory_store *memory_store_new(const struct config *config, const struct clock *clock,
                                      struct metrics *metrics);
void memory_store_free(struct memory_store *s);
struct store memory_store_port(struct memory_store *s);
