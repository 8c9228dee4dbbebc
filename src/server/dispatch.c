/* SPDX-License-Identifier: MIT */
/*
 * Every request's way to its command: find the row, check arity and memory, run, count. Commands
 * may therefore rely on their arity and need no counters of their own. Error texts are those of
 * Redis 7.0, because clients match on them.
 */
#include <stdio.h>
#include <string.h>

#include "os/os.h"
#include "server/command.h"
#include "server/server.h"

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

static void answer_unknown(kvi_request_t *request)
{
    const kv_slice_t name = request->argv[0];
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

/* Whether the row may run now; else an error has been answered. */
static bool admit(kvi_request_t *request, const kvi_command_t *command)
{
    if (!arity_fits(command, request->argc)) {
        reject(request, command);
        kvi_reply_error(request->reply, "ERR wrong number of arguments for '%s' command",
                        command->name);
        return false;
    }
    if ((command->flags & KVI_CMD_DENY_OOM) != 0) {
        const size_t limit = kvi_db_memory_limit(request->db);
        if (limit != 0 && kvi_db_memory_used(request->db) >= limit) {
            reject(request, command);
            kvi_reply_error(request->reply,
                            "OOM command not allowed when used memory > 'maxmemory'.");
            return false;
        }
    }
    return true;
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

void kvi_command_dispatch_row(kvi_request_t *request, const kvi_command_t *row)
{
    kvi_server_t *const server = request->server;
    kvi_client_t *const client = request->client;
    kvi_reply_t *const reply = request->reply;
    const size_t begin = reply->size;
    server->stats.commands++;
    client->commands++;
    client->active_ms = request->now_ms;
    const kvi_command_t *const command = resolve(request, row);
    if (command != NULL) {
        client->command = command;
        if (admit(request, command)) {
            run(request, command);
            if (reply->size > begin && reply->bytes[begin] == '-') {
                server->command_stats[kvi_command_number(command)].failed++;
            }
        }
    }
    if (reply->size > begin && reply->bytes[begin] == '-') {
        kvi_stats_error(&server->stats, reply->bytes + begin + 1, reply->size - begin - 1);
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
