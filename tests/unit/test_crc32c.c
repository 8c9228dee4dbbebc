/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "os/crc32c.h"

#include <string.h>

/* RFC 3720, appendix B.4. */
static void known_checksums(void **state)
{
    (void)state;
    unsigned char bytes[32] = {0};
    assert_int_equal(kvi_crc32c(0, bytes, 0), 0);
    assert_int_equal(kvi_crc32c(0, bytes, sizeof bytes), 0x8a9136aaU);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(kvi_crc32c(0, bytes, sizeof bytes), 0x62a8ab43U);
    assert_int_equal(kvi_crc32c(0, "123456789", 9), 0xe3069283U);
}

static void instruction_and_table_agree(void **state)
{
    (void)state;
    uint64_t sequence = test_seed();
    unsigned char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)test_random(&sequence);
    }
    for (int i = 0; i < 2000; i++) {
        const uint32_t start = (uint32_t)test_random(&sequence);
        const size_t at = test_random(&sequence) % 100;
        const size_t size = test_random(&sequence) % 200;
        const size_t half = size > 0 ? test_random(&sequence) % size : 0;
        const uint32_t whole = kvi_crc32c(start, bytes + at, size);
        assert_int_equal(whole, kvi_crc32c_portable(start, bytes + at, size));
        const uint32_t first = kvi_crc32c(start, bytes + at, half);
        assert_int_equal(whole, kvi_crc32c(first, bytes + at + half, size - half));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_checksums),
        cmocka_unit_test(instruction_and_table_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
