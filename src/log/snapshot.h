/* SPDX-License-Identifier: MIT */
/*
 * A snapshot in the making: the state of a database at one LSN, written to a file while the
 * database goes on. No fork, no pause, bounded memory.
 *
 *   begin     the epoch of the database goes up by one; every content is held; the LSN is noted
 *   step      scans held contents in small counts; a record of an older epoch is written out and
 *             given the new epoch in place
 *   observer  a record of an older epoch that is about to change or go is written out first
 *   chunks    of 256 KiB go through a queue of 2 MiB to a thread that checks, compresses and writes
 *             them; a full queue pauses the scan and nothing else
 *   end       footer, sync, rename, directory sync: only now is there a snapshot
 *
 * Invariants:
 *  1. Each record that was there at begin is written exactly once: the one who writes it, scan or
 *     observer, changes its epoch or sees it go.
 *  2. A snapshot under its final name is whole and on stable storage.
 *  3. The scan stops while the queue holds KVI_SNAPSHOT_QUEUE_BYTES. The observer may not stop: at
 *     most what one turn changes comes on top.
 *
 * Thread rule: all functions belong to the executor's thread; wake is called on the writer's.
 */
#ifndef KVI_LOG_SNAPSHOT_H
#define KVI_LOG_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "db/db.h"
#include "os/files.h"

#define KVI_SNAPSHOT_QUEUE_BYTES ((size_t)2 << 20)

typedef struct kvi_snapshot kvi_snapshot_t;

typedef struct kvi_snapshot_options {
    kvi_files_t *files; /* borrowed; outlives the snapshot */
    kvi_db_t *db;       /* borrowed */
    uint64_t lsn;       /* of the last batch that the database holds; between two turns */
    uint64_t term;
    unsigned char identity[16]; /* of the database */
    bool compress;              /* with zstd, where it was found; else not */
    bool manual;                /* no thread: step and finish write themselves. For tests */
    /* Called on the writer's thread once the file is published: what is left to do until the
     * snapshot is done. May be NULL. */
    kv_status_t (*published)(void *context);
    void *published_context;
    /* Called on the writer's thread when there is room again and when all is done. May be NULL. */
    void (*wake)(void *context);
    void *wake_context;
} kvi_snapshot_options_t;

typedef enum kvi_snapshot_phase {
    KVI_SNAPSHOT_SCANS,  /* step has work to do */
    KVI_SNAPSHOT_WRITES, /* all is scanned; the writer has it */
    KVI_SNAPSHOT_DONE,   /* published */
    KVI_SNAPSHOT_FAILED  /* nothing was published; status and reason say why */
} kvi_snapshot_phase_t;

typedef struct kvi_snapshot_state {
    kvi_snapshot_phase_t phase;
    bool waits; /* the queue is full: step has nothing to do until wake */
    uint64_t lsn;
    uint64_t entries;       /* written out so far */
    uint64_t entries_early; /* of them, by the observer */
    uint64_t entries_expected;
    uint64_t bytes; /* of the file so far */
    uint64_t longest_step_ns;
    uint64_t step_ns;        /* in all steps */
    size_t memory_bytes_max; /* most that chunks took at a time */
    kv_status_t status;
    char reason[256]; /* a sentence; "" */
} kvi_snapshot_state_t;

/* Only one at a time for a database. KV_NO_MEMORY; KV_BUSY if there is one. */
kv_status_t kvi_snapshot_begin(const kvi_snapshot_options_t *options, kvi_snapshot_t **snapshot);
/* Works for about budget_ns. Returns the phase it is in. */
kvi_snapshot_phase_t kvi_snapshot_step(kvi_snapshot_t *snapshot, uint64_t budget_ns);
/* Steps and waits until it is done or has failed: for SAVE and embedders. */
kv_status_t kvi_snapshot_finish(kvi_snapshot_t *snapshot);
void kvi_snapshot_state(kvi_snapshot_t *snapshot, kvi_snapshot_state_t *state);
/* Gives it up if it is not done, and frees it; a published file stays. NULL is accepted. */
void kvi_snapshot_close(kvi_snapshot_t *snapshot);

#endif
