/* SPDX-License-Identifier: MIT */
/*
 * The B+tree engine's own shapes. Only the files src/engine/bptree*.c and their tests include this.
 *
 * Entries stand in leaves, sorted by key. Inner nodes lead to them and count them. Every page is
 * one object of the engine's pool, just large enough for what it holds, and known to its parent by
 * a 32-bit reference.
 *
 *   leaf, 4,096 bytes at most
 *   +-----------+---------+--------+------------------+----- gap -----+------------------------+
 *   | header 16 | tags 48 | prefix | slots, 8 a piece |    <-    ->   | records, in any order  |
 *   +-----------+---------+--------+------------------+---------------+------------------------+
 *                           up to 255, padded to 8                     <-------- heap -------->
 *
 *   slot     | head 32 | 2 spare, value apart, key apart | value bytes 8 | suffix bytes 8 |
 *            | offset of the record, from the end of the page 12 |
 *   record   [ rest of the key: the suffix behind its first 4 bytes ][ value             ]
 *            [ or 8: address of the key apart                       ][ or 16: address,   ]
 *                                                                      bytes of the value
 *
 * The prefix is what all keys of the leaf begin with; suffix is the key behind it; head is the
 * suffix's first four bytes as a big-endian number, padded with zeros, so that most compares touch
 * no record. A key apart is an object of its own: its length in four bytes, then the whole key.
 *
 *   inner node, up to 64 children
 *   +-----------+--------------------+------------------------+--------------+---------------+
 *   | header 32 | heads, 8 a piece   | children, counts: 4, 4 | separators 4 | suffix bytes 1|
 *   +-----------+--------------------+------------------------+--------------+---------------+
 *
 * Separator i stands between children i and i + 1. It is the shortest string that divided the two
 * when they were split. Its head is the first eight bytes behind the node's prefix; if that is all
 * of it, its suffix bytes say so (0 to 8), else they are INNER_APART and the separator is an object
 * like a key apart.
 *
 * Invariants
 *  1. All leaves have level 0 and the same depth; the root has level height. An empty tree has no
 *     root, and any other no empty leaf.
 *  2. Keys under child i are >= separator i - 1 and < separator i, where there are such.
 *  3. children[i].count is the number of entries under child i.
 *  4. Keys longer than KEY_INLINE_MAX stand apart, all others inline; values longer than
 *     VALUE_INLINE_MAX stand apart, all others inline.
 *  5. A leaf: slots in ascending order of keys; records do not overlap, and empty ones have offset
 *     0; heap - garbage = sum of the records; the slots end before the heap begins. tags[i] is a
 * byte of the key's hash.
 *  6. An inner node: separators ascend and begin with the node's prefix. A prefix longer than
 *     INNER_PREFIX_MAX is not in the node: then all separators are apart and begin with it.
 *  7. used_bytes, key_bytes and value_bytes of the engine are the sums over everything in the pool.
 *
 * Deleting takes no memory: making pages smaller and joining them is done where memory allows.
 * One user at a time.
 */
#ifndef KVI_ENGINE_BPTREE_INT_H
#define KVI_ENGINE_BPTREE_INT_H

#include <concordkv/kv_engine.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "engine/key_order.h"
#include "engine/ordered.h"
#include "memory/pool.h"
#include "os/match.h"

#define LEAF_ENTRIES_MAX 48u
#define LEAF_BYTES_MAX 4096u
#define LEAF_HEADER_BYTES 64u
#define LEAF_PREFIX_MAX 255u
#define HEAD_BYTES 4u
#define SLOT_BYTES 8u
#define KEY_INLINE_MAX 255u
#define KEY_BUFFER_BYTES \
    (KEY_INLINE_MAX + 9u) /* a head may be written behind the longest prefix \
                           */
#define VALUE_INLINE_MAX 128u
#define KEY_APART_BYTES 8u
#define VALUE_APART_BYTES 16u
#define INNER_CHILDREN_MAX 64u
#define INNER_HEADER_BYTES 32u
#define INNER_CHILD_BYTES 21u
#define INNER_PREFIX_MAX 24u
#define INNER_HEAD_BYTES 8u
#define INNER_APART 255u
#define LEVELS_MAX 16u
#define PAGE_STEP_MIN 128u
#define PAGE_STEP_MAX 2048u
#define PAGE_STEP_TREE (UINT64_C(64) << 10)
#define LINE_BYTES 64u
#define LEAF_SEARCH_LINES 7u
#define INNER_SEARCH_LINES 17u
#define BORROWED_KEYS 64u
#define REST_AT_ONCE 16u /* bytes that a cursor copies without asking how many there are */
#define EDGE_UNKNOWN UINT64_MAX

