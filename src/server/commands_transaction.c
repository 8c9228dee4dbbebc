/* SPDX-License-Identifier: MIT */
/* MULTI, EXEC and their like. The queue is transaction.c's, watched keys are watch.c's. */
#include <stdio.h>
#include <string.h>

#include "server/arguments.h"
#include "server/atomic.h"
#include "server/commands.h"
#include "server/errors.h"
#include "server/server.h"

void kvi_cmd_multi(kvi_request_t *request)
{
    kvi_client_t *const client = request->client;
    const bool atomic = request->argc == 2 && kvi_argument_is(request->argv[1], "atomic");
    if (request->argc > 1 && !atomic) {
        kvi_reply_error(request->reply, kvi_error_arity_of, "multi");
    } else if (client->transaction != NULL) {
        kvi_reply_error(request->reply, "ERR MULTI calls can not be nested");
    } else if (kvi_transaction_begin(client, atomic) != KV_OK) {
        kvi_reply_error(request->reply, "%s", kvi_error_oom);
    } else {
        kvi_reply_ok(request->reply);
    }
}

void kvi_cmd_discard(kvi_request_t *request)
{
    if (request->client->transaction == NULL) {
        kvi_reply_error(request->reply, "ERR DISCARD without MULTI");
        return;
    }
    kvi_transaction_discard(request->client);
    kvi_reply_ok(request->reply);
}

void kvi_cmd_watch(kvi_request_t *request)
{
    kvi_client_t *const client = request->client;
    if (client->transaction != NULL) {
        kvi_reply_error(request->reply, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    for (size_t i = 1; i < request->argc && !client->touched; i++) {
        if (kvi_watch_add(client, request->argv[i], request->now_ms) != KV_OK) {
            kvi_reply_error(request->reply, "%s", kvi_error_oom);
            return;
        }
    }
    kvi_reply_ok(request->reply);
}

void kvi_cmd_unwatch(kvi_request_t *request)
{
    kvi_watch_clear(request->client);
    kvi_reply_ok(request->reply);
}

/* ---- EXEC ---- */

/* Runs one queued command as a request of its own; true unless it answered an error. */
static bool run_queued(kvi_request_t *exec, const kvi_queued_t *queued)
{
    kvi_client_t *const client = exec->client;
    const size_t begin = exec->reply->size;
    kvi_request_t request = kvi_client_request(client, exec->now_ms, queued->argc, queued->argv);
    client->command = queued->command;
    kvi_command_call(&request, queued->command);
    return exec->reply->size == begin || exec->reply->bytes[begin] != '-';
}

static void run_all(kvi_request_t *request, const kvi_transaction_t *transaction)
{
    kvi_reply_array(request->reply, transaction->count);
    for (size_t i = 0; i < transaction->count; i++) {
        (void)run_queued(request, &transaction->commands[i]);
    }
}

/* The error that stands in the reply at `at` becomes the whole answer from begin on. */
static void answer_undone(kvi_reply_t *reply, size_t begin, size_t at, size_t number)
{
    char error[256];
    const char *const line = reply->bytes + at + 1;
    const char *const end = memchr(line, '\r', reply->size - at - 1);
    (void)snprintf(error, sizeof error, "%.*s", (int)(end != NULL ? end - line : 0), line);
    kvi_reply_truncate(reply, begin);
    kvi_reply_error(reply, "EXECABORT Transaction undone because of its command %zu: %s", number,
                    error);
}

/* The first error takes everything back and is the answer. */
static void run_atomically(kvi_request_t *request, const kvi_transaction_t *transaction)
{
    kvi_reply_t *const reply = request->reply;
    const size_t begin = reply->size;
    const size_t database = request->client->database;
    kvi_atomic_t atomic;
    if (kvi_atomic_begin(&atomic, request->server, request->now_ms) != KV_OK) {
        kvi_reply_error(reply, "%s", kvi_error_oom);
        return;
    }
    kvi_reply_array(reply, transaction->count);
    for (size_t i = 0; i < transaction->count; i++) {
        const size_t at = reply->size;
        if (!run_queued(request, &transaction->commands[i])) {
            request->client->database = database;
            if (kvi_atomic_undo(&atomic) == KV_OK) {
                answer_undone(reply, begin, at, i + 1);
            } else {
                kvi_reply_truncate(reply, begin);
                kvi_reply_error(reply, "ERR out of memory while the transaction was undone");
            }
            return;
        }
    }
    kvi_atomic_commit(&atomic);
}

void kvi_cmd_exec(kvi_request_t *request)
{
    kvi_client_t *const client = request->client;
    kvi_transaction_t *const transaction = client->transaction;
    if (transaction == NULL) {
        kvi_reply_error(request->reply, "ERR EXEC without MULTI");
        return;
    }
    const bool broken = transaction->broken;
    if (broken || kvi_watch_is_broken(client, request->now_ms)) {
        if (broken) {
            kvi_reply_error(request->reply,
                            "EXECABORT Transaction discarded because of previous errors.");
        } else {
            kvi_reply_null_array(request->reply);
        }
        kvi_transaction_discard(client);
        return;
    }
    /* What the commands themselves touch is no reason to refuse them; and they may end the client's
     * state, as RESET does. */
    kvi_watch_clear(client);
    client->transaction = NULL;
    if (transaction->atomic) {
        run_atomically(request, transaction);
    } else {
        run_all(request, transaction);
    }
    kvi_transaction_free(transaction);
}
