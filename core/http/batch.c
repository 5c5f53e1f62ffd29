/*
 * POST /executor/tasks/batch: an array of tasks, or {tasks: [...]}. All are submitted, then awaited
 * together; a bad one does not fail the others; the answers stand in the order of the tasks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "http/internal.h"

static void write_error(struct strbuf *out, const struct attempt *a, const struct topic *topic,
                        enum error_code error)
{
    STRBUF_CLEANUP struct strbuf summary = STRBUF_INIT;
    const char *detail = error_info(error)->title;

    if (error == ERROR_CONTRACT && a->violations != NULL) {
        violations_summary(a->violations, &summary);
        detail = summary.data;
    } else if (a->detail[0] != '\0') {
        detail = a->detail;
    }
    json_begin_object(out);
    json_member_string(out, "id", a->task == NULL ? NULL : a->task->id);
    json_member_string(out, "topic", topic == NULL ? NULL : topic->config->topic);
    json_member_string(out, "status", "error");
    json_member_int(out, "httpStatus", error_info(error)->status);
    json_member_string(out, "error", detail);
    if (error == ERROR_CONTRACT && a->violations != NULL) {
        json_key(out, "errors");
        violations_write(a->violations, out);
    }
    json_end_object(out);
}

static void write_item(struct strbuf *out, const struct attempt *a, const struct topic *topic)
{
    const struct buf *body = a->waiter.answer.body;
    enum error_code error = attempt_result(a);
    struct json_iter it;

    if (error != ERROR_NONE) {
        write_error(out, a, topic, error);
        return;
    }
    /* the contract's own members, and httpStatus among them */
    json_begin_object(out);
    json_iter_init(&it, body->data, body->len);
    while (json_iter_next(&it)) {
        strbuf_addz(out, out->data[out->len - 1] == '{' ? "\"" : ",\"");
        strbuf_add(out, it.name.start, it.name.len);
        strbuf_addz(out, "\":");
        strbuf_add(out, it.value.start, it.value.len);
    }
    json_member_int(out, "httpStatus", outcome_status(a->waiter.answer.outcome));
    json_end_object(out);
}

static void begin_item(struct attempt *a, const struct topic **topic, struct request *r,
                       const struct json_span *text, struct latch *latch)
{
    int64_t wait;

    *topic = task_topic(r, text->start, text->len);
    if (*topic == NULL) {
        *a = (struct attempt){.violations = violations_new(), .error = ERROR_CONTRACT};
        if (a->violations != NULL)
            violations_add(a->violations, "/topic", "must name a loaded topic");
        return;
    }
    request_wait(r, (*topic)->config->timeout, &wait); /* checked by our caller */
    attempt_begin(a, r, *topic, text->start, text->len, NULL, true, wait, latch, NULL);
}

static void run(struct request *r, const struct json_span *list, size_t n)
{
    struct attempt *attempts = calloc(n, sizeof(*attempts));
    const struct topic **topics = calloc(n, sizeof(struct topic *));
    STRBUF_CLEANUP struct strbuf out = STRBUF_INIT;
    struct latch latch;
    struct json_iter it;
    size_t i = 0;

    if (attempts == NULL || topics == NULL) {
        respond_error(r, ERROR_OVERLOADED, NULL, NULL);
        free(attempts);
        free(topics);
        return;
    }
    latch_init(&latch);
    json_iter_init(&it, list->start, list->len);
    while (i < n && json_iter_next(&it)) {
        begin_item(&attempts[i], &topics[i], r, &it.value, &latch);
        i++;
    }
    latch_wait(&latch);
    json_begin_array(&out);
    for (i = 0; i < n; i++) {
        write_item(&out, &attempts[i], topics[i]);
        attempt_done(&attempts[i]);
    }
    json_end_array(&out);
    respond(r, 200, "application/json", NULL, &out);
    latch_done(&latch);
    free(attempts);
    free(topics);
}

void batch_execute(struct request *r)
{
    const struct config *config = r->server->world.config;
    struct json_span list = {r->body->data, r->body->len};
    struct json_error error;
    struct json_iter it;
    char detail[64];
    int64_t wait;
    size_t n = 0;

    if (json_check(list.start, list.len, (unsigned)config->limit_json_depth, &error) < 0) {
        respond_error(r, ERROR_BAD_JSON, error.detail, NULL);
        return;
    }
    json_iter_init(&it, list.start, list.len);
    if (it.object && json_member(r->body->data, r->body->len, "tasks", &list))
        json_iter_init(&it, list.start, list.len);
    if (list.start[strspn(list.start, " \t\r\n")] != '[') {
        respond_error(r, ERROR_CONTRACT, "the body must be an array of tasks, or {\"tasks\": [...]}",
                      NULL);
        return;
    }
    while (json_iter_next(&it))
        n++;
    if (n == 0 || n > (size_t)config->limit_batch) {
        snprintf(detail, sizeof(detail), "a batch has 1 to %lld tasks, this one %zu",
                 (long long)config->limit_batch, n);
        respond_error(r, n == 0 ? ERROR_CONTRACT : ERROR_TOO_LARGE, detail, NULL);
        return;
    }
    if (!request_wait(r, 0, &wait)) {
        respond_error(r, ERROR_BAD_REQUEST, "timeout must be a duration such as 500ms or 30s",
                      NULL);
        return;
    }
    run(r, &list, n);
}
