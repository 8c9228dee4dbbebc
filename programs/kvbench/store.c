/* SPDX-License-Identifier: MIT */
/* The rows kvbench knows: each engine of the library behind the same calls as its peers, then the
 * peers of this build. */
#include "kvbench/store.h"

#include <string.h>

#include <concordkv/kv_engine.h>

#include "kvbench_config.h"

#define SCAN_COUNT 1000u
#define CONVERT_STEP 1000u
#define ENGINES_MAX 8u
#define ARRAY_COUNT_MAX 20000u /* an engine that looks at every entry */

/* ---- engines ---- */

static void *engine_open(const store_ops_t *self)
{
    const kv_engine_options_t options = {.hash_seed = UINT64_C(0x5eed)};
    kv_engine_t *engine = NULL;
    return kv_engine_open(self->name, &options, &engine) == KV_OK ? engine : NULL;
}

static void engine_close(void *store)
{
    kv_engine_t *const engine = store;
    engine->ops->close(engine);
}

static bool engine_put(void *store, kv_slice_t key, kv_slice_t value)
{
    kv_engine_t *const engine = store;
    return engine->ops->put(engine, key, value) == KV_OK;
}

static bool engine_get(void *store, kv_slice_t key, kv_slice_t *value)
{
    kv_engine_t *const engine = store;
    return engine->ops->get(engine, key, value) == KV_OK;
}

static bool engine_del(void *store, kv_slice_t key)
{
    kv_engine_t *const engine = store;
    return engine->ops->del(engine, key) == KV_OK;
}

static void *engine_cursor_open(void *store)
{
    kv_engine_t *const engine = store;
    kv_cursor_t *cursor = NULL;
    return engine->ops->cursor_open(engine, &cursor) == KV_OK ? cursor : NULL;
}

static void engine_cursor_close(void *cursor)
{
    ((kv_cursor_t *)cursor)->ops->cursor_close(cursor);
}

/* Visits up to count entries from where the cursor was moved to. */
static size_t visit(kv_cursor_t *cursor, kv_status_t status, size_t count, uint64_t *sum)
{
    const kv_engine_ops_t *const ops = cursor->ops;
    size_t visited = 0;
    while (status == KV_OK) {
        *sum += store_touch(ops->cursor_key(cursor)) + store_touch(ops->cursor_value(cursor));
        visited++;
        status = visited < count ? ops->cursor_next(cursor) : KV_NOT_FOUND;
    }
    return visited;
}

static size_t engine_seek(void *cursor, kv_slice_t key, size_t count, uint64_t *sum)
{
    kv_cursor_t *const moving = cursor;
    return visit(moving, moving->ops->cursor_seek(moving, key), count, sum);
}

static uint64_t engine_iterate(void *store)
{
    kv_cursor_t *const cursor = engine_cursor_open(store);
    uint64_t sum = 0;
    if (cursor != NULL) {
        (void)visit(cursor, cursor->ops->cursor_first(cursor), SIZE_MAX, &sum);
        engine_cursor_close(cursor);
    }
    return sum;
}

static void engine_get_many(void *store, size_t count, const kv_slice_t *keys, kv_slice_t *values)
{
    kv_engine_t *const engine = store;
    engine->ops->get_many(engine, count, keys, values);
}

static void engine_prefetch(void *store, size_t count, const kv_slice_t *keys)
{
    kv_engine_t *const engine = store;
    engine->ops->prefetch(engine, count, keys);
}

static void add_entry(void *context, kv_slice_t key, kv_slice_t value)
{
    *(uint64_t *)context += store_touch(key) + store_touch(value);
}

static uint64_t engine_scan(void *store)
{
    kv_engine_t *const engine = store;
    uint64_t sum = 0;
    uint64_t token = 0;
    do {
        token = engine->ops->scan(engine, token, SCAN_COUNT, add_entry, &sum);
    } while (token != 0);
    return sum;
}

static void engine_bytes(void *store, store_bytes_t *bytes)
{
    kv_engine_t *const engine = store;
    kv_engine_memory_t memory;
    memset(bytes, 0, sizeof *bytes);
    if (engine->ops->memory(engine, &memory) == KV_OK) {
        *bytes = (store_bytes_t){memory.key_bytes, memory.value_bytes, memory.index_bytes,
                                 memory.slack_bytes, memory.total_bytes};
    }
}

static bool engine_convert(void **store, const char *name)
{
    kv_engine_t *engine = *store;
    kv_status_t status = kv_engine_convert_begin(engine, name, NULL, &engine);
    for (bool done = false; status == KV_OK && !done;) {
        status = kv_engine_convert_step(engine, CONVERT_STEP, &done);
    }
    status = kv_engine_convert_end(engine, &engine);
    *store = engine;
    return status == KV_OK;
}

static void engine_compact(void *store)
{
    kv_engine_t *const engine = store;
    while (engine->ops->relocate(engine, SCAN_COUNT) == SCAN_COUNT) {
    }
}

static store_ops_t engine_row(const kv_engine_ops_t *ops)
{
    return (store_ops_t){
        .name = ops->name,
        .is_engine = true,
        .shares_reads = true,
        .count_max = strcmp(ops->name, "array") == 0 ? ARRAY_COUNT_MAX : 0,
        .open = engine_open,
        .close = engine_close,
        .put = engine_put,
        .get = engine_get,
        .del = engine_del,
        .iterate = engine_iterate,
        .get_many = engine_get_many,
        .prefetch = engine_prefetch,
        .scan = engine_scan,
        .bytes = engine_bytes,
        .cursor_open = ops->ordered ? engine_cursor_open : NULL,
        .seek = ops->ordered ? engine_seek : NULL,
        .cursor_close = engine_cursor_close,
        .convert = engine_convert,
        .compact = engine_compact,
    };
}

/* ---- the table; KVBENCH_PEERS(X) lists the peers of this build ---- */

#define DECLARE_PEER(name) extern const store_ops_t store_##name;
KVBENCH_PEERS(DECLARE_PEER)
#undef DECLARE_PEER

#define PEER_ROW(name) &store_##name,
static const store_ops_t *const peers[] = {KVBENCH_PEERS(PEER_ROW) NULL};
#undef PEER_ROW

static const store_ops_t *engine_at(size_t number)
{
    static store_ops_t rows[ENGINES_MAX];
    const kv_engine_ops_t *const ops = number < ENGINES_MAX ? kv_engine_at(number) : NULL;
    if (ops != NULL && rows[number].name == NULL) {
        rows[number] = engine_row(ops);
    }
    return ops != NULL ? &rows[number] : NULL;
}

const store_ops_t *store_at(size_t number)
{
    size_t engines = 0;
    while (engine_at(engines) != NULL) {
        engines++;
    }
    if (number < engines) {
        return engine_at(number);
    }
    number -= engines;
    return number < sizeof peers / sizeof peers[0] ? peers[number] : NULL;
}

const store_ops_t *store_find(const char *name)
{
    for (size_t i = 0; store_at(i) != NULL; i++) {
        if (strcmp(store_at(i)->name, name) == 0) {
            return store_at(i);
        }
    }
    return NULL;
}
