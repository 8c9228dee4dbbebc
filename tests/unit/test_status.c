/* SPDX-License-Identifier: MIT */
/* Statuses and the version: every number has a name and a text of its own. */
#include "test.h"

#include <string.h>

#include <concordkv/kv_status.h>
#include <concordkv/kv_version.h>

static const kv_status_t statuses[] = {
#define STATUS(name, number, text) KV_##name,
    KV_STATUS_MAP(STATUS)
#undef STATUS
};

static void every_status_has_its_own_name_and_text(void **state)
{
    (void)state;
    const size_t count = sizeof statuses / sizeof statuses[0];
    for (size_t i = 0; i < count; i++) {
        assert_string_not_equal(kv_status_name(statuses[i]), "KV_UNKNOWN");
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(kv_status_name(statuses[i]), kv_status_name(statuses[j]));
            assert_string_not_equal(kv_status_text(statuses[i]), kv_status_text(statuses[j]));
        }
    }
}

static void success_is_zero_and_errors_are_negative(void **state)
{
    (void)state;
    assert_int_equal(KV_OK, 0);
    for (size_t i = 1; i < sizeof statuses / sizeof statuses[0]; i++) {
        assert_true((int)statuses[i] < 0);
    }
}

static void an_unknown_number_is_called_unknown(void **state)
{
    (void)state;
    assert_string_equal(kv_status_name((kv_status_t)-1000), "KV_UNKNOWN");
    assert_true(strlen(kv_status_text((kv_status_t)-1000)) > 0);
}

static void the_library_and_the_header_agree_on_the_version(void **state)
{
    (void)state;
    assert_string_equal(kv_version(), KV_VERSION_STRING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_own_name_and_text),
        cmocka_unit_test(success_is_zero_and_errors_are_negative),
        cmocka_unit_test(an_unknown_number_is_called_unknown),
        cmocka_unit_test(the_library_and_the_header_agree_on_the_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
