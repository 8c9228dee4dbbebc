/* SPDX-License-Identifier: MIT */
/*
 * Conversion: an engine that passes everything on to the old one, and every change to the new one
 * too, while steps copy what was there before.
 *
 *   reads ──────────────► from, which always has everything
 *   writes ─► from, then the key's value as it is there ─► to
 *   steps ──► entries of a walk over from ───────────────► to
 *
 * The walk is a cursor's where from is ordered, since a scan there may have to visit very many
 * entries in one call; else a scan.
 *
 * Invariants, unless the conversion has failed
 *   1. Every key of `to` is in `from` with the same value, but for the pending key.
 *   2. Every key of `from` that the walk has visited, or that was written since begin, is in `to`,
 *      but for the pending key. So once the walk is at its end both hold the same.
 *   3. The pending key is one whose value the caller may still be writing. Whatever comes next
 *      but reads brings it over first.
 *
 * One user at a time; reads change nothing but what reads of `from` change.
 */
#include <assert.h>

#include <concordkv/kv_engine.h>

#include "base/bytes.h"
#include "engine/ordered.h"

#define SCAN_ENTRIES 16u
#define STEP_BYTES ((size_t)1 << 20) /* entries that are so large end a step early */

typedef struct conversion {
    kv_engine_t engine;
    kv_engine_ops_t ops; /* from's, with the functions below */
    kv_engine_t *from;
    kv_engine_t *to; /* NULL: failed */
    kv_status_t status;
    kv_cursor_t *cursor; /* over from, if that is ordered */
    bool moved;          /* the cursor is at an entry */
    uint64_t token;      /* of the scan, if not */
    bool walked;         /* to the end */
    bool pending;
    char *key; /* the pending one */
    size_t key_bytes;
    size_t key_capacity;
    size_t copied_bytes; /* by this step */
} conversion_t;

static conversion_t *conversion_of(const kv_engine_t *engine)
{
    return (conversion_t *)(uintptr_t)engine;
}

/* ---- the new engine ---- */

static void close_cursor(conversion_t *conversion)
{
    if (conversion->cursor != NULL) {
        conversion->cursor->ops->cursor_close(conversion->cursor);
        conversion->cursor = NULL;
    }
}

static void fail(conversion_t *conversion, kv_status_t status)
{
    if (conversion->to != NULL) {
        conversion->to->ops->close(conversion->to);
    }
    close_cursor(conversion);
    conversion->to = NULL;
    conversion->status = status;
    conversion->pending = false;
}

/* Makes the key pending. Its bytes may be from's own and go with what is about to be written. */
static void keep_key(conversion_t *conversion, kv_slice_t key)
{
    if (conversion->to == NULL) {
        return;
    }
    if (key.size > conversion->key_capacity) {
        char *const longer = kv_store_realloc(conversion->key, key.size);
        if (longer == NULL) {
            fail(conversion, KV_NO_MEMORY);
            return;
        }
        conversion->key = longer;
        conversion->key_capacity = key.size;
    }
    kvi_bytes_copy(conversion->key, key.data, key.size);
    conversion->key_bytes = key.size;
    conversion->pending = true;
}

/* Brings the pending key's value over. */
static void settle(conversion_t *conversion)
{
    kv_slice_t value;
    if (!conversion->pending) {
        return;
    }
    const kv_slice_t key = {conversion->key, conversion->key_bytes};
    conversion->pending = false;
    if (conversion->from->ops->get(conversion->from, key, &value) != KV_OK) {
        (void)conversion->to->ops->del(conversion->to, key);
        return;
    }
    const kv_status_t status = conversion->to->ops->put(conversion->to, key, value);
    if (status != KV_OK) {
        fail(conversion, status);
    }
}

static void copy_entry(void *context, kv_slice_t key, kv_slice_t value)
{
    conversion_t *const conversion = context;
    if (conversion->to == NULL) {
        return;
    }
    conversion->copied_bytes += key.size + value.size;
    const kv_status_t status = conversion->to->ops->put(conversion->to, key, value);
    if (status != KV_OK) {
        fail(conversion, status);
    }
}

