/* SPDX-License-Identifier: MIT */
/*
 * Iterators: chunks of copied entries. A chunk is read within the gate, from behind the last key of
 * the chunk before it, so an iterator holds nothing between two calls and survives every change.
 *
 *   ordered     a range cursor of the engine; with a snapshot merged with one of its side table,
 *               with a transaction with one of its index of changes
 *   unordered   the engine's scan and its token; with a snapshot each chunk is a stretch of places
 *               (scan_order.h): what the scan meets there and is as it was, and what the side table
 *               holds of there. A key's place is that of the snapshot's moment, so it is met once.
 *
 * Gets go on meanwhile. Cursors take memory from the engine's pool, which has one user at a time,
 * so iterators of one keyspace read their chunks one after the other: a mutex of the database,
 * chosen by the keyspace's number, and behind it that of the snapshot. Where gets note accesses
 * the gate is closed instead: cursors copy keys in whole words, past which such a note may stand.
 */
#include <string.h>

#include "embed/embed_int.h"
#include "embed/transaction_int.h"

#include "base/bytes.h"

#define CHUNK_ENTRIES 64
#define CHUNK_BYTES ((size_t)65536)
#define EMPTY_CHUNKS_MAX 16 /* under one lock */

typedef struct entry {
    struct entry *next;
    kv_slice_t key;
    kv_slice_t value;
    int64_t deadline_ms;
} entry_t;

struct kv_iterator {
    kv_keyspace_t keyspace; /* a user of it */
    kv_snapshot_t *snapshot;
    kv_transaction_t *transaction;
    kv_range_options_t options; /* its bytes are in fixed */
    kv_arena_t *fixed;
    kv_arena_t *chunk;
    entry_t *first; /* where it stands; NULL: not valid */
    entry_t *last;
    size_t count;
    size_t bytes;
    kv_status_t status;
    bool ordered;
    bool done;  /* this chunk is the last */
    bool moved; /* last_key counts */
    char *last_key;
    size_t last_key_size;
    size_t last_key_capacity;
    uint64_t token;
    const kvi_content_t *content; /* that the token belongs to, never looked into */
    const kv_engine_ops_t *row;
    int64_t now_ms;
};

/* ---- chunks ---- */

static void add_pair(kv_iterator_t *iterator, kv_slice_t key, kv_slice_t value, int64_t deadline_ms)
{
    entry_t *const entry = kv_arena_alloc(iterator->chunk, sizeof(*entry) + key.size + value.size);
    if (entry == NULL) {
        iterator->status = KV_NO_MEMORY;
        return;
    }
    char *const bytes = (char *)(entry + 1);
    kvi_bytes_copy(bytes, key.data, key.size);
    kvi_bytes_copy(bytes + key.size, value.data, value.size);
    *entry = (entry_t){.key = {bytes, key.size},
                       .value = {bytes + key.size, value.size},
                       .deadline_ms = deadline_ms};
    if (iterator->first == NULL) {
        iterator->first = entry;
    } else {
        iterator->last->next = entry;
    }
    iterator->last = entry;
    iterator->count++;
    iterator->bytes += key.size + value.size;
}

static void add_entry(kv_iterator_t *iterator, kv_slice_t key, kv_slice_t record)
{
    if (iterator->status == KV_OK && !kvi_record_is_late(record.data, iterator->now_ms)) {
        add_pair(iterator, key, kvi_record_value(record), kvi_record_deadline(record.data));
    }
}

/* What the side table or the transaction has of a key, if that is a value. */
static void add_kept_entry(kv_iterator_t *iterator, kv_slice_t key, kv_slice_t kept)
{
    if (iterator->transaction == NULL) {
        if (kept.data[0] == KVI_SIDE_RECORD) {
            add_entry(iterator, key, (kv_slice_t){kept.data + 1, kept.size - 1});
        }
        return;
    }
    const change_t *change;
    memcpy(&change, kept.data, sizeof(change_t *));
    if (iterator->status == KV_OK && kvi_transaction_shows(iterator->transaction, change)) {
        add_pair(iterator, key, change->value, change->deadline_ms);
    }
}

