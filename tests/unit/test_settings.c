/* Every row of settings.def: its default, its bounds, its type; topics; the environment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "config/config.h"
#include "unit.h"

static char folder[64], file[96];
static const char *environment[8][2];

static char *from_environment(const char *name)
{
    for (size_t i = 0; i < TW_ARRAY_LEN(environment); i++)
        if (environment[i][0] != NULL && strcmp(environment[i][0], name) == 0)
            return (char *)(uintptr_t)environment[i][1];
    return NULL;
}

static void put(const char *name, const char *text)
{
    char path[160];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int setup(void **state)
{
    char topics[96];

    (void)state;
    strcpy(folder, "/tmp/taskwire-settings-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(topics, sizeof(topics), "%s/topics.d", folder);
    mkdir(topics, 0700);
    snprintf(file, sizeof(file), "%s/t.yaml", folder);
    return 0;
}

static int teardown(void **state)
{
    char command[96];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

/* Loads `text`; returns the report's text (heap), "" when there is none. */
static char *load(const char *text, struct config **ret)
{
    struct config_report report = {0};
    struct config *config = NULL;
    char *said;

    put("t.yaml", text);
    config_load(file, from_environment, &config, &report);
    said = strdup(report.text.len > 0 ? report.text.data : "");
    config_report_done(&report);
    if (ret != NULL)
        *ret = config;
    else
        config_free(config);
    return said;
}

static void expect(const char *text, const char *said_piece)
{
    char *said = load(text, NULL);

    if (said_piece == NULL ? said[0] != '\0' : strstr(said, said_piece) == NULL)
        fail_msg("%s: said \"%s\", expected \"%s\"", text, said,
                 said_piece == NULL ? "nothing" : said_piece);
    free(said);
}

#define AUTH "auth: {mode: none}\n"

