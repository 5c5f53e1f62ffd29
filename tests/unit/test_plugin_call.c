/* The functions that handlers call, from handlers that use them well and badly. */
#include <pthread.h>

#include "base/clock.h"
#include "base/util.h"
#include "contract/violations.h"
#include "plugin/registry.h"
#include "plugins.h"

/* One plugin, a handler a question; each writes what it saw into its reply. */
static const char source[] =
    "#include <pthread.h>\n#include <string.h>\n#include <taskwire/plugin.h>\n"
    "#define H(name) static int name(struct tw_call *c, void *s)\n"
    "#define N(name, expr) tw_call_reply_integer(c, name, (int64_t)(expr))\n"
    "H(readers) { int64_t i = 7; int b = 7; size_t n = 7; (void)s;\n"
    "  tw_call_reply_string(c, \"text\", tw_call_string(c, \"/a/%d/b~1c\", 1));\n"
    "  N(\"none\", tw_call_string(c, \"/n\") == NULL && tw_call_string(c, \"/none\") == NULL);\n"
    "  N(\"int\", tw_call_integer(c, &i, \"/n\") == 0 ? i : -99);\n"
    "  N(\"big\", tw_call_integer(c, &i, \"/big\"));\n"
    "  N(\"dec\", tw_call_decimal(c, 2, &i, \"/d\") == 0 ? i : -99);\n"
    "  N(\"dec1\", tw_call_decimal(c, 1, &i, \"/d\"));\n"
    "  N(\"dec19\", tw_call_decimal(c, 19, &i, \"/n\"));\n"
    "  N(\"untouched\", i);\n"
    "  N(\"bool\", tw_call_boolean(c, &b, \"/t\") == 0 ? b : -99);\n"
    "  N(\"nobool\", tw_call_boolean(c, &b, \"/n\"));\n"
    "  N(\"time\", tw_call_time(c, &i, \"/time\") == 0 ? i : -99);\n"
    "  N(\"count\", tw_call_count(c, \"/a\") * 10 + tw_call_count(c, \"/n\"));\n"
    "  N(\"has\", tw_call_has(c, \"/null\") * 10 + tw_call_has(c, \"/n\"));\n"
    "  N(\"nul\", tw_call_string_len(c, &n, \"/nul\") != NULL ? n : 0);\n"
    "  N(\"now\", tw_call_now(c)); N(\"json\", (tw_call_json(c, &n), n));\n"
    "  tw_call_reply_string(c, \"id\", tw_call_id(c));\n"
    "  return tw_call_reply_string(c, \"topic\", tw_call_topic(c)); }\n"
    "H(replies) { (void)s; tw_call_reply_decimal(c, \"d\", -1230, 2);\n"
    "  tw_call_reply_decimal(c, \"m\", INT64_MIN, 18); tw_call_reply_decimal(c, \"z\", 5, 3);\n"
    "  tw_call_reply_boolean(c, \"b\", 2); tw_call_reply_string(c, \"n\", NULL);\n"
    "  tw_call_reply_string(c, \"line\\n\", \"\\\"\\x01\"); return "
    "tw_call_reply_json(c, \"j\", \"[1, {}]\", 7); }\n"
    "H(sticky) { (void)s; tw_call_reply_json(c, \"j\", \"[1,\", 3); return "
    "tw_call_reply_integer(c, \"ok\", 1); }\n"
    "H(twice) { (void)s; N(\"a\", 1); return N(\"a\", 2); }\n"
    "H(scale) { (void)s; return tw_call_reply_decimal(c, \"a\", 1, 19); }\n"
    "H(lies) { (void)s; tw_call_reply_json(c, \"j\", \"nan\", 3); return TW_OK; }\n"
    "H(rejects) { (void)s; for (int i = 0; i < 150; i++) tw_call_reject(c, \"/a\", \"no %d\", i); "
    "return TW_REJECT; }\n"
    "H(silent) { (void)s; return TW_REJECT; }\n"
    "H(fails) { (void)s; tw_call_fail(c, \"first\"); return tw_call_fail(c, \"disk %d\", 7); }\n"
    "H(retries) { (void)s; return TW_RETRY; }\n"
    "H(garbage) { (void)s; return -5; }\n"
    "H(publishes) { (void)s; if (tw_call_publish(c, \"NO\", NULL, \"{}\", 2) != TW_FAIL) return TW_FAIL;\n"
    "  for (int i = 0; i < 100; i++) if (tw_call_publish(c, \"T\", \"k\", \"{}\", 2) != TW_OK) return TW_FAIL;\n"
    "  return tw_call_publish(c, \"T\", NULL, \"{}\", 2) == TW_FAIL ? TW_OK : TW_FAIL; }\n"
    "H(defers_at_once) { struct tw_deferred *d = tw_call_defer(c); (void)s;\n"
    "  if (tw_call_defer(c) != NULL) return TW_FAIL;\n"
    "  N(\"a\", 1); tw_deferred_finish(d, TW_OK); return TW_OK; }\n"
    "static pthread_t threads[256]; static int n_threads;\n"
    "static void *later(void *d) { struct tw_call *c = tw_deferred_call(d); N(\"late\", 1);\n"
    "  tw_deferred_finish(d, TW_OK); return NULL; }\n"
    "H(defers) { (void)s; return pthread_create(&threads[n_threads++], NULL, later, "
    "tw_call_defer(c)); }\n"
    "static void fini(void *s) { (void)s; while (n_threads > 0) pthread_join(threads[--n_threads], "
    "NULL); }\n"
    "H(bad_validate) { (void)s; return N(\"a\", 1) == TW_FAIL && tw_call_defer(c) == NULL && "
    "tw_call_publish(c, \"T\", NULL, \"{}\", 2) == TW_FAIL ? TW_OK : TW_FAIL; }\n"
    "H(no_validate) { (void)s; return TW_FAIL; }\n"
    "#define E(f) {.name = #f, .handle = f}\n"
    "static const struct tw_handler handlers[] = {E(readers), E(replies), E(sticky), E(twice), "
    "E(scale), E(lies), E(rejects), E(silent), E(fails), E(retries), E(garbage), E(publishes), "
    "{.name = \"defers-at-once\", .handle = defers_at_once}, E(defers), {.name = \"validated\", "
    ".handle = silent, .validate = bad_validate}, {.name = \"refused\", .handle = silent, "
    ".validate = no_validate}};\n"
    "TW_PLUGIN(.name = \"q\", .version = \"1\", TW_HANDLERS(handlers), .fini = fini);\n";