static kv_status_t keep_last_key(kv_iterator_t *iterator, kv_slice_t key)
{
    if (key.size > iterator->last_key_capacity) {
        char *const longer = kv_store_realloc(iterator->last_key, key.size);
        if (longer == NULL) {
            return KV_NO_MEMORY;
        }
        iterator->last_key = longer;
        iterator->last_key_capacity = key.size;
    }
    kvi_bytes_copy(iterator->last_key, key.data, key.size);
    iterator->last_key_size = key.size;
    iterator->moved = true;
    return KV_OK;
}

static bool is_full(const kv_iterator_t *iterator)
{
    return iterator->count >= CHUNK_ENTRIES || iterator->bytes >= CHUNK_BYTES;
}

/* What is left to be read. */
static kv_range_options_t rest_of(const kv_iterator_t *iterator)
{
    kv_range_options_t rest = iterator->options;
    if (iterator->moved) {
        kv_bound_t *const bound = rest.reverse ? &rest.range.upper : &rest.range.lower;
        *bound = (kv_bound_t){.kind = KV_BOUND_EXCLUDED,
                              .key = {iterator->last_key, iterator->last_key_size}};
    }
    return rest;
}

/* Two cursors side by side: the engine's, and that of the side table or of a transaction's changes,
 * whose entries go first. */
typedef struct merge {
    kv_range_cursor_t *main; /* NULL: there are no entries */
    kv_range_cursor_t *side; /* NULL: none */
} merge_t;

static bool is_valid(const kv_range_cursor_t *cursor)
{
    return cursor != NULL && kv_range_cursor_valid(cursor);
}

static kv_slice_t side_key_of(const merge_t *merge)
{
    const kv_slice_t key = kv_range_cursor_key(merge->side);
    return (kv_slice_t){key.data + KVI_SIDE_PREFIX_BYTES, key.size - KVI_SIDE_PREFIX_BYTES};
}

/* Whether the next entry is of the side table; *both: the main cursor stands at the same key. */
static bool is_side_next(const merge_t *merge, bool reverse, bool *both)
{
    *both = false;
    if (!is_valid(merge->side)) {
        return false;
    }
    if (!is_valid(merge->main)) {
        return true;
    }
    const int order = kvi_slice_compare(side_key_of(merge), kv_range_cursor_key(merge->main));
    *both = order == 0;
    return reverse ? order >= 0 : order <= 0;
}

static kv_status_t merge_next(kv_iterator_t *iterator, const merge_t *merge)
{
    bool both;
    kv_status_t status;
    if (is_side_next(merge, iterator->options.reverse, &both)) {
        const kv_slice_t kept = kv_range_cursor_value(merge->side);
        status = keep_last_key(iterator, side_key_of(merge));
        if (status == KV_OK) {
            add_kept_entry(iterator, side_key_of(merge), kept);
        }
        status = status != KV_OK ? status : kv_range_cursor_next(merge->side);
        return status == KV_OK && both ? kv_range_cursor_next(merge->main) : status;
    }
    status = keep_last_key(iterator, kv_range_cursor_key(merge->main));
    if (status == KV_OK) {
        add_entry(iterator, kv_range_cursor_key(merge->main), kv_range_cursor_value(merge->main));
        status = kv_range_cursor_next(merge->main);
    }
    return status;
}

static kv_status_t merge_chunk(kv_iterator_t *iterator, const merge_t *merge)
{
    kv_status_t status = KV_OK;
    while (status == KV_OK && !is_full(iterator)) {
        if (!is_valid(merge->main) && !is_valid(merge->side)) {
            iterator->done = true;
            break;
        }
        status = merge_next(iterator, merge);
        status = status != KV_OK ? status : iterator->status;
    }
    return status;
}

static kv_status_t prefix_slice(kv_arena_t *arena, size_t place, kv_slice_t *bytes)
{
    char *const longer = kv_arena_alloc(arena, KVI_SIDE_PREFIX_BYTES + bytes->size);
    if (longer == NULL) {
        return KV_NO_MEMORY;
    }
    kvi_side_prefix(place, longer);
    kvi_bytes_copy(longer + KVI_SIDE_PREFIX_BYTES, bytes->data, bytes->size);
    *bytes = (kv_slice_t){longer, KVI_SIDE_PREFIX_BYTES + bytes->size};
    return KV_OK;
}

