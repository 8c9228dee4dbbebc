/* SPDX-License-Identifier: MIT */
/*
 * The memtable: open, close, freeze, lookups alone and in groups, figures. Shapes and invariants
 * stand in memtable_int.h; writing in memtable_write.c, walks in memtable_cursor.c and
 * memtable_merge.c, compaction in memtable_compact.c. Threads: memtable.h.
 */
#include "engine/memtable_int.h"

#include <assert.h>

#include "os/config.h"

#define GROUP_KEYS 16u

/* ---- lookups ---- */

bool kvi_memtable_find(const kvi_memtable_t *table, kv_slice_t key, kvi_record_t *record)
{
    kv_slice_t bytes;
    if (kvi_bptree_get(&table->tree->engine, key, &bytes) != KV_OK) {
        return false;
    }
    *record = kvi_record_parse(bytes);
    return true;
}

static kvi_version_kind_t choose_version(const kvi_memtable_t *table, kvi_record_t record,
                                         uint64_t sequence, kvi_version_t *version)
{
    *version = kvi_record_step_to(table, &record, sequence) ? kvi_record_version(&record)
                                                            : (kvi_version_t){0};
    return version->kind;
}

kvi_version_kind_t kvi_memtable_get(const kvi_memtable_t *table, kv_slice_t key, uint64_t sequence,
                                    kvi_version_t *version)
{
    kvi_record_t record;
    if (!kvi_memtable_find(table, key, &record)) {
        *version = (kvi_version_t){0};
        return KVI_VERSION_NONE;
    }
    return choose_version(table, record, sequence, version);
}

size_t kvi_memtable_get_many(const kvi_memtable_t *table, size_t count, const kv_slice_t *keys,
                             uint64_t sequence, kvi_version_t *versions)
{
    kv_engine_t *const tree = &table->tree->engine;
    size_t found = 0;
    for (size_t from = 0; from < count; from += GROUP_KEYS) {
        kv_slice_t records[GROUP_KEYS];
        const size_t size = count - from < GROUP_KEYS ? count - from : GROUP_KEYS;
        (void)tree->ops->get_many(tree, size, keys + from, records);
        for (size_t i = 0; i < size; i++) {
            versions[from + i] = (kvi_version_t){0};
            if (records[i].data != NULL) {
                found += choose_version(table, kvi_record_parse(records[i]), sequence,
                                        &versions[from + i]) == KVI_VERSION_VALUE;
            }
        }
    }
    return found;
}

/* ---- what records hold ---- */

void kvi_memtable_free_large(kvi_memtable_t *table, const kvi_record_t *record)
{
    if ((record->flags & FLAG_LARGE) != 0) {
        const kv_slice_t value = kvi_record_value(record);
        kvi_bptree_free_guest(table->tree, (void *)(uintptr_t)value.data, value.size);
    }
}

void kvi_memtable_free_older(kvi_memtable_t *table, kvi_record_t record)
{
    while (record.older != 0) {
        kvi_apart_t *const apart = kvi_record_older(table, &record);
        record = kvi_record_parse((kv_slice_t){apart->data, apart->bytes});
        kvi_memtable_free_large(table, &record);
        kvi_bptree_free_guest(table->tree, apart, sizeof *apart + apart->bytes);
        table->old_versions--;
    }
}

void kvi_memtable_count(kvi_memtable_t *table, kv_slice_t key, uint32_t flags, size_t value_bytes)
{
    if ((flags & FLAG_DELETED) != 0) {
        table->deleted_keys++;
    } else {
        table->live_keys++;
        table->key_bytes += key.size;
        table->value_bytes += value_bytes;
    }
}

void kvi_memtable_uncount(kvi_memtable_t *table, kv_slice_t key, uint32_t flags, size_t value_bytes)
{
    if ((flags & FLAG_DELETED) != 0) {
        table->deleted_keys--;
    } else {
        table->live_keys--;
        table->key_bytes -= key.size;
        table->value_bytes -= value_bytes;
    }
}

/* ---- states and figures ---- */

void kvi_memtable_set_oldest_reader(kvi_memtable_t *table, uint64_t sequence)
{
    if (!table->frozen && sequence > table->oldest_reader) {
        table->oldest_reader = sequence;
    }
}

void kvi_memtable_freeze(kvi_memtable_t *table)
{
    if (table->frozen) {
        return;
    }
    table->frozen = true;
    if (kvi_debug) {
        table->sealed = true; /* first, for then it is read-only as well */
        if (!kvi_pool_seal(table->tree->pool)) {
            table->sealed = false;
        }
    }
}

bool kvi_memtable_is_frozen(const kvi_memtable_t *table)
{
    return table->frozen;
}

bool kvi_memtable_is_full(const kvi_memtable_t *table)
{
    return table->threshold_bytes > 0 && table->tree->used_bytes >= table->threshold_bytes;
}

uint64_t kvi_memtable_sequence(const kvi_memtable_t *table)
{
    return table->sequence;
}

void kvi_memtable_figures(const kvi_memtable_t *table, kvi_memtable_figures_t *figures)
{
    kv_pool_stats_t stats = {0};
    (void)kv_pool_stats(table->tree->pool, &stats);
    *figures = (kvi_memtable_figures_t){
        .live_keys = table->live_keys,
        .deleted_keys = table->deleted_keys,
        .old_versions = table->old_versions,
        .used_bytes = table->tree->used_bytes,
        .obtained_bytes = stats.obtained_bytes,
    };
}

/* ---- open and close ---- */

kv_status_t kvi_memtable_open(const kvi_memtable_options_t *options, kvi_memtable_t **table)
{
    static const kvi_memtable_options_t defaults = {0};
    const kvi_memtable_options_t *const chosen = options != NULL ? options : &defaults;
    const kv_engine_options_t tree_options = {
        .budget = chosen->budget,
        .hash_seed = chosen->hash_seed,
        .huge_pages = chosen->huge_pages,
        .name = chosen->name != NULL ? chosen->name : kvi_memtable_engine.name,
    };
    kv_engine_t *engine;
    const kv_status_t status = kvi_bptree_engine.open(&tree_options, &engine);
    if (status != KV_OK) {
        return status;
    }
    kvi_bptree_t *const tree = (kvi_bptree_t *)engine;
    kvi_memtable_t *const made = kvi_bptree_alloc_guest(tree, sizeof *made);
    if (made == NULL) {
        kvi_bptree_engine.close(engine);
        return KV_NO_MEMORY;
    }
    memset(made, 0, sizeof *made);
    made->engine.ops = &kvi_memtable_engine;
    made->tree = tree;
    made->threshold_bytes = chosen->threshold_bytes;
    *table = made;
    return KV_OK;
}

void kvi_memtable_close(kvi_memtable_t *table)
{
    if (table == NULL) {
        return;
    }
    if (table->sealed) {
        kvi_pool_unseal(table->tree->pool);
    }
    kvi_bptree_engine.close(&table->tree->engine);
}
