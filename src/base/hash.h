/* SPDX-License-Identifier: MIT */
/*
 * The hash of byte strings: XXH3 with 64 bits and a secret seed, inline because keys are short.
 * Equal on every machine for equal seeds. Also the mixer that makes well-spread numbers of a
 * counter.
 */
#ifndef KVI_BASE_HASH_H
#define KVI_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t kvi_hash_bytes(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

/* A bijection of 64 bits that spreads every input bit over all output bits (splitmix64's finaliser,
 * Steele et al. 2014). */
static inline uint64_t kvi_hash_mix(uint64_t number)
{
    number += UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ (number >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94d049bb133111eb);
    return number ^ (number >> 31);
}

#endif
