/* SPDX-License-Identifier: MIT */
/*
 * Aims: what an engine that hashes has worked out of a key when it was prefetched, so that the
 * operation behind it need not hash the key again.
 *
 * An aim depends on the key and on the engine's hash_seed alone. So it holds whatever happens to
 * the engine meanwhile, and for every engine of the same row and seed. It is never 0. The thread
 * rule is the engine's.
 */
#ifndef KVI_ENGINE_AIMED_H
#define KVI_ENGINE_AIMED_H

#include <concordkv/kv_engine.h>

/* As the functions of kv_engine_ops with these names. */
typedef struct kvi_aimed_ops {
    /* Also writes the aims of the keys. */
    void (*prefetch)(kv_engine_t *engine, size_t count, const kv_slice_t *keys, uint64_t *aims);
    kv_status_t (*get)(kv_engine_t *engine, kv_slice_t key, uint64_t aim, kv_slice_t *value);
    /* Nothing of an old value is kept. */
    kv_status_t (*place)(kv_engine_t *engine, kv_slice_t key, uint64_t aim, size_t value_bytes,
                         char **place);
} kvi_aimed_ops_t;

#endif
