/* SPDX-License-Identifier: MIT */
/* Entries of the hash engine: made, resized in place, moved and freed. The layout stands in
 * hash_entry.h. */
#include "engine/hash_entry.h"

static char *write_header(char *entry, kv_slice_t key, size_t value_bytes)
{
    char *const at = kvi_varint_write(kvi_varint_write(entry, key.size), value_bytes);
    kvi_bytes_copy(at, key.data, key.size);
    return at + key.size;
}

char *kvi_entry_create(kv_pool_t *pool, kv_slice_t key, size_t value_bytes, size_t value_capacity)
{
    char *const entry = kv_pool_alloc(pool, kvi_entry_object_bytes(key.size, value_bytes));
    if (entry == NULL) {
        return NULL;
    }
    char *const after = write_header(entry, key, value_bytes);
    if (kvi_entry_is_apart(value_bytes)) {
        char *const value = kv_pool_alloc(pool, value_capacity);
        if (value == NULL) {
            kv_pool_free(pool, entry);
            return NULL;
        }
        memcpy(after, &value, sizeof value);
    }
    return entry;
}

void kvi_entry_destroy(kv_pool_t *pool, char *entry)
{
    const kvi_entry_view_t view = kvi_entry_view(entry);
    if (kvi_entry_is_apart(view.value_bytes)) {
        kv_pool_free(pool, view.value);
    }
    kv_pool_free(pool, entry);
}

/* Classes are at most 12.5 % apart, so an object that is used to 7/8 could not be much smaller. */
static bool fits_well(const kv_pool_t *pool, const char *object, size_t bytes)
{
    const size_t usable = kv_pool_usable_size(pool, object);
    return bytes <= usable && bytes + 8 >= usable - usable / 8;
}

bool kvi_entry_resize(kv_pool_t *pool, char *entry, size_t value_bytes)
{
    const kvi_entry_view_t view = kvi_entry_view(entry);
    const bool apart = kvi_entry_is_apart(value_bytes);
    if (value_bytes == view.value_bytes) {
        return true;
    }
    if (apart != kvi_entry_is_apart(view.value_bytes) ||
        kvi_varint_bytes(value_bytes) != kvi_varint_bytes(view.value_bytes)) {
        return false;
    }
    if (apart ? !fits_well(pool, view.value, value_bytes)
              : !fits_well(pool, entry, kvi_entry_object_bytes(view.key_bytes, value_bytes))) {
        return false;
    }
    kvi_varint_write(entry + kvi_varint_bytes(view.key_bytes), value_bytes);
    return true;
}

char *kvi_entry_move(kv_pool_t *pool, char *entry)
{
    const kvi_entry_view_t view = kvi_entry_view(entry);
    const size_t bytes = kvi_entry_object_bytes(view.key_bytes, view.value_bytes);
    char *const copy = kv_pool_alloc(pool, bytes);
    if (copy != NULL) {
        memcpy(copy, entry, bytes);
    }
    return copy;
}
