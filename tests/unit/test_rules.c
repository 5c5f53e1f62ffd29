/* What a plugin's rules say about a task, and about themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <taskwire/plugin.h>

#include "base/util.h"
#include "contract/json.h"
#include "contract/rules.h"
#include "unit.h"

/* The violations of `json`, as one line: "/a: ...; /b: ...". "" when there are none. */
static char *apply(const struct tw_rule *table, size_t n, const char *json)
{
    BUF_CLEANUP struct buf *text = buf_new(json, strlen(json));
    JSON_DOC_CLEANUP struct json_doc *doc = NULL;
    struct violations *v = violations_new();
    struct strbuf out = STRBUF_INIT;
    struct json_error error;
    struct rules *rules;
    char *why = NULL;

    assert_int_equal(rules_compile(table, n, sizeof(table[0]), &rules, &why), 0);
    assert_int_equal(json_doc_parse(text, 32, &doc, &error), 0);
    rules_apply(rules, json_doc_root(doc), v);
    strbuf_addz(&out, "");
    violations_summary(v, &out);
    violations_free(v);
    rules_free(rules);
    return strbuf_take(&out);
}

/* Whether the pointers that are complained about are exactly `pointers`, separated by blanks. */
static void check(const struct tw_rule *table, size_t n, const char *json, const char *pointers)
{
    char *summary = apply(table, n, json), found[256] = "", *at = summary;

    while (at != NULL && *at != '\0') {
        size_t len = strcspn(at, ":");

        if (found[0] != '\0')
            strcat(found, " ");
        strncat(found, at, len);
        at = strstr(at, "; ");
        if (at != NULL)
            at += 2;
    }
    if (strcmp(found, pointers) != 0)
        fail_msg("%s: \"%s\", expected \"%s\": %s", json, found, pointers, summary);
    free(summary);
}

static void each_type_and_bound(void **state)
{
    static const struct {
        struct tw_rule rule;
        const char *value; /* NULL: absent */
        bool good;
    } cases[] = {
        {{.type = TW_STRING}, "\"\"", true},
        {{.type = TW_STRING}, "7", false},
        {{.type = TW_STRING}, NULL, false},
        {{.type = TW_STRING}, "null", false},
        {{.type = TW_STRING, .optional = 1}, NULL, true},
        {{.type = TW_STRING, .optional = 1}, "null", true},
        {{.type = TW_STRING, .optional = 1}, "7", false},
        {{.type = TW_STRING}, "\"a\\u0000b\"", false},
        {{.type = TW_STRING, .allow_nul = 1}, "\"a\\u0000b\"", true},
        {{.type = TW_STRING, .min = TW_N(2), .max = TW_N(3)}, "\"äöü\"", true}, /* characters */
        {{.type = TW_STRING, .min = TW_N(2), .max = TW_N(3)}, "\"äöüß\"", false},
        {{.type = TW_STRING, .min = TW_N(2), .max = TW_N(3)}, "\"ä\"", false},
        {{.type = TW_INTEGER}, "-9223372036854775808", true},
        {{.type = TW_INTEGER}, "1.0", false},
        {{.type = TW_INTEGER}, "1e2", false},
        {{.type = TW_INTEGER}, "18446744073709551615", false},
        {{.type = TW_INTEGER, .min = TW_N(0)}, "-1", false},
        {{.type = TW_INTEGER, .min = TW_N(0)}, "0", true},
        {{.type = TW_INTEGER, .min = {0, 0}}, "-1", true}, /* a plain 0 is no bound */
        {{.type = TW_INTEGER, .max = TW_N(10)}, "11", false},
        {{.type = TW_DECIMAL}, "12.30", true},
        {{.type = TW_DECIMAL}, "\"12.30\"", false},
        {{.type = TW_DECIMAL, .min = TW_N(0)}, "-0.01", false},
        {{.type = TW_DECIMAL, .min = TW_N(0)}, "-0", true},
        {{.type = TW_DECIMAL, .max = TW_N(1)}, "1.000000000000000000001", false},
        {{.type = TW_DECIMAL, .max = TW_N(1)}, "1.000", true},
        {{.type = TW_DECIMAL, .max = TW_N(1)}, "1e300", false},
        {{.type = TW_BOOLEAN}, "true", true},
        {{.type = TW_BOOLEAN}, "1", false},
        {{.type = TW_OBJECT}, "{}", true},
        {{.type = TW_OBJECT}, "[]", false},
        {{.type = TW_ARRAY, .min = TW_N(1), .max = TW_N(2)}, "[]", false},
        {{.type = TW_ARRAY, .min = TW_N(1), .max = TW_N(2)}, "[1,2]", true},
        {{.type = TW_ARRAY, .min = TW_N(1), .max = TW_N(2)}, "[1,2,3]", false},
        {{.type = TW_ARRAY, .items = TW_STRING}, "[\"a\",\"b\"]", true},
        {{.type = TW_ANY}, "[{}]", true},
        {{.type = TW_ANY}, NULL, false},
        {{.type = TW_STRING, .format = TW_CURRENCY}, "\"EUR\"", true},
        {{.type = TW_STRING, .format = TW_CURRENCY}, "\"eur\"", false},
        {{.type = TW_STRING, .format = TW_CURRENCY}, "\"EURO\"", false},
        {{.type = TW_STRING, .format = TW_EMAIL}, "\"user@example.com\"", true},
        {{.type = TW_STRING, .format = TW_EMAIL}, "\"user@\"", false},
        {{.type = TW_STRING, .format = TW_EMAIL}, "\"a b@example.com\"", false},
        {{.type = TW_STRING, .format = TW_EMAIL}, "\"a@b\\nc.d\"", false},
        {{.type = TW_STRING, .format = TW_DATE_TIME}, "\"2026-01-31T12:00:00.5Z\"", true},
        {{.type = TW_STRING, .format = TW_DATE_TIME}, "\"2026-02-30T12:00:00Z\"", false},
        {{.type = TW_STRING, .format = TW_UUID}, "\"0af76519-16cd-43dd-8448-eb211c80319c\"", true},
        {{.type = TW_STRING, .format = TW_UUID}, "\"0af7651916cd43dd8448eb211c80319c\"", false},
    };

    (void)state;
    for (size_t i = 0; i < TW_ARRAY_LEN(cases); i++) {
        struct tw_rule rule = cases[i].rule;
        char json[128];

        rule.field = "f";
        snprintf(json, sizeof(json), cases[i].value == NULL ? "{}" : "{\"f\":%s}", cases[i].value);
        check(&rule, 1, json, cases[i].good ? "" : "/f");
    }
}

