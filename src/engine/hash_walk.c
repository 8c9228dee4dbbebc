/* SPDX-License-Identifier: MIT */
/*
 * Walks over the hash engine: scan, sample and relocate.
 *
 * A scan goes along the line of hashes, and its token is a place on that line (the hash / 2). A
 * step visits the entries whose hashes lie between two places, all of them in one call. Where a key
 * stands on the line never changes, so whatever grows, splits or shrinks between the calls, no key
 * is met twice and none that stays is missed.
 */
#include "base/random.h"
#include "engine/hash_int.h"
#include "engine/scan_order.h"

#define GATHER_MAX 48u
#define SAMPLE_TRIES 128u

/* ---- all entries of one home ---- */

/* Goes over the slots whose home may be `home`: first next_of_home, then ask, since for far ones
 * only the key knows. */
typedef struct home_walk {
    const kvi_hash_engine_t *hash;
    const kvi_hash_segment_t *segment;
    uint32_t distance; /* of the present bucket from home */
    uint32_t bucket;
    uint32_t slot;
} home_walk_t;

static home_walk_t begin_home(const kvi_hash_engine_t *hash, const kvi_hash_segment_t *segment,
                              uint32_t home)
{
    return (home_walk_t){hash, segment, 0, home, 0};
}

static bool next_of_home(home_walk_t *walk, uint32_t *ref)
{
    while (walk->distance < kvi_segment_buckets(walk->segment)) {
        const kvi_hash_bucket_t *const bucket =
            kvi_segment_bucket(walk->hash, walk->segment, walk->bucket);
        const uint32_t code = walk->distance < DISTANCE_FAR ? walk->distance : DISTANCE_FAR;
        while (walk->slot < kvi_bucket_count(bucket)) {
            const uint32_t slot = walk->slot++;
            if (kvi_bucket_distance(bucket, slot) == code) {
                *ref = bucket->refs[slot];
                return true;
            }
        }
        if (kvi_bucket_overflow(bucket) == 0) {
            return false;
        }
        walk->slot = 0;
        walk->distance++;
        walk->bucket = kvi_segment_after(walk->segment, walk->bucket);
    }
    return false;
}

/* ---- scan ---- */

/* Entries gathered from one or more homes of a segment, their lines on the way into the cache. */
typedef struct gather {
    const kvi_hash_engine_t *hash;
    kv_engine_visit_fn visit;
    void *context;
    uint64_t from; /* hashes below it were visited before */
    uint32_t depth;
    uint32_t buckets;
    uint32_t refs[GATHER_MAX];
    uint32_t homes[GATHER_MAX];
    uint32_t count;
    size_t visited;
} gather_t;

static void visit_gathered(gather_t *gather)
{
    for (uint32_t i = 0; i < gather->count; i++) {
        const kvi_entry_view_t view = kvi_entry_view(kvi_hash_entry(gather->hash, gather->refs[i]));
        const kv_slice_t key = {view.key, view.key_bytes};
        const uint64_t at = kvi_hash_key(gather->hash, key);
        if (at >= gather->from &&
            kvi_hash_home(at, gather->depth, gather->buckets) == gather->homes[i]) {
            gather->visit(gather->context, key, (kv_slice_t){view.value, view.value_bytes});
            gather->visited++;
        }
    }
    gather->count = 0;
}

static void gather_home(gather_t *gather, const kvi_hash_segment_t *segment, uint32_t home)
{
    home_walk_t walk = begin_home(gather->hash, segment, home);
    uint32_t ref;
    while (next_of_home(&walk, &ref)) {
        if (gather->count == GATHER_MAX) {
            visit_gathered(gather);
        }
        kvi_prefetch(kvi_hash_entry(gather->hash, ref));
        gather->refs[gather->count] = ref;
        gather->homes[gather->count] = home;
        gather->count++;
    }
}

/* Visits homes of the segment of gather->from until it has met count entries or the segment ends.
 * Returns where the next home begins. */
static uint64_t scan_segment(gather_t *gather, size_t count)
{
    const kvi_hash_engine_t *const hash = gather->hash;
    const uint64_t at = gather->from;
    const kvi_hash_segment_t *const segment = kvi_hash_segment_of(hash, at);
    const uint32_t buckets = kvi_segment_buckets(segment);
    uint32_t home = kvi_hash_home(at, segment->depth, buckets);
    gather->depth = segment->depth;
    gather->buckets = buckets;
    do {
        gather_home(gather, segment, home);
        home++;
    } while (home < buckets && gather->visited + gather->count < count);
    visit_gathered(gather);
    return kvi_hash_home_start(at, segment->depth, buckets, home);
}

uint64_t kvi_hash_scan(kv_engine_t *engine, uint64_t token, size_t count, kv_engine_visit_fn visit,
                       void *context)
{
    gather_t gather;
    gather.hash = (const kvi_hash_engine_t *)engine;
    gather.visit = visit;
    gather.context = context;
    gather.from = token << 1;
    gather.count = 0;
    gather.visited = 0;
    do {
        gather.from = scan_segment(&gather, count);
    } while (gather.from != 0 && gather.visited < count);
    return gather.from >> 1;
}

