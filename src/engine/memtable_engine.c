/* SPDX-License-Identifier: MIT */
/*
 * The row `memtable` of the table of engines: a memtable of which only the newest versions can be
 * read. Every write takes the next sequence number, every delete of a key writes a tombstone. One
 * user at a time.
 *
 * Nobody can read the past through this table, so an overwritten version goes at once. Tombstones
 * go in passing: as soon as they are more than a quarter of the live keys, each delete looks
 * through one further page and takes them all out of it. A fifth of what it meets is dead on
 * average, so this costs little and holds their number; and relocate takes out the rest.
 */
#include "engine/estimate.h"
#include "engine/memtable_int.h"

#define SAMPLE_TRIES 32u
#define DEAD_PART 4u

static kvi_memtable_t *table_of(kv_engine_t *engine)
{
    return (kvi_memtable_t *)engine;
}

static kv_engine_t *tree_of(kv_engine_t *engine)
{
    return &table_of(engine)->tree->engine;
}

/* What a record of the tree shows: data NULL for a tombstone. */
static kv_slice_t shown_value(kv_slice_t bytes)
{
    const kvi_record_t record = kvi_record_parse(bytes);
    return (record.flags & FLAG_DELETED) != 0 ? (kv_slice_t){NULL, 0} : kvi_record_value(&record);
}

/* ---- lookups ---- */

static kv_status_t memtable_get(kv_engine_t *engine, kv_slice_t key, kv_slice_t *value)
{
    kv_slice_t bytes;
    if (kvi_bptree_get(tree_of(engine), key, &bytes) != KV_OK) {
        return KV_NOT_FOUND;
    }
    const kv_slice_t shown = shown_value(bytes);
    if (shown.data == NULL) {
        return KV_NOT_FOUND;
    }
    *value = shown;
    return KV_OK;
}

static size_t memtable_get_many(kv_engine_t *engine, size_t count, const kv_slice_t *keys,
                                kv_slice_t *values)
{
    size_t found = 0;
    (void)kvi_bptree_engine.get_many(tree_of(engine), count, keys, values);
    for (size_t i = 0; i < count; i++) {
        if (values[i].data != NULL) {
            values[i] = shown_value(values[i]);
            found += values[i].data != NULL;
        }
    }
    return found;
}

static void memtable_prefetch(kv_engine_t *engine, size_t count, const kv_slice_t *keys)
{
    kvi_bptree_engine.prefetch(tree_of(engine), count, keys);
}

/* ---- tombstones ---- */

static bool is_dead(const kvi_leaf_t *leaf, uint32_t index)
{
    const kv_slice_t bytes = kvi_leaf_value(leaf, kvi_leaf_slots(leaf)[index]);
    return (kvi_record_parse(bytes).flags & FLAG_DELETED) != 0;
}

/* Takes the tombstones out of the path's leaf. Returns how many. The path is not valid then. */
static uint32_t purge_leaf(kvi_memtable_t *table, kvi_path_t *path)
{
    kvi_bptree_t *const tree = table->tree;
    kvi_leaf_t *const leaf = path->leaf;
    uint32_t purged = 0;
    kvi_leaf_unaccount(tree, leaf);
    for (uint32_t i = leaf->count; i-- > 0;) {
        if (is_dead(leaf, i)) {
            kvi_leaf_free_aparts(tree, leaf, kvi_leaf_slots(leaf)[i]);
            kvi_leaf_remove(leaf, i);
            purged++;
        }
    }
    kvi_leaf_account(tree, leaf);
    if (purged > 0) {
        tree->changes++;
        tree->count -= purged;
        table->deleted_keys -= purged;
        kvi_path_count(tree, path, 0u - purged);
        kvi_bptree_tidy(tree, path);
    }
    return purged;
}

/* Looks through the next page. */
static void purge_next(kvi_memtable_t *table)
{
    kvi_path_t path;
    if (table->purge_at >= table->tree->count) {
        table->purge_at = 0;
    }
    kvi_bptree_descend_rank(table->tree, table->purge_at, &path);
    const uint64_t begin = table->purge_at - path.slot;
    const uint32_t entries = path.leaf->count;
    table->purge_at = begin + entries - purge_leaf(table, &path);
}

static bool has_many_dead(const kvi_memtable_t *table)
{
    return table->deleted_keys * DEAD_PART > table->live_keys;
}

/* ---- writes ---- */

static kv_status_t memtable_place(kv_engine_t *engine, kv_slice_t key, size_t value_bytes,
                                  size_t keep_bytes, char **place)
{
    kvi_memtable_t *const table = table_of(engine);
    const kvi_memtable_write_t write = {
        .sequence = table->sequence + 1,
        .key = key,
        .value_bytes = value_bytes,
        .keep_bytes = keep_bytes,
    };
    return kvi_memtable_write(table, &write, place);
}

