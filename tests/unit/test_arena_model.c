/* SPDX-License-Identifier: MIT */
/*
 * Random scripts against a model: a list of the objects that must be alive, each filled with a byte
 * of its own. After every step the arena's check must hold and its statistics must sum; every few
 * steps all objects are read again. Several kinds of arena run the same script.
 */
#include <concordkv/kv_memory.h>

#include <string.h>

#include "test.h"

enum { OBJECTS_MAX = 4000, MARKS_MAX = 16, STEPS = 3000, BYTES_MAX = 3 << 20 };

typedef struct object {
    unsigned char *bytes;
    size_t size;
    unsigned char fill;
} object_t;

typedef struct saved {
    kv_arena_mark_t mark;
    size_t objects;
    size_t allocated;
    size_t usage;
    size_t cleanups;
} saved_t;

typedef struct model {
    kv_arena_t *arena;
    uint64_t random;
    object_t objects[OBJECTS_MAX];
    size_t object_count;
    saved_t marks[MARKS_MAX];
    size_t mark_count;
    size_t allocated;
    size_t cleanups; /* registered */
    size_t cleaned;  /* run; each checks that it is the newest */
    bool profile;
    size_t asked;
    size_t source_calls;
    size_t source_bytes;
} model_t;

static size_t below(model_t *model, size_t bound)
{
    return (size_t)(test_random(&model->random) % bound);
}

static size_t random_size(model_t *model)
{
    static const size_t bounds[] = {16, 128, 1024, 5000, 70000, 300000};
    static const unsigned weights[] = {0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 5};
    return 1 + below(model, bounds[weights[below(model, sizeof weights / sizeof *weights)]]);
}

static size_t rounded(size_t size)
{
    return (size + 7) / 8 * 8;
}

static void assert_filled(const object_t *object)
{
    for (size_t i = 0; i < object->size; i++) {
        if (object->bytes[i] != object->fill) {
            fail_msg("byte %zu of %zu is %u, not %u", i, object->size, object->bytes[i],
                     object->fill);
        }
    }
}

static void assert_objects(model_t *model)
{
    for (size_t i = 0; i < model->object_count; i++) {
        assert_filled(&model->objects[i]);
    }
}

static void assert_sums(const model_t *model)
{
    kv_arena_stats_t stats;
    assert_int_equal(kv_arena_stats(model->arena, &stats), KV_OK);
    assert_int_equal(kv_arena_check(model->arena), KV_OK);
    assert_int_equal(stats.asked + stats.rounding + stats.tail + stats.remaining + stats.headers,
                     stats.obtained + stats.borrowed);
    assert_int_equal(stats.asked + stats.rounding, model->allocated);
    assert_int_equal(kv_arena_total_allocated(model->arena), model->allocated);
    assert_int_equal(kv_arena_memory_usage(model->arena), stats.obtained);
    assert_true(stats.peak >= stats.obtained);
    assert_true(stats.held + sizeof(struct arena_block) * 4 >= stats.obtained);
    if (model->profile) {
        assert_int_equal(stats.asked, model->asked);
    }
}

static void add_object(model_t *model, void *bytes, size_t size)
{
    assert_non_null(bytes);
    assert_int_equal((uintptr_t)bytes % 8, 0);
    object_t *const object = &model->objects[model->object_count++];
    *object = (object_t){bytes, size, (unsigned char)below(model, 256)};
    memset(bytes, object->fill, size);
    model->allocated += rounded(size);
    model->asked += size;
}

static void step_alloc(model_t *model)
{
    const size_t size = random_size(model);
    add_object(model, kv_arena_alloc(model->arena, size), size);
}

static void step_aligned(model_t *model)
{
    const size_t size = random_size(model);
    const size_t alignment = (size_t)1 << below(model, 18);
    void *const bytes = kv_arena_alloc_aligned(model->arena, size, alignment);
    assert_int_equal((uintptr_t)bytes % alignment, 0);
    add_object(model, bytes, size);
}

