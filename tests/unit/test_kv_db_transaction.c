/* SPDX-License-Identifier: MIT */
/*
 * Transactions of kv_db.h against a simple model: every kind of change, savepoints, going back,
 * reads and walks that see the transaction's own changes, commits and conflicts.
 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include <concordkv/kv_db.h>

#include "base/random.h"

#define KEYS 60U
#define BYTES 400U /* most of a value */
#define SAVEPOINTS 4U
#define ROUNDS 60
#define CHANGES 60U

static int64_t clock_ms;

static int64_t test_clock(void *context)
{
    (void)context;
    return clock_ms;
}

typedef struct model {
    bool there[KEYS];
    size_t sizes[KEYS];
    char values[KEYS][BYTES];
    int64_t deadlines[KEYS];
} model_t;

typedef struct fixture {
    kv_db_t *db;
    kv_keyspace_t *space;
    kv_transaction_t *transaction;
    kv_value_t value;
    kvi_random_t random;
} fixture_t;

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

static kv_slice_t key_of(uint32_t number, char text[16])
{
    (void)snprintf(text, 16, "k%03u", number);
    return slice(text);
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
    kv_value_free(&f->value);
    kv_keyspace_close(f->space);
    assert_int_equal(kv_db_close(f->db), KV_OK);
}

/* ---- changes, in the transaction and in the model ---- */

static void set_model(model_t *model, uint32_t key, kv_slice_t value, int64_t deadline_ms)
{
    assert_true(value.size <= BYTES);
    memcpy(model->values[key], value.data, value.size);
    model->sizes[key] = value.size;
    model->deadlines[key] = deadline_ms;
    model->there[key] = true;
}

static void put_one(fixture_t *f, model_t *model, uint32_t key)
{
    char text[16];
    char name[16];
    const int64_t ttl_ms = kvi_random_below(&f->random, 3) == 0 ? 1000000 : 0;
    (void)snprintf(text, sizeof(text), "%u", kvi_random_below(&f->random, 1000));
    assert_int_equal(
        kv_transaction_put(f->transaction, f->space, key_of(key, name), slice(text), ttl_ms),
        KV_OK);
    set_model(model, key, slice(text), ttl_ms > 0 ? clock_ms + ttl_ms : KV_NO_DEADLINE);
}

static void append_one(fixture_t *f, model_t *model, uint32_t key)
{
    char name[16];
    size_t size;
    const size_t before = model->there[key] ? model->sizes[key] : 0;
    const kv_slice_t tail = {"xyzabcdefg", kvi_random_below(&f->random, 11)};
    if (before + tail.size > BYTES) {
        return;
    }
    assert_int_equal(
        kv_transaction_append(f->transaction, f->space, key_of(key, name), tail, &size), KV_OK);
    assert_int_equal(size, before + tail.size);
    memcpy(model->values[key] + before, tail.data, tail.size);
    model->sizes[key] = size;
    model->deadlines[key] = model->there[key] ? model->deadlines[key] : KV_NO_DEADLINE;
    model->there[key] = true;
}

static void add_one(fixture_t *f, model_t *model, uint32_t key)
{
    char name[16];
    char text[BYTES + 1] = "";
    char *end = text;
    int64_t sum;
    if (model->there[key]) {
        memcpy(text, model->values[key], model->sizes[key]);
    }
    const long long number = strtoll(text, &end, 10);
    const bool good = !model->there[key] || (model->sizes[key] > 0 && *end == '\0');
    const kv_status_t status =
        kv_transaction_add(f->transaction, f->space, key_of(key, name), 7, &sum);
    assert_int_equal(status, good ? KV_OK : KV_NOT_NUMBER);
    if (good) {
        assert_true(sum == number + 7);
        (void)snprintf(text, sizeof(text), "%lld", number + 7);
        set_model(model, key, slice(text),
                  model->there[key] ? model->deadlines[key] : KV_NO_DEADLINE);
    }
}

static void change_one(fixture_t *f, model_t *model)
{
    char name[16];
    const uint32_t key = kvi_random_below(&f->random, KEYS);
    switch (kvi_random_below(&f->random, 6)) {
    case 0:
        assert_int_equal(kv_transaction_delete(f->transaction, f->space, key_of(key, name)), KV_OK);
        model->there[key] = false;
        break;
    case 1:
    case 2:
        put_one(f, model, key);
        break;
    case 3:
        add_one(f, model, key);
        break;
    default:
        append_one(f, model, key);
    }
}

/* ---- what is seen ---- */

static void assert_entry(const model_t *model, uint32_t key, kv_slice_t value, int64_t deadline_ms)
{
    assert_true(model->there[key]);
    assert_int_equal(value.size, model->sizes[key]);
    assert_memory_equal(value.data, model->values[key], value.size);
    assert_true(deadline_ms == model->deadlines[key]);
}

