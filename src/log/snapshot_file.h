/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a snapshot file. Little endian; docs/FORMATS.md says the same at more length.
 *
 *   header of 80 bytes | chunk | chunk | ... | footer, which is a chunk too; the file ends with it
 *
 *   header   offset  bytes                        chunk   offset  bytes
 *                 0      8  XXH3 of the rest                   0      8  XXH3 of the rest of the
 *                           of the header                                header and the payload,
 *                 8      8  "KVSNAPSH"                                   seeded with the salt
 *                16      4  format version                     8      8  number, from 0
 *                20      4  0                                 16      8  payload bytes in the file
 *                24      8  LSN                               24      8  payload bytes, unpacked
 *                32      8  term                              32      4  items
 *                40      8  the database's time, ms           36      1  kind
 *                48     16  identity of the database          37      1  0: plain, 1: zstd
 *                64      8  salt                              38      2  0
 *                72      8  0                                 40    ...  payload
 *
 *   kind 1, keyspaces: for each its number, the size of its name, the name, the size of its
 *     attributes, the attributes as in a batch, and about how many entries it has
 *   kind 2, entries: for each
 *     flags      1 byte   bit 0: has a deadline; bits 1-2: form; bit 3: names its keyspace, else
 *                         it is that of the entry before; bit 4: has an access clock
 *     keyspace   varint   only if flags say so; the first entry of a chunk always has it
 *     key size   varint
 *     value size varint
 *     deadline   8 bytes  only if flags say so
 *     clock      3 bytes  only if flags say so
 *     key, value
 *   kind 3, footer: LSN, term, chunks before it, entries, keyspaces, bytes of the file before it,
 *     XXH3 of those bytes, 0: eight bytes each
 *
 * Invariants:
 *  1. Keyspaces come before entries. Entries have no order, and no key of a keyspace comes twice.
 *  2. What has the name snap-<LSN>-<term>.snap was synced whole before it got it.
 *  3. The salt makes sure that nothing of another snapshot verifies.
 *
 * Thread rule: each object has one user at a time.
 */
#ifndef KVI_LOG_SNAPSHOT_FILE_H
#define KVI_LOG_SNAPSHOT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "db/db.h"
#include "os/files.h"

#define KVI_SNAPSHOT_VERSION 1U
#define KVI_SNAPSHOT_HEADER_BYTES ((size_t)80)
#define KVI_CHUNK_HEADER_BYTES ((size_t)40)
#define KVI_CHUNK_PAYLOAD_BYTES ((size_t)256 << 10) /* of an ordinary one */
#define KVI_FOOTER_BYTES ((size_t)64)
/* Most that a payload unpacks to: a key and a value of the largest sizes that a database takes. */
#define KVI_CHUNK_PAYLOAD_MAX (((size_t)1 << 30) + KVI_CHUNK_PAYLOAD_BYTES)

typedef enum kvi_chunk_kind {
    KVI_CHUNK_KEYSPACES = 1,
    KVI_CHUNK_ENTRIES = 2,
    KVI_CHUNK_FOOTER = 3
} kvi_chunk_kind_t;

typedef struct kvi_snapshot_head {
    uint64_t lsn;
    uint64_t term;
    int64_t time_ms;
    unsigned char identity[16];
    uint64_t salt;
} kvi_snapshot_head_t;

typedef struct kvi_snapshot_keyspace {
    uint32_t number;
    kv_slice_t name;
    kv_slice_t attributes; /* encoded */
    uint64_t expected_count;
} kvi_snapshot_keyspace_t;

typedef struct kvi_snapshot_entry {
    uint32_t keyspace;
    kv_slice_t key;
    kv_slice_t value;
    kvi_form_t form;
    int64_t deadline_ms; /* KVI_NO_DEADLINE: none */
    uint32_t access;     /* clock of record.h */
} kvi_snapshot_entry_t;

/* ---- names ---- */

typedef struct kvi_snapshot_name {
    uint64_t lsn;
    uint64_t term;
} kvi_snapshot_name_t;

void kvi_snapshot_name_print(kvi_snapshot_name_t name, char text[KVI_FILE_NAME_BYTES]);
/* False: the text is no snapshot's name. */
bool kvi_snapshot_name_parse(const char *text, kvi_snapshot_name_t *name);
/* Whether it is the name of a snapshot that was not finished. */
bool kvi_snapshot_name_is_temporary(const char *text);
/* The snapshots of a directory, newest first; *names is freed with kv_store_free, NULL if there
 * are none. KV_NO_MEMORY, errors of the files. */
kv_status_t kvi_snapshot_list(kvi_files_t *files, kvi_snapshot_name_t **names, size_t *count);

/* ---- a chunk being filled ---- */

typedef struct kvi_chunk kvi_chunk_t;
struct kvi_chunk {
    kvi_chunk_t *next; /* its user's */
    kvi_chunk_kind_t kind;
    uint32_t count;
    uint32_t keyspace; /* of the last entry */
    size_t size;       /* of the payload */
    size_t capacity;
    char bytes[]; /* header and payload */
};

