/* SPDX-License-Identifier: MIT */
/*
 * The array engine's own shapes. Only the files src/engine/array*.c include this.
 *
 * Entries stand in pages in the order of their insertion. A key is found by comparing 16 bits of
 * its hash with the tags of all entries, 64 at a step, so a lookup is linear, with a very small
 * factor: up to a few dozen entries it is quicker than in any other engine, up to a few thousand
 * quicker than in a sorted vector. An entry costs less than in any other unordered engine at any
 * number. Where lookups count, use another engine from about 100 entries on.
 *
 *   pages [ * | * | * ]          oldest entries first; the last page takes what is inserted
 *           |
 *           v
 *   page  [header][tags 32][offsets 32][tags 32][offsets 32] ... gap ... [record][record][record]
 *                  `------ group ------'                                  `------- heap --------'
 *                  [tags 32][offsets 32][deltas 32]                       group of a sparse page
 *
 *   record  [key bytes: varint][value bytes: varint][key or its address][value or its address]
 *
 * Every entry has a sequence number, given when it is inserted and kept when it is overwritten.
 * Walks go by it, so they survive whatever is written. A deleted entry leaves its slot, and its
 * bytes in the heap, until the page is built anew, which is soon: then a quarter is waste.
 *
 * Invariants
 *  1. Sequence numbers ascend over the slots of all pages; next_sequence is above all of them.
 *  2. In a dense page slot i has sequence base + i, in a sparse one base + deltas[i]. A page is
 *     sparse where that is smaller: few of the entries inserted at its time are left.
 *  3. An offset is 0 in a slot without entry and behind the last slot. Groups are whole; their
 *     number follows from that of the slots.
 *  4. The heap goes from `heap` to the end of the page. Records and garbage fill it.
 *  5. No page is without an entry.
 *  6. Keys above KEY_INLINE_MAX and values above VALUE_INLINE_MAX stand apart, in objects of their
 *     own; both only then.
 *
 * One user at a time.
 */
#ifndef KVI_ENGINE_ARRAY_INT_H
#define KVI_ENGINE_ARRAY_INT_H

#include <concordkv/kv_engine.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/varint.h"

#define PAGE_BYTES_MAX ((size_t)16384)
#define PAGE_BYTES_MIN ((size_t)512)
#define PAGE_SPAN_MAX 65535u /* of the sequence numbers in one page */
#define GROUP_SLOTS 32u
#define GROUP_PART_BYTES ((size_t)GROUP_SLOTS * 2)
#define DENSE_GROUP_BYTES (2 * GROUP_PART_BYTES)
#define SPARSE_GROUP_BYTES (3 * GROUP_PART_BYTES)
#define SLOT_BYTES 4u /* a tag and an offset */
#define KEY_INLINE_MAX ((size_t)512)
#define VALUE_INLINE_MAX ((size_t)1024)

typedef struct kvi_array_page {
    uint64_t base;
    uint16_t bytes; /* of the page's object */
    uint16_t slots; /* of deleted entries too */
    uint16_t live;
    uint16_t heap;    /* where the lowest record begins */
    uint16_t garbage; /* bytes of the heap that belong to no entry */
    uint16_t group_bytes;
} kvi_array_page_t;
_Static_assert(sizeof(kvi_array_page_t) == 24, "three words before the first tag");

typedef struct kvi_array {
    kv_engine_t engine;
    kv_pool_t *pool;
    uint64_t seed;
    kvi_array_page_t **pages;
    uint32_t page_count;
    uint32_t page_room;
    uint64_t next_sequence;
    uint64_t count;
    uint64_t changes; /* counts whatever may move or change an entry */
    size_t key_bytes;
    size_t value_bytes;
    size_t index_bytes; /* this struct, the pages' pointers and headers, slots, what records hold
                           beside keys and values */
    size_t cursor_objects;
    uint32_t relocate_at; /* page at which relocate goes on */
    uint32_t relocate_idle;
    uint64_t trimmed_at; /* changes when the pool last gave empty blocks back */
} kvi_array_t;

/* An entry's place. */
typedef struct kvi_array_place {
    uint32_t page;
    uint32_t slot;
} kvi_array_place_t;

/* ---- slots ---- */

static inline size_t kvi_page_groups(uint32_t slots)
{
    return (slots + GROUP_SLOTS - 1) / GROUP_SLOTS;
}

static inline uint16_t *kvi_page_group(const kvi_array_page_t *page, uint32_t group)
{
    return (uint16_t *)(uintptr_t)((const char *)(page + 1) + (size_t)group * page->group_bytes);
}

static inline uint16_t *kvi_page_tag(const kvi_array_page_t *page, uint32_t slot)
{
    return kvi_page_group(page, slot / GROUP_SLOTS) + slot % GROUP_SLOTS;
}

