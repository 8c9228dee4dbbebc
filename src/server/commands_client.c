/* SPDX-License-Identifier: MIT */
/* CLIENT: who is connected, under what name, and who has to go. */
#include <inttypes.h>
#include <string.h>

#include "base/decimal.h"
#include "resp/text.h"
#include "server/arguments.h"
#include "server/commands.h"
#include "server/server.h"

static const char *const client_help[] = {
    "GETNAME",
    "    Return the name of this connection.",
    "ID",
    "    Return the number of this connection.",
    "INFO",
    "    Describe this connection.",
    "KILL <ip:port>",
    "    Close the connection from this address.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Close every connection that fits all options: ID, ADDR, LADDR, TYPE, USER, SKIPME.",
    "LIST [TYPE <type> | ID <id> [<id> ...]]",
    "    Describe the connections.",
    "NO-EVICT (ON|OFF)",
    "    Accepted; clients are never evicted.",
    "NO-TOUCH (ON|OFF)",
    "    Whether reads of this connection leave the access times of keys alone.",
    "REPLY (ON|OFF|SKIP)",
    "    Whether this connection gets replies.",
    "SETINFO <LIB-NAME|LIB-VER> <value>",
    "    Tell which client library this is.",
    "SETNAME <name>",
    "    Name this connection.",
};

void kvi_cmd_container(kvi_request_t *request)
{
    /* Only subcommands run: the dispatcher has refused everything else by its arity. */
    kvi_reply_syntax_error(request->reply);
}

void kvi_cmd_client_help(kvi_request_t *request)
{
    kvi_reply_help(request->reply, "CLIENT", client_help,
                   sizeof client_help / sizeof client_help[0]);
}

void kvi_cmd_client_id(kvi_request_t *request)
{
    kvi_reply_integer(request->reply, (int64_t)request->client->id);
}

void kvi_cmd_client_getname(kvi_request_t *request)
{
    if (request->client->name == NULL) {
        kvi_reply_null(request->reply);
    } else {
        kvi_reply_bulk_string(request->reply, request->client->name);
    }
}

void kvi_cmd_client_setname(kvi_request_t *request)
{
    if (kvi_client_set_text(&request->client->name, request->argv[2]) != KV_OK) {
        kvi_reply_error(request->reply,
                        "ERR Client names cannot contain spaces, newlines or special characters.");
        return;
    }
    kvi_reply_ok(request->reply);
}

/* Checked as Redis 7.2 does, and then forgotten: the lists of 7.0 have no field for it. */
void kvi_cmd_client_setinfo(kvi_request_t *request)
{
    const kv_slice_t option = request->argv[2];
    const bool name = kvi_argument_is(option, "lib-name");
    if (!name && !kvi_argument_is(option, "lib-ver")) {
        kvi_reply_error(request->reply, "ERR Unrecognized option '%.*s'",
                        (int)(option.size < 128 ? option.size : 128), option.data);
        return;
    }
    if (!kvi_client_is_text(request->argv[3])) {
        kvi_reply_error(request->reply,
                        "ERR %s cannot contain spaces, newlines or special characters.",
                        name ? "lib-name" : "lib-ver");
        return;
    }
    kvi_reply_ok(request->reply);
}

/* Reads ON or OFF; false with an error answered. */
static bool read_switch(kvi_request_t *request, bool *on)
{
    *on = kvi_argument_is(request->argv[2], "on");
    if (!*on && !kvi_argument_is(request->argv[2], "off")) {
        kvi_reply_syntax_error(request->reply);
        return false;
    }
    return true;
}

void kvi_cmd_client_no_evict(kvi_request_t *request)
{
    if (read_switch(request, &request->client->no_evict)) {
        kvi_reply_ok(request->reply);
    }
}

void kvi_cmd_client_no_touch(kvi_request_t *request)
{
    if (read_switch(request, &request->client->no_touch)) {
        kvi_reply_ok(request->reply);
    }
}

