/*
 * taskwire/plugin.h: the interface between taskwired and the handlers that users write.
 *
 * A plugin is one shared object that includes this header, fills tables, and ends with TW_PLUGIN.
 * It links nothing: the functions declared here are found in the daemon that loads it.
 * plugins/hello/hello.c is the specification; plugins/README.md is the guide.
 *
 * Plain C11, and C++20 (for the designated initialisers). Always use designated initialisers:
 * fields are only ever appended, and a field left out is zero, which means "as before".
 */
#ifndef TASKWIRE_PLUGIN_H
#define TASKWIRE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define TW_EXTERN_C extern "C"
#define TW_BEGIN_DECLS extern "C" {
#define TW_END_DECLS }
#else
#define TW_EXTERN_C extern
#define TW_BEGIN_DECLS
#define TW_END_DECLS
#endif

#if defined(__GNUC__)
#define TW_FORMAT(fmt, args) __attribute__((format(printf, fmt, args)))
#define TW_EXPORT __attribute__((visibility("default")))
#else
#define TW_FORMAT(fmt, args)
#define TW_EXPORT
#endif

TW_BEGIN_DECLS

/* Raised only when a plugin built against an older header can no longer be loaded. */
#define TW_ABI 1u

/* ---- What a handler returns ---------------------------------------------------------------- */

enum tw_outcome {
    TW_OK = 0,     /* done: the reply is sent with status "success" */
    TW_RETRY = 1,  /* could not be done now: the core tries again as the topic's `retry` says */
    TW_REJECT = 2, /* the task itself is wrong: answered 422, never tried again */
    TW_FAIL = 3,   /* went wrong for good: answered 500 */
};
/* Any other value counts as TW_FAIL. */

/* ---- Rules: the contract of a task --------------------------------------------------------- */

enum tw_type {
    TW_STRING = 1,
    TW_INTEGER, /* a JSON number without fraction that fits 64 bits */
    TW_DECIMAL, /* any JSON number; read exactly with tw_call_decimal() */
    TW_BOOLEAN,
    TW_OBJECT,  /* .rules describe its members */
    TW_ARRAY,   /* .rules describe the members of its items (objects), or .items their type */
    TW_ANY,
};

enum tw_format {
    TW_NO_FORMAT = 0,
    TW_CURRENCY,  /* ISO 4217: three upper-case letters */
    TW_EMAIL,     /* local@domain, as HTML's input element accepts it, at most 254 bytes */
    TW_DATE_TIME, /* RFC 3339 (the profile of ISO 8601): 2026-01-31T12:00:00.5Z */
    TW_UUID,      /* RFC 9562, 36 characters */
};

/* A bound that is present. A bound left out is no bound: a plain zero would be. */
struct tw_bound {
    int64_t value;
    int present;
};
#ifdef __cplusplus
#define TW_N(n) tw_bound{(n), 1}
#else
#define TW_N(n) {(n), 1}
#endif

struct tw_rule {
    const char *field; /* member name; NULL ends nothing: arrays are counted */
    int type;          /* enum tw_type */
    int format;        /* enum tw_format, TW_STRING only */
    struct tw_bound min, max; /* TW_STRING: characters; TW_ARRAY: items; numbers: value, inclusive */
    unsigned char optional;  /* non-zero: may be absent or null. Fields are required otherwise */
    unsigned char allow_nul; /* non-zero: a TW_STRING may hold U+0000 */
    int items;               /* TW_ARRAY of plain values: their enum tw_type */
    const struct tw_rule *rules; /* set by TW_ITEMS or TW_MEMBERS */
    size_t n_rules;
    size_t rule_size;
    const char *help; /* one sentence, for people */
};

#define TW_COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* The rules of the members of each item of an array. */
#define TW_ITEMS(array) .rules = (array), .n_rules = TW_COUNT(array), .rule_size = sizeof((array)[0])
/* The rules of the members of an object. */
#define TW_MEMBERS(array) TW_ITEMS(array)

/* ---- Options: the plugin's own section of the configuration --------------------------------- */

enum tw_option_type {
    TW_OPT_STRING = 1, /* default_text */
    TW_OPT_INTEGER,    /* default_number; min, max */
    TW_OPT_BOOLEAN,    /* default_number 0 or 1 */
    TW_OPT_DURATION,   /* nanoseconds; written "300ms", "30s" */
};

struct tw_option {
    const char *name;
    int type; /* enum tw_option_type */
    const char *default_text;
    int64_t default_number;
    struct tw_bound min, max; /* TW_OPT_INTEGER and TW_OPT_DURATION (ns), inclusive */
    const char *help;
};

/* ---- Handlers and the plugin ---------------------------------------------------------------- */

struct tw_call; /* one task in one handler; valid until the function that got it returns */
struct tw_init; /* what init() is given; valid until init() returns */

