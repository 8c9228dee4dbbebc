/* SPDX-License-Identifier: MIT */
/* Pools: the contract of kv_memory.h, references, statistics, compaction, refusals, and random
 * scripts with patterns in every object. Everything runs with magazines and without. */
#include "test.h"

#include <concordkv/kv_memory.h>

#include "memory/guard.h"
#include "memory/pool_int.h"
#include "os/config.h"

#include <pthread.h>
#include <string.h>

typedef struct fixture {
    kv_budget_t *budget;
    kv_pool_t *pool;
    unsigned misuses[4];
} fixture_t;

static void count_misuse(void *context, kv_misuse_t misuse, const void *pointer)
{
    assert_non_null(pointer);
    ((fixture_t *)context)->misuses[misuse]++;
}

static int open_pool(void **state, size_t granule, bool direct)
{
    fixture_t *const fixture = calloc(1, sizeof *fixture);
    fixture->budget = kv_budget_create(NULL, 0);
    const kv_pool_options_t options = {.budget = fixture->budget,
                                       .granule = granule,
                                       .misuse = count_misuse,
                                       .misuse_context = fixture,
                                       .name = "test"};
    fixture->pool = kvi_pool_create_direct(&options, direct);
    *state = fixture;
    return fixture->pool == NULL ? -1 : 0;
}

static int open_cached(void **state)
{
    return open_pool(state, 8, false);
}

static int open_coarse(void **state)
{
    return open_pool(state, 16, false);
}

static int open_direct(void **state)
{
    return open_pool(state, 8, true);
}

/* Whatever a test leaves alive goes with the pool; the budget must be whole again then. */
static int close_pool(void **state)
{
    fixture_t *const fixture = *state;
    const kv_status_t status = kv_pool_check(fixture->pool);
    kv_pool_destroy(fixture->pool);
    const size_t used = kv_budget_used(fixture->budget);
    kv_budget_destroy(fixture->budget);
    free(fixture);
    return status == KV_OK && used == 0 && kvi_run_check() == KV_OK ? 0 : -1;
}

static kv_pool_stats_t stats_of(const fixture_t *fixture)
{
    kv_pool_stats_t stats;
    assert_int_equal(kv_pool_stats(fixture->pool, &stats), KV_OK);
    return stats;
}

/* ---- classes ---- */

static void classes_lose_an_eighth_at_most(void **state)
{
    (void)state;
    for (unsigned shift = 3; shift <= 4; shift++) {
        const size_t granule = (size_t)1 << shift;
        size_t before = 0;
        for (size_t number = 0; number < KVI_CLASSES; number++) {
            const size_t bytes = kvi_class_bytes(number, shift);
            assert_true(bytes > before && bytes % granule == 0);
            assert_true(bytes - before <= granule || (bytes - before) * 8 <= bytes);
            assert_int_equal(kvi_class_of(bytes, shift), number);
            assert_int_equal(kvi_class_of(before + 1, shift), number);
            before = bytes;
        }
        assert_int_equal(before, (size_t)65536 << shift);
        assert_true(kvi_class_of(before + 1, shift) >= KVI_CLASSES);
        assert_true(kvi_class_of(SIZE_MAX, shift) >= KVI_CLASSES);
        assert_int_equal(kvi_class_of(0, shift), 0);
        for (size_t units = 0; units <= KVI_CLASS_TABLE_UNITS; units++) {
            assert_int_equal(kvi_class_table[units], kvi_class_of(units << shift, shift));
        }
    }
}

/* ---- the calls one by one ---- */

static void options_are_checked(void **state)
{
    (void)state;
    const kv_pool_options_t granule = {.granule = 24};
    const kv_pool_options_t huge = {.huge_pages = (kv_huge_pages_t)9};
    assert_null(kv_pool_create(&granule));
    assert_null(kv_pool_create(&huge));
    kv_pool_t *const pool = kv_pool_create(NULL);
    assert_non_null(pool);
    kv_pool_destroy(pool);
    kv_pool_destroy(NULL);
}