/* The same range in the side table or among the transaction's changes. */
static kv_status_t open_side(kv_iterator_t *iterator, kv_range_options_t rest, size_t place,
                             kv_range_cursor_t **cursor)
{
    kv_status_t status = prefix_slice(iterator->chunk, place, &rest.prefix);
    if (status == KV_OK && rest.range.lower.kind != KV_BOUND_NONE) {
        status = prefix_slice(iterator->chunk, place, &rest.range.lower.key);
    }
    if (status == KV_OK && rest.range.upper.kind != KV_BOUND_NONE) {
        status = prefix_slice(iterator->chunk, place, &rest.range.upper.key);
    }
    kv_engine_t *const side =
        iterator->transaction != NULL ? iterator->transaction->index : iterator->snapshot->side;
    return status != KV_OK ? status : kv_range_cursor_open(side, &rest, cursor);
}

static kv_status_t read_ordered(kv_iterator_t *iterator, const kvi_content_t *content, size_t place)
{
    const kv_range_options_t rest = rest_of(iterator);
    merge_t merge = {NULL, NULL};
    kv_status_t status = KV_OK;
    if (content != NULL) {
        status = kv_range_cursor_open(content->engine, &rest, &merge.main);
    }
    if (status == KV_OK && (iterator->snapshot != NULL || iterator->transaction != NULL)) {
        status = open_side(iterator, rest, place, &merge.side);
    }
    if (status == KV_OK) {
        status = merge_chunk(iterator, &merge);
    }
    kv_range_cursor_close(merge.side);
    kv_range_cursor_close(merge.main);
    return status;
}

static void visit(void *context, kv_slice_t key, kv_slice_t record)
{
    add_entry(context, key, record);
}

static kv_status_t read_unordered(kv_iterator_t *iterator, const kvi_content_t *content)
{
    if (iterator->moved && (content != iterator->content || content->row != iterator->row)) {
        return KV_CONFLICT;
    }
    iterator->content = content;
    iterator->row = content->row;
    iterator->moved = true;
    for (int i = 0; i < EMPTY_CHUNKS_MAX && iterator->count == 0 && !iterator->done; i++) {
        iterator->token = content->engine->ops->scan(content->engine, iterator->token,
                                                     CHUNK_ENTRIES, visit, iterator);
        iterator->done = iterator->token == 0;
    }
    return iterator->status;
}

/* ---- chunks of a snapshot whose keys have no order ---- */

typedef struct stretch {
    kv_iterator_t *iterator;
    const kvi_content_t *content;
    const kvi_scan_order_t *order;
    size_t place; /* of the content in the snapshot */
    uint64_t from;
    uint64_t end; /* the places of the stretch are below it */
} stretch_t;

static uint64_t order_of(kv_slice_t side_key)
{
    uint64_t order = 0;
    for (size_t i = 0; i < KVI_SIDE_ORDER_BYTES; i++) {
        order = order << 8 | (unsigned char)side_key.data[KVI_SIDE_PREFIX_BYTES + i];
    }
    return order;
}

/* At the first kept record from the beginning of the stretch on. */
static kv_status_t open_kept(const stretch_t *stretch, kv_range_cursor_t **cursor)
{
    char from[KVI_SIDE_PREFIX_BYTES + KVI_SIDE_ORDER_BYTES];
    kvi_side_prefix(KVI_SIDE_ORDER | stretch->place, from);
    for (size_t i = 0; i < KVI_SIDE_ORDER_BYTES; i++) {
        from[sizeof(from) - 1 - i] = (char)(stretch->from >> 8 * i);
    }
    const kv_range_options_t options = {.range.lower = {KV_BOUND_INCLUDED, {from, sizeof(from)}},
                                        .prefix = {from, KVI_SIDE_PREFIX_BYTES}};
    return kv_range_cursor_open(stretch->iterator->snapshot->side, &options, cursor);
}

