/*
 * Names are compared as they read after unescaping. Small objects, nearly all there are, are
 * compared pairwise as raw bytes. Larger ones are sorted by a hash whose key nobody outside knows:
 * with a fixed hash, a client could make names that all collide and so make us compare every pair.
 * Names with equal hashes are compared byte by byte, so that chance cannot refuse an honest text.
 */
#include "contract/json_names.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/ids.h"
#include "base/util.h"
#include "contract/json_text.h"

enum { PAIRWISE_MAX = 16 };

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static uint64_t hash_key[2];

static void make_key(void)
{
    random_bytes(hash_key, sizeof(hash_key));
}

static inline uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(uint64_t v[static 4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 in the machine's byte order. */
static uint64_t keyed_hash(const char *data, size_t len)
{
    uint64_t v[4] = {
        hash_key[0] ^ UINT64_C(0x736f6d6570736575),
        hash_key[1] ^ UINT64_C(0x646f72616e646f6d),
        hash_key[0] ^ UINT64_C(0x6c7967656e657261),
        hash_key[1] ^ UINT64_C(0x7465646279746573),
    };
    uint64_t word, last = (uint64_t)len << 56;

    for (; len >= sizeof(word); data += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, data, sizeof(word));
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)(unsigned char)data[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Unescapes into *scratch, which is made large enough; a name without escapes is not copied.
 * Returns NULL when memory is short. */
static const char *plain_name(const char *text, const struct json_name *name, char **scratch,
                              size_t *ret_len)
{
    const char *raw = text + name->offset;
    char *copy;

    if (memchr(raw, '\\', name->len) == NULL) {
        *ret_len = name->len;
        return raw;
    }
    copy = realloc(*scratch, name->len);
    if (copy == NULL)
        return NULL;
    *scratch = copy;
    *ret_len = json_unescape(raw, name->len, copy);
    return copy;
}

static int same_name(const char *text, const struct json_name *a, const struct json_name *b)
{
    TW_CLEANUP_FREE char *scratch_a = NULL, *scratch_b = NULL;
    size_t len_a, len_b;
    const char *name_a = plain_name(text, a, &scratch_a, &len_a);
    const char *name_b = plain_name(text, b, &scratch_b, &len_b);

    if (name_a == NULL || name_b == NULL)
        return -ENOMEM;
    return len_a == len_b && memcmp(name_a, name_b, len_a) == 0;
}

static int by_hash(const void *a, const void *b)
{
    const struct json_name *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int repeated_hashed(const char *text, struct json_name *names, size_t n, size_t *ret_offset)
{
    TW_CLEANUP_FREE char *scratch = NULL;
    size_t found = SIZE_MAX;

    pthread_once(&key_once, make_key);
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *name = plain_name(text, &names[i], &scratch, &len);

        if (name == NULL)
            return -ENOMEM;
        names[i].hash = keyed_hash(name, len);
    }
    qsort(names, n, sizeof(*names), by_hash);
    for (size_t i = 1; i < n; i++) {
        for (size_t j = i; j > 0 && names[j - 1].hash == names[i].hash; j--) {
            int r = same_name(text, &names[j - 1], &names[i]);

            if (r < 0)
                return r;
            if (r > 0) {
                found = TW_MIN(found, names[i].offset);
                break;
            }
        }
    }
    if (found == SIZE_MAX)
        return 0;
    *ret_offset = found;
    return 1;
}

int json_names_repeated(const char *text, struct json_name *names, size_t n, bool escaped,
                        size_t *ret_offset)
{
    if (n > PAIRWISE_MAX || (escaped && n > 1))
        return repeated_hashed(text, names, n, ret_offset);
    for (size_t i = 1; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (names[i].len == names[j].len &&
                memcmp(text + names[i].offset, text + names[j].offset, names[i].len) == 0) {
                *ret_offset = names[i].offset;
                return 1;
            }
        }
    }
    return 0;
}
