/* SPDX-License-Identifier: MIT */
/*
 * The executor: everything that arrived in a turn, from all connections, in groups whose keys are
 * looked up together.
 *
 *   ready:   A ──► B ──► C ──► D                         parse in this order
 *   slots:  [A1 A2 A3 B1 C1 C2 ... ] 16 of them          prefetch all first keys, then run each
 *   write:   A, B                                        once their last command has run
 *
 * A slot takes over the parser's list of arguments and leaves its own old one, so nothing is copied
 * or allocated.
 */
#include <string.h>

#include <concordkv/kv_memory.h>

#include "os/os.h"
#include "server/loop_int.h"

/* What a turn gives to a snapshot that is being made. */
#define BUSY_STEP_NS UINT64_C(50000)
#define IDLE_STEP_NS UINT64_C(200000)
/* What an argument takes in a batch besides its bytes, at most. */
#define BATCH_BYTES_AN_ARGUMENT ((size_t)64)

/* ---- a group ---- */

/* Brings in the first keys of these slots, which are in one keyspace, and notes their aims. */
static void prefetch_slots(kvi_db_t *db, size_t database, size_t count, kvi_slot_t *const *slots)
{
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, database);
    kv_slice_t keys[KVI_TURN_GROUP];
    uint64_t aims[KVI_TURN_GROUP];
    /* One key alone gains nothing: its command is next. */
    if (keyspace == NULL || count < 2) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        keys[i] = slots[i]->argv[slots[i]->command->first_key];
    }
    kvi_keyspace_prefetch_aims(keyspace, count, keys, aims);
    for (size_t i = 0; i < count; i++) {
        slots[i]->aim = slots[i]->command->first_key == 1 ? aims[i] : 0;
    }
}

static void prefetch_keys(kvi_loop_t *loop)
{
    kvi_slot_t *slots[KVI_TURN_GROUP];
    size_t count = 0;
    size_t database = 0;
    kvi_db_t *const db = loop->server->db;
    for (size_t i = 0; i < loop->slots_used; i++) {
        kvi_slot_t *const slot = &loop->slots[i];
        slot->aim = 0;
        if (slot->command == NULL || slot->command->first_key <= 0 ||
            (size_t)slot->command->first_key >= slot->argc) {
            continue;
        }
        const size_t selected = slot->connection->client.database;
        if (selected != database && count > 0) {
            prefetch_slots(db, database, count, slots);
            count = 0;
        }
        database = selected;
        slots[count++] = slot;
    }
    prefetch_slots(db, database, count, slots);
}

/* Whether the slot's command is a write that the log has no room for at the moment. */
static bool log_is_busy(const kvi_slot_t *slot)
{
    const kvi_client_t *const client = &slot->connection->client;
    const kvi_command_t *const command = slot->command;
    const kvi_transaction_t *const transaction = client->transaction;
    if (command == NULL) {
        return false;
    }
    size_t bytes = slot->argc * BATCH_BYTES_AN_ARGUMENT;
    unsigned flags = command->flags;
    if (transaction != NULL) {
        flags = (flags & KVI_CMD_NO_QUEUE) != 0 ? transaction->flags : 0;
        bytes = transaction->bytes + transaction->count * BATCH_BYTES_AN_ARGUMENT;
    }
    if ((flags & KVI_CMD_WRITE) == 0) {
        return false;
    }
    for (size_t i = 1; i < slot->argc; i++) {
        bytes += slot->argv[i].size;
    }
    kvi_commit_t *const commit = client->server->commit;
    return commit->ops->reserve(commit, bytes) == KV_BUSY;
}

/* The command comes again, with all behind it, when the log has caught up. */
static void stall(const kvi_slot_t *slot)
{
    kvi_connection_t *const connection = slot->connection;
    connection->stalled = true;
    connection->loop->stalled++;
    connection->input_used = slot->begin;
    kvi_parser_rewind(&connection->parser);
}

