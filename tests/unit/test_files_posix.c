/* SPDX-License-Identifier: MIT */
/* Files on the real file system: the contract, and writes that the system cuts short. */
#include "files_contract.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "kv-files-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static void keeps_the_contract(void **state)
{
    (void)state;
    kvi_files_t *files = NULL;
    assert_int_equal(kvi_files_open(folder, false, &files), KV_OK);
    check_files(files);
    kvi_files_close(files);
    kvi_files_close(NULL);
}

static void directory_is_made_on_request(void **state)
{
    (void)state;
    char path[64];
    kvi_files_t *files = NULL;
    (void)snprintf(path, sizeof path, "%s/inner", folder);
    assert_int_equal(kvi_files_open(path, false, &files), KV_NOT_FOUND);
    assert_null(files);
    assert_non_null(strstr(kvi_files_reason(), path));
    assert_int_equal(kvi_files_open(path, true, &files), KV_OK);
    kvi_files_close(files);
    assert_int_equal(kvi_files_open(path, true, &files), KV_OK);
    kvi_files_close(files);
    assert_int_equal(rmdir(path), 0);
}

/* The first write reaches the limit and is short; only the second one says why. */
static void short_write_is_an_error(void **state)
{
    (void)state;
    char bytes[100] = "";
    uint64_t size = 0;
    struct rlimit before;
    kvi_files_t *files = NULL;
    kvi_file_t *file = NULL;
    assert_int_equal(kvi_files_open(folder, false, &files), KV_OK);
    assert_int_equal(files->ops->open(files, "s", KVI_OPEN_WRITE | KVI_OPEN_CREATE, &file), KV_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit limit = {60, before.rlim_max};
    void (*const handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const kv_status_t status = files->ops->write_at(file, 0, bytes, sizeof bytes);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(status, KV_DISK_FULL);
    assert_non_null(strstr(kvi_files_reason(), "cannot write s at 60"));
    assert_int_equal(files->ops->size(file, &size), KV_OK);
    assert_int_equal(size, 60);
    files->ops->close(file);
    assert_int_equal(files->ops->remove(files, "s"), KV_OK);
    kvi_files_close(files);
}

static void full_device_is_disk_full(void **state)
{
    (void)state;
    kvi_files_t *files = NULL;
    kvi_file_t *file = NULL;
    assert_int_equal(kvi_files_open("/dev", false, &files), KV_OK);
    assert_int_equal(files->ops->open(files, "full", KVI_OPEN_WRITE, &file), KV_OK);
    assert_int_equal(files->ops->write_at(file, 0, "x", 1), KV_DISK_FULL);
    files->ops->close(file);
    kvi_files_close(files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_contract),
        cmocka_unit_test(directory_is_made_on_request),
        cmocka_unit_test(short_write_is_an_error),
        cmocka_unit_test(full_device_is_disk_full),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
