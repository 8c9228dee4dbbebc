/* SPDX-License-Identifier: MIT */
/*
 * A small fast generator for samples, tests and benchmarks: a counter behind a mixer, so any seed
 * is good and any stretch can be replayed. Not for secrets: those come from kvi_os_random.
 */
#ifndef KVI_BASE_RANDOM_H
#define KVI_BASE_RANDOM_H

#include <stdint.h>

typedef struct kvi_random {
    uint64_t counter;
} kvi_random_t;

static inline uint64_t kvi_random_next(kvi_random_t *random)
{
    uint64_t number = random->counter += UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ (number >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94d049bb133111eb);
    return number ^ (number >> 31);
}

/* A number below limit, which must not be 0; even to within limit / 2^32. */
static inline uint32_t kvi_random_below(kvi_random_t *random, uint32_t limit)
{
    return (uint32_t)(((kvi_random_next(random) >> 32) * limit) >> 32);
}

#endif
