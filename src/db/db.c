/* SPDX-License-Identifier: MIT */
/* The database as a whole: its keyspaces and the limit on their memory. */
#include "db/db_int.h"

#define KEYSPACES_DEFAULT ((size_t)16)

kv_status_t kvi_db_open(const kvi_db_options_t *options, kvi_db_t **db)
{
    kvi_db_options_t chosen = options != NULL ? *options : (kvi_db_options_t){0};
    if (chosen.engine == NULL) {
        chosen.engine = kv_engine_find("hash");
    }
    if (chosen.keyspaces == 0) {
        chosen.keyspaces = KEYSPACES_DEFAULT;
    }
    if (chosen.engine == NULL || chosen.keyspaces > SIZE_MAX / sizeof(kvi_keyspace_t) / 2) {
        return KV_INVALID;
    }
    kvi_db_t *const opened =
        kv_store_calloc(1, sizeof(*opened) + chosen.keyspaces * sizeof(kvi_keyspace_t));
    if (opened == NULL) {
        return KV_NO_MEMORY;
    }
    opened->budget = kv_budget_create(NULL, chosen.memory_limit);
    kv_status_t status = opened->budget != NULL ? KV_OK : KV_NO_MEMORY;
    while (status == KV_OK && opened->keyspace_count < chosen.keyspaces) {
        status = kvi_keyspace_open(&opened->keyspaces[opened->keyspace_count], opened, &chosen);
        opened->keyspace_count += status == KV_OK;
    }
    if (status != KV_OK) {
        kvi_db_close(opened);
        return status;
    }
    *db = opened;
    return KV_OK;
}

void kvi_db_close(kvi_db_t *db)
{
    if (db == NULL) {
        return;
    }
    for (size_t i = 0; i < db->keyspace_count; i++) {
        kvi_keyspace_close(&db->keyspaces[i]);
    }
    kv_arena_destroy(db->results);
    kv_arena_destroy(db->undo);
    kv_budget_destroy(db->budget);
    kv_store_free(db);
}

size_t kvi_db_keyspaces(const kvi_db_t *db)
{
    return db->keyspace_count;
}

kvi_keyspace_t *kvi_db_keyspace(kvi_db_t *db, size_t number)
{
    return number < db->keyspace_count ? &db->keyspaces[number] : NULL;
}

void kvi_db_set_memory_limit(kvi_db_t *db, size_t bytes)
{
    kv_budget_set_limit(db->budget, bytes);
}

size_t kvi_db_memory_limit(const kvi_db_t *db)
{
    return kv_budget_limit(db->budget);
}

size_t kvi_db_memory_used(const kvi_db_t *db)
{
    return kv_budget_used(db->budget);
}

int64_t kvi_db_time(const kvi_db_t *db)
{
    return db->time_ms;
}

void kvi_db_advance_time(kvi_db_t *db, int64_t time_ms)
{
    db->time_ms = time_ms > db->time_ms ? time_ms : db->time_ms;
}

uint64_t kvi_db_changes(const kvi_db_t *db)
{
    return db->changes;
}

kvi_epochs_t *kvi_db_epochs(kvi_db_t *db)
{
    return &db->epochs;
}

uint64_t kvi_db_expired(kvi_db_t *db)
{
    uint64_t expired = 0;
    for (size_t i = 0; i < db->keyspace_count; i++) {
        expired += kvi_keyspace_expired(&db->keyspaces[i]);
    }
    return expired;
}

kv_status_t kvi_db_swap(kvi_db_t *db, size_t first, size_t second)
{
    if (first >= db->keyspace_count || second >= db->keyspace_count) {
        return KV_INVALID;
    }
    /* Content changes places, not the structs: clients hold their addresses. */
    const kvi_keyspace_t content = db->keyspaces[first];
    db->keyspaces[first] = db->keyspaces[second];
    db->keyspaces[second] = content;
    db->changes++;
    return KV_OK;
}
