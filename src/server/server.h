/* SPDX-License-Identifier: MIT */
/*
 * The server as commands see it: configuration, database, clients, counters. It knows no sockets:
 * loop.c owns those and does what commands ask for here (shutdown_asked, client->closing). Used by
 * the executor's thread alone.
 */
#ifndef KVI_SERVER_SERVER_H
#define KVI_SERVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "db/db.h"
#include "server/client.h"
#include "server/command.h"
#include "server/command_table.h"
#include "server/config.h"
#include "server/stats.h"

/* The Redis version whose replies and commands clients may expect. */
#define KVI_REDIS_VERSION "7.0.15"

struct kvi_server {
    kvi_config_t config;
    kvi_db_t *db; /* borrowed */
    kvi_command_table_t commands;
    kvi_command_stats_t *command_stats; /* by row number */
    kvi_stats_t stats;
    kvi_client_t *first_client;
    kvi_client_t *last_client;
    size_t clients;
    uint64_t last_client_id;
    char run_id[41];
    int64_t started_ms;
    int port;           /* as bound: options.port may be 0 */
    bool active_expire; /* DEBUG SET-ACTIVE-EXPIRE */
    bool shutdown_asked;
    size_t kills;         /* clients marked killed that the loop has not closed yet */
    bool memory_to_purge; /* much was freed at once: give idle pages back soon */
    uint64_t random_state;
};

/* A server over db, which stays the caller's and must outlive it. config is copied. KV_NO_MEMORY.
 */
kv_status_t kvi_server_open(const kvi_config_t *config, kvi_db_t *db, kvi_server_t **server);
/* Every client must be closed. NULL is accepted. */
void kvi_server_close(kvi_server_t *server);

/* A number from the server's own generator: for RANDOMKEY and the like, never for secrets. */
uint64_t kvi_server_random(kvi_server_t *server);

#endif
