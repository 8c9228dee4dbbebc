/* SPDX-License-Identifier: MIT */
/*
 * Writing one entry of the B+tree engine: put, place, del. First the leaf gets room, in steps that
 * change nothing but the shape of the tree; then what stands apart is made; then the entry changes.
 * One user at a time.
 */
#include "engine/bptree_int.h"

#define VALUE_BITS (UINT64_C(255) << SLOT_VALUE_SHIFT | SLOT_VALUE_APART)

/* What is to stand under a key. */
typedef struct wish {
    kv_slice_t key;
    size_t value_bytes;
    size_t keep_bytes;
    uint64_t slot; /* of a new entry, once there is room */
} wish_t;

static uint32_t tail_bytes(size_t value_bytes)
{
    return value_bytes > VALUE_INLINE_MAX ? VALUE_APART_BYTES : (uint32_t)value_bytes;
}

static uint64_t value_part(size_t value_bytes)
{
    return value_bytes > VALUE_INLINE_MAX ? SLOT_VALUE_APART
                                          : (uint64_t)value_bytes << SLOT_VALUE_SHIFT;
}

static uint64_t path_slot(const kvi_path_t *path)
{
    return kvi_leaf_slots(path->leaf)[path->slot];
}

static char *tail_of(const kvi_leaf_t *leaf, uint64_t slot)
{
    return kvi_leaf_record(leaf, slot) + kvi_slot_rest(slot);
}

static void store_value_apart(char *tail, const char *object, size_t bytes)
{
    memcpy(tail, &object, sizeof object);
    memcpy(tail + sizeof object, &bytes, sizeof bytes);
}

static bool has_room(const kvi_bptree_t *tree, const kvi_path_t *path, wish_t *wish)
{
    const kvi_leaf_t *const leaf = path->leaf;
    if (leaf == NULL) {
        return false;
    }
    const uint32_t tail = tail_bytes(wish->value_bytes);
    if (path->found) {
        const uint64_t slot = path_slot(path);
        return tail <= kvi_slot_tail(slot) || kvi_slot_rest(slot) + tail <= kvi_leaf_gap(leaf);
    }
    if (leaf->count == tree->leaf_max || !kvi_leaf_shares(leaf, wish->key)) {
        return false;
    }
    wish->slot = kvi_leaf_slot_for(leaf, wish->key, wish->value_bytes);
    return SLOT_BYTES + kvi_slot_record(wish->slot) <= kvi_leaf_gap(leaf);
}

/* ---- new entries ---- */

static kv_status_t make_aparts(kvi_bptree_t *tree, const wish_t *wish, uint64_t slot,
                               kvi_apart_t **key, char **value)
{
    if ((slot & SLOT_KEY_APART) != 0) {
        *key = kvi_apart_create(tree, wish->key);
        if (*key == NULL) {
            return KV_NO_MEMORY;
        }
    }
    if ((slot & SLOT_VALUE_APART) != 0) {
        *value = kvi_bptree_alloc(tree, wish->value_bytes);
        if (*value == NULL) {
            if (*key != NULL) {
                kvi_apart_free(tree, *key);
            }
            return KV_NO_MEMORY;
        }
    }
    return KV_OK;
}

static kv_status_t insert(kvi_bptree_t *tree, const kvi_path_t *path, const wish_t *wish,
                          char **place)
{
    kvi_leaf_t *const leaf = path->leaf;
    const uint64_t slot = wish->slot;
    kvi_apart_t *key_apart = NULL;
    char *value_apart = NULL;
    const kv_status_t status = make_aparts(tree, wish, slot, &key_apart, &value_apart);
    if (status != KV_OK) {
        return status;
    }
    char *const record = kvi_leaf_insert(leaf, path->slot, slot, kvi_bptree_tag(tree, wish->key));
    tree->used_bytes += SLOT_BYTES + kvi_slot_record(slot);
    tree->key_bytes += kvi_slot_suffix(slot);
    tree->value_bytes += kvi_slot_value(slot);
    char *const tail = record + kvi_slot_rest(slot);
    if (key_apart != NULL) {
        memcpy(record, &key_apart, sizeof key_apart);
        tree->key_bytes += wish->key.size;
    } else if (kvi_slot_rest(slot) > 0) {
        kvi_bytes_copy(record, wish->key.data + leaf->prefix_bytes + HEAD_BYTES,
                       kvi_slot_rest(slot));
    }
    *place = tail;
    if (value_apart != NULL) {
        store_value_apart(tail, value_apart, wish->value_bytes);
        tree->value_bytes += wish->value_bytes;
        *place = value_apart;
    }
    kvi_path_count(tree, path, 1);
    tree->count++;
    return KV_OK;
}

