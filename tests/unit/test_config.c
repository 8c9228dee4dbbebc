/* SPDX-License-Identifier: MIT */
/* Settings: parsing, bounds, printing; options of a command line. */
#include "test.h"

#include <string.h>

#include "server/config.h"
#include "server/options.h"

static const kvi_config_row_t *row_of(const char *name)
{
    const kvi_config_row_t *const row = kvi_config_find((kv_slice_t){name, strlen(name)});
    assert_non_null(row);
    return row;
}

static kv_status_t set(kvi_config_t *config, const char *name, const char *text, char *reason)
{
    return kvi_config_set(config, row_of(name), (kv_slice_t){text, strlen(text)}, reason);
}

static void defaults_pass_their_own_checks(void **state)
{
    (void)state;
    kvi_config_t config;
    assert_int_equal(kvi_config_open(&config), KV_OK);
    assert_int_equal(config.port, 6379);
    assert_string_equal(config.bind, "127.0.0.1");
    assert_true(config.protected_mode);
    kvi_config_close(&config);
    assert_null(config.bind);
}

static void bytes_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"0", 0},         {"1", 1},
                {"1b", 1},        {"2k", 2000},
                {"2kb", 2048},    {"3M", 3000000},
                {"3Mb", 3 << 20}, {"1g", 1000000000},
                {"1GB", 1 << 30}, {"9000000000gb", -1}};
    static const char *const bad[] = {"",
                                      "b",
                                      "1x",
                                      "1 kb",
                                      "-1",
                                      "1.5mb",
                                      "0x10",
                                      "1kbb",
                                      "99999999999999999999",
                                      "99999999999gb"};
    kvi_config_t config;
    char reason[KVI_CONFIG_TEXT_BYTES];
    assert_int_equal(kvi_config_open(&config), KV_OK);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const kv_status_t status = set(&config, "maxmemory", good[i].text, reason);
        assert_int_equal(status, good[i].bytes >= 0 ? KV_OK : KV_INVALID);
        assert_true(good[i].bytes < 0 || config.maxmemory == good[i].bytes);
    }
    config.maxmemory = 77;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(set(&config, "maxmemory", bad[i], reason), KV_INVALID);
        assert_string_equal(reason, "argument must be a memory value");
        assert_int_equal(config.maxmemory, 77);
    }
    kvi_config_close(&config);
}

static void bounds_are_kept(void **state)
{
    (void)state;
    kvi_config_t config;
    char reason[KVI_CONFIG_TEXT_BYTES];
    assert_int_equal(kvi_config_open(&config), KV_OK);
    assert_int_equal(set(&config, "port", "0", reason), KV_OK);
    assert_int_equal(set(&config, "port", "65535", reason), KV_OK);
    assert_int_equal(set(&config, "port", "65536", reason), KV_INVALID);
    assert_string_equal(reason, "argument must be between 0 and 65535 inclusive");
    assert_int_equal(set(&config, "port", "many", reason), KV_INVALID);
    assert_string_equal(reason, "argument couldn't be parsed into an integer");
    assert_int_equal(set(&config, "protected-mode", "maybe", reason), KV_INVALID);
    assert_string_equal(reason, "argument must be 'yes' or 'no'");
    assert_int_equal(set(&config, "PROTECTED-mode", "NO", reason), KV_OK);
    assert_false(config.protected_mode);
    assert_int_equal(config.port, 65535);
    kvi_config_close(&config);
}

static void copies_are_equal(void **state)
{
    (void)state;
    kvi_config_t config;
    kvi_config_t copy;
    char reason[KVI_CONFIG_TEXT_BYTES];
    assert_int_equal(kvi_config_open(&config), KV_OK);
    assert_int_equal(set(&config, "bind", "::1", reason), KV_OK);
    assert_int_equal(set(&config, "maxmemory", "5mb", reason), KV_OK);
    assert_int_equal(kvi_config_copy(&copy, &config), KV_OK);
    const kvi_config_row_t *row;
    for (size_t i = 0; (row = kvi_config_at(i)) != NULL; i++) {
        char buffers[2][KVI_CONFIG_TEXT_BYTES];
        assert_string_equal(kvi_config_get(&config, row, buffers[0]),
                            kvi_config_get(&copy, row, buffers[1]));
    }
    assert_ptr_not_equal(copy.bind, config.bind);
    kvi_config_close(&copy);
    kvi_config_close(&config);
}

/* ---- options ---- */

static kvi_options_result_t parse(kvi_config_t *config, char *message, const char *a, const char *b)
{
    char *argv[] = {(char *)"kvserver", (char *)a, (char *)b, NULL};
    assert_int_equal(kvi_config_open(config), KV_OK);
    message[0] = '\0';
    return kvi_options_parse(config, a == NULL ? 1 : b == NULL ? 2 : 3, argv, message);
}

static void refuse(const char *a, const char *b, const char *word)
{
    kvi_config_t config;
    char message[KVI_OPTIONS_MESSAGE_BYTES];
    assert_int_equal(parse(&config, message, a, b), KVI_OPTIONS_WRONG);
    assert_non_null(strstr(message, word));
    assert_null(strchr(message, '\n'));
    kvi_config_close(&config);
}

static void options_are_read(void **state)
{
    (void)state;
    kvi_config_t config;
    char message[KVI_OPTIONS_MESSAGE_BYTES];
    assert_int_equal(parse(&config, message, NULL, NULL), KVI_OPTIONS_RUN);
    kvi_config_close(&config);
    assert_int_equal(parse(&config, message, "--port", "7"), KVI_OPTIONS_RUN);
    assert_int_equal(config.port, 7);
    kvi_config_close(&config);
    assert_int_equal(parse(&config, message, "--maxmemory=2mb", "--port=8"), KVI_OPTIONS_RUN);
    assert_int_equal(config.port, 8);
    assert_int_equal(config.maxmemory, 2 << 20);
    kvi_config_close(&config);
    assert_int_equal(parse(&config, message, "--help", NULL), KVI_OPTIONS_HELP);
    kvi_config_close(&config);
    assert_int_equal(parse(&config, message, "--version", NULL), KVI_OPTIONS_VERSION);
    kvi_config_close(&config);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    refuse("--port", NULL, "--port needs a value");
    refuse("--port", "x", "0 to 65535");
    refuse("--nosuch", NULL, "--nosuch");
    refuse("stray", NULL, "stray");
    refuse("--sync=sometimes", NULL, "always|everysec|no");
    refuse("--maxmemory-policy", "first", "allkeys-lru|");
    refuse("--engine", "nosuch", "hash");
    refuse("--appendonly", "yes", "--appendonly");
    refuse("--config", "/nonexistent/file", "cannot be read");
}

static void count_line(void *context, const char *line)
{
    assert_true(strncmp(line, "  --", 4) == 0);
    ++*(int *)context;
}

static void help_lists_every_option(void **state)
{
    (void)state;
    int lines = 0;
    kvi_options_help(count_line, &lines);
    assert_true(lines > 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_pass_their_own_checks),
        cmocka_unit_test(bytes_have_units),
        cmocka_unit_test(bounds_are_kept),
        cmocka_unit_test(copies_are_equal),
        cmocka_unit_test(options_are_read),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(help_lists_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
