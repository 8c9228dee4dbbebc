/* SPDX-License-Identifier: MIT */
/*
 * What engines may know of their pool beyond kv_memory.h: an object's name in 32 bits. A pool's
 * blocks lie in at most 8,191 windows of 4 MB (window.h), which is 32 GB; where they run out,
 * kv_pool_alloc returns NULL.
 *
 * Thread rule: one user at a time, as the pool's.
 */
#ifndef KVI_MEMORY_POOL_H
#define KVI_MEMORY_POOL_H

#include "memory/window.h"

/* The object of reference, or NULL for 0. Every kv_pool begins with its windows. */
static inline void *kvi_pool_deref(const kv_pool_t *pool, uint32_t reference)
{
    const kvi_windows_t *const windows = (const void *)pool;
    const uintptr_t base = (uintptr_t)windows->bases[reference >> KVI_REF_OFFSET_BITS];
    const uintptr_t offset = reference & ((UINT32_C(1) << KVI_REF_OFFSET_BITS) - 1);
    return (void *)(base + (offset << KVI_REF_GRANULE_SHIFT));
}

/* The reference of an object of this pool, which is never 0. */
static inline uint32_t kvi_pool_ref(const kv_pool_t *pool, const void *object)
{
    (void)pool; /* an object has one reference, in the pool that owns it */
    const uint32_t window = kvi_source.tags[kvi_block_number(object)].window;
    const uint32_t offset =
        (uint32_t)((uintptr_t)object & (((uintptr_t)1 << KVI_WINDOW_SHIFT) - 1));
    return window << KVI_REF_OFFSET_BITS | offset >> KVI_REF_GRANULE_SHIFT;
}

/* Bytes that an allocation of size bytes could use without taking more memory: its usable size. */
size_t kvi_pool_good_size(const kv_pool_t *pool, size_t size);

/* Makes all blocks of the pool read-only: whoever writes to one of its objects is stopped by the
 * system (SIGSEGV). The pool may then only be read, by any number of threads, until it is unsealed,
 * which it must be before it is destroyed. False, with nothing sealed, when the system refuses. */
bool kvi_pool_seal(kv_pool_t *pool);
void kvi_pool_unseal(kv_pool_t *pool);

/* Like kv_pool_create; direct decides whether every call goes straight to the heap, which poisons
 * free objects, instead of leaving it to kvi_os_checked(). For tests. */
kv_pool_t *kvi_pool_create_direct(const kv_pool_options_t *options, bool direct);

#endif
