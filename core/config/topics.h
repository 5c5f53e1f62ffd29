/* The files of topics.d. */
#pragma once

#include "config/tree.h"

/* Reads <directory of `path`>/topics.d/<any>.yaml, in order of name, and checks them together. */
void topics_read(struct config *c, const char *path, getenv_fn *env, struct config_report *report);
void topics_done(struct config *c);
