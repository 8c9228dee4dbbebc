/* SPDX-License-Identifier: MIT */
/* The table of commands and the dispatcher: names, arity, subcommands, limits, counters. */
#include "test.h"

#include <ctype.h>

#include "commands.h"
#include "server/command_table.h"

#define OK "+OK\r\n"

static void every_row_makes_sense(void **state)
{
    (void)state;
    const kvi_command_t *row;
    for (size_t i = 0; (row = kvi_command_at(i)) != NULL; i++) {
        assert_int_equal(kvi_command_number(row), i);
        assert_non_null(row->run);
        assert_true(row->arity != 0);
        assert_true(row->summary[0] != '\0' && row->since[0] != '\0' && row->group[0] != '\0');
        for (const char *at = row->name; *at != '\0'; at++) {
            assert_true(islower((unsigned char)*at) || *at == '|' || *at == '-');
        }
        if (row->first_key > 0) {
            assert_true(row->key_step > 0 && row->last_key != 0);
            assert_true(abs(row->arity) > row->first_key);
            assert_true((row->flags & (KVI_CMD_WRITE | KVI_CMD_READONLY | KVI_CMD_NO_QUEUE)) != 0);
        }
        assert_true((row->flags & KVI_CMD_WRITE) == 0 || (row->flags & KVI_CMD_READONLY) == 0);
    }
}

static void every_name_is_found_in_any_case(void **state)
{
    (void)state;
    kvi_command_table_t table;
    kvi_command_table_build(&table);
    const kvi_command_t *row;
    for (size_t i = 0; (row = kvi_command_at(i)) != NULL; i++) {
        char upper[KVI_COMMAND_NAME_BYTES_MAX];
        for (size_t j = 0; j <= strlen(row->name); j++) {
            upper[j] = (char)toupper((unsigned char)row->name[j]);
        }
        const kv_slice_t name = {upper, strlen(upper)};
        const char *const bar = strchr(upper, '|');
        if (bar == NULL) {
            assert_ptr_equal(kvi_command_table_find(&table, name), row);
            assert_ptr_equal(kvi_command_find(name), row);
            continue;
        }
        const kv_slice_t head = {upper, (size_t)(bar - upper)};
        const kv_slice_t tail = {bar + 1, strlen(bar + 1)};
        const kvi_command_t *const container = kvi_command_find(head);
        assert_non_null(container);
        assert_ptr_equal(kvi_command_table_find_sub(&table, container, tail), row);
        assert_ptr_equal(kvi_command_find_sub(container, tail), row);
        assert_null(kvi_command_table_find(&table, name));
        assert_null(kvi_command_find(name));
    }
}

static void other_names_are_not_found(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "ge",
        "gett",
        "g\x05t",
        "get ",
        " get",
        "client|id",
        "|",
        "{et",
        "@et",
        "a name that is longer than any command could ever be, by far"};
    kvi_command_table_t table;
    kvi_command_table_build(&table);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const kv_slice_t name = {bad[i], strlen(bad[i])};
        assert_null(kvi_command_table_find(&table, name));
        assert_null(kvi_command_find(name));
    }
    const kvi_command_t *const client = kvi_command_find((kv_slice_t){"client", 6});
    assert_null(kvi_command_table_find_sub(&table, client, (kv_slice_t){"", 0}));
    assert_null(kvi_command_table_find_sub(&table, client, (kv_slice_t){"i", 1}));
    assert_null(kvi_command_table_find_sub(&table, client, (kv_slice_t){"id|id", 5}));
}

