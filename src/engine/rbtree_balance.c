/* SPDX-License-Identifier: MIT */
/*
 * Nodes linked in and taken out, bottom up along the way they were found by, after Cormen,
 * Leiserson, Rivest and Stein, "Introduction to Algorithms", chapter 13; the way stands in for
 * parent links. Needs no memory. Shapes and invariants: rbtree_int.h. One user at a time.
 */
#include "engine/rbtree_int.h"

static void set_red(kvi_rb_node_t *node)
{
    node->meta |= META_RED;
}

static void set_black(kvi_rb_node_t *node)
{
    node->meta &= ~META_RED;
}

static void copy_colour(kvi_rb_node_t *to, const kvi_rb_node_t *from)
{
    to->meta = (to->meta & ~META_RED) | (from->meta & META_RED);
}

/* The child, or NULL. */
static kvi_rb_node_t *child(const kvi_rbtree_t *tree, const kvi_rb_node_t *node, uint32_t dir)
{
    return node->link[dir] != 0 ? kvi_rb_node(tree, node->link[dir]) : NULL;
}

static bool has_red(const kvi_rbtree_t *tree, const kvi_rb_node_t *node, uint32_t dir)
{
    return node->link[dir] != 0 && kvi_rb_is_red(kvi_rb_node(tree, node->link[dir]));
}

static uint32_t *link_of(const kvi_rb_step_t *step)
{
    return &step->node->link[step->dir];
}

/* Lets the node behind *link sink to its side dir; its other child rises to its place, and is
 * returned. */
static kvi_rb_node_t *rotate(const kvi_rbtree_t *tree, uint32_t *link, uint32_t dir)
{
    const uint32_t sinking_ref = *link;
    kvi_rb_node_t *const sinking = kvi_rb_node(tree, sinking_ref);
    const uint32_t rising_ref = sinking->link[!dir];
    kvi_rb_node_t *const rising = kvi_rb_node(tree, rising_ref);
    sinking->link[!dir] = rising->link[dir];
    rising->link[dir] = sinking_ref;
    *link = rising_ref;
    return rising;
}

/* ---- linking in ---- */

/* The node at the end of the path is red, and so is its parent, the last step. Either colours
 * change, and the same may be the case two steps up (true); or rotations end it. */
static bool repair_red_pair(kvi_rbtree_t *tree, kvi_rb_path_t *path)
{
    const uint32_t count = path->count;
    const kvi_rb_step_t *const parent = &path->steps[count - 1];
    const kvi_rb_step_t *const grand = &path->steps[count - 2];
    const uint32_t side = grand->dir;
    if (has_red(tree, grand->node, !side)) {
        set_black(parent->node);
        set_black(kvi_rb_node(tree, grand->node->link[!side]));
        set_red(grand->node);
        path->count = count - 2;
        return true;
    }
    if (parent->dir != side) {
        (void)rotate(tree, link_of(grand), side);
    }
    set_red(grand->node);
    set_black(rotate(tree, link_of(&path->steps[count - 3]), !side));
    return false;
}

void kvi_rb_link(kvi_rbtree_t *tree, kvi_rb_path_t *path, uint32_t ref)
{
    *link_of(&path->steps[path->count - 1]) = ref;
    /* steps[0] is the top and steps[1] the root, which is black: a red parent has a parent. */
    while (path->count >= 3 && kvi_rb_is_red(path->steps[path->count - 1].node)) {
        if (!repair_red_pair(tree, path)) {
            return;
        }
    }
    kvi_rb_node_t *const root = kvi_rb_node(tree, tree->top.link[0]);
    if (kvi_rb_is_red(root)) {
        set_black(root);
        tree->black_height++;
    }
}

/* ---- taking out ---- */

/* Puts the smallest node behind the path's, which has two children, in its place with its colour.
 * The path then goes to where that node was. Returns whether a red node is gone from there. */
static bool replace_by_successor(kvi_rbtree_t *tree, kvi_rb_path_t *path, kvi_rb_node_t *node)
{
    kvi_rb_step_t *const place = &path->steps[path->count++];
    kvi_rb_step_t *parent = place;
    uint32_t ref = node->link[1];
    kvi_rb_node_t *next = kvi_rb_node(tree, ref);
    *place = (kvi_rb_step_t){node, 0, 1};
    while (next->link[0] != 0) {
        parent = &path->steps[path->count++];
        *parent = (kvi_rb_step_t){next, ref, 0};
        ref = next->link[0];
        next = kvi_rb_node(tree, ref);
    }
    const bool red = kvi_rb_is_red(next);
    *link_of(parent) = next->link[1];
    next->link[0] = node->link[0];
    next->link[1] = node->link[1];
    copy_colour(next, node);
    place->node = next;
    place->ref = ref;
    *link_of(place - 1) = ref;
    return red;
}

/* The side dir of the last step lacks a black node, and its sibling is black. Either the lack moves
 * one step up (true), or it is made good. */
static bool repair_lack(kvi_rbtree_t *tree, kvi_rb_path_t *path)
{
    const kvi_rb_step_t *const last = &path->steps[path->count - 1];
    kvi_rb_node_t *const parent = last->node;
    const uint32_t dir = last->dir;
    kvi_rb_node_t *sibling = child(tree, parent, !dir);
    if (!has_red(tree, sibling, 0) && !has_red(tree, sibling, 1)) {
        set_red(sibling);
        path->count--;
        return true;
    }
    if (!has_red(tree, sibling, !dir)) {
        sibling = rotate(tree, &parent->link[!dir], !dir);
    }
    copy_colour(sibling, parent);
    set_black(parent);
    set_black(child(tree, sibling, !dir));
    (void)rotate(tree, link_of(last - 1), dir);
    return false;
}

/* Lets the red sibling of the lacking side rise above the parent: the new sibling is black. */
static void make_sibling_black(kvi_rbtree_t *tree, kvi_rb_path_t *path)
{
    kvi_rb_step_t *const last = &path->steps[path->count - 1];
    const uint32_t dir = last->dir;
    kvi_rb_step_t *const parent = &path->steps[path->count++];
    kvi_rb_node_t *const sibling = child(tree, last->node, !dir);
    set_black(sibling);
    set_red(last->node);
    *parent = *last;
    last->ref = last->node->link[!dir];
    (void)rotate(tree, link_of(last - 1), dir);
    last->node = sibling;
}

/* The path leads to where a black node is missing. */
static void repair(kvi_rbtree_t *tree, kvi_rb_path_t *path)
{
    for (;;) {
        const kvi_rb_step_t *const last = &path->steps[path->count - 1];
        if (has_red(tree, last->node, last->dir)) {
            set_black(child(tree, last->node, last->dir));
            return;
        }
        if (path->count == 1) {
            tree->black_height--;
            return;
        }
        if (has_red(tree, last->node, !last->dir)) {
            make_sibling_black(tree, path);
        }
        if (!repair_lack(tree, path)) {
            return;
        }
    }
}

void kvi_rb_unlink(kvi_rbtree_t *tree, kvi_rb_path_t *path)
{
    uint32_t *const link = link_of(&path->steps[path->count - 1]);
    kvi_rb_node_t *const node = kvi_rb_node(tree, *link);
    bool red = kvi_rb_is_red(node);
    if (node->link[0] != 0 && node->link[1] != 0) {
        red = replace_by_successor(tree, path, node);
    } else {
        *link = node->link[node->link[0] == 0];
    }
    if (!red) {
        repair(tree, path);
    }
}
