/* SPDX-License-Identifier: MIT */
/*
 * Databases for programs: named keyspaces in a directory or in memory alone, with deadlines,
 * quotas, atomic batches, transactions and snapshots to read from.
 *
 *   kv_db_open ──► kv_keyspace_open ──► kv_keyspace_get / put / delete / ...
 *                                  ──► kv_iterator_open     entries in order, in chunks
 *              ──► kv_batch_create                          several changes, all or none
 *              ──► kv_transaction_begin                     reads and changes, all or none
 *              ──► kv_snapshot_take                         the state of this moment, to be read
 *
 * Threads: all functions may be called by any thread, at the same time, on the same database and
 * keyspace handles. Gets run side by side, iterators beside gets, changes one after the other.
 * Objects that a caller makes for itself (values, pins, iterators, batches, transactions) have one
 * user at a time.
 *
 * Keys and values hold any bytes: keys up to 2^32 - 1, values up to 512 MB.
 * Times are milliseconds since 1970. An entry whose deadline has passed is never seen.
 * On an error nothing has changed. KV_INVALID answers a NULL that must not be one, a keyspace that
 * was dropped, or an option that makes no sense. Nothing here aborts, prints or exits.
 */
#ifndef CONCORDKV_KV_DB_H
#define CONCORDKV_KV_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_engine.h>
#include <concordkv/kv_export.h>
#include <concordkv/kv_status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kv_db kv_db_t;
typedef struct kv_keyspace kv_keyspace_t;
typedef struct kv_pin kv_pin_t;
typedef struct kv_iterator kv_iterator_t;
typedef struct kv_batch kv_batch_t;
typedef struct kv_transaction kv_transaction_t;
typedef struct kv_snapshot kv_snapshot_t;

#define KV_NO_DEADLINE INT64_C(-1)

/* ---- attributes ---- */

/* When a change is safe. In a database of memory alone none of them matters. */
typedef enum kv_sync {
    KV_SYNC_DEFAULT = 0, /* of a keyspace: as the database's; of a database: everysec */
    KV_SYNC_ALWAYS,      /* a call that changes data returns when they are on stable storage */
    KV_SYNC_EVERYSEC, /* written at once, synced each second: a crash of the machine loses that */
    KV_SYNC_NO        /* written at once, synced when the system likes */
} kv_sync_t;

/* What goes when a quota or the memory limit refuses a write. */
typedef enum kv_eviction {
    KV_EVICT_DEFAULT = 0, /* of a keyspace: as the database's; of a database: none */
    KV_EVICT_NONE,        /* nothing: the write is refused */
    KV_EVICT_ALL_LRU,     /* what was not used for longest, by samples */
    KV_EVICT_ALL_LFU,     /* what is used least often, by samples */
    KV_EVICT_ALL_RANDOM,
    KV_EVICT_VOLATILE_LRU, /* the same among entries with a deadline */
    KV_EVICT_VOLATILE_LFU,
    KV_EVICT_VOLATILE_RANDOM,
    KV_EVICT_VOLATILE_TTL /* the earliest deadline, exactly */
} kv_eviction_t;

/* Zero means the default everywhere. */
typedef struct kv_attributes {
    const char *engine; /* "hash", "bptree", ...; NULL: the database's. A change converts the
                               entries little by little, while they are used */
    size_t quota_bytes; /* most memory obtained; 0: the database's limit alone */
    kv_eviction_t eviction;
    kv_sync_t sync;
    int64_t default_ttl_ms; /* of a put without a deadline; 0: none */
    int64_t max_ttl_ms;     /* later deadlines, and none, are cut to it; 0: no limit */
} kv_attributes_t;

/* ---- databases ---- */

/* Zero means the default everywhere: `kv_db_options_t options = {0};` is an ordinary database. */
typedef struct kv_db_options {
    const char *engine;  /* of keyspaces that name none; NULL: "hash" */
    size_t memory_limit; /* of all keyspaces together; 0: unlimited */
    kv_eviction_t eviction;
    kv_sync_t sync;
    bool must_exist; /* KV_NOT_FOUND instead of making a new database */
    bool compress;   /* snapshot files, where zstd was found */
    /* Log after which a snapshot file is written by itself; 0: 64 MB or the size of the data,
     * whichever is more. */
    uint64_t snapshot_log_bytes;
    int64_t (*clock)(void *context); /* milliseconds since 1970; NULL: the system's clock */
    void *clock_context;
    char *error; /* a sentence about why opening failed is written here; NULL: nowhere */
    size_t error_bytes;
} kv_db_options_t;

