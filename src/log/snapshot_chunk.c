/* SPDX-License-Identifier: MIT */
/* The items of a snapshot's chunks, written and read; snapshot_file.h has the bytes. */
#include "log/snapshot_file.h"

#include <concordkv/kv_memory.h>

#include "base/bytes.h"
#include "base/varint.h"
#include "log/snapshot_int.h"

#define FLAG_DEADLINE 0x01U
#define FLAG_FORM 0x06U
#define FLAG_FORM_SHIFT 1
#define FLAG_KEYSPACE 0x08U
#define FLAG_ACCESS 0x10U
#define FLAGS_KNOWN 0x1fU

#define DEADLINE_BYTES ((size_t)8)
#define ACCESS_BYTES ((size_t)3)
#define ENTRY_HEAD_MAX ((size_t)(1 + 3 * KVI_VARINT_BYTES_MAX) + DEADLINE_BYTES + ACCESS_BYTES)

/* ---- writing ---- */

kvi_chunk_t *kvi_chunk_create(size_t entry_bytes)
{
    const size_t capacity =
        entry_bytes > KVI_CHUNK_PAYLOAD_BYTES ? entry_bytes : KVI_CHUNK_PAYLOAD_BYTES;
    kvi_chunk_t *const chunk = kv_store_malloc(sizeof(*chunk) + KVI_CHUNK_HEADER_BYTES + capacity);
    if (chunk != NULL) {
        chunk->capacity = capacity;
        kvi_chunk_reset(chunk, KVI_CHUNK_ENTRIES);
    }
    return chunk;
}

void kvi_chunk_reset(kvi_chunk_t *chunk, kvi_chunk_kind_t kind)
{
    chunk->next = NULL;
    chunk->kind = kind;
    chunk->count = 0;
    chunk->keyspace = 0;
    chunk->size = 0;
}

size_t kvi_chunk_entry_bytes_max(const kvi_snapshot_entry_t *entry)
{
    return ENTRY_HEAD_MAX + entry->key.size + entry->value.size;
}

bool kvi_chunk_add_entry(kvi_chunk_t *chunk, const kvi_snapshot_entry_t *entry)
{
    if (kvi_chunk_entry_bytes_max(entry) > chunk->capacity - chunk->size) {
        return false;
    }
    const bool has_deadline = entry->deadline_ms != KVI_NO_DEADLINE;
    const bool names_keyspace = chunk->count == 0 || chunk->keyspace != entry->keyspace;
    char *const start = chunk->bytes + KVI_CHUNK_HEADER_BYTES + chunk->size;
    char *at = start;
    *at++ =
        (char)(FLAG_ACCESS | (has_deadline ? FLAG_DEADLINE : 0) |
               ((unsigned)entry->form << FLAG_FORM_SHIFT) | (names_keyspace ? FLAG_KEYSPACE : 0));
    if (names_keyspace) {
        at = kvi_varint_write(at, entry->keyspace);
    }
    at = kvi_varint_write(at, entry->key.size);
    at = kvi_varint_write(at, entry->value.size);
    if (has_deadline) {
        at = kvi_put64(at, (uint64_t)entry->deadline_ms);
    }
    *at++ = (char)entry->access;
    *at++ = (char)(entry->access >> 8);
    *at++ = (char)(entry->access >> 16);
    kvi_bytes_copy(at, entry->key.data, entry->key.size);
    at += entry->key.size;
    kvi_bytes_copy(at, entry->value.data, entry->value.size);
    at += entry->value.size;
    chunk->size += (size_t)(at - start);
    chunk->count++;
    chunk->keyspace = entry->keyspace;
    return true;
}

size_t kvi_chunk_keyspace_bytes_max(const kvi_snapshot_keyspace_t *keyspace)
{
    return (size_t)4 * KVI_VARINT_BYTES_MAX + keyspace->name.size + keyspace->attributes.size;
}

bool kvi_chunk_add_keyspace(kvi_chunk_t *chunk, const kvi_snapshot_keyspace_t *keyspace)
{
    if (kvi_chunk_keyspace_bytes_max(keyspace) > chunk->capacity - chunk->size) {
        return false;
    }
    char *const start = chunk->bytes + KVI_CHUNK_HEADER_BYTES + chunk->size;
    char *at = kvi_varint_write(start, keyspace->number);
    at = kvi_varint_write(at, keyspace->name.size);
    kvi_bytes_copy(at, keyspace->name.data, keyspace->name.size);
    at = kvi_varint_write(at + keyspace->name.size, keyspace->attributes.size);
    kvi_bytes_copy(at, keyspace->attributes.data, keyspace->attributes.size);
    at = kvi_varint_write(at + keyspace->attributes.size, keyspace->expected_count);
    chunk->size += (size_t)(at - start);
    chunk->count++;
    return true;
}

