/* SPDX-License-Identifier: MIT */
/*
 * Scans of ordered engines (ordered_scan.h). The token has 63 bits:
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
 * Invariants
 *  1. Places ascend with keys, and all keys of one place are visited in one call. So those visited
 *     are always the keys whose place is below the token's. Many keys that differ only behind these
 *     bytes make a call longer than was asked for.
 *  2. Keys that have been there since the walk began all begin with its prefix, which is therefore
 *     among the prefixes of length s that the keys have now. Mostly that is the only one; if
 *     several have its hash, the rest of each is visited in one call, which ends the walk.
 *
 * One user at a time.
 */
#include "engine/ordered_scan.h"

#include "base/hash.h"
#include "engine/key_order.h"

#define TOKEN_MARK (UINT64_C(1) << 62)
#define TOKEN_PREFIX (UINT64_C(1) << 61)
#define PREFIX_BYTES_MAX 255u
#define PREFIX_LENGTH_SHIFT 53
#define PREFIX_HASH_SHIFT 40
#define PREFIX_HASH_MASK UINT64_C(0x1fff)
#define PREFIX_PLACE_MASK ((UINT64_C(1) << 40) - 1)
#define PLACE_MASK ((UINT64_C(1) << 61) - 1)
#define PLACE_BYTES 8u

/* One call of scan. Its prefix is that of the keys it is about; length 0 means all keys. */
typedef struct scan {
    kvi_ordered_walk_t *walk;
    kv_engine_visit_fn visit;
    void *context;
    size_t prefix_bytes;
    char prefix[PREFIX_BYTES_MAX];
} scan_t;

static uint64_t place_of(const scan_t *scan, kv_slice_t key)
{
    const kv_slice_t rest = kvi_slice_behind(key, scan->prefix_bytes);
    const uint64_t head = kvi_head64(rest.data, rest.size);
    return scan->prefix_bytes == 0 ? head >> 3 : head >> 24;
}

/* To the first key at this place of the scan or behind it. A place's bytes without zeros at their
 * end are the smallest string with that place. */
static bool seek_place(scan_t *scan, uint64_t place)
{
    char bytes[PREFIX_BYTES_MAX + PLACE_BYTES];
    size_t size = scan->prefix_bytes + PLACE_BYTES;
    kvi_bytes_copy(bytes, scan->prefix, scan->prefix_bytes);
    kvi_store_big64(bytes + scan->prefix_bytes, scan->prefix_bytes == 0 ? place << 3 : place << 24);
    while (size > scan->prefix_bytes && bytes[size - 1] == 0) {
        size--;
    }
    return scan->walk->seek(scan->walk, (kv_slice_t){bytes, size});
}

static uint64_t prefix_hash(const scan_t *scan)
{
    return kvi_hash_bytes(scan->prefix, scan->prefix_bytes, scan->walk->seed) & PREFIX_HASH_MASK;
}

static uint64_t make_token(const scan_t *scan, uint64_t place)
{
    if (scan->prefix_bytes == 0) {
        return TOKEN_MARK | place;
    }
    return TOKEN_MARK | TOKEN_PREFIX | (uint64_t)scan->prefix_bytes << PREFIX_LENGTH_SHIFT |
           prefix_hash(scan) << PREFIX_HASH_SHIFT | place;
}

/* Visits about count entries from this place on, but whole places. Returns the next token, or 0 if
 * nothing is left. */
static uint64_t visit_from(scan_t *scan, uint64_t place, size_t count)
{
    kvi_ordered_walk_t *const walk = scan->walk;
    size_t visited = 0;
    uint64_t last = 0;
    for (bool more = seek_place(scan, place); more; more = walk->next(walk)) {
        if (kvi_compare_prefix(walk->key, scan->prefix, scan->prefix_bytes) != 0) {
            break;
        }
        const uint64_t own = place_of(scan, walk->key);
        if (visited > 0 && visited >= count && own != last) {
            return make_token(scan, own);
        }
        scan->visit(scan->context, walk->key, walk->value);
        last = own;
        visited++;
    }
    return 0;
}

