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
#include "log/commit.h"
#include "log/directory.h"
#include "server/client.h"
#include "server/command.h"
#include "server/command_table.h"
#include "server/config.h"
#include "server/stats.h"
#include "server/watch.h"

/* The Redis version whose replies and commands clients may expect. */
#define KVI_REDIS_VERSION "7.0.15"

/* Reasons not to run a command, nearly always none: tested together before each. */
typedef enum kvi_gate {
    KVI_GATE_LOADING = 1 << 0, /* data are being read in */
    KVI_GATE_LOG = 1 << 1,     /* the log takes no writes */
    KVI_GATE_MEMORY = 1 << 2   /* there is a limit on memory */
} kvi_gate_t;

struct kvi_server {
    kvi_config_t config;
    kvi_db_t *db;               /* borrowed */
    kvi_commit_t *commit;       /* borrowed: the way of every change */
    kvi_directory_t *directory; /* that keeps the data; NULL: memory only, or still loading */
    uint64_t changes;           /* operations that changed something */
    unsigned gates; /* kvi_gate_t: what commands have to be checked for beyond their arity */
    kvi_watch_table_t watches;
    struct kvi_atomic *atomic; /* the transaction under way that may be undone, or NULL */
    kvi_command_table_t commands;
    kvi_command_stats_t *command_stats; /* by row number */
    kvi_stats_t stats;
    kvi_client_t *first_client;
    kvi_client_t *last_client;
    size_t clients;
    uint64_t last_client_id;
    char run_id[41];
    int64_t started_ms;
    int port;               /* as bound: options.port may be 0 */
    uint64_t wait_lsn;      /* what replies of now have to wait for; 0: nothing */
    uint64_t ended_changes; /* when the log's last turn was ended */
    bool snapshot_asked;    /* BGSAVE: to begin between two turns */
    bool sync_always;       /* some keyspace's replies have to wait for the disk */
    bool log_may_resume;    /* the disk is full: nothing is lost, LOG RESUME tries again */
    int64_t loading_since_ms;
    const struct kvi_loader *loader; /* while data are read in */
    kvi_recovery_report_t loaded;    /* how the data were read in */
    bool active_expire;              /* DEBUG SET-ACTIVE-EXPIRE */
    bool shutdown_asked;
    size_t kills;         /* clients marked killed that the loop has not closed yet */
    bool memory_to_purge; /* much was freed at once: give idle pages back soon */
    uint64_t random_state;
};

/* A server over db, which it changes through commit alone; both stay the caller's and must outlive
 * it. config is copied. KV_NO_MEMORY. */
kv_status_t kvi_server_open(const kvi_config_t *config, kvi_db_t *db, kvi_commit_t *commit,
                            kvi_server_t **server);
/* The time of requests: the clock's, or the database's if that is later. A clock that was put back
 * would give keys deadlines that have passed already where the database is. */
int64_t kvi_server_now(const kvi_server_t *server);
/* Ends the log's turn: what was changed gets its LSN, and wait_lsn is brought up to date. */
void kvi_server_end_turn(kvi_server_t *server);
/* Bytes that were read of the data, of how many, while they are loading. */
void kvi_server_loading_progress(const kvi_server_t *server, uint64_t *bytes, uint64_t *bytes_all);
/* Has database and log do as config says now: after CONFIG SET, and for a loaded database. */
void kvi_server_apply_config(kvi_server_t *server);
/* Whether some keyspace's replies have to wait: after attributes have changed. */
void kvi_server_look_at_syncs(kvi_server_t *server);
/* Whether the log takes writes. */
void kvi_server_look_at_log(kvi_server_t *server);
/* Every client must be closed. NULL is accepted. */
void kvi_server_close(kvi_server_t *server);

/* A number from the server's own generator: for RANDOMKEY and the like, never for secrets. */
uint64_t kvi_server_random(kvi_server_t *server);

#endif
