/* SPDX-License-Identifier: MIT */
/* The commands on keys and deadlines: replies letter by letter, and walks over all keys. */
#include "test.h"

#include "commands.h"

#define OK "+OK\r\n"
#define NIL "$-1\r\n"
#define ZERO ":0\r\n"
#define ONE ":1\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define SAME "-ERR source and destination objects are the same\r\n"
#define NO_KEY "-ERR no such key\r\n"
#define DB_RANGE "-ERR DB index is out of range\r\n"

static void test_ask_and_delete(void **state)
{
    (void)state;
    TALK({"MSET a 1 b 2 c 3", OK}, {"EXISTS a a x", ":2\r\n"}, {"TYPE a", "+string\r\n"},
         {"TYPE x", "+none\r\n"}, {"TOUCH a x b", ":2\r\n"}, {"DEL a x a", ONE},
         {"UNLINK b c", ":2\r\n"}, {"RANDOMKEY", NIL}, {"SET only 1", OK},
         {"RANDOMKEY", "$4\r\nonly\r\n"});
}

static void test_rename_and_copy(void **state)
{
    (void)state;
    TALK({"RENAME a b", NO_KEY}, {"RENAMENX a b", NO_KEY}, {"RENAME a a", NO_KEY},
         {"SET a 1 EX 9", OK}, {"RENAME a a", OK}, {"RENAMENX a a", ZERO}, {"RENAME a b", OK},
         {"TTL b", ":9\r\n"}, {"SET c 2", OK}, {"RENAMENX b c", ZERO}, {"RENAME b c", OK},
         {"GET c", "$1\r\n1\r\n"}, {"TTL c", ":9\r\n"}, {"RENAMENX c d", ONE}, {"COPY d d", SAME},
         {"COPY x x", SAME}, {"COPY x y", ZERO}, {"COPY d e", ONE}, {"TTL e", ":9\r\n"},
         {"COPY d e", ZERO}, {"SET d 7", OK}, {"COPY d e replace", ONE}, {"GET e", "$1\r\n7\r\n"},
         {"TTL e", ":-1\r\n"}, {"COPY d d DB 0", SAME}, {"COPY d d DB 1", ONE},
         {"COPY d d DB 1", ZERO}, {"COPY d d DB 1 REPLACE", ONE}, {"COPY d e DB 99", DB_RANGE},
         {"COPY d e DB -1", DB_RANGE}, {"COPY d e DB x", NOT_INTEGER},
         {"COPY d e DB 2147483648",
          "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n"},
         {"COPY d e DB", SYNTAX}, {"COPY d e WHAT", SYNTAX});
}

static void test_move_and_swapdb(void **state)
{
    (void)state;
    TALK({"SET k 1 EX 9", OK}, {"MOVE k 0", SAME}, {"MOVE k 16", DB_RANGE},
         {"MOVE k x", NOT_INTEGER}, {"MOVE k 1", ONE}, {"EXISTS k", ZERO}, {"MOVE k 1", ZERO},
         {"SET k 2", OK}, {"MOVE k 1", ZERO}, {"SELECT 1", OK}, {"GET k", "$1\r\n1\r\n"},
         {"TTL k", ":9\r\n"}, {"SWAPDB 0 1", OK}, {"GET k", "$1\r\n2\r\n"}, {"SELECT 0", OK},
         {"GET k", "$1\r\n1\r\n"}, {"SWAPDB 0 0", OK}, {"SWAPDB 0 16", DB_RANGE},
         {"SWAPDB -1 0", DB_RANGE}, {"SWAPDB x 0", "-ERR invalid first DB index\r\n"},
         {"SWAPDB 0 x", "-ERR invalid second DB index\r\n"});
}

