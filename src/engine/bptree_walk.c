/* SPDX-License-Identifier: MIT */
/*
 * Walks over the B+tree engine that keep no state in it: samples, scans with tokens, and the moving
 * of pages out of sparse blocks. One user at a time.
 *
 * A scan goes in the order of keys. Its token is the place where it goes on, and says so in terms
 * of bytes of keys alone, so no insertion or deletion can move it:
 *
 *   bit 62        1: a token is never 0
 *   bit 61        0: the walk began among keys without a common prefix
 *   bits 0 - 60      the first 61 bits of the keys to go on with
 *
 *   bit 61        1: all keys had a common prefix when the walk began
 *   bits 53 - 60     its length s, 1 to 255
 *   bits 40 - 52     13 bits of its hash
 *   bits 0 - 39      the five bytes behind it of the keys to go on with
 *
 * Those bits are a key's place. Places ascend with keys, and all keys of one place are visited in
 * one call, so those visited are always the keys with a smaller place than the token's: each is
 * visited once, and none that stays is missed. Many keys that differ only behind these bytes make a
 * call longer than was asked for; who can keep a key itself should use a cursor.
 *
 * The prefix itself does not fit the token. Keys that have been there since the beginning all begin
 * with it, so it is looked for among the prefixes of length s that the keys have now: mostly there
 * is still only one. If several have this hash, the rest of each is visited in one call, which ends
 * the walk.
 */
#include "engine/bptree_int.h"

#define TOKEN_MARK (UINT64_C(1) << 62)
#define TOKEN_PREFIX (UINT64_C(1) << 61)
#define PREFIX_LENGTH_SHIFT 53
#define PREFIX_HASH_SHIFT 40
#define PREFIX_HASH_MASK UINT64_C(0x1fff)
#define PREFIX_PLACE_MASK ((UINT64_C(1) << 40) - 1)
#define PLACE_MASK ((UINT64_C(1) << 61) - 1)
#define PLACE_BYTES 8u

kv_status_t kvi_bptree_sample(kv_engine_t *engine, uint64_t number, kv_slice_t *key,
                              kv_slice_t *value)
{
    const uint64_t count = ((const kvi_bptree_t *)engine)->count;
    return count > 0 ? kvi_bptree_key_at(engine, number % count, key, value) : KV_NOT_FOUND;
}

/* ---- scans ---- */

/* Where a walk is. Its prefix is that of the keys it is about; length 0 means all keys. */
typedef struct walk {
    const kvi_bptree_t *tree;
    kv_engine_visit_fn visit;
    void *context;
    char prefix[LEAF_PREFIX_MAX];
    size_t prefix_bytes;
    kvi_path_t path;
} walk_t;

/* The place of a key that begins with the walk's prefix. */
static uint64_t place_of(const walk_t *walk, kv_slice_t key)
{
    const kv_slice_t rest = kvi_slice_behind(key, walk->prefix_bytes);
    const uint64_t head = kvi_head64(rest.data, rest.size);
    return walk->prefix_bytes == 0 ? head >> 3 : head >> 24;
}

/* Goes to the first key of the walk that is at this place or behind it. False if there is no key
 * behind. A place's bytes without zeros at their end are the smallest string with that place. */
static bool go_to_place(walk_t *walk, uint64_t place)
{
    char bytes[LEAF_PREFIX_MAX + PLACE_BYTES];
    size_t size = walk->prefix_bytes + PLACE_BYTES;
    kvi_bytes_copy(bytes, walk->prefix, walk->prefix_bytes);
    kvi_store_big64(bytes + walk->prefix_bytes, walk->prefix_bytes == 0 ? place << 3 : place << 24);
    while (size > walk->prefix_bytes && bytes[size - 1] == 0) {
        size--;
    }
    kvi_bptree_descend(walk->tree, (kv_slice_t){bytes, size}, &walk->path);
    return walk->path.leaf != NULL && (walk->path.slot < walk->path.leaf->count ||
                                       kvi_path_next_leaf(walk->tree, &walk->path));
}

static bool go_on(walk_t *walk)
{
    walk->path.slot++;
    return walk->path.slot < walk->path.leaf->count || kvi_path_next_leaf(walk->tree, &walk->path);
}

static bool is_of_walk(const walk_t *walk, kv_slice_t key)
{
    return kvi_compare_prefix(key, walk->prefix, walk->prefix_bytes) == 0;
}

static uint64_t prefix_hash(const kvi_bptree_t *tree, kv_slice_t prefix)
{
    return kvi_hash_bytes(prefix.data, prefix.size, tree->seed) & PREFIX_HASH_MASK;
}

static uint64_t make_token(const walk_t *walk, uint64_t place)
{
    if (walk->prefix_bytes == 0) {
        return TOKEN_MARK | place;
    }
    const kv_slice_t prefix = {walk->prefix, walk->prefix_bytes};
    return TOKEN_MARK | TOKEN_PREFIX | (uint64_t)walk->prefix_bytes << PREFIX_LENGTH_SHIFT |
           prefix_hash(walk->tree, prefix) << PREFIX_HASH_SHIFT | place;
}