static void objects_are_apart_and_aligned(void **state)
{
    fixture_t *const fixture = *state;
    const size_t granule = (size_t)1 << fixture->pool->granule_shift;
    for (size_t size = 0; size < 3000; size += size < 300 ? 1 : 61) {
        unsigned char *const a = kv_pool_alloc(fixture->pool, size);
        unsigned char *const b = kv_pool_alloc(fixture->pool, size);
        assert_true(a != NULL && b != NULL && a != b);
        assert_int_equal((uintptr_t)a % granule, 0);
        const size_t usable = kv_pool_usable_size(fixture->pool, a);
        assert_true(usable >= size);
        assert_true(kvi_hardened || usable <= size + size / 7 + granule);
        memset(a, 1, usable);
        memset(b, 2, usable);
        assert_true(usable == 0 || (a[0] == 1 && a[usable - 1] == 1));
        assert_true(kv_pool_owns(fixture->pool, a));
        kv_pool_free(fixture->pool, a);
        kv_pool_free(fixture->pool, b);
    }
    kv_pool_free(fixture->pool, NULL);
    assert_int_equal(kv_pool_usable_size(fixture->pool, NULL), 0);
}

static void multiples_of_64_lie_on_cache_lines(void **state)
{
    fixture_t *const fixture = *state;
    if (kvi_hardened) {
        return; /* the guards move sizes */
    }
    for (size_t size = 64; size <= 8192; size *= 2) {
        for (int i = 0; i < 200; i++) {
            assert_int_equal((uintptr_t)kv_pool_alloc(fixture->pool, size) % 64, 0);
        }
    }
}

static void any_alignment_to_2_mb(void **state)
{
    fixture_t *const fixture = *state;
    static const size_t sizes[] = {0, 1, 7, 100, 4096, 70000, 600000, 3000000};
    for (size_t alignment = 1; alignment <= (size_t)2 << 20; alignment *= 2) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            char *const object = kv_pool_alloc_aligned(fixture->pool, sizes[i], alignment);
            assert_non_null(object);
            assert_int_equal((uintptr_t)object % alignment, 0);
            memset(object, 1, sizes[i]);
            char *const larger = kv_pool_realloc(fixture->pool, object, sizes[i] + 10);
            assert_non_null(larger);
            kv_pool_free(fixture->pool, larger);
        }
    }
    assert_null(kv_pool_alloc_aligned(fixture->pool, 8, 0));
    assert_null(kv_pool_alloc_aligned(fixture->pool, 8, 3));
    assert_null(kv_pool_alloc_aligned(fixture->pool, 8, (size_t)4 << 20));
    assert_null(kv_pool_alloc_aligned(fixture->pool, SIZE_MAX, 64));
    assert_null(kv_pool_alloc_aligned(fixture->pool, SIZE_MAX - 4096, 4096));
}

static void impossible_sizes_change_nothing(void **state)
{
    fixture_t *const fixture = *state;
    char *const object = kv_pool_alloc(fixture->pool, 100);
    memset(object, 5, 100);
    const kv_pool_stats_t before = stats_of(fixture);
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 7, SIZE_MAX - 8, SIZE_MAX / 2 + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_null(kv_pool_alloc(fixture->pool, sizes[i]));
        assert_null(kv_pool_realloc(fixture->pool, object, sizes[i]));
        assert_null(kv_pool_calloc(fixture->pool, sizes[i], 1));
        assert_null(kv_pool_calloc(fixture->pool, sizes[i] / 2 + 1, 4));
    }
    const kv_pool_stats_t after = stats_of(fixture);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(object[99], 5);
}

static void calloc_clears_recycled_memory(void **state)
{
    fixture_t *const fixture = *state;
    static const size_t sizes[] = {1, 64, 1000, 70000, 2000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int round = 0; round < 3; round++) {
            unsigned char *const object = kv_pool_calloc(fixture->pool, 1, sizes[i]);
            assert_non_null(object);
            for (size_t j = 0; j < sizes[i]; j++) {
                assert_int_equal(object[j], 0);
            }
            memset(object, 0xff, sizes[i]);
            kv_pool_free(fixture->pool, object);
        }
    }
}

