#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/json_write.h"
#include "http/internal.h"

static const char *reason(int status)
{
    const char *text = mg_get_response_code_text(NULL, status);

    return text == NULL ? "" : text;
}

/* Made once a second and thread. */
static const char *date(void)
{
    static _Thread_local time_t made;
    static _Thread_local char text[40];
    time_t now = time(NULL);

    if (now != made) {
        struct tm tm;

        gmtime_r(&now, &tm);
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        made = now;
    }
    return text;
}

static bool has_token(const char *list, const char *token)
{
    size_t len = strlen(token);

    while (*list != '\0') {
        size_t skip = strspn(list, " \t,"), word = strcspn(list + skip, " \t,");

        if (word == len && strncasecmp(list + skip, token, len) == 0)
            return true;
        list += skip + word;
    }
    return false;
}

/* As civetweb decides it, and one rule more: idle connections must not starve the others. */
bool keep_alive(const struct request *r)
{
    const struct http_server *s = r->server;
    const char *connection = request_header(r, "Connection");

    if (r->close || atomic_load(&s->draining) ||
        atomic_load_explicit(&s->connections, memory_order_relaxed) * 4 >
            (int)s->world.config->http_threads * 3)
        return false;
    if (connection != NULL)
        return has_token(connection, "keep-alive") && !has_token(connection, "close");
    return r->info->http_version != NULL && strcmp(r->info->http_version, "1.1") == 0;
}

static void write_response(struct request *r, int status, const char *type, const char *extra,
                           const char *body, size_t len)
{
    STRBUF_CLEANUP struct strbuf out = STRBUF_INIT;
    bool keep = keep_alive(r);

    if (!keep && r->capture == NULL)
        mg_disable_connection_keep_alive(r->conn);
    strbuf_addz(&out, "HTTP/1.1 ");
    strbuf_add_int(&out, status);
    strbuf_addc(&out, ' ');
    strbuf_addz(&out, reason(status));
    strbuf_addz(&out, "\r\nDate: ");
    strbuf_addz(&out, date());
    strbuf_addz(&out, "\r\nContent-Length: ");
    strbuf_add_int(&out, (int64_t)len);
    strbuf_addz(&out, "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    if (type != NULL) {
        strbuf_addz(&out, "Content-Type: ");
        strbuf_addz(&out, type);
        strbuf_addz(&out, "\r\n");
    }
    if (extra != NULL)
        strbuf_addz(&out, extra);
    strbuf_addz(&out, keep ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
    if (!r->head)
        strbuf_add(&out, body, len);
    if (r->capture != NULL) {
        strbuf_add(r->capture, out.data, out.len);
        r->capture->failed |= out.failed;
        r->close |= !keep;
    } else if (!out.failed) /* else the connection just closes */
        mg_write(r->conn, out.data, out.len);
    else
        mg_disable_connection_keep_alive(r->conn);
}

void respond(struct request *r, int status, const char *type, const char *extra_headers,
             const struct strbuf *body)
{
    if (body->failed)
        respond_error(r, ERROR_INTERNAL, NULL, NULL);
    else
        write_response(r, status, type, extra_headers, body->data, body->len);
}

void respond_buf(struct request *r, int status, const struct buf *body)
{
    write_response(r, status, "application/json", NULL, body->data, body->len);
}

void problem_write(struct strbuf *out, enum error_code error, const char *detail,
                   const char *instance, const char *id, const struct violations *v)
{
    const struct error_info *info = error_info(error);

    json_begin_object(out);
    json_key(out, "type");
    strbuf_addf(out, "\"urn:taskwire:problem:%s\"", info->slug);
    json_member_string(out, "title", info->title);
    json_member_int(out, "status", info->status);
    json_member_string(out, "detail", detail == NULL ? info->title : detail);
    if (instance != NULL)
        json_member_string(out, "instance", instance);
    if (id != NULL)
        json_member_string(out, "id", id);
    if (v != NULL) {
        json_key(out, "errors");
        violations_write(v, out);
    }
    json_end_object(out);
}

void respond_problem(struct request *r, enum error_code error, const char *detail, const char *id,
                     const struct violations *v, const char *extra_headers)
{
    STRBUF_CLEANUP struct strbuf body = STRBUF_INIT, headers = STRBUF_INIT;
    const struct error_info *info = error_info(error);

    problem_write(&body, error, detail, r->info == NULL ? NULL : r->info->request_uri, id, v);
    if (extra_headers != NULL)
        strbuf_addz(&headers, extra_headers);
    if (info->retry_after > 0)
        strbuf_addf(&headers, "Retry-After: %d\r\n", info->retry_after);
    if (!body.failed)
        write_response(r, info->status, "application/problem+json", headers.data, body.data,
                       body.len);
    else if (r->capture != NULL)
        r->capture->failed = true;
    else
        mg_disable_connection_keep_alive(r->conn);
}

void respond_error(struct request *r, enum error_code error, const char *detail,
                   const char *extra_headers)
{
    respond_problem(r, error, detail, NULL, NULL, extra_headers);
}
