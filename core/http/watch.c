/*
 * A time limit for a request's body as a whole. civetweb limits only each read, so a client that
 * drips a byte a second would hold a thread for as long as it likes. Each HTTP thread has a slot that
 * says what it reads until when; the watch looks at the slots twice a second, and cuts a connection
 * whose time is up by shutting its socket down for reading. Which descriptor that is civetweb does
 * not tell: it is found by its two addresses.
 *
 * A slot is idle, reading or being cut; the HTTP thread leaves `reading` by compare-and-swap, so that
 * the descriptor cannot be closed and used anew while it is looked for.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/thread.h"
#include "base/util.h"
#include "http/internal.h"
#include "http/sockets.h"

#define PERIOD (500 * NS_PER_MS)

enum { SLOT_IDLE, SLOT_READING, SLOT_CUTTING, SLOT_CUT };

struct watch_slot {
    atomic_int state;
    int64_t deadline;
    struct sockaddr_in remote;
};

static _Thread_local struct watch_slot *own;

void watch_thread_init(struct http_server *s)
{
    int i = atomic_fetch_add(&s->slots_used, 1);

    if (i < (int)s->world.config->http_threads)
        own = &s->slots[i];
}

void watch_begin(struct request *r)
{
    if (own == NULL)
        return;
    own->deadline = clock_monotonic(&clock_system) + r->server->world.config->http_body_timeout;
    own->remote = (struct sockaddr_in){.sin_family = AF_INET,
                                       .sin_port = htons((in_port_t)r->info->remote_port)};
    inet_pton(AF_INET, r->info->remote_addr, &own->remote.sin_addr);
    atomic_store(&own->state, SLOT_READING);
}

bool watch_end(struct request *r)
{
    int state = SLOT_READING;

    if (own == NULL || atomic_compare_exchange_strong(&own->state, &state, SLOT_IDLE))
        return false;
    pthread_mutex_lock(&r->server->watch_lock); /* until the watch is done with it */
    atomic_store(&own->state, SLOT_IDLE);
    pthread_mutex_unlock(&r->server->watch_lock);
    return true;
}

static void cut_if_same(void *ctx, int fd, const struct sockaddr_in *remote)
{
    const struct watch_slot *slot = ctx;

    if (remote != NULL && remote->sin_port == slot->remote.sin_port &&
        remote->sin_addr.s_addr == slot->remote.sin_addr.s_addr)
        shutdown(fd, SHUT_RD);
}

static void *watch_main(void *arg)
{
    struct http_server *s = arg;

    pthread_mutex_lock(&s->watch_lock);
    while (!s->watch_stop) {
        int64_t now = clock_monotonic(&clock_system);

        for (int i = 0; i < (int)s->world.config->http_threads; i++) {
            int state = SLOT_READING;

            if (atomic_load(&s->slots[i].state) != SLOT_READING || s->slots[i].deadline > now)
                continue;
            if (atomic_compare_exchange_strong(&s->slots[i].state, &state, SLOT_CUTTING)) {
                if (s->slots[i].deadline <= now) /* not a new request's slot meanwhile */
                    sockets_each(s->port, cut_if_same, &s->slots[i]);
                atomic_store(&s->slots[i].state, SLOT_CUT);
            }
        }
        cond_wait_until(&s->watch_wake, &s->watch_lock, now + PERIOD);
    }
    pthread_mutex_unlock(&s->watch_lock);
    return NULL;
}

int watch_start(struct http_server *s)
{
    s->slots = calloc((size_t)s->world.config->http_threads, sizeof(*s->slots));
    if (s->slots == NULL)
        return -ENOMEM;
    pthread_mutex_init(&s->watch_lock, NULL);
    cond_init_monotonic(&s->watch_wake);
    return thread_start(&s->watch_thread, "http-watch", watch_main, s);
}

void watch_stop(struct http_server *s)
{
    pthread_mutex_lock(&s->watch_lock);
    s->watch_stop = true;
    pthread_mutex_unlock(&s->watch_lock);
    pthread_cond_signal(&s->watch_wake);
    pthread_join(s->watch_thread, NULL);
    pthread_cond_destroy(&s->watch_wake);
    pthread_mutex_destroy(&s->watch_lock);
    free(s->slots);
}
