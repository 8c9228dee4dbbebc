/* SPDX-License-Identifier: MIT */
/*
 * The array engine: open, close, lookups by tag, figures. Shapes and invariants: array_int.h; pages
 * in array_page.c, writes in array_write.c, walks in array_walk.c and array_cursor.c. One user at a
 * time.
 */
#include "engine/array_int.h"

#include "engine/engine.h"
#include "engine/pooled.h"

#define GROUP_KEYS 16u
#define LANES 8u

/* Eight tags at any address. */
typedef uint16_t tags_t __attribute__((vector_size(16), aligned(2), may_alias));
typedef uint64_t halves_t __attribute__((vector_size(16)));

/* ---- tags ---- */

/* All bits of the lanes in which one of 32 tags is this one. */
static inline halves_t compare_group(const uint16_t *tags, tags_t wanted)
{
    const tags_t *const at = (const void *)tags;
    return (halves_t)(at[0] == wanted) | (halves_t)(at[1] == wanted) | (halves_t)(at[2] == wanted) |
           (halves_t)(at[3] == wanted);
}

static inline bool is_any(halves_t lanes)
{
    return (lanes[0] | lanes[1]) != 0;
}

/* Which of 16 tags are this one: bit i for tag i. Every lane keeps a bit of its own, so all of them
 * can be folded into one. */
static inline uint32_t match_half(const uint16_t *tags, tags_t wanted)
{
    static const tags_t low_bits = {1, 2, 4, 8, 16, 32, 64, 128};
    static const tags_t high_bits = {256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
    const tags_t *const at = (const void *)tags;
    const halves_t bits = ((halves_t)(at[0] == wanted) & (halves_t)low_bits) |
                          ((halves_t)(at[1] == wanted) & (halves_t)high_bits);
    uint64_t folded = bits[0] | bits[1];
    folded |= folded >> 32;
    folded |= folded >> 16;
    return (uint32_t)folded & 0xffffu;
}

static inline uint32_t match_group(const uint16_t *tags, tags_t wanted)
{
    return match_half(tags, wanted) | match_half(tags + 2 * LANES, wanted) << 16;
}

static inline tags_t spread(uint16_t tag)
{
    return (tags_t){tag, tag, tag, tag, tag, tag, tag, tag};
}

/* The first slot with this key among those of a mask, counted from `from` on; UINT32_MAX: none. */
static uint32_t find_in_mask(const kvi_array_page_t *page, uint64_t mask, uint32_t from,
                             kv_slice_t key)
{
    for (; mask != 0; mask &= mask - 1) {
        const uint32_t slot = from + (uint32_t)__builtin_ctzll(mask);
        const uint16_t offset = *kvi_page_offset(page, slot);
        if (offset != 0 && kvi_slice_equal(kvi_record_key((const char *)page + offset), key)) {
            return slot;
        }
    }
    return UINT32_MAX;
}

/* The slot with this key, or UINT32_MAX. Two groups at a step; one that is alone is compared with
 * itself. */
static inline uint32_t find_in_page(const kvi_array_page_t *page, tags_t wanted, kv_slice_t key)
{
    const uint32_t groups = (uint32_t)kvi_page_groups(page->slots);
    const size_t stride = page->group_bytes / sizeof(uint16_t);
    const uint16_t *first = kvi_page_group(page, 0);
    for (uint32_t i = 0; i < groups; i += 2) {
        const uint16_t *const second = i + 1 < groups ? first + stride : first;
        if (is_any(compare_group(first, wanted) | compare_group(second, wanted))) {
            const uint64_t mask =
                match_group(first, wanted) |
                (i + 1 < groups ? (uint64_t)match_group(second, wanted) << GROUP_SLOTS : 0);
            const uint32_t slot = find_in_mask(page, mask, i * GROUP_SLOTS, key);
            if (slot != UINT32_MAX) {
                return slot;
            }
        }
        first += 2 * stride;
    }
    return UINT32_MAX;
}

/* ---- lookups ---- */

bool kvi_array_find(const kvi_array_t *array, kv_slice_t key, kvi_array_place_t *place)
{
    const tags_t wanted = spread(kvi_array_tag(array, key));
    for (uint32_t i = 0; i < array->page_count; i++) {
        const uint32_t slot = find_in_page(array->pages[i], wanted, key);
        if (slot != UINT32_MAX) {
            *place = (kvi_array_place_t){i, slot};
            return true;
        }
    }
    return false;
}

static kv_slice_t value_at(const kvi_array_page_t *page, uint32_t slot)
{
    const kvi_record_view_t view = kvi_record_view(kvi_page_record(page, slot));
    return (kv_slice_t){view.value, view.value_bytes};
}

static kv_status_t array_get(kv_engine_t *engine, kv_slice_t key, kv_slice_t *value)
{
    const kvi_array_t *const array = (const kvi_array_t *)engine;
    kvi_array_place_t place;
    if (!kvi_array_find(array, key, &place)) {
        return KV_NOT_FOUND;
    }
    *value = value_at(array->pages[place.page], place.slot);
    return KV_OK;
}

/* Page by page, so that its tags are read once for all keys. */
static size_t get_group(const kvi_array_t *array, size_t count, const kv_slice_t *keys,
                        kv_slice_t *values)
{
    tags_t wanted[GROUP_KEYS];
    uint8_t open_keys[GROUP_KEYS];
    size_t open = count;
    for (size_t i = 0; i < count; i++) {
        wanted[i] = spread(kvi_array_tag(array, keys[i]));
        values[i] = (kv_slice_t){NULL, 0};
        open_keys[i] = (uint8_t)i;
    }
    for (uint32_t i = 0; open > 0 && i < array->page_count; i++) {
        const kvi_array_page_t *const page = array->pages[i];
        size_t left = 0;
        for (size_t k = 0; k < open; k++) {
            const uint8_t key = open_keys[k];
            const uint32_t slot = find_in_page(page, wanted[key], keys[key]);
            if (slot != UINT32_MAX) {
                values[key] = value_at(page, slot);
            } else {
                open_keys[left++] = key;
            }
        }
        open = left;
    }
    return count - open;
}

static size_t array_get_many(kv_engine_t *engine, size_t count, const kv_slice_t *keys,
                             kv_slice_t *values)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i += GROUP_KEYS) {
        const size_t size = count - i < GROUP_KEYS ? count - i : GROUP_KEYS;
        found += get_group((const kvi_array_t *)engine, size, keys + i, values + i);
    }
    return found;
}

