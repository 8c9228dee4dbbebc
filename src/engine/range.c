/* SPDX-License-Identifier: MIT */
/*
 * Range cursors: an engine's cursor that keeps to a range. Prefix and token are turned into bounds
 * when it is opened, so that a move is one move of the engine's cursor and one compare.
 *
 *   token    | direction: 1 forwards, 2 backwards | key of the entry ... |
 *
 * One user at a time, as the engine.
 */
#include <concordkv/kv_engine.h>

#include "base/bytes.h"

#define TOKEN_FORWARDS '\1'
#define TOKEN_BACKWARDS '\2'

struct kv_range_cursor {
    kv_cursor_t *cursor;
    kv_range_t range; /* its keys are in bounds */
    bool reverse;
    bool inside; /* the cursor's entry, if it has one, is in the range */
    char *token;
    size_t token_capacity;
    char bounds[]; /* what the options pointed to */
};

/* ---- bounds ---- */

/* Negative: a lower bound a lets more keys through than b. */
static int compare_lower(const kv_bound_t *a, const kv_bound_t *b)
{
    if (a->kind == KV_BOUND_NONE || b->kind == KV_BOUND_NONE) {
        return (a->kind != KV_BOUND_NONE) - (b->kind != KV_BOUND_NONE);
    }
    const int order = kvi_slice_compare(a->key, b->key);
    return order != 0 ? order : (int)a->kind - (int)b->kind;
}

/* Positive: an upper bound a lets more keys through than b. */
static int compare_upper(const kv_bound_t *a, const kv_bound_t *b)
{
    if (a->kind == KV_BOUND_NONE || b->kind == KV_BOUND_NONE) {
        return (a->kind == KV_BOUND_NONE) - (b->kind == KV_BOUND_NONE);
    }
    const int order = kvi_slice_compare(a->key, b->key);
    return order != 0 ? order : (int)b->kind - (int)a->kind;
}

static void narrow_lower(kv_range_t *range, kv_bound_kind_t kind, kv_slice_t key)
{
    const kv_bound_t bound = {kind, key};
    if (compare_lower(&range->lower, &bound) < 0) {
        range->lower = bound;
    }
}

static void narrow_upper(kv_range_t *range, kv_bound_kind_t kind, kv_slice_t key)
{
    const kv_bound_t bound = {kind, key};
    if (compare_upper(&range->upper, &bound) > 0) {
        range->upper = bound;
    }
}

/* Behind all keys with the prefix stands the prefix whose last byte is one higher; bytes that are
 * the highest already go. Nothing left: only the end of all keys is behind them. */
static void narrow_to_prefix(kv_range_t *range, kv_slice_t prefix, char *end)
{
    size_t size = prefix.size;
    if (size == 0) {
        return;
    }
    narrow_lower(range, KV_BOUND_INCLUDED, prefix);
    while (size > 0 && (unsigned char)prefix.data[size - 1] == 0xff) {
        size--;
    }
    if (size > 0) {
        memcpy(end, prefix.data, size);
        end[size - 1] = (char)(end[size - 1] + 1);
        narrow_upper(range, KV_BOUND_EXCLUDED, (kv_slice_t){end, size});
    }
}

static bool is_token(kv_slice_t token, bool reverse)
{
    return token.size == 0 || token.data[0] == (reverse ? TOKEN_BACKWARDS : TOKEN_FORWARDS);
}

static kv_slice_t keep(char **free_bytes, kv_slice_t bytes)
{
    char *const kept = *free_bytes;
    kvi_bytes_copy(kept, bytes.data, bytes.size);
    *free_bytes = kept + bytes.size;
    return (kv_slice_t){kept, bytes.size};
}

/* Without the bytes of bounds that are none. */
static kv_slice_t bound_key(const kv_bound_t *bound)
{
    return bound->kind != KV_BOUND_NONE ? bound->key : (kv_slice_t){NULL, 0};
}

/* prefix twice: it and what is behind it. */
static size_t kept_bytes(const kv_range_options_t *options)
{
    return bound_key(&options->range.lower).size + bound_key(&options->range.upper).size +
           2 * options->prefix.size + options->token.size;
}

static void set_bounds(kv_range_cursor_t *cursor, const kv_range_options_t *options)
{
    char *bytes = cursor->bounds;
    kv_range_t *const range = &cursor->range;
    *range = options->range;
    range->lower.key = keep(&bytes, bound_key(&options->range.lower));
    range->upper.key = keep(&bytes, bound_key(&options->range.upper));
    const kv_slice_t prefix = keep(&bytes, options->prefix);
    const kv_slice_t token = keep(&bytes, options->token);
    narrow_to_prefix(range, prefix, bytes);
    if (token.size > 0) {
        const kv_slice_t key = {token.data + 1, token.size - 1};
        (options->reverse ? narrow_upper : narrow_lower)(range, KV_BOUND_EXCLUDED, key);
    }
}

/* ---- moves ---- */

