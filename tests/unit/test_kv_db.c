/* SPDX-License-Identifier: MIT */
/*
 * kv_db.h in memory: entries, conditions, keyspaces, iterators, batches, transactions, snapshots.
 * The clock is the test's.
 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include <concordkv/kv_db.h>

#include "base/random.h"
#include "embed/embed_int.h"

static int64_t clock_ms;

static int64_t test_clock(void *context)
{
    (void)context;
    return clock_ms;
}

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

typedef struct fixture {
    kv_db_t *db;
    kv_keyspace_t *space;
    kv_value_t value;
} fixture_t;

static fixture_t open_fixture(const char *engine)
{
    fixture_t f = {0};
    clock_ms = INT64_C(1700000000000);
    const kv_db_options_t options = {.engine = engine, .clock = test_clock};
    assert_int_equal(kv_db_open(NULL, &options, &f.db), KV_OK);
    assert_int_equal(kv_keyspace_open(f.db, "0", &f.space), KV_OK);
    return f;
}

static void close_fixture(fixture_t *f)
{
    kv_value_free(&f->value);
    kv_keyspace_close(f->space);
    assert_int_equal(kv_db_close(f->db), KV_OK);
}

static void put(fixture_t *f, const char *key, const char *value)
{
    assert_int_equal(kv_keyspace_put(f->space, slice(key), slice(value), NULL), KV_OK);
}

static void assert_value(const kv_value_t *value, const char *expected)
{
    assert_int_equal(value->size, strlen(expected));
    assert_memory_equal(value->data, expected, value->size);
}

static void assert_entry(fixture_t *f, const char *key, const char *expected)
{
    assert_int_equal(kv_keyspace_get(f->space, slice(key), &f->value), KV_OK);
    assert_value(&f->value, expected);
}

static void assert_none(fixture_t *f, const char *key)
{
    assert_int_equal(kv_keyspace_get(f->space, slice(key), &f->value), KV_NOT_FOUND);
}

/* ---- entries ---- */

static void entries_come_back(void **state)
{
    (void)state;
    fixture_t f = open_fixture(NULL);
    assert_none(&f, "k");
    put(&f, "k", "one");
    assert_entry(&f, "k", "one");
    put(&f, "", "");
    assert_entry(&f, "", "");
    assert_non_null(f.value.data);
    size_t size = 0;
    assert_int_equal(kv_keyspace_append(f.space, slice("k"), slice(" two"), &size), KV_OK);
    assert_int_equal(size, 7);
    assert_entry(&f, "k", "one two");
    int64_t sum = 0;
    assert_int_equal(kv_keyspace_add(f.space, slice("n"), -5, &sum), KV_OK);
    assert_int_equal(kv_keyspace_add(f.space, slice("n"), 47, &sum), KV_OK);
    assert_true(sum == 42);
    assert_int_equal(kv_keyspace_add(f.space, slice("k"), 1, &sum), KV_NOT_NUMBER);
    assert_int_equal(kv_keyspace_delete(f.space, slice("k")), KV_OK);
    assert_int_equal(kv_keyspace_delete(f.space, slice("k")), KV_NOT_FOUND);
    kv_slice_t pinned;
    kv_pin_t *pin;
    assert_int_equal(kv_keyspace_pin(f.space, slice("n"), &pinned, &pin), KV_OK);
    assert_int_equal(pinned.size, 2);
    kv_keyspace_unpin(pin);
    assert_int_equal(kv_keyspace_pin(f.space, slice("k"), &pinned, &pin), KV_NOT_FOUND);
    put(&f, "after", "pins");
    close_fixture(&f);
}