static void errors_are_those_of_redis(void **state)
{
    (void)state;
    TALK(
        {"nosuch", "-ERR unknown command 'nosuch', with args beginning with: \r\n"},
        {"nosuch a b", "-ERR unknown command 'nosuch', with args beginning with: 'a' 'b' \r\n"},
        {"get", "-ERR wrong number of arguments for 'get' command\r\n"},
        {"GET a b", "-ERR wrong number of arguments for 'get' command\r\n"},
        {"client", "-ERR wrong number of arguments for 'client' command\r\n"},
        {"client nosuch", "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP.\r\n"},
        {"CLIENT GETNAME x", "-ERR wrong number of arguments for 'client|getname' command\r\n"},
        {"client|getname", "-ERR unknown command 'client|getname', with args beginning with: \r\n"},
        {"select 99", "-ERR DB index is out of range\r\n"},
        {"debug jmap",
         "-ERR unknown subcommand or wrong number of arguments for 'jmap'. Try DEBUG HELP.\r\n"});
}

static void long_arguments_are_shown_in_part(void **state)
{
    (void)state;
    commands_t commands;
    commands_open(&commands);
    char long_word[300];
    memset(long_word, 'x', sizeof long_word);
    const kv_slice_t argv[] = {
        {long_word, sizeof long_word}, {long_word, sizeof long_word}, {"b", 1}};
    const kv_slice_t reply = commands_run(&commands, 3, argv);
    char expected[512];
    const int size =
        snprintf(expected, sizeof expected,
                 "-ERR unknown command '%.128s', with args beginning with: '%.128s' \r\n",
                 long_word, long_word);
    assert_int_equal(reply.size, size);
    assert_memory_equal(reply.data, expected, reply.size);
    commands_close(&commands);
}

static void memory_limit_refuses_writes_only(void **state)
{
    (void)state;
    TALK({"SET a 1", OK}, {"CONFIG SET maxmemory 1", OK},
         {"SET b 1", "-OOM command not allowed when used memory > 'maxmemory'.\r\n"},
         {"GET a", "$1\r\n1\r\n"}, {"DEL a", ":1\r\n"}, {"CONFIG SET maxmemory 0", OK},
         {"SET b 1", OK});
}

static void replies_can_be_switched_off(void **state)
{
    (void)state;
    TALK({"CLIENT REPLY OFF", ""}, {"PING", ""}, {"nosuch", ""}, {"CLIENT REPLY ON", OK},
         {"PING", "+PONG\r\n"}, {"CLIENT REPLY SKIP", ""}, {"PING", ""}, {"PING", "+PONG\r\n"});
}

static void calls_are_counted(void **state)
{
    (void)state;
    commands_t commands;
    commands_open(&commands);
    for (int i = 0; i < 100; i++) {
        (void)commands_say(&commands, "PING");
    }
    (void)commands_say(&commands, "PING a b");
    (void)commands_say(&commands, "GET");
    (void)commands_say(&commands, "nosuch");
    const kvi_server_t *const server = commands.server;
    const size_t ping = kvi_command_number(kvi_command_find((kv_slice_t){"ping", 4}));
    const size_t get = kvi_command_number(kvi_command_find((kv_slice_t){"get", 3}));
    assert_int_equal(server->command_stats[ping].calls, 101);
    assert_int_equal(server->command_stats[ping].failed, 1);
    assert_int_equal(server->command_stats[ping].timed_calls, 2);
    assert_int_equal(server->command_stats[get].calls, 0);
    assert_int_equal(server->command_stats[get].rejected, 1);
    assert_int_equal(server->stats.commands, 103);
    assert_int_equal(server->stats.error_replies, 3);
    assert_int_equal(server->stats.error_kinds, 1);
    assert_string_equal(server->stats.errors[0].code, "ERR");
    commands_close(&commands);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_makes_sense),
        cmocka_unit_test(every_name_is_found_in_any_case),
        cmocka_unit_test(other_names_are_not_found),
        cmocka_unit_test(errors_are_those_of_redis),
        cmocka_unit_test(long_arguments_are_shown_in_part),
        cmocka_unit_test(memory_limit_refuses_writes_only),
        cmocka_unit_test(replies_can_be_switched_off),
        cmocka_unit_test(calls_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
