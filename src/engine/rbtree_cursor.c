/* SPDX-License-Identifier: MIT */
/*
 * Cursors of the red-black tree engine. A cursor keeps a copy of its key, so that it goes on from
 * there whatever is written meanwhile; and a walk (rbtree_int.h), which holds as long as the engine
 * has not changed, so that the next node is at hand. One user at a time, as the engine.
 */
#include "engine/rbtree_int.h"

#define OWN_KEY_BYTES 64u

typedef struct rbtree_cursor {
    kv_cursor_t cursor;
    kvi_rbtree_t *tree;
    bool valid;
    uint64_t changes;    /* tree->changes when the walk began */
    kvi_rb_node_t *node; /* where the walk stands */
    char *key;           /* own_key, or an object for longer ones */
    size_t key_bytes;
    size_t key_capacity; /* of that object; 0: there is none */
    char own_key[OWN_KEY_BYTES];
    kvi_rb_walk_t walk;
} rbtree_cursor_t;

kv_status_t kvi_rb_cursor_open(kv_engine_t *engine, kv_cursor_t **cursor)
{
    kvi_rbtree_t *const tree = (kvi_rbtree_t *)engine;
    rbtree_cursor_t *const made = kv_pool_alloc(tree->pool, sizeof *made);
    if (made == NULL) {
        return KV_NO_MEMORY;
    }
    memset(made, 0, sizeof *made);
    made->cursor.ops = engine->ops;
    made->tree = tree;
    made->key = made->own_key;
    tree->cursor_objects++;
    *cursor = &made->cursor;
    return KV_OK;
}

static void free_long_key(rbtree_cursor_t *cursor)
{
    if (cursor->key_capacity > 0) {
        cursor->tree->cursor_objects--;
        kv_pool_free(cursor->tree->pool, cursor->key);
        cursor->key_capacity = 0;
    }
    cursor->key = cursor->own_key;
}

void kvi_rb_cursor_close(kv_cursor_t *cursor)
{
    rbtree_cursor_t *const closing = (rbtree_cursor_t *)cursor;
    if (closing != NULL) {
        free_long_key(closing);
        closing->tree->cursor_objects--;
        kv_pool_free(closing->tree->pool, closing);
    }
}

bool kvi_rb_cursor_valid(const kv_cursor_t *cursor)
{
    return ((const rbtree_cursor_t *)cursor)->valid;
}

/* ---- standing ---- */

static kv_status_t keep_long_key(rbtree_cursor_t *cursor, kv_slice_t key)
{
    if (key.size > cursor->key_capacity) {
        char *const object = kv_pool_alloc(cursor->tree->pool, key.size);
        if (object == NULL) {
            return KV_NO_MEMORY;
        }
        free_long_key(cursor);
        cursor->tree->cursor_objects++;
        cursor->key = object;
        cursor->key_capacity = key.size;
    }
    memcpy(cursor->key, key.data, key.size);
    return KV_OK;
}

/* Stands at the node that the walk came to; NULL: at none. */
static kv_status_t stand(rbtree_cursor_t *cursor, kvi_rb_node_t *node)
{
    if (node == NULL) {
        cursor->valid = false;
        return KV_NOT_FOUND;
    }
    const kv_slice_t key = kvi_rb_key(node);
    if (key.size > OWN_KEY_BYTES) {
        if (keep_long_key(cursor, key) != KV_OK) {
            cursor->changes = cursor->tree->changes - 1; /* the walk is ahead of the key */
            return KV_NO_MEMORY;
        }
    } else {
        free_long_key(cursor);
        kvi_bytes_copy(cursor->own_key, key.data, key.size);
    }
    cursor->key_bytes = key.size;
    cursor->node = node;
    cursor->changes = cursor->tree->changes;
    cursor->valid = true;
    return KV_OK;
}

/* ---- moving ---- */

kv_status_t kvi_rb_cursor_first(kv_cursor_t *cursor)
{
    rbtree_cursor_t *const moving = (rbtree_cursor_t *)cursor;
    return stand(moving, kvi_rb_walk_first(&moving->walk, moving->tree, 0));
}

kv_status_t kvi_rb_cursor_last(kv_cursor_t *cursor)
{
    rbtree_cursor_t *const moving = (rbtree_cursor_t *)cursor;
    return stand(moving, kvi_rb_walk_first(&moving->walk, moving->tree, 1));
}

kv_status_t kvi_rb_cursor_seek(kv_cursor_t *cursor, kv_slice_t key)
{
    rbtree_cursor_t *const moving = (rbtree_cursor_t *)cursor;
    return stand(moving, kvi_rb_walk_seek(&moving->walk, moving->tree, key, 0));
}

/* One node on in this direction. Where the walk does not hold, or went the other way, another one
 * begins at the key, or where the key would be. */
static kv_status_t step(rbtree_cursor_t *cursor, uint32_t near)
{
    if (!cursor->valid) {
        return KV_NOT_FOUND;
    }
    if (cursor->changes == cursor->tree->changes && cursor->walk.near == near) {
        return stand(cursor, kvi_rb_walk_next(&cursor->walk));
    }
    const kv_slice_t own = {cursor->key, cursor->key_bytes};
    kvi_rb_node_t *node = kvi_rb_walk_seek(&cursor->walk, cursor->tree, own, near);
    if (node != NULL && kvi_slice_equal(kvi_rb_key(node), own)) {
        node = kvi_rb_walk_next(&cursor->walk);
    }
    return stand(cursor, node);
}

kv_status_t kvi_rb_cursor_next(kv_cursor_t *cursor)
{
    return step((rbtree_cursor_t *)cursor, 0);
}

kv_status_t kvi_rb_cursor_prev(kv_cursor_t *cursor)
{
    return step((rbtree_cursor_t *)cursor, 1);
}

kv_slice_t kvi_rb_cursor_key(const kv_cursor_t *cursor)
{
    const rbtree_cursor_t *const standing = (const rbtree_cursor_t *)cursor;
    return standing->valid ? (kv_slice_t){standing->key, standing->key_bytes}
                           : (kv_slice_t){NULL, 0};
}

/* The value under the cursor's key now: data NULL if the key is gone. */
kv_slice_t kvi_rb_cursor_value(const kv_cursor_t *cursor)
{
    const rbtree_cursor_t *const standing = (const rbtree_cursor_t *)cursor;
    if (!standing->valid) {
        return (kv_slice_t){NULL, 0};
    }
    if (standing->changes == standing->tree->changes) {
        return kvi_rb_value(standing->node);
    }
    const kv_slice_t own = {standing->key, standing->key_bytes};
    kvi_rb_node_t *const node = kvi_rb_find(standing->tree, own);
    return node != NULL ? kvi_rb_value(node) : (kv_slice_t){NULL, 0};
}
