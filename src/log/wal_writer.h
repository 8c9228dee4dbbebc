/* SPDX-License-Identifier: MIT */
/*
 * The writer of the log: the current segment, the spares for the next ones, and the old ones until
 * they are not needed any more. It does what it is told at once and in the caller's thread; when
 * to write, to sync and to prepare is decided in commit_wal.c.
 *
 *   spare-7.fill ──► spare-7.free ──► wal-12-3400.log ──► spare-8.free ──► ...
 *    zeros, in        synced, full     header synced,      its snapshot is published,
 *    small steps      size             then renamed        recycled
 *
 * Invariants:
 *  1. file is open, its name is durable, and at lies on a frame's boundary in it, header <= at.
 *  2. stage begins with the bytes of the block that holds at, up to at.
 *  3. durable_lsn <= written_lsn = next_lsn - 1; they are equal unless unsynced.
 *  4. The segments are listed by rising sequence; the last one is the current.
 *  5. After any error but KV_DISK_FULL from kvi_wal_writer_prepare, nothing but close is called.
 *
 * Thread rule: one user at a time.
 */
#ifndef KVI_LOG_WAL_WRITER_H
#define KVI_LOG_WAL_WRITER_H

#include "base/random.h"
#include "log/frame.h"
#include "log/wal.h"

#define KVI_WAL_STAGE_BYTES ((size_t)1 << 20)
#define KVI_WAL_SPARES_MAX 8

/* A batch on its way, in a list. The bytes are those of the batch. */
typedef struct kvi_wal_item {
    struct kvi_wal_item *next;
    kv_slice_t bytes;
    uint64_t lsn;
    kvi_sync_t sync; /* never the default */
    kvi_batch_t batch;
} kvi_wal_item_t;

typedef struct kvi_wal_spare {
    uint64_t number;
    uint64_t bytes;
} kvi_wal_spare_t;

typedef struct kvi_wal_segment {
    kvi_wal_name_t name;
    uint64_t bytes;
} kvi_wal_segment_t;

typedef struct kvi_wal_writer {
    kvi_files_t *files;
    uint64_t segment_bytes_max;
    uint64_t term;
    unsigned spares_kept;
    bool recycles;
    bool buffered; /* never direct: by choice, or since the file system cannot */
    kvi_random_t salts;

    kvi_file_t *file;
    bool direct; /* how file is open */
    kvi_segment_header_t segment;
    kvi_key_counts_t key_counts; /* for the header of the next segment */
    uint64_t at;
    uint64_t next_lsn;
    uint64_t written_lsn;
    uint64_t durable_lsn;
    bool unsynced;

    unsigned char *stage; /* KVI_WAL_STAGE_BYTES, and as many zeros behind them */
    size_t staged;        /* bytes in it */
    uint64_t stage_at;    /* the file's offset of its beginning */

    kvi_wal_segment_t *segments;
    size_t segment_count;
    size_t segment_capacity;
    uint64_t sealed_bytes; /* of all segments but the current */

    kvi_wal_spare_t spares[KVI_WAL_SPARES_MAX];
    unsigned spare_count;
    uint64_t spare_number; /* of the next one */
    kvi_file_t *filling;
    bool filling_direct;
    kvi_wal_spare_t fill;
    uint64_t filled;
} kvi_wal_writer_t;

/* Begins a new segment behind those of the directory. direct: past the page cache, if that is
 * possible. counts: what the database holds. */
kv_status_t kvi_wal_writer_open(kvi_wal_writer_t *writer, const kvi_wal_options_t *options,
                                const kvi_key_counts_t *counts, bool direct);
/* Closes the files; nothing is written or synced. */
void kvi_wal_writer_close(kvi_wal_writer_t *writer);

/* Bytes that a payload of batches takes in a segment. */
static inline uint64_t kvi_wal_batch_bytes(const kvi_wal_item_t *item)
{
    return KVI_FRAME_BATCH_BYTES + item->bytes.size;
}

/* Payload that fits into the current segment, and into the best spare (0 if there is none). */
uint64_t kvi_wal_writer_room(const kvi_wal_writer_t *writer);
uint64_t kvi_wal_writer_spare_room(const kvi_wal_writer_t *writer);

/* Writes count items as one frame, which must fit. */
kv_status_t kvi_wal_writer_append(kvi_wal_writer_t *writer, const kvi_wal_item_t *first,
                                  uint32_t count, uint64_t payload);
/* Makes everything written durable. */
kv_status_t kvi_wal_writer_sync(kvi_wal_writer_t *writer);
/* Goes on in a new segment with room for this payload: in a spare, or if there is none, in one that
 * is made now. */
kv_status_t kvi_wal_writer_rotate(kvi_wal_writer_t *writer, uint64_t payload);
/* Changes how the current segment is written. */
kv_status_t kvi_wal_writer_set_direct(kvi_wal_writer_t *writer, bool direct);

/* Whether no spare has room for this payload, and one has to be prepared. */
bool kvi_wal_writer_lacks_spare(const kvi_wal_writer_t *writer, uint64_t payload);
/* Writes about bytes of zeros of the next spare, which is to have room for payload. KV_DISK_FULL:
 * it is given up; the log as it is goes on. */
kv_status_t kvi_wal_writer_prepare(kvi_wal_writer_t *writer, uint64_t payload, uint64_t bytes);
/* Recycles or removes the oldest segment if it holds nothing after lsn; *done says whether there
 * was one. */
kv_status_t kvi_wal_writer_drop_oldest(kvi_wal_writer_t *writer, uint64_t lsn, bool *done);
/* Bytes in all segments. */
uint64_t kvi_wal_writer_log_bytes(const kvi_wal_writer_t *writer);
/* KV_OK or KV_CORRUPT. */
kv_status_t kvi_wal_writer_check(const kvi_wal_writer_t *writer);

#endif
