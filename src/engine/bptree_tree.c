/* SPDX-License-Identifier: MIT */
/*
 * The B+tree engine's tree: ways through it, and how it grows and shrinks. Leaves as pages stand in
 * bptree_leaf.c, inner nodes in bptree_inner.c. One user at a time.
 *
 * It grows in steps, each of which leaves a whole tree with the same entries behind: a full node is
 * split only when its parent has room, so the topmost full node goes first and the way is walked
 * again. A step that finds no memory has changed nothing.
 */
#include "engine/bptree_int.h"

#include <assert.h>

#define RENEWED_AT_ONCE 8u

/* ---- objects ---- */

void *kvi_bptree_alloc(kvi_bptree_t *tree, size_t bytes)
{
    void *const object = kv_pool_alloc(tree->pool, bytes);
    if (object != NULL) {
        tree->used_bytes += bytes;
    }
    return object;
}

void kvi_bptree_free(kvi_bptree_t *tree, void *object, size_t bytes)
{
    tree->used_bytes -= bytes;
    kv_pool_free(tree->pool, object);
}

void *kvi_bptree_alloc_guest(kvi_bptree_t *tree, size_t bytes)
{
    void *const object = kvi_bptree_alloc(tree, bytes);
    if (object != NULL) {
        tree->guest_bytes += bytes;
        tree->guest_objects++;
    }
    return object;
}

void kvi_bptree_free_guest(kvi_bptree_t *tree, void *object, size_t bytes)
{
    tree->guest_bytes -= bytes;
    tree->guest_objects--;
    kvi_bptree_free(tree, object, bytes);
}

kvi_apart_t *kvi_apart_create(kvi_bptree_t *tree, kv_slice_t string)
{
    kvi_apart_t *const apart = kvi_bptree_alloc(tree, sizeof *apart + string.size);
    if (apart != NULL) {
        apart->bytes = (uint32_t)string.size;
        kvi_bytes_copy(apart->data, string.data, string.size);
    }
    return apart;
}

void kvi_apart_free(kvi_bptree_t *tree, kvi_apart_t *apart)
{
    kvi_bptree_free(tree, apart, sizeof *apart + apart->bytes);
}

kv_status_t kvi_bptree_borrow(kvi_bptree_t *tree, const kvi_path_t *path, kv_slice_t *key,
                              kv_slice_t *value)
{
    char buffer[KEY_BUFFER_BYTES];
    kv_slice_t borrowed = kvi_leaf_key(path->leaf, path->slot, buffer);
    if (borrowed.data == buffer) {
        kvi_apart_t **const place = &tree->borrowed[tree->borrowed_next];
        kvi_apart_t *const copy = kvi_apart_create(tree, borrowed);
        if (copy == NULL) {
            return KV_NO_MEMORY;
        }
        if (*place != NULL) {
            kvi_apart_free(tree, *place);
        }
        *place = copy;
        tree->borrowed_next = (tree->borrowed_next + 1) % BORROWED_KEYS;
        borrowed.data = copy->data;
    }
    *key = borrowed;
    *value = kvi_leaf_value(path->leaf, kvi_leaf_slots(path->leaf)[path->slot]);
    return KV_OK;
}

/* ---- ways ---- */

bool kvi_bptree_descend_to_leaf(const kvi_bptree_t *tree, kv_slice_t key, kvi_path_t *path)
{
    path->leaf = NULL;
    path->slot = 0;
    path->found = false;
    if (tree->root == 0) {
        return false;
    }
    void *page = kvi_pool_deref(tree->pool, tree->root);
    for (uint32_t level = tree->height; level-- > 0;) {
        if (level == 0) {
            kvi_inner_prefetch(page);
        }
        path->at[level].node = page;
        path->at[level].index = kvi_inner_seek(tree, page, key);
        page = kvi_bptree_child(tree, page, path->at[level].index);
    }
    kvi_leaf_prefetch(page);
    path->leaf = page;
    return true;
}

