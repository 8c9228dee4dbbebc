/* SPDX-License-Identifier: MIT */
/* What the files of src/db share: the structs behind db.h and the way to a live record. */
#ifndef KVI_DB_DB_INT_H
#define KVI_DB_DB_INT_H

#include "base/random.h"
#include "db/db.h"
#include "db/expiry.h"
#include "db/record.h"
#include "engine/aimed.h"

typedef struct kvi_candidates kvi_candidates_t; /* evict.c */

/* The budget of a keyspace, which outlives it as long as somebody holds a content of it. */
typedef struct kvi_account {
    kv_budget_t *budget; /* a child of the database's; its hard limit is the quota */
    size_t users;
} kvi_account_t;

/* Invariants:
 *  1. Every record with a deadline has one item in expiry, and every item has its record.
 *  2. expiry holds no reserved item between two calls.
 *  3. While converting, records change by place and del alone, never where they stand: the engine
 *     writes to two places then. */
struct kvi_content {
    kv_engine_t *engine;
    const kv_engine_ops_t *row;    /* of the table; engine->ops may be those of a conversion */
    const kv_engine_ops_t *target; /* of a conversion */
    bool converting;
    kvi_expiry_t expiry;
    kvi_account_t *account;
    size_t holders;
};

/* Invariants:
 *  1. content is NULL before the first put and after clear: an empty keyspace holds next to
 *     nothing.
 *  2. limits_deadlines says whether one of the two attributes for it is set. */
struct kvi_keyspace {
    kvi_db_t *db;
    kvi_content_t *content;
    kvi_account_t *account;
    kvi_attributes_t attributes;
    bool limits_deadlines;
    bool counts_uses; /* the policy is LFU: access.h */
    uint64_t expired;
    uint64_t evicted;
    kvi_candidates_t *candidates; /* to be evicted; NULL: none yet */
    uint64_t moved;               /* entries, in this round of shrinking */
    kv_status_t conversion;       /* why the last one failed */
    size_t expected_count;        /* entries of the next content, while the database is loaded */
    uint32_t number;              /* these three are what SWAP leaves in place */
    uint8_t name_bytes;
    char name[KVI_KEYSPACE_NAME_BYTES_MAX];
    size_t users; /* the database, and a batch that may have to undo a drop */
};

struct kvi_db {
    kv_budget_t *budget; /* its hard limit is the memory limit */
    int64_t time_ms;     /* the latest time that anything was applied at */
    uint64_t changes;    /* of entries */
    kvi_epochs_t epochs;
    bool loading;         /* limits do not count */
    size_t loading_limit; /* of memory, when they do again */
    kvi_observer_t *observers;
    const kv_engine_ops_t *engine;
    uint64_t hash_seed;
    kvi_eviction_t eviction; /* of keyspaces that have no policy of their own */
    kvi_random_t random;     /* for samples, never for data */
    uint64_t lags[KVI_LAG_BUCKETS];
    uint64_t expired_before; /* in keyspaces that are gone */
    uint64_t evicted_before;
    kv_arena_t *results;    /* what the results of the last batch point to; NULL: none yet */
    kv_arena_t *undo;       /* old records of an atomic batch; NULL: none yet */
    size_t keyspaces_fixed; /* those that are always there */
    bool had_named;         /* others were made, though they may be gone */
    size_t keyspace_count;  /* places of the list; NULL: dropped */
    size_t keyspace_capacity;
    kvi_keyspace_t **keyspaces;
};

/* A new keyspace with one user. KV_NO_MEMORY. */
kv_status_t kvi_keyspace_open(kvi_db_t *db, kv_slice_t name, const kvi_attributes_t *attributes,
                              kvi_keyspace_t **keyspace);
/* One user less; the last one closes it. */
void kvi_keyspace_release(kvi_keyspace_t *keyspace);
void kvi_keyspace_set_attributes(kvi_keyspace_t *keyspace, const kvi_attributes_t *attributes);

/* An empty content on this account. KV_NO_MEMORY. */
kv_status_t kvi_content_open(kvi_account_t *account, const kv_engine_ops_t *row, uint64_t hash_seed,
                             size_t expected_count, kvi_content_t **content);
/* The same for the keyspace, with room for what it expects. */
kv_status_t kvi_keyspace_make_content(kvi_keyspace_t *keyspace);
kvi_account_t *kvi_account_open(kv_budget_t *parent, size_t quota_bytes);
void kvi_account_release(kvi_account_t *account); /* NULL is accepted */

