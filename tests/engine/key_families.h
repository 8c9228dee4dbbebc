/* SPDX-License-Identifier: MIT */
/* Families of keys that are hard for an engine: shared prefixes, zero bytes, all lengths. */
#ifndef KVI_TESTS_KEY_FAMILIES_H
#define KVI_TESTS_KEY_FAMILIES_H

#include "model.h"

/* The families. Each makes a key of a number, in a buffer of MODEL_KEY_BYTES_MAX. */
typedef kv_slice_t (*family_fn)(uint64_t number, char *buffer);

static inline kv_slice_t decimal_key(uint64_t number, char *buffer)
{
    return (kv_slice_t){buffer, (size_t)sprintf(buffer, "%016llu", (unsigned long long)number)};
}

/* All strings of the bytes 0, 1 and 255, the short ones first: zeros matter at every length. */
static inline kv_slice_t tiny_key(uint64_t number, char *buffer)
{
    static const char letters[] = {0, 1, (char)255};
    size_t size = 0;
    for (uint64_t rest = number; rest > 0; rest = (rest - 1) / 3) {
        buffer[size++] = letters[(rest - 1) % 3];
    }
    return (kv_slice_t){buffer, size};
}

/* Longer than any prefix that is kept in a page, and standing apart. */
static inline kv_slice_t long_key(uint64_t number, char *buffer)
{
    memset(buffer, 'l', 700);
    return (kv_slice_t){buffer, 300 + (size_t)sprintf(buffer + 300, "%llu",
                                                      (unsigned long long)number * 7919 % 1000)};
}

/* Just inline, or just apart: 250 to 260 bytes, different at the end only. */
static inline kv_slice_t border_key(uint64_t number, char *buffer)
{
    memset(buffer, 'b', 300);
    memcpy(buffer + 240, &number, 2);
    return (kv_slice_t){buffer, 250 + number % 11};
}

/* Separators of nearly every length behind prefixes of nearly every length. */
static inline kv_slice_t nested_key(uint64_t number, char *buffer)
{
    const size_t depth = number % 40;
    memset(buffer, 'n', depth);
    return (kv_slice_t){
        buffer, depth + (size_t)sprintf(buffer + depth, "%llu", (unsigned long long)number / 40)};
}

static const family_fn families[] = {decimal_key, tiny_key,   long_key,
                                     border_key,  nested_key, model_key};
#define FAMILIES (sizeof families / sizeof families[0])

#endif
