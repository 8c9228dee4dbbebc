/* SPDX-License-Identifier: MIT */
/* The index of deadlines: order against a sorted model, places after every step, memory. */
#include "test.h"

#include <stdbool.h>
#include <string.h>

#include <concordkv/kv_memory.h>

#include "db/expiry.h"

#define KEYS 600

typedef struct model {
    kvi_expiry_item_t *items[KEYS]; /* NULL: not in the index */
    int64_t deadlines[KEYS];
    size_t count;
} model_t;

static kv_slice_t key_of(size_t number, char text[32])
{
    return (kv_slice_t){text, (size_t)snprintf(text, 32, "key:%zu", number)};
}

static int64_t earliest(const model_t *model)
{
    int64_t deadline_ms = INT64_MAX;
    for (size_t i = 0; i < KEYS; i++) {
        if (model->items[i] != NULL && model->deadlines[i] < deadline_ms) {
            deadline_ms = model->deadlines[i];
        }
    }
    return deadline_ms;
}

static void verify(const kvi_expiry_t *expiry, const model_t *model)
{
    assert_int_equal(kvi_expiry_check(expiry), KV_OK);
    assert_int_equal(expiry->count, model->count);
    assert_int_equal(expiry->reserved, 0);
    assert_int_equal(kvi_expiry_next(expiry), earliest(model));
}

static void add(kvi_expiry_t *expiry, model_t *model, size_t number, int64_t deadline_ms)
{
    char text[32];
    model->items[number] = kvi_expiry_reserve(expiry, key_of(number, text));
    assert_non_null(model->items[number]);
    kvi_expiry_add(expiry, model->items[number], deadline_ms);
    model->deadlines[number] = deadline_ms;
    model->count++;
}

static size_t number_of(const kvi_expiry_item_t *item)
{
    char text[32] = {0};
    const kv_slice_t key = kvi_expiry_item_key(item);
    assert_in_range(key.size, 5, 31);
    memcpy(text, key.data, key.size);
    return strtoul(text + 4, NULL, 10);
}

/* Takes what is due and compares it, in order, with the model. */
static void take_due(kvi_expiry_t *expiry, model_t *model, int64_t now_ms)
{
    kvi_expiry_item_t *items[7];
    const size_t taken = kvi_expiry_take_due(expiry, now_ms, items, 7);
    for (size_t i = 0; i < taken; i++) {
        const size_t number = number_of(items[i]);
        assert_ptr_equal(model->items[number], items[i]);
        assert_int_equal(model->deadlines[number], earliest(model));
        assert_true(model->deadlines[number] < now_ms);
        model->items[number] = NULL;
        model->count--;
        kvi_expiry_cancel(expiry, items[i]);
    }
    if (taken < 7) {
        assert_true(earliest(model) >= now_ms);
    }
}

static void item_moved(void *context, kvi_expiry_item_t *item)
{
    ((model_t *)context)->items[number_of(item)] = item;
}

static void test_random_steps_keep_the_order(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    kvi_expiry_t expiry = {.budget = NULL};
    model_t model = {.count = 0};
    for (size_t step = 0; step < 20000; step++) {
        const size_t number = test_random(&random) % KEYS;
        const int64_t deadline_ms = (int64_t)(test_random(&random) % 1000);
        /* Phases of growing and of shrinking, so that chunks come and go. */
        const bool grows = step / 2500 % 2 == 0;
        if (model.items[number] == NULL) {
            if (grows || step % 4 == 0) {
                add(&expiry, &model, number, deadline_ms);
            }
        } else if (test_random(&random) % 2 == 0) {
            kvi_expiry_move(&expiry, model.items[number], deadline_ms);
            model.deadlines[number] = deadline_ms;
        } else if (!grows) {
            kvi_expiry_remove(&expiry, model.items[number]);
            model.items[number] = NULL;
            model.count--;
        }
        if (step % 16 == 0) {
            take_due(&expiry, &model, (int64_t)(test_random(&random) % 40));
        }
        if (step % 64 == 0) {
            (void)kvi_expiry_relocate(&expiry, 50, item_moved, &model);
        }
        if (step % 8 == 0) {
            verify(&expiry, &model);
        }
    }
    verify(&expiry, &model);
    kvi_expiry_clear(&expiry);
    assert_int_equal(expiry.count, 0);
    assert_int_equal(kvi_expiry_next(&expiry), INT64_MAX);
}

