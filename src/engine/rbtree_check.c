/* SPDX-License-Identifier: MIT */
/* Verifies every invariant of the red-black tree engine, as they are numbered in rbtree_int.h, and
 * its figures. For tests. */
#include "engine/rbtree_int.h"

/* What a walk over everything finds, to compare with what the engine keeps. */
typedef struct audit {
    const kvi_rbtree_t *tree;
    uint64_t count;
    size_t key_bytes;
    size_t value_bytes;
    size_t index_bytes;
    size_t objects;
    bool relocate_found;
    bool sound;
} audit_t;

/* A node on the way down, and how much of it was seen: 0 nothing, 1 what is smaller, 2 all. */
typedef struct level {
    kvi_rb_node_t *node;
    uint32_t ref;
    uint32_t seen;
    uint32_t black_above;
} level_t;

static void expect(audit_t *audit, bool condition)
{
    audit->sound = audit->sound && condition;
}

static void audit_object(audit_t *audit, const void *object, size_t bytes)
{
    expect(audit, kv_pool_owns(audit->tree->pool, object) &&
                      kv_pool_usable_size(audit->tree->pool, object) >= bytes);
    audit->objects++;
}

static void audit_node(audit_t *audit, kvi_rb_node_t *node, uint32_t ref)
{
    const kv_slice_t key = kvi_rb_key(node);
    const size_t value_bytes = kvi_rb_value_size(node);
    const bool apart = (node->meta & META_APART) != 0;
    audit_object(audit, node, kvi_rb_node_bytes(key.size, value_bytes));
    expect(audit, kvi_pool_ref(audit->tree->pool, node) == ref);
    expect(audit, kvi_rb_head(node) == kvi_head64(key.data, key.size));
    expect(audit, ((node->meta & META_LONG_KEY) != 0) == (key.size > KEY_SHORT_MAX));
    expect(audit, apart == kvi_rb_is_apart(value_bytes));
    if (apart) {
        audit_object(audit, kvi_rb_value_bytes(node), value_bytes);
    }
    audit->relocate_found = audit->relocate_found || ref == audit->tree->relocate_at;
    audit->count++;
    audit->key_bytes += key.size;
    audit->value_bytes += value_bytes;
    audit->index_bytes += kvi_rb_index_bytes(key.size, value_bytes);
}

/* In order, after its smaller child: its place behind the node before it. */
static void audit_order(audit_t *audit, const kvi_rb_node_t *node, const kvi_rb_node_t **before)
{
    if (*before != NULL) {
        expect(audit, kvi_slice_compare(kvi_rb_key(*before), kvi_rb_key(node)) < 0);
    }
    *before = node;
}

/* Goes to a child, or finds that there is none at the right black height. Returns the new depth. */
static uint32_t enter(audit_t *audit, level_t *levels, uint32_t depth, uint32_t dir)
{
    const level_t *const parent = &levels[depth - 1];
    const uint32_t ref = parent->node->link[dir];
    const uint32_t black = parent->black_above + !kvi_rb_is_red(parent->node);
    if (ref == 0) {
        expect(audit, black == audit->tree->black_height);
        return depth;
    }
    kvi_rb_node_t *const node = kvi_rb_node(audit->tree, ref);
    expect(audit, !kvi_rb_is_red(parent->node) || !kvi_rb_is_red(node));
    expect(audit, depth < PATH_MAX_NODES);
    if (!audit->sound) {
        return depth;
    }
    audit_node(audit, node, ref);
    levels[depth] = (level_t){node, ref, 0, black};
    return depth + 1;
}

static void audit_tree(audit_t *audit)
{
    level_t levels[PATH_MAX_NODES];
    const kvi_rb_node_t *before = NULL;
    const uint32_t root = audit->tree->top.link[0];
    uint32_t depth = 1;
    expect(audit, (root == 0) == (audit->tree->black_height == 0));
    expect(audit, audit->tree->top.link[1] == 0);
    if (root == 0) {
        return;
    }
    levels[0] = (level_t){kvi_rb_node(audit->tree, root), root, 0, 0};
    expect(audit, !kvi_rb_is_red(levels[0].node));
    audit_node(audit, levels[0].node, root);
    while (depth > 0 && audit->sound) {
        level_t *const level = &levels[depth - 1];
        const uint32_t seen = level->seen++;
        if (seen == 0) {
            depth = enter(audit, levels, depth, 0);
        } else if (seen == 1) {
            audit_order(audit, level->node, &before);
            depth = enter(audit, levels, depth, 1);
        } else {
            depth--;
        }
    }
}

kv_status_t kvi_rb_check(const kv_engine_t *engine)
{
    const kvi_rbtree_t *const tree = (const kvi_rbtree_t *)engine;
    audit_t audit = {.tree = tree, .index_bytes = sizeof *tree, .sound = true};
    kv_pool_stats_t stats;
    audit_tree(&audit);
    expect(&audit, tree->relocate_at == 0 || audit.relocate_found);
    expect(&audit, audit.count == tree->count);
    expect(&audit, audit.key_bytes == tree->key_bytes);
    expect(&audit, audit.value_bytes == tree->value_bytes);
    expect(&audit, audit.index_bytes == tree->index_bytes);
    expect(&audit, kv_pool_check(tree->pool) == KV_OK);
    /* Nothing in the pool is ours that was not found, beside the struct itself: nothing leaks. */
    expect(&audit, kv_pool_stats(tree->pool, &stats) == KV_OK &&
                       stats.live_objects == audit.objects + tree->cursor_objects + 1);
    return audit.sound ? KV_OK : KV_CORRUPT;
}
