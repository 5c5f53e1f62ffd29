/* What the coordinator and its members share. */
#pragma once

#include "sim.h"

struct held_partition {
    bool assigned, paused, giving;
    bool fresh;                    /* its end is not known */
    bool taking, asked;            /* told by the coordinator: to take it, to give it up */
    unsigned epoch;                /* of assignments and fences */
    int64_t position, stored, end; /* end: as the last fetch saw it */
};

struct member {
    struct pod *pod;
    struct group *group;
    int kind;
    bool joined, revoking, leaving, left;
    int64_t heard, cut_until, deadline, turn_at, polled;
    struct held_partition parts[PARTS_MAX];
    struct member *next;
};

/* Alive, as far as it knows itself. */
bool member_live(const struct member *m);
