/* SPDX-License-Identifier: MIT */
/*
 * What the counts in the B+tree's nodes are for: ranks, ranges, deleting whole subtrees; and the
 * sorted load. One user at a time.
 */
#include "engine/bptree_int.h"

/* ---- ranks ---- */

static uint64_t rank_of(const kvi_bptree_t *tree, kv_slice_t key, bool behind)
{
    kvi_path_t path;
    kvi_bptree_descend(tree, key, &path);
    if (path.leaf == NULL) {
        return 0;
    }
    return kvi_path_rank(tree, &path) + (behind && path.found);
}

static uint64_t bptree_rank(kv_engine_t *engine, kv_slice_t key)
{
    return rank_of((const kvi_bptree_t *)engine, key, false);
}

kv_status_t kvi_bptree_key_at(kv_engine_t *engine, uint64_t number, kv_slice_t *key,
                              kv_slice_t *value)
{
    kvi_bptree_t *const tree = (kvi_bptree_t *)engine;
    kvi_path_t path;
    if (number >= tree->count) {
        return KV_NOT_FOUND;
    }
    kvi_bptree_descend_rank(tree, number, &path);
    return kvi_bptree_borrow(tree, &path, key, value);
}

/* The rank of the range's first key; *end is that behind its last one. */
static uint64_t range_ranks(const kvi_bptree_t *tree, const kv_range_t *range, uint64_t *end)
{
    const kv_bound_t *const lower = &range->lower;
    const kv_bound_t *const upper = &range->upper;
    const uint64_t begin = lower->kind == KV_BOUND_NONE
                               ? 0
                               : rank_of(tree, lower->key, lower->kind == KV_BOUND_EXCLUDED);
    *end = upper->kind == KV_BOUND_NONE
               ? tree->count
               : rank_of(tree, upper->key, upper->kind == KV_BOUND_INCLUDED);
    if (*end < begin) {
        *end = begin;
    }
    return begin;
}

static uint64_t bptree_count_range(kv_engine_t *engine, const kv_range_t *range)
{
    uint64_t end;
    const uint64_t begin = range_ranks((const kvi_bptree_t *)engine, range, &end);
    return end - begin;
}

/* ---- deleting ranges ---- */

/* Entries under the path's child at this level. */
static uint64_t count_under(const kvi_path_t *path, uint32_t level)
{
    return kvi_inner_children(path->at[level].node)[path->at[level].index].count;
}

/* The path stands at the beginning of a leaf of at most most entries: takes that leaf out or,
 * better, the largest subtree that begins here and has at most most entries, and as many of its
 * right neighbours as fit. Returns the number of entries. The tree is larger than that. */
static uint32_t cut_subtrees(kvi_bptree_t *tree, kvi_path_t *path, uint64_t most)
{
    uint32_t level = 0;
    while (level + 1 < tree->height && path->at[level].index == 0 &&
           count_under(path, level + 1) <= most) {
        level++;
    }
    kvi_inner_t *const node = path->at[level].node;
    const uint32_t from = path->at[level].index;
    uint32_t to = from;
    uint32_t cut = 0;
    while (to < node->count && cut + (uint64_t)kvi_inner_children(node)[to].count <= most) {
        cut += kvi_inner_children(node)[to].count;
        kvi_bptree_free_subtree(tree, kvi_inner_children(node)[to].ref, level);
        to++;
    }
    kvi_inner_remove(tree, node, from, to);
    for (uint32_t above = level + 1; above < tree->height; above++) {
        kvi_inner_children(path->at[above].node)[path->at[above].index].count -= cut;
    }
    return cut;
}

/* Takes entries out of the middle of a leaf. */
static uint32_t cut_entries(kvi_bptree_t *tree, kvi_path_t *path, uint64_t most)
{
    kvi_leaf_t *const leaf = path->leaf;
    const uint32_t there = leaf->count - path->slot;
    const uint32_t cut = there < most ? there : (uint32_t)most;
    kvi_leaf_unaccount(tree, leaf);
    for (uint32_t i = 0; i < cut; i++) {
        kvi_leaf_free_aparts(tree, leaf, kvi_leaf_slots(leaf)[path->slot]);
        kvi_leaf_remove(leaf, path->slot);
    }
    kvi_leaf_account(tree, leaf);
    kvi_path_count(tree, path, 0u - cut);
    return cut;
}

