/* SPDX-License-Identifier: MIT */
/*
 * When a change is safe: the table of commit logs. Nobody above it knows which row is in use.
 *
 *   executor's turn      submit ─► apply ─► append to the open batch     (memory only, no waiting)
 *   end of the turn      end_turn: the batch gets its LSN and goes to the log's thread
 *   log's thread         one write and sync for all that has come ─► durable LSN ─► wake
 *   executor             releases the replies whose LSN is durable
 *
 * LSNs count batches, from 1. Thread rule: all functions belong to the executor's thread; wake is
 * called on the log's.
 */
#ifndef KVI_LOG_COMMIT_H
#define KVI_LOG_COMMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "db/batch.h"
#include "db/db.h"

typedef struct kvi_commit kvi_commit_t;

typedef struct kvi_commit_state {
    uint64_t lsn;          /* of the last batch that end_turn took */
    uint64_t written_lsn;  /* the system has it */
    uint64_t durable_lsn;  /* stable storage has it */
    uint64_t log_bytes;    /* of all segments that are kept */
    uint64_t queued_bytes; /* taken, and not written yet */
    uint64_t synced_ns;    /* how long the last sync took */
    uint64_t late_syncs;   /* syncs that took so long that writes had to wait */
    kv_status_t status;    /* KV_OK, or the first error; writes are refused then */
    char reason[256];      /* of the error, a sentence; "" */
} kvi_commit_state_t;

typedef struct kvi_commit_ops {
    const char *name; /* "none", "wal" */
    /* Whether a write may be applied: room for its bytes is made, so that one append of so many
     * cannot fail. KV_READ_ONLY after an error of the log, KV_DISK_FULL, KV_NO_MEMORY. KV_BUSY
     * when the disk lags so far behind that writes have to wait: to be tried again after the
     * next wake, or after flush. */
    kv_status_t (*reserve)(kvi_commit_t *commit, size_t bytes);
    /* Adds an applied operation to the turn's open batch. sync is its keyspace's. */
    void (*append)(kvi_commit_t *commit, const kvi_op_t *op, int64_t now_ms, kvi_sync_t sync);
    /* Adds a batch of its own (atomic ones) as it is; KVI_SYNC as append. */
    void (*append_batch)(kvi_commit_t *commit, kv_slice_t bytes, kvi_sync_t sync);
    /* Closes the open batch. Returns the LSN that replies of this moment, those of reads too, have
     * to wait for: 0 if none has to. After an error of the log it is never reached. */
    uint64_t (*end_turn)(kvi_commit_t *commit);
    uint64_t (*durable)(const kvi_commit_t *commit);
    /* Waits until everything that end_turn took is on stable storage: for shutdown and embedders.
     * The sticky error, if there is one. */
    kv_status_t (*flush)(kvi_commit_t *commit);
    /* The same without waiting: the LSN that durable has to reach, or the state's status says why
     * it will not. */
    uint64_t (*hurry)(kvi_commit_t *commit);
    void (*state)(const kvi_commit_t *commit, kvi_commit_state_t *state);
    void (*set_sync)(kvi_commit_t *commit, kvi_sync_t sync);
    /* Tries again after a full disk, on the user's explicit wish. KV_OK when writes are taken
     * again, else KV_DISK_FULL or KV_READ_ONLY. */
    kv_status_t (*resume)(kvi_commit_t *commit);
    void (*close)(kvi_commit_t *commit); /* flushes; NULL is accepted */
} kvi_commit_ops_t;

struct kvi_commit {
    const kvi_commit_ops_t *ops;
    kvi_db_t *db;
    bool keeps; /* whether anything is written at all */
};

/* What is asked of an operation's log record: the strictest policy of the keyspaces it names. */
kvi_sync_t kvi_commit_sync_of(kvi_db_t *db, const kvi_op_t *op);
/* The stricter of two policies. The default, whatever it is, stands before all but the strictest;
 * two keyspaces of which only one leaves it to the default meet in few operations. */
kvi_sync_t kvi_commit_stricter(kvi_sync_t a, kvi_sync_t b);

/* Nothing is kept: every operation is safe as soon as it is applied. */
kv_status_t kvi_commit_none_open(kvi_db_t *db, kvi_commit_t **commit);

/* Applies one operation and has it logged if it changed anything; result->status is the answer, be
 * it the log's or the operation's. The way of every single change in server and library. */
void kvi_commit_submit(kvi_commit_t *commit, const kvi_op_t *op, int64_t now_ms,
                       kvi_op_result_t *result);
/* The same for a whole batch. */
kv_status_t kvi_commit_submit_batch(kvi_commit_t *commit, kv_slice_t bytes,
                                    kvi_op_result_t *results);

#endif
