/* SPDX-License-Identifier: MIT */
/* The queue between MULTI and EXEC. */
#include "server/transaction.h"

#include <string.h>

#include <concordkv/kv_memory.h>

#include "server/client.h"
#include "server/errors.h"
#include "server/server.h"

#define FIRST_CAPACITY ((size_t)8)

kv_status_t kvi_transaction_begin(kvi_client_t *client, bool atomic)
{
    kvi_transaction_t *const transaction = kv_store_calloc(1, sizeof *transaction);
    if (transaction == NULL) {
        return KV_NO_MEMORY;
    }
    transaction->atomic = atomic;
    client->transaction = transaction;
    return KV_OK;
}

static bool make_room(kvi_transaction_t *transaction)
{
    if (transaction->count < transaction->capacity) {
        return true;
    }
    const size_t capacity = transaction->capacity > 0 ? transaction->capacity * 2 : FIRST_CAPACITY;
    kvi_queued_t *const larger =
        kv_store_realloc(transaction->commands, capacity * sizeof larger[0]);
    if (larger == NULL) {
        return false;
    }
    transaction->commands = larger;
    transaction->capacity = capacity;
    return true;
}

/* A copy of the arguments; NULL when memory is short. */
static kv_slice_t *copy_arguments(const kvi_request_t *request, size_t *bytes)
{
    size_t size = request->argc * sizeof(kv_slice_t);
    for (size_t i = 0; i < request->argc; i++) {
        size += request->argv[i].size;
    }
    kv_slice_t *const copy = kv_store_malloc(size);
    if (copy == NULL) {
        return NULL;
    }
    char *place = (char *)(copy + request->argc);
    for (size_t i = 0; i < request->argc; i++) {
        const kv_slice_t argument = request->argv[i];
        if (argument.size > 0) {
            memcpy(place, argument.data, argument.size);
        }
        copy[i] = (kv_slice_t){place, argument.size};
        place += argument.size;
    }
    *bytes += size;
    return copy;
}

void kvi_transaction_queue(kvi_request_t *request, const kvi_command_t *command)
{
    kvi_transaction_t *const transaction = request->client->transaction;
    if ((command->flags & KVI_CMD_NO_MULTI) != 0) {
        transaction->broken = true;
        kvi_reply_error(request->reply, "%s", kvi_error_inside_multi);
        return;
    }
    if (transaction->atomic && (command->flags & KVI_CMD_WHOLE) != 0) {
        transaction->broken = true;
        kvi_reply_error(request->reply, kvi_error_atomic_of, command->name);
        return;
    }
    /* As Redis: once it is lost, nothing more is kept for it. */
    if (!transaction->broken && !request->client->touched) {
        kv_slice_t *const copy =
            make_room(transaction) ? copy_arguments(request, &transaction->bytes) : NULL;
        if (copy == NULL) {
            transaction->broken = true;
            kvi_reply_error(request->reply, "%s", kvi_error_oom);
            return;
        }
        transaction->commands[transaction->count++] =
            (kvi_queued_t){.command = command, .argc = request->argc, .argv = copy};
    }
    transaction->flags |= command->flags;
    kvi_reply_status(request->reply, "QUEUED");
}

void kvi_transaction_free(kvi_transaction_t *transaction)
{
    if (transaction == NULL) {
        return;
    }
    for (size_t i = 0; i < transaction->count; i++) {
        kv_store_free(transaction->commands[i].argv);
    }
    kv_store_free(transaction->commands);
    kv_store_free(transaction);
}

void kvi_transaction_discard(kvi_client_t *client)
{
    kvi_transaction_free(client->transaction);
    client->transaction = NULL;
    kvi_watch_clear(client);
}
