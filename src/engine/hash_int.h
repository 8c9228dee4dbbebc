/* SPDX-License-Identifier: MIT */
/*
 * The hash engine's own shapes. Only the files src/engine/hash*.c include this.
 *
 * A key's hash is 63 bits of XXH3, kept in the upper bits of 64 (bit 0 is 0). It is also the key's
 * place in a line: the line is cut into segments, a segment into buckets, and everything is found,
 * split and walked in this order.
 *
 *   hash  [ top: top_bits ][ chunk: up to 5 bits ][ position in the segment: 32 bits ][ ... ]
 *              |                    |                    | position x buckets / 2^32 = home
 *              v                    v                    v
 *   top [chunk|chunk|...]  chunk [segment|...]  segment {pieces[15], count, depth}
 *                                                        |
 *                                                        v
 *                                               piece [bucket|bucket|bucket|bucket] -> entries
 *
 *   bucket, one cache line:
 *   +----------------+----------------------------------------------+------------------+
 *   | 12 tags        | meta: count 4, overflow 4, 12 x distance 2   | 12 references    |
 *   +----------------+----------------------------------------------+------------------+
 *     12 bytes         4 bytes                                         48 bytes
 *
 * A segment grows by one piece of 256 bytes as soon as it is nearly full: its few hundred slots are
 * dealt out anew in a buffer on the stack and copied back, so neither a put nor the memory makes a
 * jump, and all pieces are of one size class. A segment of 15 pieces splits into two of depth + 1,
 * which share its pieces out between them.
 *
 * Invariants
 *  1. A segment of depth d stands at 2^(chunk.depth + chunk.bits - d) neighbouring places of one
 *     chunk. They agree in all but the count, which is right in the first of them only (the
 *     canonical one).
 *  2. chunk.depth <= segment.depth <= chunk.depth + chunk.bits, and a chunk stands at
 *     2^(top_bits - depth) places.
 *  3. An entry's home is bucket position x buckets / 2^32. It stands there or, where buckets are
 *     full, in a later one of the segment, cyclically. `distance` is how far from home; 3 means
 *     three or more.
 *  4. The overflow of a bucket is the number of entries that passed it on the way from home to
 *     where they stand, so a search ends at the first bucket with overflow 0. 15 means 15 or more
 *     and stays until the segment is rebuilt.
 *  5. The slots of a bucket are dense: 0 to count - 1 are in use, reference 0 is in all others.
 *  6. The tag is bits 4 to 11 of the position (from the top). Since a segment has at least 16
 *     buckets, the home makes the first four known: home and tag together are twelve bits, nearly
 *     always enough to find the home in a larger or smaller segment without touching the key.
 *
 * One user at a time.
 */
#ifndef KVI_ENGINE_HASH_INT_H
#define KVI_ENGINE_HASH_INT_H

#include <concordkv/kv_engine.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "engine/hash_entry.h"
#include "memory/pool.h"
#include "os/match.h"

#define BUCKET_SLOTS 12u
#define BUCKET_BYTES 64u
#define OVERFLOW_MANY 15u
#define DISTANCE_FAR 3u
#define PIECE_BUCKETS 4u
#define PIECE_BYTES ((size_t)PIECE_BUCKETS * BUCKET_BYTES)
#define SEGMENT_PIECES_MIN 4u
#define SEGMENT_PIECES_MAX 15u
#define SEGMENT_BUCKETS_MAX (SEGMENT_PIECES_MAX * PIECE_BUCKETS)
#define SEGMENT_DEPTH_MAX 31u
#define CHUNK_BITS_MAX 5u
#define NO_REF 0u

typedef struct kvi_hash_bucket {
    uint8_t tags[BUCKET_SLOTS];
    uint32_t meta;
    uint32_t refs[BUCKET_SLOTS];
} kvi_hash_bucket_t;

/* One cache line, so a lookup reads one line here, one of the bucket, and those of the entry. */
typedef struct kvi_hash_segment {
    uint32_t pieces[SEGMENT_PIECES_MAX];
    uint16_t count; /* of entries */
    uint8_t piece_count;
    uint8_t depth;
} kvi_hash_segment_t;

typedef struct kvi_hash_chunk {
    uint32_t ref; /* of room for 2^CHUNK_BITS_MAX segments, of which the first 2^bits are in use */
    uint8_t depth;
    uint8_t bits;
} kvi_hash_chunk_t;

typedef struct kvi_hash_engine {
    kv_engine_t engine;
    kv_pool_t *pool;
    uint64_t seed;
    uint64_t hash_mask; /* all bits but the lowest; tests take bits away to make keys collide */
    kvi_hash_chunk_t *top;
    uint32_t top_bits;
    uint64_t count;
    uint64_t changes; /* counts whatever may move or change an entry */
    size_t key_bytes;
    size_t value_bytes;
    size_t index_bytes;    /* this struct, top, chunks, pieces and the headers of entries */
    size_t cursor_objects; /* allocations of open cursors, so that check can account for every
                              object */
    uint64_t relocate_at;  /* hash at which relocate goes on */
    size_t relocate_idle;  /* steps since relocate last moved something */
} kvi_hash_engine_t;

