/*
 * A bounded queue of pointers between threads, with wake-up. FIFO; any number of threads at both
 * ends. It never owns what the pointers point to.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct queue;

/* Room for `capacity` pointers, at least 1. NULL when memory is short. */
struct queue *queue_new(size_t capacity);
void queue_free(struct queue *q); /* nobody waits in it; may be NULL */

/* False when the queue is full or closed: the pointer stays the caller's. Never blocks. */
bool queue_push(struct queue *q, void *item);

/* Waits for an item. NULL once the queue is closed and empty. */
void *queue_pop(struct queue *q);

/* No more pushes; waiting readers get what is left, then NULL. */
void queue_close(struct queue *q);
size_t queue_length(struct queue *q);
