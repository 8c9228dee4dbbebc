/* SPDX-License-Identifier: MIT */
/* The specification's first group: creation and destruction, plain allocation, large blocks. */
#include <concordkv/kv_memory.h>

#include <string.h>

#include "test.h"

static void assert_sound(const kv_arena_t *arena)
{
    assert_int_equal(kv_arena_check(arena), KV_OK);
}

static void create_gives_an_empty_arena(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(8192);
    assert_non_null(arena);
    assert_null(arena->alloc_ptr);
    assert_int_equal(arena->alloc_bytes_remaining, 0);
    assert_null(arena->blocks);
    assert_int_equal(arena->total_allocated, 0);
    assert_int_equal(arena->total_blocks, 0);
    assert_int_equal(arena->memory_usage, 0);
    assert_int_equal(arena->block_size, 8192);
    assert_sound(arena);
    kv_arena_destroy(arena);
}

static void block_size_zero_is_the_default(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    assert_int_equal(arena->block_size, 4096);
    assert_int_equal(arena->block_size, KV_ARENA_BLOCK_SIZE_DEFAULT);
    kv_arena_destroy(arena);
}

static void small_block_sizes_become_the_least(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 8, 512, 1023, 1024};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        kv_arena_t *const arena = kv_arena_create(sizes[i]);
        assert_int_equal(arena->block_size, KV_ARENA_BLOCK_SIZE_MIN);
        kv_arena_destroy(arena);
    }
    kv_arena_t *const arena = kv_arena_create(1025);
    assert_int_equal(arena->block_size, 1025);
    kv_arena_destroy(arena);
}

static void destroy_accepts_an_unused_arena(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        kv_arena_destroy(kv_arena_create((size_t)i * 100));
    }
    kv_arena_destroy(NULL);
}

static void destroy_gives_everything_back(void **state)
{
    (void)state;
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    kv_arena_t *const arena =
        kv_arena_create_with(&(kv_arena_options_t){.budget = budget, .block_size = 2048});
    for (size_t i = 1; i < 3000; i++) {
        assert_non_null(kv_arena_alloc(arena, i));
    }
    assert_true(kv_budget_used(budget) >= kv_arena_memory_usage(arena));
    kv_arena_destroy(arena);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

static void alloc_gives_writable_bytes(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(4096);
    char *const bytes = kv_arena_alloc(arena, 100);
    assert_non_null(bytes);
    memset(bytes, 0x5a, 100);
    assert_int_equal(bytes[0], 0x5a);
    assert_int_equal(bytes[99], 0x5a);
    assert_sound(arena);
    kv_arena_destroy(arena);
}

static void alloc_moves_a_pointer(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(4096);
    char *const first = kv_arena_alloc(arena, 24);
    char *const second = kv_arena_alloc(arena, 8);
    char *const third = kv_arena_alloc(arena, 1);
    assert_ptr_equal(second, first + 24);
    assert_ptr_equal(third, second + 8);
    assert_ptr_equal(arena->alloc_ptr, third + 8);
    assert_int_equal(arena->alloc_bytes_remaining, 4096 - 40);
    kv_arena_destroy(arena);
}

static void every_size_is_aligned_to_eight(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(1024);
    size_t sum = 0;
    for (size_t size = 1; size <= 2000; size++) {
        const char *const bytes = kv_arena_alloc(arena, size);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % 8, 0);
        sum += (size + 7) / 8 * 8;
        assert_int_equal(kv_arena_total_allocated(arena), sum);
    }
    assert_sound(arena);
    kv_arena_destroy(arena);
}

static void the_first_block_has_the_block_size(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(4096);
    assert_non_null(kv_arena_alloc(arena, 1));
    assert_int_equal(arena->total_blocks, 1);
    assert_int_equal(arena->blocks->size, 4096);
    assert_null(arena->blocks->next);
    assert_int_equal(arena->memory_usage, 4096 + sizeof(struct arena_block));
    kv_arena_destroy(arena);
}

