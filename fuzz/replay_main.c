/* SPDX-License-Identifier: MIT */
/*
 * Replays a fuzzer's corpus without the fuzzer: every file of a folder whole and cut off at each of
 * its first bytes. One line of TAP a file. What it looks for are crashes, assertions and what the
 * sanitizers find.
 */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_BYTES_MAX ((size_t)1 << 20)
#define PREFIXES_MAX ((size_t)512)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Runs a copy that ends with its block, so that reading past the end is seen. */
static void run_copy(const uint8_t *data, size_t size)
{
    uint8_t *const copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) {
        abort();
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int replay(const char *path)
{
    FILE *const file = fopen(path, "rb");
    uint8_t *const data = malloc(INPUT_BYTES_MAX);
    if (file == NULL || data == NULL) {
        free(data);
        return -1;
    }
    const size_t size = fread(data, 1, INPUT_BYTES_MAX, file);
    (void)fclose(file);
    for (size_t prefix = 0; prefix < size && prefix < PREFIXES_MAX; prefix++) {
        run_copy(data, prefix);
    }
    run_copy(data, size);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    DIR *const folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (folder == NULL) {
        fprintf(stderr, "usage: %s FOLDER, which must exist\n", argv[0]);
        return 1;
    }
    int count = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        const int status = replay(path);
        printf("%s %d - %s\n", status == 0 ? "ok" : "not ok", ++count, entry->d_name);
        (void)fflush(stdout);
    }
    (void)closedir(folder);
    printf("1..%d\n", count);
    return count > 0 ? 0 : 1;
}
