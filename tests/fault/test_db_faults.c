/* SPDX-License-Identifier: MIT */
/*
 * Every operation of the database with the n-th request for memory refused, for every n: it answers
 * KV_NO_MEMORY, nothing has changed, and with memory it works. Once with an engine that refuses,
 * once with a budget at its limit.
 */
#include "../unit/test.h"

#include <stdbool.h>
#include <string.h>

#include "db/db.h"

#define NOW INT64_C(1700000000000)
#define LARGE_BYTES ((size_t)100000)
#define BUDGET_STEP ((size_t)4096)
#define FAILURES_MAX 4096

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

/* ---- the operations ---- */

typedef struct fixture {
    kvi_db_t *db;
    kvi_keyspace_t *keyspace;
    char *large;
} fixture_t;

static kv_status_t put_new(fixture_t *f)
{
    const kvi_put_options_t options = {.deadline_ms = NOW + 10};
    return kvi_keyspace_put(f->keyspace, slice("new"), (kv_slice_t){f->large, LARGE_BYTES}, NOW,
                            &options);
}

static kv_status_t put_over(fixture_t *f)
{
    return kvi_keyspace_put(f->keyspace, slice("plain"), (kv_slice_t){f->large, LARGE_BYTES}, NOW,
                            NULL);
}

static kv_status_t put_with_deadline_over(fixture_t *f)
{
    const kvi_put_options_t options = {.deadline_ms = NOW + 10};
    return kvi_keyspace_put(f->keyspace, slice("timed"), (kv_slice_t){f->large, LARGE_BYTES}, NOW,
                            &options);
}

static kv_status_t append(fixture_t *f)
{
    size_t size;
    return kvi_keyspace_append(f->keyspace, slice("timed"), (kv_slice_t){f->large, LARGE_BYTES},
                               NOW, &size);
}

static kv_status_t write_far(fixture_t *f)
{
    size_t size;
    return kvi_keyspace_write_at(f->keyspace, slice("plain"), LARGE_BYTES, slice("x"), NOW, &size);
}

static kv_status_t add(fixture_t *f)
{
    int64_t sum;
    return kvi_keyspace_add(f->keyspace, slice("number"), 1, NOW, &sum);
}

static kv_status_t add_float(fixture_t *f)
{
    kv_slice_t sum;
    return kvi_keyspace_add_float(f->keyspace, slice("number"), 1e4000L, NOW, &sum);
}

static kv_status_t set_deadline(fixture_t *f)
{
    return kvi_keyspace_set_deadline(f->keyspace, slice("large"), NOW + 5, NOW);
}

static kv_status_t copy(fixture_t *f)
{
    return kvi_keyspace_copy(f->keyspace, slice("large timed"), f->keyspace, slice("new"), false,
                             NOW);
}

static kv_status_t copy_over(fixture_t *f)
{
    return kvi_keyspace_copy(f->keyspace, slice("large timed"), f->keyspace, slice("plain"), true,
                             NOW);
}

static kv_status_t move(fixture_t *f)
{
    return kvi_keyspace_rename(f->keyspace, slice("large timed"), kvi_db_keyspace(f->db, 1),
                               slice("large timed"), false, NOW);
}

static const struct operation {
    const char *name;
    kv_status_t (*run)(fixture_t *fixture);
} operations[] = {{"put_new", put_new},
                  {"put_over", put_over},
                  {"put_with_deadline_over", put_with_deadline_over},
                  {"append", append},
                  {"write_far", write_far},
                  {"add", add},
                  {"add_float", add_float},
                  {"set_deadline", set_deadline},
                  {"copy", copy},
                  {"copy_over", copy_over},
                  {"move", move}};

#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

/* ---- what is there before, and must be there after a failure ---- */

static void put_start(fixture_t *fixture, const char *key, kv_slice_t value, int64_t deadline_ms)
{
    const kvi_put_options_t options = {.deadline_ms = deadline_ms};
    assert_int_equal(kvi_keyspace_put(fixture->keyspace, slice(key), value, NOW, &options), KV_OK);
}

static fixture_t open_fixture(const kv_engine_ops_t *engine)
{
    fixture_t fixture = {.large = kv_store_malloc(LARGE_BYTES)};
    assert_non_null(fixture.large);
    memset(fixture.large, 'L', LARGE_BYTES);
    const kvi_db_options_t options = {.engine = engine, .keyspaces = 2};
    assert_int_equal(kvi_db_open(&options, &fixture.db), KV_OK);
    fixture.keyspace = kvi_db_keyspace(fixture.db, 0);
    put_start(&fixture, "plain", slice("p"), KVI_NO_DEADLINE);
    put_start(&fixture, "timed", slice("t"), NOW + 100);
    put_start(&fixture, "number", slice("99999999"), KVI_NO_DEADLINE);
    put_start(&fixture, "large", (kv_slice_t){fixture.large, LARGE_BYTES}, KVI_NO_DEADLINE);
    put_start(&fixture, "large timed", (kv_slice_t){fixture.large, LARGE_BYTES}, NOW + 200);
    return fixture;
}

static void close_fixture(fixture_t *fixture)
{
    kvi_db_close(fixture->db);
    kv_store_free(fixture->large);
}

static void assert_entry(fixture_t *fixture, const char *key, kv_slice_t value, int64_t deadline_ms)
{
    kvi_entry_t entry;
    assert_int_equal(kvi_keyspace_get(fixture->keyspace, slice(key), NOW, false, &entry), KV_OK);
    assert_int_equal(entry.value.size, value.size);
    assert_memory_equal(entry.value.data, value.data, value.size);
    assert_int_equal(entry.deadline_ms, deadline_ms);
}

