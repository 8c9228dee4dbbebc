/* SPDX-License-Identifier: MIT */
/*
 * kvtool verify and stat: what is on the disk. verify reads each file by itself, so that it finds
 * what is wrong even where a server would start all the same; stat counts what a server would have.
 */
#include <inttypes.h>
#include <stdio.h>

#include <concordkv/kv_memory.h>

#include "db/batch.h"
#include "kvtool/tool.h"
#include "log/snapshot_file.h"
#include "os/os.h"

/* ---- verify ---- */

typedef struct verification {
    kvi_files_t *files;
    unsigned faults;
    uint64_t good_lsn; /* of the newest snapshot that verifies */
    bool has_good;
    uint64_t term;
    int64_t latest_ms;
} verification_t;

static void report_fault(verification_t *verification, const char *file, uint64_t offset,
                         uint64_t lsn, const char *reason)
{
    verification->faults++;
    printf("%s: DAMAGED at offset %" PRIu64 ", LSN %" PRIu64 ": %s\n", file, offset, lsn, reason);
}

/* Every item of a chunk. KV_NOT_FOUND at its end. */
static kv_status_t read_items(kvi_chunk_view_t *view)
{
    kv_status_t status;
    do {
        kvi_snapshot_entry_t entry;
        kvi_snapshot_keyspace_t keyspace;
        status = view->kind == KVI_CHUNK_ENTRIES ? kvi_chunk_next_entry(view, &entry)
                                                 : kvi_chunk_next_keyspace(view, &keyspace);
    } while (status == KV_OK);
    return status;
}

static kv_status_t read_snapshot(kvi_snapshot_reader_t *reader, kvi_snapshot_fault_t *fault)
{
    kvi_chunk_view_t view;
    kv_status_t status;
    while ((status = kvi_snapshot_reader_next(reader, &view, fault)) == KV_OK) {
        if (read_items(&view) != KV_NOT_FOUND) {
            fault->offset = view.offset;
            (void)snprintf(fault->reason, sizeof(fault->reason), "a chunk contradicts itself");
            return KV_CORRUPT;
        }
    }
    return status;
}

/* The newest comes first. TOOL_FAILED if it cannot be read at all. */
static int verify_snapshot(verification_t *verification, kvi_snapshot_name_t id)
{
    char name[KVI_FILE_NAME_BYTES];
    kvi_snapshot_reader_t *reader;
    kvi_snapshot_fault_t fault = {0};
    kvi_snapshot_name_print(id, name);
    kv_status_t status = kvi_snapshot_reader_open(verification->files, name, &reader, &fault);
    if (status == KV_OK) {
        status = read_snapshot(reader, &fault);
        kvi_snapshot_totals_t totals;
        kvi_snapshot_reader_totals(reader, &totals);
        if (status == KV_NOT_FOUND) {
            printf("%s: LSN %" PRIu64 ", %" PRIu64 " entries in %" PRIu64 " chunks, %" PRIu64
                   " bytes: whole\n",
                   name, id.lsn, totals.entries, totals.chunks, kvi_snapshot_reader_bytes(reader));
        }
        kvi_snapshot_reader_close(reader);
    }
    if (status == KV_NOT_FOUND) {
        verification->good_lsn = verification->has_good ? verification->good_lsn : id.lsn;
        verification->has_good = true;
        return TOOL_OK;
    }
    if (status == KV_CORRUPT || status == KV_NEWER || status == KV_UNSUPPORTED) {
        report_fault(verification, name, fault.offset, id.lsn, fault.reason);
        return TOOL_OK;
    }
    return tool_fail("%s: %s", name, status == KV_IO ? kvi_files_reason() : kv_status_text(status));
}

static int verify_snapshots(verification_t *verification)
{
    kvi_snapshot_name_t *names;
    size_t count;
    if (kvi_snapshot_list(verification->files, &names, &count) != KV_OK) {
        return tool_fail("%s", kvi_files_reason());
    }
    int code = TOOL_OK;
    for (size_t i = 0; i < count && code == TOOL_OK; i++) {
        code = verify_snapshot(verification, names[i]);
    }
    kv_store_free(names);
    return code;
}

/* Every operation of a batch. */
static kv_status_t read_batch(void *context, uint64_t lsn, uint64_t term, kv_slice_t bytes)
{
    (void)lsn;
    verification_t *const verification = context;
    kvi_batch_reader_t reader;
    kv_status_t status = kvi_batch_read(bytes, &reader);
    kvi_op_t op;
    while (status == KV_OK) {
        status = kvi_batch_next(&reader, &op);
    }
    verification->term = term;
    return status == KV_NOT_FOUND ? KV_OK : status;
}

