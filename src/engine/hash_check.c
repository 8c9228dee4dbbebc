/* SPDX-License-Identifier: MIT */
/* Verifies every invariant of the hash engine, as they are numbered in hash_int.h, and its figures.
 * For tests. */
#include "engine/hash_int.h"

/* What a walk over everything finds, to compare with what the engine keeps. */
typedef struct findings {
    const kvi_hash_engine_t *hash;
    uint64_t count;
    size_t key_bytes;
    size_t value_bytes;
    size_t index_bytes;
    size_t objects; /* allocations of the pool */
    bool ok;
} findings_t;

static void expect(findings_t *findings, bool condition)
{
    findings->ok = findings->ok && condition;
}

/* ---- entries and buckets ---- */

static void check_entry(findings_t *findings, char *entry)
{
    const kv_pool_t *const pool = findings->hash->pool;
    const kvi_entry_view_t view = kvi_entry_view(entry);
    expect(findings, kv_pool_owns(pool, entry));
    expect(findings, kv_pool_usable_size(pool, entry) >=
                         kvi_entry_object_bytes(view.key_bytes, view.value_bytes));
    if (kvi_entry_is_apart(view.value_bytes)) {
        expect(findings, kv_pool_owns(pool, view.value));
        expect(findings, kv_pool_usable_size(pool, view.value) >= view.value_bytes);
        findings->objects++;
    }
    expect(findings, kvi_hash_find(findings->hash, kvi_entry_key(entry)) == entry);
    findings->count++;
    findings->objects++;
    findings->key_bytes += view.key_bytes;
    findings->value_bytes += view.value_bytes;
    findings->index_bytes += kvi_entry_header_bytes(view.key_bytes, view.value_bytes);
}

/* Checks one slot and counts it as passed in the buckets from its home to its own. */
static void check_slot(findings_t *findings, const kvi_hash_segment_t *segment, uint64_t first,
                       uint32_t number, uint32_t slot, uint32_t *passed)
{
    const kvi_hash_engine_t *const hash = findings->hash;
    const kvi_hash_bucket_t *const bucket = kvi_segment_bucket(hash, segment, number);
    const uint32_t buckets = kvi_segment_buckets(segment);
    const uint64_t at = kvi_hash_of_ref(hash, bucket->refs[slot]);
    const uint64_t end = kvi_hash_home_start(first, segment->depth, buckets, buckets);
    const uint32_t home = kvi_hash_home(at, segment->depth, buckets);
    uint32_t distance = 0;
    for (uint32_t i = home; i != number; i = kvi_segment_after(segment, i)) {
        passed[i]++;
        distance++;
    }
    expect(findings, at >= first && at <= end - 1);
    expect(findings, kvi_hash_home_start(at, segment->depth, buckets, home) <= at);
    expect(findings, kvi_hash_home_start(at, segment->depth, buckets, home + 1) - 1 >= at);
    expect(findings, bucket->tags[slot] == kvi_hash_tag(at, segment->depth));
    expect(findings, kvi_bucket_distance(bucket, slot) ==
                         (distance < DISTANCE_FAR ? distance : DISTANCE_FAR));
    check_entry(findings, kvi_hash_entry(hash, bucket->refs[slot]));
}

static void check_bucket(findings_t *findings, const kvi_hash_segment_t *segment, uint64_t first,
                         uint32_t number, uint32_t *passed)
{
    const kvi_hash_bucket_t *const bucket = kvi_segment_bucket(findings->hash, segment, number);
    expect(findings, (uintptr_t)bucket % BUCKET_BYTES == 0);
    expect(findings, kvi_bucket_count(bucket) <= BUCKET_SLOTS);
    for (uint32_t slot = 0; slot < BUCKET_SLOTS && findings->ok; slot++) {
        if (slot >= kvi_bucket_count(bucket)) {
            expect(findings, bucket->refs[slot] == NO_REF);
            expect(findings, kvi_bucket_distance(bucket, slot) == 0);
        } else if (bucket->refs[slot] == NO_REF) {
            expect(findings, false);
        } else {
            check_slot(findings, segment, first, number, slot, passed);
        }
    }
}

