/* SPDX-License-Identifier: MIT */
/*
 * Leaves of the B+tree engine as pages: finding in them, building, opening and closing slots. The
 * layout stands in bptree_int.h. Nothing here knows of the tree above. One user at a time.
 */
#include "engine/bptree_int.h"

#include <assert.h>

#define MATCH_BYTES 16u

/* ---- finding ---- */

bool kvi_leaf_shares(const kvi_leaf_t *leaf, kv_slice_t key)
{
    return kvi_compare_prefix(key, kvi_leaf_prefix(leaf), leaf->prefix_bytes) == 0;
}

static kv_slice_t apart_key(const kvi_leaf_t *leaf, uint64_t slot)
{
    const kvi_apart_t *const apart = kvi_load_apart(kvi_leaf_record(leaf, slot));
    return (kv_slice_t){apart->data, apart->bytes};
}

/* Orders an entry against a suffix with the same head. */
static int compare_rest(const kvi_leaf_t *leaf, uint64_t slot, kv_slice_t suffix)
{
    if ((slot & SLOT_KEY_APART) != 0) {
        return kvi_slice_compare(kvi_slice_behind(apart_key(leaf, slot), leaf->prefix_bytes),
                                 suffix);
    }
    const size_t own = kvi_slot_suffix(slot);
    const size_t least = own < suffix.size ? own : suffix.size;
    const int order = least > HEAD_BYTES ? memcmp(kvi_leaf_record(leaf, slot),
                                                  suffix.data + HEAD_BYTES, least - HEAD_BYTES)
                                         : 0;
    return order != 0 ? order : (own > suffix.size) - (own < suffix.size);
}

/* Among the entries from low on whose head is this one: the first >= suffix. */
static uint32_t seek_among_equals(const kvi_leaf_t *leaf, uint32_t low, uint32_t head,
                                  kv_slice_t suffix)
{
    const uint64_t *const slots = kvi_leaf_slots(leaf);
    uint32_t high = low;
    while (high < leaf->count && kvi_slot_head(slots[high]) == head) {
        high++;
    }
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (compare_rest(leaf, slots[middle], suffix) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t kvi_leaf_seek(const kvi_leaf_t *leaf, kv_slice_t key, bool *found)
{
    *found = false;
    const int side = kvi_compare_prefix(key, kvi_leaf_prefix(leaf), leaf->prefix_bytes);
    if (side != 0) {
        return side < 0 ? 0 : leaf->count;
    }
    const kv_slice_t suffix = kvi_slice_behind(key, leaf->prefix_bytes);
    const uint32_t head = kvi_head32(suffix.data, suffix.size);
    const uint64_t *const slots = kvi_leaf_slots(leaf);
    const uint32_t count = leaf->count;
    uint32_t low = kvi_count_below(slots, count, (uint64_t)head << 32);
    if (low < count && kvi_slot_head(slots[low]) == head) {
        low = seek_among_equals(leaf, low, head, suffix);
        *found = low < count && kvi_slot_head(slots[low]) == head &&
                 compare_rest(leaf, slots[low], suffix) == 0;
    }
    return low;
}

bool kvi_leaf_is_behind(const kvi_leaf_t *leaf, kv_slice_t key)
{
    const int side = kvi_compare_prefix(key, kvi_leaf_prefix(leaf), leaf->prefix_bytes);
    if (side != 0) {
        return side > 0;
    }
    const kv_slice_t suffix = kvi_slice_behind(key, leaf->prefix_bytes);
    const uint32_t head = kvi_head32(suffix.data, suffix.size);
    const uint64_t last = kvi_leaf_slots(leaf)[leaf->count - 1u];
    return head != kvi_slot_head(last) ? head > kvi_slot_head(last)
                                       : compare_rest(leaf, last, suffix) < 0;
}

static bool entry_is(const kvi_leaf_t *leaf, uint64_t slot, uint32_t head, kv_slice_t suffix)
{
    if (kvi_slot_head(slot) != head) {
        return false;
    }
    if ((slot & SLOT_KEY_APART) != 0) {
        return kvi_slice_equal(kvi_slice_behind(apart_key(leaf, slot), leaf->prefix_bytes), suffix);
    }
    return kvi_slot_suffix(slot) == suffix.size &&
           (suffix.size <= HEAD_BYTES ||
            kvi_bytes_equal(kvi_leaf_record(leaf, slot), suffix.data + HEAD_BYTES,
                            suffix.size - HEAD_BYTES));
}

/* Bit i: tag i is this one. */
static uint64_t match_tags(const kvi_leaf_t *leaf, uint8_t tag)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < LEAF_ENTRIES_MAX; i += MATCH_BYTES) {
        mask |= (uint64_t)kvi_os_match16(leaf->tags + i, tag) << i;
    }
    return mask & ((UINT64_C(1) << leaf->count) - 1);
}

