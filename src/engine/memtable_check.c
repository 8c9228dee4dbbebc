/* SPDX-License-Identifier: MIT */
/*
 * Verifies the memtable's invariants, as memtable_int.h numbers them: the tree's by the tree's own
 * check, then every record along every chain. Threads: memtable.h.
 */
#include "engine/memtable_int.h"

/* What is summed up on the way. */
typedef struct audit {
    const kvi_memtable_t *table;
    uint64_t live_keys;
    uint64_t deleted_keys;
    uint64_t old_versions;
    size_t key_bytes;
    size_t value_bytes;
    size_t guest_bytes;
    size_t guest_objects;
} audit_t;

static bool audit_guest(audit_t *audit, const void *object, size_t bytes)
{
    const kv_pool_t *const pool = audit->table->tree->pool;
    audit->guest_objects++;
    audit->guest_bytes += bytes;
    return kv_pool_owns(pool, object) && kv_pool_usable_size(pool, object) >= bytes;
}

/* A record's own shape, and its large value. */
static bool audit_record(audit_t *audit, kv_slice_t bytes, kvi_record_t *record)
{
    if (bytes.size < STAMP_BYTES || bytes.size > VALUE_INLINE_MAX) {
        return false;
    }
    *record = kvi_record_parse(bytes);
    const bool deleted = (record->flags & FLAG_DELETED) != 0;
    const bool large = (record->flags & FLAG_LARGE) != 0;
    if (record->flags > (FLAG_DELETED | FLAG_OLDER | FLAG_LARGE) ||
        record->body_bytes > bytes.size ||
        ((record->flags & FLAG_OLDER) != 0) != (record->older != 0) ||
        (deleted && (large || record->body_bytes > 0)) ||
        (large && record->body_bytes != LARGE_BYTES)) {
        return false;
    }
    const kv_slice_t value = kvi_record_value(record);
    return large == (value.size > VALUE_IN_RECORD_MAX) &&
           (!large || audit_guest(audit, value.data, value.size));
}

static bool audit_chain(audit_t *audit, kvi_record_t record)
{
    while (record.older != 0) {
        const uint64_t newer = record.sequence;
        const kvi_apart_t *const apart = kvi_record_older(audit->table, &record);
        audit->old_versions++;
        if (!audit_guest(audit, apart, sizeof *apart + apart->bytes) ||
            !audit_record(audit, (kv_slice_t){apart->data, apart->bytes}, &record) ||
            record.sequence >= newer) {
            return false;
        }
    }
    return true;
}

static bool audit_key(audit_t *audit, kv_slice_t key, kv_slice_t bytes)
{
    kvi_record_t record;
    if (!audit_record(audit, bytes, &record) || record.sequence > audit->table->sequence ||
        !audit_chain(audit, record)) {
        return false;
    }
    if ((record.flags & FLAG_DELETED) != 0) {
        audit->deleted_keys++;
    } else {
        audit->live_keys++;
        audit->key_bytes += key.size;
        audit->value_bytes += kvi_record_value(&record).size;
    }
    return true;
}

static bool audit_keys(audit_t *audit)
{
    kvi_path_t path;
    char buffer[KEY_BUFFER_BYTES];
    const kvi_bptree_t *const tree = audit->table->tree;
    if (tree->count == 0) {
        return true;
    }
    kvi_bptree_descend_rank(tree, 0, &path);
    do {
        for (uint32_t i = 0; i < path.leaf->count; i++) {
            const uint64_t slot = kvi_leaf_slots(path.leaf)[i];
            if (!audit_key(audit, kvi_leaf_key(path.leaf, i, buffer),
                           kvi_leaf_value(path.leaf, slot))) {
                return false;
            }
        }
    } while (kvi_path_next_leaf(tree, &path));
    return true;
}

kv_status_t kvi_memtable_check(const kvi_memtable_t *table)
{
    audit_t audit = {.table = table};
    if (kvi_bptree_check(&table->tree->engine) != KV_OK ||
        !audit_guest(&audit, table, sizeof *table) || !audit_keys(&audit)) {
        return KV_CORRUPT;
    }
    const bool agree =
        audit.live_keys == table->live_keys && audit.deleted_keys == table->deleted_keys &&
        audit.old_versions == table->old_versions && audit.key_bytes == table->key_bytes &&
        audit.value_bytes == table->value_bytes && audit.guest_bytes == table->tree->guest_bytes &&
        audit.guest_objects == table->tree->guest_objects && (table->frozen || !table->sealed);
    return agree ? KV_OK : KV_CORRUPT;
}