void kvi_bptree_descend(const kvi_bptree_t *tree, kv_slice_t key, kvi_path_t *path)
{
    if (kvi_bptree_descend_to_leaf(tree, key, path)) {
        path->slot = kvi_leaf_seek(path->leaf, key, &path->found);
    }
}

void kvi_bptree_descend_rank(const kvi_bptree_t *tree, uint64_t rank, kvi_path_t *path)
{
    uint64_t left = rank;
    void *page = kvi_pool_deref(tree->pool, tree->root);
    for (uint32_t level = tree->height; level-- > 0;) {
        const kvi_child_t *const children = kvi_inner_children(page);
        uint32_t index = 0;
        while (left >= children[index].count) {
            left -= children[index++].count;
        }
        path->at[level].node = page;
        path->at[level].index = index;
        page = kvi_bptree_child(tree, page, index);
    }
    path->leaf = page;
    path->slot = (uint32_t)left;
    path->found = true;
}

/* Goes down from the path's child at this level, always by the first or always by the last child.
 */
static void descend_edge(const kvi_bptree_t *tree, kvi_path_t *path, uint32_t level, bool last)
{
    void *page = kvi_bptree_child(tree, path->at[level].node, path->at[level].index);
    for (uint32_t below = level; below-- > 0;) {
        path->at[below].node = page;
        path->at[below].index = last ? path->at[below].node->count - 1u : 0;
        page = kvi_bptree_child(tree, page, path->at[below].index);
    }
    path->leaf = page;
    path->slot = last ? path->leaf->count - 1u : 0;
}

bool kvi_path_next_leaf(const kvi_bptree_t *tree, kvi_path_t *path)
{
    uint32_t level = 0;
    while (level < tree->height && path->at[level].index + 1u == path->at[level].node->count) {
        level++;
    }
    if (level == tree->height) {
        return false;
    }
    path->at[level].index++;
    descend_edge(tree, path, level, false);
    return true;
}

bool kvi_path_previous_leaf(const kvi_bptree_t *tree, kvi_path_t *path)
{
    uint32_t level = 0;
    while (level < tree->height && path->at[level].index == 0) {
        level++;
    }
    if (level == tree->height) {
        return false;
    }
    path->at[level].index--;
    descend_edge(tree, path, level, true);
    return true;
}

bool kvi_path_is_at_end(const kvi_bptree_t *tree, const kvi_path_t *path)
{
    for (uint32_t level = 0; level < tree->height; level++) {
        if (path->at[level].index + 1u != path->at[level].node->count) {
            return false;
        }
    }
    return true;
}

uint64_t kvi_path_rank(const kvi_bptree_t *tree, const kvi_path_t *path)
{
    uint64_t rank = path->slot;
    for (uint32_t level = 0; level < tree->height; level++) {
        const kvi_child_t *const children = kvi_inner_children(path->at[level].node);
        for (uint32_t i = 0; i < path->at[level].index; i++) {
            rank += children[i].count;
        }
    }
    return rank;
}

void kvi_path_count(const kvi_bptree_t *tree, const kvi_path_t *path, uint32_t added)
{
    for (uint32_t level = 0; level < tree->height; level++) {
        kvi_inner_children(path->at[level].node)[path->at[level].index].count += added;
    }
}

static void set_leaf(kvi_bptree_t *tree, const kvi_path_t *path, const kvi_leaf_t *leaf)
{
    const uint32_t ref = kvi_pool_ref(tree->pool, leaf);
    if (tree->height == 0) {
        tree->root = ref;
    } else {
        kvi_inner_children(path->at[0].node)[path->at[0].index].ref = ref;
    }
}

void kvi_path_replace_leaf(kvi_bptree_t *tree, kvi_path_t *path, kvi_leaf_t *leaf)
{
    kvi_leaf_unaccount(tree, path->leaf);
    kvi_leaf_account(tree, leaf);
    set_leaf(tree, path, leaf);
    kvi_leaf_free(tree, path->leaf);
    path->leaf = leaf;
}

/* ---- growing ---- */

