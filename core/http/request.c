#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/util.h"
#include "http/internal.h"

enum { DISCARD_MAX = 64 << 20 };

/* "application/json", or any "application/...+json"; parameters do not matter. */
static bool is_json_type(const char *type)
{
    size_t len = strcspn(type, "; \t");

    if (len == 16 && strncasecmp(type, "application/json", len) == 0)
        return true;
    return len > 17 && strncasecmp(type, "application/", 12) == 0 &&
           strncasecmp(type + len - 5, "+json", 5) == 0;
}

static bool read_all(struct request *r, char *data, size_t len)
{
    size_t got = 0;
    bool cut;

    watch_begin(r);
    while (got < len) {
        int n = mg_read(r->conn, data + got, len - got);

        if (n <= 0) /* stalled, closed, or cut by the watch */
            break;
        got += (size_t)n;
    }
    cut = watch_end(r);
    return got == len && !cut;
}

enum error_code request_read_body(struct request *r)
{
    const char *expect = request_header(r, "Expect");
    const char *type = request_header(r, "Content-Type");

    if (r->content_length < 0)
        return ERROR_LENGTH_REQUIRED;
    if (r->content_length > r->server->world.config->limit_body)
        return ERROR_TOO_LARGE;
    if (type == NULL || !is_json_type(type))
        return ERROR_UNSUPPORTED_TYPE;
    if (expect != NULL && strcasecmp(expect, "100-continue") == 0 && r->content_length > 0)
        mg_write(r->conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    r->body = buf_space((size_t)r->content_length);
    if (r->body == NULL)
        return ERROR_OVERLOADED;
    if (!read_all(r, r->body->data, r->body->len)) {
        metric_inc(r->server->world.metrics, METRIC_HTTP_BODY_TIMEOUTS, 0);
        r->close = true;
        return ERROR_BODY_TIMEOUT;
    }
    return ERROR_NONE;
}

/* After a refusal the connection closes; what the client still sends is read first, up to DISCARD_MAX
 * and http.body_timeout, or the kernel would answer it with a reset that overtakes our answer. */
void request_discard(struct request *r)
{
    long long left = r->body != NULL ? 0 : TW_MIN(r->content_length, DISCARD_MAX);
    char scratch[4096];

    if (left <= 0)
        return;
    watch_begin(r);
    while (left > 0) {
        int n = mg_read(r->conn, scratch, (size_t)TW_MIN(left, (long long)sizeof(scratch)));

        if (n <= 0)
            break;
        left -= n;
    }
    watch_end(r);
}

bool request_accepts_json(const struct request *r)
{
    const char *accept = request_header(r, "Accept");

    if (accept == NULL || *accept == '\0')
        return true;
    while (*accept != '\0') {
        size_t item = strcspn(accept, ","), skip = strspn(accept, " \t");
        size_t len = strcspn(accept + skip, ",; \t");
        const char *range = accept + skip, *q = memmem(range, item - TW_MIN(skip, item), "q=0", 3);
        bool refused = q != NULL && strspn(q + 3, ".0") == strcspn(q + 3, ",; \t");

        if (!refused && ((len == 3 && memcmp(range, "*/*", 3) == 0) ||
                         (len == 13 && strncasecmp(range, "application/*", 13) == 0) ||
                         (len >= 16 && is_json_type(range))))
            return true;
        accept += item;
        accept += *accept == ',';
    }
    return false;
}

bool request_query(const struct request *r, const char *name, const char **ret, size_t *ret_len)
{
    const char *query = r->info->query_string;
    size_t len = strlen(name);

    while (query != NULL && *query != '\0') {
        size_t item = strcspn(query, "&");

        if (item > len && strncmp(query, name, len) == 0 && query[len] == '=') {
            *ret = query + len + 1;
            *ret_len = item - len - 1;
            return true;
        }
        query += item;
        query += *query == '&';
    }
    return false;
}

bool request_wait(const struct request *r, int64_t standard, int64_t *ret)
{
    const char *prefer = request_header(r, "Prefer"), *text;
    int64_t wait = standard, seconds;
    size_t len;

    /* RFC 7240; Zilla's clients write ";" between preferences */
    for (text = prefer; text != NULL && *text != '\0'; text += strcspn(text, ",;")) {
        text += strspn(text, " \t,;");
        len = strcspn(text, " \t,;");
        if (len > 5 && strncasecmp(text, "wait=", 5) == 0 &&
            parse_int(text + 5, len - 5, &seconds) && seconds >= 0 && seconds < 86400)
            wait = seconds * NS_PER_S; /* a preference that cannot be read is ignored */
    }
    if (request_query(r, "timeout", &text, &len) && !parse_duration(text, len, NS_PER_MS, &wait))
        return false;
    *ret = TW_MIN(wait, r->server->world.config->limit_longest_wait);
    return true;
}
