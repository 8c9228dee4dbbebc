/* SPDX-License-Identifier: MIT */
/* What the B+tree engine will take: records and slots in pages that are nearly full, and what
 * stands apart. Pure functions. */
#include "engine/bptree_int.h"
#include "engine/estimate.h"

/* Measured, for keys in random order (kvbench): pages grow in steps, so that this much of them is
 * used. */
#define PAGE_FILL 0.925
/* Every size of page keeps a span of its own open, and a few entries pass through many sizes. */
#define OPEN_SPANS_BYTES 1.7e6
#define OPEN_BYTES_PER_ENTRY 50e3
/* Entries of a leaf between two splits, on average: ln 2. */
#define LEAF_FILL 0.69

/* Even random keys have something in common in a leaf: where 256 leaves begin with every byte there
 * is, a byte. */
static double prefix_bytes(uint64_t count)
{
    const double leaves = (double)count / (LEAF_FILL * LEAF_ENTRIES_MAX);
    return (leaves > 256) + (leaves > 65536) + (leaves > 16777216);
}

size_t kvi_bptree_estimate(uint64_t count, size_t key_bytes, size_t value_bytes)
{
    const double entries = (double)count;
    double record = SLOT_BYTES;
    double bytes = kvi_estimate_pool();
    if (key_bytes > KEY_INLINE_MAX) {
        record += KEY_APART_BYTES;
        bytes += kvi_estimate_objects(entries, sizeof(kvi_apart_t) + key_bytes);
    } else {
        record +=
            key_bytes > HEAD_BYTES ? (double)(key_bytes - HEAD_BYTES) - prefix_bytes(count) : 0;
    }
    if (value_bytes > VALUE_INLINE_MAX) {
        record += VALUE_APART_BYTES;
        bytes += kvi_estimate_objects(entries, value_bytes);
    } else {
        record += (double)value_bytes;
    }
    const double fitting = (LEAF_BYTES_MAX - LEAF_HEADER_BYTES) / record;
    const double leaf = LEAF_FILL * (fitting < LEAF_ENTRIES_MAX ? fitting : LEAF_ENTRIES_MAX);
    const double pages =
        entries * record + entries / leaf * (LEAF_HEADER_BYTES + INNER_CHILD_BYTES);
    const double most = entries * OPEN_BYTES_PER_ENTRY;
    const double open = most < OPEN_SPANS_BYTES ? most : OPEN_SPANS_BYTES;
    return kvi_estimate_bytes(bytes + pages / PAGE_FILL + open);
}
