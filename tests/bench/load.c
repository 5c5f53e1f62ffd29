/*
 * The load: CONNECTIONS keep-alive connections, spread over the ports, each with one request away.
 * One thread, epoll. Every answer must be 200 and carry the id that was asked for; any other is an
 * error.
 *
 *   warm-up --begin--> measured --end--> what is still away is awaited
 *
 * At begin and end the CPU time and the resident memory of the processes PID are noted.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "samples.h"

enum { MAX_PODS = 16, EVENTS = 64, IN_SIZE = 8192, MAX_ERRORS = 20 };
#define DRAIN (10 * NS_PER_S)

struct connection {
    int fd;
    in_port_t port;
    bool away; /* a request is */
    int64_t sent;
    char id[32];
    size_t in_len;
    char in[IN_SIZE + 1];
};

struct pod {
    in_port_t port;
    long pid;
};

struct usage {
    double cpu;
    long rss_kb;
};

struct load {
    int epoll;
    struct pod pods[MAX_PODS];
    size_t n_pods, n_connections, away;
    struct connection *connections;
    uint32_t run; /* makes ids that no earlier run has used */
    uint64_t next, keys, errors, reconnects;
    int64_t begin, end;
    struct usage at_begin, at_end;
    struct samples samples;
};

static void read_file(const char *name, long pid, char *out, size_t size)
{
    char path[64];
    FILE *f;
    size_t n;

    snprintf(path, sizeof(path), "/proc/%ld/%s", pid, name);
    f = fopen(path, "re");
    if (f == NULL)
        die("a pod is gone");
    n = fread(out, 1, size - 1, f);
    out[n] = '\0';
    fclose(f);
}

/* The sum over all pods. */
static struct usage usage_now(const struct load *l)
{
    struct usage u = {0};
    char text[4096];

    for (size_t i = 0; i < l->n_pods; i++) {
        unsigned long user, kernel;
        const char *at;

        read_file("stat", l->pods[i].pid, text, sizeof(text));
        at = strrchr(text, ')'); /* a name may hold anything; behind it is field 3 */
        if (at == NULL || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                                 &user, &kernel) != 2)
            die("cannot read /proc/PID/stat");
        u.cpu += (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
        read_file("status", l->pods[i].pid, text, sizeof(text));
        at = strstr(text, "VmRSS:");
        u.rss_kb += at == NULL ? 0 : strtol(at + 6, NULL, 10);
    }
    return u;
}

static void connect_to_pod(struct load *l, struct connection *c)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(c->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
        die("cannot connect");
}

static void send_request(struct load *l, struct connection *c)
{
    uint64_t number = l->next++, user = number % l->keys;
    char body[256], text[512];
    int len;

    snprintf(c->id, sizeof(c->id), "%08" PRIx32 "-%08" PRIx64, l->run, number);
    snprintf(body, sizeof(body),
             "{\"id\":\"%s\",\"topic\":\"USER_LOGIN\",\"startTime\":1700000000.123,"
             "\"userId\":\"%05" PRIu64 "\",\"email\":\"user-%05" PRIu64 "@example.com\"}",
             c->id, user, user);
    len = snprintf(text, sizeof(text),
                   "POST /kafka/request/USER_LOGIN HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                   "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                   (unsigned)c->port, strlen(body), body);
    c->sent = now_ns();
    c->in_len = 0;
    if (send(c->fd, text, (size_t)len, MSG_NOSIGNAL) != len) /* the last one was answered: room */
        die("cannot send");
    c->away = true;
    l->away++;
}

static void count_error(struct load *l, const char *what)
{
    if (l->errors++ < MAX_ERRORS)
        fprintf(stderr, "%s\n", what);
    else
        die("too many errors");
}

/* Returns the length of the answer that the buffer begins with, or 0 when it is not all there. */
static size_t answer_length(const struct connection *c, const char **ret_body)
{
    const char *end = strstr(c->in, "\r\n\r\n"), *length = strcasestr(c->in, "\r\nContent-Length:");
    size_t total;

    if (end == NULL)
        return 0;
    if (length == NULL || length > end)
        die("an answer without Content-Length");
    *ret_body = end + 4;
    total = (size_t)(end + 4 - c->in) + strtoul(length + 17, NULL, 10);
    if (total > IN_SIZE)
        die("a larger answer than expected");
    return c->in_len < total ? 0 : total;
}

