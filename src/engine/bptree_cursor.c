/* SPDX-License-Identifier: MIT */
/*
 * Cursors of the B+tree engine. A cursor keeps a copy of its key, so that it goes on from there
 * whatever is written meanwhile; and the way to its entry, which holds as long as the engine has
 * not changed, so that the next entry is one slot further. One user at a time, as the engine.
 */
#include "engine/bptree_int.h"

void kvi_bptree_cursor_init(kvi_bptree_cursor_t *cursor, kvi_bptree_t *tree)
{
    memset(cursor, 0, sizeof *cursor);
    cursor->cursor.ops = tree->engine.ops;
    cursor->tree = tree;
    cursor->key = cursor->own_key;
    cursor->outside = true;
}

kv_status_t kvi_bptree_cursor_open(kv_engine_t *engine, kv_cursor_t **cursor)
{
    kvi_bptree_t *const tree = (kvi_bptree_t *)engine;
    kvi_bptree_cursor_t *const made = kvi_bptree_alloc_guest(tree, sizeof *made);
    if (made == NULL) {
        return KV_NO_MEMORY;
    }
    kvi_bptree_cursor_init(made, tree);
    made->outside = false;
    *cursor = &made->cursor;
    return KV_OK;
}

static void free_long_key(kvi_bptree_cursor_t *cursor)
{
    if (cursor->key_capacity > 0 && cursor->outside) {
        kv_store_free(cursor->key);
    } else if (cursor->key_capacity > 0) {
        kvi_bptree_free_guest(cursor->tree, cursor->key, cursor->key_capacity);
    }
    cursor->key_capacity = 0;
}

void kvi_bptree_cursor_release(kvi_bptree_cursor_t *cursor)
{
    free_long_key(cursor);
}

void kvi_bptree_cursor_close(kv_cursor_t *cursor)
{
    kvi_bptree_cursor_t *const closing = (kvi_bptree_cursor_t *)cursor;
    if (closing != NULL) {
        free_long_key(closing);
        kvi_bptree_free_guest(closing->tree, closing, sizeof *closing);
    }
}

bool kvi_bptree_cursor_valid(const kv_cursor_t *cursor)
{
    return ((const kvi_bptree_cursor_t *)cursor)->valid;
}

/* ---- standing ---- */

static kv_status_t keep_long_key(kvi_bptree_cursor_t *cursor, kv_slice_t key)
{
    if (key.size > cursor->key_capacity) {
        char *const object = cursor->outside ? kv_store_malloc(key.size)
                                             : kvi_bptree_alloc_guest(cursor->tree, key.size);
        if (object == NULL) {
            return KV_NO_MEMORY;
        }
        free_long_key(cursor);
        cursor->key = object;
        cursor->key_capacity = key.size;
    }
    memcpy(cursor->key, key.data, key.size);
    cursor->key_bytes = key.size;
    return KV_OK;
}

/* Stands at the path's entry. */
static kv_status_t stand(kvi_bptree_cursor_t *cursor)
{
    const kvi_path_t *const path = &cursor->path;
    const kv_slice_t key = kvi_leaf_key(path->leaf, path->slot, cursor->own_key);
    if (key.data != cursor->own_key) {
        if (keep_long_key(cursor, key) != KV_OK) {
            cursor->changes = cursor->tree->changes - 1; /* the path is not to its key */
            return KV_NO_MEMORY;
        }
    } else {
        free_long_key(cursor);
        cursor->key = cursor->own_key;
        cursor->key_bytes = key.size;
    }
    cursor->value = kvi_leaf_value(path->leaf, kvi_leaf_slots(path->leaf)[path->slot]);
    cursor->changes = cursor->tree->changes;
    cursor->valid = true;
    return KV_OK;
}

static kv_status_t fall_off(kvi_bptree_cursor_t *cursor)
{
    cursor->valid = false;
    return KV_NOT_FOUND;
}

/* Stands at the path's place or, if that is the end of a leaf, at the beginning of the next one. */
static kv_status_t stand_from(kvi_bptree_cursor_t *cursor)
{
    kvi_path_t *const path = &cursor->path;
    if (path->slot == path->leaf->count) {
        if (!kvi_path_next_leaf(cursor->tree, path)) {
            return fall_off(cursor);
        }
    }
    return stand(cursor);
}

/* Stands at the entry before the path's place. */
static kv_status_t stand_before(kvi_bptree_cursor_t *cursor)
{
    kvi_path_t *const path = &cursor->path;
    if (path->slot > 0) {
        path->slot--;
    } else if (!kvi_path_previous_leaf(cursor->tree, path)) {
        return fall_off(cursor);
    }
    return stand(cursor);
}

/* ---- moving ---- */

static kv_status_t stand_at_rank(kvi_bptree_cursor_t *cursor, uint64_t rank)
{
    if (cursor->tree->count == 0) {
        return fall_off(cursor);
    }
    kvi_bptree_descend_rank(cursor->tree, rank, &cursor->path);
    return stand(cursor);
}

