/* SPDX-License-Identifier: MIT */
/* The database: what each call promises, and that a failing one has changed nothing. */
#include "test.h"

#include <stdbool.h>
#include <string.h>

#include "db/attributes.h"
#include "db/db.h"
#include "db/load.h"
#include "db/op.h"

#define NOW INT64_C(1700000000000)

typedef struct fixture {
    kvi_db_t *db;
    kvi_keyspace_t *keyspace;
} fixture_t;

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

static fixture_t open_db(const kvi_db_options_t *options)
{
    fixture_t fixture = {.db = NULL};
    assert_int_equal(kvi_db_open(options, &fixture.db), KV_OK);
    fixture.keyspace = kvi_db_keyspace(fixture.db, 0);
    assert_non_null(fixture.keyspace);
    return fixture;
}

static void close_db(fixture_t *fixture)
{
    for (size_t i = 0; i < kvi_db_keyspaces(fixture->db); i++) {
        assert_int_equal(kvi_keyspace_check(kvi_db_keyspace(fixture->db, i)), KV_OK);
    }
    kvi_db_close(fixture->db);
}

static void put(fixture_t *fixture, const char *key, const char *value)
{
    assert_int_equal(kvi_keyspace_put(fixture->keyspace, slice(key), slice(value), NOW, NULL),
                     KV_OK);
}

static void put_until(fixture_t *fixture, const char *key, const char *value, int64_t deadline_ms)
{
    const kvi_put_options_t options = {.deadline_ms = deadline_ms};
    assert_int_equal(kvi_keyspace_put(fixture->keyspace, slice(key), slice(value), NOW, &options),
                     KV_OK);
}

/* What is under key at a time; the text is static, NULL for nothing. */
static const char *value_at(fixture_t *fixture, const char *key, int64_t now_ms)
{
    static char text[256];
    kvi_entry_t entry;
    if (kvi_keyspace_get(fixture->keyspace, slice(key), now_ms, false, &entry) != KV_OK) {
        return NULL;
    }
    assert_true(entry.value.size < sizeof(text));
    memcpy(text, entry.value.data, entry.value.size);
    text[entry.value.size] = '\0';
    return text;
}

static void assert_value(fixture_t *fixture, const char *key, const char *value)
{
    const char *const found = value_at(fixture, key, NOW);
    assert_non_null(found);
    assert_string_equal(found, value);
}

/* ---- the database ---- */

static size_t used_by_one_entry(size_t expected, size_t limit)
{
    fixture_t fixture = open_db(NULL);
    kvi_db_load_begin(fixture.db);
    kvi_db_set_memory_limit(fixture.db, limit);
    kvi_keyspace_expect(fixture.keyspace, expected);
    assert_int_equal(kvi_db_memory_used(fixture.db), 0);
    put(&fixture, "a", "b");
    assert_value(&fixture, "a", "b");
    const size_t used = kvi_db_memory_used(fixture.db);
    /* Once: what comes after a clear is unknown. */
    assert_int_equal(kvi_keyspace_clear(fixture.keyspace), KV_OK);
    put(&fixture, "a", "b");
    assert_true(kvi_db_memory_used(fixture.db) < (1 << 20));
    kvi_db_load_end(fixture.db);
    close_db(&fixture);
    return used;
}

static void test_room_for_what_is_expected(void **state)
{
    (void)state;
    const size_t usual = used_by_one_entry(0, 0);
    const size_t ahead = used_by_one_entry(1000000, 0);
    assert_true(usual < (1 << 20));
    assert_true(ahead > (4 << 20));
    assert_true(used_by_one_entry(1000000, 4 << 20) <= 4 << 20); /* no room for so much */
    /* Nobody expects anything any more when the loading is over. */
    fixture_t fixture = open_db(NULL);
    kvi_db_load_begin(fixture.db);
    kvi_keyspace_expect(fixture.keyspace, 1000000);
    kvi_db_load_end(fixture.db);
    put(&fixture, "a", "b");
    assert_int_equal(kvi_db_memory_used(fixture.db), usual);
    close_db(&fixture);
}

