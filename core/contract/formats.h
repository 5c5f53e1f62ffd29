/* The formats of strings: enum tw_format of taskwire/plugin.h. For this folder. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

bool format_known(int format);
bool format_matches(int format, const char *text, size_t len);

/* "must be ..." for people. */
const char *format_sentence(int format);
