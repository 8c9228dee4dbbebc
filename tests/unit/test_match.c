/* SPDX-License-Identifier: MIT */
/* The search for a byte among sixteen, beside a loop. */
#include "test.h"

#include "os/match.h"

static void the_mask_is_what_a_loop_finds(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    unsigned char bytes[17]; /* the last must not matter, and the first may stand at an odd place */
    for (int i = 0; i < 100000; i++) {
        uint32_t expected = 0;
        const unsigned char *const from = bytes + i % 2;
        for (int j = 0; j < 17; j++) {
            bytes[j] = (unsigned char)(test_random(&random) % 5 * 64);
        }
        const uint8_t byte = (uint8_t)(test_random(&random) % 5 * 64);
        for (uint32_t j = 0; j < 16; j++) {
            expected |= (uint32_t)(from[j] == byte) << j;
        }
        assert_int_equal(kvi_os_match16(from, byte), expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mask_is_what_a_loop_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
