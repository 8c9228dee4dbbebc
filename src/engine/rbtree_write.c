/* SPDX-License-Identifier: MIT */
/*
 * Writing to the red-black tree engine: nodes made, changed in place or replaced. Shapes and
 * invariants: rbtree_int.h. One user at a time.
 */
#include "engine/rbtree_int.h"

/* What a write puts under a key: value_bytes, of which the first fill_bytes are copied from fill,
 * perhaps from the value that is there now. */
typedef struct content {
    size_t value_bytes;
    size_t capacity; /* room for a value apart */
    const char *fill;
    size_t fill_bytes;
} content_t;

kvi_rb_node_t *kvi_rb_descend(kvi_rbtree_t *tree, kv_slice_t key, kvi_rb_path_t *path)
{
    const uint64_t head = kvi_head64(key.data, key.size);
    uint32_t ref = tree->top.link[0];
    path->steps[0] = (kvi_rb_step_t){&tree->top, 0, 0};
    path->count = 1;
    while (ref != 0) {
        kvi_rb_node_t *const node = kvi_rb_node(tree, ref);
        const int order = kvi_rb_compare(key, head, node);
        if (order == 0) {
            return node;
        }
        const uint32_t dir = order > 0;
        path->steps[path->count++] = (kvi_rb_step_t){node, ref, dir};
        ref = node->link[dir];
    }
    return NULL;
}

/* ---- nodes ---- */

static uint32_t make_meta(size_t key_bytes, size_t value_bytes)
{
    const uint32_t key_part =
        key_bytes > KEY_SHORT_MAX ? META_LONG_KEY : (uint32_t)key_bytes << META_KEY_SHIFT;
    return key_part |
           (kvi_rb_is_apart(value_bytes) ? META_APART : (uint32_t)value_bytes << META_VALUE_SHIFT);
}

static void write_key(kvi_rb_node_t *node, kv_slice_t key)
{
    char *const bytes = (char *)node + NODE_HEADER_BYTES;
    if (key.size > KEY_SHORT_MAX) {
        const uint64_t size = key.size;
        memcpy(bytes, key.data, NODE_HEAD_BYTES);
        memcpy(bytes + NODE_HEAD_BYTES, &size, sizeof size);
        memcpy(bytes + NODE_LONG_BYTES, key.data, key.size);
        return;
    }
    if (key.size < NODE_HEAD_BYTES) {
        memset(bytes, 0, NODE_HEAD_BYTES);
    }
    kvi_bytes_copy(bytes, key.data, key.size);
}

static void write_apart(kvi_rb_node_t *node, char *address, size_t value_bytes)
{
    char *const place = kvi_rb_value_place(node);
    const uint64_t size = value_bytes;
    memcpy(place, &size, sizeof size);
    memcpy(place + sizeof size, &address, sizeof address);
}

/* A new red node without children; the rest of its value is undefined. NULL: no memory. */
static kvi_rb_node_t *create_node(kvi_rbtree_t *tree, kv_slice_t key, const content_t *content)
{
    kvi_rb_node_t *const node =
        kv_pool_alloc(tree->pool, kvi_rb_node_bytes(key.size, content->value_bytes));
    if (node == NULL) {
        return NULL;
    }
    node->link[0] = 0;
    node->link[1] = 0;
    node->meta = make_meta(key.size, content->value_bytes) | META_RED;
    write_key(node, key);
    if (kvi_rb_is_apart(content->value_bytes)) {
        char *const value = kv_pool_alloc(tree->pool, content->capacity);
        if (value == NULL) {
            kv_pool_free(tree->pool, node);
            return NULL;
        }
        write_apart(node, value, content->value_bytes);
    }
    kvi_bytes_copy(kvi_rb_value_bytes(node), content->fill, content->fill_bytes);
    return node;
}

static void destroy_node(kvi_rbtree_t *tree, kvi_rb_node_t *node)
{
    if ((node->meta & META_APART) != 0) {
        kv_pool_free(tree->pool, kvi_rb_value_bytes(node));
    }
    kv_pool_free(tree->pool, node);
}

