/* SPDX-License-Identifier: MIT */
/* kv_store_malloc and its family: malloc's contract from any thread, threads that end, fork, and
 * what a hardened build refuses. Runs in both builds, with the pool and without. */
#include "test.h"

#include <concordkv/kv_memory.h>

#include "memory/cache.h"
#include "os/config.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int check_store(void **state)
{
    (void)state;
    return kvi_store_check() == KV_OK && kvi_run_check() == KV_OK ? 0 : -1;
}

static kv_memory_stats_t stats_of(void)
{
    kv_memory_stats_t stats;
    assert_int_equal(kv_memory_stats(&stats), KV_OK);
    return stats;
}

/* ---- one thread ---- */

static void the_build_says_what_it_is(void **state)
{
    (void)state;
    assert_int_equal(stats_of().pool_enabled, kvi_mem_pool);
    assert_int_equal(kv_memory_stats(NULL), KV_INVALID);
}

static void objects_are_apart_and_aligned_to_16(void **state)
{
    (void)state;
    for (size_t size = 0; size < 2000000; size += size < 300 ? 1 : size / 3) {
        unsigned char *const a = kv_store_malloc(size);
        unsigned char *const b = kv_store_malloc(size);
        assert_true(a != NULL && b != NULL && a != b);
        assert_int_equal((uintptr_t)a % 16, 0);
        assert_true(kv_store_usable_size(a) >= size);
        memset(a, 1, kv_store_usable_size(a));
        memset(b, 2, kv_store_usable_size(b));
        assert_true(size == 0 || (a[0] == 1 && a[size - 1] == 1));
        kv_store_free(b);
        kv_store_free(a);
    }
    kv_store_free(NULL);
    assert_int_equal(kv_store_usable_size(NULL), 0);
}

static void impossible_sizes_give_null(void **state)
{
    (void)state;
    /* Read at run time: compilers refuse such sizes to malloc when they see them. */
    static const volatile size_t sizes[] = {SIZE_MAX, SIZE_MAX - 7, SIZE_MAX - 64,
                                            SIZE_MAX / 2 + 2};
    char *const object = kv_store_malloc(100);
    memset(object, 3, 100);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_null(kv_store_malloc(sizes[i]));
        assert_null(kv_store_calloc(sizes[i], 1));
        assert_null(kv_store_calloc(sizes[i], 2)); /* overflows */
        assert_null(kv_store_calloc(2, sizes[i]));
        assert_null(kv_store_realloc(object, sizes[i]));
        assert_null(kv_store_aligned_alloc(64, sizes[i]));
    }
    assert_int_equal(object[99], 3);
    kv_store_free(object);
}

static void calloc_clears_recycled_memory(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 48, 1000, 40000, 300000, 3000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int round = 0; round < 4; round++) {
            unsigned char *const object = kv_store_calloc(1, sizes[i]);
            assert_non_null(object);
            for (size_t j = 0; j < sizes[i]; j++) {
                assert_int_equal(object[j], 0);
            }
            memset(object, 0xff, sizes[i]);
            kv_store_free(object);
        }
    }
    kv_store_free(kv_store_calloc(0, 5));
}

static void realloc_keeps_the_smaller_part(void **state)
{
    (void)state;
    uint64_t sequence = test_seed();
    size_t size = 1;
    unsigned char *object = kv_store_realloc(NULL, size);
    object[0] = 1;
    for (int i = 0; i < 300; i++) {
        const uint64_t random = test_random(&sequence);
        const size_t next = random % (random >> 62 == 0 ? 3000000 : 3000) + 1;
        object = kv_store_realloc(object, next);
        assert_non_null(object);
        const size_t kept = next < size ? next : size;
        assert_true(object[0] == 1 && object[kept / 2] == 1 && object[kept - 1] == 1);
        assert_true(kv_store_usable_size(object) >= next);
        memset(object, 1, next);
        size = next;
    }
    assert_null(kv_store_realloc(object, 0)); /* frees */
}

/* Growing by small steps must not copy everything at every step. */
static void a_large_object_grows_by_steps(void **state)
{
    (void)state;
    unsigned char *object = NULL;
    size_t moves = 0;
    void *fences[64];
    size_t fence_count = 0;
    for (size_t size = 100000; size < (size_t)24 << 20; size += 20000) {
        unsigned char *const grown = kv_store_realloc(object, size);
        assert_non_null(grown);
        moves += grown != object;
        object = grown;
        object[size - 1] = 9;
        assert_true(kv_store_usable_size(object) >= size);
        if (fence_count < 64 && moves > fence_count) {
            fences[fence_count++] = kv_store_malloc(2000000); /* what stands in the way */
        }
    }
    assert_true(moves < 120 || !kvi_mem_pool); /* others remap pages */
    for (size_t i = 0; i < fence_count; i++) {
        kv_store_free(fences[i]);
    }
    kv_store_free(object);
}