static void realloc_keeps_the_smaller_part(void **state)
{
    fixture_t *const fixture = *state;
    static const size_t sizes[] = {1, 9, 300, 299, 5000, 100, 100000, 1000000, 3000000, 900000, 3};
    unsigned char *object = kv_pool_realloc(fixture->pool, NULL, sizes[0]);
    object[0] = 1;
    size_t old_size = sizes[0];
    for (size_t i = 1; i < sizeof sizes / sizeof sizes[0]; i++) {
        object = kv_pool_realloc(fixture->pool, object, sizes[i]);
        assert_non_null(object);
        const size_t kept = old_size < sizes[i] ? old_size : sizes[i];
        for (size_t j = 0; j < kept; j++) {
            assert_int_equal(object[j], 1);
        }
        assert_true(kv_pool_usable_size(fixture->pool, object) >= sizes[i]);
        memset(object, 1, sizes[i]);
        old_size = sizes[i];
    }
    object = kv_pool_realloc(fixture->pool, object, 0);
    assert_non_null(object); /* size 0 is a size */
    kv_pool_free(fixture->pool, object);
    assert_int_equal(stats_of(fixture).live_objects, 0);
}

static void realloc_within_the_class_stays(void **state)
{
    fixture_t *const fixture = *state;
    char *const object = kv_pool_alloc(fixture->pool, 1025);
    assert_ptr_equal(kv_pool_realloc(fixture->pool, object, 1100), object);
    assert_ptr_equal(kv_pool_realloc(fixture->pool, object, 1030), object);
    kv_pool_free(fixture->pool, object);
    (void)kv_pool_trim(fixture->pool);
    char *const large = kv_pool_alloc(fixture->pool, 5000000);
    assert_ptr_equal(kv_pool_realloc(fixture->pool, large, 2000000), large);
    assert_int_equal(stats_of(fixture).blocks, 31);
    assert_ptr_equal(kv_pool_realloc(fixture->pool, large, 2031616 - KVI_GUARD_BYTES), large);
}

static void ownership_is_by_block(void **state)
{
    fixture_t *const fixture = *state;
    kv_pool_t *const other = kv_pool_create(NULL);
    char *const mine = kv_pool_alloc(fixture->pool, 3000000);
    char *const theirs = kv_pool_alloc(other, 100);
    int local = 0;
    assert_true(kv_pool_owns(fixture->pool, mine));
    assert_true(kv_pool_owns(fixture->pool, mine + 2999999));
    assert_false(kv_pool_owns(fixture->pool, theirs));
    assert_true(kv_pool_owns(other, theirs));
    assert_false(kv_pool_owns(fixture->pool, &local));
    assert_false(kv_pool_owns(fixture->pool, NULL));
    kv_pool_free(fixture->pool, mine);
    assert_false(kv_pool_owns(fixture->pool, mine));
    kv_pool_destroy(other);
}

static void references_name_objects(void **state)
{
    fixture_t *const fixture = *state;
    assert_null(kvi_pool_deref(fixture->pool, 0));
    for (size_t size = 1; size < 5000000; size = size * 3 + 1) {
        for (int i = 0; i < 20; i++) {
            void *const object = kv_pool_alloc(fixture->pool, size);
            const uint32_t reference = kvi_pool_ref(fixture->pool, object);
            assert_true(reference != 0);
            assert_ptr_equal(kvi_pool_deref(fixture->pool, reference), object);
        }
    }
    assert_null(kvi_pool_deref(fixture->pool, 0));
    void *const object = kv_pool_alloc(fixture->pool, 77);
    assert_int_equal(kvi_pool_good_size(fixture->pool, 77),
                     kv_pool_usable_size(fixture->pool, object));
}

/* Large objects are not touched here, so that only address space is used. */
static void a_pool_reaches_32_gb(void **state)
{
    (void)state;
    if (kvi_os_checked()) {
        return; /* checkers leave less room and count every byte of it */
    }
    kv_pool_t *const pool = kv_pool_create(NULL);
    size_t count = 0;
    void *latest = NULL;
    for (void *object = kv_pool_alloc(pool, (size_t)4 << 20); object != NULL && count < 9000;
         object = kv_pool_alloc(pool, (size_t)4 << 20)) {
        latest = object;
        count++;
    }
    assert_true(count < KVI_WINDOWS_MAX);
    assert_ptr_equal(kvi_pool_deref(pool, kvi_pool_ref(pool, latest)), latest);
    assert_int_equal(kv_pool_check(pool), KV_OK);
    kv_pool_free(pool, latest);
    void *const again = kv_pool_alloc(pool, (size_t)4 << 20); /* its window is free again */
    assert_non_null(again);
    assert_ptr_equal(kvi_pool_deref(pool, kvi_pool_ref(pool, again)), again);
    kv_pool_destroy(pool);
}

