/* SPDX-License-Identifier: MIT */
/*
 * The B+tree engine beyond what all engines do (tests/engine/conformance.c): its invariants after
 * every step on small pages and hard keys, ranks and ranges, the sorted load, walks under changes.
 */
#include "../engine/bptree_fixture.h"

#define LARGE_BYTES MODEL_KEY_BYTES_MAX

/* ---- shapes ---- */

static void random_script(family_fn family, uint64_t keys, uint32_t leaf_max, uint32_t inner_max)
{
    fixture_t *const fixture = begin(leaf_max, inner_max);
    for (int i = 0; i < 900; i++) {
        const uint64_t deletes = i / 300 % 2 == 0 ? 25 : 75;
        const kv_slice_t key = family(draw(fixture, keys), fixture->key);
        if (draw(fixture, 100) < deletes) {
            delete_both(fixture, key);
        } else {
            put_both(fixture, key, any_value(fixture));
        }
        assert_sound(fixture);
    }
    compare_all(fixture);
    end(fixture);
}

static void every_step_leaves_a_sound_tree(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAMILIES; i++) {
        random_script(families[i], 200, 2, 4);
        random_script(families[i], 300, 5, 4);
        random_script(families[i], 2000, LEAF_ENTRIES_MAX, INNER_CHILDREN_MAX);
    }
}

/* The number-th of count in ascending, descending or scattered order. */
static uint64_t in_order(uint64_t number, uint64_t count, int order)
{
    return order == 0 ? number : order == 1 ? count - 1 - number : number * 7919 % count;
}

static void build_and_raze(int build, int raze, uint32_t leaf_max, uint64_t count)
{
    fixture_t *const fixture = begin(leaf_max, 4);
    for (uint64_t i = 0; i < count; i++) {
        const kv_slice_t key = decimal_key(in_order(i, count, build), fixture->key);
        put_both(fixture, key, (kv_slice_t){key.data, i % 16});
        assert_sound(fixture);
    }
    compare_all(fixture);
    for (uint64_t i = 0; i < count; i++) {
        delete_both(fixture, decimal_key(in_order(i, count, raze), fixture->key));
        assert_sound(fixture);
    }
    assert_int_equal(fixture->tree->root, 0);
    end(fixture);
}

static void any_order_builds_and_razes(void **state)
{
    (void)state;
    for (int build = 0; build < 3; build++) {
        for (int raze = 0; raze < 3; raze++) {
            build_and_raze(build, raze, 3, 150);
        }
        build_and_raze(build, build, LEAF_ENTRIES_MAX, 400);
    }
}

static void pages_of_full_size_work(void **state)
{
    (void)state;
    fixture_t *const fixture = begin(LEAF_ENTRIES_MAX, INNER_CHILDREN_MAX);
    for (int i = 0; i < 60000; i++) {
        const family_fn family = families[draw(fixture, FAMILIES)];
        const kv_slice_t key = family(draw(fixture, 4000), fixture->key);
        if (draw(fixture, 100) < (i / 10000 % 2 == 0 ? 20u : 70u)) {
            delete_both(fixture, key);
        } else {
            put_both(fixture, key, any_value(fixture));
        }
        if (i % 500 == 0) {
            assert_sound(fixture);
        }
    }
    compare_all(fixture);
    end(fixture);
}

static void many_entries_make_inner_levels(void **state)
{
    (void)state;
    fixture_t *const fixture = begin(LEAF_ENTRIES_MAX, INNER_CHILDREN_MAX);
    const kv_engine_ops_t *const ops = fixture->engine->ops;
    enum { COUNT = 200000 };
    char buffer[32];
    for (uint64_t i = 0; i < COUNT; i++) {
        const kv_slice_t key = decimal_key(i * 7919 % COUNT, buffer);
        assert_int_equal(ops->put(fixture->engine, key, key), KV_OK);
    }
    assert_int_equal(kvi_bptree_check(fixture->engine), KV_OK);
    assert_true(fixture->tree->height >= 2);
    for (uint64_t i = 0; i < COUNT; i++) {
        if (i % 10 != 0) {
            assert_int_equal(ops->del(fixture->engine, decimal_key(i, buffer)), KV_OK);
        }
    }
    assert_int_equal(kvi_bptree_check(fixture->engine), KV_OK);
    for (uint64_t i = 0; i < COUNT; i++) {
        kv_slice_t value;
        const kv_slice_t key = decimal_key(i, buffer);
        assert_int_equal(ops->get(fixture->engine, key, &value),
                         i % 10 == 0 ? KV_OK : KV_NOT_FOUND);
    }
    end(fixture);
}

