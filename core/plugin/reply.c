/* What a handler answers, refuses and publishes. Errors of replies are sticky. */
#include <stdlib.h>
#include <string.h>

#include <inttypes.h>

#include "base/json_write.h"
#include "base/log.h"
#include "contract/json.h"
#include "plugin/internal.h"

enum { REPLY_DEPTH_MAX = 64 };

/* Whether the reply has a member of that name already. */
static bool used(const struct tw_call *call, const char *name)
{
    STRBUF_CLEANUP struct strbuf whole = STRBUF_INIT;
    struct json_span value;

    if (call->reply.len == 0)
        return false;
    strbuf_add(&whole, call->reply.data, call->reply.len);
    strbuf_addc(&whole, '}');
    return whole.failed || json_member(whole.data, whole.len, name, &value);
}

/* Begins a member; false when the reply is wrong from now on. */
static bool member(struct tw_call *call, const char *name)
{
    if (call->validating || name == NULL || call->reply_failed || used(call, name)) {
        call->reply_failed = true;
        return false;
    }
    if (call->reply.len == 0)
        json_begin_object(&call->reply);
    json_key(&call->reply, name);
    return true;
}

static int result_of(struct tw_call *call)
{
    call->reply_failed |= call->reply.failed;
    return call->reply_failed ? TW_FAIL : TW_OK;
}

int tw_call_reply_string(struct tw_call *call, const char *name, const char *text)
{
    if (member(call, name))
        json_stringz(&call->reply, text);
    return result_of(call);
}

int tw_call_reply_integer(struct tw_call *call, const char *name, int64_t value)
{
    if (member(call, name))
        json_int(&call->reply, value);
    return result_of(call);
}

int tw_call_reply_boolean(struct tw_call *call, const char *name, int value)
{
    if (member(call, name))
        json_boolean(&call->reply, value != 0);
    return result_of(call);
}

int tw_call_reply_decimal(struct tw_call *call, const char *name, int64_t value, unsigned scale)
{
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value, unit = 1;

    if (scale > 18)
        call->reply_failed = true;
    for (unsigned i = 0; i < scale && scale <= 18; i++)
        unit *= 10;
    if (member(call, name)) {
        json_raw(&call->reply, "", 0);
        strbuf_addf(&call->reply, "%s%" PRIu64, value < 0 ? "-" : "", magnitude / unit);
        if (scale > 0)
            strbuf_addf(&call->reply, ".%0*" PRIu64, (int)scale, magnitude % unit);
    }
    return result_of(call);
}

int tw_call_reply_json(struct tw_call *call, const char *name, const char *json, size_t len)
{
    struct json_error error;

    if (json == NULL || json_check(json, len, REPLY_DEPTH_MAX, &error) < 0)
        call->reply_failed = true;
    else if (member(call, name))
        json_raw(&call->reply, json, len);
    return result_of(call);
}

int tw_call_reject(struct tw_call *call, const char *pointer, const char *detail, ...)
{
    va_list ap;

    va_start(ap, detail);
    violations_vadd(call->violations, pointer == NULL ? "" : pointer, detail, ap);
    va_end(ap);
    return TW_REJECT;
}

int tw_call_fail(struct tw_call *call, const char *detail, ...)
{
    struct strbuf text = STRBUF_INIT;
    va_list ap;

    va_start(ap, detail);
    strbuf_vaddf(&text, detail, ap);
    va_end(ap);
    free(call->error);
    call->error = strbuf_take(&text);
    return TW_FAIL;
}

/* Room for one more; false when memory is short. */
static bool publications_grow(struct tw_call *call)
{
    size_t n = call->n_publications;
    struct publication *grown;

    if ((n & (n - 1)) != 0) /* its room is the next power of two */
        return true;
    grown = realloc(call->publications, TW_MAX(2 * n, 1) * sizeof(*grown));
    if (grown != NULL)
        call->publications = grown;
    return grown != NULL;
}

int tw_call_publish(struct tw_call *call, const char *topic, const char *key, const char *task,
                    size_t len)
{
    const struct registry_host *host = &call->handler->registry->host;
    struct publication p = {0};
    char *why = NULL;
    int r;

    if (call->validating || topic == NULL || task == NULL ||
        call->n_publications == PUBLICATIONS_MAX)
        return TW_FAIL;
    r = host->prepare(host->ctx, topic, task, len, &p.task, &why);
    if (r == 0) {
        p.topic = strdup(topic);
        p.key = key == NULL ? NULL : strdup(key);
        p.key_len = key == NULL ? 0 : strlen(key);
    }
    if (r < 0 || p.topic == NULL || (key != NULL && p.key == NULL) || !publications_grow(call)) {
        log_warn("plugin", "handler %s: a task for %s is not published: %s",
                 call->handler->table.name, topic, why == NULL ? "out of memory" : why);
        free(why);
        free(p.topic);
        free(p.key);
        buf_unref(p.task);
        return TW_FAIL;
    }
    call->publications[call->n_publications++] = p;
    return TW_OK;
}
