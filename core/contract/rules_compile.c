#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "contract/formats.h"
#include "contract/rules.h"
#include "contract/rules_internal.h"

enum { NESTING_MAX = 16, RULES_MAX = 1000 };

void rules_free(struct rules *rules)
{
    if (rules == NULL)
        return;
    for (size_t i = 0; i < rules->count; i++) {
        free((void *)(uintptr_t)rules->items[i].rule.field); /* our copy */
        rules_free(rules->items[i].nested); /* at most NESTING_MAX deep */
    }
    free(rules);
}

static int mistake(char **ret_why, const char *field, const char *what)
{
    if (asprintf(ret_why, "rule for \"%s\": %s", field == NULL ? "" : field, what) < 0)
        *ret_why = NULL;
    return -EINVAL;
}

static const char *wrong(const struct tw_rule *r)
{
    bool bounded = r->type == TW_STRING || r->type == TW_INTEGER || r->type == TW_DECIMAL ||
                   r->type == TW_ARRAY;

    if (r->field == NULL || r->field[0] == '\0')
        return "no field name";
    if (r->type < TW_STRING || r->type > TW_ANY)
        return "unknown type";
    if (!format_known(r->format))
        return "unknown format";
    if (r->format != TW_NO_FORMAT && r->type != TW_STRING)
        return "only strings have a format";
    if ((r->min.present || r->max.present) && !bounded)
        return "this type has no bounds";
    if (r->min.present && r->max.present && r->min.value > r->max.value)
        return "min is above max";
    if ((r->type == TW_STRING || r->type == TW_ARRAY) &&
        ((r->min.present && r->min.value < 0) || (r->max.present && r->max.value < 0)))
        return "a length cannot be negative";
    if (r->n_rules > 0 && r->type != TW_ARRAY && r->type != TW_OBJECT)
        return "only arrays and objects have rules of their own";
    if (r->items != 0 && (r->type != TW_ARRAY || r->n_rules > 0))
        return "items goes with TW_ARRAY, and without TW_ITEMS";
    if (r->items < 0 || r->items > TW_ANY)
        return "unknown type of items";
    return NULL;
}

static int compile(const struct tw_rule *table, size_t n, size_t rule_size, unsigned depth,
                   struct rules **ret, char **ret_why);

static int compile_one(struct rules *rules, const struct tw_rule *r, unsigned depth, char **ret_why)
{
    struct compiled_rule *c = &rules->items[rules->count];
    const char *why = wrong(r);

    if (why != NULL)
        return mistake(ret_why, r->field, why);
    for (size_t i = 0; i < rules->count; i++)
        if (strcmp(rules->items[i].rule.field, r->field) == 0)
            return mistake(ret_why, r->field, "the field has a rule already");
    c->rule = *r;
    c->rule.field = strdup(r->field);
    if (c->rule.field == NULL)
        return -ENOMEM;
    c->field_len = strlen(r->field);
    rules->count++;
    if (r->n_rules == 0)
        return 0;
    return compile(r->rules, r->n_rules, r->rule_size, depth + 1, &c->nested, ret_why);
}

static int compile(const struct tw_rule *table, size_t n, size_t rule_size, unsigned depth,
                   struct rules **ret, char **ret_why)
{
    struct rules *rules;

    if (depth > NESTING_MAX)
        return mistake(ret_why, NULL, "nested deeper than 16");
    if (n > RULES_MAX || (n > 0 && (table == NULL || rule_size < offsetof(struct tw_rule, items) ||
                                    rule_size > 4096)))
        return mistake(ret_why, NULL, "the table's size cannot be right");
    rules = calloc(1, sizeof(*rules) + n * sizeof(rules->items[0]));
    if (rules == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        struct tw_rule r = {0};
        int error;

        /* the plugin's own element size: its header may be older or newer than ours */
        memcpy(&r, (const char *)table + i * rule_size, TW_MIN(rule_size, sizeof(r)));
        error = compile_one(rules, &r, depth, ret_why);
        if (error < 0) {
            rules_free(rules);
            return error;
        }
    }
    *ret = rules;
    return 0;
}

int rules_compile(const struct tw_rule *table, size_t n, size_t rule_size, struct rules **ret,
                  char **ret_why)
{
    return compile(table, n, rule_size, 0, ret, ret_why);
}

bool rules_have_field(const struct rules *rules, const char *field)
{
    for (size_t i = 0; i < rules->count; i++)
        if (strcmp(rules->items[i].rule.field, field) == 0)
            return true;
    return false;
}
