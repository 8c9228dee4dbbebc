/* SPDX-License-Identifier: MIT */
/*
 * Compaction: a merge cursor over all versions of the old tables feeds the sorted load of the new
 * table's tree, one record a key. Threads: memtable.h.
 *
 * Which versions stay: the newest one of a key, and going back in time every further one as long as
 * the one after it is above oldest_reader. For a reader at r sees the newest version that is not
 * above r; once one is not above oldest_reader, none behind it is ever seen. In the last table a
 * tombstone with nothing behind it says what its absence says, and goes.
 */
#include "engine/memtable_int.h"

typedef struct compaction {
    const kvi_compaction_t *wish;
    kvi_memtable_t *table; /* the new one */
    kvi_merge_cursor_t *cursor;
    kv_status_t status; /* of the cursor, or of what was made */
    char *key;          /* the key whose versions are gathered */
    size_t key_bytes;
    size_t key_room;
    kvi_version_t *versions; /* those of them that stay, newest first */
    size_t count;
    size_t room;
    char record[VALUE_INLINE_MAX]; /* the newest one, for the tree */
} compaction_t;

/* ---- gathering ---- */

static kv_status_t keep_key(compaction_t *compaction, kv_slice_t key)
{
    if (key.size > compaction->key_room) {
        char *const larger = kv_store_realloc(compaction->key, key.size);
        if (larger == NULL) {
            return KV_NO_MEMORY;
        }
        compaction->key = larger;
        compaction->key_room = key.size;
    }
    kvi_bytes_copy(compaction->key, key.data, key.size);
    compaction->key_bytes = key.size;
    return KV_OK;
}

static kv_status_t keep_version(compaction_t *compaction, const kvi_version_t *version)
{
    if (compaction->count == compaction->room) {
        const size_t room = compaction->room * 2 + 16;
        kvi_version_t *const larger = kv_store_realloc(compaction->versions, room * sizeof *larger);
        if (larger == NULL) {
            return KV_NO_MEMORY;
        }
        compaction->versions = larger;
        compaction->room = room;
    }
    compaction->versions[compaction->count++] = *version;
    return KV_OK;
}

/* Gathers what stays of the cursor's key and passes it. The status of the cursor is kept. */
static kv_status_t gather(compaction_t *compaction)
{
    kvi_version_t version;
    bool is_seen = true;
    kv_slice_t key = kvi_merge_cursor_key(compaction->cursor);
    kv_status_t status = keep_key(compaction, key);
    compaction->count = 0;
    while (status == KV_OK && compaction->status == KV_OK &&
           kvi_slice_equal(key, (kv_slice_t){compaction->key, compaction->key_bytes})) {
        if (is_seen) {
            kvi_merge_cursor_version(compaction->cursor, &version);
            is_seen = version.sequence > compaction->wish->oldest_reader;
            status = keep_version(compaction, &version);
        }
        compaction->status = kvi_merge_cursor_next(compaction->cursor);
        key = kvi_merge_cursor_key(compaction->cursor);
    }
    while (compaction->wish->is_last && compaction->count > 0 &&
           compaction->versions[compaction->count - 1].kind == KVI_VERSION_DELETED) {
        compaction->count--;
    }
    return status == KV_OK && compaction->status == KV_NO_MEMORY ? KV_NO_MEMORY : status;
}

/* ---- making ---- */

/* Describes a version as a record in front of older. A large value is copied into the new table;
 * large_body then holds its address and size. */
static kv_status_t make_record(compaction_t *compaction, const kvi_version_t *version,
                               uint32_t older, char *large_body, kvi_record_t *record)
{
    const kv_slice_t value = version->value;
    *record = (kvi_record_t){
        .sequence = version->sequence,
        .flags = version->kind == KVI_VERSION_DELETED ? FLAG_DELETED : 0,
        .older = older,
        .body = value.data,
        .body_bytes = value.size,
    };
    if (value.size > VALUE_IN_RECORD_MAX) {
        char *const large = kvi_bptree_alloc_guest(compaction->table->tree, value.size);
        if (large == NULL) {
            return KV_NO_MEMORY;
        }
        memcpy(large, value.data, value.size);
        memcpy(large_body, &large, sizeof large);
        memcpy(large_body + sizeof large, &value.size, sizeof value.size);
        record->flags |= FLAG_LARGE;
        record->body = large_body;
        record->body_bytes = LARGE_BYTES;
    }
    return KV_OK;
}

