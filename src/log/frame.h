/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a log segment. Little endian.
 *
 *   segment   header of 4,096 bytes | frame | frame | ... | zeros, or what an earlier use left
 *
 *   header    offset  bytes                         frame    offset  bytes
 *                  0      4  CRC-32C of the rest                 0      4  CRC-32C of the rest and
 *                            of the header                                 the payload, seeded
 *                  4      4  format version                                with the salt
 *                  8      8  "KVWALSEG"                          4      4  payload bytes
 *                 16      8  sequence                            8      8  LSN of the first batch
 *                 24      8  LSN of the first batch             16      8  durable LSN
 *                 32      8  bytes of the segment               24      8  term
 *                 40      4  salt                               32      4  type
 *                 44      4  key counts, n                      36      4  number of batches
 *                 48   12 n  for each: keyspace in 4            40    ...  payload, then 0 to 7
 *                            bytes, its keys in 8                          bytes of padding
 *                        0 up to 4,096
 *   payload of type 1: for each batch its length in 4 bytes, then its bytes (db/batch.h)
 *
 * Invariants:
 *  1. The LSNs of a segment's batches are consecutive, from the header's on.
 *  2. A frame's durable LSN is below its first LSN: all up to it was on stable storage when the
 *     frame was written. So a frame that does not verify although a later one's durable LSN covers
 *     it is damage; any other frame that does not verify was never acknowledged.
 *  3. Two uses of a file have different salts, so that nothing left over ever verifies: a CRC of
 *     the same bytes with another seed is another CRC.
 *  4. A segment is synced before the name of the next exists; a segment's header is synced before
 *     its own name exists, and its file has had its full size since then.
 */
#ifndef KVI_LOG_FRAME_H
#define KVI_LOG_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "base/bytes.h"

#define KVI_SEGMENT_HEADER_BYTES ((size_t)4096)
#define KVI_FRAME_HEADER_BYTES ((size_t)40)
#define KVI_FRAME_ALIGNMENT ((size_t)8)
#define KVI_FRAME_BATCH_BYTES ((size_t)4) /* the length before each batch */
#define KVI_FRAME_PAYLOAD_MAX ((size_t)UINT32_MAX - 64)
#define KVI_LOG_VERSION 1
#define KVI_KEY_COUNTS_MAX 64

typedef enum kvi_frame_type { KVI_FRAME_BATCHES = 1 } kvi_frame_type_t;

typedef struct kvi_segment_header {
    uint64_t sequence;
    uint64_t first_lsn;
    uint64_t bytes;
    uint32_t salt;
} kvi_segment_header_t;

/* How many keys the large keyspaces held when a segment was begun, so that whoever reads the log
 * back can make room for them at once. Nothing else depends on it. */
typedef struct kvi_key_count {
    uint64_t keys;
    uint32_t keyspace;
} kvi_key_count_t;

typedef struct kvi_key_counts {
    size_t count;
    kvi_key_count_t of[KVI_KEY_COUNTS_MAX];
} kvi_key_counts_t;

typedef struct kvi_frame {
    uint32_t crc;
    uint32_t size; /* of the payload */
    uint64_t lsn;
    uint64_t durable;
    uint64_t term;
    uint32_t type;
    uint32_t count;
} kvi_frame_t;

/* bytes has KVI_SEGMENT_HEADER_BYTES in all three. counts may be NULL. */
void kvi_segment_header_encode(const kvi_segment_header_t *header, const kvi_key_counts_t *counts,
                               unsigned char *bytes);
/* KV_CORRUPT, KV_NEWER. */
kv_status_t kvi_segment_header_decode(const unsigned char *bytes, kvi_segment_header_t *header);
/* Of a header that was decoded: more than fit here are left out. */
void kvi_segment_counts_decode(const unsigned char *bytes, kvi_key_counts_t *counts);

/* A frame is written in three steps: start computes the checksum of its header, add goes on over
 * the payload, piece by piece, and encode writes the header's KVI_FRAME_HEADER_BYTES. */
void kvi_frame_start(kvi_frame_t *frame, uint32_t salt);
void kvi_frame_add(kvi_frame_t *frame, const void *payload, size_t size);
void kvi_frame_encode(const kvi_frame_t *frame, unsigned char *bytes);

/* Reads a header. False if it cannot be one of a frame that has room bytes, header included: a
 * quick answer for most places where none begins. */
bool kvi_frame_decode(const unsigned char *bytes, uint64_t room, kvi_frame_t *frame);
/* Whether header and payload, which lies behind it, are what was written with this salt. */
bool kvi_frame_verify(const unsigned char *bytes, const kvi_frame_t *frame, uint32_t salt);

/* Two fields of a header that was not decoded. */
static inline uint64_t kvi_frame_lsn(const unsigned char *bytes)
{
    return kvi_bytes_load_le64(bytes + 8);
}

static inline uint32_t kvi_frame_payload(const unsigned char *bytes)
{
    return kvi_bytes_load_le32(bytes + 4);
}

/* Bytes of the frame in the segment, padding included. */
static inline uint64_t kvi_frame_bytes(uint64_t payload)
{
    return (KVI_FRAME_HEADER_BYTES + payload + KVI_FRAME_ALIGNMENT - 1) &
           ~(uint64_t)(KVI_FRAME_ALIGNMENT - 1);
}

#endif
