/* SPDX-License-Identifier: MIT */
/*
 * INFO: what the server says about itself, in the sections and field names that Redis clients and
 * monitors read. Where Redis counts something that does not exist here (snapshots, replicas), the
 * field says so by its value.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <concordkv/kv_memory.h>
#include <concordkv/kv_version.h>

#include "os/os.h"
#include "resp/text.h"
#include "server/arguments.h"
#include "server/commands.h"
#include "server/info.h"
#include "server/server.h"

typedef void (*section_fn)(const kvi_request_t *request, kvi_text_t *text);

static void print_size(kvi_text_t *text, const char *name, uint64_t bytes)
{
    static const char units[] = "BKMGTP";
    double shown = (double)bytes;
    size_t unit = 0;
    while (shown >= 1024 && unit < sizeof units - 2) {
        shown /= 1024;
        unit++;
    }
    kvi_text_print(text, "%s:%" PRIu64 "\r\n%s_human:%.2f%c\r\n", name, bytes, name, shown,
                   units[unit]);
}

static void print_server(const kvi_request_t *request, kvi_text_t *text)
{
    const kvi_server_t *const server = request->server;
    const int64_t uptime = (request->now_ms - server->started_ms) / 1000;
    struct utsname system = {0};
    (void)uname(&system);
    kvi_text_print(text,
                   "# Server\r\nredis_version:%s\r\nserver_name:concordkv\r\nkv_version:%s\r\n",
                   KVI_REDIS_VERSION, kv_version());
    kvi_text_print(text, "redis_mode:standalone\r\nos:%s %s %s\r\narch_bits:%zu\r\n",
                   system.sysname, system.release, system.machine, sizeof(void *) * 8);
    kvi_text_print(text, "multiplexing_api:libuv\r\nengine:%s\r\nprocess_id:%ld\r\nrun_id:%s\r\n",
                   server->config.engine, (long)getpid(), server->run_id);
    kvi_text_print(text, "tcp_port:%d\r\nserver_time_usec:%" PRId64 "\r\n", server->port,
                   request->now_ms * 1000);
    kvi_text_print(text, "uptime_in_seconds:%" PRId64 "\r\nuptime_in_days:%" PRId64 "\r\nhz:10\r\n",
                   uptime, uptime / 86400);
    kvi_text_print(text, "configured_hz:10\r\nio_threads_active:0\r\n");
}

static void print_clients(const kvi_request_t *request, kvi_text_t *text)
{
    const kvi_server_t *const server = request->server;
    kvi_text_print(text, "# Clients\r\nconnected_clients:%zu\r\ncluster_connections:0\r\n",
                   server->clients);
    kvi_text_print(text, "maxclients:%" PRId64 "\r\nblocked_clients:0\r\ntracking_clients:0\r\n",
                   server->config.maxclients);
}

/* Pages of this process in memory, as the system counts them; 0 when it does not say. */
static uint64_t resident_bytes(void)
{
    unsigned long long all = 0;
    unsigned long long resident = 0;
    FILE *const file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%llu %llu", &all, &resident) != 2) {
        resident = 0;
    }
    (void)fclose(file);
    return (uint64_t)resident * kvi_os_page_size();
}

static uint64_t count_keys(const kvi_request_t *request)
{
    uint64_t keys = 0;
    for (size_t i = 0; i < kvi_db_keyspaces(request->db); i++) {
        const kvi_keyspace_t *const keyspace = kvi_db_keyspace(request->db, i);
        keys += keyspace != NULL ? kvi_keyspace_count(keyspace) : 0;
    }
    return keys;
}

