/* One task: POST /kafka/send, /kafka/request, /executor/tasks/...; GET /executor/tasks/{id}. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "base/log.h"
#include "http/internal.h"

static void respond_failure(struct request *r, const struct attempt *a, enum error_code error)
{
    const char *id = a->task == NULL ? NULL : a->task->id;
    char location[sizeof("Location: /executor/tasks/\r\n") + TASK_ID_MAX];
    char detail[TASK_ID_MAX + 160];
    bool ask = error == ERROR_TIMEOUT || error == ERROR_OUTCOME_UNKNOWN;

    if (error == ERROR_CONTRACT) {
        STRBUF_CLEANUP struct strbuf summary = STRBUF_INIT;

        violations_summary(a->violations, &summary);
        respond_problem(r, error, summary.data, id, a->violations, NULL);
    } else if (ask || (error == ERROR_DRAINING && a->error == ERROR_NONE)) {
        /* the task may still be done: where to ask (its id is made of safe characters) */
        snprintf(location, sizeof(location), "Location: /executor/tasks/%s\r\n", id);
        snprintf(detail, sizeof(detail), "%s; ask GET /executor/tasks/%s later",
                 error_info(error)->title, id);
        respond_problem(r, error, detail, id, NULL, location);
    } else {
        respond_problem(r, error, a->detail[0] != '\0' ? a->detail : NULL, id, NULL, NULL);
    }
}

/* `error`: attempt_result, or what the answer alone says. */
void respond_attempt(struct request *r, const struct attempt *a, enum error_code error)
{
    const struct answer *answer = &a->waiter.answer;

    if (error != ERROR_NONE) {
        respond_failure(r, a, error);
    } else if (answer->kind == ANSWER_REPLY) {
        respond_buf(r, outcome_status(answer->outcome), answer->body);
    } else {
        STRBUF_CLEANUP struct strbuf body = STRBUF_INIT;

        json_begin_object(&body);
        json_member_string(&body, "id", a->task->id);
        json_key(&body, "topic");
        json_string(&body, r->segments[2], strlen(r->segments[2]));
        json_member_int(&body, "partition", answer->partition);
        json_member_int(&body, "offset", answer->offset);
        json_end_object(&body);
        respond(r, 202, "application/json", NULL, &body);
    }
}

/* Submits one task and answers. */
static void execute(struct request *r, const struct topic *topic, const char *text, size_t len,
                    const struct message *message, bool reply_wanted)
{
    struct attempt attempt;
    struct express express;
    struct latch latch;
    bool quick;
    int64_t wait;

    if (!request_wait(r, topic->config->timeout, &wait)) {
        respond_error(r, ERROR_BAD_REQUEST, "timeout must be a duration such as 500ms or 30s",
                      NULL);
        return;
    }
    latch_init(&latch);
    quick = express_begin(&express, r, &attempt);
    attempt_begin(&attempt, r, topic, text, len, message, reply_wanted, wait, &latch,
                  quick ? &express : NULL);
    latch_wait(&latch);
    if (quick && attempt.error == ERROR_NONE)
        express_wait(&express);
    else
        respond_attempt(r, &attempt, attempt_result(&attempt));
    if (quick)
        express_done(&express);
    attempt_done(&attempt);
    latch_done(&latch);
}

void tasks_send(struct request *r, const struct topic *topic, bool reply_wanted)
{
    unsigned depth = (unsigned)r->server->world.config->limit_json_depth;
    bool value_is_field = topic->rules != NULL && rules_have_field(topic->rules, "value");
    struct violations *v = violations_new();
    struct json_error error;
    struct message message;
    int ret = v == NULL ? -ENOMEM
                        : message_parse(r->body, value_is_field, depth, v, &message, &error);

    if (ret == 0) {
        execute(r, topic, message.value.start, message.value.len, &message, reply_wanted);
        message_done(&message);
    } else if (ret == -EBADMSG) {
        respond_error(r, ERROR_BAD_JSON, error.detail, NULL);
    } else if (ret == -EINVAL) {
        STRBUF_CLEANUP struct strbuf summary = STRBUF_INIT;

        metric_inc(r->server->world.metrics, METRIC_TASKS_REFUSED, topic->index);
        violations_summary(v, &summary);
        respond_problem(r, ERROR_CONTRACT, summary.data, NULL, v, NULL);
    } else {
        respond_error(r, ERROR_OVERLOADED, NULL, NULL);
    }
    violations_free(v);
}

