#include "redis/reply_blob.h"

#include <string.h>

struct header {
    uint8_t version;
    uint8_t has; /* bits: value, nest_error, outcome */
    uint16_t reserved;
    int32_t attempts;
    int64_t arrived;                     /* wall clock, ns */
    uint32_t value, nest_error, outcome; /* lengths */
    uint32_t reserved2;
}; /* in the byte order of the machine: pods of one Redis are of one kind */

enum { VERSION = 1, HAS_VALUE = 1, HAS_NEST_ERROR = 2, HAS_OUTCOME = 4 };

_Static_assert(sizeof(struct header) == 32, "no padding");

void reply_blob_write(struct strbuf *out, const struct store_reply *reply, int64_t arrived)
{
    const struct reply_text *t = &reply->text;
    const struct header h = {
        .version = VERSION,
        .has = (uint8_t)((t->value != NULL ? HAS_VALUE : 0) |
                         (t->nest_error != NULL ? HAS_NEST_ERROR : 0) |
                         (t->outcome != NULL ? HAS_OUTCOME : 0)),
        .attempts = reply->attempts,
        .arrived = arrived,
        .value = (uint32_t)t->value_len,
        .nest_error = (uint32_t)t->nest_error_len,
        .outcome = (uint32_t)t->outcome_len,
    };

    strbuf_add(out, &h, sizeof(h));
    strbuf_add(out, t->value, t->value_len);
    strbuf_add(out, t->nest_error, t->nest_error_len);
    strbuf_add(out, t->outcome, t->outcome_len);
}

bool reply_blob_read(const char *data, size_t len, struct store_reply *ret, int64_t *ret_arrived)
{
    struct header h;

    if (len < sizeof(h))
        return false;
    memcpy(&h, data, sizeof(h));
    if (h.version != VERSION || len - sizeof(h) != (uint64_t)h.value + h.nest_error + h.outcome)
        return false;
    data += sizeof(h);
    *ret = (struct store_reply){.attempts = h.attempts};
    if (h.has & HAS_VALUE)
        ret->text.value = data;
    ret->text.value_len = h.value;
    data += h.value;
    if (h.has & HAS_NEST_ERROR)
        ret->text.nest_error = data;
    ret->text.nest_error_len = h.nest_error;
    data += h.nest_error;
    if (h.has & HAS_OUTCOME)
        ret->text.outcome = data;
    ret->text.outcome_len = h.outcome;
    *ret_arrived = h.arrived;
    return true;
}
