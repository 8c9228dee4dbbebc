/* SPDX-License-Identifier: MIT */
/* Numbers of variable length: what is written is read, in as many bytes as promised. */
#include "test.h"

#include "base/varint.h"

static void round_trip(uint64_t number)
{
    char bytes[KVI_VARINT_BYTES_MAX + 1] = {0};
    uint64_t read = ~number;
    char *const end = kvi_varint_write(bytes, number);
    assert_int_equal(end - bytes, kvi_varint_bytes(number));
    assert_true(end - bytes <= KVI_VARINT_BYTES_MAX);
    assert_int_equal(kvi_varint_read(bytes, &read) - bytes, end - bytes);
    assert_true(read == number);
}

static void numbers_around_every_power_of_two_come_back(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        const uint64_t number = UINT64_C(1) << bit;
        round_trip(number - 1);
        round_trip(number);
        round_trip(number + 1);
    }
    round_trip(UINT64_MAX);
}

static void random_numbers_come_back(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    for (int i = 0; i < 10000; i++) {
        round_trip(test_random(&random) >> (test_random(&random) % 64));
    }
}

static void short_numbers_are_short(void **state)
{
    (void)state;
    assert_int_equal(kvi_varint_bytes(0), 1);
    assert_int_equal(kvi_varint_bytes(127), 1);
    assert_int_equal(kvi_varint_bytes(128), 2);
    assert_int_equal(kvi_varint_bytes(16383), 2);
    assert_int_equal(kvi_varint_bytes(16384), 3);
    assert_int_equal(kvi_varint_bytes(UINT64_MAX), KVI_VARINT_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_around_every_power_of_two_come_back),
        cmocka_unit_test(random_numbers_come_back),
        cmocka_unit_test(short_numbers_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
