/* The worker's half of the orchestrator: what is done with a record, and when its offset moves. */
#include "base/util.h"
#include "world.h"

static const struct bus_header asks[] = {{WIRE_CORRELATION_ID, "a\0b", 3},
                                         {WIRE_REPLY_TOPIC, "peer.reply", 10},
                                         {WIRE_REPLY_PARTITION, "2", 1},
                                         {0}};

static void a_reply_echoes_and_the_offset_waits_for_it(void **state)
{
    struct world *w = *state;
    const struct sent *s = &w->sent[0];

    w->does = (struct handlers_result){.result = "{\"n\":1}", .result_len = 7};
    world_record(w, 10, "{\"id\":\"i\"}", asks);
    assert_int_equal(w->runs, 1);
    assert_int_equal(w->n_sent, 1);
    assert_string_equal(s->topic, "peer.reply");
    assert_int_equal(s->partition, 2);
    assert_int_equal(sent_header(s, WIRE_CORRELATION_ID)->len, 3);
    assert_memory_equal(sent_header(s, WIRE_CORRELATION_ID)->value, "a\0b", 3);
    assert_memory_equal(sent_header(s, WIRE_OUTCOME)->value, "ok", 2);
    assert_memory_equal(sent_header(s, WIRE_NEST_DISPOSED)->value, "\0", 1);
    assert_null(sent_header(s, WIRE_NEST_ERROR));
    assert_non_null(strstr(s->record->value, "\"result\":{\"n\":1}"));
    assert_int_equal(world_committed(w), 10);
    world_deliver(w, 0, BUS_DELIVERED);
    assert_int_equal(world_committed(w), 11);
}

static void an_event_is_handled_and_not_answered(void **state)
{
    static const struct bus_header no_topic[] = {{WIRE_CORRELATION_ID, "c", 1}, {0}};
    static const struct bus_header refused[] = {{WIRE_CORRELATION_ID, "c", 1},
                                                {WIRE_REPLY_TOPIC, "T", 1}, {0}};
    static const struct bus_header strange[] = {{WIRE_CORRELATION_ID, "c", 1},
                                                {WIRE_REPLY_TOPIC, "../x.reply", 10}, {0}};
    struct world *w = *state;

    world_record(w, 0, "{}", NULL);
    world_record(w, 1, "{}", no_topic);
    world_record(w, 2, "{}", refused);
    world_record(w, 3, "{}", strange);
    assert_int_equal(w->runs, 4);
    assert_int_equal(w->n_sent, 0);
    assert_int_equal(world_count(w, METRIC_REPLY_TOPIC_REFUSED), 2);
    assert_int_equal(world_committed(w), 4);
}

static void what_breaks_the_contract_is_refused_without_a_run(void **state)
{
    static const char *const values[] = {"not json", "[1]", "{\"id\":7}", "{\"topic\":\"OTHER\"}", NULL};
    struct world *w = *state;

    for (size_t i = 0; i < TW_ARRAY_LEN(values); i++) {
        world_record(w, (int64_t)i, values[i], asks);
        assert_memory_equal(sent_header(&w->sent[i], WIRE_OUTCOME)->value, "reject", 6);
        assert_non_null(sent_header(&w->sent[i], WIRE_NEST_ERROR));
        world_deliver(w, i, BUS_DELIVERED);
    }
    assert_int_equal(w->runs, 0);
    assert_int_equal(world_committed(w), TW_ARRAY_LEN(values));
}

static void assert_letter(const struct sent *s, const char *code, const char *error)
{
    const struct bus_header *c = sent_header(s, "kafka_dlt-exception-fqcn");
    const struct bus_header *e = sent_header(s, "kafka_dlt-exception-message");

    assert_string_equal(s->topic, "T-dlt");
    assert_int_equal(c->len, strlen(code));
    assert_memory_equal(c->value, code, c->len);
    assert_int_equal(e->len, strlen(error));
    assert_memory_equal(e->value, error, e->len);
}

