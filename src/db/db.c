/* SPDX-License-Identifier: MIT */
/*
 * The database as a whole: its keyspaces by number and by name, its time, and the limit on the
 * memory of all of them.
 */
#include "db/db_int.h"

#include "base/bytes.h"
#include "base/decimal.h"

#define KEYSPACES_DEFAULT ((size_t)16)
#define KEYSPACES_MAX ((size_t)UINT32_MAX)
#define KEYSPACES_GAP_MAX ((size_t)65536)

/* ---- the list of keyspaces ---- */

static kv_status_t grow_list(kvi_db_t *db)
{
    if (db->keyspace_count < db->keyspace_capacity) {
        return KV_OK;
    }
    if (db->keyspace_count >= KEYSPACES_MAX / 2) {
        return KV_TOO_LARGE;
    }
    const size_t capacity = 2 * db->keyspace_capacity + KEYSPACES_DEFAULT;
    kvi_keyspace_t **const list =
        kv_store_realloc(db->keyspaces, capacity * sizeof(kvi_keyspace_t *));
    if (list == NULL) {
        return KV_NO_MEMORY;
    }
    db->keyspaces = list;
    db->keyspace_capacity = capacity;
    return KV_OK;
}

static kv_status_t open_fixed(kvi_db_t *db, size_t count)
{
    kv_status_t status = KV_OK;
    while (status == KV_OK && db->keyspace_count < count) {
        char name[KVI_DECIMAL_BYTES_MAX];
        const char *const end = kvi_decimal_write(name, db->keyspace_count);
        status = grow_list(db);
        if (status == KV_OK) {
            kvi_keyspace_t **const place = &db->keyspaces[db->keyspace_count];
            status = kvi_keyspace_open(db, (kv_slice_t){name, (size_t)(end - name)},
                                       &(kvi_attributes_t){0}, place);
        }
        if (status == KV_OK) {
            db->keyspaces[db->keyspace_count]->number = (uint32_t)db->keyspace_count;
            db->keyspace_count++;
        }
    }
    db->keyspaces_fixed = db->keyspace_count;
    return status;
}

kv_status_t kvi_db_open(const kvi_db_options_t *options, kvi_db_t **db)
{
    kvi_db_options_t chosen = options != NULL ? *options : (kvi_db_options_t){0};
    if (chosen.engine == NULL) {
        chosen.engine = kv_engine_find("hash");
    }
    if (chosen.keyspaces == 0) {
        chosen.keyspaces = KEYSPACES_DEFAULT;
    }
    if (chosen.engine == NULL || chosen.keyspaces > KEYSPACES_MAX / 2) {
        return KV_INVALID;
    }
    kvi_db_t *const opened = kv_store_calloc(1, sizeof(*opened));
    if (opened == NULL) {
        return KV_NO_MEMORY;
    }
    opened->engine = chosen.engine;
    opened->hash_seed = chosen.hash_seed;
    opened->eviction = KVI_EVICT_NONE;
    opened->random.counter = chosen.hash_seed;
    opened->budget = kv_budget_create(NULL, chosen.memory_limit);
    const kv_status_t status =
        opened->budget != NULL ? open_fixed(opened, chosen.keyspaces) : KV_NO_MEMORY;
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
        if (db->keyspaces[i] != NULL) {
            kvi_keyspace_release(db->keyspaces[i]);
        }
    }
    kv_store_free(db->keyspaces);
    kv_arena_destroy(db->results);
    kv_arena_destroy(db->undo);
    kv_budget_destroy(db->budget);
    kv_store_free(db);
}

size_t kvi_db_keyspaces(const kvi_db_t *db)
{
    return db->keyspace_count;
}

size_t kvi_db_numbered(const kvi_db_t *db)
{
    return db->keyspaces_fixed;
}

kv_status_t kvi_db_add_numbered(kvi_db_t *db, size_t count)
{
    if (count <= db->keyspaces_fixed) {
        return KV_OK;
    }
    return db->had_named ? KV_EXISTS : open_fixed(db, count);
}

kvi_keyspace_t *kvi_db_keyspace(kvi_db_t *db, size_t number)
{
    return number < db->keyspace_count ? db->keyspaces[number] : NULL;
}

/* ---- names ---- */

kv_status_t kvi_db_find_keyspace(kvi_db_t *db, kv_slice_t name, uint32_t *number)
{
    int64_t decimal;
    if (kvi_decimal_read(name.data, name.size, &decimal)) {
        if (decimal < 0 || (uint64_t)decimal >= db->keyspaces_fixed) {
            return KV_NOT_FOUND;
        }
        *number = (uint32_t)decimal;
        return KV_OK;
    }
    for (size_t i = db->keyspaces_fixed; i < db->keyspace_count; i++) {
        if (db->keyspaces[i] != NULL &&
            kvi_slice_equal(kvi_keyspace_name(db->keyspaces[i]), name)) {
            *number = (uint32_t)i;
            return KV_OK;
        }
    }
    return KV_NOT_FOUND;
}

