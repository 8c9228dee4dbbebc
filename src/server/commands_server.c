/* SPDX-License-Identifier: MIT */
/* Commands about the server as a whole: size, time, emptying, ending, testing. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/decimal.h"
#include "server/arguments.h"
#include "server/commands.h"
#include "server/errors.h"
#include "server/server.h"
#include "server/submit.h"

#define SLEEP_SECONDS_MAX 3600.0

void kvi_cmd_dbsize(kvi_request_t *request)
{
    kvi_reply_integer(request->reply, (int64_t)kvi_keyspace_count(request->keyspace));
}

void kvi_cmd_time(kvi_request_t *request)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    char text[2][KVI_DECIMAL_BYTES_MAX + 1];
    *kvi_decimal_write(text[0], (uint64_t)now.tv_sec) = '\0';
    *kvi_decimal_write(text[1], (uint64_t)now.tv_nsec / 1000) = '\0';
    kvi_reply_array(request->reply, 2);
    kvi_reply_bulk_string(request->reply, text[0]);
    kvi_reply_bulk_string(request->reply, text[1]);
}

/* ---- emptying ---- */

/* Emptying takes no longer than giving the blocks back, so ASYNC and SYNC are the same. */
static bool flush_mode_is_good(const kvi_request_t *request)
{
    return request->argc == 1 ||
           (request->argc == 2 && (kvi_argument_is(request->argv[1], "async") ||
                                   kvi_argument_is(request->argv[1], "sync")));
}

void kvi_cmd_flushdb(kvi_request_t *request)
{
    if (!flush_mode_is_good(request)) {
        kvi_reply_syntax_error(request->reply);
        return;
    }
    const kvi_op_t clear = kvi_request_op(request, KVI_OP_CLEAR);
    const kv_status_t status = kvi_request_do(request, &clear);
    if (status != KV_OK) {
        kvi_request_fail(request, status);
        return;
    }
    kvi_reply_ok(request->reply);
}

void kvi_cmd_flushall(kvi_request_t *request)
{
    if (!flush_mode_is_good(request)) {
        kvi_reply_syntax_error(request->reply);
        return;
    }
    kvi_op_t clear = {.kind = KVI_OP_CLEAR};
    for (size_t i = 0; i < kvi_db_keyspaces(request->db); i++) {
        clear.keyspace = (uint32_t)i;
        const kv_status_t status =
            kvi_db_keyspace(request->db, i) != NULL ? kvi_request_do(request, &clear) : KV_OK;
        if (status != KV_OK) {
            kvi_request_fail(request, status);
            return;
        }
    }
    kvi_reply_ok(request->reply);
}

void kvi_cmd_swapdb(kvi_request_t *request)
{
    int64_t first;
    int64_t second;
    if (!kvi_argument_between(request, 1, INT32_MIN, INT32_MAX, "ERR invalid first DB index",
                              &first) ||
        !kvi_argument_between(request, 2, INT32_MIN, INT32_MAX, "ERR invalid second DB index",
                              &second)) {
        return;
    }
    const int64_t count = (int64_t)kvi_db_keyspaces(request->db);
    if (first < 0 || first >= count || second < 0 || second >= count) {
        kvi_reply_error(request->reply, "ERR DB index is out of range");
        return;
    }
    const kvi_op_t swap = {
        .kind = KVI_OP_SWAP, .keyspace = (uint32_t)first, .to_keyspace = (uint32_t)second};
    const kv_status_t status = kvi_request_do(request, &swap);
    if (status != KV_OK) {
        kvi_request_fail(request, status);
        return;
    }
    kvi_reply_ok(request->reply);
}