static void assert_unchanged(fixture_t *fixture)
{
    const kv_slice_t large = {fixture->large, LARGE_BYTES};
    assert_int_equal(kvi_keyspace_check(fixture->keyspace), KV_OK);
    assert_int_equal(kvi_keyspace_check(kvi_db_keyspace(fixture->db, 1)), KV_OK);
    assert_int_equal(kvi_keyspace_count(fixture->keyspace), 5);
    assert_int_equal(kvi_keyspace_count(kvi_db_keyspace(fixture->db, 1)), 0);
    assert_int_equal(kvi_keyspace_deadlines(fixture->keyspace), 2);
    assert_entry(fixture, "plain", slice("p"), KVI_NO_DEADLINE);
    assert_entry(fixture, "timed", slice("t"), NOW + 100);
    assert_entry(fixture, "number", slice("99999999"), KVI_NO_DEADLINE);
    assert_entry(fixture, "large", large, KVI_NO_DEADLINE);
    assert_entry(fixture, "large timed", large, NOW + 200);
}

/* ---- an engine that refuses ---- */

/* The hash engine, but for the two calls that ask for memory; the count is the test's own global.
 */
static kv_engine_ops_t refusing;
static const kv_engine_ops_t *inner;
static size_t calls_until_refusal = SIZE_MAX;

static bool refuses(void)
{
    if (calls_until_refusal == SIZE_MAX) {
        return false;
    }
    return calls_until_refusal-- == 0;
}

static kv_status_t refusing_open(const kv_engine_options_t *options, kv_engine_t **engine)
{
    const kv_status_t status = refuses() ? KV_NO_MEMORY : inner->open(options, engine);
    if (status == KV_OK) {
        (*engine)->ops = &refusing;
    }
    return status;
}

static kv_status_t refusing_place(kv_engine_t *engine, kv_slice_t key, size_t value_bytes,
                                  size_t keep_bytes, char **place)
{
    return refuses() ? KV_NO_MEMORY : inner->place(engine, key, value_bytes, keep_bytes, place);
}

static void test_an_engine_that_refuses(void **state)
{
    (void)state;
    inner = kv_engine_find("hash");
    refusing = *inner;
    refusing.aimed = NULL; /* it would go past the functions below */
    refusing.open = refusing_open;
    refusing.place = refusing_place;
    for (size_t i = 0; i < OPERATIONS; i++) {
        fixture_t fixture = open_fixture(&refusing);
        size_t n = 0;
        kv_status_t status = KV_NO_MEMORY;
        for (; status == KV_NO_MEMORY; n++) {
            assert_true(n < FAILURES_MAX);
            calls_until_refusal = n;
            status = operations[i].run(&fixture);
            calls_until_refusal = SIZE_MAX;
            if (status == KV_NO_MEMORY) {
                assert_unchanged(&fixture);
            }
        }
        assert_int_equal(status, KV_OK);
        assert_true(n > 1); /* it was refused at least once */
        assert_int_equal(kvi_keyspace_check(fixture.keyspace), KV_OK);
        close_fixture(&fixture);
    }
}

/* ---- a budget at its limit ---- */

static void test_a_budget_at_its_limit(void **state)
{
    (void)state;
    size_t failures = 0;
    for (size_t i = 0; i < OPERATIONS; i++) {
        fixture_t fixture = open_fixture(NULL);
        size_t limit = kvi_db_memory_used(fixture.db);
        kv_status_t status = KV_NO_MEMORY;
        for (; status == KV_NO_MEMORY; limit += BUDGET_STEP) {
            kvi_db_set_memory_limit(fixture.db, limit);
            status = operations[i].run(&fixture);
            assert_true(kvi_db_memory_used(fixture.db) <= limit);
            if (status == KV_NO_MEMORY) {
                assert_true(++failures < FAILURES_MAX);
                assert_unchanged(&fixture);
            }
        }
        assert_int_equal(status, KV_OK);
        assert_int_equal(kvi_keyspace_check(fixture.keyspace), KV_OK);
        close_fixture(&fixture);
    }
    assert_true(failures > OPERATIONS);
}

static void test_what_needs_no_memory_never_fails(void **state)
{
    (void)state;
    fixture_t fixture = open_fixture(NULL);
    kvi_keyspace_t *const keyspace = fixture.keyspace;
    kvi_db_set_memory_limit(fixture.db, 1);
    int64_t sum;
    assert_int_equal(kvi_keyspace_add(keyspace, slice("number"), -1, NOW, &sum), KV_OK);
    assert_int_equal(kvi_keyspace_set_deadline(keyspace, slice("timed"), NOW + 7, NOW), KV_OK);
    assert_int_equal(kvi_keyspace_set_deadline(keyspace, slice("timed"), KVI_NO_DEADLINE, NOW),
                     KV_OK);
    assert_int_equal(kvi_keyspace_expire(keyspace, NOW + 1000, 10), 1);
    assert_int_equal(kvi_keyspace_delete(keyspace, slice("large"), NOW), KV_OK);
    assert_int_equal(kvi_keyspace_delete(keyspace, slice("plain"), NOW), KV_OK);
    assert_int_equal(kvi_keyspace_count(keyspace), 2);
    assert_int_equal(kvi_keyspace_check(keyspace), KV_OK);
    assert_int_equal(kvi_keyspace_clear(keyspace), KV_OK);
    close_fixture(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_engine_that_refuses),
        cmocka_unit_test(test_a_budget_at_its_limit),
        cmocka_unit_test(test_what_needs_no_memory_never_fails),
    };
    return cmocka_run_group_tests_name("db_faults", tests, NULL, NULL);
}