static int verify_log(verification_t *verification)
{
    kvi_wal_name_t *names;
    size_t count;
    if (kvi_wal_list(verification->files, &names, &count) != KV_OK) {
        return tool_fail("%s", kvi_files_reason());
    }
    const uint64_t first = count > 0 ? names[0].first_lsn : 0;
    kv_store_free(names);
    if (count == 0) {
        return TOOL_OK;
    }
    const kvi_wal_visitor_t visitor = {.context = verification, .batch = read_batch};
    kvi_wal_report_t report;
    const kv_status_t status = kvi_wal_read(verification->files, first - 1, &visitor, &report);
    if (status == KV_CORRUPT || status == KV_NEWER) {
        report_fault(verification, report.file, report.offset, report.lsn,
                     report.reason[0] != '\0' ? report.reason : "a batch cannot be read");
        return TOOL_OK;
    }
    if (status != KV_OK) {
        return tool_fail("%s", kvi_files_reason());
    }
    printf("log: LSN %" PRIu64 " to %" PRIu64 " in %" PRIu64 " segments, %" PRIu64
           " bytes of frames: whole\n",
           first, report.last_lsn, report.segments, report.bytes);
    if (report.torn_bytes > 0) {
        printf("log: the last write, %" PRIu64 " bytes of %s at offset %" PRIu64
               ", was not finished; it was never acknowledged\n",
               report.torn_bytes, report.file, report.offset);
    }
    if (first > 1 && (!verification->has_good || verification->good_lsn < first - 1)) {
        report_fault(verification, report.file, 0, first,
                     "no whole snapshot reaches to where the log begins");
    }
    return TOOL_OK;
}

static void verify_metadata(verification_t *verification, kv_status_t status)
{
    if (status == KV_CORRUPT || status == KV_NEWER || status == KV_NOT_FOUND) {
        report_fault(verification, "meta-0 and meta-1", 0, 0, kv_status_text(status));
    }
}

int tool_verify(const tool_options_t *options, int argc, char **argv)
{
    (void)options;
    const char *const path = tool_only_directory("verify", argc, argv);
    verification_t verification = {0};
    if (kvi_files_open(path, false, &verification.files) != KV_OK) {
        return tool_fail("%s", kvi_files_reason());
    }
    kvi_file_t *lock = NULL;
    int code = TOOL_OK;
    if (verification.files->ops->lock(verification.files, "LOCK", &lock) == KV_BUSY) {
        code = tool_fail("%s is in use by another process; verify a backup of it", path);
    } else {
        kvi_metadata_t metadata;
        verify_metadata(&verification, kvi_metadata_read(verification.files, &metadata));
        code = verify_snapshots(&verification);
        code = code == TOOL_OK ? verify_log(&verification) : code;
    }
    verification.files->ops->close(lock);
    kvi_files_close(verification.files);
    if (code == TOOL_OK && verification.faults > 0) {
        (void)tool_end_output(TOOL_OK);
        (void)tool_fail("%s: %u of its parts are damaged. Restore a backup, or save what can be "
                        "saved with kvtool repair",
                        path, verification.faults);
        return TOOL_DAMAGE;
    }
    return tool_end_output(code);
}

/* ---- stat ---- */

typedef struct counts {
    uint64_t entries;
    uint64_t timed;
    uint64_t key_bytes;
    uint64_t value_bytes;
} counts_t;

static void count_entry(void *context, kv_slice_t key, const kvi_entry_t *entry)
{
    counts_t *const counts = context;
    counts->entries++;
    counts->timed += entry->deadline_ms != KVI_NO_DEADLINE;
    counts->key_bytes += key.size;
    counts->value_bytes += entry->value.size;
}

static void print_keyspace(kvi_keyspace_t *keyspace, int64_t now_ms)
{
    counts_t counts = {0};
    uint64_t token = 0;
    do {
        token = kvi_keyspace_scan(keyspace, token, 1000, now_ms, count_entry, &counts);
    } while (token != 0);
    const kv_slice_t name = kvi_keyspace_name(keyspace);
    if (counts.entries > 0 || name.size > 3) {
        printf("keyspace %.*s: engine %s, entries %" PRIu64 ", with deadline %" PRIu64
               ", key bytes %" PRIu64 ", value bytes %" PRIu64 "\n",
               (int)name.size, name.data, kvi_keyspace_engine(keyspace)->name, counts.entries,
               counts.timed, counts.key_bytes, counts.value_bytes);
    }
}

int tool_stat(const tool_options_t *options, int argc, char **argv)
{
    (void)options;
    kvi_recovery_report_t report;
    int code = TOOL_OK;
    kvi_directory_t *const directory =
        tool_open(tool_only_directory("stat", argc, argv), &report, &code);
    if (directory == NULL) {
        return code;
    }
    const kvi_metadata_t *const metadata = kvi_directory_metadata(directory);
    printf("identity: ");
    for (size_t i = 0; i < sizeof(metadata->identity); i++) {
        printf("%02x", metadata->identity[i]);
    }
    printf("\nlast LSN: %" PRIu64 "\n", report.wal.last_lsn);
    printf("snapshot: %s, entries %" PRIu64 ", bytes %" PRIu64 "\n",
           report.snapshot[0] != '\0' ? report.snapshot : "none", report.snapshot_entries,
           report.snapshot_bytes);
    printf("log after it: batches %" PRIu64 ", segments %" PRIu64 ", bytes %" PRIu64
           ", torn bytes %" PRIu64 "\n",
           report.wal.batches, report.wal.segments, report.wal.bytes, report.wal.torn_bytes);
    printf("recovery: %.3f seconds\n", (double)report.nanoseconds / 1e9);
    kvi_db_t *const db = kvi_directory_db(directory);
    for (size_t i = 0; i < kvi_db_keyspaces(db); i++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, i);
        if (keyspace != NULL) {
            print_keyspace(keyspace, kvi_os_wall_ms());
        }
    }
    (void)kvi_directory_close(directory);
    return tool_end_output(TOOL_OK);
}
