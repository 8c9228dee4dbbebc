/* SPDX-License-Identifier: MIT */
/* COMMAND: the rows of commands.def for clients that route keys by them, complete them or show
 * them. */
#include <string.h>

#include "server/arguments.h"
#include "server/commands.h"
#include "server/server.h"

static const char *const command_help[] = {
    "(no subcommand)",
    "    Return details about all commands.",
    "COUNT",
    "    Return the number of commands.",
    "LIST [FILTERBY <MODULE <name> | ACLCAT <category> | PATTERN <pattern>>]",
    "    Return the names of commands.",
    "INFO [<command-name> ...]",
    "    Return details about these commands, or about all.",
    "DOCS [<command-name> ...]",
    "    Return what these commands, or all, are for.",
    "GETKEYS <full-command>",
    "    Return the keys in a command.",
};

typedef struct flag_name {
    unsigned flag;
    const char *name;
} flag_name_t;

static const flag_name_t flag_names[] = {
    {KVI_CMD_WRITE, "write"}, {KVI_CMD_READONLY, "readonly"}, {KVI_CMD_DENY_OOM, "denyoom"},
    {KVI_CMD_ADMIN, "admin"}, {KVI_CMD_LOADING, "loading"},   {KVI_CMD_STALE, "stale"},
    {KVI_CMD_FAST, "fast"},   {KVI_CMD_NO_AUTH, "no_auth"},   {KVI_CMD_NO_MULTI, "no_multi"},
};

/* The categories of a row: at most two by its flags, one by its group, one by its speed. */
#define CATEGORIES_MAX 6

static size_t list_categories(const kvi_command_t *command, const char *categories[CATEGORIES_MAX])
{
    size_t count = 0;
    if ((command->flags & KVI_CMD_WRITE) != 0) {
        categories[count++] = "@write";
    }
    if ((command->flags & KVI_CMD_READONLY) != 0) {
        categories[count++] = "@read";
    }
    if (strcmp(command->group, "string") == 0) {
        categories[count++] = "@string";
    } else if (strcmp(command->group, "generic") == 0) {
        categories[count++] = "@keyspace";
    } else if (strcmp(command->group, "connection") == 0) {
        categories[count++] = "@connection";
    } else if (strcmp(command->group, "transactions") == 0) {
        categories[count++] = "@transaction";
    }
    if ((command->flags & KVI_CMD_ADMIN) != 0) {
        categories[count++] = "@admin";
        categories[count++] = "@dangerous";
    }
    categories[count++] = (command->flags & KVI_CMD_FAST) != 0 ? "@fast" : "@slow";
    return count;
}

static bool has_category(const kvi_command_t *command, kv_slice_t name)
{
    const char *categories[CATEGORIES_MAX];
    const size_t count = list_categories(command, categories);
    for (size_t i = 0; i < count; i++) {
        if (kvi_argument_is(name, categories[i] + 1)) {
            return true;
        }
    }
    return false;
}

static size_t count_subs(const kvi_command_t *container)
{
    size_t count = 0;
    const kvi_command_t *sub = NULL;
    while ((sub = kvi_command_next_sub(container, sub)) != NULL) {
        count++;
    }
    return count;
}

/* ---- INFO ---- */

static void reply_flags(kvi_reply_t *reply, const kvi_command_t *command)
{
    size_t count = 0;
    for (size_t i = 0; i < sizeof flag_names / sizeof flag_names[0]; i++) {
        count += (command->flags & flag_names[i].flag) != 0 ? 1 : 0;
    }
    kvi_reply_set(reply, count);
    for (size_t i = 0; i < sizeof flag_names / sizeof flag_names[0]; i++) {
        if ((command->flags & flag_names[i].flag) != 0) {
            kvi_reply_status(reply, flag_names[i].name);
        }
    }
}

/* One specification: keys from the first to the last in steps. */
static void reply_key_spec(kvi_reply_t *reply, const kvi_command_t *command)
{
    const bool write = (command->flags & KVI_CMD_WRITE) != 0;
    kvi_reply_map(reply, 3);
    kvi_reply_bulk_string(reply, "flags");
    kvi_reply_set(reply, 2);
    kvi_reply_status(reply, write ? "RW" : "RO");
    kvi_reply_status(reply, write ? "update" : "access");
    kvi_reply_bulk_string(reply, "begin_search");
    kvi_reply_map(reply, 2);
    kvi_reply_bulk_string(reply, "type");
    kvi_reply_bulk_string(reply, "index");
    kvi_reply_bulk_string(reply, "spec");
    kvi_reply_map(reply, 1);
    kvi_reply_bulk_string(reply, "index");
    kvi_reply_integer(reply, command->first_key);
    kvi_reply_bulk_string(reply, "find_keys");
    kvi_reply_map(reply, 2);
    kvi_reply_bulk_string(reply, "type");
    kvi_reply_bulk_string(reply, "range");
    kvi_reply_bulk_string(reply, "spec");
    kvi_reply_map(reply, 3);
    kvi_reply_bulk_string(reply, "lastkey");
    kvi_reply_integer(reply, command->last_key < 0 ? command->last_key
                                                   : command->last_key - command->first_key);
    kvi_reply_bulk_string(reply, "keystep");
    kvi_reply_integer(reply, command->key_step);
    kvi_reply_bulk_string(reply, "limit");
    kvi_reply_integer(reply, 0);
}

