/* SPDX-License-Identifier: MIT */
/*
 * Commands without a socket: a database, a server and one client, under a clock that the test sets.
 * A command is written as one line, its words parted by blanks; "" is the empty word, and '~' in a
 * word stands for a blank.
 */
#ifndef KVI_TESTS_COMMANDS_H
#define KVI_TESTS_COMMANDS_H

#include <stdbool.h>
#include <string.h>

#include "server/server.h"

#define COMMANDS_NOW INT64_C(1700000000000)
#define COMMANDS_WORDS_MAX 64

typedef struct commands {
    kvi_db_t *db;
    kvi_commit_t *commit;
    kvi_server_t *server;
    kvi_client_t client;
    int64_t now_ms;
} commands_t;

typedef struct exchange {
    const char *command;
    const char *reply;
} exchange_t;

static inline void commands_open(commands_t *commands)
{
    *commands = (commands_t){.now_ms = COMMANDS_NOW};
    kvi_config_t config = {0};
    assert_int_equal(kvi_db_open(NULL, &commands->db), KV_OK);
    assert_int_equal(kvi_config_open(&config), KV_OK);
    assert_int_equal(kvi_commit_none_open(commands->db, &commands->commit), KV_OK);
    assert_int_equal(kvi_server_open(&config, commands->db, commands->commit, &commands->server),
                     KV_OK);
    kvi_config_close(&config);
    kvi_client_open(commands->server, &commands->client, commands->now_ms);
    commands->client.reply.protocol = 2;
}

static inline void commands_close(commands_t *commands)
{
    for (size_t i = 0; i < kvi_db_keyspaces(commands->db); i++) {
        const kvi_keyspace_t *const keyspace = kvi_db_keyspace(commands->db, i);
        assert_true(keyspace == NULL || kvi_keyspace_check(keyspace) == KV_OK);
    }
    kvi_client_close(&commands->client);
    kvi_server_close(commands->server);
    commands->commit->ops->close(commands->commit);
    kvi_db_close(commands->db);
}

/* The reply to these words; valid until the next command. */
static inline kv_slice_t commands_run(commands_t *commands, size_t argc, const kv_slice_t *argv)
{
    kvi_reply_truncate(&commands->client.reply, 0);
    kvi_request_t request = kvi_client_request(&commands->client, commands->now_ms, argc, argv);
    kvi_command_dispatch(&request);
    assert_false(commands->client.reply.failed);
    return (kv_slice_t){commands->client.reply.bytes, commands->client.reply.size};
}

static inline kv_slice_t commands_say(commands_t *commands, const char *line)
{
    static char words[4096];
    kv_slice_t argv[COMMANDS_WORDS_MAX];
    size_t argc = 0;
    assert_true(strlen(line) < sizeof(words));
    strcpy(words, line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(argc < COMMANDS_WORDS_MAX);
        for (char *blank = word; (blank = strchr(blank, '~')) != NULL;) {
            *blank = ' ';
        }
        const bool empty = strcmp(word, "\"\"") == 0;
        argv[argc++] = (kv_slice_t){word, empty ? 0 : strlen(word)};
    }
    return commands_run(commands, argc, argv);
}

/* Not inlined: with UBSan gcc 12 takes the line for a null pointer then, and warns. */
__attribute__((unused, noinline)) static void
commands_expect(commands_t *commands, const char *line, const char *expected)
{
    const kv_slice_t reply = commands_say(commands, line);
    if (reply.size != strlen(expected) ||
        (reply.size > 0 && memcmp(reply.data, expected, reply.size) != 0)) {
        fail_msg("%s\n answered %.*s\n instead of %s", line, (int)reply.size, reply.data, expected);
    }
}

/* One exchange after the other, in a database of its own. */
static inline void commands_talk(const exchange_t *exchanges, size_t count)
{
    commands_t commands;
    commands_open(&commands);
    for (size_t i = 0; i < count; i++) {
        commands_expect(&commands, exchanges[i].command, exchanges[i].reply);
    }
    commands_close(&commands);
}

#define TALK(...)                                                           \
    do {                                                                    \
        static const exchange_t exchanges[] = {__VA_ARGS__};                \
        commands_talk(exchanges, sizeof(exchanges) / sizeof(exchanges[0])); \
    } while (0)

#endif
