/* SPDX-License-Identifier: MIT */
/*
 * kv_db.h with the n-th request for memory refused, for every n: each call answers KV_NO_MEMORY and
 * nothing has changed, batches and transactions included, or it succeeds. The test stands between
 * the library and its allocators.
 */
#include "../unit/test.h"

#include <stdbool.h>
#include <string.h>

#include <concordkv/kv_db.h>

#include "base/hash.h"

#define TRIES_MAX 2000
#define LARGE_BYTES ((size_t)200000)

/* ---- the allocators, with one request refused ---- */

static size_t requests_left = SIZE_MAX; /* until one is refused */
static bool was_refused;

static bool refuses(void)
{
    if (requests_left == SIZE_MAX || requests_left-- > 0) {
        return false;
    }
    requests_left = SIZE_MAX;
    was_refused = true;
    return true;
}

void *__real_kv_store_malloc(size_t size);
void *__real_kv_store_calloc(size_t nmemb, size_t size);
void *__real_kv_store_realloc(void *pointer, size_t size);
void *__real_kv_pool_alloc(kv_pool_t *pool, size_t size);
void *__real_kv_pool_realloc(kv_pool_t *pool, void *pointer, size_t size);
kv_pool_t *__real_kv_pool_create(const kv_pool_options_t *options);
void *__real_kv_arena_alloc_slow(kv_arena_t *arena, size_t size);
kv_budget_t *__real_kv_budget_create(kv_budget_t *parent, size_t hard_limit);
void *__wrap_kv_store_malloc(size_t size);
void *__wrap_kv_store_calloc(size_t nmemb, size_t size);
void *__wrap_kv_store_realloc(void *pointer, size_t size);
void *__wrap_kv_pool_alloc(kv_pool_t *pool, size_t size);
void *__wrap_kv_pool_realloc(kv_pool_t *pool, void *pointer, size_t size);
kv_pool_t *__wrap_kv_pool_create(const kv_pool_options_t *options);
void *__wrap_kv_arena_alloc_slow(kv_arena_t *arena, size_t size);
kv_budget_t *__wrap_kv_budget_create(kv_budget_t *parent, size_t hard_limit);

void *__wrap_kv_store_malloc(size_t size)
{
    return refuses() ? NULL : __real_kv_store_malloc(size);
}

void *__wrap_kv_store_calloc(size_t nmemb, size_t size)
{
    return refuses() ? NULL : __real_kv_store_calloc(nmemb, size);
}

void *__wrap_kv_store_realloc(void *pointer, size_t size)
{
    return refuses() ? NULL : __real_kv_store_realloc(pointer, size);
}

void *__wrap_kv_pool_alloc(kv_pool_t *pool, size_t size)
{
    return refuses() ? NULL : __real_kv_pool_alloc(pool, size);
}

void *__wrap_kv_pool_realloc(kv_pool_t *pool, void *pointer, size_t size)
{
    return refuses() ? NULL : __real_kv_pool_realloc(pool, pointer, size);
}

kv_pool_t *__wrap_kv_pool_create(const kv_pool_options_t *options)
{
    return refuses() ? NULL : __real_kv_pool_create(options);
}

void *__wrap_kv_arena_alloc_slow(kv_arena_t *arena, size_t size)
{
    return refuses() ? NULL : __real_kv_arena_alloc_slow(arena, size);
}

kv_budget_t *__wrap_kv_budget_create(kv_budget_t *parent, size_t hard_limit)
{
    return refuses() ? NULL : __real_kv_budget_create(parent, hard_limit);
}

/* ---- a database with something in it ---- */

typedef struct fixture {
    kv_db_t *db;
    kv_keyspace_t *space;
    kv_keyspace_t *other;
} fixture_t;

static int64_t clock_ms(void *context)
{
    (void)context;
    return INT64_C(1700000000000);
}

static char large[LARGE_BYTES];

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

