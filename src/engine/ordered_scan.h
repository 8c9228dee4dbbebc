/* SPDX-License-Identifier: MIT */
/*
 * Scans with tokens for an ordered engine that can seek, and step to the next entry. The token is a
 * place in the order of keys and nothing of the engine, so whatever is written between the calls,
 * no key is met twice and none that stays is missed. Its bits stand in ordered_scan.c.
 * Thread rule: one user at a time, as the engine's.
 */
#ifndef KVI_ENGINE_ORDERED_SCAN_H
#define KVI_ENGINE_ORDERED_SCAN_H

#include <concordkv/kv_engine.h>

typedef struct kvi_ordered_walk kvi_ordered_walk_t;

/* How the engine walks. After a true answer key and value are those of the entry it came to. The
 * key must stay readable until the next call. */
struct kvi_ordered_walk {
    bool (*seek)(kvi_ordered_walk_t *walk, kv_slice_t key); /* to the first key >= key, if any */
    bool (*next)(kvi_ordered_walk_t *walk);
    bool (*last)(kvi_ordered_walk_t *walk);
    uint64_t seed; /* of the engine's hashes */
    kv_slice_t key;
    kv_slice_t value;
};

/* As kv_engine_ops.scan. */
uint64_t kvi_ordered_scan(kvi_ordered_walk_t *walk, uint64_t token, size_t count,
                          kv_engine_visit_fn visit, void *context);

#endif
