/* A reply as Redis keeps it: what is read is what was written, and nothing else is taken for one. */
#include "redis/reply_blob.h"

#include <string.h>

#include "base/util.h"
#include "unit.h"

static void what_is_written_is_read(void **state)
{
    static const struct store_reply replies[] = {
        {.text = {"{\"a\":1}", 7, NULL, 0, "ok", 2}, .attempts = 3},
        {.text = {NULL, 0, "err\0r", 5, NULL, 0}},
        {.text = {"", 0, "", 0, "", 0}, .attempts = -1},
        {.text = {NULL, 0, NULL, 0, NULL, 0}},
    };

    (void)state;
    for (size_t i = 0; i < TW_ARRAY_LEN(replies); i++) {
        const struct reply_text *t = &replies[i].text;
        STRBUF_CLEANUP struct strbuf blob = STRBUF_INIT;
        struct store_reply read;
        int64_t arrived = 0;

        reply_blob_write(&blob, &replies[i], 1234567890123456789);
        assert_true(reply_blob_read(blob.data, blob.len, &read, &arrived));
        assert_int_equal(arrived, 1234567890123456789);
        assert_int_equal(read.attempts, replies[i].attempts);
        assert_int_equal(read.text.value == NULL, t->value == NULL);
        assert_int_equal(read.text.value_len, t->value_len);
        assert_memory_equal(read.text.value, t->value, t->value_len);
        assert_int_equal(read.text.nest_error == NULL, t->nest_error == NULL);
        assert_int_equal(read.text.nest_error_len, t->nest_error_len);
        assert_memory_equal(read.text.nest_error, t->nest_error, t->nest_error_len);
        assert_int_equal(read.text.outcome == NULL, t->outcome == NULL);
        assert_int_equal(read.text.outcome_len, t->outcome_len);
        for (size_t len = 0; len < blob.len; len++) /* cut anywhere it is none */
            assert_false(reply_blob_read(blob.data, len, &read, &arrived));
        strbuf_addc(&blob, 'x');
        assert_false(reply_blob_read(blob.data, blob.len, &read, &arrived));
        blob.data[0] = 2; /* a version of the future */
        assert_false(reply_blob_read(blob.data, blob.len - 1, &read, &arrived));
    }
}

static void lengths_that_lie_are_refused(void **state)
{
    unsigned char blob[40] = {1};
    struct store_reply read;
    int64_t arrived;

    (void)state;
    memset(blob + 16, 0xff, 12); /* three lengths whose sum overflows 32 bits */
    assert_false(reply_blob_read((char *)blob, sizeof(blob), &read, &arrived));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(lengths_that_lie_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
