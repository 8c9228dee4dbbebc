/* SPDX-License-Identifier: MIT */
/*
 * The B+tree engine: open, close, lookups alone and in groups, figures. Shapes and invariants stand
 * in bptree_int.h, writes in bptree_write.c, ranges in bptree_range.c, walks in bptree_walk.c and
 * bptree_cursor.c. One user at a time.
 */
#include "engine/bptree_int.h"
#include "engine/pooled.h"

#define GROUP_KEYS 16u

/* ---- lookups ---- */

static const kvi_leaf_t *leaf_of(const kvi_bptree_t *tree, kv_slice_t key)
{
    if (tree->root == 0) {
        return NULL;
    }
    const void *page = kvi_pool_deref(tree->pool, tree->root);
    for (uint32_t level = tree->height; level-- > 0;) {
        if (level == 0) {
            kvi_inner_prefetch(page);
        }
        page = kvi_bptree_child(tree, page, kvi_inner_seek(tree, page, key));
    }
    kvi_leaf_prefetch(page);
    return page;
}

static bool take_value(const kvi_leaf_t *leaf, kv_slice_t key, uint8_t tag, kv_slice_t *value)
{
    const uint32_t index = kvi_leaf_find(leaf, key, tag);
    if (index == leaf->count) {
        return false;
    }
    *value = kvi_leaf_value(leaf, kvi_leaf_slots(leaf)[index]);
    return true;
}

kv_status_t kvi_bptree_get(kv_engine_t *engine, kv_slice_t key, kv_slice_t *value)
{
    const kvi_bptree_t *const tree = (const kvi_bptree_t *)engine;
    const kvi_leaf_t *const leaf = leaf_of(tree, key);
    return leaf != NULL && take_value(leaf, key, kvi_bptree_tag(tree, key), value) ? KV_OK
                                                                                   : KV_NOT_FOUND;
}

/* ---- groups: each stage waits for the misses of the stage before it, all at once ---- */

typedef struct group {
    const void *page[GROUP_KEYS];
    uint8_t tag[GROUP_KEYS];
} group_t;

static void prefetch_inner(const void *page)
{
    kvi_prefetch(page);
    kvi_prefetch((const char *)page + LINE_BYTES);
    kvi_prefetch((const char *)page + 2 * LINE_BYTES);
    kvi_prefetch((const char *)page + 3 * LINE_BYTES);
    kvi_prefetch((const char *)page + 4 * LINE_BYTES);
}

/* To the leaves, whose first lines are on their way then. The tree is not empty. */
static void descend_group(const kvi_bptree_t *tree, size_t count, const kv_slice_t *keys,
                          group_t *group)
{
    for (size_t i = 0; i < count; i++) {
        group->page[i] = kvi_pool_deref(tree->pool, tree->root);
        group->tag[i] = kvi_bptree_tag(tree, keys[i]);
    }
    for (uint32_t level = tree->height; level-- > 0;) {
        for (size_t i = 0; i < count; i++) {
            const kvi_inner_t *const node = group->page[i];
            group->page[i] = kvi_bptree_child(tree, node, kvi_inner_seek(tree, node, keys[i]));
            if (level > 0) {
                prefetch_inner(group->page[i]);
            } else {
                kvi_prefetch(group->page[i]);
                kvi_prefetch((const char *)group->page[i] + LINE_BYTES);
            }
        }
    }
}

/* First the slots of the entries that the tags point to, then their records. */
static void prefetch_records(size_t count, const group_t *group)
{
    uint32_t candidates[GROUP_KEYS];
    for (size_t i = 0; i < count; i++) {
        const kvi_leaf_t *const leaf = group->page[i];
        candidates[i] = kvi_leaf_candidate(leaf, group->tag[i]);
        kvi_prefetch(&kvi_leaf_slots(leaf)[candidates[i]]);
    }
    for (size_t i = 0; i < count; i++) {
        const kvi_leaf_t *const leaf = group->page[i];
        if (candidates[i] < leaf->count) {
            const uint64_t slot = kvi_leaf_slots(leaf)[candidates[i]];
            const char *const record = kvi_leaf_record(leaf, slot);
            kvi_prefetch(record);
            kvi_prefetch(record + kvi_slot_record(slot) - 1);
        }
    }
}

