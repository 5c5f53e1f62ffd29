/* redis.url, as people write it. */
#include "config/redis_url.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "unit.h"

static void good_ones_are_read(void **state)
{
    static const struct {
        const char *text, *host;
        int port;
        const char *user, *password, *master;
        int db;
        size_t hosts;
    } cases[] = {
        {"redis://localhost", "localhost", 6379, NULL, NULL, NULL, 0, 1},
        {"redis://localhost/", "localhost", 6379, NULL, NULL, NULL, 0, 1},
        {"redis://10.0.0.1:7000/3", "10.0.0.1", 7000, NULL, NULL, NULL, 3, 1},
        {"redis://:secret@h", "h", 6379, NULL, "secret", NULL, 0, 1},
        {"redis://u:p%40s%2fs@h:1/0", "h", 1, "u", "p@s/s", NULL, 0, 1},
        {"redis://u:a@b@h", "h", 6379, "u", "a@b", NULL, 0, 1},
        {"redis+sentinel://s1/mymaster", "s1", 26379, NULL, NULL, "mymaster", 0, 1},
        {"redis+sentinel://u:p@s1:1,s2,s3:3/m/2", "s1", 1, "u", "p", "m", 2, 3},
    };

    (void)state;
    for (size_t i = 0; i < TW_ARRAY_LEN(cases); i++) {
        struct redis_url url;
        char *why = NULL;

        if (!redis_url_parse(cases[i].text, &url, &why))
            fail_msg("%s: %s", cases[i].text, why);
        assert_int_equal(url.n_hosts, cases[i].hosts);
        assert_string_equal(url.hosts[0].name, cases[i].host);
        assert_int_equal(url.hosts[0].port, cases[i].port);
        assert_int_equal(url.db, cases[i].db);
        for (int which = 0; which < 3; which++) {
            const char *is[] = {url.user, url.password, url.master};
            const char *wanted[] = {cases[i].user, cases[i].password, cases[i].master};

            if (wanted[which] == NULL)
                assert_null(is[which]);
            else
                assert_string_equal(is[which], wanted[which]);
        }
        redis_url_done(&url);
    }
}

static void bad_ones_are_told_without_the_password(void **state)
{
    static const char *const texts[] = {
        "", "localhost:6379", "http://h", "rediss://u:geheim@h", "redis://", "redis://u:geheim@", "redis://h:0",
        "redis://h:65536", "redis://h:x", "redis://geheim@h", "redis://u:@h", "redis://u:gehei%6@h",
        "redis://u:geheim%00@h", "redis://h/x", "redis://h/-1", "redis://h1,h2", "redis://h?x=1",
        "redis+sentinel://s", "redis+sentinel://s/", "redis+sentinel://,/m", "redis+sentinel://s/m/x",
    };

    (void)state;
    for (size_t i = 0; i < TW_ARRAY_LEN(texts); i++) {
        struct redis_url url;
        char *why = NULL;

        if (redis_url_parse(texts[i], &url, &why))
            fail_msg("%s was taken", texts[i]);
        assert_non_null(why);
        assert_null(strstr(why, "gehei"));
        free(why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones_are_read),
        cmocka_unit_test(bad_ones_are_told_without_the_password),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
