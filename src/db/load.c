/* SPDX-License-Identifier: MIT */
/* Filling a database from a snapshot, past conditions, limits and observers. */
#include "db/load.h"

#include "base/bytes.h"
#include "db/attributes.h"
#include "db/db_int.h"

#define GROUP ((size_t)16) /* entries whose misses are overlapped */

static void set_limits(kvi_db_t *db)
{
    for (size_t i = 0; i < db->keyspace_count; i++) {
        kvi_keyspace_t *const keyspace = db->keyspaces[i];
        if (keyspace != NULL) {
            kv_budget_set_limit(keyspace->account->budget,
                                db->loading ? 0 : keyspace->attributes.quota_bytes);
            keyspace->expected_count = 0;
        }
    }
}

void kvi_db_load_begin(kvi_db_t *db)
{
    db->loading = true;
    db->loading_limit = kv_budget_limit(db->budget);
    kv_budget_set_limit(db->budget, 0);
    set_limits(db);
}

void kvi_db_load_end(kvi_db_t *db)
{
    db->loading = false;
    kv_budget_set_limit(db->budget, db->loading_limit);
    set_limits(db);
}

kv_status_t kvi_db_load_keyspace(kvi_db_t *db, uint32_t number, kv_slice_t name,
                                 kv_slice_t attributes)
{
    kvi_attributes_t read = {0};
    const kv_status_t status = kvi_attributes_decode(attributes, &read);
    if (status != KV_OK) {
        return status;
    }
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, number);
    if (keyspace != NULL) {
        if (!kvi_slice_equal(kvi_keyspace_name(keyspace), name)) {
            return KV_CORRUPT;
        }
        kvi_keyspace_set_attributes(keyspace, &read);
        return KV_OK;
    }
    uint32_t made;
    const kv_status_t created = kvi_db_create_keyspace(db, name, number, &read, &made);
    const bool wrong = created == KV_EXISTS || created == KV_INVALID || created == KV_TOO_LARGE;
    return wrong ? KV_CORRUPT : created;
}

void kvi_keyspace_expect(kvi_keyspace_t *keyspace, size_t count)
{
    keyspace->expected_count = count;
}

static kv_status_t load_entry(kvi_keyspace_t *keyspace, const kvi_loaded_t *entry)
{
    kvi_content_t *const content = keyspace->content;
    kv_engine_t *const engine = content->engine;
    const bool timed = entry->deadline_ms != KVI_NO_DEADLINE;
    const size_t head = timed ? KVI_RECORD_TIMED_HEAD_BYTES : KVI_RECORD_HEAD_BYTES;
    kvi_expiry_item_t *item = NULL;
    if (timed) {
        item = kvi_expiry_reserve(&content->expiry, entry->key);
        if (item == NULL) {
            return KV_NO_MEMORY;
        }
    }
    const uint64_t before = engine->ops->count(engine);
    char *place;
    const kv_status_t status =
        engine->ops->place(engine, entry->key, head + entry->value.size, 0, &place);
    if (status != KV_OK) {
        kvi_expiry_cancel(&content->expiry, item);
        return status;
    }
    place[0] =
        (char)((timed ? KVI_RECORD_TIMED : 0) | (unsigned)entry->form << KVI_RECORD_FORM_SHIFT |
               (unsigned)keyspace->db->epochs.now << KVI_RECORD_EPOCH_SHIFT);
    kvi_record_set_access(place, entry->access);
    if (timed) {
        kvi_expiry_add(&content->expiry, item, entry->deadline_ms);
        kvi_record_set_deadline(place, entry->deadline_ms, item);
    }
    kvi_bytes_copy(place + head, entry->value.data, entry->value.size);
    return engine->ops->count(engine) == before ? KV_CORRUPT : KV_OK;
}

kv_status_t kvi_keyspace_load(kvi_keyspace_t *keyspace, size_t count, const kvi_loaded_t *entries)
{
    kv_status_t status = kvi_keyspace_open_content(keyspace);
    for (size_t start = 0; start < count && status == KV_OK; start += GROUP) {
        const size_t size = count - start < GROUP ? count - start : GROUP;
        kv_slice_t keys[GROUP];
        for (size_t i = 0; i < size; i++) {
            keys[i] = entries[start + i].key;
        }
        kvi_keyspace_prefetch(keyspace, size, keys);
        for (size_t i = 0; i < size && status == KV_OK; i++) {
            status = load_entry(keyspace, &entries[start + i]);
        }
    }
    return status;
}

void kvi_db_unload(kvi_db_t *db)
{
    for (size_t number = kvi_db_keyspaces(db); number-- > 0;) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, number);
        if (keyspace == NULL) {
            continue;
        }
        (void)kvi_keyspace_clear(keyspace);
        kvi_keyspace_set_attributes(keyspace, &(kvi_attributes_t){0});
        (void)kvi_db_drop_keyspace(db, (uint32_t)number);
    }
}
