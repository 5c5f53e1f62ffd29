/* Small macros used everywhere. */
#pragma once

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TW_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define TW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define TW_MIN(a, b) ((a) < (b) ? (a) : (b))
#define TW_MAX(a, b) ((a) > (b) ? (a) : (b))

/* The struct that embeds `member`, from a pointer to that member. */
#define TW_CONTAINER_OF(ptr, type, member)                                                         \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Hands a pointer over: yields it and leaves NULL behind. */
#define TW_TAKE_PTR(p)                                                                             \
    ({                                                                                             \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

/* Zeroed memory, or NULL. For what is made for every request: glibc's calloc, unlike its malloc, does not
 * use the thread's cache. */
static inline void *tw_zalloc(size_t size)
{
    void *p = malloc(size);

    return p == NULL ? NULL : memset(p, 0, size);
}

static inline void tw_freep(void *p)
{
    free(*(void **)p);
}
/* An owning local: freed when it leaves its scope. */
#define TW_CLEANUP_FREE __attribute__((cleanup(tw_freep)))
