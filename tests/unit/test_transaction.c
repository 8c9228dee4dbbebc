/* SPDX-License-Identifier: MIT */
/*
 * What stands behind MULTI and WATCH, without a socket: which operations touch a watched key, what
 * a queue keeps of a request, and how a transaction is undone as a whole.
 */
#include "test.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "commands.h"
#include "os/os.h"
#include "server/atomic.h"
#include "server/submit.h"

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

/* ---- watches ---- */

typedef struct touch_case {
    const char *operation;
    bool watched;   /* whether it touches "k" of keyspace 0, which is there */
    bool unborn;    /* whether it touches "n" of keyspace 0, which is not */
    bool elsewhere; /* whether it touches "k" of keyspace 1, which is there */
} touch_case_t;

static const touch_case_t touches[] = {
    {"SET k 1", true, false, false},
    {"SET k v", true, false, false}, /* the value that it has */
    {"SET n 1", false, true, false},
    {"SET other 1", false, false, false},
    {"GET k", false, false, false},
    {"SET k 1 NX", false, false, false},
    {"DEL k", true, false, false},
    {"DEL n", false, false, false},
    {"APPEND k x", true, false, false},
    {"SETRANGE k 0 x", true, false, false},
    {"INCR n", false, true, false},
    {"INCRBYFLOAT n 1.5", false, true, false},
    {"INCR k", false, false, false}, /* an error */
    {"EXPIRE k 100", true, false, false},
    {"PERSIST k", false, false, false},
    {"RENAME k other", true, false, false},
    {"RENAME k n", true, true, false},
    {"COPY k n", false, true, false},
    {"COPY k k DB 1 REPLACE", false, false, true},
    {"FLUSHDB", true, false, false},
    {"FLUSHALL", true, false, true},
    {"SWAPDB 0 1", true, false, true},
    {"SWAPDB 0 2", true, false, false},
    {"SWAPDB 2 3", false, false, false},
};

/* A client of its own that watches one key. */
static void open_watcher(commands_t *commands, kvi_client_t *watcher, size_t database,
                         const char *key)
{
    *watcher = (kvi_client_t){0};
    kvi_client_open(commands->server, watcher, commands->now_ms);
    watcher->database = database;
    assert_int_equal(kvi_watch_add(watcher, slice(key), commands->now_ms), KV_OK);
    assert_int_equal(kvi_watch_add(watcher, slice(key), commands->now_ms), KV_OK);
    assert_int_equal(kvi_watch_count(watcher), 1);
    assert_false(kvi_watch_is_broken(watcher, commands->now_ms));
}

static void who_is_touched(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof touches / sizeof *touches; i++) {
        commands_t commands;
        kvi_client_t watchers[3];
        commands_open(&commands);
        commands_expect(&commands, "SET k v", "+OK\r\n");
        commands_expect(&commands, "COPY k k DB 1", ":1\r\n");
        open_watcher(&commands, &watchers[0], 0, "k");
        open_watcher(&commands, &watchers[1], 0, "n");
        open_watcher(&commands, &watchers[2], 1, "k");
        (void)commands_say(&commands, touches[i].operation);
        const bool expected[3] = {touches[i].watched, touches[i].unborn, touches[i].elsewhere};
        for (size_t j = 0; j < 3; j++) {
            if (kvi_watch_is_broken(&watchers[j], commands.now_ms) != expected[j]) {
                fail_msg("%s: watcher %zu", touches[i].operation, j);
            }
            kvi_watch_clear(&watchers[j]);
            assert_false(kvi_watch_is_broken(&watchers[j], commands.now_ms));
            kvi_client_close(&watchers[j]);
        }
        assert_int_equal(commands.server->watches.count, 0);
        commands_close(&commands);
    }
}

/* A late key is as gone as one that was deleted, whether or not it has been removed yet. */
static void late_keys(void **state)
{
    (void)state;
    for (unsigned removed = 0; removed < 2; removed++) {
        commands_t commands;
        kvi_client_t watcher;
        commands_open(&commands);
        commands_expect(&commands, "SET k v PX 50", "+OK\r\n");
        open_watcher(&commands, &watcher, 0, "k");
        commands.now_ms += 50;
        assert_false(kvi_watch_is_broken(&watcher, commands.now_ms));
        commands.now_ms += 1;
        if (removed != 0) {
            const kvi_op_t expire = {.kind = KVI_OP_EXPIRE, .count = 10};
            kvi_op_result_t result;
            kvi_server_submit(commands.server, &expire, commands.now_ms, &result);
            assert_int_equal(result.status, KV_OK);
            assert_false(watcher.touched);
        }
        assert_true(kvi_watch_is_broken(&watcher, commands.now_ms));
        kvi_client_close(&watcher);
        commands_close(&commands);
    }
}

