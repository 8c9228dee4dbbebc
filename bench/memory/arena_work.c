/* SPDX-License-Identifier: MIT */
/* The arena rows: which plan each one is, and our arena, malloc and mimalloc's heap as contestants.
 */
#include "arena_work.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include <concordkv/kv_memory.h>

#include "bench.h"

#define BLOCK_64K ((size_t)64 << 10)
#define SPECIFICATION_COUNT ((size_t)100000)
#define WARM_CYCLES ((size_t)44)

/* ---- our arena ---- */

static void *create_arena(size_t block_bytes)
{
    return kv_arena_create(block_bytes);
}

static inline void *alloc_arena(void *arena, size_t size)
{
    return kv_arena_alloc((kv_arena_t *)arena, size);
}

static void reset_arena(void *arena, void **objects, size_t count)
{
    (void)objects;
    (void)count;
    kv_arena_reset((kv_arena_t *)arena, SIZE_MAX);
}

static void destroy_arena(void *arena, void **objects, size_t count)
{
    (void)objects;
    (void)count;
    kv_arena_destroy((kv_arena_t *)arena);
}

static size_t arena_obtained(void *arena)
{
    return kv_arena_memory_usage((const kv_arena_t *)arena);
}

/* ---- malloc, whosever it is ---- */

static void *create_nothing(size_t block_bytes)
{
    (void)block_bytes;
    return NULL;
}

static inline void *alloc_malloc(void *arena, size_t size)
{
    (void)arena;
    return malloc(size);
}

static void free_each(void *arena, void **objects, size_t count)
{
    (void)arena;
    for (size_t i = 0; i < count; i++) {
        free(objects[i]);
    }
}

/* ---- mimalloc's first-class heap, which is dropped as a whole like an arena; its functions come
 * from the preloaded library, so that this program does not need it to start ---- */

typedef struct mimalloc_heap {
    void *heap;
    void *(*create)(void);
    void *(*alloc)(void *heap, size_t size);
    void (*destroy)(void *heap);
} mimalloc_heap_t;

static void *find_symbol(const char *name)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    if (symbol == NULL) {
        fprintf(stderr, "bench_memory: mimalloc has no %s\n", name);
        exit(1);
    }
    return symbol;
}

static void *create_heap(size_t block_bytes)
{
    (void)block_bytes;
    static mimalloc_heap_t box;
    /* ISO C knows no conversion from object to function pointers; POSIX promises it for dlsym. */
    *(void **)&box.create = find_symbol("mi_heap_new");
    *(void **)&box.alloc = find_symbol("mi_heap_malloc");
    *(void **)&box.destroy = find_symbol("mi_heap_destroy");
    box.heap = box.create();
    return &box;
}

static inline void *alloc_heap(void *arena, size_t size)
{
    const mimalloc_heap_t *box = arena;
    return box->alloc(box->heap, size);
}

static void reset_heap(void *arena, void **objects, size_t count)
{
    mimalloc_heap_t *box = arena;
    (void)objects;
    (void)count;
    box->destroy(box->heap);
    box->heap = box->create();
}

static void destroy_heap(void *arena, void **objects, size_t count)
{
    mimalloc_heap_t *box = arena;
    (void)objects;
    (void)count;
    box->destroy(box->heap);
}

/* ---- the floor: one pointer that is bumped through a reservation, nothing checked, nothing
 * counted. What it costs is the loop, its stores and the page faults under them. ---- */

#define BUMP_BYTES ((size_t)1 << 30)

typedef struct bump {
    char *next;
    char *begin;
} bump_t;

static void *create_bump(size_t block_bytes)
{
    static bump_t bump;
    (void)block_bytes;
    bump.begin = bench_reserve(BUMP_BYTES);
    bump.next = bump.begin;
    return &bump;
}

static inline void *alloc_bump(void *arena, size_t size)
{
    bump_t *bump = arena;
    char *const object = bump->next;
    bump->next = object + ((size + 7) & ~(size_t)7);
    return object;
}

static void reset_bump(void *arena, void **objects, size_t count)
{
    bump_t *bump = arena;
    (void)objects;
    (void)count;
    bump->next = bump->begin;
}

static const arena_ops_t bump_ops = {create_bump, alloc_bump, reset_bump, reset_bump, NULL};
static const arena_ops_t kv_ops = {create_arena, alloc_arena, reset_arena, destroy_arena,
                                   arena_obtained};
static const arena_ops_t malloc_ops = {create_nothing, alloc_malloc, free_each, free_each, NULL};
static const arena_ops_t heap_ops = {create_heap, alloc_heap, reset_heap, destroy_heap, NULL};

static arena_figures_t measure_driver(driver_t driver, const arena_plan_t *plan)
{
    switch (driver) {
    case DRIVER_KV_ARENA:
        return measure_arena(kv_ops, plan);
    case DRIVER_MIMALLOC_HEAP:
        return measure_arena(heap_ops, plan);
    case DRIVER_LEVELDB:
        return measure_cxx_arena(PEER_LEVELDB, plan);
    case DRIVER_PMR:
        return measure_cxx_arena(PEER_PMR, plan);
    case DRIVER_BUMP:
        return measure_arena(bump_ops, plan);
    default:
        return measure_arena(malloc_ops, plan);
    }
}

