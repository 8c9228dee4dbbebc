/* SPDX-License-Identifier: MIT */
/* The server's own state: opened over a database, without sockets. */
#include "server/server.h"

#include <concordkv/kv_memory.h>

#include "os/os.h"

static void write_run_id(kvi_server_t *server, const unsigned char random[20])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 20; i++) {
        server->run_id[2 * i] = digits[random[i] >> 4];
        server->run_id[2 * i + 1] = digits[random[i] & 15];
    }
    server->run_id[40] = '\0';
}

kv_status_t kvi_server_open(const kvi_config_t *config, kvi_db_t *db, kvi_server_t **result)
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
    *result = server;
    return KV_OK;
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
