/* The gateway's half of the orchestrator: who is told what, and when. */
#include "base/util.h"
#include "world.h"

static void a_reply_answers_its_request_once(void **state)
{
    struct world *w = *state;
    struct caller c;

    assert_int_equal(world_submit(w, &c, 0, "{\"id\":\"a\"}", true), ERROR_NONE);
    world_deliver(w, 0, BUS_DELIVERED);
    assert_int_equal(c.answers, 0);
    world_reply(w, &w->sent[0], "{\"id\":\"a\",\"status\":\"success\",\"endTime\":1}", "ok");
    assert_int_equal(c.answers, 1);
    assert_int_equal(c.answer.kind, ANSWER_REPLY);
    assert_int_equal(c.answer.outcome, OUTCOME_OK);
    assert_non_null(strstr(c.body, "\"status\":\"success\""));
    world_reply(w, &w->sent[0], "{\"id\":\"a\",\"status\":\"error\"}", "fail");
    assert_int_equal(c.answers, 1);
    assert_int_equal(world_count(w, METRIC_REPLIES_REPEATED), 1);
    assert_int_equal(orchestrator_pending(w->o), 0);
}

static void a_reply_may_be_faster_than_the_call_that_sends(void **state)
{
    struct world *w = *state;
    struct caller c;

    w->reply_at_once = true;
    assert_int_equal(world_submit(w, &c, 0, "{}", true), ERROR_NONE);
    assert_int_equal(c.answers, 1);
    assert_non_null(strstr(c.body, "\"result\":\"quick\""));
    world_deliver(w, 0, BUS_DELIVERED); /* the acknowledgement comes last */
    assert_int_equal(c.answers, 1);
}

static void every_failure_to_send_has_its_answer(void **state)
{
    static const struct {
        enum bus_result result;
        enum error_code request, send; /* ERROR_NONE: it waits on */
    } cases[] = {
        {BUS_NOT_SENT, ERROR_KAFKA_UNAVAILABLE, ERROR_KAFKA_UNAVAILABLE},
        {BUS_UNKNOWN, ERROR_NONE, ERROR_OUTCOME_UNKNOWN},
        {BUS_FULL, ERROR_OVERLOADED, ERROR_OVERLOADED},
        {BUS_TOO_LARGE, ERROR_TOO_LARGE, ERROR_TOO_LARGE},
        {BUS_IMPOSSIBLE, ERROR_KAFKA_REFUSED, ERROR_KAFKA_REFUSED},
    };
    struct world *w = *state;

    for (size_t i = 0; i < TW_ARRAY_LEN(cases); i++) {
        for (int reply_wanted = 0; reply_wanted < 2; reply_wanted++) {
            enum error_code expected = reply_wanted ? cases[i].request : cases[i].send;
            struct caller c;

            assert_int_equal(world_submit(w, &c, 0, "{}", reply_wanted), ERROR_NONE);
            world_deliver(w, w->n_sent - 1, cases[i].result);
            assert_int_equal(c.answers, expected != ERROR_NONE);
            if (expected != ERROR_NONE)
                assert_int_equal(c.answer.error, expected);
            else /* the record may be there: its reply still counts */
                world_reply(w, &w->sent[w->n_sent - 1], "1", "ok");
            assert_int_equal(c.answers, 1);
            assert_int_equal(orchestrator_pending(w->o), 0);

            w->take = cases[i].result; /* refused at once */
            assert_int_equal(world_submit(w, &c, 0, "{}", reply_wanted), ERROR_NONE);
            w->take = BUS_DELIVERED;
            assert_int_equal(c.answers, 1);
            assert_int_equal(c.answer.kind, ANSWER_ERROR);
        }
    }
}

static void fire_and_forget_is_told_where_it_is(void **state)
{
    struct world *w = *state;
    struct caller c;

    assert_int_equal(world_submit(w, &c, 0, "{\"id\":\"f\",\"key\":\"k\"}", false), ERROR_NONE);
    assert_int_equal(c.answers, 0);
    world_deliver(w, 0, BUS_DELIVERED);
    assert_int_equal(c.answer.kind, ANSWER_SENT);
    assert_int_equal(c.answer.partition, 3);
    assert_int_equal(c.answer.offset, 42);
    assert_null(sent_header(&w->sent[0], WIRE_CORRELATION_ID));
    assert_null(sent_header(&w->sent[0], WIRE_REPLY_TOPIC));
    assert_memory_equal(w->sent[0].record->key, "k", 1);
}

struct known {
    bool found, finished;
    enum outcome outcome;
};

static void looked_up(void *arg, const struct store_view *view, bool away)
{
    assert_false(away);
    *(struct known *)arg = view == NULL ? (struct known){0}
                                        : (struct known){true, view->finished, view->outcome};
}