static void many_are_read_together(void **state)
{
    (void)state;
    fixture_t f = open_fixture("bptree");
    static char texts[200][16];
    kv_slice_t keys[200];
    static kv_value_t values[200];
    kv_status_t statuses[200];
    for (int i = 0; i < 200; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "key %d", i);
        keys[i] = slice(texts[i]);
        if (i % 3 != 0) {
            put(&f, texts[i], texts[i]);
        }
    }
    assert_int_equal(kv_keyspace_get_many(f.space, 200, keys, values, statuses), KV_OK);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(statuses[i], i % 3 != 0 ? KV_OK : KV_NOT_FOUND);
        if (i % 3 != 0) {
            assert_value(&values[i], texts[i]);
        }
        kv_value_free(&values[i]);
    }
    close_fixture(&f);
}

static kv_status_t put_if(fixture_t *f, kv_put_options_t options, const char *value)
{
    return kv_keyspace_put(f->space, slice("k"), slice(value), &options);
}

static void conditions_hold(void **state)
{
    (void)state;
    fixture_t f = open_fixture(NULL);
    const kv_put_options_t absent = {.condition = KV_PUT_IF_ABSENT};
    const kv_put_options_t present = {.condition = KV_PUT_IF_PRESENT};
    assert_int_equal(put_if(&f, present, "x"), KV_NOT_FOUND);
    assert_int_equal(put_if(&f, absent, "1"), KV_OK);
    assert_int_equal(put_if(&f, absent, "x"), KV_EXISTS);
    assert_int_equal(put_if(&f, present, "2"), KV_OK);
    kv_put_options_t options = {.condition = KV_PUT_IF_EQUALS, .expected = slice("1")};
    assert_int_equal(put_if(&f, options, "x"), KV_CONFLICT);
    options.expected = slice("2");
    assert_int_equal(put_if(&f, options, "3"), KV_OK);
    assert_entry(&f, "k", "3");
    options = (kv_put_options_t){.condition = KV_PUT_IF_VERSION, .version = f.value.version};
    assert_int_equal(put_if(&f, options, "4"), KV_OK);
    assert_int_equal(put_if(&f, options, "x"), KV_CONFLICT);
    assert_entry(&f, "k", "4");
    options = (kv_put_options_t){.ttl_ms = -1};
    assert_int_equal(put_if(&f, options, "x"), KV_INVALID);
    close_fixture(&f);
}

static void late_entries_are_never_seen(void **state)
{
    (void)state;
    fixture_t f = open_fixture("bptree");
    const kv_put_options_t options = {.ttl_ms = 1000};
    assert_int_equal(put_if(&f, options, "short"), KV_OK);
    put(&f, "l", "long");
    assert_entry(&f, "k", "short");
    assert_true(f.value.deadline_ms == clock_ms + 1000);
    clock_ms += 1001;
    assert_none(&f, "k");
    kv_iterator_t *iterator;
    assert_int_equal(kv_iterator_open(f.space, NULL, &iterator), KV_OK);
    assert_memory_equal(kv_iterator_key(iterator).data, "l", 1);
    assert_int_equal(kv_iterator_next(iterator), KV_OK);
    assert_false(kv_iterator_valid(iterator));
    kv_iterator_close(iterator);
    kv_keyspace_stats_t stats;
    assert_int_equal(kv_keyspace_stats(f.space, &stats), KV_OK);
    assert_int_equal(stats.entries, 2);
    while (kv_db_maintain(f.db, 1000)) {
    }
    assert_int_equal(kv_keyspace_stats(f.space, &stats), KV_OK);
    assert_int_equal(stats.entries, 1);
    assert_int_equal(stats.expired, 1);
    assert_int_equal(kv_keyspace_set_deadline(f.space, slice("l"), clock_ms), KV_OK);
    assert_none(&f, "l");
    close_fixture(&f);
}

/* ---- keyspaces ---- */

static bool count_names(void *context, kv_slice_t name)
{
    (void)name;
    ++*(int *)context;
    return true;
}

