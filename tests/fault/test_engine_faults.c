/* SPDX-License-Identifier: MIT */
/*
 * What stands across engines with the n-th request for memory refused, for every n: range cursors,
 * tokens, positions by cursor and conversions. Nothing may leak, and a refused conversion must not
 * be felt by those who write. The test stands between the library and kv_store_malloc.
 */
#include "../engine/rows.h"

#define LONG_KEY_BYTES 5000
#define ENTRIES 200
#define FAILURES_MAX 1000

void *__real_kv_store_malloc(size_t size);
void *__real_kv_store_calloc(size_t nmemb, size_t size);
void *__real_kv_store_realloc(void *pointer, size_t size);
void *__wrap_kv_store_malloc(size_t size);
void *__wrap_kv_store_calloc(size_t nmemb, size_t size);
void *__wrap_kv_store_realloc(void *pointer, size_t size);

static long until_failure; /* requests that succeed; negative: all do */

static bool is_refused(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

void *__wrap_kv_store_malloc(size_t size)
{
    return is_refused() ? NULL : __real_kv_store_malloc(size);
}

void *__wrap_kv_store_calloc(size_t nmemb, size_t size)
{
    return is_refused() ? NULL : __real_kv_store_calloc(nmemb, size);
}

void *__wrap_kv_store_realloc(void *pointer, size_t size)
{
    return is_refused() ? NULL : __real_kv_store_realloc(pointer, size);
}

/* ---- an engine with short and long keys ---- */

static kv_slice_t make_key(int number, char *buffer)
{
    memset(buffer, 'k', LONG_KEY_BYTES);
    buffer[0] = (char)(number / 16);
    buffer[1] = (char)number;
    return (kv_slice_t){buffer, number % 5 == 0 ? LONG_KEY_BYTES : 2};
}

static kv_engine_t *open_filled(const kv_engine_ops_t *row, kv_budget_t *budget)
{
    char buffer[LONG_KEY_BYTES];
    kv_engine_t *const engine = rows_open(row, budget, 1);
    for (int i = 0; i < ENTRIES; i++) {
        const kv_slice_t key = make_key(i, buffer);
        assert_int_equal(row->put(engine, key, key), KV_OK);
    }
    return engine;
}

static void close_checked(kv_engine_t *engine, kv_budget_t *budget)
{
    assert_int_equal(engine->ops->check(engine), KV_OK);
    engine->ops->close(engine);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

/* ---- range cursors ---- */

/* From a long key to the end, with a token at every entry. */
static kv_status_t walk(kv_engine_t *engine, size_t *visited)
{
    char buffer[LONG_KEY_BYTES];
    kv_range_cursor_t *cursor = NULL;
    kv_slice_t token;
    const kv_range_options_t options = {
        .range = {{KV_BOUND_EXCLUDED, make_key(0, buffer)}, {KV_BOUND_NONE, {NULL, 0}}},
    };
    *visited = 0;
    kv_status_t status = kv_range_cursor_open(engine, &options, &cursor);
    while (status == KV_OK && kv_range_cursor_valid(cursor)) {
        ++*visited;
        status = kv_range_cursor_token(cursor, &token);
        if (status == KV_OK) {
            status = kv_range_cursor_next(cursor);
        }
    }
    kv_range_cursor_close(cursor);
    return status;
}

static void walks_may_fail_anywhere(void **state)
{
    const kv_engine_ops_t *const row = *state;
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    kv_engine_t *const engine = open_filled(row, budget);
    size_t all = 0;
    size_t visited = 0;
    kv_status_t status = row->ordered ? KV_NO_MEMORY : KV_OK;
    if (row->ordered) {
        assert_int_equal(walk(engine, &all), KV_OK);
    }
    for (long n = 0; status != KV_OK; n++) {
        assert_true(n < FAILURES_MAX);
        until_failure = n;
        status = walk(engine, &visited);
        until_failure = -1;
        assert_true(status == KV_OK || status == KV_NO_MEMORY);
    }
    assert_int_equal(visited, all);
    close_checked(engine, budget);
}

/* ---- deleting a range ---- */

static void a_range_may_be_deleted_in_part(void **state)
{
    const kv_engine_ops_t *const row = *state;
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    kv_engine_t *const engine = open_filled(row, budget);
    const kv_range_t all = {{KV_BOUND_NONE, {NULL, 0}}, {KV_BOUND_NONE, {NULL, 0}}};
    uint64_t left = row->count(engine);
    kv_status_t status = row->ordered ? KV_NO_MEMORY : KV_OK;
    for (long n = 0; status != KV_OK; n++) {
        uint64_t deleted = 0;
        assert_true(n < FAILURES_MAX);
        until_failure = n;
        status = kv_engine_delete_range(engine, &all, &deleted);
        until_failure = -1;
        assert_true(status == KV_OK || status == KV_NO_MEMORY);
        left -= deleted;
        assert_int_equal(row->count(engine), left);
        assert_int_equal(row->check(engine), KV_OK);
    }
    assert_true(!row->ordered || left == 0);
    close_checked(engine, budget);
}

/* ---- conversions ---- */

/* Begins, steps, writes a long key, ends. Writes succeed whatever happens. */
static kv_status_t convert(kv_engine_t **engine)
{
    char buffer[LONG_KEY_BYTES];
    bool done = false;
    char *place = NULL;
    kv_engine_t *converting = NULL;
    kv_status_t status = kv_engine_convert_begin(*engine, "hash", NULL, &converting);
    if (status != KV_OK) {
        return status;
    }
    for (int i = 0; status == KV_OK && !done; i++) {
        const kv_slice_t key = make_key(i % ENTRIES, buffer);
        status = kv_engine_convert_step(converting, 10, &done);
        assert_int_equal(converting->ops->place(converting, key, 3, 0, &place), KV_OK);
        memcpy(place, "new", 3);
        assert_int_equal(converting->ops->put(converting, key, (kv_slice_t){"newer", 5}), KV_OK);
        kv_engine_touched(converting, key);
    }
    assert_int_equal(converting->ops->count(converting), ENTRIES);
    assert_int_equal(converting->ops->check(converting), KV_OK);
    return kv_engine_convert_end(converting, engine);
}

static void conversions_may_fail_anywhere(void **state)
{
    const kv_engine_ops_t *const row = *state;
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    kv_engine_t *engine = open_filled(row, budget);
    kv_status_t status = KV_NO_MEMORY;
    int failures = 0;
    for (long n = 0; status != KV_OK; n++) {
        assert_true(n < FAILURES_MAX);
        until_failure = n;
        status = convert(&engine);
        until_failure = -1;
        assert_true(status == KV_OK || status == KV_NO_MEMORY);
        failures += status != KV_OK;
        assert_string_equal(engine->ops->name, status == KV_OK ? "hash" : row->name);
        assert_int_equal(engine->ops->count(engine), ENTRIES);
    }
    assert_true(failures >= 2); /* the conversion itself, and its copy of a key */
    assert_int_equal(kv_budget_used(budget), 0);
    close_checked(engine, budget);
}

int main(void)
{
    static const rows_case_t cases[] = {
        ROWS_CASE(walks_may_fail_anywhere),
        ROWS_CASE(a_range_may_be_deleted_in_part),
        ROWS_CASE(conversions_may_fail_anywhere),
    };
    until_failure = -1;
    return rows_run(cases, sizeof cases / sizeof cases[0], true);
}
