/* SPDX-License-Identifier: MIT */
/* Hashes, mixed numbers and the small generator: equal for equal input, spread for any other. */
#include "test.h"

#include <string.h>

#include "base/hash.h"
#include "base/random.h"

static void a_hash_depends_on_every_byte_the_size_and_the_seed(void **state)
{
    (void)state;
    char bytes[300];
    memset(bytes, 'x', sizeof bytes);
    for (size_t size = 0; size < sizeof bytes; size++) {
        const uint64_t hash = kvi_hash_bytes(bytes, size, 7);
        assert_true(hash == kvi_hash_bytes(bytes, size, 7));
        assert_true(hash != kvi_hash_bytes(bytes, size, 8));
        assert_true(hash != kvi_hash_bytes(bytes, size + 1, 7));
        if (size > 0) {
            bytes[size / 2] ^= 1;
            assert_true(hash != kvi_hash_bytes(bytes, size, 7));
            bytes[size / 2] ^= 1;
        }
    }
    (void)kvi_hash_bytes(NULL, 0, 0);
}

static void counters_become_evenly_spread(void **state)
{
    (void)state;
    unsigned counts[64] = {0};
    for (uint64_t i = 0; i < 64000; i++) {
        counts[kvi_hash_mix(i) >> 58]++;
    }
    for (int i = 0; i < 64; i++) { /* 1,000 expected; 31 is the standard deviation */
        assert_in_range(counts[i], 800, 1200);
    }
}

static void random_numbers_repeat_and_keep_below_their_limit(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    kvi_random_t first = {seed};
    kvi_random_t second = {seed};
    unsigned counts[10] = {0};
    for (int i = 0; i < 10000; i++) {
        assert_true(kvi_random_next(&first) == kvi_random_next(&second));
        const uint32_t number = kvi_random_below(&first, 10);
        assert_true(number < 10);
        assert_int_equal(number, kvi_random_below(&second, 10));
        counts[number]++;
    }
    for (int i = 0; i < 10; i++) {
        assert_in_range(counts[i], 700, 1300);
    }
    assert_int_equal(kvi_random_below(&first, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_depends_on_every_byte_the_size_and_the_seed),
        cmocka_unit_test(counters_become_evenly_spread),
        cmocka_unit_test(random_numbers_repeat_and_keep_below_their_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