/* Opens the database in the directory path, which is made if it is missing, in a directory that is
 * there (else KV_NOT_FOUND); NULL path: in memory alone. NULL options: all defaults. KV_BUSY:
 * another process has it open; KV_NOT_FOUND; KV_CORRUPT: the files are damaged, options->error says
 * where and what to do; KV_NEWER: made by a newer version; KV_UNSUPPORTED: no such engine; KV_IO,
 * KV_DISK_FULL, KV_NO_MEMORY. */
KV_API kv_status_t kv_db_open(const char *path, const kv_db_options_t *options, kv_db_t **db);
/* Writes and syncs what is left, and frees everything. Close iterators, transactions, snapshots and
 * keyspaces before, and let no other call be under way. The status is that of the last sync: after
 * an error of the disk the last changes may be missing from it. NULL is accepted. */
KV_API kv_status_t kv_db_close(kv_db_t *db);

/* Waits until everything that was changed so far is on stable storage, whatever the policies say.
 */
KV_API kv_status_t kv_db_flush(kv_db_t *db);
/* Writes a snapshot file of this moment and waits for it; the log before it goes. Other threads go
 * on meanwhile: the lock is taken for a step of about 100 microseconds at a time. A file that is
 * being written already is waited for first. KV_UNSUPPORTED in memory; KV_IO, KV_DISK_FULL,
 * KV_NO_MEMORY: there is no new file, and the old one and the log are as they were. */
KV_API kv_status_t kv_db_save(kv_db_t *db);
/* The same as a copy in another directory, which is made if it is missing and must hold no database
 * (KV_EXISTS). Opening that directory is the restoration. After an error it may hold the beginning
 * of a file, which is no database. */
KV_API kv_status_t kv_db_backup(kv_db_t *db, const char *path);
/* Takes writes again after the disk was full and has room now. */
KV_API kv_status_t kv_db_resume(kv_db_t *db);
/* Does what is left to the background: removes late entries, converts engines, moves entries out of
 * sparse blocks, goes on with snapshot files; for at most about budget_us microseconds. Each write
 * does a little of it, so calling this is for programs that write seldom. True: there is more. */
KV_API bool kv_db_maintain(kv_db_t *db, uint64_t budget_us);
KV_API kv_status_t kv_db_set_memory_limit(kv_db_t *db, size_t bytes);
KV_API kv_status_t kv_db_set_eviction(kv_db_t *db, kv_eviction_t eviction);
KV_API kv_status_t kv_db_set_sync(kv_db_t *db, kv_sync_t sync);

typedef struct {
    uint64_t keyspaces;
    uint64_t entries;      /* late ones that were not removed yet included */
    size_t memory_bytes;   /* obtained by all keyspaces */
    size_t memory_limit;   /* 0: unlimited */
    uint64_t changes;      /* since the database was opened */
    uint64_t expired;      /* late entries removed since then */
    uint64_t evicted;      /* since then */
    uint64_t lsn;          /* of the last logged change; 0 in memory */
    uint64_t durable_lsn;  /* on stable storage */
    uint64_t log_bytes;    /* of all log files */
    kv_status_t log;       /* KV_OK, or the error after which writes are refused */
    char log_reason[256];  /* a sentence about it; "" */
    bool saving;           /* a snapshot file or backup is being written */
    kv_status_t last_save; /* of the last one */
} kv_db_stats_t;
KV_API kv_status_t kv_db_stats(kv_db_t *db, kv_db_stats_t *stats);

/* ---- keyspaces ---- */

/*
 * A keyspace is a map of its own, with its own memory. "0" to "15" are always there; others are
 * created. Names are 1 to 255 bytes and no decimal numbers.
 */

/* Makes a keyspace; NULL attributes: all defaults. KV_EXISTS; KV_TOO_LARGE for the name, KV_INVALID
 * for one that is empty or a decimal number; KV_UNSUPPORTED: no such engine; KV_NO_MEMORY, or what
 * a write answers. */
KV_API kv_status_t kv_keyspace_create(kv_db_t *db, const char *name,
                                      const kv_attributes_t *attributes, kv_keyspace_t **keyspace);
/* A handle to a keyspace that is there. KV_NOT_FOUND, KV_NO_MEMORY. */
KV_API kv_status_t kv_keyspace_open(kv_db_t *db, const char *name, kv_keyspace_t **keyspace);
/* Frees the handle, not the keyspace. NULL is accepted. */
KV_API void kv_keyspace_close(kv_keyspace_t *keyspace);
/* Drops the keyspace with all entries, in O(blocks). The handle stays to be closed. KV_INVALID for
 * "0" to "15". */
