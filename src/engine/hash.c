/* SPDX-License-Identifier: MIT */
/*
 * The hash engine: open, close, lookups alone and in groups, put, place, del and figures. Shapes
 * and invariants stand in hash_int.h, entries in hash_entry.h, growth in hash_segment.c, walks in
 * hash_walk.c and hash_cursor.c.
 *
 * A write makes what it needs first, then changes the table, then frees, so on an error nothing has
 * changed and the bytes written may come from this engine. One user at a time.
 */
#include "engine/aimed.h"
#include "engine/engine.h"
#include "engine/hash_int.h"
#include "engine/pooled.h"

#define GROUP_KEYS 16u
#define LINE_BYTES ((size_t)64)
#define REACH_MAX (4 * LINE_BYTES)

/* ---- finding ---- */

/* Where a key's slot is, or, with entry NULL, its segment and home. */
typedef struct spot {
    uint64_t at;
    const kvi_hash_segment_t *segment; /* perhaps not the canonical place */
    kvi_hash_bucket_t *bucket;         /* at first the home */
    uint32_t number;                   /* of the bucket in the segment */
    uint32_t slot;
    uint8_t tag;
    char *entry;
} spot_t;

static inline bool key_is(const char *entry, kv_slice_t key)
{
    const kv_slice_t other = kvi_entry_key(entry);
    return other.size == key.size && kvi_bytes_equal(other.data, key.data, key.size);
}

static inline void aim(const kvi_hash_engine_t *hash, uint64_t at, spot_t *spot)
{
    const kvi_hash_segment_t *const segment = kvi_hash_segment_of(hash, at);
    spot->at = at;
    spot->segment = segment;
    spot->number = kvi_hash_home(at, segment->depth, kvi_segment_buckets(segment));
    spot->bucket = kvi_segment_bucket(hash, segment, spot->number);
    spot->tag = kvi_hash_tag(at, segment->depth);
}

/* Looks for the key in the spot's bucket. */
static inline bool find_in_bucket(const kvi_hash_engine_t *hash, kv_slice_t key, spot_t *spot)
{
    for (uint32_t mask = kvi_bucket_match(spot->bucket, spot->tag); mask != 0; mask &= mask - 1) {
        const uint32_t slot = (uint32_t)__builtin_ctz(mask);
        char *const entry = kvi_hash_entry(hash, spot->bucket->refs[slot]);
        if (key_is(entry, key)) {
            spot->slot = slot;
            spot->entry = entry;
            return true;
        }
    }
    return false;
}

/* Behind the home, as far as entries overflowed. Out of line, to keep the usual way short. */
static __attribute__((noinline)) bool find_further(const kvi_hash_engine_t *hash, kv_slice_t key,
                                                   spot_t *spot)
{
    const uint32_t home = spot->number;
    do {
        const uint32_t next = kvi_segment_after(spot->segment, spot->number);
        if (kvi_bucket_overflow(spot->bucket) == 0 || next == home) {
            spot->entry = NULL;
            return false;
        }
        spot->number = next;
        spot->bucket = kvi_segment_bucket(hash, spot->segment, next);
    } while (!find_in_bucket(hash, key, spot));
    return true;
}

/* From an aimed spot on: sets spot->entry, NULL if the key is not there. */
static inline bool find(const kvi_hash_engine_t *hash, kv_slice_t key, spot_t *spot)
{
    return find_in_bucket(hash, key, spot) || find_further(hash, key, spot);
}

static bool find_key(const kvi_hash_engine_t *hash, kv_slice_t key, spot_t *spot)
{
    aim(hash, kvi_hash_key(hash, key), spot);
    return find(hash, key, spot);
}

char *kvi_hash_find(const kvi_hash_engine_t *hash, kv_slice_t key)
{
    spot_t spot;
    (void)find_key(hash, key, &spot);
    return spot.entry;
}

static kv_slice_t entry_value(char *entry)
{
    const kvi_entry_view_t view = kvi_entry_view(entry);
    return (kv_slice_t){view.value, view.value_bytes};
}

static inline kv_status_t get_at(const kvi_hash_engine_t *hash, kv_slice_t key, uint64_t at,
                                 kv_slice_t *value)
{
    spot_t spot;
    aim(hash, at, &spot);
    if (!find(hash, key, &spot)) {
        return KV_NOT_FOUND;
    }
    *value = entry_value(spot.entry);
    return KV_OK;
}

static kv_status_t hash_get(kv_engine_t *engine, kv_slice_t key, kv_slice_t *value)
{
    const kvi_hash_engine_t *const hash = (const kvi_hash_engine_t *)engine;
    return get_at(hash, key, kvi_hash_key(hash, key), value);
}

