/* SPDX-License-Identifier: MIT */
/* The specification's second group: aligned allocations, statistics, several blocks; and what goes
 * beyond it: marks, reset, resizing, strings, clean-ups, the options. */
#include <concordkv/kv_memory.h>

#include <string.h>

#include "test.h"

static void assert_sound(const kv_arena_t *arena)
{
    kv_arena_stats_t stats;
    assert_int_equal(kv_arena_check(arena), KV_OK);
    assert_int_equal(kv_arena_stats(arena, &stats), KV_OK);
    assert_int_equal(stats.asked + stats.rounding + stats.tail + stats.remaining + stats.headers,
                     stats.obtained + stats.borrowed);
}

static size_t blocks_in_list(const kv_arena_t *arena)
{
    size_t count = 0;
    for (const struct arena_block *block = arena->blocks; block != NULL; block = block->next) {
        count++;
    }
    return count;
}

/* ---- aligned allocations ---- */

static void alignments_of_the_demo(void **state)
{
    (void)state;
    static const size_t alignments[] = {8, 16, 64, 256};
    kv_arena_t *const arena = kv_arena_create(4096);
    for (size_t i = 0; i < 400; i++) {
        const size_t alignment = alignments[i % 4];
        char *const bytes = kv_arena_alloc_aligned(arena, 100 + i, alignment);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % alignment, 0);
        memset(bytes, (int)i, 100 + i);
    }
    assert_sound(arena);
    kv_arena_destroy(arena);
}

static void every_power_of_two_to_two_megabytes(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    for (size_t alignment = 1; alignment <= (size_t)2 << 20; alignment *= 2) {
        char *const bytes = kv_arena_alloc_aligned(arena, 24, alignment);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % alignment, 0);
        memset(bytes, 1, 24);
        assert_sound(arena);
    }
    kv_arena_destroy(arena);
}

static void a_gigabyte_is_the_largest_alignment(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    const size_t gigabyte = (size_t)1 << 30;
    char *const bytes = kv_arena_alloc_aligned(arena, 1, gigabyte);
    /* The address space may be limited; then it is refused and nothing has changed. */
    assert_int_equal((uintptr_t)bytes % gigabyte, 0);
    assert_int_equal(arena->total_blocks, bytes != NULL ? 1 : 0);
    assert_null(kv_arena_alloc_aligned(arena, 1, gigabyte * 2));
    assert_sound(arena);
    kv_arena_destroy(arena);
}

/* The first implementation wrote 48 bytes past its block here. */
static void a_whole_block_at_an_alignment_stays_inside(void **state)
{
    (void)state;
    for (size_t alignment = 8; alignment <= 65536; alignment *= 2) {
        kv_arena_t *const arena = kv_arena_create(4096);
        assert_non_null(kv_arena_alloc(arena, 8));
        char *const bytes = kv_arena_alloc_aligned(arena, 4096, alignment);
        assert_int_equal((uintptr_t)bytes % alignment, 0);
        const struct arena_block *const block = arena->blocks;
        assert_true(bytes >= block->data && bytes + 4096 <= block->data + block->size);
        memset(bytes, 0xff, 4096);
        assert_sound(arena);
        kv_arena_destroy(arena);
    }
}

static void skipped_bytes_are_tail_not_allocated(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(4096);
    kv_arena_stats_t stats;
    assert_non_null(kv_arena_alloc_aligned(arena, 8, 256));
    assert_int_equal(kv_arena_stats(arena, &stats), KV_OK);
    const size_t tail = stats.tail;
    assert_non_null(kv_arena_alloc_aligned(arena, 8, 256));
    assert_int_equal(kv_arena_stats(arena, &stats), KV_OK);
    assert_int_equal(stats.tail, tail + 248);
    assert_int_equal(kv_arena_total_allocated(arena), 16);
    kv_arena_destroy(arena);
}

static void small_alignments_are_eight(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(4096);
    char *const first = kv_arena_alloc_aligned(arena, 1, 1);
    char *const second = kv_arena_alloc_aligned(arena, 1, 2);
    assert_ptr_equal(second, first + 8);
    assert_ptr_equal(kv_arena_alloc_aligned(arena, 1, 4), first + 16);
    kv_arena_destroy(arena);
}

/* ---- statistics ---- */

