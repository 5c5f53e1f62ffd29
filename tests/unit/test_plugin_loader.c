/* What the loader takes, of whatever age, and the one sentence with which it refuses the rest. */
#include "base/util.h"
#include "contract/violations.h"
#include "plugin/registry.h"
#include "plugins.h"

static int no_topics(void *ctx, const char *topic, const char *task, size_t len, struct buf **ret,
                     char **ret_why)
{
    (void)ctx, (void)topic, (void)task, (void)len, (void)ret, (void)ret_why;
    return -1;
}

static struct registry *registry(void)
{
    return registry_new(&(struct registry_host){.prepare = no_topics});
}

#define PRELUDE "#include <taskwire/plugin.h>\n"
#define HANDLE "static int handle(struct tw_call *c, void *s) { (void)s; return " \
               "tw_call_reply_string(c, \"greeting\", tw_call_string(c, \"/name\")); }\n"
#define RULES "static const struct tw_rule rules[] = {{.field = \"name\", .type = TW_STRING, " \
              ".min = TW_N(1)}, {.field = \"n\", .type = TW_INTEGER, .max = TW_N(3), .optional = 1}};\n"
#define HANDLERS "static const struct tw_handler handlers[] = {{.name = \"one\", .handle = handle, " \
                 "TW_RULES(rules)}, {.name = \"two\", .handle = handle, TW_RULES(rules)}};\n"
#define GOOD PRELUDE HANDLE RULES HANDLERS
#define PLUGIN "TW_PLUGIN(.name = \"p\", .version = \"1\", TW_HANDLERS(handlers));\n"

struct seen {
    enum outcome outcome;
    char result[100];
};

static void seen(void *ctx, const struct run_result *r)
{
    struct seen *s = ctx;

    s->outcome = r->outcome;
    snprintf(s->result, sizeof(s->result), "%.*s", (int)r->result_len,
             r->result == NULL ? "" : r->result);
}

static struct seen run(const struct handler *h, const char *task)
{
    BUF_CLEANUP struct buf *text = buf_new(task, strlen(task));
    struct run_request request = {.id = "i", .topic = "T"};
    struct json_error error;
    struct seen s = {.outcome = OUTCOME_EXPIRED};

    assert_int_equal(json_doc_parse(text, 32, &request.doc, &error), 0);
    handler_run(h, &request, seen, &s);
    return s;
}

static void plugins_of_any_header_load_and_run(void **state)
{
    static const char *const names[] = {"now", "older", "newer"};

    (void)state;
    for (int i = HEADER_NOW; i <= HEADER_NEWER; i++) {
        struct registry *r = registry();
        const struct handler *two;
        char path[160], *why = NULL;
        struct seen s;

        plugins_build(names[i], (enum header)i, GOOD PLUGIN, path);
        assert_int_equal(registry_load(r, path, NULL, 0, &why), 0);
        assert_int_equal(registry_init(r, &why), 0);
        assert_non_null(registry_find(r, "one"));
        two = registry_find(r, "two"); /* strides by the plugin's own element size */
        assert_non_null(two);
        s = run(two, "{\"name\":\"Ann\",\"n\":3}");
        assert_int_equal(s.outcome, OUTCOME_OK);
        assert_string_equal(s.result, "{\"greeting\":\"Ann\"}");
        assert_int_equal(run(two, "{\"name\":\"Ann\",\"n\":4}").outcome, OUTCOME_REJECT);
        assert_int_equal(run(two, "{\"name\":\"\"}").outcome, OUTCOME_REJECT);
        registry_free(r);
    }
}

