/* SPDX-License-Identifier: MIT */
/*
 * The red-black tree engine beyond what all engines do (tests/engine/conformance.c): its invariants
 * after every step on hard keys and in every order, long walks both ways, cursors between writes,
 * the place at which relocate goes on, samples of ascending keys, long keys and values apart.
 */
#include "../engine/engine_fixture.h"

#include "engine/engine.h"
#include "engine/rbtree_int.h"

static kvi_rbtree_t *tree_of(fixture_t *fixture)
{
    return (kvi_rbtree_t *)fixture->engine;
}

static void every_step_leaves_a_sound_tree(void **state)
{
    (void)state;
    every_step_of("rbtree");
}

static void any_order_makes_a_balanced_tree(void **state)
{
    (void)state;
    every_order_of("rbtree", 150);
}

static void scans_survive_writes(void **state)
{
    (void)state;
    scans_of("rbtree");
}

/* A tree of this many nodes has between n and 2 n black levels where 2^n is near it. */
static void ways_are_short(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    for (int order = 0; order < 3; order++) {
        fixture_t *const fixture = begin("rbtree");
        kvi_rb_path_t path;
        for (uint64_t i = 0; i < COUNT; i++) {
            const kv_slice_t key = decimal_key(in_order(i, COUNT, order), fixture->key);
            assert_int_equal(fixture->ops->put(fixture->engine, key, key), KV_OK);
        }
        assert_int_equal(fixture->ops->check(fixture->engine), KV_OK);
        assert_in_range(tree_of(fixture)->black_height, 8, 17);
        for (uint64_t i = 0; i < COUNT; i += 97) {
            const kv_slice_t key = decimal_key(i, fixture->key);
            assert_non_null(kvi_rb_descend(tree_of(fixture), key, &path));
            assert_in_range(path.count, 1, 2 * 17);
        }
        end(fixture);
    }
}

/* ---- walks ---- */

/* Far enough for subtrees to be fetched ahead, then back from some place, then on again. */
static void walks_go_both_ways(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    fixture_t *const fixture = begin("rbtree");
    kv_cursor_t *cursor = NULL;
    for (uint64_t i = 0; i < COUNT; i++) {
        put_both(fixture, decimal_key(in_order(i, COUNT, 2), fixture->key),
                 (kv_slice_t){(const char *)&i, sizeof i});
    }
    assert_int_equal(fixture->ops->cursor_open(fixture->engine, &cursor), KV_OK);
    size_t place = draw(fixture, COUNT);
    assert_int_equal(fixture->ops->cursor_seek(cursor, decimal_key(place, fixture->key)), KV_OK);
    for (int turn = 0; turn < 40; turn++) {
        const bool forwards = turn % 2 == 0;
        for (uint64_t steps = draw(fixture, COUNT / 2); steps > 0; steps--) {
            const bool stays = forwards ? place + 1 < COUNT : place > 0;
            if (!stays) {
                break;
            }
            assert_int_equal(forwards ? fixture->ops->cursor_next(cursor)
                                      : fixture->ops->cursor_prev(cursor),
                             KV_OK);
            place = forwards ? place + 1 : place - 1;
            assert_entry(fixture->ops->cursor_key(cursor), fixture->ops->cursor_value(cursor),
                         &fixture->model.entries[place]);
        }
    }
    fixture->ops->cursor_close(cursor);
    end(fixture);
}

/* Where the model's cursor stands after a move: the first entry behind key, or the last before it.
 */
static size_t place_after(const model_t *model, kv_slice_t key, bool forwards)
{
    const size_t place = model_place(model, key);
    if (!forwards) {
        return place - 1; /* SIZE_MAX before the first one */
    }
    return place + (model_find(model, key) != NULL);
}

static void cursors_go_on_between_writes(void **state)
{
    (void)state;
    static char standing[MODEL_KEY_BYTES_MAX];
    for (size_t f = 0; f < FAMILIES; f++) {
        fixture_t *const fixture = begin("rbtree");
        kv_cursor_t *cursor = NULL;
        assert_int_equal(fixture->ops->cursor_open(fixture->engine, &cursor), KV_OK);
        for (int i = 0; i < 1500; i++) {
            const uint64_t writes = draw(fixture, 3);
            for (uint64_t k = 0; k < writes; k++) {
                any_step(fixture, families[f], 150, 45);
            }
            if (!fixture->ops->cursor_valid(cursor)) {
                (void)fixture->ops->cursor_seek(cursor,
                                                families[f](draw(fixture, 150), fixture->key));
                continue;
            }
            const kv_slice_t key = fixture->ops->cursor_key(cursor);
            kvi_bytes_copy(standing, key.data, key.size);
            const bool forwards = draw(fixture, 2) == 0;
            const size_t place =
                place_after(&fixture->model, (kv_slice_t){standing, key.size}, forwards);
            const kv_status_t status =
                forwards ? fixture->ops->cursor_next(cursor) : fixture->ops->cursor_prev(cursor);
            assert_int_equal(status, place < fixture->model.count ? KV_OK : KV_NOT_FOUND);
            if (status == KV_OK) {
                assert_entry(fixture->ops->cursor_key(cursor), fixture->ops->cursor_value(cursor),
                             &fixture->model.entries[place]);
            }
        }
        fixture->ops->cursor_close(cursor);
        end(fixture);
    }
}

