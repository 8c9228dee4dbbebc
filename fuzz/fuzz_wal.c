/* SPDX-License-Identifier: MIT */
/*
 * Log segments of arbitrary bytes: read back, salvaged and replayed. The first byte of the input
 * says what is made right before: 0 nothing, 1 the segment's header, 2 the frames' checksums too,
 * so that the fuzzer comes to the batches; 3 cuts the rest into two segments.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/frame.h"
#include "log/recovery.h"
#include "os/files_sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SALT 77U

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "fuzz_wal: %s\n", what);
        abort();
    }
}

/* Makes every frame that can be told apart verify. */
static void seal_frames(unsigned char *bytes, size_t size, uint64_t lsn)
{
    size_t at = 0;
    kvi_frame_t frame;
    while (size - at >= KVI_FRAME_HEADER_BYTES && kvi_frame_decode(bytes + at, size - at, &frame)) {
        const uint64_t all = kvi_frame_bytes(frame.size);
        frame.lsn = lsn;
        frame.durable = lsn - 1;
        kvi_frame_start(&frame, SALT);
        kvi_frame_add(&frame, bytes + at + KVI_FRAME_HEADER_BYTES, frame.size);
        kvi_frame_encode(&frame, bytes + at);
        lsn += frame.count;
        if (all > size - at) {
            return;
        }
        at += (size_t)all;
    }
}

static void write_segment(kvi_files_t *files, uint64_t sequence, const unsigned char *bytes,
                          size_t size, bool headed)
{
    char name[KVI_FILE_NAME_BYTES];
    kvi_wal_name_print((kvi_wal_name_t){sequence, sequence}, name);
    kvi_file_t *file;
    require(files->ops->open(files, name, KVI_OPEN_WRITE | KVI_OPEN_CREATE, &file) == KV_OK,
            "no file");
    size_t at = 0;
    if (headed) {
        unsigned char header[KVI_SEGMENT_HEADER_BYTES];
        kvi_segment_header_encode(&(kvi_segment_header_t){.sequence = sequence,
                                                          .first_lsn = sequence,
                                                          .bytes = sizeof(header) + size,
                                                          .salt = SALT},
                                  NULL, header);
        require(files->ops->write_at(file, 0, header, sizeof(header)) == KV_OK, "no write");
        at = sizeof(header);
    }
    require(files->ops->write_at(file, at, bytes, size) == KV_OK, "no write");
    files->ops->close(file);
}

static void count_loss(void *context, const char *file, uint64_t offset, uint64_t first_lsn,
                       uint64_t last_lsn)
{
    (void)file;
    (void)offset;
    (void)first_lsn;
    (void)last_lsn;
    ++*(unsigned *)context;
}

static void read_all(kvi_files_t *files)
{
    kvi_db_t *db;
    require(kvi_db_open(&(kvi_db_options_t){.keyspaces = 4}, &db) == KV_OK, "no database");
    kvi_recovery_report_t report;
    const kv_status_t status = kvi_recover(files, db, NULL, NULL, &report);
    require(status == KV_OK || report.reason[0] != '\0', "refused without a reason");
    for (size_t i = 0; status == KV_OK && i < kvi_db_keyspaces(db); i++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, i);
        require(keyspace == NULL || kvi_keyspace_check(keyspace) == KV_OK, "a damaged keyspace");
    }
    kvi_db_close(db);
    unsigned losses = 0;
    const kvi_wal_visitor_t visitor = {.context = &losses, .lost = count_loss};
    kvi_wal_report_t salvaged;
    (void)kvi_wal_salvage(files, 0, &visitor, &salvaged);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    const unsigned how = data[0] % 4;
    const size_t all = size - 1;
    unsigned char *const bytes = malloc(size);
    require(bytes != NULL, "out of memory");
    memcpy(bytes, data + 1, all);
    kvi_files_t *files;
    require(kvi_sim_open(&(kvi_sim_options_t){.seed = 1}, &files) == KV_OK, "no disk");
    const size_t first = how == 3 ? all / 2 & ~(size_t)7 : all;
    if (how >= 2) {
        seal_frames(bytes, first, 1);
        seal_frames(bytes + first, all - first, 2);
    }
    write_segment(files, 1, bytes, first, how > 0);
    if (first < all) {
        write_segment(files, 2, bytes + first, all - first, true);
    }
    read_all(files);
    kvi_files_close(files);
    free(bytes);
    return 0;
}
