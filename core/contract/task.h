/*
 * A task on its way in: the client's bytes, checked, with the base fields
 * (TaskContract {id, topic, startTime}) in place.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ids.h"
#include "contract/json.h"
#include "contract/violations.h"

struct task {
    struct json_doc *doc;
    struct buf *text; /* what goes on the wire; a reference of its own */
    char id[TASK_ID_MAX + 1];
};

/*
 * Takes the text of a flat task. Base fields that are absent are inserted as text right after the
 * opening brace ("id": a new UUIDv7, "topic": `topic`, "startTime": `now` in seconds with three
 * decimals); every other byte is the client's.
 *
 * Returns 0; -EBADMSG: not strict JSON, *ret_error filled; -EINVAL: JSON, but no object, or a base
 * field is wrong (id: not a string of 1 to 128 of [A-Za-z0-9._:-]; topic: other than `topic`;
 * startTime: not a number, negative, or 1e11 and more), added to `v`; -ENOMEM.
 * *ret is set when 0 is returned, and with -EINVAL when it is an object (so that its rules can be
 * checked too and all is reported at once); then `id` is "" if it was wrong.
 */
int task_parse(const char *text, size_t len, const char *topic, int64_t now, unsigned max_depth,
               struct violations *v, struct task **ret, struct json_error *ret_error);
void task_free(struct task *task); /* may be NULL */

static inline void task_freep(struct task **task)
{
    task_free(*task);
}
#define TASK_CLEANUP __attribute__((cleanup(task_freep)))

/*
 * The body of POST /kafka/send and /kafka/request: the message {key?, value, headers?} of the
 * reference, or the value itself.
 *  - With an object as `value` it is the envelope; members other than those three are violations.
 *  - Its only fields are among key, value, headers, one of them is value, and that is no object:
 *    violation "Invalid message format".
 *  - Otherwise the whole body is the value, also when `value_is_field` (the contract has a field
 *    named "value") unless all its fields are among the three and `value` is an object.
 * `key` is a string of at most 4096 bytes or null; `headers` an object of at most 32 string members,
 * names of 1 to 256 bytes from RFC 9110's token characters, values of at most 4096 bytes, none of
 * them reserved (kafka_*, taskwire-*, retry_topic-*, traceparent, tracestate, content-type,
 * idempotency-key; compared without case).
 */
struct message_header {
    char *name; /* NUL-terminated */
    char *value; /* UTF-8, may hold NUL: use value_len */
    size_t value_len;
};

struct message {
    struct json_span value; /* a piece of the body's text */
    char *key;              /* NULL when absent; may hold NUL: use key_len */
    size_t key_len;
    struct message_header *headers;
    size_t n_headers;
};

/* Returns 0, -EBADMSG, -EINVAL (added to `v`), -ENOMEM. `ret` need not be freed on error. */
int message_parse(struct buf *body, bool value_is_field, unsigned max_depth, struct violations *v,
                  struct message *ret, struct json_error *ret_error);
void message_done(struct message *message);