static void test_defaults_and_limits(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    assert_int_equal(kvi_db_keyspaces(fixture.db), 16);
    assert_null(kvi_db_keyspace(fixture.db, 16));
    assert_string_equal(kvi_keyspace_engine(fixture.keyspace)->name, "hash");
    assert_int_equal(kvi_db_memory_limit(fixture.db), 0);
    kvi_db_set_memory_limit(fixture.db, 1 << 20);
    assert_int_equal(kvi_db_memory_limit(fixture.db), 1 << 20);
    assert_int_equal(kvi_db_swap(fixture.db, 0, 16), KV_INVALID);
    assert_int_equal(kvi_db_swap(fixture.db, 16, 0), KV_INVALID);
    close_db(&fixture);
}

static void test_an_empty_keyspace_holds_next_to_nothing(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    const size_t empty = kvi_db_memory_used(fixture.db);
    assert_true(empty < 65536);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        put_until(&fixture, key, "value", NOW + i + 1);
    }
    assert_true(kvi_db_memory_used(fixture.db) > empty);
    assert_int_equal(kvi_keyspace_count(fixture.keyspace), 1000);
    assert_int_equal(kvi_keyspace_deadlines(fixture.keyspace), 1000);
    assert_int_equal(kvi_keyspace_clear(fixture.keyspace), KV_OK);
    assert_int_equal(kvi_keyspace_count(fixture.keyspace), 0);
    assert_int_equal(kvi_keyspace_deadlines(fixture.keyspace), 0);
    assert_int_equal(kvi_keyspace_next_deadline(fixture.keyspace), KVI_NO_DEADLINE);
    assert_int_equal(kvi_db_memory_used(fixture.db), empty);
    put(&fixture, "again", "1");
    assert_value(&fixture, "again", "1");
    close_db(&fixture);
}

static void test_an_empty_keyspace_answers_everything(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    kvi_keyspace_t *const keyspace = fixture.keyspace;
    const kv_slice_t key = slice("k");
    kvi_entry_t entry;
    kv_slice_t random;
    size_t bytes;
    kv_engine_memory_t memory;
    kvi_keyspace_prefetch(keyspace, 1, &key);
    assert_int_equal(kvi_keyspace_get(keyspace, key, NOW, true, &entry), KV_NOT_FOUND);
    assert_int_equal(kvi_keyspace_random(keyspace, 1, NOW, &random), KV_NOT_FOUND);
    assert_int_equal(kvi_keyspace_scan(keyspace, 0, 10, NOW, NULL, NULL), 0);
    assert_int_equal(kvi_keyspace_memory(keyspace, &memory), KV_OK);
    assert_int_equal(memory.total_bytes, 0);
    assert_int_equal(kvi_keyspace_key_bytes(keyspace, key, NOW, &bytes), KV_NOT_FOUND);
    assert_int_equal(kvi_keyspace_delete(keyspace, key, NOW), KV_NOT_FOUND);
    assert_int_equal(kvi_keyspace_set_deadline(keyspace, key, NOW + 1, NOW), KV_NOT_FOUND);
    assert_int_equal(kvi_keyspace_copy(keyspace, key, keyspace, slice("n"), true, NOW),
                     KV_NOT_FOUND);
    assert_int_equal(kvi_keyspace_rename(keyspace, key, keyspace, slice("n"), true, NOW),
                     KV_NOT_FOUND);
    assert_int_equal(kvi_keyspace_expire(keyspace, NOW, 10), 0);
    assert_int_equal(kvi_keyspace_relocate(keyspace, 10), 0);
    assert_int_equal(kvi_keyspace_clear(keyspace), KV_OK);
    close_db(&fixture);
}

/* ---- deadlines ---- */

static void test_a_key_is_there_in_the_millisecond_of_its_deadline(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    put_until(&fixture, "k", "v", NOW + 10);
    assert_non_null(value_at(&fixture, "k", NOW + 10));
    assert_int_equal(kvi_keyspace_count(fixture.keyspace), 1);
    assert_null(value_at(&fixture, "k", NOW + 11));
    assert_int_equal(kvi_keyspace_count(fixture.keyspace), 0);
    assert_int_equal(kvi_keyspace_expired(fixture.keyspace), 1);
    close_db(&fixture);
}

