#include "orchestrator/record.h"

#include <stdlib.h>
#include <string.h>

static char *put(char **at, const void *data, size_t len)
{
    char *start = *at;

    if (len > 0)
        memcpy(start, data, len);
    start[len] = '\0';
    *at += len + 1;
    return start;
}

struct record *record_copy(const struct record *from)
{
    size_t size = sizeof(*from) + from->n_headers * sizeof(from->headers[0]);
    struct record *r;
    char *at;

    size += from->key_len + 1 + from->value_len + 1;
    for (size_t i = 0; i < from->n_headers; i++)
        size += strlen(from->headers[i].name) + 1 + from->headers[i].len + 1;
    r = malloc(size);
    if (r == NULL)
        return NULL;
    *r = *from;
    r->headers = (struct bus_header *)(r + 1);
    at = (char *)(r->headers + from->n_headers);
    for (size_t i = 0; i < from->n_headers; i++) {
        const struct bus_header *h = &from->headers[i];

        r->headers[i].name = put(&at, h->name, strlen(h->name));
        r->headers[i].len = h->len;
        r->headers[i].value = h->value == NULL ? NULL : put(&at, h->value, h->len);
    }
    if (from->key != NULL)
        r->key = put(&at, from->key, from->key_len);
    if (from->value != NULL)
        r->value = put(&at, from->value, from->value_len);
    return r;
}

const struct bus_header *record_header(const struct record *record, const char *name)
{
    for (size_t i = record->n_headers; i > 0; i--)
        if (strcmp(record->headers[i - 1].name, name) == 0)
            return &record->headers[i - 1];
    return NULL;
}
