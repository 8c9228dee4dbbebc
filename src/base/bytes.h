/* SPDX-License-Identifier: MIT */
/*
 * Bytes at any alignment: copies and compares that accept an empty slice with a NULL pointer, and
 * short compares that stay inline, since most keys are shorter than a call of memcmp is worth.
 */
#ifndef KVI_BASE_BYTES_H
#define KVI_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <concordkv/kv_status.h>

/* memcpy for up to 64 bytes, from both ends to the middle. */
static inline void kvi_bytes_copy_short(char *to, const char *from, size_t size)
{
    if (size > 32) {
        memcpy(to, from, 32);
        memcpy(to + size - 32, from + size - 32, 32);
    } else if (size >= 16) {
        memcpy(to, from, 16);
        memcpy(to + size - 16, from + size - 16, 16);
    } else if (size >= 8) {
        memcpy(to, from, 8);
        memcpy(to + size - 8, from + size - 8, 8);
    } else if (size >= 4) {
        memcpy(to, from, 4);
        memcpy(to + size - 4, from + size - 4, 4);
    } else if (size > 0) {
        to[0] = from[0];
        to[size / 2] = from[size / 2];
        to[size - 1] = from[size - 1];
    }
}

/* memcpy, but size 0 goes with any pointers. */
static inline void kvi_bytes_copy(void *to, const void *from, size_t size)
{
    if (size <= 64) {
        kvi_bytes_copy_short(to, from, size);
    } else {
        memcpy(to, from, size);
    }
}

/* memmove, but size 0 goes with any pointers. */
static inline void kvi_bytes_move(void *to, const void *from, size_t size)
{
    if (size > 0) {
        memmove(to, from, size);
    }
}

static inline uint64_t kvi_bytes_load64(const void *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

static inline uint32_t kvi_bytes_load32(const void *from)
{
    uint32_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

/* Numbers in files and batches: little endian, at any alignment, on every machine. Compilers make
 * one instruction of each where the machine is little endian itself. */
static inline uint32_t kvi_bytes_load_le32(const void *from)
{
    const unsigned char *const bytes = from;
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static inline uint64_t kvi_bytes_load_le64(const void *from)
{
    const unsigned char *const bytes = from;
    return kvi_bytes_load_le32(bytes) | (uint64_t)kvi_bytes_load_le32(bytes + 4) << 32;
}

static inline void kvi_bytes_store_le32(void *to, uint32_t number)
{
    unsigned char *const bytes = to;
    bytes[0] = (unsigned char)number;
    bytes[1] = (unsigned char)(number >> 8);
    bytes[2] = (unsigned char)(number >> 16);
    bytes[3] = (unsigned char)(number >> 24);
}

static inline void kvi_bytes_store_le64(void *to, uint64_t number)
{
    kvi_bytes_store_le32(to, (uint32_t)number);
    kvi_bytes_store_le32((char *)to + 4, (uint32_t)(number >> 32));
}

static inline bool kvi_bytes_equal_short(const char *a, const char *b, size_t size)
{
    if (size >= 4) {
        const uint32_t head = kvi_bytes_load32(a) ^ kvi_bytes_load32(b);
        return (head | (kvi_bytes_load32(a + size - 4) ^ kvi_bytes_load32(b + size - 4))) == 0;
    }
    /* Of one to three bytes the first, the middle and the last are all there are. */
    return size == 0 ||
           ((a[0] ^ b[0]) | (a[size / 2] ^ b[size / 2]) | (a[size - 1] ^ b[size - 1])) == 0;
}

/* Whether size bytes are the same. The last word overlaps the one before it, so no tail is left. */
static inline bool kvi_bytes_equal(const char *a, const char *b, size_t size)
{
    if (size < 8) {
        return kvi_bytes_equal_short(a, b, size);
    }
    if (size > 64) {
        return memcmp(a, b, size) == 0;
    }
    for (size_t i = 0; i + 8 < size; i += 8) {
        if (kvi_bytes_load64(a + i) != kvi_bytes_load64(b + i)) {
            return false;
        }
    }
    return kvi_bytes_load64(a + size - 8) == kvi_bytes_load64(b + size - 8);
}

/* As memcmp, and a prefix stands before what it begins. */
static inline int kvi_slice_compare(kv_slice_t a, kv_slice_t b)
{
    const size_t common = a.size < b.size ? a.size : b.size;
    const int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static inline bool kvi_slice_equal(kv_slice_t a, kv_slice_t b)
{
    return a.size == b.size && kvi_bytes_equal(a.data, b.data, a.size);
}

/* Begins to bring the line with this address into the cache. The empty instruction keeps the call:
 * gcc takes a function that only prefetches for one without effects and drops it whole. */
static inline void kvi_prefetch(const void *address)
{
    __builtin_prefetch(address);
    __asm__ volatile("" : : "r"(address));
}

#endif