static bool is_at_beginning(const kvi_bptree_t *tree, const kvi_path_t *path)
{
    for (uint32_t level = 0; level < tree->height; level++) {
        if (path->at[level].index != 0) {
            return false;
        }
    }
    return true;
}

/* Makes sure that the leaf has a parent with room for another child. *ready says that it has;
 * otherwise a node above was split, and the path must be found again. KV_NO_MEMORY. */
static kv_status_t parent_room(kvi_bptree_t *tree, kvi_path_t *path, bool *ready)
{
    uint32_t level = 0;
    while (level < tree->height && path->at[level].node->count >= tree->inner_max) {
        level++;
    }
    if (level == tree->height) {
        if (kvi_bptree_raise(tree) != KV_OK) {
            return KV_NO_MEMORY;
        }
        path->at[level].node = kvi_pool_deref(tree->pool, tree->root);
        path->at[level].index = 0;
    }
    *ready = level == 0;
    return *ready ? KV_OK : kvi_inner_split(tree, path, level - 1);
}

/* The half of the bytes, or the very end or beginning where a sorted load goes on. */
static uint32_t split_place(const kvi_bptree_t *tree, const kvi_path_t *path)
{
    const kvi_leaf_t *const leaf = path->leaf;
    if (path->slot == leaf->count && kvi_path_is_at_end(tree, path)) {
        return leaf->count - 1u;
    }
    if (path->slot == 0 && is_at_beginning(tree, path)) {
        return 1;
    }
    const uint32_t half = (leaf->count * SLOT_BYTES + leaf->heap - leaf->garbage) / 2;
    uint32_t bytes = 0;
    uint32_t place = 0;
    while (place + 1u < leaf->count && bytes < half) {
        bytes += SLOT_BYTES + kvi_slot_record(kvi_leaf_slots(leaf)[place++]);
    }
    return place;
}

/* Puts right behind the path's child; the shortest string that divides the two becomes the
 * separator: as much of right's first key as differs from the last one before it, which is entry
 * last of left. */
static kv_status_t insert_leaf(kvi_bptree_t *tree, kvi_path_t *path, const kvi_leaf_t *left,
                               uint32_t last, const kvi_leaf_t *right)
{
    char last_buffer[KEY_BUFFER_BYTES];
    char first_buffer[KEY_BUFFER_BYTES];
    const kv_slice_t left_key = kvi_leaf_key(left, last, last_buffer);
    const kv_slice_t right_key = kvi_leaf_key(right, 0, first_buffer);
    const kv_slice_t separator = {right_key.data, kvi_common_bytes(left_key, right_key) + 1};
    const kvi_child_t child = {kvi_pool_ref(tree->pool, right), right->count};
    return kvi_inner_insert(tree, path, 0, separator, child);
}

/* The leaf behind a split at place. What goes on at the end will fill the new page as it filled the
 * old one, and will have as much in common. */
static kvi_leaf_t *build_right(kvi_bptree_t *tree, const kvi_leaf_t *old, uint32_t place)
{
    const kvi_leaf_part_t part[2] = {{old, place, old->count}, {0}};
    if (place + 1u < old->count) {
        return kvi_leaf_build(tree, part, kvi_leaf_common(part), 0);
    }
    const uint32_t bytes = kvi_leaf_build_bytes(part, old->prefix_bytes);
    const uint32_t spare = bytes < old->size ? old->size - bytes : 0;
    return kvi_leaf_build(tree, part, old->prefix_bytes, spare);
}

/* Splits off the last entry, where the others would come into a page like the one they have. */
static kv_status_t split_last(kvi_bptree_t *tree, kvi_path_t *path)
{
    kvi_leaf_t *const left = path->leaf;
    const uint32_t place = left->count - 1u;
    kvi_leaf_t *const right = build_right(tree, left, place);
    if (right == NULL || insert_leaf(tree, path, left, place - 1, right) != KV_OK) {
        kv_pool_free(tree->pool, right);
        return KV_NO_MEMORY;
    }
    kvi_leaf_unaccount(tree, left);
    kvi_leaf_remove(left, place);
    kvi_leaf_account(tree, left);
    kvi_leaf_account(tree, right);
    return KV_OK;
}