static void count_node(kvi_rbtree_t *tree, size_t key_bytes, size_t value_bytes)
{
    tree->key_bytes += key_bytes;
    tree->value_bytes += value_bytes;
    tree->index_bytes += kvi_rb_index_bytes(key_bytes, value_bytes);
}

static void uncount_node(kvi_rbtree_t *tree, size_t key_bytes, size_t value_bytes)
{
    tree->key_bytes -= key_bytes;
    tree->value_bytes -= value_bytes;
    tree->index_bytes -= kvi_rb_index_bytes(key_bytes, value_bytes);
}

/* ---- overwriting ---- */

/* Classes are at most 12.5 % apart, so an object that is used to 7/8 could not be much smaller. */
static bool fits_well(const kvi_rbtree_t *tree, const void *object, size_t bytes)
{
    const size_t usable = kv_pool_usable_size(tree->pool, object);
    return bytes <= usable && bytes + 8 >= usable - usable / 8;
}

/* Whether the node's objects took the content as they stand. */
static bool overwrite_in_place(kvi_rbtree_t *tree, kvi_rb_node_t *node, const content_t *content)
{
    const size_t old_bytes = kvi_rb_value_size(node);
    const size_t new_bytes = content->value_bytes;
    if (kvi_rb_is_apart(old_bytes) != kvi_rb_is_apart(new_bytes)) {
        return false;
    }
    if (kvi_rb_is_apart(new_bytes)) {
        char *const value = kvi_rb_value_bytes(node);
        if (old_bytes != new_bytes && !fits_well(tree, value, new_bytes)) {
            return false;
        }
        write_apart(node, value, new_bytes);
    } else if (old_bytes != new_bytes) {
        const size_t key_bytes = kvi_rb_key(node).size;
        if (!fits_well(tree, node, kvi_rb_node_bytes(key_bytes, new_bytes))) {
            return false;
        }
        node->meta = (node->meta & ((1u << META_VALUE_SHIFT) - 1)) | (uint32_t)new_bytes
                                                                         << META_VALUE_SHIFT;
    }
    kvi_bytes_move(kvi_rb_value_bytes(node), content->fill, content->fill_bytes);
    return true;
}

/* Another object for a value that was and stays apart. */
static kv_status_t replace_apart(kvi_rbtree_t *tree, kvi_rb_node_t *node, const content_t *content)
{
    char *const value = kv_pool_alloc(tree->pool, content->capacity);
    if (value == NULL) {
        return KV_NO_MEMORY;
    }
    kvi_bytes_copy(value, content->fill, content->fill_bytes);
    kv_pool_free(tree->pool, kvi_rb_value_bytes(node));
    write_apart(node, value, content->value_bytes);
    return KV_OK;
}

/* A new node in the place of *node, the end of the path. */
static kv_status_t replace_node(kvi_rbtree_t *tree, const kvi_rb_path_t *path, kvi_rb_node_t **node,
                                const content_t *content)
{
    kvi_rb_node_t *const old = *node;
    kvi_rb_node_t *const made = create_node(tree, kvi_rb_key(old), content);
    if (made == NULL) {
        return KV_NO_MEMORY;
    }
    const kvi_rb_step_t *const parent = &path->steps[path->count - 1];
    uint32_t *const link = &parent->node->link[parent->dir];
    const uint32_t ref = kvi_pool_ref(tree->pool, made);
    made->link[0] = old->link[0];
    made->link[1] = old->link[1];
    made->meta = (made->meta & ~META_RED) | (old->meta & META_RED);
    tree->relocate_at = tree->relocate_at == *link ? ref : tree->relocate_at;
    *link = ref;
    destroy_node(tree, old);
    *node = made;
    return KV_OK;
}

static kv_status_t overwrite(kvi_rbtree_t *tree, const kvi_rb_path_t *path, kvi_rb_node_t **node,
                             const content_t *content)
{
    const size_t key_bytes = kvi_rb_key(*node).size;
    const size_t old_bytes = kvi_rb_value_size(*node);
    if (!overwrite_in_place(tree, *node, content)) {
        const kv_status_t status =
            kvi_rb_is_apart(old_bytes) && kvi_rb_is_apart(content->value_bytes)
                ? replace_apart(tree, *node, content)
                : replace_node(tree, path, node, content);
        if (status != KV_OK) {
            return status;
        }
    }
    uncount_node(tree, key_bytes, old_bytes);
    count_node(tree, key_bytes, content->value_bytes);
    return KV_OK;
}