/* ---- old entries ---- */

/* A value that was apart and stays so. */
static kv_status_t resize_apart(kvi_bptree_t *tree, const kvi_path_t *path, const wish_t *wish,
                                char **place)
{
    const uint64_t slot = path_slot(path);
    const kv_slice_t old = kvi_leaf_value(path->leaf, slot);
    char *object = (char *)(uintptr_t)old.data;
    if (wish->keep_bytes == 0 && kv_pool_usable_size(tree->pool, object) < wish->value_bytes) {
        char *const fresh = kv_pool_alloc(tree->pool, wish->value_bytes);
        if (fresh == NULL) {
            return KV_NO_MEMORY;
        }
        kv_pool_free(tree->pool, object);
        object = fresh;
    } else if (wish->value_bytes != old.size) {
        object = kv_pool_realloc(tree->pool, object, wish->value_bytes);
        if (object == NULL) {
            return KV_NO_MEMORY;
        }
    }
    tree->used_bytes += wish->value_bytes - old.size;
    tree->value_bytes += wish->value_bytes - old.size;
    store_value_apart(tail_of(path->leaf, slot), object, wish->value_bytes);
    *place = object;
    return KV_OK;
}

/* Gives the entry's record a tail that is no longer than the old one. */
static void shorten_record(kvi_leaf_t *leaf, uint32_t index, uint64_t slot)
{
    uint64_t *const own = &kvi_leaf_slots(leaf)[index];
    const bool had_apart = (*own & (SLOT_KEY_APART | SLOT_VALUE_APART)) != 0;
    const bool has_apart = (slot & (SLOT_KEY_APART | SLOT_VALUE_APART)) != 0;
    leaf->garbage = (uint16_t)(leaf->garbage + kvi_slot_tail(*own) - kvi_slot_tail(slot));
    leaf->value_bytes = (uint16_t)(leaf->value_bytes - kvi_slot_value(*own) + kvi_slot_value(slot));
    leaf->aparts = (uint8_t)(leaf->aparts - had_apart + has_apart);
    *own = (slot & ~SLOT_OFFSET_MASK) | (kvi_slot_record(slot) > 0 ? kvi_slot_offset(*own) : 0);
}

/* Takes a longer record from the gap. The old one may lie where the new one comes. */
static void lengthen_record(kvi_leaf_t *leaf, uint32_t index, uint64_t slot)
{
    char rest[KEY_INLINE_MAX];
    const uint8_t tag = leaf->tags[index];
    const uint64_t old = kvi_leaf_slots(leaf)[index];
    kvi_bytes_copy(rest, kvi_leaf_record(leaf, old), kvi_slot_rest(old));
    kvi_leaf_remove(leaf, index);
    kvi_bytes_copy(kvi_leaf_insert(leaf, index, slot, tag), rest, kvi_slot_rest(old));
}

/* Any change of a value that is not apart before and after. */
static kv_status_t resize_inline(kvi_bptree_t *tree, const kvi_path_t *path, const wish_t *wish,
                                 char **place)
{
    kvi_leaf_t *const leaf = path->leaf;
    const uint64_t old_slot = path_slot(path);
    const kv_slice_t old = kvi_leaf_value(leaf, old_slot);
    const uint64_t slot = (old_slot & ~VALUE_BITS) | value_part(wish->value_bytes);
    char kept[VALUE_INLINE_MAX];
    char *object = NULL;
    if ((slot & SLOT_VALUE_APART) != 0) {
        object = kvi_bptree_alloc(tree, wish->value_bytes);
        if (object == NULL) {
            return KV_NO_MEMORY;
        }
    }
    kvi_bytes_copy(kept, old.data, wish->keep_bytes); /* at most the shorter one, which is inline */
    kvi_leaf_unaccount(tree, leaf);
    if (kvi_slot_tail(slot) <= kvi_slot_tail(old_slot)) {
        shorten_record(leaf, path->slot, slot);
    } else {
        lengthen_record(leaf, path->slot, slot);
    }
    kvi_leaf_account(tree, leaf);
    char *const tail = tail_of(leaf, path_slot(path));
    *place = tail;
    if (object != NULL) {
        store_value_apart(tail, object, wish->value_bytes);
        tree->value_bytes += wish->value_bytes;
        *place = object;
    }
    kvi_bytes_copy(*place, kept, wish->keep_bytes);
    if ((old_slot & SLOT_VALUE_APART) != 0) {
        tree->value_bytes -= old.size;
        kvi_bptree_free(tree, (void *)(uintptr_t)old.data, old.size);
    }
    return KV_OK;
}