typedef struct kvi_leaf {
    uint8_t count;
    uint8_t level;        /* 0 */
    uint16_t size;        /* of the page */
    uint16_t heap;        /* bytes at the end of the page that records have taken */
    uint16_t garbage;     /* bytes of the heap that belong to no record any more */
    uint16_t key_bytes;   /* of all suffixes inline */
    uint16_t value_bytes; /* of all values inline */
    uint8_t prefix_bytes;
    uint8_t aparts; /* entries with something apart */
    uint16_t spare;
    uint8_t tags[LEAF_ENTRIES_MAX];
} kvi_leaf_t;
_Static_assert(sizeof(kvi_leaf_t) == LEAF_HEADER_BYTES, "header and tags are one cache line");

typedef struct kvi_inner {
    uint8_t count; /* children */
    uint8_t level; /* from 1 */
    uint8_t capacity;
    uint8_t spare;
    uint32_t prefix_bytes;
    char prefix[INNER_PREFIX_MAX];
} kvi_inner_t;
_Static_assert(sizeof(kvi_inner_t) == INNER_HEADER_BYTES, "the heads begin aligned");

/* What stands in an inner node's list: side by side, because who goes down to insert or to find a
 * rank needs both. */
typedef struct kvi_child {
    uint32_t ref;
    uint32_t count; /* entries under it */
} kvi_child_t;

/* A key or separator apart. */
typedef struct kvi_apart {
    uint32_t bytes;
    char data[];
} kvi_apart_t;

/* The way from the root to a leaf, and a place in it. */
typedef struct kvi_path {
    struct {
        kvi_inner_t *node; /* [0]: the leaf's parent; [height - 1]: the root */
        uint32_t index;    /* the child that was taken */
    } at[LEVELS_MAX];
    kvi_leaf_t *leaf; /* NULL: the tree is empty */
    uint32_t slot;    /* the first entry >= key; may be the leaf's count */
    bool found;
} kvi_path_t;

typedef struct kvi_bptree {
    kv_engine_t engine;
    kv_pool_t *pool;
    uint64_t seed;
    uint32_t root;   /* 0: empty */
    uint32_t height; /* levels of inner nodes */
    uint64_t count;
    uint64_t changes;  /* counts whatever may move or change an entry */
    size_t used_bytes; /* all of the pool's objects without their unused ends and gaps */
    size_t key_bytes;  /* stored: a prefix counts once */
    size_t value_bytes;
    size_t guest_bytes; /* of used_bytes: objects that are not the tree's own, like cursors */
    size_t guest_objects;
    kvi_apart_t *borrowed[BORROWED_KEYS]; /* keys put together for callers, a ring */
    uint32_t borrowed_next;
    uint64_t relocate_at;   /* rank at which relocate goes on */
    uint64_t relocate_idle; /* entries passed since relocate last moved something */
    uint32_t renewed_at;    /* counts leaves that were looked at to be moved */
    uint64_t trimmed_at;    /* changes when the pool last gave empty blocks back */
    uint64_t edge_changes;  /* changes when writing led to the last entry; or EDGE_UNKNOWN */
    kvi_path_t edge;        /* that way, on which sorted puts go on */
    uint32_t leaf_max;      /* entries a leaf; tests make it small */
    uint32_t inner_max;     /* children a node */
} kvi_bptree_t;

/* Stands at an entry: a copy of its key and, as long as the tree has not changed, the way to it.
 * One that goes forwards is armed in every leaf for the entries that come there. */
