/* SPDX-License-Identifier: MIT */
/* Estimates against the truth, which is what the budget is charged, for four shapes of entries. */
#include "rows.h"

#define PART_MAX 0.03
#define KEY_BYTES_MAX 512
#define VALUE_BYTES_MAX 20000

typedef struct shape {
    size_t count;
    size_t array_count; /* what an engine that scans all of its entries can be filled with */
    size_t key_bytes;
    size_t value_bytes;
} shape_t;

static const shape_t shapes[] = {
    {250000, 3000, 16, 32},
    {600000, 3000, 8, 8},
    {50000, 3000, 30, 256},
    {1200, 1200, 40, 10000},
};

/* Random keys have nothing in common, and the first bytes make each a key of its own. */
static kv_slice_t make_key(uint64_t *random, const shape_t *shape, char *buffer)
{
    for (size_t i = 0; i < shape->key_bytes; i += sizeof *random) {
        const uint64_t word = test_random(random);
        memcpy(buffer + i, &word, sizeof word);
    }
    return (kv_slice_t){buffer, shape->key_bytes};
}

static bool scans_all(const kv_engine_ops_t *row)
{
    return strcmp(row->name, "array") == 0;
}

static void measure(const kv_engine_ops_t *row, const shape_t *shape)
{
    static char value[VALUE_BYTES_MAX];
    char key[KEY_BYTES_MAX];
    uint64_t random = 3; /* the same in every run: this is no search for rare cases */
    size_t estimate = 0;
    const size_t count = scans_all(row) ? shape->array_count : shape->count;
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    kv_engine_t *const engine = rows_open(row, budget, 1);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(row->put(engine, make_key(&random, shape, key),
                                  (kv_slice_t){value, shape->value_bytes}),
                         KV_OK);
    }
    assert_int_equal(row->count(engine), count);
    const double used = (double)kv_budget_used(budget);
    assert_int_equal(
        kv_engine_estimate(row->name, count, shape->key_bytes, shape->value_bytes, &estimate),
        KV_OK);
    printf("# %s, %zu x %zu + %zu: %.0f bytes, estimate %+.2f %%\n", row->name, count,
           shape->key_bytes, shape->value_bytes, used, ((double)estimate / used - 1) * 100);
    assert_true((double)estimate <= used * (1 + PART_MAX));
    assert_true((double)estimate >= used * (1 - PART_MAX));
    row->close(engine);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

static void estimates_are_close(void **state)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        measure(*state, &shapes[i]);
    }
}

static void odd_questions_have_answers(void **state)
{
    const kv_engine_ops_t *const row = *state;
    size_t nothing = 0;
    size_t one = 0;
    size_t bytes = 0;
    assert_int_equal(kv_engine_estimate(row->name, 0, 0, 0, &nothing), KV_OK);
    assert_int_equal(kv_engine_estimate(row->name, 1, 0, 0, &one), KV_OK);
    assert_true(nothing > 0 && nothing <= one && one < (size_t)4 << 20);
    assert_int_equal(kv_engine_estimate(row->name, UINT64_MAX, 0, 0, &bytes), KV_TOO_LARGE);
    assert_int_equal(
        kv_engine_estimate(row->name, UINT32_MAX, KV_KEY_BYTES_MAX, KV_VALUE_BYTES_MAX, &bytes),
        KV_TOO_LARGE);
    assert_int_equal(kv_engine_estimate(row->name, 1, KV_KEY_BYTES_MAX + 1, 0, &bytes),
                     KV_TOO_LARGE);
    assert_int_equal(kv_engine_estimate(row->name, 1, 0, KV_VALUE_BYTES_MAX + 1, &bytes),
                     KV_TOO_LARGE);
    assert_int_equal(kv_engine_estimate("no such engine", 1, 0, 0, &bytes), KV_UNSUPPORTED);
    assert_int_equal(kv_engine_estimate(row->name, 2, 10, (size_t)512 << 20, &bytes), KV_OK);
    assert_true(bytes > (size_t)1 << 30 && bytes < (size_t)5 << 28);
}

int main(void)
{
    static const rows_case_t cases[] = {
        ROWS_CASE(estimates_are_close),
        ROWS_CASE(odd_questions_have_answers),
    };
    return rows_run(cases, sizeof cases / sizeof cases[0], false);
}
