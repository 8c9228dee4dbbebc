/* SPDX-License-Identifier: MIT */
/*
 * The rows of a gigabyte of 64-byte objects.
 *
 * Compaction: fill, free a random 90 %, and see what is still held; then the owner of a kv_pool_t
 * moves the objects that the pool calls sparse, which no malloc lets its user do; then fill up to a
 * gigabyte of live bytes again with 100 bytes. Destroy: the whole pool at once, against free() of
 * each object in the order of their allocation, which is the kindest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator.h"

#define BIG_BYTES ((size_t)1 << 30)
#define OBJECT_BYTES ((size_t)64)
#define REFILL_BYTES ((size_t)100)
#define COMPACTION_PASSES 8

typedef struct big {
    kv_pool_t *pool; /* NULL: malloc */
    char **objects;
    size_t count;
    size_t resident_before;
    size_t system_free_before;
} big_t;

static char *allocate_object(const big_t *big, size_t size)
{
    char *object = big->pool != NULL ? kv_pool_alloc(big->pool, size) : malloc(size);
    if (object == NULL) {
        fprintf(stderr, "bench_memory: out of memory\n");
        exit(1);
    }
    return object;
}

static void free_object(const big_t *big, char *object)
{
    if (big->pool != NULL) {
        kv_pool_free(big->pool, object);
    } else {
        free(object);
    }
}

/* Bytes held for the objects: the pool's own count, or the growth of the resident bytes for a
 * malloc. */
static double held_bytes(const big_t *big)
{
    kv_pool_stats_t stats;
    if (big->pool != NULL && kv_pool_stats(big->pool, &stats) == KV_OK) {
        return (double)stats.obtained_bytes;
    }
    return (double)bench_resident_bytes() - (double)big->resident_before;
}

static double system_bytes(const big_t *big)
{
    return (double)big->system_free_before - (double)bench_system_free_bytes();
}

static void begin(big_t *big, driver_t driver, size_t shrink)
{
    const size_t bytes = BIG_BYTES / shrink;
    *big = (big_t){.count = bytes / OBJECT_BYTES};
    big->objects = bench_table(big->count * sizeof(char *));
    bench_warm_host(bytes + bytes / 4);
    big->pool = driver == DRIVER_KV_POOL ? kv_pool_create(NULL) : NULL;
    big->resident_before = bench_resident_bytes();
    big->system_free_before = bench_system_free_bytes();
}

static void fill(big_t *big)
{
    for (size_t i = 0; i < big->count; i++) {
        big->objects[i] = allocate_object(big, OBJECT_BYTES);
        memset(big->objects[i], (int)(i & 0xff), OBJECT_BYTES);
    }
}

/* Frees each object with probability 0.9 and closes the gaps in the table. Returns how many are
 * left. */
static size_t free_most(big_t *big)
{
    uint64_t random = 99;
    size_t left = 0;
    for (size_t i = 0; i < big->count; i++) {
        if (bench_below(&random, 10) != 0) {
            free_object(big, big->objects[i]);
        } else {
            big->objects[left++] = big->objects[i];
        }
    }
    return left;
}

/* The owner's part of a compaction. Returns the number of objects moved. */
static size_t move_sparse(big_t *big, size_t left)
{
    size_t moved = 0;
    for (size_t i = 0; i < left; i++) {
        if (kv_pool_sparse(big->pool, big->objects[i])) {
            char *copy = allocate_object(big, OBJECT_BYTES);
            memcpy(copy, big->objects[i], OBJECT_BYTES);
            kv_pool_free(big->pool, big->objects[i]);
            big->objects[i] = copy;
            moved++;
        }
    }
    return moved;
}

static void compact(big_t *big, size_t left)
{
    const uint64_t start = bench_now_ns();
    size_t moved = 0;
    for (int pass = 0; pass < COMPACTION_PASSES; pass++) {
        const size_t step = move_sparse(big, left);
        moved += step;
        if (step == 0) {
            break;
        }
    }
    kv_pool_trim(big->pool);
    const double time = (double)(bench_now_ns() - start);
    report_metric("move_ns", moved == 0 ? 0.0 : time / (double)moved);
}

/* Fills up to the live bytes of the beginning. Nobody frees these: the process ends. */
static void refill(const big_t *big, size_t left)
{
    const size_t missing = (big->count - left) * OBJECT_BYTES / REFILL_BYTES;
    for (size_t i = 0; i < missing; i++) {
        memset(allocate_object(big, REFILL_BYTES), (int)(i & 0xff), REFILL_BYTES);
    }
    const double live = (double)(left * OBJECT_BYTES + missing * REFILL_BYTES);
    report_metric("refilled_per_live", held_bytes(big) / live);
}

void run_big_compaction(driver_t driver, size_t shrink)
{
    big_t big;
    begin(&big, driver, shrink);
    fill(&big);
    const double full_system = system_bytes(&big);
    const size_t left = free_most(&big);
    const double live = (double)(left * OBJECT_BYTES);
    report_metric("after_free_per_live", held_bytes(&big) / live);
    if (big.pool != NULL) {
        compact(&big, left);
    }
    const double freed = (double)((big.count - left) * OBJECT_BYTES);
    report_metric("compacted_per_live", held_bytes(&big) / live);
    report_metric("returned_percent", 100.0 * (full_system - system_bytes(&big)) / freed);
    const double resident = (double)bench_resident_bytes() - (double)big.resident_before;
    report_metric("resident_per_live", resident / live);
    refill(&big, left);
}

void run_big_destroy(driver_t driver, size_t shrink)
{
    big_t big;
    begin(&big, driver, shrink);
    fill(&big);
    const uint64_t start = bench_now_ns();
    if (big.pool != NULL) {
        kv_pool_destroy(big.pool);
    } else {
        for (size_t i = 0; i < big.count; i++) {
            free(big.objects[i]);
        }
    }
    report_metric("drop_ms", (double)(bench_now_ns() - start) / 1e6);
    const double kept = (double)bench_resident_bytes() - (double)big.resident_before;
    report_metric("kept_mb", kept / 1048576.0);
}