/* ---- groups: every stage waits for the misses of the stage before it, all at once ---- */

static void aim_group(const kvi_hash_engine_t *hash, size_t count, const kv_slice_t *keys,
                      spot_t *spots)
{
    for (size_t i = 0; i < count; i++) {
        aim(hash, kvi_hash_key(hash, keys[i]), &spots[i]);
        kvi_prefetch(spots[i].bucket);
    }
}

/* How many bytes of an entry are brought in: those of a mean one, since its own length stands in
 * the line that is missing. Of long entries the first lines are enough: the processor sees by
 * itself that the next ones are wanted. */
static size_t usual_reach(const kvi_hash_engine_t *hash)
{
    const size_t bytes = hash->key_bytes + hash->value_bytes;
    const size_t mean = hash->count > 0 ? bytes / (size_t)hash->count + 2 : 0;
    return mean < REACH_MAX ? mean : REACH_MAX;
}

static void prefetch_entry(const char *entry, size_t reach)
{
    for (size_t at = 0; at < reach; at += LINE_BYTES) {
        kvi_prefetch(entry + at);
    }
    /* Entries begin anywhere in a line, so the last byte may lie in one line more. */
    kvi_prefetch(entry + reach - 1);
}

/* Without a candidate the search may go on in the next bucket. */
static void prefetch_candidates(const kvi_hash_engine_t *hash, size_t count, const spot_t *spots)
{
    const size_t reach = usual_reach(hash);
    for (size_t i = 0; i < count; i++) {
        const kvi_hash_bucket_t *const bucket = spots[i].bucket;
        const uint32_t mask = kvi_bucket_match(bucket, spots[i].tag);
        if (mask != 0) {
            prefetch_entry(kvi_hash_entry(hash, bucket->refs[__builtin_ctz(mask)]), reach);
        } else if (kvi_bucket_overflow(bucket) != 0) {
            const uint32_t next = kvi_segment_after(spots[i].segment, spots[i].number);
            kvi_prefetch(kvi_segment_bucket(hash, spots[i].segment, next));
        }
    }
}

static void prefetch_group(const kvi_hash_engine_t *hash, size_t count, const kv_slice_t *keys,
                           spot_t *spots)
{
    aim_group(hash, count, keys, spots);
    prefetch_candidates(hash, count, spots);
}

static size_t get_group(const kvi_hash_engine_t *hash, size_t count, const kv_slice_t *keys,
                        kv_slice_t *values)
{
    spot_t spots[GROUP_KEYS];
    size_t found = 0;
    prefetch_group(hash, count, keys, spots);
    for (size_t i = 0; i < count; i++) {
        if (find(hash, keys[i], &spots[i])) {
            values[i] = entry_value(spots[i].entry);
            found++;
        } else {
            values[i] = (kv_slice_t){NULL, 0};
        }
    }
    return found;
}

static size_t hash_get_many(kv_engine_t *engine, size_t count, const kv_slice_t *keys,
                            kv_slice_t *values)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i += GROUP_KEYS) {
        const size_t group = count - i < GROUP_KEYS ? count - i : GROUP_KEYS;
        found += get_group((const kvi_hash_engine_t *)engine, group, keys + i, values + i);
    }
    return found;
}

static void hash_prefetch(kv_engine_t *engine, size_t count, const kv_slice_t *keys)
{
    const kvi_hash_engine_t *const hash = (const kvi_hash_engine_t *)engine;
    spot_t spots[GROUP_KEYS];
    for (size_t i = 0; i < count; i += GROUP_KEYS) {
        const size_t group = count - i < GROUP_KEYS ? count - i : GROUP_KEYS;
        prefetch_group(hash, group, keys + i, spots);
    }
}

/* ---- writing ---- */

/* What a write puts under a key: value_bytes, of which the first fill_bytes are copied from fill.
 */
typedef struct content {
    size_t value_bytes;
    size_t capacity; /* room for a value apart */
    const char *fill;
    size_t fill_bytes;
} content_t;

static void count_entry(kvi_hash_engine_t *hash, size_t key_bytes, size_t value_bytes)
{
    hash->key_bytes += key_bytes;
    hash->value_bytes += value_bytes;
    hash->index_bytes += kvi_entry_header_bytes(key_bytes, value_bytes);
}

static void uncount_entry(kvi_hash_engine_t *hash, size_t key_bytes, size_t value_bytes)
{
    hash->key_bytes -= key_bytes;
    hash->value_bytes -= value_bytes;
    hash->index_bytes -= kvi_entry_header_bytes(key_bytes, value_bytes);
}