/* Takes what the first and the last key, and so all of them, have in common. False if there is no
 * key. */
static bool take_common_prefix(scan_t *scan)
{
    char first[PREFIX_BYTES_MAX];
    kvi_ordered_walk_t *const walk = scan->walk;
    if (!walk->seek(walk, (kv_slice_t){NULL, 0})) {
        return false;
    }
    const size_t bytes = walk->key.size < PREFIX_BYTES_MAX ? walk->key.size : PREFIX_BYTES_MAX;
    kvi_bytes_copy(first, walk->key.data, bytes);
    if (!walk->last(walk)) {
        return false;
    }
    scan->prefix_bytes = kvi_common_bytes((kv_slice_t){first, bytes}, walk->key);
    kvi_bytes_copy(scan->prefix, first, scan->prefix_bytes);
    return true;
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

/* Takes the next prefix of this length that some key from *from on has, and moves *from there.
 * False if there is none. */
static bool next_prefix(scan_t *scan, size_t length, char *from, size_t *from_bytes)
{
    kvi_ordered_walk_t *const walk = scan->walk;
    bool more = walk->seek(walk, (kv_slice_t){from, *from_bytes});
    while (more && walk->key.size < length) {
        more = walk->next(walk);
    }
    if (more) {
        memcpy(scan->prefix, walk->key.data, length);
        memcpy(from, walk->key.data, length);
        scan->prefix_bytes = length;
        *from_bytes = length;
    }
    return more;
}

/* Looks for the token's prefix among those the keys have. Returns how many it may be; the last of
 * them is then the scan's. With visit_place, the rest of each is visited. */
static size_t find_prefixes(scan_t *scan, uint64_t token, const uint64_t *visit_place)
{
    char from[PREFIX_BYTES_MAX];
    char found[PREFIX_BYTES_MAX];
    size_t from_bytes = 0;
    size_t matches = 0;
    const size_t length = (token >> PREFIX_LENGTH_SHIFT) & PREFIX_BYTES_MAX;
    const uint64_t hash = (token >> PREFIX_HASH_SHIFT) & PREFIX_HASH_MASK;
    while (next_prefix(scan, length, from, &from_bytes)) {
        if (prefix_hash(scan) == hash) {
            matches++;
            memcpy(found, scan->prefix, length);
            if (visit_place != NULL) {
                (void)visit_from(scan, *visit_place, SIZE_MAX);
            }
        }
        if (!go_behind(from, &from_bytes)) {
            break;
        }
    }
    if (matches > 0) {
        memcpy(scan->prefix, found, length);
        scan->prefix_bytes = length;
    }
    return matches;
}

/* Goes on with a walk over keys of a common prefix. */
static uint64_t resume(scan_t *scan, uint64_t token, size_t count)
{
    const size_t length = (token >> PREFIX_LENGTH_SHIFT) & PREFIX_BYTES_MAX;
    const uint64_t hash = (token >> PREFIX_HASH_SHIFT) & PREFIX_HASH_MASK;
    const uint64_t place = token & PREFIX_PLACE_MASK;
    if (length == 0 || !take_common_prefix(scan)) {
        return 0; /* no token of ours, or no keys */
    }
    if (scan->prefix_bytes >= length) {
        scan->prefix_bytes = length;
        return prefix_hash(scan) == hash ? visit_from(scan, place, count) : 0;
    }
    const size_t matches = find_prefixes(scan, token, NULL);
    if (matches == 1) {
        return visit_from(scan, place, count);
    }
    if (matches > 1) {
        (void)find_prefixes(scan, token, &place);
    }
    return 0;
}

uint64_t kvi_ordered_scan(kvi_ordered_walk_t *walk, uint64_t token, size_t count,
                          kv_engine_visit_fn visit, void *context)
{
    scan_t scan = {.walk = walk, .visit = visit, .context = context};
    if (token == 0) {
        return take_common_prefix(&scan) ? visit_from(&scan, 0, count) : 0;
    }
    if ((token & TOKEN_PREFIX) != 0) {
        return resume(&scan, token, count);
    }
    return visit_from(&scan, token & PLACE_MASK, count);
}
