/* What the files of this folder share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

/* The tw_* functions are what plugins find in the program. */
#pragma GCC visibility push(default)
#include <taskwire/plugin.h>
#pragma GCC visibility pop

#include "base/strbuf.h"
#include "plugin/registry.h"

enum { PUBLICATIONS_MAX = 100 };

struct option_value {
    const struct tw_option *option; /* our copy */
    char *text;
    int64_t number;
};

struct tw_init {
    const struct plugin *plugin;
};

struct plugin {
    struct plugin *next;
    char *path, *name;
    void *library;
    struct tw_plugin table; /* as much of it as the plugin has; the rest is zero */
    struct tw_option *options;
    struct option_value *values;
    void *state;
    bool initialised;
};

struct handler {
    struct handler *next;
    const struct plugin *plugin;
    struct tw_handler table;
    struct rules *rules;
    struct registry *registry;
};

struct registry {
    struct registry_host host;
    struct plugin *plugins;   /* the last loaded first */
    struct handler *handlers, *last_handler; /* in order of loading */
};

struct tw_call {
    const struct handler *handler;
    const char *id, *topic;
    struct json_doc *doc;
    int64_t now;
    bool redelivered;
    bool validating;
    struct violations *violations;

    struct strbuf reply; /* an object without its closing brace; empty: no member yet */
    bool reply_failed;
    char *error;
    struct publication *publications; /* grows up to PUBLICATIONS_MAX */
    size_t n_publications;

    void (*done)(void *ctx, const struct run_result *result);
    void *done_ctx;
    struct tw_deferred *deferred;
};

/* A deferred call. Two threads meet in `arrived`: the one that ran handle(), and the finisher; the second
 * of them ends the call. */
struct tw_deferred {
    struct tw_call *call;
    char *id, *topic;
    atomic_int arrived;
    int outcome;
};

/* loader.c: 0, or -EINVAL with a sentence */
int loader_open(const char *path, struct plugin **ret, char **ret_why);
void plugin_free(struct plugin *p);
int plugin_mistake(char **ret_why, const char *path, const char *fmt, ...) TW_PRINTF(3, 4);

/* options.c */
int options_read(struct plugin *p, const struct plugin_setting *settings, size_t n, char **ret_why);
void options_free(struct plugin *p);

/* call.c, reply.c */
void call_finish(struct tw_call *call, int outcome);
void call_free(struct tw_call *call);
/* The JSON Pointer of a printf-like call resolved; false when there is no such value. */
bool call_value(struct tw_call *call, const char *fmt, va_list ap, struct json_object **ret)
    TW_PRINTF(2, 0);