static inline uint16_t *kvi_page_offset(const kvi_array_page_t *page, uint32_t slot)
{
    return kvi_page_tag(page, slot) + GROUP_SLOTS;
}

static inline uint16_t *kvi_page_delta(const kvi_array_page_t *page, uint32_t slot)
{
    return kvi_page_tag(page, slot) + (size_t)2 * GROUP_SLOTS;
}

static inline bool kvi_page_is_sparse(const kvi_array_page_t *page)
{
    return page->group_bytes == SPARSE_GROUP_BYTES;
}

static inline bool kvi_page_is_live(const kvi_array_page_t *page, uint32_t slot)
{
    return *kvi_page_offset(page, slot) != 0;
}

static inline uint64_t kvi_page_sequence(const kvi_array_page_t *page, uint32_t slot)
{
    return page->base + (kvi_page_is_sparse(page) ? *kvi_page_delta(page, slot) : slot);
}

/* Where the groups end and the gap begins. */
static inline size_t kvi_page_front(const kvi_array_page_t *page)
{
    return sizeof *page + kvi_page_groups(page->slots) * page->group_bytes;
}

/* ---- records ---- */

typedef struct kvi_record_view {
    kv_slice_t key;
    size_t value_bytes;
    char *value;
    char *key_object;   /* NULL: the key is in the record */
    char *value_object; /* NULL: the value is in the record */
    size_t header_bytes;
    size_t record_bytes;
} kvi_record_view_t;

static inline char *kvi_record_load_address(const char *at)
{
    char *address;
    memcpy(&address, at, sizeof address);
    return address;
}

static inline kv_slice_t kvi_record_key(const char *record)
{
    uint64_t key_bytes;
    uint64_t value_bytes;
    const char *const at = kvi_varint_read(kvi_varint_read(record, &key_bytes), &value_bytes);
    return (kv_slice_t){key_bytes > KEY_INLINE_MAX ? kvi_record_load_address(at) : at,
                        (size_t)key_bytes};
}

static inline kvi_record_view_t kvi_record_view(char *record)
{
    uint64_t key_bytes;
    uint64_t value_bytes;
    const char *const end = kvi_varint_read(kvi_varint_read(record, &key_bytes), &value_bytes);
    char *const key = record + (end - record);
    const bool key_apart = key_bytes > KEY_INLINE_MAX;
    const bool value_apart = value_bytes > VALUE_INLINE_MAX;
    char *const value = key + (key_apart ? sizeof(char *) : (size_t)key_bytes);
    kvi_record_view_t view = {
        .value_bytes = (size_t)value_bytes,
        .key_object = key_apart ? kvi_record_load_address(key) : NULL,
        .value_object = value_apart ? kvi_record_load_address(value) : NULL,
        .header_bytes = (size_t)(key - record),
    };
    view.key = (kv_slice_t){key_apart ? view.key_object : key, (size_t)key_bytes};
    view.value = value_apart ? view.value_object : value;
    view.record_bytes =
        (size_t)(value - record) + (value_apart ? sizeof(char *) : (size_t)value_bytes);
    return view;
}

/* Bytes of a record, what stands apart not counted. */
static inline size_t kvi_record_bytes(size_t key_bytes, size_t value_bytes)
{
    return kvi_varint_bytes(key_bytes) + kvi_varint_bytes(value_bytes) +
           (key_bytes > KEY_INLINE_MAX ? sizeof(char *) : key_bytes) +
           (value_bytes > VALUE_INLINE_MAX ? sizeof(char *) : value_bytes);
}

/* What an entry costs beside its key and value: the slot, lengths and addresses. */
static inline size_t kvi_record_index_bytes(size_t key_bytes, size_t value_bytes)
{
    return SLOT_BYTES + kvi_record_bytes(key_bytes, value_bytes) -
           (key_bytes > KEY_INLINE_MAX ? 0 : key_bytes) -
           (value_bytes > VALUE_INLINE_MAX ? 0 : value_bytes);
}

static inline char *kvi_page_record(const kvi_array_page_t *page, uint32_t slot)
{
    return (char *)(uintptr_t)page + *kvi_page_offset(page, slot);
}

static inline char *kvi_array_record(const kvi_array_t *array, kvi_array_place_t place)
{
    return kvi_page_record(array->pages[place.page], place.slot);
}

static inline uint16_t kvi_array_tag(const kvi_array_t *array, kv_slice_t key)
{
    return (uint16_t)(kvi_hash_bytes(key.data, key.size, array->seed) >> 48);
}

/* ---- array.c ---- */

/* Whether there is an entry with this key, and where. */
bool kvi_array_find(const kvi_array_t *array, kv_slice_t key, kvi_array_place_t *place);

/* ---- array_page.c: pages made, filled and built anew ---- */

