/* SPDX-License-Identifier: MIT */
/* The operating system as POSIX and Linux have it. */
#include "os/os.h"

#include "os/config.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

void *kvi_os_reserve(size_t bytes, size_t alignment)
{
    if (bytes > SIZE_MAX - alignment) {
        return NULL;
    }
    char *const start = mmap(NULL, bytes + alignment, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        return NULL;
    }
    const size_t skip = (size_t)(-(uintptr_t)start & (alignment - 1));
    if (skip > 0) {
        munmap(start, skip);
    }
    munmap(start + skip + bytes, alignment - skip);
    return start + skip;
}

bool kvi_os_commit(void *address, size_t bytes)
{
    return mprotect(address, bytes, PROT_READ | PROT_WRITE) == 0;
}

bool kvi_os_protect(void *address, size_t bytes, bool writable)
{
    return mprotect(address, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ) == 0;
}

void kvi_os_purge(void *address, size_t bytes)
{
    if (madvise(address, bytes, MADV_DONTNEED) != 0) {
        memset(address, 0, bytes); /* locked pages cannot be given back, but zeros were promised */
    }
}

void kvi_os_advise_huge(void *address, size_t bytes, bool huge)
{
    (void)madvise(address, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

void kvi_os_release(void *address, size_t bytes)
{
    (void)munmap(address, bytes);
}

size_t kvi_os_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

#if KVI_OS_ASAN
#include <sanitizer/asan_interface.h>

bool kvi_os_checked(void)
{
    return true;
}

void kvi_os_poison(const void *address, size_t bytes)
{
    ASAN_POISON_MEMORY_REGION(address, bytes);
}

void kvi_os_unpoison(const void *address, size_t bytes)
{
    ASAN_UNPOISON_MEMORY_REGION(address, bytes);
}
#elif KVI_OS_VALGRIND
#include <valgrind/memcheck.h>

bool kvi_os_checked(void)
{
    /* 1: not asked yet, 2: no, 3: yes. Threads that ask at once get the same answer. */
    static _Atomic unsigned char answer = 1;
    if (answer == 1) {
        answer = RUNNING_ON_VALGRIND ? 3 : 2;
    }
    return answer == 3;
}

void kvi_os_poison(const void *address, size_t bytes)
{
    if (kvi_os_checked()) {
        (void)VALGRIND_MAKE_MEM_NOACCESS(address, bytes);
    }
}

void kvi_os_unpoison(const void *address, size_t bytes)
{
    if (kvi_os_checked()) {
        (void)VALGRIND_MAKE_MEM_UNDEFINED(address, bytes);
    }
}
#else
bool kvi_os_checked(void)
{
    return false;
}

void kvi_os_poison(const void *address, size_t bytes)
{
    (void)address;
    (void)bytes;
}

void kvi_os_unpoison(const void *address, size_t bytes)
{
    (void)address;
    (void)bytes;
}
#endif

int64_t kvi_os_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t kvi_os_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t kvi_os_process_id(void)
{
    return (uint64_t)getpid();
}

bool kvi_os_random(void *bytes, size_t size)
{
    char *next = bytes;
    while (size > 0) {
        const ssize_t got = getrandom(next, size, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        next += got;
        size -= (size_t)got;
    }
    return true;
}

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(kvi_os_mutex_t), "a mutex fits its place");

void kvi_os_lock(kvi_os_mutex_t *mutex)
{
    pthread_mutex_lock((pthread_mutex_t *)(void *)mutex->opaque);
}

void kvi_os_unlock(kvi_os_mutex_t *mutex)
{
    pthread_mutex_unlock((pthread_mutex_t *)(void *)mutex->opaque);
}

static pthread_key_t thread_key;
static void (*thread_end_hook)(void *value);
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static bool thread_key_ready;

static void create_thread_key(void)
{
    thread_key_ready = pthread_key_create(&thread_key, thread_end_hook) == 0;
}

bool kvi_os_thread_on_end(void (*thread_end)(void *value))
{
    thread_end_hook = thread_end;
    pthread_once(&thread_once, create_thread_key);
    return thread_key_ready;
}

void kvi_os_thread_set(void *value)
{
    (void)pthread_setspecific(thread_key, value);
}

bool kvi_os_on_fork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    return pthread_atfork(before, parent, child) == 0;
}

void *kvi_os_malloc(size_t size)
{
    return malloc(size);
}

void *kvi_os_calloc(size_t nmemb, size_t size)
{
    return calloc(nmemb, size);
}

void *kvi_os_realloc(void *pointer, size_t size)
{
    return realloc(pointer, size);
}

void kvi_os_free(void *pointer)
{
    free(pointer);
}

void *kvi_os_aligned_alloc(size_t alignment, size_t size)
{
    void *result = NULL;
    if (alignment < sizeof(void *)) {
        alignment = sizeof(void *);
    }
    return posix_memalign(&result, alignment, size) == 0 ? result : NULL;
}

size_t kvi_os_malloc_usable_size(const void *pointer)
{
    return malloc_usable_size((void *)(uintptr_t)pointer);
}
