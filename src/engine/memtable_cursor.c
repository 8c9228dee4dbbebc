/* SPDX-License-Identifier: MIT */
/*
 * Cursors of one memtable. A cursor of the tree stands at the key and keeps a copy of it; beside it
 * stands the version, by its sequence number. Older versions of a key come before the next key.
 * Threads: memtable.h.
 */
#include "engine/memtable_int.h"

#define STANDS_NOWHERE ((kvi_version_t){0})

void kvi_memtable_cursor_init(kvi_memtable_cursor_t *cursor, const kvi_memtable_t *table,
                              uint64_t sequence, kvi_walk_t walk)
{
    cursor->cursor.ops = table->engine.ops;
    cursor->table = table;
    cursor->sequence = sequence;
    cursor->walk = walk;
    cursor->at = STANDS_NOWHERE;
    kvi_bptree_cursor_init(&cursor->keys, table->tree);
}

void kvi_memtable_cursor_release(kvi_memtable_cursor_t *cursor)
{
    kvi_bptree_cursor_release(&cursor->keys);
}

kv_status_t kvi_memtable_cursor_open(const kvi_memtable_t *table, uint64_t sequence,
                                     kvi_walk_t walk, kvi_memtable_cursor_t **cursor)
{
    kvi_memtable_cursor_t *const made = kv_store_malloc(sizeof *made);
    if (made == NULL) {
        return KV_NO_MEMORY;
    }
    kvi_memtable_cursor_init(made, table, sequence, walk);
    *cursor = made;
    return KV_OK;
}

void kvi_memtable_cursor_close(kvi_memtable_cursor_t *cursor)
{
    if (cursor != NULL) {
        kvi_memtable_cursor_release(cursor);
        kv_store_free(cursor);
    }
}

bool kvi_memtable_cursor_valid(const kvi_memtable_cursor_t *cursor)
{
    return cursor->keys.valid;
}

kv_slice_t kvi_memtable_cursor_key(const kvi_memtable_cursor_t *cursor)
{
    return kvi_bptree_cursor_key(&cursor->keys.cursor);
}

/* ---- versions of the key ---- */

/* The newest version of the cursor's key; false if the key is gone. */
static bool newest(const kvi_memtable_cursor_t *cursor, kvi_record_t *record)
{
    if (!kvi_memtable_cursor_is_fresh(cursor)) {
        return kvi_memtable_find(cursor->table, kvi_memtable_cursor_key(cursor), record);
    }
    *record = kvi_record_parse(cursor->keys.value);
    return true;
}

/* The same as stand_at in the ordinary case: a small value without older versions. */
static bool stand_at_plain(kvi_memtable_cursor_t *cursor, uint64_t sequence)
{
    const kv_slice_t bytes = cursor->keys.value;
    const uint64_t stamp = kvi_bytes_load64(bytes.data);
    const kv_slice_t value = {bytes.data + STAMP_BYTES, bytes.size - STAMP_BYTES};
    if ((stamp & FLAG_MASK) != 0 || stamp >> FLAG_BITS > sequence) {
        return false;
    }
    cursor->at = (kvi_version_t){KVI_VERSION_VALUE, stamp >> FLAG_BITS, value};
    return true;
}

/* Stands at the newest version of its key that is not above sequence, if the walk shows that. */
static bool stand_at(kvi_memtable_cursor_t *cursor, uint64_t sequence)
{
    kvi_record_t record;
    if (kvi_memtable_cursor_is_fresh(cursor) && stand_at_plain(cursor, sequence)) {
        return true;
    }
    cursor->at = STANDS_NOWHERE;
    if (!newest(cursor, &record) || !kvi_record_step_to(cursor->table, &record, sequence) ||
        (cursor->walk == KVI_WALK_LIVE && (record.flags & FLAG_DELETED) != 0)) {
        return false;
    }
    cursor->at = kvi_record_version(&record);
    return true;
}

/* Stands at the oldest version of its key that is newer than sequence, and that the cursor sees. */
static bool stand_above(kvi_memtable_cursor_t *cursor, uint64_t sequence)
{
    kvi_record_t record;
    bool found =
        newest(cursor, &record) && kvi_record_step_to(cursor->table, &record, cursor->sequence);
    const kvi_version_t before = cursor->at;
    cursor->at = STANDS_NOWHERE;
    while (found && record.sequence > sequence) {
        cursor->at = kvi_record_version(&record);
        found = kvi_record_step(cursor->table, &record);
    }
    if (cursor->at.kind == KVI_VERSION_NONE) {
        cursor->at = before;
        return false;
    }
    return true;
}

