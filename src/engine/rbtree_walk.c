/* SPDX-License-Identifier: MIT */
/*
 * Walks over the red-black tree engine: in order, by token, at random, and through its memory.
 * Shapes and invariants: rbtree_int.h. One user at a time.
 *
 * In order a tree of scattered nodes is one cache miss after the other. So a walk that has proved
 * to be more than a short one first fetches each subtree of black height WARM_HEIGHT level by
 * level, which waits once for a level instead of once for a node, and then finds its 15 to 255
 * nodes in the cache.
 */
#include "engine/rbtree_int.h"

#include "base/random.h"
#include "engine/ordered_scan.h"

#define WARM_HEIGHT 4u
#define WARM_NODES_MAX 255u /* 4^WARM_HEIGHT - 1: every black node has two red children */
#define WARM_AFTER 8u
#define SAMPLE_LANES 8u
#define SAMPLE_ROUNDS 16u
#define SAMPLE_PARTS 8
#define EDGE_NONE 2u
#define EDGE_BOTH 3u
#define EDGE_SIXTEENTHS 10u

/* ---- in order ---- */

static void warm(const kvi_rbtree_t *tree, kvi_rb_node_t *from)
{
    kvi_rb_node_t *nodes[WARM_NODES_MAX];
    uint32_t count = 1;
    nodes[0] = from;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t dir = 0; dir < 2; dir++) {
            if (nodes[i]->link[dir] != 0) {
                nodes[count] = kvi_rb_node(tree, nodes[i]->link[dir]);
                kvi_rb_prefetch(nodes[count++]);
            }
        }
        kvi_prefetch(kvi_rb_value_place(nodes[i]));
    }
}

static uint32_t height_below(const kvi_rb_node_t *node, uint32_t height)
{
    return height - !kvi_rb_is_red(node);
}

static void push(kvi_rb_walk_t *walk, kvi_rb_node_t *node, uint32_t height)
{
    walk->heights[walk->count] = (uint8_t)height;
    walk->nodes[walk->count++] = node;
}

static kvi_rb_node_t *present(const kvi_rb_walk_t *walk)
{
    return walk->count > 0 ? walk->nodes[walk->count - 1] : NULL;
}

/* Adds the near edge of this subtree, whose end is its first node. */
static void push_edge(kvi_rb_walk_t *walk, uint32_t ref, uint32_t height)
{
    while (ref != 0) {
        kvi_rb_node_t *const node = kvi_rb_node(walk->tree, ref);
        if (height == WARM_HEIGHT && walk->taken >= WARM_AFTER && !kvi_rb_is_red(node)) {
            warm(walk->tree, node);
        }
        push(walk, node, height);
        height = height_below(node, height);
        ref = node->link[walk->near];
    }
}

static void begin_walk(kvi_rb_walk_t *walk, const kvi_rbtree_t *tree, uint32_t near)
{
    walk->tree = tree;
    walk->near = near;
    walk->taken = 0;
    walk->count = 0;
}

kvi_rb_node_t *kvi_rb_walk_first(kvi_rb_walk_t *walk, const kvi_rbtree_t *tree, uint32_t near)
{
    begin_walk(walk, tree, near);
    push_edge(walk, tree->top.link[0], tree->black_height);
    return present(walk);
}

kvi_rb_node_t *kvi_rb_walk_seek(kvi_rb_walk_t *walk, const kvi_rbtree_t *tree, kv_slice_t key,
                                uint32_t near)
{
    const uint64_t head = kvi_head64(key.data, key.size);
    uint32_t ref = tree->top.link[0];
    uint32_t height = tree->black_height;
    begin_walk(walk, tree, near);
    while (ref != 0) {
        kvi_rb_node_t *const node = kvi_rb_node(tree, ref);
        const int order = kvi_rb_compare(key, head, node);
        const uint32_t dir = order > 0;
        if (order == 0 || dir == near) {
            push(walk, node, height);
        }
        if (order == 0) {
            break;
        }
        height = height_below(node, height);
        ref = node->link[dir];
    }
    return present(walk);
}

kvi_rb_node_t *kvi_rb_walk_next(kvi_rb_walk_t *walk)
{
    const uint32_t last = --walk->count;
    const kvi_rb_node_t *const node = walk->nodes[last];
    walk->taken++;
    push_edge(walk, node->link[!walk->near], height_below(node, walk->heights[last]));
    return present(walk);
}

/* ---- by token ---- */

typedef struct token_walk {
    kvi_ordered_walk_t walk;
    const kvi_rbtree_t *tree;
    kvi_rb_walk_t nodes;
} token_walk_t;

