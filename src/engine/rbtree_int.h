/* SPDX-License-Identifier: MIT */
/*
 * The red-black tree engine's own shapes. Only the files src/engine/rbtree*.c include this.
 *
 * A node is one pool object with links, key and value; a child is named by 32 bits. There is no
 * parent link: whoever changes the tree knows the way he came.
 *
 *   0        4        8      12                       12 + room for the key
 *   [ left  ][ right ][meta ][key ......................][value ......................]
 *                       |                                [bytes: 8][address: 8]          apart
 *                       |     [head: 8][bytes: 8][key ..........]                        long key
 *                       v
 *   meta   0: red  1: long key  2: value apart  3 - 15: key bytes  16 - 31: value bytes
 *
 * Behind the meta always stand eight bytes, the key's first, zeros behind a shorter one: as a
 * big-endian number they decide most compares, in the node's first line. 16 + 32 bytes make a node
 * of 60, which is one line of 64.
 *
 * Invariants
 *  1. Keys ascend in order.
 *  2. A red node has no red child, and the root is black.
 *  3. The way from the root down to any missing child has black_height black nodes.
 *  4. Keys above KEY_SHORT_MAX are long, values above VALUE_INLINE_MAX apart; both only then.
 *  5. relocate_at is 0 or the reference of a node in the tree.
 *
 * So a tree of n nodes is at most 2 log2(n + 1) high: a pool's 32 GB hold no 2^31 nodes, and no way
 * has more than PATH_MAX - 2 nodes. Nothing here calls itself.
 *
 * One user at a time.
 */
#ifndef KVI_ENGINE_RBTREE_INT_H
#define KVI_ENGINE_RBTREE_INT_H

#include <concordkv/kv_engine.h>

#include "engine/key_order.h"
#include "memory/pool.h"

#define NODE_HEADER_BYTES 12u
#define NODE_HEAD_BYTES 8u
#define NODE_LONG_BYTES 16u  /* head and length before a long key */
#define NODE_APART_BYTES 16u /* length and address instead of a value */
#define NODE_LINE_BYTES 64u
#define KEY_SHORT_MAX 8191u
#define VALUE_INLINE_MAX 512u
#define META_RED 1u
#define META_LONG_KEY 2u
#define META_APART 4u
#define META_KEY_SHIFT 3u
#define META_VALUE_SHIFT 16u
#define PATH_MAX_NODES 64u

typedef struct kvi_rb_node {
    uint32_t link[2]; /* smaller, larger; 0: none */
    uint32_t meta;
    char bytes[NODE_HEAD_BYTES]; /* and on */
} kvi_rb_node_t;

typedef struct kvi_rbtree {
    kv_engine_t engine;
    kv_pool_t *pool;
    kvi_rb_node_t top; /* not a node of the tree: its left child is the root */
    uint32_t black_height;
    uint32_t relocate_at; /* the node at which relocate goes on; 0: at the beginning */
    uint64_t relocate_idle;
    uint64_t trimmed_at; /* changes when the pool last gave empty blocks back */
    uint64_t count;
    uint64_t changes; /* counts whatever may move or change a node */
    uint64_t seed;
    size_t key_bytes;
    size_t value_bytes;
    size_t index_bytes; /* this struct and all of the nodes but keys and values */
    size_t cursor_objects;
} kvi_rbtree_t;

/* The way from the top to a node. steps[count - 1] is its parent, and the node, if there is one,
 * that one's child at dir. */
typedef struct kvi_rb_step {
    kvi_rb_node_t *node;
    uint32_t ref;
    uint32_t dir;
} kvi_rb_step_t;
typedef struct kvi_rb_path {
    uint32_t count;
    kvi_rb_step_t steps[PATH_MAX_NODES + 2];
} kvi_rb_path_t;

/* ---- nodes ---- */

static inline kvi_rb_node_t *kvi_rb_node(const kvi_rbtree_t *tree, uint32_t ref)
{
    return kvi_pool_deref(tree->pool, ref);
}

static inline bool kvi_rb_is_red(const kvi_rb_node_t *node)
{
    return (node->meta & META_RED) != 0;
}

