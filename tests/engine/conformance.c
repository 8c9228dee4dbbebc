/* SPDX-License-Identifier: MIT */
/*
 * What every engine must do, run over every row of the table: scripts of random operations beside a
 * simple model, walks under changes, large and odd keys and values, and memory that runs out at any
 * point. The seed is printed; KV_TEST_SEED repeats a run.
 */
#include "model.h"

#include <concordkv/kv_engine.h>

#include "engine/aimed.h"

#define KEYS_SMALL 300
#define KEYS_LARGE 6000
#define VALUE_BYTES_MAX 300000
#define PAGE 4096

typedef struct fixture {
    const kv_engine_ops_t *ops;
    kv_engine_t *engine;
    kv_budget_t *budget;
    model_t model;
    uint64_t random;
    char *key_buffer;
    char *value_buffer;
} fixture_t;

/* ---- set up ---- */

static void open_engine(fixture_t *fixture, size_t expected_count)
{
    const kv_engine_options_t options = {
        .budget = fixture->budget,
        .hash_seed = fixture->random,
        .expected_count = expected_count,
    };
    assert_int_equal(fixture->ops->open(&options, &fixture->engine), KV_OK);
    assert_ptr_equal(fixture->engine->ops, fixture->ops);
}

static fixture_t *begin(void **state)
{
    fixture_t *const fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->ops = *state;
    fixture->random = test_seed();
    fixture->budget = kv_budget_create(NULL, 0);
    fixture->key_buffer = malloc(MODEL_KEY_BYTES_MAX);
    fixture->value_buffer = malloc(VALUE_BYTES_MAX + 1000);
    assert_true(fixture->budget != NULL && fixture->key_buffer && fixture->value_buffer);
    open_engine(fixture, 0);
    return fixture;
}

/* Closing gives back every byte. */
static void end(fixture_t *fixture)
{
    fixture->ops->close(fixture->engine);
    assert_int_equal(kv_budget_used(fixture->budget), 0);
    kv_budget_destroy(fixture->budget);
    model_free(&fixture->model);
    free(fixture->key_buffer);
    free(fixture->value_buffer);
    free(fixture);
}

static uint64_t next_random(fixture_t *fixture)
{
    return test_random(&fixture->random);
}

static kv_slice_t random_key(fixture_t *fixture, uint64_t keys)
{
    return model_key(next_random(fixture) % keys, fixture->key_buffer);
}

static kv_slice_t random_value(fixture_t *fixture)
{
    const size_t bytes = model_value_bytes(next_random(fixture));
    model_fill(fixture->value_buffer, bytes, next_random(fixture));
    return (kv_slice_t){fixture->value_buffer, bytes};
}

/* ---- comparing ---- */

static void assert_slice(kv_slice_t slice, const char *bytes, size_t size)
{
    assert_int_equal(slice.size, size);
    if (size > 0) {
        assert_memory_equal(slice.data, bytes, size);
    }
}

static void compare_key(fixture_t *fixture, kv_slice_t key)
{
    kv_slice_t value = {NULL, 0};
    const model_entry_t *const entry = model_find(&fixture->model, key);
    const kv_status_t status = fixture->ops->get(fixture->engine, key, &value);
    assert_int_equal(status, entry != NULL ? KV_OK : KV_NOT_FOUND);
    if (entry != NULL) {
        assert_slice(value, entry->value, entry->value_bytes);
    }
}

static void compare_figures(fixture_t *fixture)
{
    kv_engine_memory_t memory;
    assert_int_equal(fixture->ops->count(fixture->engine), fixture->model.count);
    assert_int_equal(fixture->ops->memory(fixture->engine, &memory), KV_OK);
    if (fixture->ops->ordered) { /* what keys have in common may be stored once */
        assert_true(memory.key_bytes <= fixture->model.key_bytes);
    } else {
        assert_int_equal(memory.key_bytes, fixture->model.key_bytes);
    }
    assert_int_equal(memory.value_bytes, fixture->model.value_bytes);
    assert_int_equal(memory.key_bytes + memory.value_bytes + memory.index_bytes +
                         memory.slack_bytes,
                     memory.total_bytes);
    assert_int_equal(memory.total_bytes, kv_budget_used(fixture->budget));
    assert_int_equal(fixture->ops->check(fixture->engine), KV_OK);
}

