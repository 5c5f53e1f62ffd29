#include "contract/formats.h"

#include <string.h>

#include <taskwire/plugin.h>

#include "base/datetime.h"
#include "base/ids.h"

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_alnum(char c)
{
    return is_upper(c) || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_label(const char *text, size_t len)
{
    if (len == 0 || len > 63 || text[0] == '-' || text[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(text[i]) && text[i] != '-')
            return false;
    return true;
}

/* What HTML's <input type=email> takes (WHATWG HTML, "valid e-mail address"). */
static bool is_email(const char *text, size_t len)
{
    const char *at = memchr(text, '@', len), *end = text + len, *label;

    if (at == NULL || at == text || len > 254)
        return false;
    for (const char *p = text; p < at; p++)
        if (!is_alnum(*p) && (*p == '\0' || strchr(".!#$%&'*+/=?^_`{|}~-", *p) == NULL))
            return false;
    for (label = at + 1; label <= end;) {
        const char *dot = memchr(label, '.', (size_t)(end - label));

        if (dot == NULL)
            dot = end;
        if (!is_label(label, (size_t)(dot - label)))
            return false;
        label = dot + 1;
    }
    return true;
}

bool format_known(int format)
{
    return format >= TW_NO_FORMAT && format <= TW_UUID;
}

bool format_matches(int format, const char *text, size_t len)
{
    struct uuid id;
    int64_t time;

    switch (format) {
    case TW_CURRENCY:
        return len == 3 && is_upper(text[0]) && is_upper(text[1]) && is_upper(text[2]);
    case TW_EMAIL:
        return is_email(text, len);
    case TW_DATE_TIME:
        return datetime_parse(text, len, &time);
    case TW_UUID:
        return len == UUID_TEXT_LEN && uuid_from_wire(text, len, &id);
    default:
        return true;
    }
}

const char *format_sentence(int format)
{
    switch (format) {
    case TW_CURRENCY:
        return "must be a currency of three upper-case letters (ISO 4217)";
    case TW_EMAIL:
        return "must be an e-mail address";
    case TW_DATE_TIME:
        return "must be a date and time such as 2026-01-31T12:00:00Z (RFC 3339)";
    default:
        return "must be a UUID";
    }
}
