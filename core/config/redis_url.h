/* Where Redis is: redis://[[user]:password@]host[:port][/db], or its Sentinels:
 * redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/name[/db]. User and password may
 * be percent-encoded. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { REDIS_PORT = 6379, SENTINEL_PORT = 26379, REDIS_HOSTS_MAX = 16 };

struct redis_host {
    char *name;
    int port;
};

struct redis_url {
    struct redis_host hosts[REDIS_HOSTS_MAX]; /* one, unless they are Sentinels */
    size_t n_hosts;
    char *master;          /* the name that Sentinels know it by; NULL: no Sentinels */
    char *user, *password; /* NULL when not given */
    int db;
};

/* False with one sentence in *ret_why (heap), which never holds the password. */
bool redis_url_parse(const char *text, struct redis_url *ret, char **ret_why);
void redis_url_done(struct redis_url *url);
