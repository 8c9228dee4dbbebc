/* SPDX-License-Identifier: MIT */
/* The string commands: replies letter by letter, in RESP2 unless a test says otherwise. */
#include "test.h"

#include "commands.h"

#define OK "+OK\r\n"
#define NIL "$-1\r\n"
#define ZERO ":0\r\n"
#define ONE ":1\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define TOO_LONG "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"

static void test_get_and_set(void **state)
{
    (void)state;
    TALK({"GET k", NIL}, {"SET k v", OK}, {"get k", "$1\r\nv\r\n"}, {"SET k \"\"", OK},
         {"GET k", "$0\r\n\r\n"}, {"SET \"\" empty", OK}, {"GET \"\"", "$5\r\nempty\r\n"},
         {"SET k", "-ERR wrong number of arguments for 'set' command\r\n"},
         {"GETSET k 1", "$0\r\n\r\n"}, {"GETSET new 1", NIL}, {"GETDEL k", "$1\r\n1\r\n"},
         {"GETDEL k", NIL}, {"EXISTS k", ZERO});
}

static void test_set_conditions(void **state)
{
    (void)state;
    TALK({"SET k 1 XX", NIL}, {"SET k 1 NX", OK}, {"SET k 2 nx", NIL}, {"SET k 2 xx", OK},
         {"GET k", "$1\r\n2\r\n"}, {"SET k 3 NX XX", SYNTAX}, {"SET k 3 XX NX", SYNTAX},
         {"SET k 3 GET", "$1\r\n2\r\n"}, {"SET k 4 NX GET", "$1\r\n3\r\n"},
         {"GET k", "$1\r\n3\r\n"}, {"SET new 1 NX GET", NIL}, {"GET new", "$1\r\n1\r\n"},
         {"SET none 1 XX GET", NIL}, {"EXISTS none", ZERO}, {"SET k 5 XX GET get", "$1\r\n3\r\n"},
         {"SETNX k 9", ZERO}, {"SETNX fresh 9", ONE}, {"SET k 1 WHAT", SYNTAX});
}

static void test_set_deadlines(void **state)
{
    (void)state;
    TALK({"SET k v EX 10", OK}, {"PTTL k", ":10000\r\n"}, {"SET k v PX 10", OK},
         {"PTTL k", ":10\r\n"}, {"SET k v EXAT 1700000100", OK}, {"TTL k", ":100\r\n"},
         {"SET k v PXAT 1700000100001", OK}, {"PTTL k", ":100001\r\n"}, {"SET k w KEEPTTL", OK},
         {"PTTL k", ":100001\r\n"}, {"SET k w", OK}, {"PTTL k", ":-1\r\n"},
         {"SET k v EX 1 EX 5", OK}, {"TTL k", ":5\r\n"}, {"SET k v EX 1 PX 5", SYNTAX},
         {"SET k v EX 1 KEEPTTL", SYNTAX}, {"SET k v KEEPTTL EX 1", SYNTAX}, {"SET k v EX", SYNTAX},
         {"SET k v PERSIST", SYNTAX}, {"SET k v EX x", NOT_INTEGER},
         {"SET k v EX 0", "-ERR invalid expire time in 'set' command\r\n"},
         {"SET k v PX -1", "-ERR invalid expire time in 'set' command\r\n"},
         {"SET k v EX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"},
         {"SET k v PX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"},
         {"SET k v PXAT 9223372036854775807", OK}, {"PEXPIRETIME k", ":9223372036854775807\r\n"},
         {"SET k v PXAT 1", OK}, {"GET k", NIL});
}

static void test_setex(void **state)
{
    (void)state;
    TALK({"SETEX k 7 v", OK}, {"TTL k", ":7\r\n"}, {"PSETEX k 7 v", OK}, {"PTTL k", ":7\r\n"},
         {"SETEX k 0 v", "-ERR invalid expire time in 'setex' command\r\n"},
         {"PSETEX k -5 v", "-ERR invalid expire time in 'psetex' command\r\n"},
         {"SETEX k x v", NOT_INTEGER}, {"GETSET k w", "$1\r\nv\r\n"}, {"TTL k", ":-1\r\n"});
}

