/* SPDX-License-Identifier: MIT */
/*
 * kv_db.h from many threads: counters that add up, readers beside writers on every engine,
 * transactions that conflict, snapshots that stay whole.
 */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <concordkv/kv_db.h>

#include "base/random.h"

#define THREADS 4
#define ROUNDS 300
#define ACCOUNTS 10

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

typedef struct shared {
    kv_db_t *db;
    kv_keyspace_t *space;
    _Atomic int wrong;
    _Atomic int commits;
    _Atomic int writers; /* still at work */
} shared_t;

typedef struct worker {
    shared_t *shared;
    uint64_t seed;
    pthread_t thread;
} worker_t;

static void check(shared_t *shared, bool right)
{
    if (!right) {
        atomic_fetch_add(&shared->wrong, 1);
    }
}

static void run(shared_t *shared, void *(*write)(void *), void *(*read)(void *))
{
    worker_t workers[THREADS];
    const uint64_t seed = test_seed();
    atomic_store(&shared->writers, THREADS / 2);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker_t){.shared = shared, .seed = seed + (uint64_t)i};
        assert_int_equal(
            pthread_create(&workers[i].thread, NULL, i % 2 == 0 ? write : read, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    }
    assert_int_equal(atomic_load(&shared->wrong), 0);
}

static void open_shared(shared_t *shared, const char *engine, kv_eviction_t eviction)
{
    const kv_db_options_t options = {.engine = engine, .eviction = eviction};
    *shared = (shared_t){0};
    assert_int_equal(kv_db_open(NULL, &options, &shared->db), KV_OK);
    assert_int_equal(kv_keyspace_open(shared->db, "0", &shared->space), KV_OK);
}

static void close_shared(shared_t *shared)
{
    kv_keyspace_close(shared->space);
    assert_int_equal(kv_db_close(shared->db), KV_OK);
}

/* ---- readers beside writers ---- */

static void *write_some(void *argument)
{
    worker_t *const worker = argument;
    shared_t *const shared = worker->shared;
    kvi_random_t random = {worker->seed};
    for (int i = 0; i < ROUNDS; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key %u", kvi_random_below(&random, 50));
        int64_t sum;
        check(shared, kv_keyspace_add(shared->space, slice("sum"), 1, &sum) == KV_OK);
        if (kvi_random_below(&random, 4) == 0) {
            (void)kv_keyspace_delete(shared->space, slice(key));
        } else {
            check(shared, kv_keyspace_put(shared->space, slice(key), slice(key), NULL) == KV_OK);
        }
    }
    atomic_fetch_sub(&shared->writers, 1);
    return NULL;
}

static void *read_some(void *argument)
{
    worker_t *const worker = argument;
    shared_t *const shared = worker->shared;
    kvi_random_t random = {worker->seed};
    kv_value_t value = {0};
    while (atomic_load(&shared->writers) > 0) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key %u", kvi_random_below(&random, 50));
        const kv_status_t status = kv_keyspace_get(shared->space, slice(key), &value);
        check(shared, status == KV_NOT_FOUND || (status == KV_OK && value.size == strlen(key) &&
                                                 memcmp(value.data, key, value.size) == 0));
        if (kvi_random_below(&random, 20) == 0) {
            kv_iterator_t *iterator;
            check(shared, kv_iterator_open(shared->space, NULL, &iterator) == KV_OK);
            while (kv_iterator_valid(iterator)) {
                check(shared, kv_iterator_next(iterator) == KV_OK);
            }
            kv_iterator_close(iterator);
        }
    }
    kv_value_free(&value);
    return NULL;
}

static void run_readers_and_writers(const char *engine, kv_eviction_t eviction)
{
    shared_t shared;
    open_shared(&shared, engine, eviction);
    run(&shared, write_some, read_some);
    kv_value_t value = {0};
    char sum[16];
    (void)snprintf(sum, sizeof(sum), "%d", THREADS / 2 * ROUNDS);
    assert_int_equal(kv_keyspace_get(shared.space, slice("sum"), &value), KV_OK);
    assert_int_equal(value.size, strlen(sum));
    assert_memory_equal(value.data, sum, value.size);
    kv_value_free(&value);
    close_shared(&shared);
}

static void readers_share_and_writers_exclude(void **state)
{
    (void)state;
    for (size_t number = 0; kv_engine_at(number) != NULL; number++) {
        run_readers_and_writers(kv_engine_at(number)->name, KV_EVICT_NONE);
    }
}

