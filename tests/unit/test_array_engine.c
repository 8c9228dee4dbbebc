/* SPDX-License-Identifier: MIT */
/*
 * The array engine beyond what all engines do (tests/engine/conformance.c): its invariants after
 * every step on hard keys and in every order, insertion order, pages that split, merge and become
 * sparse, walks that end while entries are inserted, and tags that collide.
 */
#include "../engine/engine_fixture.h"

#include "engine/array_int.h"
#include "engine/engine.h"

static const kvi_array_t *array_of(const fixture_t *fixture)
{
    return (const kvi_array_t *)fixture->engine;
}

static void every_step_leaves_sound_pages(void **state)
{
    (void)state;
    every_step_of("array");
}

static void any_order_is_kept(void **state)
{
    (void)state;
    every_order_of("array", 150);
}

static void scans_survive_writes(void **state)
{
    (void)state;
    scans_of("array");
}

/* ---- order ---- */

static void assert_order(fixture_t *fixture, const uint64_t *numbers, size_t count)
{
    kv_cursor_t *cursor = NULL;
    char buffer[32];
    size_t met = 0;
    assert_int_equal(fixture->ops->cursor_open(fixture->engine, &cursor), KV_OK);
    kv_status_t status = fixture->ops->cursor_first(cursor);
    for (; status == KV_OK; status = fixture->ops->cursor_next(cursor), met++) {
        assert_in_range(met, 0, count - 1);
        const kv_slice_t expected = decimal_key(numbers[met], buffer);
        const kv_slice_t key = fixture->ops->cursor_key(cursor);
        assert_int_equal(key.size, expected.size);
        assert_memory_equal(key.data, expected.data, expected.size);
    }
    assert_int_equal(met, count);
    fixture->ops->cursor_close(cursor);
}

/* Entries come in the order in which they were inserted, whatever was overwritten and deleted. */
static void cursors_go_in_insertion_order(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    static uint64_t numbers[COUNT];
    fixture_t *const fixture = begin("array");
    size_t left = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        put_both(fixture, decimal_key(in_order(i, COUNT, 2), fixture->key), any_value(fixture));
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        const uint64_t number = in_order(i, COUNT, 2);
        const kv_slice_t key = decimal_key(number, fixture->key);
        const uint64_t kind = draw(fixture, 4);
        if (kind == 0) {
            delete_both(fixture, key);
            continue;
        }
        if (kind == 1) {
            put_both(fixture, key, any_value(fixture));
        }
        numbers[left++] = number;
    }
    assert_sound(fixture);
    assert_order(fixture, numbers, left);
    while (fixture->ops->relocate(fixture->engine, 100) == 100) {
    }
    assert_sound(fixture);
    assert_order(fixture, numbers, left);
    end(fixture);
}

static void count_visit(void *context, kv_slice_t key, kv_slice_t value)
{
    (void)key;
    (void)value;
    ++*(size_t *)context;
}

/* What is inserted during a walk is no part of it. */
static void walks_end_while_entries_are_inserted(void **state)
{
    (void)state;
    fixture_t *const fixture = begin("array");
    kv_cursor_t *cursor = NULL;
    uint64_t next = 0;
    size_t visited = 0;
    uint64_t token = 0;
    for (; next < 500; next++) {
        put_both(fixture, decimal_key(next, fixture->key), any_value(fixture));
    }
    do {
        token = fixture->ops->scan(fixture->engine, token, 5, count_visit, &visited);
        for (int i = 0; i < 10; i++) {
            put_both(fixture, decimal_key(next++, fixture->key), any_value(fixture));
        }
    } while (token != 0);
    assert_int_equal(visited, 500);
    const size_t before = fixture->model.count;
    size_t met = 0;
    assert_int_equal(fixture->ops->cursor_open(fixture->engine, &cursor), KV_OK);
    kv_status_t status = fixture->ops->cursor_first(cursor);
    for (; status == KV_OK; status = fixture->ops->cursor_next(cursor), met++) {
        put_both(fixture, decimal_key(next++, fixture->key), any_value(fixture));
    }
    assert_int_equal(met, before);
    fixture->ops->cursor_close(cursor);
    compare_all(fixture);
    end(fixture);
}

/* ---- pages ---- */

