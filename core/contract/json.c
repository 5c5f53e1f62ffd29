#include "contract/json.h"

#include <errno.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "contract/json_text.h"

struct json_doc {
    struct buf *text;
    struct json_object *root;
};

static pthread_key_t tokener_key;
static pthread_once_t tokener_once = PTHREAD_ONCE_INIT;

static void tokener_free(void *tokener)
{
    json_tokener_free(tokener);
}

static void tokener_make_key(void)
{
    pthread_key_create(&tokener_key, tokener_free);
}

/* json-c keeps a buffer as long as the longest string: after a text as large as this it is given back. */
enum { TOKENER_TEXT_MAX = 64 << 10 };

static _Thread_local struct json_tokener *own;

static void tokener_drop(void)
{
    pthread_setspecific(tokener_key, NULL);
    json_tokener_free(own);
    own = NULL;
}

/* This thread's, made with its first text. `max_depth` is a setting: the same for all texts. */
static struct json_tokener *tokener_get(unsigned max_depth)
{
    static _Thread_local unsigned depth;

    if (own != NULL && depth == max_depth) {
        json_tokener_reset(own);
        return own;
    }
    pthread_once(&tokener_once, tokener_make_key);
    if (own != NULL)
        json_tokener_free(own);
    own = json_tokener_new_ex((int)max_depth + 1);
    depth = max_depth;
    if (own != NULL)
        json_tokener_set_flags(own, JSON_TOKENER_STRICT);
    pthread_setspecific(tokener_key, own);
    return own;
}

int json_doc_build(struct buf *text, unsigned max_depth, struct json_doc **ret,
                   struct json_error *ret_error)
{
    struct json_tokener *tokener = tokener_get(max_depth);
    struct json_doc *doc = malloc(sizeof(*doc));
    enum json_tokener_error error;

    if (tokener == NULL || doc == NULL) {
        free(doc);
        return -ENOMEM;
    }
    /* with its NUL: a number at the end is complete only when something follows it */
    doc->root = json_tokener_parse_ex(tokener, text->data, (int)text->len + 1);
    error = json_tokener_get_error(tokener);
    if (text->len > TOKENER_TEXT_MAX)
        tokener_drop();
    if (error != json_tokener_success) {
        json_object_put(doc->root);
        free(doc);
        *ret_error = (struct json_error){.line = 1, .column = 1};
        snprintf(ret_error->detail, sizeof(ret_error->detail), "line 1, column 1: %s",
                 "not understood");
        return -EBADMSG;
    }
    doc->text = buf_ref(text);
    *ret = doc;
    return 0;
}

int json_doc_parse(struct buf *text, unsigned max_depth, struct json_doc **ret,
                   struct json_error *ret_error)
{
    int r = json_check(text->data, text->len, max_depth, ret_error);

    return r < 0 ? r : json_doc_build(text, max_depth, ret, ret_error);
}

void json_doc_free(struct json_doc *doc)
{
    if (doc == NULL)
        return;
    json_object_put(doc->root);
    buf_unref(doc->text);
    free(doc);
}

struct json_object *json_doc_root(const struct json_doc *doc)
{
    return doc->root;
}

struct buf *json_doc_text(const struct json_doc *doc)
{
    return doc->text;
}

/* One reference token, unescaped. False when it is malformed. */
static bool read_token(const char *token, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++) {
        if (token[i] != '~') {
            *out++ = token[i];
            continue;
        }
        if (++i == len || (token[i] != '0' && token[i] != '1'))
            return false;
        *out++ = token[i] == '0' ? '~' : '/';
    }
    *out = '\0';
    return true;
}

static bool step(struct json_object **at, const char *token)
{
    size_t index = 0, len = strlen(token);

    if (json_object_is_type(*at, json_type_object))
        return json_object_object_get_ex(*at, token, at);
    if (!json_object_is_type(*at, json_type_array) || len == 0 || len > 9 ||
        (len > 1 && token[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!json_is_digit(token[i]))
            return false;
        index = index * 10 + (size_t)(token[i] - '0');
    }
    if (index >= json_object_array_length(*at))
        return false;
    *at = json_object_array_get_idx(*at, index);
    return true;
}

bool json_pointer(struct json_object *root, const char *pointer, struct json_object **ret)
{
    char token[512];

    while (*pointer != '\0') {
        size_t len;

        if (*pointer++ != '/')
            return false;
        len = strcspn(pointer, "/");
        if (len >= sizeof(token) || !read_token(pointer, len, token) || !step(&root, token))
            return false;
        pointer += len;
    }
    *ret = root;
    return true;
}

const char *json_number_text(struct json_object *number, size_t *ret_len)
{
    /* fractions keep the text they were parsed from */
    return json_object_to_json_string_length(number, JSON_C_TO_STRING_PLAIN, ret_len);
}

bool json_scalar_text(struct json_object *value, const char **ret, size_t *ret_len)
{
    switch (json_object_get_type(value)) {
    case json_type_string:
        *ret = json_object_get_string(value);
        *ret_len = (size_t)json_object_get_string_len(value);
        return true;
    case json_type_int:
    case json_type_double:
    case json_type_boolean:
        *ret = json_number_text(value, ret_len);
        return true;
    default:
        return false;
    }
}

void json_pointer_add(struct strbuf *pointer, const char *name, size_t len)
{
    strbuf_addc(pointer, '/');
    for (size_t i = 0; i < len; i++) {
        if (name[i] == '~' || name[i] == '/')
            strbuf_addz(pointer, name[i] == '~' ? "~0" : "~1");
        else
            strbuf_addc(pointer, name[i]);
    }
}

void json_pointer_add_index(struct strbuf *pointer, size_t index)
{
    strbuf_addf(pointer, "/%zu", index);
}
