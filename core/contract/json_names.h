/* Repeated member names: the part of the scanner that must not become quadratic. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A member's name in the text, without its quotes. */
struct json_name {
    uint64_t hash; /* for json_names.c */
    uint32_t offset;
    uint32_t len;
};

/*
 * Looks for two equal names among those of one object, given in the order of the text; `escaped`
 * says whether any of them holds a backslash. Reorders `names`. Returns 1 with the place of a second
 * occurrence, 0, or -ENOMEM.
 */
int json_names_repeated(const char *text, struct json_name *names, size_t n, bool escaped,
                        size_t *ret_offset);
