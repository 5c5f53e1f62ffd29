/* The Kafka headers of requests and replies: names, and reading what peers write (Spring, NestJS). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "orchestrator/record.h"

#define WIRE_CORRELATION_ID "kafka_correlationId"
#define WIRE_REPLY_TOPIC "kafka_replyTopic"
#define WIRE_REPLY_PARTITION "kafka_replyPartition"
#define WIRE_NEST_ERROR "kafka_nest-err"
#define WIRE_NEST_DISPOSED "kafka_nest-is-disposed"
#define WIRE_REPLY_HINT "taskwire-reply-partition" /* where the requester listens at this moment */
#define WIRE_OWNER "taskwire-owner"                 /* the pod that waits; echoed */
#define WIRE_OUTCOME "taskwire-outcome"
#define WIRE_ATTEMPTS "taskwire-attempts"
#define WIRE_CONTENT_TYPE "content-type"
#define WIRE_TRACEPARENT "traceparent"
#define WIRE_TRACESTATE "tracestate"

/*
 * The partition that the requester wants its reply in, or -1 for none or one that cannot be read:
 * four bytes of which the first is 0 are a big-endian integer (Spring), digits are decimal (NestJS).
 */
int32_t wire_reply_partition(const struct bus_header *header);

/* A small decimal number, or 0 when it is none. */
int wire_number(const struct bus_header *header);

enum { WIRE_TRACEPARENT_LEN = 55 };

/* Whether `text` is a W3C traceparent of version 00 with non-zero ids. */
bool wire_traceparent_valid(const char *text, size_t len);

/* Writes a new one, sampled, and a NUL. */
void wire_traceparent_new(char out[static WIRE_TRACEPARENT_LEN + 1]);