static void print_memory(const kvi_request_t *request, kvi_text_t *text)
{
    kv_memory_stats_t memory = {0};
    (void)kv_memory_stats(&memory);
    const size_t data = kvi_db_memory_used(request->db);
    const size_t used = data + memory.store_obtained_bytes;
    const uint64_t resident = resident_bytes();
    const uint64_t keys = count_keys(request);
    kvi_text_print(text, "# Memory\r\n");
    print_size(text, "used_memory", used);
    print_size(text, "used_memory_rss", resident);
    print_size(text, "used_memory_peak", memory.system_peak_bytes);
    kvi_text_print(text, "used_memory_overhead:%zu\r\nused_memory_dataset:%zu\r\n",
                   memory.store_obtained_bytes, data);
    kvi_text_print(text,
                   "allocator_allocated:%zu\r\nallocator_active:%zu\r\nallocator_resident:%zu\r\n",
                   used, memory.system_bytes - memory.idle_bytes, memory.system_bytes);
    kvi_text_print(text, "allocator_idle:%zu\r\nbytes_per_key:%" PRIu64 "\r\n", memory.idle_bytes,
                   keys > 0 ? data / keys : 0);
    print_size(text, "maxmemory", (uint64_t)request->server->config.maxmemory);
    kvi_text_print(text, "maxmemory_policy:%s\r\nmem_fragmentation_ratio:%.2f\r\n",
                   request->server->config.maxmemory_policy,
                   used > 0 ? (double)resident / (double)used : 0.0);
    kvi_text_print(
        text, "mem_allocator:kv_pool\r\nactive_defrag_running:1\r\nlazyfree_pending_objects:0\r\n");
}

static void print_stats(const kvi_request_t *request, kvi_text_t *text)
{
    const kvi_stats_t *const stats = &request->server->stats;
    kvi_text_print(text, "# Stats\r\ntotal_connections_received:%" PRIu64 "\r\n",
                   stats->connections);
    kvi_text_print(text, "total_commands_processed:%" PRIu64 "\r\n", stats->commands);
    kvi_text_print(text, "instantaneous_ops_per_sec:%" PRIu64 "\r\n",
                   kvi_rate_per_second(&stats->command_rate));
    kvi_text_print(text,
                   "total_net_input_bytes:%" PRIu64 "\r\ntotal_net_output_bytes:%" PRIu64 "\r\n",
                   stats->input_bytes, stats->output_bytes);
    kvi_text_print(text, "instantaneous_input_kbps:%.2f\r\ninstantaneous_output_kbps:%.2f\r\n",
                   (double)kvi_rate_per_second(&stats->input_rate) / 1024,
                   (double)kvi_rate_per_second(&stats->output_rate) / 1024);
    kvi_text_print(text, "rejected_connections:%" PRIu64 "\r\n", stats->connections_rejected);
    kvi_text_print(text, "expired_keys:%" PRIu64 "\r\nevicted_keys:%" PRIu64 "\r\n",
                   kvi_db_expired(request->db) - stats->expired_before,
                   kvi_db_evicted(request->db) - stats->evicted_before);
    kvi_text_print(text, "keyspace_hits:%" PRIu64 "\r\nkeyspace_misses:%" PRIu64 "\r\n",
                   stats->keyspace_hits, stats->keyspace_misses);
    kvi_text_print(text, "pubsub_channels:0\r\npubsub_patterns:0\r\nlatest_fork_usec:0\r\n");
    kvi_text_print(text, "client_output_buffer_limit_disconnections:%" PRIu64 "\r\n",
                   stats->output_limit_closes);
    kvi_text_print(text, "total_error_replies:%" PRIu64 "\r\n", stats->error_replies);
    kvi_text_print(text, "total_protocol_errors:%" PRIu64 "\r\n", stats->protocol_errors);
    kvi_text_print(text, "total_turns:%" PRIu64 "\r\ntotal_writes_processed:%" PRIu64 "\r\n",
                   stats->turns, stats->writes);
}

static void print_replication(const kvi_request_t *request, kvi_text_t *text)
{
    kvi_text_print(text, "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n");
    kvi_text_print(text, "master_replid:%s\r\nmaster_repl_offset:0\r\n", request->server->run_id);
}

static void print_cpu(const kvi_request_t *request, kvi_text_t *text)
{
    struct rusage usage = {0};
    (void)request;
    (void)getrusage(RUSAGE_SELF, &usage);
    kvi_text_print(text, "# CPU\r\nused_cpu_sys:%ld.%06ld\r\nused_cpu_user:%ld.%06ld\r\n",
                   (long)usage.ru_stime.tv_sec, (long)usage.ru_stime.tv_usec,
                   (long)usage.ru_utime.tv_sec, (long)usage.ru_utime.tv_usec);
}

static void print_modules(const kvi_request_t *request, kvi_text_t *text)
{
    (void)request;
    kvi_text_print(text, "# Modules\r\n");
}

