#include "base/strbuf.h"

#include <stdio.h>
#include <string.h>

static bool reserve(struct strbuf *sb, size_t more)
{
    size_t need, cap;
    char *data;

    if (sb->failed)
        return false;
    need = sb->len + more + 1;
    if (need <= sb->cap)
        return true;
    cap = sb->cap == 0 ? 256 : sb->cap;
    while (cap < need)
        cap *= 2;
    data = realloc(sb->data, cap);
    if (data == NULL) {
        sb->failed = true;
        return false;
    }
    sb->data = data;
    sb->cap = cap;
    return true;
}

void strbuf_done(struct strbuf *sb)
{
    free(sb->data);
    *sb = STRBUF_INIT;
}

void strbuf_reset(struct strbuf *sb)
{
    sb->len = 0;
    sb->failed = false;
    if (sb->data != NULL)
        sb->data[0] = '\0';
}

void strbuf_add(struct strbuf *sb, const void *data, size_t len)
{
    if (!reserve(sb, len))
        return;
    if (len > 0)
        memcpy(sb->data + sb->len, data, len);
    sb->len += len;
    sb->data[sb->len] = '\0';
}

void strbuf_addz(struct strbuf *sb, const char *text)
{
    strbuf_add(sb, text, strlen(text));
}

void strbuf_addc(struct strbuf *sb, char c)
{
    strbuf_add(sb, &c, 1);
}

void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap)
{
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0 || !reserve(sb, (size_t)n)) {
        sb->failed = true;
        return;
    }
    vsnprintf(sb->data + sb->len, (size_t)n + 1, fmt, ap);
    sb->len += (size_t)n;
}

void strbuf_add_int(struct strbuf *sb, int64_t value)
{
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    char text[21], *at = text + sizeof(text);

    do
        *--at = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (value < 0)
        *--at = '-';
    strbuf_add(sb, at, (size_t)(text + sizeof(text) - at));
}

void strbuf_addf(struct strbuf *sb, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(sb, fmt, ap);
    va_end(ap);
}

char *strbuf_take(struct strbuf *sb)
{
    char *text;

    strbuf_add(sb, "", 0);
    if (sb->failed) {
        strbuf_done(sb);
        return NULL;
    }
    text = TW_TAKE_PTR(sb->data);
    *sb = STRBUF_INIT;
    return text;
}

struct buf *strbuf_to_buf(const struct strbuf *sb)
{
    return sb->failed ? NULL : buf_new(sb->data, sb->len);
}
