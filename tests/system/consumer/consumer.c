/* SPDX-License-Identifier: MIT */
/* A program of somebody who has only what `make install` leaves. */
#include <stdio.h>
#include <string.h>

#include "kv_memory.h"
#include <concordkv/kv_db.h>
#include <concordkv/kv_engine.h>
#include <concordkv/kv_status.h>
#include <concordkv/kv_version.h>

/* A database in memory: a value and a batch. */
static int uses_a_database(void)
{
    const kv_slice_t key = {"key", 3};
    const kv_slice_t number = {"41", 2};
    kv_db_options_t options = {0};
    kv_db_t *db = NULL;
    kv_keyspace_t *space = NULL;
    kv_batch_t *batch = NULL;
    kv_value_t value = {0};
    int works;
    options.engine = "bptree";
    if (kv_db_open(NULL, &options, &db) != KV_OK || kv_keyspace_open(db, "0", &space) != KV_OK ||
        kv_batch_create(db, &batch) != KV_OK) {
        return 0;
    }
    works = kv_keyspace_get(space, key, &value) == KV_NOT_FOUND &&
            kv_batch_put(batch, space, key, number, NULL) == KV_OK &&
            kv_batch_add(batch, space, key, 1) == KV_OK && kv_batch_apply(batch) == KV_OK &&
            kv_keyspace_get(space, key, &value) == KV_OK && value.size == 2 &&
            memcmp(value.data, "42", 2) == 0;
    kv_value_free(&value);
    kv_batch_destroy(batch);
    kv_keyspace_close(space);
    return kv_db_close(db) == KV_OK && works;
}

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
    if (!uses_a_database()) {
        return 1;
    }
    kv_store_free(kv_store_malloc(100));
    return 0;
}
