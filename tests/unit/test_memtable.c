/* SPDX-License-Identifier: MIT */
/* The memtable: versions, reads at a sequence number, what readers no longer need, freezing. */
#include "../engine/version_model.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAULTED 42

static kv_slice_t text(const char *string)
{
    return (kv_slice_t){string, strlen(string)};
}

static void assert_read(const kvi_memtable_t *table, uint64_t sequence, const char *key,
                        kvi_version_kind_t kind, const char *value)
{
    kvi_version_t version;
    assert_int_equal(kvi_memtable_get(table, text(key), sequence, &version), kind);
    assert_int_equal(version.value.size, strlen(value));
    assert_true(version.value.size == 0 ||
                memcmp(version.value.data, value, version.value.size) == 0);
}

static void put(fixture_t *fixture, uint64_t sequence, const char *key, const char *value)
{
    assert_int_equal(kvi_memtable_put(fixture->table, sequence, text(key), text(value)), KV_OK);
    assert_sound(fixture);
}

static void del(fixture_t *fixture, uint64_t sequence, const char *key)
{
    assert_int_equal(kvi_memtable_delete(fixture->table, sequence, text(key)), KV_OK);
    assert_sound(fixture);
}

static void assert_figures(fixture_t *fixture, uint64_t live, uint64_t deleted, uint64_t old)
{
    kvi_memtable_figures_t figures;
    kvi_memtable_figures(fixture->table, &figures);
    assert_int_equal(figures.live_keys, live);
    assert_int_equal(figures.deleted_keys, deleted);
    assert_int_equal(figures.old_versions, old);
    assert_int_equal(figures.obtained_bytes, kv_budget_used(fixture->budget));
    assert_true(figures.used_bytes <= figures.obtained_bytes);
}

/* ---- versions ---- */

static void a_reader_sees_its_sequence_number(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    assert_read(fixture->table, KVI_SEQUENCE_MAX, "a", KVI_VERSION_NONE, "");
    put(fixture, 3, "a", "three");
    put(fixture, 5, "a", "");
    del(fixture, 7, "a");
    put(fixture, 9, "a", "nine");
    assert_read(fixture->table, 2, "a", KVI_VERSION_NONE, "");
    assert_read(fixture->table, 3, "a", KVI_VERSION_VALUE, "three");
    assert_read(fixture->table, 4, "a", KVI_VERSION_VALUE, "three");
    assert_read(fixture->table, 6, "a", KVI_VERSION_VALUE, "");
    assert_read(fixture->table, 7, "a", KVI_VERSION_DELETED, "");
    assert_read(fixture->table, 8, "a", KVI_VERSION_DELETED, "");
    assert_read(fixture->table, 9, "a", KVI_VERSION_VALUE, "nine");
    assert_read(fixture->table, KVI_SEQUENCE_MAX, "a", KVI_VERSION_VALUE, "nine");
    assert_read(fixture->table, KVI_SEQUENCE_MAX, "b", KVI_VERSION_NONE, "");
    assert_figures(fixture, 1, 0, 3);
    assert_int_equal(kvi_memtable_sequence(fixture->table), 9);
    end(fixture);
}

static void a_tombstone_needs_no_key_before_it(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    del(fixture, 1, "gone");
    assert_read(fixture->table, 0, "gone", KVI_VERSION_NONE, "");
    assert_read(fixture->table, 1, "gone", KVI_VERSION_DELETED, "");
    assert_figures(fixture, 0, 1, 0);
    end(fixture);
}

static void writes_of_one_batch_share_a_number(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    put(fixture, 1, "a", "old");
    put(fixture, 4, "a", "first");
    put(fixture, 4, "b", "other");
    put(fixture, 4, "a", "second");
    assert_read(fixture->table, 3, "a", KVI_VERSION_VALUE, "old");
    assert_read(fixture->table, 4, "a", KVI_VERSION_VALUE, "second");
    assert_figures(fixture, 2, 0, 1);
    del(fixture, 4, "a");
    assert_read(fixture->table, 3, "a", KVI_VERSION_VALUE, "old");
    assert_read(fixture->table, 4, "a", KVI_VERSION_DELETED, "");
    assert_figures(fixture, 1, 1, 1);
    end(fixture);
}

static void impossible_writes_are_refused(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    kvi_memtable_t *const table = fixture->table;
    put(fixture, 5, "a", "five");
    assert_int_equal(kvi_memtable_put(table, 4, text("b"), text("v")), KV_INVALID);
    assert_int_equal(kvi_memtable_delete(table, 4, text("a")), KV_INVALID);
    assert_int_equal(kvi_memtable_put(table, KVI_SEQUENCE_MAX + 1, text("b"), text("v")),
                     KV_INVALID);
    assert_int_equal(kvi_memtable_put(table, 6, (kv_slice_t){"k", KV_KEY_BYTES_MAX + 1}, text("v")),
                     KV_TOO_LARGE);
    assert_int_equal(
        kvi_memtable_put(table, 6, text("k"), (kv_slice_t){"v", KV_VALUE_BYTES_MAX + 1}),
        KV_TOO_LARGE);
    assert_figures(fixture, 1, 0, 0);
    assert_int_equal(kvi_memtable_sequence(table), 5);
    put(fixture, KVI_SEQUENCE_MAX, "b", "last");
    assert_read(table, KVI_SEQUENCE_MAX, "b", KVI_VERSION_VALUE, "last");
    end(fixture);
}

static void what_nobody_can_read_goes(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    for (uint64_t i = 1; i <= 10; i++) {
        put(fixture, i, "a", "version");
    }
    assert_figures(fixture, 1, 0, 9);
    kvi_memtable_set_oldest_reader(fixture->table, 4);
    kvi_memtable_set_oldest_reader(fixture->table, 2); /* it never goes down */
    put(fixture, 11, "a", "eleven"); /* 10 is above 4, so the chain is not looked at */
    assert_read(fixture->table, 4, "a", KVI_VERSION_VALUE, "version");
    assert_figures(fixture, 1, 0, 10);
    kvi_memtable_set_oldest_reader(fixture->table, 11);
    put(fixture, 12, "a", "twelve"); /* readers at 11 need the version of 11, and no older one */
    assert_figures(fixture, 1, 0, 1);
    assert_read(fixture->table, 11, "a", KVI_VERSION_VALUE, "eleven");
    kvi_memtable_set_oldest_reader(fixture->table, KVI_SEQUENCE_MAX);
    put(fixture, 13, "a", "thirteen");
    assert_figures(fixture, 1, 0, 0);
    assert_read(fixture->table, 13, "a", KVI_VERSION_VALUE, "thirteen");
    assert_read(fixture->table, 12, "a", KVI_VERSION_NONE, "");
    end(fixture);
}

static void a_borrowed_value_may_be_put(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    static const size_t sizes[] = {1, 100, 116, 117, 5000, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *const bytes = malloc(sizes[i]);
        kvi_version_t version;
        model_fill(bytes, sizes[i], i);
        for (uint64_t oldest = 0; oldest < 2; oldest++) {
            kvi_memtable_t *const table = fixture->table;
            const uint64_t next = kvi_memtable_sequence(table) + 1;
            assert_int_equal(
                kvi_memtable_put(table, next, text("a"), (kv_slice_t){bytes, sizes[i]}), KV_OK);
            (void)kvi_memtable_get(table, text("a"), next, &version);
            assert_int_equal(kvi_memtable_put(table, next + 1, text("a"), version.value), KV_OK);
            assert_sound(fixture);
            (void)kvi_memtable_get(table, text("a"), next + 1, &version);
            assert_int_equal(version.value.size, sizes[i]);
            assert_memory_equal(version.value.data, bytes, sizes[i]);
            if (oldest == 1) {
                kvi_memtable_set_oldest_reader(table, KVI_SEQUENCE_MAX);
            }
        }
        free(bytes);
    }
    end(fixture);
}

/* ---- against the model ---- */

static void random_writes_agree_with_the_model(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    for (int i = 0; i < 1500; i++) {
        write_any(fixture);
        assert_sound(fixture);
        if (i % 20 == 0) {
            compare_reads(fixture, draw(fixture, fixture->sequence + 2));
            compare_reads(fixture, KVI_SEQUENCE_MAX);
        }
    }
    kvi_memtable_freeze(fixture->table);
    assert_sound(fixture);
    for (uint64_t sequence = 0; sequence <= fixture->sequence + 1; sequence += 97) {
        compare_reads(fixture, sequence);
    }
    end(fixture);
}

/* The oldest reader moves on now and then; reads at it or above find what they always found. */
static void readers_keep_what_they_see(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    uint64_t oldest = 0;
    for (int i = 0; i < 1500; i++) {
        write_any(fixture);
        assert_sound(fixture);
        if (draw(fixture, 30) == 0) {
            oldest += draw(fixture, fixture->sequence - oldest + 1);
            kvi_memtable_set_oldest_reader(fixture->table, oldest);
        }
        if (i % 20 == 0) {
            compare_reads(fixture, oldest);
            compare_reads(fixture, oldest + draw(fixture, fixture->sequence - oldest + 2));
        }
    }
    assert_true(fixture->table->old_versions + fixture->table->tree->count < fixture->model.count);
    end(fixture);
}

static void groups_agree_with_single_reads(void **state)
{
    (void)state;
    enum { GROUP = 37 };
    fixture_t *const fixture = begin();
    kvi_version_t versions[GROUP];
    kv_slice_t keys[GROUP];
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 20; i++) {
            write_any(fixture);
        }
        const size_t count = draw(fixture, GROUP + 1);
        const uint64_t sequence = draw(fixture, fixture->sequence + 1);
        size_t expected = 0;
        for (size_t i = 0; i < count; i++) {
            const kv_slice_t key = any_key(fixture);
            const version_t *const version = version_find(&fixture->model, key, sequence);
            expected += version != NULL && !version->deleted;
            keys[i] = (kv_slice_t){model_copy(key.data, key.size), key.size};
        }
        assert_int_equal(kvi_memtable_get_many(fixture->table, count, keys, sequence, versions),
                         expected);
        for (size_t i = 0; i < count; i++) {
            assert_version(&versions[i], version_find(&fixture->model, keys[i], sequence));
            free((char *)(uintptr_t)keys[i].data);
        }
    }
    end(fixture);
}

/* ---- full, frozen ---- */

static void a_table_gets_full(void **state)
{
    (void)state;
    kvi_memtable_t *table = NULL;
    const kvi_memtable_options_t options = {.threshold_bytes = 100000};
    kvi_memtable_figures_t figures = {0};
    assert_int_equal(kvi_memtable_open(&options, &table), KV_OK);
    for (uint64_t i = 1; i < 10000; i++) {
        const kv_slice_t key = {(const char *)&i, sizeof i};
        assert_int_equal(kvi_memtable_is_full(table), figures.used_bytes >= 100000);
        assert_int_equal(kvi_memtable_put(table, i, key, key), KV_OK);
        kvi_memtable_figures(table, &figures);
    }
    assert_true(kvi_memtable_is_full(table));
    kvi_memtable_close(table);
    assert_int_equal(kvi_memtable_open(NULL, &table), KV_OK);
    assert_int_equal(kvi_memtable_put(table, 1, text("a"), text("b")), KV_OK);
    assert_false(kvi_memtable_is_full(table));
    kvi_memtable_close(table);
    kvi_memtable_close(NULL);
}

static void a_frozen_table_refuses_writes(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    char large[500] = "large";
    put(fixture, 1, "a", "one");
    put(fixture, 2, "a", "two");
    assert_int_equal(kvi_memtable_put(fixture->table, 3, text("b"), (kv_slice_t){large, 500}),
                     KV_OK);
    assert_false(kvi_memtable_is_frozen(fixture->table));
    kvi_memtable_freeze(fixture->table);
    kvi_memtable_freeze(fixture->table);
    assert_true(kvi_memtable_is_frozen(fixture->table));
    assert_int_equal(kvi_memtable_put(fixture->table, 9, text("a"), text("b")), KV_READ_ONLY);
    assert_int_equal(kvi_memtable_delete(fixture->table, 9, text("a")), KV_READ_ONLY);
    kvi_memtable_set_oldest_reader(fixture->table, 2);
    assert_read(fixture->table, 1, "a", KVI_VERSION_VALUE, "one");
    assert_read(fixture->table, 9, "a", KVI_VERSION_VALUE, "two");
    assert_figures(fixture, 2, 0, 1);
    assert_sound(fixture);
    end(fixture);
}

/* ---- the row ---- */

static void large_values_leave_sparse_blocks(void **state)
{
    (void)state;
    enum { KEYS = 8000, BYTES = 1000 };
    fixture_t *const fixture = begin();
    kv_engine_t *const engine = &fixture->table->engine;
    char value[BYTES] = "value";
    kvi_memtable_set_oldest_reader(fixture->table, KVI_SEQUENCE_MAX);
    for (uint32_t i = 0; i < KEYS; i++) {
        const kv_slice_t key = {(const char *)&i, sizeof i};
        assert_int_equal(engine->ops->put(engine, key, (kv_slice_t){value, BYTES}), KV_OK);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        const kv_slice_t key = {(const char *)&i, sizeof i};
        assert_int_equal(i % 10 == 0 ? KV_OK : engine->ops->del(engine, key), KV_OK);
    }
    while (engine->ops->relocate(engine, 100) == 100) {
    }
    assert_sound(fixture);
    assert_int_equal(engine->ops->count(engine), KEYS / 10);
    assert_true(kv_budget_used(fixture->budget) < (size_t)KEYS * BYTES / 2);
    end(fixture);
}

static void report_fault(int number)
{
    (void)number;
    _exit(FAULTED);
}

/* Whether writing a byte there stops a process. */
static bool write_faults(const void *address)
{
    char *const byte = (char *)(uintptr_t)address;
    int status = 0;
    fflush(stdout);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sigaction action = {.sa_handler = report_fault};
        (void)sigaction(SIGSEGV, &action, NULL);
        *(volatile char *)byte = *(volatile char *)byte;
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == FAULTED;
}

static void the_memory_of_a_frozen_table_is_sealed(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    char large[200000];
    kvi_version_t versions[4];
    memset(large, 'l', sizeof large);
    put(fixture, 1, "small", "old");
    put(fixture, 2, "small", "new");
    assert_int_equal(kvi_memtable_put(fixture->table, 3, text("middle"), (kv_slice_t){large, 500}),
                     KV_OK);
    assert_int_equal(
        kvi_memtable_put(fixture->table, 4, text("large"), (kv_slice_t){large, sizeof large}),
        KV_OK);
    (void)kvi_memtable_get(fixture->table, text("small"), 1, &versions[0]);
    (void)kvi_memtable_get(fixture->table, text("small"), 2, &versions[1]);
    (void)kvi_memtable_get(fixture->table, text("middle"), 3, &versions[2]);
    (void)kvi_memtable_get(fixture->table, text("large"), 4, &versions[3]);
    for (size_t i = 0; i < 4; i++) {
        assert_false(write_faults(versions[i].value.data));
    }
    kvi_memtable_freeze(fixture->table);
    assert_int_equal(fixture->table->sealed, LIBRARY_ASSERTS);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(write_faults(versions[i].value.data), fixture->table->sealed);
    }
    assert_int_equal(write_faults(fixture->table), fixture->table->sealed);
    assert_int_equal(write_faults(fixture->table->tree), fixture->table->sealed);
    compare_reads(fixture, 0);
    end(fixture); /* and its blocks serve others again */
    fixture_t *const next = begin();
    for (int i = 0; i < 300; i++) {
        write_any(next);
    }
    end(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_sees_its_sequence_number),
        cmocka_unit_test(a_tombstone_needs_no_key_before_it),
        cmocka_unit_test(writes_of_one_batch_share_a_number),
        cmocka_unit_test(impossible_writes_are_refused),
        cmocka_unit_test(what_nobody_can_read_goes),
        cmocka_unit_test(a_borrowed_value_may_be_put),
        cmocka_unit_test(random_writes_agree_with_the_model),
        cmocka_unit_test(readers_keep_what_they_see),
        cmocka_unit_test(groups_agree_with_single_reads),
        cmocka_unit_test(a_table_gets_full),
        cmocka_unit_test(large_values_leave_sparse_blocks),
        cmocka_unit_test(a_frozen_table_refuses_writes),
        cmocka_unit_test(the_memory_of_a_frozen_table_is_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
