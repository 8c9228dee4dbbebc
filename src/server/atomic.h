/* SPDX-License-Identifier: MIT */
/*
 * A transaction that is undone as a whole when one of its commands fails. While it runs, operations
 * are applied at once, so that its own reads see them, with the old records saved before; the log
 * gets them as one atomic batch, and only if all went well.
 *
 * Thread rule: the executor's; one at a time.
 */
#ifndef KVI_SERVER_ATOMIC_H
#define KVI_SERVER_ATOMIC_H

#include "db/batch.h"
#include "db/undo.h"
#include "server/command.h"

typedef struct kvi_atomic {
    kvi_server_t *server;
    kvi_undo_t undo;
    kvi_batch_t batch;
    kvi_sync_t sync; /* the strictest of the keyspaces that were changed */
} kvi_atomic_t;

/* From now on kvi_server_submit goes through it. KV_NO_MEMORY. */
kv_status_t kvi_atomic_begin(kvi_atomic_t *atomic, kvi_server_t *server, int64_t now_ms);
/* One operation, for kvi_server_submit. */
void kvi_atomic_submit(kvi_atomic_t *atomic, const kvi_op_t *op, int64_t now_ms,
                       kvi_op_result_t *result);
/* Ends it: logged as one batch, or undone. KV_CORRUPT when memory ran out in the middle of undoing.
 */
void kvi_atomic_commit(kvi_atomic_t *atomic);
kv_status_t kvi_atomic_undo(kvi_atomic_t *atomic);

#endif
