/* SPDX-License-Identifier: MIT */
/*
 * A B+tree engine with small pages beside the model, so that few keys make a deep tree; and
 * families of keys that are hard for it. The whole tree is checked after every step.
 */
#ifndef KVI_TESTS_BPTREE_FIXTURE_H
#define KVI_TESTS_BPTREE_FIXTURE_H

#include "key_families.h"
#include "model.h"

#include "engine/bptree_int.h"

#define VALUE_BYTES 600

typedef struct fixture {
    kv_engine_t *engine;
    kvi_bptree_t *tree;
    kv_budget_t *budget;
    model_t model;
    uint64_t random;
    char key[MODEL_KEY_BYTES_MAX];
    char value[VALUE_BYTES];
} fixture_t;

static inline fixture_t *begin(uint32_t leaf_max, uint32_t inner_max)
{
    fixture_t *const fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->random = test_seed();
    fixture->budget = kv_budget_create(NULL, 0);
    const kv_engine_options_t options = {.budget = fixture->budget, .hash_seed = fixture->random};
    assert_int_equal(kvi_bptree_engine.open(&options, &fixture->engine), KV_OK);
    fixture->tree = (kvi_bptree_t *)fixture->engine;
    fixture->tree->leaf_max = leaf_max;
    fixture->tree->inner_max = inner_max;
    return fixture;
}

static inline void end(fixture_t *fixture)
{
    kvi_bptree_engine.close(fixture->engine);
    assert_int_equal(kv_budget_used(fixture->budget), 0);
    kv_budget_destroy(fixture->budget);
    model_free(&fixture->model);
    free(fixture);
}

static inline uint64_t draw(fixture_t *fixture, uint64_t below)
{
    return (test_random(&fixture->random) >> 16) % below;
}

static inline kv_slice_t any_value(fixture_t *fixture)
{
    static const size_t sizes[] = {0, 1, 8, 15, 16, 17, 32, 127, 128, 129, 400};
    const size_t bytes = sizes[draw(fixture, sizeof sizes / sizeof sizes[0])];
    model_fill(fixture->value, bytes, test_random(&fixture->random));
    return (kv_slice_t){fixture->value, bytes};
}

static inline void assert_sound(fixture_t *fixture)
{
    assert_int_equal(kvi_bptree_check(fixture->engine), KV_OK);
    assert_int_equal(fixture->tree->count, fixture->model.count);
}

static inline void assert_entry(kv_slice_t key, kv_slice_t value, const model_entry_t *entry)
{
    assert_int_equal(key.size, entry->key_bytes);
    assert_int_equal(value.size, entry->value_bytes);
    assert_true(key.size == 0 || memcmp(key.data, entry->key, key.size) == 0);
    assert_true(value.size == 0 || memcmp(value.data, entry->value, value.size) == 0);
}

/* Every entry, forwards, and each one by get. */
static inline void compare_all(fixture_t *fixture)
{
    const kv_engine_ops_t *const ops = fixture->engine->ops;
    kv_cursor_t *cursor = NULL;
    assert_sound(fixture);
    assert_int_equal(ops->cursor_open(fixture->engine, &cursor), KV_OK);
    kv_status_t status = ops->cursor_first(cursor);
    for (size_t i = 0; i < fixture->model.count; i++) {
        kv_slice_t value;
        const kv_slice_t key = ops->cursor_key(cursor);
        assert_int_equal(status, KV_OK);
        assert_entry(key, ops->cursor_value(cursor), &fixture->model.entries[i]);
        assert_int_equal(ops->get(fixture->engine, key, &value), KV_OK);
        assert_entry(key, value, &fixture->model.entries[i]);
        status = ops->cursor_next(cursor);
    }
    assert_int_equal(status, KV_NOT_FOUND);
    ops->cursor_close(cursor);
}

static inline void put_both(fixture_t *fixture, kv_slice_t key, kv_slice_t value)
{
    assert_int_equal(fixture->engine->ops->put(fixture->engine, key, value), KV_OK);
    model_put(&fixture->model, key, value);
}

static inline void delete_both(fixture_t *fixture, kv_slice_t key)
{
    const bool there = model_delete(&fixture->model, key);
    assert_int_equal(fixture->engine->ops->del(fixture->engine, key), there ? KV_OK : KV_NOT_FOUND);
}

/* A range with bounds of the family, of every kind. */
static inline kv_range_t any_range(fixture_t *fixture, family_fn family, uint64_t keys, char *lower,
                                   char *upper)
{
    return (kv_range_t){
        .lower = {(kv_bound_kind_t)draw(fixture, 3), family(draw(fixture, keys), lower)},
        .upper = {(kv_bound_kind_t)draw(fixture, 3), family(draw(fixture, keys), upper)},
    };
}

/* The place in the model where a bound cuts. */
static inline size_t model_cut(const model_t *model, const kv_bound_t *bound, bool is_upper)
{
    if (bound->kind == KV_BOUND_NONE) {
        return is_upper ? model->count : 0;
    }
    const kv_bound_kind_t past = is_upper ? KV_BOUND_INCLUDED : KV_BOUND_EXCLUDED;
    return model_place(model, bound->key) +
           (bound->kind == past && model_find(model, bound->key) != NULL);
}

#endif
