/* SPDX-License-Identifier: MIT */
/*
 * The inside of the hash engine, beyond what tests/engine/conformance.c asks of every engine: keys
 * that collide, growth in small steps, memory at every size, a directory that gets smaller again.
 */
#include "test.h"

#include <string.h>

#include "engine/hash_int.h"

#define EQUAL_HASHES_MAX (SEGMENT_BUCKETS_MAX * BUCKET_SLOTS)

static kvi_hash_engine_t *open_hash(size_t expected_count)
{
    const kv_engine_options_t options = {.hash_seed = test_seed(),
                                         .expected_count = expected_count};
    kv_engine_t *engine = NULL;
    assert_int_equal(kv_engine_open("hash", &options, &engine), KV_OK);
    return (kvi_hash_engine_t *)engine;
}

static void close_hash(kvi_hash_engine_t *hash)
{
    hash->engine.ops->close(&hash->engine);
}

static kv_slice_t number_slice(const uint64_t *number)
{
    return (kv_slice_t){(const char *)number, sizeof *number};
}

static kv_status_t put_number(kvi_hash_engine_t *hash, uint64_t number)
{
    const kv_slice_t slice = number_slice(&number);
    return hash->engine.ops->put(&hash->engine, slice, slice);
}

static bool has_number(kvi_hash_engine_t *hash, uint64_t number)
{
    kv_slice_t value;
    const kv_slice_t slice = number_slice(&number);
    return hash->engine.ops->get(&hash->engine, slice, &value) == KV_OK &&
           kvi_slice_equal(value, slice);
}

static kv_status_t delete_number(kvi_hash_engine_t *hash, uint64_t number)
{
    return hash->engine.ops->del(&hash->engine, number_slice(&number));
}

static void assert_sound(kvi_hash_engine_t *hash)
{
    assert_int_equal(hash->engine.ops->check(&hash->engine), KV_OK);
}

static void count_visit(void *context, kv_slice_t key, kv_slice_t value)
{
    (void)key;
    (void)value;
    ++*(size_t *)context;
}

static size_t count_by_scan(kvi_hash_engine_t *hash)
{
    size_t count = 0;
    uint64_t token = 0;
    do {
        token = hash->engine.ops->scan(&hash->engine, token, 10, count_visit, &count);
    } while (token != 0);
    return count;
}

static size_t count_by_cursor(kvi_hash_engine_t *hash)
{
    kv_cursor_t *cursor = NULL;
    size_t count = 0;
    assert_int_equal(hash->engine.ops->cursor_open(&hash->engine, &cursor), KV_OK);
    kv_status_t status = hash->engine.ops->cursor_first(cursor);
    while (status == KV_OK) {
        count++;
        status = hash->engine.ops->cursor_next(cursor);
    }
    hash->engine.ops->cursor_close(cursor);
    return count;
}

/* ---- collisions ---- */

/* A segment holds so many keys of one hash; the next one is refused, and nothing else suffers. */
static void keys_of_one_hash_fill_a_segment_and_no_more(void **state)
{
    (void)state;
    kvi_hash_engine_t *const hash = open_hash(0);
    hash->hash_mask = 0;
    for (uint64_t i = 0; i < EQUAL_HASHES_MAX; i++) {
        assert_int_equal(put_number(hash, i), KV_OK);
    }
    assert_sound(hash);
    assert_int_equal(put_number(hash, EQUAL_HASHES_MAX), KV_NO_MEMORY);
    assert_false(has_number(hash, EQUAL_HASHES_MAX));
    assert_sound(hash);
    assert_int_equal(count_by_scan(hash), EQUAL_HASHES_MAX);
    assert_int_equal(count_by_cursor(hash), EQUAL_HASHES_MAX);
    for (uint64_t i = 0; i < EQUAL_HASHES_MAX; i++) {
        assert_true(has_number(hash, i));
        assert_int_equal(delete_number(hash, i), KV_OK);
    }
    assert_sound(hash);
    close_hash(hash);
}

/* Eight bits of hash at different places: ties everywhere, tags that say nothing, segments that
 * fill unevenly. */
static void weak_hashes_are_slow_but_right(void **state)
{
    (void)state;
    static const uint64_t masks[] = {UINT64_C(0xff) << 56, UINT64_C(0xff) << 44,
                                     UINT64_C(0xf00000000000000e), UINT64_C(0xf0f0) << 44};
    for (size_t round = 0; round < sizeof masks / sizeof masks[0]; round++) {
        kvi_hash_engine_t *const hash = open_hash(0);
        hash->hash_mask = masks[round];
        uint64_t stored = 0;
        while (stored < 20000 && put_number(hash, stored) == KV_OK) {
            stored++;
        }
        assert_true(stored >= EQUAL_HASHES_MAX);
        assert_sound(hash);
        assert_int_equal(count_by_scan(hash), stored);
        assert_int_equal(count_by_cursor(hash), stored);
        for (uint64_t i = 0; i < stored; i++) {
            assert_true(has_number(hash, i));
            assert_int_equal(delete_number(hash, i), KV_OK);
        }
        assert_int_equal(hash->count, 0);
        assert_sound(hash);
        close_hash(hash);
    }
}

