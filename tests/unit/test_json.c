#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "base/util.h"
#include "contract/json.h"
#include "contract/response.h"
#include "contract/task.h"
#include "unit.h"

static bool good(const char *text, size_t len)
{
    struct json_error error;

    return json_check(text, len, 32, &error) == 0;
}

static void strict_json_only(void **state)
{
    static const char *const right[] = {
        "0", "-0", "1.5e+3", "\"\"", "[]", "{}", " [1 , 2] ", "{\"a\":{\"a\":1}}", "null", "true",
        "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"", "18446744073709551615",
        "-9223372036854775808", "[[],[[]]]", "\"\\u0000\"", "\"/\\/\"", "1E2",
    };
    static const char *const wrong[] = {
        "", " ", "NaN", "Infinity", "-", "-01", "01", "2.", ".5", "1e", "1e+", "+1", "0x1", "'a'",
        "\"", "\"\n\"", "\"\t\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"",
        "\"\\ud800\\u0041\"", "\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "[1,]", "[,1]", "[1 2]",
        "[", "]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\":1 \"b\":2}",
        "{} {}", "[] x", "tru", "nul", "True", "\xef\xbb\xbf[]", "1e400", "18446744073709551616",
        "-9223372036854775809", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}",
        "{\"\\u0000\":1}", "/**/1", "[1,,2]", "[\"a\",\n4\n,1,", "{\"a\":1}}",
    };

    (void)state;
    for (size_t i = 0; i < TW_ARRAY_LEN(right); i++)
        if (!good(right[i], strlen(right[i])))
            fail_msg("refused: %s", right[i]);
    for (size_t i = 0; i < TW_ARRAY_LEN(wrong); i++)
        if (good(wrong[i], strlen(wrong[i])))
            fail_msg("accepted: %s", wrong[i]);
    assert_false(good("1\0", 2));
}

static void errors_have_a_place(void **state)
{
    static const char text[] = "{\n  \"a\": 1,\n  \"a\": 2}";
    struct json_error error;

    (void)state;
    assert_int_not_equal(json_check(text, strlen(text), 32, &error), 0);
    assert_string_equal(error.detail, "line 3, column 3: repeated member name");
}

/* What the scanner accepts json-c must understand; mutated texts, the same in every run. */
static void the_tree_agrees_with_the_scanner(void **state)
{
    static const char seed[] = "{\"id\":\"a\\u0041\",\"n\":[1,-2.5e3,true,null,{\"x\":\"\xc3\xa9\"}]}";
    uint32_t random = 1;
    size_t accepted = 0;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        char text[sizeof(seed)];
        struct json_doc *doc = NULL;
        struct json_error error;
        struct buf *buf;

        memcpy(text, seed, sizeof(seed));
        for (int i = 0; i < 2; i++) {
            random = random * 1664525 + 1013904223;
            text[(random >> 8) % (sizeof(seed) - 1)] = "{}[],:\"\\0123456789eE+-.aunltrf \n"[random >> 27];
        }
        if (!good(text, sizeof(seed) - 1))
            continue;
        accepted++;
        buf = buf_new(text, sizeof(seed) - 1);
        if (json_doc_parse(buf, 32, &doc, &error) != 0)
            fail_msg("json-c refuses %s", text);
        json_doc_free(doc);
        buf_unref(buf);
    }
    assert_true(accepted > 1000);
}

static void base_fields_are_inserted_as_text(void **state)
{
    static const char given[] = "{ \"topic\":\"T\",\"x\":1.50 }";
    struct violations *v = violations_new();
    struct json_error error;
    struct task *task = NULL;

    (void)state;
    assert_int_equal(task_parse(given, strlen(given), "T", 1500000000, 32, v, &task, &error), 0);
    assert_int_equal(strlen(task->id), UUID_TEXT_LEN);
    assert_non_null(strstr(task->text->data, "\"startTime\":1.500, \"topic\":\"T\",\"x\":1.50 }"));
    task_free(task);
    violations_free(v);
}

static void replies_become_the_contract(void **state)
{
    static const struct {
        const char *value, *nest_error, *expected;
        enum outcome outcome;
    } cases[] = {
        {"{\"id\":\"i\",\"status\":\"success\",\"topic\":\"T\",\"endTime\":5}", NULL,
         "{\"id\":\"i\",\"status\":\"success\",\"topic\":\"T\",\"endTime\":5}", OUTCOME_OK},
        {"{\"id\":\"other\",\"status\":\"success\"}", NULL,
         "\"result\":{\"id\":\"other\",\"status\":\"success\"}}", OUTCOME_OK},
        {"plain text", NULL, "\"result\":\"plain text\"}", OUTCOME_OK},
        {NULL, NULL, "\"result\":null}", OUTCOME_OK},
        {"1", "{\"message\":\"no\"}", "\"error\":\"no\"", OUTCOME_FAIL},
        {"{\"id\":\"i\",\"status\":\"success\"}", "bad", "\"status\":\"error\",\"error\":\"bad\"",
         OUTCOME_FAIL},
    };

    (void)state;
    for (size_t i = 0; i < TW_ARRAY_LEN(cases); i++) {
        const struct reply_text text = {
            .value = cases[i].value,
            .value_len = cases[i].value == NULL ? 0 : strlen(cases[i].value),
            .nest_error = cases[i].nest_error,
            .nest_error_len = cases[i].nest_error == NULL ? 0 : strlen(cases[i].nest_error),
        };
        enum outcome outcome;
        struct buf *body = response_from_reply(&text, "i", "T", 0, 32, &outcome);

        if (strstr(body->data, cases[i].expected) == NULL)
            fail_msg("%s lacks %s", body->data, cases[i].expected);
        assert_int_equal(outcome, cases[i].outcome);
        assert_true(good(body->data, body->len));
        buf_unref(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strict_json_only),
        cmocka_unit_test(errors_have_a_place),
        cmocka_unit_test(the_tree_agrees_with_the_scanner),
        cmocka_unit_test(base_fields_are_inserted_as_text),
        cmocka_unit_test(replies_become_the_contract),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
