/* SPDX-License-Identifier: MIT */
/*
 * The order of keys for ordered engines: that of memcmp, a prefix before what it begins. Heads are
 * the first bytes of a key as numbers of the same order, so that most compares are one of numbers.
 * Pure functions.
 */
#ifndef KVI_ENGINE_KEY_ORDER_H
#define KVI_ENGINE_KEY_ORDER_H

#include <stdbool.h>

#include "base/bytes.h"

static inline uint32_t kvi_load_big32(const void *from)
{
    const uint8_t *const b = from;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint64_t kvi_load_big64(const void *from)
{
    const uint8_t *const b = from;
    return (uint64_t)kvi_load_big32(b) << 32 | kvi_load_big32(b + 4);
}

/* The string without its first bytes. An empty one may have no address. */
static inline kv_slice_t kvi_slice_behind(kv_slice_t string, size_t bytes)
{
    return (kv_slice_t){bytes > 0 ? string.data + bytes : string.data, string.size - bytes};
}

/* The byte at this place of four, counted from the highest. */
static inline uint32_t kvi_byte32(const char *data, size_t at)
{
    return (uint32_t)(uint8_t)data[at] << (24 - 8 * at);
}

/* The first four bytes as a number whose order is that of the bytes; zeros behind the end. Of one
 * to three bytes the first, the middle and the last are all there are. */
static inline uint32_t kvi_head32(const char *data, size_t size)
{
    if (size >= 4) {
        return kvi_load_big32(data);
    }
    return size == 0
               ? 0
               : kvi_byte32(data, 0) | kvi_byte32(data, size / 2) | kvi_byte32(data, size - 1);
}

static inline uint64_t kvi_head64(const char *data, size_t size)
{
    if (size >= 8) {
        return kvi_load_big64(data);
    }
    const uint64_t high = (uint64_t)kvi_head32(data, size) << 32;
    return size <= 4 ? high : high | (uint32_t)(kvi_load_big32(data + size - 4) << (64 - 8 * size));
}

/* Said in so many words, because gcc 12 does not see it in four stores of bytes. */
static inline void kvi_store_big32(char *to, uint32_t number)
{
    const uint32_t bytes =
        __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap32(number) : number;
    memcpy(to, &bytes, sizeof bytes);
}

static inline void kvi_store_big64(char *to, uint64_t number)
{
    const uint64_t bytes =
        __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap64(number) : number;
    memcpy(to, &bytes, sizeof bytes);
}

/* How many bytes two strings have in common at their beginning. */
static inline size_t kvi_common_bytes(kv_slice_t a, kv_slice_t b)
{
    const size_t most = a.size < b.size ? a.size : b.size;
    size_t i = 0;
    while (i + 8 <= most && kvi_bytes_load64(a.data + i) == kvi_bytes_load64(b.data + i)) {
        i += 8;
    }
    while (i < most && a.data[i] == b.data[i]) {
        i++;
    }
    return i;
}

/* <0, 0, >0: key is before, among or behind all strings that begin with these bytes. */
static inline int kvi_compare_prefix(kv_slice_t key, const char *prefix, size_t bytes)
{
    if (key.size >= bytes && kvi_bytes_equal(key.data, prefix, bytes)) {
        return 0; /* nearly always */
    }
    const size_t common = key.size < bytes ? key.size : bytes;
    const int order = common > 0 ? memcmp(key.data, prefix, common) : 0;
    return order != 0 ? order : -(key.size < bytes);
}

#endif
