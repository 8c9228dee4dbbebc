/* SPDX-License-Identifier: MIT */
#include "log/frame.h"

#include "base/bytes.h"
#include "os/crc32c.h"

#include <string.h>

static const unsigned char magic[8] = {'K', 'V', 'W', 'A', 'L', 'S', 'E', 'G'};

#define COUNTS_OFFSET 44
#define COUNT_BYTES 12

static void encode_counts(const kvi_key_counts_t *counts, unsigned char *bytes)
{
    kvi_bytes_store_le32(bytes, (uint32_t)counts->count);
    bytes += 4;
    for (size_t i = 0; i < counts->count; i++, bytes += COUNT_BYTES) {
        kvi_bytes_store_le32(bytes, counts->of[i].keyspace);
        kvi_bytes_store_le64(bytes + 4, counts->of[i].keys);
    }
}

void kvi_segment_counts_decode(const unsigned char *bytes, kvi_key_counts_t *counts)
{
    const uint32_t count = kvi_bytes_load_le32(bytes + COUNTS_OFFSET);
    counts->count = count < KVI_KEY_COUNTS_MAX ? count : KVI_KEY_COUNTS_MAX;
    bytes += COUNTS_OFFSET + 4;
    for (size_t i = 0; i < counts->count; i++, bytes += COUNT_BYTES) {
        counts->of[i] = (kvi_key_count_t){.keyspace = kvi_bytes_load_le32(bytes),
                                          .keys = kvi_bytes_load_le64(bytes + 4)};
    }
}

void kvi_segment_header_encode(const kvi_segment_header_t *header, const kvi_key_counts_t *counts,
                               unsigned char *bytes)
{
    memset(bytes, 0, KVI_SEGMENT_HEADER_BYTES);
    kvi_bytes_store_le32(bytes + 4, KVI_LOG_VERSION);
    memcpy(bytes + 8, magic, sizeof magic);
    kvi_bytes_store_le64(bytes + 16, header->sequence);
    kvi_bytes_store_le64(bytes + 24, header->first_lsn);
    kvi_bytes_store_le64(bytes + 32, header->bytes);
    kvi_bytes_store_le32(bytes + 40, header->salt);
    if (counts != NULL) {
        encode_counts(counts, bytes + COUNTS_OFFSET);
    }
    kvi_bytes_store_le32(bytes, kvi_crc32c(0, bytes + 4, KVI_SEGMENT_HEADER_BYTES - 4));
}

kv_status_t kvi_segment_header_decode(const unsigned char *bytes, kvi_segment_header_t *header)
{
    if (memcmp(bytes + 8, magic, sizeof magic) != 0 ||
        kvi_bytes_load_le32(bytes) != kvi_crc32c(0, bytes + 4, KVI_SEGMENT_HEADER_BYTES - 4)) {
        return KV_CORRUPT;
    }
    const uint32_t version = kvi_bytes_load_le32(bytes + 4);
    if (version != KVI_LOG_VERSION) {
        return version > KVI_LOG_VERSION ? KV_NEWER : KV_CORRUPT;
    }
    *header = (kvi_segment_header_t){
        .sequence = kvi_bytes_load_le64(bytes + 16),
        .first_lsn = kvi_bytes_load_le64(bytes + 24),
        .bytes = kvi_bytes_load_le64(bytes + 32),
        .salt = kvi_bytes_load_le32(bytes + 40),
    };
    return KV_OK;
}

/* All of the header, crc included, as it stands in the file. */
static void store(const kvi_frame_t *frame, unsigned char *bytes)
{
    kvi_bytes_store_le32(bytes, frame->crc);
    kvi_bytes_store_le32(bytes + 4, frame->size);
    kvi_bytes_store_le64(bytes + 8, frame->lsn);
    kvi_bytes_store_le64(bytes + 16, frame->durable);
    kvi_bytes_store_le64(bytes + 24, frame->term);
    kvi_bytes_store_le32(bytes + 32, frame->type);
    kvi_bytes_store_le32(bytes + 36, frame->count);
}

void kvi_frame_start(kvi_frame_t *frame, uint32_t salt)
{
    unsigned char bytes[KVI_FRAME_HEADER_BYTES];
    store(frame, bytes);
    frame->crc = kvi_crc32c(salt, bytes + 4, sizeof bytes - 4);
}

void kvi_frame_add(kvi_frame_t *frame, const void *payload, size_t size)
{
    frame->crc = kvi_crc32c(frame->crc, payload, size);
}

void kvi_frame_encode(const kvi_frame_t *frame, unsigned char *bytes)
{
    store(frame, bytes);
}

bool kvi_frame_decode(const unsigned char *bytes, uint64_t room, kvi_frame_t *frame)
{
    if (room < KVI_FRAME_HEADER_BYTES) {
        return false;
    }
    *frame = (kvi_frame_t){
        .crc = kvi_bytes_load_le32(bytes),
        .size = kvi_bytes_load_le32(bytes + 4),
        .lsn = kvi_bytes_load_le64(bytes + 8),
        .durable = kvi_bytes_load_le64(bytes + 16),
        .term = kvi_bytes_load_le64(bytes + 24),
        .type = kvi_bytes_load_le32(bytes + 32),
        .count = kvi_bytes_load_le32(bytes + 36),
    };
    return frame->type != 0 && frame->count > 0 && frame->lsn > 0 && frame->durable < frame->lsn &&
           frame->size <= room - KVI_FRAME_HEADER_BYTES &&
           frame->count <= frame->size / KVI_FRAME_BATCH_BYTES;
}

bool kvi_frame_verify(const unsigned char *bytes, const kvi_frame_t *frame, uint32_t salt)
{
    return kvi_crc32c(salt, bytes + 4, KVI_FRAME_HEADER_BYTES - 4 + frame->size) == frame->crc;
}