/* ---- keys ---- */

/* What the tree's cursor answered, or the first key from there on that has something to show. */
static kv_status_t settle_forwards(kvi_memtable_cursor_t *cursor, kv_status_t status)
{
    while (status == KV_OK && !stand_at(cursor, cursor->sequence)) {
        status = kvi_bptree_cursor_next(&cursor->keys.cursor);
    }
    return status;
}

static bool stand_at_last(kvi_memtable_cursor_t *cursor)
{
    if (cursor->walk != KVI_WALK_VERSIONS) {
        return stand_at(cursor, cursor->sequence);
    }
    kvi_record_t record;
    cursor->at = STANDS_NOWHERE;
    if (!newest(cursor, &record) || !kvi_record_step_to(cursor->table, &record, cursor->sequence)) {
        return false;
    }
    while (kvi_record_step(cursor->table, &record)) {
    }
    cursor->at = kvi_record_version(&record);
    return true;
}

static kv_status_t settle_backwards(kvi_memtable_cursor_t *cursor, kv_status_t status)
{
    while (status == KV_OK && !stand_at_last(cursor)) {
        status = kvi_bptree_cursor_prev(&cursor->keys.cursor);
    }
    return status;
}

/* ---- moving ---- */

kv_status_t kvi_memtable_cursor_first(kvi_memtable_cursor_t *cursor)
{
    return settle_forwards(cursor, kvi_bptree_cursor_first(&cursor->keys.cursor));
}

kv_status_t kvi_memtable_cursor_last(kvi_memtable_cursor_t *cursor)
{
    return settle_backwards(cursor, kvi_bptree_cursor_last(&cursor->keys.cursor));
}

kv_status_t kvi_memtable_cursor_seek(kvi_memtable_cursor_t *cursor, kv_slice_t key,
                                     uint64_t sequence)
{
    const kv_status_t status = kvi_bptree_cursor_seek(&cursor->keys.cursor, key);
    if (status != KV_OK || cursor->walk != KVI_WALK_VERSIONS || sequence >= cursor->sequence ||
        !cursor->keys.path.found) {
        return settle_forwards(cursor, status);
    }
    if (stand_at(cursor, sequence)) {
        return KV_OK;
    }
    return settle_forwards(cursor, kvi_bptree_cursor_next(&cursor->keys.cursor));
}

kv_status_t kvi_memtable_cursor_next(kvi_memtable_cursor_t *cursor)
{
    if (cursor->walk == KVI_WALK_VERSIONS && cursor->keys.valid) {
        const kvi_version_t before = cursor->at;
        if (before.sequence > 0 && stand_at(cursor, before.sequence - 1)) {
            return KV_OK;
        }
        cursor->at = before;
    }
    return settle_forwards(cursor, kvi_bptree_cursor_next(&cursor->keys.cursor));
}

kv_status_t kvi_memtable_cursor_prev(kvi_memtable_cursor_t *cursor)
{
    if (cursor->walk == KVI_WALK_VERSIONS && cursor->keys.valid &&
        stand_above(cursor, cursor->at.sequence)) {
        return KV_OK;
    }
    return settle_backwards(cursor, kvi_bptree_cursor_prev(&cursor->keys.cursor));
}

void kvi_memtable_cursor_version(const kvi_memtable_cursor_t *cursor, kvi_version_t *version)
{
    *version = STANDS_NOWHERE;
    if (!cursor->keys.valid) {
        return;
    }
    if (kvi_memtable_cursor_is_fresh(cursor)) {
        *version = cursor->at;
        return;
    }
    const uint64_t sequence =
        cursor->walk == KVI_WALK_VERSIONS ? cursor->at.sequence : cursor->sequence;
    (void)kvi_memtable_get(cursor->table, kvi_memtable_cursor_key(cursor), sequence, version);
    if (cursor->walk == KVI_WALK_VERSIONS && version->sequence != sequence) {
        *version = STANDS_NOWHERE;
    }
}