static void step_calloc(model_t *model)
{
    const size_t size = random_size(model);
    unsigned char *const bytes = kv_arena_calloc(model->arena, 1, size);
    assert_filled(&(object_t){bytes, size, 0});
    add_object(model, bytes, size);
}

static void step_realloc(model_t *model)
{
    if (model->object_count == 0) {
        return;
    }
    /* Not one from before a mark: its growth would be taken back by a rewind. */
    const size_t first = model->mark_count > 0 ? model->marks[model->mark_count - 1].objects : 0;
    if (first == model->object_count) {
        return;
    }
    const size_t last = model->object_count - 1;
    const size_t chosen = below(model, 2) == 0 ? last : first + below(model, last + 1 - first);
    object_t *const object = &model->objects[chosen];
    const size_t size = random_size(model);
    const size_t kept = size < object->size ? size : object->size;
    const size_t before = kv_arena_total_allocated(model->arena);
    const char *const end = (char *)object->bytes + rounded(object->size);
    const bool in_place = end == model->arena->alloc_ptr;
    unsigned char *const bytes = kv_arena_realloc(model->arena, object->bytes, object->size, size);
    assert_non_null(bytes);
    assert_filled(&(object_t){bytes, kept, object->fill});
    if (bytes != object->bytes) {
        model->asked += size;
    } else if (kv_arena_total_allocated(model->arena) != before ||
               (in_place && rounded(size) == rounded(object->size))) {
        model->asked += size - object->size;
    }
    model->allocated = kv_arena_total_allocated(model->arena);
    memset(bytes, object->fill, size);
    object->bytes = bytes;
    object->size = size;
}

static void step_printf(model_t *model)
{
    const int width = (int)below(model, 3000);
    char *const text = kv_arena_printf(model->arena, "%0*d", width + 1, 7);
    assert_int_equal(strlen(text), (size_t)width + 1);
    assert_int_equal(text[width], '7');
    add_object(model, text, (size_t)width + 2);
}

static void run_cleanup(void *context)
{
    ((model_t *)context)->cleaned++;
}

static void step_cleanup(model_t *model)
{
    assert_int_equal(kv_arena_on_cleanup(model->arena, run_cleanup, model), KV_OK);
    model->cleanups++;
}

static void step_mark(model_t *model)
{
    if (model->mark_count < MARKS_MAX) {
        model->marks[model->mark_count++] =
            (saved_t){kv_arena_mark(model->arena), model->object_count, model->allocated,
                      kv_arena_memory_usage(model->arena), model->cleanups};
    }
}

static void step_rewind(model_t *model)
{
    if (model->mark_count == 0) {
        return;
    }
    const size_t chosen = model->mark_count - 1 - below(model, model->mark_count) / 2;
    const saved_t *const saved = &model->marks[chosen];
    assert_int_equal(kv_arena_rewind(model->arena, saved->mark), KV_OK);
    assert_int_equal(kv_arena_memory_usage(model->arena), saved->usage);
    assert_int_equal(model->cleaned, model->cleanups - saved->cleanups);
    model->cleaned = 0;
    model->cleanups = saved->cleanups;
    model->allocated = saved->allocated;
    model->asked = saved->mark.asked;
    model->object_count = saved->objects;
    model->mark_count = chosen + (below(model, 2) == 0 ? 1 : 0);
}

static void step_reset(model_t *model)
{
    static const size_t keeps[] = {0, 4096, 20000, 100000, 1 << 20, SIZE_MAX};
    const size_t keep = keeps[below(model, sizeof keeps / sizeof *keeps)];
    const kv_arena_mark_t stale = kv_arena_mark(model->arena);
    kv_arena_reset(model->arena, keep);
    assert_int_equal(model->cleaned, model->cleanups);
    assert_int_equal(kv_arena_rewind(model->arena, stale), KV_INVALID);
    const size_t headers = model->arena->total_blocks * sizeof(struct arena_block);
    assert_true(kv_arena_memory_usage(model->arena) - headers <= keep);
    model->cleaned = model->cleanups = 0;
    model->allocated = model->asked = 0;
    model->object_count = model->mark_count = 0;
}

