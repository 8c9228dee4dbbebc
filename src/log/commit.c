/* SPDX-License-Identifier: MIT */
#include "log/commit.h"

kvi_sync_t kvi_commit_stricter(kvi_sync_t a, kvi_sync_t b)
{
    static const unsigned char strictness[] = {
        [KVI_SYNC_DEFAULT] = 2, [KVI_SYNC_ALWAYS] = 3, [KVI_SYNC_EVERYSEC] = 1, [KVI_SYNC_NO] = 0};
    return strictness[a] >= strictness[b] ? a : b;
}

/* Of a keyspace that may be gone by now. */
static kvi_sync_t sync_of_keyspace(kvi_db_t *db, uint32_t number)
{
    kvi_attributes_t attributes;
    const kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, number);
    if (keyspace == NULL) {
        return KVI_SYNC_DEFAULT;
    }
    kvi_keyspace_attributes(keyspace, &attributes);
    return attributes.sync;
}

kvi_sync_t kvi_commit_sync_of(kvi_db_t *db, const kvi_op_t *op)
{
    const kvi_sync_t sync = sync_of_keyspace(db, op->keyspace);
    const bool two =
        op->kind == KVI_OP_COPY || op->kind == KVI_OP_RENAME || op->kind == KVI_OP_SWAP;
    return two ? kvi_commit_stricter(sync, sync_of_keyspace(db, op->to_keyspace)) : sync;
}

void kvi_commit_submit(kvi_commit_t *commit, const kvi_op_t *op, int64_t now_ms,
                       kvi_op_result_t *result)
{
    if (!commit->keeps) {
        kvi_db_apply_op(commit->db, op, now_ms, result);
        return;
    }
    const kv_status_t status = commit->ops->reserve(commit, kvi_op_encoded_bytes_max(op));
    if (status != KV_OK) {
        *result = (kvi_op_result_t){.status = status};
        return;
    }
    kvi_db_apply_op(commit->db, op, now_ms, result);
    if (result->changed) {
        /* The time at which it was applied, which is later than now if the clock was put back. */
        commit->ops->append(commit, op, kvi_db_time(commit->db),
                            kvi_commit_sync_of(commit->db, op));
    }
}

/* The strictest policy of all keyspaces that the batch names, and how many operations it has. */
static kv_status_t read_through(kvi_db_t *db, kv_slice_t bytes, kvi_sync_t *sync, uint32_t *count)
{
    kvi_batch_reader_t reader;
    kvi_op_t op;
    kv_status_t status = kvi_batch_read(bytes, &reader);
    *sync = KVI_SYNC_NO;
    *count = status == KV_OK ? reader.count : 0;
    while (status == KV_OK && (status = kvi_batch_next(&reader, &op)) == KV_OK) {
        *sync = kvi_commit_stricter(*sync, kvi_commit_sync_of(db, &op));
    }
    return status == KV_NOT_FOUND ? KV_OK : status;
}

/* Who does not look at results has everything logged. */
static bool any_changed(const kvi_op_result_t *results, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (results == NULL || results[i].changed) {
            return true;
        }
    }
    return false;
}

kv_status_t kvi_commit_submit_batch(kvi_commit_t *commit, kv_slice_t bytes,
                                    kvi_op_result_t *results)
{
    kvi_sync_t sync;
    uint32_t count;
    if (!commit->keeps) {
        return kvi_db_apply(commit->db, bytes, results);
    }
    kv_status_t status = read_through(commit->db, bytes, &sync, &count);
    if (status == KV_OK) {
        status = commit->ops->reserve(commit, bytes.size);
    }
    if (status == KV_OK) {
        status = kvi_db_apply(commit->db, bytes, results);
    }
    if (status == KV_OK && any_changed(results, count)) {
        commit->ops->append_batch(commit, bytes, sync);
    }
    return status;
}
