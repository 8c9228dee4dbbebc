/* SPDX-License-Identifier: MIT */
/*
 * Everything that a database or a snapshot file says, as one sorted list that can be compared: name
 * of the keyspace, key, value, form and deadline of every entry that is not late.
 */
#ifndef KVI_TESTS_STATE_DUMP_H
#define KVI_TESTS_STATE_DUMP_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "db/db.h"
#include "log/snapshot_file.h"

typedef struct dump_line {
    char *bytes;
    size_t size;
} dump_line_t;

typedef struct dump {
    dump_line_t *lines;
    size_t count;
    size_t capacity;
    kv_slice_t keyspace; /* of the entries being added */
    int64_t now_ms;
} dump_t;

static inline void dump_add(dump_t *dump, kv_slice_t key, kv_slice_t value, kvi_form_t form,
                            int64_t deadline_ms)
{
    if (deadline_ms != KVI_NO_DEADLINE && dump->now_ms > deadline_ms) {
        return;
    }
    if (dump->count == dump->capacity) {
        dump->capacity = dump->capacity * 2 + 64;
        dump->lines = realloc(dump->lines, dump->capacity * sizeof(*dump->lines));
    }
    const size_t size = dump->keyspace.size + key.size + value.size + 5 * 8;
    char *const bytes = malloc(size);
    char *at = bytes;
    const uint64_t numbers[5] = {dump->keyspace.size, key.size, value.size, (uint64_t)form,
                                 (uint64_t)deadline_ms};
    for (size_t i = 0; i < 5; i++) {
        kvi_bytes_store_le64(at, numbers[i]);
        at += 8;
    }
    kvi_bytes_copy(at, dump->keyspace.data, dump->keyspace.size);
    kvi_bytes_copy(at + dump->keyspace.size, key.data, key.size);
    kvi_bytes_copy(at + dump->keyspace.size + key.size, value.data, value.size);
    dump->lines[dump->count++] = (dump_line_t){bytes, size};
}

static inline int dump_order(const void *a, const void *b)
{
    const dump_line_t *const first = a;
    const dump_line_t *const second = b;
    return kvi_slice_compare((kv_slice_t){first->bytes, first->size},
                             (kv_slice_t){second->bytes, second->size});
}

static inline void dump_visit(void *context, kv_slice_t key, const kvi_entry_t *entry)
{
    dump_add(context, key, entry->value, entry->form, entry->deadline_ms);
}

/* Changes nothing but late entries that it meets. */
static inline dump_t dump_db(kvi_db_t *db, int64_t now_ms)
{
    dump_t dump = {.now_ms = now_ms};
    for (size_t i = 0; i < kvi_db_keyspaces(db); i++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, i);
        if (keyspace == NULL) {
            continue;
        }
        dump.keyspace = kvi_keyspace_name(keyspace);
        uint64_t token = 0;
        do {
            token = kvi_keyspace_scan(keyspace, token, 100, now_ms, dump_visit, &dump);
        } while (token != 0);
    }
    if (dump.count > 0) {
        qsort(dump.lines, dump.count, sizeof(*dump.lines), dump_order);
    }
    return dump;
}

/* Of a file that must be whole. status is the reader's last word: KV_NOT_FOUND. */
static inline dump_t dump_file(kvi_files_t *files, const char *name, int64_t now_ms,
                               kv_status_t *status)
{
    enum { NAMES = 64 };
    static char names[NAMES][KVI_KEYSPACE_NAME_BYTES_MAX];
    static size_t sizes[NAMES];
    dump_t dump = {.now_ms = now_ms};
    kvi_snapshot_reader_t *reader;
    kvi_snapshot_fault_t fault;
    *status = kvi_snapshot_reader_open(files, name, &reader, &fault);
    if (*status != KV_OK) {
        return dump;
    }
    kvi_chunk_view_t view;
    while ((*status = kvi_snapshot_reader_next(reader, &view, &fault)) == KV_OK) {
        kvi_snapshot_keyspace_t row;
        while (view.kind == KVI_CHUNK_KEYSPACES && kvi_chunk_next_keyspace(&view, &row) == KV_OK &&
               row.number < NAMES) {
            memcpy(names[row.number], row.name.data, row.name.size);
            sizes[row.number] = row.name.size;
        }
        kvi_snapshot_entry_t entry;
        while (view.kind == KVI_CHUNK_ENTRIES && kvi_chunk_next_entry(&view, &entry) == KV_OK) {
            dump.keyspace = (kv_slice_t){names[entry.keyspace], sizes[entry.keyspace]};
            dump_add(&dump, entry.key, entry.value, entry.form, entry.deadline_ms);
        }
    }
    kvi_snapshot_reader_close(reader);
    if (dump.count > 0) {
        qsort(dump.lines, dump.count, sizeof(*dump.lines), dump_order);
    }
    return dump;
}

static inline bool dump_equal(const dump_t *a, const dump_t *b)
{
    bool equal = a->count == b->count;
    for (size_t i = 0; i < a->count && equal; i++) {
        equal = a->lines[i].size == b->lines[i].size &&
                memcmp(a->lines[i].bytes, b->lines[i].bytes, a->lines[i].size) == 0;
    }
    return equal;
}

static inline void dump_free(dump_t *dump)
{
    for (size_t i = 0; i < dump->count; i++) {
        free(dump->lines[i].bytes);
    }
    free(dump->lines);
    *dump = (dump_t){0};
}

#endif
