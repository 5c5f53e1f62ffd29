/*
 * Answers written by the thread that has them. A connection's thread would be woken twice a
 * request: for the answer, and for the next request. Here it waits for the next request only, and
 * who has the answer writes it, without blocking. What cannot be written at once, or is to end the
 * connection, is left to the connection's thread, which a signal wakes.
 *
 *   waiting --answer, written--> WRITTEN --readable, idle for too long--> (back in civetweb)
 *      |   `----answer, not all written, to be closed--> LEFT --written here--> (back)
 *      `-- readable before the answer (a request, or the end of sending): WANTED, waits for it
 *
 * It needs the connection's descriptor, which civetweb does not tell: it is looked for by its
 * addresses, once a connection, when that has been used a few times. And it must not wait for a
 * request that civetweb has read already, behind the one before: so what the connection has brought
 * is compared with what its requests took.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "http/internal.h"
#include "http/sockets.h"

#define WAKE SIGURG /* blocked but while we poll: main() */

enum { WAITING, WRITTEN, LEFT, WANTED = 4 };

/* The request of a connection with which its descriptor is looked for. */
enum { WORTH_FINDING = 4 };

static _Thread_local struct {
    int requests, fd; /* of the connection; fd -1: not known */
    uint64_t taken;   /* bytes, by its requests */
    pid_t thread;
} own;

static void on_wake(int number)
{
    (void)number;
}

void express_thread_init(void)
{
    const struct sigaction action = {.sa_handler = on_wake};

    own.thread = (pid_t)syscall(SYS_gettid);
    sigaction(WAKE, &action, NULL);
}

void express_connection_init(void)
{
    own.requests = 0;
    own.fd = -1;
    own.taken = 0;
}

void express_request_taken(const struct request *r)
{
    own.taken += r->header_size + (uint64_t)TW_MAX(r->content_length, 0);
}

/* Whether civetweb has read nothing that lies behind this request. */
static bool read_up(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    int unread;

    return ioctl(fd, SIOCINQ, &unread) == 0 &&
           getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
           len >=
               offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received) &&
           info.tcpi_bytes_received == own.taken + (uint64_t)unread;
}

struct wanted {
    struct sockaddr_in remote;
    int fd, matches;
};

static void match(void *ctx, int fd, const struct sockaddr_in *remote)
{
    struct wanted *w = ctx;

    if (remote == NULL || remote->sin_port != w->remote.sin_port ||
        remote->sin_addr.s_addr != w->remote.sin_addr.s_addr)
        return;
    w->fd = fd;
    w->matches++;
}

static int find_descriptor(const struct request *r)
{
    struct wanted w = {
        .remote = {.sin_family = AF_INET, .sin_port = htons((in_port_t)r->info->remote_port)}};

    inet_pton(AF_INET, r->info->remote_addr, &w.remote.sin_addr);
    sockets_each(r->server->port, match, &w);
    return w.matches == 1 ? w.fd : -1; /* never the first of several */
}

bool express_begin(struct express *x, struct request *r, struct attempt *a)
{
    if (own.thread == 0 || !keep_alive(r))
        return false;
    if (++own.requests == WORTH_FINDING)
        own.fd = find_descriptor(r);
    if (own.fd < 0 || !read_up(own.fd))
        return false;
    *x = (struct express){.r = r, .attempt = a, .fd = own.fd, .thread = own.thread};
    sem_init(&x->ended, 0, 0);
    return true;
}

void express_done(struct express *x)
{
    sem_destroy(&x->ended);
    strbuf_done(&x->rest);
}

void express_answer(struct express *x)
{
    const struct answer *answer = &x->attempt->waiter.answer;
    struct metrics *metrics = x->r->server->world.metrics;
    pid_t thread = x->thread;
    ssize_t n = 0;
    int state;

    x->r->capture = &x->rest;
    respond_attempt(x->r, x->attempt, answer->kind == ANSWER_ERROR ? answer->error : ERROR_NONE);
    x->r->capture = NULL;
    if (!x->rest.failed)
        n = send(x->fd, x->rest.data, x->rest.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    x->sent = n < 0 ? 0 : (size_t)n;
    x->written = clock_monotonic(&clock_system);
    state = !x->rest.failed && x->sent == x->rest.len && !x->r->close ? WRITTEN : LEFT;
    if (state == WRITTEN) { /* freed where it was made: else each connection's thread keeps some */
        strbuf_done(&x->rest);
        http_waiter_done(&x->attempt->waiter);
    }
    metric_add(metrics, METRIC_HTTP_BUSY, 0, -1);
    metric_add(metrics, METRIC_HTTP_DIRECT, 0, state == WRITTEN);
    /* From here on the struct may be gone, unless its thread has said that it waits for `ended`. */
    if (atomic_exchange(&x->state, state) & WANTED)
        sem_post(&x->ended);
    else if (state == LEFT)
        syscall(SYS_tgkill, getpid(), thread, WAKE); /* not pthread_kill: it may have ended */
}

/* Waits for the answer alone. */
static void await(struct express *x)
{
    if ((atomic_fetch_or(&x->state, WANTED) & ~WANTED) != WAITING)
        return;
    while (sem_wait(&x->ended) != 0) /* a signal */
        ;
}

/* True once there is nothing more to wait for. */
static bool wait_once(struct express *x, int64_t keep_alive_timeout, const sigset_t *mask)
{
    struct pollfd p = {.fd = x->fd, .events = POLLIN | POLLRDHUP};
    int state = atomic_load(&x->state);
    int64_t left = keep_alive_timeout;
    struct timespec timeout;

    if (state == LEFT)
        return true;
    if (state == WRITTEN)
        left = TW_MAX(x->written + keep_alive_timeout - clock_monotonic(&clock_system), 0);
    timeout = (struct timespec){left / NS_PER_S, left % NS_PER_S};
    if (ppoll(&p, 1, &timeout, mask) > 0) {
        await(x); /* who may just have written it, and is not done with us */
        return true;
    }
    if (state == WRITTEN && left == 0) {
        x->r->close = true;
        return true;
    }
    return false;
}

void express_wait(struct express *x)
{
    struct request *r = x->r;
    sigset_t mask;

    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    sigdelset(&mask, WAKE);
    while (!wait_once(x, r->server->world.config->http_keep_alive_timeout, &mask))
        ;
    metric_add(r->server->world.metrics, METRIC_HTTP_BUSY, 0, 1);
    if (x->rest.failed)
        r->close = true;
    else if (x->rest.len > x->sent)
        mg_write(r->conn, x->rest.data + x->sent, x->rest.len - x->sent);
}
