/* SPDX-License-Identifier: MIT */
/*
 * Segments of the hash engine: slots go in and out, and a segment is made larger, smaller, two, or
 * one of two.
 *
 * All four go the same way: get the pieces that are missing, deal the slots out into images of the
 * new buckets on the stack, copy these to the pieces, give back pieces that are left over. Only the
 * first step can fail, and then nothing has changed.
 */
#include <assert.h>

#include "engine/hash_int.h"

#define CELL_BITS 12u /* home and tag together: see invariant 6 in hash_int.h */
#define CELL_TAG_MASK 255u
#define UNSURE_MAX 64u
#define GROW_PIECES 2u
#define BUCKETS_AHEAD 3u /* whose entries are on the way while one bucket is dealt out */
#define KEY_REACH 24u    /* where a usual key ends; it may lie across two lines */

/* ---- sizes ---- */

static uint32_t slots_of(uint32_t pieces)
{
    return pieces * PIECE_BUCKETS * BUCKET_SLOTS;
}

/* Entries at which a segment grows. */
static uint32_t full_of(uint32_t pieces)
{
    return slots_of(pieces) * 30 / 32;
}

uint32_t kvi_segment_fit(size_t entries)
{
    uint32_t pieces = SEGMENT_PIECES_MIN;
    while (pieces < SEGMENT_PIECES_MAX && entries > slots_of(pieces) * 28 / 32) {
        pieces++;
    }
    return pieces;
}

/* ---- slots ---- */

static void pass_bucket(kvi_hash_bucket_t *bucket)
{
    if (kvi_bucket_overflow(bucket) < OVERFLOW_MANY) {
        bucket->meta += 1u << 4;
    }
}

static void unpass_bucket(kvi_hash_bucket_t *bucket)
{
    if (kvi_bucket_overflow(bucket) < OVERFLOW_MANY) {
        assert(kvi_bucket_overflow(bucket) > 0);
        bucket->meta -= 1u << 4;
    }
}

static void bucket_append(kvi_hash_bucket_t *bucket, uint32_t distance, uint8_t tag, uint32_t ref)
{
    const uint32_t slot = kvi_bucket_count(bucket);
    const uint32_t code = distance < DISTANCE_FAR ? distance : DISTANCE_FAR;
    bucket->tags[slot] = tag;
    bucket->refs[slot] = ref;
    bucket->meta += 1 + (code << (8 + 2 * slot)); /* the distance of a free slot is 0 */
}

/* The last slot takes the place of the one that goes. */
static void bucket_take(kvi_hash_bucket_t *bucket, uint32_t slot)
{
    const uint32_t last = kvi_bucket_count(bucket) - 1;
    bucket->tags[slot] = bucket->tags[last];
    bucket->refs[slot] = bucket->refs[last];
    kvi_bucket_set_distance(bucket, slot, kvi_bucket_distance(bucket, last));
    kvi_bucket_set_distance(bucket, last, 0);
    bucket->refs[last] = NO_REF;
    bucket->meta -= 1;
}

void kvi_segment_add(const kvi_hash_engine_t *hash, kvi_hash_segment_t *segment, uint64_t at,
                     uint32_t ref)
{
    uint32_t number = kvi_hash_home(at, segment->depth, kvi_segment_buckets(segment));
    uint32_t distance = 0;
    kvi_hash_bucket_t *bucket = kvi_segment_bucket(hash, segment, number);
    while (kvi_bucket_count(bucket) == BUCKET_SLOTS) {
        pass_bucket(bucket);
        number = kvi_segment_after(segment, number);
        bucket = kvi_segment_bucket(hash, segment, number);
        distance++;
        assert(distance < kvi_segment_buckets(segment));
    }
    bucket_append(bucket, distance, kvi_hash_tag(at, segment->depth), ref);
    segment->count++;
}

void kvi_segment_remove(const kvi_hash_engine_t *hash, kvi_hash_segment_t *segment, uint64_t at,
                        uint32_t bucket, uint32_t slot)
{
    uint32_t number = kvi_hash_home(at, segment->depth, kvi_segment_buckets(segment));
    while (number != bucket) {
        unpass_bucket(kvi_segment_bucket(hash, segment, number));
        number = kvi_segment_after(segment, number);
    }
    bucket_take(kvi_segment_bucket(hash, segment, bucket), slot);
    segment->count--;
}

