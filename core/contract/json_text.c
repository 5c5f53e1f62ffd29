/*
 * The text was checked, so these need not report errors; but all of them stop at `len` whatever
 * they are given.
 */
#include "contract/json_text.h"

#include <string.h>

#include "base/util.h"

int json_hex_digit(char c)
{
    if (json_is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static unsigned hex4(const char *p)
{
    unsigned value = 0;

    for (int i = 0; i < 4; i++)
        value = value << 4 | ((unsigned)json_hex_digit(p[i]) & 0xf);
    return value;
}

static size_t put_utf8(unsigned c, char *out)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    if (n == 1) {
        out[0] = (char)c;
        return n;
    }
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00u >> n) & 0xf0) | (char)c;
    return n;
}

/* Reads the escape at `p`, of which `left` bytes remain. Returns its length in the text. */
static size_t read_escape(const char *p, size_t left, char out[static 4], size_t *ret_n)
{
    static const char letters[] = "bfnrt";
    static const char meanings[] = "\b\f\n\r\t";
    const char *at;
    unsigned c;

    *ret_n = 1;
    if (left < 2) {
        out[0] = *p;
        return left;
    }
    at = p[1] == '\0' ? NULL : strchr(letters, p[1]);
    if (at != NULL) {
        out[0] = meanings[at - letters];
        return 2;
    }
    if (p[1] != 'u' || left < 6) {
        out[0] = p[1];
        return 2;
    }
    c = hex4(p + 2);
    if (c < 0xd800 || c > 0xdbff || left < 12) {
        *ret_n = put_utf8(c, out);
        return 6;
    }
    *ret_n = put_utf8(0x10000 + ((c & 0x3ff) << 10) + (hex4(p + 8) & 0x3ff), out);
    return 12;
}

size_t json_unescape(const char *raw, size_t len, char *out)
{
    char *to = out;

    for (size_t i = 0; i < len;) {
        const char *slash = memchr(raw + i, '\\', len - i);
        size_t plain = slash == NULL ? len - i : (size_t)(slash - raw) - i;
        char c[4];
        size_t n;

        memcpy(to, raw + i, plain);
        to += plain;
        i += plain;
        if (i == len)
            break;
        i += read_escape(raw + i, len - i, c, &n);
        memcpy(to, c, n);
        to += n;
    }
    return (size_t)(to - out);
}

/* Whether the raw bytes read `text` once unescaped. */
static bool raw_is(struct json_span raw, const char *text, size_t len)
{
    size_t done = 0;

    if (memchr(raw.start, '\\', raw.len) == NULL)
        return raw.len == len && memcmp(raw.start, text, len) == 0;
    for (size_t i = 0; i < raw.len;) {
        char c[4] = {raw.start[i]};
        size_t n = 1;

        i += c[0] == '\\' ? read_escape(raw.start + i, raw.len - i, c, &n) : 1;
        if (n > len - done || memcmp(text + done, c, n) != 0)
            return false;
        done += n;
    }
    return done == len;
}

static struct json_span between_quotes(struct json_span value)
{
    return (struct json_span){value.start + 1, value.len - 2};
}

bool json_string_is(struct json_span value, const char *text, size_t len)
{
    return value.len >= 2 && value.start[0] == '"' && raw_is(between_quotes(value), text, len);
}

char *json_name_copy(struct json_span name, size_t *ret_len)
{
    char *copy = malloc(name.len + 1);

    if (copy == NULL)
        return NULL;
    *ret_len = json_unescape(name.start, name.len, copy);
    copy[*ret_len] = '\0';
    return copy;
}

char *json_string_copy(struct json_span value, size_t *ret_len)
{
    assert(value.len >= 2 && value.start[0] == '"');
    return json_name_copy(between_quotes(value), ret_len);
}

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && json_is_space(*p))
        p++;
    return p;
}

struct buf *json_insert(const char *text, size_t len, const struct strbuf *members)
{
    const char *end = text + len;
    const char *brace = skip_space(text, end), *next;
    size_t head = (size_t)(brace - text) + 1;
    bool comma;
    struct buf *b;

    assert(brace < end && *brace == '{');
    next = skip_space(brace + 1, end);
    comma = next < end && *next != '}';
    b = members->failed ? NULL : buf_space(len + members->len + comma);
    if (b == NULL)
        return NULL;
    memcpy(b->data, text, head);
    memcpy(b->data + head, members->data, members->len);
    if (comma)
        b->data[head + members->len] = ',';
    memcpy(b->data + head + members->len + comma, text + head, len - head);
    return b;
}

/* Behind the string that begins at `p`. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\' && p + 1 < end)
            p++;
    return p < end ? p + 1 : end;
}

/* Behind the value that begins at `p`. */
static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;

    if (*p == '"')
        return skip_string(p, end);
    if (*p != '{' && *p != '[') {
        while (p < end && !json_is_space(*p) && *p != ',' && *p != '}' && *p != ']')
            p++;
        return p;
    }
    while (p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
            continue;
        }
        if (*p == '{' || *p == '[')
            depth++;
        else if (*p == '}' || *p == ']')
            depth--;
        p++;
        if (depth == 0)
            break;
    }
    return p;
}

void json_iter_init(struct json_iter *it, const char *text, size_t len)
{
    const char *end = text + len;
    const char *p = skip_space(text, end);

    *it = (struct json_iter){.p = end, .end = end, .name = {end, 0}, .value = {end, 0}};
    if (p < end && (*p == '{' || *p == '[')) {
        it->object = *p == '{';
        it->p = p + 1;
    }
}

bool json_iter_next(struct json_iter *it)
{
    const char *p = skip_space(it->p, it->end);
    const char *after;

    if (p < it->end && *p == ',')
        p = skip_space(p + 1, it->end);
    if (it->object && p < it->end && *p == '"') {
        after = skip_string(p, it->end);
        it->name = (struct json_span){p + 1, TW_MAX((size_t)(after - p), 2) - 2};
        p = skip_space(after, it->end);
        if (p < it->end && *p == ':')
            p = skip_space(p + 1, it->end);
    }
    after = p < it->end ? skip_value(p, it->end) : p;
    it->p = after;
    it->value = (struct json_span){p, (size_t)(after - p)};
    if (after == p) /* the closing bracket, or the end */
        it->p = it->end;
    return after != p;
}

bool json_member(const char *text, size_t len, const char *name, struct json_span *ret)
{
    size_t name_len = strlen(name);
    struct json_iter it;

    json_iter_init(&it, text, len);
    while (it.object && json_iter_next(&it)) {
        if (raw_is(it.name, name, name_len)) {
            *ret = it.value;
            return true;
        }
    }
    return false;
}
