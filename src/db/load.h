/* SPDX-License-Identifier: MIT */
/*
 * Filling a database from a snapshot: entries come back as they were, whatever limits, times to
 * live and the clock say now. For a database that nobody uses yet.
 *
 * Thread rule: one user at a time, as the database's.
 */
#ifndef KVI_DB_LOAD_H
#define KVI_DB_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "db/db.h"

typedef struct kvi_loaded {
    kv_slice_t key;
    kv_slice_t value;
    kvi_form_t form;
    int64_t deadline_ms; /* KVI_NO_DEADLINE: none */
    uint32_t access;     /* the clock of record.h */
} kvi_loaded_t;

/* Limits of memory and quotas do not count between begin and end: what was stored once finds room
 * again, even if the bytes fall differently. */
void kvi_db_load_begin(kvi_db_t *db);
void kvi_db_load_end(kvi_db_t *db);

/* The keyspace of this number, name and attributes (as attributes.h encodes them), made if it is
 * not there. KV_CORRUPT if they contradict what is there; KV_UNSUPPORTED for an unknown engine;
 * KV_NO_MEMORY. */
kv_status_t kvi_db_load_keyspace(kvi_db_t *db, uint32_t number, kv_slice_t name,
                                 kv_slice_t attributes);
/* About count entries are going to come: the first one finds room for all of them. A hint, until
 * kvi_db_load_end: without memory there is less room. */
void kvi_keyspace_expect(kvi_keyspace_t *keyspace, size_t count);
/* Adds entries that are not there yet, their cache misses overlapped. KV_CORRUPT if one is there;
 * KV_NO_MEMORY, KV_TOO_LARGE. Those before it stay. */
kv_status_t kvi_keyspace_load(kvi_keyspace_t *keyspace, size_t count, const kvi_loaded_t *entries);
/* Drops everything, keyspaces with names too. */
void kvi_db_unload(kvi_db_t *db);

#endif
