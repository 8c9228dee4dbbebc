/* SPDX-License-Identifier: MIT */
/*
 * Recovery: makes the database of a directory out of its newest snapshot that verifies and the log
 * after it. Changes nothing on the disk.
 *
 *   snap-<LSN>-<term>.snap  newest first; one that does not verify is passed over
 *   wal-<sequence>-<LSN>.log  what follows the snapshot; a torn tail is left out
 *
 * Thread rule: one user of files and database at a time.
 */
#ifndef KVI_LOG_RECOVERY_H
#define KVI_LOG_RECOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "db/db.h"
#include "log/wal.h"
#include "os/files.h"

typedef enum kvi_recovery_phase { KVI_RECOVERY_SNAPSHOT, KVI_RECOVERY_LOG } kvi_recovery_phase_t;

typedef struct kvi_recovery_progress {
    kvi_recovery_phase_t phase;
    uint64_t bytes; /* read, of bytes_all, in this phase */
    uint64_t bytes_all;
    uint64_t entries; /* loaded or batches applied in this phase */
} kvi_recovery_progress_t;

/* Is told about every few megabytes and at the end of the log; what it does takes time from the
 * recovery. KV_BUSY breaks the recovery off. */
typedef kv_status_t (*kvi_recovery_progress_fn)(void *context,
                                                const kvi_recovery_progress_t *progress);

typedef struct kvi_recovery_report {
    char snapshot[KVI_FILE_NAME_BYTES]; /* that was loaded; "" */
    uint64_t snapshot_lsn;              /* 0: none */
    uint64_t snapshot_entries;
    uint64_t snapshot_bytes;
    int64_t snapshot_ms;        /* the database's time when it was begun */
    unsigned snapshots_damaged; /* newer ones that did not verify */
    uint64_t term;              /* the highest that was met */
    kvi_wal_report_t wal;
    uint64_t nanoseconds; /* that all of it took */
    char reason[1000];    /* of a refusal: file, offset, LSN, and the two ways on; "" */
} kvi_recovery_report_t;

/* Into an empty database. KV_CORRUPT and KV_NEWER with a reason; errors of the files; KV_NO_MEMORY;
 * KV_BUSY from progress. After an error the database is in no defined state and to be closed. */
kv_status_t kvi_recover(kvi_files_t *files, kvi_db_t *db, kvi_recovery_progress_fn progress,
                        void *context, kvi_recovery_report_t *report);

#endif