static void check_segment(findings_t *findings, const kvi_hash_segment_t *segment, uint64_t first)
{
    uint32_t passed[SEGMENT_BUCKETS_MAX] = {0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < kvi_segment_buckets(segment); i++) {
        check_bucket(findings, segment, first, i, passed);
        count += kvi_bucket_count(kvi_segment_bucket(findings->hash, segment, i));
    }
    for (uint32_t i = 0; i < kvi_segment_buckets(segment); i++) {
        const uint32_t overflow =
            kvi_bucket_overflow(kvi_segment_bucket(findings->hash, segment, i));
        expect(findings, overflow == passed[i] || overflow == OVERFLOW_MANY);
    }
    expect(findings, count == segment->count);
    findings->index_bytes += segment->piece_count * PIECE_BYTES;
    findings->objects += segment->piece_count;
}

/* ---- the directory ---- */

static bool same_segment(const kvi_hash_segment_t *a, const kvi_hash_segment_t *b)
{
    return a->piece_count == b->piece_count && a->depth == b->depth &&
           memcmp(a->pieces, b->pieces, a->piece_count * sizeof a->pieces[0]) == 0;
}

static void check_chunk(findings_t *findings, const kvi_hash_chunk_t *chunk, uint64_t first)
{
    const kvi_hash_segment_t *const segments = kvi_pool_deref(findings->hash->pool, chunk->ref);
    const size_t places = (size_t)1 << chunk->bits;
    const uint32_t deepest = (uint32_t)chunk->depth + chunk->bits;
    findings->index_bytes += kvi_directory_chunk_bytes();
    findings->objects++;
    for (size_t i = 0; i < places && findings->ok;) {
        const kvi_hash_segment_t *const segment = &segments[i];
        expect(findings, segment->depth >= chunk->depth && segment->depth <= deepest);
        expect(findings, segment->piece_count >= SEGMENT_PIECES_MIN &&
                             segment->piece_count <= SEGMENT_PIECES_MAX);
        if (!findings->ok) {
            return;
        }
        const size_t same = (size_t)1 << (deepest - segment->depth);
        expect(findings, i % same == 0 && i + same <= places);
        for (size_t j = i; j < i + same && findings->ok; j++) {
            expect(findings, same_segment(&segments[j], segment));
        }
        check_segment(findings, segment,
                      deepest == 0 ? 0 : first + ((uint64_t)i << (64 - deepest)));
        i += same;
    }
}

static void check_top(findings_t *findings)
{
    const kvi_hash_engine_t *const hash = findings->hash;
    const size_t places = (size_t)1 << hash->top_bits;
    findings->index_bytes += kvi_directory_top_bytes(hash->top_bits);
    for (size_t i = 0; i < places && findings->ok;) {
        const kvi_hash_chunk_t *const chunk = &hash->top[i];
        expect(findings, chunk->depth <= hash->top_bits && chunk->bits <= CHUNK_BITS_MAX);
        if (!findings->ok) {
            return;
        }
        const size_t same = (size_t)1 << (hash->top_bits - chunk->depth);
        expect(findings, i % same == 0);
        for (size_t j = i; j < i + same && findings->ok; j++) {
            expect(findings, hash->top[j].ref == chunk->ref && hash->top[j].depth == chunk->depth &&
                                 hash->top[j].bits == chunk->bits);
        }
        check_chunk(findings, chunk,
                    hash->top_bits == 0 ? 0 : (uint64_t)i << (64 - hash->top_bits));
        i += same;
    }
}

kv_status_t kvi_hash_check(const kv_engine_t *engine)
{
    const kvi_hash_engine_t *const hash = (const kvi_hash_engine_t *)engine;
    /* The struct itself and the top are two objects. */
    findings_t findings = {
        .hash = hash, .index_bytes = sizeof *hash, .objects = 2 + hash->cursor_objects, .ok = true};
    kv_engine_memory_t memory;
    kv_pool_stats_t stats;
    expect(&findings, kv_pool_check(hash->pool) == KV_OK);
    check_top(&findings);
    expect(&findings, findings.count == hash->count);
    expect(&findings, findings.key_bytes == hash->key_bytes);
    expect(&findings, findings.value_bytes == hash->value_bytes);
    expect(&findings, findings.index_bytes == hash->index_bytes);
    expect(&findings,
           kv_pool_stats(hash->pool, &stats) == KV_OK && stats.live_objects == findings.objects);
    expect(&findings, engine->ops->memory(engine, &memory) == KV_OK &&
                          memory.slack_bytes < memory.total_bytes);
    return findings.ok ? KV_OK : KV_CORRUPT;
}
