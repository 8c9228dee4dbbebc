/* SPDX-License-Identifier: MIT */
/* The specification's third group: NULL, zero, sizes that cannot be had, and many small ones. */
#include <concordkv/kv_memory.h>

#include <string.h>

#include "test.h"

static const size_t huge_sizes[] = {
    SIZE_MAX,      SIZE_MAX - 1,    SIZE_MAX - 6,     SIZE_MAX - 7,     SIZE_MAX - 8,
    SIZE_MAX - 15, SIZE_MAX / 2,    SIZE_MAX / 2 + 1, SIZE_MAX / 2 - 7, SIZE_MAX / 2 - 8,
    SIZE_MAX / 4,  (size_t)1 << 60, (size_t)1 << 48};
enum { HUGE_SIZES = sizeof huge_sizes / sizeof *huge_sizes };

static void assert_same(const kv_arena_t *arena, const kv_arena_t *before)
{
    assert_memory_equal(arena, before, sizeof *before);
    assert_int_equal(kv_arena_check(arena), KV_OK);
}

static void null_arenas_are_accepted(void **state)
{
    (void)state;
    kv_arena_stats_t stats;
    assert_null(kv_arena_alloc(NULL, 8));
    assert_null(kv_arena_alloc_slow(NULL, 8));
    assert_null(kv_arena_alloc_aligned(NULL, 8, 8));
    assert_null(kv_arena_calloc(NULL, 1, 8));
    assert_null(kv_arena_realloc(NULL, NULL, 0, 8));
    assert_null(kv_arena_memdup(NULL, "x", 1));
    assert_null(kv_arena_strdup(NULL, "x"));
    assert_null(kv_arena_printf(NULL, "x"));
    assert_int_equal(kv_arena_memory_usage(NULL), 0);
    assert_int_equal(kv_arena_total_allocated(NULL), 0);
    assert_false(kv_arena_owns(NULL, &stats));
    assert_int_equal(kv_arena_stats(NULL, &stats), KV_INVALID);
    assert_int_equal(kv_arena_check(NULL), KV_INVALID);
    assert_int_equal(kv_arena_rewind(NULL, kv_arena_mark(NULL)), KV_INVALID);
    assert_int_equal(kv_arena_on_cleanup(NULL, free, NULL), KV_INVALID);
    kv_arena_reset(NULL, 0);
    kv_arena_destroy(NULL);
}

static void null_arguments_are_refused(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    const kv_arena_t before = *arena;
    assert_null(kv_arena_memdup(arena, NULL, 8));
    assert_null(kv_arena_strdup(arena, NULL));
    assert_int_equal(kv_arena_stats(arena, NULL), KV_INVALID);
    assert_int_equal(kv_arena_on_cleanup(arena, NULL, arena), KV_INVALID);
    assert_same(arena, &before);
    kv_arena_destroy(arena);
}

static void size_zero_is_refused(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    char *const old = kv_arena_alloc(arena, 8);
    const kv_arena_t before = *arena;
    assert_null(kv_arena_alloc(arena, 0));
    assert_null(kv_arena_alloc_aligned(arena, 0, 64));
    assert_null(kv_arena_calloc(arena, 0, 8));
    assert_null(kv_arena_calloc(arena, 8, 0));
    assert_null(kv_arena_realloc(arena, old, 8, 0));
    assert_null(kv_arena_realloc(arena, NULL, 0, 0));
    assert_null(kv_arena_memdup(arena, "x", 0));
    assert_same(arena, &before);
    kv_arena_destroy(arena);
}

static void huge_sizes_are_refused_on_a_fresh_arena(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    const kv_arena_t before = *arena;
    for (size_t i = 0; i < HUGE_SIZES; i++) {
        assert_null(kv_arena_alloc(arena, huge_sizes[i]));
        assert_same(arena, &before);
    }
    kv_arena_destroy(arena);
}

