#include "base/json_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"

/* A value that follows another value needs a comma; the last byte tells. */
static void separate(struct strbuf *sb)
{
    char last;

    if (sb->len == 0)
        return;
    last = sb->data[sb->len - 1];
    if (last != '{' && last != '[' && last != ':' && last != ',')
        strbuf_addc(sb, ',');
}

void json_begin_object(struct strbuf *sb)
{
    separate(sb);
    strbuf_addc(sb, '{');
}

void json_end_object(struct strbuf *sb)
{
    strbuf_addc(sb, '}');
}

void json_begin_array(struct strbuf *sb)
{
    separate(sb);
    strbuf_addc(sb, '[');
}

void json_end_array(struct strbuf *sb)
{
    strbuf_addc(sb, ']');
}

void json_key(struct strbuf *sb, const char *key)
{
    json_stringz(sb, key);
    strbuf_addc(sb, ':');
}

static void add_escaped(struct strbuf *sb, char c)
{
    static const char short_form[] = "\b\f\n\r\t\"\\";
    static const char letter[] = "bfnrt\"\\";
    const char *at = strchr(short_form, c);

    if (c != '\0' && at != NULL) {
        strbuf_addc(sb, '\\');
        strbuf_addc(sb, letter[at - short_form]);
    } else {
        strbuf_addf(sb, "\\u%04x", (unsigned)(unsigned char)c);
    }
}

void json_string(struct strbuf *sb, const char *text, size_t len)
{
    size_t start = 0, i = 0;

    separate(sb);
    strbuf_addc(sb, '"');
    while (i < len) {
        unsigned char c = (unsigned char)text[i];
        size_t n = utf8_sequence(text + i, len - i);

        if (n > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            i += n;
            continue;
        }
        strbuf_add(sb, text + start, i - start);
        if (n == 0)
            strbuf_addz(sb, "\xef\xbf\xbd");
        else
            add_escaped(sb, text[i]);
        start = ++i;
    }
    strbuf_add(sb, text + start, len - start);
    strbuf_addc(sb, '"');
}

void json_stringz(struct strbuf *sb, const char *text)
{
    if (text == NULL)
        json_null(sb);
    else
        json_string(sb, text, strlen(text));
}

void json_int(struct strbuf *sb, int64_t value)
{
    separate(sb);
    strbuf_add_int(sb, value);
}

void json_boolean(struct strbuf *sb, bool value)
{
    separate(sb);
    strbuf_addz(sb, value ? "true" : "false");
}

void json_null(struct strbuf *sb)
{
    separate(sb);
    strbuf_addz(sb, "null");
}

void json_seconds(struct strbuf *sb, int64_t ns)
{
    int64_t ms = ns % NS_PER_S / NS_PER_MS;
    char fraction[4] = {'.'};

    separate(sb);
    strbuf_add_int(sb, ns / NS_PER_S);
    fraction[1] = (char)('0' + ms / 100);
    fraction[2] = (char)('0' + ms / 10 % 10);
    fraction[3] = (char)('0' + ms % 10);
    strbuf_add(sb, fraction, sizeof(fraction));
}

void json_raw(struct strbuf *sb, const char *json, size_t len)
{
    separate(sb);
    strbuf_add(sb, json, len);
}

void json_member_string(struct strbuf *sb, const char *key, const char *text)
{
    json_key(sb, key);
    json_stringz(sb, text);
}

void json_member_int(struct strbuf *sb, const char *key, int64_t value)
{
    json_key(sb, key);
    json_int(sb, value);
}

void json_member_boolean(struct strbuf *sb, const char *key, bool value)
{
    json_key(sb, key);
    json_boolean(sb, value);
}

void json_member_seconds(struct strbuf *sb, const char *key, int64_t ns)
{
    json_key(sb, key);
    json_seconds(sb, ns);
}