/* logged: the commit log may be busy. */
static void run_slot(kvi_loop_t *loop, kvi_slot_t *slot, bool logged)
{
    kvi_connection_t *const connection = slot->connection;
    kvi_client_t *const client = &connection->client;
    if (client->closing || client->killed || connection->stalled) {
        return;
    }
    if (logged && log_is_busy(slot)) {
        stall(slot);
        return;
    }
    kvi_connection_take_reply(connection);
    kvi_server_t *const server = loop->server;
    kvi_request_t request = {
        .server = server,
        .client = client,
        .db = server->db,
        .keyspace = kvi_db_keyspace(server->db, client->database),
        .now_ms = loop->now_ms,
        .argc = slot->argc,
        .argv = slot->argv,
        .reply = &client->reply,
        .aim = slot->aim,
    };
    kvi_command_dispatch_row(&request, slot->command);
    if (client->reply.failed || client->reply.size > (size_t)server->config.output_limit) {
        server->stats.output_limit_closes++;
        client->killed = true;
        kvi_reply_close(&client->reply);
    }
}

static void trim_slot(kvi_slot_t *slot)
{
    if (slot->argv_capacity > KVI_SPARE_ARGUMENTS_MAX) {
        kv_store_free(slot->argv);
        slot->argv = NULL;
        slot->argv_capacity = 0;
    }
}

/* Writes what connections before `end` have been answered, unless that has to wait for the log. */
static void finish_connections(kvi_loop_t *loop, const kvi_connection_t *end)
{
    while (loop->unflushed != end && !loop->defers) {
        kvi_connection_t *const connection = loop->unflushed;
        loop->unflushed = connection->next_ready;
        connection->ready = false;
        kvi_connection_finish_turn(connection);
    }
}

/* Runs the group; afterwards no connection but `parsed` has commands of this turn to come. */
static void run_group(kvi_loop_t *loop, const kvi_connection_t *parsed)
{
    const bool logged = loop->server->commit->keeps;
    prefetch_keys(loop);
    for (size_t i = 0; i < loop->slots_used; i++) {
        run_slot(loop, &loop->slots[i], logged);
        trim_slot(&loop->slots[i]);
    }
    loop->slots_used = 0;
    finish_connections(loop, parsed);
}

/* ---- parsing ---- */

/* The row of a name. Commands of a turn are mostly the same one, so the last name is tried first.
 */
static const kvi_command_t *find_command(kvi_loop_t *loop, kv_slice_t name)
{
    if (name.size == loop->last_name_size && memcmp(name.data, loop->last_name, name.size) == 0) {
        return loop->last_command;
    }
    const kvi_command_t *const command = kvi_command_table_find(&loop->server->commands, name);
    if (name.size <= sizeof loop->last_name) {
        memcpy(loop->last_name, name.data, name.size);
        loop->last_name_size = name.size;
        loop->last_command = command;
    }
    return command;
}

static void fill_slot(kvi_loop_t *loop, kvi_connection_t *connection, size_t begin)
{
    kvi_slot_t *const slot = &loop->slots[loop->slots_used++];
    kvi_parser_t *const parser = &connection->parser;
    const kvi_slot_t old = *slot;
    slot->connection = connection;
    slot->begin = begin;
    slot->argv = parser->argv;
    slot->argc = parser->argc;
    slot->argv_capacity = parser->argv_capacity;
    parser->argv = old.argv;
    parser->argv_capacity = old.argv_capacity;
    if (parser->inline_copy != NULL) {
        slot->inline_copy = parser->inline_copy;
        slot->inline_capacity = parser->inline_capacity;
        parser->inline_copy = old.inline_copy;
        parser->inline_capacity = old.inline_capacity;
    }
    slot->command = find_command(loop, slot->argv[0]);
}

static void answer_protocol_error(kvi_connection_t *connection)
{
    kvi_loop_t *const loop = connection->loop;
    kvi_client_t *const client = &connection->client;
    run_group(loop, connection);
    if (connection->stalled) {
        return; /* found again when it is its turn */
    }
    loop->server->stats.protocol_errors++;
    if (!client->killed && !client->closing) {
        client->reply.muted = false;
        kvi_connection_take_reply(connection);
        kvi_reply_error(&client->reply, "ERR %s", connection->parser.error);
        client->closing = true;
    }
}