/* Places are those of the line, as tokens are. */
static uint64_t place_of(const kv_engine_t *engine, kv_slice_t key)
{
    return kvi_hash_key((const kvi_hash_engine_t *)engine, key) >> 1;
}

static uint64_t same_number(uint64_t number)
{
    return number;
}

const kvi_scan_order_t kvi_hash_scan_order = {
    .place_of = place_of, .place_at = same_number, .token_at = same_number};

/* ---- sample ---- */

static void give_entry(const kvi_hash_engine_t *hash, uint32_t ref, kv_slice_t *key,
                       kv_slice_t *value)
{
    const kvi_entry_view_t view = kvi_entry_view(kvi_hash_entry(hash, ref));
    *key = (kv_slice_t){view.key, view.key_bytes};
    *value = (kv_slice_t){view.value, view.value_bytes};
}

/* The first entry in a bucket from this hash on, around the end of the line. */
static uint32_t first_entry_from(const kvi_hash_engine_t *hash, uint64_t at)
{
    for (;;) {
        const kvi_hash_segment_t *const segment = kvi_hash_segment_of(hash, at);
        const uint32_t buckets = kvi_segment_buckets(segment);
        for (uint32_t i = 0; i < buckets; i++) {
            const kvi_hash_bucket_t *const bucket = kvi_segment_bucket(hash, segment, i);
            if (kvi_bucket_count(bucket) > 0) {
                return bucket->refs[0];
            }
        }
        at = kvi_hash_home_start(at, segment->depth, buckets, buckets);
    }
}

kv_status_t kvi_hash_sample(kv_engine_t *engine, uint64_t number, kv_slice_t *key,
                            kv_slice_t *value)
{
    const kvi_hash_engine_t *const hash = (const kvi_hash_engine_t *)engine;
    kvi_random_t random = {number};
    if (hash->count == 0) {
        return KV_NOT_FOUND;
    }
    /* A random place of a random bucket; an empty one is thrown again, so full buckets get no more
     * than their share. */
    for (uint32_t i = 0; i < SAMPLE_TRIES; i++) {
        const kvi_hash_segment_t *const segment =
            kvi_hash_segment_of(hash, kvi_random_next(&random));
        const kvi_hash_bucket_t *const bucket = kvi_segment_bucket(
            hash, segment, kvi_random_below(&random, kvi_segment_buckets(segment)));
        const uint32_t slot = kvi_random_below(&random, BUCKET_SLOTS);
        if (slot < kvi_bucket_count(bucket)) {
            give_entry(hash, bucket->refs[slot], key, value);
            return KV_OK;
        }
    }
    give_entry(hash, first_entry_from(hash, kvi_random_next(&random)), key, value);
    return KV_OK;
}

/* ---- relocate ---- */

static bool move_entry(kvi_hash_engine_t *hash, uint32_t *ref)
{
    char *const entry = kvi_hash_entry(hash, *ref);
    if (!kv_pool_sparse(hash->pool, entry)) {
        return false;
    }
    char *const copy = kvi_entry_move(hash->pool, entry);
    if (copy == NULL) {
        return false;
    }
    *ref = kvi_pool_ref(hash->pool, copy);
    kv_pool_free(hash->pool, entry);
    return true;
}

/* Looks at all entries of the bucket at hash->relocate_at, and where a segment or a chunk begins
 * there at its memory too. Returns the steps used: one for each. */
static size_t relocate_bucket(kvi_hash_engine_t *hash)
{
    const uint64_t at = hash->relocate_at;
    size_t steps = 1;
    size_t moved = 0;
    if (at << kvi_hash_chunk_of(hash, at)->depth == 0) {
        moved += kvi_directory_shrink(hash, at);
    }
    const kvi_hash_segment_t *const segment = kvi_hash_segment_of(hash, at);
    const uint32_t buckets = kvi_segment_buckets(segment);
    const uint32_t home = kvi_hash_home(at, segment->depth, buckets);
    if (home == 0) {
        moved += kvi_segment_move_pieces(hash, at);
    }
    kvi_hash_bucket_t *const bucket = kvi_segment_bucket(hash, segment, home);
    for (uint32_t slot = 0; slot < kvi_bucket_count(bucket); slot++) {
        moved += move_entry(hash, &bucket->refs[slot]);
        steps++;
    }
    hash->relocate_at = kvi_hash_home_start(at, segment->depth, buckets, home + 1);
    hash->relocate_idle = moved > 0 ? 0 : hash->relocate_idle + steps;
    hash->changes += moved;
    return steps;
}

size_t kvi_hash_relocate(kv_engine_t *engine, size_t steps)
{
    kvi_hash_engine_t *const hash = (kvi_hash_engine_t *)engine;
    size_t used = 0;
    while (used < steps) {
        used += relocate_bucket(hash);
        if (hash->relocate_at == 0 && hash->relocate_idle >= hash->count) {
            break;
        }
    }
    return used < steps ? used : steps;
}
