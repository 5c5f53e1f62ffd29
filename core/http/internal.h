/* What the files of this folder share. */
#pragma once

#include <civetweb.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/error.h"
#include "http/server.h"

enum { URI_MAX_LEN = 4096, PATH_SEGMENTS = 8 };

struct http_server {
    struct http_world world;
    struct mg_context *mg;
    atomic_int port;        /* the watch is there before it */
    atomic_int connections; /* each has a thread */
    atomic_bool draining;   /* no connection is kept alive */
    char first_error[256];  /* what civetweb said while it started */
    pthread_mutex_t error_lock;

    /* stop.c */
    pthread_mutex_t closed_lock;
    pthread_cond_t closed; /* monotonic */

    /* watch.c */
    struct watch_slot *slots;
    atomic_int slots_used;
    pthread_t watch_thread;
    pthread_mutex_t watch_lock;
    pthread_cond_t watch_wake; /* monotonic */
    bool watch_stop;
};

/* One request, on its thread's stack. Strings live as long as the request. */
struct request {
    struct http_server *server;
    struct mg_connection *conn;
    const struct mg_request_info *info;
    char *path; /* decoded, segments NUL-terminated: short, or on the heap */
    char short_path[256];
    const char *segments[PATH_SEGMENTS]; /* decoded; "" for an empty one */
    size_t n_segments;
    size_t header_size;       /* with its empty line */
    long long content_length; /* -1: none given */
    struct buf *body;         /* request_read_body */
    bool close;               /* after this answer */
    bool head;                /* no body in the answer */
    struct strbuf *capture;   /* not NULL: answers are put there instead of being sent */
};

/* filter.c: whether the request may reach a route. ERROR_NONE: fills in path and length. */
enum error_code filter_request(struct request *r);
const char *request_header(const struct request *r, const char *name);

/* request.c */
enum error_code request_read_body(struct request *r); /* also checks the content type */
bool request_accepts_json(const struct request *r);
/* ?timeout= and Prefer: wait; false when malformed. */
bool request_wait(const struct request *r, int64_t standard, int64_t *ret);
bool request_query(const struct request *r, const char *name, const char **ret, size_t *ret_len);
void request_discard(struct request *r);

/* respond.c */
bool keep_alive(const struct request *r); /* whether the connection stays open behind the answer */
void respond(struct request *r, int status, const char *type, const char *extra_headers,
             const struct strbuf *body);
void respond_buf(struct request *r, int status, const struct buf *body);
/* `detail` NULL: the error's title. `id`: of the task it is about, or NULL. `extra` as above. */
void respond_error(struct request *r, enum error_code error, const char *detail,
                   const char *extra_headers);
void respond_problem(struct request *r, enum error_code error, const char *detail, const char *id,
                     const struct violations *v, const char *extra_headers);
void problem_write(struct strbuf *out, enum error_code error, const char *detail,
                   const char *instance, const char *id, const struct violations *v);

/* routes.c */
void route_request(struct request *r);

/* wait.c: answers are awaited together by a latch. One of what is `left` is the waiting thread
 * itself, so that the latch opens, and wakes it, once. */
struct latch {
    atomic_size_t left;
    sem_t open;
};

struct http_waiter {
    struct waiter waiter;
    struct latch *latch;
    struct express *express; /* not NULL: it is told, not the latch */
    struct answer answer;    /* its body is a reference of ours */
};

void latch_init(struct latch *latch);
void latch_expect(struct latch *latch);     /* one more to wait for */
void latch_count_down(struct latch *latch); /* any thread; touches nothing afterwards */
void latch_wait(struct latch *latch);       /* once: until every waiter was answered */
void latch_done(struct latch *latch);
/* One more to wait for. */
void http_waiter_init(struct http_waiter *w, struct latch *latch, struct express *express);
void http_waiter_cancel(struct http_waiter *w); /* it will not be answered */
void http_waiter_done(struct http_waiter *w);

/* submit.c: one task from text to submission */
struct attempt {
    struct task *task;
    struct violations *violations;
    enum error_code error; /* ERROR_NONE: submitted */
    char detail[160];      /* ERROR_BAD_JSON: where */
    struct http_waiter waiter;
};

void attempt_begin(struct attempt *a, struct request *r, const struct topic *topic,
                   const char *text, size_t len, const struct message *message, bool reply_wanted,
                   int64_t wait, struct latch *latch, struct express *express);
void attempt_done(struct attempt *a);
/* What became of it once the latch is open: ERROR_NONE, and the answer in a->waiter. */
enum error_code attempt_result(const struct attempt *a);

/* tasks.c, batch.c */
void tasks_send(struct request *r, const struct topic *topic, bool reply_wanted);
void tasks_flat(struct request *r, const struct topic *topic); /* NULL: the body names it */
void tasks_get(struct request *r, const char *id);
void batch_execute(struct request *r);
const struct topic *task_topic(const struct request *r, const char *text, size_t len);

/* express.c: the answer is written by the thread that has it */
struct express {
    struct request *r;
    struct attempt *attempt;
    int fd;
    pid_t thread; /* the connection's */
    atomic_int state;
    sem_t ended;        /* only when the connection's thread has asked for it */
    int64_t written;    /* monotonic */
    struct strbuf rest; /* what the connection's thread has to write */
    size_t sent;        /* of it already */
};
/* False: this request cannot be answered so. */
bool express_begin(struct express *x, struct request *r, struct attempt *a);
void express_answer(struct express *x); /* any thread; never blocks */
/* Until the answer is out and the client has something to say again, or for
 * http.keep_alive_timeout. */
void express_wait(struct express *x);
void express_done(struct express *x);
void express_thread_init(void);
void express_connection_init(void); /* a new connection on this thread */
/* Its header, and the body that it will read. */
void express_request_taken(const struct request *r);

/* tasks.c */
void respond_attempt(struct request *r, const struct attempt *a, enum error_code error);

/* stop.c */
void stop_init(struct http_server *s);
void stop_on_closed(struct http_server *s);
void stop_connections(struct http_server *s, int64_t deadline);
void stop_done(struct http_server *s);

/* watch.c: the body as a whole has a time limit, which civetweb has not */
int watch_start(struct http_server *s);
void watch_stop(struct http_server *s);
void watch_thread_init(struct http_server *s); /* an HTTP thread takes a slot */
void watch_begin(struct request *r);
bool watch_end(struct request *r); /* true: the time was up, the connection was cut */
