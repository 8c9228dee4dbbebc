// SPDX-License-Identifier: MIT
// As consumer.c, in C++.
#include <cstring>
#include <iostream>
#include <string>

#include "kv_memory.h"
#include <concordkv/kv_db.h>
#include <concordkv/kv_engine.h>
#include <concordkv/kv_status.h>
#include <concordkv/kv_version.h>

// A database in memory: a value and a batch.
static bool uses_a_database()
{
    const kv_slice_t key = {"key", 3};
    const kv_slice_t number = {"41", 2};
    kv_db_options_t options = {};
    kv_db_t *db = nullptr;
    kv_keyspace_t *space = nullptr;
    kv_batch_t *batch = nullptr;
    kv_value_t value = {};
    options.engine = "bptree";
    if (kv_db_open(nullptr, &options, &db) != KV_OK || kv_keyspace_open(db, "0", &space) != KV_OK ||
        kv_batch_create(db, &batch) != KV_OK) {
        return false;
    }
    const bool works =
        kv_keyspace_get(space, key, &value) == KV_NOT_FOUND &&
        kv_batch_put(batch, space, key, number, nullptr) == KV_OK &&
        kv_batch_add(batch, space, key, 1) == KV_OK && kv_batch_apply(batch) == KV_OK &&
        kv_keyspace_get(space, key, &value) == KV_OK && std::string(value.data, value.size) == "42";
    kv_value_free(&value);
    kv_batch_destroy(batch);
    kv_keyspace_close(space);
    return kv_db_close(db) == KV_OK && works;
}

int main()
{
    kv_arena_t *const arena = kv_arena_create(0);
    void *(*const alloc)(kv_arena_t *, size_t) = kv_arena_alloc;
    char *const text = static_cast<char *>(kv_arena_alloc(arena, 3));
    if (std::string(kv_version()) != KV_VERSION_STRING || !text || !alloc(arena, 64)) {
        return 1;
    }
    std::memcpy(text, kv_status_text(KV_OK), 3);
    std::cout << text << '\n';
    kv_arena_destroy(arena);

    kv_engine_t *engine = nullptr;
    const kv_slice_t word = {"ok", 2};
    if (kv_engine_open("hash", nullptr, &engine) != KV_OK ||
        engine->ops->put(engine, word, word) != KV_OK) {
        return 1;
    }
    engine->ops->close(engine);
    if (!uses_a_database()) {
        return 1;
    }
    kv_store_free(kv_store_malloc(100));
    return 0;
}
