/* Replies in: which are done, which are held, what that means for their offsets, and who is woken. */
#include "base/util.h"
#include "shared.h"

static void take(void *ctx, const struct partition_order *order)
{
    ((struct partition_order *)ctx)[0] = *order;
}

/* The last news of the reply partitions; partition -1: none. */
static struct partition_order news(struct world *w)
{
    struct partition_order order = {.partition = -1};

    orchestrator_collect_replies(w->o, take, &order);
    return order;
}

/* A reply on the reply topic, at partition 3, to a request or (NULL) to nobody known. */
static void reply_at(struct world *w, int64_t offset, const struct sent *to, const char *value)
{
    const struct bus_header *c = to == NULL ? NULL : sent_header(to, WIRE_CORRELATION_ID);
    struct bus_header headers[] = {
        {WIRE_CORRELATION_ID, "01890000-0000-7000-8000-00000000000a", 36}};
    const struct record r = {.partition = 3, .offset = offset, .value = value,
                             .value_len = strlen(value), .headers = headers, .n_headers = 1};

    if (c != NULL)
        headers[0] = *c;
    orchestrator_on_reply(w->o, &r);
}

static void store_up(struct world *w, bool up)
{
    (void)w;
    shared.away = !up;
    shared.listener.up(shared.listener.arg, up);
}

static void requests_say_who_waits_and_where(void **state)
{
    struct world *w = *state;
    struct caller c;

    assert_int_equal(world_submit(w, &c, 1, "{}", true), ERROR_NONE);
    assert_memory_equal(sent_header(&w->sent[0], WIRE_OWNER)->value, "pod-1", 5);
    assert_null(sent_header(&w->sent[0], WIRE_REPLY_HINT)); /* no partition is ours yet */
    orchestrator_on_replies_assigned(w->o, 12);
    assert_int_equal(world_submit(w, &c, 1, "{}", true), ERROR_NONE);
    assert_memory_equal(sent_header(&w->sent[1], WIRE_REPLY_HINT)->value, "12", 2);
    orchestrator_on_replies_revoked(w->o, 12);
    assert_int_equal(world_submit(w, &c, 1, "{}", true), ERROR_NONE);
    assert_null(sent_header(&w->sent[2], WIRE_REPLY_HINT));
}

static void a_reply_that_answers_is_done_though_the_store_is_away(void **state)
{
    struct world *w = *state;
    struct caller c;

    shared.away = true;
    orchestrator_on_replies_assigned(w->o, 3);
    assert_int_equal(world_submit(w, &c, 1, "{}", true), ERROR_NONE);
    reply_at(w, 7, &w->sent[0], "1");
    assert_int_equal(c.answers, 1);
    assert_int_equal(news(w).offset, 8);
    store_up(w, true); /* and stored when that can be */
    assert_int_equal(shared.completes, 2);
    assert_int_equal(world_count(w, METRIC_REPLY_BACKLOG), 0);
}

static void other_replies_are_held_until_the_store_is_back(void **state)
{
    struct world *w = *state;
    struct caller late, c;

    shared.away = true;
    orchestrator_on_replies_assigned(w->o, 3);
    assert_int_equal(world_submit(w, &late, 1, "{\"id\":\"late\"}", true), ERROR_NONE);
    world_deliver(w, 0, BUS_DELIVERED);
    w->now += 11 * NS_PER_S;
    orchestrator_tick(w->o, w->now); /* its caller has gone; its result is still wanted */
    assert_int_equal(late.answer.error, ERROR_TIMEOUT);
    reply_at(w, 4, NULL, "1"); /* another pod's */
    reply_at(w, 5, &w->sent[0], "2");
    assert_int_equal(world_submit(w, &c, 1, "{}", true), ERROR_NONE);
    reply_at(w, 6, &w->sent[1], "3");
    assert_int_equal(c.answers, 1);
    assert_int_equal(news(w).offset, 4);
    assert_int_equal(shared.completes, 3);
    store_up(w, true);
    assert_int_equal(shared.completes, 6);
    assert_int_equal(news(w).offset, 7);
    assert_int_equal(world_count(w, METRIC_REPLY_BACKLOG), 0);
}

static void held_replies_are_bounded(void **state)
{
    static char value[1 << 20];
    struct world *w = *state;
    struct partition_order order;

    memset(value, '7', sizeof(value) - 1);
    shared.away = true;
    orchestrator_on_replies_assigned(w->o, 3);
    for (int i = 0; i < 10; i++)
        reply_at(w, i, NULL, value);
    order = news(w);
    assert_true(order.pause);
    assert_int_equal(world_count(w, METRIC_REPLY_PAUSES), 1);
    assert_int_equal(order.rewind, 5); /* far beyond the limit nothing is taken: it is read again */
    assert_int_equal(shared.completes, 5);
    store_up(w, true);
    order = news(w);
    assert_true(order.resume);
    assert_int_equal(order.offset, 5);
}

static void a_lost_partition_takes_what_is_held_with_it(void **state)
{
    struct world *w = *state;

    shared.away = true;
    orchestrator_on_replies_assigned(w->o, 3);
    reply_at(w, 0, NULL, "1");
    assert_true(orchestrator_replies_idle(w->o, 3)); /* nothing to wait for */
    orchestrator_on_replies_revoked(w->o, 3);
    orchestrator_on_replies_unassigned(w->o, 3);
    assert_int_equal(world_count(w, METRIC_REPLY_BACKLOG), 0);
    store_up(w, true);
    assert_int_equal(shared.completes, 1); /* whoever has it now reads it again */
}

static void what_waits_is_made_known_again_and_looked_up(void **state)
{
    struct world *w = *state;
    struct caller c;

    assert_int_equal(world_submit(w, &c, 1, "{}", true), ERROR_NONE);
    store_up(w, true);
    assert_int_equal(shared.again, 1);
    w->now += NS_PER_S;
    orchestrator_tick(w->o, w->now);
    assert_int_equal(shared.again, 1);
    for (int i = 0; i < 4; i++) {
        w->now += NS_PER_S;
        orchestrator_tick(w->o, w->now);
    }
    assert_int_equal(shared.again, 3); /* every 2 s, once it has waited for 2 s */
    store_up(w, false);
    w->now += 2 * NS_PER_S;
    orchestrator_tick(w->o, w->now);
    assert_int_equal(shared.again, 3);
    world_reply(w, &w->sent[0], "1", "ok");
    assert_int_equal(c.answers, 1);
    store_up(w, true);
    assert_int_equal(shared.again, 3); /* nobody waits */
}

static void replies_to_nothing_move_the_offset(void **state)
{
    const struct record r = {.partition = 3, .offset = 9, .value = "1", .value_len = 1};
    struct world *w = *state;

    orchestrator_on_replies_assigned(w->o, 3);
    orchestrator_on_reply(w->o, &r);
    assert_int_equal(news(w).offset, 10);
    assert_int_equal(world_count(w, METRIC_REPLIES_MALFORMED), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, shared_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(requests_say_who_waits_and_where),
        TEST(a_reply_that_answers_is_done_though_the_store_is_away),
        TEST(other_replies_are_held_until_the_store_is_back),
        TEST(held_replies_are_bounded),
        TEST(a_lost_partition_takes_what_is_held_with_it),
        TEST(what_waits_is_made_known_again_and_looked_up),
        TEST(replies_to_nothing_move_the_offset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
