/* SPDX-License-Identifier: MIT */
/* Single entries: gets side by side within the gate, changes one by one. */
#include <string.h>

#include "base/bytes.h"
#include "embed/embed_int.h"

#define GROUP ((size_t)64)

struct kv_pin {
    kv_db_t *db;
    unsigned lane;
};

/* ---- copies ---- */

static kv_status_t reserve(kv_value_t *value, size_t size)
{
    if (value->data != NULL && size <= value->capacity) {
        return KV_OK;
    }
    const size_t capacity = size < 32 ? 32 : size;
    char *const data = kv_store_realloc(value->data, capacity);
    if (data == NULL) {
        return KV_NO_MEMORY;
    }
    value->data = data;
    value->capacity = capacity;
    return KV_OK;
}

kv_status_t kvi_embed_copy(kv_slice_t record, kv_value_t *value)
{
    const kv_slice_t bytes = kvi_record_value(record);
    const kv_status_t status = reserve(value, bytes.size);
    if (status != KV_OK) {
        return status;
    }
    kvi_bytes_copy(value->data, bytes.data, bytes.size);
    value->size = bytes.size;
    value->deadline_ms = kvi_record_deadline(record.data);
    value->version = kvi_record_version(record);
    return KV_OK;
}

void kv_value_free(kv_value_t *value)
{
    if (value != NULL) {
        kv_store_free(value->data);
        *value = (kv_value_t){0};
    }
}

/* ---- reading ---- */

/* Eviction may want to know of the access. The random number is one that no two readers share. */
static void note_access(const kv_keyspace_t *keyspace, kv_slice_t record, int64_t now_ms)
{
    const kvi_keyspace_t *const data = keyspace->data;
    if (kvi_keyspace_notes_accesses(data)) {
        const uint64_t number = data->counts_uses ? kvi_os_monotonic_ns() : 0;
        kvi_keyspace_note_access(data, record, now_ms, number ^ (uintptr_t)record.data);
    }
}

/* Within the gate. */
static kv_status_t find(const kv_keyspace_t *keyspace, kv_slice_t key, kv_slice_t *record)
{
    if (!kvi_embed_is_there(keyspace)) {
        return KV_INVALID;
    }
    const int64_t now_ms = kvi_embed_now(keyspace->db);
    const kv_status_t status = kvi_keyspace_peek(keyspace->data, key, now_ms, record);
    if (status == KV_OK) {
        note_access(keyspace, *record, now_ms);
    }
    return status;
}

kv_status_t kv_keyspace_get(kv_keyspace_t *keyspace, kv_slice_t key, kv_value_t *value)
{
    if (keyspace == NULL || value == NULL) {
        return KV_INVALID;
    }
    const unsigned lane = kvi_gate_enter(&keyspace->db->gate);
    kv_slice_t record;
    kv_status_t status = find(keyspace, key, &record);
    if (status == KV_OK) {
        status = kvi_embed_copy(record, value);
    }
    kvi_gate_leave(&keyspace->db->gate, lane);
    return status;
}

static kv_status_t copy_group(size_t count, const kv_slice_t *records, kv_value_t *values,
                              kv_status_t *statuses)
{
    kv_status_t status = KV_OK;
    for (size_t i = 0; i < count; i++) {
        statuses[i] =
            records[i].data == NULL ? KV_NOT_FOUND : kvi_embed_copy(records[i], &values[i]);
        status = statuses[i] == KV_NO_MEMORY ? KV_NO_MEMORY : status;
    }
    return status;
}

