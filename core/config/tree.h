/* A YAML file as a tree whose nodes know where they stand. Sole user of libyaml. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

enum node_type { NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node {
    enum node_type type;
    char *place;  /* "file:line:column" */
    char *key;    /* of a member of a map; NULL in lists */
    char *key_place;
    char *text;   /* NODE_SCALAR, expanded */
    bool quoted;
    bool seen;    /* a setting was read from it */
    struct node *first, *last, *next; /* children; sibling */
};

typedef char *getenv_fn(const char *name);

/*
 * Reads a file of at most 1 MiB, 32 levels, 100,000 nodes. Errors go to `report`; NULL when there was
 * one, or memory was short. An empty file is an empty map.
 */
struct node *tree_read(const char *path, getenv_fn *env, struct config_report *report);
void node_free(struct node *node); /* with its children; may be NULL */

/* The member of a map, or NULL; marks it as seen. */
struct node *node_member(struct node *map, const char *key);

/*
 * expand.c: ${VAR}, ${VAR:-default}, $$ for a dollar. Returns a heap string, or NULL with one sentence in
 * `why` (NULL there too: memory is short).
 */
char *expand(const char *text, getenv_fn *env, const char **why);
