/* SPDX-License-Identifier: MIT */
/* Databases of programs: opening, turns, housekeeping, files, figures. */
#include <stdio.h>
#include <string.h>

#include "embed/embed_int.h"

#define TURN_STEPS ((size_t)32) /* of housekeeping, in one write of so many */
#define TURN_WRITES 32
#define MAINTAIN_STEPS ((size_t)256)
#define WAIT_NS UINT64_C(100000000) /* after which the log is looked at without having been woken */

/* ---- turns ---- */

static void submit(void *context, const kvi_op_t *op, int64_t now_ms, kvi_op_result_t *result)
{
    kv_db_t *const db = context;
    kvi_commit_submit(db->commit, op, now_ms, result);
}

/* On the log's thread, or on that of a snapshot file. */
static void files_have_moved(void *context)
{
    kv_db_t *const db = context;
    kvi_os_lock(&db->wake_mutex);
    atomic_fetch_add(&db->moves, 1);
    kvi_os_wake_all(&db->wake);
    kvi_os_unlock(&db->wake_mutex);
}

void kvi_embed_begin(kv_db_t *db)
{
    kvi_gate_close(&db->gate);
    db->turn_moves = atomic_load(&db->moves);
}

void kvi_embed_wait(kv_db_t *db, uint64_t moves)
{
    const uint64_t end = kvi_os_monotonic_ns() + WAIT_NS;
    kvi_os_lock(&db->wake_mutex);
    bool waits = true;
    while (waits && atomic_load(&db->moves) == moves) {
        waits = kvi_os_wait_until(&db->wake, &db->wake_mutex, end);
    }
    kvi_os_unlock(&db->wake_mutex);
}

kv_status_t kvi_embed_log_status(kv_db_t *db)
{
    kvi_commit_state_t state;
    const unsigned lane = kvi_gate_enter(&db->gate);
    db->commit->ops->state(db->commit, &state);
    kvi_gate_leave(&db->gate, lane);
    return state.status;
}

kv_status_t kvi_embed_wait_durable(kv_db_t *db, uint64_t lsn)
{
    for (;;) {
        const uint64_t moves = atomic_load(&db->moves);
        if (db->commit->ops->durable(db->commit) >= lsn) {
            return KV_OK;
        }
        const kv_status_t status = kvi_embed_log_status(db);
        if (status != KV_OK && status != KV_DISK_FULL) { /* what was accepted has its room */
            return status;
        }
        kvi_embed_wait(db, moves);
    }
}

kv_status_t kvi_embed_end(kv_db_t *db, kv_status_t status)
{
    if (++db->writes % TURN_WRITES == 0) {
        (void)kvi_embed_housekeep(db, TURN_STEPS);
    }
    const uint64_t moves = db->turn_moves;
    const uint64_t lsn = db->commit->ops->end_turn(db->commit);
    (void)kvi_embed_step_files(db);
    kvi_gate_open(&db->gate);
    if (status == KV_BUSY) { /* the disk lags */
        kvi_embed_wait(db, moves);
    }
    if (status != KV_OK || lsn == 0) {
        return status;
    }
    return kvi_embed_wait_durable(db, lsn);
}

kv_status_t kvi_embed_run(kv_keyspace_t *keyspace, kvi_op_t *op, kvi_op_result_t *result)
{
    kv_db_t *const db = keyspace->db;
    kv_status_t status;
    do {
        kvi_embed_begin(db);
        *result = (kvi_op_result_t){.status = KV_INVALID};
        if (kvi_embed_is_there(keyspace)) {
            op->keyspace = keyspace->data->number;
            kvi_db_submit(db->data, op, kvi_embed_now(db), &db->submitter, result);
        }
        status = kvi_embed_end(db, result->status);
    } while (status == KV_BUSY);
    return status;
}

/* ---- housekeeping ---- */

static bool housekeep_keyspace(kv_db_t *db, kvi_keyspace_t *keyspace, size_t steps)
{
    const int64_t now_ms = kvi_embed_now(db);
    const int64_t deadline_ms = kvi_keyspace_next_deadline(keyspace);
    if (deadline_ms != KVI_NO_DEADLINE && deadline_ms < now_ms) {
        const kvi_op_t op = {.kind = KVI_OP_EXPIRE, .keyspace = keyspace->number, .count = steps};
        kvi_op_result_t result;
        submit(db, &op, now_ms, &result);
        return result.status == KV_OK;
    }
    if (kvi_keyspace_convert(keyspace, steps) == steps) {
        return true;
    }
    return kvi_keyspace_relocate(keyspace, steps) == steps;
}

