/* SPDX-License-Identifier: MIT */
/*
 * Transactions: changes in an arena, found by key through an index of their own.
 *
 * transaction_int.h has the picture.
 */
#include <string.h>

#include "base/bytes.h"
#include "embed/embed_int.h"
#include "embed/transaction_int.h"

#define BLOCK_BYTES ((size_t)16384)

kv_status_t kv_transaction_begin(kv_db_t *db, kv_transaction_t **transaction)
{
    if (db == NULL || transaction == NULL) {
        return KV_INVALID;
    }
    kv_transaction_t *const begun = kv_store_calloc(1, sizeof(*begun));
    if (begun == NULL) {
        return KV_NO_MEMORY;
    }
    const kv_engine_options_t options = {.name = "transaction"};
    begun->db = db;
    begun->arena = kv_arena_create(BLOCK_BYTES);
    begun->kept = kv_arena_create(0);
    if (begun->arena == NULL || begun->kept == NULL ||
        kv_engine_open("bptree", &options, &begun->index) != KV_OK) {
        kv_transaction_rollback(begun);
        return KV_NO_MEMORY;
    }
    *transaction = begun;
    return KV_OK;
}

void kv_transaction_rollback(kv_transaction_t *transaction)
{
    if (transaction != NULL) {
        if (transaction->index != NULL) {
            transaction->index->ops->close(transaction->index);
        }
        kv_arena_destroy(transaction->arena);
        kv_arena_destroy(transaction->kept);
        kv_store_free(transaction->key);
        kv_store_free(transaction);
    }
}

/* ---- the index ---- */

static kv_status_t index_key(kv_transaction_t *transaction, const kv_keyspace_t *keyspace,
                             kv_slice_t key, kv_slice_t *made)
{
    const size_t size = KVI_SIDE_PREFIX_BYTES + key.size;
    if (size > transaction->key_capacity) {
        char *const longer = kv_store_realloc(transaction->key, size + size / 2);
        if (longer == NULL) {
            return KV_NO_MEMORY;
        }
        transaction->key = longer;
        transaction->key_capacity = size + size / 2;
    }
    kvi_side_prefix(keyspace->data->number, transaction->key);
    kvi_bytes_copy(transaction->key + KVI_SIDE_PREFIX_BYTES, key.data, key.size);
    *made = (kv_slice_t){transaction->key, size};
    return KV_OK;
}

/* The newest change of a key of the index, or NULL. */
static change_t *newest_of(const kv_transaction_t *transaction, kv_slice_t made)
{
    kv_slice_t found;
    change_t *change = NULL;
    if (transaction->index->ops->get(transaction->index, made, &found) == KV_OK) {
        memcpy(&change, found.data, sizeof(change_t *));
    }
    return change;
}

change_t *kvi_transaction_change(kv_transaction_t *transaction, const kv_keyspace_t *keyspace,
                                 kv_slice_t key, kv_status_t *status)
{
    kv_slice_t made;
    *status = index_key(transaction, keyspace, key, &made);
    return *status == KV_OK ? newest_of(transaction, made) : NULL;
}

/* ---- reading ---- */

bool kvi_transaction_shows(const kv_transaction_t *transaction, const change_t *change)
{
    return !change->deleted && (change->deadline_ms == KV_NO_DEADLINE ||
                                kvi_embed_now(transaction->db) <= change->deadline_ms);
}

static kv_status_t copy_change(const kv_transaction_t *transaction, const change_t *change,
                               kv_value_t *value)
{
    if (!kvi_transaction_shows(transaction, change)) {
        return KV_NOT_FOUND;
    }
    const size_t size = change->value.size > 0 ? change->value.size : 1;
    if (value->data == NULL || size > value->capacity) {
        char *const data = kv_store_realloc(value->data, size);
        if (data == NULL) {
            return KV_NO_MEMORY;
        }
        value->data = data;
        value->capacity = size;
    }
    kvi_bytes_copy(value->data, change->value.data, change->value.size);
    value->size = change->value.size;
    value->deadline_ms = change->deadline_ms;
    value->version = 0;
    return KV_OK;
}

