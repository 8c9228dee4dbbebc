/* SPDX-License-Identifier: MIT */
/*
 * Every request's way to its command: find the row, check arity and memory, run, count. Commands
 * may therefore rely on their arity and need no counters of their own. Error texts are those of
 * Redis 7.0, because clients match on them.
 */
#include <stdio.h>
#include <string.h>

#include "os/os.h"
#include "server/arguments.h"
#include "server/commands.h"
#include "server/errors.h"
#include "server/server.h"
#include "server/submit.h"

#define QUOTED_BYTES_MAX 128

static void reject(kvi_request_t *request, const kvi_command_t *command)
{
    if (command != NULL) {
        request->server->command_stats[kvi_command_number(command)].rejected++;
    }
}

/* How many bytes of an argument an error shows: up to the limit and to the first 0. */
static int shown(kv_slice_t argument, size_t limit)
{
    return (int)strnlen(argument.data, argument.size < limit ? argument.size : limit);
}

/* The words of a request of HTTP that no command may be called. What follows them was written by a
 * web page, which may send anything to the machine of who looks at it. */
static bool is_http(kv_slice_t name)
{
    return kvi_argument_is(name, "post") || kvi_argument_is(name, "host:");
}

static void answer_unknown(kvi_request_t *request)
{
    const kv_slice_t name = request->argv[0];
    if (is_http(name)) {
        kvi_reply_error(request->reply, "ERR this is no server of HTTP");
        request->client->closing = true;
        return;
    }
    char arguments[QUOTED_BYTES_MAX + 8];
    size_t used = 0;
    for (size_t i = 1; i < request->argc && used < QUOTED_BYTES_MAX; i++) {
        const kv_slice_t argument = request->argv[i];
        used += (size_t)snprintf(arguments + used, sizeof arguments - used, "'%.*s' ",
                                 shown(argument, QUOTED_BYTES_MAX - used), argument.data);
    }
    arguments[used] = '\0';
    kvi_reply_error(request->reply, "ERR unknown command '%.*s', with args beginning with: %s",
                    shown(name, QUOTED_BYTES_MAX), name.data, arguments);
}

static void answer_unknown_sub(kvi_request_t *request, const kvi_command_t *container)
{
    char upper[KVI_COMMAND_NAME_BYTES_MAX];
    size_t length = 0;
    for (; container->name[length] != '\0'; length++) {
        const char byte = container->name[length];
        upper[length] = byte >= 'a' && byte <= 'z' ? (char)(byte - 'a' + 'A') : byte;
    }
    upper[length] = '\0';
    const kv_slice_t name = request->argv[1];
    kvi_reply_error(request->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                    shown(name, QUOTED_BYTES_MAX), name.data, upper);
}

/* The row that is to run, or NULL with an error answered. */
static const kvi_command_t *resolve(kvi_request_t *request, const kvi_command_t *command)
{
    const kvi_command_table_t *const table = &request->server->commands;
    if (command == NULL) {
        answer_unknown(request);
        return NULL;
    }
    if (request->argc < 2 || !table->container[kvi_command_number(command)]) {
        return command;
    }
    const kvi_command_t *const sub = kvi_command_table_find_sub(table, command, request->argv[1]);
    if (sub == NULL) {
        reject(request, command);
        answer_unknown_sub(request, command);
    }
    return sub;
}

static bool arity_fits(const kvi_command_t *command, size_t argc)
{
    return command->arity >= 0 ? argc == (size_t)command->arity : argc >= (size_t)-command->arity;
}

/* Whether a write that finds memory short makes room for itself. */
static bool may_evict(const kvi_request_t *request)
{
    kvi_attributes_t attributes = {.eviction = KVI_EVICT_DEFAULT};
    if (request->keyspace != NULL) {
        kvi_keyspace_attributes(request->keyspace, &attributes);
    }
    const kvi_eviction_t eviction = attributes.eviction == KVI_EVICT_DEFAULT
                                        ? kvi_db_eviction(request->db)
                                        : attributes.eviction;
    return eviction != KVI_EVICT_NONE;
}

/* Whether memory is short for a command that needs some; EXEC stands for what it has queued. */
static bool lacks_memory(const kvi_request_t *request, const kvi_command_t *command)
{
    const kvi_transaction_t *const transaction = request->client->transaction;
    unsigned flags = command->flags;
    if (transaction != NULL) {
        const bool runs_now = (flags & KVI_CMD_NO_QUEUE) != 0;
        flags = !runs_now                      ? KVI_CMD_DENY_OOM
                : command->run == kvi_cmd_exec ? transaction->flags
                                               : flags;
    }
    return (flags & KVI_CMD_DENY_OOM) != 0 && !may_evict(request) &&
           kvi_db_memory_used(request->db) >= kvi_db_memory_limit(request->db);
}

static bool is_write(const kvi_request_t *request, const kvi_command_t *command)
{
    const kvi_transaction_t *const transaction = request->client->transaction;
    const bool exec = transaction != NULL && command->run == kvi_cmd_exec;
    return ((exec ? transaction->flags : command->flags) & KVI_CMD_WRITE) != 0;
}