static void test_a_past_deadline_deletes(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    put(&fixture, "put", "v");
    put_until(&fixture, "put", "w", NOW);
    assert_null(value_at(&fixture, "put", NOW));
    put(&fixture, "set", "v");
    assert_int_equal(kvi_keyspace_set_deadline(fixture.keyspace, slice("set"), NOW, NOW), KV_OK);
    assert_int_equal(kvi_keyspace_count(fixture.keyspace), 0);
    put_until(&fixture, "none", "v", NOW - 5);
    assert_int_equal(kvi_keyspace_count(fixture.keyspace), 0);
    close_db(&fixture);
}

static void test_expire_goes_in_steps_and_in_order(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    for (int i = 0; i < 100; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        put_until(&fixture, key, "v", NOW + 100 - i);
    }
    put(&fixture, "stays", "v");
    assert_int_equal(kvi_keyspace_next_deadline(fixture.keyspace), NOW + 1);
    assert_int_equal(kvi_keyspace_expire(fixture.keyspace, NOW + 1, 1000), 0);
    assert_int_equal(kvi_keyspace_expire(fixture.keyspace, NOW + 51, 20), 20);
    assert_int_equal(kvi_keyspace_count(fixture.keyspace), 81);
    assert_int_equal(kvi_keyspace_next_deadline(fixture.keyspace), NOW + 21);
    assert_int_equal(kvi_keyspace_expire(fixture.keyspace, NOW + 51, 1000), 30);
    assert_int_equal(kvi_keyspace_expire(fixture.keyspace, NOW + 1000, 1000), 50);
    assert_int_equal(kvi_keyspace_next_deadline(fixture.keyspace), KVI_NO_DEADLINE);
    assert_int_equal(kvi_keyspace_count(fixture.keyspace), 1);
    assert_int_equal(kvi_keyspace_expired(fixture.keyspace), 100);
    close_db(&fixture);
}

static void test_what_keeps_a_deadline_and_what_drops_it(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    kvi_keyspace_t *const keyspace = fixture.keyspace;
    size_t size;
    int64_t sum;
    kv_slice_t text;
    kvi_entry_t entry;
    put_until(&fixture, "k", "1", NOW + 10);
    assert_int_equal(kvi_keyspace_add(keyspace, slice("k"), 9, NOW, &sum), KV_OK);
    assert_int_equal(kvi_keyspace_add_float(keyspace, slice("k"), 0.5L, NOW, &text), KV_OK);
    assert_int_equal(kvi_keyspace_append(keyspace, slice("k"), slice("xyz"), NOW, &size), KV_OK);
    assert_int_equal(kvi_keyspace_write_at(keyspace, slice("k"), 9, slice("!"), NOW, &size), KV_OK);
    const kvi_put_options_t keep = {.keep_deadline = true};
    assert_int_equal(kvi_keyspace_get(keyspace, slice("k"), NOW, false, &entry), KV_OK);
    assert_int_equal(entry.deadline_ms, NOW + 10);
    assert_memory_equal(entry.value.data, "10.5xyz\0\0!", 10);
    assert_int_equal(kvi_keyspace_put(keyspace, slice("k"), slice("v"), NOW, &keep), KV_OK);
    assert_int_equal(kvi_keyspace_get(keyspace, slice("k"), NOW, false, &entry), KV_OK);
    assert_int_equal(entry.deadline_ms, NOW + 10);
    put(&fixture, "k", "w");
    assert_int_equal(kvi_keyspace_get(keyspace, slice("k"), NOW, false, &entry), KV_OK);
    assert_int_equal(entry.deadline_ms, KVI_NO_DEADLINE);
    assert_int_equal(kvi_keyspace_deadlines(keyspace), 0);
    close_db(&fixture);
}

static void test_a_deadline_can_go_and_come_back(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    kvi_keyspace_t *const keyspace = fixture.keyspace;
    put(&fixture, "k", "value");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kvi_keyspace_set_deadline(keyspace, slice("k"), NOW + 5 + i, NOW), KV_OK);
        assert_int_equal(kvi_keyspace_next_deadline(keyspace), NOW + 5 + i);
        assert_int_equal(kvi_keyspace_set_deadline(keyspace, slice("k"), KVI_NO_DEADLINE, NOW),
                         KV_OK);
        assert_int_equal(kvi_keyspace_deadlines(keyspace), 0);
        assert_value(&fixture, "k", "value");
        assert_int_equal(kvi_keyspace_check(keyspace), KV_OK);
    }
    close_db(&fixture);
}