static kv_status_t make_older(compaction_t *compaction, const kvi_version_t *version,
                              uint32_t *older)
{
    kvi_bptree_t *const tree = compaction->table->tree;
    char large_body[LARGE_BYTES];
    kvi_record_t record;
    if (make_record(compaction, version, *older, large_body, &record) != KV_OK) {
        return KV_NO_MEMORY;
    }
    const size_t bytes = kvi_record_bytes(&record);
    kvi_apart_t *const apart = kvi_bptree_alloc_guest(tree, sizeof *apart + bytes);
    if (apart == NULL) {
        return KV_NO_MEMORY;
    }
    apart->bytes = (uint32_t)bytes;
    kvi_bytes_copy(kvi_record_write(apart->data, &record), record.body, record.body_bytes);
    *older = kvi_pool_ref(tree->pool, apart);
    compaction->table->old_versions++;
    return KV_OK;
}

/* Makes the key's record of the versions that stay, the oldest first. */
static kv_status_t make_chain(compaction_t *compaction, kv_slice_t *bytes)
{
    uint32_t older = 0;
    char large_body[LARGE_BYTES];
    kvi_record_t record;
    for (size_t i = compaction->count - 1; i > 0; i--) {
        if (make_older(compaction, &compaction->versions[i], &older) != KV_OK) {
            return KV_NO_MEMORY;
        }
    }
    const kvi_version_t *const newest = &compaction->versions[0];
    if (make_record(compaction, newest, older, large_body, &record) != KV_OK) {
        return KV_NO_MEMORY;
    }
    kvi_bytes_copy(kvi_record_write(compaction->record, &record), record.body, record.body_bytes);
    *bytes = (kv_slice_t){compaction->record, kvi_record_bytes(&record)};
    kvi_memtable_count(compaction->table, (kv_slice_t){compaction->key, compaction->key_bytes},
                       record.flags, newest->value.size);
    return KV_OK;
}

/* The next entry of the load. What goes wrong ends it, and is found in status. */
static bool next_entry(void *context, kv_slice_t *key, kv_slice_t *value)
{
    compaction_t *const compaction = context;
    while (compaction->status == KV_OK) {
        kv_status_t status = gather(compaction);
        if (status == KV_OK && compaction->count > 0) {
            status = make_chain(compaction, value);
        }
        if (status != KV_OK) {
            compaction->status = status;
            return false;
        }
        if (compaction->count > 0) {
            *key = (kv_slice_t){compaction->key, compaction->key_bytes};
            return true;
        }
    }
    return false;
}

static kv_status_t fill(compaction_t *compaction)
{
    kvi_memtable_t *const table = compaction->table;
    compaction->status = kvi_merge_cursor_first(compaction->cursor);
    const kv_status_t status =
        kvi_bptree_ordered.load(&table->tree->engine, next_entry, compaction);
    kvi_merge_cursor_close(compaction->cursor);
    kv_store_free(compaction->key);
    kv_store_free(compaction->versions);
    if (status != KV_OK) {
        return status;
    }
    return compaction->status == KV_NOT_FOUND ? KV_OK : compaction->status;
}

kv_status_t kvi_memtable_compact(const kvi_memtable_t *const *tables, size_t count,
                                 const kvi_compaction_t *wish, kvi_memtable_t **table)
{
    compaction_t compaction = {.wish = wish};
    if (kvi_merge_cursor_open(tables, count, KVI_SEQUENCE_MAX, KVI_WALK_VERSIONS,
                              &compaction.cursor) != KV_OK) {
        return KV_NO_MEMORY;
    }
    kv_status_t status = kvi_memtable_open(&wish->options, &compaction.table);
    if (status != KV_OK) {
        kvi_merge_cursor_close(compaction.cursor);
        return status;
    }
    status = fill(&compaction);
    if (status != KV_OK) {
        kvi_memtable_close(compaction.table);
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        if (tables[i]->sequence > compaction.table->sequence) {
            compaction.table->sequence = tables[i]->sequence;
        }
    }
    kvi_memtable_set_oldest_reader(compaction.table, wish->oldest_reader);
    *table = compaction.table;
    return KV_OK;
}
