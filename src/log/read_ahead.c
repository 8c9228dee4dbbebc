/* SPDX-License-Identifier: MIT */
/*
 * The thread that reads ahead, and what it shares with its user.
 *
 * Invariant: asked and not yet done: the request's fields are the thread's. Otherwise they are the
 * user's. asked and done change with the mutex locked.
 */
#include "log/read_ahead.h"

#include <stdio.h>

#include <concordkv/kv_memory.h>

#include "os/files_int.h"
#include "os/os.h"

struct kvi_read_ahead {
    kvi_files_t *files;
    kvi_os_thread_t thread;
    kvi_os_mutex_t mutex;
    kvi_os_condition_t work;
    kvi_os_condition_t ready;
    bool asked;
    bool done;
    bool stop;
    kvi_file_t *file;
    uint64_t offset;
    void *bytes;
    size_t size;
    size_t got;
    kv_status_t status;
    char reason[256];
};

static void run(void *argument)
{
    kvi_read_ahead_t *const ahead = argument;
    kvi_os_lock(&ahead->mutex);
    while (!ahead->stop) {
        if (!ahead->asked || ahead->done) {
            kvi_os_wait(&ahead->work, &ahead->mutex);
            continue;
        }
        kvi_os_unlock(&ahead->mutex);
        ahead->status = ahead->files->ops->read_at(ahead->file, ahead->offset, ahead->bytes,
                                                   ahead->size, &ahead->got);
        if (ahead->status != KV_OK) {
            (void)snprintf(ahead->reason, sizeof ahead->reason, "%s", kvi_files_reason());
        }
        kvi_os_lock(&ahead->mutex);
        ahead->done = true;
        kvi_os_wake(&ahead->ready);
    }
    kvi_os_unlock(&ahead->mutex);
}

kvi_read_ahead_t *kvi_read_ahead_open(kvi_files_t *files)
{
    kvi_read_ahead_t *const ahead = kv_store_calloc(1, sizeof *ahead);
    if (ahead == NULL) {
        return NULL;
    }
    ahead->files = files;
    if (!kvi_os_thread_start(&ahead->thread, run, ahead)) {
        kv_store_free(ahead);
        return NULL;
    }
    return ahead;
}

void kvi_read_ahead_ask(kvi_read_ahead_t *ahead, kvi_file_t *file, uint64_t offset, void *bytes,
                        size_t size)
{
    kvi_os_lock(&ahead->mutex);
    ahead->file = file;
    ahead->offset = offset;
    ahead->bytes = bytes;
    ahead->size = size;
    ahead->asked = true;
    ahead->done = false;
    kvi_os_wake(&ahead->work);
    kvi_os_unlock(&ahead->mutex);
}

kv_status_t kvi_read_ahead_take(kvi_read_ahead_t *ahead, size_t *got)
{
    kvi_os_lock(&ahead->mutex);
    while (!ahead->done) {
        kvi_os_wait(&ahead->ready, &ahead->mutex);
    }
    ahead->asked = false;
    kvi_os_unlock(&ahead->mutex);
    *got = ahead->got;
    return ahead->status == KV_OK ? KV_OK : kvi_files_fail(ahead->status, "%s", ahead->reason);
}

void kvi_read_ahead_close(kvi_read_ahead_t *ahead)
{
    if (ahead == NULL) {
        return;
    }
    kvi_os_lock(&ahead->mutex);
    ahead->stop = true;
    kvi_os_wake(&ahead->work);
    kvi_os_unlock(&ahead->mutex);
    kvi_os_thread_join(&ahead->thread);
    kv_store_free(ahead);
}
