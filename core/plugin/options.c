/* The plugin's own section of the configuration, checked against its table. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "plugin/internal.h"

void options_free(struct plugin *p)
{
    for (size_t i = 0; p->values != NULL && i < p->table.n_options; i++)
        free(p->values[i].text);
    free(p->values);
    p->values = NULL;
}

static bool in_range(const struct tw_option *o, int64_t value)
{
    return (!o->min.present || value >= o->min.value) && (!o->max.present || value <= o->max.value);
}

/* What is expected, when `text` is not it. */
static const char *read_value(const struct tw_option *o, const char *text, int64_t *ret)
{
    size_t len = strlen(text);

    switch (o->type) {
    case TW_OPT_STRING:
        return NULL;
    case TW_OPT_INTEGER:
        return parse_int(text, len, ret) ? NULL : "a whole number";
    case TW_OPT_BOOLEAN:
        *ret = strcmp(text, "true") == 0;
        return *ret || strcmp(text, "false") == 0 ? NULL : "true or false";
    default:
        return parse_duration(text, len, 0, ret) ? NULL : "a duration such as 300ms or 30s";
    }
}

static int set_value(struct plugin *p, const struct plugin_setting *s, char **ret_why)
{
    for (size_t i = 0; i < p->table.n_options; i++) {
        const struct tw_option *o = &p->options[i];
        const char *expected;
        int64_t number = 0;

        if (strcmp(o->name, s->name) != 0)
            continue;
        expected = read_value(o, s->value, &number);
        if (expected == NULL && o->type != TW_OPT_STRING && !in_range(o, number))
            expected = "a value within the option's bounds";
        if (expected != NULL)
            return plugin_mistake(ret_why, s->place, "option %s of plugin %s: \"%s\" is not %s",
                                  s->name, p->name, s->value, expected);
        free(p->values[i].text);
        p->values[i].text = strdup(s->value);
        p->values[i].number = number;
        return p->values[i].text == NULL ? -ENOMEM : 0;
    }
    return plugin_mistake(ret_why, s->place, "plugin %s has no option \"%s\"", p->name, s->name);
}

int options_read(struct plugin *p, const struct plugin_setting *settings, size_t n, char **ret_why)
{
    size_t count = p->table.n_options;
    int r = 0;

    p->options = calloc(TW_MAX(count, 1), sizeof(*p->options));
    p->values = calloc(TW_MAX(count, 1), sizeof(*p->values));
    if (p->options == NULL || p->values == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct tw_option *o = &p->options[i];

        memcpy(o, (const char *)p->table.options + i * p->table.option_size,
               TW_MIN(p->table.option_size, sizeof(*o)));
        if (o->name == NULL || o->type < TW_OPT_STRING || o->type > TW_OPT_DURATION)
            return plugin_mistake(ret_why, p->path, "option %zu has no name or an unknown type", i);
        p->values[i].option = o;
        p->values[i].number = o->default_number;
        p->values[i].text = o->default_text == NULL ? NULL : strdup(o->default_text);
    }
    for (size_t i = 0; r == 0 && i < n; i++)
        r = set_value(p, &settings[i], ret_why);
    return r;
}

static const struct option_value *find(const struct tw_init *init, const char *name)
{
    for (size_t i = 0; name != NULL && i < init->plugin->table.n_options; i++)
        if (strcmp(init->plugin->options[i].name, name) == 0)
            return &init->plugin->values[i];
    return NULL;
}

const char *tw_init_string(struct tw_init *init, const char *name)
{
    const struct option_value *v = find(init, name);

    return v == NULL || v->option->type != TW_OPT_STRING ? NULL : v->text;
}

int64_t tw_init_integer(struct tw_init *init, const char *name)
{
    const struct option_value *v = find(init, name);

    return v == NULL || v->option->type == TW_OPT_STRING ? 0 : v->number;
}

TW_PRINTF(4, 0)
static void write_log(int level, const char *prefix, const char *id, const char *fmt, va_list ap)
{
    STRBUF_CLEANUP struct strbuf text = STRBUF_INIT;

    strbuf_vaddf(&text, fmt, ap);
    if (level >= TW_LOG_DEBUG && level <= TW_LOG_ERROR && !text.failed)
        log_write((enum log_level)level, "plugin", "%s%s%s: %s", prefix, id == NULL ? "" : " ",
                  id == NULL ? "" : id, text.data == NULL ? "" : text.data);
}

void tw_init_log(struct tw_init *init, int level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    write_log(level, init->plugin->name, NULL, fmt, ap);
    va_end(ap);
}

void tw_call_log(struct tw_call *call, int level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    write_log(level, call->handler->plugin->name, call->id, fmt, ap);
    va_end(ap);
}
