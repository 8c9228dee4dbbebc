/* SPDX-License-Identifier: MIT */
/*
 * The write-ahead log: segments of frames of batches (frame.h has the bytes). Here is how it is
 * opened for writing, read back after a crash, and shortened once a snapshot holds its beginning.
 *
 *   start   newest snapshot (LSN s) ─► kvi_wal_read(after s) applies what follows
 *           ─► kvi_commit_wal_open begins a new segment at last_lsn + 1
 *   later   snapshot of LSN s is published ─► kvi_commit_wal_remove_through(s)
 *
 * Files: wal-<sequence>-<first LSN>.log are the segments; spare-<n>.fill is being filled with
 * zeros, spare-<n>.free waits to become a segment. Sequences rise.
 * Thread rule: the reader has one user at a time and no writer beside it.
 */
#ifndef KVI_LOG_WAL_H
#define KVI_LOG_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "db/db.h"
#include "log/commit.h"
#include "log/frame.h"
#include "os/files.h"

#define KVI_WAL_SEGMENT_BYTES ((uint64_t)64 << 20)

/* ---- writing ---- */

/* Zero means the default everywhere but in files. */
typedef struct kvi_wal_options {
    kvi_files_t *files;     /* borrowed; outlives the log */
    kvi_sync_t sync;        /* KVI_SYNC_DEFAULT: everysec */
    uint64_t segment_bytes; /* most of a segment; the first ones of a process are smaller. Default
                                KVI_WAL_SEGMENT_BYTES; rounded up to KVI_DIRECT_BYTES */
    uint64_t next_lsn;      /* of the next batch: the report's last_lsn + 1. 0 is 1 */
    uint64_t next_sequence; /* the report's. 0 is 1 */
    uint64_t term;          /* written into frames */
    uint64_t backlog_bytes; /* batches that wait for the disk, above which reserve is KV_BUSY;
                                default 256 MiB */
    uint64_t late_sync_ns;  /* a sync that takes longer makes reserve KV_BUSY; default 2 s */
    uint64_t salt_seed;     /* of salts, for repeatable tests; default: the system's randomness */
    unsigned spares;        /* old segments kept to be recycled; default 2 */
    bool buffered;          /* never past the page cache */
    bool no_recycling;      /* old segments are removed instead */
    bool manual; /* no thread: work is done by kvi_commit_wal_step and flush. For tests */
    /* Called on the log's thread after durable or status have moved, or room was made, until close
     * returns. May be NULL. */
    void (*wake)(void *context);
    void *wake_context;
} kvi_wal_options_t;

/* Makes what an earlier process left unsynced durable, removes half-filled spares, begins a new
 * segment and starts the log's thread. Errors of the files; KV_NO_MEMORY. kvi_files_reason says
 * more. The database is borrowed and belongs to the executor. */
kv_status_t kvi_commit_wal_open(kvi_db_t *db, const kvi_wal_options_t *options,
                                kvi_commit_t **commit);
/* Has the log's thread recycle or remove the segments that hold nothing after lsn: to be called
 * when a snapshot of lsn is safely published. Any thread; does not wait. */
void kvi_commit_wal_remove_through(kvi_commit_t *commit, uint64_t lsn);
/* One round of the thread's work at this monotonic time, for a manual log. False: nothing was to
 * do. */
bool kvi_commit_wal_step(kvi_commit_t *commit, uint64_t now_ns);

/* ---- reading ---- */

/* What a reader calls; any may be NULL. */
typedef struct kvi_wal_visitor {
    void *context;
    /* Each batch, in order. An error ends the reading and is its result. */
    kv_status_t (*batch)(void *context, uint64_t lsn, uint64_t term, kv_slice_t bytes);
    /* Now and then: bytes of segments read, of how many. An error ends the reading likewise. */
    kv_status_t (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_all);
    /* Salvage only: what could not be read. last_lsn is 0 if nobody knows how much followed. */
    void (*lost)(void *context, const char *file, uint64_t offset, uint64_t first_lsn,
                 uint64_t last_lsn);
} kvi_wal_visitor_t;

/* file, offset and lsn are where reading ended: the end of the log, its torn tail, or the damage.
 * They are empty without a segment. */
typedef struct kvi_wal_report {
    uint64_t last_lsn;      /* of the last batch, or after_lsn if none follows it */
    uint64_t next_sequence; /* for the next segment */
    uint64_t batches;       /* visited */
    uint64_t segments;      /* read */
    uint64_t bytes;         /* of frames read */
    uint64_t torn_bytes;    /* of the last write, not finished and never acknowledged; dropped */
    char file[KVI_FILE_NAME_BYTES];
    uint64_t offset;
    uint64_t lsn;
    char reason[512]; /* of a refusal: file, offset, LSN, what is wrong and the two ways on; "" */
} kvi_wal_report_t;

/* Visits every batch after after_lsn. KV_CORRUPT: acknowledged data are missing or damaged;
 * KV_NEWER: a newer version's log; both with a reason. Otherwise errors of the files or of the
 * visitor. Changes nothing on the disk. */
kv_status_t kvi_wal_read(kvi_files_t *files, uint64_t after_lsn, const kvi_wal_visitor_t *visitor,
                         kvi_wal_report_t *report);
/* Visits every batch after after_lsn that verifies, whatever lies between, and tells of the rest:
 * for repair. LSNs rise but may have gaps. Errors of the files or of the visitor only. */
kv_status_t kvi_wal_salvage(kvi_files_t *files, uint64_t after_lsn,
                            const kvi_wal_visitor_t *visitor, kvi_wal_report_t *report);

/* How many keys the newest segment says there were when it was begun, and the bytes of all
 * segments. Both are nothing if they cannot be found out: that is for kvi_wal_read to tell. */
void kvi_wal_key_counts(kvi_files_t *files, kvi_key_counts_t *counts, uint64_t *log_bytes);

/* ---- names ---- */

typedef struct kvi_wal_name {
    uint64_t sequence;
    uint64_t first_lsn;
} kvi_wal_name_t;

void kvi_wal_name_print(kvi_wal_name_t name, char text[KVI_FILE_NAME_BYTES]);
/* False: the text is no segment's name. */
bool kvi_wal_name_parse(const char *text, kvi_wal_name_t *name);
/* The segments of a directory by rising sequence; *names is freed with kv_store_free, NULL if there
 * are none. KV_NO_MEMORY, errors of the files. */
kv_status_t kvi_wal_list(kvi_files_t *files, kvi_wal_name_t **names, size_t *count);

#endif