/* Gets write their marks side by side. */
static void accesses_are_noted_side_by_side(void **state)
{
    (void)state;
    for (size_t number = 0; kv_engine_at(number) != NULL; number++) {
        run_readers_and_writers(kv_engine_at(number)->name, KV_EVICT_ALL_LRU);
        run_readers_and_writers(kv_engine_at(number)->name, KV_EVICT_ALL_LFU);
    }
}

/* ---- money moves between accounts, and its sum stays ---- */

static kv_slice_t account(uint32_t number, char text[16])
{
    (void)snprintf(text, 16, "account %u", number);
    return slice(text);
}

static int read_amount(const kv_value_t *value)
{
    char text[16] = {0};
    memcpy(text, value->data, value->size < 15 ? value->size : 15);
    return atoi(text);
}

static bool move_one(shared_t *shared, uint32_t from, uint32_t to, kv_value_t *value)
{
    kv_transaction_t *t;
    char key[16];
    char text[16];
    if (kv_transaction_begin(shared->db, &t) != KV_OK) {
        return false;
    }
    const uint32_t places[2] = {from, to};
    for (int i = 0; i < 2; i++) {
        const kv_slice_t name = account(places[i], key);
        check(shared, kv_transaction_get_for_update(t, shared->space, name, value) == KV_OK);
        (void)snprintf(text, sizeof(text), "%d", read_amount(value) + (i == 0 ? -1 : 1));
        check(shared, kv_transaction_put(t, shared->space, name, slice(text), 0) == KV_OK);
    }
    const kv_status_t status = kv_transaction_commit(t);
    check(shared, status == KV_OK || status == KV_CONFLICT);
    return status == KV_OK;
}

static void *move_money(void *argument)
{
    worker_t *const worker = argument;
    shared_t *const shared = worker->shared;
    kvi_random_t random = {worker->seed};
    kv_value_t value = {0};
    for (int i = 0; i < ROUNDS; i++) {
        const uint32_t from = kvi_random_below(&random, ACCOUNTS);
        const uint32_t to = (from + 1 + kvi_random_below(&random, ACCOUNTS - 1)) % ACCOUNTS;
        atomic_fetch_add(&shared->commits, move_one(shared, from, to, &value));
    }
    kv_value_free(&value);
    atomic_fetch_sub(&shared->writers, 1);
    return NULL;
}

static int sum_walk(shared_t *shared, kv_snapshot_t *snapshot)
{
    const kv_iterator_options_t options = {.snapshot = snapshot};
    kv_iterator_t *iterator;
    int sum = 0;
    check(shared, kv_iterator_open(shared->space, &options, &iterator) == KV_OK);
    while (kv_iterator_valid(iterator)) {
        const kv_slice_t bytes = kv_iterator_value(iterator);
        char text[16] = {0};
        memcpy(text, bytes.data, bytes.size < 15 ? bytes.size : 15);
        sum += atoi(text);
        check(shared, kv_iterator_next(iterator) == KV_OK);
    }
    kv_iterator_close(iterator);
    return sum;
}

static void *sum_snapshots(void *argument)
{
    worker_t *const worker = argument;
    shared_t *const shared = worker->shared;
    kv_value_t value = {0};
    do {
        kv_snapshot_t *snapshot;
        check(shared, kv_snapshot_take(shared->db, &snapshot) == KV_OK);
        int sum = 0;
        for (uint32_t i = 0; i < ACCOUNTS; i++) {
            char key[16];
            check(shared,
                  kv_snapshot_get(snapshot, shared->space, account(i, key), &value) == KV_OK);
            sum += read_amount(&value);
        }
        check(shared, sum == ACCOUNTS * 100);
        check(shared, sum_walk(shared, snapshot) == ACCOUNTS * 100);
        kv_snapshot_release(snapshot);
    } while (atomic_load(&shared->writers) > 0);
    kv_value_free(&value);
    return NULL;
}

static void sums_stay_in_snapshots(void **state)
{
    (void)state;
    for (size_t number = 0; kv_engine_at(number) != NULL; number++) {
        shared_t shared;
        open_shared(&shared, kv_engine_at(number)->name, KV_EVICT_NONE);
        for (uint32_t i = 0; i < ACCOUNTS; i++) {
            char key[16];
            assert_int_equal(kv_keyspace_put(shared.space, account(i, key), slice("100"), NULL),
                             KV_OK);
        }
        run(&shared, move_money, sum_snapshots);
        assert_true(atomic_load(&shared.commits) > 0);
        close_shared(&shared);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_share_and_writers_exclude),
        cmocka_unit_test(accesses_are_noted_side_by_side),
        cmocka_unit_test(sums_stay_in_snapshots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