static void tidy_at(kvi_bptree_t *tree, uint64_t rank)
{
    kvi_path_t path;
    kvi_bptree_descend_rank(tree, rank, &path);
    kvi_bptree_tidy(tree, &path);
    kvi_bptree_descend_rank(tree, rank, &path);
    for (uint32_t level = 0; level < tree->height; level++) {
        kvi_inner_tidy(tree, &path, level);
    }
    kvi_bptree_lower(tree);
}

static void delete_all(kvi_bptree_t *tree)
{
    kvi_bptree_free_subtree(tree, tree->root, tree->height);
    tree->root = 0;
    tree->height = 0;
    tree->count = 0;
}

static void delete_ranks(kvi_bptree_t *tree, uint64_t begin, uint64_t count)
{
    kvi_path_t path;
    uint64_t left = count;
    if (count == tree->count) {
        delete_all(tree);
        return;
    }
    while (left > 0) {
        kvi_bptree_descend_rank(tree, begin, &path);
        const bool is_subtree = path.slot == 0 && path.leaf->count <= left;
        const uint32_t cut =
            is_subtree ? cut_subtrees(tree, &path, left) : cut_entries(tree, &path, left);
        tree->count -= cut;
        left -= cut;
    }
    kvi_bptree_lower(tree);
    if (begin < tree->count) {
        tidy_at(tree, begin);
    }
    if (begin > 0) {
        tidy_at(tree, begin - 1);
    }
}

static uint64_t bptree_delete_range(kv_engine_t *engine, const kv_range_t *range)
{
    kvi_bptree_t *const tree = (kvi_bptree_t *)engine;
    uint64_t end;
    const uint64_t begin = range_ranks(tree, range, &end);
    if (end > begin) {
        tree->changes++;
        delete_ranks(tree, begin, end - begin);
    }
    return end - begin;
}

/* ---- the sorted load ---- */

/* Entries gather in a page of full size without a prefix, from which leaves of the right size are
 * made. */
typedef struct load {
    kvi_bptree_t *tree;
    kvi_leaf_t *gathered;
} load_t;

/* Makes a leaf of what has gathered. What its entries have apart goes over to it. */
static kv_status_t flush(load_t *load)
{
    kvi_bptree_t *const tree = load->tree;
    kvi_leaf_t *const gathered = load->gathered;
    if (gathered->count == 0) {
        return KV_OK;
    }
    const kvi_leaf_part_t whole[2] = {{gathered, 0, gathered->count}, {0}};
    kvi_leaf_t *const leaf = kvi_leaf_build(tree, whole, kvi_leaf_common(whole), 0);
    if (leaf == NULL) {
        return KV_NO_MEMORY;
    }
    if (kvi_bptree_append_leaf(tree, leaf) != KV_OK) {
        kvi_leaf_free(tree, leaf);
        return KV_NO_MEMORY;
    }
    const uint16_t size = gathered->size;
    memset(gathered, 0, sizeof *gathered);
    gathered->size = size;
    return KV_OK;
}

static bool is_behind_last(const load_t *load, kv_slice_t key)
{
    char buffer[KEY_BUFFER_BYTES];
    kvi_path_t path;
    const kvi_leaf_t *leaf = load->gathered;
    if (leaf->count == 0) {
        if (load->tree->count == 0) {
            return true;
        }
        kvi_bptree_descend_rank(load->tree, load->tree->count - 1, &path);
        leaf = path.leaf;
    }
    return kvi_slice_compare(kvi_leaf_key(leaf, leaf->count - 1u, buffer), key) < 0;
}