static void test_object_and_memory(void **state)
{
    (void)state;
    TALK({"MSET i 123 s 1x e aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
          "r aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa o 20000 l 99999999999999999999",
          OK},
         {"OBJECT ENCODING i", "$3\r\nint\r\n"}, {"OBJECT ENCODING s", "$6\r\nembstr\r\n"},
         {"OBJECT ENCODING e", "$6\r\nembstr\r\n"}, {"OBJECT ENCODING r", "$3\r\nraw\r\n"},
         {"OBJECT ENCODING l", "$6\r\nembstr\r\n"}, {"OBJECT REFCOUNT i", ":2147483647\r\n"},
         {"OBJECT REFCOUNT o", ONE}, {"OBJECT REFCOUNT s", ONE}, {"APPEND i 4", ":4\r\n"},
         {"OBJECT ENCODING i", "$3\r\nraw\r\n"}, {"INCR i", ":1235\r\n"},
         {"OBJECT ENCODING i", "$3\r\nint\r\n"}, {"INCRBYFLOAT i 1", "$4\r\n1236\r\n"},
         {"OBJECT ENCODING i", "$6\r\nembstr\r\n"}, {"SETRANGE z 0 1", ONE},
         {"OBJECT ENCODING z", "$3\r\nraw\r\n"}, {"OBJECT IDLETIME i", ZERO},
         {"OBJECT ENCODING x", NIL}, {"OBJECT FREQ x", NIL}, {"OBJECT IDLETIME x", NIL},
         {"OBJECT FREQ i",
          "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note "
          "that when switching between policies at runtime LRU and LFU data will take some time to "
          "adjust.\r\n"},
         {"OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command\r\n"},
         {"OBJECT what i", "-ERR unknown subcommand 'what'. Try OBJECT HELP.\r\n"});
}

static void test_memory_usage(void **state)
{
    (void)state;
    commands_t commands;
    commands_open(&commands);
    commands_expect(&commands, "MEMORY USAGE k", NIL);
    commands_expect(&commands, "SET k value", OK);
    const kv_slice_t reply = commands_say(&commands, "MEMORY USAGE k SAMPLES 0");
    assert_int_equal(reply.data[0], ':');
    assert_in_range(strtol(reply.data + 1, NULL, 10), 10, 1000);
    commands_expect(&commands, "MEMORY USAGE k SAMPLES", SYNTAX);
    commands_expect(&commands, "MEMORY USAGE k SAMPLES -1", SYNTAX);
    commands_expect(&commands, "MEMORY USAGE k SAMPLES x", NOT_INTEGER);
    commands_expect(&commands, "MEMORY USAGE k WHAT 1", SYNTAX);
    commands_close(&commands);
}

static void test_idle_time(void **state)
{
    (void)state;
    commands_t commands;
    commands_open(&commands);
    commands_expect(&commands, "SET k v", OK);
    commands.now_ms += 7000;
    commands_expect(&commands, "EXISTS k", ONE);
    commands_expect(&commands, "TTL k", ":-1\r\n");
    commands_expect(&commands, "OBJECT IDLETIME k", ":7\r\n");
    commands_expect(&commands, "TOUCH k", ONE);
    commands_expect(&commands, "OBJECT IDLETIME k", ZERO);
    commands_close(&commands);
}

static void test_expire(void **state)
{
    (void)state;
    TALK({"EXPIRE k 1", ZERO}, {"TTL k", ":-2\r\n"}, {"PTTL k", ":-2\r\n"},
         {"EXPIRETIME k", ":-2\r\n"}, {"PERSIST k", ZERO}, {"SET k v", OK}, {"TTL k", ":-1\r\n"},
         {"EXPIRETIME k", ":-1\r\n"}, {"PERSIST k", ZERO}, {"EXPIRE k 10", ONE},
         {"TTL k", ":10\r\n"}, {"PEXPIRE k 1499", ONE}, {"TTL k", ":1\r\n"},
         {"PEXPIRE k 1500", ONE}, {"TTL k", ":2\r\n"}, {"EXPIREAT k 1700000007", ONE},
         {"PTTL k", ":7000\r\n"}, {"PEXPIREAT k 1700000000600", ONE},
         {"EXPIRETIME k", ":1700000001\r\n"}, {"PEXPIRETIME k", ":1700000000600\r\n"},
         {"PERSIST k", ONE}, {"PTTL k", ":-1\r\n"}, {"EXPIRE k x", NOT_INTEGER},
         {"EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n"},
         {"EXPIRE k -9223372036854775808", "-ERR invalid expire time in 'expire' command\r\n"},
         {"PEXPIRE k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n"},
         {"EXPIREAT k 9223372036854775807", "-ERR invalid expire time in 'expireat' command\r\n"},
         {"PEXPIREAT k 9223372036854775807", ONE}, {"PEXPIREAT k -1", ONE}, {"EXISTS k", ZERO},
         {"SET k v", OK}, {"EXPIRE k 0", ONE}, {"EXISTS k", ZERO}, {"SET k v", OK},
         {"PEXPIRE k -9223372036854775808", ONE}, {"EXISTS k", ZERO});
}

