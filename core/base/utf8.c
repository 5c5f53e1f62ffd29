#include "base/utf8.h"

#include <stdint.h>

size_t utf8_sequence(const char *p, size_t len)
{
    const uint8_t *s = (const uint8_t *)p;
    uint8_t low = 0x80, high = 0xbf;
    size_t n;

    if (len == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        n = 2;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        n = 3;
        if (s[0] == 0xe0)
            low = 0xa0;
        else if (s[0] == 0xed)
            high = 0x9f;
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        n = 4;
        if (s[0] == 0xf0)
            low = 0x90;
        else if (s[0] == 0xf4)
            high = 0x8f;
    } else {
        return 0;
    }
    if (len < n || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool utf8_valid(const char *p, size_t len)
{
    while (len > 0) {
        size_t n = utf8_sequence(p, len);

        if (n == 0)
            return false;
        p += n;
        len -= n;
    }
    return true;
}

size_t utf8_length(const char *p, size_t len)
{
    size_t count = 0;

    for (size_t i = 0; i < len; i++)
        count += ((uint8_t)p[i] & 0xc0) != 0x80;
    return count;
}