static void statistics_are_live(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(1024);
    size_t allocated = 0;
    for (size_t i = 0; i < 500; i++) {
        const size_t size = i * 7 % 300 + 1;
        assert_non_null(kv_arena_alloc(arena, size));
        allocated += (size + 7) / 8 * 8;
        assert_int_equal(kv_arena_total_allocated(arena), allocated);
        assert_int_equal(arena->total_blocks, blocks_in_list(arena));
        assert_int_equal(kv_arena_memory_usage(arena),
                         arena->total_blocks * (1024 + sizeof(struct arena_block)));
    }
    kv_arena_destroy(arena);
}

static void a_profile_counts_exactly(void **state)
{
    (void)state;
    const kv_arena_options_t options = {.profile = true};
    kv_arena_t *const arena = kv_arena_create_with(&options);
    static const size_t sizes[] = {1, 2, 3, 4, 5, 8, 9, 64, 65, 5000};
    static const size_t slots[] = {0, 1, 2, 2, 3, 3, 4, 6, 7, 13};
    size_t expected[KV_ARENA_HISTOGRAM_SLOTS] = {0};
    size_t asked = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_non_null(kv_arena_alloc(arena, sizes[i]));
        asked += sizes[i];
        expected[slots[i]]++;
    }
    kv_arena_stats_t stats;
    assert_int_equal(kv_arena_stats(arena, &stats), KV_OK);
    assert_int_equal(stats.asked, asked);
    assert_int_equal(stats.rounding, kv_arena_total_allocated(arena) - asked);
    assert_int_equal(stats.allocations, sizeof sizes / sizeof *sizes);
    assert_memory_equal(stats.histogram, expected, sizeof expected);
    assert_sound(arena);
    kv_arena_destroy(arena);
}

static void the_peak_survives_a_reset(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    assert_non_null(kv_arena_alloc(arena, 100000));
    const size_t usage = kv_arena_memory_usage(arena);
    kv_arena_reset(arena, 0);
    assert_non_null(kv_arena_alloc(arena, 8));
    kv_arena_stats_t stats;
    assert_int_equal(kv_arena_stats(arena, &stats), KV_OK);
    assert_int_equal(stats.peak, usage);
    kv_arena_destroy(arena);
}

/* ---- several blocks ---- */

static void many_blocks_stand_newest_first(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(1024);
    const char *starts[100];
    for (size_t i = 0; i < 100; i++) {
        starts[i] = kv_arena_alloc(arena, 1024);
        assert_non_null(starts[i]);
    }
    const struct arena_block *block = arena->blocks;
    for (size_t i = 100; i-- > 0; block = block->next) {
        assert_ptr_equal(block->data, starts[i]);
        assert_int_equal(block->size, 1024);
    }
    assert_null(block);
    assert_sound(arena);
    kv_arena_destroy(arena);
}

static void blocks_of_any_size_are_exact(void **state)
{
    (void)state;
    static const size_t sizes[] = {1025, 4095, 4097, 10000, 65535, 65537, 100001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        kv_arena_t *const arena = kv_arena_create(sizes[i]);
        while (arena->total_blocks < 20) {
            memset(kv_arena_alloc(arena, 200), 7, 200);
        }
        for (const struct arena_block *block = arena->blocks; block != NULL; block = block->next) {
            assert_int_equal(block->size, sizes[i]);
        }
        assert_sound(arena);
        kv_arena_destroy(arena);
    }
}

static void blocks_grow_to_their_maximum(void **state)
{
    (void)state;
    const kv_arena_options_t options = {.block_size = 1024, .block_size_max = 10000};
    kv_arena_t *const arena = kv_arena_create_with(&options);
    static const size_t sizes[] = {1024, 2048, 4096, 8192, 10000, 10000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        while (arena->total_blocks == i) {
            assert_non_null(kv_arena_alloc(arena, 64));
        }
        assert_int_equal(arena->blocks->size, sizes[i]);
    }
    assert_sound(arena);
    kv_arena_destroy(arena);
}

static void an_oversized_request_between_blocks(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(1024);
    char *const first = kv_arena_alloc(arena, 16);
    char *const large = kv_arena_alloc(arena, 200000);
    char *const second = kv_arena_alloc(arena, 16);
    memset(large, 9, 200000);
    assert_ptr_equal(second, first + 16);
    assert_non_null(kv_arena_alloc(arena, 1020));
    assert_int_equal(arena->total_blocks, 3);
    assert_ptr_equal(arena->blocks->next->data, large);
    assert_sound(arena);
    kv_arena_destroy(arena);
}

/* ---- marks and reset ---- */

