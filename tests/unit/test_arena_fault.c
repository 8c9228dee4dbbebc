/* SPDX-License-Identifier: MIT */
/*
 * Every operation of an arena with the n-th acquisition refused, for every n: by the budget, by the
 * caller's source, by the system. A refused call returns NULL or KV_NO_MEMORY and changes nothing,
 * the budget is never exceeded, and the arena goes on working.
 */
#include <concordkv/kv_memory.h>

#include <string.h>

#include "memory/block_int.h"
#include "test.h"

typedef struct script {
    kv_arena_t *arena;
    char *newest;
    size_t newest_size;
    kv_arena_mark_t mark;
} script_t;

static bool note_newest(script_t *script, void *bytes, size_t size)
{
    if (bytes == NULL) {
        return false;
    }
    memset(bytes, 0x77, size);
    script->newest = bytes;
    script->newest_size = size;
    return true;
}

static void no_cleanup(void *context)
{
    (void)context;
}

/* One of the operations, by number; false when it was refused. */
static bool run_operation(script_t *script, size_t number)
{
    kv_arena_t *const arena = script->arena;
    switch (number % 12) {
    case 0:
        return note_newest(script, kv_arena_alloc(arena, 700), 700);
    case 1:
        return note_newest(script, kv_arena_alloc_aligned(arena, 100, 256), 100);
    case 2:
        return note_newest(script, kv_arena_alloc(arena, 3000 + number * 50), 3000);
    case 3:
        script->mark = kv_arena_mark(arena);
        return kv_arena_on_cleanup(arena, no_cleanup, NULL) == KV_OK;
    case 4:
        return note_newest(script, kv_arena_calloc(arena, 30, 25), 750);
    case 5: {
        const size_t grown = script->newest_size + 900;
        void *const bytes = kv_arena_realloc(arena, script->newest, script->newest_size, grown);
        return note_newest(script, bytes, grown);
    }
    case 6:
        return kv_arena_printf(arena, "%0900d", 7) != NULL;
    case 7:
        return note_newest(script, kv_arena_alloc_aligned(arena, 5000, 8192), 5000);
    case 8:
        return note_newest(script, kv_arena_alloc(arena, 70000), 70000);
    case 9:
        return kv_arena_strdup(arena, "a short one") != NULL;
    case 10:
        return kv_arena_rewind(arena, script->mark) == KV_OK &&
               note_newest(script, kv_arena_alloc(arena, 8), 8);
    default:
        return note_newest(script, kv_arena_alloc_aligned(arena, 2000, 64), 2000);
    }
}

enum { OPERATIONS = 60 };

static bool is_rewind(size_t number)
{
    return number % 12 == 10;
}

/* The operation is refused: nothing has changed. Then it is done without refusals. */
static void assert_unchanged(const kv_arena_t *arena, const kv_arena_t *before,
                             const kv_arena_stats_t *stats_before)
{
    kv_arena_stats_t stats;
    assert_memory_equal(arena, before, sizeof *before);
    assert_int_equal(kv_arena_check(arena), KV_OK);
    assert_int_equal(kv_arena_stats(arena, &stats), KV_OK);
    assert_memory_equal(&stats, stats_before, sizeof stats);
}

typedef struct fault {
    void (*arm)(size_t number);
    void (*disarm)(void);
    const kv_block_source_t *source;
} fault_t;

/* Runs the script with the n-th acquisition refused. False when it ended before the n-th. */
static bool survives(const fault_t *fault, size_t n, size_t block_size_max)
{
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    const kv_arena_options_t options = {.block_size = 1024,
                                        .block_size_max = block_size_max,
                                        .budget = budget,
                                        .source = fault->source};
    script_t script = {.arena = kv_arena_create_with(&options)};
    bool refused = false;
    fault->arm(n);
    for (size_t number = 0; number < OPERATIONS; number++) {
        const kv_arena_t before = *script.arena;
        kv_arena_stats_t stats;
        assert_int_equal(kv_arena_stats(script.arena, &stats), KV_OK);
        if (!run_operation(&script, number)) {
            fault->disarm();
            refused = true;
            if (!is_rewind(number)) { /* which is two operations */
                assert_unchanged(script.arena, &before, &stats);
                assert_int_equal(kv_budget_used(budget), stats.held);
            }
            assert_true(run_operation(&script, number));
        }
        assert_int_equal(kv_arena_check(script.arena), KV_OK);
    }
    fault->disarm();
    kv_arena_destroy(script.arena);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
    return refused;
}

static void refuse_every(const fault_t *fault, size_t block_size_max)
{
    size_t n = 1;
    while (survives(fault, n, block_size_max)) {
        n++;
    }
    printf("# %zu acquisitions refused\n", n - 1);
    assert_true(n > 5);
}

