/* SPDX-License-Identifier: MIT */
/*
 * Every operation of the B+tree engine with the n-th allocation failing, for every n until it
 * succeeds: it answers KV_NO_MEMORY, nothing has changed, and nothing leaks (the check counts the
 * pool's objects). The linker lets every call of kv_pool_alloc and kv_pool_realloc come here first.
 */
#include "../engine/bptree_fixture.h"
#include "failing_pool.h"

static void assert_unchanged(fixture_t *fixture, kv_slice_t key)
{
    kv_slice_t value;
    const model_entry_t *const entry = model_find(&fixture->model, key);
    const kv_status_t status = fixture->engine->ops->get(fixture->engine, key, &value);
    assert_sound(fixture);
    assert_int_equal(status, entry != NULL ? KV_OK : KV_NOT_FOUND);
    if (entry != NULL) {
        assert_entry(key, value, entry);
    }
}

static void put_with_failures(fixture_t *fixture, kv_slice_t key, kv_slice_t value)
{
    kv_status_t status = KV_NO_MEMORY;
    for (size_t call = 1; status != KV_OK; call++) {
        fail_from(call);
        status = fixture->engine->ops->put(fixture->engine, key, value);
        fail_from(0);
        if (status != KV_OK) {
            assert_int_equal(status, KV_NO_MEMORY);
            assert_unchanged(fixture, key);
        }
        assert_true(call < 200);
    }
    model_put(&fixture->model, key, value);
    assert_unchanged(fixture, key);
}

/* A value that keeps half of the old one. */
static void place_with_failures(fixture_t *fixture, kv_slice_t key, size_t bytes)
{
    char expected[VALUE_BYTES];
    char *place = NULL;
    const model_entry_t *const entry = model_find(&fixture->model, key);
    const size_t old_bytes = entry != NULL ? entry->value_bytes : 0;
    const size_t keep = (old_bytes < bytes ? old_bytes : bytes) / 2;
    model_fill(expected, bytes, 99);
    if (keep > 0) {
        memcpy(expected, entry->value, keep);
    }
    kv_status_t status = KV_NO_MEMORY;
    for (size_t call = 1; status != KV_OK; call++) {
        fail_from(call);
        status = fixture->engine->ops->place(fixture->engine, key, bytes, keep, &place);
        fail_from(0);
        if (status != KV_OK) {
            assert_int_equal(status, KV_NO_MEMORY);
            assert_unchanged(fixture, key);
        }
        assert_true(call < 200);
    }
    if (bytes > keep) {
        memcpy(place + keep, expected + keep, bytes - keep);
    }
    model_put(&fixture->model, key, (kv_slice_t){expected, bytes});
    assert_unchanged(fixture, key);
}

/* Deleting needs no memory; from any allocation on, its tidying goes without. */
static void delete_with_failures(fixture_t *fixture, kv_slice_t key)
{
    fail_from(1 + draw(fixture, 4));
    delete_both(fixture, key);
    fail_from(0);
    assert_unchanged(fixture, key);
}

static void delete_range_with_failures(fixture_t *fixture, family_fn family, uint64_t keys)
{
    static char bounds[2][MODEL_KEY_BYTES_MAX];
    const kv_range_t range = any_range(fixture, family, keys, bounds[0], bounds[1]);
    const size_t from = model_cut(&fixture->model, &range.lower, false);
    const size_t to = model_cut(&fixture->model, &range.upper, true);
    fail_from(1 + draw(fixture, 4));
    const uint64_t deleted = kvi_bptree_ordered.delete_range(fixture->engine, &range);
    fail_from(0);
    assert_int_equal(deleted, to > from ? to - from : 0);
    for (size_t i = from; i < to; i++) {
        const model_entry_t *const entry = &fixture->model.entries[from];
        assert_true(model_delete(&fixture->model, (kv_slice_t){entry->key, entry->key_bytes}));
    }
    assert_sound(fixture);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t f = 0; f < FAMILIES; f++) {
        fixture_t *const fixture = begin(3, 4);
        for (int i = 0; i < 1500; i++) {
            const kv_slice_t key = families[f](draw(fixture, 150), fixture->key);
            const uint64_t kind = draw(fixture, 100);
            if (kind < 45) {
                put_with_failures(fixture, key, any_value(fixture));
            } else if (kind < 65) {
                place_with_failures(fixture, key, draw(fixture, 300));
            } else if (kind < 97) {
                delete_with_failures(fixture, key);
            } else if (kind < 99) {
                fail_from(1 + draw(fixture, 5));
                (void)fixture->engine->ops->relocate(fixture->engine, 50);
                fail_from(0);
                assert_sound(fixture);
            } else {
                delete_range_with_failures(fixture, families[f], 150);
            }
        }
        compare_all(fixture);
        end(fixture);
    }
}