static void a_block_can_be_used_to_its_last_byte(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(4096);
    char *const first = kv_arena_alloc(arena, 4000);
    char *const second = kv_arena_alloc(arena, 96);
    assert_ptr_equal(second, first + 4000);
    assert_int_equal(arena->alloc_bytes_remaining, 0);
    assert_int_equal(arena->total_blocks, 1);
    memset(first, 1, 4000);
    memset(second, 2, 96);
    assert_non_null(kv_arena_alloc(arena, 1));
    assert_int_equal(arena->total_blocks, 2);
    assert_sound(arena);
    kv_arena_destroy(arena);
}

static void a_short_block_is_followed_by_another(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(4096);
    const char *const first = kv_arena_alloc(arena, 3000);
    const struct arena_block *const old = arena->blocks;
    assert_ptr_equal(old->data, first);
    const char *const second = kv_arena_alloc(arena, 2000);
    assert_int_equal(arena->total_blocks, 2);
    assert_ptr_equal(arena->blocks->data, second);
    assert_ptr_equal(arena->blocks->next, old);
    assert_int_equal(arena->alloc_bytes_remaining, 2096);
    kv_arena_destroy(arena);
}

static void a_request_of_the_block_size_is_ordinary(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(4096);
    char *const whole = kv_arena_alloc(arena, 4096);
    assert_int_equal(arena->total_blocks, 1);
    assert_ptr_equal(arena->alloc_ptr, whole + 4096);
    assert_int_equal(arena->alloc_bytes_remaining, 0);
    kv_arena_destroy(arena);
}

static void an_oversized_request_has_its_own_block(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(4096);
    assert_non_null(kv_arena_alloc(arena, 1000));
    char *const place = arena->alloc_ptr;
    char *const large = kv_arena_alloc(arena, 10000);
    assert_non_null(large);
    memset(large, 3, 10000);
    assert_int_equal(arena->total_blocks, 2);
    assert_int_equal(arena->blocks->size, 10000);
    assert_ptr_equal(arena->blocks->data, large);
    /* The current block stays current. */
    assert_ptr_equal(arena->alloc_ptr, place);
    assert_int_equal(arena->alloc_bytes_remaining, 3096);
    assert_ptr_equal(kv_arena_alloc(arena, 8), place);
    assert_sound(arena);
    kv_arena_destroy(arena);
}

static void an_oversized_first_request_leaves_no_current_block(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(1024);
    char *const large = kv_arena_alloc(arena, 1 << 20);
    memset(large, 4, 1 << 20);
    assert_int_equal(arena->total_blocks, 1);
    assert_int_equal(arena->alloc_bytes_remaining, 0);
    assert_non_null(kv_arena_alloc(arena, 8));
    assert_int_equal(arena->total_blocks, 2);
    assert_sound(arena);
    kv_arena_destroy(arena);
}

static void many_large_requests_are_counted(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(4096);
    size_t usage = 0;
    for (size_t size = 5000; size < 500000; size += 9999) {
        char *const bytes = kv_arena_alloc(arena, size);
        bytes[0] = bytes[size - 1] = 5;
        usage += (size + 7) / 8 * 8 + sizeof(struct arena_block);
        assert_int_equal(arena->memory_usage, usage);
        assert_sound(arena);
    }
    kv_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_gives_an_empty_arena),
        cmocka_unit_test(block_size_zero_is_the_default),
        cmocka_unit_test(small_block_sizes_become_the_least),
        cmocka_unit_test(destroy_accepts_an_unused_arena),
        cmocka_unit_test(destroy_gives_everything_back),
        cmocka_unit_test(alloc_gives_writable_bytes),
        cmocka_unit_test(alloc_moves_a_pointer),
        cmocka_unit_test(every_size_is_aligned_to_eight),
        cmocka_unit_test(the_first_block_has_the_block_size),
        cmocka_unit_test(a_block_can_be_used_to_its_last_byte),
        cmocka_unit_test(a_short_block_is_followed_by_another),
        cmocka_unit_test(a_request_of_the_block_size_is_ordinary),
        cmocka_unit_test(an_oversized_request_has_its_own_block),
        cmocka_unit_test(an_oversized_first_request_leaves_no_current_block),
        cmocka_unit_test(many_large_requests_are_counted),
    };
    return cmocka_run_group_tests_name("arena basic", tests, NULL, NULL);
}
