/* SPDX-License-Identifier: MIT */
/*
 * The operating system as an interface. Only src/os may contain #if and system headers for these
 * things; everything above asks here. Functions are safe for any thread unless they say otherwise.
 */
#ifndef KVI_OS_H
#define KVI_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- address space and pages ---- */

/* Reserves bytes of address space aligned to alignment (a power of two >= the page size),
 * inaccessible and free of charge. NULL when it cannot be had. */
void *kvi_os_reserve(size_t bytes, size_t alignment);
/* Makes a page-aligned part of a reservation readable and writable, zeroed. False when the system
 * refuses. */
bool kvi_os_commit(void *address, size_t bytes);
/* Gives the pages back but keeps them usable; they read as zero afterwards. */
void kvi_os_purge(void *address, size_t bytes);
/* Asks for huge pages (or ordinary ones) in this range from now on. A hint. */
void kvi_os_advise_huge(void *address, size_t bytes, bool huge);
/* Lets pages of a reservation be read alone, where a write is then a fault of the process, or be
 * written again. False when the system refuses. */
bool kvi_os_protect(void *address, size_t bytes, bool writable);
/* Ends a whole reservation. */
void kvi_os_release(void *address, size_t bytes);
size_t kvi_os_page_size(void);

/* ---- checkers of memory errors ---- */

/* Whether AddressSanitizer or valgrind watches this process. */
bool kvi_os_checked(void);
/* Any access to these bytes is an error from now on; unpoison makes them ordinary, undefined bytes
 * again. Both do nothing when nobody watches. */
void kvi_os_poison(const void *address, size_t bytes);
void kvi_os_unpoison(const void *address, size_t bytes);

/* ---- clocks and randomness ---- */

int64_t kvi_os_wall_ms(void);       /* milliseconds since 1970, may jump */
uint64_t kvi_os_monotonic_ns(void); /* never goes back */
/* Fills bytes with random bytes from the system. False if it has none. */
bool kvi_os_random(void *bytes, size_t size);

/* ---- processes and threads ---- */

uint64_t kvi_os_process_id(void);

typedef struct kvi_os_mutex {
    /* A pthread_mutex_t; all zeros is an unlocked one on Linux. */
    _Alignas(16) unsigned char opaque[48];
} kvi_os_mutex_t;
void kvi_os_lock(kvi_os_mutex_t *mutex);
void kvi_os_unlock(kvi_os_mutex_t *mutex);

typedef struct kvi_os_condition {
    /* A pthread_cond_t; all zeros is one on which nobody waits. */
    _Alignas(16) unsigned char opaque[48];
} kvi_os_condition_t;
/* Unlocks, waits for wake, locks again. May also return without reason. */
void kvi_os_wait(kvi_os_condition_t *condition, kvi_os_mutex_t *mutex);
/* The same until kvi_os_monotonic_ns is at deadline_ns. False: it is. */
bool kvi_os_wait_until(kvi_os_condition_t *condition, kvi_os_mutex_t *mutex, uint64_t deadline_ns);
void kvi_os_wake(kvi_os_condition_t *condition);     /* one who waits */
void kvi_os_wake_all(kvi_os_condition_t *condition); /* all of them */

/* The processor that this thread is on, or was a moment ago: for who spreads things over cache
 * lines. */
unsigned kvi_os_processor(void);
/* Between two looks of a thread that waits for a moment without sleeping. */
void kvi_os_relax(void);

typedef struct kvi_os_thread {
    _Alignas(16) unsigned char opaque[16];
} kvi_os_thread_t;
/* Runs run(argument) in a new thread that takes no signals and must be joined. False when the
 * system has none. */
bool kvi_os_thread_start(kvi_os_thread_t *thread, void (*run)(void *argument), void *argument);
void kvi_os_thread_join(kvi_os_thread_t *thread);

/* Has thread_end(value) run when a thread that called kvi_os_thread_set with a value that is not
 * NULL ends. One slot for the whole library; the first call registers it. False when the system has
 * no slot left. */
bool kvi_os_thread_on_end(void (*thread_end)(void *value));
void kvi_os_thread_set(void *value);

/* Runs the three around fork, as pthread_atfork. */
bool kvi_os_on_fork(void (*before)(void), void (*parent)(void), void (*child)(void));

/* ---- the system's own allocator, for builds without the pool ---- */
void *kvi_os_malloc(size_t size);
void *kvi_os_calloc(size_t nmemb, size_t size);
void *kvi_os_realloc(void *pointer, size_t size);
void kvi_os_free(void *pointer);
void *kvi_os_aligned_alloc(size_t alignment, size_t size);
size_t kvi_os_malloc_usable_size(const void *pointer);

#endif