static void arm_system(size_t number)
{
    kvi_source.refuse_after = number;
}

static void disarm_system(void)
{
    kvi_source.refuse_after = 0;
}

static size_t source_calls_left; /* 0: no refusal */

static void *refusing_acquire(void *context, size_t bytes)
{
    (void)context;
    if (source_calls_left == 1) {
        return NULL;
    }
    source_calls_left -= source_calls_left > 0 ? 1 : 0;
    return malloc(bytes);
}

static void refusing_release(void *context, void *block, size_t bytes)
{
    (void)context;
    (void)bytes;
    free(block);
}

static const kv_block_source_t refusing_source = {refusing_acquire, refusing_release, NULL};

static void arm_source(size_t number)
{
    source_calls_left = number;
}

static void disarm_source(void)
{
    source_calls_left = 0;
}

static void the_system_refuses(void **state)
{
    (void)state;
    const fault_t fault = {arm_system, disarm_system, NULL};
    refuse_every(&fault, 0);
}

static void the_callers_source_refuses(void **state)
{
    (void)state;
    const fault_t fault = {arm_source, disarm_source, &refusing_source};
    refuse_every(&fault, 0);
}

/* Where the large next block is refused, a small one is tried: so fewer calls fail. */
static void the_callers_source_refuses_growth(void **state)
{
    (void)state;
    kv_budget_t *const budget = kv_budget_create(NULL, 30000);
    const kv_arena_options_t options = {.block_size = 1024,
                                        .block_size_max = (size_t)1 << 20,
                                        .budget = budget,
                                        .source = &refusing_source};
    kv_arena_t *const arena = kv_arena_create_with(&options);
    size_t allocated = 0;
    while (kv_arena_alloc(arena, 64) != NULL) {
        allocated += 64;
        assert_true(kv_budget_used(budget) <= 30000);
    }
    assert_true(allocated > 26000);
    assert_int_equal(kv_arena_check(arena), KV_OK);
    kv_arena_destroy(arena);
    kv_budget_destroy(budget);
}

static void every_budget_is_kept_and_used(void **state)
{
    (void)state;
    for (size_t limit = 0; limit <= 400000; limit += limit < 8192 ? 64 : 3333) {
        kv_budget_t *const budget = kv_budget_create(NULL, limit + 1);
        const kv_arena_options_t options = {.budget = budget};
        kv_arena_t *const arena = kv_arena_create_with(&options);
        if (arena == NULL) {
            assert_true(limit < 600);
            kv_budget_destroy(budget);
            continue;
        }
        while (kv_arena_alloc(arena, 50) != NULL) {
            assert_true(kv_budget_used(budget) <= limit + 1);
        }
        /* What is left is less than a block and metadata for it. */
        assert_true(kv_budget_used(budget) + 4096 + 4096 > limit);
        const kv_arena_t before = *arena;
        const size_t used = kv_budget_used(budget);
        assert_null(kv_arena_alloc(arena, 5000));
        assert_null(kv_arena_alloc_aligned(arena, 5000, 4096));
        assert_memory_equal(arena, &before, sizeof before);
        assert_int_equal(kv_budget_used(budget), used);
        assert_int_equal(kv_arena_check(arena), KV_OK);
        kv_budget_set_limit(budget, 0);
        assert_non_null(kv_arena_alloc(arena, 5000));
        kv_arena_destroy(arena);
        assert_int_equal(kv_budget_used(budget), 0);
        kv_budget_destroy(budget);
    }
}

static void a_parents_budget_counts_too(void **state)
{
    (void)state;
    kv_budget_t *const parent = kv_budget_create(NULL, 100000);
    kv_budget_t *const child = kv_budget_create(parent, 0);
    const kv_arena_options_t options = {.budget = child};
    kv_arena_t *const first = kv_arena_create_with(&options);
    kv_arena_t *const second = kv_arena_create_with(&options);
    while (kv_arena_alloc(first, 1000) != NULL) {
    }
    assert_true(kv_budget_used(parent) <= 100000);
    assert_null(kv_arena_alloc(second, 50000));
    kv_arena_destroy(first);
    assert_non_null(kv_arena_alloc(second, 50000));
    kv_arena_destroy(second);
    assert_int_equal(kv_budget_used(parent), 0);
    kv_budget_destroy(child);
    kv_budget_destroy(parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_system_refuses),
        cmocka_unit_test(the_callers_source_refuses),
        cmocka_unit_test(the_callers_source_refuses_growth),
        cmocka_unit_test(every_budget_is_kept_and_used),
        cmocka_unit_test(a_parents_budget_counts_too),
    };
    return cmocka_run_group_tests_name("arena fault", tests, NULL, NULL);
}