/* Keys that share a bucket, watched by many, and let go of in another order. */
static void many_watchers(void **state)
{
    (void)state;
    enum { WATCHERS = 40, KEYS = 50 };
    static kvi_client_t watchers[WATCHERS];
    uint64_t random = test_seed();
    commands_t commands;
    char name[16];
    commands_open(&commands);
    for (size_t i = 0; i < WATCHERS; i++) {
        watchers[i] = (kvi_client_t){0};
        kvi_client_open(commands.server, &watchers[i], commands.now_ms);
        for (size_t key = 0; key < KEYS; key++) {
            (void)snprintf(name, sizeof name, "%zu", i * KEYS + key);
            assert_int_equal(kvi_watch_add(&watchers[i], slice(name), commands.now_ms), KV_OK);
        }
    }
    assert_int_equal(commands.server->watches.count, WATCHERS * KEYS);
    bool touched[WATCHERS] = {false};
    for (unsigned i = 0; i < 200; i++) {
        const size_t number = test_random(&random) % (WATCHERS * KEYS);
        const size_t cleared = test_random(&random) % WATCHERS;
        char line[32];
        (void)snprintf(line, sizeof line, "SET %zu x", number);
        commands_expect(&commands, line, "+OK\r\n");
        touched[number / KEYS] =
            touched[number / KEYS] || kvi_watch_count(&watchers[number / KEYS]) > 0;
        if (i % 10 == 9) {
            kvi_watch_clear(&watchers[cleared]);
            touched[cleared] = false;
        }
        for (size_t j = 0; j < WATCHERS; j++) {
            assert_int_equal(watchers[j].touched, touched[j]);
        }
    }
    for (size_t i = 0; i < WATCHERS; i++) {
        kvi_client_close(&watchers[i]);
    }
    assert_int_equal(commands.server->watches.count, 0);
    commands_close(&commands);
}

/* ---- queues ---- */

static void queues_keep_copies(void **state)
{
    (void)state;
    commands_t commands;
    commands_open(&commands);
    kvi_client_t *const client = &commands.client;
    assert_int_equal(kvi_transaction_begin(client, false), KV_OK);
    const kvi_command_t *const set = kvi_command_find(slice("SET"));
    for (unsigned i = 0; i < 100; i++) { /* more than the first list has room for */
        char key[8];
        char value[8];
        (void)snprintf(key, sizeof key, "k%u", i);
        (void)snprintf(value, sizeof value, "v%u", i);
        const kv_slice_t argv[] = {slice("SET"), slice(key), slice(value)};
        kvi_request_t request = kvi_client_request(client, commands.now_ms, 3, argv);
        kvi_transaction_queue(&request, set);
        memset(key, 'x', sizeof key);
        memset(value, 'x', sizeof value);
    }
    const kvi_transaction_t *const transaction = client->transaction;
    assert_int_equal(transaction->count, 100);
    assert_false(transaction->broken);
    assert_int_equal(transaction->flags, set->flags);
    assert_true(transaction->bytes >= 100 * (3 * sizeof(kv_slice_t) + 7));
    for (unsigned i = 0; i < 100; i++) {
        char value[8];
        (void)snprintf(value, sizeof value, "v%u", i);
        const kvi_queued_t *const queued = &transaction->commands[i];
        assert_ptr_equal(queued->command, set);
        assert_int_equal(queued->argc, 3);
        assert_int_equal(kvi_slice_compare(queued->argv[2], slice(value)), 0);
    }
    assert_int_equal(kvi_watch_add(client, slice("w"), commands.now_ms), KV_OK);
    kvi_transaction_discard(client);
    assert_null(client->transaction);
    assert_int_equal(kvi_watch_count(client), 0);
    commands_expect(&commands, "DBSIZE", ":0\r\n");
    commands_close(&commands);
}

static void refused_commands_break_the_queue(void **state)
{
    (void)state;
    commands_t commands;
    commands_open(&commands);
    commands_expect(&commands, "MULTI", "+OK\r\n");
    commands_expect(&commands, "SET a 1", "+QUEUED\r\n");
    assert_int_equal(commands_say(&commands, "NOSUCHCOMMAND").data[0], '-');
    assert_true(commands.client.transaction->broken);
    commands_expect(&commands, "SET b 1", "+QUEUED\r\n");
    assert_int_equal(commands.client.transaction->count, 1); /* no more is kept */
    assert_memory_equal(commands_say(&commands, "EXEC").data, "-EXECABORT", 10);
    assert_null(commands.client.transaction);
    commands_expect(&commands, "MULTI ATOMIC", "+OK\r\n");
    assert_int_equal(commands_say(&commands, "FLUSHALL").data[0], '-');
    assert_memory_equal(commands_say(&commands, "EXEC").data, "-EXECABORT", 10);
    commands_expect(&commands, "DBSIZE", ":0\r\n");
    commands_close(&commands);
}

/* ---- undone as a whole ---- */

