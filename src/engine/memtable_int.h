/* SPDX-License-Identifier: MIT */
/*
 * The memtable's own shapes. Only the files src/engine/memtable*.c and their tests include this.
 *
 * A B+tree (bptree_int.h) in the table's pool has one entry a key, whose value is the record of the
 * newest version. Older versions hang on it, newest first, as objects of the same pool; so a page
 * holds no version twice, most reads end in the page, and what readers of the past need costs
 * others nothing. The pool is the table's own: the table dies in O(blocks).
 *
 *   record   | stamp 8: sequence 56, flags 8 | older 4, if FLAG_OLDER | value: its bytes, or |
 *            |                               |                        | address 8, bytes 8    |
 *
 *   tree     key a ─► record ── older ──► record ── older ──► record
 *            key b ─► record              (in a kvi_apart_t, which knows its length)
 *
 * A value longer than VALUE_IN_RECORD_MAX is an object of its own (FLAG_LARGE), which goes along
 * when its version gets old. A tombstone (FLAG_DELETED) has no value.
 *
 * Invariants
 *  1. The tree's own. Its values are records of 8 to VALUE_INLINE_MAX bytes, so none stands apart.
 *  2. Along a chain sequence numbers descend. None is above the table's.
 *  3. live_keys, deleted_keys, old_versions, key_bytes, value_bytes are the sums over everything;
 *     the tree's guests are the table, the old versions and the large values, nothing else.
 *  4. A frozen table does not change, and where assertions are on, its pool is sealed.
 *
 * Threads: memtable.h.
 */
#ifndef KVI_ENGINE_MEMTABLE_INT_H
#define KVI_ENGINE_MEMTABLE_INT_H

#include "engine/bptree_int.h"
#include "engine/memtable.h"

#define STAMP_BYTES 8u
#define OLDER_BYTES 4u
#define LARGE_BYTES 16u
#define FLAG_DELETED 1u
#define FLAG_OLDER 2u
#define FLAG_LARGE 4u
#define FLAG_BITS 8u
#define FLAG_MASK ((UINT64_C(1) << FLAG_BITS) - 1)
#define VALUE_IN_RECORD_MAX (VALUE_INLINE_MAX - STAMP_BYTES - OLDER_BYTES)

struct kvi_memtable {
    kv_engine_t engine; /* for the row of the table of engines */
    kvi_bptree_t *tree; /* in whose pool this struct is, too */
    uint64_t sequence;
    uint64_t oldest_reader;
    uint64_t live_keys;
    uint64_t deleted_keys;
    uint64_t old_versions;
    size_t key_bytes;   /* of live keys, in full */
    size_t value_bytes; /* of live keys' newest values */
    size_t threshold_bytes;
    bool frozen;
    bool sealed;
    uint64_t move_at;   /* rank at which the row looks for large values to move next */
    uint64_t move_idle; /* entries passed since one was moved */
    uint64_t purge_at;  /* rank at which the row looks for tombstones next */
};

/* A record taken apart. */
typedef struct kvi_record {
    uint64_t sequence;
    uint32_t flags;
    uint32_t older; /* reference of a kvi_apart_t; 0: none */
    const char *body;
    size_t body_bytes;
} kvi_record_t;

struct kvi_memtable_cursor {
    kv_cursor_t cursor; /* for the row */
    const kvi_memtable_t *table;
    uint64_t sequence;
    kvi_walk_t walk;
    kvi_version_t at;         /* the version as it was when the cursor came here */
    kvi_bptree_cursor_t keys; /* stands at its key */
};

/* ---- records ---- */

static inline kvi_record_t kvi_record_parse(kv_slice_t bytes)
{
    const uint64_t stamp = kvi_bytes_load64(bytes.data);
    kvi_record_t record = {
        .sequence = stamp >> FLAG_BITS,
        .flags = (uint32_t)(stamp & FLAG_MASK),
        .body = bytes.data + STAMP_BYTES,
        .body_bytes = bytes.size - STAMP_BYTES,
    };
    if ((record.flags & FLAG_OLDER) != 0) {
        record.older = kvi_bytes_load32(record.body);
        record.body += OLDER_BYTES;
        record.body_bytes -= OLDER_BYTES;
    }
    return record;
}

/* Bytes that kvi_record_write takes. */
static inline size_t kvi_record_bytes(const kvi_record_t *record)
{
    return STAMP_BYTES + (record->older != 0 ? OLDER_BYTES : 0) + record->body_bytes;
}