static void assert_owned(model_t *model)
{
    char outside;
    assert_false(kv_arena_owns(model->arena, &outside));
    if (model->arena->alloc_bytes_remaining > 0) { /* else another block may begin there */
        assert_false(kv_arena_owns(model->arena, model->arena->alloc_ptr));
    }
    if (model->object_count > 0) {
        const object_t *const object = &model->objects[below(model, model->object_count)];
        assert_true(kv_arena_owns(model->arena, object->bytes));
        assert_true(kv_arena_owns(model->arena, object->bytes + object->size - 1));
    }
}

static void run_step(model_t *model)
{
    static void (*const steps[])(model_t *) = {step_alloc,   step_alloc,   step_alloc,  step_alloc,
                                               step_alloc,   step_aligned, step_calloc, step_printf,
                                               step_realloc, step_realloc, step_mark,   step_mark,
                                               step_rewind,  step_cleanup};
    if (model->object_count == OBJECTS_MAX || kv_arena_memory_usage(model->arena) > BYTES_MAX ||
        below(model, 200) == 0) {
        step_reset(model);
    } else {
        steps[below(model, sizeof steps / sizeof *steps)](model);
    }
}

static void run_script(kv_arena_options_t *options, model_t *model)
{
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    options->budget = budget;
    model->arena = kv_arena_create_with(options);
    model->profile = options->profile;
    assert_non_null(model->arena);
    for (size_t step = 0; step < STEPS; step++) {
        run_step(model);
        assert_sums(model);
        kv_arena_stats_t stats;
        assert_int_equal(kv_arena_stats(model->arena, &stats), KV_OK);
        assert_int_equal(kv_budget_used(budget), stats.held);
        assert_owned(model);
        if (step % 64 == 0) {
            assert_objects(model);
        }
    }
    assert_objects(model);
    kv_arena_destroy(model->arena);
    assert_int_equal(model->cleaned, model->cleanups);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

static void script(kv_arena_options_t options)
{
    model_t *const model = calloc(1, sizeof *model);
    model->random = test_seed();
    run_script(&options, model);
    free(model);
}

static void default_arena(void **state)
{
    (void)state;
    script((kv_arena_options_t){0});
}

static void large_blocks(void **state)
{
    (void)state;
    script((kv_arena_options_t){.block_size = 65536});
}

static void odd_blocks(void **state)
{
    (void)state;
    script((kv_arena_options_t){.block_size = 1237, .profile = true});
}

static void growing_blocks(void **state)
{
    (void)state;
    script((kv_arena_options_t){.block_size = 1024, .block_size_max = 200000});
}

static void initial_buffer(void **state)
{
    (void)state;
    static char buffer[20001];
    script((kv_arena_options_t){.initial_buffer = buffer + 1, .initial_buffer_size = 20000});
}

static void *source_acquire(void *context, size_t bytes)
{
    model_t *const model = context;
    assert_int_equal(bytes % 16, 0);
    model->source_calls++;
    model->source_bytes += bytes;
    return malloc(bytes);
}

static void source_release(void *context, void *block, size_t bytes)
{
    model_t *const model = context;
    assert_true(model->source_calls > 0 && model->source_bytes >= bytes);
    model->source_calls--;
    model->source_bytes -= bytes;
    memset(block, 0xee, bytes);
    free(block);
}

static void callers_source(void **state)
{
    (void)state;
    model_t *const model = calloc(1, sizeof *model);
    model->random = test_seed();
    const kv_block_source_t source = {source_acquire, source_release, model};
    kv_arena_options_t options = {
        .source = &source, .block_size = 5001, .block_size_max = 50000, .profile = true};
    run_script(&options, model);
    assert_int_equal(model->source_calls, 0);
    assert_int_equal(model->source_bytes, 0);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_arena),  cmocka_unit_test(large_blocks),
        cmocka_unit_test(odd_blocks),     cmocka_unit_test(growing_blocks),
        cmocka_unit_test(initial_buffer), cmocka_unit_test(callers_source),
    };
    return cmocka_run_group_tests_name("arena model", tests, NULL, NULL);
}