static struct registry *r;

static int prepare(void *ctx, const char *topic, const char *task, size_t len, struct buf **ret,
                   char **ret_why)
{
    (void)ctx;
    if (strcmp(topic, "T") == 0) {
        *ret = buf_new(task, len);
        return 0;
    }
    *ret_why = strdup("no such topic");
    return -1;
}

static int setup(void **state)
{
    char path[160], *why = NULL;

    plugins_setup(state);
    r = registry_new(&(struct registry_host){.prepare = prepare});
    plugins_build("q", HEADER_NOW, source, path);
    if (registry_load(r, path, NULL, 0, &why) < 0)
        fail_msg("%s", why);
    return registry_init(r, &why);
}

static int teardown(void **state)
{
    registry_free(r);
    return plugins_teardown(state);
}

struct told {
    pthread_mutex_t lock;
    pthread_cond_t done;
    int times;
    enum outcome outcome;
    bool retry;
    char error[100], result[1024];
    size_t violations, publications;
};

static void tell(void *ctx, const struct run_result *result)
{
    struct told *t = ctx;

    pthread_mutex_lock(&t->lock);
    t->times++;
    t->outcome = result->outcome;
    t->retry = result->retry;
    snprintf(t->error, sizeof(t->error), "%s", result->error == NULL ? "" : result->error);
    snprintf(t->result, sizeof(t->result), "%.*s", (int)result->result_len,
             result->result == NULL ? "" : result->result);
    t->violations = result->violations == NULL ? 0 : result->violations->total;
    t->publications = result->n_publications;
    pthread_cond_signal(&t->done);
    pthread_mutex_unlock(&t->lock);
}

static struct told run(const char *handler, const char *task)
{
    BUF_CLEANUP struct buf *text = buf_new(task, strlen(task));
    struct run_request request = {.id = "the-id", .topic = "TOPIC", .now = 1234567};
    struct told t = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    const struct handler *h = registry_find(r, handler);
    struct json_error error;

    assert_non_null(h);
    assert_int_equal(json_doc_parse(text, 32, &request.doc, &error), 0);
    handler_run(h, &request, tell, &t);
    pthread_mutex_lock(&t.lock);
    while (t.times == 0)
        pthread_cond_wait(&t.done, &t.lock);
    pthread_mutex_unlock(&t.lock);
    assert_int_equal(t.times, 1);
    return t;
}