/* An empty one with room for an entry of entry_bytes at least, whatever the usual size is. NULL
 * when memory is short. Freed with kv_store_free. */
kvi_chunk_t *kvi_chunk_create(size_t entry_bytes);
void kvi_chunk_reset(kvi_chunk_t *chunk, kvi_chunk_kind_t kind);
/* False: it does not fit, and nothing has changed. */
bool kvi_chunk_add_entry(kvi_chunk_t *chunk, const kvi_snapshot_entry_t *entry);
bool kvi_chunk_add_keyspace(kvi_chunk_t *chunk, const kvi_snapshot_keyspace_t *keyspace);
/* At most this many bytes are added. */
size_t kvi_chunk_entry_bytes_max(const kvi_snapshot_entry_t *entry);
size_t kvi_chunk_keyspace_bytes_max(const kvi_snapshot_keyspace_t *keyspace);

/* ---- a file being written ---- */

typedef struct kvi_snapshot_writer kvi_snapshot_writer_t;

typedef struct kvi_snapshot_totals {
    uint64_t chunks;
    uint64_t entries;
    uint64_t keyspaces;
    uint64_t bytes;
} kvi_snapshot_totals_t;

/* Creates the file under a temporary name and writes its header. */
kv_status_t kvi_snapshot_writer_open(kvi_files_t *files, const kvi_snapshot_head_t *head,
                                     bool compress, kvi_snapshot_writer_t **writer);
/* Numbers, seals and writes a chunk. After an error only close is left. */
kv_status_t kvi_snapshot_writer_add(kvi_snapshot_writer_t *writer, kvi_chunk_t *chunk);
/* Footer, sync, rename, directory sync. */
kv_status_t kvi_snapshot_writer_publish(kvi_snapshot_writer_t *writer);
void kvi_snapshot_writer_totals(const kvi_snapshot_writer_t *writer, kvi_snapshot_totals_t *totals);
/* Removes the file if it was not published. NULL is accepted. */
void kvi_snapshot_writer_close(kvi_snapshot_writer_t *writer);

/* ---- a file being read ---- */

typedef struct kvi_snapshot_reader kvi_snapshot_reader_t;

/* Where something is wrong, for messages. */
typedef struct kvi_snapshot_fault {
    uint64_t offset;
    char reason[160]; /* what is wrong there; "" */
} kvi_snapshot_fault_t;

/* A chunk that verified; its items are read one after the other. */
typedef struct kvi_chunk_view {
    kvi_chunk_kind_t kind;
    uint64_t number;
    uint64_t offset; /* of its header */
    const char *start;
    const char *at;
    const char *end;
    uint32_t left; /* items */
    uint32_t keyspace;
    bool has_keyspace;
} kvi_chunk_view_t;

/* Reads the header. KV_CORRUPT and KV_NEWER with a fault; KV_NOT_FOUND; KV_NO_MEMORY; errors of the
 * files. On errors there is no reader. */
kv_status_t kvi_snapshot_reader_open(kvi_files_t *files, const char *name,
                                     kvi_snapshot_reader_t **reader, kvi_snapshot_fault_t *fault);
const kvi_snapshot_head_t *kvi_snapshot_reader_head(const kvi_snapshot_reader_t *reader);
uint64_t kvi_snapshot_reader_bytes(const kvi_snapshot_reader_t *reader); /* of the file */
uint64_t kvi_snapshot_reader_at(const kvi_snapshot_reader_t *reader);    /* read so far */
/* The next chunk of keyspaces or entries, valid until the next call. KV_NOT_FOUND: the footer came,
 * and all of the file verified. KV_CORRUPT, KV_NEWER; KV_NO_MEMORY; errors of the files. */
kv_status_t kvi_snapshot_reader_next(kvi_snapshot_reader_t *reader, kvi_chunk_view_t *view,
                                     kvi_snapshot_fault_t *fault);
/* For salvage, after KV_CORRUPT: looks for the next chunk that verifies. KV_NOT_FOUND: none. */
kv_status_t kvi_snapshot_reader_skip(kvi_snapshot_reader_t *reader);
void kvi_snapshot_reader_totals(const kvi_snapshot_reader_t *reader, kvi_snapshot_totals_t *totals);
void kvi_snapshot_reader_close(kvi_snapshot_reader_t *reader); /* NULL is accepted */

/* The next item; its slices point into the chunk. KV_NOT_FOUND at the end, KV_CORRUPT. */
kv_status_t kvi_chunk_next_entry(kvi_chunk_view_t *view, kvi_snapshot_entry_t *entry);
kv_status_t kvi_chunk_next_keyspace(kvi_chunk_view_t *view, kvi_snapshot_keyspace_t *keyspace);

#endif
