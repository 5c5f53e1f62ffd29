/*
 * Requests that wait for an answer.
 *
 *   (none) --add--> waiting+unacked --delivered--> waiting+acked
 *                      |                               |
 *          answered, expired, unsent            answered, expired
 *                      v                               v
 *                answered+unacked --delivered--> (none)
 *
 * Whoever takes the waiter out, under the table's lock, answers it; the entry itself stays until the
 * broker has told what became of the record, so that it is counted once. Any thread; no lock is held
 * on return.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/ids.h"
#include "orchestrator/slots.h"

struct topic;
struct waiter;

struct pending_table {
    pthread_mutex_t lock;
    pthread_cond_t emptied; /* monotonic */
    struct slots slots;
    struct heap deadlines;
    struct pending *by_correlation;
    size_t waiting, limit;
};

/* What an entry was, by value. */
struct pending_view {
    struct uuid correlation;
    const struct topic *topic;
    struct waiter *waiter; /* to be answered by who got this; NULL: not by you */
    bool reply_wanted;
    bool acked;
    int64_t begun, wait; /* monotonic; ns */
    struct buf *identity; /* caller, NUL, task id; the entry's own; NULL in what is returned */
};

void pending_init(struct pending_table *t, size_t limit);
void pending_done(struct pending_table *t);

/* Adds an entry, whose deadline is INT64_MAX for none. Returns its token; 0 when the table is full
 * or memory is short. */
uint64_t pending_add(struct pending_table *t, const struct pending_view *view, int64_t deadline);

/* Undoes pending_add for a record that was never handed to the broker. */
void pending_drop(struct pending_table *t, uint64_t token, struct pending_view *ret);

/*
 * The broker has told. With `over` nothing more will come of it, and the waiter is taken out; else
 * only when no reply is wanted. False when there is no such entry.
 */
bool pending_delivered(struct pending_table *t, uint64_t token, bool acked, bool over,
                       struct pending_view *ret);

/* Takes out the waiter of a correlation id. False when nobody waits under it. */
bool pending_answer(struct pending_table *t, const struct uuid *correlation,
                    struct pending_view *ret);

/* Takes out one waiter whose deadline has come. When there is none: false, with the next deadline. */
bool pending_expire(struct pending_table *t, int64_t now, struct pending_view *ret,
                    int64_t *ret_next);

size_t pending_waiting(struct pending_table *t);

/* Whether somebody waits under that correlation id. */
bool pending_awaited(struct pending_table *t, const struct uuid *correlation);

/*
 * Copies of the entries that wait for a reply and were begun at or before `begun`, each with a reference
 * of its `identity`. Returns how many; free *ret with pending_list_free.
 */
size_t pending_list(struct pending_table *t, int64_t begun, struct pending_view **ret);
void pending_list_free(struct pending_view *list, size_t n);

/* Blocks until nobody waits or the monotonic deadline has come. True: nobody waits. */
bool pending_wait_empty(struct pending_table *t, int64_t deadline);
