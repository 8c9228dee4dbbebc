/* SPDX-License-Identifier: MIT */
/*
 * kvtool repair: a new directory out of whatever can be read of an old one, and a line for each
 * piece that cannot. The old one is only read.
 *
 * What a server could open by itself is taken as a server would. Otherwise the newest snapshot is
 * read chunk by chunk past its damage, then the log after it, batch by batch.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <concordkv/kv_memory.h>

#include "db/batch.h"
#include "db/load.h"
#include "kvtool/tool.h"
#include "log/snapshot.h"
#include "log/snapshot_file.h"
#include "os/os.h"

#define KEYSPACES_DEFAULT ((size_t)16)

typedef struct repair {
    kvi_files_t *from;
    kvi_db_t *db;
    size_t keyspaces;
    unsigned losses;
    uint64_t entries; /* of the snapshot */
    uint64_t batches; /* of the log */
    uint64_t lsn;     /* reached */
} repair_t;

static kv_status_t open_database(repair_t *repair)
{
    kvi_db_close(repair->db);
    repair->db = NULL;
    return kvi_db_open(&(kvi_db_options_t){.keyspaces = repair->keyspaces}, &repair->db);
}

/* ---- the snapshot ---- */

static void load_keyspaces(repair_t *repair, kvi_chunk_view_t *view)
{
    kvi_snapshot_keyspace_t row;
    while (kvi_chunk_next_keyspace(view, &row) == KV_OK) {
        const kv_status_t status =
            kvi_db_load_keyspace(repair->db, row.number, row.name, row.attributes);
        if (status != KV_OK) {
            repair->losses++;
            printf("lost: the attributes of keyspace %.*s: %s\n", (int)row.name.size, row.name.data,
                   kv_status_text(status));
        }
    }
}

static void load_entries(repair_t *repair, kvi_chunk_view_t *view)
{
    kvi_snapshot_entry_t entry;
    while (kvi_chunk_next_entry(view, &entry) == KV_OK) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(repair->db, entry.keyspace);
        const kvi_loaded_t loaded = {entry.key, entry.value, entry.form, entry.deadline_ms,
                                     entry.access};
        if (keyspace == NULL || kvi_keyspace_load(keyspace, 1, &loaded) != KV_OK) {
            repair->losses++;
            printf("lost: an entry of keyspace %u, key of %zu bytes\n", entry.keyspace,
                   entry.key.size);
            continue;
        }
        repair->entries++;
    }
}

/* KV_OK: as much as could be. */
static kv_status_t read_chunks(repair_t *repair, const char *name, kvi_snapshot_reader_t *reader)
{
    for (;;) {
        kvi_chunk_view_t view;
        kvi_snapshot_fault_t fault;
        kv_status_t status = kvi_snapshot_reader_next(reader, &view, &fault);
        if (status == KV_NOT_FOUND) {
            return KV_OK;
        }
        if (status == KV_OK) {
            if (view.kind == KVI_CHUNK_KEYSPACES) {
                load_keyspaces(repair, &view);
            } else {
                load_entries(repair, &view);
            }
            continue;
        }
        if (status != KV_CORRUPT) {
            return status;
        }
        repair->losses++;
        status = kvi_snapshot_reader_skip(reader);
        const bool ends = status == KV_NOT_FOUND;
        printf("lost: %s from offset %" PRIu64 " to %" PRIu64 ": %s\n", name, fault.offset,
               ends ? kvi_snapshot_reader_bytes(reader) : kvi_snapshot_reader_at(reader),
               fault.reason);
        if (status != KV_OK) {
            return ends ? KV_OK : status;
        }
    }
}

static kv_status_t read_snapshot(repair_t *repair, kvi_snapshot_name_t id)
{
    char name[KVI_FILE_NAME_BYTES];
    kvi_snapshot_reader_t *reader;
    kvi_snapshot_fault_t fault = {0};
    kvi_snapshot_name_print(id, name);
    kv_status_t status = kvi_snapshot_reader_open(repair->from, name, &reader, &fault);
    if (status == KV_CORRUPT) {
        repair->losses++;
        printf("lost: all of %s: %s\n", name, fault.reason);
        return KV_NOT_FOUND;
    }
    if (status != KV_OK) {
        return status;
    }
    kvi_db_advance_time(repair->db, kvi_snapshot_reader_head(reader)->time_ms);
    repair->lsn = id.lsn;
    status = read_chunks(repair, name, reader);
    kvi_snapshot_reader_close(reader);
    return status;
}

static kv_status_t read_snapshots(repair_t *repair)
{
    kvi_snapshot_name_t *names;
    size_t count;
    kv_status_t status = kvi_snapshot_list(repair->from, &names, &count);
    if (status != KV_OK) {
        return status;
    }
    status = KV_NOT_FOUND;
    for (size_t i = 0; i < count && status == KV_NOT_FOUND; i++) {
        status = read_snapshot(repair, names[i]);
    }
    kv_store_free(names);
    return status == KV_NOT_FOUND ? KV_OK : status;
}

/* ---- the log ---- */