static char *create_entry(kvi_hash_engine_t *hash, kv_slice_t key, const content_t *content)
{
    char *const entry = kvi_entry_create(hash->pool, key, content->value_bytes, content->capacity);
    if (entry != NULL) {
        kvi_bytes_copy(kvi_entry_view(entry).value, content->fill, content->fill_bytes);
    }
    return entry;
}

static kv_status_t insert(kvi_hash_engine_t *hash, kv_slice_t key, const content_t *content,
                          spot_t *spot)
{
    char *const entry = create_entry(hash, key, content);
    if (entry == NULL) {
        return KV_NO_MEMORY;
    }
    if (kvi_segment_reserve(hash, spot->at) != KV_OK) {
        kvi_entry_destroy(hash->pool, entry);
        return KV_NO_MEMORY;
    }
    kvi_segment_add(hash, kvi_hash_canonical(hash, spot->at), spot->at,
                    kvi_pool_ref(hash->pool, entry));
    hash->count++;
    count_entry(hash, key.size, content->value_bytes);
    spot->entry = entry;
    return KV_OK;
}

/* In place where the size classes allow, else as a new entry in the old one's slot. */
static kv_status_t overwrite(kvi_hash_engine_t *hash, kv_slice_t key, const content_t *content,
                             spot_t *spot)
{
    const size_t old_bytes = kvi_entry_view(spot->entry).value_bytes;
    if (kvi_entry_resize(hash->pool, spot->entry, content->value_bytes)) {
        kvi_bytes_move(kvi_entry_view(spot->entry).value, content->fill, content->fill_bytes);
    } else {
        char *const entry = create_entry(hash, key, content);
        if (entry == NULL) {
            return KV_NO_MEMORY;
        }
        kvi_entry_destroy(hash->pool, spot->entry);
        spot->bucket->refs[spot->slot] = kvi_pool_ref(hash->pool, entry);
        spot->entry = entry;
    }
    uncount_entry(hash, key.size, old_bytes);
    count_entry(hash, key.size, content->value_bytes);
    return KV_OK;
}

static kv_status_t store(kvi_hash_engine_t *hash, kv_slice_t key, const content_t *content,
                         spot_t *spot)
{
    hash->changes++;
    return spot->entry == NULL ? insert(hash, key, content, spot)
                               : overwrite(hash, key, content, spot);
}

