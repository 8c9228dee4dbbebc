/* SPDX-License-Identifier: MIT */
/* The specification's fifth group: the published names and structure, the macros, clean-up, callers
 * that do not inline, and the documents' examples. Includes the header under its published name. */
#include "kv_memory.h"

#include <string.h>

#include "test.h"

/* The published structure: these names and types, nothing assumed of their order. */
static void the_published_fields_are_there(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(8192);
    assert_non_null(kv_arena_alloc(arena, 100));
    char *const alloc_ptr = arena->alloc_ptr;
    const size_t alloc_bytes_remaining = arena->alloc_bytes_remaining;
    struct arena_block *const blocks = arena->blocks;
    char *const data = blocks->data;
    struct arena_block *const next = blocks->next;
    assert_ptr_equal(alloc_ptr, data + 104);
    assert_int_equal(alloc_bytes_remaining, 8192 - 104);
    assert_null(next);
    assert_int_equal(blocks->size, arena->block_size);
    assert_int_equal(arena->total_allocated, 104);
    assert_int_equal(arena->total_blocks, 1);
    assert_int_equal(arena->memory_usage, 8192 + sizeof(struct arena_block));
    kv_arena_destroy(arena);
}

static void the_published_functions_have_their_types(void **state)
{
    (void)state;
    kv_arena_t *(*const create)(size_t) = kv_arena_create;
    void (*const destroy)(kv_arena_t *) = kv_arena_destroy;
    void *(*const alloc)(kv_arena_t *, size_t) = kv_arena_alloc;
    void *(*const alloc_aligned)(kv_arena_t *, size_t, size_t) = kv_arena_alloc_aligned;
    size_t (*const memory_usage)(const kv_arena_t *) = kv_arena_memory_usage;
    size_t (*const total_allocated)(const kv_arena_t *) = kv_arena_total_allocated;
    kv_arena_t *const arena = create(0);
    assert_non_null(alloc(arena, 10));
    assert_non_null(alloc_aligned(arena, 10, 32));
    assert_true(memory_usage(arena) > total_allocated(arena));
    destroy(arena);
}

static void the_macros_are_the_functions(void **state)
{
    (void)state;
    kv_arena_t *const arena = kv_arena_create(0);
    char *const plain = kv_arena_malloc(arena, 10 + 6);
    char *const aligned = kv_arena_aligned_malloc(arena, 100, 16 * 4);
    assert_int_equal((uintptr_t)aligned % 64, 0);
    assert_true(aligned >= plain + 16);
    assert_int_equal(kv_arena_total_allocated(arena), 16 + 104);
    assert_null(kv_arena_malloc(arena, 0));
    assert_null(kv_arena_aligned_malloc(arena, 8, 3));
    kv_arena_destroy(arena);
}

/* The exported function behaves as the inline one. */
static void callers_that_do_not_inline(void **state)
{
    (void)state;
    void *(*volatile exported)(kv_arena_t *, size_t) = kv_arena_alloc;
    kv_arena_t *const inlined = kv_arena_create(1024);
    kv_arena_t *const called = kv_arena_create(1024);
    for (size_t i = 0; i < 5000; i++) {
        const size_t size = i * 31 % 1500;
        assert_int_equal(kv_arena_alloc(inlined, size) != NULL, exported(called, size) != NULL);
        assert_int_equal(inlined->total_allocated, called->total_allocated);
        assert_int_equal(inlined->alloc_bytes_remaining, called->alloc_bytes_remaining);
        assert_int_equal(inlined->memory_usage, called->memory_usage);
    }
    assert_null(exported(NULL, 8));
    assert_null(exported(called, SIZE_MAX));
    kv_arena_destroy(inlined);
    kv_arena_destroy(called);
}

/* The slow way, which the inline way may skip, gives the same results. */
static void the_long_way_is_the_same(void **state)
{
    (void)state;
    kv_arena_t *const inlined = kv_arena_create(1024);
    kv_arena_t *const slow = kv_arena_create(1024);
    for (size_t i = 0; i < 5000; i++) {
        const size_t size = i * 37 % 1100;
        assert_int_equal(kv_arena_alloc(inlined, size) != NULL,
                         kv_arena_alloc_slow(slow, size) != NULL);
        assert_int_equal(inlined->total_allocated, slow->total_allocated);
        assert_int_equal(inlined->total_blocks, slow->total_blocks);
    }
    kv_arena_destroy(inlined);
    kv_arena_destroy(slow);
}

static void destroy_arena(void *context)
{
    kv_arena_destroy(context);
}

