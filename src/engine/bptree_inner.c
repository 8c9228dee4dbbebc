/* SPDX-License-Identifier: MIT */
/*
 * Inner nodes of the B+tree engine: finding a child, taking children in, splitting and joining. The
 * layout stands in bptree_int.h. One user at a time.
 *
 * Whatever changes more than one place makes a new node from a list of items, and only then takes
 * the old one away: where memory is short, nothing has happened.
 */
#include "engine/bptree_int.h"

#include <assert.h>

#define CAPACITY_STEP 4u
#define SEPARATOR_BUFFER (INNER_PREFIX_MAX + INNER_HEAD_BYTES)

/* ---- separators ---- */

static kvi_apart_t *separator_apart(const kvi_bptree_t *tree, const kvi_inner_t *node,
                                    uint32_t index)
{
    return kvi_pool_deref(tree->pool, kvi_inner_separators(node)[index]);
}

static bool is_apart(const kvi_inner_t *node, uint32_t index)
{
    return kvi_inner_suffixes(node)[index] == INNER_APART;
}

static const char *prefix_of(const kvi_bptree_t *tree, const kvi_inner_t *node)
{
    return node->prefix_bytes <= INNER_PREFIX_MAX ? node->prefix
                                                  : separator_apart(tree, node, 0)->data;
}

kv_slice_t kvi_inner_separator(const kvi_bptree_t *tree, const kvi_inner_t *node, uint32_t index,
                               char *buffer)
{
    if (is_apart(node, index)) {
        const kvi_apart_t *const apart = separator_apart(tree, node, index);
        return (kv_slice_t){apart->data, apart->bytes};
    }
    kvi_bytes_copy(buffer, node->prefix, node->prefix_bytes);
    kvi_store_big64(buffer + node->prefix_bytes, kvi_inner_heads(node)[index]);
    return (kv_slice_t){buffer, (size_t)node->prefix_bytes + kvi_inner_suffixes(node)[index]};
}

/* ---- finding ---- */

/* Whether a separator with the suffix's own head is <= suffix. */
static bool is_not_above(const kvi_bptree_t *tree, const kvi_inner_t *node, uint32_t index,
                         kv_slice_t suffix)
{
    if (!is_apart(node, index)) {
        return kvi_inner_suffixes(node)[index] <= suffix.size;
    }
    const kvi_apart_t *const apart = separator_apart(tree, node, index);
    const kv_slice_t whole = {apart->data, apart->bytes};
    return kvi_slice_compare(kvi_slice_behind(whole, node->prefix_bytes), suffix) <= 0;
}

uint32_t kvi_inner_seek(const kvi_bptree_t *tree, const kvi_inner_t *node, kv_slice_t key)
{
    const uint32_t separators = node->count - 1u;
    if (node->prefix_bytes > 0) {
        const int side = kvi_compare_prefix(key, prefix_of(tree, node), node->prefix_bytes);
        if (side != 0) {
            return side < 0 ? 0 : separators;
        }
    }
    const kv_slice_t suffix = kvi_slice_behind(key, node->prefix_bytes);
    const uint64_t head = kvi_head64(suffix.data, suffix.size);
    const uint64_t *const heads = kvi_inner_heads(node);
    uint32_t low = kvi_count_below(heads, separators, head);
    uint32_t high = low;
    while (high < separators && heads[high] == head) {
        high++;
    }
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (is_not_above(tree, node, middle, suffix)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* ---- items: a node taken apart ---- */

typedef struct item {
    kv_slice_t separator; /* before the child; not used in the first one */
    uint32_t apart;       /* the object it is, if it is one */
    uint32_t made;        /* the object that the new node has for it; 0: none */
    kvi_child_t child;
    char buffer[SEPARATOR_BUFFER];
} item_t;

static void take_apart(const kvi_bptree_t *tree, const kvi_inner_t *node, item_t *items)
{
    for (uint32_t i = 0; i < node->count; i++) {
        items[i].child = kvi_inner_children(node)[i];
        items[i].separator = (kv_slice_t){NULL, 0};
        items[i].apart = 0;
        items[i].made = 0;
        if (i > 0) {
            items[i].separator = kvi_inner_separator(tree, node, i - 1, items[i].buffer);
            items[i].apart = is_apart(node, i - 1) ? kvi_inner_separators(node)[i - 1] : 0;
        }
    }
}

static bool fits_inline(uint32_t prefix_bytes, size_t separator_bytes)
{
    return prefix_bytes <= INNER_PREFIX_MAX && separator_bytes - prefix_bytes <= INNER_HEAD_BYTES;
}

/* What the separators of items and, if there is one, extra have in common. One alone has no prefix:
 * the next one would only shorten it. */
static uint32_t common_prefix(const item_t *items, uint32_t count, const kv_slice_t *extra)
{
    if (count + (extra != NULL) < 3) {
        return 0;
    }
    const kv_slice_t first = items[1].separator;
    const size_t own = kvi_common_bytes(first, items[count - 1].separator);
    const size_t with = extra != NULL ? kvi_common_bytes(first, *extra) : own;
    return (uint32_t)(own < with ? own : with);
}

static void free_made(kvi_bptree_t *tree, const item_t *items, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (items[i].made != 0 && items[i].made != items[i].apart) {
            kvi_apart_free(tree, kvi_pool_deref(tree->pool, items[i].made));
        }
    }
}

/* Frees the objects of separators which the new node does not need. */
static void free_unused(kvi_bptree_t *tree, const item_t *items, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (items[i].apart != 0 && items[i].made != items[i].apart) {
            kvi_apart_free(tree, kvi_pool_deref(tree->pool, items[i].apart));
        }
    }
}