/* Looks among its own changes; KV_UNSUPPORTED: there is none of this key. */
static kv_status_t get_own(kv_transaction_t *transaction, kv_keyspace_t *keyspace, kv_slice_t key,
                           kv_value_t *value)
{
    if (transaction == NULL || keyspace == NULL || value == NULL ||
        keyspace->db != transaction->db) {
        return KV_INVALID;
    }
    kv_status_t status;
    const change_t *const change = kvi_transaction_change(transaction, keyspace, key, &status);
    if (status != KV_OK) {
        return status;
    }
    return change != NULL ? copy_change(transaction, change, value) : KV_UNSUPPORTED;
}

kv_status_t kv_transaction_get(kv_transaction_t *transaction, kv_keyspace_t *keyspace,
                               kv_slice_t key, kv_value_t *value)
{
    const kv_status_t status = get_own(transaction, keyspace, key, value);
    return status != KV_UNSUPPORTED ? status : kv_keyspace_get(keyspace, key, value);
}

kv_status_t kv_transaction_get_for_update(kv_transaction_t *transaction, kv_keyspace_t *keyspace,
                                          kv_slice_t key, kv_value_t *value)
{
    kv_status_t status = get_own(transaction, keyspace, key, value);
    if (status != KV_UNSUPPORTED) {
        return status;
    }
    guard_t *const guard = kv_arena_alloc(transaction->kept, sizeof(*guard) + key.size);
    if (guard == NULL) {
        return KV_NO_MEMORY;
    }
    status = kv_keyspace_get(keyspace, key, value);
    if (status != KV_OK && status != KV_NOT_FOUND) {
        return status;
    }
    char *const bytes = (char *)(guard + 1);
    kvi_bytes_copy(bytes, key.data, key.size);
    *guard = (guard_t){.next = transaction->guards,
                       .keyspace = keyspace,
                       .key = {bytes, key.size},
                       .version = status == KV_OK ? value->version : 0};
    transaction->guards = guard;
    return status;
}

/* ---- changing ---- */

