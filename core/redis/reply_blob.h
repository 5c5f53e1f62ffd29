/* A reply as it is kept in Redis: a header of fixed size, then its texts. Version 1. */
#pragma once

#include <stdint.h>

#include "base/strbuf.h"
#include "orchestrator/store.h"

void reply_blob_write(struct strbuf *out, const struct store_reply *reply, int64_t arrived);

/* `ret` borrows from `data`. False when it is none that we wrote. */
bool reply_blob_read(const char *data, size_t len, struct store_reply *ret, int64_t *ret_arrived);
