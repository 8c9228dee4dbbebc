/* SPDX-License-Identifier: MIT */
/*
 * A map of memory, read from the JSON of MEMORY MAP: an array of flat objects with the members of
 * kv_memory_block_t,
 *
 *   [{"address": "0x7f0000010000", "bytes": 65536, "kind": "pool", "owner": "db0",
 *     "owner_id": "0x5581c0de", "object_bytes": 64, "used_bytes": 61440}, ...]
 *
 * An address or identity may be a number too; unknown members are passed over, so that the server
 * may say more.
 */
#ifndef KVTOOL_MAP_H
#define KVTOOL_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAP_NAME_BYTES 64

typedef struct map_block {
    uint64_t address;
    uint64_t owner_id; /* tells owners of one name apart */
    size_t bytes;
    size_t object_bytes; /* 0: has no size class */
    size_t used_bytes;
    char kind[MAP_NAME_BYTES];
    char owner[MAP_NAME_BYTES]; /* cut if longer */
} map_block_t;

typedef struct map {
    map_block_t *blocks; /* sorted by owner, kind, identity and address */
    size_t count;
    size_t error_at; /* where the text stopped making sense */
} map_t;

/* False for text that is no map or for want of memory; then there is nothing to free. */
bool map_parse(map_t *map, const char *text, size_t length);
void map_free(map_t *map);

#endif