bool kvi_embed_housekeep(kv_db_t *db, size_t steps)
{
    if (kvi_db_shrink(db->data, steps, &db->submitter) > 0) {
        return true;
    }
    const size_t count = kvi_db_keyspaces(db->data);
    for (size_t i = 0; i < count; i++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(db->data, (db->next_keyspace + i) % count);
        if (keyspace != NULL && housekeep_keyspace(db, keyspace, steps)) {
            db->next_keyspace = (db->next_keyspace + i) % count;
            return true;
        }
    }
    return false;
}

bool kv_db_maintain(kv_db_t *db, uint64_t budget_us)
{
    if (db == NULL) {
        return false;
    }
    const uint64_t end = kvi_os_monotonic_ns() + budget_us * 1000;
    bool more;
    do {
        kvi_embed_begin(db);
        more = kvi_embed_housekeep(db, MAINTAIN_STEPS);
        (void)db->commit->ops->end_turn(db->commit);
        more = kvi_embed_step_files(db) || more;
        kvi_gate_hand_over(&db->gate);
    } while (more && kvi_os_monotonic_ns() < end);
    return more;
}

/* ---- opening and closing ---- */

static int64_t system_clock(void *context)
{
    (void)context;
    return kvi_os_wall_ms();
}

static void say(const kv_db_options_t *options, const char *text)
{
    if (options->error != NULL && options->error_bytes > 0) {
        (void)snprintf(options->error, options->error_bytes, "%s", text);
    }
}

static kv_status_t open_directory(kv_db_t *db, const char *path, const kv_db_options_t *options,
                                  const kvi_db_options_t *data)
{
    const kvi_directory_options_t chosen = {
        .path = path,
        .db = *data,
        .wal = {.sync = (kvi_sync_t)options->sync, .wake = files_have_moved, .wake_context = db},
        .snapshot_log_bytes = options->snapshot_log_bytes,
        .compress = options->compress,
        .must_exist = options->must_exist};
    kvi_recovery_report_t *const report = kv_store_calloc(1, sizeof(*report));
    if (report == NULL) {
        return KV_NO_MEMORY;
    }
    const kv_status_t status = kvi_directory_open(&chosen, &db->directory, report);
    if (status != KV_OK) {
        say(options, report->reason);
    } else {
        db->data = kvi_directory_db(db->directory);
        db->commit = kvi_directory_commit(db->directory);
    }
    kv_store_free(report);
    return status;
}

static kv_status_t open_memory(kv_db_t *db, const kvi_db_options_t *data)
{
    const kv_status_t status = kvi_db_open(data, &db->data);
    return status != KV_OK ? status : kvi_commit_none_open(db->data, &db->commit);
}

static kv_status_t choose_data(const kv_db_options_t *options, kvi_db_options_t *data)
{
    *data = (kvi_db_options_t){.memory_limit = options->memory_limit};
    if (options->eviction < KV_EVICT_DEFAULT || options->eviction > KV_EVICT_VOLATILE_TTL ||
        options->sync < KV_SYNC_DEFAULT || options->sync > KV_SYNC_NO) {
        return KV_INVALID;
    }
    if (options->engine != NULL) {
        data->engine = kv_engine_find(options->engine);
        if (data->engine == NULL) {
            return KV_UNSUPPORTED;
        }
    }
    (void)kvi_os_random(&data->hash_seed, sizeof(data->hash_seed));
    return KV_OK;
}

