/* SPDX-License-Identifier: MIT */
/*
 * Snapshot files and backups of kv_db.h beside threads that go on: nobody waits for the whole file,
 * what is in it is the state of one moment, and keyspaces come and go meanwhile.
 */
#include "folder.h"
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <concordkv/kv_db.h>

#include "base/random.h"
#include "os/os.h"

#define ENTRIES 20000
#define PAIRS 50U
#define PATIENCE_NS UINT64_C(60000000000)

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

typedef struct shared {
    kv_db_t *db;
    kv_keyspace_t *space;
    const char *copy; /* where backups go */
    _Atomic int wrong;
    _Atomic bool ended;
} shared_t;

static void check(shared_t *shared, bool right)
{
    if (!right) {
        atomic_fetch_add(&shared->wrong, 1);
    }
}

static void open_shared(shared_t *shared, const char *path)
{
    const kv_db_options_t options = {.sync = KV_SYNC_NO};
    *shared = (shared_t){.copy = NULL};
    assert_int_equal(kv_db_open(path, &options, &shared->db), KV_OK);
    assert_int_equal(kv_keyspace_open(shared->db, "0", &shared->space), KV_OK);
    char key[16];
    for (int i = 0; i < ENTRIES; i++) {
        (void)snprintf(key, sizeof(key), "key %06d", i);
        assert_int_equal(kv_keyspace_put(shared->space, slice(key), slice(key), NULL), KV_OK);
    }
}

static void close_shared(shared_t *shared)
{
    kv_keyspace_close(shared->space);
    assert_int_equal(kv_db_close(shared->db), KV_OK);
    assert_int_equal(atomic_load(&shared->wrong), 0);
}

/* ---- others go on ---- */

static void *save_again_and_again(void *argument)
{
    shared_t *const shared = argument;
    do {
        check(shared, kv_db_save(shared->db) == KV_OK);
    } while (!atomic_load(&shared->ended));
    return NULL;
}

/* If save held the lock until it is done, nobody could ever see it at work. */
static void a_save_is_seen_at_work(void **state)
{
    (void)state;
    char path[64];
    make_folder(path);
    shared_t shared;
    open_shared(&shared, path);
    pthread_t saver;
    assert_int_equal(pthread_create(&saver, NULL, save_again_and_again, &shared), 0);
    const uint64_t end = kvi_os_monotonic_ns() + PATIENCE_NS;
    kv_db_stats_t stats = {.saving = false};
    kv_value_t value = {0};
    while (!stats.saving && kvi_os_monotonic_ns() < end) {
        assert_int_equal(kv_keyspace_get(shared.space, slice("key 000007"), &value), KV_OK);
        assert_int_equal(kv_keyspace_put(shared.space, slice("more"), slice("more"), NULL), KV_OK);
        assert_int_equal(kv_db_stats(shared.db, &stats), KV_OK);
    }
    atomic_store(&shared.ended, true);
    assert_int_equal(pthread_join(saver, NULL), 0);
    assert_true(stats.saving);
    assert_int_equal(kv_db_stats(shared.db, &stats), KV_OK);
    assert_false(stats.saving);
    assert_int_equal(stats.last_save, KV_OK);
    kv_value_free(&value);
    close_shared(&shared);
    remove_folder(path);
}

/* ---- a backup is the state of one moment ---- */

static kv_slice_t pair_key(char half, uint32_t number, char key[16])
{
    (void)snprintf(key, 16, "%c %u", half, number);
    return slice(key);
}

/* Both halves of a pair change in one batch. */
static void *change_pairs(void *argument)
{
    shared_t *const shared = argument;
    kvi_random_t random = {test_seed()};
    kv_batch_t *batch;
    check(shared, kv_batch_create(shared->db, &batch) == KV_OK);
    while (!atomic_load(&shared->ended)) {
        char key[16];
        const uint32_t pair = kvi_random_below(&random, PAIRS);
        kv_batch_clear(batch);
        check(shared,
              kv_batch_add(batch, shared->space, pair_key('a', pair, key), 1) == KV_OK &&
                  kv_batch_add(batch, shared->space, pair_key('b', pair, key), 1) == KV_OK &&
                  kv_batch_apply(batch) == KV_OK);
    }
    kv_batch_destroy(batch);
    return NULL;
}

