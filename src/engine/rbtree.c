/* SPDX-License-Identifier: MIT */
/*
 * The red-black tree engine: open, close, lookups alone and in groups, figures. Shapes and
 * invariants: rbtree_int.h; writes in rbtree_write.c, balance in rbtree_balance.c, walks in
 * rbtree_walk.c and rbtree_cursor.c. One user at a time.
 */
#include "engine/rbtree_int.h"

#include "engine/engine.h"
#include "engine/pooled.h"

#define GROUP_KEYS 16u

/* ---- lookups ---- */

kvi_rb_node_t *kvi_rb_find(const kvi_rbtree_t *tree, kv_slice_t key)
{
    const uint64_t head = kvi_head64(key.data, key.size);
    uint32_t ref = tree->top.link[0];
    while (ref != 0) {
        kvi_rb_node_t *const node = kvi_rb_node(tree, ref);
        const int order = kvi_rb_compare(key, head, node);
        if (order == 0) {
            return node;
        }
        ref = node->link[order > 0];
    }
    return NULL;
}

static kv_status_t rbtree_get(kv_engine_t *engine, kv_slice_t key, kv_slice_t *value)
{
    kvi_rb_node_t *const node = kvi_rb_find((const kvi_rbtree_t *)engine, key);
    if (node == NULL) {
        return KV_NOT_FOUND;
    }
    *value = kvi_rb_value(node);
    return KV_OK;
}

/* ---- groups: all keys go down one level at a time, and wait for their nodes together ---- */

typedef struct group {
    uint32_t open; /* keys that are still on their way */
    uint8_t key[GROUP_KEYS];
    uint64_t head[GROUP_KEYS];
    kvi_rb_node_t *node[GROUP_KEYS]; /* where each key is; in the end the one found, or NULL */
} group_t;

/* Lets one key take a step. False: it is at its end. */
static bool step_down(const kvi_rbtree_t *tree, kv_slice_t key, uint64_t head, kvi_rb_node_t **at)
{
    kvi_rb_node_t *const node = *at;
    const int order = kvi_rb_compare(key, head, node);
    if (order == 0) {
        kvi_prefetch(kvi_rb_value_place(node));
        return false;
    }
    const uint32_t ref = node->link[order > 0];
    if (ref == 0) {
        *at = NULL;
        return false;
    }
    *at = kvi_rb_node(tree, ref);
    kvi_rb_prefetch(*at);
    return true;
}

/* The tree is not empty. */
static void descend_group(const kvi_rbtree_t *tree, size_t count, const kv_slice_t *keys,
                          group_t *group)
{
    kvi_rb_node_t *const root = kvi_rb_node(tree, tree->top.link[0]);
    group->open = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++) {
        group->key[i] = (uint8_t)i;
        group->head[i] = kvi_head64(keys[i].data, keys[i].size);
        group->node[i] = root;
    }
    while (group->open > 0) {
        uint32_t open = 0;
        for (uint32_t i = 0; i < group->open; i++) {
            const uint8_t key = group->key[i];
            if (step_down(tree, keys[key], group->head[key], &group->node[key])) {
                group->key[open++] = key;
            }
        }
        group->open = open;
    }
}

static size_t rbtree_get_many(kv_engine_t *engine, size_t count, const kv_slice_t *keys,
                              kv_slice_t *values)
{
    const kvi_rbtree_t *const tree = (const kvi_rbtree_t *)engine;
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        values[i] = (kv_slice_t){NULL, 0};
    }
    for (size_t i = 0; tree->count > 0 && i < count; i += GROUP_KEYS) {
        const size_t size = count - i < GROUP_KEYS ? count - i : GROUP_KEYS;
        group_t group;
        descend_group(tree, size, keys + i, &group);
        for (size_t k = 0; k < size; k++) {
            if (group.node[k] != NULL) {
                values[i + k] = kvi_rb_value(group.node[k]);
                found++;
            }
        }
    }
    return found;
}

static void rbtree_prefetch(kv_engine_t *engine, size_t count, const kv_slice_t *keys)
{
    const kvi_rbtree_t *const tree = (const kvi_rbtree_t *)engine;
    for (size_t i = 0; tree->count > 0 && i < count; i += GROUP_KEYS) {
        const size_t size = count - i < GROUP_KEYS ? count - i : GROUP_KEYS;
        group_t group;
        descend_group(tree, size, keys + i, &group);
    }
}

/* ---- figures ---- */

static uint64_t rbtree_count(const kv_engine_t *engine)
{
    return ((const kvi_rbtree_t *)engine)->count;
}

static kv_status_t rbtree_memory(const kv_engine_t *engine, kv_engine_memory_t *memory)
{
    const kvi_rbtree_t *const tree = (const kvi_rbtree_t *)engine;
    return kvi_pooled_memory(tree->pool, tree->key_bytes, tree->value_bytes, tree->index_bytes,
                             memory);
}

/* ---- open and close ---- */

static kv_status_t rbtree_open(const kv_engine_options_t *options, kv_engine_t **engine)
{
    kv_pool_t *pool;
    kvi_rbtree_t *const tree = kvi_pooled_open(&kvi_rbtree_engine, options, sizeof *tree, &pool);
    if (tree == NULL) {
        return KV_NO_MEMORY;
    }
    tree->engine.ops = &kvi_rbtree_engine;
    tree->pool = pool;
    tree->seed = options != NULL ? options->hash_seed : 0;
    tree->index_bytes = sizeof *tree;
    *engine = &tree->engine;
    return KV_OK;
}

static void rbtree_close(kv_engine_t *engine)
{
    if (engine != NULL) {
        kv_pool_destroy(((kvi_rbtree_t *)engine)->pool);
    }
}

const kv_engine_ops_t kvi_rbtree_engine = {
    .name = "rbtree",
    .ordered = true,
    .open = rbtree_open,
    .close = rbtree_close,
    .get = rbtree_get,
    .get_many = rbtree_get_many,
    .prefetch = rbtree_prefetch,
    .put = kvi_rb_put,
    .place = kvi_rb_place,
    .del = kvi_rb_del,
    .count = rbtree_count,
    .memory = rbtree_memory,
    .estimate = kvi_rb_estimate,
    .sample = kvi_rb_sample,
    .scan = kvi_rb_scan,
    .relocate = kvi_rb_relocate,
    .check = kvi_rb_check,
    .cursor_open = kvi_rb_cursor_open,
    .cursor_close = kvi_rb_cursor_close,
    .cursor_valid = kvi_rb_cursor_valid,
    .cursor_first = kvi_rb_cursor_first,
    .cursor_last = kvi_rb_cursor_last,
    .cursor_seek = kvi_rb_cursor_seek,
    .cursor_next = kvi_rb_cursor_next,
    .cursor_prev = kvi_rb_cursor_prev,
    .cursor_key = kvi_rb_cursor_key,
    .cursor_value = kvi_rb_cursor_value,
};