/* ---- ranks and ranges ---- */

static void compare_ranks(fixture_t *fixture, family_fn family, uint64_t keys)
{
    const kv_slice_t key = family(draw(fixture, keys), fixture->key);
    assert_int_equal(kvi_bptree_ordered.rank(fixture->engine, key),
                     model_place(&fixture->model, key));
    kv_slice_t found;
    kv_slice_t value;
    const uint64_t number = draw(fixture, fixture->model.count + 2);
    const kv_status_t status = kvi_bptree_ordered.key_at(fixture->engine, number, &found, &value);
    if (number >= fixture->model.count) {
        assert_int_equal(status, KV_NOT_FOUND);
    } else {
        assert_int_equal(status, KV_OK);
        assert_entry(found, value, &fixture->model.entries[number]);
    }
}

static void delete_model_range(model_t *model, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        const model_entry_t *const entry = &model->entries[from];
        assert_true(model_delete(model, (kv_slice_t){entry->key, entry->key_bytes}));
    }
}

static void range_script(family_fn family, uint32_t leaf_max, uint32_t inner_max, int steps)
{
    fixture_t *const fixture = begin(leaf_max, inner_max);
    const uint64_t keys = 400;
    char *const bounds = malloc(2 * (size_t)LARGE_BYTES);
    assert_non_null(bounds);
    for (int i = 0; i < steps; i++) {
        put_both(fixture, family(draw(fixture, keys), fixture->key), any_value(fixture));
        compare_ranks(fixture, family, keys);
        const kv_range_t range = any_range(fixture, family, keys, bounds, bounds + LARGE_BYTES);
        const size_t from = model_cut(&fixture->model, &range.lower, false);
        const size_t to = model_cut(&fixture->model, &range.upper, true);
        const size_t expected = to > from ? to - from : 0;
        assert_int_equal(kvi_bptree_ordered.count_range(fixture->engine, &range), expected);
        if (i % 50 == 49 || (expected > 0 && expected < 3)) {
            assert_int_equal(kvi_bptree_ordered.delete_range(fixture->engine, &range), expected);
            delete_model_range(&fixture->model, from, from + expected);
        }
        assert_sound(fixture);
    }
    compare_all(fixture);
    free(bounds);
    end(fixture);
}

static void ranks_and_ranges_agree_with_the_model(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAMILIES; i++) {
        range_script(families[i], 3, 4, 500);
        range_script(families[i], LEAF_ENTRIES_MAX, INNER_CHILDREN_MAX, 300);
    }
}

/* ---- the sorted load ---- */

typedef struct feed {
    const model_t *model;
    size_t next;
    size_t repeat; /* this one comes twice */
} feed_t;

static bool next_entry(void *context, kv_slice_t *key, kv_slice_t *value)
{
    feed_t *const feed = context;
    if (feed->next == feed->model->count) {
        return false;
    }
    const model_entry_t *const entry = &feed->model->entries[feed->next];
    *key = (kv_slice_t){entry->key, entry->key_bytes};
    *value = (kv_slice_t){entry->value, entry->value_bytes};
    if (feed->next == feed->repeat) {
        feed->repeat = SIZE_MAX;
    } else {
        feed->next++;
    }
    return true;
}

