/*
 * The scanner: RFC 8259 and nothing more, in one pass, without recursion. A stack of open containers
 * says what may come next; the names of open objects are collected for json_names_repeated.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"
#include "contract/json_names.h"
#include "contract/json_text.h"

enum { NUMBER_MAX = 128, DEPTH_LIMIT = 512, DEPTH_ON_STACK = 32, NAMES_ON_STACK = 32 };

struct container {
    bool object, escaped;
    size_t first_name;
};

struct scan {
    const char *text;
    size_t len, at;
    unsigned depth;
    const char *why; /* NULL: memory ran short */
    size_t where;
    struct container *stack; /* the open ones */
    struct json_name *names; /* of all open objects */
    size_t n_names, cap_names;
    struct container shallow[DEPTH_ON_STACK];
    struct json_name on_stack[NAMES_ON_STACK];
};

static bool fail(struct scan *s, size_t where, const char *why)
{
    s->where = where;
    s->why = why;
    return false;
}

static void skip_space(struct scan *s)
{
    while (s->at < s->len && json_is_space(s->text[s->at]))
        s->at++;
}

static int hex4(const struct scan *s, size_t at)
{
    int value = 0;

    if (s->len - at < 4)
        return -1;
    for (size_t i = at; i < at + 4; i++) {
        int digit = json_hex_digit(s->text[i]);

        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* The escape at s->at. */
static bool scan_escape(struct scan *s, bool name)
{
    size_t start = s->at;
    int unit, low = -1;
    char c;

    if (s->len - start < 2)
        return fail(s, start, "the string does not end");
    c = s->text[start + 1];
    if (c != 'u') {
        if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL)
            return fail(s, start, "unknown escape");
        s->at += 2;
        return true;
    }
    unit = hex4(s, start + 2);
    if (unit < 0)
        return fail(s, start, "\\u needs four hexadecimal digits");
    if (unit == 0 && name)
        return fail(s, start, "NUL in a member name");
    s->at += 6;
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    if (unit <= 0xdbff && s->len - s->at >= 6 && memcmp(s->text + s->at, "\\u", 2) == 0)
        low = hex4(s, s->at + 2);
    if (low < 0xdc00 || low > 0xdfff)
        return fail(s, start, "lone surrogate");
    s->at += 6;
    return true;
}

/* The string at s->at, with its quotes. */
static bool scan_string(struct scan *s, bool name, bool *ret_escaped)
{
    size_t start = s->at++;

    while (s->at < s->len) {
        unsigned char c = (unsigned char)s->text[s->at];
        size_t n;

        if (c == '"') {
            s->at++;
            return true;
        }
        if (c < 0x20)
            return fail(s, s->at, "control character in a string");
        if (c == '\\') {
            *ret_escaped = true;
            if (!scan_escape(s, name))
                return false;
            continue;
        }
        n = utf8_sequence(s->text + s->at, s->len - s->at);
        if (n == 0)
            return fail(s, s->at, "malformed UTF-8");
        s->at += n;
    }
    return fail(s, start, "the string does not end");
}

static size_t digits(struct scan *s)
{
    size_t start = s->at;

    while (s->at < s->len && json_is_digit(s->text[s->at]))
        s->at++;
    return s->at - start;
}

static bool peek(const struct scan *s, char c)
{
    return s->at < s->len && s->text[s->at] == c;
}

static bool fits(const struct scan *s, size_t start, bool integer, bool exponent)
{
    char text[NUMBER_MAX + 1];
    size_t len = s->at - start;

    if (integer ? len <= 18 : !exponent) /* so few digits fit; so short a number is no infinity */
        return true;
    memcpy(text, s->text + start, len);
    text[len] = '\0';
    if (!integer)
        return isfinite(strtod(text, NULL));
    errno = 0;
    if (text[0] == '-')
        (void)strtoll(text, NULL, 10);
    else
        (void)strtoull(text, NULL, 10);
    return errno == 0;
}

static bool scan_number(struct scan *s)
{
    size_t start = s->at;
    bool integer = true, exponent = false;

    s->at += s->text[s->at] == '-';
    if (peek(s, '0'))
        s->at++;
    else if (digits(s) == 0)
        return fail(s, start, "expected a value");
    if (s->at < s->len && json_is_digit(s->text[s->at]))
        return fail(s, start, "a number may not begin with 0");
    if (peek(s, '.')) {
        integer = false;
        s->at++;
        if (digits(s) == 0)
            return fail(s, start, "expected digits behind the decimal point");
    }
    if (peek(s, 'e') || peek(s, 'E')) {
        integer = false;
        exponent = true;
        s->at++;
        if (peek(s, '+') || peek(s, '-'))
            s->at++;
        if (digits(s) == 0)
            return fail(s, start, "expected digits in the exponent");
    }
    if (s->at - start > NUMBER_MAX)
        return fail(s, start, "number longer than 128 characters");
    if (!fits(s, start, integer, exponent))
        return fail(s, start, integer ? "integer beyond 64 bits" : "number too large");
    return true;
}

static bool scan_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if (s->len - s->at < len || memcmp(s->text + s->at, word, len) != 0)
        return fail(s, s->at, "expected a value");
    s->at += len;
    return true;
}

