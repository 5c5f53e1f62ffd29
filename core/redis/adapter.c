#include <stdlib.h>

#include "redis/internal.h"

struct adapter {
    uv_poll_t handle;
    redisAsyncContext *ac; /* NULL once hiredis has let go */
    int wanted, polled;    /* UV_READABLE, UV_WRITABLE */
};

static void want(void *arg, int events)
{
    ((struct adapter *)arg)->wanted |= events;
}

static void unwant(void *arg, int events)
{
    ((struct adapter *)arg)->wanted &= ~events;
}

static void add_read(void *arg)
{
    want(arg, UV_READABLE);
}

static void del_read(void *arg)
{
    unwant(arg, UV_READABLE);
}

static void add_write(void *arg)
{
    want(arg, UV_WRITABLE);
}

static void del_write(void *arg)
{
    unwant(arg, UV_WRITABLE);
}

static void closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* hiredis frees the context, and closes its descriptor next. */
static void cleanup(void *arg)
{
    struct adapter *a = arg;

    a->ac = NULL;
    uv_poll_stop(&a->handle);
    uv_close((uv_handle_t *)&a->handle, closed);
}

static void polled(uv_poll_t *handle, int status, int events)
{
    struct adapter *a = handle->data;

    if (status < 0) /* an error of the socket: reading finds it, and says so */
        events = UV_READABLE;
    if (a->ac != NULL && (events & UV_READABLE))
        redisAsyncHandleRead(a->ac);
    if (a->ac != NULL && (events & UV_WRITABLE))
        redisAsyncHandleWrite(a->ac);
    if (a->ac != NULL)
        adapter_sync(a);
}

void adapter_sync(struct adapter *a)
{
    if (a->wanted == a->polled)
        return;
    a->polled = a->wanted;
    if (a->wanted == 0)
        uv_poll_stop(&a->handle);
    else
        uv_poll_start(&a->handle, a->wanted, polled);
}

struct adapter *adapter_attach(uv_loop_t *loop, redisAsyncContext *ac)
{
    struct adapter *a = calloc(1, sizeof(*a));

    if (a == NULL || uv_poll_init(loop, &a->handle, ac->c.fd) < 0) {
        free(a);
        return NULL;
    }
    a->handle.data = a;
    a->ac = ac;
    a->wanted = UV_READABLE | UV_WRITABLE; /* the connection */
    ac->ev.data = a;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = cleanup;
    return a;
}