static void what_does_not_fit_is_refused_in_one_sentence(void **state)
{
    static const struct {
        const char *name, *source, *why;
    } cases[] = {
        {"noabi", "int x;\n", "is not a taskwire plugin: the symbol tw_plugin_abi is missing"},
        {"abi", "#include <stdint.h>\nconst uint32_t tw_plugin_abi = 7;\n",
         "was built for plugin interface 7; this taskwired offers 1"},
        {"notable", "#include <stdint.h>\nconst uint32_t tw_plugin_abi = 1;\n",
         "the symbol tw_plugin is missing"},
        {"undefined", PRELUDE "int nowhere(void);\n" HANDLE RULES HANDLERS
                      "int use(void) { return nowhere(); }\n" PLUGIN, "undefined symbol: nowhere"},
        {"nohandlers", PRELUDE "TW_PLUGIN(.name = \"p\", .version = \"1\");\n",
         "its table of handlers cannot be right: 1 to 256 are expected"},
        {"noname", GOOD "TW_PLUGIN(.version = \"1\", TW_HANDLERS(handlers));\n",
         "has no name or no version"},
        {"badname", PRELUDE HANDLE "static const struct tw_handler handlers[] = {{.name = "
                    "\"Big Name\", .handle = handle}};\n" PLUGIN,
         "handler 0 has no name of [a-z0-9-]{1,64}"},
        {"nohandle", PRELUDE "static const struct tw_handler handlers[] = {{.name = \"x\"}};\n" PLUGIN,
         "handler x has no handle function"},
        {"twice", PRELUDE HANDLE "static const struct tw_handler handlers[] = {{.name = \"x\", "
                  ".handle = handle}, {.name = \"x\", .handle = handle}};\n" PLUGIN,
         "handler x is registered by "},
        {"rules", PRELUDE HANDLE "static const struct tw_rule rules[] = {{.field = \"a\", .type = 99}};\n"
                  "static const struct tw_handler handlers[] = {{.name = \"x\", .handle = handle, "
                  "TW_RULES(rules)}};\n" PLUGIN, "handler x: "},
        {"size", PRELUDE HANDLE "static const struct tw_handler handlers[] = {{.name = \"x\", "
                 ".handle = handle}};\nTW_PLUGIN(.size = 8, .name = \"p\", .version = \"1\", "
                 "TW_HANDLERS(handlers));\n", "its tw_plugin has size 8; "},
        {"elements", PRELUDE HANDLE RULES HANDLERS "TW_PLUGIN(.name = \"p\", .version = \"1\", "
                     ".handlers = handlers, .n_handlers = 2, .handler_size = 3);\n",
         "its table of handlers cannot be right"},
    };

    (void)state;
    for (size_t i = 0; i < TW_ARRAY_LEN(cases); i++) {
        struct registry *r = registry();
        char path[160], *why = NULL;

        plugins_build(cases[i].name, HEADER_NOW, cases[i].source, path);
        assert_true(registry_load(r, path, NULL, 0, &why) < 0);
        if (why == NULL || strstr(why, cases[i].why) == NULL || strncmp(why, path, strlen(path)) != 0 ||
            strchr(why, '\n') != NULL)
            fail_msg("%s: %s", cases[i].name, why == NULL ? "no reason" : why);
        free(why);
        registry_free(r);
    }
}

static void refused(const char *path, const char *expected)
{
    struct registry *r = registry();
    char *why = NULL;

    assert_true(registry_load(r, path, NULL, 0, &why) < 0);
    if (why == NULL || strstr(why, expected) == NULL)
        fail_msg("%s: %s", path, why == NULL ? "no reason" : why);
    free(why);
    registry_free(r);
}

static void files_that_others_could_change_are_refused(void **state)
{
    char path[160], folder[160], moved[200];

    (void)state;
    plugins_build("perm", HEADER_NOW, GOOD PLUGIN, path);
    chmod(path, 0722);
    refused(path, "has mode 0722; writable only by its owner is expected");
    chmod(path, 0700);
    snprintf(folder, sizeof(folder), "%s/open", plugins_folder);
    mkdir(folder, 0700);
    snprintf(moved, sizeof(moved), "%s/perm.so", folder);
    assert_int_equal(rename(path, moved), 0);
    chmod(folder, 01777);
    refused(moved, "its folder has mode 1777; writable only by its owner is expected");
    refused("relative.so", "is a relative path; an absolute one is expected");
    refused("/nowhere/at-all.so", "cannot be opened: No such file or directory");
    refused(plugins_folder, "is no regular file");
    snprintf(path, sizeof(path), "%s/text.so", plugins_folder);
    plugins_write(path, "this is text\n");
    chmod(path, 0700);
    refused(path, "cannot be loaded: ");
}

static void a_name_that_another_plugin_has_is_refused(void **state)
{
    struct registry *r = registry();
    char first[160], second[160], *why = NULL;

    (void)state;
    plugins_build("first", HEADER_NOW, GOOD PLUGIN, first);
    plugins_build("second", HEADER_NOW, GOOD PLUGIN, second);
    assert_int_equal(registry_load(r, first, NULL, 0, &why), 0);
    assert_true(registry_load(r, second, NULL, 0, &why) < 0);
    assert_non_null(strstr(why, "handler one is registered by "));
    assert_non_null(strstr(why, first));
    free(why);
    registry_free(r);
}

/* init and fini leave their traces in files beside the plugin. */
#define TRACE(what) "static void trace(const char *s) { FILE *f = fopen(FOLDER \"/trace\", \"a\"); " \
                    "fputs(s, f); fclose(f); }\n" \
                    "static int init(struct tw_init *i, void **s) { (void)i; (void)s; " \
                    "trace(\"+" what "\"); return FAILS; }\n" \
                    "static void fini(void *s) { (void)s; trace(\"-" what "\"); }\n"

