/* SPDX-License-Identifier: MIT */
/* Saving and putting back what an atomic batch changes. */
#include "db/undo.h"

#include "base/bytes.h"

#define KEPT_BYTES ((size_t)64 << 10)

struct kvi_undo_item {
    kvi_undo_item_t *older;
    kvi_keyspace_t *keyspace;
    kv_slice_t key;
    kv_slice_t record; /* data NULL: there was none */
};

kv_status_t kvi_undo_begin(kvi_db_t *db, kvi_undo_t *undo)
{
    if (db->undo == NULL) {
        const kv_arena_options_t options = {.block_size = KEPT_BYTES, .name = "undo"};
        db->undo = kv_arena_create_with(&options);
        if (db->undo == NULL) {
            return KV_NO_MEMORY;
        }
    }
    *undo = (kvi_undo_t){.db = db, .arena = db->undo};
    return KV_OK;
}

static kv_status_t save_record(kvi_undo_t *undo, kvi_keyspace_t *keyspace, kv_slice_t key,
                               kv_slice_t record)
{
    const size_t bytes = sizeof(kvi_undo_item_t) + key.size + record.size;
    kvi_undo_item_t *const item = kv_arena_alloc(undo->arena, bytes);
    if (item == NULL) {
        return KV_NO_MEMORY;
    }
    char *const key_place = (char *)(item + 1);
    char *const record_place = key_place + key.size;
    kvi_bytes_copy(key_place, key.data, key.size);
    kvi_bytes_copy(record_place, record.data, record.size);
    *item = (kvi_undo_item_t){.older = undo->newest,
                              .keyspace = keyspace,
                              .key = {key_place, key.size},
                              .record = {record.data != NULL ? record_place : NULL, record.size}};
    undo->newest = item;
    return KV_OK;
}

static kv_status_t save_key(kvi_undo_t *undo, kvi_keyspace_t *keyspace, kv_slice_t key)
{
    kv_slice_t record;
    (void)kvi_keyspace_find(keyspace, key, undo->db->time_ms, &record);
    return save_record(undo, keyspace, key, record);
}

typedef struct range_state {
    kvi_undo_t *undo;
    kvi_keyspace_t *keyspace;
    kv_status_t status;
} range_state_t;

static void save_visited(void *context, kv_slice_t key, kv_slice_t record)
{
    range_state_t *const state = context;
    if (state->status == KV_OK && !kvi_record_is_late(record.data, state->undo->db->time_ms)) {
        state->status = save_record(state->undo, state->keyspace, key, record);
    }
}

static kv_status_t save_range(kvi_undo_t *undo, kvi_keyspace_t *keyspace, const kv_range_t *range)
{
    static const kv_range_t everything = {{KV_BOUND_NONE, {NULL, 0}}, {KV_BOUND_NONE, {NULL, 0}}};
    range_state_t state = {.undo = undo, .keyspace = keyspace, .status = KV_OK};
    const kv_status_t status = kvi_keyspace_walk_range(
        keyspace, range != NULL ? range : &everything, save_visited, &state);
    return status != KV_OK ? status : state.status;
}

kv_status_t kvi_undo_save(kvi_undo_t *undo, const kvi_op_t *op)
{
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(undo->db, op->keyspace);
    kvi_keyspace_t *const to = kvi_db_keyspace(undo->db, op->to_keyspace);
    if (keyspace == NULL || to == NULL) {
        return KV_OK; /* the operation will fail */
    }
    switch (op->kind) {
    case KVI_OP_GUARD:
    case KVI_OP_READ:
    case KVI_OP_EXPIRE: /* late entries are no data */
        return KV_OK;
    case KVI_OP_PUT:
    case KVI_OP_DELETE:
    case KVI_OP_APPEND:
    case KVI_OP_WRITE_AT:
    case KVI_OP_ADD:
    case KVI_OP_ADD_FLOAT:
    case KVI_OP_SET_DEADLINE:
        return save_key(undo, keyspace, op->key);
    case KVI_OP_COPY:
        return save_key(undo, to, op->value);
    case KVI_OP_RENAME: {
        const kv_status_t status = save_key(undo, keyspace, op->key);
        return status != KV_OK ? status : save_key(undo, to, op->value);
    }
    case KVI_OP_DELETE_RANGE:
        return save_range(undo, keyspace, op->range);
    default:
        return KV_UNSUPPORTED;
    }
}

kv_status_t kvi_undo_run(kvi_undo_t *undo)
{
    kv_status_t status = KV_OK;
    const size_t limit = kvi_db_memory_limit(undo->db);
    kvi_db_set_memory_limit(undo->db, 0);
    for (const kvi_undo_item_t *item = undo->newest; item != NULL; item = item->older) {
        const kv_status_t restored = kvi_keyspace_restore(item->keyspace, item->key, item->record);
        status = restored != KV_OK ? restored : status;
    }
    kvi_db_set_memory_limit(undo->db, limit);
    undo->newest = NULL;
    return status;
}

void kvi_undo_end(kvi_undo_t *undo)
{
    kv_arena_reset(undo->arena, KEPT_BYTES);
}
