/* SPDX-License-Identifier: MIT */
/*
 * A magazine: a stack of free objects of one class, beside them, so that alloc and free touch no
 * object.
 *
 *   items  [ coldest ... latest freed ]
 *                        ▲ count          push while count < limit
 *
 * Thread rule: one user at a time; count may be read by any thread.
 */
#ifndef KVI_MEMORY_MAGAZINE_H
#define KVI_MEMORY_MAGAZINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kvi_magazine {
    _Atomic uint32_t count;
    uint32_t limit; /* 0: every push goes the long way */
    void **items;
} kvi_magazine_t;

static inline uint32_t kvi_magazine_count(const kvi_magazine_t *magazine)
{
    return atomic_load_explicit(&magazine->count, memory_order_relaxed);
}

/* Released, so that whoever sees the count (a child after fork) sees the items below it. */
static inline void kvi_magazine_set_count(kvi_magazine_t *magazine, uint32_t count)
{
    atomic_store_explicit(&magazine->count, count, memory_order_release);
}

/* The latest object, or NULL. */
static inline void *kvi_magazine_pop(kvi_magazine_t *magazine)
{
    const uint32_t count = kvi_magazine_count(magazine);
    if (__builtin_expect(count == 0, 0)) {
        return NULL;
    }
    void *const object = magazine->items[count - 1];
    kvi_magazine_set_count(magazine, count - 1);
    return object;
}

/* Whether there was room. */
static inline bool kvi_magazine_push(kvi_magazine_t *magazine, void *object)
{
    const uint32_t count = kvi_magazine_count(magazine);
    if (__builtin_expect(count >= magazine->limit, 0)) {
        return false;
    }
    magazine->items[count] = object;
    kvi_magazine_set_count(magazine, count + 1);
    return true;
}

#endif