kv_status_t kv_keyspace_get_many(kv_keyspace_t *keyspace, size_t count, const kv_slice_t *keys,
                                 kv_value_t *values, kv_status_t *statuses)
{
    if (keyspace == NULL || (count > 0 && (keys == NULL || values == NULL || statuses == NULL))) {
        return KV_INVALID;
    }
    const unsigned lane = kvi_gate_enter(&keyspace->db->gate);
    const int64_t now_ms = kvi_embed_now(keyspace->db);
    kv_status_t status = kvi_embed_is_there(keyspace) ? KV_OK : KV_INVALID;
    for (size_t done = 0; done < count && status != KV_INVALID; done += GROUP) {
        const size_t group = count - done < GROUP ? count - done : GROUP;
        kv_slice_t records[GROUP];
        kvi_keyspace_peek_many(keyspace->data, group, keys + done, now_ms, records);
        for (size_t i = 0; i < group; i++) {
            if (records[i].data != NULL) {
                note_access(keyspace, records[i], now_ms);
            }
        }
        const kv_status_t copied = copy_group(group, records, values + done, statuses + done);
        status = copied != KV_OK ? copied : status;
    }
    kvi_gate_leave(&keyspace->db->gate, lane);
    return status;
}

kv_status_t kv_keyspace_pin(kv_keyspace_t *keyspace, kv_slice_t key, kv_slice_t *value,
                            kv_pin_t **pin)
{
    if (keyspace == NULL || value == NULL || pin == NULL) {
        return KV_INVALID;
    }
    kv_pin_t *const pinned = kv_store_malloc(sizeof(*pinned));
    if (pinned == NULL) {
        return KV_NO_MEMORY;
    }
    *pinned = (kv_pin_t){.db = keyspace->db, .lane = kvi_gate_enter(&keyspace->db->gate)};
    kv_slice_t record;
    const kv_status_t status = find(keyspace, key, &record);
    if (status != KV_OK) {
        kv_keyspace_unpin(pinned);
        return status;
    }
    *value = kvi_record_value(record);
    *pin = pinned;
    return KV_OK;
}

void kv_keyspace_unpin(kv_pin_t *pin)
{
    if (pin != NULL) {
        kvi_gate_leave(&pin->db->gate, pin->lane);
        kv_store_free(pin);
    }
}

/* ---- changing ---- */