static void a_dead_letter_is_the_record_and_its_cause(void **state)
{
    static const struct bus_header headers[] = {
        {"x", "1", 1}, {"kafka_dlt-original-topic", "older", 5}, {0}};
    struct world *w = *state;
    const struct sent *s = &w->sent[0];

    w->does = (struct handlers_result){.outcome = OUTCOME_FAIL, .error = "no disk"};
    world_record(w, 258, "{\"id\":\"i\"}", headers);
    assert_int_equal(w->n_sent, 1);
    assert_letter(s, "handler.failed", "no disk");
    assert_int_equal(s->partition, 0);
    assert_string_equal(s->record->value, "{\"id\":\"i\"}");
    assert_memory_equal(sent_header(s, "x")->value, "1", 1);
    assert_int_equal(s->record->n_headers, 9); /* the older cause is not there twice */
    assert_memory_equal(sent_header(s, "kafka_dlt-original-topic")->value, "T", 1);
    assert_memory_equal(sent_header(s, "kafka_dlt-original-partition")->value, "\0\0\0\0", 4);
    assert_memory_equal(sent_header(s, "kafka_dlt-original-offset")->value, "\0\0\0\0\0\0\1\2", 8);
    assert_int_equal(sent_header(s, "kafka_dlt-original-timestamp")->len, 8);
    assert_memory_equal(sent_header(s, "kafka_dlt-original-timestamp-type")->value, "CreateTime", 10);
    assert_memory_equal(sent_header(s, "kafka_dlt-original-consumer-group")->value, "group", 5);
    assert_int_equal(world_committed(w), 258);
    world_deliver(w, 0, BUS_DELIVERED);
    assert_int_equal(world_committed(w), 259);
    assert_int_equal(world_count(w, METRIC_DEAD_LETTERS), 1);
}

static void who_waits_is_answered_once_the_dead_letter_is_there(void **state)
{
    struct world *w = *state;

    w->does = (struct handlers_result){.outcome = OUTCOME_FAIL, .error = "no disk"};
    world_record(w, 0, "{}", asks);
    assert_letter(&w->sent[0], "handler.failed", "no disk");
    assert_int_equal(w->n_sent, 1);
    world_deliver(w, 0, BUS_DELIVERED);
    assert_string_equal(w->sent[1].topic, "peer.reply");
    world_deliver(w, 1, BUS_DELIVERED);
    assert_int_equal(world_committed(w), 1);
    w->does = (struct handlers_result){.outcome = OUTCOME_REJECT, .error = "no"};
    world_record(w, 1, "{}", asks); /* a rejection that is answered is no dead letter */
    assert_string_equal(w->sent[2].topic, "peer.reply");
    world_deliver(w, 2, BUS_DELIVERED);
    world_record(w, 2, "{}", NULL); /* one that nobody hears of is */
    assert_letter(&w->sent[3], "handler.rejected", "no");
    world_deliver(w, 3, BUS_DELIVERED);
    world_record(w, 3, "[]", NULL);
    assert_memory_equal(sent_header(&w->sent[4], "kafka_dlt-exception-fqcn")->value,
                        "contract.invalid", 16);
}

static void a_record_is_not_passed_over_while_its_dead_letter_cannot_be_written(void **state)
{
    struct world *w = *state;

    w->does = (struct handlers_result){.outcome = OUTCOME_FAIL, .error = "no disk"};
    world_record(w, 0, "{}", NULL);
    world_deliver(w, 0, BUS_IMPOSSIBLE); /* perhaps only that partition is not there */
    assert_int_equal(w->sent[1].partition, -1);
    for (size_t i = 1; i < 20; i++) {
        world_deliver(w, i, i % 2 ? BUS_IMPOSSIBLE : BUS_NOT_SENT);
        assert_int_equal(w->n_sent, i + 1);
        w->now += NS_PER_S;
        orchestrator_tick(w->o, w->now);
        assert_int_equal(w->n_sent, i + 2);
        assert_int_equal(world_committed(w), i == 1 ? 0 : -1);
    }
    assert_int_equal(world_count(w, METRIC_DEAD_LETTERS_FAILED), 20);
    world_deliver(w, 20, BUS_DELIVERED);
    assert_int_equal(world_committed(w), 1);
}