static struct known lookup(struct world *w, const char *id)
{
    struct known k;

    orchestrator_lookup(w->o, "", id, looked_up, &k);
    return k;
}

static void a_wait_ends_and_the_result_is_kept(void **state)
{
    struct world *w = *state;
    struct caller c, again;

    assert_int_equal(world_submit(w, &c, 0, "{\"id\":\"late\"}", true), ERROR_NONE);
    world_deliver(w, 0, BUS_DELIVERED);
    w->now += 10 * NS_PER_S - 1;
    orchestrator_tick(w->o, w->now);
    assert_int_equal(c.answers, 0);
    w->now++;
    orchestrator_tick(w->o, w->now);
    assert_int_equal(c.answers, 1);
    assert_int_equal(c.answer.error, ERROR_TIMEOUT);
    assert_true(lookup(w, "late").found && !lookup(w, "late").finished);
    /* it is still live: the id is taken */
    assert_int_equal(world_submit(w, &again, 0, "{\"id\":\"late\"}", true), ERROR_DUPLICATE);
    world_reply(w, &w->sent[0], "{\"id\":\"late\",\"status\":\"error\"}", "reject");
    assert_int_equal(c.answers, 1);
    assert_true(lookup(w, "late").finished);
    assert_int_equal(lookup(w, "late").outcome, OUTCOME_REJECT);
    assert_int_equal(world_submit(w, &again, 0, "{\"id\":\"late\"}", true), ERROR_NONE);
    w->now += 100 * NS_PER_S;
    orchestrator_tick(w->o, w->now); /* the wait of the second one, and both TTLs */
    assert_false(lookup(w, "late").found);
}

static void a_wait_without_acknowledgement_ends_as_unknown(void **state)
{
    struct world *w = *state;
    struct caller c;

    assert_int_equal(world_submit(w, &c, 0, "{}", true), ERROR_NONE);
    w->now += 11 * NS_PER_S;
    orchestrator_tick(w->o, w->now);
    assert_int_equal(c.answer.error, ERROR_OUTCOME_UNKNOWN);
    world_deliver(w, 0, BUS_DELIVERED); /* comes to nobody */
    assert_int_equal(c.answers, 1);
}

static void replies_of_strangers_reach_nobody(void **state)
{
    struct bus_header forged[] = {{WIRE_CORRELATION_ID, "01890000-0000-7000-8000-000000000000", 36}};
    struct bus_header garbage[] = {{WIRE_CORRELATION_ID, "garbage", 7}};
    struct bus_header nothing[] = {{WIRE_CORRELATION_ID, NULL, 0}};
    const struct record records[] = {
        {.value = "1", .value_len = 1, .headers = forged, .n_headers = 1},
        {.value = "1", .value_len = 1, .headers = garbage, .n_headers = 1},
        {.value = "1", .value_len = 1, .headers = nothing, .n_headers = 1},
        {.value = "1", .value_len = 1},
    };
    struct world *w = *state;
    struct caller c;

    assert_int_equal(world_submit(w, &c, 0, "{}", true), ERROR_NONE);
    for (size_t i = 0; i < TW_ARRAY_LEN(records); i++)
        orchestrator_on_reply(w->o, &records[i]);
    assert_int_equal(c.answers, 0);
    assert_int_equal(world_count(w, METRIC_REPLIES_FOREIGN), 1);
    assert_int_equal(world_count(w, METRIC_REPLIES_MALFORMED), 3);
}

static void a_binary_correlation_id_is_the_same_one(void **state)
{
    struct world *w = *state;
    const struct bus_header *text;
    struct bus_header headers[1];
    struct record r = {.value = "\"spring\"", .value_len = 8, .headers = headers, .n_headers = 1};
    unsigned char raw[16];
    struct caller c;

    assert_int_equal(world_submit(w, &c, 1, "{}", true), ERROR_NONE);
    text = sent_header(&w->sent[0], WIRE_CORRELATION_ID);
    assert_int_equal(text->len, 36);
    for (size_t i = 0, at = 0; i < 16; i++, at += 2) {
        unsigned byte;

        if (((const char *)text->value)[at] == '-')
            at++;
        assert_int_equal(sscanf((const char *)text->value + at, "%2x", &byte), 1);
        raw[i] = (unsigned char)byte;
    }
    headers[0] = (struct bus_header){WIRE_CORRELATION_ID, raw, 16};
    orchestrator_on_reply(w->o, &r);
    assert_int_equal(c.answers, 1);
    assert_non_null(strstr(c.body, "\"result\":\"spring\""));
}

