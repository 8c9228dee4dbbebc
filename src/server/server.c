/* SPDX-License-Identifier: MIT */
/* The server's own state: opened over a database, without sockets. */
#include "server/server.h"

#include <concordkv/kv_memory.h>

#include "os/os.h"
#include "server/loader.h"

static void write_run_id(kvi_server_t *server, const unsigned char random[20])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 20; i++) {
        server->run_id[2 * i] = digits[random[i] >> 4];
        server->run_id[2 * i + 1] = digits[random[i] & 15];
    }
    server->run_id[40] = '\0';
}

kv_status_t kvi_server_open(const kvi_config_t *config, kvi_db_t *db, kvi_commit_t *commit,
                            kvi_server_t **result)
{
    kvi_server_t *const server = kv_store_calloc(1, sizeof *server);
    if (server == NULL) {
        return KV_NO_MEMORY;
    }
    kvi_command_table_build(&server->commands);
    server->command_stats = kv_store_calloc(server->commands.rows, sizeof server->command_stats[0]);
    if (server->command_stats == NULL || kvi_config_copy(&server->config, config) != KV_OK) {
        kvi_server_close(server);
        return KV_NO_MEMORY;
    }
    server->db = db;
    server->commit = commit;
    server->active_expire = true;
    server->started_ms = kvi_os_wall_ms();
    server->port = (int)server->config.port;
    unsigned char random[20] = {0};
    if (!kvi_os_random(random, sizeof random)) {
        /* Only names and samples depend on it: the clock will do. */
        random[0] = (unsigned char)kvi_os_monotonic_ns();
    }
    write_run_id(server, random);
    for (size_t i = 0; i < 8; i++) {
        server->random_state = server->random_state << 8 | random[i];
    }
    kvi_server_apply_config(server);
    *result = server;
    return KV_OK;
}

void kvi_server_look_at_syncs(kvi_server_t *server)
{
    server->sync_always = false;
    for (size_t i = 0; i < kvi_db_keyspaces(server->db) && server->directory != NULL; i++) {
        const kvi_keyspace_t *const keyspace = kvi_db_keyspace(server->db, i);
        kvi_attributes_t attributes = {.sync = KVI_SYNC_NO};
        if (keyspace != NULL) {
            kvi_keyspace_attributes(keyspace, &attributes);
        }
        const kvi_sync_t sync = attributes.sync == KVI_SYNC_DEFAULT
                                    ? kvi_config_sync(&server->config)
                                    : attributes.sync;
        server->sync_always = server->sync_always || sync == KVI_SYNC_ALWAYS;
    }
}

void kvi_server_look_at_log(kvi_server_t *server)
{
    kvi_commit_state_t state = {.status = KV_OK};
    server->commit->ops->state(server->commit, &state);
    server->log_may_resume = state.status == KV_DISK_FULL;
    server->gates &= ~(unsigned)KVI_GATE_LOG;
    server->gates |= state.status != KV_OK ? KVI_GATE_LOG : 0;
}

int64_t kvi_server_now(const kvi_server_t *server)
{
    const int64_t clock_ms = kvi_os_wall_ms();
    const int64_t latest_ms = kvi_db_time(server->db);
    return clock_ms > latest_ms ? clock_ms : latest_ms;
}

void kvi_server_end_turn(kvi_server_t *server)
{
    kvi_commit_t *const commit = server->commit;
    if (server->changes != server->ended_changes) {
        server->ended_changes = server->changes;
        const uint64_t lsn = commit->ops->end_turn(commit);
        server->wait_lsn = lsn > server->wait_lsn ? lsn : server->wait_lsn;
    }
    if (server->wait_lsn != 0 && commit->ops->durable(commit) >= server->wait_lsn) {
        server->wait_lsn = 0;
    }
}

void kvi_server_loading_progress(const kvi_server_t *server, uint64_t *bytes, uint64_t *bytes_all)
{
    *bytes = 0;
    *bytes_all = 0;
    if (server->loader != NULL) {
        kvi_loader_progress(server->loader, bytes, bytes_all);
    }
}

void kvi_server_apply_config(kvi_server_t *server)
{
    const kvi_config_t *const config = &server->config;
    kvi_db_set_memory_limit(server->db, (size_t)config->maxmemory);
    kvi_db_set_eviction(server->db, kvi_config_eviction(config));
    server->gates &= ~(unsigned)KVI_GATE_MEMORY;
    server->gates |= config->maxmemory > 0 ? KVI_GATE_MEMORY : 0;
    server->commit->ops->set_sync(server->commit, kvi_config_sync(config));
    if (server->directory != NULL) {
        kvi_directory_set_snapshot_log_bytes(
            server->directory,
            config->snapshot_log_bytes > 0 ? (uint64_t)config->snapshot_log_bytes : UINT64_MAX);
        kvi_directory_set_compress(server->directory, config->snapshot_compression);
    }
    kvi_server_look_at_syncs(server);
}

void kvi_server_close(kvi_server_t *server)
{
    if (server != NULL) {
        kvi_config_close(&server->config);
        kv_store_free(server->command_stats);
        kv_store_free(server);
    }
}

uint64_t kvi_server_random(kvi_server_t *server)
{
    /* splitmix64, Steele, Lea and Flood 2014. */
    server->random_state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t mixed = server->random_state;
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}