/* Visits from this place on about count entries, but whole places. Returns the next token, or 0 if
 * there is nothing left. */
static uint64_t visit_from(walk_t *walk, uint64_t place, size_t count)
{
    char buffer[KEY_BUFFER_BYTES];
    size_t visited = 0;
    uint64_t last = 0;
    for (bool more = go_to_place(walk, place); more; more = go_on(walk)) {
        const kvi_leaf_t *const leaf = walk->path.leaf;
        const kv_slice_t key = kvi_leaf_key(leaf, walk->path.slot, buffer);
        if (!is_of_walk(walk, key)) {
            break;
        }
        const uint64_t own = place_of(walk, key);
        if (visited > 0 && visited >= count && own != last) {
            return make_token(walk, own);
        }
        walk->visit(walk->context, key,
                    kvi_leaf_value(leaf, kvi_leaf_slots(leaf)[walk->path.slot]));
        last = own;
        visited++;
    }
    return 0;
}

/* The smallest string behind all that begin with these bytes, which may get shorter. False if there
 * is none. */
static bool go_behind(char *bytes, size_t *size)
{
    while (*size > 0 && (uint8_t)bytes[*size - 1] == 255) {
        --*size;
    }
    if (*size == 0) {
        return false;
    }
    bytes[*size - 1]++;
    return true;
}

/* Finds the next prefix of the given length that some key behind *from has, and moves *from behind
 * it. False if there is none. */
static bool next_prefix(walk_t *walk, size_t length, char *from, size_t *from_bytes)
{
    char buffer[KEY_BUFFER_BYTES];
    kvi_bptree_descend(walk->tree, (kv_slice_t){from, *from_bytes}, &walk->path);
    bool more =
        walk->path.slot < walk->path.leaf->count || kvi_path_next_leaf(walk->tree, &walk->path);
    for (; more; more = go_on(walk)) {
        const kv_slice_t key = kvi_leaf_key(walk->path.leaf, walk->path.slot, buffer);
        if (key.size >= length) {
            memcpy(walk->prefix, key.data, length);
            walk->prefix_bytes = length;
            memcpy(from, key.data, length);
            *from_bytes = length;
            return true;
        }
    }
    return false;
}

/* Looks for the prefixes of a token among those the keys have. Returns how many there are; the last
 * one is then the walk's. With visit_place, the rest of each is visited. */
static size_t find_prefixes(walk_t *walk, uint64_t token, const uint64_t *visit_place)
{
    char from[LEAF_PREFIX_MAX];
    char found[LEAF_PREFIX_MAX];
    size_t from_bytes = 0;
    size_t matches = 0;
    const size_t length = (token >> PREFIX_LENGTH_SHIFT) & 255u;
    const uint64_t hash = (token >> PREFIX_HASH_SHIFT) & PREFIX_HASH_MASK;
    while (next_prefix(walk, length, from, &from_bytes)) {
        const kv_slice_t prefix = {walk->prefix, walk->prefix_bytes};
        if (prefix_hash(walk->tree, prefix) == hash) {
            matches++;
            memcpy(found, walk->prefix, length);
            if (visit_place != NULL) {
                (void)visit_from(walk, *visit_place, SIZE_MAX);
            }
        }
        if (!go_behind(from, &from_bytes)) {
            break;
        }
    }
    if (matches > 0) {
        memcpy(walk->prefix, found, length);
        walk->prefix_bytes = length;
    }
    return matches;
}

/* What the first and the last key, and so all of them, have in common. */
static void take_common_prefix(walk_t *walk)
{
    char first_buffer[KEY_BUFFER_BYTES];
    char last_buffer[KEY_BUFFER_BYTES];
    kvi_bptree_descend_rank(walk->tree, 0, &walk->path);
    const kv_slice_t first = kvi_leaf_key(walk->path.leaf, 0, first_buffer);
    kvi_bptree_descend_rank(walk->tree, walk->tree->count - 1, &walk->path);
    const kv_slice_t last = kvi_leaf_key(walk->path.leaf, walk->path.slot, last_buffer);
    const size_t common = kvi_common_bytes(first, last);
    walk->prefix_bytes = common < LEAF_PREFIX_MAX ? common : LEAF_PREFIX_MAX;
    kvi_bytes_copy(walk->prefix, first.data, walk->prefix_bytes);
}

/* Goes on with a walk over keys of a common prefix. */
static uint64_t resume(walk_t *walk, uint64_t token, size_t count)
{
    const size_t length = (token >> PREFIX_LENGTH_SHIFT) & 255u;
    const uint64_t hash = (token >> PREFIX_HASH_SHIFT) & PREFIX_HASH_MASK;
    const uint64_t place = token & PREFIX_PLACE_MASK;
    if (length == 0) {
        return 0; /* no token of ours */
    }
    take_common_prefix(walk);
    if (walk->prefix_bytes >= length) {
        walk->prefix_bytes = length;
        const kv_slice_t prefix = {walk->prefix, length};
        return prefix_hash(walk->tree, prefix) == hash ? visit_from(walk, place, count) : 0;
    }
    const size_t matches = find_prefixes(walk, token, NULL);
    if (matches == 1) {
        return visit_from(walk, place, count);
    }
    if (matches > 1) {
        (void)find_prefixes(walk, token, &place);
    }
    return 0;
}