uint32_t kvi_leaf_candidate(const kvi_leaf_t *leaf, uint8_t tag)
{
    const uint64_t mask = match_tags(leaf, tag);
    return mask != 0 ? (uint32_t)__builtin_ctzll(mask) : leaf->count;
}

uint32_t kvi_leaf_find(const kvi_leaf_t *leaf, kv_slice_t key, uint8_t tag)
{
    uint64_t mask = match_tags(leaf, tag);
    if (mask == 0 || !kvi_leaf_shares(leaf, key)) {
        return leaf->count;
    }
    const kv_slice_t suffix = kvi_slice_behind(key, leaf->prefix_bytes);
    const uint32_t head = kvi_head32(suffix.data, suffix.size);
    const uint64_t *const slots = kvi_leaf_slots(leaf);
    for (; mask != 0; mask &= mask - 1) {
        const uint32_t index = (uint32_t)__builtin_ctzll(mask);
        if (entry_is(leaf, slots[index], head, suffix)) {
            return index;
        }
    }
    return leaf->count;
}

kv_slice_t kvi_leaf_key(const kvi_leaf_t *leaf, uint32_t index, char *buffer)
{
    const uint64_t slot = kvi_leaf_slots(leaf)[index];
    if ((slot & SLOT_KEY_APART) != 0) {
        return apart_key(leaf, slot);
    }
    kvi_bytes_copy(buffer, kvi_leaf_prefix(leaf), leaf->prefix_bytes);
    return kvi_leaf_finish_key(leaf, slot, buffer);
}

/* ---- opening and closing slots ---- */

uint64_t kvi_leaf_slot_for(const kvi_leaf_t *leaf, kv_slice_t key, size_t value_bytes)
{
    const kv_slice_t suffix = kvi_slice_behind(key, leaf->prefix_bytes);
    const uint64_t key_part =
        key.size > KEY_INLINE_MAX ? SLOT_KEY_APART : (uint64_t)suffix.size << SLOT_SUFFIX_SHIFT;
    const uint64_t value_part = value_bytes > VALUE_INLINE_MAX
                                    ? SLOT_VALUE_APART
                                    : (uint64_t)value_bytes << SLOT_VALUE_SHIFT;
    return (uint64_t)kvi_head32(suffix.data, suffix.size) << 32 | key_part | value_part;
}

static bool has_apart(uint64_t slot)
{
    return (slot & (SLOT_KEY_APART | SLOT_VALUE_APART)) != 0;
}

char *kvi_leaf_insert(kvi_leaf_t *leaf, uint32_t index, uint64_t slot, uint8_t tag)
{
    const uint32_t record = kvi_slot_record(slot);
    uint64_t *const slots = kvi_leaf_slots(leaf);
    const uint32_t behind = leaf->count - index;
    assert(kvi_leaf_gap(leaf) >= record + SLOT_BYTES && leaf->count < LEAF_ENTRIES_MAX);
    if (behind > 0) {
        memmove(&leaf->tags[index + 1], &leaf->tags[index], behind);
        memmove(&slots[index + 1], &slots[index], behind * sizeof *slots);
    }
    leaf->heap = (uint16_t)(leaf->heap + record);
    leaf->tags[index] = tag;
    slots[index] = (slot & ~SLOT_OFFSET_MASK) | (record > 0 ? leaf->heap : 0u);
    leaf->count++;
    leaf->key_bytes = (uint16_t)(leaf->key_bytes + kvi_slot_suffix(slot));
    leaf->value_bytes = (uint16_t)(leaf->value_bytes + kvi_slot_value(slot));
    leaf->aparts = (uint8_t)(leaf->aparts + has_apart(slot));
    return kvi_leaf_record(leaf, slots[index]);
}