typedef struct kvi_bptree_cursor {
    kv_cursor_t cursor;
    kvi_bptree_t *tree;
    uint64_t changes;      /* tree->changes when the path was made */
    kv_slice_t value;      /* of that entry */
    size_t key_bytes;      /* of the key */
    char *key;             /* own_key, or an object for longer ones */
    uint32_t armed;        /* entries of the leaf if the next is a short step, else 0 */
    char *suffix;          /* armed: in own_key, behind the leaf's prefix */
    const uint64_t *slots; /* armed: of the leaf */
    const char *end;       /* armed: of its page */
    const char *ahead;     /* the next line to fetch of the leaf behind, up to ahead_end */
    const char *ahead_end;
    const void *next_leaf; /* the one that is, or NULL */
    const void *ahead_of;  /* the leaf before it, which has been seen to */
    bool valid;
    bool outside;        /* long keys are kept outside the tree's pool */
    kvi_path_t path;     /* to the entry */
    size_t key_capacity; /* of the object for longer keys; 0: there is none */
    char own_key[KEY_BUFFER_BYTES + REST_AT_ONCE];
} kvi_bptree_cursor_t;

/* How many of these ascending numbers are below limit. First the last one of every eight, then the
 * eight where the answer is: no branch to mispredict, and no load waits for another. */
static inline uint32_t kvi_count_below(const uint64_t *numbers, uint32_t count, uint64_t limit)
{
    uint32_t from = 0;
    uint32_t below = 0;
    if (count < 8) {
        for (uint32_t i = 0; i < count; i++) {
            below += numbers[i] < limit;
        }
        return below;
    }
    for (uint32_t i = 7; i < count; i += 8) {
        from += numbers[i] < limit ? 8u : 0;
    }
    from = from > count - 8 ? count - 8 : from;
    for (uint32_t i = 0; i < 8; i++) {
        below += numbers[from + i] < limit;
    }
    return from + below;
}

static inline uint8_t kvi_bptree_tag(const kvi_bptree_t *tree, kv_slice_t key)
{
    return (uint8_t)(kvi_hash_bytes(key.data, key.size, tree->seed) >> 56);
}

/* ---- leaves ---- */

#define SLOT_OFFSET_MASK UINT64_C(0xfff)
#define SLOT_SUFFIX_SHIFT 12
#define SLOT_VALUE_SHIFT 20
#define SLOT_KEY_APART (UINT64_C(1) << 28)
#define SLOT_VALUE_APART (UINT64_C(1) << 29)

static inline uint32_t kvi_slot_head(uint64_t slot)
{
    return (uint32_t)(slot >> 32);
}

static inline uint32_t kvi_slot_offset(uint64_t slot)
{
    return (uint32_t)(slot & SLOT_OFFSET_MASK);
}

/* Of a key inline. */
static inline uint32_t kvi_slot_suffix(uint64_t slot)
{
    return (uint32_t)(slot >> SLOT_SUFFIX_SHIFT) & 255u;
}

/* Of a value inline. */
static inline uint32_t kvi_slot_value(uint64_t slot)
{
    return (uint32_t)(slot >> SLOT_VALUE_SHIFT) & 255u;
}

/* Bytes of the record's first part. */
static inline uint32_t kvi_slot_rest(uint64_t slot)
{
    const uint32_t suffix = kvi_slot_suffix(slot);
    if ((slot & SLOT_KEY_APART) != 0) {
        return KEY_APART_BYTES;
    }
    return suffix > HEAD_BYTES ? suffix - HEAD_BYTES : 0;
}

/* Bytes of the record's second part. */
static inline uint32_t kvi_slot_tail(uint64_t slot)
{
    return (slot & SLOT_VALUE_APART) != 0 ? VALUE_APART_BYTES : kvi_slot_value(slot);
}

static inline uint32_t kvi_slot_record(uint64_t slot)
{
    return kvi_slot_rest(slot) + kvi_slot_tail(slot);
}

/* Where the slots begin. */
static inline uint32_t kvi_leaf_front(uint32_t prefix_bytes)
{
    return LEAF_HEADER_BYTES + ((prefix_bytes + 7u) & ~7u);
}

static inline char *kvi_leaf_prefix(const kvi_leaf_t *leaf)
{
    return (char *)(uintptr_t)leaf + LEAF_HEADER_BYTES;
}

static inline uint64_t *kvi_leaf_slots(const kvi_leaf_t *leaf)
{
    return (uint64_t *)((uintptr_t)leaf + kvi_leaf_front(leaf->prefix_bytes));
}

static inline char *kvi_leaf_record(const kvi_leaf_t *leaf, uint64_t slot)
{
    return (char *)(uintptr_t)leaf + leaf->size - kvi_slot_offset(slot);
}