uint64_t kvi_bptree_scan(kv_engine_t *engine, uint64_t token, size_t count,
                         kv_engine_visit_fn visit, void *context)
{
    const kvi_bptree_t *const tree = (const kvi_bptree_t *)engine;
    walk_t walk = {.tree = tree, .visit = visit, .context = context};
    if (tree->count == 0) {
        return 0;
    }
    if (token == 0) {
        take_common_prefix(&walk);
        return visit_from(&walk, 0, count);
    }
    if ((token & TOKEN_PREFIX) != 0) {
        return resume(&walk, token, count);
    }
    return visit_from(&walk, token & PLACE_MASK, count);
}

/* ---- moving pages ---- */

/* Moves what an entry has apart, where that stands in a sparse block. Returns objects moved. */
static size_t move_aparts(kvi_bptree_t *tree, const kvi_leaf_t *leaf, uint64_t slot)
{
    char *const record = kvi_leaf_record(leaf, slot);
    size_t moved = 0;
    if ((slot & SLOT_KEY_APART) != 0) {
        kvi_apart_t *const apart = kvi_load_apart(record);
        kvi_apart_t *const other =
            kv_pool_sparse(tree->pool, apart)
                ? kvi_apart_create(tree, (kv_slice_t){apart->data, apart->bytes})
                : NULL;
        if (other != NULL) {
            memcpy(record, &other, sizeof other);
            kvi_apart_free(tree, apart);
            moved++;
        }
    }
    if ((slot & SLOT_VALUE_APART) != 0) {
        const kv_slice_t value = kvi_leaf_value(leaf, slot);
        char *const other =
            kv_pool_sparse(tree->pool, value.data) ? kvi_bptree_alloc(tree, value.size) : NULL;
        if (other != NULL) {
            memcpy(other, value.data, value.size);
            memcpy(record + kvi_slot_rest(slot), &other, sizeof other);
            kvi_bptree_free(tree, (void *)(uintptr_t)value.data, value.size);
            moved++;
        }
    }
    return moved;
}

static size_t move_leaf(kvi_bptree_t *tree, kvi_path_t *path)
{
    size_t moved = 0;
    for (uint32_t i = 0; path->leaf->aparts > 0 && i < path->leaf->count; i++) {
        moved += move_aparts(tree, path->leaf, kvi_leaf_slots(path->leaf)[i]);
    }
    if (kv_pool_sparse(tree->pool, path->leaf)) {
        const kvi_leaf_part_t whole[2] = {{path->leaf, 0, path->leaf->count}, {0}};
        kvi_leaf_t *const other = kvi_leaf_build(tree, whole, path->leaf->prefix_bytes, 0);
        if (other != NULL) {
            kvi_path_replace_leaf(tree, path, other);
            moved += other->count;
        }
    }
    return moved;
}

/* The inner nodes of which the path's leaf is the first one below. */
static size_t move_inner(kvi_bptree_t *tree, kvi_path_t *path)
{
    size_t moved = 0;
    for (uint32_t level = 0; level < tree->height; level++) {
        if (kv_pool_sparse(tree->pool, path->at[level].node) && kvi_inner_move(tree, path, level)) {
            moved++;
        }
        if (path->at[level].index > 0) {
            break;
        }
    }
    return moved;
}

/* All entries were passed, and nothing was left to move: the pool can part with the blocks that
 * have become empty. The next call looks through everything again. */
static void end_relocation(kvi_bptree_t *tree)
{
    tree->relocate_idle = 0;
    if (tree->trimmed_at != tree->changes) {
        tree->trimmed_at = tree->changes;
        (void)kv_pool_trim(tree->pool);
    }
}

size_t kvi_bptree_relocate(kv_engine_t *engine, size_t steps)
{
    kvi_bptree_t *const tree = (kvi_bptree_t *)engine;
    size_t used = 0;
    while (used < steps && tree->relocate_idle < tree->count) {
        kvi_path_t path;
        if (tree->relocate_at >= tree->count) {
            tree->relocate_at = 0;
        }
        kvi_bptree_descend_rank(tree, tree->relocate_at, &path);
        const uint32_t passed = path.leaf->count - path.slot;
        const size_t moved = move_inner(tree, &path) + move_leaf(tree, &path);
        tree->relocate_at += passed;
        tree->relocate_idle = moved > 0 ? 0 : tree->relocate_idle + passed;
        tree->changes += moved > 0;
        used += moved + 1;
    }
    if (used < steps) {
        end_relocation(tree);
        return used;
    }
    return steps;
}