static kv_status_t hash_put(kv_engine_t *engine, kv_slice_t key, kv_slice_t value)
{
    kvi_hash_engine_t *const hash = (kvi_hash_engine_t *)engine;
    spot_t spot;
    if (key.size > KV_KEY_BYTES_MAX || value.size > KV_VALUE_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    (void)find_key(hash, key, &spot);
    const content_t content = {value.size, value.size, value.data, value.size};
    return store(hash, key, &content, &spot);
}

/* A value apart that grows will grow again: an eighth more room, so that n appends copy O(n) bytes.
 */
static size_t growing_capacity(size_t old_bytes, size_t value_bytes)
{
    return value_bytes > old_bytes && kvi_entry_is_apart(old_bytes) ? value_bytes + value_bytes / 8
                                                                    : value_bytes;
}

static kv_status_t place_at(kvi_hash_engine_t *hash, kv_slice_t key, uint64_t at,
                            size_t value_bytes, size_t keep_bytes, char **place)
{
    spot_t spot;
    if (key.size > KV_KEY_BYTES_MAX || value_bytes > KV_VALUE_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    aim(hash, at, &spot);
    const kv_slice_t old = find(hash, key, &spot) ? entry_value(spot.entry) : (kv_slice_t){NULL, 0};
    if (spot.entry != NULL && old.size == value_bytes && keep_bytes <= value_bytes) {
        /* The usual overwrite: all stays where it is. */
        hash->changes++;
        *place = kvi_entry_view(spot.entry).value;
        return KV_OK;
    }
    if (keep_bytes > old.size || keep_bytes > value_bytes) {
        return KV_INVALID;
    }
    const content_t content = {value_bytes, growing_capacity(old.size, value_bytes), old.data,
                               keep_bytes};
    const kv_status_t status = store(hash, key, &content, &spot);
    if (status == KV_OK) {
        *place = kvi_entry_view(spot.entry).value;
    }
    return status;
}

static kv_status_t hash_place(kv_engine_t *engine, kv_slice_t key, size_t value_bytes,
                              size_t keep_bytes, char **place)
{
    kvi_hash_engine_t *const hash = (kvi_hash_engine_t *)engine;
    return place_at(hash, key, kvi_hash_key(hash, key), value_bytes, keep_bytes, place);
}

static kv_status_t hash_del(kv_engine_t *engine, kv_slice_t key)
{
    kvi_hash_engine_t *const hash = (kvi_hash_engine_t *)engine;
    spot_t spot;
    if (!find_key(hash, key, &spot)) {
        return KV_NOT_FOUND;
    }
    uncount_entry(hash, key.size, kvi_entry_view(spot.entry).value_bytes);
    kvi_segment_remove(hash, kvi_hash_canonical(hash, spot.at), spot.at, spot.number, spot.slot);
    kvi_entry_destroy(hash->pool, spot.entry);
    hash->changes++;
    hash->count--;
    kvi_segment_shrink(hash, spot.at);
    return KV_OK;
}

/* ---- aims ---- */

/* An aim is the hash, whose lowest bit is free: set, so that no aim is 0. */
#define AIM_BIT UINT64_C(1)

static void hash_prefetch_aimed(kv_engine_t *engine, size_t count, const kv_slice_t *keys,
                                uint64_t *aims)
{
    const kvi_hash_engine_t *const hash = (const kvi_hash_engine_t *)engine;
    spot_t spots[GROUP_KEYS];
    for (size_t i = 0; i < count; i += GROUP_KEYS) {
        const size_t group = count - i < GROUP_KEYS ? count - i : GROUP_KEYS;
        prefetch_group(hash, group, keys + i, spots);
        for (size_t j = 0; j < group; j++) {
            aims[i + j] = spots[j].at | AIM_BIT;
        }
    }
}

static kv_status_t hash_get_aimed(kv_engine_t *engine, kv_slice_t key, uint64_t number,
                                  kv_slice_t *value)
{
    return get_at((const kvi_hash_engine_t *)engine, key, number & ~AIM_BIT, value);
}

static kv_status_t hash_place_aimed(kv_engine_t *engine, kv_slice_t key, uint64_t number,
                                    size_t value_bytes, char **place)
{
    return place_at((kvi_hash_engine_t *)engine, key, number & ~AIM_BIT, value_bytes, 0, place);
}

static const kvi_aimed_ops_t aimed_ops = {
    .prefetch = hash_prefetch_aimed,
    .get = hash_get_aimed,
    .place = hash_place_aimed,
};

/* ---- figures ---- */

static uint64_t hash_count(const kv_engine_t *engine)
{
    return ((const kvi_hash_engine_t *)engine)->count;
}

static kv_status_t hash_memory(const kv_engine_t *engine, kv_engine_memory_t *memory)
{
    const kvi_hash_engine_t *const hash = (const kvi_hash_engine_t *)engine;
    return kvi_pooled_memory(hash->pool, hash->key_bytes, hash->value_bytes, hash->index_bytes,
                             memory);
}

/* ---- open and close ---- */

static kv_status_t hash_open(const kv_engine_options_t *options, kv_engine_t **engine)
{
    kv_pool_t *pool;
    kvi_hash_engine_t *const hash = kvi_pooled_open(&kvi_hash_engine, options, sizeof *hash, &pool);
    if (hash == NULL) {
        return KV_NO_MEMORY;
    }
    hash->engine.ops = &kvi_hash_engine;
    hash->pool = pool;
    hash->seed = options != NULL ? options->hash_seed : 0;
    hash->hash_mask = ~UINT64_C(1);
    hash->index_bytes = sizeof *hash;
    if (kvi_directory_create(hash, options != NULL ? options->expected_count : 0) != KV_OK) {
        kv_pool_destroy(pool);
        return KV_NO_MEMORY;
    }
    *engine = &hash->engine;
    return KV_OK;
}

static void hash_close(kv_engine_t *engine)
{
    if (engine != NULL) {
        kv_pool_destroy(((kvi_hash_engine_t *)engine)->pool);
    }
}

const kv_engine_ops_t kvi_hash_engine = {
    .name = "hash",
    .ordered = false,
    .aimed = &aimed_ops,
    .open = hash_open,
    .close = hash_close,
    .get = hash_get,
    .get_many = hash_get_many,
    .prefetch = hash_prefetch,
    .put = hash_put,
    .place = hash_place,
    .del = hash_del,
    .count = hash_count,
    .memory = hash_memory,
    .estimate = kvi_hash_estimate,
    .sample = kvi_hash_sample,
    .scan = kvi_hash_scan,
    .relocate = kvi_hash_relocate,
    .check = kvi_hash_check,
    .cursor_open = kvi_hash_cursor_open,
    .cursor_close = kvi_hash_cursor_close,
    .cursor_valid = kvi_hash_cursor_valid,
    .cursor_first = kvi_hash_cursor_first,
    .cursor_last = kvi_hash_cursor_last,
    .cursor_seek = kvi_hash_cursor_seek,
    .cursor_next = kvi_hash_cursor_next,
    .cursor_prev = kvi_hash_cursor_prev,
    .cursor_key = kvi_hash_cursor_key,
    .cursor_value = kvi_hash_cursor_value,
};