/* ---- buckets ---- */

static inline uint32_t kvi_bucket_count(const kvi_hash_bucket_t *bucket)
{
    return bucket->meta & 15u;
}

static inline uint32_t kvi_bucket_overflow(const kvi_hash_bucket_t *bucket)
{
    return (bucket->meta >> 4) & 15u;
}

static inline uint32_t kvi_bucket_distance(const kvi_hash_bucket_t *bucket, uint32_t slot)
{
    return (bucket->meta >> (8 + 2 * slot)) & 3u;
}

static inline void kvi_bucket_set_distance(kvi_hash_bucket_t *bucket, uint32_t slot,
                                           uint32_t distance)
{
    const uint32_t code = distance < DISTANCE_FAR ? distance : DISTANCE_FAR;
    bucket->meta = (bucket->meta & ~(3u << (8 + 2 * slot))) | code << (8 + 2 * slot);
}

/* Slots in use whose tag is this one: bit i for slot i. */
static inline uint32_t kvi_bucket_match(const kvi_hash_bucket_t *bucket, uint8_t tag)
{
    return kvi_os_match16(bucket, tag) & ((1u << kvi_bucket_count(bucket)) - 1u);
}

/* ---- from hash to bucket ---- */

static inline uint64_t kvi_hash_key(const kvi_hash_engine_t *hash, kv_slice_t key)
{
    return kvi_hash_bytes(key.data, key.size, hash->seed) & hash->hash_mask;
}

/* The first bits bits of number; 0 bits are 0. */
static inline uint64_t kvi_hash_first_bits(uint64_t number, uint32_t bits)
{
    return (number >> 1) >> (63 - bits);
}

static inline kvi_hash_chunk_t *kvi_hash_chunk_of(const kvi_hash_engine_t *hash, uint64_t at)
{
    return &hash->top[kvi_hash_first_bits(at, hash->top_bits)];
}

/* Some place of the segment: its count may be wrong (invariant 1). */
static inline const kvi_hash_segment_t *kvi_hash_segment_of(const kvi_hash_engine_t *hash,
                                                            uint64_t at)
{
    const kvi_hash_chunk_t chunk = *kvi_hash_chunk_of(hash, at);
    const kvi_hash_segment_t *const segments = kvi_pool_deref(hash->pool, chunk.ref);
    return &segments[kvi_hash_first_bits(at << chunk.depth, chunk.bits)];
}

/* The segment's first place, where the count is right. */
static inline kvi_hash_segment_t *kvi_hash_canonical(const kvi_hash_engine_t *hash, uint64_t at)
{
    const kvi_hash_chunk_t chunk = *kvi_hash_chunk_of(hash, at);
    kvi_hash_segment_t *const segments = kvi_pool_deref(hash->pool, chunk.ref);
    const uint64_t place = kvi_hash_first_bits(at << chunk.depth, chunk.bits);
    const uint32_t spare = (uint32_t)chunk.depth + chunk.bits - segments[place].depth;
    return &segments[place >> spare << spare];
}

static inline uint32_t kvi_segment_buckets(const kvi_hash_segment_t *segment)
{
    return segment->piece_count * PIECE_BUCKETS;
}

static inline kvi_hash_bucket_t *kvi_segment_bucket(const kvi_hash_engine_t *hash,
                                                    const kvi_hash_segment_t *segment,
                                                    uint32_t number)
{
    kvi_hash_bucket_t *const piece =
        kvi_pool_deref(hash->pool, segment->pieces[number / PIECE_BUCKETS]);
    return &piece[number % PIECE_BUCKETS];
}

static inline uint32_t kvi_segment_after(const kvi_hash_segment_t *segment, uint32_t number)
{
    return number + 1 == kvi_segment_buckets(segment) ? 0 : number + 1;
}

static inline uint32_t kvi_hash_home(uint64_t at, uint32_t depth, uint32_t buckets)
{
    return (uint32_t)((((at << depth) >> 32) * buckets) >> 32);
}

static inline uint8_t kvi_hash_tag(uint64_t at, uint32_t depth)
{
    return (uint8_t)((at << depth) >> 52);
}

/* The smallest hash whose home is this bucket; of bucket number `buckets`, the first hash behind
 * the segment, which is 0 behind the last one. at is any hash of the segment. */
static inline uint64_t kvi_hash_home_start(uint64_t at, uint32_t depth, uint32_t buckets,
                                           uint32_t home)
{
    const uint64_t first = depth == 0 ? 0 : at & ~(UINT64_MAX >> depth);
    if (home == buckets) {
        return depth == 0 ? 0 : first + (UINT64_C(1) << (64 - depth));
    }
    return first + ((((((uint64_t)home << 32) + buckets - 1) / buckets) << 32) >> depth);
}