static inline uint64_t kvi_rb_head(const kvi_rb_node_t *node)
{
    return kvi_load_big64(node->bytes);
}

static inline size_t kvi_rb_load_size(const char *at)
{
    return (size_t)kvi_bytes_load64(at);
}

static inline kv_slice_t kvi_rb_key(const kvi_rb_node_t *node)
{
    const char *const bytes = (const char *)node + NODE_HEADER_BYTES;
    if ((node->meta & META_LONG_KEY) != 0) {
        return (kv_slice_t){bytes + NODE_LONG_BYTES, kvi_rb_load_size(bytes + NODE_HEAD_BYTES)};
    }
    return (kv_slice_t){bytes, (node->meta >> META_KEY_SHIFT) & KEY_SHORT_MAX};
}

/* Bytes that a key of this size takes in its node. */
static inline size_t kvi_rb_key_room(size_t key_bytes)
{
    if (key_bytes > KEY_SHORT_MAX) {
        return NODE_LONG_BYTES + key_bytes;
    }
    return key_bytes < NODE_HEAD_BYTES ? NODE_HEAD_BYTES : key_bytes;
}

static inline bool kvi_rb_is_apart(size_t value_bytes)
{
    return value_bytes > VALUE_INLINE_MAX;
}

/* Bytes of the node's object. */
static inline size_t kvi_rb_node_bytes(size_t key_bytes, size_t value_bytes)
{
    return NODE_HEADER_BYTES + kvi_rb_key_room(key_bytes) +
           (kvi_rb_is_apart(value_bytes) ? NODE_APART_BYTES : value_bytes);
}

/* Where the value or its length and address stand. */
static inline char *kvi_rb_value_place(kvi_rb_node_t *node)
{
    const kv_slice_t key = kvi_rb_key(node);
    return (char *)node + NODE_HEADER_BYTES + kvi_rb_key_room(key.size);
}

static inline char *kvi_rb_load_address(const char *at)
{
    char *address;
    memcpy(&address, at + 8, sizeof address);
    return address;
}

/* The value's bytes, which may be written. */
static inline char *kvi_rb_value_bytes(kvi_rb_node_t *node)
{
    char *const place = kvi_rb_value_place(node);
    return (node->meta & META_APART) != 0 ? kvi_rb_load_address(place) : place;
}

static inline size_t kvi_rb_value_size(kvi_rb_node_t *node)
{
    return (node->meta & META_APART) != 0 ? kvi_rb_load_size(kvi_rb_value_place(node))
                                          : node->meta >> META_VALUE_SHIFT;
}

static inline kv_slice_t kvi_rb_value(kvi_rb_node_t *node)
{
    return (kv_slice_t){kvi_rb_value_bytes(node), kvi_rb_value_size(node)};
}

/* What a node takes beside its key and an inline value. */
static inline size_t kvi_rb_index_bytes(size_t key_bytes, size_t value_bytes)
{
    return kvi_rb_node_bytes(key_bytes, value_bytes) - key_bytes -
           (kvi_rb_is_apart(value_bytes) ? 0 : value_bytes);
}

/* ---- looking up ---- */

/* Two keys whose heads are equal. */
static inline int kvi_rb_compare_rest(kv_slice_t a, kv_slice_t b)
{
    if (a.size >= 2 * NODE_HEAD_BYTES && b.size >= 2 * NODE_HEAD_BYTES) {
        const uint64_t a_next = kvi_load_big64(a.data + NODE_HEAD_BYTES);
        const uint64_t b_next = kvi_load_big64(b.data + NODE_HEAD_BYTES);
        if (a_next != b_next) {
            return a_next < b_next ? -1 : 1;
        }
    }
    return kvi_slice_compare(a, b);
}

/* <0, 0, >0: key, whose head this is, is before, at or behind the node. */
static inline int kvi_rb_compare(kv_slice_t key, uint64_t head, const kvi_rb_node_t *node)
{
    const uint64_t own = kvi_rb_head(node);
    if (head != own) {
        return head < own ? -1 : 1;
    }
    return kvi_rb_compare_rest(key, kvi_rb_key(node));
}