static void a_rewind_restores_everything(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(1024);
    char *const kept = kv_arena_strdup(arena, "kept");
    const kv_arena_t before = *arena;
    const kv_arena_mark_t mark = kv_arena_mark(arena);
    for (size_t i = 0; i < 100; i++) {
        assert_non_null(kv_arena_alloc(arena, i * 37 + 1));
    }
    assert_int_equal(kv_arena_rewind(arena, mark), KV_OK);
    assert_memory_equal(arena, &before, sizeof before);
    assert_string_equal(kept, "kept");
    assert_sound(arena);
    kv_arena_destroy(arena);
}

static void marks_nest(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(1024);
    kv_arena_mark_t marks[20];
    size_t allocated[20];
    for (size_t i = 0; i < 20; i++) {
        marks[i] = kv_arena_mark(arena);
        allocated[i] = kv_arena_total_allocated(arena);
        assert_non_null(kv_arena_alloc(arena, 500));
        assert_non_null(kv_arena_alloc(arena, i % 3 == 0 ? 5000 : 8));
    }
    for (size_t i = 20; i-- > 0;) {
        assert_int_equal(kv_arena_rewind(arena, marks[i]), KV_OK);
        assert_int_equal(kv_arena_total_allocated(arena), allocated[i]);
        assert_sound(arena);
    }
    assert_int_equal(arena->total_blocks, 0);
    kv_arena_destroy(arena);
}

static void false_marks_are_refused(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(1024);
    kv_arena_t *const other = kv_arena_create(1024);
    const kv_arena_mark_t early = kv_arena_mark(arena);
    assert_non_null(kv_arena_alloc(arena, 2000));
    assert_non_null(kv_arena_alloc(other, 2000));
    const kv_arena_mark_t late = kv_arena_mark(arena);
    const kv_arena_mark_t foreign = kv_arena_mark(other);
    const size_t usage = kv_arena_memory_usage(arena);
    assert_int_equal(kv_arena_rewind(arena, foreign), KV_INVALID);
    assert_int_equal(kv_arena_rewind(arena, (kv_arena_mark_t){0}), KV_INVALID);
    assert_int_equal(kv_arena_memory_usage(arena), usage);
    assert_int_equal(kv_arena_rewind(arena, early), KV_OK);
    assert_int_equal(kv_arena_rewind(arena, late), KV_INVALID);
    kv_arena_reset(arena, 0);
    assert_int_equal(kv_arena_rewind(arena, early), KV_INVALID);
    assert_sound(arena);
    kv_arena_destroy(arena);
    kv_arena_destroy(other);
}

static void a_reset_keeps_blocks_for_reuse(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    for (size_t i = 0; i < 1000; i++) {
        assert_non_null(kv_arena_alloc(arena, 512));
    }
    const kv_arena_t before = *arena;
    for (int round = 0; round < 5; round++) {
        kv_arena_reset(arena, SIZE_MAX);
        assert_int_equal(arena->total_allocated, 0);
        assert_int_equal(arena->total_blocks, before.total_blocks);
        assert_int_equal(arena->memory_usage, before.memory_usage);
        for (size_t i = 0; i < 1000; i++) {
            memset(kv_arena_alloc(arena, 512), round, 512);
        }
        assert_int_equal(arena->memory_usage, before.memory_usage);
        assert_sound(arena);
    }
    kv_arena_reset(arena, 0);
    assert_int_equal(arena->total_blocks, 0);
    assert_int_equal(arena->memory_usage, 0);
    assert_null(arena->blocks);
    kv_arena_destroy(arena);
}

static void a_reset_gives_back_what_it_does_not_keep(void **state)
{
    (void)state;
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    const kv_arena_options_t options = {.budget = budget};
    kv_arena_t *const arena = kv_arena_create_with(&options);
    const size_t fresh = kv_budget_used(budget);
    static const size_t keeps[] = {SIZE_MAX, 1 << 20, 100000, 4096, 4095, 0};
    for (size_t i = 0; i < sizeof keeps / sizeof *keeps; i++) {
        for (size_t k = 0; k < 10000; k++) {
            assert_non_null(kv_arena_alloc(arena, 300));
        }
        kv_arena_reset(arena, keeps[i]);
        const size_t headers = arena->total_blocks * sizeof(struct arena_block);
        assert_true(kv_arena_memory_usage(arena) - headers <= keeps[i]);
        assert_sound(arena);
    }
    assert_int_equal(kv_budget_used(budget), fresh);
    kv_arena_destroy(arena);
    kv_budget_destroy(budget);
}

/* ---- resizing, copies, strings ---- */

static void the_newest_allocation_grows_in_place(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(4096);
    char *bytes = kv_arena_realloc(arena, NULL, 0, 10);
    char *const start = bytes;
    for (size_t size = 10; size < 4000; size += 10) {
        bytes = kv_arena_realloc(arena, bytes, size, size + 10);
        assert_ptr_equal(bytes, start);
    }
    assert_int_equal(arena->total_blocks, 1);
    bytes = kv_arena_realloc(arena, bytes, 4000, 24);
    assert_ptr_equal(bytes, start);
    assert_int_equal(kv_arena_total_allocated(arena), 24);
    assert_ptr_equal(kv_arena_alloc(arena, 8), start + 24);
    assert_sound(arena);
    kv_arena_destroy(arena);
}

static void an_older_allocation_is_copied(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(4096);
    char *const old = kv_arena_memdup(arena, "0123456789", 10);
    assert_non_null(kv_arena_alloc(arena, 8));
    char *const grown = kv_arena_realloc(arena, old, 10, 1000);
    assert_ptr_not_equal(grown, old);
    assert_memory_equal(grown, "0123456789", 10);
    char *const large = kv_arena_realloc(arena, grown, 1000, 100000);
    assert_memory_equal(large, "0123456789", 10);
    assert_ptr_equal(kv_arena_realloc(arena, old, 10, 5), old);
    assert_sound(arena);
    kv_arena_destroy(arena);
}

static void copies_and_zeroed_memory(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(1024);
    static const char zeros[5000];
    memset(kv_arena_alloc(arena, 1000), 0xff, 1000);
    kv_arena_reset(arena, SIZE_MAX);
    assert_memory_equal(kv_arena_calloc(arena, 50, 20), zeros, 1000);
    assert_memory_equal(kv_arena_calloc(arena, 5, 1000), zeros, 5000);
    assert_string_equal(kv_arena_strdup(arena, ""), "");
    assert_string_equal(kv_arena_strdup(arena, "concord"), "concord");
    assert_memory_equal(kv_arena_memdup(arena, "a\0b", 3), "a\0b", 3);
    kv_arena_destroy(arena);
}

static void formatted_strings_of_every_length(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(1030); /* no multiple of 8 */
    for (int length = 0; length < 2500; length++) {
        char *const text = kv_arena_printf(arena, "%*s", length, "");
        assert_int_equal(strlen(text), (size_t)length);
        assert_int_equal(strspn(text, " "), (size_t)length);
    }
    assert_string_equal(kv_arena_printf(arena, "%s=%d", "key", 42), "key=42");
    assert_sound(arena);
    kv_arena_destroy(arena);
}

/* ---- clean-ups, buffers, sources, owns ---- */

typedef struct order {
    int numbers[8];
    size_t count;
} order_t;
typedef struct entry {
    order_t *order;
    int number;
} entry_t;

static void note_order(void *context)
{
    const entry_t *const entry = context;
    entry->order->numbers[entry->order->count++] = entry->number;
}

static void cleanups_run_newest_first(void **state)
{
    (void)state;
    order_t order = {{0}, 0};
    kv_arena_t *const arena = kv_arena_create(0);
    kv_arena_mark_t mark = kv_arena_mark(arena);
    for (int i = 0; i < 6; i++) {
        if (i == 4) {
            mark = kv_arena_mark(arena);
        }
        /* In the arena's own memory: still there when the clean-up runs. */
        entry_t *const entry = kv_arena_alloc(arena, sizeof *entry);
        *entry = (entry_t){&order, i};
        assert_int_equal(kv_arena_on_cleanup(arena, note_order, entry), KV_OK);
    }
    assert_int_equal(kv_arena_rewind(arena, mark), KV_OK);
    assert_int_equal(order.count, 2);
    kv_arena_destroy(arena);
    static const int expected[] = {5, 4, 3, 2, 1, 0};
    assert_int_equal(order.count, 6);
    assert_memory_equal(order.numbers, expected, sizeof expected);
}

static void an_initial_buffer_comes_first(void **state)
{
    (void)state;
    _Alignas(8) char buffer[1000];
    kv_arena_options_t options = {.initial_buffer = buffer, .initial_buffer_size = sizeof buffer};
    kv_arena_t *const arena = kv_arena_create_with(&options);
    for (int round = 0; round < 3; round++) {
        assert_ptr_equal(kv_arena_alloc(arena, 600), buffer);
        assert_int_equal(kv_arena_memory_usage(arena), 0);
        const kv_arena_mark_t mark = kv_arena_mark(arena);
        assert_non_null(kv_arena_alloc(arena, 600));
        assert_int_equal(arena->total_blocks, 1);
        assert_true(kv_arena_owns(arena, buffer + 599));
        assert_false(kv_arena_owns(arena, buffer + 600));
        assert_int_equal(kv_arena_rewind(arena, mark), KV_OK);
        assert_int_equal(kv_arena_memory_usage(arena), 0);
        assert_ptr_equal(kv_arena_alloc(arena, 8), buffer + 600);
        assert_sound(arena);
        kv_arena_reset(arena, 0);
    }
    kv_arena_destroy(arena);
}

