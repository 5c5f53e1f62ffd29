#include "contract/violations.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "base/util.h"

struct violations *violations_new(void)
{
    return tw_zalloc(sizeof(struct violations));
}

void violations_free(struct violations *v)
{
    if (v == NULL)
        return;
    for (size_t i = 0; i < v->count; i++) {
        free(v->items[i].pointer);
        free(v->items[i].detail);
    }
    free(v->items);
    free(v);
}

static bool grow(struct violations *v)
{
    size_t capacity = v->capacity == 0 ? 4 : 2 * v->capacity;
    struct violation *items;

    if (v->count < v->capacity)
        return true;
    items = realloc(v->items, capacity * sizeof(*items));
    if (items == NULL)
        return false;
    v->items = items;
    v->capacity = capacity;
    return true;
}

void violations_vadd(struct violations *v, const char *pointer, const char *detail, va_list ap)
{
    struct strbuf text = STRBUF_INIT;
    struct violation item;

    v->total++;
    if (v->count == VIOLATIONS_MAX || !grow(v)) /* counted all the same */
        return;
    strbuf_vaddf(&text, detail, ap);
    item = (struct violation){.pointer = strdup(pointer), .detail = strbuf_take(&text)};
    if (item.pointer == NULL || item.detail == NULL) {
        free(item.pointer);
        free(item.detail);
        return;
    }
    for (char *p = item.detail; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    v->items[v->count++] = item;
}

void violations_add(struct violations *v, const char *pointer, const char *detail, ...)
{
    va_list ap;

    va_start(ap, detail);
    violations_vadd(v, pointer, detail, ap);
    va_end(ap);
}

void violations_write(const struct violations *v, struct strbuf *out)
{
    json_begin_array(out);
    for (size_t i = 0; i < v->count; i++) {
        json_begin_object(out);
        json_member_string(out, "pointer", v->items[i].pointer);
        json_member_string(out, "detail", v->items[i].detail);
        json_end_object(out);
    }
    json_end_array(out);
}

void violations_summary(const struct violations *v, struct strbuf *out)
{
    for (size_t i = 0; i < v->count; i++)
        strbuf_addf(out, "%s%s%s%s", i > 0 ? "; " : "", v->items[i].pointer,
                    v->items[i].pointer[0] == '\0' ? "" : ": ", v->items[i].detail);
    if (v->total > v->count)
        strbuf_addf(out, "; and %zu more", v->total - v->count);
}
