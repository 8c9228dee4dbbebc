/* SPDX-License-Identifier: MIT */
/* The inside of a pool, for pool.c and its tests. Thread rule: one user at a time, as the pool's.
 */
#ifndef KVI_MEMORY_POOL_INT_H
#define KVI_MEMORY_POOL_INT_H

#include "memory/heap.h"
#include "memory/magazine.h"
#include "memory/pool.h"

enum { POOL_SMALL_MAX = 512 };

/* Where a class of a pool that gives up sparse spans has its pivot, and what it was worked out
 * for. */
typedef struct kvi_pivot {
    const char *address;
    uint32_t spans;
    uint32_t needed;
} kvi_pivot_t;

struct kv_pool {
    kvi_windows_t windows;                         /* first: kvi_pool_deref reads it */
    uint8_t small_classes[POOL_SMALL_MAX / 8 + 1]; /* [(size + 7) / 8] */
    unsigned granule_shift;
    bool direct; /* no magazines: a checker watches */
    kvi_magazine_t
        magazines[KVI_TAGS]; /* by tag; those of blocks without a class stay empty and shut */
    uint16_t capacity[KVI_CLASSES];  /* items a magazine has room for; 0: not open */
    uint8_t compacting[KVI_CLASSES]; /* frees until a class that gives up sparse spans is ordinary
                                        again */
    kvi_pivot_t *pivots; /* [class]: below it lies room for all objects; NULL: none was needed */
    kv_misuse_fn misuse;
    void *misuse_context;
    kvi_heap_t heap;
};
_Static_assert(sizeof(struct kv_pool) <= 8192, "small keyspaces pay for every byte of it");

#endif
