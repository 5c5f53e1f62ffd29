/*
 * Deferred calls. handle() may return before or after another thread finishes the call; whoever is
 * second ends it. The strings of the request are copied: the caller's live only until `done`.
 */
#include <stdlib.h>
#include <string.h>

#include "plugin/internal.h"

struct tw_deferred *tw_call_defer(struct tw_call *call)
{
    struct tw_deferred *d;

    if (call->validating || call->deferred != NULL)
        return NULL;
    d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->call = call;
    d->id = strdup(call->id);
    d->topic = strdup(call->topic);
    if (d->id == NULL || d->topic == NULL) {
        free(d->id);
        free(d->topic);
        free(d);
        return NULL;
    }
    call->id = d->id;
    call->topic = d->topic;
    call->deferred = d;
    return d;
}

struct tw_call *tw_deferred_call(struct tw_deferred *deferred)
{
    return deferred->call;
}

void tw_deferred_finish(struct tw_deferred *deferred, int outcome)
{
    deferred->outcome = outcome;
    if (atomic_fetch_add(&deferred->arrived, 1) == 1)
        call_finish(deferred->call, outcome);
}
