/* SPDX-License-Identifier: MIT */
/* What the B+tree engine will take: records and slots in pages that are nearly full, and what
 * stands apart. Pure functions. */
#include "engine/bptree_int.h"
#include "engine/estimate.h"

/* Measured, for keys in random order: what lies free in the spans of pages, and the spans that
 * every size of page keeps open, which are more in a large tree. */
#define PAGE_FILL 0.97
#define OPEN_BYTES_FEW 8e3
#define OPEN_PER_ENTRY_FEW 40.0
#define OPEN_BYTES_SMALL 150e3
#define OPEN_PER_ENTRY_SMALL 6.0
#define OPEN_BYTES_LARGE 500e3
#define OPEN_PER_ENTRY_LARGE 1.1
#define OPEN_BYTES_MAX 1150e3
/* Entries of a leaf between two splits, on average: ln 2. */
#define LEAF_FILL 0.69

/* Even random keys have something in common in a leaf: where 256 leaves begin with every byte there
 * is, a byte. */
static double prefix_bytes(uint64_t count)
{
    const double leaves = (double)count / (LEAF_FILL * LEAF_ENTRIES_MAX);
    return (leaves > 256) + (leaves > 65536) + (leaves > 16777216);
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static double open_bytes(double entries)
{
    const double few = OPEN_BYTES_FEW + entries * OPEN_PER_ENTRY_FEW;
    const double small = OPEN_BYTES_SMALL + entries * OPEN_PER_ENTRY_SMALL;
    const double large = OPEN_BYTES_LARGE + entries * OPEN_PER_ENTRY_LARGE;
    return smaller(smaller(few, small), smaller(large, OPEN_BYTES_MAX));
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
        entries * record +
        entries / leaf * (LEAF_HEADER_BYTES + INNER_CHILD_BYTES + PAGE_STEP_MIN / 2);
    return kvi_estimate_bytes(bytes + pages / PAGE_FILL + open_bytes(entries));
}
