#include "config/settings.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/util.h"
#include "config/scalar.h"

#define S NS_PER_S
#define MS NS_PER_MS
#define KIB (INT64_C(1) << 10)
#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)

enum setting_type { STRING, INT, SIZE, DURATION, BOOL, LIST, ENUM };

static const struct setting {
    const char *section, *key;
    enum setting_type type;
    size_t offset;
    const char *initial; /* default as text */
    int64_t min, max;
    const char *help;
} table[] = {
#define SETTING(section, key, type, field, initial, min, max, help)                                \
    {#section, #key, type, offsetof(struct config, field), initial, min, max, help},
#include "config/settings.def"
#undef SETTING
};

/* The environment variables of the reference. */
static const struct {
    const char *variable, *section, *key;
} overrides[] = {
    {"KAFKA_BROKERS", "kafka", "brokers"}, {"KAFKA_CLIENT_ID", "kafka", "client_id"},
    {"KAFKA_GROUP_ID", "kafka", "group_id"}, {"REDIS_URL", "redis", "url"},
    {"PORT", "http", "port"},              {"HOSTNAME", "server", "hostname"},
    {"NODE_ENV", "server", "mode"},
};

static void *field(struct config *c, const struct setting *s)
{
    return (char *)c + s->offset;
}

static const char *initial_of(const struct setting *s)
{
    return s->type == ENUM && strchr(s->initial, '=') != NULL ? strchr(s->initial, '=') + 1
                                                              : s->initial;
}

static bool read_setting(struct config *c, const struct setting *s, const struct node *n,
                         struct config_report *report)
{
    char name[64], values[64];

    snprintf(name, sizeof(name), "%s.%s", s->section, s->key);
    switch (s->type) {
    case STRING:
        return read_string(n, name, (size_t)s->min, (size_t)s->max, field(c, s), report);
    case INT:
        return read_int(n, name, s->min, s->max, field(c, s), report);
    case SIZE:
        return read_size(n, name, s->min, s->max, field(c, s), report);
    case DURATION:
        return read_duration(n, name, 0, s->min, s->max, field(c, s), report);
    case BOOL:
        return read_bool(n, name, field(c, s), report);
    case LIST:
        return read_list(n, name, (size_t)s->min, (size_t)s->max, field(c, s), report);
    default:
        snprintf(values, sizeof(values), "%.*s", (int)strcspn(s->initial, "="), s->initial);
        return read_enum(n, name, values, field(c, s), report);
    }
}

/* A value that stands in no file. */
static bool read_text(struct config *c, const struct setting *s, const char *text,
                      const char *place, struct config_report *report)
{
    struct node n = {.type = NODE_SCALAR,
                     .text = (char *)(uintptr_t)text, /* read only */
                     .place = (char *)(uintptr_t)place};

    return read_setting(c, s, &n, report);
}

bool settings_defaults(struct config *c)
{
    struct config_report report = {0};

    for (size_t i = 0; i < TW_ARRAY_LEN(table); i++)
        read_text(c, &table[i], initial_of(&table[i]), table[i].key, &report);
    config_report_done(&report);
    return report.errors == 0; /* a default that is out of range would be our own mistake */
}

void settings_read(struct config *c, struct node *root, struct config_report *report)
{
    static const char sections[] = "server http kafka limits auth redis log plugins";

    for (size_t i = 0; i < TW_ARRAY_LEN(table); i++) {
        struct node *section = node_member(root, table[i].section), *n;

        if (section == NULL || section->type != NODE_MAP)
            continue;
        n = node_member(section, table[i].key);
        if (n != NULL)
            read_setting(c, &table[i], n, report);
    }
    for (struct node *section = root->first; section != NULL; section = section->next) {
        STRBUF_CLEANUP struct strbuf known = STRBUF_INIT;

        if (!section->seen)
            continue;
        if (section->type != NODE_MAP) {
            config_report_error(report, section->place, "%s: expected a map of settings",
                                section->key);
            continue;
        }
        for (size_t i = 0; i < TW_ARRAY_LEN(table); i++)
            if (strcmp(table[i].section, section->key) == 0)
                strbuf_addf(&known, "%s ", table[i].key);
        if (strcmp(section->key, "kafka") == 0)
            strbuf_addz(&known, "properties");
        if (strcmp(section->key, "plugins") == 0)
            strbuf_addz(&known, "options");
        refuse_unknown(section, section->key, known.failed ? "" : known.data, report);
    }
    refuse_unknown(root, "the configuration", sections, report);
}

void settings_environment(struct config *c, getenv_fn *env, struct config_report *report)
{
    for (size_t i = 0; i < TW_ARRAY_LEN(overrides); i++) {
        const char *value = env(overrides[i].variable);
        char place[64];

        if (value == NULL || value[0] == '\0')
            continue;
        snprintf(place, sizeof(place), "environment: %s", overrides[i].variable);
        if (strcmp(overrides[i].variable, "NODE_ENV") == 0 && strcmp(value, "production") != 0 &&
            strcmp(value, "development") != 0) {
            config_report_warning(report, place, "\"%s\" counts as development", value);
            value = "development";
        }
        for (size_t s = 0; s < TW_ARRAY_LEN(table); s++)
            if (strcmp(table[s].section, overrides[i].section) == 0 &&
                strcmp(table[s].key, overrides[i].key) == 0)
                read_text(c, &table[s], value, place, report);
    }
}

void settings_done(struct config *c)
{
    for (size_t i = 0; i < TW_ARRAY_LEN(table); i++) {
        if (table[i].type == STRING)
            free(*(char **)field(c, &table[i]));
        else if (table[i].type == LIST)
            string_list_done(field(c, &table[i]));
    }
}

void config_help(struct strbuf *out)
{
    for (size_t i = 0; i < TW_ARRAY_LEN(table); i++) {
        const struct setting *s = &table[i];

        strbuf_addf(out, "  %s.%s%*s %s", s->section, s->key,
                    (int)TW_MAX(0, 26 - (int)(strlen(s->section) + strlen(s->key))), "", s->help);
        if (initial_of(s)[0] != '\0')
            strbuf_addf(out, " [%s]", initial_of(s));
        strbuf_addc(out, '\n');
    }
}
