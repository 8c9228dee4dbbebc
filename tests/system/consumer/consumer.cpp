// SPDX-License-Identifier: MIT
// As consumer.c, in C++.
#include <cstring>
#include <iostream>
#include <string>

#include "kv_memory.h"
#include <concordkv/kv_engine.h>
#include <concordkv/kv_status.h>
#include <concordkv/kv_version.h>

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
    kv_store_free(kv_store_malloc(100));
    return 0;
}