/* ---- values ---- */

static void test_integers(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    kvi_keyspace_t *const keyspace = fixture.keyspace;
    int64_t sum = 0;
    assert_int_equal(kvi_keyspace_add(keyspace, slice("n"), -3, NOW, &sum), KV_OK);
    assert_int_equal(sum, -3);
    assert_value(&fixture, "n", "-3");
    put(&fixture, "n", "9223372036854775806");
    assert_int_equal(kvi_keyspace_add(keyspace, slice("n"), 1, NOW, &sum), KV_OK);
    assert_true(sum == INT64_MAX);
    assert_int_equal(kvi_keyspace_add(keyspace, slice("n"), 1, NOW, &sum), KV_OVERFLOW);
    assert_value(&fixture, "n", "9223372036854775807");
    put(&fixture, "n", "-9223372036854775808");
    assert_int_equal(kvi_keyspace_add(keyspace, slice("n"), -1, NOW, &sum), KV_OVERFLOW);
    assert_int_equal(kvi_keyspace_add(keyspace, slice("n"), INT64_MAX, NOW, &sum), KV_OK);
    assert_int_equal(sum, -1);
    static const char *const no_numbers[] = {"",
                                             " 1",
                                             "1 ",
                                             "01",
                                             "+1",
                                             "-",
                                             "-0",
                                             "1.0",
                                             "0x",
                                             "a",
                                             "1a",
                                             "--1",
                                             "9223372036854775808"};
    for (size_t i = 0; i < sizeof(no_numbers) / sizeof(no_numbers[0]); i++) {
        put(&fixture, "n", no_numbers[i]);
        assert_int_equal(kvi_keyspace_add(keyspace, slice("n"), 1, NOW, &sum), KV_NOT_NUMBER);
        assert_value(&fixture, "n", no_numbers[i]);
    }
    close_db(&fixture);
}

static void test_values_end_at_512_megabytes(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    kvi_keyspace_t *const keyspace = fixture.keyspace;
    size_t size = 0;
    put(&fixture, "k", "value");
    assert_int_equal(
        kvi_keyspace_write_at(keyspace, slice("k"), KVI_DB_VALUE_BYTES_MAX, slice("x"), NOW, &size),
        KV_TOO_LARGE);
    assert_int_equal(kvi_keyspace_write_at(keyspace, slice("k"), SIZE_MAX, slice("x"), NOW, &size),
                     KV_TOO_LARGE);
    assert_int_equal(
        kvi_keyspace_write_at(keyspace, slice("new"), SIZE_MAX, slice("x"), NOW, &size),
        KV_TOO_LARGE);
    const kv_slice_t huge = {"", KVI_DB_VALUE_BYTES_MAX - 4}; /* refused before it is read */
    assert_int_equal(kvi_keyspace_append(keyspace, slice("k"), huge, NOW, &size), KV_TOO_LARGE);
    assert_value(&fixture, "k", "value");
    assert_null(value_at(&fixture, "new", NOW));
    assert_int_equal(kvi_keyspace_write_at(keyspace, slice("new"), SIZE_MAX, slice(""), NOW, &size),
                     KV_OK);
    assert_int_equal(size, 0);
    assert_null(value_at(&fixture, "new", NOW));
    close_db(&fixture);
}

static kvi_form_t form_of(fixture_t *fixture, const char *key)
{
    kvi_entry_t entry;
    assert_int_equal(kvi_keyspace_get(fixture->keyspace, slice(key), NOW, false, &entry), KV_OK);
    return entry.form;
}

