/* SPDX-License-Identifier: MIT */
/*
 * Directories with all requests for memory from the n-th on refused, for every n: opening, turns, a
 * snapshot and closing answer KV_NO_MEMORY or work, lose nothing that was acknowledged, and leak
 * nothing.
 */
#include "../unit/test.h"

#include <stdbool.h>
#include <string.h>

#include "../unit/state_dump.h"
#include "log/directory.h"
#include "os/files_sim.h"

#define START_MS INT64_C(1700000000000)
#define KEYS 40U

/* The linker sends the library's calls here. */
void *__real_kv_store_malloc(size_t size);
void *__real_kv_store_calloc(size_t nmemb, size_t size);
void *__real_kv_store_realloc(void *pointer, size_t size);
void *__wrap_kv_store_malloc(size_t size);
void *__wrap_kv_store_calloc(size_t nmemb, size_t size);
void *__wrap_kv_store_realloc(void *pointer, size_t size);

static uint64_t requests_left = UINT64_MAX;

static bool is_refused(void)
{
    if (requests_left == UINT64_MAX) {
        return false;
    }
    return requests_left == 0 || --requests_left == 0;
}

void *__wrap_kv_store_malloc(size_t size)
{
    return is_refused() ? NULL : __real_kv_store_malloc(size);
}

void *__wrap_kv_store_calloc(size_t nmemb, size_t size)
{
    return is_refused() ? NULL : __real_kv_store_calloc(nmemb, size);
}

void *__wrap_kv_store_realloc(void *pointer, size_t size)
{
    return is_refused() ? NULL : __real_kv_store_realloc(pointer, size);
}

static kv_status_t open_directory(kvi_files_t *files, kvi_directory_t **directory,
                                  kvi_recovery_report_t *report)
{
    const kvi_directory_options_t options = {
        .files = files,
        .db = {.keyspaces = 2},
        .wal = {.sync = KVI_SYNC_ALWAYS, .manual = true, .segment_bytes = 16384, .salt_seed = 5},
        .snapshot_log_bytes = UINT64_MAX,
    };
    return kvi_directory_open(&options, directory, report);
}

static bool put_all(kvi_directory_t *directory, unsigned round)
{
    kvi_commit_t *const commit = kvi_directory_commit(directory);
    bool taken = true;
    for (unsigned i = 0; i < KEYS && taken; i++) {
        char key[32];
        char value[32];
        (void)snprintf(key, sizeof(key), "key %u", i);
        (void)snprintf(value, sizeof(value), "value %u of %u", i, round);
        const kvi_op_t op = {.kind = KVI_OP_PUT,
                             .keyspace = i % 2,
                             .key = {key, strlen(key)},
                             .value = {value, strlen(value)},
                             .deadline_ms = i % 3 == 0 ? START_MS + 100000 : KVI_NO_DEADLINE};
        kvi_op_result_t result;
        kvi_commit_submit(commit, &op, START_MS + round, &result);
        taken = result.status == KV_OK;
    }
    (void)commit->ops->end_turn(commit);
    return commit->ops->flush(commit) == KV_OK && taken;
}

/* What was acknowledged is in *dump. True: nothing was refused. */
static bool live(kvi_files_t *files, dump_t *dump)
{
    kvi_directory_t *directory;
    kvi_recovery_report_t report;
    const kv_status_t opened = open_directory(files, &directory, &report);
    if (opened != KV_OK) {
        assert_int_equal(opened, KV_NO_MEMORY);
        assert_true(report.reason[0] != '\0');
        return false;
    }
    bool whole = put_all(directory, 2);
    const kv_status_t saved = kvi_directory_save(directory);
    assert_true(saved == KV_OK || saved == KV_NO_MEMORY);
    whole = whole && saved == KV_OK && put_all(directory, 3);
    requests_left = UINT64_MAX;
    *dump = dump_db(kvi_directory_db(directory), START_MS);
    (void)kvi_directory_close(directory);
    return whole;
}

static void test_every_request(void **state)
{
    (void)state;
    bool whole = false;
    uint64_t request = 1;
    for (; !whole; request++) {
        kvi_files_t *files;
        kvi_directory_t *directory;
        kvi_recovery_report_t report;
        assert_int_equal(kvi_sim_open(&(kvi_sim_options_t){.seed = 1}, &files), KV_OK);
        assert_int_equal(open_directory(files, &directory, &report), KV_OK);
        assert_true(put_all(directory, 1));
        dump_t before = dump_db(kvi_directory_db(directory), START_MS);
        assert_int_equal(kvi_directory_save(directory), KV_OK);
        assert_int_equal(kvi_directory_close(directory), KV_OK);
        dump_t after = {0};
        requests_left = request;
        whole = live(files, &after);
        requests_left = UINT64_MAX;
        assert_int_equal(open_directory(files, &directory, &report), KV_OK);
        dump_t found = dump_db(kvi_directory_db(directory), START_MS);
        assert_true(dump_equal(&found, after.count > 0 ? &after : &before));
        assert_int_equal(kvi_directory_close(directory), KV_OK);
        dump_free(&before);
        dump_free(&after);
        dump_free(&found);
        kvi_files_close(files);
    }
    assert_true(request > 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_request)};
    return cmocka_run_group_tests_name("directory_memory", tests, NULL, NULL);
}