static inline char *kvi_hash_entry(const kvi_hash_engine_t *hash, uint32_t ref)
{
    return kvi_pool_deref(hash->pool, ref);
}

static inline uint64_t kvi_hash_of_ref(const kvi_hash_engine_t *hash, uint32_t ref)
{
    return kvi_hash_key(hash, kvi_entry_key(kvi_hash_entry(hash, ref)));
}

/* ---- hash.c ---- */

/* The entry with this key, or NULL. */
char *kvi_hash_find(const kvi_hash_engine_t *hash, kv_slice_t key);

/* ---- hash_segment.c: slots, and segments that grow, shrink, split and merge ---- */

/* Puts a slot into the first bucket with room from home on. There must be one. */
void kvi_segment_add(const kvi_hash_engine_t *hash, kvi_hash_segment_t *segment, uint64_t at,
                     uint32_t ref);
/* Takes slot `slot` of bucket number `bucket` out; at is its entry's hash. */
void kvi_segment_remove(const kvi_hash_engine_t *hash, kvi_hash_segment_t *segment, uint64_t at,
                        uint32_t bucket, uint32_t slot);
/* A new segment without entries. KV_NO_MEMORY. */
kv_status_t kvi_segment_create(kvi_hash_engine_t *hash, uint32_t pieces, uint32_t depth,
                               kvi_hash_segment_t *segment);
/* Pieces for this many entries, with some room to grow. */
uint32_t kvi_segment_fit(size_t entries);
/* Makes sure that the segment of this hash has a free slot, growing or splitting it when it is
 * rather full. KV_NO_MEMORY if there is none and none can be made. */
kv_status_t kvi_segment_reserve(kvi_hash_engine_t *hash, uint64_t at);
/* After a deletion: makes the segment smaller, or merges it with its twin, when that saves much. */
void kvi_segment_shrink(kvi_hash_engine_t *hash, uint64_t at);
/* Moves pieces of this hash's segment out of sparse blocks; returns their number. */
size_t kvi_segment_move_pieces(kvi_hash_engine_t *hash, uint64_t at);

/* ---- hash_directory.c ---- */

/* Builds the directory for about expected entries. */
kv_status_t kvi_directory_create(kvi_hash_engine_t *hash, size_t expected);
/* Makes room in the directory for segments one bit deeper at this hash. Invalidates pointers into
 * the directory. */
kv_status_t kvi_directory_deepen(kvi_hash_engine_t *hash, uint64_t at);
/* Writes the segment to all its places; at is any hash in it. */
void kvi_directory_set(kvi_hash_engine_t *hash, uint64_t at, const kvi_hash_segment_t *segment);

/* Makes the directory smaller at this hash, which begins a chunk, where no segment needs its depth,
 * and moves the chunk out of a sparse block. Invalidates pointers into the directory. Returns the
 * number of changes. */
size_t kvi_directory_shrink(kvi_hash_engine_t *hash, uint64_t at);
/* Bytes of a chunk, and of a top for this many bits. */
size_t kvi_directory_chunk_bytes(void);
size_t kvi_directory_top_bytes(uint32_t bits);

/* ---- hash_walk.c ---- */

uint64_t kvi_hash_scan(kv_engine_t *engine, uint64_t token, size_t count, kv_engine_visit_fn visit,
                       void *context);
kv_status_t kvi_hash_sample(kv_engine_t *engine, uint64_t number, kv_slice_t *key,
                            kv_slice_t *value);
size_t kvi_hash_relocate(kv_engine_t *engine, size_t steps);

/* ---- hash_cursor.c ---- */

kv_status_t kvi_hash_cursor_open(kv_engine_t *engine, kv_cursor_t **cursor);
void kvi_hash_cursor_close(kv_cursor_t *cursor);
bool kvi_hash_cursor_valid(const kv_cursor_t *cursor);
kv_status_t kvi_hash_cursor_first(kv_cursor_t *cursor);
kv_status_t kvi_hash_cursor_last(kv_cursor_t *cursor);
kv_status_t kvi_hash_cursor_seek(kv_cursor_t *cursor, kv_slice_t key);
kv_status_t kvi_hash_cursor_next(kv_cursor_t *cursor);
kv_status_t kvi_hash_cursor_prev(kv_cursor_t *cursor);
kv_slice_t kvi_hash_cursor_key(const kv_cursor_t *cursor);
kv_slice_t kvi_hash_cursor_value(const kv_cursor_t *cursor);

/* ---- hash_estimate.c ---- */

size_t kvi_hash_estimate(uint64_t count, size_t key_bytes, size_t value_bytes);

/* ---- hash_check.c ---- */

kv_status_t kvi_hash_check(const kv_engine_t *engine);

#endif
