#include <stdlib.h>
#include <string.h>

#include "orchestrator/dispatch.h"
#include "unit.h"

struct world {
    struct config config;
    struct topic_config topic_config;
    struct topic topic;
    struct topic_table topics;
    struct metrics *metrics;
    struct dispatch *dispatch;
    struct partition_order last;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    const char *name = "T";

    w->config.limit_topic_queue = 100;
    w->config.limit_unfinished_span = 10;
    w->config.limit_parked_per_key = 3;
    w->topic_config.concurrency = 4;
    w->topic.config = &w->topic_config;
    w->topics = (struct topic_table){&w->topic, 1};
    w->metrics = metrics_new(&name, 1);
    w->dispatch = dispatch_new(&w->config, &w->topics, w->metrics);
    dispatch_assign(w->dispatch, 0, 7);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    dispatch_free(w->dispatch);
    metrics_free(w->metrics);
    free(w);
    return 0;
}

static struct work *offer(struct world *w, int64_t offset, const char *key)
{
    const struct record r = {.partition = 7, .offset = offset, .key = key,
                             .key_len = key == NULL ? 0 : strlen(key)};

    return dispatch_offer(w->dispatch, &r);
}

static void take(void *ctx, const struct partition_order *order)
{
    ((struct world *)ctx)->last = *order;
}

static const struct partition_order *collect(struct world *w)
{
    w->last = (struct partition_order){.offset = -1};
    dispatch_collect(w->dispatch, take, w);
    return &w->last;
}

static void one_key_runs_one_at_a_time(void **state)
{
    struct world *w = *state;
    struct work *a = offer(w, 0, "k"), *other, *b;

    assert_non_null(a);
    assert_null(offer(w, 1, "k"));
    other = offer(w, 2, "x");
    assert_non_null(other);
    b = dispatch_ran(w->dispatch, a);
    assert_int_equal(b->record->offset, 1);
    dispatch_finished(w->dispatch, a);
    assert_null(dispatch_ran(w->dispatch, other));
    dispatch_finished(w->dispatch, other);
    assert_int_equal(collect(w)->offset, 1); /* up to the lowest unfinished, whatever is done above */
    assert_null(dispatch_ran(w->dispatch, b));
    dispatch_finished(w->dispatch, b);
    assert_int_equal(collect(w)->offset, 3);
}

static void concurrency_is_a_bound(void **state)
{
    struct world *w = *state;
    struct work *running[4], *next;

    for (int i = 0; i < 4; i++)
        assert_non_null(running[i] = offer(w, i, NULL));
    assert_null(offer(w, 4, NULL));
    next = dispatch_ran(w->dispatch, running[0]);
    assert_int_equal(next->record->offset, 4);
    running[0]->next = NULL;
    dispatch_finished(w->dispatch, running[0]);
    for (int i = 1; i < 4; i++) {
        dispatch_ran(w->dispatch, running[i]);
        dispatch_finished(w->dispatch, running[i]);
    }
    dispatch_ran(w->dispatch, next);
    dispatch_finished(w->dispatch, next);
    assert_int_equal(collect(w)->offset, 5);
}

static void a_crowded_key_pauses_its_partition(void **state)
{
    struct world *w = *state;
    struct work *work = offer(w, 0, "k");

    for (int i = 1; i <= 3; i++)
        assert_null(offer(w, i, "k"));
    assert_true(collect(w)->pause);
    while (work != NULL) {
        struct work *next = dispatch_ran(w->dispatch, work);

        dispatch_finished(w->dispatch, work);
        work = next;
    }
    assert_true(collect(w)->resume);
    assert_int_equal(w->last.offset, 4);
}

static void a_revoked_partition_drops_what_waits(void **state)
{
    struct world *w = *state;
    struct work *a = offer(w, 0, "k");

    assert_null(offer(w, 1, "k"));
    dispatch_revoke(w->dispatch, 0, 7);
    assert_false(dispatch_idle(w->dispatch, 0, 7));
    assert_null(offer(w, 2, "z"));
    assert_null(dispatch_ran(w->dispatch, a));
    dispatch_finished(w->dispatch, a);
    assert_true(dispatch_idle(w->dispatch, 0, 7));
    assert_int_equal(collect(w)->offset, 1); /* the dropped one comes again, for somebody else */
    dispatch_unassign(w->dispatch, 0, 7);
}

static void a_completion_after_the_unassignment_is_stale(void **state)
{
    struct world *w = *state;
    struct work *a = offer(w, 0, "k");

    dispatch_unassign(w->dispatch, 0, 7);
    dispatch_assign(w->dispatch, 0, 7);
    assert_null(dispatch_ran(w->dispatch, a));
    dispatch_finished(w->dispatch, a);
    assert_int_equal(collect(w)->offset, -1);
    assert_int_equal(metric_get(w->metrics, METRIC_RECORDS_STALE, 0), 1);
}

static void what_could_not_be_taken_is_read_again(void **state)
{
    struct world *w = *state;
    const struct record huge = {.partition = 7, .offset = 1, .value = "", .value_len = SIZE_MAX / 4};
    struct work *first = offer(w, 0, "a");
    const struct partition_order *order;

    assert_non_null(first);
    assert_null(dispatch_offer(w->dispatch, &huge));
    assert_null(offer(w, 2, "b")); /* behind the gap: comes again */
    order = collect(w);
    assert_int_equal(order->rewind, 1);
    assert_null(dispatch_ran(w->dispatch, first));
    dispatch_finished(w->dispatch, first);
    order = collect(w);
    assert_int_equal(order->offset, 1);
    assert_int_equal(order->rewind, -1);
    first = offer(w, 1, "a");
    assert_non_null(first);
    dispatch_ran(w->dispatch, first);
    dispatch_finished(w->dispatch, first);
    assert_int_equal(collect(w)->offset, 2);
}

static void idle_only_when_the_last_thread_has_left(void **state)
{
    struct world *w = *state;
    struct work *a = offer(w, 0, "k");

    assert_false(dispatch_wait_idle(w->dispatch, 0));
    dispatch_ran(w->dispatch, a);
    dispatch_finished(w->dispatch, a);
    assert_false(dispatch_wait_idle(w->dispatch, 0)); /* a plugin's thread is still inside */
    dispatch_leave(w->dispatch);
    assert_true(dispatch_wait_idle(w->dispatch, 0));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_key_runs_one_at_a_time),
        TEST(concurrency_is_a_bound),
        TEST(a_crowded_key_pauses_its_partition),
        TEST(a_revoked_partition_drops_what_waits),
        TEST(a_completion_after_the_unassignment_is_stale),
        TEST(what_could_not_be_taken_is_read_again),
        TEST(idle_only_when_the_last_thread_has_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