/* ---- figures ---- */

static void statistics_add_up(void **state)
{
    fixture_t *const fixture = *state;
    enum { COUNT = 3000 };
    static void *objects[COUNT];
    size_t usable = 0;
    for (size_t i = 0; i < COUNT; i++) {
        objects[i] = kv_pool_alloc(fixture->pool, i * 7 % 2000 + (i % 500 == 0 ? 1000000U : 0U));
        usable += kvi_heap_object_bytes(&fixture->pool->heap, objects[i]);
    }
    for (size_t i = 0; i < COUNT; i += 3) {
        usable -= kvi_heap_object_bytes(&fixture->pool->heap, objects[i]);
        kv_pool_free(fixture->pool, objects[i]);
    }
    const kv_pool_stats_t stats = stats_of(fixture);
    assert_int_equal(stats.live_objects, COUNT - (COUNT + 2) / 3);
    assert_int_equal(stats.live_bytes, usable);
    assert_int_equal(stats.live_bytes + stats.free_bytes + stats.metadata_bytes,
                     stats.obtained_bytes);
    assert_true(stats.live_bytes + stats.free_bytes <= stats.blocks * KVI_BLOCK_BYTES);
    assert_int_equal(stats.obtained_bytes, kv_budget_used(fixture->budget));
    assert_int_equal(stats.peak_bytes, kv_budget_peak(fixture->budget));
    size_t live = 0;
    size_t blocks = 0;
    for (unsigned i = 0; i < stats.classes; i++) {
        kv_pool_class_stats_t class;
        assert_int_equal(kv_pool_class_stats(fixture->pool, i, &class), KV_OK);
        live += class.live_objects;
        blocks += class.blocks;
    }
    assert_int_equal(live, stats.live_objects);
    assert_int_equal(blocks, stats.blocks);
    kv_pool_class_stats_t class;
    assert_int_equal(kv_pool_class_stats(fixture->pool, stats.classes, &class), KV_INVALID);
    assert_int_equal(kv_pool_class_stats(NULL, 0, &class), KV_INVALID);
    kv_pool_stats_t none;
    assert_int_equal(kv_pool_stats(NULL, &none), KV_INVALID);
    assert_int_equal(kv_pool_stats(fixture->pool, NULL), KV_INVALID);
}

/* Free bytes of a class that only grew: the page or the object opened last, a 512th, what rests in
 * the magazine, the tails of spans. */
static size_t growth_bound(size_t live, size_t object)
{
    const size_t resting = object * (live / object / 8 + 8);
    return KVI_PAGE_BYTES + object + live / KVI_GROWTH_PART + resting + live / 16;
}

static void a_class_takes_the_pages_it_needs(void **state)
{
    fixture_t *const fixture = *state;
    static const size_t sizes[] = {8, 40, 100, 256, 1500, 3000, 9000, 40000, 60000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const size_t before = kv_budget_used(fixture->budget);
        const kv_pool_options_t options = {.budget = fixture->budget};
        kv_pool_t *const pool = kvi_pool_create_direct(&options, fixture->pool->direct);
        void *objects[1000];
        for (size_t n = 0; n < 1000; n++) {
            objects[n] = kv_pool_alloc(pool, sizes[i]);
            assert_non_null(objects[n]);
            kv_pool_stats_t stats;
            assert_int_equal(kv_pool_stats(pool, &stats), KV_OK);
            const size_t object = stats.live_bytes / (n + 1);
            assert_true(stats.free_bytes <= growth_bound(stats.live_bytes, object));
            assert_int_equal(kv_budget_used(fixture->budget) - before, stats.obtained_bytes);
        }
        assert_int_equal(kv_pool_check(pool), KV_OK);
        for (size_t n = 0; n < 1000; n++) {
            kv_pool_free(pool, objects[n * 7 % 1000]);
        }
        assert_int_equal(kv_pool_check(pool), KV_OK);
        (void)kv_pool_trim(pool);
        kv_pool_stats_t stats;
        assert_int_equal(kv_pool_stats(pool, &stats), KV_OK);
        assert_int_equal(stats.live_bytes + stats.free_bytes + stats.blocks, 0);
        kv_pool_destroy(pool);
    }
}

