/*
 * TaskResponseContract {id, topic, status: success|error, error?, endTime} and the `result` beside
 * it: written by workers, read from replies that anyone may have sent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/strbuf.h"

/* How a task ended. The order is that of `outcome_names`. */
enum outcome {
    OUTCOME_OK,      /* 200 */
    OUTCOME_REJECT,  /* 422 */
    OUTCOME_FAIL,    /* 500 */
    OUTCOME_EXPIRED, /* 504 */
};

/* "ok", "reject", "fail", "expired": the header taskwire-outcome. */
const char *outcome_name(enum outcome outcome);
bool outcome_from_name(const char *name, size_t len, enum outcome *ret);
int outcome_status(enum outcome outcome); /* HTTP */

/*
 * Appends the contract. `error` is NULL for success; `errors` (a JSON array) and `result` (any JSON)
 * may be NULL; then the member is left out.
 */
void response_write(struct strbuf *out, const char *id, const char *topic, const char *error,
                    int64_t end_time_ns, const char *errors, size_t errors_len, const char *result,
                    size_t result_len);

/*
 * What a peer sent as reply becomes the contract (wire.md, rule 8 of requests and replies):
 *  - a strict JSON object with our `id` and a `status` of "success" or "error" is the contract, its
 *    bytes are kept, `topic` and `endTime` are inserted as text when absent;
 *  - any other JSON becomes its `result`; text that is not JSON becomes a JSON string in `result`; no value
 *    (value NULL) gives null. `endTime` is `now`.
 * `nest_error` (the header kafka_nest-err, NULL if absent) gives status error: JSON with a string
 * member `message`, a JSON string, or raw text.
 * `outcome` is the header taskwire-outcome, NULL if absent; an error without it is OUTCOME_FAIL, a
 * success is OUTCOME_OK whatever the header says.
 * Returns the body as one reference, or NULL when memory is short.
 */
struct reply_text {
    const char *value; /* NULL: a null value */
    size_t value_len;
    const char *nest_error;
    size_t nest_error_len;
    const char *outcome;
    size_t outcome_len;
};
struct buf *response_from_reply(const struct reply_text *reply, const char *id, const char *topic,
                                int64_t now, unsigned max_depth, enum outcome *ret_outcome);
