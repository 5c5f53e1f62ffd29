#include "orchestrator/wire.h"

#include <string.h>

#include "base/ids.h"

static int32_t decimal(const char *text, size_t len)
{
    int32_t value = 0;

    if (len == 0 || len > 9)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

int32_t wire_reply_partition(const struct bus_header *header)
{
    const uint8_t *b;

    if (header == NULL || header->value == NULL)
        return -1;
    b = header->value;
    if (header->len == 4 && b[0] == 0)
        return (int32_t)b[1] << 16 | (int32_t)b[2] << 8 | b[3];
    return decimal(header->value, header->len);
}

int wire_number(const struct bus_header *header)
{
    int32_t value;

    if (header == NULL || header->value == NULL)
        return 0;
    value = decimal(header->value, header->len);
    return value < 0 ? 0 : value;
}

/* Lower-case hexadecimal, not all zero. */
static bool trace_id(const char *text, size_t len)
{
    bool nonzero = false;

    for (size_t i = 0; i < len; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
        nonzero |= text[i] != '0';
    }
    return nonzero;
}

bool wire_traceparent_valid(const char *text, size_t len)
{
    return len == WIRE_TRACEPARENT_LEN && memcmp(text, "00-", 3) == 0 && trace_id(text + 3, 32) &&
           text[35] == '-' && trace_id(text + 36, 16) && text[52] == '-' &&
           (trace_id(text + 53, 2) || memcmp(text + 53, "00", 2) == 0);
}

static char *put_hex(char *at, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 15];
    }
    return at;
}

void wire_traceparent_new(char out[static WIRE_TRACEPARENT_LEN + 1])
{
    struct uuid trace, span;
    char *at = out + 3;

    /* The version and variant bits keep both ids from being zero. */
    uuid_v7(&trace);
    uuid_v7(&span);
    memcpy(out, "00-", 3);
    at = put_hex(at, trace.bytes, 16);
    *at++ = '-';
    at = put_hex(at, span.bytes + 8, 8);
    memcpy(at, "-01", 4);
}