static void keyspaces_are_made_changed_and_dropped(void **state)
{
    (void)state;
    fixture_t f = open_fixture(NULL);
    kv_attributes_t attributes = {.engine = "bptree", .quota_bytes = 1 << 20, .default_ttl_ms = 50};
    kv_keyspace_t *orders;
    kv_keyspace_t *again;
    assert_int_equal(kv_keyspace_create(f.db, "orders", &attributes, &orders), KV_OK);
    assert_int_equal(kv_keyspace_create(f.db, "orders", &attributes, &again), KV_EXISTS);
    assert_int_equal(kv_keyspace_open(f.db, "order", &again), KV_NOT_FOUND);
    attributes.engine = "no such engine";
    assert_int_equal(kv_keyspace_create(f.db, "x", &attributes, &again), KV_UNSUPPORTED);
    assert_int_equal(kv_keyspace_open(f.db, "orders", &again), KV_OK);
    assert_int_equal(kv_keyspace_put(again, slice("k"), slice("v"), NULL), KV_OK);
    assert_int_equal(kv_keyspace_get(orders, slice("k"), &f.value), KV_OK);
    assert_true(f.value.deadline_ms == clock_ms + 50);
    assert_int_equal(kv_keyspace_attributes(orders, &attributes), KV_OK);
    assert_string_equal(attributes.engine, "bptree");
    attributes.engine = "hash";
    attributes.default_ttl_ms = 0;
    assert_int_equal(kv_keyspace_set_attributes(orders, &attributes), KV_OK);
    while (kv_db_maintain(f.db, 1000)) {
    }
    kv_keyspace_stats_t stats;
    assert_int_equal(kv_keyspace_stats(orders, &stats), KV_OK);
    assert_string_equal(stats.engine, "hash");
    assert_int_equal(stats.memory.key_bytes + stats.memory.value_bytes + stats.memory.index_bytes +
                         stats.memory.slack_bytes,
                     stats.memory.total_bytes);
    int names = 0;
    assert_int_equal(kv_db_list_keyspaces(f.db, count_names, &names), KV_OK);
    assert_int_equal(names, 17);
    assert_int_equal(kv_keyspace_drop(again), KV_OK);
    assert_int_equal(kv_keyspace_get(orders, slice("k"), &f.value), KV_INVALID);
    assert_int_equal(kv_keyspace_put(orders, slice("k"), slice("v"), NULL), KV_INVALID);
    kv_attributes_t gone;
    kv_keyspace_stats_t no_stats;
    assert_int_equal(kv_keyspace_attributes(orders, &gone), KV_INVALID);
    assert_int_equal(kv_keyspace_stats(orders, &no_stats), KV_INVALID);
    assert_int_equal(kv_keyspace_drop(f.space), KV_INVALID);
    kv_keyspace_close(again);
    /* The number is used again; the old handle does not mean the new keyspace. */
    assert_int_equal(kv_keyspace_create(f.db, "other", NULL, &again), KV_OK);
    assert_int_equal(kv_keyspace_put(again, slice("k"), slice("v"), NULL), KV_OK);
    assert_int_equal(kv_keyspace_get(orders, slice("k"), &f.value), KV_INVALID);
    kv_keyspace_close(orders);
    kv_keyspace_close(again);
    close_fixture(&f);
}

static void quotas_refuse_or_evict(void **state)
{
    (void)state;
    fixture_t f = open_fixture(NULL);
    kv_attributes_t attributes = {.quota_bytes = 2 << 20};
    kv_keyspace_t *small;
    assert_int_equal(kv_keyspace_create(f.db, "small", &attributes, &small), KV_OK);
    static const char bytes[1000];
    char key[16];
    kv_status_t status = KV_OK;
    int count = 0;
    for (; status == KV_OK; count++) {
        assert_true(count < 10000);
        (void)snprintf(key, sizeof(key), "%d", count);
        status = kv_keyspace_put(small, slice(key), (kv_slice_t){bytes, sizeof(bytes)}, NULL);
    }
    assert_int_equal(status, KV_QUOTA);
    attributes.eviction = KV_EVICT_ALL_LRU;
    assert_int_equal(kv_keyspace_set_attributes(small, &attributes), KV_OK);
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof(key), "%d", count + i);
        const kv_slice_t value = {bytes, sizeof(bytes)};
        assert_int_equal(kv_keyspace_put(small, slice(key), value, NULL), KV_OK);
        assert_int_equal(kv_keyspace_get(small, slice(key), &f.value), KV_OK);
    }
    kv_db_stats_t stats;
    assert_int_equal(kv_db_stats(f.db, &stats), KV_OK);
    assert_true(stats.evicted > 3000 && stats.memory_bytes <= 2 << 20);
    kv_keyspace_close(small);
    close_fixture(&f);
}

