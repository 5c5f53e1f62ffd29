/*
 * A binary heap of deadlines, smallest first. Elements embed a `struct heap_node`, which knows its
 * own place, so that any of them can be removed. The caller locks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t deadline; /* ns, any clock */
    size_t place;     /* 1-based; 0: in no heap */
};

struct heap {
    struct heap_node **nodes;
    size_t count, capacity;
};

void heap_done(struct heap *h);

/* False when memory is short; then the node is not in the heap. */
bool heap_add(struct heap *h, struct heap_node *node);

/* Does nothing for a node that is in no heap. */
void heap_remove(struct heap *h, struct heap_node *node);

/* The node with the smallest deadline, or NULL. */
struct heap_node *heap_first(const struct heap *h);
