/* SPDX-License-Identifier: MIT */
/* The two files of metadata, read and written in turn. */
#include "log/metadata.h"

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "os/os.h"

#define MAGIC "KVMETADA"

static const char *const names[2] = {"meta-0", "meta-1"};

bool kvi_metadata_is_name(const char *name)
{
    return strcmp(name, names[0]) == 0 || strcmp(name, names[1]) == 0;
}

static void encode(const kvi_metadata_t *metadata, char bytes[KVI_METADATA_BYTES])
{
    memset(bytes, 0, KVI_METADATA_BYTES);
    memcpy(bytes + 8, MAGIC, 8);
    kvi_bytes_store_le32(bytes + 16, KVI_METADATA_VERSION);
    kvi_bytes_store_le64(bytes + 24, metadata->counter);
    memcpy(bytes + 32, metadata->identity, sizeof(metadata->identity));
    kvi_bytes_store_le64(bytes + 48, metadata->term);
    kvi_bytes_store_le64(bytes + 56, metadata->vote);
    kvi_bytes_store_le64(bytes + 64, (uint64_t)metadata->created_ms);
    kvi_bytes_store_le64(bytes + 72, metadata->keyspaces);
    kvi_bytes_store_le64(bytes, kvi_hash_bytes(bytes + 8, KVI_METADATA_BYTES - 8, 0));
}

static kv_status_t decode(const char bytes[KVI_METADATA_BYTES], kvi_metadata_t *metadata)
{
    if (kvi_bytes_load_le64(bytes) != kvi_hash_bytes(bytes + 8, KVI_METADATA_BYTES - 8, 0) ||
        memcmp(bytes + 8, MAGIC, 8) != 0) {
        return KV_CORRUPT;
    }
    if (kvi_bytes_load_le32(bytes + 16) > KVI_METADATA_VERSION) {
        return KV_NEWER;
    }
    metadata->counter = kvi_bytes_load_le64(bytes + 24);
    memcpy(metadata->identity, bytes + 32, sizeof(metadata->identity));
    metadata->term = kvi_bytes_load_le64(bytes + 48);
    metadata->vote = kvi_bytes_load_le64(bytes + 56);
    metadata->created_ms = (int64_t)kvi_bytes_load_le64(bytes + 64);
    metadata->keyspaces = kvi_bytes_load_le64(bytes + 72);
    return KV_OK;
}

static kv_status_t read_one(kvi_files_t *files, const char *name, kvi_metadata_t *metadata)
{
    kvi_file_t *file;
    kv_status_t status = files->ops->open(files, name, KVI_OPEN_READ, &file);
    if (status != KV_OK) {
        return status;
    }
    char bytes[KVI_METADATA_BYTES];
    size_t got = 0;
    status = files->ops->read_at(file, 0, bytes, sizeof(bytes), &got);
    files->ops->close(file);
    if (status != KV_OK) {
        return status;
    }
    return got == sizeof(bytes) ? decode(bytes, metadata) : KV_CORRUPT;
}

kv_status_t kvi_metadata_read(kvi_files_t *files, kvi_metadata_t *metadata)
{
    kv_status_t result = KV_NOT_FOUND;
    for (size_t i = 0; i < 2; i++) {
        kvi_metadata_t one = {0};
        const kv_status_t status = read_one(files, names[i], &one);
        if (status == KV_OK) {
            if (result != KV_OK || one.counter > metadata->counter) {
                *metadata = one;
            }
            result = KV_OK;
        } else if (status == KV_CORRUPT) {
            result = result == KV_NOT_FOUND ? KV_CORRUPT : result;
        } else if (status != KV_NOT_FOUND) {
            return status;
        }
    }
    return result;
}

kv_status_t kvi_metadata_write(kvi_files_t *files, kvi_metadata_t *metadata)
{
    kvi_metadata_t next = *metadata;
    next.counter++;
    char bytes[KVI_METADATA_BYTES];
    encode(&next, bytes);
    const char *const name = names[next.counter & 1];
    kvi_file_t *file;
    kv_status_t status = files->ops->open(files, name, KVI_OPEN_WRITE, &file);
    const bool is_new = status == KV_NOT_FOUND;
    if (is_new) {
        status = files->ops->open(files, name, KVI_OPEN_WRITE | KVI_OPEN_CREATE, &file);
    }
    if (status != KV_OK) {
        return status;
    }
    status = files->ops->write_at(file, 0, bytes, sizeof(bytes));
    if (status == KV_OK) {
        status = files->ops->sync(file);
    }
    files->ops->close(file);
    if (status == KV_OK && is_new) {
        status = files->ops->sync_directory(files);
    }
    if (status == KV_OK) {
        *metadata = next;
    }
    return status;
}

kv_status_t kvi_metadata_create(kvi_files_t *files, uint64_t keyspaces, int64_t now_ms,
                                kvi_metadata_t *metadata)
{
    *metadata = (kvi_metadata_t){.created_ms = now_ms, .keyspaces = keyspaces};
    if (!kvi_os_random(metadata->identity, sizeof(metadata->identity))) {
        return KV_IO;
    }
    const kv_status_t status = kvi_metadata_write(files, metadata);
    return status == KV_OK ? kvi_metadata_write(files, metadata) : status;
}