static void alignments_are_kept(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 33, 4096, 70000, 3000000};
    for (size_t alignment = 1; alignment <= (size_t)2 << 20; alignment *= 2) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            char *const object = kv_store_aligned_alloc(alignment, sizes[i]);
            assert_non_null(object);
            assert_int_equal((uintptr_t)object % alignment, 0);
            memset(object, 1, sizes[i]);
            char *const larger = kv_store_realloc(object, sizes[i] + 1000);
            assert_non_null(larger);
            kv_store_free(larger);
        }
    }
    assert_null(kv_store_aligned_alloc(0, 8));
    assert_null(kv_store_aligned_alloc(24, 8));
}

static void the_macros_are_the_functions(void **state)
{
    (void)state;
    char *object = kv_malloc(10);
    object = kv_realloc(object, 2000);
    assert_non_null(object);
    kv_free(object);
    object = kv_calloc(5, 5);
    assert_int_equal(object[24], 0);
    kv_free(object);
}

static void free_really_frees(void **state)
{
    (void)state;
    if (!kvi_mem_pool) {
        return;
    }
    kv_memory_cleanup();
    const size_t before = stats_of().system_bytes;
    for (int i = 0; i < 2000000; i++) {
        char *const object = kv_store_malloc(64);
        *(volatile char *)object = 1;
        kv_store_free(object);
    }
    assert_true(stats_of().system_bytes < before + ((size_t)2 << 20));
}

static void cleanup_gives_everything_back(void **state)
{
    (void)state;
    if (!kvi_mem_pool) {
        return;
    }
    enum { COUNT = 50000 };
    static char *objects[COUNT];
    kv_memory_cleanup();
    const kv_memory_stats_t before = stats_of();
    for (size_t i = 0; i < COUNT; i++) {
        objects[i] = kv_store_malloc(i % 900);
    }
    const kv_memory_stats_t full = stats_of();
    assert_true(full.store_live_bytes > before.store_live_bytes + COUNT * (size_t)400);
    assert_true(full.store_obtained_bytes >= full.store_live_bytes);
    assert_true(full.system_bytes >= full.store_obtained_bytes);
    assert_true(full.system_peak_bytes >= full.system_bytes);
    for (size_t i = 0; i < COUNT; i++) {
        kv_store_free(objects[i]);
    }
    kv_memory_cleanup();
    const kv_memory_stats_t after = stats_of();
    assert_int_equal(after.store_live_bytes, before.store_live_bytes);
    assert_int_equal(after.idle_bytes, 0);
    assert_true(after.store_obtained_bytes <= before.store_obtained_bytes + 4096);
}

static void a_refusing_system_gives_null(void **state)
{
    (void)state;
    if (!kvi_mem_pool) {
        return;
    }
    kv_memory_cleanup();
    kvi_source.refuse_after = 1;
    assert_null(kv_store_malloc(3000000));
    assert_null(kv_store_calloc(1, 200));
    assert_null(kv_store_aligned_alloc(4096, 100));
    kvi_source.refuse_after = 0;
    void *const object = kv_store_malloc(200);
    assert_non_null(object);
    kvi_source.refuse_after = 1;
    void *const same = kv_store_realloc(object, 10); /* too little memory to shrink: it stays */
    assert_ptr_equal(same, object);
    kvi_source.refuse_after = 0;
    kv_store_free(object);
}

/* ---- several threads ---- */

enum { SHARED = 1024, THREADS = 6, STEPS = 20000 };
static _Atomic(uint64_t *) shared[SHARED];

/* Every thread puts objects into shared places and frees what it finds there. */
static void *exchange(void *context)
{
    uint64_t sequence = (uint64_t)(uintptr_t)context;
    for (int i = 0; i < STEPS; i++) {
        const uint64_t random = test_random(&sequence);
        const size_t size = 16 + random / SHARED % (random >> 60 == 0 ? 50000 : 400);
        uint64_t *const object = kv_store_malloc(size);
        assert_non_null(object);
        object[0] = size;
        ((char *)object)[size - 1] = (char)size;
        uint64_t *const found = atomic_exchange(&shared[random % SHARED], object);
        if (found != NULL) {
            const size_t found_size = found[0];
            assert_true(found_size == 16 || ((char *)found)[found_size - 1] == (char)found_size);
            kv_store_free(found);
        }
    }
    return NULL;
}

static void run_threads(void *(*work)(void *))
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(i + 1)), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void any_thread_frees(void **state)
{
    (void)state;
    (void)test_seed();
    run_threads(exchange);
    for (size_t i = 0; i < SHARED; i++) {
        kv_store_free(atomic_exchange(&shared[i], NULL));
    }
}

static void threads_that_end_leave_nothing(void **state)
{
    (void)state;
    if (!kvi_mem_pool) {
        return;
    }
    kv_memory_cleanup();
    const kv_memory_stats_t before = stats_of();
    for (int round = 0; round < 3; round++) {
        run_threads(exchange);
        for (size_t i = 0; i < SHARED; i++) {
            kv_store_free(atomic_exchange(&shared[i], NULL));
        }
    }
    kv_memory_cleanup();
    const kv_memory_stats_t after = stats_of();
    assert_int_equal(after.threads, before.threads);
    assert_int_equal(after.store_live_bytes, before.store_live_bytes);
    assert_true(after.store_obtained_bytes <= before.store_obtained_bytes + 4096);
}