KV_API kv_status_t kv_keyspace_drop(kv_keyspace_t *keyspace);
/* Drops all entries, in O(blocks). */
KV_API kv_status_t kv_keyspace_clear(kv_keyspace_t *keyspace);
/* Calls visit with each name until it returns false. It must not call this library. */
KV_API kv_status_t kv_db_list_keyspaces(kv_db_t *db, bool (*visit)(void *context, kv_slice_t name),
                                        void *context);
KV_API kv_status_t kv_keyspace_attributes(kv_keyspace_t *keyspace, kv_attributes_t *attributes);
/* All attributes at once: read them, change some, set them. KV_UNSUPPORTED: no such engine. */
KV_API kv_status_t kv_keyspace_set_attributes(kv_keyspace_t *keyspace,
                                              const kv_attributes_t *attributes);

typedef struct {
    const char *engine; /* that holds the entries now */
    bool converting;    /* to the one that the attributes ask for */
    uint64_t entries;
    uint64_t deadlines; /* entries with one */
    uint64_t expired;
    uint64_t evicted;
    kv_engine_memory_t memory; /* adds up to what was obtained, deadlines in index_bytes */
} kv_keyspace_stats_t;
KV_API kv_status_t kv_keyspace_stats(kv_keyspace_t *keyspace, kv_keyspace_stats_t *stats);

/* ---- reading ---- */

/* A copy of a value. Begin with {0}, use it again and again, free it once. */
typedef struct kv_value {
    char *data; /* never NULL after a success */
    size_t size;
    size_t capacity;
    int64_t deadline_ms; /* KV_NO_DEADLINE: none */
    uint64_t version;    /* a digest of value and deadline, never 0, the same on every machine */
} kv_value_t;
KV_API void kv_value_free(kv_value_t *value); /* NULL is accepted */

/* KV_OK, KV_NOT_FOUND, KV_NO_MEMORY. */
KV_API kv_status_t kv_keyspace_get(kv_keyspace_t *keyspace, kv_slice_t key, kv_value_t *value);
/* count keys in one go, their cache misses overlapped. statuses[i] is that of keys[i]. The answer
 * is KV_OK, or KV_NO_MEMORY with what could be read. */
KV_API kv_status_t kv_keyspace_get_many(kv_keyspace_t *keyspace, size_t count,
                                        const kv_slice_t *keys, kv_value_t *values,
                                        kv_status_t *statuses);
/* The value where it lies, without a copy. No change happens in the whole database until it is
 * unpinned: do so soon, and call nothing else of this database on this thread before: even a get
 * might wait for a change that waits for the pin. */
KV_API kv_status_t kv_keyspace_pin(kv_keyspace_t *keyspace, kv_slice_t key, kv_slice_t *value,
                                   kv_pin_t **pin);
KV_API void kv_keyspace_unpin(kv_pin_t *pin); /* NULL is accepted */

/* ---- changing ---- */

typedef enum kv_put_condition {
    KV_PUT_ALWAYS = 0,
    KV_PUT_IF_ABSENT,  /* else KV_EXISTS */
    KV_PUT_IF_PRESENT, /* else KV_NOT_FOUND */
    KV_PUT_IF_EQUALS,  /* the value is options.expected, else KV_CONFLICT */
    KV_PUT_IF_VERSION  /* the entry has options.version, 0: is absent, else KV_CONFLICT */
} kv_put_condition_t;

/* Zero: an unconditional put without a deadline. */
typedef struct kv_put_options {
    kv_put_condition_t condition;
    bool keep_deadline; /* the old entry's */
    int64_t ttl_ms;     /* 0: none; else the entry lives so long */
    kv_slice_t expected;
    uint64_t version;
} kv_put_options_t;

/* What any change may answer besides its own: KV_NO_MEMORY: there is none, or the database's
 * memory_limit is reached; KV_QUOTA: the keyspace's quota is, and nothing may go; KV_TOO_LARGE;
 * KV_READ_ONLY, KV_DISK_FULL, KV_IO: the log takes nothing.
 * If a call answers an error of the log after its change was applied, the change is seen by reads
 * and may be lost when the database is closed; no later change is taken then. */

KV_API kv_status_t kv_keyspace_put(kv_keyspace_t *keyspace, kv_slice_t key, kv_slice_t value,
                                   const kv_put_options_t *options);
/* KV_NOT_FOUND. */
KV_API kv_status_t kv_keyspace_delete(kv_keyspace_t *keyspace, kv_slice_t key);
/* Deletes all keys of the range. KV_UNSUPPORTED where keys have no order. deleted may be NULL. */
KV_API kv_status_t kv_keyspace_delete_range(kv_keyspace_t *keyspace, const kv_range_t *range,
                                            uint64_t *deleted);
