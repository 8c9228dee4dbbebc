/* SPDX-License-Identifier: MIT */
/*
 * A disk in memory that does to its files whatever a real one may: it forgets what was not synced,
 * sector by sector and name by name, in any combination; it fails, shortens or freezes at any
 * operation; it drops pages when a sync fails, and it runs full. What it does follows from a seed.
 *
 *   kvi_sim_open ─► run a program until kvi_sim_fault freezes the disk ─► close what it had open
 *                ─► kvi_sim_power_loss: what is left is now the disk's content ─► run it again
 *
 * The model:
 *  1. A sector of 512 bytes is written whole or not at all. Each one keeps every version written
 *     since the last sync; after a power loss it shows any of them, or the synced one.
 *  2. A file opened with KVI_OPEN_DIRECT syncs what each write has written. Its reads see the disk,
 *     others the cache.
 *  3. Names made, changed and removed since the directory's last sync are each kept or undone.
 *  4. A file's size is that of any moment since its last sync.
 *  5. After a failed sync some sectors are on the disk, the others only in the cache, where they
 *     look written; no later sync writes them.
 *
 * Thread rule: as kvi_files_t; the functions below too.
 */
#ifndef KVI_OS_FILES_SIM_H
#define KVI_OS_FILES_SIM_H

#include "os/files.h"

#define KVI_SIM_SECTOR_BYTES ((size_t)512)

typedef struct kvi_sim_options {
    uint64_t seed;
    uint64_t capacity; /* bytes of all files; 0: no limit */
    bool no_direct;    /* KVI_OPEN_DIRECT is KV_UNSUPPORTED */
} kvi_sim_options_t;

typedef enum kvi_sim_fault {
    KVI_SIM_NONE,
    KVI_SIM_ERROR, /* KV_IO; a write or sync has done some part */
    KVI_SIM_SHORT, /* a write stops in the middle; anything else fails as with KVI_SIM_ERROR */
    KVI_SIM_FULL,  /* KV_DISK_FULL from whatever needs space; nothing else happens */
    KVI_SIM_CRASH  /* the power fails in the middle of it: KV_IO for ever after */
} kvi_sim_fault_t;

kv_status_t kvi_sim_open(const kvi_sim_options_t *options, kvi_files_t **files);

/* Has this operation, counted from 1 since kvi_sim_open, end in that way. Every call of the table
 * but close, drop_cache and free_space counts. */
void kvi_sim_fault(kvi_files_t *files, uint64_t operation, kvi_sim_fault_t fault);
uint64_t kvi_sim_operations(kvi_files_t *files);
/* Whether the fault has happened. */
bool kvi_sim_struck(kvi_files_t *files);
void kvi_sim_set_capacity(kvi_files_t *files, uint64_t bytes);

/* The power fails and comes back: unsynced things are kept or not, as the seed says. No file may be
 * open. The fault is forgotten. */
void kvi_sim_power_loss(kvi_files_t *files, uint64_t seed);
/* The process is killed and the system lives on: nothing is lost, the lock is free. */
void kvi_sim_kill(kvi_files_t *files);

/* The content of a file as the disk has it, what is unsynced included. NULL if there is none. Valid
 * until the file is written to. */
const unsigned char *kvi_sim_bytes(kvi_files_t *files, const char *name, size_t *size);
/* Damages a file: flips these bits of a byte, or shortens it. Cache and disk alike. */
void kvi_sim_flip(kvi_files_t *files, const char *name, size_t offset, unsigned char bits);
void kvi_sim_cut(kvi_files_t *files, const char *name, size_t size);

#endif