typedef struct counted {
    size_t acquired;
    size_t released;
    size_t bytes;
} counted_t;

static void *counted_acquire(void *context, size_t bytes)
{
    counted_t *const counted = context;
    counted->acquired++;
    counted->bytes += bytes;
    return malloc(bytes);
}

static void counted_release(void *context, void *block, size_t bytes)
{
    counted_t *const counted = context;
    counted->released++;
    counted->bytes -= bytes;
    free(block);
}

static void a_callers_source_gives_every_block(void **state)
{
    (void)state;
    counted_t counted = {0};
    const kv_block_source_t source = {counted_acquire, counted_release, &counted};
    const kv_arena_options_t options = {.source = &source, .block_size = 2048};
    kv_arena_t *const arena = kv_arena_create_with(&options);
    assert_int_equal(counted.acquired, 0);
    for (size_t i = 0; i < 64; i++) {
        assert_non_null(kv_arena_alloc(arena, 1024));
    }
    assert_int_equal(counted.acquired, 32);
    assert_int_equal(counted.bytes, 32 * 2048);
    assert_non_null(kv_arena_alloc(arena, 5000));
    assert_int_equal(counted.bytes, 32 * 2048 + 5008);
    kv_arena_reset(arena, 4096);
    assert_int_equal(counted.bytes, 4096);
    assert_int_equal(arena->total_blocks, 2);
    assert_sound(arena);
    kv_arena_destroy(arena);
    assert_int_equal(counted.bytes, 0);
    assert_int_equal(counted.acquired, counted.released);
}

static void owns_knows_what_was_handed_out(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(4096);
    char *const first = kv_arena_alloc(arena, 3000);
    char *const second = kv_arena_alloc(arena, 2000);
    char *const large = kv_arena_alloc(arena, 50000);
    assert_true(kv_arena_owns(arena, first));
    assert_true(kv_arena_owns(arena, first + 2999));
    assert_false(kv_arena_owns(arena, first + 3000));
    assert_true(kv_arena_owns(arena, second + 1999));
    assert_false(kv_arena_owns(arena, second + 2000));
    assert_true(kv_arena_owns(arena, large + 49999));
    assert_false(kv_arena_owns(arena, arena));
    assert_false(kv_arena_owns(arena, NULL));
    kv_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alignments_of_the_demo),
        cmocka_unit_test(every_power_of_two_to_two_megabytes),
        cmocka_unit_test(a_gigabyte_is_the_largest_alignment),
        cmocka_unit_test(a_whole_block_at_an_alignment_stays_inside),
        cmocka_unit_test(skipped_bytes_are_tail_not_allocated),
        cmocka_unit_test(small_alignments_are_eight),
        cmocka_unit_test(statistics_are_live),
        cmocka_unit_test(a_profile_counts_exactly),
        cmocka_unit_test(the_peak_survives_a_reset),
        cmocka_unit_test(many_blocks_stand_newest_first),
        cmocka_unit_test(blocks_of_any_size_are_exact),
        cmocka_unit_test(blocks_grow_to_their_maximum),
        cmocka_unit_test(an_oversized_request_between_blocks),
        cmocka_unit_test(a_rewind_restores_everything),
        cmocka_unit_test(marks_nest),
        cmocka_unit_test(false_marks_are_refused),
        cmocka_unit_test(a_reset_keeps_blocks_for_reuse),
        cmocka_unit_test(a_reset_gives_back_what_it_does_not_keep),
        cmocka_unit_test(the_newest_allocation_grows_in_place),
        cmocka_unit_test(an_older_allocation_is_copied),
        cmocka_unit_test(copies_and_zeroed_memory),
        cmocka_unit_test(formatted_strings_of_every_length),
        cmocka_unit_test(cleanups_run_newest_first),
        cmocka_unit_test(an_initial_buffer_comes_first),
        cmocka_unit_test(a_callers_source_gives_every_block),
        cmocka_unit_test(owns_knows_what_was_handed_out),
    };
    return cmocka_run_group_tests_name("arena advanced", tests, NULL, NULL);
}