/* Begins to bring the part of a node into the cache that decides the way. */
static inline void kvi_rb_prefetch(const kvi_rb_node_t *node)
{
    kvi_prefetch(node);
    kvi_prefetch((const char *)node + NODE_HEADER_BYTES + NODE_HEAD_BYTES - 1);
}

/* ---- rbtree.c ---- */

/* The node with this key, or NULL. */
kvi_rb_node_t *kvi_rb_find(const kvi_rbtree_t *tree, kv_slice_t key);

/* ---- rbtree_write.c ---- */

/* The way to this key; the node with it, or NULL and where it would be. */
kvi_rb_node_t *kvi_rb_descend(kvi_rbtree_t *tree, kv_slice_t key, kvi_rb_path_t *path);
kv_status_t kvi_rb_put(kv_engine_t *engine, kv_slice_t key, kv_slice_t value);
kv_status_t kvi_rb_place(kv_engine_t *engine, kv_slice_t key, size_t value_bytes, size_t keep_bytes,
                         char **place);
kv_status_t kvi_rb_del(kv_engine_t *engine, kv_slice_t key);

/* ---- rbtree_balance.c: links and colours alone ---- */

/* Links a red node in at the end of the path and makes the tree balanced again. */
void kvi_rb_link(kvi_rbtree_t *tree, kvi_rb_path_t *path, uint32_t ref);
/* Takes the node at the end of the path out. */
void kvi_rb_unlink(kvi_rbtree_t *tree, kvi_rb_path_t *path);

/* ---- rbtree_walk.c: walks in either direction, and what is made of them ---- */

/* Nodes yet to come, the next one last, each with what stands behind it on its far side. Holds as
 * long as the tree does not change. */
typedef struct kvi_rb_walk {
    const kvi_rbtree_t *tree;
    uint32_t near; /* the direction it comes from: 0 ascending, 1 descending */
    uint32_t taken;
    uint32_t count;
    uint8_t heights[PATH_MAX_NODES]; /* black nodes from this one down */
    kvi_rb_node_t *nodes[PATH_MAX_NODES];
} kvi_rb_walk_t;

/* To the tree's first node in this direction; NULL if it is empty. */
kvi_rb_node_t *kvi_rb_walk_first(kvi_rb_walk_t *walk, const kvi_rbtree_t *tree, uint32_t near);
/* To the first node in this direction at key or behind it. */
kvi_rb_node_t *kvi_rb_walk_seek(kvi_rb_walk_t *walk, const kvi_rbtree_t *tree, kv_slice_t key,
                                uint32_t near);
/* To the next node; NULL behind the last one. */
kvi_rb_node_t *kvi_rb_walk_next(kvi_rb_walk_t *walk);

uint64_t kvi_rb_scan(kv_engine_t *engine, uint64_t token, size_t count, kv_engine_visit_fn visit,
                     void *context);
kv_status_t kvi_rb_sample(kv_engine_t *engine, uint64_t number, kv_slice_t *key, kv_slice_t *value);
size_t kvi_rb_relocate(kv_engine_t *engine, size_t steps);

/* ---- rbtree_cursor.c ---- */

kv_status_t kvi_rb_cursor_open(kv_engine_t *engine, kv_cursor_t **cursor);
void kvi_rb_cursor_close(kv_cursor_t *cursor);
bool kvi_rb_cursor_valid(const kv_cursor_t *cursor);
kv_status_t kvi_rb_cursor_first(kv_cursor_t *cursor);
kv_status_t kvi_rb_cursor_last(kv_cursor_t *cursor);
kv_status_t kvi_rb_cursor_seek(kv_cursor_t *cursor, kv_slice_t key);
kv_status_t kvi_rb_cursor_next(kv_cursor_t *cursor);
kv_status_t kvi_rb_cursor_prev(kv_cursor_t *cursor);
kv_slice_t kvi_rb_cursor_key(const kv_cursor_t *cursor);
kv_slice_t kvi_rb_cursor_value(const kv_cursor_t *cursor);

/* ---- rbtree_estimate.c ---- */

size_t kvi_rb_estimate(uint64_t count, size_t key_bytes, size_t value_bytes);

/* ---- rbtree_check.c ---- */

kv_status_t kvi_rb_check(const kv_engine_t *engine);

#endif