struct tw_handler {
    const char *name; /* [a-z0-9-]{1,64}; what a topic's `handler:` names; unique among all plugins */

    /*
     * Checks what rules cannot say, after the rules held. Optional. Runs on an HTTP thread and
     * again on a worker thread, several at once: it must not block, must use under 16 KB of stack,
     * and must not change `state`. Returns TW_OK, or what tw_call_reject() returned.
     */
    int (*validate)(struct tw_call *call, void *state);

    /*
     * Does the work. Runs on a worker thread, which it may block; tasks with the same key never
     * run at once, others do: what `state` holds must be guarded by the plugin.
     */
    int (*handle)(struct tw_call *call, void *state);

    const struct tw_rule *rules; /* set by TW_RULES */
    size_t n_rules;
    size_t rule_size;
    const char *help; /* one sentence, for people */
};

#define TW_RULES(array) .rules = (array), .n_rules = TW_COUNT(array), .rule_size = sizeof((array)[0])

struct tw_plugin {
    size_t size; /* of this struct, as the plugin was built; set by TW_PLUGIN */
    const char *name;
    const char *version;
    const struct tw_handler *handlers; /* set by TW_HANDLERS */
    size_t n_handlers;
    size_t handler_size;
    const struct tw_option *options; /* set by TW_OPTIONS */
    size_t n_options;
    size_t option_size;

    /* Before the first task, on the main thread. Sets *state, which every handler is given. Returns
     * 0, or anything else to stop the start: log why with tw_init_log(). Optional. */
    int (*init)(struct tw_init *init, void **state);

    /* After the last task, on the main thread; only if init() succeeded. Optional. The code is unloaded
     * when it returns: join the plugin's own threads here. */
    void (*fini)(void *state);
};

#define TW_HANDLERS(array)                                                                         \
    .handlers = (array), .n_handlers = TW_COUNT(array), .handler_size = sizeof((array)[0])
#define TW_OPTIONS(array)                                                                          \
    .options = (array), .n_options = TW_COUNT(array), .option_size = sizeof((array)[0])

/* Once in a plugin, at file scope, with a semicolon behind it. */
#define TW_PLUGIN(...)                                                                             \
    TW_EXTERN_C TW_EXPORT const uint32_t tw_plugin_abi;                                            \
    const uint32_t tw_plugin_abi = TW_ABI;                                                         \
    TW_EXTERN_C TW_EXPORT const struct tw_plugin tw_plugin;                                        \
    const struct tw_plugin tw_plugin = {.size = sizeof(struct tw_plugin), __VA_ARGS__}

/* ---- Reading the task ------------------------------------------------------------------------
 * `pointer` is a JSON Pointer (RFC 6901) into the task, made as by printf:
 * tw_call_string(call, "/items/%zu/sku", i). "~" and "/" in a name are written "~0" and "~1".
 * All of these may be called from validate() and handle(), never block, and never fail loudly:
 * a value that is absent, null or of another type gives what is said for each.
 * Strings belong to the call: copy what must outlive it.
 */

/* The text, UTF-8 and NUL-terminated; NULL when it is no string. */
const char *tw_call_string(struct tw_call *call, const char *pointer, ...) TW_FORMAT(2, 3);

/* The same with its length in bytes, for strings that may hold NUL. `ret_len` may not be NULL. */
const char *tw_call_string_len(struct tw_call *call, size_t *ret_len, const char *pointer, ...)
    TW_FORMAT(3, 4);

/* 0 and the value in *ret, or -1 with *ret untouched (not an integer, or beyond 64 bits). */
int tw_call_integer(struct tw_call *call, int64_t *ret, const char *pointer, ...) TW_FORMAT(3, 4);

/*
 * A number times 10^scale, exactly, from its source text: with scale 2, 12.3 gives 1230.
 * 0 and the value in *ret, or -1 with *ret untouched: no number, more decimals than `scale`
 * (trailing zeros do not count), beyond 64 bits, or scale above 18.
 */
int tw_call_decimal(struct tw_call *call, unsigned scale, int64_t *ret, const char *pointer, ...)
    TW_FORMAT(4, 5);

/* 0 and 0 or 1 in *ret, or -1 with *ret untouched. */
int tw_call_boolean(struct tw_call *call, int *ret, const char *pointer, ...) TW_FORMAT(3, 4);

/* A string as RFC 3339 writes times ("2026-01-31T12:00:00Z"), in nanoseconds since
 * 1970-01-01T00:00:00Z. 0 and the value in *ret, or -1 with *ret untouched. */
int tw_call_time(struct tw_call *call, int64_t *ret, const char *pointer, ...) TW_FORMAT(3, 4);

/* The number of items of an array or members of an object, else 0. */
size_t tw_call_count(struct tw_call *call, const char *pointer, ...) TW_FORMAT(2, 3);

