/* SPDX-License-Identifier: MIT */
/* The rows kvbench knows: each engine of the library behind the same calls as its peers, then the
 * peers of this build. */
#include "kvbench/store.h"

#include <string.h>

#include <concordkv/kv_engine.h>

#include "kvbench_config.h"

#define SCAN_COUNT 1000u

/* ---- engines ---- */

static void *open_engine(const char *name)
{
    const kv_engine_options_t options = {.hash_seed = UINT64_C(0x5eed)};
    kv_engine_t *engine = NULL;
    return kv_engine_open(name, &options, &engine) == KV_OK ? engine : NULL;
}

static void *hash_open(void)
{
    return open_engine("hash");
}

static void *bptree_open(void)
{
    return open_engine("bptree");
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

static uint64_t engine_iterate(void *store)
{
    kv_engine_t *const engine = store;
    kv_cursor_t *cursor = NULL;
    uint64_t sum = 0;
    if (engine->ops->cursor_open(engine, &cursor) != KV_OK) {
        return 0;
    }
    kv_status_t status = engine->ops->cursor_first(cursor);
    while (status == KV_OK) {
        sum += store_touch(engine->ops->cursor_key(cursor));
        sum += store_touch(engine->ops->cursor_value(cursor));
        status = engine->ops->cursor_next(cursor);
    }
    engine->ops->cursor_close(cursor);
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

static const store_ops_t store_hash = {
    .name = "hash",
    .open = hash_open,
    .close = engine_close,
    .put = engine_put,
    .get = engine_get,
    .del = engine_del,
    .iterate = engine_iterate,
    .get_many = engine_get_many,
    .prefetch = engine_prefetch,
    .scan = engine_scan,
    .bytes = engine_bytes,
};

static const store_ops_t store_bptree = {
    .name = "bptree",
    .open = bptree_open,
    .close = engine_close,
    .put = engine_put,
    .get = engine_get,
    .del = engine_del,
    .iterate = engine_iterate,
    .get_many = engine_get_many,
    .prefetch = engine_prefetch,
    .scan = engine_scan,
    .bytes = engine_bytes,
};

/* ---- the table; KVBENCH_PEERS(X) lists the peers of this build ---- */

#define DECLARE_PEER(name) extern const store_ops_t store_##name;
KVBENCH_PEERS(DECLARE_PEER)
#undef DECLARE_PEER

static const store_ops_t *const stores[] = {&store_hash, &store_bptree,
#define PEER_ROW(name) &store_##name,
                                            KVBENCH_PEERS(PEER_ROW)
#undef PEER_ROW
};

const store_ops_t *store_at(size_t number)
{
    return number < sizeof stores / sizeof stores[0] ? stores[number] : NULL;
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
