#include <stdlib.h>

#include "config/config.h"

void config_report_done(struct config_report *report)
{
    strbuf_done(&report->text);
}

TW_PRINTF(4, 0)
static void add(struct config_report *report, const char *place, const char *kind, const char *fmt,
                va_list ap)
{
    strbuf_addf(&report->text, "%s: %s", place, kind);
    strbuf_vaddf(&report->text, fmt, ap);
    strbuf_addc(&report->text, '\n');
}

void config_report_error(struct config_report *report, const char *place, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(report, place, "", fmt, ap);
    va_end(ap);
    report->errors++;
}

void config_report_warning(struct config_report *report, const char *place, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(report, place, "warning: ", fmt, ap);
    va_end(ap);
    report->warnings++;
}
