#include "config/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/util.h"

enum { FILE_MAX = 1048576, DEPTH_MAX = 32, NODES_MAX = 100000 };

struct reading {
    const char *path;
    getenv_fn *env;
    struct config_report *report;
    struct node *root;
    struct node *open[DEPTH_MAX]; /* containers, the innermost last */
    size_t depth, nodes;
    char *key, *key_place; /* of the next value in a map */
};

void node_free(struct node *node)
{
    while (node != NULL) { /* children are put in front, so that nothing recurses */
        struct node *next = node->next;

        if (node->first != NULL) {
            node->last->next = next;
            next = node->first;
        }
        free(node->place);
        free(node->key);
        free(node->key_place);
        free(node->text);
        free(node);
        node = next;
    }
}

struct node *node_member(struct node *map, const char *key)
{
    for (struct node *n = map->first; n != NULL; n = n->next)
        if (strcmp(n->key, key) == 0) {
            n->seen = true;
            return n;
        }
    return NULL;
}

static char *place_of(const struct reading *r, const yaml_mark_t *mark)
{
    char *place;

    return asprintf(&place, "%s:%zu:%zu", r->path, mark->line + 1, mark->column + 1) < 0 ? NULL
                                                                                         : place;
}

static bool refuse(struct reading *r, const yaml_mark_t *mark, const char *why)
{
    TW_CLEANUP_FREE char *place = place_of(r, mark);

    config_report_error(r->report, place == NULL ? r->path : place, "%s", why);
    return false;
}

/* Links a new node below the innermost container, under the key that was read. */
static struct node *add(struct reading *r, enum node_type type, const yaml_mark_t *mark)
{
    struct node *parent = r->depth > 0 ? r->open[r->depth - 1] : NULL;
    struct node *node = calloc(1, sizeof(*node));

    if (node == NULL)
        return NULL;
    node->type = type;
    node->place = place_of(r, mark);
    node->key = TW_TAKE_PTR(r->key);
    node->key_place = TW_TAKE_PTR(r->key_place);
    if (parent == NULL)
        r->root = node;
    else if (parent->last == NULL)
        parent->first = parent->last = node;
    else
        parent->last = parent->last->next = node;
    return node->place == NULL ? NULL : node;
}

static bool on_key(struct reading *r, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;

    for (struct node *n = r->open[r->depth - 1]->first; n != NULL; n = n->next)
        if (strcmp(n->key, text) == 0)
            return refuse(r, &e->start_mark, "the key is written twice");
    if (strlen(text) != e->data.scalar.length)
        return refuse(r, &e->start_mark, "NUL in a key");
    r->key = strdup(text);
    r->key_place = place_of(r, &e->start_mark);
    return r->key != NULL && r->key_place != NULL;
}

static bool on_scalar(struct reading *r, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value, *why;
    struct node *node;

    if (r->depth > 0 && r->open[r->depth - 1]->type == NODE_MAP && r->key == NULL)
        return on_key(r, e);
    if (strlen(text) != e->data.scalar.length)
        return refuse(r, &e->start_mark, "NUL in a value");
    node = add(r, NODE_SCALAR, &e->start_mark);
    if (node == NULL)
        return false;
    node->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text = expand(text, r->env, &why);
    if (node->text == NULL && why != NULL) {
        refuse(r, &e->start_mark, why);
        node->text = strdup(""); /* go on: all errors at once */
    }
    return node->text != NULL;
}

static bool on_container(struct reading *r, const yaml_event_t *e, enum node_type type)
{
    struct node *node;

    if (r->depth > 0 && r->open[r->depth - 1]->type == NODE_MAP && r->key == NULL)
        return refuse(r, &e->start_mark, "a key must be a plain text");
    if (r->depth == DEPTH_MAX)
        return refuse(r, &e->start_mark, "nested deeper than 32 levels");
    node = add(r, type, &e->start_mark);
    if (node == NULL)
        return false;
    r->open[r->depth++] = node;
    return true;
}

static bool has_tag(const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return e->data.scalar.tag != NULL || e->data.scalar.anchor != NULL;
    case YAML_SEQUENCE_START_EVENT:
        return e->data.sequence_start.tag != NULL || e->data.sequence_start.anchor != NULL;
    case YAML_MAPPING_START_EVENT:
        return e->data.mapping_start.tag != NULL || e->data.mapping_start.anchor != NULL;
    default:
        return e->type == YAML_ALIAS_EVENT;
    }
}

static bool on_event(struct reading *r, const yaml_event_t *e)
{
    if (has_tag(e))
        return refuse(r, &e->start_mark, "tags, anchors and aliases are not supported");
    if (++r->nodes > NODES_MAX)
        return refuse(r, &e->start_mark, "more than 100000 values");
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(r, e);
    case YAML_MAPPING_START_EVENT:
        return on_container(r, e, NODE_MAP);
    case YAML_SEQUENCE_START_EVENT:
        return on_container(r, e, NODE_LIST);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        r->depth--;
        return true;
    case YAML_DOCUMENT_START_EVENT:
        return r->root == NULL || refuse(r, &e->start_mark, "only one document may stand in a file");
    default:
        return true;
    }
}

static bool parse(struct reading *r, yaml_parser_t *parser)
{
    bool good = true, end = false;

    while (good && !end) {
        yaml_event_t event;

        if (!yaml_parser_parse(parser, &event)) {
            const yaml_mark_t *mark =
                parser->error == YAML_READER_ERROR ? &parser->mark : &parser->problem_mark;

            return refuse(r, mark, parser->problem == NULL ? "no YAML" : parser->problem);
        }
        good = on_event(r, &event);
        end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    return good;
}

static char *slurp(const char *path, struct config_report *report, size_t *ret_len)
{
    FILE *f = fopen(path, "re");
    char *data = f == NULL ? NULL : malloc(FILE_MAX + 1);

    if (f == NULL) {
        config_report_error(report, path, "cannot be read: %s", strerror(errno));
        return NULL;
    }
    if (data != NULL) {
        *ret_len = fread(data, 1, FILE_MAX + 1, f);
        if (ferror(f) || *ret_len > FILE_MAX) {
            config_report_error(report, path, "%s",
                                ferror(f) ? "cannot be read" : "is larger than 1 MiB");
            free(TW_TAKE_PTR(data));
        }
    }
    fclose(f);
    return data;
}

struct node *tree_read(const char *path, getenv_fn *env, struct config_report *report)
{
    struct reading r = {.path = path, .env = env, .report = report};
    size_t len = 0, before = report->errors;
    TW_CLEANUP_FREE char *data = slurp(path, report, &len);
    yaml_parser_t parser;
    bool good = false;

    if (data == NULL)
        return NULL;
    if (yaml_parser_initialize(&parser)) {
        yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&parser, (const unsigned char *)data, len);
        good = parse(&r, &parser);
        yaml_parser_delete(&parser);
    }
    if (good && (r.root == NULL || (r.root->type == NODE_SCALAR && r.root->text[0] == '\0'))) {
        yaml_mark_t start = {0};

        node_free(r.root);
        r.depth = 0;
        good = add(&r, NODE_MAP, &start) != NULL;
    }
    if (good && r.root->type != NODE_MAP) {
        config_report_error(report, r.root->place, "must be a map of settings");
        good = false;
    }
    free(r.key);
    free(r.key_place);
    if (!good && report->errors == before)
        config_report_error(report, path, "out of memory");
    if (!good) {
        node_free(r.root);
        return NULL;
    }
    return r.root;
}