/* ---- writes ---- */

static kv_status_t convert_put(kv_engine_t *engine, kv_slice_t key, kv_slice_t value)
{
    conversion_t *const conversion = conversion_of(engine);
    settle(conversion);
    keep_key(conversion, key);
    const kv_status_t status = conversion->from->ops->put(conversion->from, key, value);
    if (status != KV_OK) {
        conversion->pending = false;
    }
    settle(conversion);
    return status;
}

static kv_status_t convert_place(kv_engine_t *engine, kv_slice_t key, size_t value_bytes,
                                 size_t keep_bytes, char **place)
{
    conversion_t *const conversion = conversion_of(engine);
    settle(conversion);
    keep_key(conversion, key);
    const kv_status_t status =
        conversion->from->ops->place(conversion->from, key, value_bytes, keep_bytes, place);
    if (status != KV_OK) {
        conversion->pending = false;
    }
    return status;
}

/* First where the key's bytes cannot be from. */
static kv_status_t convert_del(kv_engine_t *engine, kv_slice_t key)
{
    conversion_t *const conversion = conversion_of(engine);
    settle(conversion);
    if (conversion->to != NULL) {
        (void)conversion->to->ops->del(conversion->to, key);
    }
    return conversion->from->ops->del(conversion->from, key);
}

/* ---- reads ---- */

static kv_status_t convert_get(kv_engine_t *engine, kv_slice_t key, kv_slice_t *value)
{
    kv_engine_t *const from = conversion_of(engine)->from;
    return from->ops->get(from, key, value);
}

static size_t convert_get_many(kv_engine_t *engine, size_t count, const kv_slice_t *keys,
                               kv_slice_t *values)
{
    kv_engine_t *const from = conversion_of(engine)->from;
    return from->ops->get_many(from, count, keys, values);
}

static void convert_prefetch(kv_engine_t *engine, size_t count, const kv_slice_t *keys)
{
    kv_engine_t *const from = conversion_of(engine)->from;
    from->ops->prefetch(from, count, keys);
}

static uint64_t convert_count(const kv_engine_t *engine)
{
    const kv_engine_t *const from = conversion_of(engine)->from;
    return from->ops->count(from);
}

static kv_status_t convert_memory(const kv_engine_t *engine, kv_engine_memory_t *memory)
{
    const conversion_t *const conversion = conversion_of(engine);
    kv_status_t status = conversion->from->ops->memory(conversion->from, memory);
    if (status == KV_OK && conversion->to != NULL) {
        kv_engine_memory_t other;
        status = conversion->to->ops->memory(conversion->to, &other);
        if (status == KV_OK) {
            memory->key_bytes += other.key_bytes;
            memory->value_bytes += other.value_bytes;
            memory->index_bytes += other.index_bytes;
            memory->slack_bytes += other.slack_bytes;
            memory->total_bytes += other.total_bytes;
        }
    }
    return status;
}

static kv_status_t convert_sample(kv_engine_t *engine, uint64_t number, kv_slice_t *key,
                                  kv_slice_t *value)
{
    kv_engine_t *const from = conversion_of(engine)->from;
    return from->ops->sample(from, number, key, value);
}

static uint64_t convert_scan(kv_engine_t *engine, uint64_t token, size_t count,
                             kv_engine_visit_fn visit, void *context)
{
    kv_engine_t *const from = conversion_of(engine)->from;
    return from->ops->scan(from, token, count, visit, context);
}

static size_t convert_relocate(kv_engine_t *engine, size_t steps)
{
    conversion_t *const conversion = conversion_of(engine);
    settle(conversion);
    return conversion->from->ops->relocate(conversion->from, steps);
}

