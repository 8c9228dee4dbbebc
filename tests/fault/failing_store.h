/* SPDX-License-Identifier: MIT */
/*
 * Requests for memory that are refused on demand, the n-th alone or all from the n-th on, and a
 * count of what is alive. For a test program whose linker lets the calls of kv_store_* and of the
 * system's reservations come here first; its meson.build names them.
 */
#ifndef KVI_TESTS_FAILING_STORE_H
#define KVI_TESTS_FAILING_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_memory.h>

#include "log/wal_writer.h"

typedef struct failing_store {
    uint64_t left; /* requests until one is refused; 0: none is */
    bool once;
    bool struck;
    int64_t alive; /* objects and stages that were not given back */
} failing_store_t;

static failing_store_t failing;

void *__real_kv_store_malloc(size_t size);
void *__real_kv_store_calloc(size_t nmemb, size_t size);
void *__real_kv_store_realloc(void *pointer, size_t size);
void *__real_kv_store_aligned_alloc(size_t alignment, size_t size);
void __real_kv_store_free(void *pointer);
void *__real_kvi_os_reserve(size_t bytes, size_t alignment);
bool __real_kvi_os_commit(void *address, size_t bytes);
void __real_kvi_os_release(void *address, size_t bytes);
void *__wrap_kv_store_malloc(size_t size);
void *__wrap_kv_store_calloc(size_t nmemb, size_t size);
void *__wrap_kv_store_realloc(void *pointer, size_t size);
void *__wrap_kv_store_aligned_alloc(size_t alignment, size_t size);
void __wrap_kv_store_free(void *pointer);
void *__wrap_kvi_os_reserve(size_t bytes, size_t alignment);
bool __wrap_kvi_os_commit(void *address, size_t bytes);
void __wrap_kvi_os_release(void *address, size_t bytes);

static inline void fail_at(uint64_t request, bool once)
{
    failing.left = request;
    failing.once = once;
    failing.struck = false;
}

/* Nothing is refused any more. True: something was. */
static inline bool fail_no_more(void)
{
    failing.left = 0;
    return failing.struck;
}

static inline bool is_refused(void)
{
    if (failing.left != 1) {
        failing.left -= failing.left > 1;
        return false;
    }
    failing.left = failing.once ? 0 : 1;
    failing.struck = true;
    return true;
}

static inline void *counted(void *made)
{
    failing.alive += made != NULL;
    return made;
}

void *__wrap_kv_store_malloc(size_t size)
{
    return is_refused() ? NULL : counted(__real_kv_store_malloc(size));
}

void *__wrap_kv_store_calloc(size_t nmemb, size_t size)
{
    return is_refused() ? NULL : counted(__real_kv_store_calloc(nmemb, size));
}

void *__wrap_kv_store_realloc(void *pointer, size_t size)
{
    if (is_refused()) {
        return NULL;
    }
    void *const made = __real_kv_store_realloc(pointer, size);
    return pointer == NULL ? counted(made) : made;
}

void *__wrap_kv_store_aligned_alloc(size_t alignment, size_t size)
{
    return is_refused() ? NULL : counted(__real_kv_store_aligned_alloc(alignment, size));
}

void __wrap_kv_store_free(void *pointer)
{
    failing.alive -= pointer != NULL;
    __real_kv_store_free(pointer);
}

/* Of reservations only the stage of a log's writer is meant; the others belong to the blocks below
 * kv_store_*. */
static inline bool is_stage(size_t bytes)
{
    return bytes == 2 * KVI_WAL_STAGE_BYTES;
}

void *__wrap_kvi_os_reserve(size_t bytes, size_t alignment)
{
    if (!is_stage(bytes)) {
        return __real_kvi_os_reserve(bytes, alignment);
    }
    return is_refused() ? NULL : counted(__real_kvi_os_reserve(bytes, alignment));
}

bool __wrap_kvi_os_commit(void *address, size_t bytes)
{
    return !(is_stage(bytes) && is_refused()) && __real_kvi_os_commit(address, bytes);
}

void __wrap_kvi_os_release(void *address, size_t bytes)
{
    failing.alive -= is_stage(bytes);
    __real_kvi_os_release(address, bytes);
}

#endif