/* ---- iterators ---- */

static uint32_t access_of(const fixture_t *f, const char *key)
{
    kv_slice_t record;
    assert_int_equal(kvi_keyspace_peek(f->space->data, slice(key), clock_ms, &record), KV_OK);
    return kvi_record_access(record.data);
}

/* Each way of reading is an access where eviction asks for them, and none elsewhere. */
static void gets_are_noted_where_eviction_asks(void **state)
{
    (void)state;
    fixture_t f = open_fixture("hash");
    const char *const keys[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        put(&f, keys[i], "value");
    }
    const uint32_t before = access_of(&f, "a");
    clock_ms += 70000000; /* bytes carry over */
    assert_entry(&f, "a", "value");
    assert_int_equal(access_of(&f, "a"), before);
    assert_int_equal(kv_db_set_eviction(f.db, KV_EVICT_ALL_LRU), KV_OK);
    kv_slice_t value;
    kv_pin_t *pin;
    kv_status_t status;
    const kv_slice_t many = slice("c");
    assert_entry(&f, "a", "value");
    assert_int_equal(kv_keyspace_pin(f.space, slice("b"), &value, &pin), KV_OK);
    kv_keyspace_unpin(pin);
    assert_int_equal(kv_keyspace_get_many(f.space, 1, &many, &f.value, &status), KV_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(access_of(&f, keys[i]), before + 70000);
    }
    kv_attributes_t attributes;
    assert_int_equal(kv_keyspace_attributes(f.space, &attributes), KV_OK);
    attributes.eviction = KV_EVICT_ALL_LFU;
    assert_int_equal(kv_keyspace_set_attributes(f.space, &attributes), KV_OK);
    put(&f, "new", "value");
    const uint32_t first = access_of(&f, "new");
    for (int i = 0; i < 1000; i++) {
        assert_entry(&f, "new", "value");
    }
    assert_true((access_of(&f, "new") & 0xff) > (first & 0xff));
    close_fixture(&f);
}

static void fill(fixture_t *f, int count)
{
    char key[16];
    for (int i = 0; i < count; i++) {
        (void)snprintf(key, sizeof(key), "%05d", i);
        put(f, key, key);
    }
}

/* The numbers of the keys: the first, the last, and how many; steps of one between them. */
static int walk(fixture_t *f, const kv_iterator_options_t *options, int *first, int *last)
{
    kv_iterator_t *iterator;
    assert_int_equal(kv_iterator_open(f->space, options, &iterator), KV_OK);
    int count = 0;
    for (; kv_iterator_valid(iterator); count++) {
        char text[6] = {0};
        assert_int_equal(kv_iterator_value(iterator).size, 5);
        memcpy(text, kv_iterator_value(iterator).data, 5);
        const int number = atoi(text);
        assert_true(count == 0 || number == *last + (options->reverse ? -1 : 1));
        *first = count == 0 ? number : *first;
        *last = number;
        assert_int_equal(kv_iterator_next(iterator), KV_OK);
    }
    kv_iterator_close(iterator);
    return count;
}