static bool add_name(struct scan *s, size_t start, size_t len)
{
    if (s->n_names == s->cap_names) {
        struct json_name *names = malloc(2 * s->cap_names * sizeof(*names));

        if (names == NULL)
            return fail(s, start, NULL);
        memcpy(names, s->names, s->n_names * sizeof(*names));
        if (s->names != s->on_stack)
            free(s->names);
        s->names = names;
        s->cap_names *= 2;
    }
    s->names[s->n_names++] = (struct json_name){.offset = (uint32_t)start, .len = (uint32_t)len};
    return true;
}

/* A name and its colon; s->at is behind white space. */
static bool scan_name(struct scan *s)
{
    struct container *c = &s->stack[s->depth - 1];
    size_t start = s->at;

    if (!peek(s, '"'))
        return fail(s, s->at, "expected a member name in double quotes");
    if (!scan_string(s, true, &c->escaped) || !add_name(s, start + 1, s->at - start - 2))
        return false;
    skip_space(s);
    if (!peek(s, ':'))
        return fail(s, s->at, "expected ':' after a member name");
    s->at++;
    return true;
}

static bool close_container(struct scan *s)
{
    const struct container *c = &s->stack[--s->depth];
    size_t offset;
    int r = 0;

    s->at++;
    if (c->object) {
        r = json_names_repeated(s->text, s->names + c->first_name, s->n_names - c->first_name,
                                c->escaped, &offset);
        s->n_names = c->first_name;
    }
    if (r == 0)
        return true;
    return r > 0 ? fail(s, offset - 1, "repeated member name") : fail(s, s->at, NULL);
}

/* Opens a container; *ret_empty: it was closed at once. */
static bool open_container(struct scan *s, unsigned max_depth, bool *ret_empty)
{
    bool object = s->text[s->at] == '{';

    if (s->depth >= max_depth)
        return fail(s, s->at, "nested too deeply");
    if (s->depth == DEPTH_ON_STACK && s->stack == s->shallow) {
        s->stack = malloc(DEPTH_LIMIT * sizeof(*s->stack));
        if (s->stack == NULL) {
            s->stack = s->shallow;
            return fail(s, s->at, NULL);
        }
        memcpy(s->stack, s->shallow, sizeof(s->shallow));
    }
    s->stack[s->depth++] = (struct container){.object = object, .first_name = s->n_names};
    s->at++;
    skip_space(s);
    *ret_empty = peek(s, object ? '}' : ']');
    if (*ret_empty)
        return close_container(s);
    return !object || scan_name(s);
}

/* What stands behind a value, until the next one is due; *ret_end: none is. */
static bool after_value(struct scan *s, bool *ret_end)
{
    for (;;) {
        bool object;

        skip_space(s);
        if (s->depth == 0) {
            *ret_end = true;
            return s->at == s->len || fail(s, s->at, "expected nothing behind the value");
        }
        object = s->stack[s->depth - 1].object;
        if (peek(s, object ? '}' : ']')) {
            if (!close_container(s))
                return false;
            continue;
        }
        if (!peek(s, ','))
            return fail(s, s->at, object ? "expected ',' or '}' after a member"
                                         : "expected ',' or ']' after an item");
        s->at++;
        skip_space(s);
        return !object || scan_name(s);
    }
}

static bool scan_value(struct scan *s, unsigned max_depth, bool *ret_open)
{
    bool escaped, empty;

    *ret_open = false;
    skip_space(s);
    switch (s->at < s->len ? s->text[s->at] : '\0') {
    case '{':
    case '[':
        if (!open_container(s, max_depth, &empty))
            return false;
        *ret_open = !empty;
        return true;
    case '"':
        return scan_string(s, false, &escaped);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        if (s->at < s->len && (s->text[s->at] == '-' || json_is_digit(s->text[s->at])))
            return scan_number(s);
        return fail(s, s->at, "expected a value");
    }
}

static void locate(const struct scan *s, struct json_error *ret)
{
    *ret = (struct json_error){.offset = s->where, .line = 1, .column = 1};
    for (size_t i = 0; i < s->where; i++) {
        ret->column++;
        if (s->text[i] == '\n') {
            ret->line++;
            ret->column = 1;
        }
    }
    snprintf(ret->detail, sizeof(ret->detail), "line %u, column %u: %s", ret->line, ret->column,
             s->why == NULL ? "out of memory" : s->why);
}

int json_check(const char *text, size_t len, unsigned max_depth, struct json_error *ret_error)
{
    struct scan s; /* its arrays are not worth clearing */
    bool end = false, open, good = true;

    s.text = text;
    s.len = len;
    s.at = s.where = s.n_names = 0;
    s.depth = 0;
    s.why = NULL;
    s.stack = s.shallow;
    s.names = s.on_stack;
    s.cap_names = NAMES_ON_STACK;
    if (len > UINT32_MAX)
        good = fail(&s, 0, "the text is too long");
    while (good && !end) {
        good = scan_value(&s, TW_MIN(max_depth, (unsigned)DEPTH_LIMIT), &open);
        if (good && !open)
            good = after_value(&s, &end);
    }
    if (s.names != s.on_stack)
        free(s.names);
    if (s.stack != s.shallow)
        free(s.stack);
    if (!good)
        locate(&s, ret_error);
    return good ? 0 : -EBADMSG;
}
