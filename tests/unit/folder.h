/* SPDX-License-Identifier: MIT */
/* A folder of its own for a test that needs real files. */
#ifndef KVI_TEST_FOLDER_H
#define KVI_TEST_FOLDER_H

#include "test.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

static inline void make_folder(char path[64])
{
    (void)snprintf(path, 64, "/tmp/kv_db_test.XXXXXX");
    assert_non_null(mkdtemp(path));
}

/* With the files in it, hidden ones excepted: nobody leaves such. */
static inline void remove_folder(const char *path)
{
    DIR *const folder = opendir(path);
    assert_non_null(folder);
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.') {
            assert_int_equal(unlinkat(dirfd(folder), entry->d_name, 0), 0);
        }
    }
    (void)closedir(folder);
    assert_int_equal(rmdir(path), 0);
}

#endif