static void ranges_are_walked_both_ways(void **state)
{
    (void)state;
    fixture_t f = open_fixture("bptree");
    fill(&f, 1000);
    int first = -1;
    int last = -1;
    kv_iterator_options_t options = {
        .range = {{KV_BOUND_EXCLUDED, slice("00100")}, {KV_BOUND_INCLUDED, slice("00300")}}};
    assert_int_equal(walk(&f, &options, &first, &last), 200);
    assert_true(first == 101 && last == 300);
    options.reverse = true;
    assert_int_equal(walk(&f, &options, &first, &last), 200);
    assert_true(first == 300 && last == 101);
    options = (kv_iterator_options_t){.prefix = slice("004"), .reverse = true};
    assert_int_equal(walk(&f, &options, &first, &last), 100);
    assert_true(first == 499 && last == 400);
    options = (kv_iterator_options_t){.prefix = slice("x")};
    assert_int_equal(walk(&f, &options, &first, &last), 0);
    close_fixture(&f);
}

/* On every engine: what stays is met once, whatever comes and goes meanwhile. */
static void iterators_survive_changes(void **state)
{
    (void)state;
    for (size_t number = 0; kv_engine_at(number) != NULL; number++) {
        fixture_t f = open_fixture(kv_engine_at(number)->name);
        kvi_random_t random = {test_seed()};
        fill(&f, 900);
        bool seen[900] = {false};
        kv_iterator_t *iterator;
        assert_int_equal(kv_iterator_open(f.space, NULL, &iterator), KV_OK);
        while (kv_iterator_valid(iterator)) {
            char key[16] = {0};
            memcpy(key, kv_iterator_key(iterator).data, 5);
            const int place = atoi(key);
            assert_true(place >= 900 || !seen[place]);
            if (place < 900) {
                seen[place] = true;
            }
            /* Numbers that divide by three go, large ones come. */
            (void)snprintf(key, sizeof(key), "%05u", kvi_random_below(&random, 300) * 3);
            (void)kv_keyspace_delete(f.space, slice(key));
            (void)snprintf(key, sizeof(key), "%05u", 900 + kvi_random_below(&random, 90000));
            put(&f, key, "new");
            assert_int_equal(kv_iterator_next(iterator), KV_OK);
        }
        for (int i = 0; i < 900; i++) {
            assert_true(seen[i] || i % 3 == 0);
        }
        kv_iterator_close(iterator);
        close_fixture(&f);
    }
}

static void order_is_asked_for_where_there_is_one(void **state)
{
    (void)state;
    fixture_t f = open_fixture("hash");
    fill(&f, 10);
    kv_iterator_t *iterator;
    const kv_iterator_options_t reverse = {.reverse = true};
    assert_int_equal(kv_iterator_open(f.space, &reverse, &iterator), KV_UNSUPPORTED);
    const kv_iterator_options_t prefix = {.prefix = slice("0")};
    assert_int_equal(kv_iterator_open(f.space, &prefix, &iterator), KV_UNSUPPORTED);
    uint64_t deleted;
    const kv_range_t range = {{KV_BOUND_NONE, {NULL, 0}}, {KV_BOUND_NONE, {NULL, 0}}};
    assert_int_equal(kv_keyspace_delete_range(f.space, &range, &deleted), KV_UNSUPPORTED);
    close_fixture(&f);
    f = open_fixture("bptree");
    fill(&f, 10);
    assert_int_equal(kv_keyspace_delete_range(f.space, &range, &deleted), KV_OK);
    assert_int_equal(deleted, 10);
    close_fixture(&f);
}

/* ---- batches ---- */