/* Bytes between slots and heap. */
static inline uint32_t kvi_leaf_gap(const kvi_leaf_t *leaf)
{
    return leaf->size - leaf->heap - kvi_leaf_front(leaf->prefix_bytes) - leaf->count * SLOT_BYTES;
}

/* Bytes of the page that mean something. */
static inline uint32_t kvi_leaf_used(const kvi_leaf_t *leaf)
{
    return LEAF_HEADER_BYTES + leaf->prefix_bytes + leaf->count * SLOT_BYTES + leaf->heap -
           leaf->garbage;
}

static inline kvi_apart_t *kvi_load_apart(const char *at)
{
    kvi_apart_t *apart;
    memcpy(&apart, at, sizeof apart);
    return apart;
}

/* A value, inline or apart. */
static inline kv_slice_t kvi_leaf_value(const kvi_leaf_t *leaf, uint64_t slot)
{
    char *const tail = kvi_leaf_record(leaf, slot) + kvi_slot_rest(slot);
    kv_slice_t value = {tail, kvi_slot_value(slot)};
    if ((slot & SLOT_VALUE_APART) != 0) {
        memcpy(&value.data, tail, sizeof value.data);
        memcpy(&value.size, tail + sizeof value.data, sizeof value.size);
    }
    return value;
}

/* Writes an inline key's suffix behind the leaf's prefix, which is in buffer already. */
static inline kv_slice_t kvi_leaf_finish_key(const kvi_leaf_t *leaf, uint64_t slot, char *buffer)
{
    char *const suffix = buffer + leaf->prefix_bytes;
    const size_t bytes = kvi_slot_suffix(slot);
    kvi_store_big32(suffix, kvi_slot_head(slot));
    if (bytes > HEAD_BYTES) {
        kvi_bytes_copy(suffix + HEAD_BYTES, kvi_leaf_record(leaf, slot), bytes - HEAD_BYTES);
    }
    return (kv_slice_t){buffer, leaf->prefix_bytes + bytes};
}

/* ---- inner nodes ---- */

static inline uint64_t *kvi_inner_heads(const kvi_inner_t *node)
{
    return (uint64_t *)((uintptr_t)node + INNER_HEADER_BYTES);
}

static inline kvi_child_t *kvi_inner_children(const kvi_inner_t *node)
{
    return (kvi_child_t *)(kvi_inner_heads(node) + node->capacity);
}

static inline uint32_t *kvi_inner_separators(const kvi_inner_t *node)
{
    return (uint32_t *)(kvi_inner_children(node) + node->capacity);
}

static inline uint8_t *kvi_inner_suffixes(const kvi_inner_t *node)
{
    return (uint8_t *)(kvi_inner_separators(node) + node->capacity);
}

static inline size_t kvi_inner_bytes(uint32_t capacity)
{
    return INNER_HEADER_BYTES + (size_t)capacity * INNER_CHILD_BYTES;
}

/* Sizes of pages are multiples of this, a power of two. Each size in use costs about half a span of
 * the pool, so a small tree has few sizes and more room in its pages. A smaller step comes into use
 * little by little while the tree grows to four times the bytes: as the pages of the old sizes
 * become a smaller part, they do not become fewer, and leave no holes. */
static inline uint32_t kvi_page_step(const kvi_bptree_t *tree)
{
    const uint32_t lot = (uint32_t)(tree->changes * 2654435761u) >> 24;
    const uint64_t bytes = (uint64_t)tree->used_bytes * 256 / (256 + 3 * lot);
    uint32_t step = PAGE_STEP_MAX;
    for (uint64_t limit = PAGE_STEP_TREE; step > PAGE_STEP_MIN && bytes > limit; limit *= 4) {
        step /= 2;
    }
    return step;
}

/* Begins to bring the lines of a leaf that every search in it reads: header and slots. */
static inline void kvi_leaf_prefetch(const void *leaf)
{
    for (uint32_t i = 0; i < LEAF_SEARCH_LINES; i++) {
        kvi_prefetch((const char *)leaf + (size_t)i * LINE_BYTES);
    }
}

/* The same for the lines of an inner node that a way down reads: header, heads, children. Of the
 * levels only the lowest one is large enough that its nodes are not near anyway. */
