/* SPDX-License-Identifier: MIT */
/* The block source and metadata: sizes, joining, the idle cache, budgets, refusals, and a random
 * script against what the runs hold. */
#include "test.h"

#include <concordkv/kv_memory.h>

#include "memory/block_int.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const kvi_block_owner_t owner = {.kind = KV_BLOCK_ARENA, .name = "test"};

static int check_source(void **state)
{
    (void)state;
    return kvi_run_check() == KV_OK ? 0 : -1;
}

static void sizes_are_rounded_to_pages_and_blocks(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {
        {0, 4096},      {1, 4096},      {4096, 4096},    {4097, 8192},       {61440, 61440},
        {61441, 65536}, {65536, 65536}, {65537, 131072}, {1000000, 1048576}, {4194304, 4194304},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        kv_budget_t *const budget = kv_budget_create(NULL, 0);
        size_t obtained = 0;
        char *const run = kvi_block_acquire(budget, &owner, sizes[i][0], &obtained);
        assert_non_null(run);
        assert_int_equal(obtained, sizes[i][1]);
        assert_int_equal(kv_budget_used(budget), obtained);
        const size_t alignment = obtained < KVI_BLOCK_BYTES ? KVI_PAGE_BYTES : KVI_BLOCK_BYTES;
        assert_int_equal((uintptr_t)run % alignment, 0);
        memset(run, 0x5a, obtained);
        kvi_block_release(budget, run, obtained);
        assert_int_equal(kv_budget_used(budget), 0);
        kv_budget_destroy(budget);
    }
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    size_t obtained = 7;
    assert_null(kvi_block_acquire(budget, &owner, SIZE_MAX, &obtained));
    assert_null(kvi_block_acquire(budget, &owner, SIZE_MAX - 65535, &obtained));
    assert_null(kvi_block_acquire(budget, &owner, SIZE_MAX / 2, &obtained));
    assert_int_equal(obtained, 7);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

static void a_budget_refuses_before_anything_is_obtained(void **state)
{
    (void)state;
    kv_budget_t *const budget = kv_budget_create(NULL, 3 * KVI_BLOCK_BYTES);
    size_t obtained = 0;
    void *const run = kvi_block_acquire(budget, &owner, 2 * KVI_BLOCK_BYTES, &obtained);
    assert_non_null(run);
    const uint32_t used = kvi_source.used;
    assert_null(kvi_block_acquire(budget, &owner, 2 * KVI_BLOCK_BYTES, &obtained));
    assert_int_equal(kvi_source.used, used);
    kvi_block_release(budget, run, 2 * KVI_BLOCK_BYTES);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

static void neighbours_are_joined(void **state)
{
    (void)state;
    kv_memory_cleanup();
    size_t obtained = 0;
    char *const whole = kvi_block_acquire(NULL, &owner, 16 * KVI_BLOCK_BYTES, &obtained);
    kvi_block_release(NULL, whole, obtained);
    char *parts[16];
    for (int i = 0; i < 16; i++) {
        parts[i] = kvi_block_acquire(NULL, &owner, KVI_BLOCK_BYTES, &obtained);
        assert_ptr_equal(parts[i], whole + i * (ptrdiff_t)KVI_BLOCK_BYTES);
    }
    static const int order[16] = {3, 1, 2, 0, 15, 8, 6, 7, 5, 10, 12, 11, 4, 9, 14, 13};
    for (int i = 0; i < 16; i++) {
        kvi_block_release(NULL, parts[order[i]], KVI_BLOCK_BYTES);
        assert_int_equal(kvi_run_check(), KV_OK);
    }
    assert_ptr_equal(kvi_block_acquire(NULL, &owner, 16 * KVI_BLOCK_BYTES, &obtained), whole);
    kvi_block_release(NULL, whole, obtained);
}

static void pages_share_a_block(void **state)
{
    (void)state;
    size_t obtained = 0;
    const uint32_t used = kvi_source.used;
    char *pages[32];
    for (int i = 0; i < 32; i++) {
        pages[i] = kvi_block_acquire(NULL, &owner, KVI_PAGE_BYTES, &obtained);
        memset(pages[i], i, KVI_PAGE_BYTES);
    }
    assert_true(kvi_source.used <= used + 3);
    for (int i = 0; i < 32; i++) {
        assert_int_equal(pages[i][KVI_PAGE_BYTES - 1], i);
        kvi_block_release(NULL, pages[i], KVI_PAGE_BYTES);
    }
    assert_int_equal(kvi_source.used, used);
}

static void runs_grow_and_shrink_in_place(void **state)
{
    (void)state;
    kv_budget_t *const budget = kv_budget_create(NULL, 40 * KVI_BLOCK_BYTES);
    const kvi_block_request_t request = {
        .budget = budget, .owner = &owner, .count = 8, .tag = KVI_TAG_LARGE};
    bool zeroed = false;
    const uint32_t first = kvi_blocks_acquire(&request, &zeroed);
    assert_true(first != 0);
    kvi_blocks_shrink(budget, first, 8, 2);
    assert_int_equal(kv_budget_used(budget), 2 * KVI_BLOCK_BYTES);
    assert_true(kvi_blocks_extend(budget, first, 2, 8));
    assert_int_equal(kv_budget_used(budget), 8 * KVI_BLOCK_BYTES);
    memset(kvi_block_address(first), 1, 8 * KVI_BLOCK_BYTES);
    assert_false(kvi_blocks_extend(budget, first, 8, 41)); /* the budget refuses */
    kvi_blocks_shrink(budget, first, 8, 4);
    size_t obtained = 0;
    char *const behind = kvi_block_acquire(NULL, &owner, KVI_BLOCK_BYTES, &obtained);
    if (behind == kvi_block_address(first + 4)) {
        assert_false(kvi_blocks_extend(budget, first, 4, 5)); /* somebody stands there */
    }
    kvi_block_release(NULL, behind, obtained);
    kvi_block_release(budget, kvi_block_address(first), 4 * KVI_BLOCK_BYTES);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

static void aligned_runs_leave_their_ends_free(void **state)
{
    (void)state;
    for (uint32_t alignment = 1; alignment <= 32; alignment *= 2) {
        const uint32_t used = kvi_source.used;
        const kvi_block_request_t request = {
            .owner = &owner, .count = 5, .alignment = alignment, .tag = KVI_TAG_LARGE};
        bool zeroed = false;
        const uint32_t first = kvi_blocks_acquire(&request, &zeroed);
        assert_int_equal((uintptr_t)kvi_block_address(first) % (alignment * KVI_BLOCK_BYTES), 0);
        assert_int_equal(kvi_source.used, used + 5);
        assert_int_equal(kvi_run_check(), KV_OK);
        kvi_block_release(NULL, kvi_block_address(first), 5 * KVI_BLOCK_BYTES);
    }
}

static bool reads_as_zero(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static void what_is_said_to_be_zero_is_zero(void **state)
{
    (void)state;
    enum { COUNT = 20 };
    bool saw_zeroed = false;
    for (int i = 0; i < 6; i++) {
        const kvi_block_request_t request = {.owner = &owner, .count = COUNT, .tag = KVI_TAG_LARGE};
        bool zeroed = false;
        char *const run = kvi_block_address(kvi_blocks_acquire(&request, &zeroed));
        saw_zeroed = saw_zeroed || zeroed;
        assert_true(!zeroed || reads_as_zero(run, COUNT * KVI_BLOCK_BYTES));
        memset(run, 0xaa, COUNT * KVI_BLOCK_BYTES);
        kvi_block_release(NULL, run, COUNT * KVI_BLOCK_BYTES);
        if (i % 2 == 1) {
            (void)kvi_block_purge_now(0, SIZE_MAX);
        }
    }
    assert_true(saw_zeroed);
}

static void the_idle_limit_holds(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    kv_memory_set_idle_limit((size_t)2 << 20);
    void *runs[COUNT];
    size_t obtained = 0;
    for (int i = 0; i < COUNT; i++) {
        runs[i] = kvi_block_acquire(NULL, &owner, 2 * KVI_BLOCK_BYTES, &obtained);
    }
    for (int i = 0; i < COUNT; i++) {
        kvi_block_release(NULL, runs[i], obtained);
        kv_memory_stats_t stats;
        assert_int_equal(kv_memory_stats(&stats), KV_OK);
        assert_true(stats.idle_bytes <= (size_t)2 << 20);
    }
    kv_memory_set_idle_limit(0);
    kv_memory_stats_t stats;
    assert_int_equal(kv_memory_stats(&stats), KV_OK);
    assert_int_equal(stats.idle_bytes, 0);
    kv_memory_set_idle_limit((size_t)16 << 20);
}

/* Whether the system keeps small pages at address ("nh" among the flags of its mapping). */
static bool stays_small(const void *address)
{
    FILE *const file = fopen("/proc/self/smaps", "re");
    assert_non_null(file);
    char line[512];
    bool inside = false;
    bool small = false;
    while (fgets(line, sizeof line, file) != NULL) {
        uintptr_t begin;
        uintptr_t end;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2) {
            inside = begin <= (uintptr_t)address && (uintptr_t)address < end;
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            small = strstr(line, " nh") != NULL;
        }
    }
    (void)fclose(file);
    return small;
}

/* In huge pages a default process gives back whole ones first, and parts only after a second. */
static void parts_of_huge_pages_wait(void **state)
{
    (void)state;
    enum { COUNT = 64 * 32 }; /* 128 MB */
    kv_memory_cleanup();
    kvi_source.adapts = true;
    static void *runs[COUNT];
    size_t obtained = 0;
    for (size_t i = 0; i < COUNT; i++) {
        runs[i] = kvi_block_acquire(NULL, &owner, KVI_BLOCK_BYTES, &obtained);
    }
    const uint32_t limit = kvi_source.idle_limit + kvi_source.used / 2;
    for (size_t i = 0; i < COUNT; i++) {
        if (i % 16 != 0) {
            kvi_block_release(NULL, runs[i], KVI_BLOCK_BYTES);
        }
    }
    assert_true(kvi_source.idle > limit);
    assert_true(kvi_source.above_since != 0);
    kvi_source.above_since = 1; /* a long time ago */
    assert_true(kvi_block_purge(0, SIZE_MAX) > 0);
    assert_int_equal(kvi_source.idle, 0);
    /* The system must not fill them again by itself, until they are in use again. */
    const bool has_huge_pages = access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0;
    void *const split = runs[COUNT / 2];
    assert_true(kvi_block_number(split) >= kvi_source.huge_from);
    assert_int_equal(stays_small(split), has_huge_pages);
    for (size_t i = 0; i < COUNT; i += 16) {
        kvi_block_release(NULL, runs[i], KVI_BLOCK_BYTES);
    }
    (void)kvi_block_purge_now(0, SIZE_MAX);
    for (size_t i = 0; i < COUNT; i++) {
        runs[i] = kvi_block_acquire(NULL, &owner, KVI_BLOCK_BYTES, &obtained);
    }
    assert_false(stays_small(split));
    for (size_t i = 0; i < COUNT; i++) {
        kvi_block_release(NULL, runs[i], KVI_BLOCK_BYTES);
    }
    kv_memory_set_idle_limit((size_t)kvi_source.idle_limit << KVI_BLOCK_SHIFT);
}

/* Who frees and takes 40 MB in turn beside 100 MB in use gets the same pages after a few times. */
static void what_is_regretted_is_kept(void **state)
{
    (void)state;
    const uint32_t limit = kvi_source.idle_limit;
    (void)kvi_block_purge_now(0, SIZE_MAX);
    kvi_source.adapts = true;
    size_t obtained = 0;
    void *const live = kvi_block_acquire(NULL, &owner, (size_t)100 << 20, &obtained);
    const kvi_block_request_t request = {.owner = &owner, .count = 640, .tag = KVI_TAG_LARGE};
    unsigned fresh = 0;
    for (int i = 0; i < 20; i++) {
        bool zeroed = false;
        const uint32_t first = kvi_blocks_acquire(&request, &zeroed);
        assert_true(first != 0);
        fresh += zeroed && i >= 10;
        kvi_block_release(NULL, kvi_block_address(first), 640 * KVI_BLOCK_BYTES);
    }
    assert_int_equal(fresh, 0);
    kvi_block_release(NULL, live, obtained);
    /* With nothing in use there is nothing to keep more for. */
    assert_true(kvi_source.idle <= limit);
    kv_memory_set_idle_limit((size_t)limit << KVI_BLOCK_SHIFT);
}

static void purge_goes_in_slices(void **state)
{
    (void)state;
    size_t obtained = 0;
    void *const run = kvi_block_acquire(NULL, &owner, (size_t)12 << 20, &obtained);
    kvi_block_release(NULL, run, obtained);
    const size_t idle = (size_t)kvi_source.idle << KVI_BLOCK_SHIFT;
    assert_true(idle >= obtained);
    const size_t slice = kvi_block_purge_now(0, (size_t)1 << 20);
    assert_true(slice >= (size_t)1 << 20 && slice <= (size_t)4 << 20);
    assert_int_equal((size_t)kvi_source.idle << KVI_BLOCK_SHIFT, idle - slice);
    (void)kvi_block_purge_now((size_t)4 << 20, SIZE_MAX);
    assert_true((size_t)kvi_source.idle << KVI_BLOCK_SHIFT <= (size_t)4 << 20);
    assert_int_equal(kvi_block_purge_now((size_t)64 << 20, SIZE_MAX), 0);
}

static void many_are_released_at_once(void **state)
{
    (void)state;
    enum { COUNT = 50 };
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    void *runs[COUNT];
    size_t sizes[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        runs[i] = kvi_block_acquire(budget, &owner, (i % 3 + 1) * 30000, &sizes[i]);
    }
    kvi_block_release_t release;
    kvi_block_release_begin(&release, budget);
    for (size_t i = 0; i < COUNT; i++) {
        kvi_block_release_add(&release, runs[i], sizes[i]);
    }
    kvi_block_release_end(&release);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

static void a_refusing_system_changes_nothing(void **state)
{
    (void)state;
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    const uint32_t used = kvi_source.used;
    size_t obtained = 0;
    for (size_t size = 4096; size <= 1 << 20; size *= 4) {
        kvi_source.refuse_after = 1;
        assert_null(kvi_block_acquire(budget, &owner, size, &obtained));
        kvi_source.refuse_after = 0;
        assert_int_equal(kv_budget_used(budget), 0);
        assert_int_equal(kvi_source.used, used);
    }
    kv_budget_destroy(budget);
}

static void metadata_is_charged_by_class(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{1, 16},      {16, 16},      {17, 32},
                                      {512, 512},   {513, 1024},   {1024, 1024},
                                      {8192, 8192}, {8193, 12288}, {70000, 131072}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        kv_budget_t *const budget = kv_budget_create(NULL, sizes[i][1]);
        void *const object = kvi_meta_alloc(budget, sizes[i][0]);
        assert_non_null(object);
        assert_int_equal((uintptr_t)object % 16, 0);
        assert_int_equal(kv_budget_used(budget), sizes[i][1]);
        assert_int_equal(kvi_meta_charge(sizes[i][0]), sizes[i][1]);
        assert_null(kvi_meta_alloc(budget, 1));
        kvi_meta_free(budget, object, sizes[i][0]);
        assert_int_equal(kv_budget_used(budget), 0);
        kv_budget_destroy(budget);
    }
}

/* ---- random scripts ---- */

enum { SLOTS = 400 };
typedef struct slot {
    unsigned char *bytes;
    size_t size; /* of metadata, or obtained */
    unsigned char pattern;
    bool meta;
} slot_t;

static void fill(slot_t *slot, unsigned char pattern)
{
    slot->pattern = pattern;
    slot->bytes[0] = pattern;
    slot->bytes[slot->size / 2] = pattern;
    slot->bytes[slot->size - 1] = pattern;
}

static void release(kv_budget_t *budget, slot_t *slot)
{
    assert_int_equal(slot->bytes[0], slot->pattern);
    assert_int_equal(slot->bytes[slot->size / 2], slot->pattern);
    assert_int_equal(slot->bytes[slot->size - 1], slot->pattern);
    if (slot->meta) {
        kvi_meta_free(budget, slot->bytes, slot->size);
    } else {
        kvi_block_release(budget, slot->bytes, slot->size);
    }
    slot->bytes = NULL;
}

static void obtain(kv_budget_t *budget, slot_t *slot, uint64_t random)
{
    slot->meta = random % 4 == 0;
    if (slot->meta) {
        slot->size = 1 + random / 4 % 10000;
        slot->bytes = kvi_meta_alloc(budget, slot->size);
    } else {
        const size_t largest = random / 4 % 3 == 0 ? 1000000 : 70000;
        slot->bytes = kvi_block_acquire(budget, &owner, random / 16 % largest, &slot->size);
    }
    if (slot->bytes != NULL) {
        fill(slot, (unsigned char)(random >> 56));
    }
}

static size_t charged(const slot_t *slots)
{
    size_t bytes = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i].bytes != NULL) {
            bytes += slots[i].meta ? kvi_meta_charge(slots[i].size) : slots[i].size;
        }
    }
    return bytes;
}