static void batches_are_all_or_nothing(void **state)
{
    (void)state;
    fixture_t f = open_fixture(NULL);
    put(&f, "a", "1");
    put(&f, "t", "text");
    kv_batch_t *batch;
    assert_int_equal(kv_batch_create(f.db, &batch), KV_OK);
    assert_int_equal(kv_batch_apply(batch), KV_OK);
    assert_int_equal(kv_batch_add(batch, f.space, slice("a"), 5), KV_OK);
    assert_int_equal(kv_batch_put(batch, f.space, slice("b"), slice("new"), NULL), KV_OK);
    assert_int_equal(kv_batch_delete(batch, f.space, slice("none")), KV_OK);
    assert_int_equal(kv_batch_append(batch, f.space, slice("b"), slice("er")), KV_OK);
    assert_int_equal(kv_batch_apply(batch), KV_OK);
    assert_entry(&f, "a", "6");
    assert_entry(&f, "b", "newer");
    assert_int_equal(kv_batch_add(batch, f.space, slice("t"), 1), KV_OK);
    assert_int_equal(kv_batch_apply(batch), KV_NOT_NUMBER);
    assert_entry(&f, "a", "6");
    kv_batch_clear(batch);
    assert_int_equal(kv_batch_guard(batch, f.space, slice("a"), 0), KV_OK);
    assert_int_equal(kv_batch_delete(batch, f.space, slice("b")), KV_OK);
    assert_int_equal(kv_batch_apply(batch), KV_CONFLICT);
    assert_entry(&f, "b", "newer");
    kv_batch_destroy(batch);
    close_fixture(&f);
}

/* ---- transactions ---- */

static void assert_seen(fixture_t *f, kv_transaction_t *t, const char *key, const char *expected)
{
    const kv_status_t status = kv_transaction_get(t, f->space, slice(key), &f->value);
    assert_int_equal(status, expected != NULL ? KV_OK : KV_NOT_FOUND);
    if (expected != NULL) {
        assert_value(&f->value, expected);
    }
}

static void a_transaction_sees_itself(void **state)
{
    (void)state;
    fixture_t f = open_fixture(NULL);
    put(&f, "a", "old");
    kv_transaction_t *t;
    assert_int_equal(kv_transaction_begin(f.db, &t), KV_OK);
    assert_seen(&f, t, "a", "old");
    assert_int_equal(kv_transaction_put(t, f.space, slice("a"), slice("new"), 0), KV_OK);
    assert_int_equal(kv_transaction_put(t, f.space, slice("b"), slice(""), 500), KV_OK);
    assert_seen(&f, t, "a", "new");
    assert_seen(&f, t, "b", "");
    assert_entry(&f, "a", "old");
    assert_none(&f, "b");
    assert_int_equal(kv_transaction_delete(t, f.space, slice("a")), KV_OK);
    assert_seen(&f, t, "a", NULL);
    clock_ms += 501;
    assert_seen(&f, t, "b", NULL);
    clock_ms -= 501;
    assert_int_equal(kv_transaction_commit(t), KV_OK);
    assert_none(&f, "a");
    assert_entry(&f, "b", "");
    assert_int_equal(kv_transaction_begin(f.db, &t), KV_OK);
    assert_int_equal(kv_transaction_put(t, f.space, slice("c"), slice("x"), 0), KV_OK);
    kv_transaction_rollback(t);
    assert_none(&f, "c");
    close_fixture(&f);
}

static void what_was_read_for_update_must_stay(void **state)
{
    (void)state;
    fixture_t f = open_fixture(NULL);
    put(&f, "a", "1");
    for (int changed = 0; changed < 3; changed++) {
        kv_transaction_t *t;
        assert_int_equal(kv_transaction_begin(f.db, &t), KV_OK);
        assert_int_equal(kv_transaction_get_for_update(t, f.space, slice("a"), &f.value), KV_OK);
        assert_int_equal(kv_transaction_get_for_update(t, f.space, slice("none"), &f.value),
                         KV_NOT_FOUND);
        assert_int_equal(kv_transaction_put(t, f.space, slice("b"), slice("x"), 0), KV_OK);
        if (changed == 1) {
            put(&f, "a", "2");
        } else if (changed == 2) {
            put(&f, "none", "there");
        }
        assert_int_equal(kv_transaction_commit(t), changed == 0 ? KV_OK : KV_CONFLICT);
        assert_int_equal(kv_keyspace_delete(f.space, slice("b")),
                         changed == 0 ? KV_OK : KV_NOT_FOUND);
    }
    close_fixture(&f);
}

