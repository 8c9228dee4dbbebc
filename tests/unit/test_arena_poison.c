/* SPDX-License-Identifier: MIT */
/*
 * In a build with AddressSanitizer the bytes of an arena that nobody owns are poisoned: before they
 * are handed out, behind an object, after a rewind and a reset. Built only with it:
 * make asan.
 */
#include <concordkv/kv_memory.h>

#include <string.h>

#include "test.h"

/* AddressSanitizer's own. */
extern int __asan_address_is_poisoned(const volatile void *address);

static bool is_poisoned(const void *address)
{
    return __asan_address_is_poisoned(address) != 0;
}

static void bytes_behind_an_object(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    for (size_t size = 1; size < 100; size++) {
        char *const bytes = kv_arena_alloc(arena, size);
        assert_false(is_poisoned(bytes));
        assert_false(is_poisoned(bytes + size - 1));
        assert_true(is_poisoned(bytes + size));
    }
    kv_arena_destroy(arena);
}

static void bytes_after_a_rewind(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    char *const kept = kv_arena_alloc(arena, 8);
    const kv_arena_mark_t mark = kv_arena_mark(arena);
    char *const gone = kv_arena_alloc(arena, 8);
    assert_non_null(kv_arena_alloc(arena, 4000));
    assert_int_equal(kv_arena_rewind(arena, mark), KV_OK);
    assert_false(is_poisoned(kept));
    assert_true(is_poisoned(gone));
    assert_ptr_equal(kv_arena_alloc(arena, 8), gone);
    assert_false(is_poisoned(gone));
    kv_arena_destroy(arena);
}

static void bytes_after_a_reset(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    char *const first = kv_arena_alloc(arena, 4096);
    char *const second = kv_arena_alloc(arena, 4096);
    kv_arena_reset(arena, SIZE_MAX);
    assert_true(is_poisoned(first) && is_poisoned(second + 4095));
    assert_ptr_equal(kv_arena_alloc(arena, 100), first);
    assert_false(is_poisoned(first));
    assert_true(is_poisoned(second));
    kv_arena_destroy(arena);
}

static void bytes_given_back_by_a_resize(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    char *const bytes = kv_arena_alloc(arena, 1000);
    assert_ptr_equal(kv_arena_realloc(arena, bytes, 1000, 100), bytes);
    assert_true(is_poisoned(bytes + 100));
    assert_ptr_equal(kv_arena_realloc(arena, bytes, 100, 500), bytes);
    assert_false(is_poisoned(bytes + 499));
    assert_true(is_poisoned(bytes + 500));
    kv_arena_destroy(arena);
}

static void a_callers_buffer(void **state)
{
    (void)state;
    _Alignas(8) char buffer[256];
    const kv_arena_options_t options = {.initial_buffer = buffer,
                                        .initial_buffer_size = sizeof buffer};
    kv_arena_t *const arena = kv_arena_create_with(&options);
    assert_true(is_poisoned(buffer));
    assert_ptr_equal(kv_arena_alloc(arena, 16), buffer);
    assert_false(is_poisoned(buffer));
    assert_true(is_poisoned(buffer + 16));
    kv_arena_destroy(arena);
    assert_false(is_poisoned(buffer + 255)); /* the caller's again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_behind_an_object), cmocka_unit_test(bytes_after_a_rewind),
        cmocka_unit_test(bytes_after_a_reset),    cmocka_unit_test(bytes_given_back_by_a_resize),
        cmocka_unit_test(a_callers_buffer),
    };
    return cmocka_run_group_tests_name("arena poison", tests, NULL, NULL);
}
