/* SPDX-License-Identifier: MIT */
/* What every implementation of files must do, to be run on an empty directory. */
#ifndef KVI_TESTS_FILES_CONTRACT_H
#define KVI_TESTS_FILES_CONTRACT_H

#include "test.h"

#include "os/files.h"

#include <string.h>

static inline void check_names(kvi_files_t *files)
{
    kvi_file_t *file = NULL;
    assert_int_equal(files->ops->open(files, "a", KVI_OPEN_READ, &file), KV_NOT_FOUND);
    assert_null(file);
    assert_non_null(strstr(kvi_files_reason(), "cannot open a"));
    assert_int_equal(files->ops->open(files, "a", KVI_OPEN_WRITE | KVI_OPEN_CREATE, &file), KV_OK);
    files->ops->close(file);
    assert_int_equal(files->ops->open(files, "a", KVI_OPEN_WRITE | KVI_OPEN_CREATE, &file),
                     KV_EXISTS);
    assert_int_equal(files->ops->rename(files, "a", "b"), KV_OK);
    assert_int_equal(files->ops->rename(files, "a", "c"), KV_NOT_FOUND);
    assert_int_equal(files->ops->sync_directory(files), KV_OK);
    assert_int_equal(files->ops->remove(files, "a"), KV_NOT_FOUND);
    assert_int_equal(files->ops->remove(files, "b"), KV_OK);
    files->ops->close(NULL);
}

static inline void check_bytes(kvi_files_t *files)
{
    char bytes[64];
    size_t got = 99;
    uint64_t size = 99;
    kvi_file_t *file = NULL;
    const unsigned flags = KVI_OPEN_READ | KVI_OPEN_WRITE | KVI_OPEN_CREATE;
    assert_int_equal(files->ops->open(files, "bytes", flags, &file), KV_OK);
    assert_int_equal(files->ops->read_at(file, 0, bytes, sizeof bytes, &got), KV_OK);
    assert_int_equal(got, 0);
    assert_int_equal(files->ops->write_at(file, 10, "0123456789", 10), KV_OK);
    assert_int_equal(files->ops->write_at(file, 12, "xy", 2), KV_OK);
    assert_int_equal(files->ops->size(file, &size), KV_OK);
    assert_int_equal(size, 20);
    assert_int_equal(files->ops->read_at(file, 8, bytes, sizeof bytes, &got), KV_OK);
    assert_int_equal(got, 12);
    assert_memory_equal(bytes, "\0\00001xy456789", 12);
    assert_int_equal(files->ops->sync(file), KV_OK);
    assert_int_equal(files->ops->truncate(file, 13), KV_OK);
    files->ops->drop_cache(file);
    assert_int_equal(files->ops->read_at(file, 10, bytes, sizeof bytes, &got), KV_OK);
    assert_int_equal(got, 3);
    assert_memory_equal(bytes, "01x", 3);
    assert_int_equal(files->ops->truncate(file, 20), KV_OK);
    assert_int_equal(files->ops->read_at(file, 13, bytes, sizeof bytes, &got), KV_OK);
    assert_int_equal(got, 7);
    assert_memory_equal(bytes, "\0\0\0\0\0\0", 7);
    files->ops->close(file);
    assert_int_equal(files->ops->remove(files, "bytes"), KV_OK);
}

/* Where direct files exist, they and ordinary ones see one another's bytes. */
static inline void check_direct(kvi_files_t *files)
{
    static _Alignas(4096) unsigned char block[2 * KVI_DIRECT_BYTES];
    static _Alignas(4096) unsigned char seen[2 * KVI_DIRECT_BYTES];
    size_t got = 0;
    kvi_file_t *file = NULL;
    kvi_file_t *direct = NULL;
    assert_int_equal(files->ops->open(files, "d", KVI_OPEN_WRITE | KVI_OPEN_CREATE, &file), KV_OK);
    memset(block, 'a', sizeof block);
    assert_int_equal(files->ops->write_at(file, 0, block, sizeof block), KV_OK);
    const unsigned flags = KVI_OPEN_READ | KVI_OPEN_WRITE | KVI_OPEN_DIRECT;
    const kv_status_t status = files->ops->open(files, "d", flags, &direct);
    if (status == KV_OK) {
        memset(block + KVI_DIRECT_BYTES, 'b', KVI_DIRECT_BYTES);
        assert_int_equal(files->ops->write_at(direct, KVI_DIRECT_BYTES, block + KVI_DIRECT_BYTES,
                                              KVI_DIRECT_BYTES),
                         KV_OK);
        assert_int_equal(files->ops->read_at(direct, 0, seen, sizeof seen, &got), KV_OK);
        assert_int_equal(got, sizeof seen);
        assert_memory_equal(seen, block, sizeof seen);
        assert_int_equal(files->ops->read_at(direct, sizeof seen, seen, sizeof seen, &got), KV_OK);
        assert_int_equal(got, 0);
    } else {
        assert_int_equal(status, KV_UNSUPPORTED);
    }
    files->ops->close(direct);
    files->ops->close(file);
    assert_int_equal(files->ops->remove(files, "d"), KV_OK);
}

static inline void count_name(void *context, const char *name)
{
    unsigned *const seen = context;
    if (strcmp(name, "one") == 0) {
        *seen += 1;
    } else if (strcmp(name, "two") == 0) {
        *seen += 16;
    } else {
        *seen += 4096;
    }
}

static inline void check_list_and_lock(kvi_files_t *files)
{
    unsigned seen = 0;
    uint64_t space = 0;
    kvi_file_t *lock = NULL;
    kvi_file_t *second = NULL;
    kvi_file_t *file = NULL;
    assert_int_equal(files->ops->list(files, count_name, &seen), KV_OK);
    assert_int_equal(seen, 0);
    assert_int_equal(files->ops->lock(files, "one", &lock), KV_OK);
    assert_int_equal(files->ops->lock(files, "one", &second), KV_BUSY);
    assert_null(second);
    files->ops->close(lock);
    assert_int_equal(files->ops->lock(files, "one", &lock), KV_OK);
    assert_int_equal(files->ops->open(files, "two", KVI_OPEN_WRITE | KVI_OPEN_CREATE, &file),
                     KV_OK);
    files->ops->close(file);
    assert_int_equal(files->ops->list(files, count_name, &seen), KV_OK);
    assert_int_equal(seen, 17);
    assert_int_equal(files->ops->free_space(files, &space), KV_OK);
    assert_true(space > 0);
    files->ops->close(lock);
    assert_int_equal(files->ops->remove(files, "one"), KV_OK);
    assert_int_equal(files->ops->remove(files, "two"), KV_OK);
}

static inline void check_files(kvi_files_t *files)
{
    check_names(files);
    check_bytes(files);
    check_direct(files);
    check_list_and_lock(files);
}

#endif