/* Which slots a new page takes over, from one page or from two neighbours; and the record it makes
 * room for, in the slot of an old one, behind all others, or not at all. */
typedef struct kvi_page_part {
    const kvi_array_page_t *page; /* NULL: nothing */
    uint32_t from;
    uint32_t to;
} kvi_page_part_t;
typedef struct kvi_page_plan {
    kvi_page_part_t parts[2];
    const kvi_array_page_t *replaced_page; /* NULL: none */
    uint32_t replaced_slot;
    uint64_t appended_sequence; /* 0: none */
    uint16_t appended_tag;
    size_t record_bytes; /* of the new record */
    bool last;           /* it will be the last page, and grow */
    /* What kvi_page_build answers. */
    uint32_t record_slot;
} kvi_page_plan_t;

/* Bytes that a page of this plan must have; SIZE_MAX: the sequence numbers span too much. */
size_t kvi_page_needed(const kvi_page_plan_t *plan);
/* The page. The new record's bytes are undefined. NULL when memory is short, or it would be above
 * PAGE_BYTES_MAX. The pages it is made of stay as they are. */
kvi_array_page_t *kvi_page_build(kvi_array_t *array, kvi_page_plan_t *plan);
/* Room for one more record at the end of this page as it is, and its slot; NULL if there is none.
 */
char *kvi_page_append(kvi_array_page_t *page, uint64_t sequence, uint16_t tag, size_t record_bytes,
                      uint32_t *slot);
/* Another, larger place for a slot's record in the gap; NULL if there is no room. */
char *kvi_page_move_record(kvi_array_page_t *page, uint32_t slot, size_t record_bytes);
/* Bytes that a new page of the same entries would not have, more or less. */
size_t kvi_page_waste(const kvi_array_page_t *page);
void kvi_page_free(kvi_array_t *array, kvi_array_page_t *page);

/* Room for this many more pages. */
kv_status_t kvi_pages_reserve(kvi_array_t *array, uint32_t more);
/* Puts count pages in the place of old_count pages from `at` on, which are freed. There must be
 * room. */
void kvi_pages_replace(kvi_array_t *array, uint32_t at, uint32_t old_count,
                       kvi_array_page_t *const *pages, uint32_t count);
/* Builds a page anew, perhaps as one with a neighbour, if it is wasteful. Returns the entries
 * moved. */
size_t kvi_pages_tidy(kvi_array_t *array, uint32_t at);
/* Builds a page anew. Returns the entries moved. */
size_t kvi_pages_move(kvi_array_t *array, uint32_t at);

/* ---- array_write.c ---- */

kv_status_t kvi_array_put(kv_engine_t *engine, kv_slice_t key, kv_slice_t value);
kv_status_t kvi_array_store(kv_engine_t *engine, kv_slice_t key, size_t value_bytes,
                            size_t keep_bytes, char **place);
kv_status_t kvi_array_del(kv_engine_t *engine, kv_slice_t key);

/* ---- array_walk.c ---- */

/* The first entry with this sequence number or a higher one. */
bool kvi_array_seek(const kvi_array_t *array, uint64_t sequence, kvi_array_place_t *place);
/* The entry behind this place, or before it. False if there is none. */
bool kvi_array_next(const kvi_array_t *array, kvi_array_place_t *place);
bool kvi_array_previous(const kvi_array_t *array, kvi_array_place_t *place);
uint64_t kvi_array_scan(kv_engine_t *engine, uint64_t token, size_t count, kv_engine_visit_fn visit,
                        void *context);
kv_status_t kvi_array_sample(kv_engine_t *engine, uint64_t number, kv_slice_t *key,
                             kv_slice_t *value);
size_t kvi_array_relocate(kv_engine_t *engine, size_t steps);

/* ---- array_cursor.c ---- */

kv_status_t kvi_array_cursor_open(kv_engine_t *engine, kv_cursor_t **cursor);
void kvi_array_cursor_close(kv_cursor_t *cursor);
bool kvi_array_cursor_valid(const kv_cursor_t *cursor);
kv_status_t kvi_array_cursor_first(kv_cursor_t *cursor);
kv_status_t kvi_array_cursor_last(kv_cursor_t *cursor);
kv_status_t kvi_array_cursor_seek(kv_cursor_t *cursor, kv_slice_t key);
kv_status_t kvi_array_cursor_next(kv_cursor_t *cursor);
kv_status_t kvi_array_cursor_prev(kv_cursor_t *cursor);
kv_slice_t kvi_array_cursor_key(const kv_cursor_t *cursor);
kv_slice_t kvi_array_cursor_value(const kv_cursor_t *cursor);

/* ---- array_estimate.c ---- */

size_t kvi_array_estimate(uint64_t count, size_t key_bytes, size_t value_bytes);

/* ---- array_check.c ---- */

kv_status_t kvi_array_check(const kv_engine_t *engine);

#endif
