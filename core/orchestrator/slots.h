/*
 * Ids for things that are under way: what is handed to a library as an opaque value is such an id,
 * never a pointer, and is looked up on return. An id is used once: a late or repeated one finds
 * nothing. The caller locks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slots {
    struct slot *items;
    uint32_t count, capacity, free; /* free: index + 1 of the first free slot, 0: none */
    size_t used;
};

void slots_done(struct slots *s);

/* Returns the id, never 0 and below 2^63, or 0 when memory is short. */
uint64_t slots_add(struct slots *s, void *value);

/* NULL when the id is not, or no longer, in use. */
void *slots_get(const struct slots *s, uint64_t id);

/* The same, and ends the id. */
void *slots_take(struct slots *s, uint64_t id);

/* Any value that is in use, from *at on, which advances; NULL at the end. Start with 0. */
void *slots_next(const struct slots *s, uint32_t *at);
