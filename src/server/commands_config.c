/* SPDX-License-Identifier: MIT */
/* CONFIG: settings while the server runs. The rows are in config.def. */
#include <string.h>

#include "server/arguments.h"
#include "server/commands.h"
#include "server/server.h"

static const char *const config_help[] = {
    "GET <pattern> [<pattern> ...]",
    "    Return the settings whose names match, and their values.",
    "SET <name> <value> [<name> <value> ...]",
    "    Change settings: all of them or, if one cannot be, none.",
    "RESETSTAT",
    "    Set the counters that INFO reports to zero.",
};

void kvi_cmd_config_help(kvi_request_t *request)
{
    kvi_reply_help(request->reply, "CONFIG", config_help,
                   sizeof config_help / sizeof config_help[0]);
}

static bool is_asked_for(const kvi_request_t *request, const kvi_config_row_t *row)
{
    const kv_slice_t name = {row->name, strlen(row->name)};
    for (size_t i = 2; i < request->argc; i++) {
        if (kvi_glob_matches(request->argv[i], name, true)) {
            return (row->flags & KVI_CONFIG_ABSENT) == 0;
        }
    }
    return false;
}

void kvi_cmd_config_get(kvi_request_t *request)
{
    const kvi_config_row_t *row;
    size_t count = 0;
    for (size_t i = 0; (row = kvi_config_at(i)) != NULL; i++) {
        count += is_asked_for(request, row) ? 1 : 0;
    }
    kvi_reply_map(request->reply, count);
    for (size_t i = 0; (row = kvi_config_at(i)) != NULL; i++) {
        if (is_asked_for(request, row)) {
            char buffer[KVI_CONFIG_TEXT_BYTES];
            kvi_reply_bulk_string(request->reply, row->name);
            kvi_reply_bulk_string(request->reply,
                                  kvi_config_get(&request->server->config, row, buffer));
        }
    }
}

static void answer_failure(kvi_request_t *request, const kvi_config_row_t *row, const char *reason)
{
    kvi_reply_error(request->reply,
                    "ERR CONFIG SET failed (possibly related to argument '%s') - %s", row->name,
                    reason);
}

/* Whether the row named by this argument may be set at all, and is named once. */
static bool may_set(kvi_request_t *request, size_t at)
{
    const kv_slice_t name = request->argv[at];
    const kvi_config_row_t *const row = kvi_config_find(name);
    if (row == NULL || (row->flags & KVI_CONFIG_ABSENT) != 0) {
        kvi_reply_error(request->reply,
                        "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                        (int)(name.size < 128 ? name.size : 128), name.data);
        return false;
    }
    for (size_t i = 2; i < at; i += 2) {
        if (kvi_config_find(request->argv[i]) == row) {
            answer_failure(request, row, "duplicate parameter");
            return false;
        }
    }
    char buffer[KVI_CONFIG_TEXT_BYTES];
    const char *const present = kvi_config_get(&request->server->config, row, buffer);
    const bool changes = !kvi_argument_is(request->argv[at + 1], present);
    if ((row->flags & KVI_CONFIG_STARTUP) != 0 && changes) {
        answer_failure(request, row, "can't set immutable config");
        return false;
    }
    return true;
}

static bool is_unchanged(const kvi_request_t *request, const kvi_config_t *config,
                         const kvi_config_row_t *row)
{
    char buffers[2][KVI_CONFIG_TEXT_BYTES];
    return strcmp(kvi_config_get(config, row, buffers[0]),
                  kvi_config_get(&request->server->config, row, buffers[1])) == 0;
}

static bool set_all(kvi_request_t *request, kvi_config_t *config)
{
    for (size_t i = 2; i < request->argc; i += 2) {
        const kvi_config_row_t *const row = kvi_config_find(request->argv[i]);
        char reason[KVI_CONFIG_TEXT_BYTES];
        const kv_status_t status = kvi_config_set(config, row, request->argv[i + 1], reason);
        if (status != KV_OK) {
            answer_failure(request, row, status == KV_NO_MEMORY ? "out of memory" : reason);
            return false;
        }
        if ((row->flags & KVI_CONFIG_CONSTANT) != 0 && !is_unchanged(request, config, row)) {
            answer_failure(request, row, "this version of kvserver knows no other value");
            return false;
        }
    }
    return true;
}

void kvi_cmd_config_set(kvi_request_t *request)
{
    kvi_server_t *const server = request->server;
    if (request->argc % 2 != 0) {
        kvi_reply_syntax_error(request->reply);
        return;
    }
    for (size_t i = 2; i < request->argc; i += 2) {
        if (!may_set(request, i)) {
            return;
        }
    }
    kvi_config_t changed;
    if (kvi_config_copy(&changed, &server->config) != KV_OK) {
        kvi_reply_error(request->reply, "ERR out of memory");
        return;
    }
    if (!set_all(request, &changed)) {
        kvi_config_close(&changed);
        return;
    }
    kvi_config_close(&server->config);
    server->config = changed;
    kvi_server_apply_config(server);
    kvi_reply_ok(request->reply);
}

void kvi_cmd_config_resetstat(kvi_request_t *request)
{
    kvi_server_t *const server = request->server;
    kvi_stats_reset(&server->stats);
    server->stats.expired_before = kvi_db_expired(request->db);
    server->stats.evicted_before = kvi_db_evicted(request->db);
    memset(server->command_stats, 0, server->commands.rows * sizeof server->command_stats[0]);
    kvi_reply_ok(request->reply);
}