/* Parses one connection's bytes into slots, running groups as they fill. */
static void parse_connection(kvi_loop_t *loop, kvi_connection_t *connection)
{
    const kvi_client_t *const client = &connection->client;
    const size_t pause = (size_t)loop->server->config.output_pause;
    if (connection->wait_lsn != 0) {
        return;
    }
    connection->parser.bulk_bytes_max = (size_t)loop->server->config.bulk_bytes_max;
    connection->blocked = false;
    if (connection->stalled) {
        connection->stalled = false;
        loop->stalled--;
    }
    while (connection->input_used < connection->input_size && !client->closing && !client->killed &&
           !connection->stalled) {
        if (kvi_connection_backlog(connection) > pause) {
            connection->blocked = true;
            return;
        }
        size_t used;
        const kvi_parse_t result =
            kvi_parser_next(&connection->parser, connection->input + connection->input_used,
                            connection->input_size - connection->input_used, &used);
        connection->input_used += used;
        if (result == KVI_PARSE_MORE) {
            return;
        }
        if (result == KVI_PARSE_ERROR) {
            answer_protocol_error(connection);
            return;
        }
        if (result == KVI_PARSE_COMMAND) {
            fill_slot(loop, connection, connection->input_used - used);
            if (loop->slots_used == KVI_TURN_GROUP) {
                run_group(loop, connection);
            }
        }
    }
}

/* Everything that has arrived: parsed, run, and written or held. */
static void run_turn(kvi_loop_t *loop, kvi_connection_t *first)
{
    kvi_server_t *const server = loop->server;
    loop->ready = (kvi_ready_list_t){NULL, NULL};
    loop->now_ms = kvi_server_now(server);
    server->stats.turns++;
    loop->unflushed = first;
    loop->defers = loop->server->wait_lsn != 0 || server->sync_always;
    for (kvi_connection_t *connection = first; connection != NULL;) {
        parse_connection(loop, connection);
        connection = connection->next_ready;
    }
    run_group(loop, NULL);
    kvi_server_end_turn(loop->server);
    if (loop->defers) {
        for (kvi_connection_t *connection = loop->unflushed; connection != NULL;) {
            if (loop->server->wait_lsn != 0) {
                kvi_connection_hold(connection, loop->server->wait_lsn);
            }
            connection = connection->next_ready;
        }
        loop->defers = false;
        finish_connections(loop, NULL);
    }
    loop->input_used = 0;
    kvi_loop_collect_killed(loop);
}

void kvi_loop_turn(kvi_loop_t *loop)
{
    kvi_connection_t *const first = loop->ready.first;
    if (first != NULL) {
        run_turn(loop, first);
    }
    const bool more = kvi_loop_step_snapshot(loop, first != NULL ? BUSY_STEP_NS : IDLE_STEP_NS);
    if (more) {
        kvi_loop_turn_soon(loop);
    } else if (loop->ready.first == NULL) {
        (void)uv_idle_stop(&loop->idle);
    }
    if (loop->server->shutdown_asked) {
        uv_stop(&loop->uv);
    }
}

/* While an idle handle is active, libuv does not wait for events. */
static void do_not_wait(uv_idle_t *idle)
{
    (void)idle;
}

void kvi_loop_turn_soon(kvi_loop_t *loop)
{
    (void)uv_idle_start(&loop->idle, do_not_wait);
}

void kvi_loop_collect_killed(kvi_loop_t *loop)
{
    kvi_server_t *const server = loop->server;
    if (server->kills == 0) {
        return;
    }
    server->kills = 0;
    for (kvi_client_t *client = server->first_client; client != NULL; client = client->next) {
        kvi_connection_t *const connection = (kvi_connection_t *)client;
        if (client->killed && !uv_is_closing((uv_handle_t *)&connection->tcp)) {
            kvi_connection_mark_ready(connection);
            kvi_loop_turn_soon(loop);
        }
    }
}
