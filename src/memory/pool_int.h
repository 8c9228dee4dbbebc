/* SPDX-License-Identifier: MIT */
/* The inside of a pool, for pool.c and its tests. Thread rule: one user at a time, as the pool's.
 */
#ifndef KVI_MEMORY_POOL_INT_H
#define KVI_MEMORY_POOL_INT_H

#include "memory/heap.h"
#include "memory/magazine.h"
#include "memory/pool.h"

enum { POOL_SMALL_MAX = 512 };

struct kv_pool {
    kvi_windows_t windows;                         /* first: kvi_pool_deref reads it */
    uint8_t small_classes[POOL_SMALL_MAX / 8 + 1]; /* [(size + 7) / 8] */
    unsigned granule_shift;
    bool direct; /* no magazines: a checker watches */
    kvi_magazine_t
        magazines[KVI_TAGS];     /* by tag; those of blocks without a class stay empty and shut */
    uint16_t capacity[KVI_TAGS]; /* items a magazine has room for; 0: not open */
    uint16_t
        compacting[KVI_TAGS]; /* frees until a class that gives up sparse spans is ordinary again */
    const char *pivots[KVI_CLASSES];    /* below it lies room for all that the class holds */
    uint32_t pivot_spans[KVI_CLASSES];  /* the spans of the class when that was worked out */
    uint32_t pivot_needed[KVI_CLASSES]; /* and those it needed */
    kv_misuse_fn misuse;
    void *misuse_context;
    kvi_heap_t heap;
};

#endif