/* ---- reading ---- */

/* False: the bytes end before the number does, or it has more than 64 bits. */
static bool read_long_varint(kvi_chunk_view_t *view, uint64_t *number)
{
    uint64_t sum = 0;
    for (unsigned shift = 0; shift < 64 && view->at < view->end; shift += 7) {
        const uint64_t byte = (unsigned char)*view->at++;
        if (shift == 63 && byte > 1) {
            return false;
        }
        sum |= (byte & 127) << shift;
        if (byte < 128) {
            *number = sum;
            return true;
        }
    }
    return false;
}

static inline bool read_varint(kvi_chunk_view_t *view, uint64_t *number)
{
    if (view->at < view->end && (unsigned char)*view->at < 128) {
        *number = (unsigned char)*view->at++;
        return true;
    }
    return read_long_varint(view, number);
}

static bool read_keyspace(kvi_chunk_view_t *view, uint32_t *keyspace)
{
    uint64_t number;
    if (!read_varint(view, &number) || number > UINT32_MAX) {
        return false;
    }
    *keyspace = (uint32_t)number;
    return true;
}

static bool read_bytes(kvi_chunk_view_t *view, uint64_t size, kv_slice_t *bytes)
{
    if (size > (uint64_t)(view->end - view->at)) {
        return false;
    }
    *bytes = (kv_slice_t){view->at, (size_t)size};
    view->at += size;
    return true;
}

/* The end of the items, which must be the end of the bytes. */
static kv_status_t end_view(const kvi_chunk_view_t *view)
{
    return view->at == view->end ? KV_NOT_FOUND : KV_CORRUPT;
}

static bool read_head(kvi_chunk_view_t *view, kvi_snapshot_entry_t *entry, uint64_t *key_size,
                      uint64_t *value_size)
{
    if (view->at == view->end) {
        return false;
    }
    const unsigned flags = (unsigned char)*view->at++;
    const unsigned form = (flags & FLAG_FORM) >> FLAG_FORM_SHIFT;
    if ((flags & ~FLAGS_KNOWN) != 0 || form > KVI_FORM_TEXT) {
        return false;
    }
    entry->form = (kvi_form_t)form;
    if ((flags & FLAG_KEYSPACE) != 0) {
        view->has_keyspace = true;
        if (!read_keyspace(view, &view->keyspace)) {
            return false;
        }
    }
    if (!view->has_keyspace || !read_varint(view, key_size) || !read_varint(view, value_size)) {
        return false;
    }
    entry->keyspace = view->keyspace;
    kv_slice_t field;
    if ((flags & FLAG_DEADLINE) != 0) {
        if (!read_bytes(view, DEADLINE_BYTES, &field)) {
            return false;
        }
        entry->deadline_ms = (int64_t)kvi_bytes_load64(field.data);
    }
    if ((flags & FLAG_ACCESS) != 0) {
        if (!read_bytes(view, ACCESS_BYTES, &field)) {
            return false;
        }
        const unsigned char *const clock = (const unsigned char *)field.data;
        entry->access = (uint32_t)clock[0] | (uint32_t)clock[1] << 8 | (uint32_t)clock[2] << 16;
    }
    return true;
}

kv_status_t kvi_chunk_next_entry(kvi_chunk_view_t *view, kvi_snapshot_entry_t *entry)
{
    if (view->left == 0) {
        return end_view(view);
    }
    uint64_t key_size = 0;
    uint64_t value_size = 0;
    *entry = (kvi_snapshot_entry_t){.deadline_ms = KVI_NO_DEADLINE};
    if (!read_head(view, entry, &key_size, &value_size) ||
        !read_bytes(view, key_size, &entry->key) || !read_bytes(view, value_size, &entry->value)) {
        return KV_CORRUPT;
    }
    view->left--;
    return KV_OK;
}

kv_status_t kvi_chunk_next_keyspace(kvi_chunk_view_t *view, kvi_snapshot_keyspace_t *keyspace)
{
    if (view->left == 0) {
        return end_view(view);
    }
    uint64_t size = 0;
    if (!read_keyspace(view, &keyspace->number) || !read_varint(view, &size) ||
        !read_bytes(view, size, &keyspace->name) || !read_varint(view, &size) ||
        !read_bytes(view, size, &keyspace->attributes) ||
        !read_varint(view, &keyspace->expected_count)) {
        return KV_CORRUPT;
    }
    view->left--;
    return KV_OK;
}
