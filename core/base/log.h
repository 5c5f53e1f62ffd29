/*
 * One line a record on standard error: logfmt, or JSON. Control characters in values are escaped,
 * so a client cannot forge a line. A line that cannot be written is dropped and counted; the
 * service goes on. Any thread; no lock is held while writing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* Before the first thread, and at most once more. Not needed: the default is logfmt from info. */
void log_setup(enum log_level least, bool json);

/* Whether a record of that level would be written. */
bool log_enabled(enum log_level level);

/* `component` is the folder's name. The text needs no final newline. */
void log_write(enum log_level level, const char *component, const char *fmt, ...) TW_PRINTF(3, 4);

/* Lines lost because standard error was closed or full. */
uint64_t log_dropped(void);

#define log_debug(component, ...)                                                                  \
    do {                                                                                           \
        if (log_enabled(LOG_LEVEL_DEBUG))                                                          \
            log_write(LOG_LEVEL_DEBUG, component, __VA_ARGS__);                                    \
    } while (0)
#define log_info(component, ...) log_write(LOG_LEVEL_INFO, component, __VA_ARGS__)
#define log_warn(component, ...) log_write(LOG_LEVEL_WARN, component, __VA_ARGS__)
#define log_error(component, ...) log_write(LOG_LEVEL_ERROR, component, __VA_ARGS__)
