/* SPDX-License-Identifier: MIT */
/*
 * The memtable: a sorted map that keeps versions. Every write has a sequence number, a delete
 * writes a tombstone, and a reader chooses the sequence number at which it looks. Several tables,
 * newest first, are read as one through a merge cursor, and become one by compaction.
 *
 *   tables, newest first        key  a      b      c
 *     writable                       9 v    8 del
 *     frozen                         4 v    3 v    5 v
 *     frozen                                       1 v       read at 6: a = 4 v, b = 3 v, c = 5 v
 *                                                            read at 9: a = 9 v, c = 5 v
 *
 * The order is that of LevelDB's internal keys: keys as memcmp orders them, and of one key the
 * newest version first. Borrowed values are valid until the next write to their table, or until it
 * is closed.
 *
 * Threads. A writable table has one user at a time, any thread. A frozen one may be read by any
 * number of threads at once, each with cursors of its own; compaction is such a reader. Closing
 * needs the table alone. Readers beside the writer are not offered: see docs/decisions/0007.
 */
#ifndef KVI_ENGINE_MEMTABLE_H
#define KVI_ENGINE_MEMTABLE_H

#include <concordkv/kv_engine.h>

#define KVI_SEQUENCE_MAX ((UINT64_C(1) << 56) - 1)

typedef struct kvi_memtable kvi_memtable_t;

/* Zero means the default everywhere. */
typedef struct kvi_memtable_options {
    kv_budget_t *budget; /* NULL: unlimited */
    uint64_t hash_seed;  /* a random secret against chosen keys */
    kv_huge_pages_t huge_pages;
    const char *name;       /* shown in the block map; must outlive the table; NULL: "memtable" */
    size_t threshold_bytes; /* from which on the table is full; 0: never */
} kvi_memtable_options_t;

typedef enum kvi_version_kind {
    KVI_VERSION_NONE = 0, /* no version that old is there */
    KVI_VERSION_DELETED,  /* a tombstone */
    KVI_VERSION_VALUE
} kvi_version_kind_t;

typedef struct kvi_version {
    kvi_version_kind_t kind;
    uint64_t sequence; /* of its write; 0 with KVI_VERSION_NONE */
    kv_slice_t value;  /* borrowed; data is NULL unless the kind is VALUE */
} kvi_version_t;

typedef struct kvi_memtable_figures {
    uint64_t live_keys;    /* keys whose newest version is a value */
    uint64_t deleted_keys; /* keys whose newest version is a tombstone */
    uint64_t old_versions; /* versions behind the newest one of their key */
    size_t used_bytes;     /* what the threshold is compared with */
    size_t obtained_bytes; /* what the budget is charged */
} kvi_memtable_figures_t;

/* NULL options: all defaults. KV_NO_MEMORY. */
kv_status_t kvi_memtable_open(const kvi_memtable_options_t *options, kvi_memtable_t **table);
/* Frees everything in O(blocks). Cursors must be closed before. NULL is accepted. */
void kvi_memtable_close(kvi_memtable_t *table);

/* Writes a version. The sequence number is that of the table's newest write or above it: writes of
 * one batch may share a number, and then a later one of the same key takes the place of the earlier
 * one. KV_INVALID for a number that is too small or above KVI_SEQUENCE_MAX, KV_READ_ONLY if the
 * table is frozen, KV_NO_MEMORY, KV_TOO_LARGE; then nothing has changed. value may be borrowed from
 * this table. */
kv_status_t kvi_memtable_put(kvi_memtable_t *table, uint64_t sequence, kv_slice_t key,
                             kv_slice_t value);
/* Writes a tombstone, whether the key is there or not: it hides what older tables have. Errors as
 * from put. */
kv_status_t kvi_memtable_delete(kvi_memtable_t *table, uint64_t sequence, kv_slice_t key);

/* The newest version of key that is not above sequence. Returns its kind. Takes one step for every
 * newer version of this key. */
kvi_version_kind_t kvi_memtable_get(const kvi_memtable_t *table, kv_slice_t key, uint64_t sequence,
                                    kvi_version_t *version);
/* The same for count keys, in groups whose cache misses overlap. Returns how many values there are.
 */
size_t kvi_memtable_get_many(const kvi_memtable_t *table, size_t count, const kv_slice_t *keys,
                             uint64_t sequence, kvi_version_t *versions);

/* Promises that nobody will read below this sequence number any more (0 at first, and it never goes
 * down): versions that only such reads could see go when their key is written, and in compactions.
 * KVI_SEQUENCE_MAX: only the newest versions matter, and none but those is kept. */
void kvi_memtable_set_oldest_reader(kvi_memtable_t *table, uint64_t sequence);

/* From now on every write is refused with KV_READ_ONLY. Where assertions are on, the table's memory
 * becomes read-only too, so that a stray write is stopped by the system. Calling it again does
 * nothing. */
void kvi_memtable_freeze(kvi_memtable_t *table);
bool kvi_memtable_is_frozen(const kvi_memtable_t *table);
/* Whether used_bytes has reached the threshold. Writes go on all the same: when to freeze is the
 * caller's decision. */
