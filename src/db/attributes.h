/* SPDX-License-Identifier: MIT */
/*
 * The attributes of a keyspace as bytes, as KVI_OP_KEYSPACE_CREATE and KVI_OP_KEYSPACE_SET carry
 * them: a set of fields, so that a change names only what it changes.
 *
 *   fields u8 | engine name: size u8, bytes | quota varint | eviction u8 | sync u8 |
 *   default TTL varint | maximum TTL varint         each only if its bit in fields is set
 *
 * Thread rule: any thread.
 */
#ifndef KVI_DB_ATTRIBUTES_H
#define KVI_DB_ATTRIBUTES_H

#include "db/db.h"

typedef enum kvi_attribute {
    KVI_ATTRIBUTE_ENGINE = 1 << 0,
    KVI_ATTRIBUTE_QUOTA = 1 << 1,
    KVI_ATTRIBUTE_EVICTION = 1 << 2,
    KVI_ATTRIBUTE_SYNC = 1 << 3,
    KVI_ATTRIBUTE_DEFAULT_TTL = 1 << 4,
    KVI_ATTRIBUTE_MAX_TTL = 1 << 5
} kvi_attribute_t;

#define KVI_ATTRIBUTES_ALL 0x3fU
#define KVI_ATTRIBUTES_BYTES_MAX ((size_t)300)

/* Writes the fields that are set; returns the bytes. A NULL engine is left out. */
size_t kvi_attributes_encode(const kvi_attributes_t *attributes, unsigned fields,
                             char bytes[KVI_ATTRIBUTES_BYTES_MAX]);
/* Changes those attributes that the bytes name. Empty bytes change none. KV_CORRUPT, KV_UNSUPPORTED
 * for an unknown engine; *attributes is then unchanged. */
kv_status_t kvi_attributes_decode(kv_slice_t bytes, kvi_attributes_t *attributes);

#endif
