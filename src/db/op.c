/* SPDX-License-Identifier: MIT */
/*
 * Operations: a table from kinds to the functions of keyspaces that carry them out. Whether data
 * changed is read off the database's count of changes, so that no function has to say it twice.
 *
 * Thread rule: one user at a time, as the database's.
 */
#include "db/op.h"

#include "base/long_double.h"
#include "db/attributes.h"
#include "db/db_int.h"

/* What an operation works on: the keyspaces that its numbers mean. */
typedef struct target {
    kvi_db_t *db;
    kvi_keyspace_t *keyspace;
    kvi_keyspace_t *to; /* NULL for kinds with one keyspace */
    int64_t now_ms;
} target_t;

typedef kv_status_t (*apply_fn)(const target_t *target, const kvi_op_t *op,
                                kvi_op_result_t *result);

static kv_status_t apply_put(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    (void)result;
    const kvi_put_options_t options = {.condition = op->condition,
                                       .keep_deadline = op->keep_deadline,
                                       .form = op->form,
                                       .deadline_ms = op->deadline_ms,
                                       .version = op->version};
    return kvi_keyspace_put(target->keyspace, op->key, op->value, target->now_ms, &options);
}

static kv_status_t apply_delete(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    (void)result;
    return kvi_keyspace_delete(target->keyspace, op->key, target->now_ms);
}

static kv_status_t apply_append(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    return kvi_keyspace_append(target->keyspace, op->key, op->value, target->now_ms, &result->size);
}

static kv_status_t apply_write_at(const target_t *target, const kvi_op_t *op,
                                  kvi_op_result_t *result)
{
    return kvi_keyspace_write_at(target->keyspace, op->key, op->offset, op->value, target->now_ms,
                                 &result->size);
}

static kv_status_t apply_add(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    return kvi_keyspace_add(target->keyspace, op->key, op->delta, target->now_ms, &result->sum);
}

static kv_status_t apply_add_float(const target_t *target, const kvi_op_t *op,
                                   kvi_op_result_t *result)
{
    long double delta;
    if (!kvi_long_double_parse(op->value, &delta)) {
        return KV_NOT_NUMBER;
    }
    return kvi_keyspace_add_float(target->keyspace, op->key, delta, target->now_ms, &result->value);
}

static kv_status_t apply_set_deadline(const target_t *target, const kvi_op_t *op,
                                      kvi_op_result_t *result)
{
    (void)result;
    return kvi_keyspace_set_deadline(target->keyspace, op->key, op->deadline_ms, target->now_ms);
}

static kv_status_t apply_copy(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    (void)result;
    return kvi_keyspace_copy(target->keyspace, op->key, target->to, op->value, op->replace,
                             target->now_ms);
}

static kv_status_t apply_rename(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    (void)result;
    return kvi_keyspace_rename(target->keyspace, op->key, target->to, op->value, op->replace,
                               target->now_ms);
}

static kv_status_t apply_delete_range(const target_t *target, const kvi_op_t *op,
                                      kvi_op_result_t *result)
{
    static const kv_range_t everything = {{KV_BOUND_NONE, {NULL, 0}}, {KV_BOUND_NONE, {NULL, 0}}};
    return kvi_keyspace_delete_range(target->keyspace, op->range != NULL ? op->range : &everything,
                                     target->now_ms, &result->count);
}

static kv_status_t apply_expire(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    const size_t steps = op->count < SIZE_MAX ? (size_t)op->count : SIZE_MAX;
    result->count = kvi_keyspace_expire(target->keyspace, target->now_ms, steps);
    /* Late entries met by other operations go unlogged, since nobody sees them; these steps are
     * logged, so that a log that is read back holds no more than the database did. */
    target->db->changes += result->count;
    return KV_OK;
}

static kv_status_t apply_clear(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    (void)op;
    (void)result;
    return kvi_keyspace_clear(target->keyspace);
}

static kv_status_t apply_swap(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    (void)result;
    return kvi_db_swap(target->db, op->keyspace, op->to_keyspace);
}

static kv_status_t apply_create(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    kvi_attributes_t attributes = {0};
    const kv_status_t status = kvi_attributes_decode(op->value, &attributes);
    return status != KV_OK ? status
                           : kvi_db_create_keyspace(target->db, op->key, op->keyspace, &attributes,
                                                    &result->keyspace);
}

static kv_status_t apply_drop(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    (void)result;
    return kvi_db_drop_keyspace(target->db, op->keyspace);
}

static kv_status_t apply_set(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    (void)result;
    kvi_attributes_t attributes = target->keyspace->attributes;
    const kv_status_t status = kvi_attributes_decode(op->value, &attributes);
    if (status == KV_OK) {
        kvi_keyspace_set_attributes(target->keyspace, &attributes);
        target->db->changes++;
    }
    return status;
}

