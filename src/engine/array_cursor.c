/* SPDX-License-Identifier: MIT */
/*
 * Cursors of the array engine: from the oldest entry to the newest that was there when the walk
 * began, so every walk ends. A cursor stands at a sequence number, and keeps a copy of its key; the
 * entry's place holds as long as the engine has not changed. One user at a time, as the engine.
 */
#include "engine/array_int.h"

#define OWN_KEY_BYTES 64u

typedef struct array_cursor {
    kv_cursor_t cursor;
    kvi_array_t *array;
    bool valid;
    uint64_t sequence;
    uint64_t end;     /* the walk is of sequence numbers below it */
    uint64_t changes; /* array->changes when the place was right */
    kvi_array_place_t place;
    char *key; /* own_key, or an object for longer ones */
    size_t key_bytes;
    size_t key_capacity; /* of that object; 0: there is none */
    char own_key[OWN_KEY_BYTES];
} array_cursor_t;

kv_status_t kvi_array_cursor_open(kv_engine_t *engine, kv_cursor_t **cursor)
{
    kvi_array_t *const array = (kvi_array_t *)engine;
    array_cursor_t *const made = kv_pool_alloc(array->pool, sizeof *made);
    if (made == NULL) {
        return KV_NO_MEMORY;
    }
    memset(made, 0, sizeof *made);
    made->cursor.ops = engine->ops;
    made->array = array;
    made->key = made->own_key;
    array->cursor_objects++;
    *cursor = &made->cursor;
    return KV_OK;
}

static void free_long_key(array_cursor_t *cursor)
{
    if (cursor->key_capacity > 0) {
        cursor->array->cursor_objects--;
        kv_pool_free(cursor->array->pool, cursor->key);
        cursor->key_capacity = 0;
    }
    cursor->key = cursor->own_key;
}

void kvi_array_cursor_close(kv_cursor_t *cursor)
{
    array_cursor_t *const closing = (array_cursor_t *)cursor;
    if (closing != NULL) {
        free_long_key(closing);
        closing->array->cursor_objects--;
        kv_pool_free(closing->array->pool, closing);
    }
}

bool kvi_array_cursor_valid(const kv_cursor_t *cursor)
{
    return ((const array_cursor_t *)cursor)->valid;
}

/* ---- standing ---- */

static kv_status_t keep_key(array_cursor_t *cursor, kv_slice_t key)
{
    if (key.size <= OWN_KEY_BYTES) {
        free_long_key(cursor);
    } else if (key.size > cursor->key_capacity) {
        char *const object = kv_pool_alloc(cursor->array->pool, key.size);
        if (object == NULL) {
            return KV_NO_MEMORY;
        }
        free_long_key(cursor);
        cursor->array->cursor_objects++;
        cursor->key = object;
        cursor->key_capacity = key.size;
    }
    kvi_bytes_copy(cursor->key, key.data, key.size);
    cursor->key_bytes = key.size;
    return KV_OK;
}

/* Stands at a place, or at none. On an error it stays where it is. */
static kv_status_t stand(array_cursor_t *cursor, bool found, kvi_array_place_t place)
{
    const kvi_array_t *const array = cursor->array;
    if (!found || kvi_page_sequence(array->pages[place.page], place.slot) >= cursor->end) {
        cursor->valid = false;
        return KV_NOT_FOUND;
    }
    const kv_status_t status = keep_key(cursor, kvi_record_key(kvi_array_record(array, place)));
    if (status == KV_OK) {
        cursor->sequence = kvi_page_sequence(array->pages[place.page], place.slot);
        cursor->place = place;
        cursor->changes = array->changes;
        cursor->valid = true;
    }
    return status;
}

/* ---- moving ---- */

kv_status_t kvi_array_cursor_first(kv_cursor_t *cursor)
{
    array_cursor_t *const moving = (array_cursor_t *)cursor;
    kvi_array_place_t place = {0, 0};
    moving->end = moving->array->next_sequence;
    const bool found = kvi_array_seek(moving->array, 0, &place);
    return stand(moving, found, place);
}

kv_status_t kvi_array_cursor_last(kv_cursor_t *cursor)
{
    (void)cursor;
    return KV_UNSUPPORTED;
}

kv_status_t kvi_array_cursor_seek(kv_cursor_t *cursor, kv_slice_t key)
{
    array_cursor_t *const moving = (array_cursor_t *)cursor;
    kvi_array_place_t place = {0, 0};
    moving->end = moving->array->next_sequence;
    const bool found = kvi_array_find(moving->array, key, &place);
    return stand(moving, found, place);
}

kv_status_t kvi_array_cursor_next(kv_cursor_t *cursor)
{
    array_cursor_t *const moving = (array_cursor_t *)cursor;
    kvi_array_place_t place = moving->place;
    if (!moving->valid) {
        return KV_NOT_FOUND;
    }
    const bool found = moving->changes == moving->array->changes
                           ? kvi_array_next(moving->array, &place)
                           : kvi_array_seek(moving->array, moving->sequence + 1, &place);
    return stand(moving, found, place);
}

kv_status_t kvi_array_cursor_prev(kv_cursor_t *cursor)
{
    (void)cursor;
    return KV_UNSUPPORTED;
}

kv_slice_t kvi_array_cursor_key(const kv_cursor_t *cursor)
{
    const array_cursor_t *const standing = (const array_cursor_t *)cursor;
    return standing->valid ? (kv_slice_t){standing->key, standing->key_bytes}
                           : (kv_slice_t){NULL, 0};
}

/* The value under the cursor's key now: data NULL if the key is gone. */
kv_slice_t kvi_array_cursor_value(const kv_cursor_t *cursor)
{
    const array_cursor_t *const standing = (const array_cursor_t *)cursor;
    kvi_array_place_t place = standing->place;
    if (!standing->valid ||
        (standing->changes != standing->array->changes &&
         !kvi_array_find(standing->array, kvi_array_cursor_key(cursor), &place))) {
        return (kv_slice_t){NULL, 0};
    }
    const kvi_record_view_t view = kvi_record_view(kvi_array_record(standing->array, place));
    return (kv_slice_t){view.value, view.value_bytes};
}