void kvi_leaf_remove(kvi_leaf_t *leaf, uint32_t index)
{
    uint64_t *const slots = kvi_leaf_slots(leaf);
    const uint64_t slot = slots[index];
    const uint32_t record = kvi_slot_record(slot);
    const uint32_t behind = leaf->count - index - 1u;
    if (kvi_slot_offset(slot) == leaf->heap) {
        leaf->heap = (uint16_t)(leaf->heap - record);
    } else {
        leaf->garbage = (uint16_t)(leaf->garbage + record);
    }
    memmove(&leaf->tags[index], &leaf->tags[index + 1], behind);
    memmove(&slots[index], &slots[index + 1], behind * sizeof *slots);
    leaf->count--;
    leaf->key_bytes = (uint16_t)(leaf->key_bytes - kvi_slot_suffix(slot));
    leaf->value_bytes = (uint16_t)(leaf->value_bytes - kvi_slot_value(slot));
    leaf->aparts = (uint8_t)(leaf->aparts - has_apart(slot));
}

/* ---- building ---- */

uint32_t kvi_leaf_fit(const kvi_bptree_t *tree, uint32_t bytes)
{
    const uint32_t step = kvi_page_step(tree);
    const uint32_t stepped = bytes > step ? (bytes + step - 1) / step * step : step;
    const size_t good = kvi_pool_good_size(tree->pool, stepped);
    return good < LEAF_BYTES_MAX ? (uint32_t)good : LEAF_BYTES_MAX;
}

kvi_leaf_t *kvi_leaf_create(kvi_bptree_t *tree, uint32_t bytes)
{
    const uint32_t size = kvi_leaf_fit(tree, bytes);
    kvi_leaf_t *const leaf = kv_pool_alloc(tree->pool, size);
    if (leaf != NULL) {
        memset(leaf, 0, sizeof *leaf);
        leaf->size = (uint16_t)size;
    }
    return leaf;
}

void kvi_leaf_free(kvi_bptree_t *tree, kvi_leaf_t *leaf)
{
    kv_pool_free(tree->pool, leaf);
}

void kvi_leaf_free_aparts(kvi_bptree_t *tree, kvi_leaf_t *leaf, uint64_t slot)
{
    if ((slot & SLOT_KEY_APART) != 0) {
        kvi_apart_t *const apart = kvi_load_apart(kvi_leaf_record(leaf, slot));
        tree->key_bytes -= apart->bytes;
        kvi_apart_free(tree, apart);
    }
    if ((slot & SLOT_VALUE_APART) != 0) {
        const kv_slice_t value = kvi_leaf_value(leaf, slot);
        tree->value_bytes -= value.size;
        kvi_bptree_free(tree, (void *)(uintptr_t)value.data, value.size);
    }
}

void kvi_leaf_account(kvi_bptree_t *tree, const kvi_leaf_t *leaf)
{
    tree->used_bytes += kvi_leaf_used(leaf);
    tree->key_bytes += (size_t)leaf->key_bytes + leaf->prefix_bytes;
    tree->value_bytes += leaf->value_bytes;
}

void kvi_leaf_unaccount(kvi_bptree_t *tree, const kvi_leaf_t *leaf)
{
    tree->used_bytes -= kvi_leaf_used(leaf);
    tree->key_bytes -= (size_t)leaf->key_bytes + leaf->prefix_bytes;
    tree->value_bytes -= leaf->value_bytes;
}

static uint32_t part_count(const kvi_leaf_part_t *part)
{
    return part->to - part->from;
}