/* The policy in force. */
static inline kvi_eviction_t kvi_keyspace_eviction(const kvi_keyspace_t *keyspace)
{
    return keyspace->attributes.eviction != KVI_EVICT_DEFAULT ? keyspace->attributes.eviction
                                                              : keyspace->db->eviction;
}

/* Before the first entry. KV_NO_MEMORY. */
static inline kv_status_t kvi_keyspace_open_content(kvi_keyspace_t *keyspace)
{
    return keyspace->content != NULL ? KV_OK : kvi_keyspace_make_content(keyspace);
}

void kvi_db_count_lag(kvi_db_t *db, int64_t lag_ms);

static inline int64_t kvi_deadline_after(int64_t now_ms, int64_t ttl_ms)
{
    return now_ms > INT64_MAX - ttl_ms ? INT64_MAX : now_ms + ttl_ms;
}

void kvi_db_tell(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t record);

/* Before an entry changes or goes. record data NULL: there is none yet. */
static inline void kvi_keyspace_tell(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t record)
{
    if (keyspace->db->observers != NULL) {
        kvi_db_tell(keyspace, key, record);
    }
}

/* Keyspaces with names. KV_EXISTS, KV_INVALID, KV_TOO_LARGE, KV_NO_MEMORY. wanted 0: the lowest
 * free number. */
kv_status_t kvi_db_create_keyspace(kvi_db_t *db, kv_slice_t name, uint32_t wanted,
                                   const kvi_attributes_t *attributes, uint32_t *number);
/* KV_INVALID for one that is always there. */
kv_status_t kvi_db_drop_keyspace(kvi_db_t *db, uint32_t number);

/* Removes an entry that is there, with its deadline. */
void kvi_keyspace_remove(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t record);
/* Puts back an entry as it was: record are the bytes it had, data NULL if there was none. The
 * address of the deadline's item in it does not count. KV_NO_MEMORY. */
kv_status_t kvi_keyspace_restore(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t record);
/* Shows every entry of the range, late ones too. KV_UNSUPPORTED without an order, KV_NO_MEMORY. */
kv_status_t kvi_keyspace_walk_range(kvi_keyspace_t *keyspace, const kv_range_t *range,
                                    kv_engine_visit_fn visit, void *context);
/* Removes a late entry and counts it. */
void kvi_keyspace_remove_late(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t record);

/* As the engine's get; aim: of the key, or 0. */
static inline kv_status_t kvi_engine_get(kv_engine_t *engine, kv_slice_t key, uint64_t aim,
                                         kv_slice_t *record)
{
    /* An aim may be older than a conversion to an engine that knows none. */
    const kvi_aimed_ops_t *const aimed = engine->ops->aimed;
    return aim != 0 && aimed != NULL ? aimed->get(engine, key, aim, record)
                                     : engine->ops->get(engine, key, record);
}

/* The record of a key that is there and not late, borrowed from the engine; KV_OK or KV_NOT_FOUND
 * with no data. aim: of the key, or 0. */
static inline kv_status_t kvi_keyspace_find_at(kvi_keyspace_t *keyspace, kv_slice_t key,
                                               uint64_t aim, int64_t now_ms, kv_slice_t *record)
{
    if (keyspace->content == NULL) {
        *record = (kv_slice_t){NULL, 0};
        return KV_NOT_FOUND;
    }
    const kv_status_t status = kvi_engine_get(keyspace->content->engine, key, aim, record);
    if (status != KV_OK) {
        *record = (kv_slice_t){NULL, 0};
        return status;
    }
    if (kvi_record_is_late(record->data, now_ms)) {
        kvi_keyspace_remove_late(keyspace, key, *record);
        *record = (kv_slice_t){NULL, 0};
        return KV_NOT_FOUND;
    }
    return KV_OK;
}

static inline kv_status_t kvi_keyspace_find(kvi_keyspace_t *keyspace, kv_slice_t key,
                                            int64_t now_ms, kv_slice_t *record)
{
    return kvi_keyspace_find_at(keyspace, key, 0, now_ms, record);
}

/* The engine lends records as constants; the keyspace owns the engine and writes heads and values
 * of the same size in place. */
static inline char *kvi_record_writable(kv_slice_t record)
{
    return (char *)(uintptr_t)record.data;
}

/* Writes the access clock of a key's record where it lies; a conversion brings it over. */
static inline void kvi_keyspace_mark(const kvi_keyspace_t *keyspace, kv_slice_t key,
                                     kv_slice_t record, uint32_t access)
{
    if (__builtin_expect(keyspace->content->converting, 0)) {
        kv_engine_touched(keyspace->content->engine, key);
    }
    kvi_record_set_access(kvi_record_writable(record), access);
}

#endif
