/*
 * Strict JSON (RFC 8259) on top of json-c's tree. The text is checked by our own scanner, because
 * json-c accepts more than the standard even in strict mode; then json-c builds the tree.
 *
 * Refused, with the place: anything that is not RFC 8259, malformed UTF-8, a lone surrogate escape,
 * a repeated member name (after unescaping), deeper nesting than the limit, integers beyond
 * int64/uint64, other numbers that are infinite as a double or longer than 128 bytes, a BOM.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct json_object; /* json-c's */

struct json_error {
    size_t offset;       /* bytes from the start */
    unsigned line;       /* from 1 */
    unsigned column;     /* from 1, in bytes */
    char detail[96];     /* "line 1, column 7: expected a value"; names no input bytes raw */
};

/* Returns 0, or -EBADMSG with *ret_error filled. Uses at most `max_depth` levels; no recursion. */
int json_check(const char *text, size_t len, unsigned max_depth, struct json_error *ret_error);

/* A checked text and its tree. One thread at a time: json-c's trees never cross threads. */
struct json_doc;

/* Keeps a reference to `text`. Returns 0, -EBADMSG (with *ret_error), or -ENOMEM. */
int json_doc_parse(struct buf *text, unsigned max_depth, struct json_doc **ret,
                   struct json_error *ret_error);
void json_doc_free(struct json_doc *doc); /* may be NULL */
struct json_object *json_doc_root(const struct json_doc *doc); /* NULL for the text "null" */
struct buf *json_doc_text(const struct json_doc *doc);

static inline void json_doc_freep(struct json_doc **doc)
{
    json_doc_free(*doc);
}
#define JSON_DOC_CLEANUP __attribute__((cleanup(json_doc_freep)))

/*
 * Follows a JSON Pointer (RFC 6901). Returns whether it leads to a value; *ret is that value, NULL
 * for JSON null. Borrowed from the tree.
 */
bool json_pointer(struct json_object *root, const char *pointer, struct json_object **ret);

/* The source text of a number node, exactly as written for fractions, canonical for integers. */
const char *json_number_text(struct json_object *number, size_t *ret_len);

/* A string's bytes, or the text of a number or boolean: what can be a record key. False for null,
 * arrays and objects. Borrowed from the tree. */
bool json_scalar_text(struct json_object *value, const char **ret, size_t *ret_len);

/* Appends one reference token to a JSON Pointer under construction: "/" and the escaped name. */
struct strbuf;
void json_pointer_add(struct strbuf *pointer, const char *name, size_t len);
void json_pointer_add_index(struct strbuf *pointer, size_t index);

/* A piece of a checked text. */
struct json_span {
    const char *start;
    size_t len;
};

/*
 * Walks the members of the object, or the items of the array, that `text` is. `text` was checked.
 *   struct json_iter it; json_iter_init(&it, text, len);
 *   while (json_iter_next(&it)) { it.name; it.value; }
 * `name` is the raw text between the quotes, still escaped; of an array it is empty.
 */
struct json_iter {
    const char *p, *end;
    bool object;
    struct json_span name, value;
};
void json_iter_init(struct json_iter *it, const char *text, size_t len);
bool json_iter_next(struct json_iter *it);

/* The value of the top-level member `name` (given unescaped, ASCII); false when there is none. A
 * name that is written with escapes in the text is found too. */
bool json_member(const char *text, size_t len, const char *name, struct json_span *ret);
