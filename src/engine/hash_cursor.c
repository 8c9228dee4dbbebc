/* SPDX-License-Identifier: MIT */
/*
 * Cursors of the hash engine. A cursor stands at a place in the order of (hash, key), and keeps a
 * copy of its key, so it goes on from there whatever is written meanwhile.
 *
 * It reads ahead: the next entries of the present home bucket, sorted, in a batch that holds as
 * long as the engine does not change. Invariant: the batch from batch_next on is what follows the
 * cursor's place up to batch_end; with more entries than places the batch ends early, and batch_end
 * is the place of the cursor (batch_is_cut).
 */
#include "engine/hash_int.h"

#define BATCH_MAX 32u

typedef struct batch_entry {
    uint64_t at;
    uint32_t ref;
} batch_entry_t;

typedef struct hash_cursor {
    kv_cursor_t cursor;
    kvi_hash_engine_t *hash;
    bool valid;
    uint64_t at; /* place: hash and key */
    char *key;
    size_t key_bytes;
    size_t key_capacity;
    uint64_t changes; /* hash->changes when the batch was made */
    char *entry;      /* of the place, as long as changes is the same */
    uint32_t batch_next;
    uint32_t batch_count;
    bool batch_is_cut;
    uint64_t batch_end;
    batch_entry_t batch[BATCH_MAX];
} hash_cursor_t;

kv_status_t kvi_hash_cursor_open(kv_engine_t *engine, kv_cursor_t **cursor)
{
    kvi_hash_engine_t *const hash = (kvi_hash_engine_t *)engine;
    hash_cursor_t *const made = kv_pool_calloc(hash->pool, 1, sizeof *made);
    if (made == NULL) {
        return KV_NO_MEMORY;
    }
    hash->cursor_objects++;
    made->cursor.ops = hash->engine.ops;
    made->hash = hash;
    *cursor = &made->cursor;
    return KV_OK;
}

void kvi_hash_cursor_close(kv_cursor_t *cursor)
{
    hash_cursor_t *const closing = (hash_cursor_t *)cursor;
    if (closing != NULL) {
        kv_pool_t *const pool = closing->hash->pool;
        closing->hash->cursor_objects -= closing->key != NULL ? 2 : 1;
        kv_pool_free(pool, closing->key);
        kv_pool_free(pool, closing);
    }
}

bool kvi_hash_cursor_valid(const kv_cursor_t *cursor)
{
    return ((const hash_cursor_t *)cursor)->valid;
}

/* ---- the batch ---- */

static kv_slice_t key_of(const hash_cursor_t *cursor, uint32_t ref)
{
    return kvi_entry_key(kvi_hash_entry(cursor->hash, ref));
}

static int compare_places(uint64_t a_at, kv_slice_t a, uint64_t b_at, kv_slice_t b)
{
    return a_at != b_at ? (a_at > b_at) - (a_at < b_at) : kvi_slice_compare(a, b);
}

/* Sorts an entry into the batch; when that is full, the last one falls out. */
static void batch_insert(hash_cursor_t *cursor, uint64_t at, uint32_t ref)
{
    const kv_slice_t key = key_of(cursor, ref);
    uint32_t place = cursor->batch_count;
    while (place > 0 && compare_places(cursor->batch[place - 1].at,
                                       key_of(cursor, cursor->batch[place - 1].ref), at, key) > 0) {
        place--;
    }
    if (cursor->batch_count == BATCH_MAX) {
        cursor->batch_is_cut = true;
        if (place == BATCH_MAX) {
            return;
        }
        cursor->batch_count--;
    }
    memmove(&cursor->batch[place + 1], &cursor->batch[place],
            (cursor->batch_count - place) * sizeof cursor->batch[0]);
    cursor->batch[place] = (batch_entry_t){at, ref};
    cursor->batch_count++;
}

static void batch_bucket(hash_cursor_t *cursor, const kvi_hash_bucket_t *bucket, uint64_t from,
                         uint64_t last)
{
    for (uint32_t slot = 0; slot < kvi_bucket_count(bucket); slot++) {
        kvi_prefetch(kvi_hash_entry(cursor->hash, bucket->refs[slot]));
    }
    for (uint32_t slot = 0; slot < kvi_bucket_count(bucket); slot++) {
        const uint32_t ref = bucket->refs[slot];
        const kv_slice_t key = key_of(cursor, ref);
        const uint64_t at = kvi_hash_key(cursor->hash, key);
        const kv_slice_t own = {cursor->key, cursor->key_bytes};
        if (at >= from && at <= last &&
            (!cursor->valid || compare_places(at, key, cursor->at, own) > 0)) {
            batch_insert(cursor, at, ref);
        }
    }
}

/* Makes the batch of the entries of from's home that are not before from and, if the cursor stands,
 * behind its place. */