static void every_bound_of_every_setting_holds(void **state)
{
#define MS NS_PER_MS
#define S NS_PER_S
#define KIB INT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define SETTING(section, key, type, field, default, min, max, help)                                \
    {#section, #key, #type, (int64_t)(min), (int64_t)(max)},
    static const struct {
        const char *section, *key, *type;
        int64_t min, max;
    } rows[] = {
#include "config/settings.def"
    };
    char text[256], piece[64];

    (void)state;
    for (size_t i = 0; i < TW_ARRAY_LEN(rows); i++) {
        const char *unit = strcmp(rows[i].type, "DURATION") == 0 ? "ns" : "";
        bool number = strcmp(rows[i].type, "INT") == 0 || strcmp(rows[i].type, "SIZE") == 0;

        if (strcmp(rows[i].section, "auth") == 0)
            continue;
        snprintf(piece, sizeof(piece), "t.yaml:2:%zu: %s.%s: ", strlen(rows[i].section) +
                 strlen(rows[i].key) + 6, rows[i].section, rows[i].key);
        snprintf(text, sizeof(text), AUTH "%s: {%s: {a: 1}}\n", rows[i].section, rows[i].key);
        expect(text, piece);
        if (!number && unit[0] == '\0')
            continue;
        snprintf(text, sizeof(text), AUTH "%s: {%s: some}\n", rows[i].section, rows[i].key);
        expect(text, piece);
        if (number) {
            snprintf(text, sizeof(text), AUTH "%s: {%s: %lld}\n", rows[i].section, rows[i].key,
                     (long long)rows[i].max + 1);
            expect(text, piece);
            snprintf(text, sizeof(text), AUTH "%s: {%s: %lld}\n", rows[i].section, rows[i].key,
                     (long long)rows[i].max);
            expect(text, NULL);
            snprintf(text, sizeof(text), AUTH "%s: {%s: %lld}\n", rows[i].section, rows[i].key,
                     (long long)rows[i].min - 1);
            expect(text, piece);
        } else {
            snprintf(text, sizeof(text), AUTH "%s: {%s: %llds}\n", rows[i].section, rows[i].key,
                     (long long)(rows[i].max / NS_PER_S) + 1);
            expect(text, piece);
            snprintf(text, sizeof(text), AUTH "%s: {%s: 10}\n", rows[i].section, rows[i].key);
            expect(text, piece); /* a duration has a unit */
        }
    }
}

static void defaults_are_those_of_the_reference(void **state)
{
    struct config *c;
    char *said = load(AUTH, &c);

    (void)state;
    assert_string_equal(said, "");
    assert_string_equal(c->kafka_brokers.items[0], "localhost:9092");
    assert_string_equal(c->kafka_client_id, "message-system-service");
    assert_string_equal(c->kafka_group_id, "message-system-group");
    assert_string_equal(c->kafka_reply_topic, "message-system-group.replies");
    assert_int_equal(c->http_port, 3000);
    assert_int_equal(c->mode, MODE_DEVELOPMENT);
    assert_string_equal(c->http_listen, "127.0.0.1"); /* auth.mode none */
    assert_int_equal(c->limit_body, 1 << 20);
    assert_int_equal(c->limit_result_ttl, 600 * NS_PER_S);
    config_free(c);
    free(said);
}

static void the_environment_overrides(void **state)
{
    static const char *const variables[][2] = {
        {"KAFKA_BROKERS", "a:1, b:2"}, {"KAFKA_CLIENT_ID", "me"}, {"KAFKA_GROUP_ID", "us"},
        {"PORT", "8080"}, {"HOSTNAME", "pod-7"}, {"NODE_ENV", "production"}, {"EMPTY", ""},
    };
    struct config *c;
    char *said;

    (void)state;
    memcpy(environment, variables, sizeof(variables));
    said = load(AUTH "http: {port: 1}\nkafka: {client_id: \"${EMPTY:-x}\"}\n", &c);
    assert_non_null(c);
    assert_int_equal(c->kafka_brokers.count, 2);
    assert_string_equal(c->kafka_brokers.items[1], "b:2");
    assert_string_equal(c->kafka_client_id, "me");
    assert_string_equal(c->kafka_reply_topic, "us.replies");
    assert_int_equal(c->http_port, 8080);
    assert_string_equal(c->hostname, "pod-7");
    assert_int_equal(c->mode, MODE_PRODUCTION);
    config_free(c);
    free(said);
    memset(environment, 0, sizeof(environment));
}

static void variables_are_values_and_never_structure(void **state)
{
    struct config *c;
    char *said;

    (void)state;
    environment[0][0] = "EVIL";
    environment[0][1] = "x\"}\nhttp: {port: 1}\n#";
    said = load(AUTH "kafka: {client_id: \"${EVIL}\"}\n", &c);
    assert_string_equal(said, "");
    assert_string_equal(c->kafka_client_id, environment[0][1]);
    assert_int_equal(c->http_port, 3000);
    config_free(c);
    free(said);
    said = load(AUTH "kafka: {client_id: \"a$$b${NONE:-c}d\"}\n", &c);
    assert_string_equal(c->kafka_client_id, "a$bcd");
    config_free(c);
    free(said);
    expect(AUTH "kafka: {client_id: \"${NONE}\"}\n", "t.yaml:2:20: ");
    expect(AUTH "kafka: {client_id: \"${NONE\"}\n", "t.yaml:2:20: ");
    memset(environment, 0, sizeof(environment));
}

static void topics_are_read_and_checked_together(void **state)
{
    struct config *c;
    char *said;

    (void)state;
    put("topics.d/a.yaml", "topic: A\nretry: {retries: 2, initialRetryTime: 250, multiplier: 1.5, "
        "maxRetryTime: 2s}\nordering: partition\nevents: {channel: auth}\ntimeout: 5s\n");
    put("topics.d/b.txt", "ignored: because its name ends in neither .yaml nor .yml\n");
    said = load(AUTH, &c);
    assert_string_equal(said, "");
    assert_int_equal(c->n_topics, 1);
    assert_int_equal(c->topics[0].retry.initial, 250 * NS_PER_MS);
    assert_int_equal(c->topics[0].retry.max, 2 * NS_PER_S);
    assert_true(c->topics[0].retry.multiplier > 1.49 && c->topics[0].retry.multiplier < 1.51);
    assert_int_equal(c->topics[0].ordering, ORDERING_PARTITION);
    assert_int_equal(c->topics[0].partitions, 4);
    assert_true(c->topics[0].create);
    assert_string_equal(c->topics[0].kafka_topic, "A");
    config_free(c);
    free(said);

    put("topics.d/c.yaml", "topic: C\nkafka_topic: A\n");
    expect(AUTH, "topics.d/c.yaml");
    put("topics.d/c.yaml", "topic: C\nkafka_topic: message-system-group.replies\n");
    expect(AUTH, "topics.d/c.yaml:");
    put("topics.d/c.yaml", "topic: C\npartitons: 4\n");
    expect(AUTH, "topics.d/c.yaml:2:1: unknown key \"partitons\" in a topic; did you mean \"partitions\"?");
    put("topics.d/c.yaml", "topic: bad name\n");
    expect(AUTH, "topics.d/c.yaml:1:8: ");
    put("topics.d/c.yaml", "topic: C\ncontract: {}\n");
    expect(AUTH, "not yet supported");
    put("topics.d/c.yaml", "topic: C\nretry: {multiplier: 0.5}\n");
    expect(AUTH, "topics.d/c.yaml:2:21: ");
    put("topics.d/c.yaml", "handler: x\n");
    expect(AUTH, "topics.d/c.yaml");
    put("topics.d/c.yaml", "topic: C\nroute: /kafka/health\n");
    expect(AUTH, "topics.d/c.yaml:2:8: ");
}

static void what_taskwire_owns_cannot_be_passed_through(void **state)
{
    (void)state;
    put("topics.d/c.yaml", "topic: C\n");
    expect(AUTH "kafka: {properties: {acks: 1}}\n", "acks is taskwire's to set");
    expect(AUTH "kafka: {properties: {error_cb: x}}\n", "error_cb is not text");
    expect(AUTH "kafka: {properties: {security.protocol: SSL}}\n", NULL);
    expect(AUTH "kafka: {session_timeout: 3s, heartbeat_interval: 2s}\n", "heartbeat_interval");
    expect("http: {port: 1}\n", "auth.mode: is required");
    expect(AUTH "http: {listen: 0.0.0.0}\n", "warning: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bound_of_every_setting_holds),
        cmocka_unit_test(defaults_are_those_of_the_reference),
        cmocka_unit_test(the_environment_overrides),
        cmocka_unit_test(variables_are_values_and_never_structure),
        cmocka_unit_test(topics_are_read_and_checked_together),
        cmocka_unit_test(what_taskwire_owns_cannot_be_passed_through),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
