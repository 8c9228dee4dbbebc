/* SPDX-License-Identifier: MIT */
/* What the hash engine will take: an object an entry, and its share of a bucket. Pure functions. */
#include "engine/estimate.h"
#include "engine/hash_int.h"

/* The engine and its directory, a page of each. */
#define HASH_BYTES 12000.0

size_t kvi_hash_estimate(uint64_t count, size_t key_bytes, size_t value_bytes)
{
    /* Between the fill at which a segment grows and the one right after it. */
    static const double bucket_fill = 0.91;
    const double entries = (double)count;
    const double pieces = entries / (bucket_fill * PIECE_BUCKETS * BUCKET_SLOTS);
    double bytes = kvi_estimate_pool() + HASH_BYTES;
    bytes += kvi_estimate_objects(entries, kvi_entry_object_bytes(key_bytes, value_bytes));
    bytes += kvi_estimate_objects(pieces, PIECE_BYTES);
    /* Segments hold from half as many pieces as they can to all of them. */
    bytes += pieces / 10.0 * sizeof(kvi_hash_segment_t);
    if (kvi_entry_is_apart(value_bytes)) {
        bytes += kvi_estimate_objects(entries, value_bytes);
    }
    return kvi_estimate_bytes(bytes);
}