static kv_status_t resize(kvi_bptree_t *tree, const kvi_path_t *path, const wish_t *wish,
                          char **place)
{
    const uint64_t slot = path_slot(path);
    const bool was_apart = (slot & SLOT_VALUE_APART) != 0;
    const bool is_apart = wish->value_bytes > VALUE_INLINE_MAX;
    if (was_apart && is_apart) {
        return resize_apart(tree, path, wish, place);
    }
    if (!was_apart && !is_apart && kvi_slot_value(slot) == wish->value_bytes) {
        *place = tail_of(path->leaf, slot);
        return KV_OK;
    }
    return resize_inline(tree, path, wish, place);
}

/* ---- the operations ---- */

/* A new tree whose first entry could not be made has a leaf without entries. */
static void drop_empty_leaf(kvi_bptree_t *tree)
{
    if (tree->count == 0 && tree->root != 0) {
        kvi_bptree_free_subtree(tree, tree->root, tree->height);
        tree->root = 0;
        tree->height = 0;
    }
}

/* Makes room for the wish in the path's leaf, which may become another one. */
static kv_status_t find_room(kvi_bptree_t *tree, wish_t *wish, kvi_path_t *path)
{
    const size_t old_bytes = path->found ? kvi_leaf_value(path->leaf, path_slot(path)).size : 0;
    if (wish->keep_bytes > old_bytes || wish->keep_bytes > wish->value_bytes) {
        return KV_INVALID;
    }
    if (!path->found && tree->count == UINT32_MAX) {
        return KV_NO_MEMORY;
    }
    while (!has_room(tree, path, wish)) {
        const kv_status_t status = kvi_bptree_make_room(
            tree, path, wish->key, tail_bytes(wish->value_bytes), !path->found);
        if (status != KV_OK) {
            return status;
        }
        if (path->leaf == NULL) {
            kvi_bptree_descend(tree, wish->key, path);
        }
    }
    return KV_OK;
}

