/* SPDX-License-Identifier: MIT */
/* Keyspaces of programs: handles, attributes, figures. */
#include <string.h>

#include "db/attributes.h"
#include "embed/embed_int.h"

kv_status_t kvi_embed_attributes(const kv_attributes_t *from, kvi_attributes_t *to)
{
    static const kv_attributes_t defaults = {0};
    from = from != NULL ? from : &defaults;
    if (from->eviction < KV_EVICT_DEFAULT || from->eviction > KV_EVICT_VOLATILE_TTL ||
        from->sync < KV_SYNC_DEFAULT || from->sync > KV_SYNC_NO || from->default_ttl_ms < 0 ||
        from->max_ttl_ms < 0 || from->quota_bytes > SIZE_MAX / 2) {
        return KV_INVALID;
    }
    *to = (kvi_attributes_t){.quota_bytes = from->quota_bytes,
                             .eviction = (kvi_eviction_t)from->eviction,
                             .sync = (kvi_sync_t)from->sync,
                             .default_ttl_ms = from->default_ttl_ms,
                             .max_ttl_ms = from->max_ttl_ms};
    if (from->engine != NULL) {
        to->engine = kv_engine_find(from->engine);
        return to->engine != NULL ? KV_OK : KV_UNSUPPORTED;
    }
    return KV_OK;
}

