/* SPDX-License-Identifier: MIT */
/*
 * The engine seam: a storage engine is a map from bytes to bytes that takes all of its memory from
 * its own pool. Engines know nothing of time, files, threads or sockets. An engine and its cursors
 * have one user at a time.
 *
 * Keys are 0 to 2^32 - 1 bytes, values 0 to 2^40; both may hold any byte.
 * Borrowed slices (get, cursors) are valid until the next call that may change the engine.
 */
#ifndef CONCORDKV_KV_ENGINE_H
#define CONCORDKV_KV_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_export.h>
#include <concordkv/kv_memory.h>
#include <concordkv/kv_status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KV_KEY_BYTES_MAX ((size_t)UINT32_MAX)
#define KV_VALUE_BYTES_MAX ((size_t)1 << 40)

typedef struct kv_engine kv_engine_t;
typedef struct kv_cursor kv_cursor_t;
typedef struct kv_engine_ops kv_engine_ops_t;

typedef struct kv_engine_options {
    kv_budget_t *budget;   /* NULL: unlimited */
    uint64_t hash_seed;    /* a random secret against chosen keys, where the engine hashes */
    size_t expected_count; /* entries to make room for at once; 0: grow as they come */
    kv_huge_pages_t huge_pages;
    const char *name; /* shown in the block map; must outlive the engine; NULL: its ops->name */
} kv_engine_options_t;

/* Bytes, as obtained from the process: key + value + index + slack = total, which is what the
 * budget is charged. */
typedef struct kv_engine_memory {
    size_t key_bytes; /* as stored: what keys have in common may count once */
    size_t value_bytes;
    size_t index_bytes; /* tables, nodes, headers of entries */
    size_t slack_bytes; /* rounding, free objects and pool metadata */
    size_t total_bytes;
} kv_engine_memory_t;

/* Called with borrowed slices; it must not change the engine. */
typedef void (*kv_engine_visit_fn)(void *context, kv_slice_t key, kv_slice_t value);

/* A bound is a key, included or not, or nothing: {0} is unbounded. A range holds the keys that lie
 * behind its lower and before its upper bound; one whose bounds cross is empty. */
typedef enum kv_bound_kind {
    KV_BOUND_NONE = 0,
    KV_BOUND_INCLUDED,
    KV_BOUND_EXCLUDED
} kv_bound_kind_t;

typedef struct kv_bound {
    kv_bound_kind_t kind;
    kv_slice_t key; /* not looked at with KV_BOUND_NONE */
} kv_bound_t;

typedef struct kv_range {
    kv_bound_t lower;
    kv_bound_t upper;
} kv_range_t;

struct kvi_ordered_ops;
struct kvi_aimed_ops;

/* One row of the table of engines. Every function is there in every row; one that an engine cannot
 * do returns KV_UNSUPPORTED. On an error nothing has changed. */
struct kv_engine_ops {
    const char *name;
    bool ordered; /* cursors and scans go in memcmp order of keys, a prefix before what it begins */
    /* What an ordered engine does faster than its cursors can; NULL: nothing. Use kv_engine_rank
     * and its like. */
    const struct kvi_ordered_ops *ranges;
    /* How an engine that hashes spares its callers to have a key hashed twice; NULL: not at all.
     */
    const struct kvi_aimed_ops *aimed;

    kv_status_t (*open)(const kv_engine_options_t *options, kv_engine_t **engine);
    void (*close)(kv_engine_t *engine); /* O(blocks); NULL is accepted */

    /* KV_OK with the borrowed value, or KV_NOT_FOUND. */
    kv_status_t (*get)(kv_engine_t *engine, kv_slice_t key, kv_slice_t *value);
    /* As get for count keys, their cache misses overlapped; a missing key gives data NULL. Returns
     * the number found. */
    size_t (*get_many)(kv_engine_t *engine, size_t count, const kv_slice_t *keys,
                       kv_slice_t *values);
    /* Starts to bring what get, put or del of these keys will touch into the cache. A hint. */
    void (*prefetch)(kv_engine_t *engine, size_t count, const kv_slice_t *keys);

    /* Inserts or overwrites. KV_NO_MEMORY, KV_TOO_LARGE. */
    kv_status_t (*put)(kv_engine_t *engine, kv_slice_t key, kv_slice_t value);
    /* Makes the value of key value_bytes long and gives its place to write to: the first keep_bytes
     * are those of the old value (at most its size), the rest is undefined. The place is valid
     * until the next call. What put is made of. */
    kv_status_t (*place)(kv_engine_t *engine, kv_slice_t key, size_t value_bytes, size_t keep_bytes,
                         char **place);
    /* KV_OK or KV_NOT_FOUND. */
    kv_status_t (*del)(kv_engine_t *engine, kv_slice_t key);