static kv_status_t fulfil_at(kvi_bptree_t *tree, kvi_path_t *path, wish_t *wish, char **place)
{
    if (wish->key.size > KV_KEY_BYTES_MAX || wish->value_bytes > KV_VALUE_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    tree->changes++;
    kv_status_t status = find_room(tree, wish, path);
    if (status == KV_OK) {
        status = path->found ? resize(tree, path, wish, place) : insert(tree, path, wish, place);
    }
    if (status != KV_OK) {
        drop_empty_leaf(tree);
    }
    return status;
}

/* Whether the way to the last entry is still known, and the key comes behind that. */
static bool goes_on_at_edge(kvi_bptree_t *tree, kv_slice_t key)
{
    kvi_path_t *const edge = &tree->edge;
    if (tree->edge_changes != tree->changes || !kvi_leaf_is_behind(edge->leaf, key)) {
        return false;
    }
    edge->slot = edge->leaf->count;
    edge->found = false;
    return true;
}

/* A leaf without room is copied in a moment: its records come while its slots are searched. */
static void fetch_if_full(const kvi_bptree_t *tree, const kvi_leaf_t *leaf, kv_slice_t key,
                          size_t value_bytes)
{
    const char *const end = (const char *)leaf + leaf->size;
    if (leaf->count < tree->leaf_max && kvi_leaf_gap(leaf) >= key.size + tail_bytes(value_bytes)) {
        return;
    }
    for (const char *line = end - leaf->heap; line < end; line += LINE_BYTES) {
        kvi_prefetch(line);
    }
}

kvi_path_t *kvi_bptree_find_place(kvi_bptree_t *tree, kv_slice_t key, size_t value_bytes)
{
    kvi_path_t *const path = &tree->edge;
    if (!goes_on_at_edge(tree, key) && kvi_bptree_descend_to_leaf(tree, key, path)) {
        fetch_if_full(tree, path->leaf, key, value_bytes);
        path->slot = kvi_leaf_seek(path->leaf, key, &path->found);
    }
    tree->edge_changes = EDGE_UNKNOWN;
    return path;
}

/* Where kvi_bptree_find_place has led. */
static kv_status_t fulfil_found(kvi_bptree_t *tree, wish_t *wish, char **place)
{
    kvi_path_t *const path = &tree->edge;
    const kv_status_t status = fulfil_at(tree, path, wish, place);
    const bool at_edge =
        status == KV_OK && path->slot + 1 == path->leaf->count && kvi_path_is_at_end(tree, path);
    tree->edge_changes = at_edge ? tree->changes : EDGE_UNKNOWN;
    return status;
}

static kv_status_t fulfil(kvi_bptree_t *tree, wish_t *wish, char **place)
{
    if (wish->key.size > KV_KEY_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    (void)kvi_bptree_find_place(tree, wish->key, wish->value_bytes);
    return fulfil_found(tree, wish, place);
}

kv_status_t kvi_bptree_place_found(kvi_bptree_t *tree, kv_slice_t key, size_t value_bytes,
                                   size_t keep_bytes, char **place)
{
    wish_t wish = {key, value_bytes, keep_bytes, 0};
    return fulfil_found(tree, &wish, place);
}

kv_status_t kvi_bptree_place(kv_engine_t *engine, kv_slice_t key, size_t value_bytes,
                             size_t keep_bytes, char **place)
{
    kvi_bptree_t *const tree = (kvi_bptree_t *)engine;
    wish_t wish = {key, value_bytes, keep_bytes, 0};
    return fulfil(tree, &wish, place);
}

static kv_status_t put_copy(kvi_bptree_t *tree, wish_t *wish, const char *value)
{
    char *place;
    const kv_status_t status = fulfil(tree, wish, &place);
    if (status == KV_OK) {
        kvi_bytes_copy(place, value, wish->value_bytes);
    }
    return status;
}

kv_status_t kvi_bptree_put(kv_engine_t *engine, kv_slice_t key, kv_slice_t value)
{
    kvi_bptree_t *const tree = (kvi_bptree_t *)engine;
    wish_t wish = {key, value.size, 0, 0};
    kv_status_t status;
    if (value.size > VALUE_INLINE_MAX && !kv_pool_owns(tree->pool, value.data)) {
        status = put_copy(tree, &wish, value.data);
    } else if (value.size <= VALUE_INLINE_MAX) {
        /* The bytes may lie in a page that moves. */
        char copy[VALUE_INLINE_MAX];
        kvi_bytes_copy(copy, value.data, value.size);
        status = put_copy(tree, &wish, copy);
    } else {
        char *const copy = kv_pool_alloc(tree->pool, value.size);
        if (copy == NULL) {
            return KV_NO_MEMORY;
        }
        memcpy(copy, value.data, value.size);
        status = put_copy(tree, &wish, copy);
        kv_pool_free(tree->pool, copy);
    }
    return status;
}

kv_status_t kvi_bptree_del(kv_engine_t *engine, kv_slice_t key)
{
    kvi_bptree_t *const tree = (kvi_bptree_t *)engine;
    kvi_path_t path;
    kvi_bptree_descend(tree, key, &path);
    if (!path.found) {
        return KV_NOT_FOUND;
    }
    tree->changes++;
    kvi_leaf_free_aparts(tree, path.leaf, path_slot(&path));
    kvi_leaf_unaccount(tree, path.leaf);
    kvi_leaf_remove(path.leaf, path.slot);
    kvi_leaf_account(tree, path.leaf);
    kvi_path_count(tree, &path, UINT32_MAX);
    tree->count--;
    kvi_bptree_tidy(tree, &path);
    return KV_OK;
}