void kvi_cmd_function_flush(kvi_request_t *request)
{
    const bool good =
        request->argc == 2 || (request->argc == 3 && (kvi_argument_is(request->argv[2], "async") ||
                                                      kvi_argument_is(request->argv[2], "sync")));
    if (!good) {
        kvi_reply_error(request->reply, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
        return;
    }
    /* There are no functions, so there is nothing to flush. */
    kvi_reply_ok(request->reply);
}

void kvi_cmd_function_help(kvi_request_t *request)
{
    static const char *const lines[] = {
        "FLUSH [ASYNC|SYNC]",
        "    Accepted; there are no functions to delete.",
    };
    kvi_reply_help(request->reply, "FUNCTION", lines, sizeof lines / sizeof lines[0]);
}

/* ---- ending ---- */

static bool save_now(kvi_server_t *server)
{
    kvi_server_end_turn(server);
    return kvi_directory_save(server->directory) == KV_OK;
}

void kvi_cmd_shutdown(kvi_request_t *request)
{
    bool save = false;
    bool abort_asked = false;
    const bool loading = (request->server->gates & KVI_GATE_LOADING) != 0;
    for (size_t i = 1; i < request->argc; i++) {
        const kv_slice_t option = request->argv[i];
        if (kvi_argument_is(option, "save")) {
            save = !loading; /* there is nothing yet that the directory does not hold */
        } else if (kvi_argument_is(option, "abort")) {
            abort_asked = true;
        } else if (!kvi_argument_is(option, "nosave") && !kvi_argument_is(option, "now") &&
                   !kvi_argument_is(option, "force")) {
            kvi_reply_syntax_error(request->reply);
            return;
        }
    }
    if (abort_asked) {
        kvi_reply_error(request->reply,
                        request->argc == 2 ? "ERR No shutdown in progress." : "ERR syntax error");
    } else if (save && request->server->directory == NULL) {
        kvi_reply_error(request->reply, "%s", kvi_error_memory_only);
    } else if (save && !save_now(request->server)) {
        kvi_reply_error(request->reply, "ERR Errors trying to SHUTDOWN. Check logs.");
    } else {
        /* No reply: the client sees its connection end. The log is flushed in any case. */
        request->server->shutdown_asked = true;
        request->client->closing = true;
    }
}

/* ---- DEBUG ---- */

static void sleep_for(double seconds)
{
    struct timespec left;
    left.tv_sec = (time_t)seconds;
    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    while (nanosleep(&left, &left) != 0) {
        /* Interrupted: the rest is in left. */
    }
}

static void debug_sleep(kvi_request_t *request)
{
    /* Text that is no number sleeps for nothing, as in Redis. */
    char text[32] = "";
    const kv_slice_t argument = request->argv[2];
    memcpy(text, argument.data, argument.size < sizeof text ? argument.size : sizeof text - 1);
    const double seconds = strtod(text, NULL);
    if (seconds > 0) {
        sleep_for(seconds < SLEEP_SECONDS_MAX ? seconds : SLEEP_SECONDS_MAX);
    }
    kvi_reply_ok(request->reply);
}

static void debug_active_expire(kvi_request_t *request)
{
    request->server->active_expire = !kvi_argument_is(request->argv[2], "0");
    kvi_reply_ok(request->reply);
}

void kvi_cmd_debug(kvi_request_t *request)
{
    static const char *const lines[] = {
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Whether late keys are removed in the background; reads never see them.",
        "SLEEP <seconds>",
        "    Stop the server for so long.",
    };
    const kv_slice_t name = request->argv[1];
    if (request->argc == 3 && kvi_argument_is(name, "sleep")) {
        debug_sleep(request);
    } else if (request->argc == 3 && kvi_argument_is(name, "set-active-expire")) {
        debug_active_expire(request);
    } else if (request->argc == 2 && kvi_argument_is(name, "help")) {
        kvi_reply_help(request->reply, "DEBUG", lines, sizeof lines / sizeof lines[0]);
    } else {
        kvi_reply_error(
            request->reply,
            "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try DEBUG HELP.",
            (int)(name.size < 128 ? name.size : 128), name.data);
    }
}