static void compare_all(fixture_t *fixture)
{
    for (size_t i = 0; i < fixture->model.count; i++) {
        const model_entry_t *const entry = &fixture->model.entries[i];
        compare_key(fixture, (kv_slice_t){entry->key, entry->key_bytes});
    }
    compare_figures(fixture);
}

/* ---- single operations on engine and model ---- */

static void do_put(fixture_t *fixture, uint64_t keys)
{
    const kv_slice_t key = random_key(fixture, keys);
    const kv_slice_t value = random_value(fixture);
    assert_int_equal(fixture->ops->put(fixture->engine, key, value), KV_OK);
    model_put(&fixture->model, key, value);
    compare_key(fixture, key);
}

/* Keeps some bytes of the old value, writes the rest. */
static void do_place(fixture_t *fixture, uint64_t keys)
{
    const kv_slice_t key = random_key(fixture, keys);
    const model_entry_t *const entry = model_find(&fixture->model, key);
    const size_t old_bytes = entry != NULL ? entry->value_bytes : 0;
    const uint64_t kind = next_random(fixture) % 6;
    const size_t bytes = kind < 2    ? old_bytes + next_random(fixture) % 50
                         : kind == 2 ? old_bytes
                                     : model_value_bytes(next_random(fixture));
    const size_t most = old_bytes < bytes ? old_bytes : bytes;
    const size_t keep = most > 0 ? next_random(fixture) % (most + 1) : 0;
    char *const value = malloc(bytes + 1);
    char *place = NULL;
    assert_non_null(value);
    model_fill(value, bytes, next_random(fixture));
    if (keep > 0) {
        memcpy(value, entry->value, keep);
    }
    const kvi_aimed_ops_t *const aimed = fixture->ops->aimed;
    if (aimed != NULL && keep == 0) {
        uint64_t aim;
        aimed->prefetch(fixture->engine, 1, &key, &aim);
        assert_int_equal(aimed->place(fixture->engine, key, aim, bytes, &place), KV_OK);
    } else {
        assert_int_equal(fixture->ops->place(fixture->engine, key, bytes, keep, &place), KV_OK);
    }
    if (bytes > keep) {
        memcpy(place + keep, value + keep, bytes - keep);
    }
    model_put(&fixture->model, key, (kv_slice_t){value, bytes});
    compare_key(fixture, key);
    free(value);
}

static void do_delete(fixture_t *fixture, uint64_t keys)
{
    const kv_slice_t key = random_key(fixture, keys);
    const bool there = model_delete(&fixture->model, key);
    assert_int_equal(fixture->ops->del(fixture->engine, key), there ? KV_OK : KV_NOT_FOUND);
    compare_key(fixture, key);
}

/* Each key by the aim that it has got in a group. */
static void get_by_aims(fixture_t *fixture, size_t count, const kv_slice_t *keys)
{
    const kvi_aimed_ops_t *const aimed = fixture->ops->aimed;
    uint64_t aims[64] = {0};
    assert_true(count <= 64);
    aimed->prefetch(fixture->engine, count, keys, aims);
    for (size_t i = 0; i < count; i++) {
        const model_entry_t *const entry = model_find(&fixture->model, keys[i]);
        kv_slice_t value = {NULL, 0};
        assert_true(aims[i] != 0);
        assert_int_equal(aimed->get(fixture->engine, keys[i], aims[i], &value),
                         entry != NULL ? KV_OK : KV_NOT_FOUND);
        if (entry != NULL) {
            assert_slice(value, entry->value, entry->value_bytes);
        }
    }
}

static void do_get_many(fixture_t *fixture, uint64_t keys)
{
    enum { GROUP = 37 };
    kv_slice_t group[GROUP] = {{NULL, 0}};
    kv_slice_t values[GROUP];
    const size_t count = next_random(fixture) % (GROUP + 1);
    size_t expected = 0;
    for (size_t i = 0; i < count; i++) {
        const kv_slice_t key = random_key(fixture, keys);
        group[i] = (kv_slice_t){model_copy(key.data, key.size), key.size};
        expected += model_find(&fixture->model, key) != NULL;
    }
    fixture->ops->prefetch(fixture->engine, count, group);
    if (fixture->ops->aimed != NULL) {
        get_by_aims(fixture, count, group);
    }
    assert_int_equal(fixture->ops->get_many(fixture->engine, count, group, values), expected);
    for (size_t i = 0; i < count; i++) {
        const model_entry_t *const entry = model_find(&fixture->model, group[i]);
        if (entry == NULL) {
            assert_null(values[i].data);
        } else {
            assert_non_null(values[i].data);
            assert_slice(values[i], entry->value, entry->value_bytes);
        }
        free((char *)group[i].data);
    }
}

