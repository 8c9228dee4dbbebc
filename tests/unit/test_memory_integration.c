/* SPDX-License-Identifier: MIT */
/* The specification's integration test of the pool: what a program does with the five functions, in
 * both builds. Also run on its own: `make integration`. */
#include "test.h"

#include <concordkv/kv_memory.h>

#include <string.h>

static void malloc_gives_memory_to_write_to(void **state)
{
    (void)state;
    char *const object = kv_store_malloc(1024);
    assert_non_null(object);
    memset(object, 0x5a, 1024);
    assert_int_equal(object[0], 0x5a);
    assert_int_equal(object[1023], 0x5a);
    kv_store_free(object);
}

static void calloc_gives_zeros(void **state)
{
    (void)state;
    unsigned char *const object = kv_store_calloc(256, 4);
    assert_non_null(object);
    for (size_t i = 0; i < 1024; i++) {
        assert_int_equal(object[i], 0);
    }
    kv_store_free(object);
}

static void realloc_to_2048_keeps_the_bytes(void **state)
{
    (void)state;
    unsigned char *object = kv_store_malloc(1024);
    assert_non_null(object);
    for (size_t i = 0; i < 1024; i++) {
        object[i] = (unsigned char)i;
    }
    object = kv_store_realloc(object, 2048);
    assert_non_null(object);
    for (size_t i = 0; i < 1024; i++) {
        assert_int_equal(object[i], (unsigned char)i);
    }
    memset(object, 1, 2048);
    kv_store_free(object);
}

static void a_thousand_come_and_go(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    char *objects[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        objects[i] = kv_store_malloc(i + 1);
        assert_non_null(objects[i]);
        memset(objects[i], (int)(i & 0x7f), i + 1);
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(objects[i][0], i & 0x7f);
        assert_int_equal(objects[i][i], i & 0x7f);
        kv_store_free(objects[i]);
    }
}

static void everything_is_freed(void **state)
{
    (void)state;
    kv_memory_cleanup();
    kv_memory_stats_t stats;
    assert_int_equal(kv_memory_stats(&stats), KV_OK);
    assert_int_equal(stats.store_live_bytes, 0);
    assert_int_equal(stats.idle_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malloc_gives_memory_to_write_to),
        cmocka_unit_test(calloc_gives_zeros),
        cmocka_unit_test(realloc_to_2048_keeps_the_bytes),
        cmocka_unit_test(a_thousand_come_and_go),
        cmocka_unit_test(everything_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
