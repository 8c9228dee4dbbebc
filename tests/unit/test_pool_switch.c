/* SPDX-License-Identifier: MIT */
/* ENABLE_MEM_POOL in each of its spellings. The build compiles this file, and with it the store,
 * once for each; POOL_EXPECTED is what a reader of that spelling expects. */
#include "test.h"

#include "os/config.h"

#include "memory/store.c"

static void the_spelling_means_what_it_says(void **state)
{
    (void)state;
    assert_int_equal(kvi_mem_pool, POOL_EXPECTED);
    kv_memory_stats_t stats;
    assert_int_equal(kv_memory_stats(&stats), KV_OK);
    assert_int_equal(stats.pool_enabled, POOL_EXPECTED);
}

static void the_objects_come_from_there(void **state)
{
    (void)state;
    char *object = kv_store_malloc(100);
    assert_non_null(object);
    assert_int_equal(kvi_source_owns(object), POOL_EXPECTED);
    object = kv_store_realloc(object, 5000);
    assert_int_equal(kvi_source_owns(object), POOL_EXPECTED);
    assert_true(kv_store_usable_size(object) >= 5000);
    kv_store_free(object);
    object = kv_store_calloc(10, 10);
    assert_int_equal(kvi_source_owns(object), POOL_EXPECTED);
    kv_store_free(object);
    object = kv_store_aligned_alloc(4096, 10);
    assert_int_equal(kvi_source_owns(object), POOL_EXPECTED);
    kv_store_free(object);
    assert_null(kv_store_realloc(kv_store_malloc(1), 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_spelling_means_what_it_says),
        cmocka_unit_test(the_objects_come_from_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
