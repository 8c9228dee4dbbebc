/* SPDX-License-Identifier: MIT */
/*
 * kv_store_malloc and its family: malloc's contract over thread caches (cache.h). Built without the
 * pool they are the system's own functions.
 *
 * Thread rule: any thread, also before main, in destructors of threads, and in the child after
 * fork.
 */
#include "memory/cache.h"
#include "memory/guard.h"
#include "os/config.h"

#include <string.h>

#define ALIGNMENT_MAX ((size_t)1 << 30)

/* The size to take for size bytes; what cannot be had stays so. */
static size_t guarded(size_t size)
{
    return kvi_hardened && size < SIZE_MAX - KVI_GUARD_BYTES ? size + KVI_GUARD_BYTES : size;
}

static size_t capacity_of(const void *object)
{
    return kvi_heap_object_bytes(&kvi_store_heap, object);
}

static void *protect(void *object, size_t size)
{
    if (kvi_hardened && object != NULL) {
        kvi_guard_protect(object, capacity_of(object), size);
    }
    return object;
}

/* Hardened builds: whether the store may touch object. A misuse makes the call do nothing. */
static bool is_sound(const void *object)
{
    return !kvi_hardened || (kvi_store_is_object(object) && kvi_store_is_taken(object) &&
                             kvi_guard_check(object, capacity_of(object)) == 0);
}

static void *take_class(size_t number)
{
    void *const object = kvi_magazine_pop(&kvi_cache_magazines[number]);
    return object != NULL ? object : kvi_cache_take_slow(number);
}

static __attribute__((noinline)) void *take_any(size_t size)
{
    const size_t number = kvi_class_of(size, KVI_STORE_GRANULE_SHIFT);
    bool zeroed = false;
    return number < KVI_CLASSES ? take_class(number) : kvi_store_take_large(size, 1, &zeroed);
}

static inline void *take(size_t size)
{
    if (size <= KVI_CLASS_TABLE_UNITS << KVI_STORE_GRANULE_SHIFT) {
        const size_t units = (size + (1 << KVI_STORE_GRANULE_SHIFT) - 1) >> KVI_STORE_GRANULE_SHIFT;
        void *const object = kvi_magazine_pop(&kvi_cache_magazines[kvi_class_table[units]]);
        if (object != NULL) {
            return object;
        }
    }
    return take_any(size);
}

/* Neither NULL nor what is not ours has a block. */
static inline void give(void *object)
{
    size_t block = 0;
    if (!kvi_block_find(object, &block)) {
        return;
    }
    const size_t number = kvi_source.tags[block].size_class;
    if (!kvi_magazine_push(&kvi_cache_magazines[number], object)) {
        kvi_cache_give_slow(number, object);
    }
}

/* Whether an object of capacity bytes may stay where it is when it becomes size bytes long: not if
 * a quarter of it would lie idle. */
static bool fits(size_t size, size_t capacity)
{
    return size <= capacity && size >= capacity - capacity / 4;
}

static bool resize(void *object, size_t size, size_t capacity)
{
    if (fits(size, capacity)) {
        return true;
    }
    const size_t number = kvi_source.tags[kvi_block_number(object)].size_class;
    const size_t wanted = kvi_class_of(size, KVI_STORE_GRANULE_SHIFT);
    if (number < KVI_CLASSES) {
        return number == wanted;
    }
    return wanted >= KVI_CLASSES && kvi_store_resize_large(object, size);
}

/* A large object that grows by steps is given an eighth more than it asked for, so that copying
 * stays linear. */
static void *take_grown(size_t size, size_t old_capacity)
{
    const bool grows = size > old_capacity && size < old_capacity * 2;
    const size_t slack = size / 8;
    if (grows && kvi_class_of(size, KVI_STORE_GRANULE_SHIFT) >= KVI_CLASSES &&
        size < SIZE_MAX - slack) {
        void *const object = take(size + slack);
        if (object != NULL) {
            return object;
        }
    }
    return take(size);
}

