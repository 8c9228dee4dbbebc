/* SPDX-License-Identifier: MIT */
/* What every test program includes: cmocka with the headers it wants before it, and repeatable
 * random numbers. */
#ifndef KVI_TESTS_TEST_H
#define KVI_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The seed of this run: KV_TEST_SEED if it is set, else from the clock. Printed, so that a failure
 * can be repeated. */
static inline uint64_t test_seed(void)
{
    const char *const given = getenv("KV_TEST_SEED");
    const uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    printf("# KV_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* The next number of a splitmix64 sequence (Steele, Lea and Flood, 2014). */
static inline uint64_t test_random(uint64_t *sequence)
{
    uint64_t z = (*sequence += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif
