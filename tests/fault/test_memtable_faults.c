/* SPDX-License-Identifier: MIT */
/*
 * Every operation of the memtable with the n-th allocation failing, for every n until it succeeds:
 * it answers KV_NO_MEMORY, nothing has changed, and nothing leaks (the check counts the pool's
 * objects, the budget the rest).
 */
#include "../engine/version_model.h"
#include "failing_pool.h"

#define CALLS_MAX 5000

void *__real_kv_store_malloc(size_t size);
void *__wrap_kv_store_malloc(size_t size);
void *__real_kv_store_realloc(void *pointer, size_t size);
void *__wrap_kv_store_realloc(void *pointer, size_t size);

void *__wrap_kv_store_malloc(size_t size)
{
    return fails() ? NULL : __real_kv_store_malloc(size);
}

void *__wrap_kv_store_realloc(void *pointer, size_t size)
{
    return fails() ? NULL : __real_kv_store_realloc(pointer, size);
}

/* ---- writes ---- */

/* Reads of the key at its versions, from the oldest reader's on. */
static void assert_unchanged(fixture_t *fixture, kv_slice_t key)
{
    const uint64_t oldest = fixture->table->oldest_reader;
    assert_sound(fixture);
    for (uint64_t sequence = oldest < 4 ? oldest : oldest - 3; sequence <= fixture->sequence;
         sequence += 1 + fixture->sequence / 16) {
        kvi_version_t version;
        if (sequence >= oldest) {
            (void)kvi_memtable_get(fixture->table, key, sequence, &version);
            assert_version(&version, version_find(&fixture->model, key, sequence));
        }
    }
}

static void write_with_failures(fixture_t *fixture, kv_slice_t key, const kv_slice_t *value)
{
    kv_status_t status = KV_NO_MEMORY;
    const uint64_t sequence = fixture->sequence + draw(fixture, 3);
    for (size_t call = 1; status != KV_OK; call++) {
        fail_from(call);
        status = value != NULL ? kvi_memtable_put(fixture->table, sequence, key, *value)
                               : kvi_memtable_delete(fixture->table, sequence, key);
        fail_from(0);
        if (status != KV_OK) {
            assert_int_equal(status, KV_NO_MEMORY);
            assert_unchanged(fixture, key);
        }
        assert_true(call < CALLS_MAX);
    }
    fixture->sequence = sequence;
    version_write(&fixture->model, sequence, key, value);
    assert_unchanged(fixture, key);
}

static void any_write_may_fail(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        fixture_t *const fixture = begin();
        for (int i = 0; i < 500; i++) {
            const kv_slice_t key = any_key(fixture);
            const kv_slice_t value = any_value(fixture);
            write_with_failures(fixture, key, draw(fixture, 4) == 0 ? NULL : &value);
            if (mode > 0 && draw(fixture, 20) == 0) {
                /* Nobody reads the past, or nobody reads what is older than a few writes. */
                const uint64_t back = draw(fixture, 10);
                kvi_memtable_set_oldest_reader(fixture->table, mode == 1 || fixture->sequence < back
                                                                   ? fixture->sequence
                                                                   : fixture->sequence - back);
            }
        }
        end(fixture);
    }
}

/* The row's place, which keeps a part of the value; its values become large and small again. */
static void any_place_may_fail(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    kv_engine_t *const engine = &fixture->table->engine;
    char expected[1000];
    size_t bytes = 0;
    kvi_memtable_set_oldest_reader(fixture->table, KVI_SEQUENCE_MAX);
    for (int i = 0; i < 800; i++) {
        const kv_slice_t key = {"key", 3};
        const size_t next = draw(fixture, 3) == 0 ? draw(fixture, 1000) : draw(fixture, 130);
        const size_t keep = draw(fixture, (bytes < next ? bytes : next) + 1);
        kv_status_t status = KV_NO_MEMORY;
        char *place = NULL;
        for (size_t call = 1; status != KV_OK; call++) {
            kv_slice_t value;
            fail_from(call);
            status = engine->ops->place(engine, key, next, keep, &place);
            fail_from(0);
            assert_true(call < CALLS_MAX);
            assert_sound(fixture);
            if (status != KV_OK && i > 0) {
                assert_int_equal(engine->ops->get(engine, key, &value), KV_OK);
                assert_int_equal(value.size, bytes);
                assert_memory_equal(value.data, expected, bytes);
            }
        }
        assert_memory_equal(place, expected, keep);
        bytes = next;
        model_fill(expected + keep, bytes - keep, draw(fixture, 1000));
        memcpy(place + keep, expected + keep, bytes - keep);
    }
    end(fixture);
}

/* ---- cursors ---- */