static size_t get_group(const kvi_bptree_t *tree, size_t count, const kv_slice_t *keys,
                        kv_slice_t *values)
{
    group_t group;
    size_t found = 0;
    descend_group(tree, count, keys, &group);
    prefetch_records(count, &group);
    for (size_t i = 0; i < count; i++) {
        values[i] = (kv_slice_t){NULL, 0};
        found += take_value(group.page[i], keys[i], group.tag[i], &values[i]);
    }
    return found;
}

static size_t bptree_get_many(kv_engine_t *engine, size_t count, const kv_slice_t *keys,
                              kv_slice_t *values)
{
    const kvi_bptree_t *const tree = (const kvi_bptree_t *)engine;
    size_t found = 0;
    for (size_t i = 0; i < count; i += GROUP_KEYS) {
        const size_t group = count - i < GROUP_KEYS ? count - i : GROUP_KEYS;
        if (tree->root != 0) {
            found += get_group(tree, group, keys + i, values + i);
        }
        for (size_t k = i; tree->root == 0 && k < i + group; k++) {
            values[k] = (kv_slice_t){NULL, 0};
        }
    }
    return found;
}

static void bptree_prefetch(kv_engine_t *engine, size_t count, const kv_slice_t *keys)
{
    const kvi_bptree_t *const tree = (const kvi_bptree_t *)engine;
    group_t group;
    for (size_t i = 0; tree->root != 0 && i < count; i += GROUP_KEYS) {
        const size_t size = count - i < GROUP_KEYS ? count - i : GROUP_KEYS;
        descend_group(tree, size, keys + i, &group);
        prefetch_records(size, &group);
    }
}

/* ---- figures ---- */

static uint64_t bptree_count(const kv_engine_t *engine)
{
    return ((const kvi_bptree_t *)engine)->count;
}

static kv_status_t bptree_memory(const kv_engine_t *engine, kv_engine_memory_t *memory)
{
    const kvi_bptree_t *const tree = (const kvi_bptree_t *)engine;
    return kvi_pooled_memory(tree->pool, tree->key_bytes, tree->value_bytes,
                             tree->used_bytes - tree->key_bytes - tree->value_bytes, memory);
}

/* ---- open and close ---- */

static kv_status_t bptree_open(const kv_engine_options_t *options, kv_engine_t **engine)
{
    kv_pool_t *pool;
    kvi_bptree_t *const tree = kvi_pooled_open(&kvi_bptree_engine, options, sizeof *tree, &pool);
    if (tree == NULL) {
        return KV_NO_MEMORY;
    }
    tree->engine.ops = &kvi_bptree_engine;
    tree->pool = pool;
    tree->seed = options != NULL ? options->hash_seed : 0;
    tree->used_bytes = sizeof *tree;
    tree->edge_changes = EDGE_UNKNOWN;
    tree->leaf_max = LEAF_ENTRIES_MAX;
    tree->inner_max = INNER_CHILDREN_MAX;
    *engine = &tree->engine;
    return KV_OK;
}

static void bptree_close(kv_engine_t *engine)
{
    if (engine != NULL) {
        kv_pool_destroy(((kvi_bptree_t *)engine)->pool);
    }
}

const kv_engine_ops_t kvi_bptree_engine = {
    .name = "bptree",
    .ordered = true,
    .ranges = &kvi_bptree_ordered,
    .open = bptree_open,
    .close = bptree_close,
    .get = kvi_bptree_get,
    .get_many = bptree_get_many,
    .prefetch = bptree_prefetch,
    .put = kvi_bptree_put,
    .place = kvi_bptree_place,
    .del = kvi_bptree_del,
    .count = bptree_count,
    .memory = bptree_memory,
    .estimate = kvi_bptree_estimate,
    .sample = kvi_bptree_sample,
    .scan = kvi_bptree_scan,
    .relocate = kvi_bptree_relocate,
    .check = kvi_bptree_check,
    .cursor_open = kvi_bptree_cursor_open,
    .cursor_close = kvi_bptree_cursor_close,
    .cursor_valid = kvi_bptree_cursor_valid,
    .cursor_first = kvi_bptree_cursor_first,
    .cursor_last = kvi_bptree_cursor_last,
    .cursor_seek = kvi_bptree_cursor_seek,
    .cursor_next = kvi_bptree_cursor_next,
    .cursor_prev = kvi_bptree_cursor_prev,
    .cursor_key = kvi_bptree_cursor_key,
    .cursor_value = kvi_bptree_cursor_value,
};
