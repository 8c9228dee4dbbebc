/* SPDX-License-Identifier: MIT */
#include "log/wal.h"

#include <concordkv/kv_memory.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With leading zeros, so that a listing shows them in order. */
void kvi_wal_name_print(kvi_wal_name_t name, char text[KVI_FILE_NAME_BYTES])
{
    (void)snprintf(text, KVI_FILE_NAME_BYTES, "wal-%010" PRIu64 "-%020" PRIu64 ".log",
                   name.sequence, name.first_lsn);
}

bool kvi_wal_name_parse(const char *text, kvi_wal_name_t *name)
{
    char printed[KVI_FILE_NAME_BYTES];
    kvi_wal_name_t read = {0, 0};
    if (sscanf(text, "wal-%20" SCNu64 "-%20" SCNu64, &read.sequence, &read.first_lsn) != 2) {
        return false;
    }
    /* What is not printed the same way is somebody else's. */
    kvi_wal_name_print(read, printed);
    if (strcmp(text, printed) != 0 || read.sequence == 0 || read.first_lsn == 0) {
        return false;
    }
    *name = read;
    return true;
}

typedef struct listing {
    kvi_wal_name_t *names;
    size_t count;
    size_t capacity;
    bool failed;
} listing_t;

static void add_name(void *context, const char *text)
{
    listing_t *const listing = context;
    kvi_wal_name_t name;
    if (listing->failed || !kvi_wal_name_parse(text, &name)) {
        return;
    }
    if (listing->count == listing->capacity) {
        const size_t capacity = listing->capacity == 0 ? 16 : listing->capacity * 2;
        kvi_wal_name_t *const larger = kv_store_realloc(listing->names, capacity * sizeof *larger);
        if (larger == NULL) {
            listing->failed = true;
            return;
        }
        listing->names = larger;
        listing->capacity = capacity;
    }
    listing->names[listing->count++] = name;
}

static int compare_names(const void *a, const void *b)
{
    const kvi_wal_name_t *const first = a;
    const kvi_wal_name_t *const second = b;
    return (first->sequence > second->sequence) - (first->sequence < second->sequence);
}

kv_status_t kvi_wal_list(kvi_files_t *files, kvi_wal_name_t **names, size_t *count)
{
    listing_t listing = {0};
    kv_status_t status = files->ops->list(files, add_name, &listing);
    if (status == KV_OK && listing.failed) {
        status = KV_NO_MEMORY;
    }
    if (status != KV_OK || listing.count == 0) {
        kv_store_free(listing.names);
        listing.names = NULL;
        listing.count = 0;
    } else {
        qsort(listing.names, listing.count, sizeof *listing.names, compare_names);
    }
    *names = listing.names;
    *count = listing.count;
    return status;
}