static bool stand(token_walk_t *walk, kvi_rb_node_t *node)
{
    if (node == NULL) {
        return false;
    }
    walk->walk.key = kvi_rb_key(node);
    walk->walk.value = kvi_rb_value(node);
    return true;
}

static bool token_seek(kvi_ordered_walk_t *walk, kv_slice_t key)
{
    token_walk_t *const own = (token_walk_t *)walk;
    return stand(own, kvi_rb_walk_seek(&own->nodes, own->tree, key, 0));
}

static bool token_next(kvi_ordered_walk_t *walk)
{
    token_walk_t *const own = (token_walk_t *)walk;
    return stand(own, kvi_rb_walk_next(&own->nodes));
}

static bool token_last(kvi_ordered_walk_t *walk)
{
    token_walk_t *const own = (token_walk_t *)walk;
    return stand(own, kvi_rb_walk_first(&own->nodes, own->tree, 1));
}

uint64_t kvi_rb_scan(kv_engine_t *engine, uint64_t token, size_t count, kv_engine_visit_fn visit,
                     void *context)
{
    const kvi_rbtree_t *const tree = (const kvi_rbtree_t *)engine;
    token_walk_t walk = {
        .walk = {.seek = token_seek, .next = token_next, .last = token_last, .seed = tree->seed},
        .tree = tree,
    };
    return kvi_ordered_scan(&walk.walk, token, count, visit, context);
}

/* ---- at random ----
 *
 * A missing child is the gap before some node (the last one before none). A way down by tosses
 * comes to each gap with a probability that is known at its end; accepting it with one that is
 * inversely proportional makes all gaps equally likely. That holds for those that are come to with
 * at least an eighth of their share; the few others are always accepted, and get less.
 *
 * Keys that were put in order make a tree whose edge has more behind it than looks so. Whoever has
 * gone along an edge so far therefore stays on it more often than not: then not one node in a
 * hundred gets less than its share. Several ways down are gone at once, so that they wait for their
 * nodes together: seven of eight are not accepted.
 */

typedef struct lane {
    kvi_rb_node_t *node; /* NULL: it came to a gap */
    kvi_rb_node_t *next; /* the last node it passed on the left: behind the gap */
    uint32_t edge;       /* the side of the tree it is at; EDGE_NONE, EDGE_BOTH */
    double probability;  /* of this way */
    kvi_random_t random;
} lane_t;

/* Where the next step leads, and how likely that was. */
static uint32_t toss(lane_t *lane)
{
    const uint32_t number = (uint32_t)(kvi_random_next(&lane->random) >> 60);
    if (lane->edge >= EDGE_NONE) {
        const uint32_t dir = number & 1u;
        lane->probability *= 0.5;
        lane->edge = lane->edge == EDGE_BOTH ? dir : EDGE_NONE;
        return dir;
    }
    const bool stays = number < EDGE_SIXTEENTHS;
    const uint32_t dir = stays ? lane->edge : !lane->edge;
    lane->probability *= (stays ? EDGE_SIXTEENTHS : 16 - EDGE_SIXTEENTHS) / 16.0;
    lane->edge = stays ? lane->edge : EDGE_NONE;
    return dir;
}

/* One step of a way. False at its end. */
static bool step_lane(const kvi_rbtree_t *tree, lane_t *lane)
{
    kvi_rb_node_t *const node = lane->node;
    const uint32_t dir = toss(lane);
    lane->next = dir == 0 ? node : lane->next;
    lane->node = node->link[dir] != 0 ? kvi_rb_node(tree, node->link[dir]) : NULL;
    if (lane->node != NULL) {
        kvi_prefetch(lane->node);
    }
    return lane->node != NULL;
}

static void run_lanes(const kvi_rbtree_t *tree, kvi_random_t *random, lane_t *lanes)
{
    uint32_t open = SAMPLE_LANES;
    for (uint32_t i = 0; i < SAMPLE_LANES; i++) {
        kvi_rb_node_t *const root = kvi_rb_node(tree, tree->top.link[0]);
        lanes[i] = (lane_t){root, NULL, EDGE_BOTH, 1, {kvi_random_next(random)}};
    }
    while (open > 0) {
        for (uint32_t i = 0; i < SAMPLE_LANES; i++) {
            if (lanes[i].node != NULL && !step_lane(tree, &lanes[i])) {
                open--;
            }
        }
    }
}

static bool accept_lane(const lane_t *lane, double share, kvi_random_t *random)
{
    const double number = (double)(kvi_random_next(random) >> 11) / (double)(UINT64_C(1) << 53);
    return lane->next != NULL && number * lane->probability * SAMPLE_PARTS < share;
}