static void do_sample(fixture_t *fixture)
{
    kv_slice_t key;
    kv_slice_t value;
    const uint64_t number = next_random(fixture);
    const kv_status_t status = fixture->ops->sample(fixture->engine, number, &key, &value);
    assert_int_equal(status, fixture->model.count > 0 ? KV_OK : KV_NOT_FOUND);
    if (status == KV_OK) {
        const model_entry_t *const entry = model_find(&fixture->model, key);
        assert_non_null(entry);
        assert_slice(value, entry->value, entry->value_bytes);
    }
}

/* One random operation; deletes_of_100 of them delete. */
static void step(fixture_t *fixture, uint64_t keys, uint64_t deletes_of_100)
{
    const uint64_t kind = next_random(fixture) % 100;
    if (kind < deletes_of_100) {
        do_delete(fixture, keys);
    } else if (kind < deletes_of_100 + 5) {
        do_get_many(fixture, keys);
    } else if (kind < deletes_of_100 + 10) {
        do_sample(fixture);
    } else if (kind < deletes_of_100 + 20) {
        do_place(fixture, keys);
    } else if (kind < deletes_of_100 + 22) {
        (void)fixture->ops->relocate(fixture->engine, next_random(fixture) % 200);
    } else {
        do_put(fixture, keys);
    }
}

/* ---- scripts ---- */

static void a_new_engine_is_empty(void **state)
{
    fixture_t *const fixture = begin(state);
    compare_key(fixture, (kv_slice_t){"", 0});
    compare_key(fixture, (kv_slice_t){NULL, 0});
    compare_figures(fixture);
    do_sample(fixture);
    fixture->ops->close(NULL);
    fixture->ops->cursor_close(NULL);
    assert_int_equal(fixture->ops->relocate(fixture->engine, 0), 0);
    end(fixture);
}

static void a_random_script_agrees_with_the_model(void **state)
{
    fixture_t *const fixture = begin(state);
    for (int i = 0; i < 3000; i++) {
        step(fixture, KEYS_SMALL, i % 1000 < 500 ? 20 : 55);
        compare_figures(fixture);
    }
    compare_all(fixture);
    end(fixture);
}

static void it_grows_and_shrinks_with_the_model(void **state)
{
    fixture_t *const fixture = begin(state);
    static const uint64_t deletes[] = {5, 75, 10, 80, 30};
    for (size_t round = 0; round < sizeof deletes / sizeof deletes[0]; round++) {
        for (int i = 0; i < 8000; i++) {
            step(fixture, KEYS_LARGE, deletes[round]);
        }
        compare_all(fixture);
    }
    while (fixture->model.count > 0) {
        const model_entry_t *const last = &fixture->model.entries[fixture->model.count - 1];
        const kv_slice_t key = {model_copy(last->key, last->key_bytes), last->key_bytes};
        assert_int_equal(fixture->ops->del(fixture->engine, key), KV_OK);
        assert_true(model_delete(&fixture->model, key));
        free((char *)key.data);
    }
    compare_figures(fixture);
    end(fixture);
}

static void room_made_at_once_is_used(void **state)
{
    fixture_t *const fixture = begin(state);
    static const size_t expected[] = {1, 100, 5000, 300000};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        fixture->ops->close(fixture->engine);
        open_engine(fixture, expected[i]);
        compare_figures(fixture);
        for (int j = 0; j < 1000; j++) {
            step(fixture, KEYS_LARGE, 30);
        }
        compare_all(fixture);
        model_free(&fixture->model);
    }
    end(fixture);
}

/* ---- values ---- */

static void put_sized(fixture_t *fixture, kv_slice_t key, size_t bytes, uint64_t seed)
{
    char *place = NULL;
    assert_int_equal(fixture->ops->place(fixture->engine, key, bytes, 0, &place), KV_OK);
    model_fill(place, bytes, seed);
}

static void assert_sized(fixture_t *fixture, kv_slice_t key, size_t bytes, uint64_t seed)
{
    kv_slice_t value;
    char *const expected = malloc(bytes + 1);
    assert_non_null(expected);
    model_fill(expected, bytes, seed);
    assert_int_equal(fixture->ops->get(fixture->engine, key, &value), KV_OK);
    assert_slice(value, expected, bytes);
    free(expected);
}

