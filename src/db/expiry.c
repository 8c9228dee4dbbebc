/* SPDX-License-Identifier: MIT */
/*
 * Deadlines in a heap whose nodes have four children. An entry of the heap holds the deadline
 * itself, so that comparing touches no item, and the four children of a node share a cache line:
 *
 *   place        3 | 4 5 6 7 | 8 9 10 11 | 12 13 14 15 | ...     places 0 to 2 are not used
 *   parent         |    3    |     4     |      5      |
 *
 *   entry: { deadline_ms, item }    item: { place in the heap, key bytes, key ... }
 *
 * The heap lies in chunks of 512 entries, so that growing never copies it. Items know their place:
 * a deadline that changes or goes is taken out at once, and no stale entry is ever left behind.
 *
 * Invariants:
 *  1. An entry's deadline is not earlier than its parent's.
 *  2. entry->item->place is the entry's place.
 *  3. The chunks have room for count + reserved entries.
 */
#include "db/expiry.h"

#include <stdbool.h>
#include <string.h>

#define CHUNK_SHIFT 9
#define CHUNK_ENTRIES ((size_t)1 << CHUNK_SHIFT)
#define CACHE_LINE_BYTES ((size_t)64)
#define ROOT ((size_t)3)
#define ITEMS_MAX ((size_t)UINT32_MAX - ROOT)

struct kvi_expiry_entry {
    int64_t deadline_ms;
    kvi_expiry_item_t *item;
};

struct kvi_expiry_item {
    uint32_t place; /* 0: reserved */
    uint32_t key_bytes;
    char key[];
};

static inline kvi_expiry_entry_t *entry_at(const kvi_expiry_t *expiry, size_t place)
{
    return &expiry->chunks[place >> CHUNK_SHIFT][place & (CHUNK_ENTRIES - 1)];
}

static inline size_t parent_of(size_t place)
{
    return place / 4 + 2;
}

static inline size_t first_child_of(size_t place)
{
    return 4 * place - 8;
}

/* The place behind the last entry. */
static inline size_t end_of(const kvi_expiry_t *expiry)
{
    return ROOT + expiry->count;
}

static inline void set_entry(kvi_expiry_t *expiry, size_t place, kvi_expiry_entry_t entry)
{
    *entry_at(expiry, place) = entry;
    entry.item->place = (uint32_t)place;
}

static void sift_up(kvi_expiry_t *expiry, size_t place, kvi_expiry_entry_t entry)
{
    while (place > ROOT) {
        const kvi_expiry_entry_t parent = *entry_at(expiry, parent_of(place));
        if (parent.deadline_ms <= entry.deadline_ms) {
            break;
        }
        set_entry(expiry, place, parent);
        place = parent_of(place);
    }
    set_entry(expiry, place, entry);
}

/* The place of the earliest child of place, or 0 if it has none. */
static size_t earliest_child(const kvi_expiry_t *expiry, size_t place)
{
    const size_t first = first_child_of(place);
    const size_t end = end_of(expiry);
    if (first >= end) {
        return 0;
    }
    const size_t behind = end - first < 4 ? end : first + 4;
    size_t earliest = first;
    for (size_t child = first + 1; child < behind; child++) {
        if (entry_at(expiry, child)->deadline_ms < entry_at(expiry, earliest)->deadline_ms) {
            earliest = child;
        }
    }
    return earliest;
}

static void sift_down(kvi_expiry_t *expiry, size_t place, kvi_expiry_entry_t entry)
{
    for (;;) {
        const size_t child = earliest_child(expiry, place);
        if (child == 0 || entry_at(expiry, child)->deadline_ms >= entry.deadline_ms) {
            break;
        }
        set_entry(expiry, place, *entry_at(expiry, child));
        place = child;
    }
    set_entry(expiry, place, entry);
}

static void place_entry(kvi_expiry_t *expiry, size_t place, kvi_expiry_entry_t entry)
{
    const bool early =
        place > ROOT && entry_at(expiry, parent_of(place))->deadline_ms > entry.deadline_ms;
    if (early) {
        sift_up(expiry, place, entry);
    } else {
        sift_down(expiry, place, entry);
    }
}

/* Gives back the last chunk once another whole one stands empty before it, so that a count that
 * swings around a boundary costs nothing. */
static void shrink(kvi_expiry_t *expiry)
{
    const size_t needed = ROOT + expiry->count + expiry->reserved;
    while (expiry->chunk_count > 1 &&
           needed + 2 * CHUNK_ENTRIES <= expiry->chunk_count * CHUNK_ENTRIES) {
        expiry->chunk_count--;
        kv_pool_free(expiry->pool, expiry->chunks[expiry->chunk_count]);
    }
}

