/* SPDX-License-Identifier: MIT */
/* Commands about the connection itself: greeting, protocol, selected keyspace, good-bye. */
#include "base/decimal.h"
#include "server/arguments.h"
#include "server/commands.h"
#include "server/server.h"

static const char wrong_password[] =
    "WRONGPASS invalid username-password pair or user is disabled.";
static const char bad_name[] =
    "ERR Client names cannot contain spaces, newlines or special characters.";

void kvi_cmd_ping(kvi_request_t *request)
{
    if (request->argc > 2) {
        kvi_reply_error(request->reply, "ERR wrong number of arguments for 'ping' command");
    } else if (request->argc == 2) {
        kvi_reply_bulk(request->reply, request->argv[1]);
    } else {
        kvi_reply_status(request->reply, "PONG");
    }
}

void kvi_cmd_echo(kvi_request_t *request)
{
    kvi_reply_bulk(request->reply, request->argv[1]);
}

void kvi_cmd_quit(kvi_request_t *request)
{
    kvi_reply_ok(request->reply);
    request->client->closing = true;
}

void kvi_cmd_reset(kvi_request_t *request)
{
    kvi_client_reset(request->client);
    kvi_reply_status(request->reply, "RESET");
}

void kvi_cmd_select(kvi_request_t *request)
{
    uint32_t keyspace;
    int64_t number;
    if (kvi_db_find_keyspace(request->db, request->argv[1], &keyspace) == KV_OK) {
        request->client->database = keyspace;
        kvi_reply_ok(request->reply);
    } else if (kvi_argument_between(request, 1, INT32_MIN, INT32_MAX, NULL, &number)) {
        kvi_reply_error(request->reply, "ERR DB index is out of range");
    }
}

void kvi_cmd_auth(kvi_request_t *request)
{
    if (request->argc > 3) {
        kvi_reply_syntax_error(request->reply);
    } else if (request->argc == 2) {
        kvi_reply_error(request->reply,
                        "ERR AUTH <password> called without any password configured for the "
                        "default user. Are you sure your configuration is correct?");
    } else if (!kvi_argument_is(request->argv[1], "default")) {
        kvi_reply_error(request->reply, "%s", wrong_password);
    } else {
        /* The default user has no password, so any will do. */
        kvi_reply_ok(request->reply);
    }
}

/* What HELLO was asked for; applied only when all of it makes sense. */
typedef struct hello {
    int protocol; /* 0: as it is */
    bool named;
    kv_slice_t name;
} hello_t;

static bool parse_hello(kvi_request_t *request, hello_t *hello)
{
    int64_t protocol;
    if (!kvi_argument_between(request, 1, INT64_MIN, INT64_MAX,
                              "ERR Protocol version is not an integer or out of range",
                              &protocol)) {
        return false;
    }
    if (protocol != 2 && protocol != 3) {
        kvi_reply_error(request->reply, "NOPROTO unsupported protocol version");
        return false;
    }
    hello->protocol = (int)protocol;
    for (size_t i = 2; i < request->argc; i++) {
        const kv_slice_t option = request->argv[i];
        const size_t more = request->argc - 1 - i;
        if (kvi_argument_is(option, "auth") && more >= 2) {
            if (!kvi_argument_is(request->argv[i + 1], "default")) {
                kvi_reply_error(request->reply, "%s", wrong_password);
                return false;
            }
            i += 2;
        } else if (kvi_argument_is(option, "setname") && more >= 1) {
            hello->named = true;
            hello->name = request->argv[++i];
        } else {
            kvi_reply_error(request->reply, "ERR Syntax error in HELLO option '%.*s'",
                            (int)(option.size < 128 ? option.size : 128), option.data);
            return false;
        }
    }
    return true;
}

void kvi_cmd_hello(kvi_request_t *request)
{
    kvi_reply_t *const reply = request->reply;
    hello_t hello = {0};
    if (request->argc > 1 && !parse_hello(request, &hello)) {
        return;
    }
    if (hello.named && kvi_client_set_text(&request->client->name, hello.name) != KV_OK) {
        kvi_reply_error(reply, "%s", bad_name);
        return;
    }
    if (hello.protocol != 0) {
        reply->protocol = hello.protocol;
    }
    kvi_reply_map(reply, 7);
    kvi_reply_bulk_string(reply, "server");
    kvi_reply_bulk_string(reply, "redis");
    kvi_reply_bulk_string(reply, "version");
    kvi_reply_bulk_string(reply, KVI_REDIS_VERSION);
    kvi_reply_bulk_string(reply, "proto");
    kvi_reply_integer(reply, reply->protocol);
    kvi_reply_bulk_string(reply, "id");
    kvi_reply_integer(reply, (int64_t)request->client->id);
    kvi_reply_bulk_string(reply, "mode");
    kvi_reply_bulk_string(reply, "standalone");
    kvi_reply_bulk_string(reply, "role");
    kvi_reply_bulk_string(reply, "master");
    kvi_reply_bulk_string(reply, "modules");
    kvi_reply_array(reply, 0);
}