/* The parent has room. */
static kv_status_t split_leaf(kvi_bptree_t *tree, kvi_path_t *path)
{
    const kvi_leaf_t *const old = path->leaf;
    const uint32_t place = split_place(tree, path);
    const kvi_leaf_part_t part[2] = {{old, 0, place}, {0}};
    const uint32_t prefix_bytes = kvi_leaf_common(part);
    assert(place > 0 && place < old->count);
    if (place + 1u == old->count && prefix_bytes == old->prefix_bytes &&
        kvi_leaf_fit(tree, kvi_leaf_build_bytes(part, prefix_bytes)) == old->size) {
        return split_last(tree, path);
    }
    kvi_leaf_t *const left = kvi_leaf_build(tree, part, prefix_bytes, 0);
    kvi_leaf_t *const right = build_right(tree, old, place);
    if (left == NULL || right == NULL || insert_leaf(tree, path, left, place - 1, right) != KV_OK) {
        kv_pool_free(tree->pool, left);
        kv_pool_free(tree->pool, right);
        return KV_NO_MEMORY;
    }
    kvi_leaf_account(tree, right);
    kvi_path_replace_leaf(tree, path, left);
    return KV_OK;
}

static kv_status_t first_leaf(kvi_bptree_t *tree)
{
    const kvi_leaf_t *const leaf = kvi_leaf_create(tree, 0);
    if (leaf == NULL) {
        return KV_NO_MEMORY;
    }
    kvi_leaf_account(tree, leaf);
    tree->root = kvi_pool_ref(tree->pool, leaf);
    return KV_OK;
}

/* A page for the leaf with so much room behind a prefix of this length; false if there is none. */
static bool fits_leaf(const kvi_leaf_part_t parts[2], uint32_t prefix_bytes, uint32_t extra_bytes)
{
    return kvi_leaf_build_bytes(parts, prefix_bytes) + extra_bytes <= LEAF_BYTES_MAX;
}

kv_status_t kvi_bptree_make_room(kvi_bptree_t *tree, kvi_path_t *path, kv_slice_t key,
                                 uint32_t tail_bytes, bool is_new)
{
    const kvi_leaf_t *const leaf = path->leaf;
    if (leaf == NULL) {
        return first_leaf(tree);
    }
    const kv_slice_t prefix = {kvi_leaf_prefix(leaf), leaf->prefix_bytes};
    const uint32_t prefix_bytes = (uint32_t)kvi_common_bytes(prefix, key);
    const size_t suffix_bytes = key.size - prefix_bytes;
    const size_t inline_rest = suffix_bytes > HEAD_BYTES ? suffix_bytes - HEAD_BYTES : 0;
    const uint32_t rest = key.size > KEY_INLINE_MAX ? KEY_APART_BYTES : (uint32_t)inline_rest;
    const uint32_t extra = rest + tail_bytes + (is_new ? SLOT_BYTES : 0);
    const kvi_leaf_part_t whole[2] = {{leaf, 0, leaf->count}, {0}};
    if ((!is_new || leaf->count < tree->leaf_max) && fits_leaf(whole, prefix_bytes, extra)) {
        /* A page that was made larger for what is to come stays so. */
        const uint32_t bytes = kvi_leaf_build_bytes(whole, prefix_bytes) + extra;
        const uint32_t spare = bytes < leaf->size ? leaf->size - bytes : 0;
        kvi_leaf_t *const larger = kvi_leaf_build(tree, whole, prefix_bytes, extra + spare);
        if (larger == NULL) {
            return KV_NO_MEMORY;
        }
        kvi_path_replace_leaf(tree, path, larger);
        return KV_OK;
    }
    bool ready = false;
    kv_status_t status = parent_room(tree, path, &ready);
    if (status == KV_OK && ready) {
        status = split_leaf(tree, path);
    }
    if (status != KV_OK) {
        kvi_bptree_lower(tree);
    }
    path->leaf = NULL;
    return status;
}