void kvi_cmd_client_reply(kvi_request_t *request)
{
    kvi_client_t *const client = request->client;
    const kv_slice_t mode = request->argv[2];
    if (kvi_argument_is(mode, "on")) {
        client->reply_mode = KVI_REPLY_ON;
        client->reply.muted = false;
        kvi_reply_ok(request->reply);
    } else if (kvi_argument_is(mode, "off")) {
        client->reply_mode = KVI_REPLY_OFF;
        client->reply.muted = true;
    } else if (kvi_argument_is(mode, "skip")) {
        if (client->reply_mode != KVI_REPLY_OFF) {
            client->reply_mode = KVI_REPLY_SKIP_NEXT;
        }
    } else {
        kvi_reply_syntax_error(request->reply);
    }
}

/* ---- descriptions ---- */

static const char *text_or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static void describe_client(kvi_text_t *text, const kvi_client_t *client, int64_t now_ms)
{
    const int64_t age = (now_ms - client->created_ms) / 1000;
    const int64_t idle = (now_ms - client->active_ms) / 1000;
    const size_t room = client->input_capacity > client->input_bytes
                            ? client->input_capacity - client->input_bytes
                            : 0;
    kvi_text_print(text,
                   "id=%" PRIu64 " addr=%s laddr=%s fd=%d name=%s age=%" PRId64 " idle=%" PRId64,
                   client->id, client->address, client->local_address, client->descriptor,
                   text_or_empty(client->name), age, idle);
    kvi_text_print(text, " flags=%s%s%s db=%zu sub=0 psub=0 ssub=0 multi=-1",
                   client->closing ? "c" : "", client->no_evict ? "e" : "",
                   client->no_touch                      ? "T"
                   : client->closing || client->no_evict ? ""
                                                         : "N",
                   client->database);
    kvi_text_print(text,
                   " qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=0 rbs=%zu rbp=%zu obl=%zu oll=0",
                   client->input_bytes, room, client->reply.capacity, client->reply.capacity,
                   client->reply.size);
    kvi_text_print(text, " omem=%zu tot-mem=%zu events=r cmd=%s user=default redir=-1 resp=%d\n",
                   client->output_bytes, client->input_capacity + client->reply.capacity,
                   client->command != NULL ? client->command->name : "NULL",
                   client->reply.protocol);
}

static void answer_text(kvi_request_t *request, kvi_text_t *text)
{
    if (text->failed) {
        kvi_reply_error(request->reply, "ERR out of memory");
    } else {
        kvi_reply_verbatim(request->reply, "txt", kvi_text_slice(text));
    }
    kvi_text_close(text);
}

void kvi_cmd_client_info(kvi_request_t *request)
{
    kvi_text_t text = {0};
    describe_client(&text, request->client, request->now_ms);
    answer_text(request, &text);
}

/* Every client here is a normal one; the other types are known but have no members. */
static bool read_type(kvi_request_t *request, kv_slice_t type, bool *normal)
{
    static const char *const others[] = {"master", "replica", "slave", "pubsub"};
    *normal = kvi_argument_is(type, "normal");
    bool known = *normal;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        known = known || kvi_argument_is(type, others[i]);
    }
    if (!known) {
        kvi_reply_error(request->reply, "ERR Unknown client type '%.*s'",
                        (int)(type.size < 128 ? type.size : 128), type.data);
    }
    return known;
}

static kvi_client_t *find_client(const kvi_server_t *server, uint64_t id)
{
    kvi_client_t *client = server->first_client;
    while (client != NULL && client->id != id) {
        client = client->next;
    }
    return client;
}

static bool list_by_id(kvi_request_t *request, kvi_text_t *text)
{
    for (size_t i = 3; i < request->argc; i++) {
        int64_t id;
        if (!kvi_argument_between(request, i, 1, INT64_MAX, "ERR Invalid client ID", &id)) {
            return false;
        }
        const kvi_client_t *const client = find_client(request->server, (uint64_t)id);
        if (client != NULL) {
            describe_client(text, client, request->now_ms);
        }
    }
    return true;
}

