/* The table of settings.def, read from a tree and from the environment. */
#pragma once

#include "config/tree.h"

/* Fills in the defaults. False when memory is short. */
bool settings_defaults(struct config *c);

/* Reads every setting of the table from the tree of taskwire.yaml. */
void settings_read(struct config *c, struct node *root, struct config_report *report);

/* PORT and the other variables of the reference override the file. */
void settings_environment(struct config *c, getenv_fn *env, struct config_report *report);
void settings_done(struct config *c);
