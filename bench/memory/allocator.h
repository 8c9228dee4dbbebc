/* SPDX-License-Identifier: MIT */
/* The allocators that free single objects, as a table of inline functions for the templates of the
 * pool, thread and big rows: our pool, kv_store_malloc, and malloc, whosever it is. */
#ifndef BENCH_ALLOCATOR_H
#define BENCH_ALLOCATOR_H

#include <stdlib.h>

#include <concordkv/kv_memory.h>

#include "bench.h"
#include "measure.h"

typedef struct allocator {
    void *(*alloc)(void *context, size_t size);
    void (*release)(void *context, void *object);
} allocator_t;

static inline void *alloc_from_malloc(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

static inline void release_to_malloc(void *context, void *object)
{
    (void)context;
    free(object);
}

static inline void *alloc_from_store(void *context, size_t size)
{
    (void)context;
    return kv_store_malloc(size);
}

static inline void release_to_store(void *context, void *object)
{
    (void)context;
    kv_store_free(object);
}

static inline void *alloc_from_pool(void *context, size_t size)
{
    return kv_pool_alloc((kv_pool_t *)context, size);
}

static inline void release_to_pool(void *context, void *object)
{
    kv_pool_free((kv_pool_t *)context, object);
}

static const allocator_t malloc_allocator = {alloc_from_malloc, release_to_malloc};
static const allocator_t store_allocator = {alloc_from_store, release_to_store};
static const allocator_t pool_allocator = {alloc_from_pool, release_to_pool};

/* The first and last 8 bytes, as an entry with a header and a checksum would have. size >= 16. */
static inline void touch_ends(char *object, size_t size)
{
    *(uint64_t *)(void *)object = size;
    __builtin_memcpy(object + size - sizeof(uint64_t), &size, sizeof(uint64_t));
}

#define ENTRY_BYTES_MIN ((size_t)16)
#define ENTRY_BYTES_MAX ((size_t)128)

static inline size_t random_entry_size(uint64_t *random)
{
    return ENTRY_BYTES_MIN + bench_below(random, ENTRY_BYTES_MAX - ENTRY_BYTES_MIN + 1);
}

#endif