static void test_forms(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    kvi_keyspace_t *const keyspace = fixture.keyspace;
    size_t size;
    int64_t number;
    kv_slice_t text;
    assert_int_equal(kvi_keyspace_append(keyspace, slice("k"), slice("1"), NOW, &size), KV_OK);
    assert_int_equal(form_of(&fixture, "k"), KVI_FORM_PLAIN);
    assert_int_equal(kvi_keyspace_append(keyspace, slice("k"), slice("2"), NOW, &size), KV_OK);
    assert_int_equal(form_of(&fixture, "k"), KVI_FORM_RAW);
    assert_int_equal(kvi_keyspace_set_deadline(keyspace, slice("k"), NOW + 9, NOW), KV_OK);
    assert_int_equal(form_of(&fixture, "k"), KVI_FORM_RAW);
    assert_int_equal(kvi_keyspace_copy(keyspace, slice("k"), keyspace, slice("c"), false, NOW),
                     KV_OK);
    assert_int_equal(form_of(&fixture, "c"), KVI_FORM_RAW);
    assert_int_equal(kvi_keyspace_add(keyspace, slice("k"), 1, NOW, &number), KV_OK);
    assert_int_equal(form_of(&fixture, "k"), KVI_FORM_PLAIN);
    assert_int_equal(kvi_keyspace_add_float(keyspace, slice("k"), 1, NOW, &text), KV_OK);
    assert_int_equal(form_of(&fixture, "k"), KVI_FORM_TEXT);
    assert_int_equal(kvi_keyspace_write_at(keyspace, slice("k"), 0, slice("7"), NOW, &size), KV_OK);
    assert_int_equal(form_of(&fixture, "k"), KVI_FORM_RAW);
    put(&fixture, "k", "v");
    assert_int_equal(form_of(&fixture, "k"), KVI_FORM_PLAIN);
    close_db(&fixture);
}

static void test_idle_seconds_begin_again_when_touched(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    kvi_entry_t entry;
    put(&fixture, "k", "v");
    const int64_t later = NOW + 5000;
    assert_int_equal(kvi_keyspace_get(fixture.keyspace, slice("k"), later, false, &entry), KV_OK);
    assert_int_equal(entry.idle_seconds, 5);
    assert_int_equal(kvi_keyspace_get(fixture.keyspace, slice("k"), later, true, &entry), KV_OK);
    assert_int_equal(entry.idle_seconds, 5);
    assert_int_equal(kvi_keyspace_get(fixture.keyspace, slice("k"), later, true, &entry), KV_OK);
    assert_int_equal(entry.idle_seconds, 0);
    close_db(&fixture);
}

static void test_key_bytes_cover_the_bytes(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    size_t small = 0;
    size_t timed = 0;
    size_t large = 0;
    static char value[100000];
    put(&fixture, "small", "v");
    put_until(&fixture, "timed", "v", NOW + 10);
    assert_int_equal(kvi_keyspace_put(fixture.keyspace, slice("large"),
                                      (kv_slice_t){value, sizeof(value)}, NOW, NULL),
                     KV_OK);
    kvi_keyspace_t *const keyspace = fixture.keyspace;
    assert_int_equal(kvi_keyspace_key_bytes(keyspace, slice("small"), NOW, &small), KV_OK);
    assert_int_equal(kvi_keyspace_key_bytes(keyspace, slice("timed"), NOW, &timed), KV_OK);
    assert_int_equal(kvi_keyspace_key_bytes(keyspace, slice("large"), NOW, &large), KV_OK);
    assert_true(small >= 5 + 1 + 4);
    assert_true(timed > small);
    assert_in_range(large, sizeof(value) + small - 8, sizeof(value) + small + 16384);
    close_db(&fixture);
}

static void test_random_skips_late_keys(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    kv_slice_t key;
    for (int i = 0; i < 300; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "k%d", i);
        put_until(&fixture, name, "v", NOW + 1);
    }
    assert_int_equal(kvi_keyspace_random(fixture.keyspace, 17, NOW + 2, &key), KV_NOT_FOUND);
    assert_int_equal(kvi_keyspace_count(fixture.keyspace), 0);
    for (int i = 0; i < 300; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "k%d", i);
        put_until(&fixture, name, "v", NOW + 1);
    }
    put(&fixture, "the one", "v");
    assert_int_equal(kvi_keyspace_random(fixture.keyspace, 17, NOW + 2, &key), KV_OK);
    assert_int_equal(key.size, 7);
    close_db(&fixture);
}