static void random_runs_keep_their_bytes(void **state)
{
    (void)state;
    uint64_t sequence = test_seed();
    slot_t slots[SLOTS] = {{0}};
    kv_budget_t *const budget = kv_budget_create(NULL, (size_t)32 << 20);
    for (int i = 0; i < 60000; i++) {
        const uint64_t random = test_random(&sequence);
        slot_t *const slot = &slots[random % SLOTS];
        if (slot->bytes != NULL) {
            release(budget, slot);
        } else {
            obtain(budget, slot, random / SLOTS);
        }
        if (i % 500 == 0) {
            assert_int_equal(kvi_run_check(), KV_OK);
            assert_int_equal(kv_budget_used(budget), charged(slots));
        }
        if (random >> 52 == 0) {
            (void)kvi_block_purge_now(0, (size_t)1 << 20);
        }
    }
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i].bytes != NULL) {
            release(budget, &slots[i]);
        }
    }
    assert_true(kv_budget_peak(budget) <= (size_t)32 << 20);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

static void *use_source(void *context)
{
    uint64_t sequence = (uint64_t)(uintptr_t)context;
    for (int i = 0; i < 3000; i++) {
        size_t obtained = 0;
        const size_t bytes = test_random(&sequence) % 300000;
        unsigned char *const run = kvi_block_acquire(NULL, &owner, bytes, &obtained);
        assert_non_null(run);
        run[0] = (unsigned char)i;
        run[obtained - 1] = (unsigned char)i;
        unsigned char *const object = kvi_meta_alloc(NULL, bytes % 3000 + 1);
        object[0] = (unsigned char)i;
        assert_int_equal(run[0], (unsigned char)i);
        kvi_meta_free(NULL, object, bytes % 3000 + 1);
        kvi_block_release(NULL, run, obtained);
    }
    return NULL;
}