/* Takes the entry out of the order; its item is reserved then. */
static kvi_expiry_item_t *take_out(kvi_expiry_t *expiry, size_t place)
{
    kvi_expiry_item_t *const item = entry_at(expiry, place)->item;
    expiry->count--;
    expiry->reserved++;
    const size_t last = end_of(expiry);
    if (place != last) {
        place_entry(expiry, place, *entry_at(expiry, last));
    }
    item->place = 0;
    return item;
}

static bool grow_directory(kvi_expiry_t *expiry)
{
    const size_t capacity = expiry->chunk_capacity == 0 ? 8 : 2 * expiry->chunk_capacity;
    kvi_expiry_entry_t **const chunks =
        kv_pool_realloc(expiry->pool, expiry->chunks, capacity * sizeof(*chunks));
    if (chunks == NULL) {
        return false;
    }
    expiry->chunks = chunks;
    expiry->chunk_capacity = capacity;
    return true;
}

/* Makes room for one more entry. */
static bool make_room(kvi_expiry_t *expiry)
{
    const size_t needed = ROOT + expiry->count + expiry->reserved + 1;
    if (needed <= expiry->chunk_count * CHUNK_ENTRIES) {
        return true;
    }
    if (needed > ITEMS_MAX ||
        (expiry->chunk_count == expiry->chunk_capacity && !grow_directory(expiry))) {
        return false;
    }
    kvi_expiry_entry_t *const chunk =
        kv_pool_alloc_aligned(expiry->pool, CHUNK_ENTRIES * sizeof(*chunk), CACHE_LINE_BYTES);
    if (chunk == NULL) {
        return false;
    }
    expiry->chunks[expiry->chunk_count++] = chunk;
    return true;
}

void kvi_expiry_clear(kvi_expiry_t *expiry)
{
    kv_pool_destroy(expiry->pool);
    *expiry = (kvi_expiry_t){.budget = expiry->budget};
}

kvi_expiry_item_t *kvi_expiry_reserve(kvi_expiry_t *expiry, kv_slice_t key)
{
    if (expiry->pool == NULL) {
        const kv_pool_options_t options = {.budget = expiry->budget, .name = "deadlines"};
        expiry->pool = kv_pool_create(&options);
        if (expiry->pool == NULL) {
            return NULL;
        }
    }
    if (key.size > UINT32_MAX || !make_room(expiry)) {
        return NULL;
    }
    kvi_expiry_item_t *const item = kv_pool_alloc(expiry->pool, sizeof(*item) + key.size);
    if (item == NULL) {
        return NULL;
    }
    item->place = 0;
    item->key_bytes = (uint32_t)key.size;
    if (key.size > 0) {
        memcpy(item->key, key.data, key.size);
    }
    expiry->reserved++;
    return item;
}

void kvi_expiry_cancel(kvi_expiry_t *expiry, kvi_expiry_item_t *item)
{
    if (item != NULL) {
        expiry->reserved--;
        expiry->freed++;
        kv_pool_free(expiry->pool, item);
        shrink(expiry);
    }
}

void kvi_expiry_add(kvi_expiry_t *expiry, kvi_expiry_item_t *item, int64_t deadline_ms)
{
    const size_t place = end_of(expiry);
    expiry->count++;
    expiry->reserved--;
    sift_up(expiry, place, (kvi_expiry_entry_t){deadline_ms, item});
}

void kvi_expiry_move(kvi_expiry_t *expiry, kvi_expiry_item_t *item, int64_t deadline_ms)
{
    place_entry(expiry, item->place, (kvi_expiry_entry_t){deadline_ms, item});
}

void kvi_expiry_remove(kvi_expiry_t *expiry, kvi_expiry_item_t *item)
{
    kvi_expiry_cancel(expiry, take_out(expiry, item->place));
}

/* The rest moves together and is put in order from the bottom up (Floyd 1964). */
void kvi_expiry_remove_where(kvi_expiry_t *expiry,
                             bool (*is_wanted)(const void *context, kv_slice_t key),
                             const void *context)
{
    const size_t end = end_of(expiry);
    size_t kept = ROOT;
    for (size_t place = ROOT; place < end; place++) {
        const kvi_expiry_entry_t entry = *entry_at(expiry, place);
        if (!is_wanted(context, kvi_expiry_item_key(entry.item))) {
            set_entry(expiry, kept++, entry);
            continue;
        }
        kv_pool_free(expiry->pool, entry.item);
        expiry->freed++;
    }
    if (kept == end) {
        return;
    }
    expiry->count = kept - ROOT;
    for (size_t place = kept; place-- > ROOT;) {
        sift_down(expiry, place, *entry_at(expiry, place));
    }
    shrink(expiry);
}