static void test_expire_conditions(void **state)
{
    (void)state;
    TALK({"SET k v", OK}, {"EXPIRE k 10 XX", ZERO}, {"EXPIRE k 10 GT", ZERO},
         {"EXPIRE k 10 LT", ONE}, {"EXPIRE k 20 nx", ZERO}, {"EXPIRE k 20 lt", ZERO},
         {"EXPIRE k 10 GT", ZERO}, {"EXPIRE k 20 GT XX", ONE}, {"TTL k", ":20\r\n"},
         {"EXPIRE k 5 XX LT", ONE}, {"TTL k", ":5\r\n"}, {"PERSIST k", ONE}, {"EXPIRE k 7 NX", ONE},
         {"TTL k", ":7\r\n"},
         {"EXPIRE k 1 NX XX",
          "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"},
         {"EXPIRE k 1 NX GT",
          "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"},
         {"EXPIRE k 1 GT LT", "-ERR GT and LT options at the same time are not compatible\r\n"},
         {"EXPIRE k 1 AB", "-ERR Unsupported option AB\r\n"},
         {"EXPIRE k x AB", "-ERR Unsupported option AB\r\n"}, {"PEXPIREAT k -1 GT", ZERO},
         {"PEXPIREAT k -1 LT", ONE}, {"EXISTS k", ZERO}, {"EXPIRE none 1 NX", ZERO});
}

static void test_late_keys_are_gone(void **state)
{
    (void)state;
    static const char *const commands_on_late[][2] = {{"GET k", NIL},
                                                      {"DEL k", ZERO},
                                                      {"EXISTS k", ZERO},
                                                      {"TTL k", ":-2\r\n"},
                                                      {"TYPE k", "+none\r\n"},
                                                      {"RENAME k n", NO_KEY},
                                                      {"COPY k n", ZERO},
                                                      {"MOVE k 1", ZERO},
                                                      {"PERSIST k", ZERO},
                                                      {"EXPIRE k 5", ZERO},
                                                      {"GETDEL k", NIL},
                                                      {"GETSET k w", NIL},
                                                      {"SETNX k w", ONE},
                                                      {"INCR k", ONE},
                                                      {"APPEND k ab", ":2\r\n"},
                                                      {"SETRANGE k 1 b", ":2\r\n"},
                                                      {"STRLEN k", ZERO},
                                                      {"RANDOMKEY", NIL},
                                                      {"KEYS *", "*0\r\n"},
                                                      {"OBJECT ENCODING k", NIL},
                                                      {"SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n"},
                                                      {"SET k w KEEPTTL", OK},
                                                      {"MSETNX k w", ONE},
                                                      {"MEMORY USAGE k", NIL},
                                                      {"LCS k k LEN", ZERO}};
    for (size_t i = 0; i < sizeof(commands_on_late) / sizeof(commands_on_late[0]); i++) {
        commands_t commands;
        commands_open(&commands);
        commands_expect(&commands, "SET k v PX 5", OK);
        commands.now_ms += 5;
        commands_expect(&commands, "GET k", "$1\r\nv\r\n");
        commands.now_ms++;
        commands_expect(&commands, commands_on_late[i][0], commands_on_late[i][1]);
        const bool written = strncmp(commands_on_late[i][1], NIL, 3) != 0 &&
                             strcmp(commands_on_late[i][1], ZERO) != 0;
        if (written && commands_say(&commands, "EXISTS k").data[1] == '1') {
            commands_expect(&commands, "TTL k", ":-1\r\n");
        }
        commands_close(&commands);
    }
}

static void test_walks_remove_the_late_keys_they_meet(void **state)
{
    (void)state;
    static const char *const walks[][2] = {{"KEYS *", "*0\r\n"},
                                           {"SCAN 0 COUNT 100", "*2\r\n$1\r\n0\r\n*0\r\n"}};
    for (size_t i = 0; i < 2; i++) {
        commands_t commands;
        commands_open(&commands);
        commands_expect(&commands, "SET a v PX 5", OK);
        commands_expect(&commands, "SET b v PX 6", OK);
        commands.now_ms += 7;
        commands_expect(&commands, "DBSIZE", ":2\r\n");
        commands_expect(&commands, walks[i][0], walks[i][1]);
        commands_expect(&commands, "DBSIZE", ZERO);
        commands_close(&commands);
    }
}

