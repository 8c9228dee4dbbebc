/* SPDX-License-Identifier: MIT */
/*
 * What an atomic batch has to put back when one of its operations fails: the old record of every
 * key that an operation may change, saved before it is applied, the newest first.
 *
 * Thread rule: one user at a time, as the database's.
 */
#ifndef KVI_DB_UNDO_H
#define KVI_DB_UNDO_H

#include "db/db_int.h"
#include "db/op.h"

typedef struct kvi_undo_item kvi_undo_item_t;

typedef struct kvi_undo {
    kvi_db_t *db;
    kv_arena_t *arena;
    kvi_undo_item_t *newest;
} kvi_undo_t;

/* An empty one over the database's arena. KV_NO_MEMORY. */
kv_status_t kvi_undo_begin(kvi_db_t *db, kvi_undo_t *undo);
/* Saves whatever op may change, before it does. KV_NO_MEMORY; KV_UNSUPPORTED for a kind that cannot
 * be undone. */
kv_status_t kvi_undo_save(kvi_undo_t *undo, const kvi_op_t *op);
/* Puts everything back. Limits on memory do not hold meanwhile, so that they cannot stand in the
 * way. KV_NO_MEMORY: the system itself refused memory, and some entry is not what it was. */
kv_status_t kvi_undo_run(kvi_undo_t *undo);
/* Lets go of what was saved. */
void kvi_undo_end(kvi_undo_t *undo);

#endif