/* Everything but the subcommands, which would have subcommands themselves. */
static void reply_info_head(kvi_reply_t *reply, const kvi_command_t *command)
{
    kvi_reply_array(reply, 10);
    kvi_reply_bulk_string(reply, command->name);
    kvi_reply_integer(reply, command->arity);
    reply_flags(reply, command);
    kvi_reply_integer(reply, command->first_key);
    kvi_reply_integer(reply, command->last_key);
    kvi_reply_integer(reply, command->key_step);
    const char *categories[CATEGORIES_MAX];
    const size_t count = list_categories(command, categories);
    kvi_reply_set(reply, count);
    for (size_t i = 0; i < count; i++) {
        kvi_reply_status(reply, categories[i]);
    }
    kvi_reply_array(reply, 0); /* tips */
    kvi_reply_array(reply, command->first_key > 0 ? 1 : 0);
    if (command->first_key > 0) {
        reply_key_spec(reply, command);
    }
}

static void reply_info(kvi_reply_t *reply, const kvi_command_t *command)
{
    reply_info_head(reply, command);
    kvi_reply_array(reply, count_subs(command));
    const kvi_command_t *sub = NULL;
    while ((sub = kvi_command_next_sub(command, sub)) != NULL) {
        reply_info_head(reply, sub);
        kvi_reply_array(reply, 0);
    }
}

static void reply_all_infos(kvi_request_t *request)
{
    const kvi_command_t *command;
    kvi_reply_array(request->reply, request->server->commands.commands);
    for (size_t i = 0; (command = kvi_command_at(i)) != NULL; i++) {
        if (!kvi_command_is_sub(command)) {
            reply_info(request->reply, command);
        }
    }
}

void kvi_cmd_command(kvi_request_t *request)
{
    reply_all_infos(request);
}

/* "get" or "client|id". */
static const kvi_command_t *find_full(const kvi_server_t *server, kv_slice_t name)
{
    const char *const bar = memchr(name.data, '|', name.size);
    if (bar == NULL) {
        return kvi_command_table_find(&server->commands, name);
    }
    const size_t length = (size_t)(bar - name.data);
    const kvi_command_t *const container =
        kvi_command_table_find(&server->commands, (kv_slice_t){name.data, length});
    const kv_slice_t sub = {bar + 1, name.size - length - 1};
    return container != NULL ? kvi_command_table_find_sub(&server->commands, container, sub) : NULL;
}

void kvi_cmd_command_info(kvi_request_t *request)
{
    if (request->argc == 2) {
        reply_all_infos(request);
        return;
    }
    kvi_reply_array(request->reply, request->argc - 2);
    for (size_t i = 2; i < request->argc; i++) {
        const kvi_command_t *const command = find_full(request->server, request->argv[i]);
        if (command == NULL) {
            kvi_reply_null(request->reply);
        } else {
            reply_info(request->reply, command);
        }
    }
}

/* ---- DOCS ---- */

static void reply_pair(kvi_reply_t *reply, const char *name, const char *value)
{
    kvi_reply_bulk_string(reply, name);
    kvi_reply_bulk_string(reply, value);
}

/* Name and document of one row. The syntax stands as one argument whose name is all of it: that is
 * what redis-cli shows as its hint. */
static void reply_doc(kvi_reply_t *reply, const kvi_command_t *command)
{
    const size_t subs = count_subs(command);
    const bool arguments = command->arguments[0] != '\0';
    kvi_reply_bulk_string(reply, command->name);
    kvi_reply_map(reply, 3 + (arguments ? 1U : 0U) + (subs > 0 ? 1U : 0U));
    reply_pair(reply, "summary", command->summary);
    reply_pair(reply, "since", command->since);
    reply_pair(reply, "group", command->group);
    if (arguments) {
        kvi_reply_bulk_string(reply, "arguments");
        kvi_reply_array(reply, 1);
        kvi_reply_map(reply, 2);
        reply_pair(reply, "name", command->arguments);
        reply_pair(reply, "type", "string");
    }
    if (subs > 0) {
        kvi_reply_bulk_string(reply, "subcommands");
        kvi_reply_map(reply, subs);
    }
}

