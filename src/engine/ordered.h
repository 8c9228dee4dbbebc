/* SPDX-License-Identifier: MIT */
/*
 * What only ordered engines can do: positions and ranges. A second table of functions beside
 * kv_engine_ops, for the same engine and under the same thread rule: one user at a time.
 * A row of kv_engine_ops points to its table; an engine without one is served by its cursor
 * (ordered.c).
 */
#ifndef KVI_ENGINE_ORDERED_H
#define KVI_ENGINE_ORDERED_H

#include <concordkv/kv_engine.h>

/* The next entry of a sorted load; false at the end. The slices must hold until the next call. */
typedef bool (*kvi_load_fn)(void *context, kv_slice_t *key, kv_slice_t *value);

typedef struct kvi_ordered_ops {
    /* The keys smaller than key, which need not be there itself. O(log n). */
    uint64_t (*rank)(kv_engine_t *engine, kv_slice_t key);
    /* The entry with this rank: number 0 is the smallest. Borrowed; the key may be a copy that
     * lives until 64 more have been asked for. KV_NOT_FOUND from count on, KV_NO_MEMORY. O(log n).
     */
    kv_status_t (*key_at)(kv_engine_t *engine, uint64_t number, kv_slice_t *key, kv_slice_t *value);
    /* How many keys the range holds. O(log n). */
    uint64_t (*count_range)(kv_engine_t *engine, const kv_range_t *range);
    /* Deletes all keys of the range, whole subtrees at once. Returns how many there were. Takes no
     * memory. NULL: they go one by one. */
    uint64_t (*delete_range)(kv_engine_t *engine, const kv_range_t *range);
    /* NULL where there is nothing better than put. Fills an empty engine from entries in ascending
     * order, faster and more densely than put. KV_INVALID if the engine is not empty or a key is
     * not larger than the one before it, KV_NO_MEMORY, KV_TOO_LARGE; the engine is then empty
     * again. */
    kv_status_t (*load)(kv_engine_t *engine, kvi_load_fn next, void *context);
} kvi_ordered_ops_t;

extern const kvi_ordered_ops_t kvi_bptree_ordered;

#endif
