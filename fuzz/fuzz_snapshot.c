/* SPDX-License-Identifier: MIT */
/*
 * Snapshot files of arbitrary bytes. The first byte of the input says how much is made right before
 * it is read, so that the fuzzer comes past the checksums: 0 nothing, 1 the header's, 2 those of
 * chunks too. What is read is loaded, and the database must be sound afterwards.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/recovery.h"
#include "log/snapshot_int.h"
#include "os/files_sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "fuzz_snapshot: %s\n", what);
        abort();
    }
}

/* Sets the checksums of whatever chunks can be told apart. */
static void seal_chunks(char *bytes, size_t size)
{
    const uint64_t salt = kvi_bytes_load64(bytes + 64);
    size_t at = KVI_SNAPSHOT_HEADER_BYTES;
    while (size - at >= KVI_CHUNK_HEADER_BYTES) {
        kvi_chunk_head_t head;
        memcpy(&head, bytes + at, sizeof(head));
        if (head.stored_bytes > size - at - KVI_CHUNK_HEADER_BYTES) {
            return;
        }
        const uint64_t checksum = kvi_chunk_checksum(bytes + at, (size_t)head.stored_bytes, salt);
        (void)kvi_put64(bytes + at, checksum);
        at += KVI_CHUNK_HEADER_BYTES + (size_t)head.stored_bytes;
    }
}

static void seal(char *bytes, size_t size, unsigned how)
{
    if (how == 0 || size < KVI_SNAPSHOT_HEADER_BYTES) {
        return;
    }
    if (how > 1) {
        seal_chunks(bytes, size);
    }
    memcpy(bytes + 8, KVI_SNAPSHOT_MAGIC, KVI_SNAPSHOT_MAGIC_BYTES);
    (void)kvi_put64(bytes + 24, 1); /* the LSN of the name */
    (void)kvi_put64(bytes + 32, 0);
    (void)kvi_put64(bytes, kvi_hash_bytes(bytes + 8, KVI_SNAPSHOT_HEADER_BYTES - 8, 0));
}

static void write_file(kvi_files_t *files, const char *name, const char *bytes, size_t size)
{
    kvi_file_t *file;
    require(files->ops->open(files, name, KVI_OPEN_WRITE | KVI_OPEN_CREATE, &file) == KV_OK,
            "no file");
    require(files->ops->write_at(file, 0, bytes, size) == KV_OK, "no write");
    files->ops->close(file);
}

/* Skips past whatever does not verify, as repair does: it must come to an end. */
static void salvage(kvi_files_t *files, const char *name)
{
    kvi_snapshot_reader_t *reader;
    kvi_snapshot_fault_t fault;
    kvi_chunk_view_t view;
    if (kvi_snapshot_reader_open(files, name, &reader, &fault) != KV_OK) {
        return;
    }
    kv_status_t status = KV_OK;
    for (uint64_t at = 0; status == KV_OK;) {
        status = kvi_snapshot_reader_next(reader, &view, &fault);
        if (status == KV_OK) {
            require(kvi_snapshot_reader_at(reader) > at, "the reader stands still");
            at = kvi_snapshot_reader_at(reader);
        } else if (status == KV_CORRUPT) {
            status = kvi_snapshot_reader_skip(reader);
        }
    }
    kvi_snapshot_reader_close(reader);
}

static void check_db(kvi_db_t *db)
{
    for (size_t i = 0; i < kvi_db_keyspaces(db); i++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, i);
        require(keyspace == NULL || kvi_keyspace_check(keyspace) == KV_OK, "a damaged keyspace");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    char *const bytes = malloc(size);
    require(bytes != NULL, "out of memory");
    memcpy(bytes, data + 1, size - 1);
    seal(bytes, size - 1, data[0] % 3);
    kvi_files_t *files;
    kvi_db_t *db;
    require(kvi_sim_open(&(kvi_sim_options_t){.seed = 1}, &files) == KV_OK, "no disk");
    require(kvi_db_open(&(kvi_db_options_t){.keyspaces = 4}, &db) == KV_OK, "no database");
    char name[KVI_FILE_NAME_BYTES];
    kvi_snapshot_name_print((kvi_snapshot_name_t){1, 0}, name);
    write_file(files, name, bytes, size - 1);
    kvi_recovery_report_t report;
    const kv_status_t status = kvi_recover(files, db, NULL, NULL, &report);
    require(status == KV_OK || report.reason[0] != '\0', "refused without a reason");
    if (status == KV_OK) {
        check_db(db);
    }
    salvage(files, name);
    kvi_db_close(db);
    kvi_files_close(files);
    free(bytes);
    return 0;
}
