/*
 * Stopping without a reset. mg_stop forgets connections that no thread has yet, and what is in the
 * kernel's queue is reset when the listener closes. So first the door is shut by a socket filter on
 * the listener: who comes now gets no answer to its SYN, and is refused, not reset, when it tries again. Then
 * who is inside is served (not kept alive), and only then civetweb is stopped.
 */
#include <linux/filter.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/thread.h"
#include "base/util.h"
#include "http/internal.h"
#include "http/sockets.h"

/* How long a connection that is idle may still use what it was told of keep-alive. */
#define IDLE_GRACE NS_PER_S
/* The kernel does not tell when its queue of connections is empty. */
#define LOOK_AGAIN (10 * NS_PER_MS)

struct view {
    int listener; /* -1: none */
    int open;
    bool cut; /* idle ones learn that nothing more is read */
};

void stop_init(struct http_server *s)
{
    pthread_mutex_init(&s->closed_lock, NULL);
    cond_init_monotonic(&s->closed);
}

void stop_done(struct http_server *s)
{
    pthread_cond_destroy(&s->closed);
    pthread_mutex_destroy(&s->closed_lock);
}

void stop_on_closed(struct http_server *s)
{
    pthread_cond_signal(&s->closed);
}

static void count(void *ctx, int fd, const struct sockaddr_in *remote)
{
    struct view *v = ctx;

    if (remote == NULL) {
        v->listener = fd;
    } else {
        v->open++;
        if (v->cut)
            shutdown(fd, SHUT_RD);
    }
}

static void shut_door(int listener)
{
    struct sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog program = {.len = 1, .filter = &drop_all};

    setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

/* Whether nobody is left, neither here nor in the kernel's queue. */
static bool empty(const struct http_server *s, struct view *v)
{
    struct pollfd queue;

    *v = (struct view){.listener = -1, .cut = v->cut};
    sockets_each(s->port, count, v);
    queue = (struct pollfd){.fd = v->listener, .events = POLLIN};
    return v->open == 0 && poll(&queue, 1, 0) <= 0;
}

void stop_connections(struct http_server *s, int64_t deadline)
{
    int64_t now = clock_monotonic(&clock_system), grace = TW_MIN(now + IDLE_GRACE, deadline);
    struct view v = {.listener = -1};

    empty(s, &v);
    if (v.listener >= 0)
        shut_door(v.listener);
    pthread_mutex_lock(&s->closed_lock);
    while (!empty(s, &v) && now < deadline) {
        cond_wait_until(&s->closed, &s->closed_lock, now + LOOK_AGAIN);
        now = clock_monotonic(&clock_system);
        v.cut = now >= grace;
    }
    pthread_mutex_unlock(&s->closed_lock);
    if (v.listener >= 0) /* civetweb's thread wakes up, instead of after its 2 s */
        shutdown(v.listener, SHUT_RDWR);
}
