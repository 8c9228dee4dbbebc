/* SPDX-License-Identifier: MIT */
/*
 * Recovery: a snapshot is loaded while it is verified, chunk by chunk; one that turns out damaged
 * is unloaded again and the next older one tried. The log then has to reach from there to at least
 * where every newer snapshot was, or data that somebody was promised are missing.
 */
#include "log/recovery.h"

#include <stdio.h>

#include <concordkv/kv_memory.h>

#include "base/bytes.h"
#include "db/batch.h"
#include "db/load.h"
#include "log/snapshot_file.h"
#include "os/os.h"

#define GROUP ((size_t)64) /* entries that are loaded together */
#define PROGRESS_BYTES ((uint64_t)4 << 20)
/* An entry takes at least so much of a file: no table may ask for room for more. */
#define ENTRY_BYTES_MIN 3
#define WAYS_ON                                                                            \
    "Either restore a backup, or save what can be saved: kvtool repair, which works on a " \
    "copy and says what is lost."

typedef struct recovery {
    kvi_files_t *files;
    kvi_db_t *db;
    kvi_recovery_progress_fn progress;
    void *context;
    kvi_recovery_report_t *report;
    uint64_t told_bytes;     /* of this phase */
    uint64_t damaged_lsn;    /* of the newest snapshot that was passed over */
    char damage[320];        /* what is wrong with it */
    kvi_key_counts_t counts; /* of the log's newest segment */
    uint64_t keys_max;       /* no count can be right that is above it */
    size_t keyspaces;        /* that have been told what to expect */
} recovery_t;

static kv_status_t tell(recovery_t *recovery, kvi_recovery_phase_t phase, uint64_t bytes,
                        uint64_t bytes_all, uint64_t entries)
{
    const bool last = bytes == bytes_all;
    if (recovery->progress == NULL ||
        (!last && bytes - recovery->told_bytes < PROGRESS_BYTES && bytes > 0)) {
        return KV_OK;
    }
    recovery->told_bytes = bytes;
    const kvi_recovery_progress_t progress = {phase, bytes, bytes_all, entries};
    return recovery->progress(recovery->context, &progress);
}

static kv_status_t refuse(recovery_t *recovery, kv_status_t status, const char *reason)
{
    (void)snprintf(recovery->report->reason, sizeof(recovery->report->reason), "%s", reason);
    return status;
}

/* ---- room ---- */

static void read_counts(recovery_t *recovery)
{
    uint64_t log_bytes;
    kvi_wal_key_counts(recovery->files, &recovery->counts, &log_bytes);
    recovery->keys_max = log_bytes / ENTRY_BYTES_MIN;
}

/* How many keys the keyspace will have, as far as the log tells; 0: it does not. */
static uint64_t expected_later(const recovery_t *recovery, uint32_t number)
{
    for (size_t i = 0; i < recovery->counts.count; i++) {
        if (recovery->counts.of[i].keyspace == number) {
            const uint64_t keys = recovery->counts.of[i].keys;
            return keys < recovery->keys_max ? keys : recovery->keys_max;
        }
    }
    return 0;
}

/* For the keyspaces that are there now and were not at the last call. */
static void expect(recovery_t *recovery)
{
    const size_t count = kvi_db_keyspaces(recovery->db);
    for (size_t i = recovery->keyspaces; i < count; i++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(recovery->db, i);
        if (keyspace != NULL) {
            kvi_keyspace_expect(keyspace, (size_t)expected_later(recovery, (uint32_t)i));
        }
    }
    recovery->keyspaces = count;
}

/* ---- a snapshot ---- */

static kv_status_t load_keyspaces(recovery_t *recovery, kvi_chunk_view_t *view, uint64_t file_bytes)
{
    kvi_snapshot_keyspace_t row;
    kv_status_t status;
    while ((status = kvi_chunk_next_keyspace(view, &row)) == KV_OK) {
        status = kvi_db_load_keyspace(recovery->db, row.number, row.name, row.attributes);
        if (status != KV_OK) {
            (void)snprintf(recovery->report->reason, sizeof(recovery->report->reason),
                           "keyspace %u cannot be opened: %s. Was the directory made with another "
                           "number of numbered keyspaces, or with engines that this build lacks?",
                           row.number, kv_status_text(status));
            return status == KV_CORRUPT ? KV_INVALID : status;
        }
        const uint64_t most = file_bytes / ENTRY_BYTES_MIN;
        const uint64_t count = row.expected_count < most ? row.expected_count : most;
        const uint64_t later = expected_later(recovery, row.number);
        kvi_keyspace_expect(kvi_db_keyspace(recovery->db, row.number),
                            (size_t)(count > later ? count : later));
    }
    return status;
}

