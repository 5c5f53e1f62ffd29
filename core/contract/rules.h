/*
 * Rules compiled once, applied to each task. The source is the table of a plugin
 * (taskwire/plugin.h), which is copied with the plugin's own element size: a plugin of an older
 * header has shorter elements, one of a newer header longer ones.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "contract/violations.h"

struct json_object;
struct tw_rule;
struct rules; /* immutable, shared by all threads */

/*
 * Compiles `n` rules of `rule_size` bytes each. Returns 0, -ENOMEM, or -EINVAL with one sentence
 * about the table's author's mistake in `ret_why` (a field without name or twice, an unknown type or
 * format, min above max, bounds on a type without bounds, nesting beyond 16): a heap string.
 */
int rules_compile(const struct tw_rule *table, size_t n, size_t rule_size, struct rules **ret,
                  char **ret_why);
void rules_free(struct rules *rules); /* may be NULL */

/* Whether the rules have a top-level field of that name. */
bool rules_have_field(const struct rules *rules, const char *field);

/* Adds what is wrong with `task` (an object) to `v`. Unknown members are allowed. */
void rules_apply(const struct rules *rules, struct json_object *task, struct violations *v);
