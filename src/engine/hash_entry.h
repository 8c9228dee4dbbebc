/* SPDX-License-Identifier: MIT */
/*
 * One entry of the hash engine: a single pool object with everything a read needs.
 *
 *   [key bytes: varint][value bytes: varint][key ...][value ...]       <= ENTRY_INLINE_VALUE_MAX
 *   [key bytes: varint][value bytes: varint][key ...][address: 8 bytes]   longer ones, apart
 *
 * A value apart has an allocation of its own, so that making it longer moves neither key nor slot.
 * Short keys and values cost two bytes of header. One user at a time, as the pool.
 */
#ifndef KVI_ENGINE_HASH_ENTRY_H
#define KVI_ENGINE_HASH_ENTRY_H

#include <stdbool.h>

#include <concordkv/kv_memory.h>

#include "base/bytes.h"
#include "base/varint.h"

#define ENTRY_INLINE_VALUE_MAX ((size_t)8192)

typedef struct kvi_entry_view {
    const char *key;
    size_t key_bytes;
    size_t value_bytes;
    char *value; /* where the value's bytes are, in the entry or apart */
} kvi_entry_view_t;

static inline bool kvi_entry_is_apart(size_t value_bytes)
{
    return value_bytes > ENTRY_INLINE_VALUE_MAX;
}

/* The key alone: a value apart is not looked up. */
static inline kv_slice_t kvi_entry_key(const char *entry)
{
    uint64_t key_bytes;
    uint64_t value_bytes;
    const char *const key = kvi_varint_read(kvi_varint_read(entry, &key_bytes), &value_bytes);
    return (kv_slice_t){key, (size_t)key_bytes};
}

static inline char *kvi_entry_load_address(const char *at)
{
    char *address;
    memcpy(&address, at, sizeof address);
    return address;
}

static inline kvi_entry_view_t kvi_entry_view(char *entry)
{
    uint64_t key_bytes;
    uint64_t value_bytes;
    const char *const key = kvi_varint_read(kvi_varint_read(entry, &key_bytes), &value_bytes);
    char *const after = entry + (key - entry) + key_bytes;
    return (kvi_entry_view_t){
        .key = key,
        .key_bytes = (size_t)key_bytes,
        .value_bytes = (size_t)value_bytes,
        .value = kvi_entry_is_apart((size_t)value_bytes) ? kvi_entry_load_address(after) : after,
    };
}

/* Varints and the address: what an entry costs beyond key and value. */
static inline size_t kvi_entry_header_bytes(size_t key_bytes, size_t value_bytes)
{
    return kvi_varint_bytes(key_bytes) + kvi_varint_bytes(value_bytes) +
           (kvi_entry_is_apart(value_bytes) ? sizeof(char *) : 0);
}

/* Bytes of the entry's own object, a value apart not counted. */
static inline size_t kvi_entry_object_bytes(size_t key_bytes, size_t value_bytes)
{
    return kvi_entry_header_bytes(key_bytes, value_bytes) + key_bytes +
           (kvi_entry_is_apart(value_bytes) ? 0 : value_bytes);
}

/* A new entry with its key; the value's bytes are undefined. value_capacity >= value_bytes is room
 * for a value apart to grow into. NULL when memory is short. */
char *kvi_entry_create(kv_pool_t *pool, kv_slice_t key, size_t value_bytes, size_t value_capacity);
void kvi_entry_destroy(kv_pool_t *pool, char *entry);
/* Makes the value value_bytes long without moving anything, if its allocations allow that at little
 * waste; keeps the bytes that fit. False, with nothing changed, if not. */
bool kvi_entry_resize(kv_pool_t *pool, char *entry, size_t value_bytes);
/* A copy in another place, which takes over a value apart; entry must then be freed as an object
 * alone. NULL when memory is short. */
char *kvi_entry_move(kv_pool_t *pool, char *entry);

#endif
