/* SPDX-License-Identifier: MIT */
/*
 * A batch: operations as a flat string of bytes with the time of their making. The same bytes are
 * a log record, what a snapshot is restored from, and what replicas exchange; docs/FORMATS.md
 * describes them.
 *
 *   version  flags  time_ms  count | operation | operation | ...
 *
 * Every reader checks every bound: bytes from outside are KV_CORRUPT or KV_NEWER at worst.
 */
#ifndef KVI_DB_BATCH_H
#define KVI_DB_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "db/op.h"

#define KVI_BATCH_VERSION 1
/* All operations or none: the first error undoes those before it. */
#define KVI_BATCH_ATOMIC 0x01U

/* A batch under construction; a zeroed one is empty. Owned by its user. */
typedef struct kvi_batch {
    char *bytes;
    size_t size;
    size_t capacity;
    uint32_t count;
} kvi_batch_t;

/* Empties it for operations of this time; keeps the memory. */
kv_status_t kvi_batch_begin(kvi_batch_t *batch, int64_t time_ms, unsigned flags);
/* Another time for the whole batch. */
void kvi_batch_set_time(kvi_batch_t *batch, int64_t time_ms);
/* At most this many bytes are added by kvi_batch_append of the operation. */
size_t kvi_op_encoded_bytes_max(const kvi_op_t *op);
/* Makes room, so that the next appends of so many bytes in all cannot fail. KV_NO_MEMORY. */
kv_status_t kvi_batch_reserve(kvi_batch_t *batch, size_t bytes);
/* Within what was reserved. */
void kvi_batch_append(kvi_batch_t *batch, const kvi_op_t *op);
/* The finished bytes; the count is filled in. Borrowed until the next change. */
kv_slice_t kvi_batch_bytes(kvi_batch_t *batch);
void kvi_batch_close(kvi_batch_t *batch);

/* A batch being read. */
typedef struct kvi_batch_reader {
    const char *at;
    const char *end;
    int64_t time_ms;
    uint32_t count; /* operations that are left */
    unsigned flags;
    kv_range_t range; /* what the last DELETE_RANGE points to */
} kvi_batch_reader_t;

/* KV_CORRUPT, KV_NEWER. */
kv_status_t kvi_batch_read(kv_slice_t bytes, kvi_batch_reader_t *reader);
/* The next operation, whose slices point into the batch. KV_NOT_FOUND at the end, KV_CORRUPT. */
kv_status_t kvi_batch_next(kvi_batch_reader_t *reader, kvi_op_t *op);

/* Applies all operations at the batch's time, or at the database's own if that is later; results,
 * if not NULL, has room for its count, and the values they point to hold until the next call. With
 * KVI_BATCH_ATOMIC the first error is the answer and nothing has changed; that a key is not there
 * to be read, deleted or given a deadline is no error. Otherwise each operation stands for itself
 * and the answer is KV_OK. The whole batch is read through first, so KV_CORRUPT comes before
 * anything has changed. */
kv_status_t kvi_db_apply(kvi_db_t *db, kv_slice_t bytes, kvi_op_result_t *results);
/* The same for a batch that comes back from the log: bytes that a checksum vouches for, and a
 * database that is given up after an error. So nothing is read twice: KV_CORRUPT may come when a
 * part has been applied. KV_NO_MEMORY and KV_QUOTA are the answer whichever operation met them. */
kv_status_t kvi_db_replay(kvi_db_t *db, kv_slice_t bytes);

#endif
