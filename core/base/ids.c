#include "base/ids.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/util.h"

void random_bytes(void *ret, size_t len)
{
    char *p = ret;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            abort(); /* only a kernel without getrandom(2) */
        p += n;
        len -= (size_t)n;
    }
}

/* One system call serves many ids. A byte is used once, then never again. */
static void random_pooled(void *ret, size_t len)
{
    static _Thread_local uint8_t pool[256];
    static _Thread_local size_t left;

    assert(len <= sizeof(pool));
    if (left < len) {
        random_bytes(pool, sizeof(pool));
        left = sizeof(pool);
    }
    left -= len;
    memcpy(ret, pool + left, len);
}

void uuid_v7(struct uuid *ret)
{
    uint64_t ms = (uint64_t)(clock_wall(&clock_system) / NS_PER_MS);

    random_pooled(ret->bytes + 6, 10);
    for (int i = 0; i < 6; i++)
        ret->bytes[i] = (uint8_t)(ms >> (8 * (5 - i)));
    ret->bytes[6] = (uint8_t)((ret->bytes[6] & 0x0f) | 0x70);
    ret->bytes[8] = (uint8_t)((ret->bytes[8] & 0x3f) | 0x80);
}

void uuid_format(const struct uuid *id, char text[static UUID_TEXT_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    char *out = text;

    for (size_t i = 0; i < sizeof(id->bytes); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = hex[id->bytes[i] >> 4];
        *out++ = hex[id->bytes[i] & 0x0f];
    }
    *out = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool uuid_from_wire(const void *data, size_t len, struct uuid *ret)
{
    const char *text = data;
    struct uuid id;
    size_t n = 0;

    if (len == sizeof(id.bytes)) {
        memcpy(ret->bytes, data, len);
        return true;
    }
    if (len != UUID_TEXT_LEN)
        return false;
    for (size_t i = 0; i < len;) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i++] != '-')
                return false;
            continue;
        }
        int high = hex_value(text[i]), low = hex_value(text[i + 1]);

        if (high < 0 || low < 0)
            return false;
        id.bytes[n++] = (uint8_t)(high << 4 | low);
        i += 2;
    }
    *ret = id;
    return true;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool all_of(const char *text, size_t len, size_t max, const char *punctuation)
{
    if (len == 0 || len > max)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(text[i]) && (text[i] == '\0' || strchr(punctuation, text[i]) == NULL))
            return false;
    return true;
}

bool task_id_valid(const char *id, size_t len)
{
    return all_of(id, len, TASK_ID_MAX, "._:-");
}

bool topic_name_valid(const char *name, size_t len)
{
    if (!all_of(name, len, 249, "._-"))
        return false;
    return !(len == 1 && name[0] == '.') && !(len == 2 && memcmp(name, "..", 2) == 0);
}