enum { QUEUE = 4096, SENT = 200000 };
static void *queue[QUEUE];
static _Atomic size_t sent;
static _Atomic size_t received;

static void *consume(void *context)
{
    (void)context;
    for (size_t i = 0; i < SENT; i++) {
        while (atomic_load_explicit(&sent, memory_order_acquire) == i) {
            sched_yield();
        }
        kv_store_free(queue[i % QUEUE]);
        atomic_store_explicit(&received, i + 1, memory_order_release);
    }
    return NULL;
}

static void what_one_allocates_and_another_frees_comes_back(void **state)
{
    (void)state;
    kv_memory_cleanup();
    const size_t before = stats_of().store_obtained_bytes;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, consume, NULL), 0);
    for (size_t i = 0; i < SENT; i++) {
        while (i - atomic_load_explicit(&received, memory_order_acquire) >= QUEUE) {
            sched_yield();
        }
        queue[i % QUEUE] = kv_store_malloc(16 + i % 100);
        atomic_store_explicit(&sent, i + 1, memory_order_release);
    }
    pthread_join(thread, NULL);
    /* Bounded by what was under way, not by what passed through: 17 MB. */
    assert_true(stats_of().store_obtained_bytes < before + ((size_t)3 << 20));
}

/* A destructor that runs in any order with the library's own. */
static pthread_key_t late_key;

static void use_late(void *value)
{
    kv_store_free(value);
    char *const object = kv_store_malloc(100);
    object[99] = 1;
    kv_store_free(object);
    kv_store_free(kv_store_malloc(3000000));
}

static void *end_with_work_left(void *context)
{
    (void)context;
    assert_int_equal(pthread_setspecific(late_key, kv_store_malloc(50)), 0);
    return NULL;
}

static void the_end_of_a_thread_may_still_free(void **state)
{
    (void)state;
    assert_int_equal(pthread_key_create(&late_key, use_late), 0);
    run_threads(end_with_work_left);
    pthread_key_delete(late_key);
}

/* ---- fork ---- */

static _Atomic bool stop;

static void *churn(void *context)
{
    while (!stop) {
        (void)exchange(context);
    }
    return NULL;
}

static void work_in_child(void)
{
    void *objects[1000];
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < 1000; i++) {
            objects[i] = kv_store_malloc(i * 3);
            memset(objects[i], 1, i * 3);
        }
        for (size_t i = 0; i < 1000; i++) {
            kv_store_free(objects[i]);
        }
    }
    kv_memory_cleanup();
    const bool alone = !kvi_mem_pool || kvi_cache_threads() <= 1;
    _exit(alone && kvi_store_check() == KV_OK && kvi_run_check() == KV_OK ? 0 : 1);
}

static void a_child_can_go_on(void **state)
{
    (void)state;
    pthread_t threads[2];
    stop = false;
    for (uintptr_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < 20; i++) {
        const pid_t child = fork();
        if (child == 0) {
            work_in_child();
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    stop = true;
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < SHARED; i++) {
        kv_store_free(atomic_exchange(&shared[i], NULL));
    }
}

/* ---- misuse, in a hardened build ---- */

static void misuse_does_nothing(void **state)
{
    (void)state;
    if (!kvi_hardened || !kvi_mem_pool) {
        return;
    }
    void *const neighbour = kv_store_malloc(50);
    char *const object = kv_store_malloc(50);
    kv_store_free(object + 16);
    kv_store_free(object);
    kv_store_free(object);
    assert_null(kv_store_realloc(object, 100));
    void *const first = kv_store_malloc(50);
    void *const second = kv_store_malloc(50);
    assert_ptr_not_equal(first, second); /* a double free would hand it out twice */
    int local = 0;
    kv_store_free(&local);
    kv_store_free(first);
    kv_store_free(second);
    kv_store_free(neighbour);
}

#define STORE_TEST(function) cmocka_unit_test_setup_teardown(function, check_store, check_store)

static const struct CMUnitTest tests[] = {
    STORE_TEST(the_build_says_what_it_is),
    STORE_TEST(objects_are_apart_and_aligned_to_16),
    STORE_TEST(impossible_sizes_give_null),
    STORE_TEST(calloc_clears_recycled_memory),
    STORE_TEST(realloc_keeps_the_smaller_part),
    STORE_TEST(a_large_object_grows_by_steps),
    STORE_TEST(alignments_are_kept),
    STORE_TEST(the_macros_are_the_functions),
    STORE_TEST(free_really_frees),
    STORE_TEST(cleanup_gives_everything_back),
    STORE_TEST(a_refusing_system_gives_null),
    STORE_TEST(any_thread_frees),
    STORE_TEST(threads_that_end_leave_nothing),
    STORE_TEST(what_one_allocates_and_another_frees_comes_back),
    STORE_TEST(the_end_of_a_thread_may_still_free),
    STORE_TEST(a_child_can_go_on),
    STORE_TEST(misuse_does_nothing),
};

int main(void)
{
    /* Also where a checker watches, whose processes do without caches by themselves. */
    (void)kvi_store_start(getenv("KV_TEST_DIRECT") != NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