uint32_t kvi_leaf_common(const kvi_leaf_part_t parts[2])
{
    char first[KEY_BUFFER_BYTES];
    char last[KEY_BUFFER_BYTES];
    const kvi_leaf_part_t *const end = part_count(&parts[1]) > 0 ? &parts[1] : &parts[0];
    const size_t common = kvi_common_bytes(kvi_leaf_key(parts[0].leaf, parts[0].from, first),
                                           kvi_leaf_key(end->leaf, end->to - 1, last));
    return common < LEAF_PREFIX_MAX ? (uint32_t)common : LEAF_PREFIX_MAX;
}

/* The slot under a prefix of another length, but for head and offset. */
static uint64_t shift_suffix(uint64_t slot, uint32_t old_prefix, uint32_t new_prefix)
{
    if ((slot & SLOT_KEY_APART) != 0) {
        return slot;
    }
    const uint64_t suffix = kvi_slot_suffix(slot) + old_prefix - new_prefix;
    return (slot & ~(UINT64_C(255) << SLOT_SUFFIX_SHIFT)) | suffix << SLOT_SUFFIX_SHIFT;
}

static uint32_t part_records(const kvi_leaf_part_t *part, uint32_t prefix_bytes)
{
    uint32_t bytes = 0;
    if (part->leaf != NULL && part_count(part) == part->leaf->count &&
        part->leaf->prefix_bytes == prefix_bytes) {
        return (uint32_t)part->leaf->heap - part->leaf->garbage;
    }
    for (uint32_t i = part->from; i < part->to; i++) {
        const uint64_t slot = kvi_leaf_slots(part->leaf)[i];
        bytes += kvi_slot_record(shift_suffix(slot, part->leaf->prefix_bytes, prefix_bytes));
    }
    return bytes;
}

uint32_t kvi_leaf_build_bytes(const kvi_leaf_part_t parts[2], uint32_t prefix_bytes)
{
    uint32_t bytes = kvi_leaf_front(prefix_bytes);
    for (uint32_t i = 0; i < 2 && part_count(&parts[i]) > 0; i++) {
        bytes += part_count(&parts[i]) * SLOT_BYTES + part_records(&parts[i], prefix_bytes);
    }
    return bytes;
}

/* The slot of a key inline behind a prefix that is longer by at most four bytes: those leave the
 * head, and as many come into it from the rest. */
static uint64_t cut_suffix(const kvi_leaf_t *from, uint64_t slot, uint32_t bytes)
{
    const uint32_t next = kvi_head32(kvi_leaf_record(from, slot), kvi_slot_rest(slot));
    const uint64_t both = (slot & ~(uint64_t)UINT32_MAX) | next;
    const uint64_t head = both << (8 * bytes) >> 32 << 32;
    return head | ((slot & UINT32_MAX) - ((uint64_t)bytes << SLOT_SUFFIX_SHIFT));
}

/* Adds entries of a leaf whose prefix is the same or, where nothing is apart, shorter by cut bytes,
 * at most four: a record is the old one or its end. */
static void append_part(kvi_leaf_t *leaf, const kvi_leaf_part_t *part, uint32_t cut)
{
    const uint32_t count = part_count(part);
    const uint64_t *const old = kvi_leaf_slots(part->leaf) + part->from;
    uint64_t *const slots = kvi_leaf_slots(leaf) + leaf->count;
    char *const end = (char *)leaf + leaf->size;
    uint32_t heap = leaf->heap;
    uint32_t keys = leaf->key_bytes;
    uint32_t values = leaf->value_bytes;
    uint32_t aparts = leaf->aparts;
    assert(leaf->count + count <= LEAF_ENTRIES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t slot = cut > 0 ? cut_suffix(part->leaf, old[i], cut) : old[i];
        const uint32_t record = kvi_slot_record(slot);
        const char *const old_end = kvi_leaf_record(part->leaf, old[i]) + kvi_slot_record(old[i]);
        heap += record;
        slots[i] = (slot & ~SLOT_OFFSET_MASK) | (record > 0 ? heap : 0u);
        kvi_bytes_copy(end - heap, old_end - record, record);
        keys += kvi_slot_suffix(slot);
        values += kvi_slot_value(slot);
        aparts += has_apart(slot);
    }
    memcpy(leaf->tags + leaf->count, part->leaf->tags + part->from, count);
    leaf->count = (uint8_t)(leaf->count + count);
    leaf->heap = (uint16_t)heap;
    leaf->key_bytes = (uint16_t)keys;
    leaf->value_bytes = (uint16_t)values;
    leaf->aparts = (uint8_t)aparts;
}