static kv_slice_t slice_of(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

/* In the closed gate. */
static kv_status_t open_handle(kv_db_t *db, kv_slice_t name, kv_keyspace_t *handle)
{
    uint32_t number;
    const kv_status_t status = kvi_db_find_keyspace(db->data, name, &number);
    if (status == KV_OK) {
        *handle = (kv_keyspace_t){.db = db, .data = kvi_db_keyspace(db->data, number)};
        handle->data->users++;
    }
    return status;
}

kv_status_t kv_keyspace_open(kv_db_t *db, const char *name, kv_keyspace_t **keyspace)
{
    if (db == NULL || name == NULL || keyspace == NULL) {
        return KV_INVALID;
    }
    kv_keyspace_t *const handle = kv_store_malloc(sizeof(*handle));
    if (handle == NULL) {
        return KV_NO_MEMORY;
    }
    kvi_embed_begin(db);
    const kv_status_t status = open_handle(db, slice_of(name), handle);
    kvi_gate_open(&db->gate);
    if (status != KV_OK) {
        kv_store_free(handle);
        return status;
    }
    *keyspace = handle;
    return KV_OK;
}

kv_status_t kv_keyspace_create(kv_db_t *db, const char *name, const kv_attributes_t *attributes,
                               kv_keyspace_t **keyspace)
{
    kvi_attributes_t chosen;
    if (db == NULL || name == NULL || keyspace == NULL) {
        return KV_INVALID;
    }
    kv_status_t status = kvi_embed_attributes(attributes, &chosen);
    kv_keyspace_t *const handle = status == KV_OK ? kv_store_malloc(sizeof(*handle)) : NULL;
    if (handle == NULL) {
        return status != KV_OK ? status : KV_NO_MEMORY;
    }
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    const kvi_op_t op = {
        .kind = KVI_OP_KEYSPACE_CREATE,
        .key = slice_of(name),
        .value = {bytes, kvi_attributes_encode(&chosen, KVI_ATTRIBUTES_ALL, bytes)}};
    bool made;
    do {
        kvi_op_result_t result;
        kvi_embed_begin(db);
        db->submitter.submit(db, &op, kvi_embed_now(db), &result);
        made = result.status == KV_OK && open_handle(db, op.key, handle) == KV_OK;
        status = kvi_embed_end(db, result.status);
    } while (status == KV_BUSY);
    if (!made) {
        kv_store_free(handle);
        return status;
    }
    if (status != KV_OK) {
        kv_keyspace_close(handle);
        return status;
    }
    *keyspace = handle;
    return KV_OK;
}

void kv_keyspace_close(kv_keyspace_t *keyspace)
{
    if (keyspace != NULL) {
        kv_db_t *const db = keyspace->db;
        kvi_embed_begin(db);
        kvi_keyspace_release(keyspace->data);
        kvi_gate_open(&db->gate);
        kv_store_free(keyspace);
    }
}

kv_status_t kv_keyspace_drop(kv_keyspace_t *keyspace)
{
    kvi_op_t op = {.kind = KVI_OP_KEYSPACE_DROP};
    kvi_op_result_t result;
    return keyspace != NULL ? kvi_embed_run(keyspace, &op, &result) : KV_INVALID;
}

kv_status_t kv_keyspace_clear(kv_keyspace_t *keyspace)
{
    kvi_op_t op = {.kind = KVI_OP_CLEAR};
    kvi_op_result_t result;
    return keyspace != NULL ? kvi_embed_run(keyspace, &op, &result) : KV_INVALID;
}

kv_status_t kv_db_list_keyspaces(kv_db_t *db, bool (*visit)(void *context, kv_slice_t name),
                                 void *context)
{
    if (db == NULL || visit == NULL) {
        return KV_INVALID;
    }
    const unsigned lane = kvi_gate_enter(&db->gate);
    bool more = true;
    for (size_t i = 0; i < kvi_db_keyspaces(db->data) && more; i++) {
        const kvi_keyspace_t *const keyspace = kvi_db_keyspace(db->data, i);
        more = keyspace == NULL || visit(context, kvi_keyspace_name(keyspace));
    }
    kvi_gate_leave(&db->gate, lane);
    return KV_OK;
}

kv_status_t kv_keyspace_attributes(kv_keyspace_t *keyspace, kv_attributes_t *attributes)
{
    if (keyspace == NULL || attributes == NULL) {
        return KV_INVALID;
    }
    kvi_attributes_t data;
    const unsigned lane = kvi_gate_enter(&keyspace->db->gate);
    kvi_keyspace_attributes(keyspace->data, &data);
    const bool is_there = kvi_embed_is_there(keyspace);
    kvi_gate_leave(&keyspace->db->gate, lane);
    if (!is_there) {
        return KV_INVALID;
    }
    *attributes = (kv_attributes_t){.engine = data.engine->name,
                                    .quota_bytes = data.quota_bytes,
                                    .eviction = (kv_eviction_t)data.eviction,
                                    .sync = (kv_sync_t)data.sync,
                                    .default_ttl_ms = data.default_ttl_ms,
                                    .max_ttl_ms = data.max_ttl_ms};
    return KV_OK;
}

kv_status_t kv_keyspace_set_attributes(kv_keyspace_t *keyspace, const kv_attributes_t *attributes)
{
    kvi_attributes_t chosen;
    if (keyspace == NULL || attributes == NULL) {
        return KV_INVALID;
    }
    const kv_status_t status = kvi_embed_attributes(attributes, &chosen);
    if (status != KV_OK) {
        return status;
    }
    if (chosen.engine == NULL) {
        chosen.engine = keyspace->db->data->engine;
    }
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    kvi_op_t op = {.kind = KVI_OP_KEYSPACE_SET,
                   .value = {bytes, kvi_attributes_encode(&chosen, KVI_ATTRIBUTES_ALL, bytes)}};
    kvi_op_result_t result;
    return kvi_embed_run(keyspace, &op, &result);
}

kv_status_t kv_keyspace_stats(kv_keyspace_t *keyspace, kv_keyspace_stats_t *stats)
{
    if (keyspace == NULL || stats == NULL) {
        return KV_INVALID;
    }
    kv_db_t *const db = keyspace->db;
    kvi_embed_begin(db);
    const kvi_keyspace_t *const data = keyspace->data;
    *stats = (kv_keyspace_stats_t){.engine = kvi_keyspace_engine(data)->name,
                                   .converting = kvi_keyspace_converting(data),
                                   .entries = kvi_keyspace_count(data),
                                   .deadlines = kvi_keyspace_deadlines(data),
                                   .expired = kvi_keyspace_expired(data),
                                   .evicted = kvi_keyspace_evicted(data)};
    const bool is_there = kvi_embed_is_there(keyspace);
    const kv_status_t status = is_there ? kvi_keyspace_memory(data, &stats->memory) : KV_INVALID;
    kvi_gate_open(&db->gate);
    return status;
}
