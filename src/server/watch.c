/* SPDX-License-Identifier: MIT */
/* The table of watched keys. The picture is in watch.h. */
#include "server/watch.h"

#include <string.h>

#include <concordkv/kv_memory.h>

#include "server/client.h"
#include "server/server.h"

struct kvi_watch {
    kvi_client_t *client;
    kvi_watch_t *next_in_bucket;
    kvi_watch_t *next_of_client;
    size_t database;
    size_t key_bytes;
    bool existed; /* when WATCH came */
    char key[];
};

/* FNV-1a: few keys are watched at a time, and nobody gains by making them meet. */
static kvi_watch_t **bucket_of(kvi_server_t *server, size_t database, kv_slice_t key)
{
    uint32_t hash = UINT32_C(2166136261) ^ (uint32_t)database;
    for (size_t i = 0; i < key.size; i++) {
        hash = (hash ^ (unsigned char)key.data[i]) * UINT32_C(16777619);
    }
    return &server->watches.buckets[(hash ^ hash >> 16) % KVI_WATCH_BUCKETS];
}

static kv_slice_t key_of(const kvi_watch_t *watch)
{
    return (kv_slice_t){watch->key, watch->key_bytes};
}

static bool is_on(const kvi_watch_t *watch, size_t database, kv_slice_t key)
{
    return watch->database == database && watch->key_bytes == key.size &&
           memcmp(watch->key, key.data, key.size) == 0;
}

static bool is_there(kvi_server_t *server, size_t database, kv_slice_t key, int64_t now_ms)
{
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(server->db, database);
    kvi_entry_t entry;
    return keyspace != NULL && kvi_keyspace_get(keyspace, key, now_ms, false, &entry) == KV_OK;
}

kv_status_t kvi_watch_add(kvi_client_t *client, kv_slice_t key, int64_t now_ms)
{
    kvi_server_t *const server = client->server;
    for (const kvi_watch_t *watch = client->watches; watch != NULL; watch = watch->next_of_client) {
        if (is_on(watch, client->database, key)) {
            return KV_OK;
        }
    }
    kvi_watch_t *const watch = kv_store_malloc(sizeof *watch + key.size + 1);
    if (watch == NULL) {
        return KV_NO_MEMORY;
    }
    kvi_watch_t **const bucket = bucket_of(server, client->database, key);
    *watch = (kvi_watch_t){
        .client = client,
        .next_in_bucket = *bucket,
        .next_of_client = client->watches,
        .database = client->database,
        .key_bytes = key.size,
        .existed = is_there(server, client->database, key, now_ms),
    };
    if (key.size > 0) {
        memcpy(watch->key, key.data, key.size);
    }
    *bucket = watch;
    client->watches = watch;
    server->watches.count++;
    return KV_OK;
}

static void remove_from_bucket(kvi_server_t *server, kvi_watch_t *watch)
{
    kvi_watch_t **at = bucket_of(server, watch->database, key_of(watch));
    while (*at != watch) {
        at = &(*at)->next_in_bucket;
    }
    *at = watch->next_in_bucket;
    server->watches.count--;
}

void kvi_watch_clear(kvi_client_t *client)
{
    while (client->watches != NULL) {
        kvi_watch_t *const watch = client->watches;
        client->watches = watch->next_of_client;
        remove_from_bucket(client->server, watch);
        kv_store_free(watch);
    }
    client->touched = false;
}

size_t kvi_watch_count(const kvi_client_t *client)
{
    size_t count = 0;
    for (const kvi_watch_t *watch = client->watches; watch != NULL; watch = watch->next_of_client) {
        count++;
    }
    return count;
}

bool kvi_watch_is_broken(kvi_client_t *client, int64_t now_ms)
{
    for (const kvi_watch_t *watch = client->watches; watch != NULL && !client->touched;
         watch = watch->next_of_client) {
        client->touched =
            watch->existed && !is_there(client->server, watch->database, key_of(watch), now_ms);
    }
    return client->touched;
}

/* ---- touches ---- */

static void touch_key(kvi_server_t *server, size_t database, kv_slice_t key)
{
    kvi_watch_t *watch = *bucket_of(server, database, key);
    for (; watch != NULL; watch = watch->next_in_bucket) {
        if (is_on(watch, database, key)) {
            watch->client->touched = true;
        }
    }
}

static int compare(kv_slice_t one, kv_slice_t other)
{
    const size_t common = one.size < other.size ? one.size : other.size;
    const int order = common > 0 ? memcmp(one.data, other.data, common) : 0;
    return order != 0 ? order : (one.size > other.size) - (one.size < other.size);
}

static bool is_within(const kv_range_t *range, kv_slice_t key)
{
    if (range == NULL) {
        return true;
    }
    const int lower = range->lower.kind != KV_BOUND_NONE ? compare(key, range->lower.key) : 1;
    const int upper = range->upper.kind != KV_BOUND_NONE ? compare(key, range->upper.key) : -1;
    return (lower > 0 || (lower == 0 && range->lower.kind == KV_BOUND_INCLUDED)) &&
           (upper < 0 || (upper == 0 && range->upper.kind == KV_BOUND_INCLUDED));
}

/* Whether the operation, of a kind that concerns many keys, changes what is under this one. */
static bool concerns(kvi_server_t *server, const kvi_op_t *op, const kvi_watch_t *watch,
                     int64_t now_ms)
{
    const bool first = watch->database == op->keyspace;
    const bool second = op->kind == KVI_OP_SWAP && watch->database == op->to_keyspace;
    if (!first && !second) {
        return false;
    }
    const kv_slice_t key = key_of(watch);
    if (op->kind == KVI_OP_DELETE_RANGE && !is_within(op->range, key)) {
        return false;
    }
    return is_there(server, op->keyspace, key, now_ms) ||
           (op->kind == KVI_OP_SWAP && is_there(server, op->to_keyspace, key, now_ms));
}

void kvi_watch_before(kvi_server_t *server, const kvi_op_t *op, int64_t now_ms)
{
    if (op->kind != KVI_OP_CLEAR && op->kind != KVI_OP_SWAP && op->kind != KVI_OP_DELETE_RANGE &&
        op->kind != KVI_OP_KEYSPACE_DROP) {
        return;
    }
    for (size_t i = 0; i < KVI_WATCH_BUCKETS; i++) {
        kvi_watch_t *watch = server->watches.buckets[i];
        for (; watch != NULL; watch = watch->next_in_bucket) {
            if (!watch->client->touched && concerns(server, op, watch, now_ms)) {
                watch->client->touched = true;
            }
        }
    }
}

void kvi_watch_after(kvi_server_t *server, const kvi_op_t *op)
{
    switch (op->kind) {
    case KVI_OP_PUT:
    case KVI_OP_DELETE:
    case KVI_OP_APPEND:
    case KVI_OP_WRITE_AT:
    case KVI_OP_ADD:
    case KVI_OP_ADD_FLOAT:
    case KVI_OP_SET_DEADLINE:
        touch_key(server, op->keyspace, op->key);
        break;
    case KVI_OP_RENAME:
        touch_key(server, op->keyspace, op->key);
        touch_key(server, op->to_keyspace, op->value);
        break;
    case KVI_OP_COPY:
        touch_key(server, op->to_keyspace, op->value);
        break;
    default: /* looked at before */
        break;
    }
}