static void load_family(family_fn family, uint64_t keys, uint32_t leaf_max, uint32_t inner_max)
{
    fixture_t *const fixture = begin(leaf_max, inner_max);
    for (uint64_t i = 0; i < keys; i++) {
        model_put(&fixture->model, family(draw(fixture, keys), fixture->key), any_value(fixture));
    }
    feed_t unsorted = {&fixture->model, 0, draw(fixture, fixture->model.count)};
    assert_int_equal(kvi_bptree_ordered.load(fixture->engine, next_entry, &unsorted), KV_INVALID);
    assert_int_equal(fixture->tree->count, 0);
    assert_int_equal(kvi_bptree_check(fixture->engine), KV_OK);
    feed_t sorted = {&fixture->model, 0, SIZE_MAX};
    assert_int_equal(kvi_bptree_ordered.load(fixture->engine, next_entry, &sorted), KV_OK);
    compare_all(fixture);
    feed_t again = {&fixture->model, 0, SIZE_MAX};
    assert_int_equal(kvi_bptree_ordered.load(fixture->engine, next_entry, &again), KV_INVALID);
    for (int i = 0; i < 200; i++) {
        put_both(fixture, family(draw(fixture, keys), fixture->key), any_value(fixture));
        delete_both(fixture, family(draw(fixture, keys), fixture->key));
    }
    compare_all(fixture);
    end(fixture);
}

static void a_sorted_load_is_the_same_tree(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAMILIES; i++) {
        load_family(families[i], 1, 3, 4);
        load_family(families[i], 300, 3, 4);
        load_family(families[i], 2000, LEAF_ENTRIES_MAX, INNER_CHILDREN_MAX);
    }
}

/* ---- cursors ---- */

/* Keys whose rests are 0 to 60 bytes and sometimes apart, values of 0 to 40 and sometimes apart:
 * records at the very end of a page, and longer than a cursor copies at once. */
static void put_every_size(fixture_t *fixture, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t number = i * 7919 % count; /* 7919 is prime */
        const size_t key_bytes = number % 29 == 28 ? 300 : 2 + number % 64;
        const size_t value_bytes = number % 23 == 22 ? 200 : number % 41;
        model_fill(fixture->key, key_bytes, number);
        model_fill(fixture->value, value_bytes, number + 1);
        fixture->key[0] = (char)(number >> 8);
        fixture->key[1] = (char)number;
        put_both(fixture, (kv_slice_t){fixture->key, key_bytes},
                 (kv_slice_t){fixture->value, value_bytes});
    }
}

/* Three steps forwards, one back, to the end; with a change of the tree now and then, which moves
 * no entry of the model. */
static void cursors_step_over_every_size(void **state)
{
    (void)state;
    fixture_t *const fixture = begin(LEAF_ENTRIES_MAX, INNER_CHILDREN_MAX);
    const kv_engine_ops_t *const ops = fixture->engine->ops;
    const model_t *const model = &fixture->model;
    kv_cursor_t *cursor = NULL;
    put_every_size(fixture, 2500);
    compare_all(fixture);
    assert_int_equal(ops->cursor_open(fixture->engine, &cursor), KV_OK);
    kv_status_t status = ops->cursor_first(cursor);
    size_t place = 0;
    for (size_t i = 1; place < model->count; i++) {
        const model_entry_t *const entry = &model->entries[place];
        assert_int_equal(status, KV_OK);
        assert_entry(ops->cursor_key(cursor), ops->cursor_value(cursor), entry);
        if (i % 97 == 0) {
            const kv_slice_t key = {entry->key, entry->key_bytes};
            const kv_slice_t value = {entry->value, entry->value_bytes};
            assert_int_equal(ops->put(fixture->engine, key, value), KV_OK);
            assert_entry(ops->cursor_key(cursor), ops->cursor_value(cursor), entry);
        }
        const bool back = i % 4 == 3;
        status = back ? ops->cursor_prev(cursor) : ops->cursor_next(cursor);
        place += back ? SIZE_MAX : 1;
    }
    assert_int_equal(status, KV_NOT_FOUND);
    assert_false(ops->cursor_valid(cursor));
    assert_int_equal(ops->cursor_next(cursor), KV_NOT_FOUND);
    ops->cursor_close(cursor);
    end(fixture);
}

