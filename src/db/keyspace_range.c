/* SPDX-License-Identifier: MIT */
/*
 * Deleting a range of keys: whole subtrees at once where the engine can, after the deadlines of the
 * range have left their index. What can fail comes first, in a walk that changes nothing.
 */
#include "db/db_int.h"

#include "base/bytes.h"

/* Taking one item out of the index costs about as much as a pass costs for so many. */
#define ITEM_COST 8
#define LIST_BLOCK_BYTES ((size_t)64 << 10)
#define SCAN_COUNT ((size_t)1024)

static bool is_behind_lower(const kv_bound_t *lower, kv_slice_t key)
{
    if (lower->kind == KV_BOUND_NONE) {
        return true;
    }
    const int order = kvi_slice_compare(key, lower->key);
    return order > 0 || (order == 0 && lower->kind == KV_BOUND_INCLUDED);
}

static bool is_before_upper(const kv_bound_t *upper, kv_slice_t key)
{
    if (upper->kind == KV_BOUND_NONE) {
        return true;
    }
    const int order = kvi_slice_compare(key, upper->key);
    return order < 0 || (order == 0 && upper->kind == KV_BOUND_INCLUDED);
}

static bool is_in_range(const void *context, kv_slice_t key)
{
    const kv_range_t *const range = context;
    return is_behind_lower(&range->lower, key) && is_before_upper(&range->upper, key);
}

/* Whether the keyspace knows ranges. While a log is read back every one does: the engine may be
 * another than it was when the operation was new, and what was deleted then must not return. */
static bool knows_ranges(const kvi_keyspace_t *keyspace)
{
    return kvi_keyspace_engine(keyspace)->ordered || keyspace->db->loading;
}

typedef struct filter {
    const kv_range_t *range;
    kv_engine_visit_fn visit;
    void *context;
} filter_t;

static void visit_in_range(void *context, kv_slice_t key, kv_slice_t record)
{
    const filter_t *const filter = context;
    if (is_in_range(filter->range, key)) {
        filter->visit(filter->context, key, record);
    }
}

static void walk_everything(kv_engine_t *engine, const kv_range_t *range, kv_engine_visit_fn visit,
                            void *context)
{
    filter_t filter = {.range = range, .visit = visit, .context = context};
    uint64_t token = 0;
    do {
        token = engine->ops->scan(engine, token, SCAN_COUNT, visit_in_range, &filter);
    } while (token != 0);
}

kv_status_t kvi_keyspace_walk_range(kvi_keyspace_t *keyspace, const kv_range_t *range,
                                    kv_engine_visit_fn visit, void *context)
{
    if (!knows_ranges(keyspace)) {
        return KV_UNSUPPORTED;
    }
    if (keyspace->content == NULL) {
        return KV_OK;
    }
    const kv_engine_ops_t *const ops = keyspace->content->engine->ops;
    if (!ops->ordered) {
        walk_everything(keyspace->content->engine, range, visit, context);
        return KV_OK;
    }
    kv_cursor_t *cursor;
    kv_status_t status = ops->cursor_open(keyspace->content->engine, &cursor);
    if (status != KV_OK) {
        return status;
    }
    const kv_bound_t *const lower = &range->lower;
    status = lower->kind == KV_BOUND_NONE ? ops->cursor_first(cursor)
                                          : ops->cursor_seek(cursor, lower->key);
    while (status == KV_OK && ops->cursor_valid(cursor)) {
        const kv_slice_t key = ops->cursor_key(cursor);
        if (!is_before_upper(&range->upper, key)) {
            break;
        }
        if (is_behind_lower(lower, key)) {
            visit(context, key, ops->cursor_value(cursor));
        }
        status = ops->cursor_next(cursor);
    }
    ops->cursor_close(cursor);
    return status == KV_NOT_FOUND ? KV_OK : status;
}

/* What a walk before the deletion finds. */
typedef struct range_state {
    kvi_keyspace_t *keyspace;
    int64_t now_ms;
    uint64_t timed; /* entries with a deadline */
    uint64_t late;  /* of them, those that are no data any more */
} range_state_t;

