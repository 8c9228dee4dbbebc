/* SPDX-License-Identifier: MIT */
/*
 * The directory of the hash engine: from the first bits of a hash to its segment, in two levels, so
 * that it grows by one chunk of 2 KB at a time. The picture and the invariants stand in hash_int.h.
 */
#include "engine/hash_int.h"

#define ENTRIES_PER_SEGMENT 400u /* about, for a directory made at once */
#define CHUNK_BYTES (sizeof(kvi_hash_segment_t) << CHUNK_BITS_MAX)
#define TOP_BITS_MIN \
    8u /* room from the first, as large as a chunk, so that a small engine has few size classes */

void kvi_directory_set(kvi_hash_engine_t *hash, uint64_t at, const kvi_hash_segment_t *segment)
{
    const kvi_hash_chunk_t chunk = *kvi_hash_chunk_of(hash, at);
    kvi_hash_segment_t *const segments = kvi_pool_deref(hash->pool, chunk.ref);
    const uint32_t spare = (uint32_t)chunk.depth + chunk.bits - segment->depth;
    const uint64_t first = kvi_hash_first_bits(at << chunk.depth, chunk.bits) >> spare << spare;
    for (uint64_t i = first; i < first + (UINT64_C(1) << spare); i++) {
        segments[i] = *segment;
    }
}

/* Writes the chunk to all its places in the top. */
static void set_chunk(kvi_hash_engine_t *hash, uint64_t at, kvi_hash_chunk_t chunk)
{
    const uint32_t spare = hash->top_bits - chunk.depth;
    const uint64_t first = kvi_hash_first_bits(at, hash->top_bits) >> spare << spare;
    for (uint64_t i = first; i < first + (UINT64_C(1) << spare); i++) {
        hash->top[i] = chunk;
    }
}

static kvi_hash_segment_t *create_chunk(kvi_hash_engine_t *hash)
{
    kvi_hash_segment_t *const segments =
        kv_pool_alloc_aligned(hash->pool, CHUNK_BYTES, BUCKET_BYTES);
    if (segments != NULL) {
        hash->index_bytes += CHUNK_BYTES;
    }
    return segments;
}

/* Writes the first count places of from to twice as many of to, from the back, since both may be
 * one. */
static void spread_segments(kvi_hash_segment_t *to, const kvi_hash_segment_t *from, size_t count)
{
    for (size_t i = count; i-- > 0;) {
        const kvi_hash_segment_t segment = from[i];
        to[2 * i + 1] = segment;
        to[2 * i] = segment;
    }
}

static void widen_chunk(kvi_hash_engine_t *hash, uint64_t at)
{
    kvi_hash_chunk_t chunk = *kvi_hash_chunk_of(hash, at);
    kvi_hash_segment_t *const segments = kvi_pool_deref(hash->pool, chunk.ref);
    spread_segments(segments, segments, (size_t)1 << chunk.bits);
    chunk.bits++;
    set_chunk(hash, at, chunk);
}

/* ---- the top ---- */

size_t kvi_directory_chunk_bytes(void)
{
    return CHUNK_BYTES;
}

size_t kvi_directory_top_bytes(uint32_t bits)
{
    return sizeof(kvi_hash_chunk_t) << (bits < TOP_BITS_MIN ? TOP_BITS_MIN : bits);
}

static kvi_hash_chunk_t *create_top(kvi_hash_engine_t *hash, uint32_t bits)
{
    kvi_hash_chunk_t *const top = kv_pool_alloc(hash->pool, kvi_directory_top_bytes(bits));
    if (top != NULL) {
        hash->index_bytes += kvi_directory_top_bytes(bits);
    }
    return top;
}

/* With evenly spread hashes there are far more entries than chunks. If not, somebody knows the seed
 * and made keys that collide: they are refused rather than the memory for an enormous top spent. */
static bool is_top_too_large(const kvi_hash_engine_t *hash, uint32_t bits)
{
    return (UINT64_C(1) << bits) > hash->count + 4096;
}