void kvi_cmd_client_list(kvi_request_t *request)
{
    kvi_text_t text = {0};
    bool good = true;
    bool all = request->argc == 2;
    if (request->argc > 3 && kvi_argument_is(request->argv[2], "id")) {
        good = list_by_id(request, &text);
    } else if (request->argc == 4 && kvi_argument_is(request->argv[2], "type")) {
        good = read_type(request, request->argv[3], &all);
    } else if (request->argc != 2) {
        kvi_reply_syntax_error(request->reply);
        good = false;
    }
    if (!good) {
        kvi_text_close(&text);
        return;
    }
    if (all) {
        const kvi_client_t *client = request->server->first_client;
        for (; client != NULL; client = client->next) {
            describe_client(&text, client, request->now_ms);
        }
    }
    answer_text(request, &text);
}

/* ---- KILL ---- */

typedef struct kill_filter {
    int64_t id; /* 0: any */
    kv_slice_t address;
    kv_slice_t local_address;
    bool nobody; /* a type or user that no client has */
    bool skip_me;
} kill_filter_t;

static bool read_skip_me(kvi_request_t *request, kv_slice_t value, kill_filter_t *filter)
{
    filter->skip_me = kvi_argument_is(value, "yes");
    if (!filter->skip_me && !kvi_argument_is(value, "no")) {
        kvi_reply_syntax_error(request->reply);
        return false;
    }
    return true;
}

static bool read_user(kvi_request_t *request, kv_slice_t user)
{
    if (!kvi_argument_is(user, "default")) {
        kvi_reply_error(request->reply, "ERR No such user '%.*s'",
                        (int)(user.size < 128 ? user.size : 128), user.data);
        return false;
    }
    return true;
}

static bool read_kill_option(kvi_request_t *request, size_t at, kill_filter_t *filter)
{
    const kv_slice_t option = request->argv[at];
    const kv_slice_t value = request->argv[at + 1];
    if (kvi_argument_is(option, "id")) {
        return kvi_argument_between(request, at + 1, 1, INT64_MAX,
                                    "ERR client-id should be greater than 0", &filter->id);
    }
    if (kvi_argument_is(option, "addr")) {
        filter->address = value;
        return true;
    }
    if (kvi_argument_is(option, "laddr")) {
        filter->local_address = value;
        return true;
    }
    if (kvi_argument_is(option, "type")) {
        bool normal;
        const bool known = read_type(request, value, &normal);
        filter->nobody = filter->nobody || !normal;
        return known;
    }
    if (kvi_argument_is(option, "user")) {
        return read_user(request, value);
    }
    if (kvi_argument_is(option, "skipme")) {
        return read_skip_me(request, value, filter);
    }
    kvi_reply_syntax_error(request->reply);
    return false;
}

static bool fits_address(kv_slice_t wanted, const char *address)
{
    return wanted.data == NULL ||
           (wanted.size == strlen(address) && memcmp(wanted.data, address, wanted.size) == 0);
}

static bool fits(const kill_filter_t *filter, const kvi_client_t *client)
{
    return !filter->nobody && (filter->id == 0 || (uint64_t)filter->id == client->id) &&
           fits_address(filter->address, client->address) &&
           fits_address(filter->local_address, client->local_address);
}

static int64_t kill_clients(kvi_request_t *request, const kill_filter_t *filter)
{
    kvi_server_t *const server = request->server;
    int64_t count = 0;
    for (kvi_client_t *client = server->first_client; client != NULL; client = client->next) {
        if (client->killed || !fits(filter, client)) {
            continue;
        }
        if (client != request->client) {
            client->killed = true;
            server->kills++;
            count++;
        } else if (!filter->skip_me) {
            /* It gets the answer to this request. */
            client->closing = true;
            count++;
        }
    }
    return count;
}

void kvi_cmd_client_kill(kvi_request_t *request)
{
    kill_filter_t filter = {.skip_me = request->argc > 3};
    if (request->argc == 3) {
        filter.address = request->argv[2];
        if (kill_clients(request, &filter) == 0) {
            kvi_reply_error(request->reply, "ERR No such client");
        } else {
            kvi_reply_ok(request->reply);
        }
        return;
    }
    if (request->argc % 2 != 0) {
        kvi_reply_syntax_error(request->reply);
        return;
    }
    for (size_t i = 2; i < request->argc; i += 2) {
        if (!read_kill_option(request, i, &filter)) {
            return;
        }
    }
    kvi_reply_integer(request->reply, kill_clients(request, &filter));
}