static void check_answer(struct load *l, const struct connection *c, const char *body)
{
    char expected[48];

    snprintf(expected, sizeof(expected), "\"id\":\"%s\"", c->id);
    if (strncmp(c->in, "HTTP/1.1 200 ", 13) != 0 || strstr(body, expected) == NULL)
        count_error(l, c->in);
}

static void reconnect(struct load *l, struct connection *c)
{
    l->reconnects++;
    close(c->fd);
    connect_to_pod(l, c);
}

static void take_answer(struct load *l, struct connection *c, const char *body)
{
    const char *closing = strcasestr(c->in, "\r\nConnection: close");
    int64_t now = now_ns();

    check_answer(l, c, body);
    if (now >= l->begin && now < l->end)
        samples_add(&l->samples, now - c->sent);
    c->away = false;
    l->away--;
    if (closing != NULL && closing < body)
        reconnect(l, c);
    if (now < l->end)
        send_request(l, c);
}

static void on_readable(struct load *l, struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, IN_SIZE - c->in_len, MSG_DONTWAIT);
    const char *body;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 && c->away) {
        count_error(l, "a connection was closed instead of an answer");
        l->away--;
        c->away = false;
        reconnect(l, c);
        if (now_ns() < l->end)
            send_request(l, c);
    } else if (n <= 0) { /* idle after the end */
        epoll_ctl(l->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    } else {
        c->in_len += (size_t)n;
        c->in[c->in_len] = '\0';
        if (!c->away)
            count_error(l, "bytes that were not asked for");
        else if (answer_length(c, &body) > 0)
            take_answer(l, c, body);
    }
}

static void run(struct load *l)
{
    struct epoll_event events[EVENTS];
    bool begun = false, ended = false;

    for (size_t i = 0; i < l->n_connections; i++)
        send_request(l, &l->connections[i]);
    while (l->away > 0 || !ended) {
        int n = epoll_wait(l->epoll, events, EVENTS, 10);
        int64_t now = now_ns();

        if (!begun && now >= l->begin) {
            begun = true;
            l->at_begin = usage_now(l);
        }
        if (!ended && now >= l->end) {
            ended = true;
            l->at_end = usage_now(l);
        }
        for (int i = 0; i < n; i++)
            on_readable(l, events[i].data.ptr);
        if (now > l->end + DRAIN) {
            fprintf(stderr, "%zu requests were not answered\n", l->away);
            l->errors += l->away;
            return;
        }
    }
}

static void parse_pods(struct load *l, char **arguments, int n)
{
    for (int i = 0; i < n; i++) {
        struct pod *pod = &l->pods[l->n_pods++];

        if (n > MAX_PODS || sscanf(arguments[i], "%hu:%ld", &pod->port, &pod->pid) != 2)
            die("a pod is PORT:PID");
    }
}

int main(int argc, char **argv)
{
    struct load l = {.epoll = epoll_create1(EPOLL_CLOEXEC), .run = (uint32_t)(now_ns() / 1000)};
    double seconds;

    if (argc < 6)
        die("usage: load CONNECTIONS KEYS WARM-SECONDS SECONDS PORT:PID...");
    l.n_connections = strtoul(argv[1], NULL, 10);
    l.keys = strtoul(argv[2], NULL, 10);
    if (l.n_connections < 1 || l.n_connections > 10000 || l.keys < 1 || l.keys > 99999)
        die("1 to 10000 connections, 1 to 99999 keys");
    parse_pods(&l, argv + 5, argc - 5);
    l.connections = calloc(l.n_connections, sizeof(*l.connections));
    if (l.connections == NULL)
        die("out of memory");
    for (size_t i = 0; i < l.n_connections; i++) {
        l.connections[i].port = l.pods[i % l.n_pods].port;
        connect_to_pod(&l, &l.connections[i]);
    }

    seconds = seconds_argument(argv[4]);
    l.begin = now_ns() + (int64_t)(seconds_argument(argv[3]) * 1e9);
    l.end = l.begin + (int64_t)(seconds * 1e9);
    run(&l);

    printf("{");
    samples_print(&l.samples, seconds);
    printf(", \"cpu_seconds\": %.3f, \"rss_kb\": %ld, \"reconnects\": %" PRIu64
           ", \"errors\": %" PRIu64 "}\n",
           l.at_end.cpu - l.at_begin.cpu, l.at_end.rss_kb, l.reconnects, l.errors);
    for (size_t i = 0; i < l.n_connections; i++)
        close(l.connections[i].fd);
    free(l.connections);
    free(l.samples.us);
    close(l.epoll);
    return l.errors == 0 ? 0 : 1;
}