static void large_values_are_whole(void **state)
{
    fixture_t *const fixture = begin(state);
    static const size_t sizes[] = {1, 8191, 8192, 8193, 65535, 1 << 20, 64 << 20, 3};
    const kv_slice_t key = {"large", 5};
    put_sized(fixture, (kv_slice_t){"other", 5}, 1 << 20, 77);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        put_sized(fixture, key, sizes[i], i);
        assert_sized(fixture, key, sizes[i], i);
        assert_int_equal(fixture->ops->check(fixture->engine), KV_OK);
    }
    assert_int_equal(fixture->ops->del(fixture->engine, key), KV_OK);
    assert_sized(fixture, (kv_slice_t){"other", 5}, 1 << 20, 77);
    end(fixture);
}

static void a_value_may_grow_byte_by_byte(void **state)
{
    fixture_t *const fixture = begin(state);
    const kv_slice_t key = {"grows", 5};
    char *const expected = malloc(40000);
    size_t bytes = 0;
    assert_non_null(expected);
    model_fill(expected, 40000, 5);
    while (bytes < 39000) {
        const size_t more = bytes < 300 ? 1 : 1 + next_random(fixture) % 500;
        char *place = NULL;
        assert_int_equal(fixture->ops->place(fixture->engine, key, bytes + more, bytes, &place),
                         KV_OK);
        assert_memory_equal(place, expected, bytes);
        memcpy(place + bytes, expected + bytes, more);
        bytes += more;
    }
    compare_key(fixture, (kv_slice_t){"other", 5});
    assert_sized(fixture, key, bytes, 5);
    free(expected);
    end(fixture);
}

static void impossible_requests_are_refused(void **state)
{
    fixture_t *const fixture = begin(state);
    const kv_slice_t key = {"key", 3};
    char *place = NULL;
    assert_int_equal(fixture->ops->put(fixture->engine, key, (kv_slice_t){"12345", 5}), KV_OK);
    model_put(&fixture->model, key, (kv_slice_t){"12345", 5});
    assert_int_equal(fixture->ops->place(fixture->engine, key, 10, 6, &place), KV_INVALID);
    assert_int_equal(fixture->ops->place(fixture->engine, key, 3, 4, &place), KV_INVALID);
    assert_int_equal(fixture->ops->place(fixture->engine, key, KV_VALUE_BYTES_MAX + 1, 0, &place),
                     KV_TOO_LARGE);
    assert_int_equal(fixture->ops->place(fixture->engine, key, SIZE_MAX, 0, &place), KV_TOO_LARGE);
    assert_int_equal(
        fixture->ops->put(fixture->engine, (kv_slice_t){key.data, KV_KEY_BYTES_MAX + 1}, key),
        KV_TOO_LARGE);
    compare_all(fixture);
    end(fixture);
}

/* The bytes written may be the engine's own. */
static void a_borrowed_value_may_be_put(void **state)
{
    fixture_t *const fixture = begin(state);
    for (int i = 0; i < 2000; i++) {
        kv_slice_t value;
        do_put(fixture, KEYS_SMALL);
        const kv_slice_t to = random_key(fixture, KEYS_SMALL);
        kv_slice_t from;
        if (fixture->ops->sample(fixture->engine, next_random(fixture), &from, &value) == KV_OK) {
            char *const copy = model_copy(value.data, value.size);
            const kv_slice_t copied = {copy, value.size};
            assert_int_equal(fixture->ops->put(fixture->engine, to, value), KV_OK);
            model_put(&fixture->model, to, copied);
            compare_key(fixture, to);
            free(copy);
        }
    }
    compare_all(fixture);
    end(fixture);
}

/* ---- scans ---- */

static void mark_visited(void *context, kv_slice_t key, kv_slice_t value)
{
    fixture_t *const fixture = context;
    model_entry_t *const entry = model_find(&fixture->model, key);
    assert_non_null(entry);
    assert_slice(value, entry->value, entry->value_bytes);
    entry->mark++;
}

/* Marks move with their entries in the model; new entries come with mark 0, and marked so that they
 * are not asked for. */
