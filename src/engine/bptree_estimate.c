/* SPDX-License-Identifier: MIT */
/* What the B+tree engine will take: records and slots in pages that are nearly full, and what
 * stands apart. Pure functions. */
#include "engine/bptree_int.h"
#include "engine/estimate.h"

size_t kvi_bptree_estimate(uint64_t count, size_t key_bytes, size_t value_bytes)
{
    static const double leaf_entries = 33.0; /* between two splits: 24 to 48 */
    static const double page_fill = 0.95;
    const double entries = (double)count;
    double record = SLOT_BYTES + LEAF_HEADER_BYTES / leaf_entries;
    double bytes = kvi_estimate_pool();
    if (key_bytes > KEY_INLINE_MAX) {
        record += KEY_APART_BYTES;
        bytes += kvi_estimate_objects(entries, sizeof(kvi_apart_t) + key_bytes);
    } else {
        record += key_bytes > HEAD_BYTES ? (double)(key_bytes - HEAD_BYTES) : 0;
    }
    if (value_bytes > VALUE_INLINE_MAX) {
        record += VALUE_APART_BYTES;
        bytes += kvi_estimate_objects(entries, value_bytes);
    } else {
        record += (double)value_bytes;
    }
    bytes += entries * record / page_fill;
    bytes += entries / leaf_entries * INNER_CHILD_BYTES / 0.75;
    return kvi_estimate_bytes(bytes);
}