/* The growing span may be current, queued or full, and may go back while others stay. */
static void a_growing_span_may_go_back(void **state)
{
    fixture_t *const fixture = *state;
    enum { COUNT = 1300, ROUNDS = 40 }; /* a whole span of 1,170 and more */
    static void *objects[COUNT];
    uint64_t sequence = test_seed();
    for (int round = 0; round < ROUNDS; round++) {
        const size_t count = 1 + test_random(&sequence) % COUNT;
        for (size_t i = 0; i < count; i++) {
            objects[i] = kv_pool_alloc(fixture->pool, 48);
            assert_non_null(objects[i]);
        }
        const size_t kept = test_random(&sequence) % count;
        for (size_t i = count; i-- > kept;) {
            kv_pool_free(fixture->pool, objects[i]);
        }
        assert_int_equal(kv_pool_check(fixture->pool), KV_OK);
        for (size_t i = 0; i < kept; i++) {
            kv_pool_free(fixture->pool, objects[i]);
        }
        assert_int_equal(kv_pool_check(fixture->pool), KV_OK);
        assert_int_equal(stats_of(fixture).obtained_bytes, kv_budget_used(fixture->budget));
    }
    (void)kv_pool_trim(fixture->pool);
    assert_int_equal(stats_of(fixture).blocks, 0);
}

static void empty_blocks_serve_other_classes(void **state)
{
    fixture_t *const fixture = *state;
    enum { COUNT = 20000 };
    static void *objects[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        objects[i] = kv_pool_alloc(fixture->pool, 64);
    }
    const size_t full = stats_of(fixture).obtained_bytes;
    for (size_t i = 0; i < COUNT; i++) {
        kv_pool_free(fixture->pool, objects[i]);
    }
    assert_true(stats_of(fixture).obtained_bytes < full / 5);
    for (size_t i = 0; i < COUNT; i++) {
        objects[i] = kv_pool_alloc(fixture->pool, 56);
    }
    assert_true(stats_of(fixture).obtained_bytes < full * 11 / 10);
    for (size_t i = 0; i < COUNT; i++) {
        kv_pool_free(fixture->pool, objects[i]);
    }
    assert_true(kv_pool_trim(fixture->pool) > 0 || fixture->pool->direct);
    assert_int_equal(stats_of(fixture).blocks, 0);
}

/* ---- compaction ---- */

enum { CROWD = 100000 };

static size_t move_out(fixture_t *fixture, void **objects, size_t size)
{
    size_t moved = 0;
    for (size_t i = 0; i < CROWD; i++) {
        if (objects[i] != NULL && kv_pool_sparse(fixture->pool, objects[i])) {
            void *const place = kv_pool_alloc(fixture->pool, size);
            memcpy(place, objects[i], size);
            kv_pool_free(fixture->pool, objects[i]);
            objects[i] = place;
            moved++;
        }
    }
    return moved;
}

static void moving_sparse_objects_frees_blocks(void **state)
{
    fixture_t *const fixture = *state;
    static void *objects[CROWD];
    uint64_t sequence = test_seed();
    for (size_t i = 0; i < CROWD; i++) {
        objects[i] = kv_pool_alloc(fixture->pool, 56);
        memcpy(objects[i], &i, sizeof i);
    }
    for (size_t i = 0; i < CROWD; i++) {
        if (test_random(&sequence) % 10 != 0) {
            kv_pool_free(fixture->pool, objects[i]);
            objects[i] = NULL;
        }
    }
    const kv_pool_stats_t before = stats_of(fixture);
    assert_true(before.obtained_bytes > before.live_bytes * 5);
    size_t moved = 0;
    for (int pass = 0; pass < 4; pass++) {
        moved += move_out(fixture, objects, 56);
    }
    const kv_pool_stats_t after = stats_of(fixture);
    assert_int_equal(after.live_objects, before.live_objects);
    assert_true(moved < CROWD / 10 * 3);
    /* One span's worth of slack for the class, beside the tables. */
    assert_true(after.obtained_bytes - after.metadata_bytes <
                after.live_bytes * 110 / 100 + 2 * KVI_BLOCK_BYTES);
    for (size_t i = 0; i < CROWD; i++) {
        if (objects[i] != NULL) {
            assert_memory_equal(objects[i], &i, sizeof i);
        }
    }
    /* A dense pool has nothing to move. */
    assert_int_equal(move_out(fixture, objects, 56), 0);
}