static inline void kvi_inner_prefetch(const void *node)
{
    for (uint32_t i = 0; i < INNER_SEARCH_LINES; i++) {
        kvi_prefetch((const char *)node + (size_t)i * LINE_BYTES);
    }
}

static inline void *kvi_bptree_child(const kvi_bptree_t *tree, const kvi_inner_t *node,
                                     uint32_t index)
{
    return kvi_pool_deref(tree->pool, kvi_inner_children(node)[index].ref);
}

/* ---- bptree_leaf.c ---- */

/* The first entry >= key; *found if it is key. */
uint32_t kvi_leaf_seek(const kvi_leaf_t *leaf, kv_slice_t key, bool *found);
/* Whether the key is larger than the last one, which there is. */
bool kvi_leaf_is_behind(const kvi_leaf_t *leaf, kv_slice_t key);
/* The key's slot by its tag, or the leaf's count. */
uint32_t kvi_leaf_find(const kvi_leaf_t *leaf, kv_slice_t key, uint8_t tag);
/* The first slot with this tag, or the leaf's count. */
uint32_t kvi_leaf_candidate(const kvi_leaf_t *leaf, uint8_t tag);
/* Whether the key could stand in this leaf without a shorter prefix. */
bool kvi_leaf_shares(const kvi_leaf_t *leaf, kv_slice_t key);
/* The whole key of an entry: put together in buffer (KEY_BUFFER_BYTES), or where it is. */
kv_slice_t kvi_leaf_key(const kvi_leaf_t *leaf, uint32_t index, char *buffer);

/* A part of a leaf, to be copied. */
typedef struct kvi_leaf_part {
    const kvi_leaf_t *leaf;
    uint32_t from;
    uint32_t to;
} kvi_leaf_part_t;
/* The longest prefix that a leaf of two neighbouring parts can have; the second may be empty ({0}),
 * here and below. */
uint32_t kvi_leaf_common(const kvi_leaf_part_t parts[2]);
/* The bytes that this leaf must have. */
uint32_t kvi_leaf_build_bytes(const kvi_leaf_part_t parts[2], uint32_t prefix_bytes);
/* Makes it, with extra_bytes in the gap; all of it must fit LEAF_BYTES_MAX. NULL when memory is
 * short. Not counted in the tree's sums yet. */
kvi_leaf_t *kvi_leaf_build(kvi_bptree_t *tree, const kvi_leaf_part_t parts[2],
                           uint32_t prefix_bytes, uint32_t extra_bytes);
/* The page size to ask for when bytes are needed. */
uint32_t kvi_leaf_fit(const kvi_bptree_t *tree, uint32_t bytes);
/* An empty leaf of at least this size. */
kvi_leaf_t *kvi_leaf_create(kvi_bptree_t *tree, uint32_t bytes);
/* Frees the page alone. */
void kvi_leaf_free(kvi_bptree_t *tree, kvi_leaf_t *leaf);
/* Frees what the entry has apart. */
void kvi_leaf_free_aparts(kvi_bptree_t *tree, kvi_leaf_t *leaf, uint64_t slot);
/* Adds the leaf to the tree's sums, or takes it out; what is apart is not included. */
void kvi_leaf_account(kvi_bptree_t *tree, const kvi_leaf_t *leaf);
void kvi_leaf_unaccount(kvi_bptree_t *tree, const kvi_leaf_t *leaf);
/* Opens a slot at index and takes a record for it, which must fit the gap. The record's bytes are
 * the caller's to write. Returns them. */
char *kvi_leaf_insert(kvi_leaf_t *leaf, uint32_t index, uint64_t slot, uint8_t tag);
/* Takes the entry out of the page. */
void kvi_leaf_remove(kvi_leaf_t *leaf, uint32_t index);
/* The slot, without its offset, of a key that shares the leaf's prefix. */
uint64_t kvi_leaf_slot_for(const kvi_leaf_t *leaf, kv_slice_t key, size_t value_bytes);

/* ---- bptree_inner.c ---- */

/* The child whose keys may include key. */
uint32_t kvi_inner_seek(const kvi_bptree_t *tree, const kvi_inner_t *node, kv_slice_t key);
/* Separator index as a string: in buffer (INNER_PREFIX_MAX + INNER_HEAD_BYTES), or where it is. */
kv_slice_t kvi_inner_separator(const kvi_bptree_t *tree, const kvi_inner_t *node, uint32_t index,
                               char *buffer);