static fixture_t open_fixture(const char *engine)
{
    fixture_t f;
    const kv_db_options_t options = {.engine = engine, .clock = clock_ms};
    assert_int_equal(kv_db_open(NULL, &options, &f.db), KV_OK);
    assert_int_equal(kv_keyspace_open(f.db, "0", &f.space), KV_OK);
    assert_int_equal(kv_keyspace_open(f.db, "1", &f.other), KV_OK);
    const kv_put_options_t timed = {.ttl_ms = 5000};
    char key[16];
    for (int i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof(key), "%03d", i);
        assert_int_equal(kv_keyspace_put(f.space, slice(key), slice(key), i % 2 ? &timed : NULL),
                         KV_OK);
    }
    assert_int_equal(kv_keyspace_put(f.space, slice("n"), slice("99"), NULL), KV_OK);
    assert_int_equal(
        kv_keyspace_put(f.space, slice("large"), (kv_slice_t){large, LARGE_BYTES}, NULL), KV_OK);
    return f;
}

static void close_fixture(fixture_t *f)
{
    kv_keyspace_close(f->space);
    kv_keyspace_close(f->other);
    assert_int_equal(kv_db_close(f->db), KV_OK);
}

/* A number that any difference changes, whatever the order of the entries. */
static uint64_t digest(const fixture_t *f)
{
    kv_keyspace_t *const spaces[] = {f->space, f->other};
    uint64_t sum = 0;
    for (uint64_t i = 0; i < 2; i++) {
        kv_iterator_t *iterator;
        assert_int_equal(kv_iterator_open(spaces[i], NULL, &iterator), KV_OK);
        while (kv_iterator_valid(iterator)) {
            const kv_slice_t key = kv_iterator_key(iterator);
            const kv_slice_t value = kv_iterator_value(iterator);
            const uint64_t seed = kvi_hash_mix((uint64_t)kv_iterator_deadline(iterator) + i);
            sum += kvi_hash_bytes(value.data, value.size, kvi_hash_bytes(key.data, key.size, seed));
            assert_int_equal(kv_iterator_next(iterator), KV_OK);
        }
        kv_iterator_close(iterator);
    }
    return sum;
}

/* ---- what is done ---- */

static kv_status_t put_new(fixture_t *f)
{
    const kv_put_options_t timed = {.ttl_ms = 100};
    return kv_keyspace_put(f->space, slice("new"), (kv_slice_t){large, LARGE_BYTES}, &timed);
}

static kv_status_t put_first(fixture_t *f)
{
    return kv_keyspace_put(f->other, slice("first"), slice("value"), NULL);
}

static kv_status_t append(fixture_t *f)
{
    return kv_keyspace_append(f->space, slice("001"), (kv_slice_t){large, LARGE_BYTES}, NULL);
}

static kv_status_t add(fixture_t *f)
{
    int64_t sum;
    return kv_keyspace_add(f->space, slice("n"), 1, &sum);
}

static kv_status_t set_deadline(fixture_t *f)
{
    return kv_keyspace_set_deadline(f->space, slice("large"), clock_ms(NULL) + 1);
}

static kv_status_t create(fixture_t *f)
{
    kv_keyspace_t *made;
    const kv_status_t status = kv_keyspace_create(f->db, "made", NULL, &made);
    if (status == KV_OK) {
        kv_keyspace_close(made);
    }
    return status;
}

static kv_status_t get(fixture_t *f)
{
    kv_value_t value = {0};
    const kv_status_t status = kv_keyspace_get(f->space, slice("large"), &value);
    kv_value_free(&value);
    return status;
}

static kv_status_t iterate(fixture_t *f)
{
    kv_iterator_t *iterator;
    kv_status_t status = kv_iterator_open(f->space, NULL, &iterator);
    if (status != KV_OK) {
        return status;
    }
    while (status == KV_OK && kv_iterator_valid(iterator)) {
        status = kv_iterator_next(iterator);
    }
    kv_iterator_close(iterator);
    return status;
}

static kv_status_t walk(fixture_t *f, kv_snapshot_t *snapshot)
{
    const kv_iterator_options_t options = {.snapshot = snapshot};
    kv_iterator_t *iterator;
    size_t count = 0;
    kv_status_t status = kv_iterator_open(f->space, &options, &iterator);
    if (status != KV_OK) {
        return status;
    }
    for (; status == KV_OK && kv_iterator_valid(iterator); count++) {
        status = kv_iterator_next(iterator);
    }
    kv_iterator_close(iterator);
    assert_true(status != KV_OK || count == 302);
    return status;
}

