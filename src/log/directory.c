/* SPDX-License-Identifier: MIT */
/*
 * A database that lives in a directory: what has to happen in which order, from the lock to the
 * log, and when snapshots are made. directory.h has the picture.
 *
 * Invariants:
 *  1. Segments and snapshots go only after a newer snapshot was published.
 *  2. The metadata of a new database exist before its log does; those of a backup come after its
 *     snapshot. So files without metadata are never taken for a database.
 */
#include "log/directory.h"

#include <stdio.h>
#include <string.h>

#include <concordkv/kv_memory.h>

#include "log/metadata.h"
#include "log/snapshot.h"
#include "log/snapshot_file.h"
#include "os/os.h"

#define LOCK_NAME "LOCK"
#define LOCK_TEXT_BYTES ((size_t)128)
#define KEYSPACES_DEFAULT ((size_t)16)
#define KEYSPACES_MAX ((uint64_t)1 << 24) /* more were never made */

struct kvi_directory {
    kvi_files_t *files;
    bool owns_files;
    kvi_file_t *lock;
    kvi_metadata_t metadata;
    kvi_db_t *db;
    size_t keyspaces; /* numbered ones */
    kvi_commit_t *commit;
    kvi_directory_options_t options;
    kvi_snapshot_t *snapshot;  /* NULL: none is running */
    kvi_files_t *backup_files; /* of a running backup */
    uint64_t snapshot_begun_ns;
    uint64_t snapshot_changes; /* of the database, when the running one was begun */
    uint64_t changes_saved;    /* of the database, when the last good one was begun */
    uint64_t log_bytes_saved;  /* of the log, after the last good one */
    kvi_directory_state_t state;
};

/* ---- what a directory holds ---- */

typedef struct contents {
    bool metadata;
    bool segments;
    bool snapshots;
} contents_t;

static void look_at_name(void *context, const char *name)
{
    contents_t *const contents = context;
    kvi_wal_name_t segment;
    kvi_snapshot_name_t snapshot;
    contents->metadata = contents->metadata || kvi_metadata_is_name(name);
    contents->segments = contents->segments || kvi_wal_name_parse(name, &segment);
    contents->snapshots = contents->snapshots || kvi_snapshot_name_parse(name, &snapshot);
}

/* Names of files that are to be removed, gathered because a list must not change under its walk. */
typedef struct doomed {
    kvi_snapshot_name_t newest; /* older snapshots go */
    bool with_temporary;
    char (*names)[KVI_FILE_NAME_BYTES];
    size_t count;
    size_t capacity;
} doomed_t;

static void gather_doomed(void *context, const char *name)
{
    doomed_t *const doomed = context;
    kvi_snapshot_name_t snapshot;
    const bool older = kvi_snapshot_name_parse(name, &snapshot) &&
                       (snapshot.lsn < doomed->newest.lsn || (snapshot.lsn == doomed->newest.lsn &&
                                                              snapshot.term < doomed->newest.term));
    const bool leftover = doomed->with_temporary && kvi_snapshot_name_is_temporary(name);
    if (!older && !leftover) {
        return;
    }
    if (doomed->count == doomed->capacity) {
        const size_t capacity = doomed->capacity + 16;
        void *const grown = kv_store_realloc(doomed->names, capacity * sizeof(*doomed->names));
        if (grown == NULL) {
            return; /* it goes the next time */
        }
        doomed->names = grown;
        doomed->capacity = capacity;
    }
    (void)snprintf(doomed->names[doomed->count++], KVI_FILE_NAME_BYTES, "%s", name);
}

/* Removes snapshots that are older than this one. What cannot be removed costs room, nothing else,
 * and goes the next time. */
static void remove_older(kvi_files_t *files, kvi_snapshot_name_t newest, bool with_temporary)
{
    doomed_t doomed = {.newest = newest, .with_temporary = with_temporary};
    (void)files->ops->list(files, gather_doomed, &doomed);
    for (size_t i = 0; i < doomed.count; i++) {
        (void)files->ops->remove(files, doomed.names[i]);
    }
    kv_store_free(doomed.names);
}

/* ---- opening ---- */

static kv_status_t refuse(kvi_recovery_report_t *report, kv_status_t status, const char *reason)
{
    if (report->reason[0] == '\0') {
        (void)snprintf(report->reason, sizeof(report->reason), "%s", reason);
    }
    return status;
}

