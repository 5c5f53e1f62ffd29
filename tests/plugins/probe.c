/*
 * The handler of the black-box tests: does what the task says, well or badly, and notes every effect
 * in a file (option `log`), appended by one write: "begin <id>", "end <id>". A run that was told that it
 * may not be the first writes a line "redelivered <id>" right before its "begin <id>".
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <taskwire/plugin.h>

static const struct tw_rule probe_rules[] = {
    {.field = "do", .type = TW_STRING, .optional = 1, .help = "see probe_handle()"},
    {.field = "ms", .type = TW_INTEGER, .min = TW_N(0), .max = TW_N(60000), .optional = 1},
    {.field = "bytes", .type = TW_INTEGER, .min = TW_N(0), .optional = 1},
    {.field = "until", .type = TW_STRING, .optional = 1, .help = "a file: works until it exists"},
};

static const struct tw_option probe_options[] = {
    {.name = "log", .type = TW_OPT_STRING, .default_text = ""},
};

static void append(const int *fd, const char *text, int len)
{
    if (*fd >= 0 && write(*fd, text, (size_t)len) != len)
        abort();
}

static void note_begin(struct tw_call *call, const int *fd)
{
    const char *id = tw_call_id(call);
    char text[512];
    int len = tw_call_redelivered(call)
                  ? snprintf(text, sizeof(text), "redelivered %s\nbegin %s\n", id, id)
                  : snprintf(text, sizeof(text), "begin %s\n", id);

    append(fd, text, len);
}

static void note_end(struct tw_call *call, const int *fd)
{
    char text[256];

    append(fd, text, snprintf(text, sizeof(text), "end %s\n", tw_call_id(call)));
}

static void work(struct tw_call *call)
{
    const char *until = tw_call_string(call, "/until");
    int64_t ms = 0;

    tw_call_integer(call, &ms, "/ms");
    poll(NULL, 0, (int)ms); /* work that takes time */
    while (until != NULL && access(until, F_OK) != 0)
        poll(NULL, 0, 2);
}

static int answer(struct tw_call *call)
{
    size_t len;
    const char *json = tw_call_json(call, &len);
    int64_t bytes = 0;

    tw_call_integer(call, &bytes, "/bytes");
    if (bytes > 0) {
        char *text = malloc((size_t)bytes + 1);
        int outcome;

        if (text == NULL)
            return tw_call_fail(call, "out of memory");
        memset(text, 'x', (size_t)bytes);
        text[bytes] = '\0';
        outcome = tw_call_reply_string(call, "text", text);
        free(text);
        return outcome;
    }
    return tw_call_reply_json(call, "echo", json, len);
}

/* A thread that finishes a deferred task; fini() joins them all. */
struct finisher {
    pthread_t thread;
    struct tw_deferred *deferred;
    struct finisher *next;
};

static struct finisher *finishers;
static pthread_mutex_t finishers_lock = PTHREAD_MUTEX_INITIALIZER;

static void *finish(void *arg)
{
    struct tw_deferred *deferred = ((struct finisher *)arg)->deferred;
    struct tw_call *call = tw_deferred_call(deferred);

    work(call);
    tw_deferred_finish(deferred, answer(call));
    return NULL;
}

static int defer(struct tw_call *call)
{
    struct finisher *f = calloc(1, sizeof(*f));

    f->deferred = tw_call_defer(call);
    if (pthread_create(&f->thread, NULL, finish, f) != 0)
        abort();
    pthread_mutex_lock(&finishers_lock);
    f->next = finishers;
    finishers = f;
    pthread_mutex_unlock(&finishers_lock);
    return TW_OK;
}

static int probe_handle(struct tw_call *call, void *state)
{
    const char *what = tw_call_string(call, "/do");
    int outcome;

    note_begin(call, state);
    if (what == NULL)
        what = "answer";
    if (strcmp(what, "defer") == 0)
        return defer(call);
    work(call);
    if (strcmp(what, "reject") == 0)
        outcome = tw_call_reject(call, "/do", "is what it asks for");
    else if (strcmp(what, "fail") == 0)
        outcome = tw_call_fail(call, "as it was told");
    else if (strcmp(what, "retry") == 0)
        outcome = TW_RETRY;
    else if (strcmp(what, "garbage") == 0)
        outcome = 77;
    else if (strcmp(what, "crash") == 0)
        abort();
    else if (strcmp(what, "exit") == 0)
        exit(3);
    else
        outcome = answer(call);
    note_end(call, state);
    return outcome;
}

static int probe_init(struct tw_init *init, void **state)
{
    static int fd = -1;
    const char *log = tw_init_string(init, "log");

    *state = &fd;
    if (log[0] == '\0')
        return 0;
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        tw_init_log(init, TW_LOG_ERROR, "%s cannot be opened", log);
    return fd < 0;
}

static void probe_fini(void *state)
{
    int *fd = state;

    while (finishers != NULL) {
        struct finisher *f = finishers;

        finishers = f->next;
        pthread_join(f->thread, NULL);
        free(f);
    }
    if (*fd >= 0)
        close(*fd);
}

static const struct tw_handler probe_handlers[] = {
    {.name = "probe", .handle = probe_handle, TW_RULES(probe_rules)},
};

TW_PLUGIN(.name = "probe", .version = "1.0.0", TW_HANDLERS(probe_handlers),
          TW_OPTIONS(probe_options), .init = probe_init, .fini = probe_fini);
