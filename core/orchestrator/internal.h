/* What gateway.c and work.c share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/heap.h"
#include "orchestrator/dispatch.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/pending.h"
#include "orchestrator/slots.h"

/* Tokens of work carry this bit, those of pending requests do not. */
#define TOKEN_WORK (UINT64_C(1) << 63)

struct orchestrator {
    struct orchestrator_world world;
    struct pending_table pending;
    struct dispatch *dispatch;
    atomic_bool draining;
    atomic_bool bus_up;
    char *reply_topic;

    /* work.c: sends under way, and replies that wait to be sent again */
    pthread_mutex_t work_lock;
    struct slots sends;
    struct heap retries;
};

/* gateway.c */
void gateway_on_sent(struct orchestrator *o, uint64_t token, const struct bus_delivery *delivery);

/* work.c */
void work_on_sent(struct orchestrator *o, uint64_t token, const struct bus_delivery *delivery);
void work_start(struct orchestrator *o, struct work *list);
/* Sends `message` for this work; work_on_sent follows unless something else than BUS_DELIVERED is
 * returned. */
enum bus_result work_send(struct orchestrator *o, struct work *work,
                          const struct bus_message *message);
void work_finish(struct orchestrator *o, struct work *work);
void work_done(struct orchestrator *o);

/* reply.c */
/* Makes the reply when the requester wants one, at a place it may name. */
void reply_make(struct orchestrator *o, struct work *work, const struct handlers_result *result);
/* Puts a failure in its place that says only `error`. False when memory is short. */
bool reply_replace(struct orchestrator *o, struct work *work, const char *error);
void reply_send(struct orchestrator *o, struct work *work);
void reply_on_sent(struct orchestrator *o, struct work *work, const struct bus_delivery *delivery);
/* Sends again what waits for it; returns when to be called again. */
int64_t reply_tick(struct orchestrator *o, int64_t now);

/* The record key of a task, as the topic's `key` says. Returns false for none. */
bool topic_record_key(const struct topic *topic, struct json_doc *doc, const char **ret,
                      size_t *ret_len);
