/* SPDX-License-Identifier: MIT */
/*
 * MULTI: the commands that a client has queued for its EXEC, with copies of their arguments.
 *
 * EXEC runs them one after the other within one turn, so nobody else comes between, and a turn is
 * one batch of the log, so after a crash all of it is there or nothing.
 * Thread rule: the executor's.
 */
#ifndef KVI_SERVER_TRANSACTION_H
#define KVI_SERVER_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>

#include "server/command.h"

typedef struct kvi_queued {
    const kvi_command_t *command;
    size_t argc;
    kv_slice_t *argv; /* one piece of memory: the slices, then their bytes */
} kvi_queued_t;

typedef struct kvi_transaction {
    kvi_queued_t *commands;
    size_t count;
    size_t capacity;
    size_t bytes;   /* of all copies, for CLIENT LIST */
    unsigned flags; /* of all commands together */
    bool atomic;    /* MULTI ATOMIC: any error undoes all */
    bool broken;    /* a command was refused: EXEC will abort */
} kvi_transaction_t;

/* KV_NO_MEMORY. */
kv_status_t kvi_transaction_begin(kvi_client_t *client, bool atomic);
/* Takes a copy of a request that has been checked and answers QUEUED, or an error. */
void kvi_transaction_queue(kvi_request_t *request, const kvi_command_t *command);
/* NULL is accepted. */
void kvi_transaction_free(kvi_transaction_t *transaction);
/* Ends what MULTI began, and all watches. */
void kvi_transaction_discard(kvi_client_t *client);

#endif