static kv_status_t double_top(kvi_hash_engine_t *hash)
{
    const uint32_t bits = hash->top_bits + 1;
    kvi_hash_chunk_t *const old = hash->top;
    const bool stays = bits <= TOP_BITS_MIN;
    kvi_hash_chunk_t *const top =
        stays ? old : (is_top_too_large(hash, bits) ? NULL : create_top(hash, bits));
    if (top == NULL) {
        return KV_NO_MEMORY;
    }
    for (size_t i = (size_t)1 << hash->top_bits; i-- > 0;) {
        const kvi_hash_chunk_t chunk = old[i];
        top[2 * i + 1] = chunk;
        top[2 * i] = chunk;
    }
    if (!stays) {
        hash->index_bytes -= kvi_directory_top_bytes(hash->top_bits);
        kv_pool_free(hash->pool, old);
    }
    hash->top = top;
    hash->top_bits = bits;
    return KV_OK;
}

/* The old chunk becomes the lower half. It is full and a segment in it must go deeper, so every
 * segment is deeper than the chunk and none stands in both halves. */
static kv_status_t split_chunk(kvi_hash_engine_t *hash, uint64_t at)
{
    kvi_hash_chunk_t chunk = *kvi_hash_chunk_of(hash, at);
    if (chunk.depth == hash->top_bits && double_top(hash) != KV_OK) {
        return KV_NO_MEMORY;
    }
    kvi_hash_segment_t *const upper = create_chunk(hash);
    if (upper == NULL) {
        return KV_NO_MEMORY;
    }
    kvi_hash_segment_t *const lower = kvi_pool_deref(hash->pool, chunk.ref);
    const size_t half = (size_t)1 << (chunk.bits - 1);
    spread_segments(upper, lower + half, half);
    spread_segments(lower, lower, half);
    const uint64_t bit = UINT64_C(1) << (63 - chunk.depth);
    chunk.depth++;
    set_chunk(hash, at & ~bit, chunk);
    chunk.ref = kvi_pool_ref(hash->pool, upper);
    set_chunk(hash, at | bit, chunk);
    return KV_OK;
}

kv_status_t kvi_directory_deepen(kvi_hash_engine_t *hash, uint64_t at)
{
    if (kvi_hash_chunk_of(hash, at)->bits < CHUNK_BITS_MAX) {
        widen_chunk(hash, at);
        return KV_OK;
    }
    return split_chunk(hash, at);
}

/* ---- smaller again ---- */

/* Halves the chunk while no segment in it is as deep as it can be. The first of two places stays:
 * the canonical one. */
static bool narrow_chunk(kvi_hash_engine_t *hash, uint64_t at)
{
    kvi_hash_chunk_t chunk = *kvi_hash_chunk_of(hash, at);
    kvi_hash_segment_t *const segments = kvi_pool_deref(hash->pool, chunk.ref);
    const size_t places = (size_t)1 << chunk.bits;
    for (size_t i = 0; i < places; i++) {
        if (segments[i].depth == chunk.depth + chunk.bits) {
            return false;
        }
    }
    for (size_t i = 0; i < places / 2; i++) {
        segments[i] = segments[2 * i];
    }
    chunk.bits--;
    set_chunk(hash, at, chunk);
    return true;
}

/* Makes one chunk of the one with this hash and its twin, if both are at most half full and of
 * equal depth. */
static bool merge_chunk(kvi_hash_engine_t *hash, uint64_t at)
{
    const kvi_hash_chunk_t chunk = *kvi_hash_chunk_of(hash, at);
    if (chunk.depth == 0) {
        return false;
    }
    const uint64_t bit = UINT64_C(1) << (64 - chunk.depth);
    const kvi_hash_chunk_t twin = *kvi_hash_chunk_of(hash, at ^ bit);
    if (twin.depth != chunk.depth || chunk.bits == CHUNK_BITS_MAX || twin.bits == CHUNK_BITS_MAX) {
        return false;
    }
    while (kvi_hash_chunk_of(hash, at)->bits < twin.bits) {
        widen_chunk(hash, at);
    }
    while (kvi_hash_chunk_of(hash, at ^ bit)->bits < chunk.bits) {
        widen_chunk(hash, at ^ bit);
    }
    kvi_hash_chunk_t lower = *kvi_hash_chunk_of(hash, at & ~bit);
    kvi_hash_segment_t *const upper =
        kvi_pool_deref(hash->pool, kvi_hash_chunk_of(hash, at | bit)->ref);
    kvi_hash_segment_t *const whole = kvi_pool_deref(hash->pool, lower.ref);
    memcpy(whole + ((size_t)1 << lower.bits), upper, sizeof *upper << lower.bits);
    kv_pool_free(hash->pool, upper);
    hash->index_bytes -= CHUNK_BYTES;
    lower.depth--;
    lower.bits++;
    set_chunk(hash, at, lower);
    return true;
}

