#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "http/internal.h"
#include "orchestrator/wire.h"

/* The caller's trace goes on, when it is a valid one. */
static void trace_context(const struct request *r, struct submission *s)
{
    const char *parent = request_header(r, "traceparent"), *state;

    if (parent == NULL || !wire_traceparent_valid(parent, strlen(parent)))
        return;
    s->traceparent = parent;
    state = request_header(r, "tracestate");
    if (state != NULL && strlen(state) <= 512)
        s->tracestate = state;
}

void attempt_begin(struct attempt *a, struct request *r, const struct topic *topic,
                   const char *text, size_t len, const struct message *message, bool reply_wanted,
                   int64_t wait, struct latch *latch, struct express *express)
{
    struct orchestrator *o = r->server->world.orchestrator;
    struct submission s = {
        .topic = topic,
        .caller = "",
        .reply_wanted = reply_wanted,
        .wait = wait,
    };
    enum error_code error_code;
    struct json_error error;
    int ret;

    *a = (struct attempt){.violations = violations_new()};
    if (a->violations == NULL) {
        a->error = ERROR_OVERLOADED;
        return;
    }
    ret = orchestrator_check(o, topic, text, len, a->violations, &a->task, &error);
    if (ret < 0) {
        a->error = ret == -EBADMSG ? ERROR_BAD_JSON
                   : ret == -EINVAL ? ERROR_CONTRACT
                                    : ERROR_OVERLOADED;
        if (ret == -EBADMSG)
            snprintf(a->detail, sizeof(a->detail), "%s", error.detail);
        return;
    }
    s.task = a->task;
    if (message != NULL) {
        s.key = message->key;
        s.key_len = message->key_len;
        s.headers = message->headers;
        s.n_headers = message->n_headers;
    }
    trace_context(r, &s);
    http_waiter_init(&a->waiter, latch, express);
    error_code = orchestrator_submit(o, &s, &a->waiter.waiter);
    if (error_code != ERROR_NONE) { /* else it may be answered by now, and read by who answers */
        a->error = error_code;
        http_waiter_cancel(&a->waiter);
    }
    /* while it waits only its id is needed */
    json_doc_free(TW_TAKE_PTR(a->task->doc));
    buf_unref(TW_TAKE_PTR(a->task->text));
    violations_free(TW_TAKE_PTR(a->violations));
}

enum error_code attempt_result(const struct attempt *a)
{
    if (a->error != ERROR_NONE)
        return a->error;
    return a->waiter.answer.kind == ANSWER_ERROR ? a->waiter.answer.error : ERROR_NONE;
}

void attempt_done(struct attempt *a)
{
    http_waiter_done(&a->waiter);
    task_free(a->task);
    violations_free(a->violations);
}
