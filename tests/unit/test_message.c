/* Bodies: the envelope of the reference, and the flat task with its base fields. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "contract/task.h"
#include "unit.h"

static void envelopes_and_bare_values(void **state)
{
    static const struct {
        const char *body;
        bool value_is_field;
        int result;
        const char *value; /* when 0; else a piece of what is wrong */
    } cases[] = {
        {"{\"value\":{\"a\":1}}", false, 0, "{\"a\":1}"},
        {"{\"key\":\"k\",\"value\":{\"a\":1},\"headers\":{\"x\":\"1\"}}", false, 0, "{\"a\":1}"},
        {"{\"a\":1}", false, 0, "{\"a\":1}"},
        {"{\"key\":\"k\"}", false, 0, "{\"key\":\"k\"}"}, /* no value: a task with a field key */
        {"{\"value\":7,\"a\":1}", false, 0, "{\"value\":7,\"a\":1}"},
        {"{\"value\":{\"a\":1}}", true, 0, "{\"a\":1}"},
        {"{\"value\":{\"a\":1},\"b\":2}", true, 0, "{\"value\":{\"a\":1},\"b\":2}"},
        {"{\"value\":7}", false, -EINVAL, "Invalid message format"},
        {"{\"value\":null,\"key\":\"k\"}", false, -EINVAL, "Invalid message format"},
        {"{\"value\":[1],\"headers\":{}}", false, -EINVAL, "Invalid message format"},
        {"{\"value\":{},\"more\":1}", false, -EINVAL, "has only key, value and headers"},
        {"{\"value\":{},\"key\":7}", false, -EINVAL, "/key"},
        {"{\"value\":{},\"headers\":[]}", false, -EINVAL, "/headers"},
        {"{\"value\":{},\"headers\":{\"x\":7}}", false, -EINVAL, "/headers/x"},
        {"{\"value\":{},\"headers\":{\"a b\":\"7\"}}", false, -EINVAL, "/headers/a b"},
        {"{\"value\":{},\"headers\":{\"\":\"7\"}}", false, -EINVAL, "/headers/"},
        {"{\"value\":{},\"headers\":{\"kafka_replyTopic\":\"x\"}}", false, -EINVAL, "/headers/kafka"},
        {"{\"value\":{},\"headers\":{\"KAFKA_x\":\"x\"}}", false, -EINVAL, "/headers/KAFKA_x"},
        {"{\"value\":{},\"headers\":{\"TaskWire-Owner\":\"x\"}}", false, -EINVAL, "/headers/TaskWire"},
        {"{\"value\":{},\"headers\":{\"retry_topic-attempts\":\"x\"}}", false, -EINVAL, "/headers/retry"},
        {"{\"value\":{},\"headers\":{\"TraceParent\":\"x\"}}", false, -EINVAL, "/headers/TraceParent"},
        {"{\"value\":{},\"headers\":{\"idempotency-key\":\"x\"}}", false, -EINVAL, "/headers/idem"},
        {"{\"value\":{}", false, -EBADMSG, ""},
        {"nothing", false, -EBADMSG, ""},
    };

    (void)state;
    for (size_t i = 0; i < TW_ARRAY_LEN(cases); i++) {
        BUF_CLEANUP struct buf *body = buf_new(cases[i].body, strlen(cases[i].body));
        STRBUF_CLEANUP struct strbuf said = STRBUF_INIT;
        struct violations *v = violations_new();
        struct json_error error;
        struct message m;
        int r = message_parse(body, cases[i].value_is_field, 32, v, &m, &error);

        violations_summary(v, &said);
        if (r != cases[i].result)
            fail_msg("%s: %d, %s", cases[i].body, r, said.len > 0 ? said.data : "");
        if (r == 0) {
            assert_int_equal(m.value.len, strlen(cases[i].value));
            assert_memory_equal(m.value.start, cases[i].value, m.value.len);
            message_done(&m);
        } else if (r == -EINVAL && strstr(said.data, cases[i].value) == NULL) {
            fail_msg("%s: %s", cases[i].body, said.data);
        }
        violations_free(v);
    }
}

