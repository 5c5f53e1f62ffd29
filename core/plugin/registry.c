#include "plugin/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "plugin/internal.h"

struct registry *registry_new(const struct registry_host *host)
{
    struct registry *r = calloc(1, sizeof(*r));

    if (r != NULL)
        r->host = *host;
    return r;
}

void registry_free(struct registry *r)
{
    struct handler *h;
    struct plugin *p;

    if (r == NULL)
        return;
    while ((h = r->handlers) != NULL) {
        r->handlers = h->next;
        rules_free(h->rules);
        free(h);
    }
    while ((p = r->plugins) != NULL) { /* the last loaded first */
        r->plugins = p->next;
        if (p->initialised && p->table.fini != NULL)
            p->table.fini(p->state);
        plugin_free(p);
    }
    free(r);
}

const struct handler *registry_find(const struct registry *r, const char *name)
{
    const struct handler *h = r->handlers;

    while (h != NULL && strcmp(h->table.name, name) != 0)
        h = h->next;
    return h;
}

const struct handler *registry_next(const struct registry *r, const struct handler *h)
{
    return h == NULL ? r->handlers : h->next;
}

const char *handler_name(const struct handler *h)
{
    return h->table.name;
}

const struct rules *handler_rules(const struct handler *h)
{
    return h->rules;
}

static bool name_valid(const char *name)
{
    size_t len = name == NULL ? 0 : strlen(name);

    return len >= 1 && len <= 64 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static int add_handler(struct registry *r, struct plugin *p, size_t i, char **ret_why)
{
    struct handler *h = calloc(1, sizeof(*h));
    const struct handler *other;
    char *why = NULL;
    int ret;

    if (h == NULL)
        return -ENOMEM;
    h->plugin = p;
    h->registry = r;
    memcpy(&h->table, (const char *)p->table.handlers + i * p->table.handler_size,
           TW_MIN(p->table.handler_size, sizeof(h->table)));
    if (!name_valid(h->table.name))
        ret = plugin_mistake(ret_why, p->path,
                             "handler %zu has no name of [a-z0-9-]{1,64}", i);
    else if (h->table.handle == NULL)
        ret = plugin_mistake(ret_why, p->path, "handler %s has no handle function", h->table.name);
    else if ((other = registry_find(r, h->table.name)) != NULL)
        ret = plugin_mistake(ret_why, p->path, "handler %s is registered by %s already",
                             h->table.name, other->plugin->path);
    else
        ret = rules_compile(h->table.rules, h->table.n_rules, h->table.rule_size, &h->rules, &why);
    if (why != NULL)
        plugin_mistake(ret_why, p->path, "handler %s: %s", h->table.name, why);
    free(why);
    if (ret < 0) {
        free(h);
        return ret;
    }
    if (r->last_handler == NULL)
        r->handlers = h;
    else
        r->last_handler->next = h;
    r->last_handler = h;
    return 0;
}

int registry_load(struct registry *r, const char *path, const struct plugin_setting *settings,
                  size_t n_settings, char **ret_why)
{
    struct plugin *p;
    int ret = loader_open(path, &p, ret_why);

    if (ret < 0)
        return ret;
    p->next = r->plugins;
    r->plugins = p; /* freed with the registry, whatever follows */
    ret = options_read(p, settings, n_settings, ret_why);
    for (size_t i = 0; ret == 0 && i < p->table.n_handlers; i++)
        ret = add_handler(r, p, i, ret_why);
    return ret;
}

/* The list has the last loaded first. At most as deep as there are plugins. */
static int init_from(struct plugin *p, char **ret_why)
{
    struct tw_init init = {.plugin = p};
    int r = p == NULL ? 0 : init_from(p->next, ret_why);

    if (p == NULL || r < 0)
        return r;
    r = p->table.init == NULL ? 0 : p->table.init(&init, &p->state);
    if (r != 0)
        return plugin_mistake(ret_why, p->path, "its init failed with %d", r);
    p->initialised = true;
    log_info("plugin", "%s %s loaded from %s", p->table.name, p->table.version, p->path);
    return 0;
}

int registry_init(struct registry *r, char **ret_why)
{
    return init_from(r->plugins, ret_why);
}