static void fill_batch(hash_cursor_t *cursor, uint64_t from)
{
    const kvi_hash_engine_t *const hash = cursor->hash;
    const kvi_hash_segment_t *const segment = kvi_hash_segment_of(hash, from);
    const uint32_t buckets = kvi_segment_buckets(segment);
    const uint32_t home = kvi_hash_home(from, segment->depth, buckets);
    cursor->changes = hash->changes;
    cursor->batch_next = 0;
    cursor->batch_count = 0;
    cursor->batch_is_cut = false;
    cursor->batch_end = kvi_hash_home_start(from, segment->depth, buckets, home + 1);
    uint32_t number = home;
    do {
        const kvi_hash_bucket_t *const bucket = kvi_segment_bucket(hash, segment, number);
        batch_bucket(cursor, bucket, from, cursor->batch_end - 1);
        if (kvi_bucket_overflow(bucket) == 0) {
            break;
        }
        number = kvi_segment_after(segment, number);
    } while (number != home);
}

/* ---- moving ---- */

static kv_status_t keep_key(hash_cursor_t *cursor, kv_slice_t key)
{
    if (key.size > cursor->key_capacity || cursor->key == NULL) {
        char *const larger = kv_pool_alloc(cursor->hash->pool, key.size);
        if (larger == NULL) {
            return KV_NO_MEMORY;
        }
        kv_pool_free(cursor->hash->pool, cursor->key);
        cursor->hash->cursor_objects += cursor->key == NULL;
        cursor->key = larger;
        cursor->key_capacity = key.size;
    }
    kvi_bytes_copy(cursor->key, key.data, key.size);
    cursor->key_bytes = key.size;
    return KV_OK;
}

static kv_status_t stand_at(hash_cursor_t *cursor, uint64_t at, char *entry)
{
    const kv_status_t status = keep_key(cursor, kvi_entry_key(entry));
    if (status == KV_OK) {
        cursor->valid = true;
        cursor->at = at;
        cursor->entry = entry;
    }
    return status;
}

/* To the first entry of the batch, or of the first batch behind it that is not empty. */
static kv_status_t take_next(hash_cursor_t *cursor)
{
    while (cursor->batch_next == cursor->batch_count) {
        if (!cursor->batch_is_cut && cursor->batch_end == 0) {
            cursor->valid = false;
            return KV_NOT_FOUND;
        }
        fill_batch(cursor, cursor->batch_is_cut ? cursor->at : cursor->batch_end);
    }
    const batch_entry_t next = cursor->batch[cursor->batch_next];
    const kv_status_t status = stand_at(cursor, next.at, kvi_hash_entry(cursor->hash, next.ref));
    if (status == KV_OK) {
        cursor->batch_next++;
    }
    return status;
}

kv_status_t kvi_hash_cursor_first(kv_cursor_t *cursor)
{
    hash_cursor_t *const moving = (hash_cursor_t *)cursor;
    moving->valid = false;
    fill_batch(moving, 0);
    return take_next(moving);
}

kv_status_t kvi_hash_cursor_last(kv_cursor_t *cursor)
{
    (void)cursor;
    return KV_UNSUPPORTED;
}

/* Leaves an empty batch behind, so that next reads from the new place on. */
static void drop_batch(hash_cursor_t *cursor)
{
    cursor->changes = cursor->hash->changes;
    cursor->batch_next = 0;
    cursor->batch_count = 0;
    cursor->batch_is_cut = true;
}

kv_status_t kvi_hash_cursor_seek(kv_cursor_t *cursor, kv_slice_t key)
{
    hash_cursor_t *const moving = (hash_cursor_t *)cursor;
    char *const entry = kvi_hash_find(moving->hash, key);
    if (entry == NULL) {
        moving->valid = false;
        return KV_NOT_FOUND;
    }
    const kv_status_t status = stand_at(moving, kvi_hash_key(moving->hash, key), entry);
    if (status == KV_OK) {
        drop_batch(moving);
    }
    return status;
}

kv_status_t kvi_hash_cursor_next(kv_cursor_t *cursor)
{
    hash_cursor_t *const moving = (hash_cursor_t *)cursor;
    if (!moving->valid) {
        return KV_NOT_FOUND;
    }
    if (moving->changes != moving->hash->changes) {
        drop_batch(moving);
        moving->entry = NULL;
    }
    return take_next(moving);
}

kv_status_t kvi_hash_cursor_prev(kv_cursor_t *cursor)
{
    (void)cursor;
    return KV_UNSUPPORTED;
}

kv_slice_t kvi_hash_cursor_key(const kv_cursor_t *cursor)
{
    const hash_cursor_t *const standing = (const hash_cursor_t *)cursor;
    return standing->valid ? (kv_slice_t){standing->key, standing->key_bytes}
                           : (kv_slice_t){NULL, 0};
}

/* The value under the cursor's key now: data NULL if the key is gone. */
kv_slice_t kvi_hash_cursor_value(const kv_cursor_t *cursor)
{
    const hash_cursor_t *const standing = (const hash_cursor_t *)cursor;
    if (!standing->valid) {
        return (kv_slice_t){NULL, 0};
    }
    char *entry = standing->entry;
    if (entry == NULL || standing->changes != standing->hash->changes) {
        entry = kvi_hash_find(standing->hash, kvi_hash_cursor_key(cursor));
    }
    if (entry == NULL) {
        return (kv_slice_t){NULL, 0};
    }
    const kvi_entry_view_t view = kvi_entry_view(entry);
    return (kv_slice_t){view.value, view.value_bytes};
}