static void scan_under_changes(fixture_t *fixture, uint64_t deletes_of_100, int changes)
{
    uint64_t token = 0;
    for (size_t i = 0; i < fixture->model.count; i++) {
        fixture->model.entries[i].mark = 0;
    }
    do {
        token = fixture->ops->scan(fixture->engine, token, 1 + next_random(fixture) % 30,
                                   mark_visited, fixture);
        assert_true(token < UINT64_C(1) << 63);
        for (int i = 0; i < changes; i++) {
            const uint64_t number = next_random(fixture) % KEYS_LARGE;
            const kv_slice_t key = model_key(number, fixture->key_buffer);
            model_entry_t *entry = model_find(&fixture->model, key);
            if (number % 2 == 0 && entry == NULL && next_random(fixture) % 100 >= deletes_of_100) {
                const kv_slice_t value = random_value(fixture);
                assert_int_equal(fixture->ops->put(fixture->engine, key, value), KV_OK);
                model_put(&fixture->model, key, value);
                model_find(&fixture->model, key)->mark = 1000000;
            } else if (number % 2 == 0 && entry != NULL &&
                       next_random(fixture) % 100 < deletes_of_100) {
                assert_int_equal(fixture->ops->del(fixture->engine, key), KV_OK);
                assert_true(model_delete(&fixture->model, key));
            } else if (entry != NULL && number % 3 == 0) {
                const int mark = entry->mark;
                const kv_slice_t value = random_value(fixture);
                assert_int_equal(fixture->ops->put(fixture->engine, key, value), KV_OK);
                model_put(&fixture->model, key, value);
                model_find(&fixture->model, key)->mark = mark;
            }
        }
    } while (token != 0);
    for (size_t i = 0; i < fixture->model.count; i++) {
        const int mark = fixture->model.entries[i].mark;
        assert_true(mark == 1 || mark == 1000000 || mark == 1000001);
    }
}

static void a_scan_meets_every_key_once(void **state)
{
    fixture_t *const fixture = begin(state);
    scan_under_changes(fixture, 0, 0);
    for (int i = 0; i < KEYS_LARGE / 2; i++) {
        do_put(fixture, KEYS_LARGE);
    }
    scan_under_changes(fixture, 0, 0);
    scan_under_changes(fixture, 5, 100);
    scan_under_changes(fixture, 50, 20);
    scan_under_changes(fixture, 95, 300);
    scan_under_changes(fixture, 10, 300);
    compare_all(fixture);
    end(fixture);
}

/* ---- cursors ---- */

static kv_cursor_t *open_cursor(fixture_t *fixture)
{
    kv_cursor_t *cursor = NULL;
    assert_int_equal(fixture->ops->cursor_open(fixture->engine, &cursor), KV_OK);
    assert_ptr_equal(cursor->ops, fixture->ops);
    assert_false(fixture->ops->cursor_valid(cursor));
    return cursor;
}

static model_entry_t *entry_at(fixture_t *fixture, kv_cursor_t *cursor)
{
    assert_true(fixture->ops->cursor_valid(cursor));
    model_entry_t *const entry = model_find(&fixture->model, fixture->ops->cursor_key(cursor));
    if (entry != NULL) {
        assert_slice(fixture->ops->cursor_value(cursor), entry->value, entry->value_bytes);
    }
    return entry;
}

static void a_cursor_meets_every_key_once(void **state)
{
    fixture_t *const fixture = begin(state);
    kv_cursor_t *const cursor = open_cursor(fixture);
    assert_int_equal(fixture->ops->cursor_first(cursor), KV_NOT_FOUND);
    assert_int_equal(fixture->ops->cursor_next(cursor), KV_NOT_FOUND);
    for (int i = 0; i < KEYS_LARGE; i++) {
        do_put(fixture, KEYS_LARGE);
    }
    size_t met = 0;
    kv_status_t status = fixture->ops->cursor_first(cursor);
    while (status == KV_OK) {
        model_entry_t *const entry = entry_at(fixture, cursor);
        assert_non_null(entry);
        assert_int_equal(entry->mark++, 0);
        if (fixture->ops->ordered) {
            assert_int_equal(entry - fixture->model.entries, met);
        }
        met++;
        status = fixture->ops->cursor_next(cursor);
    }
    assert_int_equal(status, KV_NOT_FOUND);
    assert_false(fixture->ops->cursor_valid(cursor));
    assert_int_equal(met, fixture->model.count);
    fixture->ops->cursor_close(cursor);
    end(fixture);
}

