#include "orchestrator/slots.h"

#include <stdlib.h>

struct slot {
    void *value;
    uint32_t generation;
    uint32_t next_free; /* index + 1 */
};

void slots_done(struct slots *s)
{
    free(s->items);
    *s = (struct slots){0};
}

uint64_t slots_add(struct slots *s, void *value)
{
    struct slot *slot;
    uint32_t index;

    if (s->free != 0) {
        index = s->free - 1;
        s->free = s->items[index].next_free;
    } else {
        if (s->count == s->capacity) {
            uint32_t capacity = s->capacity == 0 ? 64 : 2 * s->capacity;
            struct slot *items = realloc(s->items, capacity * sizeof(*items));

            if (items == NULL)
                return 0;
            s->items = items;
            s->capacity = capacity;
        }
        index = s->count++;
        s->items[index].generation = 0;
    }
    slot = &s->items[index];
    slot->generation = (slot->generation + 1) & 0x7fffffff;
    slot->value = value;
    s->used++;
    return (uint64_t)slot->generation << 32 | (index + 1);
}

static struct slot *find(const struct slots *s, uint64_t id)
{
    uint32_t index = (uint32_t)id - 1;

    if ((uint32_t)id == 0 || index >= s->count || s->items[index].value == NULL ||
        s->items[index].generation != (uint32_t)(id >> 32))
        return NULL;
    return &s->items[index];
}

void *slots_get(const struct slots *s, uint64_t id)
{
    struct slot *slot = find(s, id);

    return slot == NULL ? NULL : slot->value;
}

void *slots_take(struct slots *s, uint64_t id)
{
    struct slot *slot = find(s, id);
    void *value;

    if (slot == NULL)
        return NULL;
    value = slot->value;
    slot->value = NULL;
    slot->next_free = s->free;
    s->free = (uint32_t)id;
    s->used--;
    return value;
}

void *slots_next(const struct slots *s, uint32_t *at)
{
    while (*at < s->count) {
        void *value = s->items[(*at)++].value;

        if (value != NULL)
            return value;
    }
    return NULL;
}