kv_status_t kvi_bptree_cursor_first(kv_cursor_t *cursor)
{
    return stand_at_rank((kvi_bptree_cursor_t *)cursor, 0);
}

kv_status_t kvi_bptree_cursor_last(kv_cursor_t *cursor)
{
    kvi_bptree_cursor_t *const moving = (kvi_bptree_cursor_t *)cursor;
    return stand_at_rank(moving, moving->tree->count - 1);
}

kv_status_t kvi_bptree_cursor_seek(kv_cursor_t *cursor, kv_slice_t key)
{
    kvi_bptree_cursor_t *const moving = (kvi_bptree_cursor_t *)cursor;
    kvi_bptree_descend(moving->tree, key, &moving->path);
    return moving->path.leaf != NULL ? stand_from(moving) : fall_off(moving);
}

/* Finds the cursor's own place again after the tree has changed. The path is then to its key, or to
 * the first one behind it. False if the tree is empty. */
static bool find_again(kvi_bptree_cursor_t *cursor)
{
    if (cursor->changes == cursor->tree->changes) {
        cursor->path.found = true;
        return true;
    }
    const kv_slice_t key = {cursor->key, cursor->key_bytes};
    kvi_bptree_descend(cursor->tree, key, &cursor->path);
    return cursor->path.leaf != NULL;
}

/* With every step in a leaf a line of the next one is fetched: its header and slots with the first.
 */
static void look_ahead(kvi_bptree_cursor_t *cursor)
{
    const kvi_path_t *const path = &cursor->path;
    if (cursor->ahead_of == path->leaf) {
        if (cursor->ahead != NULL) {
            kvi_prefetch(cursor->ahead);
            cursor->ahead += LINE_BYTES;
        }
        return;
    }
    cursor->ahead_of = path->leaf;
    cursor->ahead = NULL;
    if (cursor->tree->height > 0 && path->at[0].index + 1u < path->at[0].node->count) {
        const char *const next =
            kvi_bptree_child(cursor->tree, path->at[0].node, path->at[0].index + 1);
        kvi_leaf_prefetch(next);
        cursor->ahead = next + (size_t)LEAF_SEARCH_LINES * LINE_BYTES;
    }
}

/* The next entry of the same leaf, if the last key was one of it and both are inline: then the
 * prefix is in own_key already. */
static bool step_in_leaf(kvi_bptree_cursor_t *cursor)
{
    const kvi_leaf_t *const leaf = cursor->path.leaf;
    const uint32_t next = cursor->path.slot + 1;
    if (cursor->changes != cursor->tree->changes || cursor->key != cursor->own_key ||
        next >= leaf->count) {
        return false;
    }
    const uint64_t slot = kvi_leaf_slots(leaf)[next];
    if ((slot & SLOT_KEY_APART) != 0) {
        return false;
    }
    look_ahead(cursor);
    cursor->path.slot = next;
    cursor->key_bytes = kvi_leaf_finish_key(leaf, slot, cursor->own_key).size;
    cursor->value = kvi_leaf_value(leaf, slot);
    return true;
}

kv_status_t kvi_bptree_cursor_next(kv_cursor_t *cursor)
{
    kvi_bptree_cursor_t *const moving = (kvi_bptree_cursor_t *)cursor;
    if (moving->valid && step_in_leaf(moving)) {
        return KV_OK;
    }
    if (!moving->valid) {
        return KV_NOT_FOUND;
    }
    if (!find_again(moving)) {
        return fall_off(moving);
    }
    moving->path.slot += moving->path.found;
    return stand_from(moving);
}

kv_status_t kvi_bptree_cursor_prev(kv_cursor_t *cursor)
{
    kvi_bptree_cursor_t *const moving = (kvi_bptree_cursor_t *)cursor;
    if (!moving->valid) {
        return KV_NOT_FOUND;
    }
    return find_again(moving) ? stand_before(moving) : fall_off(moving);
}

kv_slice_t kvi_bptree_cursor_key(const kv_cursor_t *cursor)
{
    const kvi_bptree_cursor_t *const standing = (const kvi_bptree_cursor_t *)cursor;
    return standing->valid ? (kv_slice_t){standing->key, standing->key_bytes}
                           : (kv_slice_t){NULL, 0};
}

/* The value under the cursor's key now: data NULL if the key is gone. */
kv_slice_t kvi_bptree_cursor_value(const kv_cursor_t *cursor)
{
    const kvi_bptree_cursor_t *const standing = (const kvi_bptree_cursor_t *)cursor;
    kv_slice_t value = {NULL, 0};
    if (standing->valid && standing->changes == standing->tree->changes) {
        return standing->value;
    }
    if (standing->valid) {
        const kv_slice_t key = {standing->key, standing->key_bytes};
        (void)kvi_bptree_get(&standing->tree->engine, key, &value);
    }
    return value;
}
