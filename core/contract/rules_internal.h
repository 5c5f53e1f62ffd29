/* The compiled form of rules, for rules_compile.c and rules.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <taskwire/plugin.h>

struct rules {
    size_t count;
    struct compiled_rule {
        struct tw_rule rule; /* .field is a copy; .rules is not used */
        size_t field_len;
        struct rules *nested; /* NULL: none */
    } items[];
};