static kv_status_t convert_cursor_open(kv_engine_t *engine, kv_cursor_t **cursor)
{
    kv_engine_t *const from = conversion_of(engine)->from;
    return from->ops->cursor_open(from, cursor);
}

typedef struct comparison {
    const conversion_t *conversion;
    bool equal;
} comparison_t;

/* An entry of `to` against `from`: invariant 1. */
static void compare_entry(void *context, kv_slice_t key, kv_slice_t value)
{
    comparison_t *const comparison = context;
    const conversion_t *const conversion = comparison->conversion;
    kv_slice_t own;
    if (conversion->pending &&
        kvi_slice_equal(key, (kv_slice_t){conversion->key, conversion->key_bytes})) {
        return;
    }
    comparison->equal &= conversion->from->ops->get(conversion->from, key, &own) == KV_OK &&
                         kvi_slice_equal(own, value);
}

static kv_status_t convert_check(const kv_engine_t *engine)
{
    const conversion_t *const conversion = conversion_of(engine);
    kv_engine_t *const to = conversion->to;
    const kv_status_t status = conversion->from->ops->check(conversion->from);
    if (status != KV_OK || to == NULL) {
        return status;
    }
    comparison_t comparison = {conversion, true};
    uint64_t token = 0;
    do {
        token = to->ops->scan(to, token, 1024, compare_entry, &comparison);
    } while (token != 0);
    const uint64_t count = conversion->from->ops->count(conversion->from);
    if (!comparison.equal || to->ops->count(to) > count + conversion->pending ||
        (conversion->walked && to->ops->count(to) + conversion->pending < count)) {
        return KV_CORRUPT;
    }
    return to->ops->check(to);
}

/* ---- positions: deleting a range goes by cursor, key by key to both ---- */

static uint64_t convert_rank(kv_engine_t *engine, kv_slice_t key)
{
    kv_engine_t *const from = conversion_of(engine)->from;
    return from->ops->ranges->rank(from, key);
}

static kv_status_t convert_key_at(kv_engine_t *engine, uint64_t number, kv_slice_t *key,
                                  kv_slice_t *value)
{
    kv_engine_t *const from = conversion_of(engine)->from;
    return from->ops->ranges->key_at(from, number, key, value);
}

static uint64_t convert_count_range(kv_engine_t *engine, const kv_range_t *range)
{
    kv_engine_t *const from = conversion_of(engine)->from;
    return from->ops->ranges->count_range(from, range);
}

static const kvi_ordered_ops_t convert_ranges = {
    .rank = convert_rank,
    .key_at = convert_key_at,
    .count_range = convert_count_range,
};

/* ---- begin and end ---- */

static void free_conversion(conversion_t *conversion)
{
    kv_store_free(conversion->key);
    kv_store_free(conversion);
}

static void convert_close(kv_engine_t *engine)
{
    conversion_t *const conversion = conversion_of(engine);
    if (conversion != NULL) {
        fail(conversion, KV_OK);
        conversion->from->ops->close(conversion->from);
        free_conversion(conversion);
    }
}

static void set_ops(conversion_t *conversion)
{
    kv_engine_ops_t *const ops = &conversion->ops;
    *ops = *conversion->from->ops;
    ops->ranges = ops->ranges != NULL ? &convert_ranges : NULL;
    ops->aimed = NULL; /* whoever has an aim does without it */
    ops->close = convert_close;
    ops->get = convert_get;
    ops->get_many = convert_get_many;
    ops->prefetch = convert_prefetch;
    ops->put = convert_put;
    ops->place = convert_place;
    ops->del = convert_del;
    ops->count = convert_count;
    ops->memory = convert_memory;
    ops->sample = convert_sample;
    ops->scan = convert_scan;
    ops->relocate = convert_relocate;
    ops->check = convert_check;
    ops->cursor_open = convert_cursor_open;
    conversion->engine.ops = ops;
}

static bool is_conversion(const kv_engine_t *engine)
{
    return engine->ops->close == convert_close;
}