/* Over a snapshot from which something has changed: to what it was, so that nothing has. */
static kv_status_t walk_snapshot(fixture_t *f)
{
    kv_snapshot_t *snapshot;
    kv_status_t status = kv_snapshot_take(f->db, &snapshot);
    if (status == KV_OK) {
        status = kv_keyspace_put(f->space, slice("n"), slice("99"), NULL);
        status = status != KV_OK ? status : walk(f, snapshot);
        kv_snapshot_release(snapshot);
    }
    return status;
}

static kv_status_t note_all(fixture_t *f, kv_batch_t *batch)
{
    const kv_slice_t value = {large, LARGE_BYTES};
    kv_status_t status = kv_batch_put(batch, f->space, slice("n"), value, NULL);
    status = status != KV_OK ? status : kv_batch_delete(batch, f->space, slice("large"));
    status = status != KV_OK ? status : kv_batch_append(batch, f->space, slice("002"), value);
    status = status != KV_OK ? status : kv_batch_add(batch, f->other, slice("sum"), 5);
    for (int i = 3; i < 100 && status == KV_OK; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "%03d", i);
        status = i % 3 == 0 ? kv_batch_delete(batch, f->space, slice(key))
                            : kv_batch_put(batch, f->space, slice(key), slice(large + 1), NULL);
    }
    return status != KV_OK ? status : kv_batch_put(batch, f->other, slice("x"), value, NULL);
}

static kv_status_t apply_batch(fixture_t *f)
{
    kv_batch_t *batch;
    kv_status_t status = kv_batch_create(f->db, &batch);
    if (status == KV_OK) {
        status = note_all(f, batch);
        status = status != KV_OK ? status : kv_batch_apply(batch);
        kv_batch_destroy(batch);
    }
    return status;
}

static kv_status_t walk_transaction(fixture_t *f, kv_transaction_t *t)
{
    const kv_iterator_options_t options = {.transaction = t};
    kv_iterator_t *iterator;
    kv_status_t status = kv_iterator_open(f->space, &options, &iterator);
    if (status != KV_OK) {
        return status != KV_UNSUPPORTED ? status : KV_OK;
    }
    while (status == KV_OK && kv_iterator_valid(iterator)) {
        status = kv_iterator_next(iterator);
    }
    kv_iterator_close(iterator);
    return status;
}

static kv_status_t fill_transaction(fixture_t *f, kv_transaction_t *t)
{
    kv_value_t value = {0};
    uint32_t savepoint;
    kv_status_t status = kv_transaction_get_for_update(t, f->space, slice("n"), &value);
    status = status != KV_OK ? status : kv_transaction_put(t, f->space, slice("n"), slice("1"), 0);
    status = status != KV_OK ? status : kv_transaction_savepoint(t, &savepoint);
    const kv_slice_t bytes = {large, LARGE_BYTES};
    for (int i = 0; i < 50 && status == KV_OK; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "%03d", i);
        status = kv_transaction_put(t, f->space, slice(key), slice("changed"), 0);
    }
    status = status != KV_OK ? status : kv_transaction_rollback_to(t, savepoint);
    status = status != KV_OK ? status : kv_transaction_get(t, f->space, slice("n"), &value);
    if (status == KV_OK) {
        assert_int_equal(value.size, 1);
        status = kv_transaction_delete(t, f->space, slice("005"));
    }
    status = status != KV_OK ? status : kv_transaction_put(t, f->other, slice("y"), bytes, 0);
    int64_t sum;
    status = status != KV_OK ? status : kv_transaction_add(t, f->space, slice("n"), 1, &sum);
    for (int i = 0; i < 2; i++) {
        status = status != KV_OK ? status
                                 : kv_transaction_append(t, f->space, slice("006"), bytes, NULL);
    }
    status = status != KV_OK ? status : walk_transaction(f, t);
    kv_value_free(&value);
    return status;
}

