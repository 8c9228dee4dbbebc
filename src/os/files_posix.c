/* SPDX-License-Identifier: MIT */
/*
 * Files of a directory, by POSIX and Linux. A file opened past the page cache is opened with
 * O_DSYNC too, so a write that has returned is on stable storage and costs one journey to the
 * device.
 */
#include "os/files_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

typedef struct posix_files {
    kvi_files_t base;
    int directory;
} posix_files_t;

struct kvi_file {
    int descriptor;
    bool direct;
    char name[KVI_FILE_NAME_BYTES];
};

static kv_status_t status_of(int error)
{
    switch (error) {
    case ENOENT:
        return KV_NOT_FOUND;
    case EEXIST:
        return KV_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return KV_DISK_FULL;
    case ENOMEM:
        return KV_NO_MEMORY;
    default:
        return KV_IO;
    }
}

/* Of errno. */
static kv_status_t fail(const char *what, const char *name)
{
    const int error = errno;
    char text[96];
    return kvi_files_fail(status_of(error), "cannot %s %s: %s", what, name,
                          strerror_r(error, text, sizeof text));
}

static kv_status_t fail_at(const char *what, const kvi_file_t *file, uint64_t offset)
{
    const int error = errno;
    char text[96];
    /* What the file system says to sizes or addresses that it wants still rounder. */
    const kv_status_t status = error == EINVAL && file->direct ? KV_UNSUPPORTED : status_of(error);
    return kvi_files_fail(status, "cannot %s %s at %llu: %s", what, file->name,
                          (unsigned long long)offset, strerror_r(error, text, sizeof text));
}

static int directory_of(const kvi_files_t *files)
{
    return ((const posix_files_t *)(const void *)files)->directory;
}

static int open_flags(unsigned flags)
{
    int result = O_CLOEXEC;
    if ((flags & KVI_OPEN_WRITE) == 0) {
        result |= O_RDONLY;
    } else {
        result |= (flags & KVI_OPEN_READ) != 0 ? O_RDWR : O_WRONLY;
    }
    if ((flags & KVI_OPEN_CREATE) != 0) {
        result |= O_CREAT | O_EXCL;
    }
    if ((flags & KVI_OPEN_DIRECT) != 0) {
        result |= O_DIRECT | O_DSYNC;
    }
    return result;
}

static kv_status_t posix_open(kvi_files_t *files, const char *name, unsigned flags,
                              kvi_file_t **file)
{
    kvi_file_t *const opened = malloc(sizeof *opened);
    *file = NULL;
    if (opened == NULL) {
        return kvi_files_fail(KV_NO_MEMORY, "cannot open %s: out of memory", name);
    }
    do {
        opened->descriptor = openat(directory_of(files), name, open_flags(flags), 0600);
    } while (opened->descriptor < 0 && errno == EINTR);
    if (opened->descriptor < 0) {
        const bool unsupported = errno == EINVAL && (flags & KVI_OPEN_DIRECT) != 0;
        const kv_status_t status = fail("open", name);
        free(opened);
        if (unsupported && (flags & KVI_OPEN_CREATE) != 0) {
            /* Linux makes the file first and then finds that it cannot be opened so. */
            (void)unlinkat(directory_of(files), name, 0);
        }
        return unsupported ? KV_UNSUPPORTED : status;
    }
    opened->direct = (flags & KVI_OPEN_DIRECT) != 0;
    (void)snprintf(opened->name, sizeof opened->name, "%s", name);
    *file = opened;
    return KV_OK;
}

static void posix_close(kvi_file_t *file)
{
    if (file != NULL) {
        (void)close(file->descriptor);
        free(file);
    }
}

static kv_status_t posix_read_at(kvi_file_t *file, uint64_t offset, void *bytes, size_t size,
                                 size_t *got)
{
    *got = 0;
    while (*got < size) {
        const ssize_t now =
            pread(file->descriptor, (char *)bytes + *got, size - *got, (off_t)(offset + *got));
        if (now < 0 && errno == EINTR) {
            continue;
        }
        if (now < 0) {
            return fail_at("read", file, offset + *got);
        }
        *got += (size_t)now;
        /* A direct read that ends between two sectors has met the end of the file. */
        if (now == 0 || (file->direct && (size_t)now % KVI_DIRECT_BYTES != 0)) {
            break;
        }
    }
    return KV_OK;
}

static kv_status_t posix_write_at(kvi_file_t *file, uint64_t offset, const void *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        const ssize_t now = pwrite(file->descriptor, (const char *)bytes + done, size - done,
                                   (off_t)(offset + done));
        if (now < 0 && errno == EINTR) {
            continue;
        }
        if (now < 0) {
            return fail_at("write", file, offset + done);
        }
        if (now == 0) {
            errno = EIO;
            return fail_at("write", file, offset + done);
        }
        done += (size_t)now;
    }
    return KV_OK;
}