    uint64_t (*count)(const kv_engine_t *engine);
    kv_status_t (*memory)(const kv_engine_t *engine, kv_engine_memory_t *memory);
    /* What the budget would be charged for an engine of count entries of these sizes, put in random
     * order, their keys without anything in common: within 3 % above 10 MB, in a build without
     * guards. SIZE_MAX: more than that. */
    size_t (*estimate)(uint64_t count, size_t key_bytes, size_t value_bytes);
    /* Some entry, each about equally likely for even numbers. KV_NOT_FOUND if empty. */
    kv_status_t (*sample)(kv_engine_t *engine, uint64_t number, kv_slice_t *key, kv_slice_t *value);

    /* A walk without state in the engine: begin with token 0, pass the returned token on, stop when
     * 0 comes back. Visits at least one place and about count entries. Every key that is there from
     * beginning to end is visited exactly once, whatever is inserted, deleted or grown between the
     * calls. Tokens are below 2^63. */
    uint64_t (*scan)(kv_engine_t *engine, uint64_t token, size_t count, kv_engine_visit_fn visit,
                     void *context);

    /* Moves up to steps entries out of sparse blocks, so that those can be given back. Returns the
     * number of steps used; fewer than asked for: nothing is left to do for now. Borrowed slices
     * become invalid. */
    size_t (*relocate)(kv_engine_t *engine, size_t steps);

    /* Verifies every invariant: KV_OK or KV_CORRUPT. */
    kv_status_t (*check)(const kv_engine_t *engine);

    /* Cursors, with the contract of LevelDB's Iterator: after open not valid; key and value only
     * while valid. A move that finds no entry returns KV_NOT_FOUND, and the cursor is not valid. A
     * cursor survives writes: it stands at a key, and next and prev go on from there even if that
     * key is gone. Unordered engines do first, next and an exact seek, and answer KV_UNSUPPORTED to
     * last and prev. */
    kv_status_t (*cursor_open)(kv_engine_t *engine, kv_cursor_t **cursor);
    void (*cursor_close)(kv_cursor_t *cursor); /* before the engine is closed; NULL is accepted */
    bool (*cursor_valid)(const kv_cursor_t *cursor);
    kv_status_t (*cursor_first)(kv_cursor_t *cursor);
    kv_status_t (*cursor_last)(kv_cursor_t *cursor);
    /* To the first key >= key; unordered: exactly key. */
    kv_status_t (*cursor_seek)(kv_cursor_t *cursor, kv_slice_t key);
    kv_status_t (*cursor_next)(kv_cursor_t *cursor);
    kv_status_t (*cursor_prev)(kv_cursor_t *cursor);
    kv_slice_t (*cursor_key)(const kv_cursor_t *cursor);
    kv_slice_t (*cursor_value)(const kv_cursor_t *cursor);
};

/* Every engine's struct and every cursor's begin with its table: engine->ops->get(engine, ...). */
struct kv_engine {
    const kv_engine_ops_t *ops;
};
struct kv_cursor {
    const kv_engine_ops_t *ops;
};

/* The row called name ("hash"), or NULL. Any thread. */
KV_API const kv_engine_ops_t *kv_engine_find(const char *name);
/* The number-th row, or NULL past the last. Any thread. */
KV_API const kv_engine_ops_t *kv_engine_at(size_t number);
/* Opens a row by name. KV_UNSUPPORTED for a name that is no engine, KV_NO_MEMORY. NULL options: all
 * defaults. */
KV_API kv_status_t kv_engine_open(const char *name, const kv_engine_options_t *options,
                                  kv_engine_t **engine);
/* Bytes that count entries of these sizes will take in the engine called name: see estimate above.
 * KV_UNSUPPORTED for a name that is no engine; KV_TOO_LARGE for sizes no engine takes, or more
 * bytes than there are. Any thread. */
KV_API kv_status_t kv_engine_estimate(const char *name, uint64_t count, size_t key_bytes,
                                      size_t value_bytes, size_t *bytes);

/*
 * Positions. Ordered engines only: all of these answer KV_UNSUPPORTED to others. O(log n) in
 * bptree, O(distance) in engines without counts in their nodes.
 */

/* How many keys are smaller than key, which need not be there itself. KV_NO_MEMORY. */
KV_API kv_status_t kv_engine_rank(kv_engine_t *engine, kv_slice_t key, uint64_t *rank);
/* Moves a cursor of this engine to the entry with this rank: number 0 is the smallest. KV_NOT_FOUND
 * from count on, and the cursor is not valid. KV_NO_MEMORY. */
KV_API kv_status_t kv_engine_seek_rank(kv_engine_t *engine, kv_cursor_t *cursor, uint64_t number);
/* How many keys the range holds. KV_NO_MEMORY. */
KV_API kv_status_t kv_engine_count_range(kv_engine_t *engine, const kv_range_t *range,
                                         uint64_t *count);