static void test_getex(void **state)
{
    (void)state;
    TALK({"GETEX k", NIL}, {"GETEX k EX 0", NIL}, {"SET k v", OK}, {"GETEX k", "$1\r\nv\r\n"},
         {"TTL k", ":-1\r\n"}, {"GETEX k EX 9", "$1\r\nv\r\n"}, {"TTL k", ":9\r\n"},
         {"GETEX k", "$1\r\nv\r\n"}, {"TTL k", ":9\r\n"}, {"GETEX k PERSIST", "$1\r\nv\r\n"},
         {"TTL k", ":-1\r\n"}, {"GETEX k EX 0", "-ERR invalid expire time in 'getex' command\r\n"},
         {"GETEX k PX 1 EX 1", SYNTAX}, {"GETEX k PERSIST EX 1", SYNTAX},
         {"GETEX k EX 1 PERSIST", SYNTAX}, {"GETEX k NX", SYNTAX}, {"GETEX k KEEPTTL", SYNTAX},
         {"GETEX k EX x", NOT_INTEGER}, {"GETEX k PXAT 1700000000005", "$1\r\nv\r\n"},
         {"PTTL k", ":5\r\n"}, {"GETEX k EXAT 1", "$1\r\nv\r\n"}, {"GET k", NIL});
}

static void test_many_keys(void **state)
{
    (void)state;
    TALK({"MSET a 1 b 2 a 3", OK}, {"MGET a b c", "*3\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n"},
         {"MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n"},
         {"MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command\r\n"},
         {"MSETNX c 1 a 9", ZERO}, {"EXISTS c", ZERO}, {"MSETNX c 1 d 2", ONE},
         {"EXISTS a b c d e a", ":5\r\n"}, {"SET a 1 EX 5", OK}, {"MSET a 2", OK},
         {"TTL a", ":-1\r\n"});
}

static void test_parts(void **state)
{
    (void)state;
    TALK({"APPEND k Hello", ":5\r\n"}, {"APPEND k ~World", ":11\r\n"}, {"STRLEN k", ":11\r\n"},
         {"STRLEN none", ZERO}, {"GETRANGE k 0 4", "$5\r\nHello\r\n"},
         {"GETRANGE k -5 -1", "$5\r\nWorld\r\n"}, {"SUBSTR k 0 -1", "$11\r\nHello World\r\n"},
         {"GETRANGE k 5 3", "$0\r\n\r\n"}, {"GETRANGE k -1 -5", "$0\r\n\r\n"},
         {"GETRANGE k -100 100", "$11\r\nHello World\r\n"}, {"GETRANGE k 11 20", "$0\r\n\r\n"},
         {"GETRANGE k -9223372036854775808 0", "$1\r\nH\r\n"},
         {"GETRANGE k 0 -9223372036854775808", "$1\r\nH\r\n"}, {"GETRANGE none 0 -1", "$0\r\n\r\n"},
         {"GETRANGE k x 1", NOT_INTEGER}, {"SET e \"\"", OK}, {"GETRANGE e 0 -1", "$0\r\n\r\n"},
         {"SETRANGE k 6 Redis", ":11\r\n"}, {"GET k", "$11\r\nHello Redis\r\n"},
         {"SETRANGE k 0 \"\"", ":11\r\n"}, {"SETRANGE none 5 \"\"", ZERO}, {"EXISTS none", ZERO},
         {"SETRANGE k -1 x", "-ERR offset is out of range\r\n"}, {"SETRANGE k x x", NOT_INTEGER},
         {"SETRANGE k 536870912 x", TOO_LONG}, {"SETRANGE none 9223372036854775807 x", TOO_LONG},
         {"EXISTS none", ZERO}, {"SET k v EX 5", OK}, {"APPEND k w", ":2\r\n"},
         {"TTL k", ":5\r\n"});
}

static void test_setrange_fills_with_zeros(void **state)
{
    (void)state;
    commands_t commands;
    commands_open(&commands);
    commands_expect(&commands, "SETRANGE k 3 x", ":4\r\n");
    const kv_slice_t reply = commands_say(&commands, "GET k");
    assert_int_equal(reply.size, 10);
    assert_memory_equal(reply.data, "$4\r\n\0\0\0x\r\n", 10);
    commands_close(&commands);
}