/* ---- moving ---- */

/* The node at which relocate goes on is deleted, moved and overwritten with another size. */
static void relocation_goes_on_after_writes(void **state)
{
    (void)state;
    fixture_t *const fixture = begin("rbtree");
    enum { COUNT = 3000 };
    for (uint64_t i = 0; i < COUNT; i++) {
        put_both(fixture, decimal_key(i, fixture->key), any_value(fixture));
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        (void)fixture->ops->relocate(fixture->engine, 1 + draw(fixture, 3));
        const uint32_t at = tree_of(fixture)->relocate_at;
        if (at != 0) {
            const kv_slice_t next = kvi_rb_key(kvi_rb_node(tree_of(fixture), at));
            kvi_bytes_copy(fixture->key, next.data, next.size);
            const kv_slice_t key = {fixture->key, next.size};
            if (draw(fixture, 2) == 0) {
                delete_both(fixture, key);
            } else {
                put_both(fixture, key, any_value(fixture));
            }
        }
        if (i % 50 == 0) {
            assert_sound(fixture);
        }
    }
    compare_all(fixture);
    end(fixture);
}

/* ---- samples ---- */

static void count_samples(fixture_t *fixture, uint32_t *met, uint64_t samples)
{
    for (uint64_t i = 0; i < samples; i++) {
        kv_slice_t key;
        kv_slice_t value;
        uint32_t number;
        const uint64_t random = test_random(&fixture->random);
        assert_int_equal(fixture->ops->sample(fixture->engine, random, &key, &value), KV_OK);
        memcpy(&number, value.data, sizeof number);
        met[number]++;
    }
}

/* Keys put in order make the most uneven tree. 100 samples of each are expected, and 10 is the
 * standard deviation; but the latest of them, and the lowest of any tree, may get less. */
static void samples_of_ordered_keys(int order)
{
    enum { COUNT = 3000, FEW = COUNT / 50 };
    static uint32_t met[COUNT];
    fixture_t *const fixture = begin("rbtree");
    memset(met, 0, sizeof met);
    for (uint32_t i = 0; i < COUNT; i++) {
        const kv_slice_t key = decimal_key(in_order(i, COUNT, order), fixture->key);
        const kv_slice_t value = {(const char *)&i, sizeof i};
        assert_int_equal(fixture->ops->put(fixture->engine, key, value), KV_OK);
    }
    count_samples(fixture, met, (uint64_t)COUNT * 100);
    size_t few = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_in_range(met[i], 0, 200);
        few += met[i] < 40;
    }
    assert_in_range(few, 0, FEW);
    end(fixture);
}

static void samples_are_even_in_any_order(void **state)
{
    (void)state;
    for (int order = 0; order < 3; order++) {
        samples_of_ordered_keys(order);
    }
}

static void one_entry_is_every_sample(void **state)
{
    (void)state;
    fixture_t *const fixture = begin("rbtree");
    const uint32_t only = 0;
    uint32_t met = 0;
    put_both(fixture, (kv_slice_t){"only", 4}, (kv_slice_t){(const char *)&only, sizeof only});
    count_samples(fixture, &met, 1000);
    assert_int_equal(met, 1000);
    end(fixture);
}

/* ---- sizes ---- */

/* Keys around the longest short one and values around the longest inline one, each in the place of
 * each. */
static void sizes_at_every_limit(void **state)
{
    (void)state;
    static const size_t key_sizes[] = {0,    1,    7,     8,     9,     16, 8190,
                                       8191, 8192, 65535, 65536, 70000, 15, 17};
    static const size_t value_sizes[] = {0, 511, 512, 513, 514, 5000, 1};
    fixture_t *const fixture = begin("rbtree");
    for (size_t round = 0; round < 3; round++) {
        for (size_t k = 0; k < sizeof key_sizes / sizeof key_sizes[0]; k++) {
            for (size_t v = 0; v < sizeof value_sizes / sizeof value_sizes[0]; v++) {
                memset(fixture->key, 'k', key_sizes[k]);
                model_fill(fixture->value, value_sizes[v], k * 100 + v);
                put_both(fixture, (kv_slice_t){fixture->key, key_sizes[k]},
                         (kv_slice_t){fixture->value, value_sizes[v]});
                assert_sound(fixture);
            }
        }
        compare_all(fixture);
    }
    end(fixture);
}

/* Sixteen and thirty-two bytes are one line of 64. */
static void nodes_are_small(void **state)
{
    (void)state;
    assert_int_equal(kvi_rb_node_bytes(16, 32), 60);
    assert_int_equal(kvi_rb_node_bytes(0, 0), 20);
    assert_int_equal(kvi_rb_node_bytes(16, 513), 44);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_leaves_a_sound_tree),
        cmocka_unit_test(any_order_makes_a_balanced_tree),
        cmocka_unit_test(scans_survive_writes),
        cmocka_unit_test(ways_are_short),
        cmocka_unit_test(walks_go_both_ways),
        cmocka_unit_test(cursors_go_on_between_writes),
        cmocka_unit_test(relocation_goes_on_after_writes),
        cmocka_unit_test(samples_are_even_in_any_order),
        cmocka_unit_test(one_entry_is_every_sample),
        cmocka_unit_test(sizes_at_every_limit),
        cmocka_unit_test(nodes_are_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
