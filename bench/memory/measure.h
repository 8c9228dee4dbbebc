/* SPDX-License-Identifier: MIT */
/*
 * What every workload measures with: a clock, a small random generator, a sink that the compiler
 * cannot see through, tables that are faulted in before the clock starts, and what the system says
 * about memory. Usable from C and C++, because the peers' loops are the same text as ours.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The loops are templates: inlined into a caller that passes a constant table of functions, so that
 * every contestant is called directly, as its user would call it. */
#define BENCH_TEMPLATE static inline __attribute__((always_inline))

static inline uint64_t bench_clock_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

/* Processor time of this thread, the kernel's part included: what other programs take does not
 * count. */
static inline uint64_t bench_now_ns(void)
{
    return bench_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* The wall clock, for what several threads do together. */
static inline uint64_t bench_wall_ns(void)
{
    return bench_clock_ns(CLOCK_MONOTONIC);
}

/* Marsaglia's xorshift64*: cheap enough to leave the allocator as the larger part of every loop. */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

/* An even number below limit (at most 2^32), without a division. */
static inline size_t bench_below(uint64_t *state, size_t limit)
{
    return (size_t)(((bench_random(state) >> 32) * limit) >> 32);
}

/* The pointer is used, and memory may have changed: the allocator must keep its state in memory
 * between two calls, as it must in a program that does something with the object. */
static inline void bench_use(const void *pointer)
{
    __asm__ volatile("" : : "r"(pointer) : "memory");
}

/* Zeroed memory that no contestant has anything to do with, faulted in, in huge pages where the
 * system has them. Ends the process with a message when there is none. Never freed: a measuring
 * process is short. */
void *bench_table(size_t bytes);

/* Zeroed memory that nobody has touched, with huge pages asked for. Ends the process when there is
 * none. Never freed. */
void *bench_reserve(size_t bytes);

/* Touches and releases bytes once, so that the host of a virtual machine has supplied them before
 * the clock starts. */
void bench_warm_host(size_t bytes);

/* Resident bytes of this process, and free bytes of the whole system. */
size_t bench_resident_bytes(void);
size_t bench_system_free_bytes(void);

/* Sorts values and returns the middle one. */
double bench_median(double *values, size_t count);

#ifdef __cplusplus
}
#endif

#endif
