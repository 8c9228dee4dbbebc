/* SPDX-License-Identifier: MIT */
/*
 * Every operation of the array and the red-black tree engine with the n-th allocation failing, for
 * every n until it succeeds: it answers KV_NO_MEMORY, nothing has changed, and nothing leaks (the
 * check counts the pool's objects). The linker lets every call of kv_pool_alloc and kv_pool_realloc
 * come here first.
 */
#include "../engine/engine_fixture.h"

static size_t calls_until_failure; /* 0: none fails */

void *__real_kv_pool_alloc(kv_pool_t *pool, size_t size);
void *__wrap_kv_pool_alloc(kv_pool_t *pool, size_t size);
void *__real_kv_pool_realloc(kv_pool_t *pool, void *pointer, size_t size);
void *__wrap_kv_pool_realloc(kv_pool_t *pool, void *pointer, size_t size);

/* From the n-th call on all fail, as they do when memory is short. */
static bool fails(void)
{
    if (calls_until_failure > 1) {
        calls_until_failure--;
        return false;
    }
    return calls_until_failure == 1;
}

void *__wrap_kv_pool_alloc(kv_pool_t *pool, size_t size)
{
    return fails() ? NULL : __real_kv_pool_alloc(pool, size);
}

void *__wrap_kv_pool_realloc(kv_pool_t *pool, void *pointer, size_t size)
{
    return fails() ? NULL : __real_kv_pool_realloc(pool, pointer, size);
}

static void assert_unchanged(fixture_t *fixture, kv_slice_t key)
{
    assert_sound(fixture);
    compare_key(fixture, key);
}

/* A value that keeps keep bytes of the old one; or, without place, a put. */
static void write_with_failures(fixture_t *fixture, kv_slice_t key, kv_slice_t value, bool place)
{
    const model_entry_t *const entry = model_find(&fixture->model, key);
    const size_t old_bytes = entry != NULL ? entry->value_bytes : 0;
    const size_t keep = place ? (old_bytes < value.size ? old_bytes : value.size) / 2 : 0;
    char *const expected = model_copy(value.data, value.size);
    kv_status_t status = KV_NO_MEMORY;
    char *to = NULL;
    if (keep > 0) {
        memcpy(expected, entry->value, keep);
    }
    for (size_t call = 1; status != KV_OK; call++) {
        calls_until_failure = call;
        status = place ? fixture->ops->place(fixture->engine, key, value.size, keep, &to)
                       : fixture->ops->put(fixture->engine, key, value);
        calls_until_failure = 0;
        if (status != KV_OK) {
            assert_int_equal(status, KV_NO_MEMORY);
            assert_unchanged(fixture, key);
        }
        assert_true(call < 20);
    }
    if (place && value.size > keep) {
        memcpy(to + keep, expected + keep, value.size - keep);
    }
    model_put(&fixture->model, key, (kv_slice_t){expected, value.size});
    assert_unchanged(fixture, key);
    free(expected);
}

static void step_with_failures(fixture_t *fixture, kv_slice_t key)
{
    const uint64_t kind = draw(fixture, 100);
    if (kind < 60) {
        write_with_failures(fixture, key, any_value(fixture), kind % 3 == 0);
    } else if (kind < 90) { /* deleting needs no memory; its tidying does without */
        calls_until_failure = 1 + draw(fixture, 3);
        delete_both(fixture, key);
        calls_until_failure = 0;
        assert_unchanged(fixture, key);
    } else {
        calls_until_failure = 1 + draw(fixture, 5);
        (void)fixture->ops->relocate(fixture->engine, 50);
        calls_until_failure = 0;
        assert_unchanged(fixture, key);
    }
}

static void any_allocation_may_fail(void **state)
{
    for (size_t f = 0; f < FAMILIES; f++) {
        fixture_t *const fixture = begin(*state);
        for (int i = 0; i < 1500; i++) {
            step_with_failures(fixture, families[f](draw(fixture, 150), fixture->key));
        }
        compare_all(fixture);
        end(fixture);
    }
}

/* Many small entries, so that pages split and trees grow high between failures. */
static void many_entries_may_fail(void **state)
{
    fixture_t *const fixture = begin(*state);
    for (uint64_t i = 0; i < 1000; i++) {
        put_both(fixture, decimal_key(i, fixture->key), (kv_slice_t){"v", 1});
    }
    for (int i = 0; i < 1000; i++) {
        step_with_failures(fixture, decimal_key(draw(fixture, 2000), fixture->key));
    }
    compare_all(fixture);
    end(fixture);
}

static void a_cursor_that_fails_stays_where_it_is(void **state)
{
    fixture_t *const fixture = begin(*state);
    kv_cursor_t *cursor = NULL;
    size_t met = 0;
    for (uint64_t i = 0; i < 60; i++) {
        put_both(fixture, long_key(i, fixture->key), any_value(fixture));
        put_both(fixture, nested_key(i, fixture->key), any_value(fixture));
    }
    calls_until_failure = 1;
    assert_int_equal(fixture->ops->cursor_open(fixture->engine, &cursor), KV_NO_MEMORY);
    calls_until_failure = 0;
    assert_int_equal(fixture->ops->cursor_open(fixture->engine, &cursor), KV_OK);
    kv_status_t status = fixture->ops->cursor_first(cursor);
    for (; status == KV_OK; met++) {
        const kv_slice_t key = fixture->ops->cursor_key(cursor);
        const model_entry_t *const entry = model_find(&fixture->model, key);
        assert_non_null(entry);
        calls_until_failure = 1;
        status = fixture->ops->cursor_next(cursor);
        calls_until_failure = 0;
        if (status == KV_NO_MEMORY) {
            assert_entry(fixture->ops->cursor_key(cursor), fixture->ops->cursor_value(cursor),
                         entry);
            status = fixture->ops->cursor_next(cursor);
        }
    }
    assert_int_equal(status, KV_NOT_FOUND);
    assert_int_equal(met, fixture->model.count);
    fixture->ops->cursor_close(cursor);
    assert_sound(fixture);
    end(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(any_allocation_may_fail, "array"),
        cmocka_unit_test_prestate(many_entries_may_fail, "array"),
        cmocka_unit_test_prestate(a_cursor_that_fails_stays_where_it_is, "array"),
        cmocka_unit_test_prestate(any_allocation_may_fail, "rbtree"),
        cmocka_unit_test_prestate(many_entries_may_fail, "rbtree"),
        cmocka_unit_test_prestate(a_cursor_that_fails_stays_where_it_is, "rbtree"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
