/* SPDX-License-Identifier: MIT */
/*
 * What a command is: a row of commands.def and a function that gets a request and speaks to its
 * reply. Arity, permissions and memory are checked once, by the dispatcher, before the function is
 * called.
 */
#ifndef KVI_SERVER_COMMAND_H
#define KVI_SERVER_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "db/db.h"
#include "resp/reply.h"

typedef struct kvi_server kvi_server_t; /* server.h */
typedef struct kvi_client kvi_client_t; /* client.h */

typedef struct kvi_request {
    kvi_server_t *server;
    kvi_client_t *client;
    kvi_db_t *db;
    kvi_keyspace_t *keyspace; /* the client's selected one */
    int64_t now_ms;           /* wall clock, the same for a whole turn */
    size_t argc;
    const kv_slice_t *argv; /* argv[0] is the command's name; borrowed for the call */
    kvi_reply_t *reply;
    uint64_t aim; /* of the key in argument 1 (kvi_keyspace_prefetch_aims), or 0 */
} kvi_request_t;

/* The aim of the key in this argument, or 0. */
static inline uint64_t kvi_request_aim(const kvi_request_t *request, size_t number)
{
    return number == 1 ? request->aim : 0;
}

typedef void (*kvi_command_fn)(kvi_request_t *request);

typedef enum kvi_command_flag {
    KVI_CMD_WRITE = 1 << 0,
    KVI_CMD_READONLY = 1 << 1,
    KVI_CMD_DENY_OOM = 1 << 2, /* refused with -OOM when the memory limit is reached */
    KVI_CMD_ADMIN = 1 << 3,
    KVI_CMD_FAST = 1 << 4,
    KVI_CMD_LOADING = 1 << 5,
    KVI_CMD_STALE = 1 << 6,
    KVI_CMD_NO_AUTH = 1 << 7,
    KVI_CMD_NO_MULTI = 1 << 8, /* refused inside MULTI */
    KVI_CMD_NO_QUEUE = 1 << 9, /* runs at once inside MULTI: EXEC and its like */
    KVI_CMD_WHOLE = 1 << 10    /* cannot be undone, so it has no place in MULTI ATOMIC */
} kvi_command_flag_t;

typedef struct kvi_command {
    const char *name; /* lower case; a subcommand is "client|id" */
    kvi_command_fn run;
    int arity; /* as Redis: n exactly, -n at least, the name included */
    unsigned flags;
    int first_key; /* 0: none */
    int last_key;  /* negative: from the end */
    int key_step;
    const char *group;     /* "string", "generic", "connection", "server" */
    const char *since;     /* version of Redis that brought it */
    const char *summary;   /* one line */
    const char *arguments; /* syntax for people: "key [NX | XX]" */
} kvi_command_t;

/* The row of a command name in any case, or NULL. */
const kvi_command_t *kvi_command_find(kv_slice_t name);
/* The row of a subcommand of container, or NULL. */
const kvi_command_t *kvi_command_find_sub(const kvi_command_t *container, kv_slice_t name);
/* All rows, subcommands included, in the order of commands.def; NULL past the last. */
const kvi_command_t *kvi_command_at(size_t number);

/* Checks a request against its row and runs it, or answers Redis's error. Every request goes
 * through here. */
void kvi_command_dispatch(kvi_request_t *request);
/* Runs a command that has been checked, and counts it. For EXEC. */
void kvi_command_call(kvi_request_t *request, const kvi_command_t *command);

#endif
