/* The port's calls as commands, which store.c and ask.c share. */
#pragma once

#include "redis/internal.h"

enum { KEY_MAX = 640 };

/* All of them; what an op does not need stays zero. */
struct store_op {
    struct op op;
    struct uuid correlation;
    const char *topic;
    int64_t ttl, accepted; /* ms */
    int32_t partition;
    int64_t offset;
    int count_below;
    bool has_correlation;
    const struct store_reply *reply;
    union {
        store_completed *completed;
        store_looked_up *looked_up;
        store_attempted_fn *attempted;
    } done;
    void *arg;
    char caller[CALLER_MAX + 1], id[TASK_ID_MAX + 1], owner[UUID_TEXT_LEN + 1];
};

struct store_op *op_of(struct op *p);
struct store_op *op_new(struct redis *r, void (*issue)(struct op *), void (*fail)(struct op *));
void op_push(struct store_op *op); /* or it fails */
void op_free(struct op *op);
void op_send(struct store_op *op, const struct arguments *a, command_done *done);
void op_done(void *arg, const redisReply *reply); /* a command_done: only frees the op */

/* Whether the answer is an error, or there is none; notes when Redis takes no writes. */
bool op_is_error(struct redis *r, const redisReply *reply);

/* "<prefix><kind>:<rest>" */
int op_key(const struct redis *r, char *out, size_t size, char kind, const char *rest);
void op_identity_key(const struct store_op *op, char out[static KEY_MAX]);

/* ask.c */
void redis_lookup(void *ctx, const char *caller, const char *id, store_looked_up *done, void *arg);
void redis_attempt(void *ctx, const struct store_attempt *attempt, store_attempted_fn *done,
                   void *arg);
void redis_attempt_over(void *ctx, const char *topic, int32_t partition, int64_t offset);
