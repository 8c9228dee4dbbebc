/* SPDX-License-Identifier: MIT */
/* A program of somebody who has only what `make install` leaves. */
#include <stdio.h>
#include <string.h>

#include "kv_memory.h"
#include <concordkv/kv_engine.h>
#include <concordkv/kv_status.h>
#include <concordkv/kv_version.h>

int main(void)
{
    kv_arena_t *const arena = kv_arena_create(0);
    /* The short way inline, and its out-of-line twin. */
    void *(*const alloc)(kv_arena_t *, size_t) = kv_arena_alloc;
    char *const text = kv_arena_alloc(arena, 3);
    if (strcmp(kv_version(), KV_VERSION_STRING) != 0 || text == NULL || alloc(arena, 64) == NULL) {
        return 1;
    }
    memcpy(text, kv_status_text(KV_OK), 3);
    puts(text);
    kv_arena_destroy(arena);

    kv_engine_t *engine = NULL;
    const kv_slice_t word = {"ok", 2};
    if (kv_engine_open("hash", NULL, &engine) != KV_OK ||
        engine->ops->put(engine, word, word) != KV_OK) {
        return 1;
    }
    engine->ops->close(engine);
    kv_store_free(kv_store_malloc(100));
    return 0;
}