/* ---- pieces ---- */

/* The pieces of the segments before and after a change. */
typedef struct pieces {
    uint32_t refs[2 * SEGMENT_PIECES_MAX];
    uint32_t count;
} pieces_t;

static uint32_t create_piece(kvi_hash_engine_t *hash)
{
    void *const memory = kv_pool_alloc_aligned(hash->pool, PIECE_BYTES, BUCKET_BYTES);
    if (memory == NULL) {
        return NO_REF;
    }
    hash->index_bytes += PIECE_BYTES;
    return kvi_pool_ref(hash->pool, memory);
}

static void drop_pieces(kvi_hash_engine_t *hash, pieces_t *pieces, uint32_t keep)
{
    while (pieces->count > keep) {
        pieces->count--;
        kv_pool_free(hash->pool, kvi_pool_deref(hash->pool, pieces->refs[pieces->count]));
        hash->index_bytes -= PIECE_BYTES;
    }
}

static void collect_pieces(pieces_t *pieces, const kvi_hash_segment_t *segment)
{
    memcpy(pieces->refs + pieces->count, segment->pieces,
           segment->piece_count * sizeof segment->pieces[0]);
    pieces->count += segment->piece_count;
}

/* Brings the number of pieces up to count; false, with nothing changed, when memory is short. */
static bool complete_pieces(kvi_hash_engine_t *hash, pieces_t *pieces, uint32_t count)
{
    const uint32_t before = pieces->count;
    while (pieces->count < count) {
        const uint32_t ref = create_piece(hash);
        if (ref == NO_REF) {
            drop_pieces(hash, pieces, before);
            return false;
        }
        pieces->refs[pieces->count++] = ref;
    }
    return true;
}

kv_status_t kvi_segment_create(kvi_hash_engine_t *hash, uint32_t pieces, uint32_t depth,
                               kvi_hash_segment_t *segment)
{
    pieces_t made = {{0}, 0};
    if (!complete_pieces(hash, &made, pieces)) {
        return KV_NO_MEMORY;
    }
    memset(segment, 0, sizeof *segment);
    memcpy(segment->pieces, made.refs, pieces * sizeof segment->pieces[0]);
    segment->piece_count = (uint8_t)pieces;
    segment->depth = (uint8_t)depth;
    for (uint32_t i = 0; i < pieces; i++) {
        memset(kvi_pool_deref(hash->pool, segment->pieces[i]), 0, PIECE_BYTES);
    }
    return KV_OK;
}

/* ---- images: the buckets of a segment to be, side by side ---- */

typedef struct image {
    uint32_t depth;
    uint32_t pieces;
    uint32_t buckets;
    uint32_t count;
    kvi_hash_bucket_t bucket[SEGMENT_BUCKETS_MAX];
} image_t;

static void image_begin(image_t *image, uint32_t pieces, uint32_t depth)
{
    image->depth = depth;
    image->pieces = pieces;
    image->buckets = pieces * PIECE_BUCKETS;
    image->count = 0;
    memset(image->bucket, 0, pieces * PIECE_BYTES);
}

static void image_add(image_t *image, uint32_t home, uint8_t tag, uint32_t ref)
{
    uint32_t number = home;
    uint32_t distance = 0;
    while (kvi_bucket_count(&image->bucket[number]) == BUCKET_SLOTS) {
        pass_bucket(&image->bucket[number]);
        number = number + 1 == image->buckets ? 0 : number + 1;
        distance++;
        assert(distance < image->buckets);
    }
    bucket_append(&image->bucket[number], distance, tag, ref);
    image->count++;
}

static void image_add_by_key(const kvi_hash_engine_t *hash, image_t *image, uint32_t ref)
{
    const uint64_t at = kvi_hash_of_ref(hash, ref);
    image_add(image, kvi_hash_home(at, image->depth, image->buckets),
              kvi_hash_tag(at, image->depth), ref);
}