static bool make_aparts(kvi_bptree_t *tree, item_t *items, uint32_t count, uint32_t prefix_bytes)
{
    for (uint32_t i = 1; i < count; i++) {
        items[i].made = 0;
    }
    for (uint32_t i = 1; i < count; i++) {
        if (fits_inline(prefix_bytes, items[i].separator.size)) {
            continue;
        }
        items[i].made = items[i].apart;
        if (items[i].made == 0) {
            const kvi_apart_t *const made = kvi_apart_create(tree, items[i].separator);
            if (made == NULL) {
                free_made(tree, items, i);
                return false;
            }
            items[i].made = kvi_pool_ref(tree->pool, made);
        }
    }
    return true;
}

static void set_separator(kvi_inner_t *node, uint32_t index, kv_slice_t separator, uint32_t apart)
{
    const kv_slice_t suffix = kvi_slice_behind(separator, node->prefix_bytes);
    kvi_inner_heads(node)[index] = kvi_head64(suffix.data, suffix.size);
    kvi_inner_separators(node)[index] = apart;
    kvi_inner_suffixes(node)[index] = (uint8_t)(apart != 0 ? INNER_APART : suffix.size);
}

static uint32_t capacity_for(const kvi_bptree_t *tree, uint32_t children)
{
    /* A small tree has few nodes: those of one size are better than some of each. */
    const uint32_t step = kvi_page_step(tree) > PAGE_STEP_MIN ? INNER_CHILDREN_MAX : CAPACITY_STEP;
    const uint32_t stepped = (children + step) / step * step;
    return stepped < tree->inner_max ? stepped : tree->inner_max;
}

static kvi_inner_t *create_node(kvi_bptree_t *tree, uint32_t level, uint32_t capacity)
{
    kvi_inner_t *const node = kvi_bptree_alloc(tree, kvi_inner_bytes(capacity));
    if (node != NULL) {
        memset(node, 0, sizeof *node);
        node->level = (uint8_t)level;
        node->capacity = (uint8_t)capacity;
    }
    return node;
}

static void free_node(kvi_bptree_t *tree, kvi_inner_t *node)
{
    kvi_bptree_free(tree, node, kvi_inner_bytes(node->capacity));
}

/* A node of these items, with room for one more if extra is its separator. NULL when memory is
 * short. */
static kvi_inner_t *make_node(kvi_bptree_t *tree, uint32_t level, item_t *items, uint32_t count,
                              const kv_slice_t *extra)
{
    const uint32_t prefix_bytes = common_prefix(items, count, extra);
    kvi_inner_t *const node = create_node(tree, level, capacity_for(tree, count + (extra != NULL)));
    if (node == NULL) {
        return NULL;
    }
    if (!make_aparts(tree, items, count, prefix_bytes)) {
        free_node(tree, node);
        return NULL;
    }
    node->count = (uint8_t)count;
    node->prefix_bytes = prefix_bytes;
    if (prefix_bytes > 0 && prefix_bytes <= INNER_PREFIX_MAX) {
        memcpy(node->prefix, items[1].separator.data, prefix_bytes);
    }
    for (uint32_t i = 0; i < count; i++) {
        kvi_inner_children(node)[i] = items[i].child;
        if (i > 0) {
            set_separator(node, i - 1, items[i].separator, items[i].made);
        }
    }
    return node;
}

/* ---- changing ---- */

static void replace_node(kvi_bptree_t *tree, kvi_path_t *path, uint32_t level, kvi_inner_t *node)
{
    const uint32_t ref = kvi_pool_ref(tree->pool, node);
    if (level + 1 == tree->height) {
        tree->root = ref;
    } else {
        kvi_inner_children(path->at[level + 1].node)[path->at[level + 1].index].ref = ref;
    }
    free_node(tree, path->at[level].node);
    path->at[level].node = node;
}

