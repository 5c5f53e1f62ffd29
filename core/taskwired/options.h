/* The command line. */
#pragma once

#include <stdbool.h>

struct options {
    const char *config; /* heap-free: argv's, or the default */
    bool check, dev;
};

/* Prints --help and --version, and complaints; then returns an exit status. -1: go on. */
int options_parse(int argc, char **argv, struct options *ret);