static kv_status_t posix_sync(kvi_file_t *file)
{
    int result;
    do {
        result = fdatasync(file->descriptor);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? KV_OK : fail("sync", file->name);
}

static kv_status_t posix_size(kvi_file_t *file, uint64_t *bytes)
{
    struct stat facts;
    if (fstat(file->descriptor, &facts) != 0) {
        return fail("ask for the size of", file->name);
    }
    *bytes = (uint64_t)facts.st_size;
    return KV_OK;
}

static kv_status_t posix_truncate(kvi_file_t *file, uint64_t bytes)
{
    int result;
    do {
        result = ftruncate(file->descriptor, (off_t)bytes);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? KV_OK : fail_at("truncate", file, bytes);
}

static void posix_drop_cache(kvi_file_t *file)
{
    (void)posix_fadvise(file->descriptor, 0, 0, POSIX_FADV_DONTNEED);
}

static kv_status_t posix_rename(kvi_files_t *files, const char *name, const char *new_name)
{
    const int directory = directory_of(files);
    return renameat(directory, name, directory, new_name) == 0 ? KV_OK : fail("rename", name);
}

static kv_status_t posix_remove(kvi_files_t *files, const char *name)
{
    return unlinkat(directory_of(files), name, 0) == 0 ? KV_OK : fail("remove", name);
}

static kv_status_t posix_sync_directory(kvi_files_t *files)
{
    int result;
    do {
        result = fsync(directory_of(files));
    } while (result != 0 && errno == EINTR);
    return result == 0 ? KV_OK : fail("sync", "the directory");
}

static kv_status_t posix_list(kvi_files_t *files, void (*visit)(void *context, const char *name),
                              void *context)
{
    /* A descriptor of its own, because reading moves it. */
    const int descriptor = openat(directory_of(files), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *const directory = descriptor < 0 ? NULL : fdopendir(descriptor);
    if (directory == NULL) {
        const kv_status_t status = fail("list", "the directory");
        if (descriptor >= 0) {
            (void)close(descriptor);
        }
        return status;
    }
    const struct dirent *entry;
    for (errno = 0; (entry = readdir(directory)) != NULL; errno = 0) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            visit(context, entry->d_name);
        }
    }
    const kv_status_t status = errno == 0 ? KV_OK : fail("list", "the directory");
    (void)closedir(directory);
    return status;
}

static kv_status_t posix_lock(kvi_files_t *files, const char *name, kvi_file_t **lock)
{
    kvi_file_t *const file = malloc(sizeof *file);
    *lock = NULL;
    if (file == NULL) {
        return kvi_files_fail(KV_NO_MEMORY, "cannot lock %s: out of memory", name);
    }
    file->direct = false;
    (void)snprintf(file->name, sizeof file->name, "%s", name);
    file->descriptor = openat(directory_of(files), name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file->descriptor < 0) {
        const kv_status_t status = fail("open", name);
        free(file);
        return status;
    }
    if (flock(file->descriptor, LOCK_EX | LOCK_NB) != 0) {
        const bool taken = errno == EWOULDBLOCK;
        const kv_status_t status = fail("lock", name);
        posix_close(file);
        return taken ? KV_BUSY : status;
    }
    *lock = file;
    return KV_OK;
}

static kv_status_t posix_free_space(kvi_files_t *files, uint64_t *bytes)
{
    struct statvfs facts;
    if (fstatvfs(directory_of(files), &facts) != 0) {
        return fail("ask for the free space of", "the directory");
    }
    *bytes = (uint64_t)facts.f_bavail * facts.f_frsize;
    return KV_OK;
}

static void posix_destroy(kvi_files_t *files)
{
    (void)close(directory_of(files));
    free(files);
}

static const kvi_files_ops_t posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .read_at = posix_read_at,
    .write_at = posix_write_at,
    .sync = posix_sync,
    .size = posix_size,
    .truncate = posix_truncate,
    .drop_cache = posix_drop_cache,
    .rename = posix_rename,
    .remove = posix_remove,
    .sync_directory = posix_sync_directory,
    .list = posix_list,
    .lock = posix_lock,
    .free_space = posix_free_space,
    .destroy = posix_destroy,
};

/* Makes path durable in the directory above it. */
static kv_status_t sync_parent(int directory, const char *path)
{
    const int parent = openat(directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) {
        return fail("open the directory above", path);
    }
    const kv_status_t status = fsync(parent) == 0 ? KV_OK : fail("sync the directory above", path);
    (void)close(parent);
    return status;
}

kv_status_t kvi_files_open(const char *path, bool create, kvi_files_t **files)
{
    *files = NULL;
    bool made = false;
    if (create) {
        made = mkdir(path, 0700) == 0;
        if (!made && errno != EEXIST) {
            return fail("make the directory", path);
        }
    }
    const int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return fail("open the directory", path);
    }
    kv_status_t status = made ? sync_parent(directory, path) : KV_OK;
    posix_files_t *const opened = status == KV_OK ? malloc(sizeof *opened) : NULL;
    if (opened == NULL) {
        (void)close(directory);
        return status != KV_OK ? status : kvi_files_fail(KV_NO_MEMORY, "out of memory");
    }
    *opened = (posix_files_t){{&posix_ops}, directory};
    *files = &opened->base;
    return KV_OK;
}