/* Adds to the decimal integer under key; absent: 0. KV_NOT_NUMBER, KV_OVERFLOW. */
KV_API kv_status_t kv_keyspace_add(kv_keyspace_t *keyspace, kv_slice_t key, int64_t delta,
                                   int64_t *sum);
/* Appends, making the key if it is absent. new_size may be NULL. */
KV_API kv_status_t kv_keyspace_append(kv_keyspace_t *keyspace, kv_slice_t key, kv_slice_t tail,
                                      size_t *new_size);
/* Sets or (KV_NO_DEADLINE) removes the deadline; a past one deletes the key. KV_NOT_FOUND. */
KV_API kv_status_t kv_keyspace_set_deadline(kv_keyspace_t *keyspace, kv_slice_t key,
                                            int64_t deadline_ms);

/* ---- iterators ---- */

/*
 * An iterator goes over the entries of a keyspace in the order of its engine: memcmp order of the
 * keys where the engine is ordered, some order elsewhere. It reads ahead in chunks of some 64
 * entries: what is changed behind its place is seen if the chunk was not read yet, no key is seen
 * twice, and none is missed that is there all the time. Other threads may change, clear and drop
 * the keyspace meanwhile.
 */
typedef struct kv_iterator_options {
    kv_range_t range;        /* {0}: all keys. Ordered engines only */
    kv_slice_t prefix;       /* keys that begin with this. Ordered engines only */
    bool reverse;            /* Ordered engines only */
    kv_snapshot_t *snapshot; /* of the same database; NULL: the present state */
    /* With what the transaction has changed itself. Not with a snapshot. Ordered engines only */
    kv_transaction_t *transaction;
} kv_iterator_options_t;

/* Stands at the first entry, or is not valid if there is none. NULL options: all entries.
 * KV_UNSUPPORTED: the engine has no order; KV_NO_MEMORY. The options' bytes are copied. */
KV_API kv_status_t kv_iterator_open(kv_keyspace_t *keyspace, const kv_iterator_options_t *options,
                                    kv_iterator_t **iterator);
KV_API void kv_iterator_close(kv_iterator_t *iterator); /* NULL is accepted */
KV_API bool kv_iterator_valid(const kv_iterator_t *iterator);
/* To the next entry. Not valid afterwards: it was the last (KV_OK), or there was an error:
 * KV_NO_MEMORY, KV_INVALID: the keyspace was dropped, KV_CONFLICT: the engine without order, or
 * what it holds, was exchanged under the iterator. */
KV_API kv_status_t kv_iterator_next(kv_iterator_t *iterator);
/* Of the entry it stands at; the iterator's own, until the next call for it. Only while valid. */
KV_API kv_slice_t kv_iterator_key(const kv_iterator_t *iterator);
KV_API kv_slice_t kv_iterator_value(const kv_iterator_t *iterator);
KV_API int64_t kv_iterator_deadline(const kv_iterator_t *iterator);

/* ---- batches ---- */

/* Changes that are applied all together or not at all, and are logged as one. */
KV_API kv_status_t kv_batch_create(kv_db_t *db, kv_batch_t **batch);
KV_API void kv_batch_destroy(kv_batch_t *batch); /* NULL is accepted */
KV_API void kv_batch_clear(kv_batch_t *batch);   /* empties it, keeps its memory */
/* These only note what shall be done. KV_NO_MEMORY, KV_INVALID for a keyspace of another database.
 * The keyspaces that a batch names have to stay open until it was applied for the last time, or was
 * cleared or destroyed; keys, values and ranges are copied. The conditions of put are looked at
 * when the batch is applied; KV_PUT_IF_EQUALS is KV_INVALID. */
KV_API kv_status_t kv_batch_put(kv_batch_t *batch, kv_keyspace_t *keyspace, kv_slice_t key,
                                kv_slice_t value, const kv_put_options_t *options);
KV_API kv_status_t kv_batch_delete(kv_batch_t *batch, kv_keyspace_t *keyspace, kv_slice_t key);
KV_API kv_status_t kv_batch_append(kv_batch_t *batch, kv_keyspace_t *keyspace, kv_slice_t key,
                                   kv_slice_t tail);
KV_API kv_status_t kv_batch_add(kv_batch_t *batch, kv_keyspace_t *keyspace, kv_slice_t key,
                                int64_t delta);
KV_API kv_status_t kv_batch_delete_range(kv_batch_t *batch, kv_keyspace_t *keyspace,
                                         const kv_range_t *range);