static const struct tw_rule item[] = {
    {.field = "sku", .type = TW_STRING, .min = TW_N(1)},
    {.field = "a/b~c", .type = TW_INTEGER, .optional = 1},
};
static const struct tw_rule order[] = {
    {.field = "items", .type = TW_ARRAY, TW_ITEMS(item)},
    {.field = "who", .type = TW_OBJECT, TW_MEMBERS(item), .optional = 1},
    {.field = "tags", .type = TW_ARRAY, .items = TW_STRING, .optional = 1},
};

static void everything_wrong_is_told_at_its_pointer(void **state)
{
    (void)state;
    check(order, 3, "{\"items\":[{\"sku\":\"x\",\"more\":1}],\"unknown\":{}}", "");
    check(order, 3, "{\"items\":[{\"sku\":\"x\"},{\"sku\":\"\"},7,{}]}",
          "/items/1/sku /items/2 /items/3/sku");
    check(order, 3, "{\"items\":[],\"who\":{\"sku\":\"x\",\"a/b~c\":\"no\"},\"tags\":[\"a\",1]}",
          "/who/a~1b~0c /tags/1");
    check(order, 3, "{\"who\":7,\"tags\":{}}", "/items /who /tags");
}

static void a_mistake_in_a_table_is_told_to_its_author(void **state)
{
    static const struct {
        struct tw_rule rule;
        const char *why;
    } cases[] = {
        {{.type = TW_STRING}, "no field name"},
        {{.field = "f"}, "unknown type"},
        {{.field = "f", .type = 99}, "unknown type"},
        {{.field = "f", .type = TW_STRING, .format = 99}, "unknown format"},
        {{.field = "f", .type = TW_INTEGER, .format = TW_UUID}, "only strings have a format"},
        {{.field = "f", .type = TW_BOOLEAN, .min = TW_N(0)}, "this type has no bounds"},
        {{.field = "f", .type = TW_INTEGER, .min = TW_N(2), .max = TW_N(1)}, "min is above max"},
        {{.field = "f", .type = TW_STRING, .max = TW_N(-1)}, "a length cannot be negative"},
        {{.field = "f", .type = TW_STRING, TW_ITEMS(item)}, "only arrays and objects"},
        {{.field = "f", .type = TW_OBJECT, .items = TW_STRING}, "items goes with TW_ARRAY"},
        {{.field = "f", .type = TW_ARRAY, .rules = NULL, .n_rules = 3, .rule_size = 8},
         "size cannot be right"},
    };
    const struct tw_rule twice[] = {{.field = "f", .type = TW_ANY}, {.field = "f", .type = TW_ANY}};
    struct rules *rules;
    char *why = NULL;

    (void)state;
    for (size_t i = 0; i < TW_ARRAY_LEN(cases); i++) {
        assert_true(rules_compile(&cases[i].rule, 1, sizeof(struct tw_rule), &rules, &why) < 0);
        if (why == NULL || strstr(why, cases[i].why) == NULL)
            fail_msg("%s: %s", cases[i].why, why);
        free(why);
    }
    assert_true(rules_compile(twice, 2, sizeof(twice[0]), &rules, &why) < 0);
    assert_non_null(strstr(why, "has a rule already"));
    free(why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_and_bound),
        cmocka_unit_test(everything_wrong_is_told_at_its_pointer),
        cmocka_unit_test(a_mistake_in_a_table_is_told_to_its_author),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
