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

#include "engine/ordered.h"

typedef struct kvi_db kvi_db_t;
typedef struct kvi_keyspace kvi_keyspace_t;

/* ---- attributes of a keyspace, all changeable while it is open ---- */

typedef enum kvi_sync {
    KVI_SYNC_DEFAULT = 0, /* of a keyspace: as the database's */
    KVI_SYNC_ALWAYS,      /* a reply leaves only when its data are on stable storage */
    KVI_SYNC_EVERYSEC,    /* written at once, synced each second */
    KVI_SYNC_NO           /* written at once, synced when the system likes */
} kvi_sync_t;

typedef enum kvi_eviction {
    KVI_EVICT_DEFAULT = 0, /* of a keyspace: as the database's */
    KVI_EVICT_NONE,        /* noeviction: writes are refused */
    KVI_EVICT_ALL_LRU,
    KVI_EVICT_ALL_LFU,
    KVI_EVICT_ALL_RANDOM,
    KVI_EVICT_VOLATILE_LRU,
    KVI_EVICT_VOLATILE_LFU,
    KVI_EVICT_VOLATILE_RANDOM,
    KVI_EVICT_VOLATILE_TTL
} kvi_eviction_t;

typedef struct kvi_attributes {
    const kv_engine_ops_t *engine; /* NULL: the database's; a change converts, in steps of
                                      housekeeping */
    size_t quota_bytes;            /* most bytes obtained; 0: the database's limit alone */
    kvi_eviction_t eviction;
    kvi_sync_t sync;
    int64_t default_ttl_ms; /* of a put without a deadline; 0: none */
    int64_t max_ttl_ms;     /* later deadlines, and none, are cut to it; 0: no limit */
} kvi_attributes_t;

/* ---- contents: what a keyspace holds, for those who look at it for longer than a call ---- */

/* Engine and deadlines of a keyspace. CLEAR, SWAP and DROP exchange contents as a whole; one that
 * somebody holds lives on until it is let go. */
typedef struct kvi_content kvi_content_t;

/* Is told before an entry changes or goes, even if that fails then. record is its old record
 * (record.h), data NULL if there was none. It must not change the database, but for the epoch of
 * that record. */
typedef struct kvi_observer kvi_observer_t;
struct kvi_observer {
    void (*before_change)(kvi_observer_t *observer, kvi_content_t *content, kv_slice_t key,
                          kv_slice_t record);
    kvi_observer_t *next; /* the database's */
};

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
/* All numbers are below this; those of dropped keyspaces may stand between them. */
size_t kvi_db_keyspaces(const kvi_db_t *db);
/* Keyspaces that are always there: numbers 0 to this - 1. */
size_t kvi_db_numbered(const kvi_db_t *db);
/* Has at least so many of them. KV_EXISTS: a keyspace with a name was made since the database was
 * opened, so that higher numbers mean something else in its log; KV_NO_MEMORY. */
kv_status_t kvi_db_add_numbered(kvi_db_t *db, size_t count);
kvi_keyspace_t *kvi_db_keyspace(kvi_db_t *db, size_t number); /* NULL: no such number */
/* The memory limit may change while open; data above it stay. */
void kvi_db_set_memory_limit(kvi_db_t *db, size_t bytes);
size_t kvi_db_memory_limit(const kvi_db_t *db);
/* The database's time: the latest that any operation or batch was applied at. It never goes back:
 * an operation of an earlier time is applied at this one. A snapshot has to keep it. */
int64_t kvi_db_time(const kvi_db_t *db);
void kvi_db_advance_time(kvi_db_t *db, int64_t time_ms);
/* Changes of entries since the database was opened. */
uint64_t kvi_db_changes(const kvi_db_t *db);
/* What goes when memory is short, in keyspaces without a policy of their own; KVI_EVICT_NONE at
 * first. evict.h does it. */
void kvi_db_set_eviction(kvi_db_t *db, kvi_eviction_t eviction);
kvi_eviction_t kvi_db_eviction(const kvi_db_t *db);
/* Entries evicted since the database was opened. */
uint64_t kvi_db_evicted(kvi_db_t *db);
/* How late entries were when they were removed: [0] counts those that were less than a millisecond
 * late, [i] those of 2^(i-1) to 2^i - 1 milliseconds. Borrowed. */
