#include "config/redis_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/util.h"

static bool refuse(char **ret_why, const char *why)
{
    if (asprintf(ret_why,
                 "%s: expected redis://user:password@host:port/db or "
                 "redis+sentinel://host:port,host:port/name/db",
                 why) < 0)
        *ret_why = NULL;
    return false;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Decoded; NULL when malformed, or memory is short. */
static char *decode(const char *text, size_t len)
{
    char *out = malloc(len + 1), *at = out;

    for (size_t i = 0; out != NULL && i < len; i++) {
        char c = text[i];

        if (c == '%') {
            int high = i + 2 < len ? hex(text[i + 1]) : -1, low = high < 0 ? -1 : hex(text[i + 2]);

            if (low < 0 || (high == 0 && low == 0)) {
                free(out);
                return NULL;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        *at++ = c;
    }
    if (out != NULL)
        *at = '\0';
    return out;
}

static bool parse_login(const char *text, size_t len, struct redis_url *url, char **ret_why)
{
    const char *colon = memchr(text, ':', len);
    size_t user_len = colon == NULL ? len : (size_t)(colon - text);

    if (colon == NULL)
        return refuse(ret_why, "a user without password");
    if (user_len > 0)
        url->user = decode(text, user_len);
    url->password = decode(colon + 1, len - user_len - 1);
    if (url->password == NULL || url->password[0] == '\0' || (user_len > 0 && url->user == NULL))
        return refuse(ret_why, "user or password is empty or badly percent-encoded");
    return true;
}

static bool parse_hosts(const char *text, size_t len, int port, struct redis_url *url,
                        char **ret_why)
{
    const char *end = text + len;

    for (;;) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma == NULL ? end : comma;
        const char *colon = memchr(text, ':', (size_t)(stop - text));
        const char *name_end = colon == NULL ? stop : colon;
        struct redis_host *host = &url->hosts[url->n_hosts];
        int64_t number = port;

        if (url->n_hosts == REDIS_HOSTS_MAX)
            return refuse(ret_why, "more than 16 hosts");
        if (name_end == text)
            return refuse(ret_why, "a host is empty");
        if (colon != NULL && (!parse_int(colon + 1, (size_t)(stop - colon - 1), &number) ||
                              number < 1 || number > 65535))
            return refuse(ret_why, "a port is not between 1 and 65535");
        host->name = strndup(text, (size_t)(name_end - text));
        host->port = (int)number;
        url->n_hosts++;
        if (host->name == NULL)
            return refuse(ret_why, "out of memory");
        if (comma == NULL)
            return true;
        text = comma + 1;
    }
}

static bool parse_db(const char *text, struct redis_url *url, char **ret_why)
{
    int64_t db = 0;

    if (*text != '\0' && (!parse_int(text, strlen(text), &db) || db < 0 || db > 65535))
        return refuse(ret_why, "the database is no number");
    url->db = (int)db;
    return true;
}

static bool parse(const char *text, struct redis_url *url, char **ret_why)
{
    static const char plain[] = "redis://", tls[] = "rediss://", sentinel[] = "redis+sentinel://";
    bool sentinels = strncmp(text, sentinel, sizeof(sentinel) - 1) == 0;
    const char *rest, *at, *path;
    size_t hosts_len;

    if (strncmp(text, tls, sizeof(tls) - 1) == 0)
        return refuse(ret_why, "TLS to Redis (rediss://) is not built in");
    if (!sentinels && strncmp(text, plain, sizeof(plain) - 1) != 0)
        return refuse(ret_why, "it does not begin with redis://");
    rest = text + (sentinels ? sizeof(sentinel) : sizeof(plain)) - 1;
    path = rest + strcspn(rest, "/?#");
    if (*path == '?' || *path == '#')
        return refuse(ret_why, "? and # mean nothing here");
    at = memrchr(rest, '@', (size_t)(path - rest));
    if (at != NULL && !parse_login(rest, (size_t)(at - rest), url, ret_why))
        return false;
    if (at != NULL)
        rest = at + 1;
    hosts_len = (size_t)(path - rest);
    if (!parse_hosts(rest, hosts_len, sentinels ? SENTINEL_PORT : REDIS_PORT, url, ret_why))
        return false;
    path += *path == '/';
    if (!sentinels)
        return url->n_hosts == 1 ? parse_db(path, url, ret_why) : refuse(ret_why, "several hosts");
    hosts_len = strcspn(path, "/");
    if (hosts_len == 0)
        return refuse(ret_why, "the name of the master is missing");
    url->master = strndup(path, hosts_len);
    if (url->master == NULL)
        return refuse(ret_why, "out of memory");
    path += hosts_len;
    return parse_db(path + (*path == '/'), url, ret_why);
}

bool redis_url_parse(const char *text, struct redis_url *ret, char **ret_why)
{
    *ret = (struct redis_url){0};
    if (parse(text, ret, ret_why))
        return true;
    redis_url_done(ret);
    return false;
}

void redis_url_done(struct redis_url *url)
{
    for (size_t i = 0; i < url->n_hosts; i++)
        free(url->hosts[i].name);
    free(url->master);
    free(url->user);
    free(url->password);
    *url = (struct redis_url){0};
}