static void pages_of_full_size_may_fail(void **state)
{
    (void)state;
    for (size_t f = 0; f < FAMILIES; f++) {
        fixture_t *const fixture = begin(LEAF_ENTRIES_MAX, INNER_CHILDREN_MAX);
        for (int i = 0; i < 1200; i++) {
            const kv_slice_t key = families[f](draw(fixture, 3000), fixture->key);
            if (draw(fixture, 10) < 8) {
                put_with_failures(fixture, key, any_value(fixture));
            } else {
                delete_with_failures(fixture, key);
            }
        }
        compare_all(fixture);
        end(fixture);
    }
}

/* ---- the load, cursors, samples ---- */

typedef struct feed {
    const model_t *model;
    size_t next;
} feed_t;

static bool next_entry(void *context, kv_slice_t *key, kv_slice_t *value)
{
    feed_t *const feed = context;
    if (feed->next == feed->model->count) {
        return false;
    }
    const model_entry_t *const entry = &feed->model->entries[feed->next++];
    *key = (kv_slice_t){entry->key, entry->key_bytes};
    *value = (kv_slice_t){entry->value, entry->value_bytes};
    return true;
}

static void a_load_that_fails_leaves_nothing(void **state)
{
    (void)state;
    for (size_t f = 0; f < FAMILIES; f++) {
        fixture_t *const fixture = begin(3, 4);
        for (uint64_t i = 0; i < 120; i++) {
            model_put(&fixture->model, families[f](i, fixture->key), any_value(fixture));
        }
        kv_status_t status = KV_NO_MEMORY;
        for (size_t call = 1; status != KV_OK; call++) {
            feed_t feed = {&fixture->model, 0};
            fail_from(call);
            status = kvi_bptree_ordered.load(fixture->engine, next_entry, &feed);
            fail_from(0);
            assert_int_equal(kvi_bptree_check(fixture->engine), KV_OK);
            assert_true(status == KV_OK || fixture->tree->count == 0);
            assert_true(call < 2000);
        }
        compare_all(fixture);
        end(fixture);
    }
}

static void a_cursor_that_fails_stays_where_it_is(void **state)
{
    (void)state;
    fixture_t *const fixture = begin(3, 4);
    const kv_engine_ops_t *const ops = fixture->engine->ops;
    kv_cursor_t *cursor = NULL;
    for (uint64_t i = 0; i < 60; i++) {
        put_both(fixture, long_key(i, fixture->key), any_value(fixture));
        put_both(fixture, nested_key(i, fixture->key), any_value(fixture));
    }
    fail_from(1);
    assert_int_equal(ops->cursor_open(fixture->engine, &cursor), KV_NO_MEMORY);
    fail_from(0);
    assert_int_equal(ops->cursor_open(fixture->engine, &cursor), KV_OK);
    kv_status_t status = ops->cursor_first(cursor);
    for (size_t i = 0; i < fixture->model.count; i++) {
        assert_int_equal(status, KV_OK);
        assert_entry(ops->cursor_key(cursor), ops->cursor_value(cursor),
                     &fixture->model.entries[i]);
        fail_from(1);
        status = ops->cursor_next(cursor);
        fail_from(0);
        if (status == KV_NO_MEMORY) {
            assert_entry(ops->cursor_key(cursor), ops->cursor_value(cursor),
                         &fixture->model.entries[i]);
            status = ops->cursor_next(cursor);
        }
    }
    assert_int_equal(status, KV_NOT_FOUND);
    ops->cursor_close(cursor);
    assert_sound(fixture);
    end(fixture);
}

static void samples_and_values_of_ones_own_may_fail(void **state)
{
    (void)state;
    fixture_t *const fixture = begin(3, 4);
    kv_slice_t key;
    kv_slice_t value;
    put_both(fixture, decimal_key(1, fixture->key), any_value(fixture));
    model_fill(fixture->value, 400, 3);
    put_both(fixture, decimal_key(2, fixture->key), (kv_slice_t){fixture->value, 400});
    fail_from(1);
    assert_int_equal(fixture->engine->ops->sample(fixture->engine, 0, &key, &value), KV_NO_MEMORY);
    fail_from(0);
    assert_int_equal(
        fixture->engine->ops->get(fixture->engine, decimal_key(2, fixture->key), &value), KV_OK);
    fail_from(1);
    assert_int_equal(
        fixture->engine->ops->put(fixture->engine, decimal_key(3, fixture->key), value),
        KV_NO_MEMORY);
    fail_from(0);
    assert_sound(fixture);
    end(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(pages_of_full_size_may_fail),
        cmocka_unit_test(a_load_that_fails_leaves_nothing),
        cmocka_unit_test(a_cursor_that_fails_stays_where_it_is),
        cmocka_unit_test(samples_and_values_of_ones_own_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
