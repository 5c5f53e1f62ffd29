/*
 * One pod: everything wired together, started in order, stopped in reverse. Main thread only.
 *
 * Start:  plugins loaded, plugins initialised, kafka clients made, store, orchestrator, timer,
 *         workers, kafka threads, HTTP.
 * Stop:   not ready and draining; those who wait are answered, or told where to ask; HTTP ends; no
 *         record is started, what runs ends; offsets committed and group left; producer flushed;
 *         threads joined; everything freed.
 */
#pragma once

#include <stdbool.h>

#include "config/config.h"

struct pod;

struct pod_setup {
    const struct config *config;
    bool dev;
    const char *plugin_directory;
    void (*fatal)(void *ctx); /* any thread: the pod cannot go on; only wakes */
    void *fatal_ctx;
};

/* Loads plugins and checks the configuration against them. Errors go to `report`. Returns 0 or a
 * negative errno. */
int pod_new(const struct pod_setup *setup, struct config_report *report, struct pod **ret);

/* Whether it shares a store with other pods. */
bool pod_shares(const struct pod *pod);

/* 0, or a negative errno with one sentence in *ret_why (heap). */
int pod_start(struct pod *pod, char **ret_why);

/* The address that is listened on, and the embedded broker's or NULL. */
int pod_port(const struct pod *pod);
const char *pod_broker(const struct pod *pod);

/* False when something still ran at the end: then it must not be freed. */
bool pod_stop(struct pod *pod);
void pod_free(struct pod *pod); /* may be NULL */