/* Where the cursor should be: at its key, or gone from it. */
static void move_and_compare(fixture_t *fixture, kv_cursor_t *cursor, family_fn family,
                             uint64_t keys)
{
    const kv_engine_ops_t *const ops = fixture->engine->ops;
    const model_t *const model = &fixture->model;
    const bool valid = ops->cursor_valid(cursor);
    const kv_slice_t own = ops->cursor_key(cursor);
    const size_t place = valid ? model_place(model, own) : 0;
    const bool there = valid && model_find(model, own) != NULL;
    size_t expected = SIZE_MAX;
    kv_status_t status = KV_NOT_FOUND;
    switch (draw(fixture, 5)) {
    case 0:
        status = ops->cursor_first(cursor);
        expected = 0;
        break;
    case 1:
        status = ops->cursor_last(cursor);
        expected = model->count - 1;
        break;
    case 2: {
        const kv_slice_t key = family(draw(fixture, keys), fixture->key);
        status = ops->cursor_seek(cursor, key);
        expected = model_place(model, key);
        break;
    }
    case 3:
        status = ops->cursor_next(cursor);
        expected = valid ? place + there : SIZE_MAX;
        break;
    default:
        status = ops->cursor_prev(cursor);
        expected = valid ? place - 1 : SIZE_MAX;
        break;
    }
    assert_int_equal(status, expected < model->count ? KV_OK : KV_NOT_FOUND);
    assert_int_equal(ops->cursor_valid(cursor), status == KV_OK);
    if (status == KV_OK) {
        assert_entry(ops->cursor_key(cursor), ops->cursor_value(cursor), &model->entries[expected]);
    }
}

static void cursors_survive_writes(void **state)
{
    (void)state;
    for (size_t f = 0; f < FAMILIES; f++) {
        fixture_t *const fixture = begin(4, 4);
        kv_cursor_t *cursor = NULL;
        assert_int_equal(fixture->engine->ops->cursor_open(fixture->engine, &cursor), KV_OK);
        for (int i = 0; i < 6000; i++) {
            const kv_slice_t key = families[f](draw(fixture, 120), fixture->key);
            const uint64_t kind = draw(fixture, 10);
            if (kind < 2) {
                put_both(fixture, key, any_value(fixture));
            } else if (kind < 4) {
                delete_both(fixture, key);
            }
            move_and_compare(fixture, cursor, families[f], 120);
        }
        assert_sound(fixture);
        fixture->engine->ops->cursor_close(cursor);
        end(fixture);
    }
}

/* ---- scans ---- */

static void mark(void *context, kv_slice_t key, kv_slice_t value)
{
    fixture_t *const fixture = context;
    model_entry_t *const entry = model_find(&fixture->model, key);
    assert_non_null(entry);
    assert_entry(key, value, entry);
    entry->mark++;
}

static kv_slice_t prefixed(const char *prefix, uint64_t number, char *buffer)
{
    return (kv_slice_t){buffer,
                        (size_t)sprintf(buffer, "%s%07llu", prefix, (unsigned long long)number)};
}

/* Fills with keys of one prefix, goes some calls into a walk, and returns its token. */
static uint64_t begin_walk(fixture_t *fixture, int calls, size_t count)
{
    uint64_t token = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        put_both(fixture, prefixed("user:profile:", i * 13, fixture->key), (kv_slice_t){"v", 1});
    }
    for (int i = 0; i < calls; i++) {
        size_t before = 0;
        size_t after = 0;
        for (size_t k = 0; k < fixture->model.count; k++) {
            before += fixture->model.entries[k].mark != 0;
        }
        token = kvi_bptree_scan(fixture->engine, token, count, mark, fixture);
        for (size_t k = 0; k < fixture->model.count; k++) {
            after += fixture->model.entries[k].mark != 0;
        }
        assert_true(token != 0 && token < UINT64_C(1) << 63);
        assert_in_range(after - before, count, count + 100); /* a place is up to 100 keys here */
    }
    return token;
}

