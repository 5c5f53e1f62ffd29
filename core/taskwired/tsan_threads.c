/*
 * Only in ThreadSanitizer builds. gcc 12's runtime does not know C11 threads, which librdkafka starts,
 * and crashes in the first one. These take the place of libc's and start POSIX threads instead.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

struct start {
    thrd_start_t main;
    void *arg;
};

static void *run(void *p)
{
    struct start start = *(struct start *)p;

    free(p);
    return (void *)(intptr_t)start.main(start.arg);
}

__attribute__((visibility("default"))) int thrd_create(thrd_t *ret, thrd_start_t main, void *arg)
{
    struct start *start = malloc(sizeof(*start));

    if (start == NULL)
        return thrd_nomem;
    *start = (struct start){main, arg};
    if (pthread_create(ret, NULL, run, start) == 0)
        return thrd_success;
    free(start);
    return thrd_error;
}

__attribute__((visibility("default"))) int thrd_join(thrd_t thread, int *ret)
{
    void *result;

    if (pthread_join(thread, &result) != 0)
        return thrd_error;
    if (ret != NULL)
        *ret = (int)(intptr_t)result;
    return thrd_success;
}