/* Ends the stretch where a chunk's worth of kept records does. */
static kv_status_t limit_kept(stretch_t *stretch)
{
    kv_range_cursor_t *cursor;
    kv_status_t status = open_kept(stretch, &cursor);
    if (status != KV_OK) {
        return status;
    }
    for (size_t count = 0; status == KV_OK && kv_range_cursor_valid(cursor); count++) {
        const uint64_t order = order_of(kv_range_cursor_key(cursor));
        if (count >= CHUNK_ENTRIES && order > stretch->from) {
            stretch->end = order;
            break;
        }
        status = kv_range_cursor_next(cursor);
    }
    kv_range_cursor_close(cursor);
    return status;
}

static void visit_unchanged(void *context, kv_slice_t key, kv_slice_t record)
{
    const stretch_t *const stretch = context;
    kv_iterator_t *const iterator = stretch->iterator;
    kv_slice_t kept;
    if (stretch->end != KVI_SCAN_PLACES_END &&
        stretch->order->place_of(stretch->content->engine, key) >= stretch->end) {
        return;
    }
    const kv_status_t status = kvi_side_find(iterator->snapshot, stretch->place, key, &kept);
    if (status == KV_NOT_FOUND) {
        add_entry(iterator, key, record);
    } else if (status != KV_OK) {
        iterator->status = status;
    }
}

static kv_status_t add_kept(const stretch_t *stretch)
{
    kv_iterator_t *const iterator = stretch->iterator;
    kv_range_cursor_t *cursor;
    kv_status_t status = open_kept(stretch, &cursor);
    if (status != KV_OK) {
        return status;
    }
    while (status == KV_OK && kv_range_cursor_valid(cursor)) {
        const kv_slice_t side_key = kv_range_cursor_key(cursor);
        const size_t head = KVI_SIDE_PREFIX_BYTES + KVI_SIDE_ORDER_BYTES;
        const kv_slice_t key = {side_key.data + head, side_key.size - head};
        kv_slice_t kept;
        if (order_of(side_key) >= stretch->end) {
            break;
        }
        status = kvi_side_find(iterator->snapshot, stretch->place, key, &kept);
        if (status == KV_OK) {
            add_entry(iterator, key, (kv_slice_t){kept.data + 1, kept.size - 1});
            status = iterator->status;
        }
        status = status != KV_OK ? status : kv_range_cursor_next(cursor);
    }
    kv_range_cursor_close(cursor);
    return status;
}

static kv_status_t read_stretch(kv_iterator_t *iterator, const kvi_content_t *content, size_t place)
{
    const kvi_scan_order_t *const order = kvi_scan_order(content->row);
    stretch_t stretch = {.iterator = iterator,
                         .content = content,
                         .order = order,
                         .place = place,
                         .from = order->place_at(iterator->token),
                         .end = KVI_SCAN_PLACES_END};
    kv_status_t status = limit_kept(&stretch);
    if (status != KV_OK) {
        return status;
    }
    const uint64_t token = content->engine->ops->scan(content->engine, iterator->token,
                                                      CHUNK_ENTRIES, visit_unchanged, &stretch);
    const uint64_t reached = token == 0 ? KVI_SCAN_PLACES_END : order->place_at(token);
    stretch.end = reached < stretch.end ? reached : stretch.end;
    status = iterator->status != KV_OK ? iterator->status : add_kept(&stretch);
    iterator->done = stretch.end == KVI_SCAN_PLACES_END;
    iterator->token = iterator->done ? 0 : order->token_at(stretch.end);
    return status;
}