static void a_cursor_goes_on_after_writes(void **state)
{
    fixture_t *const fixture = begin(state);
    kv_cursor_t *const cursor = open_cursor(fixture);
    for (int i = 0; i < KEYS_LARGE / 2; i++) {
        do_put(fixture, KEYS_LARGE);
    }
    for (size_t i = 0; i < fixture->model.count; i++) {
        fixture->model.entries[i].mark = 1; /* there from beginning to end, unless deleted */
    }
    kv_status_t status = fixture->ops->cursor_first(cursor);
    while (status == KV_OK) {
        model_entry_t *const entry = entry_at(fixture, cursor);
        assert_non_null(entry); /* nothing was written since the cursor moved */
        assert_true(entry->mark <= 1);
        entry->mark = entry->mark == 1 ? 2 : 3;
        if (next_random(fixture) % 4 == 0) { /* from under the cursor */
            kv_slice_t key = fixture->ops->cursor_key(cursor);
            assert_int_equal(fixture->ops->del(fixture->engine, key), KV_OK);
            assert_true(model_delete(&fixture->model, key));
            assert_true(fixture->ops->cursor_valid(cursor));
            assert_null(fixture->ops->cursor_value(cursor).data);
        }
        do_delete(fixture, KEYS_LARGE);
        const kv_slice_t key = random_key(fixture, KEYS_LARGE);
        if (model_find(&fixture->model, key) == NULL) {
            assert_int_equal(fixture->ops->put(fixture->engine, key, key), KV_OK);
            model_put(&fixture->model, key, key);
        }
        status = fixture->ops->cursor_next(cursor);
    }
    for (size_t i = 0; i < fixture->model.count; i++) {
        assert_int_not_equal(fixture->model.entries[i].mark, 1);
    }
    fixture->ops->cursor_close(cursor);
    compare_all(fixture);
    end(fixture);
}

static void check_seek(fixture_t *fixture, kv_cursor_t *cursor, kv_slice_t key)
{
    const size_t place = model_place(&fixture->model, key);
    const bool exact = model_find(&fixture->model, key) != NULL;
    const bool found = fixture->ops->ordered ? place < fixture->model.count : exact;
    assert_int_equal(fixture->ops->cursor_seek(cursor, key), found ? KV_OK : KV_NOT_FOUND);
    assert_int_equal(fixture->ops->cursor_valid(cursor), found);
    if (found) {
        assert_ptr_equal(entry_at(fixture, cursor), &fixture->model.entries[place]);
    }
}

static void a_cursor_seeks(void **state)
{
    fixture_t *const fixture = begin(state);
    kv_cursor_t *const cursor = open_cursor(fixture);
    for (int i = 0; i < 1000; i++) {
        do_put(fixture, KEYS_LARGE);
        check_seek(fixture, cursor, random_key(fixture, KEYS_LARGE));
    }
    if (!fixture->ops->ordered) {
        assert_int_equal(fixture->ops->cursor_last(cursor), KV_UNSUPPORTED);
        assert_int_equal(fixture->ops->cursor_prev(cursor), KV_UNSUPPORTED);
    }
    fixture->ops->cursor_close(cursor);
    end(fixture);
}

static void ordered_cursors_go_backwards(void **state)
{
    fixture_t *const fixture = begin(state);
    kv_cursor_t *const cursor = open_cursor(fixture);
    for (int i = 0; i < 1000; i++) {
        do_put(fixture, KEYS_LARGE);
    }
    size_t left = fixture->ops->ordered ? fixture->model.count : 0;
    kv_status_t status = fixture->ops->cursor_last(cursor);
    assert_int_equal(status, fixture->ops->ordered ? KV_OK : KV_UNSUPPORTED);
    while (status == KV_OK) {
        assert_ptr_equal(entry_at(fixture, cursor), &fixture->model.entries[--left]);
        status = fixture->ops->cursor_prev(cursor);
    }
    assert_int_equal(left, 0);
    fixture->ops->cursor_close(cursor);
    end(fixture);
}

/* ---- samples, moving ---- */

static void count_value(void *context, kv_slice_t key, kv_slice_t value)
{
    (void)key;
    (void)value;
    ++*(size_t *)context;
}

