/* SPDX-License-Identifier: MIT */
/*
 * The rows of one user who frees and allocates single entries: 2 million live ones that do not fit
 * into any cache, the same with the old entry read before it goes, and 4,000 that stay in the
 * cache. What an entry costs in bytes is read at the end, after the churn, when it matters.
 */
#include <stdio.h>
#include <stdlib.h>

#include "allocator.h"

#define LIVE_ENTRIES ((size_t)2000000)
#define CHURN_PAIRS ((size_t)20000000)
#define HOT_ENTRIES ((size_t)4000)

typedef struct entry {
    char *object;
    size_t size;
} entry_t;

typedef struct churn {
    entry_t *entries;
    size_t count;
    size_t pairs;
    size_t live_bytes; /* asked for and not freed */
    uint64_t checksum; /* of the objects read; printed nowhere, but the compiler does not know */
} churn_t;

/* All 8-byte words of an object and its last byte: what an update or a delete reads of an entry
 * that it replaces. */
static inline uint64_t read_object(const char *object, size_t size)
{
    const uint64_t *words = (const uint64_t *)(const void *)object;
    uint64_t sum = (uint64_t)object[size - 1];
    for (size_t i = 0; i < size / sizeof(uint64_t); i++) {
        sum += words[i];
    }
    return sum;
}

BENCH_TEMPLATE char *new_entry(const allocator_t allocator, void *context, size_t size)
{
    char *object = allocator.alloc(context, size);
    if (object == NULL) {
        fprintf(stderr, "bench_memory: out of memory\n");
        exit(1);
    }
    touch_ends(object, size);
    return object;
}

BENCH_TEMPLATE void fill_entries(const allocator_t allocator, void *context, churn_t *churn,
                                 uint64_t *random)
{
    for (size_t i = 0; i < churn->count; i++) {
        const size_t size = random_entry_size(random);
        churn->entries[i] = (entry_t){new_entry(allocator, context, size), size};
        churn->live_bytes += size;
    }
}

BENCH_TEMPLATE double churn_entries(const allocator_t allocator, void *context, churn_t *churn,
                                    bool read_first)
{
    uint64_t random = 88172645463325252U;
    fill_entries(allocator, context, churn, &random);
    const uint64_t start = bench_now_ns();
    for (size_t i = 0; i < churn->pairs; i++) {
        entry_t *entry = &churn->entries[bench_below(&random, churn->count)];
        const size_t size = random_entry_size(&random);
        if (read_first) {
            churn->checksum += read_object(entry->object, entry->size);
        }
        allocator.release(context, entry->object);
        churn->live_bytes += size - entry->size;
        *entry = (entry_t){new_entry(allocator, context, size), size};
    }
    const uint64_t time = bench_now_ns() - start;
    bench_use(&churn->checksum);
    return (double)time / (double)churn->pairs;
}

/* One instance of the loop for every allocator and both kinds of churn. */
static double churn_driver(driver_t driver, kv_pool_t *pool, churn_t *churn, bool read_first)
{
    if (driver == DRIVER_KV_POOL) {
        return read_first ? churn_entries(pool_allocator, pool, churn, true)
                          : churn_entries(pool_allocator, pool, churn, false);
    }
    if (driver == DRIVER_KV_STORE) {
        return read_first ? churn_entries(store_allocator, NULL, churn, true)
                          : churn_entries(store_allocator, NULL, churn, false);
    }
    return read_first ? churn_entries(malloc_allocator, NULL, churn, true)
                      : churn_entries(malloc_allocator, NULL, churn, false);
}

/* What the allocator itself says it has obtained; a malloc says nothing, and the growth of the
 * resident bytes stands for it. Ours is judged by the larger of both that it can give: its own
 * count includes what was never touched. */
static void report_bytes(driver_t driver, const kv_pool_t *pool, size_t resident,
                         const churn_t *churn)
{
    const double live = (double)churn->live_bytes;
    double obtained = (double)resident;
    kv_pool_stats_t pool_stats;
    kv_memory_stats_t memory_stats;
    if (driver == DRIVER_KV_POOL && kv_pool_stats(pool, &pool_stats) == KV_OK) {
        obtained = (double)pool_stats.obtained_bytes;
    } else if (driver == DRIVER_KV_STORE && kv_memory_stats(&memory_stats) == KV_OK) {
        obtained = (double)memory_stats.store_obtained_bytes;
    }
    report_metric("obtained_per_live", obtained / live);
    report_metric("resident_per_live", (double)resident / live);
}

static void run_churn(driver_t driver, size_t shrink, size_t live, size_t pairs, bool read_first)
{
    churn_t churn = {.count = live, .pairs = pairs / shrink};
    churn.entries = bench_table(churn.count * sizeof(entry_t));
    bench_warm_host(live * 100);
    kv_pool_t *pool = driver == DRIVER_KV_POOL ? kv_pool_create(NULL) : NULL;
    const size_t before = bench_resident_bytes();
    report_metric("pair_ns", churn_driver(driver, pool, &churn, read_first));
    report_bytes(driver, pool, bench_resident_bytes() - before, &churn);
    kv_pool_destroy(pool);
}

void run_pool_churn(driver_t driver, size_t shrink)
{
    run_churn(driver, shrink, LIVE_ENTRIES / shrink, CHURN_PAIRS, false);
}

void run_pool_churn_read(driver_t driver, size_t shrink)
{
    run_churn(driver, shrink, LIVE_ENTRIES / shrink, CHURN_PAIRS, true);
}

void run_pool_hot(driver_t driver, size_t shrink)
{
    run_churn(driver, shrink, HOT_ENTRIES, CHURN_PAIRS, false);
}