/* The topic that a checked flat task names, or NULL. */
const struct topic *task_topic(const struct request *r, const char *text, size_t len)
{
    struct json_span topic;

    if (!json_member(text, len, "topic", &topic) || topic.len < 2 || topic.start[0] != '"')
        return NULL;
    return topic_find(r->server->world.topics, topic.start + 1, topic.len - 2);
}

void tasks_flat(struct request *r, const struct topic *topic)
{
    unsigned depth = (unsigned)r->server->world.config->limit_json_depth;
    struct json_error error;

    if (topic == NULL) {
        if (json_check(r->body->data, r->body->len, depth, &error) < 0) {
            respond_error(r, ERROR_BAD_JSON, error.detail, NULL);
            return;
        }
        topic = task_topic(r, r->body->data, r->body->len);
    }
    if (topic == NULL) {
        struct violations *v = violations_new();

        if (v != NULL)
            violations_add(v, "/topic", "must name a loaded topic");
        respond_problem(r, ERROR_CONTRACT, "/topic: must name a loaded topic", NULL, v, NULL);
        violations_free(v);
        return;
    }
    execute(r, topic, r->body->data, r->body->len, NULL, true);
}

static const char *state_of(const struct store_view *view)
{
    if (!view->finished)
        return "pending";
    return view->outcome == OUTCOME_OK ? "succeeded"
           : view->outcome == OUTCOME_EXPIRED ? "expired" : "failed";
}

struct lookup {
    struct strbuf body;
    const char *id;
    bool found, away;
    struct latch latch;
};

static void write_task(struct lookup *l, const struct store_view *view)
{
    static const char *const members[] = {"status", "error", "errors", "endTime", "result"};

    json_begin_object(&l->body);
    json_member_string(&l->body, "id", l->id);
    json_member_string(&l->body, "topic", view->topic);
    json_member_string(&l->body, "state", state_of(view));
    json_member_int(&l->body, "attempts", view->attempts);
    json_member_seconds(&l->body, "acceptedTime", view->accepted);
    for (size_t i = 0; view->finished && i < sizeof(members) / sizeof(members[0]); i++) {
        struct json_span value;

        if (json_member(view->body->data, view->body->len, members[i], &value)) {
            json_key(&l->body, members[i]);
            json_raw(&l->body, value.start, value.len);
        }
    }
    json_end_object(&l->body);
}

/* This thread, or one of the store; called once. */
static void looked_up(void *arg, const struct store_view *view, bool away)
{
    struct lookup *l = arg;

    l->found = view != NULL;
    l->away = away;
    if (view != NULL)
        write_task(l, view);
    latch_count_down(&l->latch);
}

void tasks_get(struct request *r, const char *id)
{
    struct lookup l = {.id = id};

    if (task_id_valid(id, strlen(id))) {
        latch_init(&l.latch);
        latch_expect(&l.latch);
        orchestrator_lookup(r->server->world.orchestrator, "", id, looked_up, &l);
        latch_wait(&l.latch);
        latch_done(&l.latch);
    }
    if (l.found)
        respond(r, 200, "application/json", NULL, &l.body);
    else
        respond_error(r, l.away ? ERROR_STORE_UNAVAILABLE : ERROR_UNKNOWN_TASK, NULL, NULL);
    strbuf_done(&l.body);
}
