/* One task in one handler: running it, and what a handler reads. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/datetime.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/util.h"
#include "plugin/internal.h"

bool handler_validate(const struct handler *h, const char *id, const char *topic,
                      struct json_doc *doc, int64_t now, struct violations *v)
{
    size_t before = v->total;
    struct tw_call *call;
    int outcome;

    rules_apply(h->rules, json_doc_root(doc), v);
    if (v->total > before || h->table.validate == NULL)
        return v->total == before;
    call = tw_zalloc(sizeof(*call));
    if (call == NULL) {
        violations_add(v, "", "cannot be checked: out of memory");
        return false;
    }
    call->handler = h;
    call->id = id;
    call->topic = topic;
    call->doc = doc;
    call->now = now;
    call->validating = true;
    call->violations = v;
    outcome = h->table.validate(call, h->plugin->state);
    if (outcome != TW_OK && v->total == before)
        violations_add(v, "", "refused by the handler");
    call->doc = NULL;        /* the caller's */
    call->violations = NULL; /* as well */
    call_free(call);
    return v->total == before;
}

void call_free(struct tw_call *call)
{
    json_doc_free(call->doc);
    violations_free(call->violations);
    strbuf_done(&call->reply);
    free(call->error);
    for (size_t i = 0; i < call->n_publications; i++) {
        free(call->publications[i].topic);
        free(call->publications[i].key);
        buf_unref(call->publications[i].task);
    }
    free(call->publications);
    free(call);
}

static enum outcome outcome_of(const struct tw_call *call, int outcome)
{
    if (outcome == TW_OK)
        return call->reply_failed ? OUTCOME_FAIL : OUTCOME_OK;
    if (outcome == TW_REJECT)
        return OUTCOME_REJECT;
    if (outcome != TW_FAIL && outcome != TW_RETRY)
        log_warn("plugin", "handler %s returned %d, which is no outcome", call->handler->table.name,
                 outcome);
    return OUTCOME_FAIL;
}

/* Tells the result and frees the call. */
void call_finish(struct tw_call *call, int outcome)
{
    struct run_result result = {
        .outcome = outcome_of(call, outcome),
        .retry = outcome == TW_RETRY,
        .publications = call->publications,
        .n_publications = call->n_publications,
    };

    if (result.outcome != OUTCOME_OK) {
        result.error = call->error;
        if (result.outcome == OUTCOME_FAIL && result.error == NULL)
            result.error = call->reply_failed ? "the handler's reply is malformed"
                                              : "the handler failed";
        if (result.outcome == OUTCOME_REJECT)
            result.violations = call->violations;
        if (result.outcome == OUTCOME_REJECT && result.error == NULL &&
            call->violations->count == 0)
            result.error = "rejected by the handler";
    } else if (call->reply.len > 0) {
        strbuf_addc(&call->reply, '}');
        result.result = call->reply.data;
        result.result_len = call->reply.len;
    }
    call->done(call->done_ctx, &result);
    if (call->deferred != NULL) {
        free(call->deferred->id);
        free(call->deferred->topic);
        free(call->deferred);
    }
    call_free(call);
}

void handler_run(const struct handler *h, const struct run_request *request,
                 void (*done)(void *ctx, const struct run_result *result), void *ctx)
{
    struct tw_call *call = tw_zalloc(sizeof(*call));
    int outcome;

    if (call != NULL)
        call->violations = violations_new();
    if (call == NULL || call->violations == NULL) {
        const struct run_result failed = {.outcome = OUTCOME_FAIL, .error = "out of memory"};

        free(call);
        json_doc_free(request->doc);
        done(ctx, &failed);
        return;
    }
    call->handler = h;
    call->id = request->id;
    call->topic = request->topic;
    call->doc = request->doc;
    call->now = request->now;
    call->redelivered = request->redelivered;
    call->done = done;
    call->done_ctx = ctx;
    if (!handler_validate(h, call->id, call->topic, call->doc, call->now, call->violations)) {
        call_finish(call, TW_REJECT);
        return;
    }
    outcome = h->table.handle(call, h->plugin->state);
    if (call->deferred == NULL) {
        call_finish(call, outcome);
        return;
    }
    if (outcome != TW_OK)
        log_warn("plugin", "handler %s deferred and returned %d: what it finishes with counts",
                 h->table.name, outcome);
    if (atomic_fetch_add(&call->deferred->arrived, 1) == 1)
        call_finish(call, call->deferred->outcome);
}