static void end_walk(fixture_t *fixture, uint64_t token)
{
    for (int calls = 0; token != 0; calls++) {
        assert_true(calls < 10000);
        token = kvi_bptree_scan(fixture->engine, token, 10, mark, fixture);
    }
    for (size_t i = 0; i < fixture->model.count; i++) {
        const model_entry_t *const entry = &fixture->model.entries[i];
        const bool stayed = entry->key_bytes > 13 && memcmp(entry->key, "user:profile:", 13) == 0;
        assert_true(stayed ? entry->mark == 1 : entry->mark <= 1);
    }
}

static void a_walk_goes_on_among_new_prefixes(void **state)
{
    (void)state;
    fixture_t *const fixture = begin(LEAF_ENTRIES_MAX, INNER_CHILDREN_MAX);
    uint64_t token = begin_walk(fixture, 5, 20);
    put_both(fixture, (kv_slice_t){"", 0}, (kv_slice_t){"v", 1});
    put_both(fixture, (kv_slice_t){"zebra", 5}, (kv_slice_t){"v", 1});
    token = kvi_bptree_scan(fixture->engine, token, 10, mark, fixture);
    assert_int_not_equal(token, 0);
    for (uint64_t i = 0; i < 300; i++) {
        put_both(fixture, prefixed("admin:long:name:", i, fixture->key), (kv_slice_t){"v", 1});
        put_both(fixture,
                 prefixed("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", i,
                          fixture->key),
                 (kv_slice_t){"v", 1});
    }
    end_walk(fixture, token);
    end(fixture);
}

/* Prefixes whose hash in the token is the same: all of them are visited to the end. */
static void a_walk_goes_on_among_equal_hashes(void **state)
{
    (void)state;
    fixture_t *const fixture = begin(LEAF_ENTRIES_MAX, INNER_CHILDREN_MAX);
    const uint64_t token = begin_walk(fixture, 7, 15);
    for (uint64_t i = 0; i < 40000; i++) { /* 8,192 hashes */
        const kv_slice_t key = {fixture->key, (size_t)sprintf(fixture->key, "%017llu",
                                                              (unsigned long long)i * 1000003)};
        put_both(fixture, key, (kv_slice_t){"v", 1});
    }
    end_walk(fixture, token);
    end(fixture);
}

static void a_walk_ends_when_its_keys_are_gone(void **state)
{
    (void)state;
    fixture_t *const fixture = begin(LEAF_ENTRIES_MAX, INNER_CHILDREN_MAX);
    const uint64_t token = begin_walk(fixture, 2, 10);
    const kv_range_t all = {{0}, {0}};
    assert_int_equal(kvi_bptree_ordered.delete_range(fixture->engine, &all), 1000);
    assert_int_equal(kvi_bptree_scan(fixture->engine, token, 10, mark, fixture), 0);
    model_free(&fixture->model);
    put_both(fixture, (kv_slice_t){"other", 5}, (kv_slice_t){"v", 1});
    assert_int_equal(kvi_bptree_scan(fixture->engine, token, 10, mark, fixture), 0);
    assert_int_equal(kvi_bptree_scan(fixture->engine, UINT64_C(3) << 61, 10, mark, fixture), 0);
    end(fixture);
}

/* ---- memory ---- */

static void deleting_gives_memory_back(void **state)
{
    (void)state;
    fixture_t *const fixture = begin(LEAF_ENTRIES_MAX, INNER_CHILDREN_MAX);
    const kv_engine_ops_t *const ops = fixture->engine->ops;
    enum { COUNT = 100000 };
    char buffer[32];
    for (uint64_t i = 0; i < COUNT; i++) {
        const kv_slice_t key = decimal_key(i * 7919 % COUNT, buffer);
        assert_int_equal(ops->put(fixture->engine, key, (kv_slice_t){buffer, 32}), KV_OK);
    }
    const size_t full = kv_budget_used(fixture->budget);
    for (uint64_t i = 0; i < COUNT; i++) {
        if (draw(fixture, 2) == 0) {
            (void)ops->del(fixture->engine, decimal_key(i, buffer));
        }
    }
    while (ops->relocate(fixture->engine, 1000) == 1000) {
    }
    assert_int_equal(kvi_bptree_check(fixture->engine), KV_OK);
    assert_true(kv_budget_used(fixture->budget) < full * 7 / 10);
    end(fixture);
}

