/* SPDX-License-Identifier: MIT */
/*
 * Files as an interface: a table of functions that POSIX (files_posix.c) and a simulated disk
 * (files_sim.c) implement. The log, snapshots and recovery reach the disk through it and nothing
 * else, so that tests can fail, tear, shorten, reorder and forget every single operation.
 *
 * Names are relative to the one directory that a kvi_files_t stands for; they hold no slash.
 * Every failing call leaves a sentence about itself, the system's reason included, for
 * kvi_files_reason of the same thread.
 *
 * Thread rule: a kvi_file_t has one user at a time; the functions of a kvi_files_t may be called
 * from any thread.
 */
#ifndef KVI_OS_FILES_H
#define KVI_OS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

typedef struct kvi_files kvi_files_t;
typedef struct kvi_file kvi_file_t;

typedef enum kvi_open_flag {
    KVI_OPEN_READ = 1 << 0,
    KVI_OPEN_WRITE = 1 << 1,
    KVI_OPEN_CREATE = 1 << 2, /* it must not exist yet: KV_EXISTS */
    /* Past the page cache, and every write is durable when it returns. Offsets, sizes and addresses
     * are multiples of KVI_DIRECT_BYTES then. KV_UNSUPPORTED where the file system cannot. */
    KVI_OPEN_DIRECT = 1 << 3
} kvi_open_flag_t;

#define KVI_DIRECT_BYTES ((size_t)4096)
#define KVI_FILE_NAME_BYTES 64 /* of our own names, the closing 0 included */

/* Errors: KV_IO; KV_NOT_FOUND and KV_EXISTS from open and rename; KV_DISK_FULL from whatever
 * writes; KV_NO_MEMORY. */
typedef struct kvi_files_ops {
    kv_status_t (*open)(kvi_files_t *files, const char *name, unsigned flags, kvi_file_t **file);
    void (*close)(kvi_file_t *file); /* NULL is accepted */
    /* Reads until size or the end of the file; *got says how much. */
    kv_status_t (*read_at)(kvi_file_t *file, uint64_t offset, void *bytes, size_t size,
                           size_t *got);
    /* All of it or an error, after which any part may have been written. */
    kv_status_t (*write_at)(kvi_file_t *file, uint64_t offset, const void *bytes, size_t size);
    /* What was written is on stable storage afterwards. After an error it may be lost, and a second
     * call that succeeds does not mean otherwise. */
    kv_status_t (*sync)(kvi_file_t *file);
    kv_status_t (*size)(kvi_file_t *file, uint64_t *bytes);
    kv_status_t (*truncate)(kvi_file_t *file, uint64_t bytes);
    /* Forgets cached pages, so that the next read shows what the disk holds. A hint. */
    void (*drop_cache)(kvi_file_t *file);

    /* Replaces what has the new name. Durable only after sync_directory, as are new and removed
     * names. */
    kv_status_t (*rename)(kvi_files_t *files, const char *name, const char *new_name);
    kv_status_t (*remove)(kvi_files_t *files, const char *name);
    kv_status_t (*sync_directory)(kvi_files_t *files);
    /* Calls visit with each name, in no particular order. */
    kv_status_t (*list)(kvi_files_t *files, void (*visit)(void *context, const char *name),
                        void *context);
    /* Takes the directory for this process, by a lock on the file name that ends with the process
     * at the latest. KV_BUSY when somebody has it. */
    kv_status_t (*lock)(kvi_files_t *files, const char *name, kvi_file_t **lock);
    kv_status_t (*free_space)(kvi_files_t *files, uint64_t *bytes);
    void (*destroy)(kvi_files_t *files);
} kvi_files_ops_t;

/* Every implementation's struct begins with its table. */
struct kvi_files {
    const kvi_files_ops_t *ops;
};

/* The directory path, which is made if it is missing and create is true. KV_NOT_FOUND, KV_IO,
 * KV_NO_MEMORY. */
kv_status_t kvi_files_open(const char *path, bool create, kvi_files_t **files);
void kvi_files_close(kvi_files_t *files); /* NULL is accepted */
/* What the last call on this thread that failed was about: "cannot write wal-3.log at 4096: No
 * space left on device". Valid until the next failing call of the thread. */
const char *kvi_files_reason(void);

#endif