/* The gates that are shut; true if the command may pass, else an error has been answered. */
static bool pass_gates(kvi_request_t *request, const kvi_command_t *command)
{
    const unsigned gates = request->server->gates;
    if ((gates & KVI_GATE_LOADING) != 0 && (command->flags & KVI_CMD_LOADING) == 0) {
        kvi_reply_error(request->reply, "%s", kvi_error_loading);
        return false;
    }
    if ((gates & KVI_GATE_MEMORY) != 0 && lacks_memory(request, command)) {
        kvi_reply_error(request->reply, "%s", kvi_error_oom);
        return false;
    }
    if ((gates & KVI_GATE_LOG) != 0 && is_write(request, command)) {
        kvi_request_fail(request, KV_READ_ONLY);
        return false;
    }
    return true;
}

/* Whether the keyspace that the client had selected is gone; an error has been answered then. */
static bool lacks_keyspace(kvi_request_t *request, const kvi_command_t *command)
{
    const bool lacks = request->keyspace == NULL &&
                       (command->flags & (KVI_CMD_WRITE | KVI_CMD_READONLY)) != 0 &&
                       command->run != kvi_cmd_flushall;
    if (lacks) {
        kvi_reply_error(request->reply, "%s", kvi_error_no_keyspace);
    }
    return lacks;
}

/* Whether the row may run now; else an error has been answered. */
static bool admit(kvi_request_t *request, const kvi_command_t *command)
{
    if (!arity_fits(command, request->argc)) {
        kvi_reply_error(request->reply, kvi_error_arity_of, command->name);
    } else if ((request->server->gates == 0 || pass_gates(request, command)) &&
               !lacks_keyspace(request, command)) {
        return true;
    }
    reject(request, command);
    return false;
}

static void run(kvi_request_t *request, const kvi_command_t *command)
{
    kvi_command_stats_t *const stats = &request->server->command_stats[kvi_command_number(command)];
    if (stats->calls++ % KVI_STATS_TIMED != 0) {
        command->run(request);
        return;
    }
    const uint64_t begin = kvi_os_monotonic_ns();
    command->run(request);
    stats->timed_ns += kvi_os_monotonic_ns() - begin;
    stats->timed_calls++;
}

/* CLIENT REPLY SKIP mutes the one request behind it. */
static void step_reply_mode(kvi_client_t *client)
{
    if (client->reply_mode == KVI_REPLY_SKIP_NEXT) {
        client->reply_mode = KVI_REPLY_SKIP;
        client->reply.muted = true;
    } else if (client->reply_mode == KVI_REPLY_SKIP) {
        client->reply_mode = KVI_REPLY_ON;
        client->reply.muted = false;
    }
}

static void count_error(const kvi_request_t *request, size_t begin)
{
    const kvi_reply_t *const reply = request->reply;
    kvi_stats_error(&request->server->stats, reply->bytes + begin + 1, reply->size - begin - 1);
}

/* Inline, because nearly every request comes through here. */
static inline void call(kvi_request_t *request, const kvi_command_t *command, size_t begin)
{
    const kvi_reply_t *const reply = request->reply;
    run(request, command);
    if (reply->size > begin && reply->bytes[begin] == '-') {
        request->server->command_stats[kvi_command_number(command)].failed++;
        count_error(request, begin);
    }
}

void kvi_command_call(kvi_request_t *request, const kvi_command_t *command)
{
    const size_t begin = request->reply->size;
    if (lacks_keyspace(request, command)) {
        count_error(request, begin);
    } else {
        call(request, command, begin);
    }
}

/* EXEC that is refused itself ends the transaction, and says why. */
static void abort_exec(kvi_request_t *request, size_t begin)
{
    kvi_reply_t *const reply = request->reply;
    char error[KVI_STATS_ERROR_BYTES * 16];
    const size_t size = reply->size - begin - 3; /* without '-' and the line's end */
    (void)snprintf(error, sizeof error, "%.*s", (int)size, reply->bytes + begin + 1);
    const char *const reason = strncmp(error, "ERR ", 4) == 0 ? error + 4 : error;
    kvi_reply_truncate(reply, begin);
    kvi_reply_error(reply, "EXECABORT Transaction discarded because of: %s", reason);
    kvi_transaction_discard(request->client);
}

/* A command that was not found or not admitted: its error counts, and its transaction is lost. */
static void refuse(kvi_request_t *request, const kvi_command_t *command, size_t begin)
{
    kvi_client_t *const client = request->client;
    kvi_reply_t *const reply = request->reply;
    if (client->transaction != NULL) {
        client->transaction->broken = true;
    }
    if (command != NULL && command->run == kvi_cmd_exec && reply->size > begin) {
        abort_exec(request, begin);
    }
    if (reply->size > begin && reply->bytes[begin] == '-') {
        count_error(request, begin);
    }
}

void kvi_command_dispatch_row(kvi_request_t *request, const kvi_command_t *row)
{
    kvi_server_t *const server = request->server;
    kvi_client_t *const client = request->client;
    const size_t begin = request->reply->size;
    server->stats.commands++;
    client->commands++;
    client->active_ms = request->now_ms;
    const kvi_command_t *const command = resolve(request, row);
    if (command == NULL) {
        refuse(request, NULL, begin);
    } else {
        client->command = command;
        if (!admit(request, command)) {
            refuse(request, command, begin);
        } else if (client->transaction != NULL && (command->flags & KVI_CMD_NO_QUEUE) == 0) {
            kvi_transaction_queue(request, command);
        } else {
            call(request, command, begin);
        }
    }
    if (client->reply_mode > KVI_REPLY_OFF) {
        step_reply_mode(client);
    }
}

void kvi_command_dispatch(kvi_request_t *request)
{
    kvi_command_dispatch_row(request,
                             kvi_command_table_find(&request->server->commands, request->argv[0]));
}