#define KVI_LAG_BUCKETS 32
const uint64_t *kvi_db_lags(const kvi_db_t *db);
/* Late entries removed in all keyspaces since the database was opened, by whatever call. */
uint64_t kvi_db_expired(kvi_db_t *db);
size_t kvi_db_memory_used(const kvi_db_t *db); /* bytes obtained by all keyspaces */

/* ---- keyspaces with names ---- */

#define KVI_KEYSPACE_NAME_BYTES_MAX ((size_t)255)

/* Keyspaces 0 to the options' number - 1 are always there and named by their decimal number; others
 * come and go by KVI_OP_KEYSPACE_CREATE and DROP (op.h). Numbers of dropped ones are used again.
 * Other decimal numbers are no names. KV_NOT_FOUND. */
kv_status_t kvi_db_find_keyspace(kvi_db_t *db, kv_slice_t name, uint32_t *number);
kv_slice_t kvi_keyspace_name(const kvi_keyspace_t *keyspace);
void kvi_keyspace_attributes(const kvi_keyspace_t *keyspace, kvi_attributes_t *attributes);

/* ---- watching changes ---- */

void kvi_db_observe(kvi_db_t *db, kvi_observer_t *observer);
void kvi_db_unobserve(kvi_db_t *db, kvi_observer_t *observer);
/* Epochs let a snapshot tell the records that were there when it began from those that were written
 * since. Who changes a record in place gives it the present epoch once observers were told. */
typedef struct kvi_epochs {
    unsigned char now;    /* every record that is written bears it; 0 to KVI_EPOCHS - 1 */
    unsigned char behind; /* how many earlier epochs records may still bear */
} kvi_epochs_t;
#define KVI_EPOCHS 8U
/* Borrowed; the snapshot counts them on. */
kvi_epochs_t *kvi_db_epochs(kvi_db_t *db);
/* The keyspace's present content, held; NULL if it has none, being empty. While any is held, no
 * conversion goes on and no new one begins. */
kvi_content_t *kvi_content_hold(kvi_keyspace_t *keyspace);
void kvi_content_release(kvi_content_t *content);
/* The engine that holds its records, for scans. */
kv_engine_t *kvi_content_engine(kvi_content_t *content);
/* The engine that holds the keyspace's records, for a look that ends before the next call for the
 * keyspace: it holds nothing, so a conversion goes on after it. NULL if the keyspace is empty. */
kv_engine_t *kvi_keyspace_records(kvi_keyspace_t *keyspace);
/* Whether its records are in two engines, and a mark in one of them does not count. */
bool kvi_content_is_converting(const kvi_content_t *content);

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
    uint8_t uses;          /* with an LFU policy: the logarithmic counter, before this access */
    kvi_form_t form;
} kvi_entry_t;

/* Begins to bring what operations on these keys touch into the cache. */
void kvi_keyspace_prefetch(kvi_keyspace_t *keyspace, size_t count, const kv_slice_t *keys);
/* The same; aims[i] is then what operations on keys[i] take as the key's aim, to spare hashing it
 * again. It holds for all keyspaces of the database, whatever happens to them meanwhile. 0 is the
 * aim of a key of which nothing is known. */
void kvi_keyspace_prefetch_aims(kvi_keyspace_t *keyspace, size_t count, const kv_slice_t *keys,
                                uint64_t *aims);
/* KV_OK or KV_NOT_FOUND. Counts as an access when touch is true. */
kv_status_t kvi_keyspace_get(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t now_ms, bool touch,
                             kvi_entry_t *entry);
/* The same for whoever wants the value alone, which is most of a server's reads: working out the
 * rest would cost a third as much again. The value is borrowed as that of an entry. */
kv_status_t kvi_keyspace_get_value(kvi_keyspace_t *keyspace, kv_slice_t key, uint64_t aim,
                                   int64_t now_ms, bool touch, kv_slice_t *value);
/* As get, but changes nothing at all: no access is noted, a late entry is skipped and stays. What
 * many readers may call at the same time as long as nobody changes anything. */
