/* SPDX-License-Identifier: MIT */
/* kv_db.h in a directory: what was changed is there again, backups open, and two do not share. */
#include "folder.h"
#include "test.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <concordkv/kv_db.h>

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

static kv_db_t *open_at(const char *path, kv_sync_t sync)
{
    const kv_db_options_t options = {.sync = sync};
    kv_db_t *db;
    assert_int_equal(kv_db_open(path, &options, &db), KV_OK);
    return db;
}

static void fill(kv_db_t *db)
{
    kv_keyspace_t *space;
    const kv_attributes_t attributes = {.engine = "bptree", .max_ttl_ms = 86400000};
    assert_int_equal(kv_keyspace_create(db, "orders", &attributes, &space), KV_OK);
    char key[16];
    for (int i = 0; i < 200; i++) {
        (void)snprintf(key, sizeof(key), "%03d", i);
        assert_int_equal(kv_keyspace_put(space, slice(key), slice(key), NULL), KV_OK);
    }
    int64_t sum;
    assert_int_equal(kv_keyspace_add(space, slice("n"), 7, &sum), KV_OK);
    assert_int_equal(kv_keyspace_delete(space, slice("050")), KV_OK);
    kv_keyspace_close(space);
}

static void assert_filled(kv_db_t *db)
{
    kv_keyspace_t *space;
    kv_value_t value = {0};
    kv_attributes_t attributes;
    assert_int_equal(kv_keyspace_open(db, "orders", &space), KV_OK);
    assert_int_equal(kv_keyspace_attributes(space, &attributes), KV_OK);
    assert_string_equal(attributes.engine, "bptree");
    assert_true(attributes.max_ttl_ms == 86400000);
    kv_keyspace_stats_t stats;
    assert_int_equal(kv_keyspace_stats(space, &stats), KV_OK);
    assert_int_equal(stats.entries, 200);
    assert_int_equal(kv_keyspace_get(space, slice("199"), &value), KV_OK);
    assert_memory_equal(value.data, "199", 3);
    assert_true(value.deadline_ms != KV_NO_DEADLINE);
    assert_int_equal(kv_keyspace_get(space, slice("n"), &value), KV_OK);
    assert_memory_equal(value.data, "7", 1);
    assert_int_equal(kv_keyspace_get(space, slice("050"), &value), KV_NOT_FOUND);
    kv_value_free(&value);
    kv_keyspace_close(space);
}

static void changes_are_there_again(void **state)
{
    (void)state;
    for (int sync = KV_SYNC_DEFAULT; sync <= KV_SYNC_NO; sync++) {
        char path[64];
        make_folder(path);
        kv_db_t *db = open_at(path, (kv_sync_t)sync);
        fill(db);
        kv_db_stats_t stats;
        assert_int_equal(kv_db_flush(db), KV_OK);
        assert_int_equal(kv_db_stats(db, &stats), KV_OK);
        assert_true(stats.lsn > 0 && stats.durable_lsn == stats.lsn && stats.log == KV_OK);
        assert_int_equal(kv_db_close(db), KV_OK);
        db = open_at(path, (kv_sync_t)sync);
        assert_filled(db);
        assert_int_equal(kv_db_save(db), KV_OK);
        assert_int_equal(kv_db_close(db), KV_OK);
        db = open_at(path, (kv_sync_t)sync);
        assert_filled(db);
        assert_int_equal(kv_db_close(db), KV_OK);
        remove_folder(path);
    }
}

static void a_backup_opens(void **state)
{
    (void)state;
    char path[64];
    char copy[80];
    make_folder(path);
    (void)snprintf(copy, sizeof(copy), "%s.copy", path);
    kv_db_t *db = open_at(path, KV_SYNC_NO);
    fill(db);
    assert_int_equal(kv_db_backup(db, copy), KV_OK);
    assert_int_equal(kv_db_backup(db, copy), KV_EXISTS);
    assert_int_equal(kv_db_close(db), KV_OK);
    db = open_at(copy, KV_SYNC_NO);
    assert_filled(db);
    assert_int_equal(kv_db_close(db), KV_OK);
    remove_folder(copy);
    remove_folder(path);
}

static void a_directory_has_one_owner(void **state)
{
    (void)state;
    char path[64];
    make_folder(path);
    kv_db_t *const db = open_at(path, KV_SYNC_NO);
    kv_db_t *second = NULL;
    char error[300] = "";
    kv_db_options_t options = {.error = error, .error_bytes = sizeof(error)};
    assert_int_equal(kv_db_open(path, &options, &second), KV_BUSY);
    assert_true(strlen(error) > 20);
    assert_int_equal(kv_db_close(db), KV_OK);
    remove_folder(path);
    options.must_exist = true;
    assert_int_equal(kv_db_open(path, &options, &second), KV_NOT_FOUND);
    assert_true(strlen(error) > 0);
}

static void a_failed_batch_leaves_no_trace_in_the_log(void **state)
{
    (void)state;
    char path[64];
    make_folder(path);
    kv_db_t *db = open_at(path, KV_SYNC_ALWAYS);
    kv_keyspace_t *space;
    kv_batch_t *batch;
    assert_int_equal(kv_keyspace_open(db, "0", &space), KV_OK);
    assert_int_equal(kv_batch_create(db, &batch), KV_OK);
    assert_int_equal(kv_batch_put(batch, space, slice("a"), slice("1"), NULL), KV_OK);
    assert_int_equal(kv_batch_apply(batch), KV_OK);
    assert_int_equal(kv_batch_put(batch, space, slice("b"), slice("1"), NULL), KV_OK);
    assert_int_equal(kv_batch_guard(batch, space, slice("b"), 5), KV_OK);
    assert_int_equal(kv_batch_apply(batch), KV_CONFLICT);
    kv_batch_destroy(batch);
    kv_keyspace_close(space);
    assert_int_equal(kv_db_close(db), KV_OK);
    db = open_at(path, KV_SYNC_ALWAYS);
    assert_int_equal(kv_keyspace_open(db, "0", &space), KV_OK);
    kv_value_t value = {0};
    assert_int_equal(kv_keyspace_get(space, slice("a"), &value), KV_OK);
    assert_int_equal(kv_keyspace_get(space, slice("b"), &value), KV_NOT_FOUND);
    kv_value_free(&value);
    kv_keyspace_close(space);
    assert_int_equal(kv_db_close(db), KV_OK);
    remove_folder(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_there_again),
        cmocka_unit_test(a_backup_opens),
        cmocka_unit_test(a_directory_has_one_owner),
        cmocka_unit_test(a_failed_batch_leaves_no_trace_in_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
