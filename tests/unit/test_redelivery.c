/* Records that may have been run before: asked for, replied again, counted, run alone, buried. */
#include "base/util.h"
#include "shared.h"

static const struct bus_header asks[] = {
    {WIRE_CORRELATION_ID, "01890000-0000-7000-8000-000000000001", 36},
    {WIRE_REPLY_TOPIC, "peer.reply", 10},
    {0}};

static void only_what_lies_below_the_end_is_asked_for(void **state)
{
    struct world *w = *state;

    orchestrator_on_end(w->o, 0, 0, 11);
    world_record(w, 10, "{}", NULL);
    assert_int_equal(shared.n_asked, 1);
    assert_null(shared.asked[0].a.correlation); /* an event: nobody waits for a result */
    assert_int_equal(shared.asked[0].a.offset, 10);
    world_record(w, 11, "{}", NULL);
    assert_int_equal(shared.n_asked, 1);
    assert_int_equal(w->runs, 2);
    assert_int_equal(w->redelivered, 1);
    assert_int_equal(shared.over, 1); /* its count is not needed any more */
    assert_int_equal(world_committed(w), 12);
}

static void a_stored_result_is_replied_again_and_not_run(void **state)
{
    struct world *w = *state;

    orchestrator_on_end(w->o, 0, 0, 100);
    shared.reply = "{\"id\":\"x\",\"status\":\"success\"}";
    world_record(w, 3, "{\"id\":\"x\"}", asks);
    assert_non_null(shared.asked[0].a.correlation);
    assert_int_equal(w->runs, 0);
    assert_int_equal(w->n_sent, 1);
    assert_string_equal(w->sent[0].topic, "peer.reply");
    assert_memory_equal(w->sent[0].record->value, shared.reply, strlen(shared.reply));
    assert_memory_equal(sent_header(&w->sent[0], WIRE_OUTCOME)->value, "ok", 2);
    assert_int_equal(world_committed(w), 3);
    world_deliver(w, 0, BUS_DELIVERED);
    assert_int_equal(world_committed(w), 4);
    assert_int_equal(world_count(w, METRIC_RECORDS_REPLAYED), 1);
}

static void while_the_store_is_away_it_is_run_and_marked(void **state)
{
    struct world *w = *state;

    shared.away = true;
    orchestrator_on_end(w->o, 0, 0, 100);
    world_record(w, 0, "{}", NULL);
    assert_int_equal(w->runs, 1);
    assert_int_equal(w->redelivered, 1);
    assert_int_equal(shared.over, 0);
}

static void suspects_run_one_at_a_time_and_are_counted_when_they_begin(void **state)
{
    struct world *w = *state;
    struct work *first;

    orchestrator_on_end(w->o, 0, 0, 100);
    shared.slow = true;
    w->does.outcome = OUTCOME_EXPIRED; /* runs until the test ends it */
    for (int i = 0; i < 3; i++)
        world_record(w, i, "{}", NULL);
    assert_int_equal(shared.n_asked, 3);
    for (int i = 0; i < 3; i++) /* each was begun once already, and did not end */
        shared_answer(i, STORE_NOT_COUNTED, 1, NULL);
    assert_int_equal(shared.n_asked, 4); /* one is asked again, to be counted */
    assert_int_equal(shared.asked[3].a.offset, 0);
    assert_int_equal(shared.asked[3].a.count_below, 3);
    shared_answer(3, STORE_COUNTED, 2, NULL);
    assert_int_equal(w->runs, 1);
    first = w->running;
    world_record(w, 100, "{}", NULL); /* a fresh one does not wait */
    assert_int_equal(w->runs, 2);
    world_ends(w, first, OUTCOME_OK);
    assert_int_equal(shared.n_asked, 5);
    assert_int_equal(shared.asked[4].a.offset, 1);
    shared_answer(4, STORE_NOT_COUNTED, 3, NULL); /* another pod ended with it meanwhile */
    assert_int_equal(w->runs, 2);
    assert_memory_equal(sent_header(&w->sent[0], "kafka_dlt-exception-fqcn")->value, "crash.limit", 11);
    assert_int_equal(shared.n_asked, 6);
    assert_int_equal(shared.asked[5].a.offset, 2);
    shared_answer(5, STORE_COUNTED, 2, NULL);
    assert_int_equal(w->runs, 3);
}