/* ---- shortage ---- */

/* One of each call; true if all of them succeeded. Whatever fails must leave the pool whole. */
static bool use_everything(kv_pool_t *pool)
{
    bool all = true;
    void *small = kv_pool_alloc(pool, 40);
    void *zeroed = kv_pool_calloc(pool, 3, 100);
    void *large = kv_pool_alloc(pool, 900000);
    void *aligned = kv_pool_alloc_aligned(pool, 100, 4096);
    void *const objects[] = {small, zeroed, large, aligned};
    for (size_t i = 0; i < 4; i++) {
        all = all && objects[i] != NULL;
    }
    if (small != NULL) {
        memset(small, 7, 40);
        void *const moved = kv_pool_realloc(pool, small, 5000);
        small = moved != NULL ? moved : small;
        all = all && moved != NULL;
        assert_int_equal(((char *)small)[39], 7);
    }
    if (large != NULL) {
        void *const moved = kv_pool_realloc(pool, large, 1500000);
        large = moved != NULL ? moved : large;
        all = all && moved != NULL;
    }
    assert_int_equal(kv_pool_check(pool), KV_OK);
    kv_pool_free(pool, small);
    kv_pool_free(pool, zeroed);
    kv_pool_free(pool, large);
    kv_pool_free(pool, aligned);
    return all;
}

static void every_budget_is_enough_or_refused(void **state)
{
    (void)state;
    bool all = false;
    for (size_t limit = 0; !all; limit += limit < 60000 ? 400 : limit < 300000 ? 5000 : 65000) {
        kv_budget_t *const budget = kv_budget_create(NULL, limit + 1);
        const kv_pool_options_t options = {.budget = budget};
        kv_pool_t *const pool = kvi_pool_create_direct(&options, false);
        all = pool != NULL && use_everything(pool);
        if (pool != NULL) {
            assert_int_equal(kv_pool_check(pool), KV_OK);
            assert_int_equal(kvi_heap_obtained(&pool->heap), kv_budget_used(budget));
        }
        assert_true(kv_budget_peak(budget) <= limit + 1);
        kv_pool_destroy(pool);
        assert_int_equal(kv_budget_used(budget), 0);
        kv_budget_destroy(budget);
        assert_true(limit < (size_t)8 << 20);
    }
}

static void every_refusal_of_the_system_is_survived(void **state)
{
    (void)state;
    bool all = false;
    for (size_t n = 1; !all; n++) {
        kv_budget_t *const budget = kv_budget_create(NULL, 0);
        const kv_pool_options_t options = {.budget = budget};
        kvi_source.refuse_after = n;
        kv_pool_t *const pool = kvi_pool_create_direct(&options, false);
        all = pool != NULL && use_everything(pool);
        const bool refused = kvi_source.refuse_after == 1;
        kvi_source.refuse_after = 0;
        assert_true(all || refused);
        kv_pool_destroy(pool);
        assert_int_equal(kv_budget_used(budget), 0);
        kv_budget_destroy(budget);
        assert_int_equal(kvi_run_check(), KV_OK);
        assert_true(n < 1000);
    }
}

