/* SPDX-License-Identifier: MIT */
/* Transactions that are undone as a whole. */
#include "server/atomic.h"

#include "log/commit.h"
#include "server/server.h"

kv_status_t kvi_atomic_begin(kvi_atomic_t *atomic, kvi_server_t *server, int64_t now_ms)
{
    *atomic = (kvi_atomic_t){.server = server, .sync = KVI_SYNC_NO};
    kvi_db_advance_time(server->db, now_ms);
    kv_status_t status = kvi_batch_begin(&atomic->batch, kvi_db_time(server->db), KVI_BATCH_ATOMIC);
    if (status == KV_OK) {
        status = kvi_undo_begin(server->db, &atomic->undo);
    }
    if (status != KV_OK) {
        kvi_batch_close(&atomic->batch);
        return status;
    }
    server->atomic = atomic;
    return KV_OK;
}

static kv_status_t prepare(kvi_atomic_t *atomic, const kvi_op_t *op)
{
    kvi_commit_t *const commit = atomic->server->commit;
    const size_t bytes = kvi_op_encoded_bytes_max(op);
    kv_status_t status = commit->ops->reserve(commit, atomic->batch.size + bytes);
    if (status == KV_OK) {
        status = kvi_batch_reserve(&atomic->batch, bytes);
    }
    return status == KV_OK ? kvi_undo_save(&atomic->undo, op) : status;
}

void kvi_atomic_submit(kvi_atomic_t *atomic, const kvi_op_t *op, int64_t now_ms,
                       kvi_op_result_t *result)
{
    *result = (kvi_op_result_t){.status = prepare(atomic, op)};
    if (result->status == KV_OK) {
        kvi_db_apply_op(atomic->server->db, op, now_ms, result);
    }
    if (result->changed) {
        kvi_batch_append(&atomic->batch, op);
        atomic->sync =
            kvi_commit_stricter(atomic->sync, kvi_commit_sync_of(atomic->server->db, op));
    }
}

static void end(kvi_atomic_t *atomic)
{
    atomic->server->atomic = NULL;
    kvi_undo_end(&atomic->undo);
    kvi_batch_close(&atomic->batch);
}

void kvi_atomic_commit(kvi_atomic_t *atomic)
{
    kvi_commit_t *const commit = atomic->server->commit;
    if (atomic->batch.count > 0) {
        commit->ops->append_batch(commit, kvi_batch_bytes(&atomic->batch), atomic->sync);
    }
    end(atomic);
}

kv_status_t kvi_atomic_undo(kvi_atomic_t *atomic)
{
    const kv_status_t status = kvi_undo_run(&atomic->undo);
    end(atomic);
    return status;
}
