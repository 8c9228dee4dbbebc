/* SPDX-License-Identifier: MIT */
/*
 * Any engine beside the model, checked as a whole after every step; for what the conformance test,
 * which is run over all engines, has no time for. Keys come from families (key_families.h).
 */
#ifndef KVI_TESTS_ENGINE_FIXTURE_H
#define KVI_TESTS_ENGINE_FIXTURE_H

#include "key_families.h"

#include <concordkv/kv_engine.h>

#define VALUE_BYTES 6000

typedef struct fixture {
    const kv_engine_ops_t *ops;
    kv_engine_t *engine;
    kv_budget_t *budget;
    model_t model;
    uint64_t random;
    char key[MODEL_KEY_BYTES_MAX];
    char value[VALUE_BYTES];
} fixture_t;

static inline fixture_t *begin(const char *name)
{
    fixture_t *const fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->random = test_seed();
    fixture->budget = kv_budget_create(NULL, 0);
    const kv_engine_options_t options = {.budget = fixture->budget, .hash_seed = fixture->random};
    assert_int_equal(kv_engine_open(name, &options, &fixture->engine), KV_OK);
    fixture->ops = fixture->engine->ops;
    return fixture;
}

static inline void end(fixture_t *fixture)
{
    fixture->ops->close(fixture->engine);
    assert_int_equal(kv_budget_used(fixture->budget), 0);
    kv_budget_destroy(fixture->budget);
    model_free(&fixture->model);
    free(fixture);
}

static inline uint64_t draw(fixture_t *fixture, uint64_t below)
{
    return (test_random(&fixture->random) >> 16) % below;
}

/* Sizes around every limit: inline and apart, one byte of length and two. */
static inline kv_slice_t any_value(fixture_t *fixture)
{
    static const size_t sizes[] = {0,   1,   8,   16,  32,  127,  128,  129,
                                   400, 511, 512, 513, 900, 1024, 1025, 6000};
    const size_t bytes = sizes[draw(fixture, sizeof sizes / sizeof sizes[0])];
    model_fill(fixture->value, bytes, test_random(&fixture->random));
    return (kv_slice_t){fixture->value, bytes};
}

static inline void assert_sound(fixture_t *fixture)
{
    assert_int_equal(fixture->ops->check(fixture->engine), KV_OK);
    assert_int_equal(fixture->ops->count(fixture->engine), fixture->model.count);
}

static inline void assert_entry(kv_slice_t key, kv_slice_t value, const model_entry_t *entry)
{
    assert_int_equal(key.size, entry->key_bytes);
    assert_int_equal(value.size, entry->value_bytes);
    assert_true(key.size == 0 || memcmp(key.data, entry->key, key.size) == 0);
    assert_true(value.size == 0 || memcmp(value.data, entry->value, value.size) == 0);
}

static inline void compare_key(fixture_t *fixture, kv_slice_t key)
{
    kv_slice_t value;
    const model_entry_t *const entry = model_find(&fixture->model, key);
    const kv_status_t status = fixture->ops->get(fixture->engine, key, &value);
    assert_int_equal(status, entry != NULL ? KV_OK : KV_NOT_FOUND);
    if (entry != NULL) {
        assert_entry(key, value, entry);
    }
}

/* Every entry by get, and all of them by a cursor. */
static inline void compare_all(fixture_t *fixture)
{
    kv_cursor_t *cursor = NULL;
    size_t met = 0;
    assert_sound(fixture);
    assert_int_equal(fixture->ops->cursor_open(fixture->engine, &cursor), KV_OK);
    kv_status_t status = fixture->ops->cursor_first(cursor);
    for (; status == KV_OK; status = fixture->ops->cursor_next(cursor), met++) {
        const kv_slice_t key = fixture->ops->cursor_key(cursor);
        const model_entry_t *const entry = model_find(&fixture->model, key);
        assert_non_null(entry);
        assert_entry(key, fixture->ops->cursor_value(cursor), entry);
        assert_true(!fixture->ops->ordered || entry == &fixture->model.entries[met]);
    }
    assert_int_equal(status, KV_NOT_FOUND);
    assert_int_equal(met, fixture->model.count);
    fixture->ops->cursor_close(cursor);
    for (size_t i = 0; i < fixture->model.count; i++) {
        const model_entry_t *const entry = &fixture->model.entries[i];
        compare_key(fixture, (kv_slice_t){entry->key, entry->key_bytes});
    }
}

