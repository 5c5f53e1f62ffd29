/*
 * store.h over Redis, for pods that share it. Around an inner store (core/memory's), which knows
 * the tasks that were begun here: so nobody waits for Redis, a second live task of one id is
 * refused at once, and results that came home are known here while Redis is away.
 *
 * Keys, all under "tw:<group_id>:", all with a TTL:
 *   t:<correlation id>     hash: o owner, c caller, i id, t topic, a accepted (ms),
 *                          r reply (reply_blob.h)
 *   i:<n>:<caller>:<id>    the correlation id of that task; n: the caller's length
 *   x:<topic>:<p>:<offset> attempts of a record that may have been run before
 *   unknown, owned         how many replies were kept though no request is known
 *   probe:<pod>            written once a second: Redis takes writes
 * Channel pod:<incarnation>: correlation ids of results, for the pod that waits.
 *
 * One thread, `redis`, with a libuv loop and two connections: commands, and Pub/Sub. Calls of the
 * port are put into its queue, bounded by limits.redis_queue. While Redis is away they fail at
 * once.
 */
#pragma once

#include "base/clock.h"
#include "base/metrics.h"
#include "config/config.h"
#include "orchestrator/store.h"

struct redis;

/* Connects to nothing yet. Returns 0, or -EINVAL or -ENOMEM. What the arguments point to outlives
 * it. */
int redis_new(const struct config *config, const struct clock *clock, struct metrics *metrics,
              struct store inner, struct redis **ret, char **ret_why);
void redis_free(struct redis *r); /* stopped; may be NULL */

/* The port. Its listener's `up` is called from the redis thread, and again with true when wake-ups
 * may have been missed. */
struct store redis_store_port(struct redis *r);

/* This process among the pods: a UUID, new at every start. */
const char *redis_incarnation(const struct redis *r);

int redis_start(struct redis *r);

/* What was queued is still sent and answered, until `deadline` (monotonic); the rest fails. False
 * when the thread has not ended a second later: then it must not be freed. */
bool redis_stop(struct redis *r, int64_t deadline);

/* Any thread: it answers, and takes writes. */
bool redis_is_up(const struct redis *r);