/* Numbers are names of keyspaces that are always there, or of none. */
static kv_status_t check_name(kvi_db_t *db, kv_slice_t name)
{
    int64_t decimal;
    uint32_t number;
    if (name.size == 0 || kvi_decimal_read(name.data, name.size, &decimal)) {
        return KV_INVALID;
    }
    if (name.size > KVI_KEYSPACE_NAME_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    return kvi_db_find_keyspace(db, name, &number) == KV_OK ? KV_EXISTS : KV_OK;
}

/* The place for a new keyspace: wanted, or the first that is free. */
static kv_status_t find_place(kvi_db_t *db, uint32_t wanted, size_t *place)
{
    *place = db->keyspaces_fixed;
    if (wanted != 0) {
        *place = wanted;
        if (wanted < db->keyspaces_fixed || kvi_db_keyspace(db, wanted) != NULL) {
            return KV_EXISTS;
        }
        /* A number far away would only make a long list of nothing. */
        if (wanted > db->keyspace_count + KEYSPACES_GAP_MAX) {
            return KV_TOO_LARGE;
        }
    }
    while (wanted == 0 && *place < db->keyspace_count && db->keyspaces[*place] != NULL) {
        ++*place;
    }
    while (*place >= db->keyspace_count) {
        const kv_status_t status = grow_list(db);
        if (status != KV_OK) {
            return status;
        }
        db->keyspaces[db->keyspace_count++] = NULL;
    }
    return KV_OK;
}

kv_status_t kvi_db_create_keyspace(kvi_db_t *db, kv_slice_t name, uint32_t wanted,
                                   const kvi_attributes_t *attributes, uint32_t *number)
{
    kv_status_t status = check_name(db, name);
    size_t place = 0;
    if (status == KV_OK) {
        status = find_place(db, wanted, &place);
    }
    if (status == KV_OK) {
        status = kvi_keyspace_open(db, name, attributes, &db->keyspaces[place]);
    }
    if (status != KV_OK) {
        return status;
    }
    db->keyspaces[place]->number = (uint32_t)place;
    db->had_named = true;
    *number = (uint32_t)place;
    db->changes++;
    return KV_OK;
}

kv_status_t kvi_db_drop_keyspace(kvi_db_t *db, uint32_t number)
{
    if (number < db->keyspaces_fixed || kvi_db_keyspace(db, number) == NULL) {
        return KV_INVALID;
    }
    db->expired_before += db->keyspaces[number]->expired;
    db->evicted_before += db->keyspaces[number]->evicted;
    kvi_keyspace_release(db->keyspaces[number]);
    db->keyspaces[number] = NULL;
    while (db->keyspace_count > db->keyspaces_fixed &&
           db->keyspaces[db->keyspace_count - 1] == NULL) {
        db->keyspace_count--;
    }
    db->changes++;
    return KV_OK;
}

kv_status_t kvi_db_swap(kvi_db_t *db, size_t first, size_t second)
{
    kvi_keyspace_t *const a = kvi_db_keyspace(db, first);
    kvi_keyspace_t *const b = kvi_db_keyspace(db, second);
    if (a == NULL || b == NULL) {
        return KV_INVALID;
    }
    /* Content changes places, not the structs: clients hold their addresses. */
    const kvi_keyspace_t old = *a;
    a->content = b->content;
    a->account = b->account;
    a->attributes = b->attributes;
    a->limits_deadlines = b->limits_deadlines;
    a->counts_uses = b->counts_uses;
    a->expired = b->expired;
    a->evicted = b->evicted;
    a->candidates = b->candidates;
    a->conversion = b->conversion;
    b->content = old.content;
    b->account = old.account;
    b->attributes = old.attributes;
    b->limits_deadlines = old.limits_deadlines;
    b->counts_uses = old.counts_uses;
    b->expired = old.expired;
    b->evicted = old.evicted;
    b->candidates = old.candidates;
    b->conversion = old.conversion;
    db->changes += a != b;
    return KV_OK;
}

/* ---- memory, time, counts ---- */

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
    uint64_t expired = db->expired_before;
    for (size_t i = 0; i < db->keyspace_count; i++) {
        expired += db->keyspaces[i] != NULL ? kvi_keyspace_expired(db->keyspaces[i]) : 0;
    }
    return expired;
}

uint64_t kvi_db_evicted(kvi_db_t *db)
{
    uint64_t evicted = db->evicted_before;
    for (size_t i = 0; i < db->keyspace_count; i++) {
        evicted += db->keyspaces[i] != NULL ? kvi_keyspace_evicted(db->keyspaces[i]) : 0;
    }
    return evicted;
}

void kvi_db_set_eviction(kvi_db_t *db, kvi_eviction_t eviction)
{
    db->eviction = eviction != KVI_EVICT_DEFAULT ? eviction : KVI_EVICT_NONE;
    for (size_t i = 0; i < db->keyspace_count; i++) {
        if (db->keyspaces[i] != NULL) {
            kvi_keyspace_set_attributes(db->keyspaces[i], &db->keyspaces[i]->attributes);
        }
    }
}

kvi_eviction_t kvi_db_eviction(const kvi_db_t *db)
{
    return db->eviction;
}

void kvi_db_count_lag(kvi_db_t *db, int64_t lag_ms)
{
    size_t bucket = 0;
    for (uint64_t rest = lag_ms > 0 ? (uint64_t)lag_ms : 0; rest > 0; rest >>= 1) {
        bucket++;
    }
    db->lags[bucket < KVI_LAG_BUCKETS ? bucket : KVI_LAG_BUCKETS - 1]++;
}

const uint64_t *kvi_db_lags(const kvi_db_t *db)
{
    return db->lags;
}