static void a_dead_letter_that_is_too_large_is_cut(void **state)
{
    struct world *w = *state;

    w->does = (struct handlers_result){.outcome = OUTCOME_FAIL, .error = "no disk"};
    world_record(w, 0, "{\"id\":\"big\"}", NULL);
    world_deliver(w, 0, BUS_TOO_LARGE);
    assert_null(sent_header(&w->sent[1], "kafka_dlt-exception-message"));
    assert_string_equal(w->sent[1].record->value, "{\"id\":\"big\"}");
    world_deliver(w, 1, BUS_TOO_LARGE);
    assert_null(w->sent[2].record->value); /* where it stands is in the headers */
    assert_int_equal(sent_header(&w->sent[2], "kafka_dlt-original-offset")->len, 8);
    assert_int_equal(world_committed(w), 0);
    world_deliver(w, 2, BUS_DELIVERED);
    assert_int_equal(world_committed(w), 1);
}

static void a_reply_too_large_becomes_a_small_error(void **state)
{
    struct world *w = *state;

    world_record(w, 0, "{\"id\":\"big\"}", asks);
    world_deliver(w, 0, BUS_TOO_LARGE);
    assert_int_equal(w->n_sent, 2);
    assert_memory_equal(sent_header(&w->sent[1], WIRE_OUTCOME)->value, "fail", 4);
    assert_non_null(strstr(w->sent[1].record->value, "too large"));
    assert_int_equal(world_committed(w), 0);
    world_deliver(w, 1, BUS_TOO_LARGE); /* not even that: a dead letter, and the partition goes on */
    assert_int_equal(world_count(w, METRIC_REPLIES_UNDELIVERED), 1);
    assert_letter(&w->sent[2], "reply.undeliverable", "the test says so");
    world_deliver(w, 2, BUS_DELIVERED);
    assert_int_equal(world_committed(w), 1);
}

static void a_reply_is_sent_again_while_that_may_help(void **state)
{
    struct world *w = *state;

    world_record(w, 0, "{}", asks);
    orchestrator_on_bus(w->o, false);
    for (size_t i = 0; i < 20; i++) { /* while no broker is there tries do not count */
        world_deliver(w, i, BUS_NOT_SENT);
        assert_int_equal(w->n_sent, i + 1);
        w->now += NS_PER_S;
        orchestrator_tick(w->o, w->now);
        assert_int_equal(w->n_sent, i + 2);
    }
    orchestrator_on_bus(w->o, true);
    assert_int_equal(world_committed(w), 0);
    world_deliver(w, 20, BUS_DELIVERED);
    assert_int_equal(world_committed(w), 1);
    world_record(w, 1, "{}", asks);
    world_deliver(w, 21, BUS_IMPOSSIBLE); /* no such topic: nothing holds a partition for ever */
    world_deliver(w, 22, BUS_IMPOSSIBLE); /* nor another partition of it */
    world_deliver(w, 23, BUS_DELIVERED);  /* the dead letter */
    assert_int_equal(world_committed(w), 2);
}

