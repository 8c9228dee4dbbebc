/* SPDX-License-Identifier: MIT */
/* The red-black tree of BSD's sys/tree.h (libbsd): nodes that hold key and value behind the links,
 * one allocation an entry, as its users write it. */
#include <stdlib.h>
#include <string.h>

#include <bsd/sys/tree.h>

#include "base/bytes.h"
#include "kvbench/work.h"

extern const store_ops_t store_bsdtree;

typedef struct node {
    RB_ENTRY(node) links;
    uint32_t key_bytes;
    uint32_t value_bytes;
    char bytes[];
} node_t;

/* A node to look for: its key and no value. */
typedef union probe {
    node_t node;
    char room[sizeof(node_t) + WORK_KEY_BYTES_MAX];
} probe_t;

typedef RB_HEAD(tree, node) tree_t;

static kv_slice_t key_of(const node_t *node)
{
    return (kv_slice_t){node->bytes, node->key_bytes};
}

static kv_slice_t value_of(const node_t *node)
{
    return (kv_slice_t){node->bytes + node->key_bytes, node->value_bytes};
}

static int compare(const node_t *a, const node_t *b)
{
    return kvi_slice_compare(key_of(a), key_of(b));
}

/* The header offers no more than RB_GENERATE, whose functions are not static. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
RB_GENERATE(tree, node, links, compare)
#pragma GCC diagnostic pop

static void *bsdtree_open(const store_ops_t *self)
{
    tree_t *const tree = malloc(sizeof *tree);
    (void)self;
    if (tree != NULL) {
        RB_INIT(tree);
    }
    return tree;
}

static void bsdtree_close(void *store)
{
    tree_t *const tree = store;
    node_t *next = NULL;
    for (node_t *node = RB_MIN(tree, tree); node != NULL; node = next) {
        next = RB_NEXT(tree, tree, node);
        RB_REMOVE(tree, tree, node);
        free(node);
    }
    free(tree);
}

static node_t *wanted(probe_t *probe, kv_slice_t key)
{
    probe->node.key_bytes = (uint32_t)key.size;
    memcpy(probe->node.bytes, key.data, key.size);
    return &probe->node;
}

static node_t *find(tree_t *tree, kv_slice_t key)
{
    probe_t probe;
    return RB_FIND(tree, tree, wanted(&probe, key));
}

static bool bsdtree_put(void *store, kv_slice_t key, kv_slice_t value)
{
    tree_t *const tree = store;
    node_t *const node = malloc(sizeof *node + key.size + value.size);
    if (node == NULL) {
        return false;
    }
    node->key_bytes = (uint32_t)key.size;
    node->value_bytes = (uint32_t)value.size;
    memcpy(node->bytes, key.data, key.size);
    memcpy(node->bytes + key.size, value.data, value.size);
    node_t *const old = RB_INSERT(tree, tree, node);
    if (old != NULL && old->value_bytes == node->value_bytes) {
        memcpy(old->bytes + key.size, value.data, value.size);
        free(node);
    } else if (old != NULL) {
        RB_REMOVE(tree, tree, old);
        free(old);
        RB_INSERT(tree, tree, node);
    }
    return true;
}

static bool bsdtree_get(void *store, kv_slice_t key, kv_slice_t *value)
{
    const node_t *const node = find(store, key);
    if (node != NULL) {
        *value = value_of(node);
    }
    return node != NULL;
}

static bool bsdtree_del(void *store, kv_slice_t key)
{
    tree_t *const tree = store;
    node_t *const node = find(tree, key);
    if (node != NULL) {
        RB_REMOVE(tree, tree, node);
        free(node);
    }
    return node != NULL;
}

static uint64_t bsdtree_iterate(void *store)
{
    tree_t *const tree = store;
    node_t *node;
    uint64_t sum = 0;
    RB_FOREACH(node, tree, tree)
    {
        sum += store_touch(key_of(node)) + store_touch(value_of(node));
    }
    return sum;
}

static void *bsdtree_cursor_open(void *store)
{
    return store;
}

static size_t bsdtree_seek(void *cursor, kv_slice_t key, size_t count, uint64_t *sum)
{
    tree_t *const tree = cursor;
    probe_t probe;
    size_t visited = 0;
    for (node_t *node = RB_NFIND(tree, tree, wanted(&probe, key)); node != NULL && visited < count;
         node = RB_NEXT(tree, tree, node)) {
        *sum += store_touch(key_of(node)) + store_touch(value_of(node));
        visited++;
    }
    return visited;
}

static void bsdtree_cursor_close(void *cursor)
{
    (void)cursor;
}

const store_ops_t store_bsdtree = {
    .name = "bsdtree",
    .shares_reads = true,
    .open = bsdtree_open,
    .close = bsdtree_close,
    .put = bsdtree_put,
    .get = bsdtree_get,
    .del = bsdtree_del,
    .iterate = bsdtree_iterate,
    .cursor_open = bsdtree_cursor_open,
    .seek = bsdtree_seek,
    .cursor_close = bsdtree_cursor_close,
};