/* ---- growth ---- */

static size_t table_bytes(const kvi_hash_engine_t *hash)
{
    return hash->index_bytes - sizeof *hash -
           2 * hash->count; /* two bytes are each entry's header */
}

/* No put adds more to the table than a few pieces and a chunk, and the table is small for its
 * entries at every size. */
static void the_table_grows_smoothly(void **state)
{
    (void)state;
    enum { COUNT = 300000 };
    kvi_hash_engine_t *const hash = open_hash(0);
    size_t before = table_bytes(hash);
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_int_equal(put_number(hash, i), KV_OK);
        const size_t now = table_bytes(hash);
        assert_true(now <= before + 8 * PIECE_BYTES + 2 * kvi_directory_chunk_bytes());
        assert_true(now <= 7 * hash->count + 16384);
        before = now;
    }
    assert_sound(hash);
    close_hash(hash);
}

static void room_made_at_once_needs_no_growth(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    kvi_hash_engine_t *const hash = open_hash(COUNT);
    const size_t before = table_bytes(hash);
    assert_true(before <= 8 * COUNT);
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_int_equal(put_number(hash, i), KV_OK);
    }
    assert_true(table_bytes(hash) <= before + before / 8);
    assert_sound(hash);
    close_hash(hash);
}

static size_t relocate_all(kvi_hash_engine_t *hash)
{
    enum { STEPS = 1000 };
    size_t calls = 1;
    while (hash->engine.ops->relocate(&hash->engine, STEPS) == STEPS) {
        calls++;
        assert_true(calls < 100000);
    }
    return calls;
}

/* After deletes the segments shrink and merge, and relocate makes the directory smaller. */
static void the_table_and_its_directory_get_smaller_again(void **state)
{
    (void)state;
    enum { COUNT = 200000, LEFT = 1000 };
    kvi_hash_engine_t *const hash = open_hash(0);
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_int_equal(put_number(hash, i), KV_OK);
    }
    const uint32_t top_bits = hash->top_bits;
    assert_true(top_bits > 0);
    for (uint64_t i = LEFT; i < COUNT; i++) {
        assert_int_equal(delete_number(hash, i), KV_OK);
        assert_true(table_bytes(hash) <= 20 * hash->count + 500000);
    }
    assert_sound(hash);
    for (int round = 0; round < 20; round++) {
        (void)relocate_all(hash);
        assert_sound(hash);
    }
    assert_true(hash->top_bits < top_bits);
    for (uint64_t i = 0; i < LEFT; i++) {
        assert_true(has_number(hash, i));
    }
    for (uint64_t i = 0; i < COUNT; i++) { /* and it grows again */
        assert_int_equal(put_number(hash, i), KV_OK);
    }
    assert_int_equal(count_by_scan(hash), COUNT);
    assert_sound(hash);
    close_hash(hash);
}

/* ---- memory for entries but not for the table ---- */

enum { HOARD = 60000 };
typedef struct hoard {
    void *objects[HOARD];
    size_t count;
} hoard_t;

/* Objects of the size classes that the table uses: pieces and chunks are aligned. */
static void hoard_until_short(kvi_hash_engine_t *hash, hoard_t *hoard, size_t bytes, size_t limit)
{
    const size_t alignment = bytes % BUCKET_BYTES == 0 ? BUCKET_BYTES : 1;
    while (limit-- > 0) {
        void *const object = kv_pool_alloc_aligned(hash->pool, bytes, alignment);
        if (object == NULL) {
            break;
        }
        assert_true(hoard->count < HOARD);
        hoard->objects[hoard->count++] = object;
    }
}

static void let_go(kvi_hash_engine_t *hash, hoard_t *hoard, size_t count)
{
    while (count-- > 0 && hoard->count > 0) {
        kv_pool_free(hash->pool, hoard->objects[--hoard->count]);
    }
}

/* Frees most, but leaves some in every block, so that no block goes back and serves other classes.
 */
static void thin_out(kvi_hash_engine_t *hash, hoard_t *hoard)
{
    size_t kept = 0;
    for (size_t i = 0; i < hoard->count; i++) {
        if (i % 1000 == 0) {
            hoard->objects[kept++] = hoard->objects[i];
        } else {
            kv_pool_free(hash->pool, hoard->objects[i]);
        }
    }
    hoard->count = kept;
}