/* A new root above the present one. KV_NO_MEMORY. */
kv_status_t kvi_bptree_raise(kvi_bptree_t *tree);
/* Puts child behind the child that the path takes at this level, and moves child.count entries from
 * that one's count to the new one's. The node has room (count < inner_max); it may be replaced, in
 * the path too. KV_NO_MEMORY. */
kv_status_t kvi_inner_insert(kvi_bptree_t *tree, kvi_path_t *path, uint32_t level,
                             kv_slice_t separator, kvi_child_t child);
/* Splits the full node of the path at this level, whose parent exists and has room. The path is no
 * longer valid. KV_NO_MEMORY. */
kv_status_t kvi_inner_split(kvi_bptree_t *tree, kvi_path_t *path, uint32_t level);
/* Takes children from..to - 1 and the separators beside them out of the node. */
void kvi_inner_remove(kvi_bptree_t *tree, kvi_inner_t *node, uint32_t from, uint32_t to);
/* Frees the node and its separators. */
void kvi_inner_free(kvi_bptree_t *tree, kvi_inner_t *node);
/* Joins the node of the path at this level with a neighbour, or makes it smaller, where that pays
 * and memory allows. The parent is changed in place. */
void kvi_inner_tidy(kvi_bptree_t *tree, kvi_path_t *path, uint32_t level);
/* Puts the node of the path at this level into another place. False when memory is short. */
bool kvi_inner_move(kvi_bptree_t *tree, kvi_path_t *path, uint32_t level);

/* ---- bptree_tree.c: paths and the shape of the tree ---- */

/* From the root to the place of key. */
void kvi_bptree_descend(const kvi_bptree_t *tree, kv_slice_t key, kvi_path_t *path);
/* The same without looking into the leaf, whose first lines are on their way. False if there is
 * none. */
bool kvi_bptree_descend_to_leaf(const kvi_bptree_t *tree, kv_slice_t key, kvi_path_t *path);
/* To the entry of this rank, which must be below count. */
void kvi_bptree_descend_rank(const kvi_bptree_t *tree, uint64_t rank, kvi_path_t *path);
/* To the first entry of the next or the last of the previous leaf; false if there is none. */
bool kvi_path_next_leaf(const kvi_bptree_t *tree, kvi_path_t *path);
bool kvi_path_previous_leaf(const kvi_bptree_t *tree, kvi_path_t *path);
/* Whether the path's leaf is the last one. */
bool kvi_path_is_at_end(const kvi_bptree_t *tree, const kvi_path_t *path);
/* Entries before the path's place. */
uint64_t kvi_path_rank(const kvi_bptree_t *tree, const kvi_path_t *path);
/* Puts another leaf at the end of the path, and frees the old page. */
void kvi_path_replace_leaf(kvi_bptree_t *tree, kvi_path_t *path, kvi_leaf_t *leaf);
/* Adds to the counts along the path. */
void kvi_path_count(const kvi_bptree_t *tree, const kvi_path_t *path, uint32_t added);
/* One step towards room in the path's leaf for another record of key with a tail of tail_bytes, and
 * a slot for it if is_new: a larger page, a shorter prefix, or a split somewhere. If the path must
 * then be found again, its leaf is NULL. KV_NO_MEMORY. */
kv_status_t kvi_bptree_make_room(kvi_bptree_t *tree, kvi_path_t *path, kv_slice_t key,
                                 uint32_t tail_bytes, bool is_new);
/* After entries have left the path's leaf: removes it if it is empty, joins neighbours, makes pages
 * smaller, takes levels off. The path is no longer valid. */
void kvi_bptree_tidy(kvi_bptree_t *tree, kvi_path_t *path);
/* Takes roots with a single child off. */
void kvi_bptree_lower(kvi_bptree_t *tree);
/* Puts a leaf behind the last one and counts its entries. KV_NO_MEMORY. */
kv_status_t kvi_bptree_append_leaf(kvi_bptree_t *tree, kvi_leaf_t *leaf);
/* Frees the page at this level, everything below it, and what its entries have apart. */
void kvi_bptree_free_subtree(kvi_bptree_t *tree, uint32_t ref, uint32_t level);