static inline void put_both(fixture_t *fixture, kv_slice_t key, kv_slice_t value)
{
    assert_int_equal(fixture->ops->put(fixture->engine, key, value), KV_OK);
    model_put(&fixture->model, key, value);
}

static inline void delete_both(fixture_t *fixture, kv_slice_t key)
{
    const bool there = model_delete(&fixture->model, key);
    assert_int_equal(fixture->ops->del(fixture->engine, key), there ? KV_OK : KV_NOT_FOUND);
}

/* One write or some moving. */
static inline void any_step(fixture_t *fixture, family_fn family, uint64_t keys, uint64_t deletes)
{
    const uint64_t kind = draw(fixture, 100);
    const kv_slice_t key = family(draw(fixture, keys), fixture->key);
    if (kind < deletes) {
        delete_both(fixture, key);
    } else if (kind > 95) {
        (void)fixture->ops->relocate(fixture->engine, draw(fixture, 30));
    } else {
        put_both(fixture, key, any_value(fixture));
    }
}

/* Every family, few keys and many, growing and shrinking; the whole engine is checked after every
 * step. */
static inline void every_step_of(const char *name)
{
    static const uint64_t keys[] = {12, 200, 3000};
    for (size_t f = 0; f < FAMILIES; f++) {
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            fixture_t *const fixture = begin(name);
            for (int i = 0; i < 800; i++) {
                any_step(fixture, families[f], keys[k], i / 200 % 2 == 0 ? 20 : 70);
                assert_sound(fixture);
            }
            compare_all(fixture);
            end(fixture);
        }
    }
}

/* The number-th of count in ascending, descending or scattered order; count is no multiple of
 * 7,919. */
static inline uint64_t in_order(uint64_t number, uint64_t count, int order)
{
    return order == 0 ? number : order == 1 ? count - 1 - number : number * 7919 % count;
}

/* Put in each order and deleted in each. */
static inline void every_order_of(const char *name, uint64_t count)
{
    for (int order = 0; order < 9; order++) {
        fixture_t *const fixture = begin(name);
        for (uint64_t i = 0; i < count; i++) {
            const kv_slice_t key = decimal_key(in_order(i, count, order / 3), fixture->key);
            put_both(fixture, key, any_value(fixture));
            assert_sound(fixture);
        }
        compare_all(fixture);
        for (uint64_t i = 0; i < count; i++) {
            delete_both(fixture, decimal_key(in_order(i, count, order % 3), fixture->key));
            assert_sound(fixture);
        }
        end(fixture);
    }
}

static inline void visit_once(void *context, kv_slice_t key, kv_slice_t value)
{
    fixture_t *const fixture = context;
    model_entry_t *const entry = model_find(&fixture->model, key);
    assert_non_null(entry);
    assert_entry(key, value, entry);
    assert_int_not_equal(entry->mark, 2);
    entry->mark += entry->mark == 1;
}

/* A scan of the entries of one family while entries of all families come and go: those of odd
 * numbers stay. */
static inline void scan_between_writes(fixture_t *fixture, family_fn family, uint64_t keys)
{
    for (uint64_t i = 1; i < keys; i += 2) {
        put_both(fixture, family(i, fixture->key), any_value(fixture));
    }
    for (size_t i = 0; i < fixture->model.count; i++) {
        fixture->model.entries[i].mark = 1;
    }
    uint64_t token = 0;
    do {
        token =
            fixture->ops->scan(fixture->engine, token, 1 + draw(fixture, 20), visit_once, fixture);
        for (int i = 0; i < 10; i++) {
            const uint64_t other = draw(fixture, FAMILIES);
            const kv_slice_t key = families[other](2 * draw(fixture, keys / 2), fixture->key);
            const model_entry_t *const entry = model_find(&fixture->model, key);
            if (entry == NULL) {
                put_both(fixture, key, any_value(fixture));
            } else if (entry->mark == 0) {
                delete_both(fixture, key);
            }
        }
        (void)fixture->ops->relocate(fixture->engine, draw(fixture, 10));
    } while (token != 0);
    for (size_t i = 0; i < fixture->model.count; i++) {
        assert_int_not_equal(fixture->model.entries[i].mark, 1);
    }
    assert_sound(fixture);
}

static inline void scans_of(const char *name)
{
    for (size_t f = 0; f < FAMILIES; f++) {
        fixture_t *const fixture = begin(name);
        scan_between_writes(fixture, families[f], 400);
        scan_between_writes(fixture, families[f], 1000);
        end(fixture);
    }
}

#endif