static void *reallocate(void *pointer, size_t size)
{
    if (!is_sound(pointer) || !kvi_source_owns(pointer)) {
        return NULL;
    }
    const size_t capacity = capacity_of(pointer);
    if (resize(pointer, guarded(size), capacity)) {
        return protect(pointer, size);
    }
    const size_t old_size = kvi_hardened ? kvi_guard_size(pointer, capacity) : capacity;
    void *const object = protect(take_grown(guarded(size), capacity), size);
    if (object == NULL) {
        /* Too little memory to move into a smaller place: the old one is large enough. */
        return guarded(size) <= capacity ? protect(pointer, size) : NULL;
    }
    memcpy(object, pointer, old_size < size ? old_size : size);
    kv_store_free(pointer);
    return object;
}

void *kv_store_malloc(size_t size)
{
    if (!kvi_mem_pool) {
        return kvi_os_malloc(size);
    }
    return protect(take(guarded(size)), size);
}

void *kv_store_calloc(size_t nmemb, size_t size)
{
    if (!kvi_mem_pool) {
        return kvi_os_calloc(nmemb, size);
    }
    size_t bytes = 0;
    if (__builtin_mul_overflow(nmemb, size, &bytes)) {
        return NULL;
    }
    const size_t number = kvi_class_of(guarded(bytes), KVI_STORE_GRANULE_SHIFT);
    bool zeroed = false;
    void *const object = number < KVI_CLASSES ? take_class(number)
                                              : kvi_store_take_large(guarded(bytes), 1, &zeroed);
    if (object != NULL && !zeroed) {
        memset(object, 0, bytes);
    }
    return protect(object, bytes);
}

void *kv_store_realloc(void *pointer, size_t size)
{
    if (pointer == NULL) {
        return kv_store_malloc(size);
    }
    if (size == 0) {
        kv_store_free(pointer);
        return NULL;
    }
    return kvi_mem_pool ? reallocate(pointer, size) : kvi_os_realloc(pointer, size);
}

void *kv_store_aligned_alloc(size_t alignment, size_t size)
{
    if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > ALIGNMENT_MAX) {
        return NULL;
    }
    if (!kvi_mem_pool) {
        return kvi_os_aligned_alloc(alignment, size);
    }
    const size_t bytes = guarded(size);
    const size_t number = alignment <= KVI_BLOCK_BYTES
                              ? kvi_class_aligned(bytes, alignment, KVI_STORE_GRANULE_SHIFT)
                              : (size_t)KVI_CLASSES;
    bool zeroed = false;
    return protect(number < KVI_CLASSES ? take_class(number)
                                        : kvi_store_take_large(bytes, alignment, &zeroed),
                   size);
}

void kv_store_free(void *pointer)
{
    if (!kvi_mem_pool) {
        kvi_os_free(pointer);
        return;
    }
    if (kvi_hardened && pointer != NULL) {
        if (!is_sound(pointer)) {
            return;
        }
        kvi_guard_write(pointer, capacity_of(pointer), KVI_GUARD_DEAD, 0);
    }
    give(pointer);
}

size_t kv_store_usable_size(const void *pointer)
{
    if (!kvi_mem_pool) {
        return kvi_os_malloc_usable_size(pointer);
    }
    if (pointer == NULL || !kvi_source_owns(pointer)) {
        return 0;
    }
    const size_t capacity = capacity_of(pointer);
    return kvi_hardened ? kvi_guard_size(pointer, capacity) : capacity;
}

void kv_memory_cleanup(void)
{
    kvi_cache_flush();
    (void)kvi_block_purge_now(0, SIZE_MAX);
}

kv_status_t kv_memory_stats(kv_memory_stats_t *stats)
{
    if (stats == NULL) {
        return KV_INVALID;
    }
    *stats = (kv_memory_stats_t){.pool_enabled = kvi_mem_pool != 0,
                                 .store_live_bytes = kvi_store_live_bytes(),
                                 .store_obtained_bytes = kvi_heap_obtained(&kvi_store_heap),
                                 .threads = kvi_cache_threads()};
    kvi_block_stats(stats);
    return KV_OK;
}