static void a_task_that_ends_its_process_again_and_again_is_buried(void **state)
{
    struct world *w = *state;

    orchestrator_on_end(w->o, 0, 0, 100);
    shared.attempts = 3;
    world_record(w, 7, "{}", asks);
    assert_int_equal(w->runs, 0);
    assert_string_equal(w->sent[0].topic, "T-dlt");
    assert_memory_equal(sent_header(&w->sent[0], "kafka_dlt-exception-fqcn")->value, "crash.limit", 11);
    world_deliver(w, 0, BUS_DELIVERED);
    assert_memory_equal(sent_header(&w->sent[1], WIRE_OUTCOME)->value, "fail", 4);
    world_deliver(w, 1, BUS_DELIVERED);
    assert_int_equal(world_committed(w), 8);
}

static void an_answer_that_comes_after_the_partition_went_starts_nothing(void **state)
{
    struct world *w = *state;

    orchestrator_on_end(w->o, 0, 0, 100);
    shared.slow = true;
    world_record(w, 0, "{}", NULL);
    orchestrator_on_revoked(w->o, 0, 0);
    orchestrator_on_unassigned(w->o, 0, 0);
    shared_answer(0, STORE_COUNTED, 1, NULL);
    assert_int_equal(w->runs, 0);
    assert_true(orchestrator_wait_worked(w->o, 0));
}

static void suspects_that_wait_do_not_hold_up_a_revocation(void **state)
{
    struct world *w = *state;

    orchestrator_on_end(w->o, 0, 0, 100);
    shared.slow = true;
    w->does.outcome = OUTCOME_EXPIRED;
    for (int i = 0; i < 3; i++)
        world_record(w, i, "{}", NULL);
    for (int i = 0; i < 3; i++)
        shared_answer(i, STORE_NOT_COUNTED, 1, NULL);
    shared_answer(3, STORE_COUNTED, 2, NULL);
    assert_int_equal(w->runs, 1);
    orchestrator_on_revoked(w->o, 0, 0);
    assert_false(orchestrator_partition_idle(w->o, 0, 0)); /* one runs */
    world_ends(w, w->running, OUTCOME_OK);
    assert_int_equal(w->runs, 1);
    assert_true(orchestrator_partition_idle(w->o, 0, 0));
    assert_int_equal(world_committed(w), 1);
}

static void records_in_hand_when_it_stood_still_are_not_passed_over(void **state)
{
    struct world *w = *state;
    int64_t from = -1;

    assert_false(orchestrator_on_polled(w->o));
    w->now += 4 * NS_PER_S;
    world_record(w, 5, "{}", NULL); /* not run: the group was not asked for too long */
    world_record(w, 6, "{}", NULL); /* it was in hand already */
    assert_int_equal(w->runs, 0);
    assert_int_equal(world_committed(w), 5);
    assert_true(orchestrator_on_polled(w->o));
    orchestrator_collect(w->o, world_take_rewind, &from);
    assert_int_equal(from, 5);
}

static void a_process_that_stood_still_reads_again(void **state)
{
    struct world *w = *state;
    int64_t from = -1;

    w->does.outcome = OUTCOME_EXPIRED;
    assert_false(orchestrator_on_polled(w->o));
    world_record(w, 5, "{\"key\":\"a\"}", NULL);
    assert_int_equal(w->runs, 1);
    w->now += 4 * NS_PER_S;          /* over half a session */
    world_record(w, 6, "{}", NULL);  /* it was fetched before */
    assert_int_equal(w->runs, 1);    /* nothing is begun */
    assert_true(orchestrator_on_polled(w->o));
    orchestrator_collect(w->o, world_take_rewind, &from);
    assert_int_equal(from, 5);
    orchestrator_on_end(w->o, 0, 0, 7);
    world_record(w, 5, "{\"key\":\"a\"}", NULL);
    world_record(w, 6, "{}", NULL);
    assert_int_equal(w->runs, 1); /* not before the group has had time to tell that they are others' */
    for (int i = 0; i < 4; i++) {
        w->now += 500 * NS_PER_MS;
        assert_false(orchestrator_on_polled(w->o));
    }
    assert_int_equal(w->runs, 3);
    assert_int_equal(w->redelivered, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, shared_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(only_what_lies_below_the_end_is_asked_for),
        TEST(a_stored_result_is_replied_again_and_not_run),
        TEST(while_the_store_is_away_it_is_run_and_marked),
        TEST(suspects_run_one_at_a_time_and_are_counted_when_they_begin),
        TEST(a_task_that_ends_its_process_again_and_again_is_buried),
        TEST(an_answer_that_comes_after_the_partition_went_starts_nothing),
        TEST(suspects_that_wait_do_not_hold_up_a_revocation),
        TEST(records_in_hand_when_it_stood_still_are_not_passed_over),
        TEST(a_process_that_stood_still_reads_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