/* Only the far end can be passed. */
static void look(kv_range_cursor_t *cursor)
{
    kv_cursor_t *const own = cursor->cursor;
    const kv_bound_t *const far = cursor->reverse ? &cursor->range.lower : &cursor->range.upper;
    cursor->inside = own->ops->cursor_valid(own);
    if (!cursor->inside || far->kind == KV_BOUND_NONE) {
        return;
    }
    const int order = kvi_slice_compare(own->ops->cursor_key(own), far->key);
    cursor->inside = order == 0 ? far->kind == KV_BOUND_INCLUDED : (order < 0) == !cursor->reverse;
}

/* What a move came to: no entry is no error. */
static kv_status_t moved(kv_range_cursor_t *cursor, kv_status_t status)
{
    if (status != KV_OK && status != KV_NOT_FOUND) {
        return status;
    }
    look(cursor);
    return KV_OK;
}

static bool stands_at(const kv_cursor_t *cursor, kv_slice_t key)
{
    return cursor->ops->cursor_valid(cursor) &&
           kvi_slice_equal(cursor->ops->cursor_key(cursor), key);
}

static kv_status_t move_to_lower(kv_range_cursor_t *cursor)
{
    kv_cursor_t *const own = cursor->cursor;
    const kv_bound_t *const lower = &cursor->range.lower;
    if (lower->kind == KV_BOUND_NONE) {
        return own->ops->cursor_first(own);
    }
    const kv_status_t status = own->ops->cursor_seek(own, lower->key);
    if (status == KV_OK && lower->kind == KV_BOUND_EXCLUDED && stands_at(own, lower->key)) {
        return own->ops->cursor_next(own);
    }
    return status;
}

static kv_status_t move_to_upper(kv_range_cursor_t *cursor)
{
    kv_cursor_t *const own = cursor->cursor;
    const kv_bound_t *const upper = &cursor->range.upper;
    if (upper->kind == KV_BOUND_NONE) {
        return own->ops->cursor_last(own);
    }
    const kv_status_t status = own->ops->cursor_seek(own, upper->key);
    if (status == KV_NOT_FOUND) {
        return own->ops->cursor_last(own); /* all keys are smaller */
    }
    if (status != KV_OK || (upper->kind == KV_BOUND_INCLUDED && stands_at(own, upper->key))) {
        return status;
    }
    return own->ops->cursor_prev(own);
}

/* ---- public ---- */

kv_status_t kv_range_cursor_open(kv_engine_t *engine, const kv_range_options_t *options,
                                 kv_range_cursor_t **cursor)
{
    static const kv_range_options_t all = {.reverse = false};
    const kv_range_options_t *const chosen = options != NULL ? options : &all;
    if (!engine->ops->ordered) {
        return KV_UNSUPPORTED;
    }
    if (!is_token(chosen->token, chosen->reverse)) {
        return KV_INVALID;
    }
    kv_range_cursor_t *const made = kv_store_calloc(1, sizeof *made + kept_bytes(chosen));
    if (made == NULL) {
        return KV_NO_MEMORY;
    }
    kv_status_t status = engine->ops->cursor_open(engine, &made->cursor);
    if (status != KV_OK) {
        kv_store_free(made);
        return status;
    }
    made->reverse = chosen->reverse;
    set_bounds(made, chosen);
    status = moved(made, (made->reverse ? move_to_upper : move_to_lower)(made));
    if (status != KV_OK) {
        kv_range_cursor_close(made);
        return status;
    }
    *cursor = made;
    return KV_OK;
}

void kv_range_cursor_close(kv_range_cursor_t *cursor)
{
    if (cursor != NULL) {
        cursor->cursor->ops->cursor_close(cursor->cursor);
        kv_store_free(cursor->token);
        kv_store_free(cursor);
    }
}

bool kv_range_cursor_valid(const kv_range_cursor_t *cursor)
{
    return cursor->inside;
}

kv_status_t kv_range_cursor_next(kv_range_cursor_t *cursor)
{
    kv_cursor_t *const own = cursor->cursor;
    if (!cursor->inside) {
        return KV_INVALID;
    }
    return moved(cursor, cursor->reverse ? own->ops->cursor_prev(own) : own->ops->cursor_next(own));
}

kv_slice_t kv_range_cursor_key(const kv_range_cursor_t *cursor)
{
    return cursor->inside ? cursor->cursor->ops->cursor_key(cursor->cursor) : (kv_slice_t){NULL, 0};
}

kv_slice_t kv_range_cursor_value(const kv_range_cursor_t *cursor)
{
    return cursor->inside ? cursor->cursor->ops->cursor_value(cursor->cursor)
                          : (kv_slice_t){NULL, 0};
}

kv_status_t kv_range_cursor_token(kv_range_cursor_t *cursor, kv_slice_t *token)
{
    if (!cursor->inside) {
        return KV_INVALID;
    }
    const kv_slice_t key = kv_range_cursor_key(cursor);
    if (cursor->token_capacity < key.size + 1) {
        char *const longer = kv_store_realloc(cursor->token, key.size + 1);
        if (longer == NULL) {
            return KV_NO_MEMORY;
        }
        cursor->token = longer;
        cursor->token_capacity = key.size + 1;
    }
    cursor->token[0] = cursor->reverse ? TOKEN_BACKWARDS : TOKEN_FORWARDS;
    kvi_bytes_copy(cursor->token + 1, key.data, key.size);
    *token = (kv_slice_t){cursor->token, key.size + 1};
    return KV_OK;
}
