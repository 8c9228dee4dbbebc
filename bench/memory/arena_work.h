/* SPDX-License-Identifier: MIT */
/*
 * The arena workloads as templates over a table of functions. The C file instantiates them for our
 * arena and for malloc, the C++ file for the peers that are C++, so that all of them run the same
 * loop.
 *
 * One cycle: `count` allocations whose pointers go into a table (malloc needs them to free, so all
 * pay for it), then the memory is given back or the arena reset. Only the allocations are timed as
 * "alloc", only the giving back as "reset".
 */
#ifndef BENCH_ARENA_WORK_H
#define BENCH_ARENA_WORK_H

#include "measure.h"

typedef struct arena_ops {
    void *(*create)(size_t block_bytes);
    void *(*alloc)(void *arena, size_t size);
    void (*reset)(void *arena, void **objects, size_t count); /* ready for the next cycle */
    void (*destroy)(void *arena, void **objects, size_t count);
    size_t (*obtained)(void *arena); /* NULL: it does not say */
} arena_ops_t;

typedef struct arena_plan {
    size_t count;          /* allocations in a cycle */
    size_t cycles;         /* 1: cold, a single cycle in a process that has done nothing else */
    size_t block_bytes;    /* where the contestant lets its user choose */
    size_t size;           /* of every object, or 0: */
    const uint16_t *sizes; /* one per allocation */
    int written;           /* all bytes of every object are written */
    void **objects;        /* count pointers, faulted in */
} arena_plan_t;

typedef struct arena_figures {
    double alloc_ns;   /* an allocation, in the median cycle */
    double reset_ns;   /* the same for reset */
    double destroy_ns; /* the same for destroy, of the last cycle */
} arena_figures_t;

#define ARENA_CYCLES_MAX 64

/* Eight-byte stores, as a program that fills a struct does; objects are multiples of 8. */
BENCH_TEMPLATE void write_object(void *object, size_t size)
{
    uint64_t *words = (uint64_t *)object;
    for (size_t i = 0; i < size / sizeof(uint64_t); i++) {
        words[i] = i;
    }
}

BENCH_TEMPLATE uint64_t time_allocations(const arena_ops_t ops, void *arena,
                                         const arena_plan_t *plan)
{
    void **const objects = plan->objects;
    const size_t count = plan->count;
    const uint64_t start = bench_now_ns();
    if (plan->sizes != NULL) {
        for (size_t i = 0; i < count; i++) {
            objects[i] = ops.alloc(arena, plan->sizes[i]);
        }
    } else if (plan->size == 64 && plan->written) {
        for (size_t i = 0; i < count; i++) {
            void *object = ops.alloc(arena, 64);
            write_object(object, 64);
            objects[i] = object;
        }
    } else if (plan->size == 64) {
        for (size_t i = 0; i < count; i++) {
            objects[i] = ops.alloc(arena, 64);
        }
    } else {
        for (size_t i = 0; i < count; i++) {
            objects[i] = ops.alloc(arena, 16);
        }
    }
    bench_use(objects);
    return bench_now_ns() - start;
}

BENCH_TEMPLATE arena_figures_t measure_arena(const arena_ops_t ops, const arena_plan_t *plan)
{
    double alloc_ns[ARENA_CYCLES_MAX];
    double reset_ns[ARENA_CYCLES_MAX];
    const double count = (double)plan->count;
    const size_t warm_up = plan->cycles > 8 ? 4 : 0;
    arena_figures_t figures = {0.0, 0.0, 0.0};
    void *arena = ops.create(plan->block_bytes);
    for (size_t cycle = 0; cycle < plan->cycles; cycle++) {
        alloc_ns[cycle] = (double)time_allocations(ops, arena, plan) / count;
        const uint64_t start = bench_now_ns();
        if (cycle + 1 < plan->cycles) {
            ops.reset(arena, plan->objects, plan->count);
        } else {
            ops.destroy(arena, plan->objects, plan->count);
        }
        reset_ns[cycle] = (double)(bench_now_ns() - start) / count;
    }
    figures.alloc_ns = bench_median(alloc_ns + warm_up, plan->cycles - warm_up);
    figures.destroy_ns = reset_ns[plan->cycles - 1];
    figures.reset_ns =
        plan->cycles < 2 ? 0.0 : bench_median(reset_ns + warm_up, plan->cycles - 1 - warm_up);
    return figures;
}

/* The specification's test: a fresh arena, a fresh array of pointers that is faulted in by the loop
 * itself, 64 bytes each, nothing written into them. Nanoseconds of the whole loop. */
BENCH_TEMPLATE uint64_t time_specification(const arena_ops_t ops, size_t block_bytes, size_t count,
                                           void **fresh_array)
{
    void *arena = ops.create(block_bytes);
    const uint64_t start = bench_now_ns();
    for (size_t i = 0; i < count; i++) {
        fresh_array[i] = ops.alloc(arena, 64);
    }
    bench_use(fresh_array);
    const uint64_t time = bench_now_ns() - start;
    ops.destroy(arena, fresh_array, count);
    return time;
}

/* Asked / obtained, from the contestant's own count. */
BENCH_TEMPLATE double measure_efficiency(const arena_ops_t ops, size_t block_bytes, size_t count,
                                         void **objects)
{
    void *arena = ops.create(block_bytes);
    for (size_t i = 0; i < count; i++) {
        objects[i] = ops.alloc(arena, 64);
    }
    const double efficiency = (double)(count * 64) / (double)ops.obtained(arena);
    ops.destroy(arena, objects, count);
    return efficiency;
}

#ifdef __cplusplus
extern "C" {
#endif

/* The peers written in C++: which < PEER_COUNT. */
enum { PEER_LEVELDB, PEER_PMR };
arena_figures_t measure_cxx_arena(int which, const arena_plan_t *plan);
uint64_t time_cxx_specification(int which, size_t block_bytes, size_t count, void **fresh_array);
double measure_cxx_efficiency(size_t count, void **objects); /* of PEER_LEVELDB */

#ifdef __cplusplus
}
#endif

#endif