static kv_status_t load_group(recovery_t *recovery, uint32_t number, size_t count,
                              const kvi_loaded_t *group)
{
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(recovery->db, number);
    if (count == 0) {
        return KV_OK;
    }
    return keyspace == NULL ? KV_CORRUPT : kvi_keyspace_load(keyspace, count, group);
}

static kv_status_t load_entries(recovery_t *recovery, kvi_chunk_view_t *view)
{
    kvi_loaded_t group[GROUP];
    size_t count = 0;
    uint32_t keyspace = 0;
    kvi_snapshot_entry_t entry;
    kv_status_t status;
    while ((status = kvi_chunk_next_entry(view, &entry)) == KV_OK) {
        if (count == GROUP || entry.keyspace != keyspace) {
            status = load_group(recovery, keyspace, count, group);
            if (status != KV_OK) {
                return status;
            }
            count = 0;
            keyspace = entry.keyspace;
        }
        group[count++] = (kvi_loaded_t){.key = entry.key,
                                        .value = entry.value,
                                        .form = entry.form,
                                        .deadline_ms = entry.deadline_ms,
                                        .access = entry.access};
    }
    const kv_status_t loaded = load_group(recovery, keyspace, count, group);
    return loaded != KV_OK ? loaded : status;
}

/* All chunks; KV_NOT_FOUND at the end. */
static kv_status_t load_chunks(recovery_t *recovery, kvi_snapshot_reader_t *reader,
                               kvi_snapshot_fault_t *fault)
{
    const uint64_t bytes = kvi_snapshot_reader_bytes(reader);
    kvi_snapshot_totals_t totals;
    kvi_chunk_view_t view;
    kv_status_t status;
    recovery->told_bytes = 0;
    while ((status = kvi_snapshot_reader_next(reader, &view, fault)) == KV_OK) {
        status = view.kind == KVI_CHUNK_KEYSPACES ? load_keyspaces(recovery, &view, bytes)
                                                  : load_entries(recovery, &view);
        if (status == KV_CORRUPT) {
            fault->offset = view.offset;
            (void)snprintf(fault->reason, sizeof(fault->reason), "a chunk contradicts itself");
        }
        if (status != KV_NOT_FOUND) {
            return status;
        }
        kvi_snapshot_reader_totals(reader, &totals);
        status = tell(recovery, KVI_RECOVERY_SNAPSHOT, totals.bytes, bytes, totals.entries);
        if (status != KV_OK) {
            return status;
        }
    }
    kvi_snapshot_reader_totals(reader, &totals);
    recovery->report->snapshot_entries = totals.entries;
    recovery->report->snapshot_bytes = bytes;
    return status;
}

static kv_status_t load_snapshot(recovery_t *recovery, const char *name, kvi_snapshot_name_t id,
                                 kvi_snapshot_fault_t *fault)
{
    kvi_snapshot_reader_t *reader;
    kv_status_t status = kvi_snapshot_reader_open(recovery->files, name, &reader, fault);
    if (status != KV_OK) {
        return status;
    }
    const kvi_snapshot_head_t *const head = kvi_snapshot_reader_head(reader);
    if (head->lsn != id.lsn || head->term != id.term) {
        status = KV_CORRUPT;
        fault->offset = 0;
        (void)snprintf(fault->reason, sizeof(fault->reason), "its header tells another LSN %llu",
                       (unsigned long long)head->lsn);
    } else {
        status = load_chunks(recovery, reader, fault);
    }
    if (status == KV_NOT_FOUND) {
        kvi_db_advance_time(recovery->db, head->time_ms);
        recovery->report->snapshot_ms = head->time_ms;
        status = KV_OK;
    }
    kvi_snapshot_reader_close(reader);
    return status;
}

