/* SPDX-License-Identifier: MIT */
/*
 * A database that lives in a directory: lock, metadata, recovery, log and snapshots put together.
 * Server and library open one of these and get a database and the log to submit changes to.
 *
 *   LOCK                    held while it is open; names the process
 *   meta-0, meta-1          written in turn: format, identity, term, vote
 *   snap-<LSN>-<term>.snap  the newest snapshot; *.tmp is one that was not finished
 *   wal-*.log, spare-*      the log (wal.h)
 *
 * How the executor uses it:
 *   each turn   submit ... ─► commit->ops->end_turn ─► kvi_directory_turn
 *
 * Thread rule: all functions belong to the executor's thread; the wake of the options is called on
 * others.
 */
#ifndef KVI_LOG_DIRECTORY_H
#define KVI_LOG_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "db/db.h"
#include "log/commit.h"
#include "log/metadata.h"
#include "log/recovery.h"
#include "log/wal.h"
#include "os/files.h"

/* What a turn gives to a snapshot, unless somebody knows better. */
#define KVI_DIRECTORY_TURN_NS UINT64_C(100000)
/* Log after which a snapshot begins by itself, if the data are not larger. */
#define KVI_DIRECTORY_LOG_BYTES ((uint64_t)64 << 20)

typedef struct kvi_directory kvi_directory_t;

typedef struct kvi_directory_options {
    const char *path;   /* made if it is missing */
    kvi_files_t *files; /* instead of path, borrowed */
    const char *owner;  /* who has it, for others that want it: "kvserver"; NULL: "a program" */
    /* At least as many numbered keyspaces as the directory was made with are there. */
    kvi_db_options_t db;
    /* sync, wake and what else the user wants; files, LSNs, sequence and term are filled in. */
    kvi_wal_options_t wal;
    uint64_t
        snapshot_log_bytes; /* instead of KVI_DIRECTORY_LOG_BYTES; UINT64_MAX: none by itself */
    bool compress;          /* snapshots, with zstd where it was found */
    bool must_exist;        /* KV_NOT_FOUND instead of a new database */
    /* Only to look at: nothing on the disk changes but the lock, there is no log (commit is NULL)
     * and there are no snapshots. must_exist is implied. */
    bool read_only;
    kvi_recovery_progress_fn progress; /* may be NULL */
    void *progress_context;
} kvi_directory_options_t;

typedef struct kvi_directory_state {
    bool running;     /* a snapshot or backup is being made */
    bool backup;      /* it, or the last one, is a backup */
    uint64_t lsn;     /* of the running one */
    uint64_t entries; /* of the running one, written so far, of entries_expected */
    uint64_t entries_expected;
    size_t memory_bytes; /* of the running one: most that its chunks took so far */
    uint64_t started_ms; /* when the running one was begun; wall time */
    uint64_t changes;    /* since the last snapshot was begun: kvi_db_changes */
    uint64_t log_bytes;  /* since the last snapshot, about */
    uint64_t saves;      /* snapshots published since the directory was opened */
    uint64_t last_lsn;   /* of the newest published snapshot; 0: none */
    int64_t last_ms;     /* wall time of its publication; of the opening before the first */
    uint64_t last_entries;
    uint64_t last_bytes;
    uint64_t last_ns; /* from begin to publication */
    uint64_t last_longest_step_ns;
    size_t last_memory_bytes; /* most that its chunks took */
    kv_status_t last_status;  /* of the last try */
    uint64_t failures;        /* tries in a row that failed, up to the last one */
    char last_reason[256];    /* why it failed; "" */
} kvi_directory_state_t;

/* Takes the lock, reads the metadata, recovers, removes leftovers, opens the log. report may be
 * NULL; its reason is set after every error. KV_BUSY: another process has it; KV_CORRUPT; KV_NEWER;
 * KV_NOT_FOUND; KV_IO, KV_DISK_FULL, KV_NO_MEMORY. */
kv_status_t kvi_directory_open(const kvi_directory_options_t *options, kvi_directory_t **directory,
                               kvi_recovery_report_t *report);
/* Flushes the log and gives up a running snapshot. Returns the log's status. NULL is accepted. */
kv_status_t kvi_directory_close(kvi_directory_t *directory);

const kvi_metadata_t *kvi_directory_metadata(const kvi_directory_t *directory);
kvi_db_t *kvi_directory_db(kvi_directory_t *directory);
kvi_commit_t *kvi_directory_commit(kvi_directory_t *directory);

/* Between two turns, that is, after end_turn: steps a running snapshot for about budget_ns, takes
 * notice of its end, and begins one when the log has grown enough. True: call again soon, there is
 * work left; false: nothing to do until the next change or wake. */
bool kvi_directory_turn(kvi_directory_t *directory, uint64_t budget_ns);
/* Begins a snapshot in the background, between two turns. KV_BUSY while one is running. */
kv_status_t kvi_directory_snapshot(kvi_directory_t *directory);
/* The same into another directory, which must hold no database (KV_EXISTS) and is made if it is
 * missing. Opening that directory is the restoration. */
kv_status_t kvi_directory_backup(kvi_directory_t *directory, const char *path);
/* Takes a snapshot and waits for it; one that is running is given up first. */
kv_status_t kvi_directory_save(kvi_directory_t *directory);
/* Waits for the running snapshot, if there is one; its status. */
kv_status_t kvi_directory_wait(kvi_directory_t *directory);
/* Change while open; whether snapshots are compressed from the next one on. */
void kvi_directory_set_snapshot_log_bytes(kvi_directory_t *directory, uint64_t bytes);
void kvi_directory_set_compress(kvi_directory_t *directory, bool compress);
void kvi_directory_state(kvi_directory_t *directory, kvi_directory_state_t *state);

#endif