static void print_commandstats(const kvi_request_t *request, kvi_text_t *text)
{
    const kvi_command_t *command;
    kvi_text_print(text, "# Commandstats\r\n");
    for (size_t i = 0; (command = kvi_command_at(i)) != NULL; i++) {
        const kvi_command_stats_t *const stats = &request->server->command_stats[i];
        if (stats->calls == 0 && stats->rejected == 0) {
            continue;
        }
        /* Every so many-th call is timed; the others are taken to be alike. */
        const double each = stats->timed_calls > 0
                                ? (double)stats->timed_ns / 1000 / (double)stats->timed_calls
                                : 0;
        kvi_text_print(text, "cmdstat_%s:calls=%" PRIu64 ",usec=%.0f,usec_per_call=%.2f",
                       command->name, stats->calls, each * (double)stats->calls, each);
        kvi_text_print(text, ",rejected_calls=%" PRIu64 ",failed_calls=%" PRIu64 "\r\n",
                       stats->rejected, stats->failed);
    }
}

static void print_errorstats(const kvi_request_t *request, kvi_text_t *text)
{
    const kvi_stats_t *const stats = &request->server->stats;
    kvi_text_print(text, "# Errorstats\r\n");
    for (size_t i = 0; i < stats->error_kinds; i++) {
        kvi_text_print(text, "errorstat_%s:count=%" PRIu64 "\r\n", stats->errors[i].code,
                       stats->errors[i].count);
    }
}

static void print_cluster(const kvi_request_t *request, kvi_text_t *text)
{
    (void)request;
    kvi_text_print(text, "# Cluster\r\ncluster_enabled:0\r\n");
}

/* How late keys were removed: counts by powers of two of milliseconds. */
static void print_expirylag(const kvi_request_t *request, kvi_text_t *text)
{
    const uint64_t *const lags = kvi_db_lags(request->db);
    kvi_text_print(text, "# Expirylag\r\n");
    for (unsigned i = 0; i < KVI_LAG_BUCKETS; i++) {
        if (lags[i] > 0) {
            kvi_text_print(text, "expired_within_%" PRIu64 "ms:%" PRIu64 "\r\n", UINT64_C(1) << i,
                           lags[i]);
        }
    }
}

static void print_keyspace(const kvi_request_t *request, kvi_text_t *text)
{
    kvi_text_print(text, "# Keyspace\r\n");
    for (size_t i = 0; i < kvi_db_keyspaces(request->db); i++) {
        const kvi_keyspace_t *const keyspace = kvi_db_keyspace(request->db, i);
        const uint64_t keys = keyspace != NULL ? kvi_keyspace_count(keyspace) : 0;
        if (keys > 0) {
            kvi_text_print(text, "db%zu:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0\r\n", i,
                           keys, kvi_keyspace_deadlines(keyspace));
        }
    }
}

typedef struct info_section {
    const char *name;
    section_fn print;
    bool usual; /* part of INFO without a section */
} info_section_t;

static const info_section_t info_sections[] = {
    {"server", print_server, true},
    {"clients", print_clients, true},
    {"memory", print_memory, true},
    {"persistence", kvi_info_persistence, true},
    {"stats", print_stats, true},
    {"replication", print_replication, true},
    {"cpu", print_cpu, true},
    {"modules", print_modules, true},
    {"commandstats", print_commandstats, false},
    {"errorstats", print_errorstats, true},
    {"cluster", print_cluster, true},
    {"expirylag", print_expirylag, true},
    {"keyspace", print_keyspace, true},
    {"keyspaces", kvi_info_keyspaces, true},
};

static bool is_wanted(const kvi_request_t *request, const info_section_t *section)
{
    if (request->argc == 1) {
        return section->usual;
    }
    for (size_t i = 1; i < request->argc; i++) {
        const kv_slice_t name = request->argv[i];
        if (kvi_argument_is(name, section->name) || kvi_argument_is(name, "all") ||
            kvi_argument_is(name, "everything") ||
            (section->usual && kvi_argument_is(name, "default"))) {
            return true;
        }
    }
    return false;
}

void kvi_cmd_info(kvi_request_t *request)
{
    kvi_text_t text = {0};
    for (size_t i = 0; i < sizeof info_sections / sizeof info_sections[0]; i++) {
        if (is_wanted(request, &info_sections[i])) {
            if (text.size > 0) {
                kvi_text_print(&text, "\r\n");
            }
            info_sections[i].print(request, &text);
        }
    }
    if (text.failed) {
        kvi_reply_error(request->reply, "ERR out of memory");
    } else {
        kvi_reply_verbatim(request->reply, "txt", kvi_text_slice(&text));
    }
    kvi_text_close(&text);
}
