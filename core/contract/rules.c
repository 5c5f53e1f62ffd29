#include "contract/rules.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "base/utf8.h"
#include "contract/formats.h"
#include "contract/json.h"
#include "contract/rules_internal.h"

static void add(struct violations *v, const struct strbuf *pointer, const char *detail)
{
    violations_add(v, pointer->len == 0 ? "" : pointer->data, "%s", detail);
}

/* A length or number of items against the bounds. */
static void check_length(const struct tw_rule *r, size_t n, const char *verb, const char *unit,
                         const struct strbuf *pointer, struct violations *v)
{
    if (r->min.present && n < (uint64_t)r->min.value)
        violations_add(v, pointer->data, "must %s at least %" PRId64 " %s%s", verb, r->min.value,
                       unit, r->min.value == 1 ? "" : "s");
    if (r->max.present && n > (uint64_t)r->max.value)
        violations_add(v, pointer->data, "must %s at most %" PRId64 " %s%s", verb, r->max.value,
                       unit, r->max.value == 1 ? "" : "s");
}

static void check_string(const struct tw_rule *r, struct json_object *value,
                         const struct strbuf *pointer, struct violations *v)
{
    const char *text = json_object_get_string(value);
    size_t len = (size_t)json_object_get_string_len(value);

    if (!r->allow_nul && memchr(text, '\0', len) != NULL) {
        add(v, pointer, "must not contain NUL");
        return;
    }
    check_length(r, utf8_length(text, len), "have", "character", pointer, v);
    if (r->format != TW_NO_FORMAT && !format_matches(r->format, text, len))
        add(v, pointer, format_sentence(r->format));
}

/*
 * -1, 0, 1: a number's text against an integer bound, exactly. The integer part decides unless it is
 * equal; then any fraction does. Text whose integer part is beyond 64 bits is above or below all.
 */
static int compare(const char *text, size_t len, int64_t bound)
{
    bool negative = text[0] == '-';
    int64_t whole;

    if (parse_decimal(text, len, 0, &whole))
        return whole < bound ? -1 : whole > bound;
    for (unsigned scale = 1; scale <= 18; scale++) {
        int64_t scaled, limit;

        if (!parse_decimal(text, len, scale, &scaled))
            continue;
        if (__builtin_mul_overflow(bound, (int64_t)1, &limit))
            return negative ? -1 : 1;
        for (unsigned i = 0; i < scale; i++)
            if (__builtin_mul_overflow(limit, 10, &limit))
                return bound > 0 ? -1 : 1; /* the number fits, the bound does not */
        return scaled < limit ? -1 : scaled > limit;
    }
    {
        /* Finer than 18 decimals, or beyond 64 bits: doubles are exact enough to tell which side,
         * and a tie is a fraction too fine for them. */
        double d = strtod(text, NULL);

        if (d < (double)bound)
            return -1;
        if (d > (double)bound)
            return 1;
        return negative ? -1 : 1;
    }
}

static void check_number(const struct tw_rule *r, struct json_object *value,
                         const struct strbuf *pointer, struct violations *v)
{
    size_t len;
    const char *text = json_number_text(value, &len);

    if (r->min.present && compare(text, len, r->min.value) < 0)
        violations_add(v, pointer->data, "must be at least %" PRId64, r->min.value);
    if (r->max.present && compare(text, len, r->max.value) > 0)
        violations_add(v, pointer->data, "must be at most %" PRId64, r->max.value);
}

static bool is_int64(struct json_object *value)
{
    int64_t out;
    size_t len;
    const char *text = json_number_text(value, &len);

    return parse_int(text, len, &out);
}

static const char *type_error(int type, struct json_object *value)
{
    enum json_type is = json_object_get_type(value);

    switch (type) {
    case TW_STRING:
        return is == json_type_string ? NULL : "must be a string";
    case TW_INTEGER:
        if (is == json_type_int && !is_int64(value))
            return "must fit in 64 bits";
        return is == json_type_int ? NULL : "must be an integer";
    case TW_DECIMAL:
        return is == json_type_int || is == json_type_double ? NULL : "must be a number";
    case TW_BOOLEAN:
        return is == json_type_boolean ? NULL : "must be true or false";
    case TW_OBJECT:
        return is == json_type_object ? NULL : "must be an object";
    case TW_ARRAY:
        return is == json_type_array ? NULL : "must be an array";
    default:
        return NULL;
    }
}

static void apply(const struct rules *rules, struct json_object *object, struct strbuf *pointer,
                  struct violations *v);

static void apply_items(const struct compiled_rule *c, struct json_object *array,
                        struct strbuf *pointer, struct violations *v)
{
    size_t n = json_object_array_length(array), len = pointer->len;

    check_length(&c->rule, n, "have", "item", pointer, v);
    if (c->rule.max.present && n > (uint64_t)c->rule.max.value)
        return; /* what is too long is not read to its end */
    for (size_t i = 0; i < n && v->count < VIOLATIONS_MAX; i++) {
        struct json_object *item = json_object_array_get_idx(array, i);
        const char *error = type_error(c->nested != NULL ? TW_OBJECT : c->rule.items, item);

        json_pointer_add_index(pointer, i);
        if (error != NULL)
            add(v, pointer, error);
        else if (c->nested != NULL)
            apply(c->nested, item, pointer, v);
        pointer->len = len;
        pointer->data[len] = '\0';
    }
}

static void apply_one(const struct compiled_rule *c, struct json_object *value,
                      struct strbuf *pointer, struct violations *v)
{
    const char *error = type_error(c->rule.type, value);

    if (error != NULL) {
        add(v, pointer, error);
        return;
    }
    if (c->rule.type == TW_STRING)
        check_string(&c->rule, value, pointer, v);
    else if (c->rule.type == TW_INTEGER || c->rule.type == TW_DECIMAL)
        check_number(&c->rule, value, pointer, v);
    else if (c->rule.type == TW_ARRAY)
        apply_items(c, value, pointer, v);
    else if (c->rule.type == TW_OBJECT && c->nested != NULL)
        apply(c->nested, value, pointer, v);
}

/* Recursive as deep as the rules are, which is at most 16. */
static void apply(const struct rules *rules, struct json_object *object, struct strbuf *pointer,
                  struct violations *v)
{
    size_t len = pointer->len;

    for (size_t i = 0; i < rules->count && !pointer->failed; i++) {
        const struct compiled_rule *c = &rules->items[i];
        struct json_object *value = NULL;
        bool there = json_object_object_get_ex(object, c->rule.field, &value) && value != NULL;

        json_pointer_add(pointer, c->rule.field, c->field_len);
        if (!there && !c->rule.optional)
            add(v, pointer, "is required");
        else if (there && !pointer->failed)
            apply_one(c, value, pointer, v);
        if (pointer->data != NULL) {
            pointer->len = len;
            pointer->data[len] = '\0';
        }
    }
}

void rules_apply(const struct rules *rules, struct json_object *task, struct violations *v)
{
    STRBUF_CLEANUP struct strbuf pointer = STRBUF_INIT;

    if (!json_object_is_type(task, json_type_object))
        return; /* said by task_parse */
    apply(rules, task, &pointer, v);
    if (pointer.failed)
        violations_add(v, "", "cannot be checked: out of memory");
}
