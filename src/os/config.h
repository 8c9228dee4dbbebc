/* SPDX-License-Identifier: MIT */
/*
 * What the build decided, as constants that an ordinary `if` can test.
 *
 *   ENABLE_MEM_POOL   undefined or 0: kv_store_malloc is plain malloc
 *                     1, any other number or bare: the pool
 *   KVI_HARDENED      1: canaries behind objects, misuse is detected and reported
 *   NDEBUG            undefined: assertions are on, and so are dear guards against our own bugs
 */
#ifndef KVI_OS_CONFIG_H
#define KVI_OS_CONFIG_H

#if !defined(ENABLE_MEM_POOL)
#define KVI_CONFIG_POOL 0
#elif (0 - ENABLE_MEM_POOL - 1) == 1 && (ENABLE_MEM_POOL + 0) == 0
/* Only a bare definition turns the first sum into 0 - - 1. */
#define KVI_CONFIG_POOL 1
#elif ENABLE_MEM_POOL + 0
#define KVI_CONFIG_POOL 1
#else
#define KVI_CONFIG_POOL 0
#endif

#if !defined(KVI_HARDENED)
#define KVI_CONFIG_HARDENED 0
#elif KVI_HARDENED + 0
#define KVI_CONFIG_HARDENED 1
#else
#define KVI_CONFIG_HARDENED 0
#endif

#if defined(NDEBUG)
#define KVI_CONFIG_DEBUG 0
#else
#define KVI_CONFIG_DEBUG 1
#endif

enum {
    kvi_mem_pool = KVI_CONFIG_POOL,
    kvi_hardened = KVI_CONFIG_HARDENED,
    kvi_debug = KVI_CONFIG_DEBUG
};

/* Which checker of memory errors this file is compiled for. */
#if defined(__SANITIZE_ADDRESS__)
#define KVI_OS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KVI_OS_ASAN 1
#endif
#endif
#if !defined(KVI_OS_ASAN)
#define KVI_OS_ASAN 0
#endif
#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#define KVI_OS_VALGRIND 1
#endif
#endif
#if !defined(KVI_OS_VALGRIND)
#define KVI_OS_VALGRIND 0
#endif

#endif