/* Objects of the pool that count as used in full. */
void *kvi_bptree_alloc(kvi_bptree_t *tree, size_t bytes);
void kvi_bptree_free(kvi_bptree_t *tree, void *object, size_t bytes);
/* The same for objects that are not the tree's own. */
void *kvi_bptree_alloc_guest(kvi_bptree_t *tree, size_t bytes);
void kvi_bptree_free_guest(kvi_bptree_t *tree, void *object, size_t bytes);
kvi_apart_t *kvi_apart_create(kvi_bptree_t *tree, kv_slice_t string);
void kvi_apart_free(kvi_bptree_t *tree, kvi_apart_t *apart);
/* The entry at the path's place. The value is borrowed as from get; the key is a copy that lives
 * until BORROWED_KEYS others were borrowed, or borrowed itself. KV_NO_MEMORY. */
kv_status_t kvi_bptree_borrow(kvi_bptree_t *tree, const kvi_path_t *path, kv_slice_t *key,
                              kv_slice_t *value);

/* ---- bptree_range.c ---- */

kv_status_t kvi_bptree_key_at(kv_engine_t *engine, uint64_t number, kv_slice_t *key,
                              kv_slice_t *value);

/* ---- bptree_write.c ---- */

kv_status_t kvi_bptree_put(kv_engine_t *engine, kv_slice_t key, kv_slice_t value);
kv_status_t kvi_bptree_place(kv_engine_t *engine, kv_slice_t key, size_t value_bytes,
                             size_t keep_bytes, char **place);
/* Where key stands or would stand, with a value of about so many bytes. Valid until an entry is
 * written or sought again. */
kvi_path_t *kvi_bptree_find_place(kvi_bptree_t *tree, kv_slice_t key, size_t value_bytes);
/* As place, for the key that was sought last, where no entry was written since. */
kv_status_t kvi_bptree_place_found(kvi_bptree_t *tree, kv_slice_t key, size_t value_bytes,
                                   size_t keep_bytes, char **place);
kv_status_t kvi_bptree_del(kv_engine_t *engine, kv_slice_t key);

/* ---- bptree_walk.c ---- */

kv_status_t kvi_bptree_sample(kv_engine_t *engine, uint64_t number, kv_slice_t *key,
                              kv_slice_t *value);
uint64_t kvi_bptree_scan(kv_engine_t *engine, uint64_t token, size_t count,
                         kv_engine_visit_fn visit, void *context);
size_t kvi_bptree_relocate(kv_engine_t *engine, size_t steps);

/* ---- bptree_cursor.c ---- */

/* A cursor in the caller's memory that takes nothing from the tree's pool, so that readers of a
 * sealed tree have one. End it with kvi_bptree_cursor_release. */
void kvi_bptree_cursor_init(kvi_bptree_cursor_t *cursor, kvi_bptree_t *tree);
void kvi_bptree_cursor_release(kvi_bptree_cursor_t *cursor);
kv_status_t kvi_bptree_cursor_open(kv_engine_t *engine, kv_cursor_t **cursor);
void kvi_bptree_cursor_close(kv_cursor_t *cursor);
bool kvi_bptree_cursor_valid(const kv_cursor_t *cursor);
kv_status_t kvi_bptree_cursor_first(kv_cursor_t *cursor);
kv_status_t kvi_bptree_cursor_last(kv_cursor_t *cursor);
kv_status_t kvi_bptree_cursor_seek(kv_cursor_t *cursor, kv_slice_t key);
kv_status_t kvi_bptree_cursor_next(kv_cursor_t *cursor);
kv_status_t kvi_bptree_cursor_prev(kv_cursor_t *cursor);
kv_slice_t kvi_bptree_cursor_key(const kv_cursor_t *cursor);
kv_slice_t kvi_bptree_cursor_value(const kv_cursor_t *cursor);

/* ---- bptree_estimate.c ---- */

size_t kvi_bptree_estimate(uint64_t count, size_t key_bytes, size_t value_bytes);

/* ---- bptree_check.c ---- */

kv_status_t kvi_bptree_check(const kv_engine_t *engine);

/* ---- bptree.c ---- */

kv_status_t kvi_bptree_get(kv_engine_t *engine, kv_slice_t key, kv_slice_t *value);

extern const kv_engine_ops_t kvi_bptree_engine;

#endif
