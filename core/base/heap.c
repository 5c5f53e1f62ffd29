#include "base/heap.h"

#include "base/util.h"

void heap_done(struct heap *h)
{
    free(h->nodes);
    *h = (struct heap){0};
}

static void put(struct heap *h, size_t i, struct heap_node *node)
{
    h->nodes[i] = node;
    node->place = i + 1;
}

static void sift_up(struct heap *h, size_t i, struct heap_node *node)
{
    while (i > 0 && h->nodes[(i - 1) / 2]->deadline > node->deadline) {
        put(h, i, h->nodes[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(h, i, node);
}

static void sift_down(struct heap *h, size_t i, struct heap_node *node)
{
    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->nodes[child + 1]->deadline < h->nodes[child]->deadline)
            child++;
        if (h->nodes[child]->deadline >= node->deadline)
            break;
        put(h, i, h->nodes[child]);
        i = child;
    }
    put(h, i, node);
}

bool heap_add(struct heap *h, struct heap_node *node)
{
    assert(node->place == 0);
    if (h->count == h->capacity) {
        size_t capacity = h->capacity == 0 ? 64 : 2 * h->capacity;
        struct heap_node **nodes = realloc(h->nodes, capacity * sizeof(*nodes));

        if (nodes == NULL)
            return false;
        h->nodes = nodes;
        h->capacity = capacity;
    }
    sift_up(h, h->count++, node);
    return true;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    struct heap_node *last;
    size_t i;

    if (node->place == 0)
        return;
    i = node->place - 1;
    assert(h->nodes[i] == node);
    node->place = 0;
    last = h->nodes[--h->count];
    if (last == node)
        return;
    if (i > 0 && h->nodes[(i - 1) / 2]->deadline > last->deadline)
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

struct heap_node *heap_first(const struct heap *h)
{
    return h->count == 0 ? NULL : h->nodes[0];
}
