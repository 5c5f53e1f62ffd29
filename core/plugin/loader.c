#include <dlfcn.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "plugin/internal.h"

enum { ELEMENTS_MAX = 256, ELEMENT_SIZE_MAX = 4096 };

int plugin_mistake(char **ret_why, const char *path, const char *fmt, ...)
{
    struct strbuf text = STRBUF_INIT;
    va_list ap;

    strbuf_addf(&text, "%s: ", path);
    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    *ret_why = strbuf_take(&text);
    return -EINVAL;
}

void plugin_free(struct plugin *p)
{
    if (p == NULL)
        return;
    options_free(p);
    free(p->options);
    if (p->library != NULL)
        dlclose(p->library);
    free(p->path);
    free(p->name);
    free(p);
}

/* Whoever can write the file or its folder could run code as us. */
static int check_path(const char *path, char **ret_why)
{
    char real[PATH_MAX], *folder;
    struct stat st;

    if (path[0] != '/')
        return plugin_mistake(ret_why, path, "is a relative path; an absolute one is expected");
    if (realpath(path, real) == NULL)
        return plugin_mistake(ret_why, path, "cannot be opened: %s", strerror(errno));
    if (stat(real, &st) < 0 || !S_ISREG(st.st_mode))
        return plugin_mistake(ret_why, path, "is no regular file");
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return plugin_mistake(ret_why, path,
                              "has mode %04o; writable only by its owner is expected",
                              (unsigned)st.st_mode & 07777);
    folder = dirname(real);
    if (stat(folder, &st) < 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
        return plugin_mistake(ret_why, path,
                              "its folder has mode %04o; writable only by its owner is expected",
                              (unsigned)st.st_mode & 07777);
    return 0;
}

static bool array_sound(const void *items, size_t n, size_t size, size_t least)
{
    return n == 0 || (items != NULL && n <= ELEMENTS_MAX && size >= least &&
                      size <= ELEMENT_SIZE_MAX && size % sizeof(void *) == 0);
}

/* The table, with our own size; what an older plugin lacks is zero. */
static int read_table(struct plugin *p, char **ret_why)
{
    const uint32_t *abi = dlsym(p->library, "tw_plugin_abi");
    const struct tw_plugin *table = dlsym(p->library, "tw_plugin");

    if (abi == NULL)
        return plugin_mistake(ret_why, p->path,
                              "is not a taskwire plugin: the symbol tw_plugin_abi is missing");
    if (*abi != TW_ABI)
        return plugin_mistake(ret_why, p->path,
                              "was built for plugin interface %u; this taskwired offers %u", *abi,
                              TW_ABI);
    if (table == NULL)
        return plugin_mistake(ret_why, p->path,
                              "is not a taskwire plugin: the symbol tw_plugin is missing");
    if (table->size < offsetof(struct tw_plugin, init) || table->size > ELEMENT_SIZE_MAX)
        return plugin_mistake(ret_why, p->path, "its tw_plugin has size %zu; %zu is expected",
                              table->size, sizeof(*table));
    memcpy(&p->table, table, TW_MIN(table->size, sizeof(p->table)));
    if (p->table.name == NULL || p->table.name[0] == '\0' || p->table.version == NULL)
        return plugin_mistake(ret_why, p->path, "has no name or no version");
    if (p->table.n_handlers == 0 ||
        !array_sound(p->table.handlers, p->table.n_handlers, p->table.handler_size,
                     offsetof(struct tw_handler, help)))
        return plugin_mistake(ret_why, p->path,
                              "its table of handlers cannot be right: 1 to 256 are expected");
    if (!array_sound(p->table.options, p->table.n_options, p->table.option_size,
                     offsetof(struct tw_option, help)))
        return plugin_mistake(ret_why, p->path, "its table of options cannot be right");
    return 0;
}

/* "/a/b/user-login.so" is "user-login" */
static char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = strlen(slash + 1);

    if (len > 3 && strcmp(slash + 1 + len - 3, ".so") == 0)
        len -= 3;
    return strndup(slash + 1, len);
}

int loader_open(const char *path, struct plugin **ret, char **ret_why)
{
    struct plugin *p;
    int r = check_path(path, ret_why);

    if (r < 0)
        return r;
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return -ENOMEM;
    p->path = strdup(path);
    p->name = name_of(path);
    p->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (p->library == NULL)
        r = plugin_mistake(ret_why, path, "cannot be loaded: %s", dlerror());
    else
        r = p->path == NULL || p->name == NULL ? -ENOMEM : read_table(p, ret_why);
    if (r < 0) {
        plugin_free(p);
        return r;
    }
    *ret = p;
    return 0;
}
