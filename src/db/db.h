/* SPDX-License-Identifier: MIT */
/*
 * The database: numbered keyspaces, each an engine with its own pool under its own budget, and an
 * index of deadlines. It knows nothing of files, sockets or the protocol. Time is an argument of
 * every call. One user at a time.
 *
 * A value in the engine is a record (record.h), so that a key without a deadline costs four bytes
 * and the entry's access clock can be written in place.
 *
 * The functions under "Operations" are the only ones that change data; a later log records exactly
 * these. A late entry, one whose deadline has passed, is no data any more: whatever call meets one
 * may remove it.
 */
#ifndef KVI_DB_H
#define KVI_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_engine.h>
#include <concordkv/kv_memory.h>
#include <concordkv/kv_status.h>

typedef struct kvi_db kvi_db_t;
typedef struct kvi_keyspace kvi_keyspace_t;

#define KVI_NO_DEADLINE INT64_C(-1)
#define KVI_DB_VALUE_BYTES_MAX ((size_t)512 << 20)

typedef struct kvi_db_options {
    const kv_engine_ops_t *engine; /* of every keyspace; NULL: hash */
    size_t keyspaces;              /* 0: 16 */
    size_t memory_limit;           /* bytes of all keyspaces together; 0: unlimited */
    uint64_t hash_seed;
} kvi_db_options_t;

kv_status_t kvi_db_open(const kvi_db_options_t *options, kvi_db_t **db);
void kvi_db_close(kvi_db_t *db);
size_t kvi_db_keyspaces(const kvi_db_t *db);
kvi_keyspace_t *kvi_db_keyspace(kvi_db_t *db, size_t number); /* NULL: no such number */
/* The memory limit may change while open; data above it stay. */
void kvi_db_set_memory_limit(kvi_db_t *db, size_t bytes);
size_t kvi_db_memory_limit(const kvi_db_t *db);
/* Late entries removed in all keyspaces since the database was opened, by whatever call. */
uint64_t kvi_db_expired(kvi_db_t *db);
size_t kvi_db_memory_used(const kvi_db_t *db); /* bytes obtained by all keyspaces */

/* ---- reads; an expired key is never seen ---- */

/* How the bytes of a value came about, for OBJECT ENCODING. */
typedef enum kvi_form {
    KVI_FORM_PLAIN = 0, /* put in one piece, or the sum of integers */
    KVI_FORM_RAW,       /* appended to or overwritten in part */
    KVI_FORM_TEXT       /* the sum of long doubles: text, even if it looks like an integer */
} kvi_form_t;

typedef struct kvi_entry {
    kv_slice_t value;      /* borrowed until the next call for the same keyspace */
    int64_t deadline_ms;   /* KVI_NO_DEADLINE: none */
    uint32_t idle_seconds; /* since the last access, before this one */
    kvi_form_t form;
} kvi_entry_t;

/* Begins to bring what operations on these keys touch into the cache. */
void kvi_keyspace_prefetch(kvi_keyspace_t *keyspace, size_t count, const kv_slice_t *keys);
/* KV_OK or KV_NOT_FOUND. Counts as an access when touch is true. */
kv_status_t kvi_keyspace_get(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t now_ms, bool touch,
                             kvi_entry_t *entry);
/* Entries, late ones that have not been removed yet included, as DBSIZE counts. */
uint64_t kvi_keyspace_count(const kvi_keyspace_t *keyspace);
uint64_t kvi_keyspace_deadlines(const kvi_keyspace_t *keyspace); /* keys with a deadline */
/* Late entries removed since the keyspace was opened, by whatever call. A clear keeps the count. */
uint64_t kvi_keyspace_expired(const kvi_keyspace_t *keyspace);
kv_status_t kvi_keyspace_random(kvi_keyspace_t *keyspace, uint64_t number, int64_t now_ms,
                                kv_slice_t *key);
/* As the engine's scan, late entries left out. */
uint64_t kvi_keyspace_scan(kvi_keyspace_t *keyspace, uint64_t token, size_t count, int64_t now_ms,
                           void (*visit)(void *context, kv_slice_t key, const kvi_entry_t *entry),
                           void *context);