bool call_value(struct tw_call *call, const char *fmt, va_list ap, struct json_object **ret)
{
    char pointer[512];
    int n;

    if (fmt == NULL)
        return false;
    n = vsnprintf(pointer, sizeof(pointer), fmt, ap);
    return n >= 0 && n < (int)sizeof(pointer) &&
           json_pointer(json_doc_root(call->doc), pointer, ret);
}

/* The value that the variable arguments behind `pointer` point to, or NULL. */
#define VALUE(call, pointer)                                                                       \
    ({                                                                                             \
        struct json_object *value_ = NULL;                                                         \
        va_list ap_;                                                                               \
        va_start(ap_, pointer);                                                                    \
        if (!call_value(call, pointer, ap_, &value_))                                              \
            value_ = NULL;                                                                         \
        va_end(ap_);                                                                               \
        value_;                                                                                    \
    })

const char *tw_call_string(struct tw_call *call, const char *pointer, ...)
{
    struct json_object *value = VALUE(call, pointer);

    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

const char *tw_call_string_len(struct tw_call *call, size_t *ret_len, const char *pointer, ...)
{
    struct json_object *value = VALUE(call, pointer);

    if (!json_object_is_type(value, json_type_string))
        return NULL;
    *ret_len = (size_t)json_object_get_string_len(value);
    return json_object_get_string(value);
}

int tw_call_integer(struct tw_call *call, int64_t *ret, const char *pointer, ...)
{
    struct json_object *value = VALUE(call, pointer);
    const char *text;
    size_t len;

    if (!json_object_is_type(value, json_type_int))
        return -1;
    text = json_number_text(value, &len);
    return parse_int(text, len, ret) ? 0 : -1;
}

int tw_call_decimal(struct tw_call *call, unsigned scale, int64_t *ret, const char *pointer, ...)
{
    struct json_object *value = VALUE(call, pointer);
    const char *text;
    size_t len;

    if (scale > 18 || (!json_object_is_type(value, json_type_int) &&
                       !json_object_is_type(value, json_type_double)))
        return -1;
    text = json_number_text(value, &len);
    return parse_decimal(text, len, scale, ret) ? 0 : -1;
}

int tw_call_boolean(struct tw_call *call, int *ret, const char *pointer, ...)
{
    struct json_object *value = VALUE(call, pointer);

    if (!json_object_is_type(value, json_type_boolean))
        return -1;
    *ret = json_object_get_boolean(value) != 0;
    return 0;
}

int tw_call_time(struct tw_call *call, int64_t *ret, const char *pointer, ...)
{
    struct json_object *value = VALUE(call, pointer);

    if (!json_object_is_type(value, json_type_string))
        return -1;
    return datetime_parse(json_object_get_string(value), (size_t)json_object_get_string_len(value),
                          ret)
               ? 0
               : -1;
}

size_t tw_call_count(struct tw_call *call, const char *pointer, ...)
{
    struct json_object *value = VALUE(call, pointer);

    if (json_object_is_type(value, json_type_array))
        return json_object_array_length(value);
    return json_object_is_type(value, json_type_object) ? (size_t)json_object_object_length(value)
                                                        : 0;
}

int tw_call_has(struct tw_call *call, const char *pointer, ...)
{
    return VALUE(call, pointer) != NULL;
}

const char *tw_call_json(struct tw_call *call, size_t *ret_len)
{
    const struct buf *text = json_doc_text(call->doc);

    *ret_len = text->len;
    return text->data;
}

const char *tw_call_id(struct tw_call *call)
{
    return call->id;
}

const char *tw_call_topic(struct tw_call *call)
{
    return call->topic;
}

int64_t tw_call_now(struct tw_call *call)
{
    return call->now;
}

int tw_call_redelivered(struct tw_call *call)
{
    return call->redelivered;
}