static void a_full_budget_is_refused_to_the_last_byte(void **state)
{
    (void)state;
    const size_t limit = (size_t)6 << 20; /* pages are opened by twos and threes there */
    kv_budget_t *const budget = kv_budget_create(NULL, limit);
    const kv_pool_options_t options = {.budget = budget};
    kv_pool_t *const pool = kv_pool_create(&options);
    for (void *object = kv_pool_alloc(pool, 100); object != NULL;
         object = kv_pool_alloc(pool, 100)) {
        memset(object, 1, 100);
    }
    kv_pool_stats_t stats;
    assert_int_equal(kv_pool_stats(pool, &stats), KV_OK);
    assert_true(stats.live_bytes > limit * 98 / 100);
    assert_true(limit - kv_budget_used(budget) < KVI_PAGE_BYTES + 1024);
    assert_true(kv_budget_peak(budget) <= limit);
    assert_int_equal(kv_pool_check(pool), KV_OK);
    kv_pool_destroy(pool);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

/* ---- random scripts ---- */

enum { SLOTS = 2000 };
typedef struct slot {
    unsigned char *bytes;
    size_t size;
} slot_t;

static size_t random_size(uint64_t random)
{
    static const size_t largest[16] = {32,   64,   64,   128,  128,  300,   300,   300,
                                       1000, 1000, 1000, 5000, 5000, 60000, 60000, 2000000};
    return random / 16 % largest[random % 16] + 1;
}

static void check_slot(const slot_t *slot, size_t number)
{
    assert_int_equal(slot->bytes[0], (unsigned char)number);
    assert_int_equal(slot->bytes[slot->size / 2], (unsigned char)number);
    assert_int_equal(slot->bytes[slot->size - 1], (unsigned char)number);
}

static void fill_slot(slot_t *slot, size_t number, size_t size)
{
    slot->size = size;
    memset(slot->bytes, (int)(number & 0xff), size < 5000 ? size : 5000);
    slot->bytes[size / 2] = (unsigned char)number;
    slot->bytes[size - 1] = (unsigned char)number;
}

static void change_slot(kv_pool_t *pool, slot_t *slot, size_t number, uint64_t random)
{
    const size_t size = random_size(random / 8);
    if (slot->bytes == NULL) {
        slot->bytes = random % 8 == 0 ? kv_pool_calloc(pool, 1, size)
                      : random % 8 == 1
                          ? kv_pool_alloc_aligned(pool, size, (size_t)1 << random / 8 % 14)
                          : kv_pool_alloc(pool, size);
        assert_non_null(slot->bytes);
        fill_slot(slot, number, size);
        return;
    }
    check_slot(slot, number);
    if (random % 4 == 0) {
        unsigned char *const moved = kv_pool_realloc(pool, slot->bytes, size);
        assert_non_null(moved);
        assert_int_equal(moved[0], (unsigned char)number);
        slot->bytes = moved;
        fill_slot(slot, number, size);
    } else {
        kv_pool_free(pool, slot->bytes);
        slot->bytes = NULL;
    }
}

static void check_figures(const fixture_t *fixture, const slot_t *slots)
{
    size_t live = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        live += slots[i].bytes != NULL;
    }
    assert_int_equal(stats_of(fixture).live_objects, live);
    assert_int_equal(stats_of(fixture).obtained_bytes, kv_budget_used(fixture->budget));
    assert_int_equal(kv_pool_check(fixture->pool), KV_OK);
    assert_int_equal(kvi_run_check(), KV_OK);
}

static void random_objects_keep_their_bytes(void **state)
{
    fixture_t *const fixture = *state;
    static slot_t slots[SLOTS];
    memset(slots, 0, sizeof slots);
    uint64_t sequence = test_seed();
    for (int i = 0; i < 60000; i++) {
        const uint64_t random = test_random(&sequence);
        const size_t number = random % SLOTS;
        slot_t *const slot = &slots[number];
        if (slot->bytes != NULL && random >> 60 == 0 &&
            kv_pool_sparse(fixture->pool, slot->bytes)) {
            void *const place = kv_pool_alloc(fixture->pool, slot->size);
            memcpy(place, slot->bytes, slot->size);
            kv_pool_free(fixture->pool, slot->bytes);
            slot->bytes = place;
        }
        change_slot(fixture->pool, slot, number, random / SLOTS);
        if (i % 2000 == 0) {
            check_figures(fixture, slots);
        }
        if (random >> 50 == 0) {
            (void)kv_pool_trim(fixture->pool);
        }
    }
    check_figures(fixture, slots);
}

/* ---- another thread reads ---- */

typedef struct reader {
    const kv_pool_t *pool;
    _Atomic bool stop;
} reader_t;

static bool count_visit(const kv_memory_block_t *block, void *context)
{
    *(size_t *)context += block->used_bytes <= block->bytes;
    return true;
}

static void *read_figures(void *context)
{
    reader_t *const reader = context;
    while (!reader->stop) {
        kv_pool_stats_t stats;
        assert_int_equal(kv_pool_stats(reader->pool, &stats), KV_OK);
        assert_true(stats.obtained_bytes < (size_t)1 << 30);
        size_t visits = 0;
        assert_int_equal(kv_memory_map(count_visit, &visits), KV_OK);
        assert_true(visits > 0);
    }
    return NULL;
}