static void arenas_and_objects_clean_up_with_another(void **state)
{
    (void)state;
    kv_arena_t *const outer = kv_arena_create(0);
    kv_arena_t *const inner = kv_arena_create(0);
    assert_non_null(kv_arena_alloc(inner, 100000));
    assert_int_equal(kv_arena_on_cleanup(outer, destroy_arena, inner), KV_OK);
    assert_int_equal(kv_arena_on_cleanup(outer, free, malloc(100)), KV_OK);
    kv_arena_destroy(outer);
}

typedef struct again {
    kv_arena_t *arena;
    int left;
} again_t;

static void register_again(void *context)
{
    again_t *const again = context;
    if (again->left-- > 0) {
        assert_non_null(kv_arena_alloc(again->arena, 3000));
        assert_int_equal(kv_arena_on_cleanup(again->arena, register_again, again), KV_OK);
    }
}

static void a_cleanup_may_allocate_and_register(void **state)
{
    (void)state;
    again_t again = {kv_arena_create(0), 10};
    assert_int_equal(kv_arena_on_cleanup(again.arena, register_again, &again), KV_OK);
    kv_arena_reset(again.arena, 0);
    assert_int_equal(again.left, -1);
    assert_int_equal(again.arena->total_blocks, 0);
    again.left = 10;
    assert_int_equal(kv_arena_on_cleanup(again.arena, register_again, &again), KV_OK);
    kv_arena_destroy(again.arena);
    assert_int_equal(again.left, -1);
}

static void arenas_are_independent(void **state)
{
    (void)state;
    kv_arena_t *arenas[50];
    for (size_t i = 0; i < 50; i++) {
        arenas[i] = kv_arena_create(1024 + i * 100);
    }
    for (size_t k = 0; k < 100; k++) {
        for (size_t i = 0; i < 50; i++) {
            memset(kv_arena_alloc(arenas[i], k + 1), (int)i, k + 1);
        }
    }
    for (size_t i = 0; i < 50; i += 2) {
        kv_arena_destroy(arenas[i]);
    }
    for (size_t i = 1; i < 50; i += 2) {
        assert_int_equal(kv_arena_check(arenas[i]), KV_OK);
        assert_int_equal(*arenas[i]->blocks->data, (char)i);
        kv_arena_destroy(arenas[i]);
    }
}

/* The first example of the document, as printed there. */
static void the_first_example_of_the_document(void **state)
{
    (void)state;
    // clang-format off
// 创建arena
kv_arena_t *arena = kv_arena_create(8192);

// 分配内存
void *ptr1 = kv_arena_alloc(arena, 256);
void *ptr2 = kv_arena_alloc(arena, 512);

// 对齐分配
void *aligned_ptr = kv_arena_alloc_aligned(arena, 100, 16);

// 获取统计信息
size_t usage = kv_arena_memory_usage(arena);
size_t allocated = kv_arena_total_allocated(arena);
    // clang-format on
    assert_ptr_equal((char *)ptr1 + 256, ptr2);
    assert_int_equal((uintptr_t)aligned_ptr % 16, 0);
    assert_int_equal(usage, 8192 + sizeof(struct arena_block));
    assert_int_equal(allocated, 256 + 512 + 104);
    kv_arena_destroy(arena);
}

/* The second one. */
static void the_second_example_of_the_document(void **state)
{
    (void)state;
    const size_t key_size = 16;
    const size_t value_size = 100;
    // clang-format off
// KV存储示例
typedef struct {
    char *key;
    char *value;
} kv_pair_t;

kv_arena_t *arena = kv_arena_create(16384);

// 批量分配键值对
kv_pair_t *pairs = kv_arena_alloc(arena, 100 * sizeof(kv_pair_t));

for (int i = 0; i < 100; i++) {
    // 分配键和值的存储空间
    pairs[i].key = kv_arena_alloc(arena, key_size);
    pairs[i].value = kv_arena_alloc(arena, value_size);
}
    // clang-format on
    for (int i = 0; i < 100; i++) {
        memset(pairs[i].key, i, key_size);
        memset(pairs[i].value, i + 100, value_size);
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(pairs[i].key[key_size - 1], (char)i);
        assert_int_equal(pairs[i].value[0], (char)(i + 100));
    }
    kv_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_fields_are_there),
        cmocka_unit_test(the_published_functions_have_their_types),
        cmocka_unit_test(the_macros_are_the_functions),
        cmocka_unit_test(callers_that_do_not_inline),
        cmocka_unit_test(the_long_way_is_the_same),
        cmocka_unit_test(arenas_and_objects_clean_up_with_another),
        cmocka_unit_test(a_cleanup_may_allocate_and_register),
        cmocka_unit_test(arenas_are_independent),
        cmocka_unit_test(the_first_example_of_the_document),
        cmocka_unit_test(the_second_example_of_the_document),
    };
    return cmocka_run_group_tests_name("arena compatibility", tests, NULL, NULL);
}
