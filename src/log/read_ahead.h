/* SPDX-License-Identifier: MIT */
/*
 * Reads one piece of a file on a thread of its own while its user is busy with the piece before: a
 * start that applies a log does not wait for the disk then.
 *
 *   user     ask(piece n + 1) ── works on piece n ── take(piece n + 1) ── ask(piece n + 2) ──
 *   thread        └──────── reads ───────┘                 waits                 └── reads
 *
 * Thread rule: one user. Between ask and take the file and the bytes belong to the thread.
 */
#ifndef KVI_LOG_READ_AHEAD_H
#define KVI_LOG_READ_AHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "os/files.h"

typedef struct kvi_read_ahead kvi_read_ahead_t;

/* NULL without memory or a thread: there is none then, and nobody needs it. */
kvi_read_ahead_t *kvi_read_ahead_open(kvi_files_t *files);
/* Begins to read; what was asked for before must have been taken. */
void kvi_read_ahead_ask(kvi_read_ahead_t *ahead, kvi_file_t *file, uint64_t offset, void *bytes,
                        size_t size);
/* Waits for what was asked for; its status and reason are as if read_at had been called here. */
kv_status_t kvi_read_ahead_take(kvi_read_ahead_t *ahead, size_t *got);
void kvi_read_ahead_close(kvi_read_ahead_t *ahead); /* nothing may be asked for; NULL is accepted */

#endif