static void reply_docs(kvi_reply_t *reply, const kvi_command_t *command)
{
    reply_doc(reply, command);
    const kvi_command_t *sub = NULL;
    while ((sub = kvi_command_next_sub(command, sub)) != NULL) {
        reply_doc(reply, sub);
    }
}

static void reply_all_docs(kvi_request_t *request)
{
    const kvi_command_t *command;
    kvi_reply_map(request->reply, request->server->commands.commands);
    for (size_t i = 0; (command = kvi_command_at(i)) != NULL; i++) {
        if (!kvi_command_is_sub(command)) {
            reply_docs(request->reply, command);
        }
    }
}

void kvi_cmd_command_docs(kvi_request_t *request)
{
    if (request->argc == 2) {
        reply_all_docs(request);
        return;
    }
    size_t found = 0;
    for (size_t i = 2; i < request->argc; i++) {
        found += find_full(request->server, request->argv[i]) != NULL ? 1 : 0;
    }
    kvi_reply_map(request->reply, found);
    for (size_t i = 2; i < request->argc; i++) {
        const kvi_command_t *const command = find_full(request->server, request->argv[i]);
        if (command != NULL) {
            reply_docs(request->reply, command);
        }
    }
}

/* ---- COUNT, LIST, GETKEYS, HELP ---- */

void kvi_cmd_command_count(kvi_request_t *request)
{
    kvi_reply_integer(request->reply, (int64_t)request->server->commands.commands);
}

typedef enum list_filter { LIST_ALL, LIST_MODULE, LIST_CATEGORY, LIST_PATTERN } list_filter_t;

static bool is_listed(const kvi_command_t *command, list_filter_t filter, kv_slice_t value)
{
    switch (filter) {
    case LIST_ALL:
        return !kvi_command_is_sub(command);
    case LIST_MODULE:
        return false;
    case LIST_CATEGORY:
        return has_category(command, value);
    case LIST_PATTERN:
        break;
    }
    return kvi_glob_matches(value, (kv_slice_t){command->name, strlen(command->name)}, true);
}

void kvi_cmd_command_list(kvi_request_t *request)
{
    static const char *const names[] = {"", "module", "aclcat", "pattern"};
    list_filter_t filter = LIST_ALL;
    kv_slice_t value = {NULL, 0};
    if (request->argc == 5 && kvi_argument_is(request->argv[2], "filterby")) {
        for (size_t i = LIST_MODULE; i <= LIST_PATTERN; i++) {
            filter = kvi_argument_is(request->argv[3], names[i]) ? (list_filter_t)i : filter;
        }
        value = request->argv[4];
    }
    if (request->argc != 2 && filter == LIST_ALL) {
        kvi_reply_syntax_error(request->reply);
        return;
    }
    const kvi_command_t *command;
    size_t count = 0;
    for (size_t i = 0; (command = kvi_command_at(i)) != NULL; i++) {
        count += is_listed(command, filter, value) ? 1 : 0;
    }
    kvi_reply_array(request->reply, count);
    for (size_t i = 0; (command = kvi_command_at(i)) != NULL; i++) {
        if (is_listed(command, filter, value)) {
            kvi_reply_bulk_string(request->reply, command->name);
        }
    }
}

void kvi_cmd_command_getkeys(kvi_request_t *request)
{
    const kvi_server_t *const server = request->server;
    const size_t argc = request->argc - 2;
    const kv_slice_t *const argv = request->argv + 2;
    const kvi_command_t *command = kvi_command_table_find(&server->commands, argv[0]);
    if (command != NULL && argc > 1 && server->commands.container[kvi_command_number(command)]) {
        command = kvi_command_table_find_sub(&server->commands, command, argv[1]);
    }
    if (command == NULL) {
        kvi_reply_error(request->reply, "ERR Invalid command specified");
        return;
    }
    if (command->first_key <= 0) {
        kvi_reply_error(request->reply, "ERR The command has no key arguments");
        return;
    }
    const size_t needed = (size_t)(command->arity < 0 ? -command->arity : command->arity);
    if (argc < needed || (command->arity > 0 && argc != needed)) {
        kvi_reply_error(request->reply, "ERR Invalid number of arguments specified for command");
        return;
    }
    const size_t first = (size_t)command->first_key;
    const size_t step = (size_t)command->key_step;
    const size_t last =
        command->last_key < 0 ? argc - (size_t)-command->last_key : (size_t)command->last_key;
    kvi_reply_array(request->reply, last >= first ? (last - first) / step + 1 : 0);
    for (size_t i = first; i <= last; i += step) {
        kvi_reply_bulk(request->reply, argv[i]);
    }
}

void kvi_cmd_command_help(kvi_request_t *request)
{
    kvi_reply_help(request->reply, "COMMAND", command_help,
                   sizeof command_help / sizeof command_help[0]);
}