static kv_status_t apply_guard(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    (void)result;
    const uint64_t version = kvi_keyspace_version(target->keyspace, op->key, target->now_ms);
    return version == op->version ? KV_OK : KV_CONFLICT;
}

static kv_status_t apply_read(const target_t *target, const kvi_op_t *op, kvi_op_result_t *result)
{
    kvi_entry_t entry;
    const kv_status_t status =
        kvi_keyspace_get(target->keyspace, op->key, target->now_ms, true, &entry);
    if (status == KV_OK) {
        result->value = entry.value;
    }
    return status;
}

typedef enum needs { NO_KEYSPACE, ONE_KEYSPACE, TWO_KEYSPACES } needs_t;

static const struct row {
    apply_fn apply;
    needs_t needs;
} rows[KVI_OP_KIND_END] = {
    [KVI_OP_PUT] = {apply_put, ONE_KEYSPACE},
    [KVI_OP_DELETE] = {apply_delete, ONE_KEYSPACE},
    [KVI_OP_APPEND] = {apply_append, ONE_KEYSPACE},
    [KVI_OP_WRITE_AT] = {apply_write_at, ONE_KEYSPACE},
    [KVI_OP_ADD] = {apply_add, ONE_KEYSPACE},
    [KVI_OP_ADD_FLOAT] = {apply_add_float, ONE_KEYSPACE},
    [KVI_OP_SET_DEADLINE] = {apply_set_deadline, ONE_KEYSPACE},
    [KVI_OP_COPY] = {apply_copy, TWO_KEYSPACES},
    [KVI_OP_RENAME] = {apply_rename, TWO_KEYSPACES},
    [KVI_OP_DELETE_RANGE] = {apply_delete_range, ONE_KEYSPACE},
    [KVI_OP_EXPIRE] = {apply_expire, ONE_KEYSPACE},
    [KVI_OP_CLEAR] = {apply_clear, ONE_KEYSPACE},
    [KVI_OP_SWAP] = {apply_swap, TWO_KEYSPACES},
    [KVI_OP_KEYSPACE_CREATE] = {apply_create, NO_KEYSPACE},
    [KVI_OP_KEYSPACE_DROP] = {apply_drop, ONE_KEYSPACE},
    [KVI_OP_KEYSPACE_SET] = {apply_set, ONE_KEYSPACE},
    [KVI_OP_GUARD] = {apply_guard, ONE_KEYSPACE},
    [KVI_OP_READ] = {apply_read, ONE_KEYSPACE},
};

/* Which limit refused the memory: the keyspace's quota, if it is the nearer one. */
static kv_status_t name_refusal(const kvi_keyspace_t *keyspace)
{
    const size_t quota = keyspace->attributes.quota_bytes;
    if (quota == 0) {
        return KV_NO_MEMORY;
    }
    const size_t used = kv_budget_used(keyspace->account->budget);
    const size_t left = quota > used ? quota - used : 0;
    const size_t limit = kvi_db_memory_limit(keyspace->db);
    const size_t all_used = kvi_db_memory_used(keyspace->db);
    const size_t all_left = limit > all_used ? limit - all_used : 0;
    return limit == 0 || left <= all_left ? KV_QUOTA : KV_NO_MEMORY;
}

/* kvi_db_keyspace, inline in the path of every operation. */
static inline kvi_keyspace_t *find(const kvi_db_t *db, uint32_t number)
{
    return number < db->keyspace_count ? db->keyspaces[number] : NULL;
}

void kvi_db_apply_op(kvi_db_t *db, const kvi_op_t *op, int64_t now_ms, kvi_op_result_t *result)
{
    *result = (kvi_op_result_t){.status = KV_INVALID};
    if (now_ms > db->time_ms) {
        db->time_ms = now_ms;
    }
    if ((unsigned)op->kind >= KVI_OP_KIND_END || rows[op->kind].apply == NULL) {
        return;
    }
    const struct row *const row = &rows[op->kind];
    target_t target = {.db = db, .keyspace = find(db, op->keyspace), .now_ms = db->time_ms};
    if (row->needs == TWO_KEYSPACES) {
        target.to = find(db, op->to_keyspace);
    }
    if ((target.keyspace == NULL && row->needs != NO_KEYSPACE) ||
        (target.to == NULL && row->needs == TWO_KEYSPACES)) {
        return;
    }
    const uint64_t changes = db->changes;
    result->status = row->apply(&target, op, result);
    result->changed = db->changes != changes;
    if (result->status == KV_NO_MEMORY && row->needs != NO_KEYSPACE) {
        result->status = name_refusal(target.to != NULL ? target.to : target.keyspace);
    }
}