static void test_relocation_keeps_records_and_deadlines_together(void **state)
{
    (void)state;
    enum { COUNT = 30000 };
    fixture_t fixture = open_db(NULL);
    kvi_keyspace_t *const keyspace = fixture.keyspace;
    char name[16];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof(name), "k%d", i);
        put_until(&fixture, name, "some value", NOW + 1 + i);
    }
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof(name), "k%d", i);
        if (i % 10 != 0) {
            assert_int_equal(kvi_keyspace_delete(keyspace, slice(name), NOW), KV_OK);
        }
    }
    const size_t before = kvi_db_memory_used(fixture.db);
    while (kvi_keyspace_relocate(keyspace, 1000) == 1000) {
    }
    assert_true(kvi_db_memory_used(fixture.db) < before * 2 / 3);
    assert_int_equal(kvi_keyspace_check(keyspace), KV_OK);
    for (int i = 0; i < COUNT; i += 10) {
        kvi_entry_t entry;
        (void)snprintf(name, sizeof(name), "k%d", i);
        assert_int_equal(kvi_keyspace_get(keyspace, slice(name), NOW, false, &entry), KV_OK);
        assert_int_equal(entry.deadline_ms, NOW + 1 + i);
    }
    assert_int_equal(kvi_keyspace_expire(keyspace, NOW + COUNT / 2, COUNT), COUNT / 20);
    close_db(&fixture);
}

static void test_memory_adds_up(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    const size_t empty = kvi_db_memory_used(fixture.db);
    for (int i = 0; i < 5000; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "k%d", i);
        put_until(&fixture, name, "some value", i % 2 == 0 ? NOW + 1 + i : KVI_NO_DEADLINE);
    }
    kv_engine_memory_t memory;
    assert_int_equal(kvi_keyspace_memory(fixture.keyspace, &memory), KV_OK);
    assert_int_equal(memory.key_bytes + memory.value_bytes + memory.index_bytes +
                         memory.slack_bytes,
                     memory.total_bytes);
    assert_int_equal(memory.total_bytes, kvi_db_memory_used(fixture.db) - empty);
    assert_true(memory.value_bytes >= 5000 * (10 + 4));
    close_db(&fixture);
}

/* ---- aims ---- */

#define AIMED_KEYS 40

typedef struct aimed {
    char names[AIMED_KEYS][16];
    kv_slice_t keys[AIMED_KEYS];
    uint64_t aims[AIMED_KEYS];
} aimed_t;

/* Every key has this value, put by its aim and found by it. */
static void put_by_aims(fixture_t *fixture, const aimed_t *aimed, const char *value)
{
    for (size_t i = 0; i < AIMED_KEYS; i++) {
        const kvi_put_options_t options = {.deadline_ms = KVI_NO_DEADLINE, .aim = aimed->aims[i]};
        assert_int_equal(
            kvi_keyspace_put(fixture->keyspace, aimed->keys[i], slice(value), NOW, &options),
            KV_OK);
    }
    for (size_t i = 0; i < AIMED_KEYS; i++) {
        kv_slice_t found;
        assert_int_equal(kvi_keyspace_get_value(fixture->keyspace, aimed->keys[i], aimed->aims[i],
                                                NOW, true, &found),
                         KV_OK);
        assert_int_equal(found.size, strlen(value));
        assert_memory_equal(found.data, value, found.size);
        assert_value(fixture, aimed->names[i], value);
    }
}

static void convert(fixture_t *fixture, const char *engine)
{
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    const kvi_attributes_t attributes = {.engine = kv_engine_find(engine)};
    const size_t size = kvi_attributes_encode(&attributes, KVI_ATTRIBUTE_ENGINE, bytes);
    const kvi_op_t set = {.kind = KVI_OP_KEYSPACE_SET, .value = {bytes, size}};
    kvi_op_result_t result;
    kvi_db_apply_op(fixture->db, &set, NOW, &result);
    assert_int_equal(result.status, KV_OK);
}