kv_status_t kvi_embed_put_op(const kv_db_t *db, kv_slice_t key, kv_slice_t value,
                             const kv_put_options_t *options, kvi_op_t *op)
{
    static const kv_put_options_t plain = {.condition = KV_PUT_ALWAYS};
    static const kvi_put_condition_t conditions[] = {[KV_PUT_ALWAYS] = KVI_PUT_ALWAYS,
                                                     [KV_PUT_IF_ABSENT] = KVI_PUT_IF_ABSENT,
                                                     [KV_PUT_IF_PRESENT] = KVI_PUT_IF_PRESENT,
                                                     [KV_PUT_IF_EQUALS] = KVI_PUT_IF_VERSION,
                                                     [KV_PUT_IF_VERSION] = KVI_PUT_IF_VERSION};
    options = options != NULL ? options : &plain;
    if (options->condition < KV_PUT_ALWAYS || options->condition > KV_PUT_IF_VERSION ||
        options->ttl_ms < 0 || (options->ttl_ms > 0 && options->keep_deadline)) {
        return KV_INVALID;
    }
    if (value.size > KVI_DB_VALUE_BYTES_MAX || key.size > KV_KEY_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    *op = (kvi_op_t){.kind = KVI_OP_PUT,
                     .key = key,
                     .value = value,
                     .condition = conditions[options->condition],
                     .keep_deadline = options->keep_deadline,
                     .deadline_ms = KVI_NO_DEADLINE,
                     .version = options->version};
    if (options->ttl_ms > 0) {
        op->deadline_ms = kvi_deadline_after(kvi_embed_now(db), options->ttl_ms);
    }
    return KV_OK;
}

/* "Equals" becomes "has the version that it has now": what was compared is what is replaced. */
static kv_status_t put_if_equals(kv_keyspace_t *keyspace, kvi_op_t *op, kv_slice_t expected)
{
    kv_db_t *const db = keyspace->db;
    kvi_embed_begin(db);
    kvi_op_result_t result = {.status = KV_INVALID};
    if (kvi_embed_is_there(keyspace)) {
        kv_slice_t record;
        const int64_t now_ms = kvi_embed_now(db);
        result.status = KV_CONFLICT;
        if (kvi_keyspace_peek(keyspace->data, op->key, now_ms, &record) == KV_OK &&
            kvi_slice_equal(kvi_record_value(record), expected)) {
            op->keyspace = keyspace->data->number;
            op->version = kvi_record_version(record);
            kvi_db_submit(db->data, op, now_ms, &db->submitter, &result);
        }
    }
    return kvi_embed_end(db, result.status);
}

kv_status_t kv_keyspace_put(kv_keyspace_t *keyspace, kv_slice_t key, kv_slice_t value,
                            const kv_put_options_t *options)
{
    kvi_op_t op;
    if (keyspace == NULL) {
        return KV_INVALID;
    }
    const kv_status_t status = kvi_embed_put_op(keyspace->db, key, value, options, &op);
    if (status != KV_OK) {
        return status;
    }
    if (options != NULL && options->condition == KV_PUT_IF_EQUALS) {
        kv_status_t put;
        do {
            put = put_if_equals(keyspace, &op, options->expected);
        } while (put == KV_BUSY);
        return put;
    }
    kvi_op_result_t result;
    return kvi_embed_run(keyspace, &op, &result);
}

kv_status_t kv_keyspace_delete(kv_keyspace_t *keyspace, kv_slice_t key)
{
    kvi_op_t op = {.kind = KVI_OP_DELETE, .key = key};
    kvi_op_result_t result;
    return keyspace != NULL ? kvi_embed_run(keyspace, &op, &result) : KV_INVALID;
}

kv_status_t kv_keyspace_delete_range(kv_keyspace_t *keyspace, const kv_range_t *range,
                                     uint64_t *deleted)
{
    if (keyspace == NULL || range == NULL) {
        return KV_INVALID;
    }
    kvi_op_t op = {.kind = KVI_OP_DELETE_RANGE, .range = range};
    kvi_op_result_t result;
    const kv_status_t status = kvi_embed_run(keyspace, &op, &result);
    if (deleted != NULL) {
        *deleted = result.status == KV_OK ? result.count : 0;
    }
    return status;
}

kv_status_t kv_keyspace_add(kv_keyspace_t *keyspace, kv_slice_t key, int64_t delta, int64_t *sum)
{
    if (keyspace == NULL || sum == NULL) {
        return KV_INVALID;
    }
    kvi_op_t op = {.kind = KVI_OP_ADD, .key = key, .delta = delta};
    kvi_op_result_t result;
    const kv_status_t status = kvi_embed_run(keyspace, &op, &result);
    if (result.status == KV_OK) {
        *sum = result.sum;
    }
    return status;
}

kv_status_t kv_keyspace_append(kv_keyspace_t *keyspace, kv_slice_t key, kv_slice_t tail,
                               size_t *new_size)
{
    if (keyspace == NULL) {
        return KV_INVALID;
    }
    kvi_op_t op = {.kind = KVI_OP_APPEND, .key = key, .value = tail};
    kvi_op_result_t result;
    const kv_status_t status = kvi_embed_run(keyspace, &op, &result);
    if (result.status == KV_OK && new_size != NULL) {
        *new_size = result.size;
    }
    return status;
}

kv_status_t kv_keyspace_set_deadline(kv_keyspace_t *keyspace, kv_slice_t key, int64_t deadline_ms)
{
    kvi_op_t op = {.kind = KVI_OP_SET_DEADLINE, .key = key, .deadline_ms = deadline_ms};
    kvi_op_result_t result;
    return keyspace != NULL ? kvi_embed_run(keyspace, &op, &result) : KV_INVALID;
}