kv_status_t kv_db_open(const char *path, const kv_db_options_t *options, kv_db_t **db)
{
    static const kv_db_options_t defaults = {0};
    const kv_db_options_t *const chosen = options != NULL ? options : &defaults;
    kvi_db_options_t data;
    if (db == NULL) {
        return KV_INVALID;
    }
    say(chosen, "");
    kv_status_t status = choose_data(chosen, &data);
    kv_db_t *const opened = status == KV_OK ? kv_store_calloc(1, sizeof(*opened)) : NULL;
    if (opened == NULL) {
        status = status != KV_OK ? status : KV_NO_MEMORY;
        say(chosen, kv_status_text(status));
        return status;
    }
    opened->clock = chosen->clock != NULL ? chosen->clock : system_clock;
    opened->clock_context = chosen->clock_context;
    opened->submitter = (kvi_submitter_t){submit, opened};
    status =
        path != NULL ? open_directory(opened, path, chosen, &data) : open_memory(opened, &data);
    if (status != KV_OK) {
        if (chosen->error != NULL && chosen->error_bytes > 0 && chosen->error[0] == 0) {
            say(chosen, kv_status_text(status));
        }
        (void)kv_db_close(opened);
        return status;
    }
    kvi_db_set_eviction(opened->data, (kvi_eviction_t)chosen->eviction);
    *db = opened;
    return KV_OK;
}

kv_status_t kv_db_close(kv_db_t *db)
{
    if (db == NULL) {
        return KV_OK;
    }
    kv_status_t status = KV_OK;
    if (db->directory != NULL) {
        status = kvi_directory_close(db->directory);
    } else {
        if (db->commit != NULL) {
            db->commit->ops->close(db->commit);
        }
        kvi_db_close(db->data);
    }
    kv_store_free(db);
    return status;
}

/* ---- settings and figures ---- */

kv_status_t kv_db_set_memory_limit(kv_db_t *db, size_t bytes)
{
    if (db == NULL) {
        return KV_INVALID;
    }
    kvi_embed_begin(db);
    kvi_db_set_memory_limit(db->data, bytes);
    kvi_gate_open(&db->gate);
    return KV_OK;
}

kv_status_t kv_db_set_eviction(kv_db_t *db, kv_eviction_t eviction)
{
    if (db == NULL || eviction < KV_EVICT_DEFAULT || eviction > KV_EVICT_VOLATILE_TTL) {
        return KV_INVALID;
    }
    kvi_embed_begin(db);
    kvi_db_set_eviction(db->data, (kvi_eviction_t)eviction);
    kvi_gate_open(&db->gate);
    return KV_OK;
}

kv_status_t kv_db_set_sync(kv_db_t *db, kv_sync_t sync)
{
    if (db == NULL || sync < KV_SYNC_DEFAULT || sync > KV_SYNC_NO) {
        return KV_INVALID;
    }
    kvi_embed_begin(db);
    db->commit->ops->set_sync(db->commit, (kvi_sync_t)sync);
    kvi_gate_open(&db->gate);
    return KV_OK;
}

static void count_keyspaces(kv_db_t *db, kv_db_stats_t *stats)
{
    for (size_t i = 0; i < kvi_db_keyspaces(db->data); i++) {
        const kvi_keyspace_t *const keyspace = kvi_db_keyspace(db->data, i);
        if (keyspace != NULL) {
            stats->keyspaces++;
            stats->entries += kvi_keyspace_count(keyspace);
        }
    }
}

kv_status_t kv_db_stats(kv_db_t *db, kv_db_stats_t *stats)
{
    if (db == NULL || stats == NULL) {
        return KV_INVALID;
    }
    kvi_embed_begin(db);
    kvi_commit_state_t state;
    db->commit->ops->state(db->commit, &state);
    *stats = (kv_db_stats_t){.memory_bytes = kvi_db_memory_used(db->data),
                             .memory_limit = kvi_db_memory_limit(db->data),
                             .changes = kvi_db_changes(db->data),
                             .expired = kvi_db_expired(db->data),
                             .evicted = kvi_db_evicted(db->data),
                             .lsn = state.lsn,
                             .durable_lsn = state.durable_lsn,
                             .log_bytes = state.log_bytes,
                             .log = state.status};
    (void)snprintf(stats->log_reason, sizeof(stats->log_reason), "%s", state.reason);
    count_keyspaces(db, stats);
    if (db->directory != NULL) {
        kvi_directory_state_t directory;
        kvi_directory_state(db->directory, &directory);
        stats->saving = directory.running;
        stats->last_save = directory.last_status;
    }
    kvi_gate_open(&db->gate);
    return KV_OK;
}