/* Puts numbers until one is refused; returns their count. Refused ones have changed nothing. */
static uint64_t put_until_refused(kvi_hash_engine_t *hash, uint64_t from)
{
    while (put_number(hash, from) == KV_OK) {
        from++;
    }
    assert_int_equal(hash->count, from);
    assert_false(has_number(hash, from));
    return from;
}

/* There is room for many entries; for pieces and chunks only for spare of each. With none the table
 * fills to the last slot of some segment; with every one more it gets a step further. */
static void a_table_that_cannot_grow_stays_sound(void **state)
{
    (void)state;
    static hoard_t entries;
    static hoard_t pieces;
    static hoard_t chunks;
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    const kv_engine_options_t options = {.hash_seed = test_seed(), .budget = budget};
    kv_engine_t *engine = NULL;
    assert_int_equal(kv_engine_open("hash", &options, &engine), KV_OK);
    kvi_hash_engine_t *const hash = (kvi_hash_engine_t *)engine;
    uint64_t stored = 0;
    hoard_until_short(hash, &entries, 18, HOARD); /* an entry: two bytes of header, two numbers */
    hoard_until_short(hash, &pieces, PIECE_BYTES, 200); /* to be let go one by one */
    hoard_until_short(hash, &chunks, kvi_directory_chunk_bytes(), 30);
    kv_budget_set_limit(budget, kv_budget_used(budget) + 1);
    hoard_until_short(hash, &pieces, PIECE_BYTES, HOARD);
    hoard_until_short(hash, &chunks, kvi_directory_chunk_bytes(), HOARD);
    thin_out(hash, &entries);
    for (int step = 0; step < 150; step++) {
        stored = put_until_refused(hash, stored);
        let_go(hash, step % 40 == 39 ? &chunks : &pieces, 1);
    }
    assert_true(stored > 150 * PIECE_BUCKETS * BUCKET_SLOTS / 2);
    kv_budget_set_limit(budget, 0);
    let_go(hash, &entries, HOARD);
    let_go(hash, &pieces, HOARD);
    let_go(hash, &chunks, HOARD);
    assert_sound(hash); /* which also finds objects that nobody holds */
    for (uint64_t i = 0; i < stored; i++) {
        assert_true(has_number(hash, i));
    }
    close_hash(hash);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

/* ---- check finds what is wrong ---- */

static kvi_hash_bucket_t *first_used_bucket(kvi_hash_engine_t *hash)
{
    const kvi_hash_segment_t *const segment = kvi_hash_segment_of(hash, 0);
    for (uint32_t i = 0; i < kvi_segment_buckets(segment); i++) {
        kvi_hash_bucket_t *const bucket = kvi_segment_bucket(hash, segment, i);
        if (kvi_bucket_count(bucket) > 0 && kvi_bucket_count(bucket) < BUCKET_SLOTS) {
            return bucket;
        }
    }
    return NULL;
}

static void assert_check_finds(kvi_hash_engine_t *hash, uint8_t *byte, uint8_t flip)
{
    *byte ^= flip;
    assert_int_equal(hash->engine.ops->check(&hash->engine), KV_CORRUPT);
    *byte ^= flip;
    assert_sound(hash);
}

static void check_finds_damage(void **state)
{
    (void)state;
    kvi_hash_engine_t *const hash = open_hash(0);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(put_number(hash, i), KV_OK);
    }
    kvi_hash_bucket_t *const bucket = first_used_bucket(hash);
    assert_non_null(bucket);
    assert_check_finds(hash, &bucket->tags[0], 1);
    assert_check_finds(hash, (uint8_t *)&bucket->meta, 1 << 4); /* overflow */
    assert_check_finds(hash, (uint8_t *)&bucket->meta + 1, 1);  /* distance of slot 0 */
    assert_check_finds(hash, (uint8_t *)&hash->count, 1);
    assert_check_finds(hash, (uint8_t *)&hash->key_bytes, 1);
    assert_check_finds(hash, (uint8_t *)&hash->value_bytes, 1);
    assert_check_finds(hash, (uint8_t *)&hash->index_bytes, 1);
    assert_check_finds(hash, (uint8_t *)&kvi_hash_canonical(hash, 0)->count, 1);
    close_hash(hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_one_hash_fill_a_segment_and_no_more),
        cmocka_unit_test(weak_hashes_are_slow_but_right),
        cmocka_unit_test(the_table_grows_smoothly),
        cmocka_unit_test(room_made_at_once_needs_no_growth),
        cmocka_unit_test(the_table_and_its_directory_get_smaller_again),
        cmocka_unit_test(a_table_that_cannot_grow_stays_sound),
        cmocka_unit_test(check_finds_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
