#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/strbuf.h"

static atomic_int least_level = LOG_LEVEL_INFO;
static atomic_bool as_json;
static atomic_uint_fast64_t dropped;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level least, bool json)
{
    atomic_store(&least_level, least);
    atomic_store(&as_json, json);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return atomic_load(&dropped);
}

static void format_time(char out[static 32])
{
    int64_t now = clock_wall(&clock_system);
    time_t seconds = (time_t)(now / NS_PER_S);
    char day[24];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, 32, "%s.%03dZ", day, (int)(now % NS_PER_S / NS_PER_MS));
}

void log_write(enum log_level level, const char *component, const char *fmt, ...)
{
    STRBUF_CLEANUP struct strbuf text = STRBUF_INIT, line = STRBUF_INIT;
    char when[32];
    va_list ap;

    if (!log_enabled(level))
        return;
    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    format_time(when);
    if (atomic_load(&as_json)) {
        json_begin_object(&line);
        json_member_string(&line, "ts", when);
        json_member_string(&line, "level", level_names[level]);
        json_member_string(&line, "component", component);
        json_key(&line, "msg");
        json_string(&line, text.data, text.len);
        json_end_object(&line);
    } else {
        strbuf_addf(&line, "ts=%s level=%s component=%s msg=", when, level_names[level], component);
        /* A JSON string is a valid logfmt value, and escapes what must be escaped. The writer
         * would put a comma after "=", so the string is made on its own. */
        STRBUF_CLEANUP struct strbuf quoted = STRBUF_INIT;

        json_string(&quoted, text.data, text.len);
        strbuf_add(&line, quoted.data, quoted.len);
        line.failed |= quoted.failed;
    }
    strbuf_addc(&line, '\n');
    if (text.failed || line.failed ||
        write(STDERR_FILENO, line.data, line.len) != (ssize_t)line.len)
        atomic_fetch_add(&dropped, 1);
}
