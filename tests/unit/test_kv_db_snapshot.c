/* SPDX-License-Identifier: MIT */
/*
 * Walks over snapshots on every engine, compared with a simple model, while entries are written,
 * deleted, put back, moved and dropped: each key of that moment is met once, with its value of
 * then, and no other.
 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include <concordkv/kv_db.h>

#include "base/random.h"

#define KEYS 1500U
#define WALKS 4U

static int64_t clock_ms;

static int64_t test_clock(void *context)
{
    (void)context;
    return clock_ms;
}

typedef struct fixture {
    kv_db_t *db;
    kv_keyspace_t *space;
    kvi_random_t random;
    uint32_t values[KEYS]; /* 0: absent */
    uint32_t next_value;
} fixture_t;

/* A walk and the moment it goes over. */
typedef struct walk {
    kv_snapshot_t *snapshot;
    kv_iterator_t *iterator;
    uint32_t values[KEYS];
    bool seen[KEYS];
} walk_t;

static kv_slice_t text_of(uint32_t number, char text[16])
{
    (void)snprintf(text, 16, "%u", number);
    return (kv_slice_t){text, strlen(text)};
}

static uint32_t number_of(kv_slice_t text)
{
    char copy[16] = {0};
    assert_true(text.size < sizeof(copy));
    memcpy(copy, text.data, text.size);
    return (uint32_t)strtoul(copy, NULL, 10);
}

static void open_fixture(fixture_t *f, const char *engine, uint64_t seed)
{
    const kv_db_options_t options = {.engine = engine, .clock = test_clock};
    clock_ms = INT64_C(1700000000000);
    *f = (fixture_t){.random = {seed}};
    assert_int_equal(kv_db_open(NULL, &options, &f->db), KV_OK);
    assert_int_equal(kv_keyspace_open(f->db, "0", &f->space), KV_OK);
}

static void close_fixture(fixture_t *f)
{
    kv_keyspace_close(f->space);
    assert_int_equal(kv_db_close(f->db), KV_OK);
}

static void change_one(fixture_t *f, uint32_t deletes_of_10)
{
    char key_text[16];
    char value_text[16];
    const uint32_t key = kvi_random_below(&f->random, KEYS);
    const kv_slice_t name = text_of(key, key_text);
    if (kvi_random_below(&f->random, 10) < deletes_of_10) {
        const kv_status_t status = kv_keyspace_delete(f->space, name);
        assert_int_equal(status, f->values[key] != 0 ? KV_OK : KV_NOT_FOUND);
        f->values[key] = 0;
        return;
    }
    /* Some live for a moment only. */
    const kv_put_options_t timed = {.ttl_ms = kvi_random_below(&f->random, 8) == 0 ? 5 : 0};
    f->values[key] = ++f->next_value;
    assert_int_equal(kv_keyspace_put(f->space, name, text_of(f->values[key], value_text), &timed),
                     KV_OK);
    if (timed.ttl_ms > 0) {
        clock_ms += 10;
        f->values[key] = 0;
    }
}

static void change_some(fixture_t *f, uint32_t count, uint32_t deletes_of_10)
{
    for (uint32_t i = kvi_random_below(&f->random, count + 1); i > 0; i--) {
        change_one(f, deletes_of_10);
    }
    if (kvi_random_below(&f->random, 50) == 0) {
        (void)kv_db_maintain(f->db, 50);
    }
    if (kvi_random_below(&f->random, 4000) == 0) {
        assert_int_equal(kv_keyspace_clear(f->space), KV_OK);
        memset(f->values, 0, sizeof(f->values));
    }
}

static void begin_walk(fixture_t *f, walk_t *walk)
{
    assert_int_equal(kv_snapshot_take(f->db, &walk->snapshot), KV_OK);
    memcpy(walk->values, f->values, sizeof(walk->values));
    memset(walk->seen, 0, sizeof(walk->seen));
    change_some(f, 200, 5);
    const kv_iterator_options_t options = {.snapshot = walk->snapshot};
    assert_int_equal(kv_iterator_open(f->space, &options, &walk->iterator), KV_OK);
}

static void end_walk(walk_t *walk)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        assert_int_equal(walk->seen[i], walk->values[i] != 0);
    }
    kv_iterator_close(walk->iterator);
    kv_snapshot_release(walk->snapshot);
}

/* False: the walk is over. */
static bool step_walk(walk_t *walk)
{
    if (!kv_iterator_valid(walk->iterator)) {
        return false;
    }
    const uint32_t key = number_of(kv_iterator_key(walk->iterator));
    assert_true(key < KEYS);
    assert_false(walk->seen[key]);
    assert_int_equal(number_of(kv_iterator_value(walk->iterator)), walk->values[key]);
    walk->seen[key] = true;
    assert_int_equal(kv_iterator_next(walk->iterator), KV_OK);
    return true;
}

/* Several walks over different moments, side by side. */
static void run_walks(const char *engine, uint64_t seed, uint32_t changes, uint32_t deletes_of_10)
{
    fixture_t f;
    static walk_t walks[WALKS];
    open_fixture(&f, engine, seed);
    change_some(&f, 4 * KEYS, 2);
    for (uint32_t i = 0; i < WALKS; i++) {
        begin_walk(&f, &walks[i]);
    }
    bool more = true;
    while (more) {
        more = false;
        for (uint32_t i = 0; i < WALKS; i++) {
            more = step_walk(&walks[i]) || more;
            change_some(&f, changes, deletes_of_10);
        }
    }
    for (uint32_t i = 0; i < WALKS; i++) {
        end_walk(&walks[i]);
    }
    close_fixture(&f);
}

static void walks_see_their_moment(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    for (size_t i = 0; kv_engine_at(i) != NULL; i++) {
        run_walks(kv_engine_at(i)->name, seed, 3, 5);
        run_walks(kv_engine_at(i)->name, seed + 1, 6, 9); /* hardly anything is left */
        run_walks(kv_engine_at(i)->name, seed + 2, 0, 0);
    }
}

/* All of it is in the side table, or nothing is in the snapshot. */
static void what_is_gone_is_met(void **state)
{
    (void)state;
    for (size_t i = 0; kv_engine_at(i) != NULL; i++) {
        fixture_t f;
        static walk_t walk;
        open_fixture(&f, kv_engine_at(i)->name, 1);
        begin_walk(&f, &walk); /* of an empty keyspace */
        assert_false(kv_iterator_valid(walk.iterator));
        end_walk(&walk);
        change_some(&f, 8 * KEYS, 0);
        begin_walk(&f, &walk);
        for (uint32_t key = 0; key < KEYS; key++) {
            char text[16];
            (void)kv_keyspace_delete(f.space, text_of(key, text));
            f.values[key] = 0;
        }
        while (step_walk(&walk)) {
        }
        end_walk(&walk);
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_see_their_moment),
        cmocka_unit_test(what_is_gone_is_met),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