static size_t sparse_pages(const fixture_t *fixture)
{
    size_t sparse = 0;
    for (uint32_t i = 0; i < array_of(fixture)->page_count; i++) {
        sparse += kvi_page_is_sparse(array_of(fixture)->pages[i]);
    }
    return sparse;
}

/* One entry in 20 stays: pages merge, and hold a number a slot. */
static void few_survivors_make_sparse_pages(void **state)
{
    (void)state;
    enum { COUNT = 6000 };
    fixture_t *const fixture = begin("array");
    for (uint64_t i = 0; i < COUNT; i++) {
        put_both(fixture, decimal_key(i, fixture->key), (kv_slice_t){"value of some bytes", 19});
    }
    const uint32_t full = array_of(fixture)->page_count;
    for (uint64_t i = 0; i < COUNT; i++) {
        const uint64_t number = in_order(i, COUNT, 2);
        if (number % 20 != 0) {
            delete_both(fixture, decimal_key(number, fixture->key));
        }
        if (i % 100 == 0) {
            assert_sound(fixture);
        }
    }
    assert_true(array_of(fixture)->page_count * 4 < full);
    assert_true(sparse_pages(fixture) > 0);
    compare_all(fixture);
    for (uint64_t i = COUNT; i < COUNT + 3000; i++) {
        put_both(fixture, decimal_key(i, fixture->key), any_value(fixture));
    }
    compare_all(fixture);
    end(fixture);
}

/* The oldest entry stays while sequence numbers run past what one page can hold. */
static void an_old_entry_stays_behind(void **state)
{
    (void)state;
    fixture_t *const fixture = begin("array");
    put_both(fixture, (kv_slice_t){"old", 3}, (kv_slice_t){"entry", 5});
    for (uint64_t i = 0; i < 70000; i++) {
        const kv_slice_t key = decimal_key(i, fixture->key);
        put_both(fixture, key, (kv_slice_t){"x", 1});
        delete_both(fixture, key);
        if (i % 10000 == 0) {
            assert_sound(fixture);
        }
    }
    put_both(fixture, (kv_slice_t){"new", 3}, (kv_slice_t){"entry", 5});
    assert_int_equal(array_of(fixture)->page_count, 2);
    compare_all(fixture);
    end(fixture);
}

/* Values that grow one after the other split pages in the middle. */
static void growing_values_split_pages(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    fixture_t *const fixture = begin("array");
    for (uint64_t i = 0; i < COUNT; i++) {
        put_both(fixture, decimal_key(i, fixture->key), (kv_slice_t){NULL, 0});
    }
    for (size_t bytes = 1; bytes < 3000; bytes *= 3) {
        model_fill(fixture->value, bytes, bytes);
        for (uint64_t i = 0; i < COUNT; i++) {
            put_both(fixture, decimal_key(in_order(i, COUNT, 2), fixture->key),
                     (kv_slice_t){fixture->value, bytes});
        }
        compare_all(fixture);
    }
    end(fixture);
}

/* A thousand small entries cost their bytes and little more. */
static void small_entries_cost_little(void **state)
{
    (void)state;
    enum { COUNT = 20000, PAYLOAD = 48 };
    kv_engine_memory_t memory;
    fixture_t *const fixture = begin("array");
    char value[32];
    model_fill(value, sizeof value, 1);
    for (uint64_t i = 0; i < COUNT; i++) {
        const kv_slice_t key = decimal_key(i, fixture->key);
        assert_int_equal(fixture->ops->put(fixture->engine, key, (kv_slice_t){value, sizeof value}),
                         KV_OK);
    }
    assert_int_equal(fixture->ops->memory(fixture->engine, &memory), KV_OK);
    assert_int_equal(memory.key_bytes + memory.value_bytes, (size_t)COUNT * PAYLOAD);
    assert_true(memory.index_bytes < (size_t)COUNT * 7);
    end(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_leaves_sound_pages),
        cmocka_unit_test(any_order_is_kept),
        cmocka_unit_test(scans_survive_writes),
        cmocka_unit_test(cursors_go_in_insertion_order),
        cmocka_unit_test(walks_end_while_entries_are_inserted),
        cmocka_unit_test(few_survivors_make_sparse_pages),
        cmocka_unit_test(an_old_entry_stays_behind),
        cmocka_unit_test(growing_values_split_pages),
        cmocka_unit_test(small_entries_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
