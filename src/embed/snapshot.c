/* SPDX-License-Identifier: MIT */
/*
 * Snapshots to read from. Each is an observer that keeps the old record of an entry aside before
 * its first change; readers look there first and else into the content as it was held.
 *
 *   key ──► side table?  record of then, or "was not there"
 *             └─ no ──► held content: not changed since
 *
 * Thread rule: the side table is written in the closed gate and read within it.
 */
#include "embed/embed_int.h"

#include "base/bytes.h"

#define SHORT_KEY_BYTES ((size_t)256)

size_t kvi_snapshot_place(const kv_snapshot_t *snapshot, const kvi_keyspace_t *keyspace)
{
    size_t place = 0;
    while (place < snapshot->count && snapshot->places[place].keyspace != keyspace) {
        place++;
    }
    return place;
}

void kvi_side_prefix(size_t place, char prefix[KVI_SIDE_PREFIX_BYTES])
{
    for (size_t i = 0; i < KVI_SIDE_PREFIX_BYTES; i++) {
        prefix[i] = (char)(place >> (8 * (KVI_SIDE_PREFIX_BYTES - 1 - i)));
    }
}

/* A key of the side table. Long ones take memory. */
typedef struct side_key {
    char space[KVI_SIDE_PREFIX_BYTES + KVI_SIDE_ORDER_BYTES + SHORT_KEY_BYTES];
    char *bytes; /* NULL: KV_NO_MEMORY */
    size_t size;
} side_key_t;

static void make_key(side_key_t *made, size_t place, kv_slice_t key)
{
    made->size = KVI_SIDE_PREFIX_BYTES + key.size;
    made->bytes = made->size <= sizeof(made->space) ? made->space : kv_store_malloc(made->size);
    if (made->bytes != NULL) {
        kvi_side_prefix(place, made->bytes);
        kvi_bytes_copy(made->bytes + KVI_SIDE_PREFIX_BYTES, key.data, key.size);
    }
}

/* The same of the order of scans. */
static void make_order_key(side_key_t *made, size_t place, uint64_t order, kv_slice_t key)
{
    const size_t head = KVI_SIDE_PREFIX_BYTES + KVI_SIDE_ORDER_BYTES;
    made->size = head + key.size;
    made->bytes = made->size <= sizeof(made->space) ? made->space : kv_store_malloc(made->size);
    if (made->bytes != NULL) {
        kvi_side_prefix(KVI_SIDE_ORDER | place, made->bytes);
        for (size_t i = KVI_SIDE_PREFIX_BYTES; i < head; i++) {
            made->bytes[i] = (char)(order >> (8 * (head - 1 - i)));
        }
        kvi_bytes_copy(made->bytes + head, key.data, key.size);
    }
}

static void free_key(side_key_t *made)
{
    if (made->bytes != made->space) {
        kv_store_free(made->bytes);
    }
}

/* Notes where scans meet the key, if they have an order of their own. */
static kv_status_t keep_order(const kv_snapshot_t *snapshot, size_t place, kv_slice_t key)
{
    const kvi_content_t *const content = snapshot->places[place].content;
    const kvi_scan_order_t *const order = kvi_scan_order(content->row);
    kv_engine_t *const side = snapshot->side;
    side_key_t made;
    if (order == NULL) {
        return KV_OK;
    }
    make_order_key(&made, place, order->place_of(content->engine, key), key);
    if (made.bytes == NULL) {
        return KV_NO_MEMORY;
    }
    const kv_slice_t nothing = {"", 0};
    const kv_status_t status = side->ops->put(side, (kv_slice_t){made.bytes, made.size}, nothing);
    free_key(&made);
    return status;
}

static void keep(kv_snapshot_t *snapshot, size_t at, const side_key_t *made, kv_slice_t record)
{
    kv_engine_t *const side = snapshot->side;
    const kv_slice_t key = {made->bytes, made->size};
    kv_slice_t kept;
    char *place;
    if (side->ops->get(side, key, &kept) == KV_OK) {
        return;
    }
    kv_status_t status = KV_OK;
    if (record.data != NULL) {
        const kv_slice_t own = {made->bytes + KVI_SIDE_PREFIX_BYTES,
                                made->size - KVI_SIDE_PREFIX_BYTES};
        status = keep_order(snapshot, at, own);
    }
    status = status != KV_OK ? status : side->ops->place(side, key, 1 + record.size, 0, &place);
    if (status != KV_OK) {
        snapshot->status = status;
        return;
    }
    place[0] = record.data != NULL ? KVI_SIDE_RECORD : KVI_SIDE_ABSENT;
    kvi_bytes_copy(place + 1, record.data, record.size);
}

static void before_change(kvi_observer_t *observer, kvi_content_t *content, kv_slice_t key,
                          kv_slice_t record)
{
    kv_snapshot_t *const snapshot = (kv_snapshot_t *)observer;
    size_t place = 0;
    while (place < snapshot->count && snapshot->places[place].content != content) {
        place++;
    }
    if (place == snapshot->count || snapshot->status != KV_OK) {
        return; /* a content made since */
    }
    side_key_t made;
    make_key(&made, place, key);
    if (made.bytes != NULL) {
        keep(snapshot, place, &made, record);
        free_key(&made);
    } else {
        snapshot->status = KV_NO_MEMORY;
    }
}

