/* SPDX-License-Identifier: MIT */
/* The reply writer: the bytes of every kind of reply in both protocols. */
#include "test.h"

#include <math.h>
#include <string.h>

#include "base/decimal.h"
#include "resp/reply.h"
#include "resp/text.h"

static void expect(kvi_reply_t *reply, const char *bytes)
{
    assert_int_equal(reply->size, strlen(bytes));
    assert_memory_equal(reply->bytes, bytes, reply->size);
    kvi_reply_truncate(reply, 0);
}

static void write_plain_kinds(kvi_reply_t *reply)
{
    kvi_reply_ok(reply);
    expect(reply, "+OK\r\n");
    kvi_reply_status(reply, "PONG");
    expect(reply, "+PONG\r\n");
    kvi_reply_error(reply, "ERR bad '%s' at %d", "a\r\nb", 7);
    expect(reply, "-ERR bad 'a  b' at 7\r\n");
    kvi_reply_integer(reply, INT64_MIN);
    expect(reply, ":-9223372036854775808\r\n");
    kvi_reply_integer(reply, 1234567);
    expect(reply, ":1234567\r\n");
    kvi_reply_bulk(reply, (kv_slice_t){"a\0b", 3});
    assert_memory_equal(reply->bytes, "$3\r\na\0b\r\n", 9);
    kvi_reply_truncate(reply, 0);
    kvi_reply_bulk(reply, (kv_slice_t){NULL, 0});
    expect(reply, "$0\r\n\r\n");
    kvi_reply_bulk_string(reply, "hello world");
    expect(reply, "$11\r\nhello world\r\n");
    kvi_reply_array(reply, 12);
    expect(reply, "*12\r\n");
}

static void writes_resp2(void **state)
{
    (void)state;
    kvi_reply_t reply;
    kvi_reply_open(&reply);
    write_plain_kinds(&reply);
    kvi_reply_verbatim(&reply, "txt", (kv_slice_t){"hi", 2});
    expect(&reply, "$2\r\nhi\r\n");
    kvi_reply_double(&reply, 1.5);
    expect(&reply, "$3\r\n1.5\r\n");
    kvi_reply_double(&reply, -INFINITY);
    expect(&reply, "$4\r\n-inf\r\n");
    kvi_reply_bool(&reply, true);
    expect(&reply, ":1\r\n");
    kvi_reply_null(&reply);
    expect(&reply, "$-1\r\n");
    kvi_reply_null_array(&reply);
    expect(&reply, "*-1\r\n");
    kvi_reply_map(&reply, 3);
    expect(&reply, "*6\r\n");
    kvi_reply_set(&reply, 3);
    expect(&reply, "*3\r\n");
    kvi_reply_close(&reply);
}

static void writes_resp3(void **state)
{
    (void)state;
    kvi_reply_t reply;
    kvi_reply_open(&reply);
    reply.protocol = 3;
    write_plain_kinds(&reply);
    kvi_reply_verbatim(&reply, "txt", (kv_slice_t){"hi", 2});
    expect(&reply, "=6\r\ntxt:hi\r\n");
    kvi_reply_double(&reply, 1.5);
    expect(&reply, ",1.5\r\n");
    kvi_reply_double(&reply, INFINITY);
    expect(&reply, ",inf\r\n");
    kvi_reply_bool(&reply, false);
    expect(&reply, "#f\r\n");
    kvi_reply_null(&reply);
    expect(&reply, "_\r\n");
    kvi_reply_null_array(&reply);
    expect(&reply, "_\r\n");
    kvi_reply_map(&reply, 3);
    expect(&reply, "%3\r\n");
    kvi_reply_set(&reply, 3);
    expect(&reply, "~3\r\n");
    kvi_reply_close(&reply);
}

static void is_silent_when_muted(void **state)
{
    (void)state;
    kvi_reply_t reply;
    kvi_reply_open(&reply);
    reply.muted = true;
    kvi_reply_ok(&reply);
    kvi_reply_error(&reply, "ERR x");
    kvi_reply_bulk_string(&reply, "x");
    assert_int_equal(reply.size, 0);
    assert_null(reply.bytes);
    reply.muted = false;
    kvi_reply_ok(&reply);
    expect(&reply, "+OK\r\n");
    kvi_reply_close(&reply);
}

static void takes_back_what_was_written(void **state)
{
    (void)state;
    kvi_reply_t reply;
    kvi_reply_open(&reply);
    kvi_reply_ok(&reply);
    const size_t size = reply.size;
    for (int i = 0; i < 1000; i++) {
        kvi_reply_bulk_string(&reply, "some value that makes the buffer grow");
    }
    kvi_reply_truncate(&reply, size);
    kvi_reply_truncate(&reply, size + 5);
    expect(&reply, "+OK\r\n");
    kvi_reply_close(&reply);
}

static void decimals_are_those_of_printf(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    for (int i = 0; i < 100000; i++) {
        const uint64_t value = test_random(&random) >> (test_random(&random) % 64);
        char written[32];
        char expected[32];
        *kvi_decimal_write(written, value) = '\0';
        (void)snprintf(expected, sizeof expected, "%llu", (unsigned long long)value);
        assert_string_equal(written, expected);
        int64_t sign = (int64_t)value;
        sign = test_random(&random) % 2 == 0 ? sign : (int64_t)(~value + 1);
        *kvi_decimal_write_signed(written, sign) = '\0';
        (void)snprintf(expected, sizeof expected, "%lld", (long long)sign);
        assert_string_equal(written, expected);
        int64_t read = 0;
        assert_true(kvi_decimal_read(written, strlen(written), &read));
        assert_true(read == sign);
    }
}

static void odd_decimals_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "01",
                                      "-0",
                                      "-01",
                                      "1.0",
                                      "0x1",
                                      "1e3",
                                      "--1",
                                      "abc",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999",
                                      "10000000000000000000000"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t value = 42;
        assert_false(kvi_decimal_read(bad[i], strlen(bad[i]), &value));
        assert_int_equal(value, 42);
    }
}

static void texts_grow(void **state)
{
    (void)state;
    kvi_text_t text = {0};
    for (int i = 0; i < 1000; i++) {
        kvi_text_print(&text, "%03d ", i);
    }
    assert_false(text.failed);
    assert_int_equal(text.size, 4000);
    assert_memory_equal(text.bytes + 3996, "999 ", 5);
    kvi_text_close(&text);
    assert_null(text.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_resp2),
        cmocka_unit_test(writes_resp3),
        cmocka_unit_test(is_silent_when_muted),
        cmocka_unit_test(takes_back_what_was_written),
        cmocka_unit_test(decimals_are_those_of_printf),
        cmocka_unit_test(odd_decimals_are_refused),
        cmocka_unit_test(texts_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
