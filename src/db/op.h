/* SPDX-License-Identifier: MIT */
/*
 * An operation: the one way in which data change. Commands, the embedder's calls, expiry, eviction
 * and recovery all make operations and have them applied; a log records exactly these.
 *
 * An operation says what to do, never what was read before ("add 1"), and the time is an argument
 * of its application, so applying the same operations to equal databases makes them equal again.
 */
#ifndef KVI_DB_OP_H
#define KVI_DB_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "db/db.h"
#include "engine/ordered.h"

/* The numbers are those of the encoding (batch.h): none is ever given a second meaning. */
typedef enum kvi_op_kind {
    KVI_OP_PUT = 1,
    KVI_OP_DELETE = 2,
    KVI_OP_APPEND = 3,
    KVI_OP_WRITE_AT = 4,
    KVI_OP_ADD = 5,
    KVI_OP_ADD_FLOAT = 6,
    KVI_OP_SET_DEADLINE = 7,
    KVI_OP_COPY = 8,
    KVI_OP_RENAME = 9,
    KVI_OP_DELETE_RANGE = 10,
    KVI_OP_EXPIRE = 11, /* removes up to count entries that are late at the batch's time */
    KVI_OP_CLEAR = 12,
    KVI_OP_SWAP = 13,
    KVI_OP_KEYSPACE_CREATE = 14, /* keyspace: the number to get; 0: the lowest that is free */
    KVI_OP_KEYSPACE_DROP = 15,
    KVI_OP_KEYSPACE_SET = 16, /* attributes */
    KVI_OP_GUARD = 17,        /* KV_CONFLICT unless the key has this version */
    KVI_OP_READ = 18,         /* the value, as it is between its neighbours; never logged */
    KVI_OP_KIND_END
} kvi_op_kind_t;

/* Which fields count for which kind is in the table of batch.c and in docs/FORMATS.md; those that
 * do not are zero. Slices are borrowed for the call. */
typedef struct kvi_op {
    kvi_op_kind_t kind;
    uint32_t keyspace;
    uint32_t to_keyspace; /* COPY, RENAME, SWAP */
    kv_slice_t key;       /* KEYSPACE_CREATE: the name */
    kv_slice_t value;     /* PUT, APPEND, WRITE_AT; ADD_FLOAT: delta as text; COPY, RENAME: new key;
                             CREATE, SET: attributes as attributes.h encodes them */
    kvi_put_condition_t condition;
    bool keep_deadline;      /* PUT */
    bool replace;            /* COPY, RENAME */
    kvi_form_t form;         /* PUT */
    int64_t deadline_ms;     /* PUT, SET_DEADLINE */
    int64_t delta;           /* ADD */
    uint64_t offset;         /* WRITE_AT */
    uint64_t count;          /* EXPIRE */
    uint64_t version;        /* GUARD, PUT with KVI_PUT_IF_VERSION */
    const kv_range_t *range; /* DELETE_RANGE */
} kvi_op_t;

typedef struct kvi_op_result {
    kv_status_t status;
    bool changed;      /* data are not what they were; what is logged */
    int64_t sum;       /* ADD */
    uint64_t count;    /* DELETE_RANGE, EXPIRE: entries removed */
    size_t size;       /* APPEND, WRITE_AT: of the new value */
    kv_slice_t value;  /* ADD_FLOAT, READ: borrowed until the next operation */
    uint32_t keyspace; /* KEYSPACE_CREATE: its number */
} kvi_op_result_t;

/* The only function that changes data, besides kvi_db_apply of batch.h, which calls it for each
 * operation of a batch. result->status says what came of it; on an error nothing has changed. */
void kvi_db_apply_op(kvi_db_t *db, const kvi_op_t *op, int64_t now_ms, kvi_op_result_t *result);

#endif