/* In the closed gate. */
static void hold_all(kv_snapshot_t *snapshot, kvi_db_t *data)
{
    for (size_t i = 0; i < kvi_db_keyspaces(data); i++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(data, i);
        if (keyspace != NULL) {
            keyspace->users++;
            snapshot->places[snapshot->count].keyspace = keyspace;
            snapshot->places[snapshot->count].content = kvi_content_hold(keyspace);
            snapshot->count++;
        }
    }
}

kv_status_t kv_snapshot_take(kv_db_t *db, kv_snapshot_t **snapshot)
{
    if (db == NULL || snapshot == NULL) {
        return KV_INVALID;
    }
    kvi_embed_begin(db);
    const size_t places = kvi_db_keyspaces(db->data);
    kv_snapshot_t *const taken =
        kv_store_calloc(1, sizeof(*taken) + places * sizeof(taken->places[0]));
    const kv_engine_options_t options = {.name = "snapshot"};
    if (taken == NULL || kv_engine_open("bptree", &options, &taken->side) != KV_OK) {
        kvi_gate_open(&db->gate);
        kv_store_free(taken);
        return KV_NO_MEMORY;
    }
    taken->db = db;
    taken->observer.before_change = before_change;
    const int64_t now_ms = kvi_embed_now(db);
    taken->now_ms = now_ms > kvi_db_time(db->data) ? now_ms : kvi_db_time(db->data);
    hold_all(taken, db->data);
    kvi_db_observe(db->data, &taken->observer);
    kvi_gate_open(&db->gate);
    *snapshot = taken;
    return KV_OK;
}

void kv_snapshot_release(kv_snapshot_t *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    kv_db_t *const db = snapshot->db;
    kvi_embed_begin(db);
    kvi_db_unobserve(db->data, &snapshot->observer);
    for (size_t i = 0; i < snapshot->count; i++) {
        kvi_content_release(snapshot->places[i].content);
        kvi_keyspace_release(snapshot->places[i].keyspace);
    }
    kvi_gate_open(&db->gate);
    snapshot->side->ops->close(snapshot->side);
    kv_store_free(snapshot);
}

kv_status_t kvi_side_find(const kv_snapshot_t *snapshot, size_t place, kv_slice_t key,
                          kv_slice_t *kept)
{
    kv_engine_t *const side = snapshot->side;
    side_key_t made;
    make_key(&made, place, key);
    if (made.bytes == NULL) {
        return KV_NO_MEMORY;
    }
    const kv_status_t status = side->ops->get(side, (kv_slice_t){made.bytes, made.size}, kept);
    free_key(&made);
    return status;
}

/* The record of then, borrowed. */
static kv_status_t find(const kv_snapshot_t *snapshot, size_t place, kv_slice_t key,
                        kv_slice_t *record)
{
    kv_engine_t *const engine = snapshot->places[place].content->engine;
    kv_slice_t kept;
    kv_status_t status = kvi_side_find(snapshot, place, key, &kept);
    if (status == KV_NOT_FOUND) {
        status = engine->ops->get(engine, key, record);
    } else if (status == KV_OK && kept.data[0] == KVI_SIDE_RECORD) {
        *record = (kv_slice_t){kept.data + 1, kept.size - 1};
    } else if (status == KV_OK) {
        status = KV_NOT_FOUND;
    }
    if (status == KV_OK && kvi_record_is_late(record->data, snapshot->now_ms)) {
        status = KV_NOT_FOUND;
    }
    return status;
}

kv_status_t kv_snapshot_get(kv_snapshot_t *snapshot, kv_keyspace_t *keyspace, kv_slice_t key,
                            kv_value_t *value)
{
    if (snapshot == NULL || keyspace == NULL || value == NULL || keyspace->db != snapshot->db) {
        return KV_INVALID;
    }
    const size_t place = kvi_snapshot_place(snapshot, keyspace->data);
    if (place == snapshot->count || snapshot->places[place].content == NULL) {
        return KV_NOT_FOUND;
    }
    const unsigned lane = kvi_gate_enter(&snapshot->db->gate);
    kv_slice_t record;
    kv_status_t status = snapshot->status;
    status = status != KV_OK ? status : find(snapshot, place, key, &record);
    status = status != KV_OK ? status : kvi_embed_copy(record, value);
    kvi_gate_leave(&snapshot->db->gate, lane);
    return status;
}

size_t kv_snapshot_bytes(kv_snapshot_t *snapshot)
{
    if (snapshot == NULL) {
        return 0;
    }
    kv_engine_memory_t memory;
    kvi_gate_close(&snapshot->db->gate);
    const kv_status_t status = snapshot->side->ops->memory(snapshot->side, &memory);
    kvi_gate_open(&snapshot->db->gate);
    return status == KV_OK ? memory.total_bytes : 0;
}