/* Makes the node of the path again: with room for extra's child, or just large enough. */
static bool remake_node(kvi_bptree_t *tree, kvi_path_t *path, uint32_t level,
                        const kv_slice_t *extra)
{
    item_t items[INNER_CHILDREN_MAX];
    kvi_inner_t *const old = path->at[level].node;
    const uint32_t count = old->count;
    take_apart(tree, old, items);
    kvi_inner_t *const node = make_node(tree, old->level, items, count, extra);
    if (node == NULL) {
        return false;
    }
    replace_node(tree, path, level, node);
    free_unused(tree, items, count);
    return true;
}

kv_status_t kvi_bptree_raise(kvi_bptree_t *tree)
{
    if (tree->height == LEVELS_MAX) {
        return KV_NO_MEMORY;
    }
    item_t old_root = {.child = {tree->root, (uint32_t)tree->count}};
    kvi_inner_t *const root = make_node(tree, tree->height + 1, &old_root, 1, NULL);
    if (root == NULL) {
        return KV_NO_MEMORY;
    }
    tree->root = kvi_pool_ref(tree->pool, root);
    tree->height++;
    return KV_OK;
}

static bool takes(const kvi_bptree_t *tree, const kvi_inner_t *node, kv_slice_t separator)
{
    return node->count < node->capacity &&
           kvi_compare_prefix(separator, prefix_of(tree, node), node->prefix_bytes) == 0;
}

/* Whether separators that stand apart may be shorter in a node made again: its prefix is that of
 * the ones it began with. Asked at every doubling. */
static bool may_share_more(const kvi_inner_t *node, kv_slice_t separator)
{
    return (node->count & (node->count - 1)) == 0 &&
           !fits_inline(node->prefix_bytes, separator.size);
}

static void open_place(kvi_inner_t *node, uint32_t index)
{
    const size_t behind = node->count - index;
    const size_t between = node->count - 1u - (index - 1u);
    uint64_t *const heads = kvi_inner_heads(node) + index - 1;
    uint32_t *const separators = kvi_inner_separators(node) + index - 1;
    uint8_t *const suffixes = kvi_inner_suffixes(node) + index - 1;
    kvi_child_t *const children = kvi_inner_children(node) + index;
    memmove(children + 1, children, behind * sizeof *children);
    memmove(heads + 1, heads, between * sizeof *heads);
    memmove(separators + 1, separators, between * sizeof *separators);
    memmove(suffixes + 1, suffixes, between);
    node->count++;
}

kv_status_t kvi_inner_insert(kvi_bptree_t *tree, kvi_path_t *path, uint32_t level,
                             kv_slice_t separator, kvi_child_t child)
{
    assert(path->at[level].node->count < tree->inner_max);
    if ((!takes(tree, path->at[level].node, separator) ||
         may_share_more(path->at[level].node, separator)) &&
        !remake_node(tree, path, level, &separator)) {
        return KV_NO_MEMORY;
    }
    kvi_inner_t *const node = path->at[level].node;
    const uint32_t index = path->at[level].index;
    uint32_t apart = 0;
    if (!fits_inline(node->prefix_bytes, separator.size)) {
        const kvi_apart_t *const made = kvi_apart_create(tree, separator);
        if (made == NULL) {
            return KV_NO_MEMORY;
        }
        apart = kvi_pool_ref(tree->pool, made);
    }
    open_place(node, index + 1);
    kvi_inner_children(node)[index + 1] = child;
    kvi_inner_children(node)[index].count -= child.count;
    set_separator(node, index, separator, apart);
    return KV_OK;
}

/* Where to split: in the middle, but near the end where a sorted load goes on. */
static uint32_t split_place(const kvi_bptree_t *tree, const kvi_path_t *path, uint32_t level)
{
    const uint32_t count = path->at[level].node->count;
    for (uint32_t i = level; i < tree->height; i++) {
        if (path->at[i].index + 1u != path->at[i].node->count) {
            return count / 2;
        }
    }
    return count - (count > 4 ? 2 : 1);
}

static uint32_t count_items(const item_t *items, uint32_t count)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += items[i].child.count;
    }
    return sum;
}

kv_status_t kvi_inner_split(kvi_bptree_t *tree, kvi_path_t *path, uint32_t level)
{
    item_t items[INNER_CHILDREN_MAX];
    kvi_inner_t *const old = path->at[level].node;
    const uint32_t count = old->count;
    const uint32_t middle = split_place(tree, path, level);
    take_apart(tree, old, items);
    kvi_inner_t *const left = make_node(tree, old->level, items, middle, NULL);
    if (left == NULL) {
        return KV_NO_MEMORY;
    }
    kvi_inner_t *const right = make_node(tree, old->level, items + middle, count - middle, NULL);
    if (right != NULL) {
        const kvi_child_t child = {kvi_pool_ref(tree->pool, right),
                                   count_items(items + middle, count - middle)};
        if (kvi_inner_insert(tree, path, level + 1, items[middle].separator, child) == KV_OK) {
            replace_node(tree, path, level, left);
            items[middle].made = 0; /* its copy stands in the parent */
            free_unused(tree, items, count);
            return KV_OK;
        }
        free_made(tree, items + middle, count - middle);
        free_node(tree, right);
    }
    free_made(tree, items, middle);
    free_node(tree, left);
    return KV_NO_MEMORY;
}

