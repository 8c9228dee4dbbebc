/* SPDX-License-Identifier: MIT */
/*
 * Guards of the hardened build: every object ends with a word that knows how many bytes were asked
 * for, and the bytes between those and the word carry a pattern.
 *
 *   ┌───────────────────────┬───────────────┬───────────────────────────┐
 *   │ size bytes asked for  │ pattern bytes │ word: seal(size, address) │  capacity bytes in all
 *   └───────────────────────┴───────────────┴───────────────────────────┘
 *
 * Thread rule: as the object's.
 */
#ifndef KVI_MEMORY_GUARD_H
#define KVI_MEMORY_GUARD_H

#include <concordkv/kv_memory.h>

#include <string.h>

enum { KVI_GUARD_BYTES = 8, KVI_GUARD_PATTERN = 0xfb };
#define KVI_GUARD_LIVE UINT64_C(0x5afe)
#define KVI_GUARD_DEAD UINT64_C(0xdead)

/* The mark in the upper 16 bits and the size below, mixed with the address so that a copied word
 * does not fit. */
static inline uint64_t kvi_guard_seal(uint64_t mark, size_t size, const void *object)
{
    return (mark << 48 | size) ^ (uint64_t)(uintptr_t)object * UINT64_C(0x9e3779b97f4a7c15);
}

static inline uint64_t kvi_guard_word(const void *object, size_t capacity)
{
    uint64_t word = 0;
    memcpy(&word, (const char *)object + capacity - KVI_GUARD_BYTES, sizeof word);
    return word ^ kvi_guard_seal(0, 0, object);
}

static inline void kvi_guard_write(void *object, size_t capacity, uint64_t mark, size_t size)
{
    const uint64_t word = kvi_guard_seal(mark, size, object);
    memcpy((char *)object + capacity - KVI_GUARD_BYTES, &word, sizeof word);
}

static inline void kvi_guard_protect(void *object, size_t capacity, size_t size)
{
    memset((char *)object + size, KVI_GUARD_PATTERN, capacity - KVI_GUARD_BYTES - size);
    kvi_guard_write(object, capacity, KVI_GUARD_LIVE, size);
}

/* What was asked for; 0 if the word is damaged. */
static inline size_t kvi_guard_size(const void *object, size_t capacity)
{
    const uint64_t word = kvi_guard_word(object, capacity);
    const size_t size = (size_t)(word & ((UINT64_C(1) << 48) - 1));
    return word >> 48 == KVI_GUARD_LIVE && size <= capacity - KVI_GUARD_BYTES ? size : 0;
}

/* 0: the object is live and whole; else what is wrong with it. */
static inline int kvi_guard_check(const void *object, size_t capacity)
{
    const uint64_t word = kvi_guard_word(object, capacity);
    if (word >> 48 == KVI_GUARD_DEAD) {
        return KV_MISUSE_DOUBLE_FREE;
    }
    const size_t size = (size_t)(word & ((UINT64_C(1) << 48) - 1));
    if (word >> 48 != KVI_GUARD_LIVE || size > capacity - KVI_GUARD_BYTES) {
        return KV_MISUSE_OVERRUN;
    }
    const unsigned char *const bytes = object;
    for (size_t i = size; i < capacity - KVI_GUARD_BYTES; i++) {
        if (bytes[i] != KVI_GUARD_PATTERN) {
            return KV_MISUSE_OVERRUN;
        }
    }
    return 0;
}

#endif