/* ---- the specification's test ---- */

static uint64_t time_driver(driver_t driver, size_t block_bytes, size_t count, void **array)
{
    switch (driver) {
    case DRIVER_KV_ARENA:
        return time_specification(kv_ops, block_bytes, count, array);
    case DRIVER_LEVELDB:
        return time_cxx_specification(PEER_LEVELDB, block_bytes, count, array);
    case DRIVER_PMR:
        return time_cxx_specification(PEER_PMR, block_bytes, count, array);
    case DRIVER_BUMP:
        return time_specification(bump_ops, block_bytes, count, array);
    default:
        return time_specification(malloc_ops, block_bytes, count, array);
    }
}

/* One process measures an arena first and plain malloc after it, as the specification's test does;
 * each gets an array of pointers that has not been touched. For a contestant that is malloc itself
 * there is only its own loop. */
static void run_specification(driver_t driver, size_t shrink, size_t block_bytes)
{
    const size_t count = SPECIFICATION_COUNT / shrink;
    void **array = malloc(count * sizeof(*array));
    if (array == NULL) {
        return;
    }
    bench_warm_host((size_t)32 << 20);
    const uint64_t time = time_driver(driver, block_bytes, count, array);
    report_metric("loop_us", (double)time / 1000.0);
    if (driver != DRIVER_MALLOC) {
        void **second = malloc(count * sizeof(*second));
        if (second != NULL) {
            const uint64_t malloc_time = time_specification(malloc_ops, 0, count, second);
            report_metric("times_malloc", (double)malloc_time / (double)time);
        }
        free(second);
    }
    free(array);
}

void run_specification_64k(driver_t driver, size_t shrink)
{
    run_specification(driver, shrink, BLOCK_64K);
}

void run_specification_default(driver_t driver, size_t shrink)
{
    run_specification(driver, shrink, 0);
}

/* ---- the other rows ---- */

static void report_arena(driver_t driver, arena_plan_t *plan)
{
    plan->objects = bench_table(plan->count * sizeof(void *));
    const arena_figures_t figures = measure_driver(driver, plan);
    report_metric("alloc_ns", figures.alloc_ns);
    if (plan->cycles > 1) {
        report_metric("reset_ns", figures.reset_ns);
    }
    report_metric("destroy_ns", figures.destroy_ns);
}

void run_arena_warm(driver_t driver, size_t shrink)
{
    arena_plan_t plan = {
        .count = 100000 / shrink, .cycles = WARM_CYCLES, .block_bytes = BLOCK_64K, .size = 64};
    bench_warm_host((size_t)32 << 20);
    report_arena(driver, &plan);
}

void run_arena_warm_written(driver_t driver, size_t shrink)
{
    arena_plan_t plan = {.count = 100000 / shrink,
                         .cycles = WARM_CYCLES,
                         .block_bytes = BLOCK_64K,
                         .size = 64,
                         .written = 1};
    bench_warm_host((size_t)32 << 20);
    report_arena(driver, &plan);
}

void run_arena_warm_random(driver_t driver, size_t shrink)
{
    arena_plan_t plan = {.count = 100000 / shrink, .cycles = WARM_CYCLES, .block_bytes = BLOCK_64K};
    uint16_t *sizes = bench_table(plan.count * sizeof(*sizes));
    uint64_t random = 42;
    for (size_t i = 0; i < plan.count; i++) {
        sizes[i] = (uint16_t)(8 + bench_below(&random, 1024 - 8 + 1));
    }
    plan.sizes = sizes;
    bench_warm_host((size_t)128 << 20);
    report_arena(driver, &plan);
}

void run_arena_cold_written(driver_t driver, size_t shrink)
{
    arena_plan_t plan = {
        .count = 4000000 / shrink, .cycles = 1, .block_bytes = BLOCK_64K, .size = 64, .written = 1};
    bench_warm_host(plan.count * 80);
    report_arena(driver, &plan);
}

void run_arena_cold_16(driver_t driver, size_t shrink)
{
    arena_plan_t plan = {
        .count = 10000000 / shrink, .cycles = 1, .block_bytes = BLOCK_64K, .size = 16};
    bench_warm_host(plan.count * 40);
    report_arena(driver, &plan);
}

void run_arena_efficiency(driver_t driver, size_t shrink)
{
    const size_t count = SPECIFICATION_COUNT;
    void **objects = bench_table(count * sizeof(*objects));
    (void)shrink; /* a count, not a time: always the published size */
    if (driver == DRIVER_LEVELDB) {
        const double efficiency = 100.0 * measure_cxx_efficiency(count, objects);
        report_metric("percent_64k", efficiency);
        report_metric("percent_4k", efficiency);
        return;
    }
    report_metric("percent_64k", 100.0 * measure_efficiency(kv_ops, BLOCK_64K, count, objects));
    report_metric("percent_4k", 100.0 * measure_efficiency(kv_ops, 0, count, objects));
}