/* Non-zero when there is such a value and it is not null. */
int tw_call_has(struct tw_call *call, const char *pointer, ...) TW_FORMAT(2, 3);

/* The whole task as the client wrote it, JSON text of *ret_len bytes, NUL-terminated. */
const char *tw_call_json(struct tw_call *call, size_t *ret_len);

/* The task's id, and the name of its topic. Never NULL. */
const char *tw_call_id(struct tw_call *call);
const char *tw_call_topic(struct tw_call *call);

/* The wall clock, nanoseconds since 1970-01-01T00:00:00Z. The same for all of one call. */
int64_t tw_call_now(struct tw_call *call);

/*
 * 1 when the task may have been run before, wholly or in part: its pod ended, or lost the partition,
 * before the task was acknowledged. Ask then, before doing again what must be done once. Else 0.
 */
int tw_call_redelivered(struct tw_call *call);

/* ---- Answering -------------------------------------------------------------------------------
 * Members of the reply's "result", in the order of the calls; a name may be used once. Errors are
 * sticky: every function returns TW_OK, or TW_FAIL from the first error on, so that only the last
 * needs a look; a handler may simply return it. From validate() they return TW_FAIL.
 * `name` and texts are copied.
 */
int tw_call_reply_string(struct tw_call *call, const char *name, const char *text); /* NULL: null */
int tw_call_reply_integer(struct tw_call *call, const char *name, int64_t value);
int tw_call_reply_boolean(struct tw_call *call, const char *name, int value);

/* value / 10^scale as a JSON number: 1230 and 2 give 12.30. Scale is 0 to 18. */
int tw_call_reply_decimal(struct tw_call *call, const char *name, int64_t value, unsigned scale);

/* Any JSON text: an object, an array. Text that is not strict JSON is an error. */
int tw_call_reply_json(struct tw_call *call, const char *name, const char *json, size_t len);

/*
 * Says what is wrong with the task: one entry of the 422's `errors`. May be called several times,
 * at most 100 entries are kept. `detail` is made as by printf and is shown to the client.
 * Returns TW_REJECT.
 */
int tw_call_reject(struct tw_call *call, const char *pointer, const char *detail, ...)
    TW_FORMAT(3, 4);

/* Says why the handler fails: the answer's `error`, shown to the client. The last call counts.
 * Returns TW_FAIL. */
int tw_call_fail(struct tw_call *call, const char *detail, ...) TW_FORMAT(2, 3);

/* ---- Other things a handler may do ----------------------------------------------------------- */

enum tw_log_level { TW_LOG_DEBUG, TW_LOG_INFO, TW_LOG_WARN, TW_LOG_ERROR };

/* One log line, with the plugin's name and the task's id. */
void tw_call_log(struct tw_call *call, int level, const char *fmt, ...) TW_FORMAT(3, 4);

/*
 * Sends a further task, fire and forget: `task` is the JSON object of a task for `topic`, which
 * must be a loaded topic; absent base fields are filled in, its contract is checked.
 * `key` may be NULL: the topic's own rule gives it. The task of this call counts as done only when
 * Kafka has acknowledged the further ones; if that fails, it fails. From handle() only.
 * Returns TW_OK, or TW_FAIL (unknown topic, contract broken, queue full, called from validate()).
 */
int tw_call_publish(struct tw_call *call, const char *topic, const char *key, const char *task,
                    size_t len);

/*
 * Answers later, from any thread: handle() calls tw_call_defer(), keeps what it returns, and
 * returns TW_OK; then exactly one tw_deferred_finish() must follow. Until then the task counts as
 * running: its key waits and it takes one of the topic's `concurrency` places, but no thread.
 * NULL from validate(), on a second call, or when memory is short.
 * The struct tw_call stays valid until tw_deferred_finish() and is then the finisher's: one
 * thread at a time. When the daemon stops, it waits for deferred tasks as long as for running
 * ones (server.drain_timeout); one that finishes later is run again by another pod.
 */
struct tw_deferred;
struct tw_deferred *tw_call_defer(struct tw_call *call);

/* The call of a deferred task, to put its reply together. */
struct tw_call *tw_deferred_call(struct tw_deferred *deferred);

/* Ends it with an enum tw_outcome; `deferred` and its call are gone afterwards. Any thread. */
void tw_deferred_finish(struct tw_deferred *deferred, int outcome);

/* ---- In init() -------------------------------------------------------------------------------
 * The options of the plugin's own section, checked against its table; a name that is not in the
 * table, or of another type, gives NULL, 0. Strings live as long as the plugin.
 */
const char *tw_init_string(struct tw_init *init, const char *name);
int64_t tw_init_integer(struct tw_init *init, const char *name); /* also booleans and durations */
void tw_init_log(struct tw_init *init, int level, const char *fmt, ...) TW_FORMAT(3, 4);

TW_END_DECLS

#endif
