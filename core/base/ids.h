/* UUIDs (RFC 9562): version 7 for every id we make. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UUID_TEXT_LEN = 36, TASK_ID_MAX = 128 };

struct uuid {
    uint8_t bytes[16]; /* big-endian, as on the wire */
};

/* A new UUIDv7. Any thread. Needs the kernel's random source, which cannot fail after boot. */
void uuid_v7(struct uuid *ret);

/* Writes 36 lower-case characters and a NUL. */
void uuid_format(const struct uuid *id, char text[static UUID_TEXT_LEN + 1]);

/*
 * Reads a correlation id as peers write it: 36 characters, or 16 raw big-endian bytes (Spring).
 * False, with `ret` untouched, when it is neither.
 */
bool uuid_from_wire(const void *data, size_t len, struct uuid *ret);

/* Whether `id` is a task id: 1 to 128 of [A-Za-z0-9._:-]. */
bool task_id_valid(const char *id, size_t len);

/* Whether `name` can be a Kafka topic: 1 to 249 of [A-Za-z0-9._-], not "." or "..". */
bool topic_name_valid(const char *name, size_t len);

/* `len` bytes from the kernel's random source. Any thread. */
void random_bytes(void *ret, size_t len);