static void test_integers(void **state)
{
    (void)state;
    TALK({"INCR n", ":1\r\n"}, {"INCRBY n 17179869184", ":17179869185\r\n"},
         {"DECR n", ":17179869184\r\n"}, {"DECRBY n 17179869185", ":-1\r\n"},
         {"INCRBY n -9", ":-10\r\n"}, {"GET n", "$3\r\n-10\r\n"}, {"INCRBY n x", NOT_INTEGER},
         {"INCRBY n 1.5", NOT_INTEGER},
         {"DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n"},
         {"SET n 9223372036854775807", OK},
         {"INCR n", "-ERR increment or decrement would overflow\r\n"}, {"SET n ~1", OK},
         {"INCR n", NOT_INTEGER}, {"SET n 1~", OK}, {"INCR n", NOT_INTEGER}, {"SET n 5 EX 9", OK},
         {"INCR n", ":6\r\n"}, {"TTL n", ":9\r\n"});
}

static void test_long_doubles(void **state)
{
    (void)state;
    TALK({"INCRBYFLOAT f 1.5", "$3\r\n1.5\r\n"}, {"INCRBYFLOAT f 1.5", "$1\r\n3\r\n"},
         {"INCRBYFLOAT f 5.0e3", "$4\r\n5003\r\n"}, {"INCRBYFLOAT f -5003", "$1\r\n0\r\n"},
         {"INCRBYFLOAT f abc", "-ERR value is not a valid float\r\n"},
         {"INCRBYFLOAT f nan", "-ERR value is not a valid float\r\n"}, {"SET f ~1", OK},
         {"INCRBYFLOAT f 1", "-ERR value is not a valid float\r\n"});
}

static void test_null_in_resp3(void **state)
{
    (void)state;
    commands_t commands;
    commands_open(&commands);
    commands.client.reply.protocol = 3;
    commands_expect(&commands, "GET k", "_\r\n");
    commands_expect(&commands, "SET k 1 XX", "_\r\n");
    commands_expect(&commands, "GETEX k", "_\r\n");
    commands_expect(&commands, "MGET k", "*1\r\n_\r\n");
    commands_expect(&commands, "SET k v", OK);
    commands_expect(&commands, "LCS k k IDX",
                    "%2\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:0\r\n:0\r\n*2\r\n:0\r\n:0\r\n"
                    "$3\r\nlen\r\n:1\r\n");
    commands_close(&commands);
}

static void test_lcs(void **state)
{
    (void)state;
    TALK({"MSET a ohmytext b mynewtext", OK}, {"LCS a b", "$6\r\nmytext\r\n"},
         {"LCS a b LEN", ":6\r\n"},
         {"LCS a b IDX", "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n"
                         "*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:6\r\n"},
         {"LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
          "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n"
          "$3\r\nlen\r\n:6\r\n"},
         {"LCS a none", "$0\r\n\r\n"}, {"LCS none a LEN", ZERO},
         {"LCS a b IDX LEN",
          "-ERR If you want both the length and indexes, please just use IDX.\r\n"},
         {"LCS a b WHAT", SYNTAX}, {"LCS a b MINMATCHLEN", SYNTAX});
}

static void test_memory_at_its_limit(void **state)
{
    (void)state;
    static const char oom[] = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    commands_t commands;
    commands_open(&commands);
    commands_expect(&commands, "SET k v", OK);
    commands_expect(&commands, "SET n 5", OK);
    commands_expect(&commands, "CONFIG SET maxmemory 1", "+OK\r\n");
    commands_expect(&commands, "SET k w", oom);
    commands_expect(&commands, "APPEND k w", oom);
    commands_expect(&commands, "INCR n", oom);
    commands_expect(&commands, "GETEX k EX 5", oom);
    commands_expect(&commands, "GET k", "$1\r\nv\r\n");
    commands_expect(&commands, "TTL k", ":-1\r\n");
    commands_expect(&commands, "DEL k", ONE);
    commands_expect(&commands, "CONFIG SET maxmemory 0", "+OK\r\n");
    commands_expect(&commands, "SET k w", OK);
    commands_close(&commands);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_and_set),
        cmocka_unit_test(test_set_conditions),
        cmocka_unit_test(test_set_deadlines),
        cmocka_unit_test(test_setex),
        cmocka_unit_test(test_getex),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_setrange_fills_with_zeros),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_long_doubles),
        cmocka_unit_test(test_null_in_resp3),
        cmocka_unit_test(test_lcs),
        cmocka_unit_test(test_memory_at_its_limit),
    };
    return cmocka_run_group_tests_name("commands_string", tests, NULL, NULL);
}