static kvi_rb_node_t *sample_node(const kvi_rbtree_t *tree, uint64_t number)
{
    kvi_random_t random = {number};
    lane_t lanes[SAMPLE_LANES];
    const double share = 1 / ((double)tree->count + 1);
    kvi_rb_node_t *last = kvi_rb_node(tree, tree->top.link[0]);
    for (uint32_t round = 0; round < SAMPLE_ROUNDS; round++) {
        run_lanes(tree, &random, lanes);
        for (uint32_t i = 0; i < SAMPLE_LANES; i++) {
            last = lanes[i].next != NULL ? lanes[i].next : last;
            if (accept_lane(&lanes[i], share, &random)) {
                return lanes[i].next;
            }
        }
    }
    return last;
}

kv_status_t kvi_rb_sample(kv_engine_t *engine, uint64_t number, kv_slice_t *key, kv_slice_t *value)
{
    const kvi_rbtree_t *const tree = (const kvi_rbtree_t *)engine;
    if (tree->count == 0) {
        return KV_NOT_FOUND;
    }
    kvi_rb_node_t *const node = sample_node(tree, number);
    *key = kvi_rb_key(node);
    *value = kvi_rb_value(node);
    return KV_OK;
}

/* ---- moving nodes ---- */

/* Moves an object of this size out of a sparse block. NULL: it stays. */
static void *move_object(kvi_rbtree_t *tree, void *object, size_t bytes)
{
    if (!kv_pool_sparse(tree->pool, object)) {
        return NULL;
    }
    void *const copy = kv_pool_alloc(tree->pool, bytes);
    if (copy != NULL) {
        memcpy(copy, object, bytes);
        kv_pool_free(tree->pool, object);
    }
    return copy;
}

static size_t move_node(kvi_rbtree_t *tree, uint32_t *link)
{
    if (*link == 0) {
        return 0;
    }
    kvi_rb_node_t *const node = kvi_rb_node(tree, *link);
    const size_t bytes = kvi_rb_node_bytes(kvi_rb_key(node).size, kvi_rb_value_size(node));
    void *const moved = move_object(tree, node, bytes);
    if (moved == NULL) {
        return 0;
    }
    *link = kvi_pool_ref(tree->pool, moved);
    return 1;
}

static size_t move_value(kvi_rbtree_t *tree, kvi_rb_node_t *node)
{
    if ((node->meta & META_APART) == 0) {
        return 0;
    }
    const kv_slice_t value = kvi_rb_value(node);
    char *const moved = move_object(tree, kvi_rb_value_bytes(node), value.size);
    if (moved == NULL) {
        return 0;
    }
    memcpy(kvi_rb_value_place(node) + 8, &moved, sizeof moved);
    return 1;
}

/* To where relocate goes on. At the beginning the root, which is nobody's child, has its turn. */
static kvi_rb_node_t *begin_relocation(kvi_rbtree_t *tree, kvi_rb_walk_t *walk)
{
    if (tree->relocate_at != 0) {
        const kv_slice_t key = kvi_rb_key(kvi_rb_node(tree, tree->relocate_at));
        return kvi_rb_walk_seek(walk, tree, key, 0);
    }
    const size_t moved = move_node(tree, &tree->top.link[0]);
    tree->relocate_idle = moved > 0 ? 0 : tree->relocate_idle;
    tree->changes += moved;
    return kvi_rb_walk_first(walk, tree, 0);
}

/* All nodes were passed, and nothing was left to move: the pool can part with the blocks that have
 * become empty. The next call looks through everything again. */
static void end_relocation(kvi_rbtree_t *tree)
{
    tree->relocate_idle = 0;
    if (tree->trimmed_at != tree->changes) {
        tree->trimmed_at = tree->changes;
        (void)kv_pool_trim(tree->pool);
    }
}

/* Each node's turn is when the walk comes to its parent: it is then no part of what the walk still
 * has to do, or not yet. */
size_t kvi_rb_relocate(kv_engine_t *engine, size_t steps)
{
    kvi_rbtree_t *const tree = (kvi_rbtree_t *)engine;
    kvi_rb_walk_t walk;
    kvi_rb_node_t *node = NULL;
    size_t used = 0;
    while (used < steps && tree->relocate_idle < tree->count) {
        node = node != NULL ? node : begin_relocation(tree, &walk);
        const size_t moved = move_node(tree, &node->link[0]) + move_node(tree, &node->link[1]) +
                             move_value(tree, node);
        tree->relocate_idle = moved > 0 ? 0 : tree->relocate_idle + 1;
        tree->changes += moved;
        node = kvi_rb_walk_next(&walk);
        tree->relocate_at = node != NULL ? kvi_pool_ref(tree->pool, node) : 0;
        used++;
    }
    if (used < steps) {
        end_relocation(tree);
    }
    return used;
}
