#include "config/scalar.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/util.h"

static bool is_scalar(const struct node *n, const char *name, struct config_report *report)
{
    if (n == NULL)
        return false;
    if (n->type == NODE_SCALAR)
        return true;
    config_report_error(report, n->place, "%s: expected a single value, not a %s", name,
                        n->type == NODE_MAP ? "map" : "list");
    return false;
}

bool read_string(const struct node *n, const char *name, size_t min, size_t max, char **ret,
                 struct config_report *report)
{
    char *copy;

    if (!is_scalar(n, name, report))
        return false;
    if (strlen(n->text) < min || strlen(n->text) > max) {
        config_report_error(report, n->place, "%s: must have %zu to %zu characters", name, min,
                            max);
        return false;
    }
    copy = strdup(n->text);
    if (copy == NULL) {
        config_report_error(report, n->place, "out of memory");
        return false;
    }
    free(*ret);
    *ret = copy;
    return true;
}

bool read_int(const struct node *n, const char *name, int64_t min, int64_t max, int64_t *ret,
              struct config_report *report)
{
    int64_t value;

    if (!is_scalar(n, name, report))
        return false;
    if (!parse_int(n->text, strlen(n->text), &value))
        config_report_error(report, n->place, "%s: \"%s\" is not a whole number", name, n->text);
    else if (value < min || value > max)
        config_report_error(report, n->place,
                            "%s: %" PRId64 " is not between %" PRId64 " and %" PRId64, name, value,
                            min, max);
    else {
        *ret = value;
        return true;
    }
    return false;
}

bool read_size(const struct node *n, const char *name, int64_t min, int64_t max, int64_t *ret,
               struct config_report *report)
{
    int64_t value;

    if (!is_scalar(n, name, report))
        return false;
    if (!parse_size(n->text, strlen(n->text), &value))
        config_report_error(report, n->place, "%s: \"%s\" is not a size such as 64KiB or 1MiB",
                            name, n->text);
    else if (value < min || value > max)
        config_report_error(report, n->place,
                            "%s: %s is not between %" PRId64 " and %" PRId64 " bytes", name,
                            n->text, min, max);
    else {
        *ret = value;
        return true;
    }
    return false;
}

bool read_duration(const struct node *n, const char *name, int64_t bare_unit, int64_t min,
                   int64_t max, int64_t *ret, struct config_report *report)
{
    char low[24], high[24];
    int64_t value;

    if (!is_scalar(n, name, report))
        return false;
    if (!parse_duration(n->text, strlen(n->text), bare_unit, &value)) {
        config_report_error(report, n->place, "%s: \"%s\" is not a duration such as 300ms or 30s",
                            name, n->text);
    } else if (value < min || value > max) {
        format_duration(min, low);
        format_duration(max, high);
        config_report_error(report, n->place, "%s: %s is not between %s and %s", name, n->text, low,
                            high);
    } else {
        *ret = value;
        return true;
    }
    return false;
}

bool read_bool(const struct node *n, const char *name, bool *ret, struct config_report *report)
{
    bool is_true;

    if (!is_scalar(n, name, report))
        return false;
    is_true = strcmp(n->text, "true") == 0;
    if (!is_true && strcmp(n->text, "false") != 0) {
        config_report_error(report, n->place, "%s: \"%s\" is neither true nor false", name,
                            n->text);
        return false;
    }
    *ret = is_true;
    return true;
}

bool read_enum(const struct node *n, const char *name, const char *values, int *ret,
               struct config_report *report)
{
    const char *p = values;

    if (!is_scalar(n, name, report))
        return false;
    for (int i = 0;; i++) {
        size_t len = strcspn(p, "|");

        if (strlen(n->text) == len && memcmp(n->text, p, len) == 0) {
            *ret = i;
            return true;
        }
        if (p[len] == '\0')
            break;
        p += len + 1;
    }
    config_report_error(report, n->place, "%s: \"%s\" is not one of %s", name, n->text, values);
    return false;
}

void string_list_done(struct string_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct string_list){0};
}

static bool append(struct string_list *list, const char *text, size_t len)
{
    char **items = realloc(list->items, (list->count + 1) * sizeof(*items));

    if (items == NULL)
        return false;
    list->items = items;
    items[list->count] = strndup(text, len);
    if (items[list->count] == NULL)
        return false;
    list->count++;
    return true;
}

/* "a, b" without the blanks; empty pieces do not count */
static bool split(struct string_list *list, const char *text)
{
    while (*text != '\0') {
        size_t len, trimmed;

        text += strspn(text, ", \t");
        len = strcspn(text, ",");
        for (trimmed = len; trimmed > 0 && strchr(" \t", text[trimmed - 1]) != NULL;)
            trimmed--;
        if (trimmed > 0 && !append(list, text, trimmed))
            return false;
        text += len;
    }
    return true;
}

bool read_list(const struct node *n, const char *name, size_t min, size_t max,
               struct string_list *ret, struct config_report *report)
{
    struct string_list list = {0};
    bool good = true;

    if (n == NULL)
        return false;
    if (n->type == NODE_SCALAR)
        good = split(&list, n->text);
    for (const struct node *item = n->first; good && item != NULL; item = item->next)
        good = n->type == NODE_LIST && is_scalar(item, name, report) && split(&list, item->text);
    if (n->type == NODE_MAP)
        config_report_error(report, n->place, "%s: expected a list", name);
    else if (good && (list.count < min || list.count > max))
        config_report_error(report, n->place, "%s: must have %zu to %zu items", name, min, max);
    else if (good) {
        string_list_done(ret);
        *ret = list;
        return true;
    }
    string_list_done(&list);
    return false;
}

/* Levenshtein's distance, for words under 32 characters. */
static size_t distance(const char *a, const char *b, size_t b_len)
{
    size_t row[32], a_len = strlen(a);

    if (a_len >= 32 || b_len >= 32)
        return 32;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t gap = TW_MIN(row[j], row[j - 1]) + 1;

            diagonal = row[j];
            row[j] = TW_MIN(change, gap);
        }
    }
    return row[b_len];
}

void refuse_unknown(const struct node *map, const char *name, const char *known,
                    struct config_report *report)
{
    for (const struct node *n = map->first; n != NULL; n = n->next) {
        const char *best = NULL;
        size_t best_len = 0, least = 3;

        if (n->seen)
            continue;
        for (const char *p = known; *p != '\0';) {
            size_t len = strcspn(p, " "), d = distance(n->key, p, len);

            if (d < least) {
                least = d;
                best = p;
                best_len = len;
            }
            p += len;
            p += strspn(p, " ");
        }
        if (best != NULL)
            config_report_error(report, n->key_place,
                                "unknown key \"%s\" in %s; did you mean \"%.*s\"?", n->key, name,
                                (int)best_len, best);
        else
            config_report_error(report, n->key_place, "unknown key \"%s\" in %s", n->key, name);
    }
}