/* Within the gate and the mutexes of keyspace and snapshot. */
static kv_status_t read_within(kv_iterator_t *iterator)
{
    const kvi_content_t *content = iterator->keyspace.data->content;
    size_t place = 0;
    if (iterator->snapshot != NULL) {
        const kv_snapshot_t *const snapshot = iterator->snapshot;
        place = kvi_snapshot_place(snapshot, iterator->keyspace.data);
        content = place < snapshot->count ? snapshot->places[place].content : NULL;
        iterator->now_ms = snapshot->now_ms;
        if (snapshot->status != KV_OK) {
            return snapshot->status;
        }
    } else if (!kvi_embed_is_there(&iterator->keyspace)) {
        return KV_INVALID;
    } else {
        place = iterator->keyspace.data->number;
        iterator->now_ms = kvi_embed_now(iterator->keyspace.db);
    }
    if (content == NULL && iterator->transaction == NULL) {
        iterator->done = true;
        return iterator->moved && !iterator->ordered ? KV_CONFLICT : KV_OK;
    }
    if (iterator->ordered) {
        return read_ordered(iterator, content, place);
    }
    return iterator->snapshot != NULL ? read_stretch(iterator, content, place)
                                      : read_unordered(iterator, content);
}

static kv_status_t read_guarded(kv_iterator_t *iterator)
{
    if (iterator->snapshot == NULL) {
        return read_within(iterator);
    }
    kvi_os_lock(&iterator->snapshot->cursors);
    const kv_status_t status = read_within(iterator);
    kvi_os_unlock(&iterator->snapshot->cursors);
    return status;
}

static kv_status_t read_turn(kv_iterator_t *iterator)
{
    kv_db_t *const db = iterator->keyspace.db;
    const kvi_keyspace_t *const keyspace = iterator->keyspace.data;
    const unsigned lane = kvi_gate_enter(&db->gate);
    kv_status_t status;
    if (!kvi_keyspace_notes_accesses(keyspace)) {
        kvi_os_mutex_t *const cursors = &db->cursors[keyspace->number % KVI_EMBED_CURSORS];
        kvi_os_lock(cursors);
        status = read_guarded(iterator);
        kvi_os_unlock(cursors);
        kvi_gate_leave(&db->gate, lane);
        return status;
    }
    kvi_gate_leave(&db->gate, lane);
    kvi_gate_close(&db->gate);
    status = read_guarded(iterator);
    kvi_gate_open(&db->gate);
    return status;
}

/* The next chunk that holds something. */
static kv_status_t read_chunk(kv_iterator_t *iterator)
{
    iterator->status = KV_OK;
    iterator->first = NULL;
    iterator->last = NULL;
    kv_status_t status = KV_OK;
    while (status == KV_OK && iterator->first == NULL && !iterator->done) {
        kv_arena_reset(iterator->chunk, CHUNK_BYTES);
        iterator->count = 0;
        iterator->bytes = 0;
        status = read_turn(iterator);
    }
    if (status != KV_OK) {
        iterator->first = NULL;
        iterator->done = true;
    }
    return status;
}

/* ---- opening ---- */

static bool copy_slice(kv_arena_t *arena, kv_slice_t *bytes)
{
    if (bytes->size == 0) {
        *bytes = (kv_slice_t){NULL, 0};
        return true;
    }
    bytes->data = kv_arena_memdup(arena, bytes->data, bytes->size);
    return bytes->data != NULL;
}

static kv_status_t copy_options(kv_iterator_t *iterator, const kv_iterator_options_t *options)
{
    iterator->options = (kv_range_options_t){
        .range = options->range, .prefix = options->prefix, .reverse = options->reverse};
    iterator->snapshot = options->snapshot;
    iterator->transaction = options->transaction;
    kv_range_t *const range = &iterator->options.range;
    const bool copied =
        copy_slice(iterator->fixed, &iterator->options.prefix) &&
        (range->lower.kind == KV_BOUND_NONE || copy_slice(iterator->fixed, &range->lower.key)) &&
        (range->upper.kind == KV_BOUND_NONE || copy_slice(iterator->fixed, &range->upper.key));
    return copied ? KV_OK : KV_NO_MEMORY;
}

static bool needs_order(const kv_iterator_options_t *options)
{
    return options->reverse || options->transaction != NULL || options->prefix.size > 0 ||
           options->range.lower.kind != KV_BOUND_NONE || options->range.upper.kind != KV_BOUND_NONE;
}