/* Deletes all keys of the range; *deleted is how many there were. KV_NO_MEMORY: some may be deleted
 * already, *deleted of them. */
KV_API kv_status_t kv_engine_delete_range(kv_engine_t *engine, const kv_range_t *range,
                                          uint64_t *deleted);

/*
 * Range cursors walk the keys of a range of an ordered engine, forwards or backwards. They survive
 * writes as the engine's own cursors do. A token says where a walk stands, so that it can go on
 * later with nothing kept meanwhile: in another cursor, another process, or after the engine was
 * converted to another ordered one.
 */
typedef struct kv_range_cursor kv_range_cursor_t;

typedef struct kv_range_options {
    kv_range_t range;  /* {0}: all keys */
    kv_slice_t prefix; /* and only keys that begin with this */
    bool reverse;      /* from the last key to the first */
    kv_slice_t token;  /* go on behind the entry where this was taken; empty: from the beginning */
} kv_range_options_t;

/* Opens a cursor and moves it to the first entry of the range. NULL options: all entries. The
 * options' bytes are copied. KV_UNSUPPORTED: the engine is not ordered. KV_INVALID: the token is
 * none, or of a walk the other way. KV_NO_MEMORY. */
KV_API kv_status_t kv_range_cursor_open(kv_engine_t *engine, const kv_range_options_t *options,
                                        kv_range_cursor_t **cursor);
/* Before the engine is closed. NULL is accepted. */
KV_API void kv_range_cursor_close(kv_range_cursor_t *cursor);
/* Whether it stands at an entry. */
KV_API bool kv_range_cursor_valid(const kv_range_cursor_t *cursor);
/* To the next entry; not valid behind the last one. KV_NO_MEMORY, with nothing changed. Only while
 * valid. */
KV_API kv_status_t kv_range_cursor_next(kv_range_cursor_t *cursor);
/* Borrowed until the next write or move. Only while valid. */
KV_API kv_slice_t kv_range_cursor_key(const kv_range_cursor_t *cursor);
KV_API kv_slice_t kv_range_cursor_value(const kv_range_cursor_t *cursor);
/* A token with which a walk goes on behind this entry. Its bytes are the cursor's, until the next
 * token or close; they may be kept anywhere, and tampering with them yields at most another place
 * in the range. KV_NO_MEMORY. Only while valid: behind the last entry there is nothing to go on
 * to. */
KV_API kv_status_t kv_range_cursor_token(kv_range_cursor_t *cursor, kv_slice_t *token);

/*
 * Conversion. kv_engine_convert_begin gives an engine to be used in the place of `from`, through
 * its own ops: it answers as from does, so whoever held from goes on with it. Every write goes to
 * both, and every step copies some entries into the new engine. At the end the new engine holds
 * what from does, and takes its place.
 *
 * A write never fails because of the new engine: if that one cannot take it, the conversion has
 * failed, from goes on alone, and step and end say why. Until the end the memory of both is counted
 * by memory() and charged to the budgets. Cursors and walks by scan belong to from: close and
 * finish them before the end. Tokens of range cursors go on in the new engine if it is ordered too.
 */

/* options are the new engine's, as for kv_engine_open. KV_UNSUPPORTED for a name that is no engine,
 * KV_BUSY for an engine that is being converted already, KV_NO_MEMORY. From now until the end from
 * must be left alone. */
KV_API kv_status_t kv_engine_convert_begin(kv_engine_t *from, const char *name,
                                           const kv_engine_options_t *options,
                                           kv_engine_t **converting);
/* Copies about entries more entries, at least one. *done: all are copied, so end will succeed
 * unless a write makes it fail. After an error only end helps. KV_NO_MEMORY, KV_TOO_LARGE. */
KV_API kv_status_t kv_engine_convert_step(kv_engine_t *converting, size_t entries, bool *done);
/* To be called before a value that get or a cursor lent is overwritten where it lies: the new
 * engine is given it once it is written, at the next call that may change the engine. Nothing
 * happens where no conversion goes on. key is copied. */
KV_API void kv_engine_touched(kv_engine_t *engine, kv_slice_t key);
/* Ends it, whatever state it is in. KV_OK: *engine is the new engine, and from is closed. Else it
 * is from, which has everything, and the new engine is closed: KV_BUSY when not all had been
 * copied, or why the conversion failed. */
KV_API kv_status_t kv_engine_convert_end(kv_engine_t *converting, kv_engine_t **engine);
/* All of it at once: *engine becomes the engine called name. On an error *engine is as it was. */
KV_API kv_status_t kv_engine_convert(kv_engine_t **engine, const char *name,
                                     const kv_engine_options_t *options);

#ifdef __cplusplus
}
#endif

#endif
