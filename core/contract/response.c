#include "contract/response.h"

#include <string.h>

#include "base/json_write.h"
#include "contract/json.h"
#include "contract/json_text.h"

static const struct {
    const char *name;
    int status;
} outcomes[] = {
    [OUTCOME_OK] = {"ok", 200},
    [OUTCOME_REJECT] = {"reject", 422},
    [OUTCOME_FAIL] = {"fail", 500},
    [OUTCOME_EXPIRED] = {"expired", 504},
};

const char *outcome_name(enum outcome outcome)
{
    return outcomes[outcome].name;
}

int outcome_status(enum outcome outcome)
{
    return outcomes[outcome].status;
}

bool outcome_from_name(const char *name, size_t len, enum outcome *ret)
{
    for (size_t i = 0; i < TW_ARRAY_LEN(outcomes); i++) {
        if (strlen(outcomes[i].name) == len && memcmp(outcomes[i].name, name, len) == 0) {
            *ret = (enum outcome)i;
            return true;
        }
    }
    return false;
}

void response_write(struct strbuf *out, const char *id, const char *topic, const char *error,
                    int64_t end_time_ns, const char *errors, size_t errors_len, const char *result,
                    size_t result_len)
{
    json_begin_object(out);
    json_member_string(out, "id", id);
    json_member_string(out, "topic", topic);
    json_member_string(out, "status", error == NULL ? "success" : "error");
    if (error != NULL)
        json_member_string(out, "error", error);
    if (errors != NULL) {
        json_key(out, "errors");
        json_raw(out, errors, errors_len);
    }
    json_member_seconds(out, "endTime", end_time_ns);
    if (result != NULL) {
        json_key(out, "result");
        json_raw(out, result, result_len);
    }
    json_end_object(out);
}

/* Whether `text` is the contract of the task `id`; then *ret_error says which status. */
static bool is_contract(const char *text, size_t len, const char *id, bool *ret_error)
{
    struct json_span value;

    if (!json_member(text, len, "id", &value) || !json_string_is(value, id, strlen(id)) ||
        !json_member(text, len, "status", &value))
        return false;
    *ret_error = json_string_is(value, "error", 5);
    return *ret_error || json_string_is(value, "success", 7);
}

/* The contract as it came, with `topic` and `endTime` put in where they are absent. */
static struct buf *keep(const struct reply_text *r, const char *topic, int64_t now)
{
    STRBUF_CLEANUP struct strbuf members = STRBUF_INIT;
    struct json_span value;

    if (!json_member(r->value, r->value_len, "topic", &value))
        json_member_string(&members, "topic", topic);
    if (!json_member(r->value, r->value_len, "endTime", &value))
        json_member_seconds(&members, "endTime", now);
    if (members.len == 0 && !members.failed)
        return buf_new(r->value, r->value_len);
    return json_insert(r->value, r->value_len, &members);
}

/* The text of an error as NestJS sends it: an object with a message, a string, or raw text. */
static void error_text(const struct reply_text *r, unsigned max_depth, struct strbuf *out)
{
    struct json_span span = {r->nest_error, r->nest_error_len};
    struct json_error ignored;
    size_t len = span.len;
    char *copy = NULL;

    if (json_check(span.start, span.len, max_depth, &ignored) == 0) {
        json_member(span.start, span.len, "message", &span);
        if (span.len >= 2 && span.start[0] == '"')
            copy = json_string_copy(span, &len);
    }
    strbuf_add(out, copy != NULL ? copy : span.start, copy != NULL ? len : span.len);
    for (size_t i = 0; !out->failed && i < out->len; i++)
        if (out->data[i] == '\0')
            out->data[i] = ' ';
    free(copy);
}

/* Anything else becomes the `result`. */
static struct buf *wrap(const struct reply_text *r, const char *id, const char *topic, bool json,
                        int64_t now, unsigned max_depth)
{
    STRBUF_CLEANUP struct strbuf result = STRBUF_INIT, error = STRBUF_INIT, out = STRBUF_INIT;

    if (r->value == NULL)
        json_null(&result);
    else if (json)
        json_raw(&result, r->value, r->value_len);
    else
        json_string(&result, r->value, r->value_len);
    if (r->nest_error != NULL)
        error_text(r, max_depth, &error);
    response_write(&out, id, topic,
                   r->nest_error == NULL ? NULL : error.len == 0 ? "error" : error.data, now, NULL,
                   0, result.data, result.len);
    out.failed |= result.failed || error.failed;
    return strbuf_to_buf(&out);
}

struct buf *response_from_reply(const struct reply_text *reply, const char *id, const char *topic,
                                int64_t now, unsigned max_depth, enum outcome *ret_outcome)
{
    struct json_error ignored;
    bool error = reply->nest_error != NULL, status_error = false;
    bool json = reply->value != NULL &&
                json_check(reply->value, reply->value_len, max_depth, &ignored) == 0;
    bool contract = json && is_contract(reply->value, reply->value_len, id, &status_error);
    enum outcome outcome = OUTCOME_FAIL;

    if (contract)
        error = status_error || error;
    if (!error)
        outcome = OUTCOME_OK;
    else if (reply->outcome == NULL ||
             !outcome_from_name(reply->outcome, reply->outcome_len, &outcome) ||
             outcome == OUTCOME_OK)
        outcome = OUTCOME_FAIL;
    *ret_outcome = outcome;
    /* an error beside a contract that says success: the error wins */
    if (contract && status_error == error)
        return keep(reply, topic, now);
    return wrap(reply, id, topic, json, now, max_depth);
}
