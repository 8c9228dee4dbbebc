/* SPDX-License-Identifier: MIT */
/*
 * Batches made of arbitrary bytes: they are refused, or they read back to the same bytes when they
 * are written again, and make the same of two databases with different engines. The input lies in a
 * block of exactly its size, so that a sanitizer sees every step too far.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/attributes.h"
#include "db/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEYSPACES 4
#define OFFSET_MAX 65536 /* larger values cost memory and show nothing new */
#define OPERATIONS_MAX 1000

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "fuzz_batch: %s\n", what);
        abort();
    }
}

/* Writes what was read. False: the batch is damaged, or has something that is not to be applied. */
static bool write_again(kv_slice_t bytes, kvi_batch_t *again)
{
    kvi_batch_reader_t reader;
    bool harmless = true;
    if (kvi_batch_read(bytes, &reader) != KV_OK || reader.count > OPERATIONS_MAX) {
        return false;
    }
    require(kvi_batch_begin(again, reader.time_ms, reader.flags) == KV_OK, "memory");
    kvi_op_t op;
    kv_status_t status;
    while ((status = kvi_batch_next(&reader, &op)) == KV_OK) {
        require(kvi_batch_reserve(again, kvi_op_encoded_bytes_max(&op)) == KV_OK, "memory");
        kvi_batch_append(again, &op);
        kvi_attributes_t attributes = {0};
        (void)kvi_attributes_decode(op.value, &attributes);
        harmless = harmless && op.offset < OFFSET_MAX && op.kind != KVI_OP_KEYSPACE_CREATE &&
                   op.kind != KVI_OP_KEYSPACE_SET;
    }
    if (status != KV_NOT_FOUND) {
        return false;
    }
    const kv_slice_t written = kvi_batch_bytes(again);
    require(written.size == bytes.size && memcmp(written.data, bytes.data, bytes.size) == 0,
            "another encoding of the same");
    return harmless;
}

static kvi_db_t *open_db(const char *engine)
{
    const kvi_db_options_t options = {.keyspaces = KEYSPACES, .engine = kv_engine_find(engine)};
    kvi_db_t *db = NULL;
    require(kvi_db_open(&options, &db) == KV_OK, "open");
    return db;
}

typedef struct other {
    kvi_keyspace_t *keyspace;
    int64_t now_ms;
} other_t;

static void compare_entry(void *context, kv_slice_t key, const kvi_entry_t *entry)
{
    const other_t *const other = context;
    kvi_entry_t found;
    require(kvi_keyspace_get(other->keyspace, key, other->now_ms, false, &found) == KV_OK,
            "a key is missing");
    require(found.value.size == entry->value.size && found.deadline_ms == entry->deadline_ms &&
                found.form == entry->form &&
                (found.value.size == 0 ||
                 memcmp(found.value.data, entry->value.data, found.value.size) == 0),
            "an entry is another");
}

static void compare(kvi_db_t *a, kvi_db_t *b)
{
    const int64_t now_ms = kvi_db_time(a);
    require(now_ms == kvi_db_time(b), "time");
    for (size_t i = 0; i < KEYSPACES; i++) {
        kvi_keyspace_t *const left = kvi_db_keyspace(a, i);
        other_t other = {kvi_db_keyspace(b, i), now_ms};
        (void)kvi_keyspace_expire(left, now_ms, SIZE_MAX);
        (void)kvi_keyspace_expire(other.keyspace, now_ms, SIZE_MAX);
        require(kvi_keyspace_count(left) == kvi_keyspace_count(other.keyspace), "counts");
        uint64_t token = 0;
        do {
            token = kvi_keyspace_scan(left, token, 64, now_ms, compare_entry, &other);
        } while (token != 0);
        require(kvi_keyspace_check(left) == KV_OK, "check");
        require(kvi_keyspace_check(other.keyspace) == KV_OK, "check");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *const copy = malloc(size + 1);
    require(copy != NULL, "memory");
    memcpy(copy + 1, data, size);
    const kv_slice_t bytes = {copy + 1, size};
    kvi_batch_t again = {0};
    if (write_again(bytes, &again)) {
        kvi_db_t *const a = open_db("bptree");
        kvi_db_t *const b = open_db("rbtree");
        for (int i = 0; i < 2; i++) { /* the second time upon what the first one left */
            require(kvi_db_apply(a, bytes, NULL) == kvi_db_apply(b, bytes, NULL), "statuses");
            compare(a, b);
        }
        kvi_db_close(a);
        kvi_db_close(b);
    }
    kvi_batch_close(&again);
    free(copy);
    return 0;
}