static void append_anew(kvi_leaf_t *leaf, const kvi_leaf_t *from, uint32_t index)
{
    char buffer[KEY_BUFFER_BYTES];
    const uint64_t old = kvi_leaf_slots(from)[index];
    const kv_slice_t suffix =
        kvi_slice_behind(kvi_leaf_key(from, index, buffer), leaf->prefix_bytes);
    const uint64_t shifted = shift_suffix(old, from->prefix_bytes, leaf->prefix_bytes);
    const uint64_t slot =
        (uint64_t)kvi_head32(suffix.data, suffix.size) << 32 | (shifted & UINT32_MAX);
    char *const record = kvi_leaf_insert(leaf, leaf->count, slot, from->tags[index]);
    const char *const old_record = kvi_leaf_record(from, old);
    const char *const rest = (slot & SLOT_KEY_APART) != 0 ? old_record : suffix.data + HEAD_BYTES;
    kvi_bytes_copy(record, rest, kvi_slot_rest(slot));
    kvi_bytes_copy(record + kvi_slot_rest(slot), old_record + kvi_slot_rest(old),
                   kvi_slot_tail(slot));
}

/* A copy with another gap: slots count their records from the end, so nothing changes. */
static void copy_whole(kvi_leaf_t *leaf, const kvi_leaf_t *from)
{
    const uint16_t size = leaf->size;
    memcpy(leaf, from, kvi_leaf_front(from->prefix_bytes) + from->count * (size_t)SLOT_BYTES);
    leaf->size = size;
    kvi_bytes_copy((char *)leaf + size - leaf->heap, (const char *)from + from->size - leaf->heap,
                   leaf->heap);
}

static bool is_whole(const kvi_leaf_part_t parts[2], uint32_t prefix_bytes)
{
    const kvi_leaf_t *const leaf = parts[0].leaf;
    return part_count(&parts[0]) == leaf->count && part_count(&parts[1]) == 0 &&
           leaf->prefix_bytes == prefix_bytes && leaf->garbage == 0;
}

kvi_leaf_t *kvi_leaf_build(kvi_bptree_t *tree, const kvi_leaf_part_t parts[2],
                           uint32_t prefix_bytes, uint32_t extra_bytes)
{
    kvi_leaf_t *const leaf =
        kvi_leaf_create(tree, kvi_leaf_build_bytes(parts, prefix_bytes) + extra_bytes);
    if (leaf == NULL) {
        return NULL;
    }
    if (is_whole(parts, prefix_bytes)) {
        copy_whole(leaf, parts[0].leaf);
        return leaf;
    }
    char buffer[KEY_BUFFER_BYTES];
    const kv_slice_t first = kvi_leaf_key(parts[0].leaf, parts[0].from, buffer);
    leaf->prefix_bytes = (uint8_t)prefix_bytes;
    kvi_bytes_copy(kvi_leaf_prefix(leaf), first.data, prefix_bytes);
    for (uint32_t p = 0; p < 2 && part_count(&parts[p]) > 0; p++) {
        const uint32_t cut = prefix_bytes - parts[p].leaf->prefix_bytes; /* large if negative */
        if (cut == 0 || (cut <= HEAD_BYTES && parts[p].leaf->aparts == 0)) {
            append_part(leaf, &parts[p], cut);
            continue;
        }
        for (uint32_t i = parts[p].from; i < parts[p].to; i++) {
            append_anew(leaf, parts[p].leaf, i);
        }
    }
    return leaf;
}
