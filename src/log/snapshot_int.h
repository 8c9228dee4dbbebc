/* SPDX-License-Identifier: MIT */
/* What writer and reader of snapshot files share: headers as bytes, and checksums. */
#ifndef KVI_LOG_SNAPSHOT_INT_H
#define KVI_LOG_SNAPSHOT_INT_H

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "log/snapshot_file.h"

#define KVI_SNAPSHOT_MAGIC "KVSNAPSH"
#define KVI_SNAPSHOT_MAGIC_BYTES ((size_t)8)

typedef enum kvi_packing { KVI_PACKING_NONE = 0, KVI_PACKING_ZSTD = 1 } kvi_packing_t;

typedef struct kvi_chunk_head {
    uint64_t checksum;
    uint64_t number;
    uint64_t stored_bytes;
    uint64_t payload_bytes;
    uint32_t count;
    unsigned char kind;
    unsigned char packing;
    unsigned short zero;
} kvi_chunk_head_t;

_Static_assert(sizeof(kvi_chunk_head_t) == KVI_CHUNK_HEADER_BYTES, "a chunk's header is its bytes");

/* Writes eight bytes; returns the place behind them. */
static inline char *kvi_put64(char *to, uint64_t number)
{
    memcpy(to, &number, sizeof(number));
    return to + sizeof(number);
}

/* Of header and payload as they stand in the file. */
static inline uint64_t kvi_chunk_checksum(const char *bytes, size_t stored_bytes, uint64_t salt)
{
    return kvi_hash_bytes(bytes + sizeof(uint64_t),
                          KVI_CHUNK_HEADER_BYTES - sizeof(uint64_t) + stored_bytes, salt);
}

/* The digest of the whole file runs over the headers, which hold the checksums of the rest. */
static inline uint64_t kvi_snapshot_digest(uint64_t digest, const char *header, size_t size)
{
    return kvi_hash_bytes(header, size, digest);
}

#endif