kv_status_t kvi_keyspace_memory(const kvi_keyspace_t *keyspace, kv_engine_memory_t *memory);
/* Bytes this key costs: key, value, header, its share of index and rounding. KV_NOT_FOUND. */
kv_status_t kvi_keyspace_key_bytes(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t now_ms,
                                   size_t *bytes);
const kv_engine_ops_t *kvi_keyspace_engine(const kvi_keyspace_t *keyspace);

/* ---- operations: on an error nothing has changed ---- */

typedef enum kvi_put_condition {
    KVI_PUT_ALWAYS,
    KVI_PUT_IF_ABSENT,
    KVI_PUT_IF_PRESENT
} kvi_put_condition_t;
typedef struct kvi_put_options {
    kvi_put_condition_t condition;
    bool keep_deadline; /* of the old entry */
    int64_t
        deadline_ms; /* unless keep_deadline; KVI_NO_DEADLINE: none; a past one deletes the key */
} kvi_put_options_t;

/* KV_EXISTS or KV_NOT_FOUND when the condition does not hold; KV_NO_MEMORY, KV_TOO_LARGE. NULL
 * options: plain put. */
kv_status_t kvi_keyspace_put(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t value,
                             int64_t now_ms, const kvi_put_options_t *options);
/* KV_NOT_FOUND. */
kv_status_t kvi_keyspace_delete(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t now_ms);
/* Appends, creating the key if absent. */
kv_status_t kvi_keyspace_append(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t tail,
                                int64_t now_ms, size_t *new_size);
/* Overwrites at offset, zero-filling a gap, creating the key if absent. */
kv_status_t kvi_keyspace_write_at(kvi_keyspace_t *keyspace, kv_slice_t key, size_t offset,
                                  kv_slice_t bytes, int64_t now_ms, size_t *new_size);
/* Adds to the decimal integer under key (absent: 0). KV_NOT_NUMBER, KV_OVERFLOW. */
kv_status_t kvi_keyspace_add(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t delta,
                             int64_t now_ms, int64_t *sum);
/* As add, with long double arithmetic and Redis's rendering. sum points into the keyspace.
 * KV_OVERFLOW for NaN or infinity. */
kv_status_t kvi_keyspace_add_float(kvi_keyspace_t *keyspace, kv_slice_t key, long double delta,
                                   int64_t now_ms, kv_slice_t *sum);
/* Sets or (KVI_NO_DEADLINE) removes the deadline; a past one deletes the key. KV_NOT_FOUND. */
kv_status_t kvi_keyspace_set_deadline(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t deadline_ms,
                                      int64_t now_ms);
/* Moves or copies value and deadline to another key, perhaps in another keyspace. KV_NOT_FOUND;
 * KV_EXISTS unless replace. */
kv_status_t kvi_keyspace_copy(kvi_keyspace_t *from, kv_slice_t key, kvi_keyspace_t *to,
                              kv_slice_t new_key, bool replace, int64_t now_ms);
kv_status_t kvi_keyspace_rename(kvi_keyspace_t *from, kv_slice_t key, kvi_keyspace_t *to,
                                kv_slice_t new_key, bool replace, int64_t now_ms);
/* Drops every entry in O(blocks). */
kv_status_t kvi_keyspace_clear(kvi_keyspace_t *keyspace);
kv_status_t kvi_db_swap(kvi_db_t *db, size_t first, size_t second);

/* ---- housekeeping, in bounded steps ---- */

/* Removes up to steps late entries; returns the number removed. */
size_t kvi_keyspace_expire(kvi_keyspace_t *keyspace, int64_t now_ms, size_t steps);
/* The earliest deadline, or KVI_NO_DEADLINE. */
int64_t kvi_keyspace_next_deadline(const kvi_keyspace_t *keyspace);
/* Moves up to steps entries out of sparse blocks; returns the steps used. */
size_t kvi_keyspace_relocate(kvi_keyspace_t *keyspace, size_t steps);
kv_status_t kvi_keyspace_check(const kvi_keyspace_t *keyspace);

#endif
