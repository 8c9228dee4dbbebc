/* SPDX-License-Identifier: MIT */
/* What the files of src/db share: the structs behind db.h and the way to a live record. */
#ifndef KVI_DB_DB_INT_H
#define KVI_DB_DB_INT_H

#include "db/db.h"
#include "db/expiry.h"
#include "db/record.h"

/* Invariants:
 *  1. engine is NULL before the first put and after clear: an empty keyspace holds next to nothing.
 *  2. Every record with a deadline has one item in expiry, and every item has its record.
 *  3. expiry holds no reserved item between two calls. */
struct kvi_keyspace {
    kvi_db_t *db;
    const kv_engine_ops_t *ops;
    kv_engine_t *engine;
    kv_budget_t *budget; /* a child of the database's; unlimited by itself */
    kvi_expiry_t expiry;
    uint64_t hash_seed;
    uint64_t expired;
};

struct kvi_db {
    kv_budget_t *budget; /* its hard limit is the memory limit */
    kvi_epochs_t epochs;
    int64_t time_ms;     /* the latest time that anything was applied at */
    uint64_t changes;    /* of entries */
    kv_arena_t *results; /* what the results of the last batch point to; NULL: none yet */
    kv_arena_t *undo;    /* old records of an atomic batch; NULL: none yet */
    size_t keyspace_count;
    kvi_keyspace_t keyspaces[];
};

kv_status_t kvi_keyspace_open(kvi_keyspace_t *keyspace, kvi_db_t *db,
                              const kvi_db_options_t *options);
void kvi_keyspace_close(kvi_keyspace_t *keyspace);

/* Removes an entry that is there. key may be the item's own. */
void kvi_keyspace_remove(kvi_keyspace_t *keyspace, kv_slice_t key, kvi_expiry_item_t *item);
/* Puts back an entry as it was: record are the bytes it had, data NULL if there was none. The
 * address of the deadline's item in it does not count. KV_NO_MEMORY. */
kv_status_t kvi_keyspace_restore(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t record);
/* Shows every entry of the range, late ones too. KV_UNSUPPORTED without an order, KV_NO_MEMORY. */
kv_status_t kvi_keyspace_walk_range(kvi_keyspace_t *keyspace, const kv_range_t *range,
                                    kv_engine_visit_fn visit, void *context);
/* Removes a late entry and counts it. */
void kvi_keyspace_remove_late(kvi_keyspace_t *keyspace, kv_slice_t key, const char *record);

/* The record of a key that is there and not late, borrowed from the engine; KV_OK or KV_NOT_FOUND
 * with no data. */
static inline kv_status_t kvi_keyspace_find(kvi_keyspace_t *keyspace, kv_slice_t key,
                                            int64_t now_ms, kv_slice_t *record)
{
    *record = (kv_slice_t){NULL, 0};
    if (keyspace->engine == NULL) {
        return KV_NOT_FOUND;
    }
    const kv_status_t status = keyspace->ops->get(keyspace->engine, key, record);
    if (status != KV_OK) {
        *record = (kv_slice_t){NULL, 0};
        return status;
    }
    if (kvi_record_is_late(record->data, now_ms)) {
        kvi_keyspace_remove_late(keyspace, key, record->data);
        *record = (kv_slice_t){NULL, 0};
        return KV_NOT_FOUND;
    }
    return KV_OK;
}

/* The engine lends records as constants; the keyspace owns the engine and writes heads and values
 * of the same size in place. */
static inline char *kvi_record_writable(kv_slice_t record)
{
    return (char *)(uintptr_t)record.data;
}

#endif