/* Copies the image to pieces taken from the front, and writes the segment into the directory. */
static void image_finish(kvi_hash_engine_t *hash, const image_t *image, const uint32_t *pieces,
                         uint64_t at)
{
    kvi_hash_segment_t segment;
    memset(&segment, 0, sizeof segment);
    segment.count = (uint16_t)image->count;
    segment.piece_count = (uint8_t)image->pieces;
    segment.depth = (uint8_t)image->depth;
    for (uint32_t i = 0; i < image->pieces; i++) {
        segment.pieces[i] = pieces[i];
        memcpy(kvi_pool_deref(hash->pool, pieces[i]), &image->bucket[i * PIECE_BUCKETS],
               PIECE_BYTES);
    }
    kvi_directory_set(hash, at, &segment);
}

/* ---- another size: without keys ---- */

/* The home of a slot as far as its bucket tells; false when it is too far from home. */
static bool known_home(const kvi_hash_bucket_t *bucket, uint32_t number, uint32_t slot,
                       uint32_t buckets, uint32_t *home)
{
    const uint32_t distance = kvi_bucket_distance(bucket, slot);
    *home = number >= distance ? number - distance : number + buckets - distance;
    return distance < DISTANCE_FAR;
}

/* The first twelve bits of a position, of which the home gives four and the tag eight: the first
 * cell from the home's beginning on that ends in the tag. No home of 16 or more buckets is wider
 * than the 256 cells after which the tag repeats. */
static uint32_t cell_of(uint32_t first_cell, uint8_t tag)
{
    return first_cell + ((tag - first_cell) & CELL_TAG_MASK);
}

static uint32_t first_cell_of(uint32_t home, uint32_t buckets)
{
    return (home << CELL_BITS) / buckets;
}

/* A resize on its way, and the entries whose keys it must hash; their lines are being brought in.
 */
typedef struct resize {
    const kvi_hash_engine_t *hash;
    image_t image;
    uint32_t buckets; /* before */
    uint32_t unsure_count;
    uint32_t unsure[UNSURE_MAX];
} resize_t;

static void add_unsure(resize_t *resize)
{
    for (uint32_t i = 0; i < resize->unsure_count; i++) {
        image_add_by_key(resize->hash, &resize->image, resize->unsure[i]);
    }
    resize->unsure_count = 0;
}

static void put_off(resize_t *resize, uint32_t ref)
{
    if (resize->unsure_count == UNSURE_MAX) {
        add_unsure(resize);
    }
    kvi_prefetch(kvi_hash_entry(resize->hash, ref));
    resize->unsure[resize->unsure_count++] = ref;
}

/* The home in the image, or that the twelve bits leave two. */
static bool image_home(const image_t *image, uint32_t cell, uint32_t *home)
{
    const uint32_t product = cell * image->buckets;
    *home = product >> CELL_BITS;
    return *home == (product + image->buckets - 1) >> CELL_BITS;
}

static void resize_bucket(resize_t *resize, const kvi_hash_bucket_t *bucket, uint32_t number)
{
    const uint32_t own_cell = first_cell_of(number, resize->buckets);
    for (uint32_t slot = 0; slot < kvi_bucket_count(bucket); slot++) {
        uint32_t first_cell = own_cell;
        uint32_t home = number;
        bool known = true;
        if (kvi_bucket_distance(bucket, slot) != 0) {
            known = known_home(bucket, number, slot, resize->buckets, &home);
            first_cell = first_cell_of(home, resize->buckets);
        }
        const uint8_t tag = bucket->tags[slot];
        if (known && image_home(&resize->image, cell_of(first_cell, tag), &home)) {
            image_add(&resize->image, home, tag, bucket->refs[slot]);
        } else {
            put_off(resize, bucket->refs[slot]);
        }
    }
}

/* Its buckets lie in as many places as it has pieces: all their misses at once. */
static void prefetch_segment(const kvi_hash_engine_t *hash, const kvi_hash_segment_t *segment)
{
    for (uint32_t i = 0; i < kvi_segment_buckets(segment); i++) {
        kvi_prefetch(kvi_segment_bucket(hash, segment, i));
    }
}

static kv_status_t resize_segment(kvi_hash_engine_t *hash, uint64_t at, uint32_t count)
{
    const kvi_hash_segment_t *const segment = kvi_hash_canonical(hash, at);
    resize_t resize;
    pieces_t pieces = {{0}, 0};
    collect_pieces(&pieces, segment);
    if (!complete_pieces(hash, &pieces, count)) {
        return KV_NO_MEMORY;
    }
    prefetch_segment(hash, segment);
    resize.hash = hash;
    resize.buckets = kvi_segment_buckets(segment);
    resize.unsure_count = 0;
    image_begin(&resize.image, count, segment->depth);
    for (uint32_t i = 0; i < resize.buckets; i++) {
        resize_bucket(&resize, kvi_segment_bucket(hash, segment, i), i);
    }
    add_unsure(&resize);
    image_finish(hash, &resize.image, pieces.refs, at);
    drop_pieces(hash, &pieces, count);
    return KV_OK;
}

