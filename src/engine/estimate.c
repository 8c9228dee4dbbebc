/* SPDX-License-Identifier: MIT */
/*
 * Estimates: what engines say of themselves, and the pool's part in it. A fact about the pool is
 * taken from the pool: its classes, the length of its spans, what its blocks' bitmaps cost.
 */
#include "engine/estimate.h"

#include <concordkv/kv_engine.h>

#include "memory/heap.h"

#define GRANULE_SHIFT 3u

/* The pool itself, its windows, and the magazines of its first classes. */
#define POOL_BYTES 10000.0

double kvi_estimate_pool(void)
{
    return POOL_BYTES;
}

/* A run of whole blocks each. */
static double large_objects(double count, size_t bytes)
{
    return count * (double)kvi_block_rounded(bytes);
}

double kvi_estimate_objects(double count, size_t bytes)
{
    const size_t number = kvi_class_of(bytes, GRANULE_SHIFT);
    if (number >= KVI_CLASSES) {
        return large_objects(count, bytes);
    }
    const size_t object = kvi_class_bytes(number, GRANULE_SHIFT);
    const size_t span = (size_t)kvi_heap_span_blocks(object) << KVI_BLOCK_SHIFT;
    const double per_span = (double)(span / object);
    const double whole = count / per_span * ((double)span + per_span / 8);
    /* What was opened last is half empty, and that is a page at least, or an object. */
    const double least = object > KVI_PAGE_BYTES ? (double)object : (double)KVI_PAGE_BYTES;
    const double part = whole / KVI_GROWTH_PART;
    const double step = part < (double)span ? part : (double)span;
    return whole + (count > 0 ? (step > least ? step : least) / 2 : 0);
}

size_t kvi_estimate_bytes(double bytes)
{
    return bytes < (double)(SIZE_MAX / 2) ? (size_t)bytes : SIZE_MAX;
}

kv_status_t kv_engine_estimate(const char *name, uint64_t count, size_t key_bytes,
                               size_t value_bytes, size_t *bytes)
{
    const kv_engine_ops_t *const ops = kv_engine_find(name);
    if (ops == NULL) {
        return KV_UNSUPPORTED;
    }
    if (key_bytes > KV_KEY_BYTES_MAX || value_bytes > KV_VALUE_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    *bytes = ops->estimate(count, key_bytes, value_bytes);
    return *bytes == SIZE_MAX ? KV_TOO_LARGE : KV_OK;
}