/* Writes all but the body, and returns its place. FLAG_OLDER follows older. */
static inline char *kvi_record_write(char *to, const kvi_record_t *record)
{
    const uint32_t older = record->older != 0 ? FLAG_OLDER : 0;
    const uint64_t stamp = record->sequence << FLAG_BITS | (record->flags & ~FLAG_OLDER) | older;
    memcpy(to, &stamp, sizeof stamp);
    memcpy(to + STAMP_BYTES, &record->older, older != 0 ? OLDER_BYTES : 0);
    return to + STAMP_BYTES + (older != 0 ? OLDER_BYTES : 0);
}

static inline kv_slice_t kvi_record_value(const kvi_record_t *record)
{
    kv_slice_t value = {record->body, record->body_bytes};
    if ((record->flags & FLAG_LARGE) != 0) {
        memcpy(&value.data, record->body, sizeof value.data);
        memcpy(&value.size, record->body + sizeof value.data, sizeof value.size);
    }
    return value;
}

static inline kvi_apart_t *kvi_record_older(const kvi_memtable_t *table, const kvi_record_t *record)
{
    return kvi_pool_deref(table->tree->pool, record->older);
}

/* Goes on to the next older version; false if there is none. */
static inline bool kvi_record_step(const kvi_memtable_t *table, kvi_record_t *record)
{
    if (record->older == 0) {
        return false;
    }
    const kvi_apart_t *const apart = kvi_record_older(table, record);
    *record = kvi_record_parse((kv_slice_t){apart->data, apart->bytes});
    return true;
}

/* Goes on to the newest version that is not above sequence; false if there is none. */
static inline bool kvi_record_step_to(const kvi_memtable_t *table, kvi_record_t *record,
                                      uint64_t sequence)
{
    while (record->sequence > sequence) {
        if (!kvi_record_step(table, record)) {
            return false;
        }
    }
    return true;
}

static inline kvi_version_t kvi_record_version(const kvi_record_t *record)
{
    if ((record->flags & FLAG_DELETED) != 0) {
        return (kvi_version_t){.kind = KVI_VERSION_DELETED, .sequence = record->sequence};
    }
    return (kvi_version_t){KVI_VERSION_VALUE, record->sequence, kvi_record_value(record)};
}

/* ---- memtable.c ---- */

/* The record of key's newest version; false if the key has none. */
bool kvi_memtable_find(const kvi_memtable_t *table, kv_slice_t key, kvi_record_t *record);
/* Frees the older versions of a record. */
void kvi_memtable_free_older(kvi_memtable_t *table, kvi_record_t record);
/* Frees the record's large value, if it has one. */
void kvi_memtable_free_large(kvi_memtable_t *table, const kvi_record_t *record);
/* Adds a key's newest version to the figures, or takes it out. */
void kvi_memtable_count(kvi_memtable_t *table, kv_slice_t key, uint32_t flags, size_t value_bytes);
void kvi_memtable_uncount(kvi_memtable_t *table, kv_slice_t key, uint32_t flags,
                          size_t value_bytes);

/* ---- memtable_write.c ---- */

/* What is to be written under a key. */
typedef struct kvi_memtable_write {
    uint64_t sequence;
    kv_slice_t key;
    const char *source; /* the value; NULL: the caller writes it to *place */
    size_t value_bytes;
    size_t keep_bytes; /* without a source: how many bytes of the old value are kept */
    bool deleted;
} kvi_memtable_write_t;

/* Does it. *place is where the value lies. Statuses as of kvi_memtable_put; KV_INVALID also if more
 * is to be kept than there is. */
kv_status_t kvi_memtable_write(kvi_memtable_t *table, const kvi_memtable_write_t *write,
                               char **place);

/* ---- memtable_cursor.c ---- */

/* A cursor in the caller's memory, to be released at the end. */
void kvi_memtable_cursor_init(kvi_memtable_cursor_t *cursor, const kvi_memtable_t *table,
                              uint64_t sequence, kvi_walk_t walk);
void kvi_memtable_cursor_release(kvi_memtable_cursor_t *cursor);
/* Whether nothing was written since the cursor came to its key, so that `at` is what stands there.
 */
static inline bool kvi_memtable_cursor_is_fresh(const kvi_memtable_cursor_t *cursor)
{
    return cursor->keys.changes == cursor->table->tree->changes;
}

extern const kv_engine_ops_t kvi_memtable_engine;

#endif
