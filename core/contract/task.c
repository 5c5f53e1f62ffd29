#include "contract/task.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "base/util.h"
#include "contract/json_text.h"

void task_free(struct task *task)
{
    if (task == NULL)
        return;
    json_doc_free(task->doc);
    buf_unref(task->text);
    free(task);
}

static bool has(const char *text, size_t len, const char *name)
{
    struct json_span value;

    return json_member(text, len, name, &value);
}

/* A copy of the text, with absent base fields put in. */
static struct buf *complete_text(const char *text, size_t len, const char *topic, int64_t now)
{
    STRBUF_CLEANUP struct strbuf members = STRBUF_INIT;
    char id_text[UUID_TEXT_LEN + 1];
    struct uuid id;

    if (!has(text, len, "id")) {
        uuid_v7(&id);
        uuid_format(&id, id_text);
        json_member_string(&members, "id", id_text);
    }
    if (!has(text, len, "topic"))
        json_member_string(&members, "topic", topic);
    if (!has(text, len, "startTime"))
        json_member_seconds(&members, "startTime", now);
    if (members.len == 0 && !members.failed)
        return buf_new(text, len);
    return json_insert(text, len, &members);
}

static void check_base(struct task *task, const char *topic, struct violations *v)
{
    struct json_object *root = json_doc_root(task->doc), *value = NULL;
    const char *id = "";
    size_t len = 0;
    double start;

    json_object_object_get_ex(root, "id", &value);
    if (json_object_is_type(value, json_type_string)) {
        id = json_object_get_string(value);
        len = (size_t)json_object_get_string_len(value);
    }
    if (task_id_valid(id, len))
        memcpy(task->id, id, len + 1);
    else
        violations_add(v, "/id", "must be a string of 1 to 128 of A-Z a-z 0-9 . _ : -");

    value = NULL;
    json_object_object_get_ex(root, "topic", &value);
    if (!json_object_is_type(value, json_type_string) ||
        (size_t)json_object_get_string_len(value) != strlen(topic) ||
        memcmp(json_object_get_string(value), topic, strlen(topic)) != 0)
        violations_add(v, "/topic", "must be \"%s\" here", topic);

    value = NULL;
    json_object_object_get_ex(root, "startTime", &value);
    start = json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double)
                ? json_object_get_double(value)
                : -1;
    if (!(start >= 0 && start < 1e11))
        violations_add(v, "/startTime", "must be a time in Unix seconds");
}

int task_parse(const char *text, size_t len, const char *topic, int64_t now, unsigned max_depth,
               struct violations *v, struct task **ret, struct json_error *ret_error)
{
    TASK_CLEANUP struct task *task = NULL;
    size_t before = v->total, space = 0;
    int r = json_check(text, len, max_depth, ret_error);

    if (r < 0)
        return r;
    while (json_is_space(text[space])) /* there is a value: it was checked */
        space++;
    if (text[space] != '{') {
        violations_add(v, "", "must be an object");
        return -EINVAL;
    }
    task = tw_zalloc(sizeof(*task));
    if (task == NULL)
        return -ENOMEM;
    task->text = complete_text(text, len, topic, now);
    if (task->text == NULL)
        return -ENOMEM;
    r = json_doc_build(task->text, max_depth, &task->doc, ret_error);
    if (r < 0)
        return r;
    check_base(task, topic, v);
    *ret = task;
    task = NULL;
    return v->total > before ? -EINVAL : 0;
}