kv_status_t kv_engine_convert_begin(kv_engine_t *from, const char *name,
                                    const kv_engine_options_t *options, kv_engine_t **converting)
{
    if (is_conversion(from)) {
        return KV_BUSY;
    }
    conversion_t *const conversion = kv_store_calloc(1, sizeof *conversion);
    if (conversion == NULL) {
        return KV_NO_MEMORY;
    }
    kv_status_t status = kv_engine_open(name, options, &conversion->to);
    if (status == KV_OK && from->ops->ordered) {
        status = from->ops->cursor_open(from, &conversion->cursor);
    }
    if (status != KV_OK) {
        fail(conversion, status);
        kv_store_free(conversion);
        return status;
    }
    conversion->from = from;
    set_ops(conversion);
    *converting = &conversion->engine;
    return KV_OK;
}

/* Copies the next entry. */
static void copy_by_cursor(conversion_t *conversion)
{
    kv_cursor_t *const cursor = conversion->cursor;
    const kv_status_t status =
        conversion->moved ? cursor->ops->cursor_next(cursor) : cursor->ops->cursor_first(cursor);
    conversion->moved = true;
    if (status == KV_OK) {
        copy_entry(conversion, cursor->ops->cursor_key(cursor), cursor->ops->cursor_value(cursor));
    } else if (status == KV_NOT_FOUND) {
        conversion->walked = true;
    } else {
        fail(conversion, status);
    }
}

/* Copies some entries and returns about how many. */
static size_t copy_some(conversion_t *conversion)
{
    kv_engine_t *const from = conversion->from;
    if (conversion->cursor != NULL) {
        copy_by_cursor(conversion);
        return 1;
    }
    conversion->token =
        from->ops->scan(from, conversion->token, SCAN_ENTRIES, copy_entry, conversion);
    conversion->walked = conversion->token == 0;
    return SCAN_ENTRIES;
}

kv_status_t kv_engine_convert_step(kv_engine_t *converting, size_t entries, bool *done)
{
    conversion_t *const conversion = conversion_of(converting);
    if (!is_conversion(converting)) {
        return KV_INVALID;
    }
    settle(conversion);
    conversion->copied_bytes = 0;
    for (size_t copied = 0; conversion->to != NULL && !conversion->walked &&
                            (copied == 0 || copied < entries) &&
                            conversion->copied_bytes < STEP_BYTES;) {
        copied += copy_some(conversion);
    }
    *done = conversion->to != NULL && conversion->walked;
    return conversion->status;
}

void kv_engine_touched(kv_engine_t *engine, kv_slice_t key)
{
    if (is_conversion(engine)) {
        settle(conversion_of(engine));
        keep_key(conversion_of(engine), key);
    }
}

kv_status_t kv_engine_convert_end(kv_engine_t *converting, kv_engine_t **engine)
{
    conversion_t *const conversion = conversion_of(converting);
    if (!is_conversion(converting)) {
        return KV_INVALID;
    }
    settle(conversion);
    if (conversion->to != NULL && !conversion->walked) {
        fail(conversion, KV_BUSY);
    }
    const kv_status_t status = conversion->status;
    kv_engine_t *const from = conversion->from;
    *engine = conversion->to;
    if (conversion->to == NULL) {
        *engine = from;
    } else {
        assert(from->ops->count(from) == conversion->to->ops->count(conversion->to));
        close_cursor(conversion);
        from->ops->close(from);
    }
    free_conversion(conversion);
    return status;
}

kv_status_t kv_engine_convert(kv_engine_t **engine, const char *name,
                              const kv_engine_options_t *options)
{
    kv_engine_t *converting;
    bool done = false;
    kv_status_t status = kv_engine_convert_begin(*engine, name, options, &converting);
    if (status != KV_OK) {
        return status;
    }
    while (status == KV_OK && !done) {
        status = kv_engine_convert_step(converting, SIZE_MAX, &done);
    }
    return kv_engine_convert_end(converting, engine);
}