static void moving_pages_keeps_the_tree(void **state)
{
    (void)state;
    fixture_t *const fixture = begin(6, 5);
    for (int i = 0; i < 3000; i++) {
        put_both(fixture, model_key(draw(fixture, 3000), fixture->key), any_value(fixture));
    }
    for (int i = 0; i < 300; i++) {
        for (int k = 0; k < 8; k++) {
            delete_both(fixture, model_key(draw(fixture, 3000), fixture->key));
        }
        (void)fixture->engine->ops->relocate(fixture->engine, 1 + draw(fixture, 60));
        assert_sound(fixture);
    }
    compare_all(fixture);
    end(fixture);
}

/* ---- the check itself ---- */

static void assert_damage_is_seen(fixture_t *fixture, void *at, size_t bytes)
{
    unsigned char *const damaged = at;
    for (size_t i = 0; i < bytes; i++) {
        damaged[i] ^= 1;
        assert_int_equal(kvi_bptree_check(fixture->engine), KV_CORRUPT);
        damaged[i] ^= 1;
    }
    assert_int_equal(kvi_bptree_check(fixture->engine), KV_OK);
}

static void damage_is_seen(void **state)
{
    (void)state;
    fixture_t *const fixture = begin(4, 4);
    for (uint64_t i = 0; i < 100; i++) {
        put_both(fixture, decimal_key(i, fixture->key), (kv_slice_t){fixture->key, 4});
    }
    kvi_path_t path;
    kvi_bptree_descend_rank(fixture->tree, 50, &path);
    kvi_leaf_t *const leaf = path.leaf;
    kvi_inner_t *const node = path.at[0].node;
    assert_true(leaf->count > 1 && node->count > 1);
    assert_damage_is_seen(fixture, &fixture->tree->count, 1);
    assert_damage_is_seen(fixture, &fixture->tree->used_bytes, 1);
    assert_damage_is_seen(fixture, &fixture->tree->key_bytes, 1);
    assert_damage_is_seen(fixture, &fixture->tree->value_bytes, 1);
    assert_damage_is_seen(fixture, leaf->tags, leaf->count);
    assert_damage_is_seen(fixture, &leaf->garbage, 1);
    assert_damage_is_seen(fixture, &leaf->key_bytes, 1);
    assert_damage_is_seen(fixture, &leaf->value_bytes, 1);
    assert_damage_is_seen(fixture, &leaf->aparts, 1);
    assert_damage_is_seen(fixture, (char *)kvi_leaf_slots(leaf) + 4, 4); /* the first head */
    assert_damage_is_seen(fixture, &kvi_inner_children(node)[0].count, 1);
    assert_damage_is_seen(fixture, kvi_inner_heads(node), 4);
    assert_damage_is_seen(fixture, &node->level, 1);
    assert_damage_is_seen(fixture, node->prefix, node->prefix_bytes);
    end(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_leaves_a_sound_tree),
        cmocka_unit_test(any_order_builds_and_razes),
        cmocka_unit_test(pages_of_full_size_work),
        cmocka_unit_test(many_entries_make_inner_levels),
        cmocka_unit_test(ranks_and_ranges_agree_with_the_model),
        cmocka_unit_test(a_sorted_load_is_the_same_tree),
        cmocka_unit_test(cursors_step_over_every_size),
        cmocka_unit_test(cursors_survive_writes),
        cmocka_unit_test(a_walk_goes_on_among_new_prefixes),
        cmocka_unit_test(a_walk_goes_on_among_equal_hashes),
        cmocka_unit_test(a_walk_ends_when_its_keys_are_gone),
        cmocka_unit_test(deleting_gives_memory_back),
        cmocka_unit_test(moving_pages_keeps_the_tree),
        cmocka_unit_test(damage_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