static void init_that_fails_ends_what_was_begun(void **state)
{
    struct registry *r = registry();
    char source[2048], path[160], *why = NULL, *trace;

    (void)state;
    for (int i = 0; i < 3; i++) {
        char name[8];

        snprintf(name, sizeof(name), "init%d", i);
        snprintf(source, sizeof(source),
                 "#include <stdio.h>\n#define FOLDER \"%s\"\n#define FAILS %d\n" PRELUDE HANDLE
                 TRACE("%d") "static const struct tw_handler handlers[] = {{.name = \"h%d\", "
                 ".handle = handle}};\nTW_PLUGIN(.name = \"p\", .version = \"1\", "
                 "TW_HANDLERS(handlers), .init = init, .fini = fini);\n",
                 plugins_folder, i == 2 ? 5 : 0, i, i, i);
        plugins_build(name, HEADER_NOW, source, path);
        assert_int_equal(registry_load(r, path, NULL, 0, &why), 0);
    }
    assert_true(registry_init(r, &why) < 0);
    assert_non_null(strstr(why, "init2.so: its init failed with 5"));
    free(why);
    registry_free(r);
    snprintf(path, sizeof(path), "%s/trace", plugins_folder);
    trace = plugins_read(path);
    assert_string_equal(trace, "+0+1+2-1-0");
    free(trace);
}

#define OPTIONS "static const struct tw_option options[] = {{.name = \"text\", .type = " \
                "TW_OPT_STRING, .default_text = \"none\"}, {.name = \"count\", .type = TW_OPT_INTEGER, " \
                ".default_number = 3, .min = TW_N(0), .max = TW_N(10)}, {.name = \"on\", .type = " \
                "TW_OPT_BOOLEAN}, {.name = \"wait\", .type = TW_OPT_DURATION, .default_number = 5}};\n" \
                "static int init(struct tw_init *i, void **s) { (void)s; tw_init_log(i, TW_LOG_INFO, " \
                "\"%s %lld %lld %lld\", tw_init_string(i, \"text\"), (long long)tw_init_integer(i, " \
                "\"count\"), (long long)tw_init_integer(i, \"on\"), (long long)tw_init_integer(i, " \
                "\"wait\")); return tw_init_string(i, \"count\") != NULL || " \
                "tw_init_integer(i, \"none\") != 0 || tw_init_integer(i, \"wait\") != WAIT; }\n"

static void options_are_typed(void **state)
{
    static const struct plugin_setting good[] = {{"wait", "300ms", "t.yaml:1:1"},
                                                 {"text", "some", "t.yaml:2:1"}};
    static const struct {
        struct plugin_setting setting;
        const char *why;
    } wrong[] = {
        {{"cuont", "1", "t.yaml:3:9"}, "t.yaml:3:9"},
        {{"count", "11", "t.yaml:4:9"}, "t.yaml:4:9"},
        {{"count", "many", "t.yaml:5:9"}, "t.yaml:5:9"},
        {{"on", "maybe", "t.yaml:6:9"}, "t.yaml:6:9"},
        {{"wait", "5", "t.yaml:7:9"}, "t.yaml:7:9"},
    };
    char path[160], *why = NULL;
    struct registry *r = registry();

    (void)state;
    plugins_build("options", HEADER_NOW, "#define WAIT 300000000\n" GOOD OPTIONS
                  "TW_PLUGIN(.name = \"p\", .version = \"1\", TW_HANDLERS(handlers), "
                  "TW_OPTIONS(options), .init = init);\n", path);
    assert_int_equal(registry_load(r, path, good, 2, &why), 0);
    assert_int_equal(registry_init(r, &why), 0);
    registry_free(r);
    for (size_t i = 0; i < TW_ARRAY_LEN(wrong); i++) {
        r = registry();
        assert_true(registry_load(r, path, &wrong[i].setting, 1, &why) < 0);
        if (why == NULL || strstr(why, wrong[i].why) == NULL)
            fail_msg("%s: %s", wrong[i].setting.name, why == NULL ? "no reason" : why);
        free(why);
        why = NULL;
        registry_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plugins_of_any_header_load_and_run),
        cmocka_unit_test(what_does_not_fit_is_refused_in_one_sentence),
        cmocka_unit_test(files_that_others_could_change_are_refused),
        cmocka_unit_test(a_name_that_another_plugin_has_is_refused),
        cmocka_unit_test(init_that_fails_ends_what_was_begun),
        cmocka_unit_test(options_are_typed),
    };

    return cmocka_run_group_tests(tests, plugins_setup, plugins_teardown);
}
