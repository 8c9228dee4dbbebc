/* SPDX-License-Identifier: MIT */
/*
 * Changes of transactions that go on from what is there: appending and adding. The first one of a
 * key reads it for update, so nobody else can change it until the commit; what is written then is
 * the new value, with the deadline of the old one.
 */
#include "base/bytes.h"
#include "base/decimal.h"
#include "embed/transaction_int.h"

/* What the transaction sees under the key: its own change, or the entry, which is guarded then. */
typedef struct base {
    change_t *own; /* NULL: it has none, or what it has is late */
    kv_value_t copy;
    change_t next; /* the change to come, but for its value */
    kv_slice_t value;
    bool there;
} base_t;

static kv_status_t read_entry(kv_transaction_t *transaction, base_t *base)
{
    const kv_status_t status = kv_transaction_get_for_update(transaction, base->next.keyspace,
                                                             base->next.key, &base->copy);
    if (status == KV_OK) {
        base->there = true;
        base->value = (kv_slice_t){base->copy.data, base->copy.size};
        base->next.deadline_ms = base->copy.deadline_ms;
        base->next.keeps_deadline = true;
    }
    return status != KV_NOT_FOUND ? status : KV_OK;
}

static kv_status_t read_base(kv_transaction_t *transaction, kv_keyspace_t *keyspace, kv_slice_t key,
                             base_t *base)
{
    *base = (base_t){.next = {.keyspace = keyspace, .key = key, .deadline_ms = KV_NO_DEADLINE}};
    if (transaction == NULL || keyspace == NULL || keyspace->db != transaction->db) {
        return KV_INVALID;
    }
    kv_status_t status;
    change_t *const own = kvi_transaction_change(transaction, keyspace, key, &status);
    if (status != KV_OK) {
        return status;
    }
    if (own == NULL) {
        return read_entry(transaction, base);
    }
    if (kvi_transaction_shows(transaction, own)) {
        base->there = true;
        base->own = own;
        base->value = own->value;
        base->next.deadline_ms = own->deadline_ms;
        base->next.keeps_deadline = own->keeps_deadline;
    }
    return KV_OK;
}

/* Behind the own value where it lies; false: there is no room, or a savepoint needs it as it is. */
static bool append_in_place(const kv_transaction_t *transaction, change_t *own, kv_slice_t tail)
{
    if (own == NULL || own->savepoint != kvi_transaction_savepoint(transaction) ||
        own->capacity - own->value.size < tail.size) {
        return false;
    }
    kvi_bytes_copy((char *)(uintptr_t)own->value.data + own->value.size, tail.data, tail.size);
    own->value.size += tail.size;
    own->form = KVI_FORM_RAW;
    return true;
}

/* A new change with room for as much again, so that many appends copy little. */
static kv_status_t append_anew(kv_transaction_t *transaction, base_t *base, kv_slice_t tail)
{
    const size_t size = base->value.size + tail.size;
    base->next.value = base->value;
    base->next.capacity = base->there ? 2 * size : size;
    base->next.form = base->there ? KVI_FORM_RAW : KVI_FORM_PLAIN;
    const kv_status_t status = kvi_transaction_add_change(transaction, &base->next);
    if (status == KV_OK) {
        change_t *const made = transaction->newest;
        kvi_bytes_copy((char *)(uintptr_t)made->value.data + base->value.size, tail.data,
                       tail.size);
        made->value.size = size;
    }
    return status;
}

kv_status_t kv_transaction_append(kv_transaction_t *transaction, kv_keyspace_t *keyspace,
                                  kv_slice_t key, kv_slice_t tail, size_t *new_size)
{
    base_t base;
    kv_status_t status = read_base(transaction, keyspace, key, &base);
    const size_t size = base.value.size;
    if (status == KV_OK && tail.size > KVI_DB_VALUE_BYTES_MAX - size) {
        status = KV_TOO_LARGE;
    }
    if (status == KV_OK && !append_in_place(transaction, base.own, tail)) {
        status = append_anew(transaction, &base, tail);
    }
    if (status == KV_OK && new_size != NULL) {
        *new_size = size + tail.size;
    }
    kv_value_free(&base.copy);
    return status;
}

kv_status_t kv_transaction_add(kv_transaction_t *transaction, kv_keyspace_t *keyspace,
                               kv_slice_t key, int64_t delta, int64_t *sum)
{
    base_t base;
    char text[KVI_DECIMAL_BYTES_MAX];
    int64_t number = 0;
    kv_status_t status = sum != NULL ? read_base(transaction, keyspace, key, &base) : KV_INVALID;
    if (sum == NULL) {
        return status;
    }
    if (status == KV_OK && base.there &&
        !kvi_decimal_read(base.value.data, base.value.size, &number)) {
        status = KV_NOT_NUMBER;
    } else if (status == KV_OK &&
               (delta > 0 ? number > INT64_MAX - delta : number < INT64_MIN - delta)) {
        status = KV_OVERFLOW;
    }
    if (status == KV_OK) {
        const char *const end = kvi_decimal_write_signed(text, number + delta);
        base.next.value = (kv_slice_t){text, (size_t)(end - text)};
        status = kvi_transaction_add_change(transaction, &base.next);
    }
    if (status == KV_OK) {
        *sum = number + delta;
    }
    kv_value_free(&base.copy);
    return status;
}