static void further_tasks_are_acknowledged_before_the_reply(void **state)
{
    BUF_CLEANUP struct buf *further = buf_new("{\"key\":\"k9\"}", 12);
    struct handlers_publication publications[] = {{.topic = "PEER", .task = further},
                                                  {.topic = "PEER", .key = "own", .key_len = 3,
                                                   .task = further}};
    struct world *w = *state;

    w->does = (struct handlers_result){.publications = publications, .n_publications = 2};
    world_record(w, 0, "{}", asks);
    assert_int_equal(w->n_sent, 2);
    assert_string_equal(w->sent[0].topic, "PEER");
    assert_memory_equal(w->sent[0].record->key, "k9", 2);
    assert_memory_equal(w->sent[1].record->key, "own", 3);
    world_deliver(w, 1, BUS_DELIVERED);
    assert_int_equal(w->n_sent, 2);
    world_deliver(w, 0, BUS_DELIVERED);
    assert_int_equal(w->n_sent, 3);
    assert_memory_equal(sent_header(&w->sent[2], WIRE_OUTCOME)->value, "ok", 2);
    world_deliver(w, 2, BUS_DELIVERED);
    assert_int_equal(world_committed(w), 1);

    world_record(w, 1, "{}", asks); /* one that fails makes the task fail */
    world_deliver(w, 3, BUS_NOT_SENT);
    world_deliver(w, 4, BUS_DELIVERED);
    assert_letter(&w->sent[5], "publish.failed", "a further task could not be sent");
    world_deliver(w, 5, BUS_DELIVERED);
    assert_memory_equal(sent_header(&w->sent[6], WIRE_OUTCOME)->value, "fail", 4);
    assert_non_null(strstr(w->sent[6].record->value, "further task"));
}

static void errors_of_handlers_are_told(void **state)
{
    struct violations *v = violations_new();
    struct world *w = *state;

    violations_add(v, "/a", "is wrong");
    w->does = (struct handlers_result){.outcome = OUTCOME_REJECT, .violations = v};
    world_record(w, 0, "{}", asks);
    assert_non_null(strstr(w->sent[0].record->value,
                           "\"errors\":[{\"pointer\":\"/a\",\"detail\":\"is wrong\"}]"));
    w->does = (struct handlers_result){.outcome = OUTCOME_FAIL, .error = "no disk"};
    world_record(w, 1, "{}", asks);
    world_deliver(w, 1, BUS_DELIVERED);
    assert_memory_equal(sent_header(&w->sent[2], WIRE_OUTCOME)->value, "fail", 4);
    assert_non_null(strstr(w->sent[2].record->value, "\"error\":\"no disk\""));
    violations_free(v);
}

static void nothing_is_started_once_stopped(void **state)
{
    struct world *w = *state;

    w->does.outcome = OUTCOME_EXPIRED; /* runs until the test ends it */
    world_record(w, 0, "{}", NULL);
    orchestrator_stop_work(w->o);
    world_record(w, 1, "{}", NULL);
    assert_int_equal(w->runs, 1);
    assert_false(orchestrator_wait_worked(w->o, 0));
    world_ends(w, w->running, OUTCOME_OK);
    assert_true(orchestrator_wait_worked(w->o, 0));
    assert_int_equal(world_committed(w), 1);
}

static void a_repeated_header_counts_as_written_last(void **state)
{
    static const struct bus_header twice[] = {{WIRE_CORRELATION_ID, "1", 1},
                                              {WIRE_REPLY_TOPIC, "T", 1},
                                              {WIRE_CORRELATION_ID, "2", 1},
                                              {WIRE_REPLY_TOPIC, "x.reply", 7},
                                              {"__TypeId__", NULL, 0},
                                              {0}};
    struct world *w = *state;

    world_record(w, 0, "{}", twice);
    assert_string_equal(w->sent[0].topic, "x.reply");
    assert_memory_equal(sent_header(&w->sent[0], WIRE_CORRELATION_ID)->value, "2", 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_reply_echoes_and_the_offset_waits_for_it),
        TEST(an_event_is_handled_and_not_answered),
        TEST(what_breaks_the_contract_is_refused_without_a_run),
        TEST(a_dead_letter_is_the_record_and_its_cause),
        TEST(who_waits_is_answered_once_the_dead_letter_is_there),
        TEST(a_record_is_not_passed_over_while_its_dead_letter_cannot_be_written),
        TEST(a_dead_letter_that_is_too_large_is_cut),
        TEST(a_reply_too_large_becomes_a_small_error),
        TEST(a_reply_is_sent_again_while_that_may_help),
        TEST(further_tasks_are_acknowledged_before_the_reply),
        TEST(errors_of_handlers_are_told),
        TEST(nothing_is_started_once_stopped),
        TEST(a_repeated_header_counts_as_written_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