/* ---- two of one and one of two: with keys ---- */

static void prefetch_bucket(const kvi_hash_engine_t *hash, const kvi_hash_segment_t *segment,
                            uint32_t number)
{
    if (number < kvi_segment_buckets(segment)) {
        const kvi_hash_bucket_t *const bucket = kvi_segment_bucket(hash, segment, number);
        for (uint32_t slot = 0; slot < kvi_bucket_count(bucket); slot++) {
            const char *const entry = kvi_hash_entry(hash, bucket->refs[slot]);
            kvi_prefetch(entry);
            kvi_prefetch(entry + KEY_REACH);
        }
    }
}

/* Adds every entry of a segment to one of two images, by the last bit of their depth; with one
 * image, to that. */
static void deal_entries(const kvi_hash_engine_t *hash, const kvi_hash_segment_t *segment,
                         image_t *const *images, uint32_t image_count)
{
    const uint32_t depth = images[0]->depth;
    for (uint32_t i = 0; i < BUCKETS_AHEAD; i++) {
        prefetch_bucket(hash, segment, i);
    }
    for (uint32_t i = 0; i < kvi_segment_buckets(segment); i++) {
        const kvi_hash_bucket_t *const bucket = kvi_segment_bucket(hash, segment, i);
        prefetch_bucket(hash, segment, i + BUCKETS_AHEAD);
        for (uint32_t slot = 0; slot < kvi_bucket_count(bucket); slot++) {
            const uint32_t ref = bucket->refs[slot];
            const uint64_t at = kvi_hash_of_ref(hash, ref);
            image_t *const image = images[image_count == 1 ? 0 : (at >> (64 - depth)) & 1u];
            image_add(image, kvi_hash_home(at, depth, image->buckets), kvi_hash_tag(at, depth),
                      ref);
        }
    }
}

/* How many entries have their home in the first half of the buckets, whose number is even. */
static uint32_t count_lower(const kvi_hash_engine_t *hash, const kvi_hash_segment_t *segment)
{
    const uint32_t buckets = kvi_segment_buckets(segment);
    uint32_t lower = 0;
    for (uint32_t i = 0; i < buckets; i++) {
        const kvi_hash_bucket_t *const bucket = kvi_segment_bucket(hash, segment, i);
        for (uint32_t slot = 0; slot < kvi_bucket_count(bucket); slot++) {
            uint32_t home;
            if (!known_home(bucket, i, slot, buckets, &home)) {
                home = kvi_hash_home(kvi_hash_of_ref(hash, bucket->refs[slot]), segment->depth,
                                     buckets);
            }
            lower += home < buckets / 2;
        }
    }
    return lower;
}

static kv_status_t split_segment(kvi_hash_engine_t *hash, uint64_t at)
{
    const kvi_hash_chunk_t chunk = *kvi_hash_chunk_of(hash, at);
    const uint32_t depth = kvi_hash_canonical(hash, at)->depth + 1u;
    if (depth > SEGMENT_DEPTH_MAX ||
        (depth > (uint32_t)chunk.depth + chunk.bits && kvi_directory_deepen(hash, at) != KV_OK)) {
        return KV_NO_MEMORY;
    }
    const kvi_hash_segment_t segment = *kvi_hash_canonical(hash, at);
    prefetch_segment(hash, &segment);
    const uint32_t lower_count = count_lower(hash, &segment);
    const uint32_t lower_pieces = kvi_segment_fit(lower_count);
    const uint32_t upper_pieces = kvi_segment_fit(segment.count - lower_count);
    pieces_t pieces = {{0}, 0};
    collect_pieces(&pieces, &segment);
    if (!complete_pieces(hash, &pieces, lower_pieces + upper_pieces)) {
        return KV_NO_MEMORY;
    }
    image_t lower;
    image_t upper;
    image_begin(&lower, lower_pieces, depth);
    image_begin(&upper, upper_pieces, depth);
    deal_entries(hash, &segment, (image_t *const[]){&lower, &upper}, 2);
    const uint64_t bit = UINT64_C(1) << (64 - depth);
    image_finish(hash, &lower, pieces.refs, at & ~bit);
    image_finish(hash, &upper, pieces.refs + lower_pieces, at | bit);
    drop_pieces(hash, &pieces, lower_pieces + upper_pieces);
    return KV_OK;
}

