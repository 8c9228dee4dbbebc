/* SPDX-License-Identifier: MIT */
/* The block map: everything that holds memory is shown once, in address order, with owner and fill.
 */
#include "test.h"

#include <concordkv/kv_memory.h>

#include "memory/block_int.h"
#include "os/config.h"

#include <string.h>

typedef struct picture {
    const char *end; /* of the block before */
    size_t bytes[KV_BLOCK_METADATA + 1];
    size_t used[KV_BLOCK_METADATA + 1];
    size_t visits;
    size_t stop_after;
    const void *owner_id; /* what is added up below */
    size_t owner_bytes;
    size_t owner_used;
    const char *owner;
} picture_t;

static bool draw(const kv_memory_block_t *block, void *context)
{
    picture_t *const picture = context;
    const char *const start = block->address;
    assert_true(start >= picture->end);
    assert_true(block->bytes > 0 && block->bytes % KVI_PAGE_BYTES == 0);
    assert_true(block->used_bytes <= block->bytes);
    assert_non_null(block->owner);
    assert_true((block->kind == KV_BLOCK_POOL) == (block->object_bytes != 0));
    picture->end = start + block->bytes;
    picture->bytes[block->kind] += block->bytes;
    picture->used[block->kind] += block->used_bytes;
    picture->visits++;
    if (block->owner_id != NULL && block->owner_id == picture->owner_id) {
        picture->owner_bytes += block->bytes;
        picture->owner_used += block->used_bytes;
        picture->owner = block->owner;
    }
    return picture->visits != picture->stop_after;
}

static picture_t take_picture(const void *owner_id)
{
    picture_t picture = {.owner_id = owner_id};
    assert_int_equal(kv_memory_map(draw, &picture), KV_OK);
    return picture;
}

static void a_map_needs_a_visitor(void **state)
{
    (void)state;
    assert_int_equal(kv_memory_map(NULL, NULL), KV_INVALID);
}

static void the_sum_is_what_the_process_holds(void **state)
{
    (void)state;
    kv_pool_t *const pool = kv_pool_create(NULL);
    size_t obtained = 0;
    static const kvi_block_owner_t owner = {.kind = KV_BLOCK_ARENA, .name = "arena", .id = "id"};
    void *const pages = kvi_block_acquire(NULL, &owner, 12288, &obtained);
    for (size_t i = 1; i < 300; i++) {
        assert_non_null(kv_pool_alloc(pool, i * i * 20));
    }
    const picture_t picture = take_picture("id");
    assert_int_equal(picture.owner_bytes, 12288);
    size_t bytes = 0;
    for (size_t kind = 0; kind <= KV_BLOCK_METADATA; kind++) {
        bytes += picture.bytes[kind];
    }
    assert_int_equal(bytes, (size_t)(kvi_source.used + kvi_source.idle) << KVI_BLOCK_SHIFT);
    assert_int_equal(picture.used[KV_BLOCK_FREE], 0);
    kvi_block_release(NULL, pages, obtained);
    kv_pool_destroy(pool);
}

static void a_pool_sees_its_own_blocks(void **state)
{
    (void)state;
    const kv_pool_options_t options = {.name = "keyspace 7"};
    kv_pool_t *const pool = kv_pool_create(&options);
    for (size_t i = 0; i < 5000; i++) {
        assert_non_null(kv_pool_alloc(pool, 100));
    }
    assert_non_null(kv_pool_alloc(pool, 2000000));
    kv_pool_stats_t stats;
    assert_int_equal(kv_pool_stats(pool, &stats), KV_OK);
    const picture_t picture = take_picture(pool);
    assert_string_equal(picture.owner, "keyspace 7");
    assert_int_equal(picture.owner_bytes, stats.live_bytes + stats.free_bytes);
    /* Objects resting in caches count as used. */
    assert_true(picture.owner_used >= stats.live_bytes);
    assert_true(picture.owner_used < stats.live_bytes + ((size_t)256 * 104));
    kv_pool_destroy(pool);
    assert_int_equal(take_picture(pool).owner_bytes, 0);
}

static void the_store_is_an_owner_too(void **state)
{
    (void)state;
    if (!kvi_mem_pool) {
        return;
    }
    void *const object = kv_store_malloc(3000000);
    const picture_t picture = take_picture(NULL);
    assert_true(picture.bytes[KV_BLOCK_LARGE] >= 3000000);
    assert_true(picture.visits > 0);
    kv_store_free(object);
}

static void a_visitor_may_stop(void **state)
{
    (void)state;
    kv_pool_t *const pool = kv_pool_create(NULL);
    for (size_t i = 1; i < 100; i++) {
        assert_non_null(kv_pool_alloc(pool, i * 16));
    }
    picture_t picture = {.stop_after = 3};
    assert_int_equal(kv_memory_map(draw, &picture), KV_OK);
    assert_int_equal(picture.visits, 3);
    kv_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_needs_a_visitor),
        cmocka_unit_test(the_sum_is_what_the_process_holds),
        cmocka_unit_test(a_pool_sees_its_own_blocks),
        cmocka_unit_test(the_store_is_an_owner_too),
        cmocka_unit_test(a_visitor_may_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