static void assert_gets(fixture_t *f, const model_t *model)
{
    for (uint32_t key = 0; key < KEYS; key++) {
        char name[16];
        const kv_slice_t bytes = key_of(key, name);
        const kv_status_t status =
            f->transaction != NULL ? kv_transaction_get(f->transaction, f->space, bytes, &f->value)
                                   : kv_keyspace_get(f->space, bytes, &f->value);
        assert_int_equal(status, model->there[key] ? KV_OK : KV_NOT_FOUND);
        if (status == KV_OK) {
            assert_entry(model, key, (kv_slice_t){f->value.data, f->value.size},
                         f->value.deadline_ms);
        }
    }
}

/* Keys of [10, 50) one way or the other, changes made behind the place included. */
static void assert_walk(fixture_t *f, model_t *model, bool reverse)
{
    const kv_iterator_options_t options = {
        .range = {{KV_BOUND_INCLUDED, slice("k010")}, {KV_BOUND_EXCLUDED, slice("k050")}},
        .prefix = slice("k"),
        .reverse = reverse,
        .transaction = f->transaction};
    kv_iterator_t *iterator;
    assert_int_equal(kv_iterator_open(f->space, &options, &iterator), KV_OK);
    for (int i = 0; i < 40; i++) {
        const uint32_t key = (uint32_t)(reverse ? 49 - i : 10 + i);
        char name[16];
        if (!model->there[key]) {
            continue;
        }
        assert_true(kv_iterator_valid(iterator));
        const kv_slice_t found = kv_iterator_key(iterator);
        assert_int_equal(found.size, 4);
        assert_memory_equal(found.data, key_of(key, name).data, 4);
        assert_entry(model, key, kv_iterator_value(iterator), kv_iterator_deadline(iterator));
        assert_int_equal(kv_iterator_next(iterator), KV_OK);
    }
    assert_false(kv_iterator_valid(iterator));
    kv_iterator_close(iterator);
}

static void assert_seen(fixture_t *f, model_t *model, bool ordered)
{
    assert_gets(f, model);
    if (ordered) {
        assert_walk(f, model, false);
        assert_walk(f, model, true);
    }
}

/* ---- whole transactions ---- */

static void run_transaction(fixture_t *f, model_t *model, bool ordered)
{
    static model_t saved[SAVEPOINTS];
    uint32_t numbers[SAVEPOINTS];
    uint32_t depth = 0;
    model_t *const before = &saved[SAVEPOINTS - 1];
    static model_t now;
    now = *model;
    assert_int_equal(kv_transaction_begin(f->db, &f->transaction), KV_OK);
    for (uint32_t i = kvi_random_below(&f->random, CHANGES); i > 0; i--) {
        change_one(f, &now);
        const uint32_t what = kvi_random_below(&f->random, 10);
        if (what == 0 && depth < SAVEPOINTS - 1) {
            assert_int_equal(kv_transaction_savepoint(f->transaction, &numbers[depth]), KV_OK);
            saved[depth++] = now;
        } else if (what == 1 && depth > 0) {
            depth = 1 + kvi_random_below(&f->random, depth);
            assert_int_equal(kv_transaction_rollback_to(f->transaction, numbers[depth - 1]), KV_OK);
            now = saved[depth - 1];
        }
    }
    assert_seen(f, &now, ordered);
    *before = *model;
    if (kvi_random_below(&f->random, 4) == 0) {
        kv_transaction_rollback(f->transaction);
        now = *before;
    } else {
        assert_int_equal(kv_transaction_commit(f->transaction), KV_OK);
    }
    f->transaction = NULL;
    *model = now;
    assert_seen(f, model, ordered);
}

static void transactions_do_what_the_model_does(void **state)
{
    (void)state;
    static model_t model;
    const uint64_t seed = test_seed();
    for (size_t i = 0; kv_engine_at(i) != NULL; i++) {
        fixture_t f;
        memset(&model, 0, sizeof(model));
        open_fixture(&f, kv_engine_at(i)->name, seed + i);
        for (int round = 0; round < ROUNDS; round++) {
            run_transaction(&f, &model, kv_engine_at(i)->ordered);
        }
        close_fixture(&f);
    }
}

/* ---- single cases ---- */