static void figures_may_be_read_meanwhile(void **state)
{
    fixture_t *const fixture = *state;
    reader_t reader = {.pool = fixture->pool};
    pthread_t thread;
    kv_pool_free(fixture->pool, kv_pool_alloc(fixture->pool, 1)); /* a block for the map */
    assert_int_equal(pthread_create(&thread, NULL, read_figures, &reader), 0);
    random_objects_keep_their_bytes(state);
    reader.stop = true;
    pthread_join(thread, NULL);
}

/* ---- misuse, in a hardened build ---- */

static void misuse_is_reported_and_does_nothing(void **state)
{
    fixture_t *const fixture = *state;
    if (!kvi_hardened) {
        return;
    }
    static const size_t sizes[] = {1, 24, 100, 3000, 100000, 900000};
    unsigned count = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *const object = kv_pool_alloc(fixture->pool, sizes[i]);
        assert_int_equal(kv_pool_usable_size(fixture->pool, object), sizes[i]);
        const char saved = object[sizes[i]];
        object[sizes[i]] = (char)~saved; /* one byte too far */
        kv_pool_free(fixture->pool, object);
        count++;
        assert_int_equal(fixture->misuses[KV_MISUSE_OVERRUN], count);
        assert_null(kv_pool_realloc(fixture->pool, object, 5));
        count++;
        object[sizes[i]] = saved;
        kv_pool_free(fixture->pool, object + 1);
        assert_int_equal(fixture->misuses[KV_MISUSE_FOREIGN_FREE], i + 1);
        const size_t live = stats_of(fixture).live_objects;
        assert_int_equal(live, 1);
        kv_pool_free(fixture->pool, object);
        assert_int_equal(stats_of(fixture).live_objects, 0);
    }
    void *const neighbour = kv_pool_alloc(fixture->pool, 50); /* so that the block stays */
    void *const object = kv_pool_alloc(fixture->pool, 50);
    kv_pool_free(fixture->pool, object);
    kv_pool_free(fixture->pool, object);
    kv_pool_trim(fixture->pool);
    kv_pool_free(fixture->pool, object);
    assert_int_equal(fixture->misuses[KV_MISUSE_DOUBLE_FREE], 2);
    kv_pool_free(fixture->pool, neighbour);
    assert_int_equal(stats_of(fixture).live_objects, 0);
    int local = 0;
    const unsigned foreign = fixture->misuses[KV_MISUSE_FOREIGN_FREE];
    kv_pool_free(fixture->pool, &local);
    assert_int_equal(fixture->misuses[KV_MISUSE_FOREIGN_FREE], foreign + 1);
}

#define POOL_TEST(function, open) cmocka_unit_test_setup_teardown(function, open, close_pool)
#define POOL_TESTS(function)                                            \
    POOL_TEST(function, open_cached), POOL_TEST(function, open_coarse), \
        POOL_TEST(function, open_direct)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_lose_an_eighth_at_most),
        cmocka_unit_test(options_are_checked),
        POOL_TESTS(objects_are_apart_and_aligned),
        POOL_TESTS(multiples_of_64_lie_on_cache_lines),
        POOL_TESTS(any_alignment_to_2_mb),
        POOL_TESTS(impossible_sizes_change_nothing),
        POOL_TESTS(calloc_clears_recycled_memory),
        POOL_TESTS(realloc_keeps_the_smaller_part),
        POOL_TESTS(realloc_within_the_class_stays),
        POOL_TESTS(ownership_is_by_block),
        POOL_TESTS(references_name_objects),
        POOL_TESTS(statistics_add_up),
        POOL_TESTS(a_class_takes_the_pages_it_needs),
        POOL_TESTS(a_growing_span_may_go_back),
        POOL_TESTS(empty_blocks_serve_other_classes),
        POOL_TEST(moving_sparse_objects_frees_blocks, open_cached),
        POOL_TEST(moving_sparse_objects_frees_blocks, open_direct),
        cmocka_unit_test(a_pool_reaches_32_gb),
        cmocka_unit_test(every_budget_is_enough_or_refused),
        cmocka_unit_test(every_refusal_of_the_system_is_survived),
        cmocka_unit_test(a_full_budget_is_refused_to_the_last_byte),
        POOL_TESTS(random_objects_keep_their_bytes),
        POOL_TEST(figures_may_be_read_meanwhile, open_cached),
        POOL_TESTS(misuse_is_reported_and_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
