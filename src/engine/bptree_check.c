/* SPDX-License-Identifier: MIT */
/*
 * Verifies the B+tree engine's invariants, as bptree_int.h numbers them, over every page and every
 * entry. One user at a time.
 */
#include "engine/bptree_int.h"

#define SEPARATOR_BUFFER (INNER_PREFIX_MAX + INNER_HEAD_BYTES)

/* What is summed up on the way. */
typedef struct audit {
    const kvi_bptree_t *tree;
    uint64_t count;
    size_t used_bytes;
    size_t key_bytes;
    size_t value_bytes;
    size_t objects;
    char previous[KEY_BUFFER_BYTES]; /* the key before, if that is not apart */
    kv_slice_t previous_key;
} audit_t;

static bool audit_object(audit_t *audit, const void *object, size_t bytes)
{
    audit->used_bytes += bytes;
    audit->objects++;
    return kv_pool_owns(audit->tree->pool, object) &&
           kv_pool_usable_size(audit->tree->pool, object) >= bytes;
}

/* ---- leaves ---- */

static bool audit_aparts(audit_t *audit, const kvi_leaf_t *leaf, uint64_t slot, kv_slice_t key)
{
    const kv_slice_t value = kvi_leaf_value(leaf, slot);
    const bool key_apart = (slot & SLOT_KEY_APART) != 0;
    const bool value_apart = (slot & SLOT_VALUE_APART) != 0;
    if (key_apart != (key.size > KEY_INLINE_MAX) ||
        value_apart != (value.size > VALUE_INLINE_MAX)) {
        return false;
    }
    if (key_apart) {
        const kvi_apart_t *const apart = kvi_load_apart(kvi_leaf_record(leaf, slot));
        audit->key_bytes += apart->bytes;
        if (!audit_object(audit, apart, sizeof *apart + apart->bytes)) {
            return false;
        }
    }
    if (value_apart) {
        audit->value_bytes += value.size;
        return audit_object(audit, value.data, value.size);
    }
    return true;
}

/* Marks the record's bytes as taken; false if one of them is already. */
static bool mark_record(const kvi_leaf_t *leaf, uint64_t slot, bool *taken)
{
    const uint32_t offset = kvi_slot_offset(slot);
    const uint32_t bytes = kvi_slot_record(slot);
    if (offset > leaf->heap || bytes > offset || (bytes == 0 && offset > 0)) {
        return false;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        bool *const own = &taken[leaf->size - offset + i];
        if (*own) {
            return false;
        }
        *own = true;
    }
    return true;
}

static bool audit_entry(audit_t *audit, const kvi_leaf_t *leaf, uint32_t index)
{
    char buffer[KEY_BUFFER_BYTES];
    const uint64_t slot = kvi_leaf_slots(leaf)[index];
    const kv_slice_t key = kvi_leaf_key(leaf, index, buffer);
    bool found = false;
    if (!kvi_leaf_shares(leaf, key) || !audit_aparts(audit, leaf, slot, key)) {
        return false;
    }
    if (audit->count > 0 && kvi_slice_compare(audit->previous_key, key) >= 0) {
        return false;
    }
    if (kvi_slot_head(slot) !=
        kvi_head32(key.data + leaf->prefix_bytes, key.size - leaf->prefix_bytes)) {
        return false;
    }
    const uint8_t tag = kvi_bptree_tag(audit->tree, key);
    if (leaf->tags[index] != tag || kvi_leaf_find(leaf, key, tag) != index ||
        kvi_leaf_seek(leaf, key, &found) != index || !found) {
        return false;
    }
    audit->count++;
    audit->previous_key = key;
    if (key.data == buffer) {
        memcpy(audit->previous, buffer, key.size);
        audit->previous_key.data = audit->previous;
    }
    return true;
}

static bool audit_leaf(audit_t *audit, const kvi_leaf_t *leaf)
{
    bool taken[LEAF_BYTES_MAX] = {false};
    uint32_t records = 0;
    uint32_t keys = 0;
    uint32_t values = 0;
    uint32_t aparts = 0;
    if (leaf->level != 0 || leaf->count == 0 || leaf->count > audit->tree->leaf_max ||
        leaf->size > LEAF_BYTES_MAX || leaf->garbage > leaf->heap ||
        kvi_leaf_front(leaf->prefix_bytes) + leaf->count * SLOT_BYTES + leaf->heap > leaf->size) {
        return false;
    }
    for (uint32_t i = 0; i < leaf->count; i++) {
        const uint64_t slot = kvi_leaf_slots(leaf)[i];
        if (!mark_record(leaf, slot, taken) || !audit_entry(audit, leaf, i)) {
            return false;
        }
        records += kvi_slot_record(slot);
        keys += kvi_slot_suffix(slot);
        values += kvi_slot_value(slot);
        aparts += (slot & (SLOT_KEY_APART | SLOT_VALUE_APART)) != 0;
    }
    audit->key_bytes += keys + leaf->prefix_bytes;
    audit->value_bytes += values;
    return records == (uint32_t)leaf->heap - leaf->garbage && keys == leaf->key_bytes &&
           values == leaf->value_bytes && aparts == leaf->aparts &&
           kv_pool_usable_size(audit->tree->pool, leaf) >= leaf->size &&
           audit_object(audit, leaf, kvi_leaf_used(leaf));
}

/* ---- inner nodes ---- */

