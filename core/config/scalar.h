/* Scalars of the tree as values. Each adds an error to the report and returns false when it is wrong. */
#pragma once

#include "config/tree.h"

/* The name is for the sentence: "http.port". A NULL node is no error: false. */
bool read_string(const struct node *n, const char *name, size_t min, size_t max, char **ret,
                 struct config_report *report);
bool read_int(const struct node *n, const char *name, int64_t min, int64_t max, int64_t *ret,
              struct config_report *report);
bool read_size(const struct node *n, const char *name, int64_t min, int64_t max, int64_t *ret,
               struct config_report *report);
bool read_duration(const struct node *n, const char *name, int64_t bare_unit, int64_t min,
                   int64_t max, int64_t *ret, struct config_report *report);
bool read_bool(const struct node *n, const char *name, bool *ret, struct config_report *report);
/* `values` are separated by "|". */
bool read_enum(const struct node *n, const char *name, const char *values, int *ret,
               struct config_report *report);
/* A list, or a text with commas. */
bool read_list(const struct node *n, const char *name, size_t min, size_t max,
               struct string_list *ret, struct config_report *report);

/* Every member of `map` that nobody asked for is an error. `known` are separated by blanks. */
void refuse_unknown(const struct node *map, const char *name, const char *known,
                    struct config_report *report);
void string_list_done(struct string_list *list);