size_t kvi_expiry_take_due(kvi_expiry_t *expiry, int64_t now_ms, kvi_expiry_item_t **items,
                           size_t max)
{
    size_t taken = 0;
    while (taken < max && kvi_expiry_next(expiry) < now_ms) {
        items[taken++] = take_out(expiry, ROOT);
    }
    return taken;
}

int64_t kvi_expiry_next(const kvi_expiry_t *expiry)
{
    return expiry->count == 0 ? INT64_MAX : entry_at(expiry, ROOT)->deadline_ms;
}

const kvi_expiry_item_t *kvi_expiry_at(const kvi_expiry_t *expiry, size_t place)
{
    return entry_at(expiry, ROOT + place)->item;
}

kv_slice_t kvi_expiry_item_key(const kvi_expiry_item_t *item)
{
    return (kv_slice_t){item->key, item->key_bytes};
}

size_t kvi_expiry_item_bytes(const kvi_expiry_t *expiry, const kvi_expiry_item_t *item)
{
    return sizeof(kvi_expiry_entry_t) + kv_pool_usable_size(expiry->pool, item);
}

/* A round looks at every item, which is cheap beside what freeing half as many did cost. */
static bool is_round_worthwhile(const kvi_expiry_t *expiry)
{
    kv_pool_stats_t stats;
    return expiry->pool != NULL && expiry->freed > expiry->count / 2 &&
           kv_pool_stats(expiry->pool, &stats) == KV_OK &&
           stats.free_bytes > stats.obtained_bytes / 4;
}

size_t kvi_expiry_relocate(kvi_expiry_t *expiry, size_t steps,
                           void (*moved)(void *context, kvi_expiry_item_t *item), void *context)
{
    if (expiry->relocate_at == 0) {
        if (!is_round_worthwhile(expiry)) {
            return 0;
        }
        expiry->freed = 0;
    }
    size_t looked = 0;
    for (; looked < steps && expiry->relocate_at < expiry->count; looked++) {
        kvi_expiry_entry_t *const entry = entry_at(expiry, ROOT + expiry->relocate_at++);
        kvi_expiry_item_t *const old = entry->item;
        if (!kv_pool_sparse(expiry->pool, old)) {
            continue;
        }
        const size_t bytes = sizeof(*old) + old->key_bytes;
        kvi_expiry_item_t *const item = kv_pool_alloc(expiry->pool, bytes);
        if (item == NULL) { /* for want of memory the rest of the round is left out */
            break;
        }
        memcpy(item, old, bytes);
        entry->item = item;
        moved(context, item);
        kv_pool_free(expiry->pool, old);
    }
    if (looked < steps) {
        expiry->relocate_at = 0;
        (void)kv_pool_trim(expiry->pool);
    }
    return looked;
}

size_t kvi_expiry_bytes(const kvi_expiry_t *expiry)
{
    kv_pool_stats_t stats;
    return expiry->pool != NULL && kv_pool_stats(expiry->pool, &stats) == KV_OK
               ? stats.obtained_bytes
               : 0;
}

kv_status_t kvi_expiry_check(const kvi_expiry_t *expiry)
{
    if (expiry->pool == NULL) {
        return expiry->count == 0 && expiry->reserved == 0 ? KV_OK : KV_CORRUPT;
    }
    const size_t items = expiry->count + expiry->reserved;
    if ((items > 0 && ROOT + items > expiry->chunk_count * CHUNK_ENTRIES) ||
        expiry->chunk_count > expiry->chunk_capacity) {
        return KV_CORRUPT;
    }
    for (size_t place = ROOT; place < end_of(expiry); place++) {
        const kvi_expiry_entry_t *const entry = entry_at(expiry, place);
        if (!kv_pool_owns(expiry->pool, entry->item) || entry->item->place != place) {
            return KV_CORRUPT;
        }
        if (place > ROOT && entry_at(expiry, parent_of(place))->deadline_ms > entry->deadline_ms) {
            return KV_CORRUPT;
        }
    }
    return kv_pool_check(expiry->pool);
}

kv_status_t kvi_expiry_check_item(const kvi_expiry_t *expiry, const kvi_expiry_item_t *item,
                                  kv_slice_t key, int64_t deadline_ms)
{
    const bool held = kv_pool_owns(expiry->pool, item) && item->place >= ROOT &&
                      item->place < end_of(expiry) && entry_at(expiry, item->place)->item == item;
    if (!held || entry_at(expiry, item->place)->deadline_ms != deadline_ms) {
        return KV_CORRUPT;
    }
    const bool same = item->key_bytes == key.size &&
                      (key.size == 0 || memcmp(item->key, key.data, key.size) == 0);
    return same ? KV_OK : KV_CORRUPT;
}