static kv_status_t refuse_files(kvi_recovery_report_t *report, kv_status_t status)
{
    const bool of_files = status == KV_IO || status == KV_DISK_FULL || status == KV_NOT_FOUND;
    return refuse(report, status, of_files ? kvi_files_reason() : kv_status_text(status));
}

/* Who holds the lock, as the file says it. */
static void read_owner(kvi_files_t *files, char text[LOCK_TEXT_BYTES])
{
    kvi_file_t *file;
    size_t got = 0;
    text[0] = '\0';
    if (files->ops->open(files, LOCK_NAME, KVI_OPEN_READ, &file) == KV_OK) {
        if (files->ops->read_at(file, 0, text, LOCK_TEXT_BYTES - 1, &got) != KV_OK) {
            got = 0;
        }
        files->ops->close(file);
    }
    text[got] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

static kv_status_t take_lock(kvi_directory_t *directory, kvi_recovery_report_t *report)
{
    kvi_files_t *const files = directory->files;
    const char *const path = directory->options.path;
    const kv_status_t status = files->ops->lock(files, LOCK_NAME, &directory->lock);
    char text[LOCK_TEXT_BYTES];
    if (status == KV_BUSY) {
        read_owner(files, text);
        (void)snprintf(report->reason, sizeof(report->reason), "the directory %s is in use by %s",
                       path != NULL ? path : "", text[0] != '\0' ? text : "another process");
        return KV_BUSY;
    }
    if (status != KV_OK) {
        return refuse_files(report, status);
    }
    const char *const owner = directory->options.owner;
    const int size =
        snprintf(text, sizeof(text), "%.80s, process %llu\n", owner != NULL ? owner : "a program",
                 (unsigned long long)kvi_os_process_id());
    /* For people only: the lock holds without it. */
    (void)files->ops->truncate(directory->lock, 0);
    (void)files->ops->write_at(directory->lock, 0, text, (size_t)size);
    return KV_OK;
}

static kv_status_t read_metadata(kvi_directory_t *directory, bool *is_new,
                                 kvi_recovery_report_t *report)
{
    contents_t contents = {0};
    kvi_files_t *const files = directory->files;
    *is_new = false;
    kv_status_t status = files->ops->list(files, look_at_name, &contents);
    if (status == KV_OK) {
        status = kvi_metadata_read(files, &directory->metadata);
    }
    if (status == KV_NEWER) {
        return refuse(report, status,
                      "the directory was made by a newer version of ConcordKV; use that one");
    }
    if (status != KV_NOT_FOUND && status != KV_CORRUPT) {
        return status == KV_OK ? KV_OK : refuse_files(report, status);
    }
    if (contents.segments || contents.snapshots) {
        return refuse(
            report, KV_CORRUPT,
            status == KV_CORRUPT
                ? "meta-0 and meta-1 are damaged at offset 0. Either restore a backup, or "
                  "save what can be saved: kvtool repair, which works on a copy"
                : "there are data but neither meta-0 nor meta-1: an unfinished backup, or "
                  "lost files. kvtool repair saves what can be saved, into a copy");
    }
    if (directory->options.must_exist || directory->options.read_only) {
        return refuse(report, KV_NOT_FOUND, "the directory holds no database");
    }
    *is_new = true;
    return KV_OK;
}

static kv_status_t open_log(kvi_directory_t *directory, kvi_recovery_report_t *report)
{
    kvi_wal_options_t options = directory->options.wal;
    options.files = directory->files;
    options.next_lsn = report->wal.last_lsn + 1;
    options.next_sequence = report->wal.next_sequence;
    options.term =
        report->term > directory->metadata.term ? report->term : directory->metadata.term;
    const kv_status_t status = kvi_commit_wal_open(directory->db, &options, &directory->commit);
    if (status != KV_OK) {
        return refuse_files(report, status);
    }
    if (report->snapshot_lsn > 0) {
        kvi_commit_wal_remove_through(directory->commit, report->snapshot_lsn);
    }
    return KV_OK;
}

/* The database with as many numbered keyspaces as it has always had: log and snapshots name
 * keyspaces by number, and those with names come behind. More are added once all is read, unless
 * there were some with names. */
static kv_status_t open_database(kvi_directory_t *directory, kvi_recovery_report_t *report)
{
    kvi_db_options_t options = directory->options.db;
    const uint64_t known = directory->metadata.keyspaces;
    const size_t asked = options.keyspaces != 0 ? options.keyspaces : KEYSPACES_DEFAULT;
    options.keyspaces = known > 0 && known < KEYSPACES_MAX ? (size_t)known : asked;
    kv_status_t status = kvi_db_open(&options, &directory->db);
    if (status == KV_OK) {
        status = kvi_recover(directory->files, directory->db, directory->options.progress,
                             directory->options.progress_context, report);
    }
    if (status == KV_OK && !directory->options.read_only) {
        status = kvi_db_add_numbered(directory->db, asked);
        status = status == KV_EXISTS ? KV_OK : status;
    }
    if (status == KV_OK) {
        directory->keyspaces = kvi_db_numbered(directory->db);
    }
    return status == KV_OK ? KV_OK : refuse(report, status, kv_status_text(status));
}

/* From here on the directory changes. */
static kv_status_t open_to_write(kvi_directory_t *directory, bool is_new,
                                 kvi_recovery_report_t *report)
{
    kv_status_t status = KV_OK;
    if (is_new) {
        status = kvi_metadata_create(directory->files, directory->keyspaces, kvi_os_wall_ms(),
                                     &directory->metadata);
    } else if (directory->metadata.keyspaces != directory->keyspaces) {
        /* Into both files: with the older one alone the new numbers would mean nothing. */
        directory->metadata.keyspaces = directory->keyspaces;
        status = kvi_metadata_write(directory->files, &directory->metadata);
        if (status == KV_OK) {
            status = kvi_metadata_write(directory->files, &directory->metadata);
        }
    }
    if (status != KV_OK) {
        return refuse_files(report, status);
    }
    kvi_snapshot_name_t loaded = {0, 0};
    (void)kvi_snapshot_name_parse(report->snapshot, &loaded);
    remove_older(directory->files, loaded, true);
    return open_log(directory, report);
}

static kv_status_t open_parts(kvi_directory_t *directory, kvi_recovery_report_t *report)
{
    kv_status_t status = take_lock(directory, report);
    bool is_new = false;
    if (status == KV_OK) {
        status = read_metadata(directory, &is_new, report);
    }
    if (status == KV_OK) {
        status = open_database(directory, report);
    }
    if (status == KV_OK && !directory->options.read_only) {
        status = open_to_write(directory, is_new, report);
    }
    return status;
}

kv_status_t kvi_directory_open(const kvi_directory_options_t *options, kvi_directory_t **directory,
                               kvi_recovery_report_t *report)
{
    kvi_recovery_report_t unseen;
    kvi_recovery_report_t *const told = report != NULL ? report : &unseen;
    *told = (kvi_recovery_report_t){0};
    *directory = NULL;
    kvi_directory_t *const opened = kv_store_calloc(1, sizeof(*opened));
    if (opened == NULL) {
        return refuse(told, KV_NO_MEMORY, "out of memory");
    }
    opened->options = *options;
    opened->files = options->files;
    kv_status_t status = KV_OK;
    if (opened->files == NULL) {
        status = kvi_files_open(options->path, !options->must_exist && !options->read_only,
                                &opened->files);
        opened->owns_files = status == KV_OK;
        status = status == KV_OK ? KV_OK : refuse_files(told, status);
    }
    if (status == KV_OK) {
        status = open_parts(opened, told);
    }
    if (status != KV_OK) {
        (void)kvi_directory_close(opened);
        return status;
    }
    opened->changes_saved = kvi_db_changes(opened->db);
    opened->state.last_lsn = told->snapshot_lsn;
    opened->state.last_ms = kvi_os_wall_ms();
    opened->state.last_entries = told->snapshot_entries;
    opened->state.last_bytes = told->snapshot_bytes;
    *directory = opened;
    return KV_OK;
}

kv_status_t kvi_directory_close(kvi_directory_t *directory)
{
    if (directory == NULL) {
        return KV_OK;
    }
    kvi_snapshot_close(directory->snapshot);
    kvi_files_close(directory->backup_files);
    kv_status_t status = KV_OK;
    if (directory->commit != NULL) {
        status = directory->commit->ops->flush(directory->commit);
        directory->commit->ops->close(directory->commit);
    }
    kvi_db_close(directory->db);
    if (directory->files != NULL) {
        directory->files->ops->close(directory->lock);
    }
    if (directory->owns_files) {
        kvi_files_close(directory->files);
    }
    kv_store_free(directory);
    return status;
}

const kvi_metadata_t *kvi_directory_metadata(const kvi_directory_t *directory)
{
    return &directory->metadata;
}

kvi_db_t *kvi_directory_db(kvi_directory_t *directory)
{
    return directory->db;
}

kvi_commit_t *kvi_directory_commit(kvi_directory_t *directory)
{
    return directory->commit;
}

/* ---- snapshots ---- */

/* On the writer's thread, after a snapshot of our own was published. */
static kv_status_t after_snapshot(void *context)
{
    const kvi_directory_t *const directory = context;
    const kvi_snapshot_name_t newest = {directory->state.lsn, directory->metadata.term};
    remove_older(directory->files, newest, false);
    return KV_OK;
}

/* The same after a backup: only now it is a database. */
static kv_status_t after_backup(void *context)
{
    const kvi_directory_t *const directory = context;
    kvi_metadata_t metadata;
    return kvi_metadata_create(directory->backup_files, directory->keyspaces, kvi_os_wall_ms(),
                               &metadata);
}

/* Into files; those of a backup belong to the directory from here on. */
static kv_status_t begin(kvi_directory_t *directory, kvi_files_t *backup_files)
{
    kvi_commit_state_t log;
    directory->commit->ops->state(directory->commit, &log);
    directory->backup_files = backup_files;
    directory->state.lsn = log.lsn;
    directory->state.backup = backup_files != NULL;
    kvi_snapshot_options_t options = {
        .files = backup_files != NULL ? backup_files : directory->files,
        .db = directory->db,
        .lsn = log.lsn,
        .term = directory->metadata.term,
        .compress = directory->options.compress,
        .manual = directory->options.wal.manual,
        .published = backup_files != NULL ? after_backup : after_snapshot,
        .published_context = directory,
        .wake = directory->options.wal.wake,
        .wake_context = directory->options.wal.wake_context,
    };
    memcpy(options.identity, directory->metadata.identity, sizeof(options.identity));
    const kv_status_t status = kvi_snapshot_begin(&options, &directory->snapshot);
    if (status != KV_OK) {
        directory->state.last_status = status;
        directory->state.failures++;
        (void)snprintf(directory->state.last_reason, sizeof(directory->state.last_reason), "%s",
                       status == KV_BUSY ? "a keyspace is being converted; try again later"
                                         : kv_status_text(status));
        kvi_files_close(backup_files);
        directory->backup_files = NULL;
        return status;
    }
    directory->state.running = true;
    directory->state.started_ms = (uint64_t)kvi_os_wall_ms();
    directory->snapshot_begun_ns = kvi_os_monotonic_ns();
    directory->snapshot_changes = kvi_db_changes(directory->db);
    return KV_OK;
}

/* A good snapshot of our own: what it makes superfluous may go. */
static void take_over(kvi_directory_t *directory, const kvi_snapshot_state_t *result)
{
    kvi_directory_state_t *const state = &directory->state;
    state->saves++;
    state->last_lsn = result->lsn;
    state->last_ms = kvi_os_wall_ms();
    state->last_entries = result->entries;
    state->last_bytes = result->bytes;
    directory->changes_saved = directory->snapshot_changes;
    kvi_commit_wal_remove_through(directory->commit, result->lsn);
}

static void end(kvi_directory_t *directory)
{
    kvi_directory_state_t *const state = &directory->state;
    kvi_snapshot_state_t result;
    kvi_snapshot_state(directory->snapshot, &result);
    state->running = false;
    state->last_status = result.status;
    state->failures = result.status == KV_OK ? 0 : state->failures + 1;
    (void)snprintf(state->last_reason, sizeof(state->last_reason), "%s", result.reason);
    state->last_ns = kvi_os_monotonic_ns() - directory->snapshot_begun_ns;
    state->last_longest_step_ns = result.longest_step_ns;
    state->last_memory_bytes = result.memory_bytes_max;
    if (result.status == KV_OK && !state->backup) {
        take_over(directory, &result);
    }
    if (!state->backup) {
        /* After a failure, too: the next try comes when as much again was written. */
        kvi_commit_state_t log;
        directory->commit->ops->state(directory->commit, &log);
        directory->log_bytes_saved = log.log_bytes;
    }
    kvi_snapshot_close(directory->snapshot);
    directory->snapshot = NULL;
    kvi_files_close(directory->backup_files);
    directory->backup_files = NULL;
}

/* Gives up the running one, if there is one. */
static void give_up(kvi_directory_t *directory)
{
    kvi_snapshot_close(directory->snapshot);
    directory->snapshot = NULL;
    kvi_files_close(directory->backup_files);
    directory->backup_files = NULL;
    directory->state.running = false;
}

static uint64_t log_since(kvi_directory_t *directory)
{
    kvi_commit_state_t log;
    directory->commit->ops->state(directory->commit, &log);
    /* Segments that were removed meanwhile make the log shorter than it was noted to be. */
    if (log.log_bytes < directory->log_bytes_saved) {
        directory->log_bytes_saved = log.log_bytes;
    }
    return log.log_bytes - directory->log_bytes_saved;
}

static bool is_due(kvi_directory_t *directory)
{
    const uint64_t least = directory->options.snapshot_log_bytes != 0
                               ? directory->options.snapshot_log_bytes
                               : KVI_DIRECTORY_LOG_BYTES;
    if (least == UINT64_MAX) {
        return false;
    }
    const uint64_t since = log_since(directory);
    return since > least && since > kvi_db_memory_used(directory->db);
}

bool kvi_directory_turn(kvi_directory_t *directory, uint64_t budget_ns)
{
    if (directory->snapshot == NULL) {
        if (!is_due(directory) || begin(directory, NULL) != KV_OK) {
            return false;
        }
    }
    const kvi_snapshot_phase_t phase = kvi_snapshot_step(directory->snapshot, budget_ns);
    if (phase == KVI_SNAPSHOT_DONE || phase == KVI_SNAPSHOT_FAILED) {
        end(directory);
        return false;
    }
    kvi_snapshot_state_t state;
    kvi_snapshot_state(directory->snapshot, &state);
    return phase == KVI_SNAPSHOT_SCANS && !state.waits;
}

kv_status_t kvi_directory_snapshot(kvi_directory_t *directory)
{
    return directory->snapshot != NULL ? KV_BUSY : begin(directory, NULL);
}

kv_status_t kvi_directory_backup(kvi_directory_t *directory, const char *path)
{
    if (directory->snapshot != NULL) {
        return KV_BUSY;
    }
    kvi_files_t *files;
    kv_status_t status = kvi_files_open(path, true, &files);
    if (status != KV_OK) {
        return status;
    }
    contents_t contents = {0};
    status = files->ops->list(files, look_at_name, &contents);
    if (status == KV_OK && (contents.metadata || contents.segments || contents.snapshots)) {
        status = KV_EXISTS;
    }
    if (status != KV_OK) {
        kvi_files_close(files);
        return status;
    }
    return begin(directory, files);
}

kv_status_t kvi_directory_wait(kvi_directory_t *directory)
{
    if (directory->snapshot == NULL) {
        return KV_OK;
    }
    (void)kvi_snapshot_finish(directory->snapshot);
    end(directory);
    return directory->state.last_status;
}

kv_status_t kvi_directory_save(kvi_directory_t *directory)
{
    give_up(directory);
    const kv_status_t status = begin(directory, NULL);
    return status == KV_OK ? kvi_directory_wait(directory) : status;
}

void kvi_directory_set_snapshot_log_bytes(kvi_directory_t *directory, uint64_t bytes)
{
    directory->options.snapshot_log_bytes = bytes;
}

void kvi_directory_set_compress(kvi_directory_t *directory, bool compress)
{
    directory->options.compress = compress;
}

void kvi_directory_state(kvi_directory_t *directory, kvi_directory_state_t *state)
{
    if (directory->snapshot != NULL) {
        kvi_snapshot_state_t running;
        kvi_snapshot_state(directory->snapshot, &running);
        directory->state.entries = running.entries;
        directory->state.entries_expected = running.entries_expected;
        directory->state.memory_bytes = running.memory_bytes_max;
    }
    directory->state.changes = kvi_db_changes(directory->db) - directory->changes_saved;
    directory->state.log_bytes = log_since(directory);
    *state = directory->state;
}