static void keys_and_headers_keep_every_byte(void **state)
{
    static const char text[] = "{\"key\":\"a\\u0000b\",\"value\":{},\"headers\":{\"X-One\":\"\\u00e4\\u0000\"}}";
    BUF_CLEANUP struct buf *body = buf_new(text, sizeof(text) - 1);
    struct violations *v = violations_new();
    struct json_error error;
    struct message m;

    (void)state;
    assert_int_equal(message_parse(body, false, 32, v, &m, &error), 0);
    assert_int_equal(m.key_len, 3);
    assert_memory_equal(m.key, "a\0b", 3);
    assert_int_equal(m.n_headers, 1);
    assert_string_equal(m.headers[0].name, "X-One");
    assert_int_equal(m.headers[0].value_len, 3);
    assert_memory_equal(m.headers[0].value, "\xc3\xa4\0", 3);
    message_done(&m);
    violations_free(v);
}

static void too_many_or_too_long(void **state)
{
    STRBUF_CLEANUP struct strbuf many = STRBUF_INIT;
    struct violations *v = violations_new();
    struct json_error error;
    struct message m;

    (void)state;
    strbuf_addz(&many, "{\"value\":{},\"headers\":{");
    for (int i = 0; i < 33; i++)
        strbuf_addf(&many, "%s\"h%d\":\"\"", i == 0 ? "" : ",", i);
    strbuf_addz(&many, "}}");
    BUF_CLEANUP struct buf *body = strbuf_to_buf(&many);
    assert_int_equal(message_parse(body, false, 32, v, &m, &error), -EINVAL);
    violations_free(v);

    v = violations_new();
    strbuf_reset(&many);
    strbuf_addf(&many, "{\"value\":{},\"key\":\"%*s\"}", 4097, "");
    BUF_CLEANUP struct buf *long_key = strbuf_to_buf(&many);
    assert_int_equal(message_parse(long_key, false, 32, v, &m, &error), -EINVAL);
    violations_free(v);
}

static void base_fields_are_put_in_and_nothing_else_is_touched(void **state)
{
    static const struct {
        const char *text, *behind; /* what follows the base fields */
        const char *wrong;         /* the pointer complained about */
    } cases[] = {
        {"{ \"z\" : 1e2 , \"a\":\"\\u00e4\" }", " \"z\" : 1e2 , \"a\":\"\\u00e4\" }", NULL},
        {"{}", "}", NULL},
        {" \t{\"topic\":\"T\"}", "\"topic\":\"T\"}", NULL},
        {"{\"startTime\":1700000000.123}", "\"startTime\":1700000000.123}", NULL},
        {"{\"startTime\":0}", "\"startTime\":0}", NULL},
        {"{\"id\":\"\"}", NULL, "/id"},
        {"{\"id\":\"a b\"}", NULL, "/id"},
        {"{\"id\":7}", NULL, "/id"},
        {"{\"id\":null}", NULL, "/id"},
        {"{\"topic\":\"U\"}", NULL, "/topic"},
        {"{\"topic\":7}", NULL, "/topic"},
        {"{\"startTime\":-1}", NULL, "/startTime"},
        {"{\"startTime\":1e11}", NULL, "/startTime"},
        {"{\"startTime\":\"now\"}", NULL, "/startTime"},
    };

    (void)state;
    for (size_t i = 0; i < TW_ARRAY_LEN(cases); i++) {
        STRBUF_CLEANUP struct strbuf said = STRBUF_INIT;
        struct violations *v = violations_new();
        TASK_CLEANUP struct task *task = NULL;
        struct json_error error;
        int r = task_parse(cases[i].text, strlen(cases[i].text), "T", 1700000000 * NS_PER_S, 32, v,
                           &task, &error);

        violations_summary(v, &said);
        if (cases[i].wrong == NULL) {
            const char *data;

            if (r != 0)
                fail_msg("%s: %d", cases[i].text, r);
            data = task->text->data;
            assert_true(task_id_valid(task->id, strlen(task->id)));
            assert_non_null(strstr(data, "\"id\":\""));
            assert_non_null(strstr(data, "\"topic\":\"T\""));
            assert_non_null(strstr(data, "\"startTime\":"));
            assert_string_equal(data + task->text->len - strlen(cases[i].behind), cases[i].behind);
        } else if (r != -EINVAL || strstr(said.data, cases[i].wrong) == NULL) {
            fail_msg("%s: %d %s", cases[i].text, r, said.len > 0 ? said.data : "");
        }
        violations_free(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(envelopes_and_bare_values),
        cmocka_unit_test(keys_and_headers_keep_every_byte),
        cmocka_unit_test(too_many_or_too_long),
        cmocka_unit_test(base_fields_are_put_in_and_nothing_else_is_touched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
