/* SPDX-License-Identifier: MIT */
/*
 * Eviction: which entries go when memory is short. It chooses; the entries go by KVI_OP_DELETE
 * through whoever asks, so that they are logged like everything else.
 *
 * A write is tried first. Only when a limit refuses it entries are evicted and the write is tried
 * again: what is free inside a pool's blocks is used up to the last byte, no estimate stands
 * between, and a write that fits costs nothing extra.
 *
 * Thread rule: one user at a time, as the database's.
 */
#ifndef KVI_DB_EVICT_H
#define KVI_DB_EVICT_H

#include "db/batch.h"
#include "db/op.h"

/* Carries out one operation: applies it, and logs it if there is a log. */
typedef void (*kvi_submit_fn)(void *context, const kvi_op_t *op, int64_t now_ms,
                              kvi_op_result_t *result);

typedef struct kvi_submitter {
    kvi_submit_fn submit; /* NULL: kvi_db_apply_op */
    void *context;
} kvi_submitter_t;

/* Removes entries of about bytes in all: late ones first, then by the policies; of this keyspace if
 * refusal is KV_QUOTA, else of any keyspace that allows it, chosen by chance in proportion to what
 * each holds. KV_OK if any went; else refusal: nothing may be evicted. */
kv_status_t kvi_db_make_room(kvi_db_t *db, kvi_keyspace_t *keyspace, kv_status_t refusal,
                             size_t bytes, const kvi_submitter_t *submitter);

/* Submits op. While a limit on memory refuses it, makes room and submits it again, up to a bounded
 * number of entries. What the server and the library do for every operation. */
void kvi_db_submit(kvi_db_t *db, const kvi_op_t *op, int64_t now_ms,
                   const kvi_submitter_t *submitter, kvi_op_result_t *result);

/* Evicts and moves entries together while the use is above a limit that was lowered, up to steps
 * entries. Returns the steps used; fewer: nothing is left to do. For housekeeping. */
size_t kvi_db_shrink(kvi_db_t *db, size_t steps, const kvi_submitter_t *submitter);

#endif
