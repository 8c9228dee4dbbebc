/* SPDX-License-Identifier: MIT */
/* What the compiler knows about this build, as constants. */
#ifndef BENCH_BUILD_FACTS_H
#define BENCH_BUILD_FACTS_H

#ifdef NDEBUG
#define BENCH_ASSERTS 0
#else
#define BENCH_ASSERTS 1
#endif

#ifdef __OPTIMIZE__
#define BENCH_OPTIMIZED 1
#else
#define BENCH_OPTIMIZED 0
#endif

#ifdef __clang__
#define BENCH_COMPILER __VERSION__
#else
#define BENCH_COMPILER "gcc " __VERSION__
#endif

#endif