static kv_status_t memtable_put(kv_engine_t *engine, kv_slice_t key, kv_slice_t value)
{
    kvi_memtable_t *const table = table_of(engine);
    return kvi_memtable_put(table, table->sequence + 1, key, value);
}

static kv_status_t memtable_del(kv_engine_t *engine, kv_slice_t key)
{
    kvi_memtable_t *const table = table_of(engine);
    kv_slice_t value;
    if (memtable_get(engine, key, &value) != KV_OK) {
        return KV_NOT_FOUND;
    }
    const kv_status_t status = kvi_memtable_delete(table, table->sequence + 1, key);
    if (status == KV_OK && has_many_dead(table)) {
        purge_next(table);
    }
    return status;
}

/* Moves the leaf's large values out of sparse blocks, where memory allows. Returns how many. */
static uint32_t move_values(kvi_memtable_t *table, const kvi_leaf_t *leaf)
{
    kvi_bptree_t *const tree = table->tree;
    uint32_t moved = 0;
    for (uint32_t i = 0; i < leaf->count; i++) {
        const kvi_record_t record = kvi_record_parse(kvi_leaf_value(leaf, kvi_leaf_slots(leaf)[i]));
        const kv_slice_t value = kvi_record_value(&record);
        if ((record.flags & FLAG_LARGE) == 0 || !kv_pool_sparse(tree->pool, value.data)) {
            continue;
        }
        char *const other = kvi_bptree_alloc_guest(tree, value.size);
        if (other != NULL) {
            memcpy(other, value.data, value.size);
            kvi_memtable_free_large(table, &record);
            memcpy((char *)(uintptr_t)record.body, &other, sizeof other);
            moved++;
        }
    }
    return moved;
}

/* Goes round once behind the last value that was moved. */
static size_t relocate_values(kvi_memtable_t *table, size_t steps)
{
    kvi_bptree_t *const tree = table->tree;
    size_t used = 0;
    while (used < steps && table->move_idle < tree->count) {
        kvi_path_t path;
        if (table->move_at >= tree->count) {
            table->move_at = 0;
        }
        kvi_bptree_descend_rank(tree, table->move_at, &path);
        const uint32_t passed = path.leaf->count - path.slot;
        const uint32_t moved = move_values(table, path.leaf);
        table->move_at += passed;
        table->move_idle = moved > 0 ? 0 : table->move_idle + passed;
        tree->changes += moved > 0;
        used += moved + 1;
    }
    if (used < steps) {
        table->move_idle = 0;
    }
    return used;
}

static size_t memtable_relocate(kv_engine_t *engine, size_t steps)
{
    kvi_memtable_t *const table = table_of(engine);
    size_t used = 0;
    for (; used < steps && table->deleted_keys > 0; used++) {
        purge_next(table);
    }
    if (used < steps && table->tree->guest_objects > 1) { /* this table is one of them */
        used += relocate_values(table, steps - used);
    }
    return used < steps ? used + kvi_bptree_relocate(tree_of(engine), steps - used) : steps;
}

/* ---- figures ---- */

static uint64_t memtable_count(const kv_engine_t *engine)
{
    return ((const kvi_memtable_t *)engine)->live_keys;
}

static kv_status_t memtable_memory(const kv_engine_t *engine, kv_engine_memory_t *memory)
{
    const kvi_memtable_t *const table = (const kvi_memtable_t *)engine;
    const kv_status_t status = kvi_bptree_engine.memory(&table->tree->engine, memory);
    if (status == KV_OK) {
        /* Keys of tombstones are the index's, and prefixes count once: so keys have no more than
         * the live ones would in full. */
        const size_t used = memory->key_bytes + memory->value_bytes + memory->index_bytes;
        memory->key_bytes =
            memory->key_bytes < table->key_bytes ? memory->key_bytes : table->key_bytes;
        memory->value_bytes = table->value_bytes;
        memory->index_bytes = used - memory->key_bytes - memory->value_bytes;
    }
    return status;
}

static kv_status_t memtable_check(const kv_engine_t *engine)
{
    return kvi_memtable_check((const kvi_memtable_t *)engine);
}

static size_t memtable_estimate(uint64_t count, size_t key_bytes, size_t value_bytes)
{
    const bool is_large = value_bytes > VALUE_IN_RECORD_MAX;
    const size_t tree =
        kvi_bptree_estimate(count, key_bytes, STAMP_BYTES + (is_large ? LARGE_BYTES : value_bytes));
    const double large = is_large ? kvi_estimate_objects((double)count, value_bytes) : 0;
    return tree == SIZE_MAX ? tree : kvi_estimate_bytes((double)tree + large);
}

/* ---- walks ---- */

