/* SPDX-License-Identifier: MIT */
/*
 * Reading a directory's data in while the loop already answers: a thread of its own opens the
 * directory, the server stands on an empty database meanwhile and answers -LOADING to whatever
 * asks for data. When the thread is done the loop puts the loaded database in its place.
 *
 * Thread rule: fields above the line in the struct are the loop's, atomic ones are shared, the rest
 * is the thread's until it has set done.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <concordkv/kv_memory.h>

#include "os/os.h"
#include "server/loader.h"
#include "server/loop_int.h"

/* Loads that take less need no lines about themselves. */
#define PROGRESS_NS UINT64_C(1000000000)

struct kvi_loader {
    kvi_loop_t *loop;
    uv_thread_t thread;
    /* ---- */
    atomic_bool done;
    atomic_bool stop; /* the loop ends: the load is of no use any more */
    atomic_uint_fast64_t bytes;
    atomic_uint_fast64_t bytes_all;
    /* ---- */
    kvi_directory_options_t options;
    kvi_directory_t *directory;
    kvi_recovery_report_t report;
    kv_status_t status;
    uint64_t told_ns;
};

static kv_status_t tell_progress(void *context, const kvi_recovery_progress_t *progress)
{
    kvi_loader_t *const loader = context;
    const kvi_loop_events_t *const events = &loader->loop->events;
    atomic_store_explicit(&loader->bytes, progress->bytes, memory_order_relaxed);
    atomic_store_explicit(&loader->bytes_all, progress->bytes_all, memory_order_relaxed);
    const uint64_t now = kvi_os_monotonic_ns();
    if (atomic_load_explicit(&loader->stop, memory_order_relaxed)) {
        return KV_BUSY;
    }
    if (events->say == NULL || now - loader->told_ns < PROGRESS_NS) {
        return KV_OK;
    }
    loader->told_ns = now;
    char line[160];
    const uint64_t all = progress->bytes_all > 0 ? progress->bytes_all : 1;
    (void)snprintf(line, sizeof line, "loading the %s: %llu of %llu MB, %llu %s, %llu %%",
                   progress->phase == KVI_RECOVERY_SNAPSHOT ? "snapshot" : "log",
                   (unsigned long long)(progress->bytes >> 20),
                   (unsigned long long)(progress->bytes_all >> 20),
                   (unsigned long long)progress->entries,
                   progress->phase == KVI_RECOVERY_SNAPSHOT ? "entries" : "batches",
                   (unsigned long long)(progress->bytes * 100 / all));
    events->say(events->context, line);
    return KV_OK;
}

static void load(void *context)
{
    kvi_loader_t *const loader = context;
    loader->told_ns = kvi_os_monotonic_ns();
    loader->status = kvi_directory_open(&loader->options, &loader->directory, &loader->report);
    atomic_store(&loader->done, true);
    kvi_loop_wake(loader->loop);
}

static void fill_options(kvi_loader_t *loader)
{
    kvi_loop_t *const loop = loader->loop;
    const kvi_config_t *const config = &loop->server->config;
    loader->options = (kvi_directory_options_t){
        .path = config->dir,
        .owner = "kvserver",
        .db = loop->events.db,
        .wal = {.sync = kvi_config_sync(config), .wake = kvi_loop_wake, .wake_context = loop},
        .snapshot_log_bytes =
            config->snapshot_log_bytes > 0 ? (uint64_t)config->snapshot_log_bytes : UINT64_MAX,
        .compress = config->snapshot_compression,
        .progress = tell_progress,
        .progress_context = loader,
    };
    /* What was written fits, whatever the limit is now. */
    loader->options.db.memory_limit = 0;
}

kv_status_t kvi_loader_start(kvi_loop_t *loop)
{
    kvi_loader_t *const loader = kv_store_calloc(1, sizeof *loader);
    if (loader == NULL) {
        return KV_NO_MEMORY;
    }
    loader->loop = loop;
    fill_options(loader);
    loop->server->loading_since_ms = kvi_os_wall_ms();
    loop->server->gates |= KVI_GATE_LOADING;
    if (uv_thread_create(&loader->thread, load, loader) != 0) {
        kv_store_free(loader);
        return KV_NO_MEMORY;
    }
    loop->loader = loader;
    loop->server->loader = loader;
    return KV_OK;
}

/* The loaded database takes the empty one's place. */
static void take_over(kvi_loop_t *loop, kvi_directory_t *directory)
{
    kvi_server_t *const server = loop->server;
    server->directory = directory;
    server->db = kvi_directory_db(directory);
    server->commit = kvi_directory_commit(directory);
    server->config.databases = (int64_t)kvi_db_numbered(server->db);
    server->gates &= ~(unsigned)KVI_GATE_LOADING;
    server->ended_changes = server->changes;
    kvi_server_apply_config(server);
    for (kvi_client_t *client = server->first_client; client != NULL; client = client->next) {
        client->touched = client->touched || client->watches != NULL;
    }
}

void kvi_loader_look(kvi_loop_t *loop)
{
    kvi_loader_t *const loader = loop->loader;
    if (loader == NULL || !atomic_load(&loader->done)) {
        return;
    }
    (void)uv_thread_join(&loader->thread);
    loop->loader = NULL;
    loop->server->loader = NULL;
    const kvi_loop_events_t *const events = &loop->events;
    loop->server->loaded = loader->report;
    if (loader->status == KV_OK) {
        take_over(loop, loader->directory);
        if (events->ready != NULL) {
            events->ready(events->context);
        }
    } else {
        (void)snprintf(loop->failure, sizeof loop->failure, "%s",
                       loader->report.reason[0] != '\0' ? loader->report.reason
                                                        : kv_status_text(loader->status));
        loop->server->shutdown_asked = true;
        uv_stop(&loop->uv);
    }
    kv_store_free(loader);
}

void kvi_loader_progress(const kvi_loader_t *loader, uint64_t *bytes, uint64_t *bytes_all)
{
    *bytes =
        atomic_load_explicit(&((kvi_loader_t *)(uintptr_t)loader)->bytes, memory_order_relaxed);
    *bytes_all =
        atomic_load_explicit(&((kvi_loader_t *)(uintptr_t)loader)->bytes_all, memory_order_relaxed);
}

void kvi_loader_stop(kvi_loader_t *loader)
{
    if (loader != NULL) {
        atomic_store_explicit(&loader->stop, true, memory_order_relaxed);
    }
}

void kvi_loader_close(kvi_loader_t *loader)
{
    if (loader != NULL) {
        kvi_loader_stop(loader);
        (void)uv_thread_join(&loader->thread);
        (void)kvi_directory_close(loader->directory);
        kv_store_free(loader);
    }
}