/* The first implementation wrapped to 0 bytes once it had a block. */
static void huge_sizes_are_refused_at_any_time(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    for (size_t i = 0; i < 2000; i++) {
        assert_non_null(kv_arena_alloc(arena, i % 100 + 1));
        const kv_arena_t before = *arena;
        assert_null(kv_arena_alloc(arena, huge_sizes[i % HUGE_SIZES]));
        assert_same(arena, &before);
    }
    kv_arena_destroy(arena);
}

static void huge_sizes_are_refused_by_every_function(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    char *const old = kv_arena_alloc(arena, 8);
    const kv_arena_t before = *arena;
    for (size_t i = 0; i < HUGE_SIZES; i++) {
        const size_t size = huge_sizes[i];
        assert_null(kv_arena_alloc_slow(arena, size));
        assert_null(kv_arena_alloc_aligned(arena, size, 8));
        assert_null(kv_arena_alloc_aligned(arena, size, 4096));
        assert_null(kv_arena_alloc_aligned(arena, size, (size_t)1 << 30));
        assert_null(kv_arena_calloc(arena, 1, size));
        assert_null(kv_arena_realloc(arena, old, 8, size));
        assert_null(kv_arena_realloc(arena, NULL, 0, size));
        assert_null(kv_arena_memdup(arena, old, size));
        assert_same(arena, &before);
    }
    kv_arena_destroy(arena);
}

static void products_that_overflow_are_refused(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    const kv_arena_t before = *arena;
    assert_null(kv_arena_calloc(arena, SIZE_MAX, SIZE_MAX));
    assert_null(kv_arena_calloc(arena, SIZE_MAX / 2 + 1, 2));
    assert_null(kv_arena_calloc(arena, (size_t)1 << 32, (size_t)1 << 32));
    assert_null(kv_arena_calloc(arena, SIZE_MAX / 8 + 2, 8));
    assert_same(arena, &before);
    kv_arena_destroy(arena);
}

static void alignments_that_are_none_are_refused(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    const kv_arena_t before = *arena;
    static const size_t alignments[] = {
        0, 3, 5, 6, 7, 9, 12, 24, 100, 4095, 4097, SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 1};
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        assert_null(kv_arena_alloc_aligned(arena, 8, alignments[i]));
    }
    assert_same(arena, &before);
    kv_arena_destroy(arena);
}

static void options_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    char buffer[64];
    const kv_block_source_t half = {0};
    const kv_arena_options_t bad[] = {
        {.block_size = SIZE_MAX},
        {.block_size = SIZE_MAX / 2},
        {.block_size = 8192, .block_size_max = 4096},
        {.block_size_max = SIZE_MAX},
        {.initial_buffer = NULL, .initial_buffer_size = 100},
        {.initial_buffer = buffer, .initial_buffer_size = SIZE_MAX},
        {.source = &half},
        {.huge_pages = (kv_huge_pages_t)17},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(kv_arena_create_with(&bad[i]));
    }
    assert_null(kv_arena_create(SIZE_MAX));
    assert_null(kv_arena_create(SIZE_MAX - 4096));
    kv_arena_destroy(kv_arena_create_with(NULL));
}

static void many_small_allocations(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(1024);
    unsigned char *pointers[20000];
    for (size_t i = 0; i < 20000; i++) {
        pointers[i] = kv_arena_alloc(arena, 1);
        assert_non_null(pointers[i]);
        *pointers[i] = (unsigned char)i;
    }
    for (size_t i = 0; i < 20000; i++) {
        assert_int_equal(*pointers[i], (unsigned char)i);
    }
    assert_int_equal(kv_arena_total_allocated(arena), 160000);
    assert_int_equal(arena->total_blocks, 160000 / 1024 + 1);
    assert_int_equal(kv_arena_check(arena), KV_OK);
    kv_arena_destroy(arena);
}

static void sizes_around_the_block_size(void **state)
{
    (void)state;
    for (size_t size = 4080; size <= 4120; size++) {
        kv_arena_t *const arena = kv_arena_create(4096);
        char *const first = kv_arena_alloc(arena, size);
        char *const second = kv_arena_alloc(arena, size);
        memset(first, 1, size);
        memset(second, 2, size);
        assert_int_equal(first[size - 1], 1);
        const size_t rounded = (size + 7) / 8 * 8;
        const size_t block = rounded > 4096 ? rounded : 4096;
        assert_int_equal(kv_arena_memory_usage(arena), 2 * (block + sizeof(struct arena_block)));
        assert_int_equal(kv_arena_check(arena), KV_OK);
        kv_arena_destroy(arena);
    }
}

static void buffers_too_small_for_use(void **state)
{
    (void)state;
    _Alignas(8) char buffer[16];
    for (size_t start = 0; start < 8; start++) {
        for (size_t size = 0; size + start <= sizeof buffer; size++) {
            const kv_arena_options_t options = {.initial_buffer = buffer + start,
                                                .initial_buffer_size = size};
            kv_arena_t *const arena = kv_arena_create_with(&options);
            char *const bytes = kv_arena_alloc(arena, 8);
            const size_t usable = start == 0 ? size : size > 8 - start ? size - (8 - start) : 0;
            assert_int_equal(bytes >= buffer && bytes < buffer + sizeof buffer, usable >= 8);
            assert_int_equal(kv_arena_check(arena), KV_OK);
            kv_arena_destroy(arena);
        }
    }
}

static void a_format_error_changes_nothing(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    assert_non_null(kv_arena_alloc(arena, 8));
    const kv_arena_t before = *arena;
    /* A character that the C locale cannot show. */
    assert_null(kv_arena_printf(arena, "text %ls", L"\u1234"));
    assert_same(arena, &before);
    kv_arena_destroy(arena);
}

static void assert_damage_is_seen(kv_arena_t *arena, size_t *field, size_t change)
{
    *field += change;
    assert_int_equal(kv_arena_check(arena), KV_CORRUPT);
    *field -= change;
    assert_int_equal(kv_arena_check(arena), KV_OK);
}

static void the_check_sees_damage(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    for (size_t i = 0; i < 100; i++) {
        assert_non_null(kv_arena_alloc(arena, 150 * (i % 40 + 1)));
    }
    assert_damage_is_seen(arena, &arena->total_blocks, 1);
    assert_damage_is_seen(arena, &arena->memory_usage, 8);
    assert_damage_is_seen(arena, &arena->total_allocated, arena->memory_usage);
    assert_damage_is_seen(arena, &arena->alloc_bytes_remaining, 8);
    assert_damage_is_seen(arena, &arena->blocks->size, 16);
    assert_damage_is_seen(arena, &arena->blocks->next->size, 16);
    arena->alloc_ptr += 8;
    assert_int_equal(kv_arena_check(arena), KV_CORRUPT);
    arena->alloc_ptr -= 8;
    struct arena_block *const second = arena->blocks->next;
    arena->blocks->next = second->next;
    assert_int_equal(kv_arena_check(arena), KV_CORRUPT);
    arena->blocks->next = second;
    arena->blocks->data += 64;
    assert_int_equal(kv_arena_check(arena), KV_CORRUPT);
    arena->blocks->data -= 64;
    assert_int_equal(kv_arena_check(arena), KV_OK);
    kv_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_arenas_are_accepted),
        cmocka_unit_test(null_arguments_are_refused),
        cmocka_unit_test(size_zero_is_refused),
        cmocka_unit_test(huge_sizes_are_refused_on_a_fresh_arena),
        cmocka_unit_test(huge_sizes_are_refused_at_any_time),
        cmocka_unit_test(huge_sizes_are_refused_by_every_function),
        cmocka_unit_test(products_that_overflow_are_refused),
        cmocka_unit_test(alignments_that_are_none_are_refused),
        cmocka_unit_test(options_that_make_no_sense_are_refused),
        cmocka_unit_test(many_small_allocations),
        cmocka_unit_test(sizes_around_the_block_size),
        cmocka_unit_test(buffers_too_small_for_use),
        cmocka_unit_test(a_format_error_changes_nothing),
        cmocka_unit_test(the_check_sees_damage),
    };
    return cmocka_run_group_tests_name("arena boundary", tests, NULL, NULL);
}