static void samples_are_spread_evenly(void **state)
{
    fixture_t *const fixture = begin(state);
    enum { KEYS = 2000, SAMPLES = 200000 };
    static unsigned met[KEYS];
    size_t visited = 0;
    memset(met, 0, sizeof met);
    for (uint32_t i = 0; i < KEYS; i++) {
        const kv_slice_t key = {(const char *)&i, sizeof i};
        assert_int_equal(fixture->ops->put(fixture->engine, key, key), KV_OK);
    }
    for (int i = 0; i < SAMPLES; i++) {
        kv_slice_t key;
        kv_slice_t value;
        uint32_t number;
        assert_int_equal(fixture->ops->sample(fixture->engine, next_random(fixture), &key, &value),
                         KV_OK);
        memcpy(&number, value.data, sizeof number);
        met[number]++;
    }
    for (int i = 0; i < KEYS; i++) { /* 100 expected; 10 is the standard deviation */
        assert_in_range(met[i], 30, 250);
    }
    assert_int_equal(fixture->ops->scan(fixture->engine, 0, KEYS * 2, count_value, &visited), 0);
    assert_int_equal(visited, KEYS);
    end(fixture);
}

static void moving_entries_gives_memory_back(void **state)
{
    fixture_t *const fixture = begin(state);
    enum { KEYS = 40000 };
    char value[100];
    model_fill(value, sizeof value, 1);
    for (uint32_t i = 0; i < KEYS; i++) {
        const kv_slice_t key = {(const char *)&i, sizeof i};
        const kv_slice_t filled = {value, sizeof value};
        assert_int_equal(fixture->ops->put(fixture->engine, key, filled), KV_OK);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        if (next_random(fixture) % 10 != 0) {
            const kv_slice_t key = {(const char *)&i, sizeof i};
            assert_int_equal(fixture->ops->del(fixture->engine, key), KV_OK);
        }
    }
    const uint64_t left = fixture->ops->count(fixture->engine);
    while (fixture->ops->relocate(fixture->engine, 1000) == 1000) {
        assert_int_equal(fixture->ops->count(fixture->engine), left);
    }
    assert_int_equal(fixture->ops->check(fixture->engine), KV_OK);
    /* Each size class may keep a span that is not full. Unmoved, the entries would hold more than
     * 4 MB. */
    assert_true(kv_budget_used(fixture->budget) < left * 200 + (1 << 20));
    end(fixture);
}

/* ---- memory that runs out ---- */

/* Runs one operation with more and more memory until it succeeds; whenever it fails nothing may
 * have changed. */
static void put_at_every_limit(fixture_t *fixture, kv_slice_t key, kv_slice_t value, bool place)
{
    size_t spare = 0;
    for (;;) {
        char *to = NULL;
        kv_budget_set_limit(fixture->budget, kv_budget_used(fixture->budget) + spare + 1);
        const kv_status_t status =
            place ? fixture->ops->place(fixture->engine, key, value.size, 0, &to)
                  : fixture->ops->put(fixture->engine, key, value);
        kv_budget_set_limit(fixture->budget, 0);
        if (status == KV_OK) {
            if (place && value.size > 0) {
                memcpy(to, value.data, value.size);
            }
            break;
        }
        assert_int_equal(status, KV_NO_MEMORY);
        compare_key(fixture, key);
        compare_figures(fixture);
        spare = spare * 2 + PAGE;
        assert_true(spare < (size_t)1 << 30);
    }
    model_put(&fixture->model, key, value);
    compare_key(fixture, key);
}

static void want_of_memory_changes_nothing(void **state)
{
    fixture_t *const fixture = begin(state);
    for (int i = 0; i < 12000; i++) {
        const uint64_t kind = next_random(fixture) % 10;
        if (kind == 0) {
            kv_budget_set_limit(fixture->budget, 1);
            do_delete(fixture, KEYS_LARGE);
            (void)fixture->ops->relocate(fixture->engine, 100);
            kv_budget_set_limit(fixture->budget, 0);
        } else {
            const kv_slice_t key = random_key(fixture, KEYS_LARGE);
            put_at_every_limit(fixture, key, random_value(fixture), kind < 3);
        }
    }
    compare_all(fixture);
    end(fixture);
}

static void opening_needs_memory(void **state)
{
    fixture_t *const fixture = begin(state);
    fixture->ops->close(fixture->engine);
    fixture->engine = NULL;
    const kv_engine_options_t options = {.budget = fixture->budget, .expected_count = 20000};
    size_t limit = 1;
    kv_budget_set_limit(fixture->budget, limit);
    while (fixture->ops->open(&options, &fixture->engine) != KV_OK) {
        assert_int_equal(kv_budget_used(fixture->budget), 0);
        assert_true(limit < (size_t)1 << 30);
        limit += PAGE;
        kv_budget_set_limit(fixture->budget, limit);
    }
    end(fixture);
}