static bool audit_separator(audit_t *audit, const kvi_inner_t *node, uint32_t index)
{
    char buffer[SEPARATOR_BUFFER];
    char before_buffer[SEPARATOR_BUFFER];
    const kvi_bptree_t *const tree = audit->tree;
    const bool apart = kvi_inner_suffixes(node)[index] == INNER_APART;
    if (!apart && (node->prefix_bytes > INNER_PREFIX_MAX ||
                   kvi_inner_suffixes(node)[index] > INNER_HEAD_BYTES)) {
        return false;
    }
    const kv_slice_t own = kvi_inner_separator(tree, node, index, buffer);
    if (own.size < node->prefix_bytes ||
        kvi_inner_heads(node)[index] !=
            kvi_head64(own.data + node->prefix_bytes, own.size - node->prefix_bytes)) {
        return false;
    }
    if (apart) {
        const void *const object = kvi_pool_deref(tree->pool, kvi_inner_separators(node)[index]);
        if (!audit_object(audit, object, sizeof(kvi_apart_t) + own.size)) {
            return false;
        }
    }
    if (index == 0) {
        return node->prefix_bytes > INNER_PREFIX_MAX ||
               memcmp(own.data, node->prefix, node->prefix_bytes) == 0;
    }
    const kv_slice_t before = kvi_inner_separator(tree, node, index - 1, before_buffer);
    return kvi_slice_compare(before, own) < 0 &&
           memcmp(before.data, own.data, node->prefix_bytes) == 0;
}

static bool audit_inner(audit_t *audit, const kvi_path_t *path, uint32_t level)
{
    const kvi_bptree_t *const tree = audit->tree;
    const kvi_inner_t *const node = path->at[level].node;
    uint64_t count = 0;
    if (node->level != level + 1 || node->count == 0 || node->count > node->capacity ||
        node->capacity > tree->inner_max || (node->count == 1 && node->prefix_bytes > 0)) {
        return false;
    }
    for (uint32_t i = 0; i < node->count; i++) {
        count += kvi_inner_children(node)[i].count;
        if (i > 0 && !audit_separator(audit, node, i - 1)) {
            return false;
        }
    }
    const uint64_t expected =
        level + 1 == tree->height
            ? tree->count
            : kvi_inner_children(path->at[level + 1].node)[path->at[level + 1].index].count;
    return count == expected && audit_object(audit, node, kvi_inner_bytes(node->capacity));
}

/* The separators on both sides of the path, at every level, and the leaf's count. */
static bool audit_bounds(const audit_t *audit, const kvi_path_t *path)
{
    char first_buffer[KEY_BUFFER_BYTES];
    char last_buffer[KEY_BUFFER_BYTES];
    char buffer[SEPARATOR_BUFFER];
    const kvi_bptree_t *const tree = audit->tree;
    const kv_slice_t first = kvi_leaf_key(path->leaf, 0, first_buffer);
    const kv_slice_t last = kvi_leaf_key(path->leaf, path->leaf->count - 1u, last_buffer);
    for (uint32_t level = 0; level < tree->height; level++) {
        const kvi_inner_t *const node = path->at[level].node;
        const uint32_t index = path->at[level].index;
        if (index > 0 &&
            kvi_slice_compare(first, kvi_inner_separator(tree, node, index - 1, buffer)) < 0) {
            return false;
        }
        if (index + 1u < node->count &&
            kvi_slice_compare(last, kvi_inner_separator(tree, node, index, buffer)) >= 0) {
            return false;
        }
        if (kvi_inner_seek(tree, node, first) != index) {
            return false;
        }
    }
    return tree->height == 0 ||
           kvi_inner_children(path->at[0].node)[path->at[0].index].count == path->leaf->count;
}

/* ---- the tree ---- */

static bool audit_pages(audit_t *audit)
{
    kvi_path_t path;
    const kvi_bptree_t *const tree = audit->tree;
    if (tree->root == 0 || tree->count == 0) {
        return tree->root == 0 && tree->count == 0 && tree->height == 0;
    }
    kvi_bptree_descend_rank(tree, 0, &path);
    do {
        /* Nodes are met with the first leaf below them. */
        for (uint32_t level = 0; level < tree->height && path.at[level].index == 0; level++) {
            if (!audit_inner(audit, &path, level)) {
                return false;
            }
        }
        if (!audit_leaf(audit, path.leaf) || !audit_bounds(audit, &path)) {
            return false;
        }
    } while (kvi_path_next_leaf(tree, &path));
    return true;
}

kv_status_t kvi_bptree_check(const kv_engine_t *engine)
{
    const kvi_bptree_t *const tree = (const kvi_bptree_t *)engine;
    audit_t audit = {.tree = tree};
    kv_pool_stats_t stats;
    if (tree->height > LEVELS_MAX || !audit_pages(&audit) ||
        !audit_object(&audit, tree, sizeof *tree)) {
        return KV_CORRUPT;
    }
    for (uint32_t i = 0; i < BORROWED_KEYS; i++) {
        const kvi_apart_t *const key = tree->borrowed[i];
        if (key != NULL && !audit_object(&audit, key, sizeof *key + key->bytes)) {
            return KV_CORRUPT;
        }
    }
    if (audit.count != tree->count || audit.key_bytes != tree->key_bytes ||
        audit.value_bytes != tree->value_bytes ||
        audit.used_bytes + tree->guest_bytes != tree->used_bytes) {
        return KV_CORRUPT;
    }
    if (kv_pool_check(tree->pool) != KV_OK || kv_pool_stats(tree->pool, &stats) != KV_OK) {
        return KV_CORRUPT;
    }
    /* Nothing in the pool is ours that was not found: nothing leaks. */
    return stats.live_objects == audit.objects + tree->guest_objects ? KV_OK : KV_CORRUPT;
}