static kv_status_t memtable_sample(kv_engine_t *engine, uint64_t number, kv_slice_t *key,
                                   kv_slice_t *value)
{
    kvi_memtable_t *const table = table_of(engine);
    kv_slice_t bytes;
    if (table->live_keys == 0) {
        return KV_NOT_FOUND;
    }
    /* Nearly always the first or second try meets a live key; where not, the next one after it. */
    for (uint64_t tries = 0; tries <= SAMPLE_TRIES + table->deleted_keys; tries++) {
        const kv_status_t status = kvi_bptree_sample(tree_of(engine), number, key, &bytes);
        if (status != KV_OK) {
            return status;
        }
        *value = shown_value(bytes);
        if (value->data != NULL) {
            break;
        }
        number = tries < SAMPLE_TRIES ? kvi_hash_mix(number) : number + 1;
    }
    return KV_OK;
}

typedef struct filter {
    kv_engine_visit_fn visit;
    void *context;
} filter_t;

static void visit_live(void *context, kv_slice_t key, kv_slice_t bytes)
{
    const filter_t *const filter = context;
    const kv_slice_t value = shown_value(bytes);
    if (value.data != NULL) {
        filter->visit(filter->context, key, value);
    }
}

static uint64_t memtable_scan(kv_engine_t *engine, uint64_t token, size_t count,
                              kv_engine_visit_fn visit, void *context)
{
    filter_t filter = {visit, context};
    return kvi_bptree_scan(tree_of(engine), token, count, visit_live, &filter);
}

static kvi_memtable_cursor_t *own(const kv_cursor_t *cursor)
{
    return (kvi_memtable_cursor_t *)(uintptr_t)cursor;
}

static kv_status_t cursor_open(kv_engine_t *engine, kv_cursor_t **cursor)
{
    kvi_memtable_cursor_t *made;
    const kv_status_t status =
        kvi_memtable_cursor_open(table_of(engine), KVI_SEQUENCE_MAX, KVI_WALK_LIVE, &made);
    if (status == KV_OK) {
        *cursor = &made->cursor;
    }
    return status;
}

static void cursor_close(kv_cursor_t *cursor)
{
    kvi_memtable_cursor_close(own(cursor));
}

static bool cursor_valid(const kv_cursor_t *cursor)
{
    return kvi_memtable_cursor_valid(own(cursor));
}

static kv_status_t cursor_first(kv_cursor_t *cursor)
{
    return kvi_memtable_cursor_first(own(cursor));
}

static kv_status_t cursor_last(kv_cursor_t *cursor)
{
    return kvi_memtable_cursor_last(own(cursor));
}

static kv_status_t cursor_seek(kv_cursor_t *cursor, kv_slice_t key)
{
    return kvi_memtable_cursor_seek(own(cursor), key, KVI_SEQUENCE_MAX);
}

static kv_status_t cursor_next(kv_cursor_t *cursor)
{
    return kvi_memtable_cursor_next(own(cursor));
}

static kv_status_t cursor_prev(kv_cursor_t *cursor)
{
    return kvi_memtable_cursor_prev(own(cursor));
}

static kv_slice_t cursor_key(const kv_cursor_t *cursor)
{
    return kvi_memtable_cursor_key(own(cursor));
}

static kv_slice_t cursor_value(const kv_cursor_t *cursor)
{
    kvi_version_t version;
    if (own(cursor)->keys.valid && kvi_memtable_cursor_is_fresh(own(cursor))) {
        return own(cursor)->at.value;
    }
    kvi_memtable_cursor_version(own(cursor), &version);
    return version.value;
}

/* ---- open and close ---- */

static kv_status_t memtable_open(const kv_engine_options_t *options, kv_engine_t **engine)
{
    kvi_memtable_options_t chosen = {0};
    if (options != NULL) {
        chosen.budget = options->budget;
        chosen.hash_seed = options->hash_seed;
        chosen.huge_pages = options->huge_pages;
        chosen.name = options->name;
    }
    kvi_memtable_t *table;
    const kv_status_t status = kvi_memtable_open(&chosen, &table);
    if (status == KV_OK) {
        kvi_memtable_set_oldest_reader(table, KVI_SEQUENCE_MAX);
        *engine = &table->engine;
    }
    return status;
}

static void memtable_close(kv_engine_t *engine)
{
    kvi_memtable_close(table_of(engine));
}

const kv_engine_ops_t kvi_memtable_engine = {
    .name = "memtable",
    .ordered = true,
    .open = memtable_open,
    .close = memtable_close,
    .get = memtable_get,
    .get_many = memtable_get_many,
    .prefetch = memtable_prefetch,
    .put = memtable_put,
    .place = memtable_place,
    .del = memtable_del,
    .count = memtable_count,
    .memory = memtable_memory,
    .estimate = memtable_estimate,
    .sample = memtable_sample,
    .scan = memtable_scan,
    .relocate = memtable_relocate,
    .check = memtable_check,
    .cursor_open = cursor_open,
    .cursor_close = cursor_close,
    .cursor_valid = cursor_valid,
    .cursor_first = cursor_first,
    .cursor_last = cursor_last,
    .cursor_seek = cursor_seek,
    .cursor_next = cursor_next,
    .cursor_prev = cursor_prev,
    .cursor_key = cursor_key,
    .cursor_value = cursor_value,
};
