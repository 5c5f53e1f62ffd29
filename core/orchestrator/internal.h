/* What the files of the orchestrator share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/heap.h"
#include "orchestrator/arrivals.h"
#include "orchestrator/dispatch.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/partition.h"
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

    /* intake.c */
    struct arrivals arrivals;
    atomic_bool store_up;
    int64_t next_look; /* timer thread */

    /* work.c: sends under way, and what waits to be sent again */
    pthread_mutex_t work_lock;
    struct slots sends;
    struct heap retries;

    /* redelivery.c, under work_lock */
    struct work *suspect; /* the one that runs */
    struct work_list suspects;
};

/* gateway.c */
void gateway_on_sent(struct orchestrator *o, uint64_t token, const struct bus_delivery *delivery);

/* intake.c */
void intake_listen(struct orchestrator *o);
int64_t intake_tick(struct orchestrator *o, int64_t now);

/* work.c */
void work_on_sent(struct orchestrator *o, uint64_t token, const struct bus_delivery *delivery);
void work_start(struct orchestrator *o, struct work *list);
/* Sends `message` for this work; work_on_sent follows unless something else than BUS_DELIVERED is
 * returned. */
enum bus_result work_send(struct orchestrator *o, struct work *work,
                          const struct bus_message *message);
/* Its next stage: dead letter, reply, end. */
void work_advance(struct orchestrator *o, struct work *work);
/* Comes again to letter_send or reply_send after `delay`. False when memory is short. */
bool work_retry_later(struct orchestrator *o, struct work *work, int64_t delay);
/* Ends it without running it. */
void work_refuse(struct orchestrator *o, struct work *work, enum outcome outcome, const char *code,
                 const char *error, const struct violations *v);
int64_t work_tick(struct orchestrator *o, int64_t now);
void work_done(struct orchestrator *o);

/* redelivery.c */
/* Runs it, when nothing speaks against it. */
void redelivery_begin(struct orchestrator *o, struct work *work);
/* Called just before its handler is: false when it must not run, and is gone. */
bool redelivery_may_run(struct orchestrator *o, struct work *work);
void redelivery_ran(struct orchestrator *o, struct work *work);
/* Suspects of the partition that wait are not begun any more. */
void redelivery_revoked(struct orchestrator *o, size_t topic, int32_t partition);
void redelivery_over(struct orchestrator *o, struct work *work);

/* letter.c */
/* It is to go to the dead letter topic, with that cause; the first cause counts. */
void letter_want(struct work *work, const char *code, const char *error);
void letter_send(struct orchestrator *o, struct work *work);
void letter_on_sent(struct orchestrator *o, struct work *work, const struct bus_delivery *delivery);

/* reply.c */
/* Whether the requester wants a reply, at a place it may name. */
bool reply_wanted(struct orchestrator *o, const struct work *work);
/* Makes the reply when it is wanted. `error` NULL: it went well. */
void reply_make(struct orchestrator *o, struct work *work, const struct handlers_result *result,
                const char *error);
/* Puts a failure in its place that says only `error`. False when memory is short. */
bool reply_replace(struct orchestrator *o, struct work *work, const char *error);
void reply_send(struct orchestrator *o, struct work *work);
void reply_on_sent(struct orchestrator *o, struct work *work, const struct bus_delivery *delivery);

/* The record key of a task, as the topic's `key` says. Returns false for none. */
bool topic_record_key(const struct topic *topic, struct json_doc *doc, const char **ret,
                      size_t *ret_len);