/* ---- walks ---- */

static void fill(commands_t *commands, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "SET key:%zu %zu", i, i);
        commands_expect(commands, line, OK);
    }
}

/* Reads the number at *at behind a type byte and moves *at behind its line. */
static size_t read_head(const char **at, char type)
{
    assert_int_equal(**at, type);
    size_t number = 0;
    for (++*at; **at >= '0' && **at <= '9'; ++*at) {
        number = number * 10 + (size_t)(**at - '0');
    }
    assert_memory_equal(*at, "\r\n", 2);
    *at += 2;
    return number;
}

/* Counts in seen the keys "key:<number>" of an array of bulks. */
static void read_keys(const char *at, unsigned *seen, size_t count)
{
    const size_t keys = read_head(&at, '*');
    for (size_t i = 0; i < keys; i++) {
        const size_t bytes = read_head(&at, '$');
        assert_memory_equal(at, "key:", 4);
        const size_t number = strtoul(at + 4, NULL, 10);
        assert_true(number < count);
        seen[number]++;
        at += bytes + 2;
    }
}

static void test_scan_meets_every_key_once(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    commands_t commands;
    commands_open(&commands);
    fill(&commands, COUNT);
    unsigned seen[COUNT] = {0};
    size_t cursor = 0;
    do {
        char line[64];
        (void)snprintf(line, sizeof(line), "SCAN %zu COUNT 7 TYPE string MATCH key:*", cursor);
        const kv_slice_t reply = commands_say(&commands, line);
        const char *at = reply.data;
        assert_int_equal(read_head(&at, '*'), 2);
        (void)read_head(&at, '$');
        cursor = strtoul(at, NULL, 10);
        /* The reply is bytes, not a string. */
        const char *const end = memchr(at, '\n', (size_t)(reply.data + reply.size - at));
        assert_non_null(end);
        read_keys(end + 1, seen, COUNT);
    } while (cursor != 0);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(seen[i], 1);
    }
    commands_close(&commands);
}

static void test_keys_matches_patterns(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    commands_t commands;
    commands_open(&commands);
    fill(&commands, COUNT);
    unsigned all[COUNT] = {0};
    read_keys(commands_say(&commands, "KEYS *").data, all, COUNT);
    unsigned some[COUNT] = {0};
    read_keys(commands_say(&commands, "KEYS key:1?[2-4]").data, some, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(all[i], 1);
        const bool fits = i >= 100 && i < 200 && i % 10 >= 2 && i % 10 <= 4;
        assert_int_equal(some[i], fits);
    }
    commands_expect(&commands, "KEYS nothing*", "*0\r\n");
    commands_close(&commands);
}

static void test_scan_refuses(void **state)
{
    (void)state;
    TALK({"SCAN x", "-ERR invalid cursor\r\n"}, {"SCAN 1x", "-ERR invalid cursor\r\n"},
         {"SCAN ~1", "-ERR invalid cursor\r\n"},
         {"SCAN 99999999999999999999", "-ERR invalid cursor\r\n"},
         {"SCAN 18446744073709551615", "*2\r\n$1\r\n0\r\n*0\r\n"}, {"SCAN 0 COUNT 0", SYNTAX},
         {"SCAN 0 COUNT x", NOT_INTEGER}, {"SCAN 0 COUNT", SYNTAX}, {"SCAN 0 WHAT 1", SYNTAX},
         {"SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n"}, {"SET k v", OK},
         {"SCAN 0 TYPE string", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n"},
         {"SCAN 0 TYPE list", "*2\r\n$1\r\n0\r\n*0\r\n"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ask_and_delete),
        cmocka_unit_test(test_rename_and_copy),
        cmocka_unit_test(test_move_and_swapdb),
        cmocka_unit_test(test_object_and_memory),
        cmocka_unit_test(test_memory_usage),
        cmocka_unit_test(test_idle_time),
        cmocka_unit_test(test_expire),
        cmocka_unit_test(test_expire_conditions),
        cmocka_unit_test(test_late_keys_are_gone),
        cmocka_unit_test(test_walks_remove_the_late_keys_they_meet),
        cmocka_unit_test(test_scan_meets_every_key_once),
        cmocka_unit_test(test_keys_matches_patterns),
        cmocka_unit_test(test_scan_refuses),
    };
    return cmocka_run_group_tests_name("commands_key", tests, NULL, NULL);
}