bool kvi_memtable_is_full(const kvi_memtable_t *table);
/* Of the newest write; 0 if there was none. */
uint64_t kvi_memtable_sequence(const kvi_memtable_t *table);
void kvi_memtable_figures(const kvi_memtable_t *table, kvi_memtable_figures_t *figures);
/* Verifies every invariant: KV_OK or KV_CORRUPT. */
kv_status_t kvi_memtable_check(const kvi_memtable_t *table);

/* ---- cursors ---- */

typedef enum kvi_walk {
    KVI_WALK_LIVE = 0, /* keys that have a value at the cursor's sequence number */
    KVI_WALK_DELETED,  /* keys with tombstones too */
    KVI_WALK_VERSIONS  /* every version that is not above it, newest first */
} kvi_walk_t;

/*
 * A cursor reads at one sequence number, with the contract of LevelDB's Iterator: after open not
 * valid; key and version only while valid. It stands at a key and a sequence number, so it survives
 * writes to the table: next and prev go on from there, whatever has become of that version.
 *
 * first, last, seek, next and prev return KV_OK; KV_NOT_FOUND, when there is no further place, and
 * the cursor is then not valid; or KV_NO_MEMORY, which only long keys can cause. A cursor of one
 * table then stands at a place that it has passed on its way, so that it may be moved again; a
 * merge cursor is not valid.
 */
typedef struct kvi_memtable_cursor kvi_memtable_cursor_t;

/* KV_NO_MEMORY. The cursor's own memory is not the table's, and is not charged to its budget. */
kv_status_t kvi_memtable_cursor_open(const kvi_memtable_t *table, uint64_t sequence,
                                     kvi_walk_t walk, kvi_memtable_cursor_t **cursor);
void kvi_memtable_cursor_close(kvi_memtable_cursor_t *cursor); /* NULL is accepted */
bool kvi_memtable_cursor_valid(const kvi_memtable_cursor_t *cursor);
kv_status_t kvi_memtable_cursor_first(kvi_memtable_cursor_t *cursor);
kv_status_t kvi_memtable_cursor_last(kvi_memtable_cursor_t *cursor);
/* To the first place whose key is not before key, and, if it is key, whose sequence number is not
 * above sequence. KVI_SEQUENCE_MAX: to the key's first place. */
kv_status_t kvi_memtable_cursor_seek(kvi_memtable_cursor_t *cursor, kv_slice_t key,
                                     uint64_t sequence);
kv_status_t kvi_memtable_cursor_next(kvi_memtable_cursor_t *cursor);
kv_status_t kvi_memtable_cursor_prev(kvi_memtable_cursor_t *cursor);
/* Valid until the cursor moves. */
kv_slice_t kvi_memtable_cursor_key(const kvi_memtable_cursor_t *cursor);
/* What stands there now: after writes the key may have another version for this cursor, or none. */
void kvi_memtable_cursor_version(const kvi_memtable_cursor_t *cursor, kvi_version_t *version);

/*
 * Several tables read as one, at one sequence number: of the tables that know a key at this number
 * the first one in the list counts, so the newest table comes first; a tombstone in it hides what
 * the others have. Two versions with the same number in a VERSIONS walk are one.
 */
typedef struct kvi_merge_cursor kvi_merge_cursor_t;

/* KV_NO_MEMORY. The list of tables is copied. */
kv_status_t kvi_merge_cursor_open(const kvi_memtable_t *const *tables, size_t count,
                                  uint64_t sequence, kvi_walk_t walk, kvi_merge_cursor_t **cursor);
void kvi_merge_cursor_close(kvi_merge_cursor_t *cursor); /* NULL is accepted */
bool kvi_merge_cursor_valid(const kvi_merge_cursor_t *cursor);
kv_status_t kvi_merge_cursor_first(kvi_merge_cursor_t *cursor);
kv_status_t kvi_merge_cursor_last(kvi_merge_cursor_t *cursor);
kv_status_t kvi_merge_cursor_seek(kvi_merge_cursor_t *cursor, kv_slice_t key, uint64_t sequence);
kv_status_t kvi_merge_cursor_next(kvi_merge_cursor_t *cursor);
kv_status_t kvi_merge_cursor_prev(kvi_merge_cursor_t *cursor);
kv_slice_t kvi_merge_cursor_key(const kvi_merge_cursor_t *cursor);
void kvi_merge_cursor_version(const kvi_merge_cursor_t *cursor, kvi_version_t *version);

/* ---- compaction ---- */

typedef struct kvi_compaction {
    kvi_memtable_options_t options; /* of the new table */
    uint64_t oldest_reader;         /* versions that no read from here on would see stay behind */
    bool is_last;                   /* no older table is below: tombstones that hide nothing go */
} kvi_compaction_t;

/* Copies what the tables, newest first, have to say into a new table, with densely filled pages.
 * The tables must not be written meanwhile; close them afterwards, in O(blocks). Every read at
 * oldest_reader or above finds the same as before. KV_NO_MEMORY. */
kv_status_t kvi_memtable_compact(const kvi_memtable_t *const *tables, size_t count,
                                 const kvi_compaction_t *compaction, kvi_memtable_t **table);

#endif
