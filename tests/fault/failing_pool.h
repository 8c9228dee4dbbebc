/* SPDX-License-Identifier: MIT */
/*
 * Allocations that fail on demand: the n-th from now on, and all after it, as they do when memory
 * is short. For a test program whose linker lets every call of kv_pool_alloc and kv_pool_realloc
 * come here first.
 */
#ifndef KVI_TESTS_FAILING_POOL_H
#define KVI_TESTS_FAILING_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include <concordkv/kv_memory.h>

static size_t calls_until_failure; /* 0: none fails */

void *__real_kv_pool_alloc(kv_pool_t *pool, size_t size);
void *__wrap_kv_pool_alloc(kv_pool_t *pool, size_t size);
void *__real_kv_pool_realloc(kv_pool_t *pool, void *pointer, size_t size);
void *__wrap_kv_pool_realloc(kv_pool_t *pool, void *pointer, size_t size);

static inline bool fails(void)
{
    if (calls_until_failure > 1) {
        calls_until_failure--;
        return false;
    }
    return calls_until_failure == 1;
}

void *__wrap_kv_pool_alloc(kv_pool_t *pool, size_t size)
{
    return fails() ? NULL : __real_kv_pool_alloc(pool, size);
}

void *__wrap_kv_pool_realloc(kv_pool_t *pool, void *pointer, size_t size)
{
    return fails() ? NULL : __real_kv_pool_realloc(pool, pointer, size);
}

/* 0: no call fails. */
static inline void fail_from(size_t call)
{
    calls_until_failure = call;
}

#endif
