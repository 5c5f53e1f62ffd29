/*
 * Plugins made on the spot: source text, compiled against the public header as it is, as an older one
 * was, or as a newer one could be, into a folder that is gone after the test.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "unit.h"

enum header { HEADER_NOW, HEADER_OLDER, HEADER_NEWER };

static char plugins_folder[64];

static char *plugins_read(const char *path)
{
    struct strbuf text = STRBUF_INIT;
    char part[4096];
    FILE *f = fopen(path, "r");
    size_t n;

    assert_non_null(f);
    while ((n = fread(part, 1, sizeof(part), f)) > 0)
        strbuf_add(&text, part, n);
    fclose(f);
    return strbuf_take(&text);
}

static void plugins_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Every occurrence; fails when there is none. */
static char *plugins_replace(char *text, const char *from, const char *to)
{
    struct strbuf out = STRBUF_INIT;
    const char *at = text, *found;

    assert_non_null(strstr(text, from));
    for (; (found = strstr(at, from)) != NULL; at = found + strlen(from)) {
        strbuf_add(&out, at, (size_t)(found - at));
        strbuf_addz(&out, to);
    }
    strbuf_addz(&out, at);
    free(text);
    return strbuf_take(&out);
}

/* The fields behind which an older header ended, and a newer one would go on. */
static char *plugins_header(enum header which)
{
    static const char help[] = "const char *help;", fini[] = "void (*fini)(void *state);";
    char *text = plugins_read(TW_SOURCE_DIR "/include/taskwire/plugin.h");

    if (which == HEADER_OLDER) {
        text = plugins_replace(text, help, "");
        text = plugins_replace(text, fini, "");
    } else if (which == HEADER_NEWER) {
        text = plugins_replace(text, help, "const char *help; void *future[3];");
        text = plugins_replace(text, fini, "void (*fini)(void *state); void *future[2];");
    }
    return text;
}

static int plugins_setup(void **state)
{
    static const char *const names[] = {"now", "older", "newer"};
    char path[160];

    (void)state;
    strcpy(plugins_folder, "/tmp/taskwire-plugins-XXXXXX");
    assert_non_null(mkdtemp(plugins_folder));
    for (int i = 0; i < 3; i++) {
        char *text = plugins_header((enum header)i);

        snprintf(path, sizeof(path), "%s/%s", plugins_folder, names[i]);
        mkdir(path, 0700);
        snprintf(path, sizeof(path), "%s/%s/taskwire", plugins_folder, names[i]);
        mkdir(path, 0700);
        snprintf(path, sizeof(path), "%s/%s/taskwire/plugin.h", plugins_folder, names[i]);
        plugins_write(path, text);
        free(text);
    }
    return 0;
}

static int plugins_teardown(void **state)
{
    char command[160];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", plugins_folder);
    return system(command);
}

/* Builds <name>.so; `path` gets where it is. */
static void plugins_build(const char *name, enum header header, const char *source,
                          char path[static 160])
{
    static const char *const names[] = {"now", "older", "newer"};
    char command[1024];

    snprintf(path, 160, "%s/%s.c", plugins_folder, name);
    plugins_write(path, source);
    snprintf(command, sizeof(command), "%s -std=c11 -shared -fPIC -I%s/%s %s -o %s/%s.so",
             TW_TEST_CC, plugins_folder, names[header], path, plugins_folder, name);
    assert_int_equal(system(command), 0);
    snprintf(path, 160, "%s/%s.so", plugins_folder, name);
    assert_int_equal(chmod(path, 0700), 0);
}