static void threads_share_the_source(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_source, (void *)(i + 1)), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void a_child_can_use_the_source(void **state)
{
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        (void)use_source((void *)(uintptr_t)9);
        _exit(kvi_run_check() == KV_OK ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
#define SOURCE_TEST(function) cmocka_unit_test_setup_teardown(function, check_source, check_source)
    const struct CMUnitTest tests[] = {
        SOURCE_TEST(sizes_are_rounded_to_pages_and_blocks),
        SOURCE_TEST(impossible_sizes_are_refused),
        SOURCE_TEST(a_budget_refuses_before_anything_is_obtained),
        SOURCE_TEST(neighbours_are_joined),
        SOURCE_TEST(pages_share_a_block),
        SOURCE_TEST(runs_grow_and_shrink_in_place),
        SOURCE_TEST(aligned_runs_leave_their_ends_free),
        SOURCE_TEST(what_is_said_to_be_zero_is_zero),
        SOURCE_TEST(the_idle_limit_holds),
        SOURCE_TEST(parts_of_huge_pages_wait),
        SOURCE_TEST(what_is_regretted_is_kept),
        SOURCE_TEST(purge_goes_in_slices),
        SOURCE_TEST(many_are_released_at_once),
        SOURCE_TEST(a_refusing_system_changes_nothing),
        SOURCE_TEST(metadata_is_charged_by_class),
        SOURCE_TEST(random_runs_keep_their_bytes),
        SOURCE_TEST(threads_share_the_source),
        SOURCE_TEST(a_child_can_use_the_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
