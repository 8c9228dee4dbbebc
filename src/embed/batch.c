/* SPDX-License-Identifier: MIT */
/* Batches of programs: operations noted in their encoding, applied as one turn. */
#include "embed/embed_int.h"

#define ROOM_BYTES ((size_t)4096)
#define ROOM_TRIES 12

kv_status_t kv_batch_create(kv_db_t *db, kv_batch_t **batch)
{
    if (db == NULL || batch == NULL) {
        return KV_INVALID;
    }
    kv_batch_t *const made = kv_store_calloc(1, sizeof(*made));
    if (made == NULL || kvi_batch_begin(&made->data, 0, KVI_BATCH_ATOMIC) != KV_OK) {
        kv_store_free(made);
        return KV_NO_MEMORY;
    }
    made->db = db;
    *batch = made;
    return KV_OK;
}

void kv_batch_destroy(kv_batch_t *batch)
{
    if (batch != NULL) {
        kvi_batch_close(&batch->data);
        kv_store_free(batch->keyspaces);
        kv_store_free(batch);
    }
}

void kv_batch_clear(kv_batch_t *batch)
{
    if (batch != NULL) {
        /* Its memory holds a header at least, so this cannot fail. */
        (void)kvi_batch_begin(&batch->data, 0, KVI_BATCH_ATOMIC);
        batch->keyspace_count = 0;
    }
}

/* ---- noting ---- */

static kv_status_t note_keyspace(kv_batch_t *batch, kvi_keyspace_t *keyspace)
{
    for (size_t i = batch->keyspace_count; i-- > 0;) {
        if (batch->keyspaces[i] == keyspace) {
            return KV_OK;
        }
    }
    if (batch->keyspace_count == batch->keyspace_capacity) {
        const size_t capacity = 2 * batch->keyspace_capacity + 4;
        kvi_keyspace_t **const list =
            kv_store_realloc(batch->keyspaces, capacity * sizeof(kvi_keyspace_t *));
        if (list == NULL) {
            return KV_NO_MEMORY;
        }
        batch->keyspaces = list;
        batch->keyspace_capacity = capacity;
    }
    batch->keyspaces[batch->keyspace_count++] = keyspace;
    return KV_OK;
}

kv_status_t kvi_embed_note(kv_batch_t *batch, const kv_keyspace_t *keyspace, kvi_op_t *op)
{
    if (batch == NULL || keyspace == NULL || keyspace->db != batch->db) {
        return KV_INVALID;
    }
    if (op->key.size > KV_KEY_BYTES_MAX || op->value.size > KVI_DB_VALUE_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    kv_status_t status = kvi_batch_reserve(&batch->data, kvi_op_encoded_bytes_max(op));
    status = status != KV_OK ? status : note_keyspace(batch, keyspace->data);
    if (status == KV_OK) {
        op->keyspace = keyspace->data->number;
        kvi_batch_append(&batch->data, op);
    }
    return status;
}

kv_status_t kv_batch_put(kv_batch_t *batch, kv_keyspace_t *keyspace, kv_slice_t key,
                         kv_slice_t value, const kv_put_options_t *options)
{
    kvi_op_t op;
    if (batch == NULL || (options != NULL && options->condition == KV_PUT_IF_EQUALS)) {
        return KV_INVALID;
    }
    const kv_status_t status = kvi_embed_put_op(batch->db, key, value, options, &op);
    return status != KV_OK ? status : kvi_embed_note(batch, keyspace, &op);
}

kv_status_t kv_batch_delete(kv_batch_t *batch, kv_keyspace_t *keyspace, kv_slice_t key)
{
    kvi_op_t op = {.kind = KVI_OP_DELETE, .key = key};
    return kvi_embed_note(batch, keyspace, &op);
}

kv_status_t kv_batch_append(kv_batch_t *batch, kv_keyspace_t *keyspace, kv_slice_t key,
                            kv_slice_t tail)
{
    kvi_op_t op = {.kind = KVI_OP_APPEND, .key = key, .value = tail};
    return kvi_embed_note(batch, keyspace, &op);
}

kv_status_t kv_batch_add(kv_batch_t *batch, kv_keyspace_t *keyspace, kv_slice_t key, int64_t delta)
{
    kvi_op_t op = {.kind = KVI_OP_ADD, .key = key, .delta = delta};
    return kvi_embed_note(batch, keyspace, &op);
}

kv_status_t kv_batch_delete_range(kv_batch_t *batch, kv_keyspace_t *keyspace,
                                  const kv_range_t *range)
{
    kvi_op_t op = {.kind = KVI_OP_DELETE_RANGE, .range = range};
    return range != NULL ? kvi_embed_note(batch, keyspace, &op) : KV_INVALID;
}

kv_status_t kv_batch_guard(kv_batch_t *batch, kv_keyspace_t *keyspace, kv_slice_t key,
                           uint64_t version)
{
    kvi_op_t op = {.kind = KVI_OP_GUARD, .key = key, .version = version};
    return kvi_embed_note(batch, keyspace, &op);
}

/* ---- applying ---- */

static bool are_all_there(const kv_batch_t *batch)
{
    for (size_t i = 0; i < batch->keyspace_count; i++) {
        kvi_keyspace_t *const keyspace = batch->keyspaces[i];
        if (kvi_db_keyspace(batch->db->data, keyspace->number) != keyspace) {
            return false;
        }
    }
    return true;
}

static kv_status_t submit(kv_batch_t *batch)
{
    return kvi_commit_submit_batch(batch->db->commit, kvi_batch_bytes(&batch->data), NULL);
}

/* Any of its keyspaces may be the one whose quota is reached. */
static bool make_room(kv_batch_t *batch, kv_status_t refusal, size_t bytes)
{
    kv_db_t *const db = batch->db;
    bool made = false;
    for (size_t i = 0; i < batch->keyspace_count; i++) {
        made = kvi_db_make_room(db->data, batch->keyspaces[i], refusal, bytes, &db->submitter) ==
                   KV_OK ||
               made;
    }
    return made;
}

static kv_status_t apply_once(kv_batch_t *batch)
{
    kv_db_t *const db = batch->db;
    kvi_embed_begin(db);
    kv_status_t status = KV_INVALID;
    if (are_all_there(batch)) {
        /* The log has to say the time at which the batch is applied: never an earlier one. */
        const int64_t now_ms = kvi_embed_now(db);
        const int64_t latest_ms = kvi_db_time(db->data);
        kvi_batch_set_time(&batch->data, now_ms > latest_ms ? now_ms : latest_ms);
        status = submit(batch);
        size_t bytes = ROOM_BYTES + batch->data.size;
        for (int i = 0; i < ROOM_TRIES && (status == KV_NO_MEMORY || status == KV_QUOTA) &&
                        make_room(batch, status, bytes);
             i++) {
            status = submit(batch);
            bytes *= 2;
        }
    }
    return kvi_embed_end(db, status);
}

kv_status_t kv_batch_apply(kv_batch_t *batch)
{
    if (batch == NULL) {
        return KV_INVALID;
    }
    kv_status_t status = KV_OK;
    do {
        status = batch->data.count > 0 ? apply_once(batch) : KV_OK;
    } while (status == KV_BUSY);
    return status;
}