static void a_cursor_that_fails_can_go_on(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    for (int i = 0; i < 200; i++) {
        write_any(fixture);
    }
    kvi_memtable_cursor_t *cursor = NULL;
    fail_from(1);
    assert_int_equal(
        kvi_memtable_cursor_open(fixture->table, KVI_SEQUENCE_MAX, KVI_WALK_LIVE, &cursor),
        KV_NO_MEMORY);
    fail_from(0);
    for (kvi_walk_t walk = KVI_WALK_LIVE; walk <= KVI_WALK_VERSIONS; walk++) {
        size_t place = 0;
        assert_int_equal(kvi_memtable_cursor_open(fixture->table, KVI_SEQUENCE_MAX, walk, &cursor),
                         KV_OK);
        kv_status_t status = kvi_memtable_cursor_first(cursor);
        while (status == KV_OK) {
            kvi_version_t version;
            while (!version_is_shown(&fixture->model, place, KVI_SEQUENCE_MAX, walk)) {
                place++;
            }
            kvi_memtable_cursor_version(cursor, &version);
            assert_version(&version, &fixture->model.versions[place++]);
            fail_from(1);
            status = kvi_memtable_cursor_next(cursor);
            fail_from(0);
            while (status == KV_NO_MEMORY) {
                assert_true(kvi_memtable_cursor_valid(cursor));
                status = kvi_memtable_cursor_next(cursor);
            }
        }
        assert_int_equal(status, KV_NOT_FOUND);
        for (; place < fixture->model.count; place++) {
            assert_false(version_is_shown(&fixture->model, place, KVI_SEQUENCE_MAX, walk));
        }
        kvi_memtable_cursor_close(cursor);
    }
    end(fixture);
}

static void a_merge_that_fails_is_not_valid(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    for (int i = 0; i < 200; i++) {
        write_any(fixture);
    }
    kvi_merge_cursor_t *cursor = NULL;
    const kvi_memtable_t *const list[] = {fixture->table};
    size_t failures = 0;
    fail_from(1);
    assert_int_equal(kvi_merge_cursor_open(list, 1, KVI_SEQUENCE_MAX, KVI_WALK_VERSIONS, &cursor),
                     KV_NO_MEMORY);
    fail_from(0);
    assert_int_equal(kvi_merge_cursor_open(list, 1, KVI_SEQUENCE_MAX, KVI_WALK_VERSIONS, &cursor),
                     KV_OK);
    kv_status_t status = kvi_merge_cursor_first(cursor);
    for (size_t i = 0; status == KV_OK; i++) {
        kvi_version_t version;
        kvi_merge_cursor_version(cursor, &version);
        assert_version(&version, &fixture->model.versions[i]);
        fail_from(1);
        status = kvi_merge_cursor_next(cursor);
        fail_from(0);
        if (status == KV_NO_MEMORY) { /* on the way to a long key */
            const version_t *const next = &fixture->model.versions[i + 1];
            failures++;
            assert_false(kvi_merge_cursor_valid(cursor));
            status = kvi_merge_cursor_seek(cursor, (kv_slice_t){next->key, next->key_bytes},
                                           next->sequence);
        }
    }
    assert_int_equal(status, KV_NOT_FOUND);
    assert_true(failures > 0);
    kvi_merge_cursor_close(cursor);
    end(fixture);
}

/* ---- compaction ---- */

static void a_compaction_that_fails_leaves_nothing(void **state)
{
    (void)state;
    for (uint64_t mode = 0; mode < 2; mode++) {
        fixture_t *const fixture = begin();
        for (int i = 0; i < 150; i++) {
            write_any(fixture);
        }
        kvi_memtable_freeze(fixture->table);
        const kvi_memtable_t *const list[] = {fixture->table};
        const size_t before = kv_budget_used(fixture->budget);
        const kvi_compaction_t wish = {.options = {.budget = fixture->budget},
                                       .oldest_reader = mode * KVI_SEQUENCE_MAX,
                                       .is_last = mode == 1};
        kvi_memtable_t *compacted = NULL;
        kv_status_t status = KV_NO_MEMORY;
        for (size_t call = 1; status != KV_OK; call++) {
            fail_from(call);
            status = kvi_memtable_compact(list, 1, &wish, &compacted);
            fail_from(0);
            assert_true(status == KV_OK || kv_budget_used(fixture->budget) == before);
            assert_true(status == KV_OK || status == KV_NO_MEMORY);
            assert_true(call < CALLS_MAX);
        }
        assert_int_equal(kvi_memtable_check(compacted), KV_OK);
        kvi_memtable_close(compacted);
        compare_reads(fixture, fixture->sequence);
        end(fixture);
    }
}

static void opening_may_fail(void **state)
{
    (void)state;
    kvi_memtable_t *table = NULL;
    kv_budget_t *const budget = kv_budget_create(NULL, 1);
    const kvi_memtable_options_t options = {.budget = budget};
    for (size_t limit = 1; kvi_memtable_open(&options, &table) != KV_OK; limit += 4096) {
        assert_int_equal(kv_budget_used(budget), 0);
        assert_true(limit < (size_t)1 << 24);
        kv_budget_set_limit(budget, limit);
    }
    kvi_memtable_close(table);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_write_may_fail),
        cmocka_unit_test(any_place_may_fail),
        cmocka_unit_test(a_cursor_that_fails_can_go_on),
        cmocka_unit_test(a_merge_that_fails_is_not_valid),
        cmocka_unit_test(a_compaction_that_fails_leaves_nothing),
        cmocka_unit_test(opening_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