static void what_goes_on_from_an_entry_guards_it(void **state)
{
    (void)state;
    fixture_t f;
    int64_t sum;
    size_t size;
    open_fixture(&f, "hash", 1);
    assert_int_equal(kv_keyspace_put(f.space, slice("n"), slice("1"), NULL), KV_OK);
    assert_int_equal(kv_transaction_begin(f.db, &f.transaction), KV_OK);
    assert_int_equal(kv_transaction_add(f.transaction, f.space, slice("n"), 1, &sum), KV_OK);
    assert_true(sum == 2);
    assert_int_equal(kv_keyspace_add(f.space, slice("n"), 5, &sum), KV_OK);
    assert_int_equal(kv_transaction_commit(f.transaction), KV_CONFLICT);
    assert_int_equal(kv_transaction_begin(f.db, &f.transaction), KV_OK);
    assert_int_equal(kv_transaction_append(f.transaction, f.space, slice("new"), slice("a"), &size),
                     KV_OK);
    assert_int_equal(kv_keyspace_put(f.space, slice("new"), slice("b"), NULL), KV_OK);
    assert_int_equal(kv_transaction_commit(f.transaction), KV_CONFLICT);
    close_fixture(&f);
}

/* The same bytes, form and deadline as the keyspace's own calls make: versions tell. */
static void values_are_those_of_the_keyspaces_calls(void **state)
{
    (void)state;
    fixture_t f;
    kv_value_t other = {0};
    const kv_put_options_t timed = {.ttl_ms = 5000};
    const kv_slice_t keys[] = {slice("a"), slice("b")};
    int64_t sum;
    open_fixture(&f, "bptree", 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kv_keyspace_put(f.space, keys[i], slice("10"), &timed), KV_OK);
    }
    assert_int_equal(kv_keyspace_append(f.space, keys[0], slice("5"), NULL), KV_OK);
    assert_int_equal(kv_transaction_begin(f.db, &f.transaction), KV_OK);
    assert_int_equal(kv_transaction_append(f.transaction, f.space, keys[1], slice("5"), NULL),
                     KV_OK);
    assert_int_equal(kv_transaction_commit(f.transaction), KV_OK);
    assert_int_equal(kv_keyspace_get(f.space, keys[0], &other), KV_OK);
    assert_int_equal(kv_keyspace_get(f.space, keys[1], &f.value), KV_OK);
    assert_true(f.value.version == other.version);
    assert_int_equal(kv_keyspace_add(f.space, keys[0], 1, &sum), KV_OK);
    assert_int_equal(kv_transaction_begin(f.db, &f.transaction), KV_OK);
    assert_int_equal(kv_transaction_add(f.transaction, f.space, keys[1], 1, &sum), KV_OK);
    assert_true(sum == 106);
    assert_int_equal(kv_transaction_add(f.transaction, f.space, keys[1], INT64_MAX, &sum),
                     KV_OVERFLOW);
    assert_int_equal(kv_transaction_commit(f.transaction), KV_OK);
    assert_int_equal(kv_keyspace_get(f.space, keys[0], &other), KV_OK);
    assert_int_equal(kv_keyspace_get(f.space, keys[1], &f.value), KV_OK);
    assert_true(f.value.version == other.version);
    kv_value_free(&other);
    close_fixture(&f);
}

static void wrong_uses_are_refused(void **state)
{
    (void)state;
    fixture_t f;
    fixture_t g;
    int64_t sum;
    kv_snapshot_t *snapshot;
    kv_iterator_t *iterator;
    open_fixture(&f, "bptree", 1);
    open_fixture(&g, "hash", 1);
    assert_int_equal(kv_transaction_begin(f.db, &f.transaction), KV_OK);
    assert_int_equal(kv_transaction_begin(g.db, &g.transaction), KV_OK);
    assert_int_equal(kv_transaction_append(NULL, f.space, slice("a"), slice("b"), NULL),
                     KV_INVALID);
    assert_int_equal(kv_transaction_append(f.transaction, g.space, slice("a"), slice("b"), NULL),
                     KV_INVALID);
    assert_int_equal(kv_transaction_add(f.transaction, NULL, slice("a"), 1, &sum), KV_INVALID);
    assert_int_equal(kv_transaction_add(f.transaction, f.space, slice("a"), 1, NULL), KV_INVALID);
    kv_iterator_options_t options = {.transaction = g.transaction};
    assert_int_equal(kv_iterator_open(f.space, &options, &iterator), KV_INVALID);
    assert_int_equal(kv_iterator_open(g.space, &options, &iterator), KV_UNSUPPORTED);
    assert_int_equal(kv_snapshot_take(f.db, &snapshot), KV_OK);
    options = (kv_iterator_options_t){.transaction = f.transaction, .snapshot = snapshot};
    assert_int_equal(kv_iterator_open(f.space, &options, &iterator), KV_INVALID);
    kv_snapshot_release(snapshot);
    kv_transaction_rollback(f.transaction);
    kv_transaction_rollback(g.transaction);
    close_fixture(&f);
    close_fixture(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transactions_do_what_the_model_does),
        cmocka_unit_test(what_goes_on_from_an_entry_guards_it),
        cmocka_unit_test(values_are_those_of_the_keyspaces_calls),
        cmocka_unit_test(wrong_uses_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
