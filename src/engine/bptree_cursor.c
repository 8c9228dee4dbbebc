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
    cursor->armed = 0;
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
    cursor->armed = 0;
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

/* ---- short steps ---- */

/* The records of the entries that come in a leaf which nobody has fetched. */
static void fetch_records(const kvi_bptree_cursor_t *cursor)
{
    for (uint32_t i = cursor->path.slot + 1; i < cursor->armed; i++) {
        kvi_prefetch(cursor->end - kvi_slot_offset(cursor->slots[i]));
    }
}

/* With every step a line of the leaf behind the cursor's is fetched. How large that is stands in
 * its header, which is still to come; neighbours are about alike. */
static void look_ahead(kvi_bptree_cursor_t *cursor)
{
    const kvi_path_t *const path = &cursor->path;
    cursor->ahead_of = path->leaf;
    cursor->next_leaf = NULL;
    cursor->ahead = cursor->ahead_end = NULL;
    if (cursor->tree->height > 0 && path->at[0].index + 1u < path->at[0].node->count) {
        const char *const next =
            kvi_bptree_child(cursor->tree, path->at[0].node, path->at[0].index + 1);
        cursor->next_leaf = next;
        cursor->ahead = next;
        cursor->ahead_end = next + path->leaf->size;
    }
}

/* Makes the next steps short ones, where the cursor stands at an inline key: then the leaf's prefix
 * is in own_key. */
static void arm(kvi_bptree_cursor_t *cursor)
{
    const kvi_leaf_t *const leaf = cursor->path.leaf;
    if (cursor->key != cursor->own_key) {
        return;
    }
    cursor->armed = leaf->count;
    cursor->suffix = cursor->own_key + leaf->prefix_bytes;
    cursor->slots = kvi_leaf_slots(leaf);
    cursor->end = (const char *)leaf + leaf->size;
    if (cursor->ahead_of != leaf) {
        if (cursor->next_leaf != leaf) {
            fetch_records(cursor);
        }
        look_ahead(cursor);
    }
}

/* Whether the next entry is one of the leaf that the cursor is armed for, and nothing has moved. */
static bool is_armed(const kvi_bptree_cursor_t *cursor)
{
    return cursor->path.slot + 1 < cursor->armed && cursor->changes == cursor->tree->changes;
}

/* Ends a step to the next entry of the leaf, the rest of whose key was copied. */
static void end_step(kvi_bptree_cursor_t *cursor, uint64_t slot, kv_slice_t value)
{
    if (cursor->ahead < cursor->ahead_end) {
        kvi_prefetch(cursor->ahead);
        cursor->ahead += LINE_BYTES;
    }
    kvi_store_big32(cursor->suffix, kvi_slot_head(slot));
    cursor->path.slot++;
    cursor->key_bytes = (size_t)(cursor->suffix - cursor->own_key) + kvi_slot_suffix(slot);
    cursor->value = value;
}

/* The ordinary step: nothing is apart, and copying more of the record than the key's rest does not
 * leave the page. */
static bool step_short(kvi_bptree_cursor_t *cursor)
{
    if (!is_armed(cursor)) {
        return false;
    }
    const uint64_t slot = cursor->slots[cursor->path.slot + 1];
    const uint32_t rest = kvi_slot_rest(slot);
    const char *const record = cursor->end - kvi_slot_offset(slot);
    if ((slot & (SLOT_KEY_APART | SLOT_VALUE_APART)) != 0 || rest > REST_AT_ONCE ||
        kvi_slot_offset(slot) < REST_AT_ONCE) {
        return false;
    }
    memcpy(cursor->suffix + HEAD_BYTES, record, REST_AT_ONCE);
    end_step(cursor, slot, (kv_slice_t){record + rest, kvi_slot_value(slot)});
    return true;
}

/* The same for every entry whose key is inline. */
static bool step_inline(kvi_bptree_cursor_t *cursor)
{
    if (!is_armed(cursor)) {
        return false;
    }
    const uint64_t slot = cursor->slots[cursor->path.slot + 1];
    if ((slot & SLOT_KEY_APART) != 0) {
        return false;
    }
    kvi_bytes_copy(cursor->suffix + HEAD_BYTES, cursor->end - kvi_slot_offset(slot),
                   kvi_slot_rest(slot));
    end_step(cursor, slot, kvi_leaf_value(cursor->path.leaf, slot));
    return true;
}

/* Every other step. */
static __attribute__((noinline)) kv_status_t step_far(kvi_bptree_cursor_t *cursor)
{
    if (!cursor->valid) {
        return KV_NOT_FOUND;
    }
    if (step_inline(cursor)) {
        return KV_OK;
    }
    if (!find_again(cursor)) {
        return fall_off(cursor);
    }
    cursor->path.slot += cursor->path.found;
    const kv_status_t status = stand_from(cursor);
    if (status == KV_OK) {
        arm(cursor);
    }
    return status;
}

kv_status_t kvi_bptree_cursor_next(kv_cursor_t *cursor)
{
    kvi_bptree_cursor_t *const moving = (kvi_bptree_cursor_t *)cursor;
    return step_short(moving) ? KV_OK : step_far(moving);
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

static __attribute__((noinline)) kv_slice_t value_now(const kvi_bptree_cursor_t *cursor)
{
    kv_slice_t value = {NULL, 0};
    if (cursor->valid) {
        const kv_slice_t key = {cursor->key, cursor->key_bytes};
        (void)kvi_bptree_get(&cursor->tree->engine, key, &value);
    }
    return value;
}

/* The value under the cursor's key now: data NULL if the key is gone. */
kv_slice_t kvi_bptree_cursor_value(const kv_cursor_t *cursor)
{
    const kvi_bptree_cursor_t *const standing = (const kvi_bptree_cursor_t *)cursor;
    return standing->valid && standing->changes == standing->tree->changes ? standing->value
                                                                           : value_now(standing);
}