static kv_status_t run_transaction(fixture_t *f)
{
    kv_transaction_t *t;
    kv_status_t status = kv_transaction_begin(f->db, &t);
    if (status != KV_OK) {
        return status;
    }
    status = fill_transaction(f, t);
    status = status != KV_OK ? status : kv_transaction_commit(t);
    if (status != KV_OK) {
        kv_transaction_rollback(t);
    }
    return status;
}

static kv_status_t delete_range(fixture_t *f)
{
    const kv_range_t range = {{KV_BOUND_INCLUDED, slice("010")}, {KV_BOUND_EXCLUDED, slice("200")}};
    const kv_status_t status = kv_keyspace_delete_range(f->space, &range, NULL);
    return status != KV_UNSUPPORTED ? status : KV_OK;
}

static const struct operation {
    const char *name;
    kv_status_t (*run)(fixture_t *fixture);
} operations[] = {{"put_new", put_new},
                  {"put_first", put_first},
                  {"append", append},
                  {"add", add},
                  {"set_deadline", set_deadline},
                  {"create", create},
                  {"get", get},
                  {"iterate", iterate},
                  {"walk_snapshot", walk_snapshot},
                  {"batch", apply_batch},
                  {"transaction", run_transaction},
                  {"delete_range", delete_range}};

/* Fails every request of one operation in turn; returns how many there were. */
static size_t fail_each(const struct operation *operation, const char *engine)
{
    fixture_t f = open_fixture(engine);
    const uint64_t before = digest(&f);
    for (size_t n = 0; n < TRIES_MAX; n++) {
        requests_left = n;
        was_refused = false;
        const kv_status_t status = operation->run(&f);
        requests_left = SIZE_MAX;
        if (status == KV_OK) {
            /* Refused without harm, of a cache perhaps, or not at all. */
            close_fixture(&f);
            if (!was_refused) {
                return n;
            }
            f = open_fixture(engine);
            continue;
        }
        assert_true(was_refused);
        assert_int_equal(status, KV_NO_MEMORY);
        assert_true(digest(&f) == before);
    }
    fail_msg("%s asks for memory without end", operation->name);
    return 0;
}

static void every_request_may_be_refused(void **state)
{
    (void)state;
    memset(large, 'x', sizeof(large) - 1);
    memset(large, 'y', 30);
    large[60] = 0;
    for (size_t engine = 0; kv_engine_at(engine) != NULL; engine++) {
        size_t requests = 0;
        for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
            requests += fail_each(&operations[i], kv_engine_at(engine)->name);
        }
        assert_true(requests > 40);
    }
}

/* A snapshot that could not keep an old value says so; changes go on. */
static void fail_each_keeping(const char *engine)
{
    for (size_t n = 0, refused = 1; refused > 0; n++) {
        assert_true(n < TRIES_MAX);
        fixture_t f = open_fixture(engine);
        kv_value_t value = {0};
        kv_snapshot_t *snapshot;
        assert_int_equal(kv_snapshot_take(f.db, &snapshot), KV_OK);
        requests_left = n;
        was_refused = false;
        const kv_status_t changed = kv_keyspace_put(f.space, slice("n"), slice("100"), NULL);
        requests_left = SIZE_MAX;
        refused = was_refused;
        assert_true(changed == KV_OK || (refused == 1 && changed == KV_NO_MEMORY));
        const kv_status_t status = kv_snapshot_get(snapshot, f.space, slice("n"), &value);
        assert_true(status == KV_OK || (refused == 1 && status == KV_NO_MEMORY));
        if (status == KV_OK) {
            assert_int_equal(value.size, 2);
        }
        kv_value_free(&value);
        kv_snapshot_release(snapshot);
        close_fixture(&f);
    }
}

static void a_snapshot_without_memory_says_so(void **state)
{
    (void)state;
    for (size_t engine = 0; kv_engine_at(engine) != NULL; engine++) {
        fail_each_keeping(kv_engine_at(engine)->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_may_be_refused),
        cmocka_unit_test(a_snapshot_without_memory_says_so),
    };
    return cmocka_run_group_tests_name("kv_db_faults", tests, NULL, NULL);
}
