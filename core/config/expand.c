#include <string.h>

#include "base/strbuf.h"
#include "config/tree.h"

static bool name_char(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

/* What stands between "${" and "}". Returns what follows the brace, or NULL. */
static const char *variable(const char *p, struct strbuf *out, getenv_fn *env, const char **why)
{
    const char *end = strchr(p, '}'), *value, *rest = p;
    char name[128];
    size_t len;

    while (name_char(*rest, rest == p))
        rest++;
    len = (size_t)(rest - p);
    if (end == NULL || len == 0 || len >= sizeof(name) ||
        (*rest != '}' && strncmp(rest, ":-", 2) != 0)) {
        *why = "malformed ${...}: write ${NAME} or ${NAME:-default}, and $$ for a dollar";
        return NULL;
    }
    memcpy(name, p, len);
    name[len] = '\0';
    value = env(name);
    if (value != NULL && value[0] != '\0') {
        strbuf_addz(out, value);
    } else if (*rest == ':') {
        strbuf_add(out, rest + 2, (size_t)(end - rest) - 2);
    } else if (value == NULL) {
        *why = "the environment variable is not set, and ${NAME} has no :-default";
        return NULL;
    }
    return end + 1;
}

char *expand(const char *text, getenv_fn *env, const char **why)
{
    struct strbuf out = STRBUF_INIT;

    *why = NULL;
    while (text != NULL && *text != '\0') {
        size_t plain = strcspn(text, "$");

        strbuf_add(&out, text, plain);
        text += plain;
        if (text[0] == '$' && text[1] == '{') {
            text = variable(text + 2, &out, env, why);
        } else if (text[0] == '$') {
            strbuf_addc(&out, '$');
            text += text[1] == '$' ? 2 : 1;
        }
    }
    if (*why != NULL) {
        strbuf_done(&out);
        return NULL;
    }
    return strbuf_take(&out);
}
