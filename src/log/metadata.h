/* SPDX-License-Identifier: MIT */
/*
 * What a directory says about its database: the format, who it is, and what a vote needs to
 * survive. Two files are written in turn, so that one of them is always whole.
 *
 *   meta-0, meta-1   offset  bytes
 *                         0      8  XXH3 of the rest
 *                         8      8  "KVMETADA"
 *                        16      4  format version
 *                        20      4  0
 *                        24      8  counter; the higher one counts
 *                        32     16  identity, random
 *                        48      8  term
 *                        56      8  vote
 *                        64      8  when the database was made, ms
 *                        72      8  numbered keyspaces that are always there
 *                        80    432  0
 *
 * Thread rule: one user at a time.
 */
#ifndef KVI_LOG_METADATA_H
#define KVI_LOG_METADATA_H

#include <stdbool.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "os/files.h"

#define KVI_METADATA_VERSION 1U
#define KVI_METADATA_BYTES ((size_t)512)

typedef struct kvi_metadata {
    uint64_t counter;
    unsigned char identity[16];
    uint64_t term;
    uint64_t vote;
    int64_t created_ms;
    uint64_t keyspaces;
} kvi_metadata_t;

/* KV_NOT_FOUND: there are no such files. KV_CORRUPT: none of them verifies. KV_NEWER; errors of the
 * files. */
kv_status_t kvi_metadata_read(kvi_files_t *files, kvi_metadata_t *metadata);
/* Counts on and writes; durable when it returns. After an error the earlier state stands. */
kv_status_t kvi_metadata_write(kvi_files_t *files, kvi_metadata_t *metadata);
/* Of a new database: a random identity, in both files. */
kv_status_t kvi_metadata_create(kvi_files_t *files, uint64_t keyspaces, int64_t now_ms,
                                kvi_metadata_t *metadata);
/* Whether it is the name of one of the two files. */
bool kvi_metadata_is_name(const char *name);

#endif