kv_status_t kvi_bptree_append_leaf(kvi_bptree_t *tree, kvi_leaf_t *leaf)
{
    const uint32_t count = leaf->count;
    kvi_path_t path;
    bool ready = tree->root == 0;
    while (!ready) {
        kvi_bptree_descend_rank(tree, tree->count - 1, &path);
        const kv_status_t status = parent_room(tree, &path, &ready);
        if (status != KV_OK) {
            return status;
        }
    }
    if (tree->root == 0) {
        tree->root = kvi_pool_ref(tree->pool, leaf);
    } else {
        kvi_path_count(tree, &path, count);
        if (insert_leaf(tree, &path, path.leaf, path.leaf->count - 1u, leaf) != KV_OK) {
            kvi_path_count(tree, &path, 0u - count);
            return KV_NO_MEMORY;
        }
    }
    kvi_leaf_account(tree, leaf);
    tree->count += count;
    return KV_OK;
}

/* ---- shrinking ---- */

void kvi_bptree_lower(kvi_bptree_t *tree)
{
    while (tree->height > 0) {
        kvi_inner_t *const root = kvi_pool_deref(tree->pool, tree->root);
        if (root->count > 1) {
            break;
        }
        tree->root = kvi_inner_children(root)[0].ref;
        tree->height--;
        kvi_inner_free(tree, root);
    }
}

static bool join_leaves(kvi_bptree_t *tree, kvi_inner_t *parent, uint32_t left_index)
{
    kvi_child_t *const children = kvi_inner_children(parent);
    const uint32_t count = children[left_index].count + children[left_index + 1].count;
    if (count > tree->leaf_max - tree->leaf_max / 4) {
        return false;
    }
    kvi_leaf_t *const left = kvi_bptree_child(tree, parent, left_index);
    kvi_leaf_t *const right = kvi_bptree_child(tree, parent, left_index + 1);
    const kvi_leaf_part_t parts[2] = {{left, 0, left->count}, {right, 0, right->count}};
    const uint32_t prefix_bytes = kvi_leaf_common(parts);
    if (kvi_leaf_build_bytes(parts, prefix_bytes) > LEAF_BYTES_MAX - LEAF_BYTES_MAX / 4) {
        return false;
    }
    kvi_leaf_t *const leaf = kvi_leaf_build(tree, parts, prefix_bytes, 0);
    if (leaf == NULL) {
        return false;
    }
    kvi_leaf_unaccount(tree, left);
    kvi_leaf_unaccount(tree, right);
    kvi_leaf_account(tree, leaf);
    children[left_index] = (kvi_child_t){kvi_pool_ref(tree->pool, leaf), count};
    kvi_inner_remove(tree, parent, left_index + 1, left_index + 2);
    kvi_leaf_free(tree, left);
    kvi_leaf_free(tree, right);
    return true;
}

/* A new page of the right size, where memory allows. */
static bool renew_leaf(kvi_bptree_t *tree, kvi_path_t *path)
{
    const kvi_leaf_part_t whole[2] = {{path->leaf, 0, path->leaf->count}, {0}};
    kvi_leaf_t *const leaf = kvi_leaf_build(tree, whole, path->leaf->prefix_bytes, 0);
    if (leaf == NULL) {
        return false;
    }
    kvi_path_replace_leaf(tree, path, leaf);
    return true;
}

/* Pages that shrink leave holes among those of their old size. Whoever makes one looks at a few
 * others, so that the last pages of a size do not keep its blocks: the blocks become empty and
 * serve other sizes. The path is no longer valid. */