static void test_a_deadline_of_now_is_not_due(void **state)
{
    (void)state;
    kvi_expiry_t expiry = {.budget = NULL};
    model_t model = {.count = 0};
    add(&expiry, &model, 0, 100);
    kvi_expiry_item_t *item;
    assert_int_equal(kvi_expiry_take_due(&expiry, 100, &item, 1), 0);
    assert_int_equal(kvi_expiry_take_due(&expiry, 101, &item, 1), 1);
    kvi_expiry_cancel(&expiry, item);
    assert_int_equal(expiry.count, 0);
    kvi_expiry_clear(&expiry);
}

static void test_reserve_fails_without_memory_and_changes_nothing(void **state)
{
    (void)state;
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    assert_non_null(budget);
    kvi_expiry_t expiry = {.budget = budget};
    static char long_key[200000];
    size_t failures = 0;
    for (size_t limit = 1; limit < 1000000; limit += 4096) {
        kv_budget_set_limit(budget, limit);
        kvi_expiry_item_t *const item =
            kvi_expiry_reserve(&expiry, (kv_slice_t){long_key, sizeof(long_key)});
        assert_int_equal(kvi_expiry_check(&expiry), KV_OK);
        if (item != NULL) {
            kvi_expiry_cancel(&expiry, item);
            break;
        }
        assert_int_equal(expiry.reserved, 0);
        failures++;
    }
    assert_true(failures > 2);
    assert_int_equal(expiry.reserved, 0);
    kvi_expiry_clear(&expiry);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

static void test_many_items_come_out_sorted(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    kvi_expiry_t expiry = {.budget = NULL};
    enum { COUNT = 20000 };
    for (size_t i = 0; i < COUNT; i++) {
        char text[32];
        kvi_expiry_item_t *const item = kvi_expiry_reserve(&expiry, key_of(i, text));
        assert_non_null(item);
        kvi_expiry_add(&expiry, item, (int64_t)(test_random(&random) % COUNT));
    }
    int64_t last = 0;
    for (size_t i = 0; i < COUNT; i++) {
        const int64_t next = kvi_expiry_next(&expiry);
        assert_true(next >= last);
        last = next;
        kvi_expiry_item_t *item;
        assert_int_equal(kvi_expiry_take_due(&expiry, INT64_MAX, &item, 1), 1);
        kvi_expiry_cancel(&expiry, item);
    }
    assert_int_equal(expiry.count, 0);
    assert_true(expiry.chunk_count <= 2);
    kvi_expiry_clear(&expiry);
}

#define MANY 50000

static kvi_expiry_item_t *many[MANY]; /* by number */

static void many_moved(void *context, kvi_expiry_item_t *item)
{
    ++*(size_t *)context;
    many[number_of(item)] = item;
}

static void test_relocation_gives_memory_back(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    kvi_expiry_t expiry = {.budget = NULL};
    for (size_t i = 0; i < MANY; i++) {
        char text[32];
        many[i] = kvi_expiry_reserve(&expiry, key_of(i, text));
        assert_non_null(many[i]);
        kvi_expiry_add(&expiry, many[i], (int64_t)(test_random(&random) % MANY));
    }
    size_t moved = 0;
    assert_int_equal(kvi_expiry_relocate(&expiry, 100, many_moved, &moved), 0);
    for (size_t i = 0; i < MANY; i++) {
        if (test_random(&random) % 10 != 0) {
            kvi_expiry_remove(&expiry, many[i]);
            many[i] = NULL;
        }
    }
    const size_t before = kvi_expiry_bytes(&expiry);
    while (kvi_expiry_relocate(&expiry, 100, many_moved, &moved) == 100) {
        assert_int_equal(expiry.reserved, 0);
    }
    assert_true(moved > expiry.count / 4);
    assert_true(kvi_expiry_bytes(&expiry) < before / 2);
    assert_int_equal(kvi_expiry_check(&expiry), KV_OK);
    for (size_t i = 0; i < MANY; i++) {
        if (many[i] != NULL) {
            assert_int_equal(number_of(many[i]), i);
            kvi_expiry_remove(&expiry, many[i]);
        }
    }
    assert_int_equal(expiry.count, 0);
    kvi_expiry_clear(&expiry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_steps_keep_the_order),
        cmocka_unit_test(test_a_deadline_of_now_is_not_due),
        cmocka_unit_test(test_reserve_fails_without_memory_and_changes_nothing),
        cmocka_unit_test(test_many_items_come_out_sorted),
        cmocka_unit_test(test_relocation_gives_memory_back),
    };
    return cmocka_run_group_tests_name("expiry", tests, NULL, NULL);
}