static void test_aims_hold_whatever_happens(void **state)
{
    (void)state;
    const kvi_db_options_t options = {.hash_seed = 42};
    fixture_t fixture = open_db(&options);
    aimed_t aimed;
    for (size_t i = 0; i < AIMED_KEYS; i++) {
        (void)snprintf(aimed.names[i], sizeof aimed.names[i], "key %zu", i);
        aimed.keys[i] = slice(aimed.names[i]);
        aimed.aims[i] = 1;
    }
    /* An empty keyspace has nothing to say of a key. */
    kvi_keyspace_prefetch_aims(fixture.keyspace, AIMED_KEYS, aimed.keys, aimed.aims);
    for (size_t i = 0; i < AIMED_KEYS; i++) {
        assert_int_equal(aimed.aims[i], 0);
    }
    put_by_aims(&fixture, &aimed, "first");
    kvi_keyspace_prefetch_aims(fixture.keyspace, AIMED_KEYS, aimed.keys, aimed.aims);
    for (size_t i = 0; i < AIMED_KEYS; i++) {
        assert_true(aimed.aims[i] != 0);
    }
    put_by_aims(&fixture, &aimed, "other");
    put_by_aims(&fixture, &aimed, "longer than before, by more than a class of the pool");
    assert_int_equal(kvi_keyspace_clear(fixture.keyspace), KV_OK);
    kv_slice_t none;
    assert_int_equal(
        kvi_keyspace_get_value(fixture.keyspace, aimed.keys[0], aimed.aims[0], NOW, true, &none),
        KV_NOT_FOUND);
    put_by_aims(&fixture, &aimed, "again");
    /* Half way to an engine that knows no aims, and there. */
    convert(&fixture, "bptree");
    assert_true(kvi_keyspace_convert(fixture.keyspace, 8) > 0);
    put_by_aims(&fixture, &aimed, "while converting");
    while (kvi_keyspace_convert(fixture.keyspace, 8) > 0) {
    }
    assert_string_equal(kvi_keyspace_engine(fixture.keyspace)->name, "bptree");
    put_by_aims(&fixture, &aimed, "there");
    uint64_t aim = 1;
    kvi_keyspace_prefetch_aims(fixture.keyspace, 1, aimed.keys, &aim);
    assert_int_equal(aim, 0);
    close_db(&fixture);
}

/* The short way of a put is not taken where it would miss something. */
static void test_a_put_by_aim_drops_deadlines(void **state)
{
    (void)state;
    fixture_t fixture = open_db(NULL);
    put(&fixture, "k", "1");
    const kv_slice_t key = slice("k");
    kvi_put_options_t options = {.deadline_ms = KVI_NO_DEADLINE};
    kvi_keyspace_prefetch_aims(fixture.keyspace, 1, &key, &options.aim);
    put_until(&fixture, "k", "2", NOW + 100);
    assert_int_equal(kvi_keyspace_deadlines(fixture.keyspace), 1);
    assert_int_equal(kvi_keyspace_put(fixture.keyspace, key, slice("3"), NOW, &options), KV_OK);
    assert_int_equal(kvi_keyspace_deadlines(fixture.keyspace), 0);
    assert_string_equal(value_at(&fixture, "k", NOW + 1000), "3");
    put_until(&fixture, "k", "4", NOW + 100);
    kv_slice_t value;
    assert_int_equal(
        kvi_keyspace_get_value(fixture.keyspace, key, options.aim, NOW + 101, true, &value),
        KV_NOT_FOUND);
    assert_int_equal(kvi_keyspace_count(fixture.keyspace), 0);
    close_db(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_and_limits),
        cmocka_unit_test(test_room_for_what_is_expected),
        cmocka_unit_test(test_an_empty_keyspace_holds_next_to_nothing),
        cmocka_unit_test(test_an_empty_keyspace_answers_everything),
        cmocka_unit_test(test_a_key_is_there_in_the_millisecond_of_its_deadline),
        cmocka_unit_test(test_a_past_deadline_deletes),
        cmocka_unit_test(test_expire_goes_in_steps_and_in_order),
        cmocka_unit_test(test_what_keeps_a_deadline_and_what_drops_it),
        cmocka_unit_test(test_a_deadline_can_go_and_come_back),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_values_end_at_512_megabytes),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_idle_seconds_begin_again_when_touched),
        cmocka_unit_test(test_key_bytes_cover_the_bytes),
        cmocka_unit_test(test_random_skips_late_keys),
        cmocka_unit_test(test_relocation_keeps_records_and_deadlines_together),
        cmocka_unit_test(test_memory_adds_up),
        cmocka_unit_test(test_aims_hold_whatever_happens),
        cmocka_unit_test(test_a_put_by_aim_drops_deadlines),
    };
    return cmocka_run_group_tests_name("db", tests, NULL, NULL);
}