static void tasks_are_read_exactly(void **state)
{
    struct told t = run("readers",
                        "{\"a\":[0,{\"b/c\":\"x\"}],\"n\":12,\"big\":18446744073709551615,\"d\":0.05,"
                        "\"t\":true,\"time\":\"1970-01-01T00:00:01Z\",\"null\":null,\"nul\":\"a\\u0000b\"}");

    (void)state;
    assert_int_equal(t.outcome, OUTCOME_OK);
    assert_string_equal(t.result,
                        "{\"text\":\"x\",\"none\":1,\"int\":12,\"big\":-1,\"dec\":5,\"dec1\":-1,"
                        "\"dec19\":-1,\"untouched\":5,\"bool\":1,\"nobool\":-1,\"time\":1000000000,"
                        "\"count\":20,\"has\":1,\"nul\":3,\"now\":1234567,\"json\":132,"
                        "\"id\":\"the-id\",\"topic\":\"TOPIC\"}");
}

static void replies_are_written_exactly(void **state)
{
    (void)state;
    assert_string_equal(run("replies", "{}").result,
                        "{\"d\":-12.30,\"m\":-9.223372036854775808,\"z\":0.005,\"b\":true,"
                        "\"n\":null,\"line\\n\":\"\\\"\\u0001\",\"j\":[1, {}]}");
}

static void mistakes_become_failures(void **state)
{
    static const struct {
        const char *handler, *error;
    } cases[] = {
        {"sticky", "the handler failed"}, {"twice", "the handler failed"},
        {"scale", "the handler failed"},  {"lies", "the handler's reply is malformed"},
        {"fails", "disk 7"},              {"garbage", "the handler failed"},
        {"retries", "the handler failed"},
    };

    (void)state;
    for (size_t i = 0; i < TW_ARRAY_LEN(cases); i++) {
        struct told t = run(cases[i].handler, "{}");
        bool fine = strcmp(t.error, cases[i].error) == 0 ||
                    strcmp(t.error, "the handler's reply is malformed") == 0;

        assert_int_equal(t.outcome, OUTCOME_FAIL);
        assert_int_equal(t.retry, strcmp(cases[i].handler, "retries") == 0);
        assert_string_equal(t.result, "");
        if (!fine)
            fail_msg("%s: %s", cases[i].handler, t.error);
    }
}

static void rejections_are_counted_and_kept_within_bounds(void **state)
{
    struct told t = run("rejects", "{}");

    (void)state;
    assert_int_equal(t.outcome, OUTCOME_REJECT);
    assert_int_equal(t.violations, 150);
    t = run("silent", "{}");
    assert_int_equal(t.outcome, OUTCOME_REJECT);
    assert_string_equal(t.error, "rejected by the handler");
}

static void publishing_has_a_bound_and_known_topics(void **state)
{
    struct told t = run("publishes", "{}");

    (void)state;
    assert_int_equal(t.outcome, OUTCOME_OK);
    assert_int_equal(t.publications, 100);
}

static void deferred_calls_end_once_before_or_after(void **state)
{
    (void)state;
    assert_string_equal(run("defers-at-once", "{}").result, "{\"a\":1}");
    for (int i = 0; i < 200; i++) /* both orders come up */
        assert_string_equal(run("defers", "{}").result, "{\"late\":1}");
}

static void validators_may_only_look(void **state)
{
    BUF_CLEANUP struct buf *text = buf_new("{}", 2);
    JSON_DOC_CLEANUP struct json_doc *doc = NULL;
    struct violations *v = violations_new();
    struct json_error error;

    (void)state;
    assert_int_equal(json_doc_parse(text, 32, &doc, &error), 0);
    assert_true(handler_validate(registry_find(r, "validated"), "i", "T", doc, 1, v));
    assert_false(handler_validate(registry_find(r, "refused"), "i", "T", doc, 1, v));
    assert_string_equal(v->items[0].detail, "refused by the handler");
    violations_free(v);
    assert_int_equal(run("refused", "{}").outcome, OUTCOME_REJECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_are_read_exactly),
        cmocka_unit_test(replies_are_written_exactly),
        cmocka_unit_test(mistakes_become_failures),
        cmocka_unit_test(rejections_are_counted_and_kept_within_bounds),
        cmocka_unit_test(publishing_has_a_bound_and_known_topics),
        cmocka_unit_test(deferred_calls_end_once_before_or_after),
        cmocka_unit_test(validators_may_only_look),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
