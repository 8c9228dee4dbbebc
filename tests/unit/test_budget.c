/* SPDX-License-Identifier: MIT */
/* Budgets: limits hold at every level, refusals change nothing, crossings are told once. */
#include "test.h"

#include <concordkv/kv_memory.h>

#include "memory/block.h"

#include <pthread.h>

static void null_is_no_budget(void **state)
{
    (void)state;
    assert_true(kvi_budget_charge(NULL, SIZE_MAX));
    kvi_budget_return(NULL, SIZE_MAX);
    assert_int_equal(kv_budget_used(NULL), 0);
    assert_int_equal(kv_budget_peak(NULL), 0);
    assert_int_equal(kv_budget_limit(NULL), 0);
    kv_budget_set_limit(NULL, 1);
    kv_budget_set_soft_limit(NULL, 1, NULL, NULL);
    kv_budget_destroy(NULL);
}

static void a_charge_fits_or_changes_nothing(void **state)
{
    (void)state;
    kv_budget_t *const budget = kv_budget_create(NULL, 100);
    assert_non_null(budget);
    assert_int_equal(kv_budget_limit(budget), 100);
    assert_true(kvi_budget_charge(budget, 60));
    assert_false(kvi_budget_charge(budget, 41));
    assert_int_equal(kv_budget_used(budget), 60);
    assert_true(kvi_budget_charge(budget, 40));
    assert_false(kvi_budget_charge(budget, 1));
    assert_false(kvi_budget_charge(budget, SIZE_MAX));
    assert_true(kvi_budget_charge(budget, 0));
    kvi_budget_return(budget, 100);
    assert_int_equal(kv_budget_used(budget), 0);
    assert_int_equal(kv_budget_peak(budget), 100);
    kv_budget_destroy(budget);
}

static void zero_is_no_limit(void **state)
{
    (void)state;
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    assert_int_equal(kv_budget_limit(budget), 0);
    assert_true(kvi_budget_charge(budget, SIZE_MAX - 1));
    assert_false(kvi_budget_charge(budget, 2)); /* no count could hold it */
    kvi_budget_return(budget, SIZE_MAX - 1);
    kv_budget_destroy(budget);
}

static void every_parent_must_agree(void **state)
{
    (void)state;
    kv_budget_t *const root = kv_budget_create(NULL, 100);
    kv_budget_t *const middle = kv_budget_create(root, 0);
    kv_budget_t *const left = kv_budget_create(middle, 80);
    kv_budget_t *const right = kv_budget_create(middle, 80);
    assert_true(kvi_budget_charge(left, 70));
    assert_false(kvi_budget_charge(right, 40)); /* the root refuses */
    assert_int_equal(kv_budget_used(right), 0);
    assert_int_equal(kv_budget_used(middle), 70);
    assert_int_equal(kv_budget_peak(right), 0); /* a refused charge is no peak */
    assert_true(kvi_budget_charge(right, 30));
    assert_int_equal(kv_budget_used(root), 100);
    assert_false(kvi_budget_charge(left, 10));
    kvi_budget_return(left, 70);
    kvi_budget_return(right, 30);
    assert_int_equal(kv_budget_used(root), 0);
    kv_budget_destroy(right);
    kv_budget_destroy(left);
    kv_budget_destroy(middle);
    kv_budget_destroy(root);
}

static void a_lowered_limit_only_refuses(void **state)
{
    (void)state;
    kv_budget_t *const budget = kv_budget_create(NULL, 100);
    assert_true(kvi_budget_charge(budget, 90));
    kv_budget_set_limit(budget, 50);
    assert_int_equal(kv_budget_used(budget), 90);
    assert_false(kvi_budget_charge(budget, 1));
    kvi_budget_return(budget, 60);
    assert_true(kvi_budget_charge(budget, 20));
    kv_budget_set_limit(budget, 0);
    assert_true(kvi_budget_charge(budget, 1000));
    kvi_budget_return(budget, 1050);
    kv_budget_destroy(budget);
}

typedef struct crossings {
    unsigned count;
    size_t used;
} crossings_t;

static void count_crossing(kv_budget_t *budget, size_t used, void *context)
{
    crossings_t *const crossings = context;
    assert_true(kv_budget_used(budget) >= used);
    crossings->count++;
    crossings->used = used;
}

static void a_soft_limit_is_told_once_per_crossing(void **state)
{
    (void)state;
    crossings_t crossings = {0};
    kv_budget_t *const root = kv_budget_create(NULL, 0);
    kv_budget_t *const budget = kv_budget_create(root, 200);
    kv_budget_set_soft_limit(root, 100, count_crossing, &crossings);
    assert_true(kvi_budget_charge(budget, 100)); /* at the limit is not above it */
    assert_int_equal(crossings.count, 0);
    assert_true(kvi_budget_charge(budget, 1));
    assert_int_equal(crossings.count, 1);
    assert_int_equal(crossings.used, 101);
    assert_true(kvi_budget_charge(budget, 50)); /* above already */
    assert_false(kvi_budget_charge(budget, 100));
    assert_int_equal(crossings.count, 1);
    kvi_budget_return(budget, 51);
    assert_true(kvi_budget_charge(budget, 5));
    assert_int_equal(crossings.count, 2);
    kv_budget_set_soft_limit(root, 0, count_crossing, &crossings);
    kvi_budget_return(budget, 105);
    assert_true(kvi_budget_charge(budget, 150));
    assert_int_equal(crossings.count, 2);
    kvi_budget_return(budget, 150);
    kv_budget_destroy(budget);
    kv_budget_destroy(root);
}

static void a_soft_limit_below_the_use_waits_for_a_crossing(void **state)
{
    (void)state;
    crossings_t crossings = {0};
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    assert_true(kvi_budget_charge(budget, 100));
    kv_budget_set_soft_limit(budget, 50, count_crossing, &crossings);
    assert_true(kvi_budget_charge(budget, 10));
    assert_int_equal(crossings.count, 0);
    kvi_budget_return(budget, 70);
    assert_true(kvi_budget_charge(budget, 20));
    assert_int_equal(crossings.count, 1);
    kvi_budget_return(budget, 60);
    kv_budget_destroy(budget);
}

enum { THREADS = 4, ROUNDS = 20000, THREAD_LIMIT = 3000 };

static void *charge_and_return(void *context)
{
    kv_budget_t *const budget = context;
    size_t refused = 0;
    for (int i = 0; i < ROUNDS; i++) {
        if (kvi_budget_charge(budget, 1000)) {
            kvi_budget_return(budget, 1000);
        } else {
            refused++;
        }
    }
    return (void *)refused;
}

static void threads_never_pass_the_limit(void **state)
{
    (void)state;
    kv_budget_t *const root = kv_budget_create(NULL, THREAD_LIMIT);
    kv_budget_t *budgets[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        budgets[i] = kv_budget_create(root, 0);
        assert_int_equal(pthread_create(&threads[i], NULL, charge_and_return, budgets[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(kv_budget_used(budgets[i]), 0);
        kv_budget_destroy(budgets[i]);
    }
    assert_int_equal(kv_budget_used(root), 0);
    assert_true(kv_budget_peak(root) <= THREAD_LIMIT);
    kv_budget_destroy(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_is_no_budget),
        cmocka_unit_test(a_charge_fits_or_changes_nothing),
        cmocka_unit_test(zero_is_no_limit),
        cmocka_unit_test(every_parent_must_agree),
        cmocka_unit_test(a_lowered_limit_only_refuses),
        cmocka_unit_test(a_soft_limit_is_told_once_per_crossing),
        cmocka_unit_test(a_soft_limit_below_the_use_waits_for_a_crossing),
        cmocka_unit_test(threads_never_pass_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
