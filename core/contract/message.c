/* The message {key?, value, headers?} of the reference. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "contract/json_text.h"
#include "contract/task.h"

enum { KEY_MAX = 4096, HEADERS_MAX = 32, NAME_MAX_LEN = 256, VALUE_MAX = 4096 };

static bool is_object(struct json_span s)
{
    return s.len > 0 && s.start[0] == '{';
}

static bool is_null(struct json_span s)
{
    return s.len == 4 && memcmp(s.start, "null", 4) == 0;
}

/* Whether the body is the envelope; *ret_only: it has no other fields than an envelope's. */
static bool look(const char *text, size_t len, struct json_span *ret_value, bool *ret_only)
{
    struct json_iter it;
    bool found = false;

    *ret_only = true;
    json_iter_init(&it, text, len);
    while (json_iter_next(&it)) {
        bool is_value = it.name.len == 5 && memcmp(it.name.start, "value", 5) == 0;

        if (is_value) {
            found = true;
            *ret_value = it.value;
        } else if (!(it.name.len == 3 && memcmp(it.name.start, "key", 3) == 0) &&
                   !(it.name.len == 7 && memcmp(it.name.start, "headers", 7) == 0)) {
            *ret_only = false;
        }
    }
    return found;
}

static bool name_valid(const char *name, size_t len)
{
    if (len == 0 || len > NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < len; i++) { /* RFC 9110: tchar */
        char c = name[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !json_is_digit(c) &&
            (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return true;
}

static bool reserved(const char *name)
{
    static const char *const prefixes[] = {"kafka_", "taskwire-", "retry_topic-"};
    static const char *const names[] = {"traceparent", "tracestate", "content-type",
                                        "idempotency-key"};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (strncasecmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

/* NULL when there is nothing wrong. */
static const char *header_mistake(const char *name, size_t name_len, struct json_span value)
{
    if (!name_valid(name, name_len))
        return "a name must be 1 to 256 token characters";
    if (reserved(name))
        return "is reserved";
    if (value.start[0] != '"' || value.len > 6 * VALUE_MAX)
        return "must be a string of at most 4096 bytes";
    return NULL;
}

static int read_header(const struct json_iter *it, struct message_header *ret, struct violations *v)
{
    size_t name_len;
    char *name = json_name_copy(it->name, &name_len), *value = NULL;
    const char *wrong = name == NULL ? NULL : header_mistake(name, name_len, it->value);
    int r = name == NULL ? -ENOMEM : 0;

    if (r == 0 && wrong == NULL) {
        value = json_string_copy(it->value, &ret->value_len);
        if (value == NULL)
            r = -ENOMEM;
        else if (ret->value_len > VALUE_MAX)
            wrong = "must be a string of at most 4096 bytes";
    }
    if (wrong != NULL) {
        STRBUF_CLEANUP struct strbuf pointer = STRBUF_INIT;

        strbuf_addz(&pointer, "/headers");
        json_pointer_add(&pointer, name, name_len);
        violations_add(v, pointer.failed ? "/headers" : pointer.data, "%s", wrong);
        r = -EINVAL;
    }
    if (r < 0) {
        free(name);
        free(value);
        return r;
    }
    ret->name = name;
    ret->value = value;
    return 0;
}

static int read_headers(struct json_span headers, struct message *m, struct violations *v)
{
    struct json_iter it;

    if (is_null(headers))
        return 0;
    if (!is_object(headers)) {
        violations_add(v, "/headers", "must be an object");
        return -EINVAL;
    }
    m->headers = calloc(HEADERS_MAX, sizeof(*m->headers));
    if (m->headers == NULL)
        return -ENOMEM;
    json_iter_init(&it, headers.start, headers.len);
    while (json_iter_next(&it)) {
        int r;

        if (m->n_headers == HEADERS_MAX) {
            violations_add(v, "/headers", "must have at most 32 members");
            return -EINVAL;
        }
        r = read_header(&it, &m->headers[m->n_headers], v);
        if (r < 0)
            return r;
        m->n_headers++;
    }
    return 0;
}

static int read_key(struct json_span key, struct message *m, struct violations *v)
{
    if (is_null(key))
        return 0;
    if (key.start[0] == '"' && key.len <= 6 * KEY_MAX) {
        m->key = json_string_copy(key, &m->key_len);
        if (m->key == NULL)
            return -ENOMEM;
        if (m->key_len <= KEY_MAX)
            return 0;
    }
    violations_add(v, "/key", "must be a string of at most 4096 bytes");
    return -EINVAL;
}

void message_done(struct message *message)
{
    for (size_t i = 0; i < message->n_headers; i++) {
        free(message->headers[i].name);
        free(message->headers[i].value);
    }
    free(message->headers);
    free(message->key);
}

int message_parse(struct buf *body, bool value_is_field, unsigned max_depth, struct violations *v,
                  struct message *ret, struct json_error *ret_error)
{
    struct json_span whole = {body->data, body->len}, value, part;
    struct message m = {0};
    bool envelope, only;
    int r = json_check(body->data, body->len, max_depth, ret_error);

    if (r < 0)
        return r;
    envelope = look(whole.start, whole.len, &value, &only);
    if (envelope && only && !is_object(value) && !value_is_field) {
        violations_add(v, "/value", "Invalid message format: value must be an object");
        return -EINVAL;
    }
    if (!envelope || !is_object(value) || (value_is_field && !only)) {
        *ret = (struct message){.value = whole};
        return 0;
    }
    m.value = value;
    if (!only) {
        violations_add(v, "", "a message has only key, value and headers");
        r = -EINVAL;
    }
    if (r == 0 && json_member(whole.start, whole.len, "key", &part))
        r = read_key(part, &m, v);
    if (r == 0 && json_member(whole.start, whole.len, "headers", &part))
        r = read_headers(part, &m, v);
    if (r < 0)
        message_done(&m);
    else
        *ret = m;
    return r;
}