static void close_places(kvi_inner_t *node, uint32_t from, uint32_t to)
{
    const size_t behind = node->count - to;
    const uint32_t first = from > 0 ? from - 1 : 0;
    const uint32_t next = from > 0 ? to - 1 : to;
    const size_t between = node->count - 1u > next ? node->count - 1u - next : 0;
    uint64_t *const heads = kvi_inner_heads(node);
    uint32_t *const separators = kvi_inner_separators(node);
    uint8_t *const suffixes = kvi_inner_suffixes(node);
    kvi_child_t *const children = kvi_inner_children(node);
    memmove(children + from, children + to, behind * sizeof *children);
    memmove(heads + first, heads + next, between * sizeof *heads);
    memmove(separators + first, separators + next, between * sizeof *separators);
    memmove(suffixes + first, suffixes + next, between);
    node->count = (uint8_t)(node->count - (to - from));
}

static void free_separators(kvi_bptree_t *tree, kvi_inner_t *node, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (is_apart(node, i)) {
            kvi_apart_free(tree, separator_apart(tree, node, i));
        }
    }
}

void kvi_inner_remove(kvi_bptree_t *tree, kvi_inner_t *node, uint32_t from, uint32_t to)
{
    const uint32_t separators = node->count - 1u;
    const uint32_t first = from > 0 ? from - 1 : 0;
    const uint32_t last = from > 0 ? to - 1 : to;
    free_separators(tree, node, first, last < separators ? last : separators);
    close_places(node, from, to);
    if (node->count < 2) {
        node->prefix_bytes = 0; /* no separator is left that begins with it */
    }
}

void kvi_inner_free(kvi_bptree_t *tree, kvi_inner_t *node)
{
    free_separators(tree, node, 0, node->count - 1u);
    free_node(tree, node);
}

static bool join_nodes(kvi_bptree_t *tree, kvi_inner_t *parent, uint32_t left_index)
{
    item_t items[INNER_CHILDREN_MAX];
    kvi_inner_t *const left = kvi_bptree_child(tree, parent, left_index);
    kvi_inner_t *const right = kvi_bptree_child(tree, parent, left_index + 1);
    const uint32_t count = left->count + right->count;
    const uint32_t middle = left->count;
    if (count > tree->inner_max - tree->inner_max / 4) {
        return false;
    }
    take_apart(tree, left, items);
    take_apart(tree, right, items + middle);
    items[middle].separator = kvi_inner_separator(tree, parent, left_index, items[middle].buffer);
    kvi_inner_t *const node = make_node(tree, left->level, items, count, NULL);
    if (node == NULL) {
        return false;
    }
    kvi_inner_children(parent)[left_index].ref = kvi_pool_ref(tree->pool, node);
    kvi_inner_children(parent)[left_index].count +=
        kvi_inner_children(parent)[left_index + 1].count;
    kvi_inner_remove(tree, parent, left_index + 1, left_index + 2);
    free_unused(tree, items, count);
    free_node(tree, left);
    free_node(tree, right);
    return true;
}

void kvi_inner_tidy(kvi_bptree_t *tree, kvi_path_t *path, uint32_t level)
{
    const kvi_inner_t *const node = path->at[level].node;
    if (level + 1 < tree->height && node->count <= tree->inner_max / 2) {
        kvi_inner_t *const parent = path->at[level + 1].node;
        const uint32_t index = path->at[level + 1].index;
        if ((index + 1u < parent->count && join_nodes(tree, parent, index)) ||
            (index > 0 && join_nodes(tree, parent, index - 1))) {
            return;
        }
    }
    if (capacity_for(tree, node->count) + 2 * CAPACITY_STEP < node->capacity) {
        (void)remake_node(tree, path, level, NULL);
    }
}

bool kvi_inner_move(kvi_bptree_t *tree, kvi_path_t *path, uint32_t level)
{
    const kvi_inner_t *const node = path->at[level].node;
    kvi_inner_t *const moved = create_node(tree, node->level, node->capacity);
    if (moved == NULL) {
        return false;
    }
    memcpy(moved, node, kvi_inner_bytes(node->capacity));
    replace_node(tree, path, level, moved);
    return true;
}
