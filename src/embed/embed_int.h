/* SPDX-License-Identifier: MIT */
/*
 * What the files behind kv_db.h share.
 *
 *   gets        ──► enter the gate ──► engine ──► leave
 *   changes     ──► close the gate ──► kvi_db_submit ──► commit ──► open ──► wait for the LSN
 *
 * Many threads wait for one sync together, and the gate is open meanwhile.
 *
 * Invariants:
 *  1. Whoever changes data, contents or observers has closed the gate.
 *  2. A handle keeps the struct of its keyspace alive, not its place in the database: each call
 *     looks whether it is still there.
 */
#ifndef KVI_EMBED_EMBED_INT_H
#define KVI_EMBED_EMBED_INT_H

#include <stdatomic.h>

#include <concordkv/kv_db.h>

#include "db/db_int.h"
#include "db/evict.h"
#include "embed/gate.h"
#include "engine/scan_order.h"
#include "log/commit.h"
#include "log/directory.h"
#include "os/os.h"

/* A snapshot file or backup that somebody waits for. */
typedef struct kvi_embed_file {
    bool done;
    kv_status_t status;
} kvi_embed_file_t;

#define KVI_EMBED_CURSORS 8U

struct kv_db {
    kvi_gate_t gate;
    kvi_os_mutex_t cursors[KVI_EMBED_CURSORS]; /* for who reads with a cursor within the gate */
    kvi_db_t *data;
    kvi_commit_t *commit;
    kvi_directory_t *directory; /* NULL: in memory */
    int64_t (*clock)(void *context);
    void *clock_context;
    kvi_submitter_t submitter;
    uint64_t writes;
    size_t next_keyspace;   /* of housekeeping */
    kvi_embed_file_t *file; /* the running one, if somebody waits for it */
    kvi_os_mutex_t wake_mutex;
    kvi_os_condition_t wake; /* the log or a snapshot file has moved */
    _Atomic uint64_t moves;  /* how often; written under wake_mutex */
    uint64_t turn_moves;     /* when the present turn began */
};

struct kv_keyspace {
    kv_db_t *db;
    kvi_keyspace_t *data; /* a user of it */
};

static inline int64_t kvi_embed_now(const kv_db_t *db)
{
    return db->clock(db->clock_context);
}

/* Within the gate: whether the keyspace is still in the database. */
static inline bool kvi_embed_is_there(const kv_keyspace_t *keyspace)
{
    return kvi_db_keyspace(keyspace->db->data, keyspace->data->number) == keyspace->data;
}

/* Between them is one turn of changes. end opens the gate, then waits for what has to be durable,
 * and answers status, or why that will not come. KV_BUSY says that the log has no room yet: end has
 * waited until it may have, and the turn is to be tried again. */
void kvi_embed_begin(kv_db_t *db);
kv_status_t kvi_embed_end(kv_db_t *db, kv_status_t status);

/* Outside of the gate: KV_OK, or why the log takes nothing. */
kv_status_t kvi_embed_log_status(kv_db_t *db);
/* Outside of the gate: waits until the LSN is on stable storage. Why it will not be there. */
kv_status_t kvi_embed_wait_durable(kv_db_t *db, uint64_t lsn);
/* Returns when db->moves, read before looking at the files, has changed, or after a while. */
void kvi_embed_wait(kv_db_t *db, uint64_t moves);
/* After end_turn, in the closed gate: a bounded step of a running snapshot file. True: there is
 * more to do at once. */
bool kvi_embed_step_files(kv_db_t *db);

/* One operation on a keyspace as a turn of its own. */
kv_status_t kvi_embed_run(kv_keyspace_t *keyspace, kvi_op_t *op, kvi_op_result_t *result);

/* A batch and the keyspaces it names. */
struct kv_batch {
    kv_db_t *db;
    kvi_batch_t data;
    kvi_keyspace_t **keyspaces; /* each once */
    size_t keyspace_count;
    size_t keyspace_capacity;
};

/* Notes an operation on keyspace. KV_NO_MEMORY. */
kv_status_t kvi_embed_note(kv_batch_t *batch, const kv_keyspace_t *keyspace, kvi_op_t *op);

/* Steps of everything that is left to the background; true: there is more. */
bool kvi_embed_housekeep(kv_db_t *db, size_t steps);

/* Copies a record. KV_NO_MEMORY. */
kv_status_t kvi_embed_copy(kv_slice_t record, kv_value_t *value);

kv_status_t kvi_embed_attributes(const kv_attributes_t *from, kvi_attributes_t *to);
/* Of a put that names no expected value. KV_INVALID. */
kv_status_t kvi_embed_put_op(const kv_db_t *db, kv_slice_t key, kv_slice_t value,
                             const kv_put_options_t *options, kvi_op_t *op);

struct kv_snapshot {
    kvi_observer_t observer;
    kv_db_t *db;
    int64_t now_ms;
    kvi_os_mutex_t cursors; /* of the side table */
    /* place of the content u32, big endian, and key ─► 0, or 1 and record; where scans go in an
     * order of their own, for each record also KVI_SIDE_ORDER | place, place in that order u64, big
     * endian, and key ─► nothing */
    kv_engine_t *side;
    kv_status_t status; /* of keeping old records */
    size_t count;
    struct kvi_snapshot_place {
        kvi_keyspace_t *keyspace;
        kvi_content_t *content; /* held; NULL: it was empty */
    } places[];
};

#define KVI_SIDE_PREFIX_BYTES ((size_t)4)
#define KVI_SIDE_ABSENT 0
#define KVI_SIDE_RECORD 1
#define KVI_SIDE_ORDER ((size_t)1 << 31)
#define KVI_SIDE_ORDER_BYTES ((size_t)8)

/* The place of a keyspace; count: it is not in the snapshot. */
size_t kvi_snapshot_place(const kv_snapshot_t *snapshot, const kvi_keyspace_t *keyspace);
void kvi_side_prefix(size_t place, char prefix[KVI_SIDE_PREFIX_BYTES]);
/* What was kept of a key, borrowed. KV_NOT_FOUND: it is as it was then. KV_NO_MEMORY. */
kv_status_t kvi_side_find(const kv_snapshot_t *snapshot, size_t place, kv_slice_t key,
                          kv_slice_t *kept);

#endif