/* Keyspaces come, are cleared and go. */
static void *change_keyspaces(void *argument)
{
    shared_t *const shared = argument;
    while (!atomic_load(&shared->ended)) {
        kv_keyspace_t *space;
        check(shared, kv_keyspace_create(shared->db, "passing", NULL, &space) == KV_OK);
        check(shared, kv_keyspace_put(space, slice("a"), slice("1"), NULL) == KV_OK);
        check(shared, kv_keyspace_clear(space) == KV_OK);
        check(shared, kv_keyspace_put(space, slice("b"), slice("1"), NULL) == KV_OK);
        check(shared, kv_keyspace_drop(space) == KV_OK);
        kv_keyspace_close(space);
    }
    return NULL;
}

static void assert_pairs(const char *path)
{
    kv_db_t *db;
    kv_keyspace_t *space;
    assert_int_equal(kv_db_open(path, NULL, &db), KV_OK);
    assert_int_equal(kv_keyspace_open(db, "0", &space), KV_OK);
    kv_value_t a = {0};
    kv_value_t b = {0};
    for (uint32_t i = 0; i < PAIRS; i++) {
        char key[16];
        const kv_status_t first = kv_keyspace_get(space, pair_key('a', i, key), &a);
        assert_int_equal(kv_keyspace_get(space, pair_key('b', i, key), &b), first);
        if (first == KV_OK) {
            assert_int_equal(a.size, b.size);
            assert_memory_equal(a.data, b.data, a.size);
        }
    }
    char key[16];
    for (int i = 0; i < ENTRIES; i += 97) {
        (void)snprintf(key, sizeof(key), "key %06d", i);
        assert_int_equal(kv_keyspace_get(space, slice(key), &a), KV_OK);
    }
    kv_value_free(&a);
    kv_value_free(&b);
    kv_keyspace_close(space);
    assert_int_equal(kv_db_close(db), KV_OK);
}

static void *back_up(void *argument)
{
    shared_t *const shared = argument;
    check(shared, kv_db_backup(shared->db, shared->copy) == KV_OK);
    return NULL;
}

static void files_side_by_side_are_whole(void **state)
{
    (void)state;
    char path[64];
    char copies[2][80];
    make_folder(path);
    shared_t shared;
    open_shared(&shared, path);
    void *(*const runs[])(void *) = {change_pairs, change_keyspaces, back_up};
    pthread_t threads[3];
    (void)snprintf(copies[0], sizeof(copies[0]), "%s.first", path);
    (void)snprintf(copies[1], sizeof(copies[1]), "%s.second", path);
    shared.copy = copies[0];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, runs[i], &shared), 0);
    }
    assert_int_equal(kv_db_save(shared.db), KV_OK);
    assert_int_equal(kv_db_backup(shared.db, copies[1]), KV_OK);
    assert_int_equal(kv_db_flush(shared.db), KV_OK);
    assert_int_equal(pthread_join(threads[2], NULL), 0);
    atomic_store(&shared.ended, true);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    close_shared(&shared);
    assert_pairs(path);
    assert_pairs(copies[0]);
    assert_pairs(copies[1]);
    remove_folder(copies[0]);
    remove_folder(copies[1]);
    remove_folder(path);
}

/* ---- errors ---- */

static void a_backup_that_cannot_be_says_so(void **state)
{
    (void)state;
    char path[64];
    char file[80];
    char below[96];
    make_folder(path);
    (void)snprintf(file, sizeof(file), "%s.file", path);
    (void)snprintf(below, sizeof(below), "%s/folder", file);
    const int made = open(file, O_CREAT | O_WRONLY, 0600);
    assert_true(made >= 0);
    assert_int_equal(close(made), 0);
    kv_db_t *db;
    assert_int_equal(kv_db_open(path, NULL, &db), KV_OK);
    assert_int_equal(kv_db_backup(db, file), KV_IO);
    assert_int_equal(kv_db_backup(db, below), KV_IO);
    assert_int_equal(kv_db_backup(db, path), KV_EXISTS);
    assert_int_equal(kv_db_backup(db, NULL), KV_INVALID);
    assert_int_equal(kv_db_save(db), KV_OK);
    assert_int_equal(kv_db_close(db), KV_OK);
    assert_int_equal(kv_db_open(NULL, NULL, &db), KV_OK);
    assert_int_equal(kv_db_save(db), KV_UNSUPPORTED);
    assert_int_equal(kv_db_backup(db, below), KV_UNSUPPORTED);
    assert_int_equal(kv_db_flush(db), KV_OK);
    assert_int_equal(kv_db_close(db), KV_OK);
    assert_int_equal(unlink(file), 0);
    remove_folder(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_save_is_seen_at_work),
        cmocka_unit_test(files_side_by_side_are_whole),
        cmocka_unit_test(a_backup_that_cannot_be_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