/* KV_OK: loaded; KV_NOT_FOUND: damaged, the next is to be tried; else: refused. */
static kv_status_t try_snapshot(recovery_t *recovery, kvi_snapshot_name_t id)
{
    kvi_recovery_report_t *const report = recovery->report;
    char name[KVI_FILE_NAME_BYTES];
    kvi_snapshot_fault_t fault = {0};
    kvi_snapshot_name_print(id, name);
    const kv_status_t status = load_snapshot(recovery, name, id, &fault);
    if (status == KV_OK) {
        (void)snprintf(report->snapshot, sizeof(report->snapshot), "%s", name);
        report->snapshot_lsn = id.lsn;
        report->term = id.term;
        return KV_OK;
    }
    if (status == KV_CORRUPT) {
        if (report->snapshots_damaged++ == 0) {
            recovery->damaged_lsn = id.lsn;
            (void)snprintf(recovery->damage, sizeof(recovery->damage),
                           "%s is damaged at offset %llu (LSN %llu): %s", name,
                           (unsigned long long)fault.offset, (unsigned long long)id.lsn,
                           fault.reason);
        }
        kvi_db_unload(recovery->db);
        return KV_NOT_FOUND;
    }
    if (report->reason[0] == '\0') {
        const bool of_files = status == KV_IO || status == KV_NOT_FOUND;
        (void)snprintf(report->reason, sizeof(report->reason), "%s: %s", name,
                       fault.reason[0] != '\0' ? fault.reason
                       : of_files              ? kvi_files_reason()
                                               : kv_status_text(status));
    }
    return status == KV_NOT_FOUND ? KV_IO : status;
}

static kv_status_t load_newest(recovery_t *recovery)
{
    kvi_snapshot_name_t *names;
    size_t count;
    kv_status_t status = kvi_snapshot_list(recovery->files, &names, &count);
    if (status != KV_OK) {
        return refuse(recovery, status, status == KV_IO ? kvi_files_reason() : "out of memory");
    }
    status = KV_NOT_FOUND;
    for (size_t i = 0; i < count && status == KV_NOT_FOUND; i++) {
        status = try_snapshot(recovery, names[i]);
    }
    kv_store_free(names);
    return status == KV_NOT_FOUND ? KV_OK : status;
}

/* ---- the log ---- */

static kv_status_t apply_batch(void *context, uint64_t lsn, uint64_t term, kv_slice_t bytes)
{
    recovery_t *const recovery = context;
    kvi_recovery_report_t *const report = recovery->report;
    expect(recovery);
    const kv_status_t status = kvi_db_replay(recovery->db, bytes);
    report->term = term > report->term ? term : report->term;
    if (status == KV_CORRUPT || status == KV_NEWER || status == KV_NO_MEMORY ||
        status == KV_QUOTA) {
        (void)snprintf(report->reason, sizeof(report->reason),
                       "the log's batch of LSN %llu cannot be applied: %s. %s",
                       (unsigned long long)lsn, kv_status_text(status),
                       status == KV_CORRUPT ? WAYS_ON : "");
        return status;
    }
    /* The error of an atomic batch: it changed nothing then as now. */
    return KV_OK;
}

static kv_status_t forward_progress(void *context, uint64_t bytes_read, uint64_t bytes_all)
{
    recovery_t *const recovery = context;
    return tell(recovery, KVI_RECOVERY_LOG, bytes_read, bytes_all, recovery->report->wal.batches);
}

static kv_status_t replay_log(recovery_t *recovery)
{
    kvi_recovery_report_t *const report = recovery->report;
    const kvi_wal_visitor_t visitor = {
        .context = recovery, .batch = apply_batch, .progress = forward_progress};
    recovery->told_bytes = 0;
    const kv_status_t status =
        kvi_wal_read(recovery->files, report->snapshot_lsn, &visitor, &report->wal);
    if (status != KV_OK) {
        if (report->reason[0] == '\0') {
            const char *const wal = report->wal.reason;
            (void)snprintf(report->reason, sizeof(report->reason), "%s%s%s", recovery->damage,
                           recovery->damage[0] != '\0' ? "; and without it: " : "",
                           wal[0] != '\0'           ? wal
                           : status == KV_NO_MEMORY ? kv_status_text(status)
                                                    : kvi_files_reason());
        }
        return status;
    }
    if (recovery->damaged_lsn > report->wal.last_lsn) {
        (void)snprintf(report->reason, sizeof(report->reason),
                       "%s, and the log that is left ends at LSN %llu before it. " WAYS_ON,
                       recovery->damage, (unsigned long long)report->wal.last_lsn);
        return KV_CORRUPT;
    }
    return KV_OK;
}

kv_status_t kvi_recover(kvi_files_t *files, kvi_db_t *db, kvi_recovery_progress_fn progress,
                        void *context, kvi_recovery_report_t *report)
{
    *report = (kvi_recovery_report_t){0};
    recovery_t recovery = {
        .files = files, .db = db, .progress = progress, .context = context, .report = report};
    const uint64_t begun = kvi_os_monotonic_ns();
    kvi_db_load_begin(db);
    read_counts(&recovery);
    kv_status_t status = load_newest(&recovery);
    if (status == KV_OK) {
        status = replay_log(&recovery);
    }
    kvi_db_load_end(db);
    report->nanoseconds = kvi_os_monotonic_ns() - begun;
    return status;
}
