/* The calls of store.c, and what shared.c does for them. */
#pragma once

#include "orchestrator/orchestrator.h"
#include "sim.h"

enum op_kind { OP_BEGIN, OP_RECALL, OP_FORGET, OP_COMPLETE, OP_LOOKUP, OP_ATTEMPT, OP_OVER };

/* A reply in one block. */
struct blob {
    size_t value_len, error_len, outcome_len;
    bool has_value, has_error, has_outcome;
    int attempts;
    char text[];
};
struct blob *blob_new(const struct store_reply *reply);
struct store_reply blob_reply(const struct blob *blob); /* borrowed */

struct op {
    struct pod *pod;
    unsigned life;
    enum op_kind kind;
    bool dropped, silent; /* it is not carried out; nobody waits for the answer */
    struct uuid correlation;
    char owner[UUID_TEXT_LEN + 1], caller[CALLER_MAX + 1], id[TASK_ID_MAX + 1];
    const char *topic;
    int32_t partition;
    int64_t offset, ttl;
    int count_below, attempts;
    bool has_correlation, counted;
    struct blob *blob, *answer_blob;
    enum store_verdict verdict;
    enum store_attempted what;
    union {
        store_completed *completed;
        store_looked_up *looked_up;
        store_attempted_fn *attempted;
    } done;
    void *arg;
    struct op *next;
};

void shared_apply(struct sim *s, struct op *op);
/* It was counted, and its pod has crashed since. */
void shared_lose_attempt(struct sim *s, const struct op *op);
void shared_cover_complete(struct sim *s, const struct op *op);
void shared_cover_attempt(struct sim *s, const struct op *op, bool failed);
void client_wake(struct sim *s, const char *owner, const struct uuid *correlation);
void client_recall(struct sim *s, struct event *e);