static void renew_sparse(kvi_bptree_t *tree, kvi_path_t *path)
{
    if (tree->height == 0) {
        return;
    }
    if (kv_pool_sparse(tree->pool, path->at[0].node)) {
        (void)kvi_inner_move(tree, path, 0);
    }
    const kvi_inner_t *const parent = path->at[0].node;
    for (uint32_t i = 0; i < RENEWED_AT_ONCE; i++) {
        path->at[0].index = tree->renewed_at++ % parent->count;
        path->leaf = kvi_bptree_child(tree, parent, path->at[0].index);
        if (kv_pool_sparse(tree->pool, path->leaf)) {
            (void)renew_leaf(tree, path);
        }
    }
}

/* A smaller page, when it is smaller by an eighth or more. */
static void shrink_leaf(kvi_bptree_t *tree, kvi_path_t *path)
{
    const kvi_leaf_t *const leaf = path->leaf;
    const kvi_leaf_part_t whole[2] = {{leaf, 0, leaf->count}, {0}};
    const uint32_t most = leaf->size - leaf->size / 8u;
    if (kvi_leaf_used(leaf) <= most &&
        kvi_leaf_fit(tree, kvi_leaf_build_bytes(whole, leaf->prefix_bytes)) <= most &&
        renew_leaf(tree, path)) {
        renew_sparse(tree, path);
    }
}

/* Takes the empty leaf out, and with it every node that becomes empty. Returns the level from which
 * on the path's nodes are still there. */
static uint32_t remove_leaf(kvi_bptree_t *tree, kvi_path_t *path)
{
    uint32_t level = 0;
    kvi_leaf_unaccount(tree, path->leaf);
    kvi_leaf_free(tree, path->leaf);
    while (level < tree->height && path->at[level].node->count == 1) {
        kvi_inner_free(tree, path->at[level].node);
        level++;
    }
    if (level == tree->height) {
        tree->root = 0;
        tree->height = 0;
        return 0;
    }
    const uint32_t index = path->at[level].index;
    kvi_inner_remove(tree, path->at[level].node, index, index + 1);
    return level;
}

void kvi_bptree_tidy(kvi_bptree_t *tree, kvi_path_t *path)
{
    uint32_t level = 0;
    if (path->leaf->count == 0) {
        level = remove_leaf(tree, path);
    } else if (tree->height > 0 && path->leaf->count <= tree->leaf_max / 2) {
        kvi_inner_t *const parent = path->at[0].node;
        const uint32_t index = path->at[0].index;
        if (!(index + 1u < parent->count && join_leaves(tree, parent, index)) &&
            !(index > 0 && join_leaves(tree, parent, index - 1))) {
            shrink_leaf(tree, path);
            return;
        }
    } else {
        shrink_leaf(tree, path);
        return;
    }
    for (; level < tree->height; level++) {
        kvi_inner_tidy(tree, path, level);
    }
    kvi_bptree_lower(tree);
}

/* ---- freeing ---- */

static void free_leaf_whole(kvi_bptree_t *tree, kvi_leaf_t *leaf)
{
    for (uint32_t i = 0; leaf->aparts > 0 && i < leaf->count; i++) {
        kvi_leaf_free_aparts(tree, leaf, kvi_leaf_slots(leaf)[i]);
    }
    kvi_leaf_unaccount(tree, leaf);
    kvi_leaf_free(tree, leaf);
}

void kvi_bptree_free_subtree(kvi_bptree_t *tree, uint32_t ref, uint32_t top)
{
    kvi_inner_t *nodes[LEVELS_MAX + 1];
    uint32_t next[LEVELS_MAX + 1];
    if (top == 0) {
        free_leaf_whole(tree, kvi_pool_deref(tree->pool, ref));
        return;
    }
    uint32_t level = top;
    nodes[level] = kvi_pool_deref(tree->pool, ref);
    next[level] = 0;
    while (level <= top) {
        kvi_inner_t *const node = nodes[level];
        if (next[level] == node->count) {
            kvi_inner_free(tree, node);
            level++;
        } else if (level == 1) {
            free_leaf_whole(tree, kvi_bptree_child(tree, node, next[level]++));
        } else {
            nodes[level - 1] = kvi_bptree_child(tree, node, next[level]++);
            next[--level] = 0;
        }
    }
}