kv_status_t kvi_transaction_add_change(kv_transaction_t *transaction, const change_t *wanted)
{
    if (transaction == NULL || wanted->keyspace == NULL ||
        wanted->keyspace->db != transaction->db) {
        return KV_INVALID;
    }
    if (wanted->key.size > KV_KEY_BYTES_MAX || wanted->value.size > KVI_DB_VALUE_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    kv_slice_t made;
    kv_status_t status = index_key(transaction, wanted->keyspace, wanted->key, &made);
    if (status != KV_OK) {
        return status;
    }
    const kv_arena_mark_t mark = kv_arena_mark(transaction->arena);
    const size_t capacity =
        wanted->capacity > wanted->value.size ? wanted->capacity : wanted->value.size;
    const size_t size = sizeof(change_t) + wanted->key.size + capacity;
    change_t *const change = kv_arena_alloc(transaction->arena, size);
    if (change == NULL) {
        return KV_NO_MEMORY;
    }
    *change = *wanted;
    change->capacity = capacity;
    change->savepoint = kvi_transaction_savepoint(transaction);
    char *const bytes = (char *)(change + 1);
    kvi_bytes_copy(bytes, wanted->key.data, wanted->key.size);
    kvi_bytes_copy(bytes + wanted->key.size, wanted->value.data, wanted->value.size);
    change->key.data = bytes;
    change->value.data = bytes + wanted->key.size;
    change->older = transaction->newest;
    change->previous = newest_of(transaction, made);
    const kv_slice_t address = {(const char *)&change, sizeof(change_t *)};
    status = transaction->index->ops->put(transaction->index, made, address);
    if (status != KV_OK) {
        (void)kv_arena_rewind(transaction->arena, mark);
        return status;
    }
    transaction->newest = change;
    return KV_OK;
}

kv_status_t kv_transaction_put(kv_transaction_t *transaction, kv_keyspace_t *keyspace,
                               kv_slice_t key, kv_slice_t value, int64_t ttl_ms)
{
    if (transaction == NULL || ttl_ms < 0) {
        return KV_INVALID;
    }
    const change_t change = {
        .keyspace = keyspace,
        .key = key,
        .value = value,
        .deadline_ms = ttl_ms == 0 ? KV_NO_DEADLINE
                                   : kvi_deadline_after(kvi_embed_now(transaction->db), ttl_ms)};
    return kvi_transaction_add_change(transaction, &change);
}

kv_status_t kv_transaction_delete(kv_transaction_t *transaction, kv_keyspace_t *keyspace,
                                  kv_slice_t key)
{
    const change_t change = {
        .keyspace = keyspace, .key = key, .deadline_ms = KV_NO_DEADLINE, .deleted = true};
    return kvi_transaction_add_change(transaction, &change);
}

/* ---- savepoints ---- */

kv_status_t kv_transaction_savepoint(kv_transaction_t *transaction, uint32_t *savepoint)
{
    if (transaction == NULL || savepoint == NULL) {
        return KV_INVALID;
    }
    savepoint_t *const made = kv_arena_alloc(transaction->kept, sizeof(*made));
    if (made == NULL) {
        return KV_NO_MEMORY;
    }
    savepoint_t *const before = transaction->savepoints;
    *made = (savepoint_t){.before = before,
                          .number = before != NULL ? before->number + 1 : 1,
                          .mark = kv_arena_mark(transaction->arena),
                          .newest = transaction->newest};
    transaction->savepoints = made;
    *savepoint = made->number;
    return KV_OK;
}

/* The index entry is there and holds an address: it is written over where it lies, or deleted, so
 * that going back cannot fail. */
static void take_back(kv_transaction_t *transaction, const change_t *change)
{
    kv_engine_t *const index = transaction->index;
    kv_slice_t made;
    kv_slice_t found;
    /* The buffer was long enough for this key before. */
    (void)index_key(transaction, change->keyspace, change->key, &made);
    if (change->previous == NULL) {
        (void)index->ops->del(index, made);
    } else if (index->ops->get(index, made, &found) == KV_OK) {
        memcpy((char *)(uintptr_t)found.data, &change->previous, sizeof(change_t *));
    }
}

kv_status_t kv_transaction_rollback_to(kv_transaction_t *transaction, uint32_t savepoint)
{
    if (transaction == NULL) {
        return KV_INVALID;
    }
    savepoint_t *place = transaction->savepoints;
    while (place != NULL && place->number != savepoint) {
        place = place->before;
    }
    if (place == NULL) {
        return KV_INVALID;
    }
    for (const change_t *change = transaction->newest; change != place->newest;
         change = change->older) {
        take_back(transaction, change);
    }
    transaction->newest = place->newest;
    transaction->savepoints = place;
    return kv_arena_rewind(transaction->arena, place->mark);
}

/* ---- commit ---- */

static kv_status_t note_guards(const kv_transaction_t *transaction, kv_batch_t *batch)
{
    kv_status_t status = KV_OK;
    for (const guard_t *guard = transaction->guards; guard != NULL && status == KV_OK;
         guard = guard->next) {
        status = kv_batch_guard(batch, guard->keyspace, guard->key, guard->version);
    }
    return status;
}

/* Only the last change of a key counts, so their order does not matter. */
static kv_status_t note_changes(kv_transaction_t *transaction, kv_batch_t *batch)
{
    kv_status_t status = KV_OK;
    for (const change_t *change = transaction->newest; change != NULL && status == KV_OK;
         change = change->older) {
        kv_slice_t made;
        status = index_key(transaction, change->keyspace, change->key, &made);
        if (status == KV_OK && newest_of(transaction, made) == change) {
            kvi_op_t op = {.kind = change->deleted ? KVI_OP_DELETE : KVI_OP_PUT,
                           .key = change->key,
                           .value = change->value,
                           .keep_deadline = change->keeps_deadline,
                           .form = change->form,
                           .deadline_ms =
                               change->keeps_deadline ? KV_NO_DEADLINE : change->deadline_ms};
            status = kvi_embed_note(batch, change->keyspace, &op);
        }
    }
    return status;
}

kv_status_t kv_transaction_commit(kv_transaction_t *transaction)
{
    if (transaction == NULL) {
        return KV_INVALID;
    }
    kv_batch_t *batch;
    kv_status_t status = kv_batch_create(transaction->db, &batch);
    if (status != KV_OK) {
        return status;
    }
    status = note_guards(transaction, batch);
    status = status != KV_OK ? status : note_changes(transaction, batch);
    status = status != KV_OK ? status : kv_batch_apply(batch);
    kv_batch_destroy(batch);
    if (status == KV_OK || status == KV_CONFLICT) {
        kv_transaction_rollback(transaction);
    }
    return status;
}
