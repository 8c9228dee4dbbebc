/* SPDX-License-Identifier: MIT */
/*
 * What kvbench measures: a map from bytes to bytes that owns copies of both. Our engines and the
 * containers they are compared with are rows of one kind, so that all pay for the same calls. One
 * user at a time.
 */
#ifndef KVBENCH_STORE_H
#define KVBENCH_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes behind a store; a container of others knows the total only. */
typedef struct store_bytes {
    size_t key;
    size_t value;
    size_t index;
    size_t slack;
    size_t total;
} store_bytes_t;

typedef struct store_ops {
    const char *name;
    bool is_engine;    /* ours, behind the engine seam */
    bool shares_reads; /* several threads may get at once */
    size_t count_max;  /* entries it can be asked to hold; 0: any number */
    void *(*open)(const struct store_ops *self); /* NULL: no memory */
    void (*close)(void *store);
    bool (*put)(void *store, kv_slice_t key, kv_slice_t value);
    bool (*get)(void *store, kv_slice_t key, kv_slice_t *value);
    bool (*del)(void *store, kv_slice_t key);
    /* Visits every entry; returns a sum over their bytes, so that nobody leaves the reading out. */
    uint64_t (*iterate)(void *store);

    /* NULL where there is no such thing: then one key at a time, or iterate. */
    void (*get_many)(void *store, size_t count, const kv_slice_t *keys, kv_slice_t *values);
    void (*prefetch)(void *store, size_t count, const kv_slice_t *keys);
    uint64_t (*scan)(void *store);
    void (*bytes)(void *store, store_bytes_t *bytes); /* NULL: what malloc says */

    /* Ordered stores, else NULL: visits count entries from key on, or up to the end. Adds to *sum
     * and returns how many there were. A cursor lasts until the next write. */
    void *(*cursor_open)(void *store);
    size_t (*seek)(void *cursor, kv_slice_t key, size_t count, uint64_t *sum);
    void (*cursor_close)(void *cursor);

    /* Engines, else NULL. Becomes the engine called name, a thousand entries a step; and gives back
     * what deleting has left behind. */
    bool (*convert)(void **store, const char *name);
    void (*compact)(void *store);
} store_ops_t;

/* Something that depends on the bytes at both ends of an entry. */
static inline uint64_t store_touch(kv_slice_t slice)
{
    return slice.size == 0 ? 1
                           : (uint64_t)(unsigned char)slice.data[0] +
                                 (uint64_t)(unsigned char)slice.data[slice.size - 1];
}

/* The row called name: an engine or a peer that was there when this was built. NULL: none. */
const store_ops_t *store_find(const char *name);
/* The number-th row, engines first. NULL past the last. */
const store_ops_t *store_at(size_t number);

#ifdef __cplusplus
}
#endif

#endif