/* Random puts, deletes, savepoints and returns, against copies of an array. */
static void savepoints_nest(void **state)
{
    (void)state;
    enum { KEYS = 20, POINTS = 10 };
    fixture_t f = open_fixture(NULL);
    kvi_random_t random = {test_seed()};
    int values[POINTS + 1][KEYS] = {{0}}; /* 0: not there */
    uint32_t points[POINTS + 1] = {0};
    int depth = 0;
    kv_transaction_t *t;
    assert_int_equal(kv_transaction_begin(f.db, &t), KV_OK);
    char key[16];
    char value[16];
    for (int i = 0; i < 5000; i++) {
        int *const now = values[depth];
        const uint32_t number = kvi_random_below(&random, KEYS);
        (void)snprintf(key, sizeof(key), "%u", number);
        const uint32_t what = kvi_random_below(&random, 10);
        if (what < 5) {
            now[number] = i + 1;
            (void)snprintf(value, sizeof(value), "%d", i + 1);
            assert_int_equal(kv_transaction_put(t, f.space, slice(key), slice(value), 0), KV_OK);
        } else if (what < 7) {
            now[number] = 0;
            assert_int_equal(kv_transaction_delete(t, f.space, slice(key)), KV_OK);
        } else if (what == 7 && depth < POINTS) {
            assert_int_equal(kv_transaction_savepoint(t, &points[depth + 1]), KV_OK);
            memcpy(values[depth + 1], now, sizeof(values[0]));
            depth++;
        } else if (what == 8 && depth > 0) {
            /* Back to where some savepoint was set; it stays. */
            const int to = 1 + (int)kvi_random_below(&random, (uint32_t)depth);
            assert_int_equal(kv_transaction_rollback_to(t, points[to]), KV_OK);
            depth = to;
            memcpy(values[depth], values[depth - 1], sizeof(values[0]));
        } else {
            (void)snprintf(value, sizeof(value), "%d", now[number]);
            assert_seen(&f, t, key, now[number] != 0 ? value : NULL);
        }
    }
    assert_int_equal(kv_transaction_rollback_to(t, 999999), KV_INVALID);
    assert_int_equal(kv_transaction_commit(t), KV_OK);
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof(key), "%d", i);
        (void)snprintf(value, sizeof(value), "%d", values[depth][i]);
        if (values[depth][i] != 0) {
            assert_entry(&f, key, value);
        } else {
            assert_none(&f, key);
        }
    }
    close_fixture(&f);
}

/* ---- snapshots ---- */

static void snapshots_stay_as_they_were(void **state)
{
    (void)state;
    fixture_t f = open_fixture("bptree");
    fill(&f, 500);
    const kv_put_options_t soon = {.ttl_ms = 100};
    assert_int_equal(kv_keyspace_put(f.space, slice("soon"), slice("gone"), &soon), KV_OK);
    kv_snapshot_t *snapshot;
    assert_int_equal(kv_snapshot_take(f.db, &snapshot), KV_OK);
    kvi_random_t random = {test_seed()};
    for (int i = 0; i < 2000; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "%05u", kvi_random_below(&random, 1000));
        if (kvi_random_below(&random, 2) == 0) {
            put(&f, key, "changed");
        } else {
            (void)kv_keyspace_delete(f.space, slice(key));
        }
    }
    clock_ms += 200;
    while (kv_db_maintain(f.db, 1000)) {
    }
    assert_int_equal(kv_snapshot_get(snapshot, f.space, slice("soon"), &f.value), KV_OK);
    assert_int_equal(kv_snapshot_get(snapshot, f.space, slice("00600"), &f.value), KV_NOT_FOUND);
    for (int i = 0; i < 500; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "%05d", i);
        assert_int_equal(kv_snapshot_get(snapshot, f.space, slice(key), &f.value), KV_OK);
        assert_value(&f.value, key);
    }
    for (int reverse = 0; reverse < 2; reverse++) {
        const kv_range_t numbers = {{KV_BOUND_NONE, {NULL, 0}}, {KV_BOUND_EXCLUDED, slice("s")}};
        const kv_iterator_options_t options = {
            .snapshot = snapshot, .reverse = reverse == 1, .range = numbers};
        int first = -1;
        int last = -1;
        assert_int_equal(walk(&f, &options, &first, &last), 500);
        assert_int_equal(first, reverse == 1 ? 499 : 0);
    }
    assert_true(kv_snapshot_bytes(snapshot) > 0);
    assert_int_equal(kv_keyspace_clear(f.space), KV_OK);
    assert_int_equal(kv_snapshot_get(snapshot, f.space, slice("00007"), &f.value), KV_OK);
    kv_snapshot_release(snapshot);
    close_fixture(&f);
}