/* ---- the functions of the table ---- */

static kv_status_t insert(kvi_rbtree_t *tree, kvi_rb_path_t *path, kv_slice_t key,
                          const content_t *content, kvi_rb_node_t **node)
{
    kvi_rb_node_t *const made = create_node(tree, key, content);
    if (made == NULL) {
        return KV_NO_MEMORY;
    }
    kvi_rb_link(tree, path, kvi_pool_ref(tree->pool, made));
    tree->count++;
    count_node(tree, key.size, content->value_bytes);
    *node = made;
    return KV_OK;
}

kv_status_t kvi_rb_put(kv_engine_t *engine, kv_slice_t key, kv_slice_t value)
{
    kvi_rbtree_t *const tree = (kvi_rbtree_t *)engine;
    kvi_rb_path_t path;
    if (key.size > KV_KEY_BYTES_MAX || value.size > KV_VALUE_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    const content_t content = {value.size, value.size, value.data, value.size};
    kvi_rb_node_t *node = kvi_rb_descend(tree, key, &path);
    tree->changes++;
    return node != NULL ? overwrite(tree, &path, &node, &content)
                        : insert(tree, &path, key, &content, &node);
}

/* A value apart that grows will grow again: an eighth more room, so that n appends copy O(n) bytes.
 */
static size_t growing_capacity(size_t old_bytes, size_t value_bytes)
{
    return value_bytes > old_bytes && kvi_rb_is_apart(old_bytes) ? value_bytes + value_bytes / 8
                                                                 : value_bytes;
}

kv_status_t kvi_rb_place(kv_engine_t *engine, kv_slice_t key, size_t value_bytes, size_t keep_bytes,
                         char **place)
{
    kvi_rbtree_t *const tree = (kvi_rbtree_t *)engine;
    kvi_rb_path_t path;
    if (key.size > KV_KEY_BYTES_MAX || value_bytes > KV_VALUE_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    kvi_rb_node_t *node = kvi_rb_descend(tree, key, &path);
    const kv_slice_t old = node != NULL ? kvi_rb_value(node) : (kv_slice_t){NULL, 0};
    if (keep_bytes > old.size || keep_bytes > value_bytes) {
        return KV_INVALID;
    }
    const content_t content = {value_bytes, growing_capacity(old.size, value_bytes), old.data,
                               keep_bytes};
    tree->changes++;
    const kv_status_t status = node != NULL ? overwrite(tree, &path, &node, &content)
                                            : insert(tree, &path, key, &content, &node);
    if (status == KV_OK) {
        *place = kvi_rb_value_bytes(node);
    }
    return status;
}

/* The node behind the one at the end of the path; 0: none. */
static uint32_t next_of_path(const kvi_rbtree_t *tree, const kvi_rb_path_t *path,
                             const kvi_rb_node_t *node)
{
    uint32_t ref = node->link[1];
    if (ref != 0) {
        while (kvi_rb_node(tree, ref)->link[0] != 0) {
            ref = kvi_rb_node(tree, ref)->link[0];
        }
        return ref;
    }
    uint32_t step = path->count - 1;
    while (step > 0 && path->steps[step].dir == 1) {
        step--;
    }
    return path->steps[step].ref; /* the top's is 0 */
}

kv_status_t kvi_rb_del(kv_engine_t *engine, kv_slice_t key)
{
    kvi_rbtree_t *const tree = (kvi_rbtree_t *)engine;
    kvi_rb_path_t path;
    kvi_rb_node_t *const node = kvi_rb_descend(tree, key, &path);
    if (node == NULL) {
        return KV_NOT_FOUND;
    }
    const kvi_rb_step_t *const parent = &path.steps[path.count - 1];
    if (tree->relocate_at == parent->node->link[parent->dir]) {
        tree->relocate_at = next_of_path(tree, &path, node);
    }
    uncount_node(tree, kvi_rb_key(node).size, kvi_rb_value_size(node));
    kvi_rb_unlink(tree, &path);
    destroy_node(tree, node);
    tree->changes++;
    tree->count--;
    return KV_OK;
}
