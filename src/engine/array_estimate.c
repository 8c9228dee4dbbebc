/* SPDX-License-Identifier: MIT */
/* What the array engine will take: full pages, and objects for what stands apart. Pure functions.
 */
#include "engine/array_int.h"
#include "engine/estimate.h"

/* The engine's struct and the table of pages: a page of memory each. */
#define ARRAY_BYTES 8192.0

/* Entries of this record size that a page holds. */
static size_t page_entries(size_t record_bytes)
{
    const size_t room = PAGE_BYTES_MAX - sizeof(kvi_array_page_t);
    size_t entries = room / (record_bytes + SLOT_BYTES);
    while (kvi_page_groups((uint32_t)entries) * DENSE_GROUP_BYTES + entries * record_bytes > room) {
        entries--;
    }
    return entries;
}

/* The last one counts whole. */
static double page_bytes(double count)
{
    const double whole = count < (double)UINT32_MAX ? (double)(uint32_t)count : count;
    return (whole < count ? whole + 1 : whole) * PAGE_BYTES_MAX;
}

size_t kvi_array_estimate(uint64_t count, size_t key_bytes, size_t value_bytes)
{
    const double entries = (double)count;
    const size_t record_bytes = kvi_record_bytes(key_bytes, value_bytes);
    const double pages = entries / (double)page_entries(record_bytes);
    double bytes = kvi_estimate_pool() + ARRAY_BYTES;
    bytes += page_bytes(pages) + pages * sizeof(kvi_array_page_t *);
    if (key_bytes > KEY_INLINE_MAX) {
        bytes += kvi_estimate_objects(entries, key_bytes);
    }
    if (value_bytes > VALUE_INLINE_MAX) {
        bytes += kvi_estimate_objects(entries, value_bytes);
    }
    return kvi_estimate_bytes(bytes);
}
