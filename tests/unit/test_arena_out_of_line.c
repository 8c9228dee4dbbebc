/* SPDX-License-Identifier: MIT */
/* A caller that wants kv_arena_alloc as an ordinary call of the library. */
#define KV_ARENA_OUT_OF_LINE
#include <concordkv/kv_memory.h>

#include <string.h>

#include "test.h"

static void the_call_is_the_librarys(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    char *const first = kv_arena_alloc(arena, 13);
    char *const second = kv_arena_malloc(arena, 5000);
    memset(first, 1, 13);
    memset(second, 2, 5000);
    assert_int_equal(kv_arena_total_allocated(arena), 16 + 5000);
    assert_null(kv_arena_alloc(arena, 0));
    assert_null(kv_arena_alloc(arena, SIZE_MAX));
    assert_null(kv_arena_alloc(NULL, 8));
    assert_int_equal(kv_arena_check(arena), KV_OK);
    kv_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_call_is_the_librarys)};
    return cmocka_run_group_tests_name("arena out of line", tests, NULL, NULL);
}