/* Halves the top while no chunk is as deep as it can be. */
static bool halve_top(kvi_hash_engine_t *hash)
{
    const size_t places = (size_t)1 << hash->top_bits;
    const uint32_t bits = hash->top_bits - 1;
    for (size_t i = 0; i < places; i++) {
        if (hash->top[i].depth == hash->top_bits) {
            return false;
        }
    }
    const bool stays = bits < TOP_BITS_MIN;
    kvi_hash_chunk_t *const top = stays ? hash->top : create_top(hash, bits);
    if (top == NULL) {
        return false;
    }
    for (size_t i = 0; i < places / 2; i++) {
        top[i] = hash->top[2 * i];
    }
    if (!stays) {
        hash->index_bytes -= kvi_directory_top_bytes(hash->top_bits);
        kv_pool_free(hash->pool, hash->top);
    }
    hash->top = top;
    hash->top_bits = bits;
    return true;
}

/* Moves the chunk out of a sparse block. */
static bool move_chunk(kvi_hash_engine_t *hash, uint64_t at)
{
    kvi_hash_chunk_t chunk = *kvi_hash_chunk_of(hash, at);
    kvi_hash_segment_t *const segments = kvi_pool_deref(hash->pool, chunk.ref);
    kvi_hash_segment_t *const copy =
        kv_pool_sparse(hash->pool, segments) ? create_chunk(hash) : NULL;
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, segments, sizeof *segments << chunk.bits);
    kv_pool_free(hash->pool, segments);
    hash->index_bytes -= CHUNK_BYTES;
    chunk.ref = kvi_pool_ref(hash->pool, copy);
    set_chunk(hash, at, chunk);
    return true;
}

size_t kvi_directory_shrink(kvi_hash_engine_t *hash, uint64_t at)
{
    size_t changes = 0;
    while (kvi_hash_chunk_of(hash, at)->bits > 0 && narrow_chunk(hash, at)) {
        changes++;
    }
    changes += merge_chunk(hash, at);
    changes += move_chunk(hash, at);
    while (at == 0 && hash->top_bits > 0 && halve_top(hash)) {
        changes++;
    }
    return changes;
}

/* ---- made at once ---- */

/* Makes a chunk of empty segments. What was made before a failure goes with the pool. */
static kv_status_t create_filled_chunk(kvi_hash_engine_t *hash, kvi_hash_chunk_t *chunk,
                                       uint32_t pieces)
{
    kvi_hash_segment_t *const segments = create_chunk(hash);
    if (segments == NULL) {
        return KV_NO_MEMORY;
    }
    chunk->ref = kvi_pool_ref(hash->pool, segments);
    for (size_t i = 0; i < (size_t)1 << chunk->bits; i++) {
        const uint32_t depth = (uint32_t)chunk->depth + chunk->bits;
        if (kvi_segment_create(hash, pieces, depth, &segments[i]) != KV_OK) {
            return KV_NO_MEMORY;
        }
    }
    return KV_OK;
}

kv_status_t kvi_directory_create(kvi_hash_engine_t *hash, size_t expected)
{
    uint32_t depth = 0;
    while (depth < SEGMENT_DEPTH_MAX && (expected >> depth) > ENTRIES_PER_SEGMENT) {
        depth++;
    }
    const uint32_t chunk_bits = depth < CHUNK_BITS_MAX ? depth : CHUNK_BITS_MAX;
    hash->top_bits = depth - chunk_bits;
    hash->top = create_top(hash, hash->top_bits);
    if (hash->top == NULL) {
        return KV_NO_MEMORY;
    }
    for (size_t i = 0; i < (size_t)1 << hash->top_bits; i++) {
        kvi_hash_chunk_t chunk = {NO_REF, (uint8_t)hash->top_bits, (uint8_t)chunk_bits};
        if (create_filled_chunk(hash, &chunk, kvi_segment_fit(expected >> depth)) != KV_OK) {
            return KV_NO_MEMORY;
        }
        hash->top[i] = chunk;
    }
    return KV_OK;
}