kv_status_t kvi_keyspace_peek(const kvi_keyspace_t *keyspace, kv_slice_t key, int64_t now_ms,
                              kv_slice_t *record);
/* As get_many of engines: records[i].data is NULL for what is not there. */
void kvi_keyspace_peek_many(const kvi_keyspace_t *keyspace, size_t count, const kv_slice_t *keys,
                            int64_t now_ms, kv_slice_t *records);
/* Whether gets have to note accesses, because eviction asks for them. */
bool kvi_keyspace_notes_accesses(const kvi_keyspace_t *keyspace);
/* Notes an access to a record that peek has found, while others read and note, too. number is
 * random. */
void kvi_keyspace_note_access(const kvi_keyspace_t *keyspace, kv_slice_t record, int64_t now_ms,
                              uint64_t number);
/* The version of an entry: a digest of its value, form and deadline, so that it costs nothing per
 * entry and is the same on every machine, like an ETag of HTTP. Two states of a key with equal
 * content have equal versions. Never 0; of a key that is not there, which is no error, it is 0. */
uint64_t kvi_keyspace_version(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t now_ms);
/* Entries, late ones that have not been removed yet included, as DBSIZE counts. */
uint64_t kvi_keyspace_count(const kvi_keyspace_t *keyspace);
uint64_t kvi_keyspace_deadlines(const kvi_keyspace_t *keyspace); /* keys with a deadline */
/* Late entries removed since the keyspace was opened, by whatever call. A clear keeps the count. */
uint64_t kvi_keyspace_expired(const kvi_keyspace_t *keyspace);
uint64_t kvi_keyspace_evicted(const kvi_keyspace_t *keyspace);
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
    KVI_PUT_IF_PRESENT,
    KVI_PUT_IF_VERSION /* KV_CONFLICT unless the entry has this version */
} kvi_put_condition_t;
typedef struct kvi_put_options {
    kvi_put_condition_t condition;
    bool keep_deadline; /* of the old entry */
    kvi_form_t form;
    /* Unless keep_deadline. KVI_NO_DEADLINE: none; a past one, 0 too, deletes the key. */
    int64_t deadline_ms;
    uint64_t version; /* with KVI_PUT_IF_VERSION; 0: the key must be absent */
    uint64_t aim;     /* of the key, or 0 */
} kvi_put_options_t;

/* KV_EXISTS, KV_NOT_FOUND or KV_CONFLICT when the condition does not hold; KV_NO_MEMORY,
 * KV_TOO_LARGE. NULL options: plain put. */
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
/* Deletes every key of the range. KV_UNSUPPORTED where keys have no order, KV_NO_MEMORY. */
kv_status_t kvi_keyspace_delete_range(kvi_keyspace_t *keyspace, const kv_range_t *range,
                                      int64_t now_ms, uint64_t *count);
/* Drops every entry in O(blocks). */
kv_status_t kvi_keyspace_clear(kvi_keyspace_t *keyspace);
/* Exchanges everything but number and name: content, attributes, counts. */
kv_status_t kvi_db_swap(kvi_db_t *db, size_t first, size_t second);

/* ---- housekeeping, in bounded steps ---- */

/* Removes up to steps late entries; returns the number removed. */
size_t kvi_keyspace_expire(kvi_keyspace_t *keyspace, int64_t now_ms, size_t steps);
/* The earliest deadline, or KVI_NO_DEADLINE. */
int64_t kvi_keyspace_next_deadline(const kvi_keyspace_t *keyspace);
/* Moves up to steps entries out of sparse blocks; returns the steps used. */
size_t kvi_keyspace_relocate(kvi_keyspace_t *keyspace, size_t steps);
/* Brings up to steps entries over to the engine that the attributes ask for. Returns the steps
 * used; fewer: nothing is left to do for now. A conversion that fails is not tried again before the
 * attributes are set anew. */
size_t kvi_keyspace_convert(kvi_keyspace_t *keyspace, size_t steps);
bool kvi_keyspace_converting(const kvi_keyspace_t *keyspace);
kv_status_t kvi_keyspace_check(const kvi_keyspace_t *keyspace);

#endif
