/* SPDX-License-Identifier: MIT */
/*
 * bench_embed: what readers cost each other inside a program. Gets of random keys from one thread,
 * then from two at once, for the database's lock alone (a keyspace of 16 entries that stay in the
 * nearest cache) and for a large hash keyspace; and puts from one thread.
 *
 *   bench_embed [ENTRIES]     default 1000000; 16-byte keys, 32-byte values
 *
 * Each row is min/median/max of ROUNDS rounds, the rows taken in turn within a round. The ratio is
 * that of the medians: 2.0 is two readers that do not know of each other.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <concordkv/kv_db.h>

#include "base/random.h"
#include "bench_build.h"
#include "os/os.h"

#define ROUNDS 7
#define GETS 1000000U
#define SMALL 16U
#define KEY_BYTES ((size_t)16)
#define VALUE_BYTES ((size_t)32)

typedef struct row {
    const char *name;
    int threads;
    bool small;
    bool puts;
    bool lru;
    double rates[ROUNDS]; /* million operations a second, of all threads */
} row_t;

typedef struct bench {
    kv_db_t *db;
    kv_keyspace_t *large;
    kv_keyspace_t *small;
    uint32_t entries;
} bench_t;

typedef struct worker {
    bench_t *bench;
    const row_t *row;
    uint64_t seed;
    pthread_barrier_t *start;
    pthread_t thread;
    uint64_t begun_ns;
    uint64_t ended_ns;
} worker_t;

static void require(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "bench_embed: %s\n", what);
        exit(1);
    }
}

/* By hand: snprintf would take as long as what is measured. */
static kv_slice_t make_key(uint32_t number, char key[KEY_BYTES])
{
    memcpy(key, "key:000000000000", KEY_BYTES);
    for (size_t at = KEY_BYTES; number > 0; number /= 10) {
        key[--at] = (char)('0' + number % 10);
    }
    return (kv_slice_t){key, KEY_BYTES};
}

static void fill(kv_keyspace_t *keyspace, uint32_t entries)
{
    char key[KEY_BYTES];
    char value[VALUE_BYTES];
    memset(value, 'v', sizeof(value));
    for (uint32_t i = 0; i < entries; i++) {
        require(kv_keyspace_put(keyspace, make_key(i, key), (kv_slice_t){value, VALUE_BYTES},
                                NULL) == KV_OK,
                "put");
    }
}

static void *run_worker(void *argument)
{
    worker_t *const worker = argument;
    const row_t *const row = worker->row;
    kv_keyspace_t *const keyspace = row->small ? worker->bench->small : worker->bench->large;
    const uint32_t entries = row->small ? SMALL : worker->bench->entries;
    kvi_random_t random = {worker->seed};
    kv_value_t value = {0};
    char text[VALUE_BYTES] = {0};
    (void)pthread_barrier_wait(worker->start);
    worker->begun_ns = kvi_os_monotonic_ns();
    for (uint32_t i = 0; i < GETS; i++) {
        char bytes[KEY_BYTES];
        const kv_slice_t key = make_key(kvi_random_below(&random, entries), bytes);
        const kv_status_t status =
            row->puts ? kv_keyspace_put(keyspace, key, (kv_slice_t){text, VALUE_BYTES}, NULL)
                      : kv_keyspace_get(keyspace, key, &value);
        require(status == KV_OK, "an operation failed");
    }
    worker->ended_ns = kvi_os_monotonic_ns();
    kv_value_free(&value);
    return NULL;
}

static double run_row(bench_t *bench, const row_t *row, uint64_t seed)
{
    worker_t workers[2];
    pthread_barrier_t start;
    require(pthread_barrier_init(&start, NULL, (unsigned)row->threads) == 0, "barrier");
    require(kv_db_set_eviction(bench->db, row->lru ? KV_EVICT_ALL_LRU : KV_EVICT_NONE) == KV_OK,
            "policy");
    for (int i = 0; i < row->threads; i++) {
        workers[i] = (worker_t){
            .bench = bench, .row = row, .seed = seed + (uint64_t)i * 1000003U, .start = &start};
        require(pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]) == 0, "thread");
    }
    uint64_t begun = UINT64_MAX;
    uint64_t ended = 0;
    for (int i = 0; i < row->threads; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        begun = workers[i].begun_ns < begun ? workers[i].begun_ns : begun;
        ended = workers[i].ended_ns > ended ? workers[i].ended_ns : ended;
    }
    (void)pthread_barrier_destroy(&start);
    return (double)GETS * row->threads / (double)(ended - begun) * 1e3;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_rows(row_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        row_t *const row = &rows[i];
        qsort(row->rates, ROUNDS, sizeof(row->rates[0]), compare);
        printf("%-28s %6.2f %6.2f %6.2f", row->name, row->rates[0], row->rates[ROUNDS / 2],
               row->rates[ROUNDS - 1]);
        if (row->threads == 2) {
            printf("   %.2fx", row->rates[ROUNDS / 2] / rows[i - 1].rates[ROUNDS / 2]);
        }
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    row_t rows[] = {
        {.name = "get, lock alone, 1 thread", .threads = 1, .small = true},
        {.name = "get, lock alone, 2 threads", .threads = 2, .small = true},
        {.name = "get, large, 1 thread", .threads = 1},
        {.name = "get, large, 2 threads", .threads = 2},
        {.name = "get, large, LRU, 1 thread", .threads = 1, .lru = true},
        {.name = "get, large, LRU, 2 threads", .threads = 2, .lru = true},
        {.name = "put, lock alone, 1 thread", .threads = 1, .small = true, .puts = true},
        {.name = "put, lock alone, 2 threads", .threads = 2, .small = true, .puts = true},
    };
    const size_t count = sizeof(rows) / sizeof(rows[0]);
    bench_t bench = {.entries = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000U};
    require(bench.entries > 0, "ENTRIES must be a number");
    require(kv_db_open(NULL, NULL, &bench.db) == KV_OK &&
                kv_keyspace_open(bench.db, "0", &bench.large) == KV_OK &&
                kv_keyspace_open(bench.db, "1", &bench.small) == KV_OK,
            "open");
    fill(bench.large, bench.entries);
    fill(bench.small, SMALL);
    printf("# bench_embed, commit %s, %s\n", BENCH_COMMIT, BENCH_FLAGS);
    printf("# %" PRIu32 " entries, %u operations a thread, million/s: min median max   ratio\n",
           bench.entries, GETS);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < count; i++) {
            rows[i].rates[round] = run_row(&bench, &rows[i], (uint64_t)round * 7919U + i);
        }
    }
    print_rows(rows, count);
    kv_keyspace_close(bench.large);
    kv_keyspace_close(bench.small);
    return kv_db_close(bench.db) == KV_OK ? 0 : 1;
}
