/* SPDX-License-Identifier: MIT */
/*
 * A plain put has a way of its own where nobody is told of operations (docs/decisions/0010). Two
 * servers get the same random commands; in one of them a client watches a key that nobody touches,
 * so that each of its puts is written down as an operation. Everything must stay the same.
 */
#include "test.h"

#include "commands.h"
#include "server/submit.h"
#include "state_dump.h"

#define ROUNDS 3000
#define KEYS 60

typedef struct pair {
    commands_t plain;
    commands_t watched;
    uint64_t random;
} pair_t;

static uint32_t below(pair_t *pair, uint32_t limit)
{
    return (uint32_t)(test_random(&pair->random) % limit);
}

/* To both; the replies are the same. */
static void say(pair_t *pair, const char *line)
{
    char first[4096];
    const kv_slice_t reply = commands_say(&pair->plain, line);
    assert_in_range(reply.size, 0, sizeof(first));
    kvi_bytes_copy(first, reply.data, reply.size);
    const size_t size = reply.size;
    const kv_slice_t other = commands_say(&pair->watched, line);
    if (other.size != size || memcmp(other.data, first, size) != 0) {
        fail_msg("%s\n answered %.*s\n and %.*s", line, (int)size, first, (int)other.size,
                 other.data);
    }
}

static void open_pair(pair_t *pair)
{
    *pair = (pair_t){.random = test_seed()};
    commands_open(&pair->plain);
    commands_open(&pair->watched);
    commands_expect(&pair->watched, "WATCH untouched", "+OK\r\n");
    assert_true(kvi_server_is_alone(pair->plain.server));
    assert_false(kvi_server_is_alone(pair->watched.server));
}

static void close_pair(pair_t *pair)
{
    /* Else one of them was on the other's way. */
    assert_true(kvi_server_is_alone(pair->plain.server));
    assert_false(kvi_server_is_alone(pair->watched.server));
    commands_close(&pair->plain);
    commands_close(&pair->watched);
}

static void compare(pair_t *pair)
{
    kvi_db_t *const a = pair->plain.db;
    kvi_db_t *const b = pair->watched.db;
    dump_t first = dump_db(a, pair->plain.now_ms);
    dump_t second = dump_db(b, pair->watched.now_ms);
    assert_true(dump_equal(&first, &second));
    dump_free(&first);
    dump_free(&second);
    assert_int_equal(pair->plain.server->changes, pair->watched.server->changes);
    assert_int_equal(kvi_db_changes(a), kvi_db_changes(b));
    assert_int_equal(kvi_db_time(a), kvi_db_time(b));
    assert_int_equal(kvi_db_expired(a), kvi_db_expired(b));
    for (size_t i = 0; i < KVI_LAG_BUCKETS; i++) {
        assert_int_equal(kvi_db_lags(a)[i], kvi_db_lags(b)[i]);
    }
}

static void say_something(pair_t *pair)
{
    char line[200];
    const unsigned key = below(pair, KEYS);
    const unsigned number = below(pair, 1000);
    switch (below(pair, 14)) {
    case 0:
        (void)snprintf(line, sizeof(line), "SET k%u %u PX %u", key, number, 1 + below(pair, 5000));
        break;
    case 1:
        (void)snprintf(line, sizeof(line), "MSET k%u %u k%u text k%u %u", key, number,
                       below(pair, KEYS), below(pair, KEYS), number);
        break;
    case 2:
        (void)snprintf(line, sizeof(line), "SETNX k%u %u", key, number);
        break;
    case 3:
        (void)snprintf(line, sizeof(line), "GETSET k%u %u", key, number);
        break;
    case 4:
        (void)snprintf(line, sizeof(line), "DEL k%u", key);
        break;
    case 5:
        (void)snprintf(line, sizeof(line), "APPEND k%u %u", key, number);
        break;
    case 6:
        (void)snprintf(line, sizeof(line), "INCR k%u", key);
        break;
    case 7:
        (void)snprintf(line, sizeof(line), "PEXPIRE k%u %u", key, 1 + below(pair, 5000));
        break;
    case 8:
        (void)snprintf(line, sizeof(line), "SELECT %u", below(pair, 2));
        break;
    case 9:
        (void)snprintf(line, sizeof(line), "KEYSPACE SET 1 DEFAULT-TTL %u MAX-TTL %u",
                       below(pair, 2) * 3000, below(pair, 2) * 6000);
        break;
    default:
        (void)snprintf(line, sizeof(line), "SET k%u %u", key, number);
    }
    say(pair, line);
}

static void both_ways_are_the_same(void **state)
{
    (void)state;
    pair_t pair;
    open_pair(&pair);
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t later_ms = below(&pair, 10) == 0 ? below(&pair, 2000) : 0;
        pair.plain.now_ms += later_ms;
        pair.watched.now_ms += later_ms;
        say_something(&pair);
        if (round % 50 == 0) {
            compare(&pair);
        }
    }
    compare(&pair);
    close_pair(&pair);
}

/* Each as the first word about the matter, so that what it leaves is its own. */
static void a_put_brings_the_time_along(void **state)
{
    (void)state;
    static const char *const lines[] = {"SET k 1", "MSET k 2 l 2", "SETNX m 1", "GETSET k 3"};
    pair_t pair;
    open_pair(&pair);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        pair.plain.now_ms += 1000;
        pair.watched.now_ms += 1000;
        say(&pair, lines[i]);
        assert_int_equal(kvi_db_time(pair.plain.db), pair.plain.now_ms);
        compare(&pair);
    }
    close_pair(&pair);
}

static void refusals_are_the_same(void **state)
{
    (void)state;
    pair_t pair;
    open_pair(&pair);
    say(&pair, "SET k 1");
    say(&pair, "KEYSPACE SET 1 QUOTA 1");
    say(&pair, "SELECT 1");
    commands_expect(&pair.plain, "SET k 1",
                    "-OOM command not allowed when used memory > quota of the keyspace.\r\n");
    say(&pair, "SET k 1");
    say(&pair, "MSET k 1 l 2");
    say(&pair, "CONFIG SET maxmemory 1");
    say(&pair, "SELECT 0");
    commands_expect(&pair.plain, "SET k 2",
                    "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    say(&pair, "SET k 2");
    compare(&pair);
    close_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_are_the_same),
        cmocka_unit_test(a_put_brings_the_time_along),
        cmocka_unit_test(refusals_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