/* In the closed gate. */
static kv_status_t choose_way(kv_iterator_t *iterator, const kv_iterator_options_t *options)
{
    if (!kvi_embed_is_there(&iterator->keyspace) && options->snapshot == NULL) {
        return KV_INVALID;
    }
    const kv_engine_ops_t *row = kvi_keyspace_engine(iterator->keyspace.data);
    if (options->snapshot != NULL) {
        const size_t place = kvi_snapshot_place(options->snapshot, iterator->keyspace.data);
        if (place < options->snapshot->count && options->snapshot->places[place].content != NULL) {
            row = options->snapshot->places[place].content->row;
        }
    }
    iterator->ordered = row->ordered;
    return row->ordered || !needs_order(options) ? KV_OK : KV_UNSUPPORTED;
}

static kv_status_t prepare(kv_iterator_t *iterator, const kv_iterator_options_t *options)
{
    kvi_embed_begin(iterator->keyspace.db);
    iterator->keyspace.data->users++;
    const kv_status_t status = choose_way(iterator, options);
    kvi_gate_open(&iterator->keyspace.db->gate);
    return status != KV_OK ? status : copy_options(iterator, options);
}

/* Snapshot or transaction, and of this database. */
static bool suits(const kv_keyspace_t *keyspace, const kv_iterator_options_t *options)
{
    if (options->snapshot != NULL) {
        return options->transaction == NULL && options->snapshot->db == keyspace->db;
    }
    return options->transaction == NULL || options->transaction->db == keyspace->db;
}

kv_status_t kv_iterator_open(kv_keyspace_t *keyspace, const kv_iterator_options_t *options,
                             kv_iterator_t **iterator)
{
    static const kv_iterator_options_t all = {.reverse = false};
    options = options != NULL ? options : &all;
    if (keyspace == NULL || iterator == NULL || !suits(keyspace, options)) {
        return KV_INVALID;
    }
    kv_iterator_t *const opened = kv_store_calloc(1, sizeof(*opened));
    if (opened == NULL) {
        return KV_NO_MEMORY;
    }
    opened->fixed = kv_arena_create(0);
    opened->chunk = kv_arena_create(CHUNK_BYTES);
    if (opened->fixed == NULL || opened->chunk == NULL) {
        kv_iterator_close(opened);
        return KV_NO_MEMORY;
    }
    opened->keyspace = *keyspace;
    kv_status_t status = prepare(opened, options);
    status = status != KV_OK ? status : read_chunk(opened);
    if (status != KV_OK) {
        kv_iterator_close(opened);
        return status;
    }
    *iterator = opened;
    return KV_OK;
}

void kv_iterator_close(kv_iterator_t *iterator)
{
    if (iterator == NULL) {
        return;
    }
    kv_db_t *const db = iterator->keyspace.db;
    if (db != NULL) {
        kvi_embed_begin(db);
        kvi_keyspace_release(iterator->keyspace.data);
        kvi_gate_open(&db->gate);
    }
    kv_arena_destroy(iterator->fixed);
    kv_arena_destroy(iterator->chunk);
    kv_store_free(iterator->last_key);
    kv_store_free(iterator);
}

bool kv_iterator_valid(const kv_iterator_t *iterator)
{
    return iterator != NULL && iterator->first != NULL;
}

kv_status_t kv_iterator_next(kv_iterator_t *iterator)
{
    if (!kv_iterator_valid(iterator)) {
        return KV_INVALID;
    }
    iterator->first = iterator->first->next;
    return iterator->first != NULL || iterator->done ? KV_OK : read_chunk(iterator);
}

kv_slice_t kv_iterator_key(const kv_iterator_t *iterator)
{
    return kv_iterator_valid(iterator) ? iterator->first->key : (kv_slice_t){NULL, 0};
}

kv_slice_t kv_iterator_value(const kv_iterator_t *iterator)
{
    return kv_iterator_valid(iterator) ? iterator->first->value : (kv_slice_t){NULL, 0};
}

int64_t kv_iterator_deadline(const kv_iterator_t *iterator)
{
    return kv_iterator_valid(iterator) ? iterator->first->deadline_ms : KV_NO_DEADLINE;
}
