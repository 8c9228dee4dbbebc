/* SPDX-License-Identifier: MIT */
/*
 * Transactions: changes in an arena, found by key through an index of their own.
 *
 *   newest ──► change ──► change ──► change        in the order they were made
 *                │  previous of the same key ──┘
 *   index: keyspace number u32, big endian, and key ──► the newest change of that key
 *   savepoint: a mark of the arena and the change that was newest then
 *
 * Guards lie in an arena of their own: what was read stays read after a rollback.
 *
 * Invariant: a change is written where it lies only if no savepoint was made after it, so going
 * back to one never has to undo that.
 */
#ifndef KVI_EMBED_TRANSACTION_INT_H
#define KVI_EMBED_TRANSACTION_INT_H

#include "embed/embed_int.h"

typedef struct change {
    struct change *older;
    struct change *previous; /* of the same key */
    kv_keyspace_t *keyspace;
    kv_slice_t key;
    kv_slice_t value;
    size_t capacity; /* for the value; what is above its size is for appending */
    int64_t deadline_ms;
    uint32_t savepoint; /* the last one when it was made; 0: none */
    bool deleted;
    bool keeps_deadline; /* of the entry that is there: it goes on from a guarded one */
    kvi_form_t form;
} change_t;

typedef struct guard {
    struct guard *next;
    kv_keyspace_t *keyspace;
    kv_slice_t key;
    uint64_t version;
} guard_t;

typedef struct savepoint {
    struct savepoint *before;
    uint32_t number;
    kv_arena_mark_t mark;
    change_t *newest;
} savepoint_t;

struct kv_transaction {
    kv_db_t *db;
    kv_arena_t *arena;
    kv_arena_t *kept; /* guards and savepoints */
    kv_engine_t *index;
    change_t *newest;
    guard_t *guards;
    savepoint_t *savepoints;
    char *key; /* of the index, being looked for */
    size_t key_capacity;
};

/* The newest change of a key; NULL: there is none, or (status KV_NO_MEMORY) it cannot be told. */
change_t *kvi_transaction_change(kv_transaction_t *transaction, const kv_keyspace_t *keyspace,
                                 kv_slice_t key, kv_status_t *status);
/* Adds a change, its key and value copied. KV_INVALID, KV_TOO_LARGE, KV_NO_MEMORY. */
kv_status_t kvi_transaction_add_change(kv_transaction_t *transaction, const change_t *wanted);
/* Whether the transaction sees a value there now. */
bool kvi_transaction_shows(const kv_transaction_t *transaction, const change_t *change);

static inline uint32_t kvi_transaction_savepoint(const kv_transaction_t *transaction)
{
    return transaction->savepoints != NULL ? transaction->savepoints->number : 0;
}

#endif
