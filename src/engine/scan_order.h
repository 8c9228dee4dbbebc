/* SPDX-License-Identifier: MIT */
/*
 * In which order the scans of an engine without order of keys go: for who has to know whether a
 * scan has passed a key, even one that is gone by then.
 *
 *   place   where scans meet an entry, the same from its insertion to its deletion; they go upwards
 *   token   of scan: what is left to it are the places from a certain one on
 *
 * Thread rule: reads, as those of the engine.
 */
#ifndef KVI_ENGINE_SCAN_ORDER_H
#define KVI_ENGINE_SCAN_ORDER_H

#include <concordkv/kv_engine.h>

#define KVI_SCAN_PLACES_END UINT64_MAX /* above all places */

typedef struct kvi_scan_order {
    /* Of a key that is there. */
    uint64_t (*place_of)(const kv_engine_t *engine, kv_slice_t key);
    /* The first place that is left to a token, 0 for the token 0; and the other way round. */
    uint64_t (*place_at)(uint64_t token);
    uint64_t (*token_at)(uint64_t place);
} kvi_scan_order_t;

/* NULL: keys of this row have an order. */
const kvi_scan_order_t *kvi_scan_order(const kv_engine_ops_t *row);

extern const kvi_scan_order_t kvi_hash_scan_order;
extern const kvi_scan_order_t kvi_array_scan_order;

#endif