static void a_snapshot_outlives_a_drop(void **state)
{
    (void)state;
    fixture_t f = open_fixture(NULL);
    kv_keyspace_t *other;
    assert_int_equal(kv_keyspace_create(f.db, "other", NULL, &other), KV_OK);
    assert_int_equal(kv_keyspace_put(other, slice("k"), slice("v"), NULL), KV_OK);
    kv_snapshot_t *snapshot;
    assert_int_equal(kv_snapshot_take(f.db, &snapshot), KV_OK);
    assert_int_equal(kv_keyspace_drop(other), KV_OK);
    assert_int_equal(kv_snapshot_get(snapshot, other, slice("k"), &f.value), KV_OK);
    assert_value(&f.value, "v");
    assert_int_equal(kv_snapshot_get(snapshot, f.space, slice("k"), &f.value), KV_NOT_FOUND);
    kv_snapshot_release(snapshot);
    kv_keyspace_close(other);
    close_fixture(&f);
}

static void nulls_are_refused(void **state)
{
    (void)state;
    fixture_t f = open_fixture(NULL);
    kv_keyspace_t *keyspace;
    kv_db_t *db;
    const kv_db_options_t wrong = {.engine = "none"};
    assert_int_equal(kv_db_open(NULL, &wrong, &db), KV_UNSUPPORTED);
    assert_int_equal(kv_db_open(NULL, NULL, NULL), KV_INVALID);
    assert_int_equal(kv_db_close(NULL), KV_OK);
    assert_int_equal(kv_keyspace_open(NULL, "0", &keyspace), KV_INVALID);
    assert_int_equal(kv_keyspace_open(f.db, NULL, &keyspace), KV_INVALID);
    assert_int_equal(kv_keyspace_get(NULL, slice("k"), &f.value), KV_INVALID);
    assert_int_equal(kv_keyspace_put(NULL, slice("k"), slice("v"), NULL), KV_INVALID);
    assert_int_equal(kv_db_save(f.db), KV_UNSUPPORTED);
    assert_int_equal(kv_db_backup(f.db, "x"), KV_UNSUPPORTED);
    assert_int_equal(kv_db_flush(f.db), KV_OK);
    kv_keyspace_close(NULL);
    kv_batch_destroy(NULL);
    kv_transaction_rollback(NULL);
    kv_snapshot_release(NULL);
    kv_iterator_close(NULL);
    kv_value_free(NULL);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_back),
        cmocka_unit_test(many_are_read_together),
        cmocka_unit_test(conditions_hold),
        cmocka_unit_test(late_entries_are_never_seen),
        cmocka_unit_test(keyspaces_are_made_changed_and_dropped),
        cmocka_unit_test(quotas_refuse_or_evict),
        cmocka_unit_test(gets_are_noted_where_eviction_asks),
        cmocka_unit_test(ranges_are_walked_both_ways),
        cmocka_unit_test(iterators_survive_changes),
        cmocka_unit_test(order_is_asked_for_where_there_is_one),
        cmocka_unit_test(batches_are_all_or_nothing),
        cmocka_unit_test(a_transaction_sees_itself),
        cmocka_unit_test(what_was_read_for_update_must_stay),
        cmocka_unit_test(savepoints_nest),
        cmocka_unit_test(snapshots_stay_as_they_were),
        cmocka_unit_test(a_snapshot_outlives_a_drop),
        cmocka_unit_test(nulls_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