/* The batch fails with KV_CONFLICT unless the key has this version then; 0: is absent. */
KV_API kv_status_t kv_batch_guard(kv_batch_t *batch, kv_keyspace_t *keyspace, kv_slice_t key,
                                  uint64_t version);
/* Applies it. The first error is the answer, and then nothing has changed; deleting a key that is
 * not there is none. The batch stays as it is and may be applied again. */
KV_API kv_status_t kv_batch_apply(kv_batch_t *batch);

/* ---- transactions ---- */

/*
 * A transaction collects changes and sees them itself; nobody else does before the commit. What was
 * read with kv_transaction_get_for_update must be the same at the commit, else that is KV_CONFLICT
 * and nothing has changed: begin anew. Nothing is locked meanwhile. Iterators see its changes with
 * kv_iterator_options_t.transaction, also those made behind their place; what they read is not
 * guarded. Close them before the commit or rollback.
 */
KV_API kv_status_t kv_transaction_begin(kv_db_t *db, kv_transaction_t **transaction);
/* The transaction's own change of the key, or else the present value. KV_NOT_FOUND, KV_NO_MEMORY.
 * version is 0 in what the transaction wrote itself. */
KV_API kv_status_t kv_transaction_get(kv_transaction_t *transaction, kv_keyspace_t *keyspace,
                                      kv_slice_t key, kv_value_t *value);
KV_API kv_status_t kv_transaction_get_for_update(kv_transaction_t *transaction,
                                                 kv_keyspace_t *keyspace, kv_slice_t key,
                                                 kv_value_t *value);
/* ttl_ms 0: without a deadline. */
KV_API kv_status_t kv_transaction_put(kv_transaction_t *transaction, kv_keyspace_t *keyspace,
                                      kv_slice_t key, kv_slice_t value, int64_t ttl_ms);
/* KV_OK, be the key there or not. */
KV_API kv_status_t kv_transaction_delete(kv_transaction_t *transaction, kv_keyspace_t *keyspace,
                                         kv_slice_t key);
/* As kv_keyspace_append and kv_keyspace_add, and as kv_transaction_get_for_update of the key: it
 * must be the same at the commit. The deadline stays. new_size may be NULL. KV_TOO_LARGE;
 * KV_NOT_NUMBER, KV_OVERFLOW. */
KV_API kv_status_t kv_transaction_append(kv_transaction_t *transaction, kv_keyspace_t *keyspace,
                                         kv_slice_t key, kv_slice_t tail, size_t *new_size);
KV_API kv_status_t kv_transaction_add(kv_transaction_t *transaction, kv_keyspace_t *keyspace,
                                      kv_slice_t key, int64_t delta, int64_t *sum);
/* A place to come back to. They nest: going back to one forgets the later ones. */
KV_API kv_status_t kv_transaction_savepoint(kv_transaction_t *transaction, uint32_t *savepoint);
/* Takes back what was changed since. The savepoint stays. KV_INVALID: there is none of this
 * number. */
KV_API kv_status_t kv_transaction_rollback_to(kv_transaction_t *transaction, uint32_t savepoint);
/* Applies all changes, or none. Frees the transaction if it succeeds, and with KV_CONFLICT; after
 * another error it is as it was: try again, or roll back. */
KV_API kv_status_t kv_transaction_commit(kv_transaction_t *transaction);
/* Frees the transaction; nothing has changed. NULL is accepted. */
KV_API void kv_transaction_rollback(kv_transaction_t *transaction);

/* ---- snapshots ---- */

/*
 * The state of the whole database at the moment of kv_snapshot_take, while the database goes on.
 * Taking one copies nothing; each first change of an entry afterwards keeps its old value aside,
 * once for each snapshot. Iterators go over it on every engine: kv_iterator_options_t.snapshot.
 * Close them before it is released. No engine is converted while there is a snapshot.
 */
KV_API kv_status_t kv_snapshot_take(kv_db_t *db, kv_snapshot_t **snapshot);
KV_API void kv_snapshot_release(kv_snapshot_t *snapshot); /* NULL is accepted */
/* As kv_keyspace_get, of that moment. KV_NO_MEMORY also if an old value could not be kept: the
 * snapshot is of no use then. KV_NOT_FOUND also for a keyspace created since. */
KV_API kv_status_t kv_snapshot_get(kv_snapshot_t *snapshot, kv_keyspace_t *keyspace, kv_slice_t key,
                                   kv_value_t *value);
/* Bytes that old values take. */
KV_API size_t kv_snapshot_bytes(kv_snapshot_t *snapshot);

#ifdef __cplusplus
}
#endif

#endif