static void cursors_need_memory(void **state)
{
    fixture_t *const fixture = begin(state);
    kv_cursor_t *cursor = NULL;
    const kv_slice_t key = model_key(1, fixture->key_buffer); /* 64 KB */
    assert_int_equal(fixture->ops->put(fixture->engine, key, key), KV_OK);
    model_put(&fixture->model, key, key);
    kv_status_t status = KV_NO_MEMORY;
    kv_budget_set_limit(fixture->budget, 1);
    for (int i = 0; i < 100000 && status == KV_NO_MEMORY; i++) {
        status = cursor == NULL ? fixture->ops->cursor_open(fixture->engine, &cursor) : KV_OK;
        status = status == KV_OK ? fixture->ops->cursor_first(cursor) : status;
        kv_budget_set_limit(fixture->budget, kv_budget_limit(fixture->budget) + PAGE);
    }
    assert_int_equal(status, KV_OK);
    assert_ptr_equal(entry_at(fixture, cursor), &fixture->model.entries[0]);
    kv_budget_set_limit(fixture->budget, 0);
    fixture->ops->cursor_close(cursor);
    end(fixture);
}

/* ---- the table ---- */

static void engines_are_found_by_name(void **state)
{
    (void)state;
    kv_engine_t *engine = NULL;
    size_t rows = 0;
    for (; kv_engine_at(rows) != NULL; rows++) {
        const kv_engine_ops_t *const ops = kv_engine_at(rows);
        assert_ptr_equal(kv_engine_find(ops->name), ops);
        assert_int_equal(kv_engine_open(ops->name, NULL, &engine), KV_OK);
        assert_int_equal(engine->ops->put(engine, (kv_slice_t){"k", 1}, (kv_slice_t){"v", 1}),
                         KV_OK);
        engine->ops->close(engine);
    }
    assert_true(rows > 0);
    assert_null(kv_engine_at(SIZE_MAX));
    assert_null(kv_engine_find("no such engine"));
    assert_null(kv_engine_find(NULL));
    assert_int_equal(kv_engine_open("", NULL, &engine), KV_UNSUPPORTED);
}

typedef struct conformance_case {
    const char *name;
    CMUnitTestFunction function;
} conformance_case_t;

#define CASE(function)      \
    {                       \
#function, function \
    }
static const conformance_case_t cases[] = {
    CASE(a_new_engine_is_empty),
    CASE(a_random_script_agrees_with_the_model),
    CASE(it_grows_and_shrinks_with_the_model),
    CASE(room_made_at_once_is_used),
    CASE(large_values_are_whole),
    CASE(a_value_may_grow_byte_by_byte),
    CASE(impossible_requests_are_refused),
    CASE(a_borrowed_value_may_be_put),
    CASE(a_scan_meets_every_key_once),
    CASE(a_cursor_meets_every_key_once),
    CASE(a_cursor_goes_on_after_writes),
    CASE(a_cursor_seeks),
    CASE(ordered_cursors_go_backwards),
    CASE(samples_are_spread_evenly),
    CASE(moving_entries_gives_memory_back),
    CASE(want_of_memory_changes_nothing),
    CASE(opening_needs_memory),
    CASE(cursors_need_memory),
};
#define CASES (sizeof cases / sizeof cases[0])
#define ENGINES_MAX 8

int main(void)
{
    static struct CMUnitTest tests[CASES * ENGINES_MAX + 1];
    static char names[CASES * ENGINES_MAX][128];
    size_t count = 0;
    for (size_t row = 0; kv_engine_at(row) != NULL && row < ENGINES_MAX; row++) {
        for (size_t i = 0; i < CASES; i++) {
            snprintf(names[count], sizeof names[0], "%s: %s", kv_engine_at(row)->name,
                     cases[i].name);
            tests[count].name = names[count];
            tests[count].test_func = cases[i].function;
            tests[count].initial_state = (void *)(uintptr_t)kv_engine_at(row);
            count++;
        }
    }
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(engines_are_found_by_name);
    return cmocka_run_group_tests(tests, NULL, NULL); /* which skips the unused rest */
}
