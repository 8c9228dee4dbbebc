/* SPDX-License-Identifier: MIT */
/* Names of snapshot files: snap-<LSN>-<term>.snap, with 20 digits of LSN so that they sort. */
#include "log/snapshot_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <concordkv/kv_memory.h>

#define PREFIX "snap-"
#define ENDING ".snap"
#define TEMPORARY_ENDING ".tmp"
#define LSN_DIGITS 20
#define LIST_STEP ((size_t)16)

void kvi_snapshot_name_print(kvi_snapshot_name_t name, char text[KVI_FILE_NAME_BYTES])
{
    (void)snprintf(text, KVI_FILE_NAME_BYTES, PREFIX "%0*" PRIu64 "-%" PRIu64 ENDING, LSN_DIGITS,
                   name.lsn, name.term);
}

/* Digits up to the end or stop; NULL if there are none or too many. */
static const char *read_number(const char *text, uint64_t *number)
{
    uint64_t sum = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        const uint64_t digit = (uint64_t)(*at - '0');
        if (sum > (UINT64_MAX - digit) / 10) {
            return NULL;
        }
        sum = sum * 10 + digit;
    }
    *number = sum;
    return at > text ? at : NULL;
}

bool kvi_snapshot_name_parse(const char *text, kvi_snapshot_name_t *name)
{
    const size_t prefix = sizeof(PREFIX) - 1;
    if (strncmp(text, PREFIX, prefix) != 0) {
        return false;
    }
    kvi_snapshot_name_t read;
    const char *at = read_number(text + prefix, &read.lsn);
    if (at == NULL || *at != '-') {
        return false;
    }
    at = read_number(at + 1, &read.term);
    if (at == NULL || strcmp(at, ENDING) != 0) {
        return false;
    }
    *name = read;
    return true;
}

bool kvi_snapshot_name_is_temporary(const char *text)
{
    const size_t size = strlen(text);
    const size_t ending = sizeof(TEMPORARY_ENDING) - 1;
    return strncmp(text, PREFIX, sizeof(PREFIX) - 1) == 0 && size > ending &&
           strcmp(text + size - ending, TEMPORARY_ENDING) == 0;
}

typedef struct name_list {
    kvi_snapshot_name_t *names;
    size_t count;
    size_t capacity;
    bool failed;
} name_list_t;

static void take_name(void *context, const char *text)
{
    name_list_t *const list = context;
    kvi_snapshot_name_t name;
    if (list->failed || !kvi_snapshot_name_parse(text, &name)) {
        return;
    }
    if (list->count == list->capacity) {
        kvi_snapshot_name_t *const grown =
            kv_store_realloc(list->names, (list->capacity + LIST_STEP) * sizeof(*grown));
        if (grown == NULL) {
            list->failed = true;
            return;
        }
        list->names = grown;
        list->capacity += LIST_STEP;
    }
    list->names[list->count++] = name;
}

static int order_newest_first(const void *a, const void *b)
{
    const kvi_snapshot_name_t *const first = a;
    const kvi_snapshot_name_t *const second = b;
    if (first->lsn != second->lsn) {
        return first->lsn < second->lsn ? 1 : -1;
    }
    return (first->term < second->term) - (first->term > second->term);
}

kv_status_t kvi_snapshot_list(kvi_files_t *files, kvi_snapshot_name_t **names, size_t *count)
{
    name_list_t list = {0};
    *names = NULL;
    *count = 0;
    kv_status_t status = files->ops->list(files, take_name, &list);
    if (status == KV_OK && list.failed) {
        status = KV_NO_MEMORY;
    }
    if (status != KV_OK) {
        kv_store_free(list.names);
        return status;
    }
    if (list.count > 1) {
        qsort(list.names, list.count, sizeof(*list.names), order_newest_first);
    }
    *names = list.names;
    *count = list.count;
    return KV_OK;
}
