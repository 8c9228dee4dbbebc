/* SPDX-License-Identifier: MIT */
/*
 * The loop that carries a server over TCP: listens, reads, has the executor run what arrived,
 * writes, and keeps house.
 */
#ifndef KVI_SERVER_LOOP_H
#define KVI_SERVER_LOOP_H

#include <stddef.h>

#include <concordkv/kv_status.h>

#include "server/server.h"

#define KVI_LOOP_MESSAGE_BYTES 1024

typedef struct kvi_loop kvi_loop_t;

/* What the program wants to hear of the loop, and what the loop needs to open a directory. */
typedef struct kvi_loop_events {
    kvi_db_options_t db;                          /* of a database that is loaded */
    void (*say)(void *context, const char *line); /* a line on long loads; on another thread */
    void (*listening)(void *context);             /* a directory is about to be loaded */
    void (*ready)(void *context);                 /* data are there; commands are served */
    void *context;
} kvi_loop_events_t;

/* Makes libuv allocate from kv_store_malloc. Once per process, before any loop. */
void kvi_loop_use_store(void);

/* Binds and listens as server->config says and sets server->port. On an error message says in one
 * line what was wrong and what would be right: KV_INVALID for a setting, KV_IO for the system's
 * refusal, KV_NO_MEMORY. */
kv_status_t kvi_loop_open(kvi_server_t *server, kvi_loop_t **loop,
                          char message[KVI_LOOP_MESSAGE_BYTES]);
/* Serves until SHUTDOWN, SIGTERM or SIGINT, having loaded the directory of the configuration if
 * there is one: requests for data are answered with -LOADING meanwhile. On an error message says in
 * one line what was wrong: data that cannot be loaded, or that cannot be kept at the end. */
kv_status_t kvi_loop_run(kvi_loop_t *loop, const kvi_loop_events_t *events,
                         char message[KVI_LOOP_MESSAGE_BYTES]);
/* Ends every connection, and closes the directory. NULL is accepted. */
void kvi_loop_close(kvi_loop_t *loop);

#endif