static kv_status_t apply_batch(void *context, uint64_t lsn, uint64_t term, kv_slice_t bytes)
{
    (void)term;
    repair_t *const repair = context;
    const kv_status_t status = kvi_db_apply(repair->db, bytes, NULL);
    if (status == KV_NO_MEMORY) {
        return status;
    }
    if (status == KV_CORRUPT || status == KV_NEWER) {
        repair->losses++;
        printf("lost: the batch of LSN %" PRIu64 ": %s\n", lsn, kv_status_text(status));
    }
    repair->batches++;
    repair->lsn = lsn;
    return KV_OK;
}

static void note_loss(void *context, const char *file, uint64_t offset, uint64_t first_lsn,
                      uint64_t last_lsn)
{
    repair_t *const repair = context;
    repair->losses++;
    printf("lost: %s at offset %" PRIu64 ", from LSN %" PRIu64, file, offset, first_lsn);
    if (last_lsn != 0) {
        printf(" to %" PRIu64 "\n", last_lsn);
    } else {
        printf(" on\n");
    }
}

static kv_status_t salvage(repair_t *repair)
{
    kv_status_t status = open_database(repair);
    if (status != KV_OK) {
        return status;
    }
    kvi_db_load_begin(repair->db);
    status = read_snapshots(repair);
    if (status == KV_OK) {
        const kvi_wal_visitor_t visitor = {
            .context = repair, .batch = apply_batch, .lost = note_loss};
        kvi_wal_report_t report;
        status = kvi_wal_salvage(repair->from, repair->lsn, &visitor, &report);
    }
    kvi_db_load_end(repair->db);
    return status;
}

/* ---- the new directory ---- */

static kv_status_t write_new(repair_t *repair, kvi_files_t *to)
{
    kvi_snapshot_t *snapshot;
    const kvi_snapshot_options_t options = {.files = to, .db = repair->db, .lsn = repair->lsn};
    kv_status_t status = kvi_snapshot_begin(&options, &snapshot);
    if (status != KV_OK) {
        return status;
    }
    status = kvi_snapshot_finish(snapshot);
    kvi_snapshot_close(snapshot);
    kvi_metadata_t metadata;
    return status == KV_OK ? kvi_metadata_create(to, repair->keyspaces, kvi_os_wall_ms(), &metadata)
                           : status;
}

static kv_status_t run(repair_t *repair)
{
    kvi_metadata_t metadata = {0};
    const kv_status_t known = kvi_metadata_read(repair->from, &metadata);
    /* Exactly as many: those with names come behind. */
    repair->keyspaces = metadata.keyspaces > 0 ? (size_t)metadata.keyspaces : KEYSPACES_DEFAULT;
    if (known != KV_OK) {
        repair->losses += known == KV_CORRUPT;
        printf("lost: identity and number of keyspaces, %s; %zu numbered ones are made\n",
               kv_status_text(known), repair->keyspaces);
    }
    kv_status_t status = open_database(repair);
    if (status != KV_OK) {
        return status;
    }
    kvi_recovery_report_t report;
    status = kvi_recover(repair->from, repair->db, NULL, NULL, &report);
    if (status == KV_OK) {
        repair->lsn = report.wal.last_lsn;
        repair->entries = report.snapshot_entries;
        repair->batches = report.wal.batches;
        return KV_OK;
    }
    printf("not whole: %s\n", report.reason);
    return salvage(repair);
}

static void count_name(void *context, const char *name)
{
    (void)name;
    ++*(unsigned *)context;
}

static kv_status_t open_new(const char *path, kvi_files_t **to)
{
    kv_status_t status = kvi_files_open(path, true, to);
    if (status != KV_OK) {
        return status;
    }
    unsigned names = 0;
    status = (*to)->ops->list(*to, count_name, &names);
    return status == KV_OK && names > 0 ? KV_EXISTS : status;
}

int tool_repair(const tool_options_t *options, int argc, char **argv)
{
    (void)options;
    if (argc != 2) {
        return tool_fail("repair takes the old directory and a new one");
    }
    repair_t repair = {0};
    kvi_files_t *to = NULL;
    kvi_file_t *lock = NULL;
    int code = TOOL_OK;
    kv_status_t status = kvi_files_open(argv[0], false, &repair.from);
    if (status == KV_OK) {
        status = repair.from->ops->lock(repair.from, "LOCK", &lock);
    }
    if (status == KV_OK) {
        status = open_new(argv[1], &to);
    }
    if (status == KV_BUSY) {
        code = tool_fail("%s is in use by another process", argv[0]);
    } else if (status == KV_EXISTS) {
        code = tool_fail("%s is not empty; a new directory is needed", argv[1]);
    } else if (status != KV_OK) {
        code = tool_fail("%s", kvi_files_reason());
    } else {
        status = run(&repair);
        status = status == KV_OK ? write_new(&repair, to) : status;
        code = status == KV_OK ? TOOL_OK : tool_fail("%s", kv_status_text(status));
    }
    kvi_db_close(repair.db);
    kvi_files_close(to);
    if (repair.from != NULL) {
        repair.from->ops->close(lock);
        kvi_files_close(repair.from);
    }
    if (code == TOOL_OK) {
        printf("saved: %" PRIu64 " entries of a snapshot, %" PRIu64
               " batches of the log, up to LSN "
               "%" PRIu64 ", in %s; %u pieces are lost\n",
               repair.entries, repair.batches, repair.lsn, argv[1], repair.losses);
        code = repair.losses > 0 ? TOOL_DAMAGE : TOOL_OK;
    }
    return tool_end_output(code);
}