static void meet_entry(void *context, kv_slice_t key, kv_slice_t record)
{
    range_state_t *const state = context;
    kvi_keyspace_tell(state->keyspace, key, record);
    state->timed += kvi_record_item(record.data) != NULL;
    state->late += kvi_record_is_late(record.data, state->now_ms);
}

static void remove_item(void *context, kv_slice_t key, kv_slice_t record)
{
    (void)key;
    kvi_expiry_item_t *const item = kvi_record_item(record.data);
    if (item != NULL) {
        kvi_expiry_remove(context, item);
    }
}

/* Takes the range's deadlines out of the index: one by one, or in one pass over the index where
 * that is less work or a second walk is refused. Cannot fail. */
static void remove_items(kvi_keyspace_t *keyspace, const kv_range_t *range, uint64_t timed)
{
    if (timed < keyspace->content->expiry.count / ITEM_COST &&
        kvi_keyspace_walk_range(keyspace, range, remove_item, &keyspace->content->expiry) ==
            KV_OK) {
        return;
    }
    kvi_expiry_remove_where(&keyspace->content->expiry, is_in_range, range);
}

static kv_status_t delete_subtrees(kvi_keyspace_t *keyspace, const kv_range_t *range,
                                   int64_t now_ms, uint64_t *count)
{
    range_state_t state = {.keyspace = keyspace, .now_ms = now_ms};
    if (keyspace->content->expiry.count > 0 || keyspace->db->observers != NULL) {
        const kv_status_t status = kvi_keyspace_walk_range(keyspace, range, meet_entry, &state);
        if (status != KV_OK) {
            return status;
        }
    }
    if (state.timed > 0) {
        remove_items(keyspace, range, state.timed);
    }
    kv_engine_t *const engine = keyspace->content->engine;
    *count = engine->ops->ranges->delete_range(engine, range) - state.late;
    keyspace->expired += state.late;
    return KV_OK;
}

/* Keys to be deleted one by one, the last one found first. */
typedef struct listed_key {
    struct listed_key *next;
    kv_slice_t key;
} listed_key_t;

typedef struct key_list {
    kv_arena_t *arena;
    listed_key_t *last;
    kv_status_t status;
} key_list_t;

static void list_key(void *context, kv_slice_t key, kv_slice_t record)
{
    (void)record;
    key_list_t *const list = context;
    listed_key_t *const listed = kv_arena_alloc(list->arena, sizeof(*listed) + key.size);
    if (listed == NULL) {
        list->status = KV_NO_MEMORY;
        return;
    }
    char *const bytes = (char *)(listed + 1);
    kvi_bytes_copy(bytes, key.data, key.size);
    *listed = (listed_key_t){.next = list->last, .key = {bytes, key.size}};
    list->last = listed;
}

/* For engines that delete one by one. */
static kv_status_t delete_keys(kvi_keyspace_t *keyspace, const kv_range_t *range, int64_t now_ms,
                               uint64_t *count)
{
    key_list_t list = {.arena = kv_arena_create(LIST_BLOCK_BYTES), .status = KV_OK};
    kv_status_t status = kvi_keyspace_walk_range(keyspace, range, list_key, &list);
    status = status != KV_OK ? status : list.status;
    for (const listed_key_t *listed = list.last; status == KV_OK && listed != NULL;
         listed = listed->next) {
        kv_slice_t record;
        if (kvi_keyspace_find(keyspace, listed->key, now_ms, &record) == KV_OK) {
            kvi_keyspace_remove(keyspace, listed->key, record);
            ++*count;
        }
    }
    kv_arena_destroy(list.arena);
    return status;
}

kv_status_t kvi_keyspace_delete_range(kvi_keyspace_t *keyspace, const kv_range_t *range,
                                      int64_t now_ms, uint64_t *count)
{
    *count = 0;
    if (!knows_ranges(keyspace)) {
        return KV_UNSUPPORTED;
    }
    if (keyspace->content == NULL) {
        return KV_OK;
    }
    /* A conversion has positions, but deletes one by one. */
    const kvi_ordered_ops_t *const ranges = keyspace->content->engine->ops->ranges;
    const kv_status_t status = ranges != NULL && ranges->delete_range != NULL
                                   ? delete_subtrees(keyspace, range, now_ms, count)
                                   : delete_keys(keyspace, range, now_ms, count);
    keyspace->db->changes += *count;
    return status;
}
