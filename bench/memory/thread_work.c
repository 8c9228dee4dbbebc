/* SPDX-License-Identifier: MIT */
/*
 * The rows of two threads.
 *
 * Handover: one thread allocates and fills, the other frees. Objects travel in batches through two
 * slots, so that the threads meet once per thousand objects and the allocator is what is measured:
 *
 *   producer ──► slot 0 [1,024 pointers] ──► consumer        full: the consumer's turn
 *            └─► slot 1 [1,024 pointers] ──┘                 empty: the producer's
 *
 * Swap: both threads pick random places of one table of 2 million live entries, put a new entry
 * there and free the one they find, which half of the time is the other thread's. Nanoseconds are
 * of the wall clock over all pairs of both.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "allocator.h"

#define BATCH ((size_t)1024)
#define SLOTS ((size_t)2)
#define HANDOVER_OBJECTS ((size_t)20000000)
#define SWAP_ENTRIES ((size_t)2000000)
#define SWAP_PAIRS ((size_t)20000000)

typedef struct slot {
    _Alignas(64) atomic_bool full;
    void *objects[BATCH];
} slot_t;

typedef struct handover {
    slot_t *slots;
    size_t batches;
} handover_t;

static void await_slot(slot_t *slot, bool full)
{
    while (atomic_load_explicit(&slot->full, memory_order_acquire) != full) {
        sched_yield();
    }
}

BENCH_TEMPLATE void produce(const allocator_t allocator, handover_t *handover)
{
    uint64_t random = 4711;
    for (size_t batch = 0; batch < handover->batches; batch++) {
        slot_t *slot = &handover->slots[batch % SLOTS];
        await_slot(slot, false);
        for (size_t i = 0; i < BATCH; i++) {
            const size_t size = random_entry_size(&random);
            slot->objects[i] = allocator.alloc(NULL, size);
            touch_ends(slot->objects[i], size);
        }
        atomic_store_explicit(&slot->full, true, memory_order_release);
    }
}

BENCH_TEMPLATE void consume(const allocator_t allocator, handover_t *handover)
{
    for (size_t batch = 0; batch < handover->batches; batch++) {
        slot_t *slot = &handover->slots[batch % SLOTS];
        await_slot(slot, true);
        for (size_t i = 0; i < BATCH; i++) {
            allocator.release(NULL, slot->objects[i]);
        }
        atomic_store_explicit(&slot->full, false, memory_order_release);
    }
}

static void *consume_malloc(void *handover)
{
    consume(malloc_allocator, handover);
    return NULL;
}

static void *consume_store(void *handover)
{
    consume(store_allocator, handover);
    return NULL;
}

static pthread_t start_thread(void *(*run)(void *argument), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, argument) != 0) {
        fprintf(stderr, "bench_memory: cannot start a thread\n");
        exit(1);
    }
    return thread;
}

void run_thread_handover(driver_t driver, size_t shrink)
{
    handover_t handover = {.slots = bench_table(SLOTS * sizeof(slot_t)),
                           .batches = HANDOVER_OBJECTS / shrink / BATCH};
    const bool store = driver == DRIVER_KV_STORE;
    const uint64_t start = bench_wall_ns();
    const pthread_t consumer = start_thread(store ? consume_store : consume_malloc, &handover);
    if (store) {
        produce(store_allocator, &handover);
    } else {
        produce(malloc_allocator, &handover);
    }
    pthread_join(consumer, NULL);
    const double time = (double)(bench_wall_ns() - start);
    report_metric("object_ns", time / (double)(handover.batches * BATCH));
}

/* ---- swap ---- */

typedef struct swap {
    _Atomic(void *) *entries;
    size_t count;
    size_t pairs; /* of each thread */
    uint64_t seed;
} swap_t;

BENCH_TEMPLATE void *allocate_entry(const allocator_t allocator, uint64_t *random)
{
    const size_t size = random_entry_size(random);
    char *object = allocator.alloc(NULL, size);
    touch_ends(object, size);
    return object;
}

BENCH_TEMPLATE void swap_entries(const allocator_t allocator, swap_t *swap)
{
    uint64_t random = swap->seed;
    for (size_t i = 0; i < swap->pairs; i++) {
        void *object = allocate_entry(allocator, &random);
        _Atomic(void *) *place = &swap->entries[bench_below(&random, swap->count)];
        allocator.release(NULL, atomic_exchange_explicit(place, object, memory_order_acq_rel));
    }
}

static void *swap_malloc(void *swap)
{
    swap_entries(malloc_allocator, swap);
    return NULL;
}

static void *swap_store(void *swap)
{
    swap_entries(store_allocator, swap);
    return NULL;
}

void run_thread_swap(driver_t driver, size_t shrink)
{
    const bool store = driver == DRIVER_KV_STORE;
    swap_t swaps[2] = {
        {.count = SWAP_ENTRIES / shrink, .pairs = SWAP_PAIRS / 2 / shrink, .seed = 11}};
    uint64_t random = 7;
    bench_warm_host(swaps[0].count * 100);
    swaps[0].entries = bench_table(swaps[0].count * sizeof(*swaps[0].entries));
    for (size_t i = 0; i < swaps[0].count; i++) {
        void *object = store ? allocate_entry(store_allocator, &random)
                             : allocate_entry(malloc_allocator, &random);
        atomic_store_explicit(&swaps[0].entries[i], object, memory_order_relaxed);
    }
    swaps[1] = swaps[0];
    swaps[1].seed = 12;
    const uint64_t start = bench_wall_ns();
    const pthread_t other = start_thread(store ? swap_store : swap_malloc, &swaps[1]);
    if (store) {
        (void)swap_store(&swaps[0]);
    } else {
        (void)swap_malloc(&swaps[0]);
    }
    pthread_join(other, NULL);
    const double time = (double)(bench_wall_ns() - start);
    report_metric("pair_ns", time / (double)(swaps[0].pairs * 2));
}
