/* SPDX-License-Identifier: MIT */
/* Long doubles as text, alone and as values that are added to. Not for valgrind, whose long doubles
 * are no longer than doubles. */
#include "test.h"

#include <math.h>
#include <string.h>

#include "base/long_double.h"
#include "db/db.h"

#define NOW INT64_C(1700000000000)

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        long double value;
    } good[] = {{"0", 0.0L},   {"-0", 0.0L},      {"1.5", 1.5L},      {"+2", 2.0L},
                {".5", 0.5L},  {"5.", 5.0L},      {"1e3", 1e3L},      {"0x1p4", 16.0L},
                {"-7", -7.0L}, {"inf", INFINITY}, {"-inf", -INFINITY}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        long double value = 99;
        assert_true(kvi_long_double_parse(slice(good[i].text), &value));
        assert_true(value == good[i].value);
    }
    static const char *const bad[] = {"",    " 1",      "\t1",      "1 ",   "nan",   "-nan",
                                      "abc", "1e99999", "1e-99999", "1.5x", "--1.5", "0x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        long double value = 99;
        assert_false(kvi_long_double_parse(slice(bad[i]), &value));
        assert_true(value == 99);
    }
    static char zeros[KVI_LONG_DOUBLE_TEXT_BYTES];
    memset(zeros, '0', sizeof(zeros));
    long double value;
    assert_false(kvi_long_double_parse((kv_slice_t){zeros, sizeof(zeros)}, &value));
    assert_true(kvi_long_double_parse((kv_slice_t){zeros, sizeof(zeros) - 1}, &value));
    assert_false(kvi_long_double_parse((kv_slice_t){"1\0"
                                                    "2",
                                                    3},
                                       &value));
}

static void test_format(void **state)
{
    (void)state;
    static const struct {
        long double value;
        const char *text;
    } cases[] = {{0.0L, "0"},   {-0.0L, "0"},    {-1e-30L, "0"},  {3.0L, "3"},
                 {0.1L, "0.1"}, {100.0L, "100"}, {-2.5L, "-2.5"}, {1e-17L, "0.00000000000000001"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[KVI_LONG_DOUBLE_TEXT_BYTES];
        assert_int_equal(kvi_long_double_format(cases[i].value, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
    }
    char text[KVI_LONG_DOUBLE_TEXT_BYTES];
    assert_int_equal(kvi_long_double_format(-1e4932L, text), 4934);
}

static void put(kvi_keyspace_t *keyspace, const char *value)
{
    assert_int_equal(kvi_keyspace_put(keyspace, slice("f"), slice(value), NOW, NULL), KV_OK);
}

static void assert_value(kvi_keyspace_t *keyspace, const char *value)
{
    kvi_entry_t entry;
    assert_int_equal(kvi_keyspace_get(keyspace, slice("f"), NOW, false, &entry), KV_OK);
    assert_int_equal(entry.value.size, strlen(value));
    assert_memory_equal(entry.value.data, value, strlen(value));
}

static void test_sums(void **state)
{
    (void)state;
    static const struct {
        const char *old;
        long double delta;
        const char *sum;
    } cases[] = {{"3.0", 1.0L, "4"},
                 {"0", 0.1L, "0.1"},
                 {"10.50", 0.1L, "10.6"},
                 {"5.0e3", 200.0L, "5200"},
                 {"1", -1.0L, "0"},
                 {"-0.0", 0.0L, "0"},
                 {"17179869184", 1.5L, "17179869185.5"},
                 {"0x10", 0.0L, "16"},
                 {"1e18", 1.0L, "1000000000000000001"}};
    kvi_db_t *db;
    assert_int_equal(kvi_db_open(NULL, &db), KV_OK);
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, 0);
    kv_slice_t sum;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put(keyspace, cases[i].old);
        assert_int_equal(kvi_keyspace_add_float(keyspace, slice("f"), cases[i].delta, NOW, &sum),
                         KV_OK);
        assert_int_equal(sum.size, strlen(cases[i].sum));
        assert_memory_equal(sum.data, cases[i].sum, sum.size);
        assert_value(keyspace, cases[i].sum);
    }
    static const char *const no_numbers[] = {"", " 1", "1 ", "nan", "abc", "1e9999"};
    for (size_t i = 0; i < sizeof(no_numbers) / sizeof(no_numbers[0]); i++) {
        put(keyspace, no_numbers[i]);
        assert_int_equal(kvi_keyspace_add_float(keyspace, slice("f"), 1, NOW, &sum), KV_NOT_NUMBER);
        assert_value(keyspace, no_numbers[i]);
    }
    put(keyspace, "1e4932");
    assert_int_equal(kvi_keyspace_add_float(keyspace, slice("f"), 1e4932L, NOW, &sum), KV_OVERFLOW);
    put(keyspace, "inf");
    assert_int_equal(kvi_keyspace_add_float(keyspace, slice("f"), 1, NOW, &sum), KV_OVERFLOW);
    assert_int_equal(kvi_keyspace_check(keyspace), KV_OK);
    kvi_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_sums),
    };
    return cmocka_run_group_tests_name("long_double", tests, NULL, NULL);
}
