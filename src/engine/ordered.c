/* SPDX-License-Identifier: MIT */
/*
 * Positions and ranges of any ordered engine: by its own table where it has one, else by its
 * cursor, entry by entry. One user at a time.
 */
#include "engine/ordered.h"

#include "base/bytes.h"

#define KEY_COPY_BYTES 256u

/* ---- by cursor ---- */

/* A walk that came to its end has found what there was. */
static kv_status_t walked(kv_status_t status)
{
    return status == KV_NOT_FOUND ? KV_OK : status;
}

/* To the range's first key, or nowhere. */
static kv_status_t seek_lower(kv_cursor_t *cursor, const kv_bound_t *lower)
{
    if (lower->kind == KV_BOUND_NONE) {
        return cursor->ops->cursor_first(cursor);
    }
    const kv_status_t status = cursor->ops->cursor_seek(cursor, lower->key);
    if (status == KV_OK && lower->kind == KV_BOUND_EXCLUDED && cursor->ops->cursor_valid(cursor) &&
        kvi_slice_equal(cursor->ops->cursor_key(cursor), lower->key)) {
        return cursor->ops->cursor_next(cursor);
    }
    return status;
}

static bool is_before_upper(kv_slice_t key, const kv_bound_t *upper)
{
    if (upper->kind == KV_BOUND_NONE) {
        return true;
    }
    const int order = kvi_slice_compare(key, upper->key);
    return order < 0 || (order == 0 && upper->kind == KV_BOUND_INCLUDED);
}

static bool is_in_range(const kv_cursor_t *cursor, const kv_range_t *range)
{
    return cursor->ops->cursor_valid(cursor) &&
           is_before_upper(cursor->ops->cursor_key(cursor), &range->upper);
}

static kv_status_t count_by_cursor(kv_engine_t *engine, const kv_range_t *range, uint64_t *count)
{
    kv_cursor_t *cursor;
    kv_status_t status = engine->ops->cursor_open(engine, &cursor);
    if (status != KV_OK) {
        return status;
    }
    *count = 0;
    status = seek_lower(cursor, &range->lower);
    while (status == KV_OK && is_in_range(cursor, range)) {
        (*count)++;
        status = cursor->ops->cursor_next(cursor);
    }
    cursor->ops->cursor_close(cursor);
    return walked(status);
}

/* The key goes with its entry, so the engine is given a copy of it. */
static kv_status_t delete_copied(kv_engine_t *engine, kv_slice_t key)
{
    char copy[KEY_COPY_BYTES];
    char *const bytes = key.size <= sizeof copy ? copy : kv_store_malloc(key.size);
    if (bytes == NULL) {
        return KV_NO_MEMORY;
    }
    kvi_bytes_copy(bytes, key.data, key.size);
    const kv_status_t status = engine->ops->del(engine, (kv_slice_t){bytes, key.size});
    if (bytes != copy) {
        kv_store_free(bytes);
    }
    return status;
}

static kv_status_t delete_by_cursor(kv_engine_t *engine, const kv_range_t *range, uint64_t *deleted)
{
    kv_cursor_t *cursor;
    kv_status_t status = engine->ops->cursor_open(engine, &cursor);
    if (status != KV_OK) {
        return status;
    }
    status = seek_lower(cursor, &range->lower);
    while (status == KV_OK && is_in_range(cursor, range)) {
        status = delete_copied(engine, cursor->ops->cursor_key(cursor));
        if (status == KV_OK) {
            (*deleted)++;
            status = cursor->ops->cursor_next(cursor);
        }
    }
    cursor->ops->cursor_close(cursor);
    return walked(status);
}

/* From whichever end is nearer. */
static kv_status_t seek_by_steps(kv_cursor_t *cursor, uint64_t number, uint64_t count)
{
    const bool from_end = number >= count / 2;
    const uint64_t steps = from_end ? count - 1 - number : number;
    kv_status_t status =
        from_end ? cursor->ops->cursor_last(cursor) : cursor->ops->cursor_first(cursor);
    for (uint64_t i = 0; i < steps && status == KV_OK; i++) {
        status = from_end ? cursor->ops->cursor_prev(cursor) : cursor->ops->cursor_next(cursor);
    }
    return status;
}

/* ---- public ---- */

kv_status_t kv_engine_rank(kv_engine_t *engine, kv_slice_t key, uint64_t *rank)
{
    if (!engine->ops->ordered) {
        return KV_UNSUPPORTED;
    }
    if (engine->ops->ranges != NULL) {
        *rank = engine->ops->ranges->rank(engine, key);
        return KV_OK;
    }
    const kv_range_t below = {.upper = {KV_BOUND_EXCLUDED, key}};
    return count_by_cursor(engine, &below, rank);
}

kv_status_t kv_engine_seek_rank(kv_engine_t *engine, kv_cursor_t *cursor, uint64_t number)
{
    kv_slice_t key;
    kv_slice_t value;
    if (!engine->ops->ordered) {
        return KV_UNSUPPORTED;
    }
    const uint64_t count = engine->ops->count(engine);
    if (number >= count) {
        /* Behind the last key, where a cursor is not valid. */
        const kv_status_t status = cursor->ops->cursor_last(cursor);
        if (status == KV_OK && cursor->ops->cursor_valid(cursor)) {
            (void)cursor->ops->cursor_next(cursor);
        }
        return KV_NOT_FOUND;
    }
    if (engine->ops->ranges == NULL) {
        return seek_by_steps(cursor, number, count);
    }
    const kv_status_t status = engine->ops->ranges->key_at(engine, number, &key, &value);
    return status == KV_OK ? cursor->ops->cursor_seek(cursor, key) : status;
}

kv_status_t kv_engine_count_range(kv_engine_t *engine, const kv_range_t *range, uint64_t *count)
{
    if (!engine->ops->ordered) {
        return KV_UNSUPPORTED;
    }
    if (engine->ops->ranges != NULL) {
        *count = engine->ops->ranges->count_range(engine, range);
        return KV_OK;
    }
    return count_by_cursor(engine, range, count);
}

kv_status_t kv_engine_delete_range(kv_engine_t *engine, const kv_range_t *range, uint64_t *deleted)
{
    *deleted = 0;
    if (!engine->ops->ordered) {
        return KV_UNSUPPORTED;
    }
    if (engine->ops->ranges != NULL && engine->ops->ranges->delete_range != NULL) {
        *deleted = engine->ops->ranges->delete_range(engine, range);
        return KV_OK;
    }
    return delete_by_cursor(engine, range, deleted);
}