static kv_status_t submit(commands_t *commands, kvi_op_kind_t kind, const char *key,
                          const char *value)
{
    kvi_op_result_t result;
    const kvi_op_t op = {
        .kind = kind, .key = slice(key), .value = slice(value), .deadline_ms = KVI_NO_DEADLINE};
    kvi_server_submit(commands->server, &op, commands->now_ms, &result);
    return result.status;
}

static void atomics(void **state)
{
    (void)state;
    commands_t commands;
    kvi_atomic_t atomic;
    commands_open(&commands);
    commands_expect(&commands, "SET a 1 PX 5000", "+OK\r\n");
    commands_expect(&commands, "SET b 2", "+OK\r\n");
    for (unsigned undone = 2; undone-- > 0;) {
        assert_int_equal(kvi_atomic_begin(&atomic, commands.server, commands.now_ms), KV_OK);
        assert_ptr_equal(commands.server->atomic, &atomic);
        assert_int_equal(submit(&commands, KVI_OP_PUT, "a", "changed"), KV_OK);
        assert_int_equal(submit(&commands, KVI_OP_PUT, "a", "again"), KV_OK);
        assert_int_equal(submit(&commands, KVI_OP_DELETE, "b", ""), KV_OK);
        assert_int_equal(submit(&commands, KVI_OP_DELETE, "none", ""), KV_NOT_FOUND);
        assert_int_equal(submit(&commands, KVI_OP_PUT, "c", "new"), KV_OK);
        assert_int_equal(atomic.batch.count, 4); /* what failed is not in the log's batch */
        commands_expect(&commands, "MGET a b c", "*3\r\n$5\r\nagain\r\n$-1\r\n$3\r\nnew\r\n");
        if (undone != 0) {
            assert_int_equal(kvi_atomic_undo(&atomic), KV_OK);
            commands_expect(&commands, "MGET a b c", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n");
            commands_expect(&commands, "PTTL a", ":5000\r\n");
            commands_expect(&commands, "DBSIZE", ":2\r\n");
        } else {
            kvi_atomic_commit(&atomic);
            commands_expect(&commands, "MGET a b c", "*3\r\n$5\r\nagain\r\n$-1\r\n$3\r\nnew\r\n");
            commands_expect(&commands, "PTTL a", ":-1\r\n");
        }
        assert_null(commands.server->atomic);
    }
    commands_close(&commands);
}

/* What a transaction changes decides how it is synced, wherever the client was at EXEC. */
static void the_strictest_keyspace_decides(void **state)
{
    (void)state;
    commands_t commands;
    kvi_atomic_t atomic;
    commands_open(&commands);
    commands_expect(&commands, "KEYSPACE CREATE safe SYNC always", "+OK\r\n");
    commands_expect(&commands, "KEYSPACE SET 0 SYNC no", "+OK\r\n");
    static const struct {
        const char *command;
        kvi_sync_t sync;
    } steps[] = {{"GET a", KVI_SYNC_NO},
                 {"SET a 1", KVI_SYNC_NO},
                 {"COPY a a DB 1", KVI_SYNC_DEFAULT},
                 {"SELECT safe", KVI_SYNC_DEFAULT},
                 {"SET a 1", KVI_SYNC_ALWAYS},
                 {"SELECT 0", KVI_SYNC_ALWAYS},
                 {"SET a 2", KVI_SYNC_ALWAYS}};
    assert_int_equal(kvi_atomic_begin(&atomic, commands.server, commands.now_ms), KV_OK);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        (void)commands_say(&commands, steps[i].command);
        assert_int_equal(atomic.sync, steps[i].sync);
    }
    kvi_atomic_commit(&atomic);
    commands_close(&commands);
}

/* Keys of a database whose clock was put back live as long as they should, and longer. */
static void the_servers_time_is_never_before_the_databases(void **state)
{
    (void)state;
    commands_t commands;
    commands_open(&commands);
    const int64_t clock_ms = kvi_os_wall_ms();
    assert_true(kvi_server_now(commands.server) >= clock_ms);
    kvi_db_advance_time(commands.db, clock_ms + 3600000);
    assert_true(kvi_server_now(commands.server) == clock_ms + 3600000);
    commands.now_ms = kvi_server_now(commands.server);
    commands_expect(&commands, "SET a 1 EX 10", "+OK\r\n");
    commands_expect(&commands, "PTTL a", ":10000\r\n");
    commands_close(&commands);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_touched),
        cmocka_unit_test(late_keys),
        cmocka_unit_test(many_watchers),
        cmocka_unit_test(queues_keep_copies),
        cmocka_unit_test(refused_commands_break_the_queue),
        cmocka_unit_test(atomics),
        cmocka_unit_test(the_strictest_keyspace_decides),
        cmocka_unit_test(the_servers_time_is_never_before_the_databases),
    };
    return cmocka_run_group_tests_name("transaction", tests, NULL, NULL);
}