static void the_headers_of_a_request_are_those_of_the_page(void **state)
{
    struct world *w = *state;
    const struct sent *s = &w->sent[0];
    struct caller c;

    assert_int_equal(world_submit(w, &c, 0, "{ \"key\" : \"k\" }", true), ERROR_NONE);
    assert_string_equal(s->topic, "T");
    assert_int_equal(sent_header(s, WIRE_CORRELATION_ID)->len, 36);
    assert_memory_equal(sent_header(s, WIRE_REPLY_TOPIC)->value, "ours.replies", 12);
    assert_null(sent_header(s, WIRE_REPLY_PARTITION));
    assert_memory_equal(sent_header(s, WIRE_CONTENT_TYPE)->value, "application/json", 16);
    assert_true(wire_traceparent_valid(sent_header(s, WIRE_TRACEPARENT)->value, 55));
    assert_memory_equal(s->record->key, "k", 1);
    /* the client's bytes, behind what was put in */
    assert_string_equal(s->record->value + s->record->value_len - 14, " \"key\" : \"k\" }");
}

static void who_is_waited_for_is_not_dropped(void **state)
{
    struct world *w = *state;
    struct caller c[4];
    char text[20];

    memory_store_free(w->store);
    w->config.limit_results = 2;
    w->store = memory_store_new(&w->config, world_clock_of(w), w->metrics);
    world_remake(w, memory_store_port(w->store), NULL);
    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "{\"id\":\"w%d\"}", i);
        assert_int_equal(world_submit(w, &c[i], 0, text, true), ERROR_NONE);
    }
    assert_true(lookup(w, "w0").found && lookup(w, "w3").found);
    for (size_t i = 0; i < 4; i++)
        world_reply(w, &w->sent[i], "1", "ok");
    for (int i = 0; i < 4; i++)
        assert_int_equal(c[i].answers, 1);
    assert_false(lookup(w, "w1").found); /* answered: only so many results are kept */
    assert_true(lookup(w, "w3").finished);
}

static void a_full_table_refuses_and_recovers(void **state)
{
    struct world *w = *state;
    struct caller c[5];

    for (int i = 0; i < 4; i++)
        assert_int_equal(world_submit(w, &c[i], 0, "{}", true), ERROR_NONE);
    assert_int_equal(world_submit(w, &c[4], 0, "{\"id\":\"fifth\"}", true), ERROR_OVERLOADED);
    assert_int_equal(world_count(w, METRIC_LIMIT_PENDING), 1);
    assert_false(lookup(w, "fifth").found);
    assert_int_equal(w->n_sent, 4);
    world_reply(w, &w->sent[2], "1", "ok");
    assert_int_equal(c[2].answers, 1);
    assert_int_equal(world_submit(w, &c[4], 0, "{\"id\":\"fifth\"}", true), ERROR_NONE);
}

static void draining_refuses_and_abandons(void **state)
{
    struct world *w = *state;
    struct caller waiting, late;

    assert_int_equal(world_submit(w, &waiting, 0, "{}", true), ERROR_NONE);
    orchestrator_drain(w->o);
    assert_int_equal(world_submit(w, &late, 0, "{}", true), ERROR_DRAINING);
    assert_int_equal(waiting.answers, 0);
    assert_false(orchestrator_wait_answered(w->o, 0));
    orchestrator_abandon(w->o);
    assert_int_equal(waiting.answer.error, ERROR_DRAINING);
    assert_true(orchestrator_wait_answered(w->o, 0));
    world_reply(w, &w->sent[0], "1", "ok");
    assert_int_equal(waiting.answers, 1);
}

static void without_a_broker_nothing_is_taken(void **state)
{
    struct world *w = *state;
    struct caller c;

    orchestrator_on_bus(w->o, false);
    assert_int_equal(world_submit(w, &c, 0, "{}", true), ERROR_KAFKA_UNAVAILABLE);
    assert_int_equal(w->n_sent, 0);
    orchestrator_on_bus(w->o, true);
    assert_int_equal(world_submit(w, &c, 0, "{}", true), ERROR_NONE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_reply_answers_its_request_once),
        TEST(a_reply_may_be_faster_than_the_call_that_sends),
        TEST(every_failure_to_send_has_its_answer),
        TEST(fire_and_forget_is_told_where_it_is),
        TEST(a_wait_ends_and_the_result_is_kept),
        TEST(a_wait_without_acknowledgement_ends_as_unknown),
        TEST(replies_of_strangers_reach_nobody),
        TEST(a_binary_correlation_id_is_the_same_one),
        TEST(the_headers_of_a_request_are_those_of_the_page),
        TEST(who_is_waited_for_is_not_dropped),
        TEST(a_full_table_refuses_and_recovers),
        TEST(draining_refuses_and_abandons),
        TEST(without_a_broker_nothing_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