static kv_status_t make_loaded_aparts(kvi_bptree_t *tree, kv_slice_t key, kv_slice_t value,
                                      kvi_apart_t **key_apart, char **value_apart)
{
    if (key.size > KEY_INLINE_MAX) {
        *key_apart = kvi_apart_create(tree, key);
        if (*key_apart == NULL) {
            return KV_NO_MEMORY;
        }
    }
    if (value.size > VALUE_INLINE_MAX) {
        *value_apart = kvi_bptree_alloc(tree, value.size);
        if (*value_apart == NULL) {
            if (*key_apart != NULL) {
                kvi_apart_free(tree, *key_apart);
            }
            return KV_NO_MEMORY;
        }
    }
    return KV_OK;
}

static kv_status_t load_entry(load_t *load, kv_slice_t key, kv_slice_t value)
{
    kvi_bptree_t *const tree = load->tree;
    kvi_leaf_t *const gathered = load->gathered;
    if (key.size > KV_KEY_BYTES_MAX || value.size > KV_VALUE_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    if (!is_behind_last(load, key)) {
        return KV_INVALID;
    }
    const uint64_t slot = kvi_leaf_slot_for(gathered, key, value.size);
    if (gathered->count == tree->leaf_max ||
        kvi_leaf_gap(gathered) < SLOT_BYTES + kvi_slot_record(slot)) {
        const kv_status_t status = flush(load);
        if (status != KV_OK) {
            return status;
        }
    }
    kvi_apart_t *key_apart = NULL;
    char *value_apart = NULL;
    const kv_status_t status = make_loaded_aparts(tree, key, value, &key_apart, &value_apart);
    if (status != KV_OK) {
        return status;
    }
    char *const record =
        kvi_leaf_insert(gathered, gathered->count, slot, kvi_bptree_tag(tree, key));
    char *tail = record + kvi_slot_rest(slot);
    if (key_apart != NULL) {
        memcpy(record, &key_apart, sizeof key_apart);
        tree->key_bytes += key.size;
    } else if (kvi_slot_rest(slot) > 0) {
        memcpy(record, key.data + HEAD_BYTES, kvi_slot_rest(slot));
    }
    if (value_apart != NULL) {
        memcpy(tail, &value_apart, sizeof value_apart);
        memcpy(tail + sizeof value_apart, &value.size, sizeof value.size);
        tree->value_bytes += value.size;
        tail = value_apart;
    }
    kvi_bytes_copy(tail, value.data, value.size);
    return KV_OK;
}

/* Frees the page, and what its entries have apart if they are still in it. */
static void end_gathering(load_t *load)
{
    kvi_leaf_t *const gathered = load->gathered;
    for (uint32_t i = 0; i < gathered->count; i++) {
        kvi_leaf_free_aparts(load->tree, gathered, kvi_leaf_slots(gathered)[i]);
    }
    kvi_leaf_free(load->tree, gathered);
}

static kv_status_t bptree_load(kv_engine_t *engine, kvi_load_fn next, void *context)
{
    kvi_bptree_t *const tree = (kvi_bptree_t *)engine;
    load_t load = {.tree = tree};
    kv_slice_t key;
    kv_slice_t value;
    if (tree->count > 0) {
        return KV_INVALID;
    }
    tree->changes++;
    load.gathered = kvi_leaf_create(tree, LEAF_BYTES_MAX);
    if (load.gathered == NULL) {
        return KV_NO_MEMORY;
    }
    kv_status_t status = KV_OK;
    while (status == KV_OK && next(context, &key, &value)) {
        status = load_entry(&load, key, value);
    }
    if (status == KV_OK) {
        status = flush(&load);
    }
    end_gathering(&load);
    if (status != KV_OK && tree->root != 0) {
        delete_all(tree);
    }
    return status;
}

const kvi_ordered_ops_t kvi_bptree_ordered = {
    .rank = bptree_rank,
    .key_at = kvi_bptree_key_at,
    .count_range = bptree_count_range,
    .delete_range = bptree_delete_range,
    .load = bptree_load,
};
