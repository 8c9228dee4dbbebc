/* SPDX-License-Identifier: MIT */
/*
 * Thread caches over the process's one heap: what makes kv_store_malloc quick from every thread.
 *
 *   thread 1              thread 2
 *   cache ─ magazine      cache ─ magazine    one per class, popped and pushed without any lock
 *         └ spare               └ spare       full or empty: exchanged when the magazine runs out
 *      │  a magazine at a time  │             or over
 *      ▼                        ▼
 *   depot: full magazines, one stack per class ── mutex of the class
 *      ▼
 *   heap: spans and bitmaps of the class       ── the same mutex
 *
 * A free goes to the freeing thread's cache, whoever allocated. What one thread only frees and
 * another only allocates travels between them as full magazines.
 *
 * Invariants
 *   1. An object is live, in one magazine (loaded, spare or in the depot), or free in its span's
 *      bitmap.
 *   2. A cache's links (items, spare) change only under the mutex of their class; its counts change
 *      without.
 *   3. The depot of a class holds at most two magazines, or a 128th of what is taken if that is
 *      more.
 *
 * Thread rule: any thread.
 */
#ifndef KVI_MEMORY_CACHE_H
#define KVI_MEMORY_CACHE_H

#include "memory/heap.h"
#include "memory/magazine.h"

enum { KVI_STORE_GRANULE_SHIFT = 4 };

/* The calling thread's magazines by tag; shut and empty ones before its first call and after its
 * end. */
extern _Thread_local kvi_magazine_t *kvi_cache_magazines
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The heap under all caches. Its classes are guarded by the mutexes below. */
extern kvi_heap_t kvi_store_heap;

/* Readies the heap. direct: no caches, free objects poisoned; the first call decides. False when no
 * address space can be had. */
bool kvi_store_start(bool direct);

/* The long ways: when the thread's magazine is empty, or shut or full. */
void *kvi_cache_take_slow(size_t number);
void kvi_cache_give_slow(size_t number, void *object);

void *kvi_store_take_large(size_t bytes, size_t alignment, bool *zeroed);
void kvi_store_give_large(void *object);
bool kvi_store_resize_large(void *object, size_t bytes);

/* Hardened builds: whether address is where an object starts, and is not in a bitmap. */
bool kvi_store_is_object(const void *address);
bool kvi_store_is_taken(const void *address);

/* Empties the calling thread's cache and every depot into the heap. */
void kvi_cache_flush(void);
size_t kvi_cache_threads(void);
/* Usable bytes of all objects that are neither in a depot nor in a bitmap. */
size_t kvi_store_live_bytes(void);
/* For tests, while no other thread uses the store: heap, depots and the calling thread's cache. */
kv_status_t kvi_store_check(void);

/* Across fork: every mutex is taken; the child takes over what the other threads' caches held. */
void kvi_cache_before_fork(void);
void kvi_cache_after_fork(void);
void kvi_cache_after_fork_in_child(void);

#endif