/* Makes one segment of the one with this hash and its twin, if they are twins still and small
 * enough to need no more pieces than they have. */
static bool merge_segment(kvi_hash_engine_t *hash, uint64_t at)
{
    const kvi_hash_segment_t segment = *kvi_hash_canonical(hash, at);
    if (segment.depth <= kvi_hash_chunk_of(hash, at)->depth) {
        return false;
    }
    const uint64_t twin_at = at ^ (UINT64_C(1) << (64 - segment.depth));
    const kvi_hash_segment_t twin = *kvi_hash_canonical(hash, twin_at);
    const uint32_t count = kvi_segment_fit((size_t)segment.count + twin.count);
    if (twin.depth != segment.depth || count > SEGMENT_PIECES_MAX * 3 / 4) {
        return false;
    }
    pieces_t pieces = {{0}, 0};
    collect_pieces(&pieces, &segment);
    collect_pieces(&pieces, &twin);
    if (pieces.count < count) {
        return false;
    }
    image_t whole;
    image_begin(&whole, count, segment.depth - 1u);
    deal_entries(hash, &segment, (image_t *const[]){&whole}, 1);
    deal_entries(hash, &twin, (image_t *const[]){&whole}, 1);
    image_finish(hash, &whole, pieces.refs, at);
    drop_pieces(hash, &pieces, count);
    return true;
}

/* ---- when ---- */

static kv_status_t grow_segment(kvi_hash_engine_t *hash, uint64_t at)
{
    const uint32_t larger = kvi_hash_canonical(hash, at)->piece_count + GROW_PIECES;
    return larger <= SEGMENT_PIECES_MAX ? resize_segment(hash, at, larger)
                                        : split_segment(hash, at);
}

kv_status_t kvi_segment_reserve(kvi_hash_engine_t *hash, uint64_t at)
{
    const kvi_hash_segment_t *segment = kvi_hash_canonical(hash, at);
    if (segment->count < full_of(segment->piece_count)) {
        return KV_OK;
    }
    kv_status_t status = KV_OK;
    do {
        status = grow_segment(hash, at);
        segment = kvi_hash_canonical(hash, at);
    } while (status == KV_OK && segment->count == slots_of(segment->piece_count));
    /* Without growth there may still be room. */
    return segment->count < slots_of(segment->piece_count) ? KV_OK : status;
}

void kvi_segment_shrink(kvi_hash_engine_t *hash, uint64_t at)
{
    const kvi_hash_segment_t *const segment = kvi_hash_canonical(hash, at);
    const uint32_t pieces = segment->piece_count;
    if (segment->count >= slots_of(pieces) / 2) {
        return;
    }
    const uint32_t fit = kvi_segment_fit(segment->count);
    if (fit <= SEGMENT_PIECES_MAX / 3 && merge_segment(hash, at)) {
        return;
    }
    if (fit < pieces) {
        (void)resize_segment(hash, at, fit); /* which needs no memory */
    }
}

size_t kvi_segment_move_pieces(kvi_hash_engine_t *hash, uint64_t at)
{
    kvi_hash_segment_t segment = *kvi_hash_canonical(hash, at);
    size_t moved = 0;
    for (uint32_t i = 0; i < segment.piece_count; i++) {
        void *const piece = kvi_pool_deref(hash->pool, segment.pieces[i]);
        const uint32_t ref = kv_pool_sparse(hash->pool, piece) ? create_piece(hash) : NO_REF;
        if (ref != NO_REF) {
            memcpy(kvi_pool_deref(hash->pool, ref), piece, PIECE_BYTES);
            kv_pool_free(hash->pool, piece);
            hash->index_bytes -= PIECE_BYTES;
            segment.pieces[i] = ref;
            moved++;
        }
    }
    if (moved > 0) {
        kvi_directory_set(hash, at, &segment);
    }
    return moved;
}
