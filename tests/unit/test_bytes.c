/* SPDX-License-Identifier: MIT */
/* Copies and compares of bytes at every length around the words they go by. */
#include "test.h"

#include <string.h>

#include "base/bytes.h"

static void equal_bytes_are_equal_and_one_bit_makes_them_differ(void **state)
{
    (void)state;
    char a[140];
    char b[140];
    uint64_t random = test_seed();
    for (size_t size = 0; size <= 130; size++) {
        for (size_t i = 0; i < sizeof a; i++) {
            a[i] = (char)test_random(&random);
        }
        memcpy(b, a, sizeof a);
        b[size + 1] = (char)~b[size + 1]; /* behind the end */
        assert_true(kvi_bytes_equal(a, b, size));
        for (size_t i = 0; i < size; i++) {
            b[i] ^= 1;
            assert_false(kvi_bytes_equal(a, b, size));
            b[i] ^= 1;
        }
    }
}

static int sign(int number)
{
    return (number > 0) - (number < 0);
}

static int compare(const char *a, const char *b)
{
    const kv_slice_t left = {a, strlen(a)};
    const kv_slice_t right = {b, strlen(b)};
    assert_int_equal(kvi_slice_equal(left, right), strcmp(a, b) == 0);
    return sign(kvi_slice_compare(left, right));
}

static void slices_are_ordered_as_words_are(void **state)
{
    (void)state;
    assert_int_equal(compare("", ""), 0);
    assert_int_equal(compare("", "a"), -1);
    assert_int_equal(compare("a", "ab"), -1);
    assert_int_equal(compare("b", "ab"), 1);
    assert_int_equal(compare("\xff", "a"), 1);
}

static void a_copy_is_exact_at_every_length(void **state)
{
    (void)state;
    char from[140];
    uint64_t random = test_seed();
    for (size_t i = 0; i < sizeof from; i++) {
        from[i] = (char)(test_random(&random) & 127);
    }
    for (size_t size = 0; size <= 130; size++) {
        char to[140];
        memset(to, -1, sizeof to);
        kvi_bytes_copy(to + 1, from, size);
        assert_memory_equal(to + 1, from, size);
        assert_int_equal(to[0], -1);
        assert_int_equal(to[size + 1], -1);
    }
}

static void nothing_may_be_copied_from_nowhere(void **state)
{
    (void)state;
    char to[4] = "abc";
    kvi_bytes_copy(to, NULL, 0);
    kvi_bytes_move(NULL, NULL, 0);
    assert_string_equal(to, "abc");
    kvi_bytes_move(to + 1, to, 2);
    assert_string_equal(to, "aab");
    kvi_bytes_copy(to, "xy", 2);
    assert_string_equal(to, "xyb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_bytes_are_equal_and_one_bit_makes_them_differ),
        cmocka_unit_test(slices_are_ordered_as_words_are),
        cmocka_unit_test(a_copy_is_exact_at_every_length),
        cmocka_unit_test(nothing_may_be_copied_from_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