/* Nothing: where an entry is only the search itself knows, and that reads in order. */
static void array_prefetch(kv_engine_t *engine, size_t count, const kv_slice_t *keys)
{
    (void)engine;
    (void)count;
    (void)keys;
}

/* ---- figures ---- */

static uint64_t array_count(const kv_engine_t *engine)
{
    return ((const kvi_array_t *)engine)->count;
}

static kv_status_t array_memory(const kv_engine_t *engine, kv_engine_memory_t *memory)
{
    const kvi_array_t *const array = (const kvi_array_t *)engine;
    return kvi_pooled_memory(array->pool, array->key_bytes, array->value_bytes, array->index_bytes,
                             memory);
}

/* ---- open and close ---- */

static kv_status_t array_open(const kv_engine_options_t *options, kv_engine_t **engine)
{
    kv_pool_t *pool;
    kvi_array_t *const array = kvi_pooled_open(&kvi_array_engine, options, sizeof *array, &pool);
    if (array == NULL) {
        return KV_NO_MEMORY;
    }
    array->engine.ops = &kvi_array_engine;
    array->pool = pool;
    array->seed = options != NULL ? options->hash_seed : 0;
    array->next_sequence = 1;
    array->index_bytes = sizeof *array;
    *engine = &array->engine;
    return KV_OK;
}

static void array_close(kv_engine_t *engine)
{
    if (engine != NULL) {
        kv_pool_destroy(((kvi_array_t *)engine)->pool);
    }
}

const kv_engine_ops_t kvi_array_engine = {
    .name = "array",
    .ordered = false,
    .open = array_open,
    .close = array_close,
    .get = array_get,
    .get_many = array_get_many,
    .prefetch = array_prefetch,
    .put = kvi_array_put,
    .place = kvi_array_store,
    .del = kvi_array_del,
    .count = array_count,
    .memory = array_memory,
    .estimate = kvi_array_estimate,
    .sample = kvi_array_sample,
    .scan = kvi_array_scan,
    .relocate = kvi_array_relocate,
    .check = kvi_array_check,
    .cursor_open = kvi_array_cursor_open,
    .cursor_close = kvi_array_cursor_close,
    .cursor_valid = kvi_array_cursor_valid,
    .cursor_first = kvi_array_cursor_first,
    .cursor_last = kvi_array_cursor_last,
    .cursor_seek = kvi_array_cursor_seek,
    .cursor_next = kvi_array_cursor_next,
    .cursor_prev = kvi_array_cursor_prev,
    .cursor_key = kvi_array_cursor_key,
    .cursor_value = kvi_array_cursor_value,
};
