/* SPDX-License-Identifier: MIT */
/*
 * Directories: what was written is there again after every kind of ending, from the log, from
 * snapshots and from both; what cannot be right is refused with its reason.
 */
#include "test.h"

#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "db/attributes.h"
#include "db/batch.h"
#include "log/directory.h"
#include "log/metadata.h"
#include "log/snapshot_file.h"
#include "os/files_sim.h"
#include "os/os.h"
#include "state_dump.h"

#define START_MS INT64_C(1700000000000)

typedef struct fixture {
    kvi_files_t *files;
    kvi_directory_t *directory;
    kvi_recovery_report_t report;
    uint64_t random;
    int64_t now_ms;
    size_t keyspaces; /* that are asked for */
} fixture_t;

static uint32_t below(fixture_t *f, uint32_t limit)
{
    return (uint32_t)(test_random(&f->random) % limit);
}

static kv_status_t open_with(fixture_t *f, kvi_recovery_progress_fn progress, void *context)
{
    const kvi_directory_options_t options = {
        .files = f->files,
        .progress = progress,
        .progress_context = context,
        .owner = "test_directory",
        .db = {.keyspaces = f->keyspaces},
        .wal = {.sync = KVI_SYNC_ALWAYS, .manual = true, .segment_bytes = 16384, .salt_seed = 5},
        .snapshot_log_bytes = UINT64_MAX,
    };
    return kvi_directory_open(&options, &f->directory, &f->report);
}

static kv_status_t open_directory(fixture_t *f)
{
    return open_with(f, NULL, NULL);
}

static void open_fixture(fixture_t *f, uint64_t seed)
{
    *f = (fixture_t){.random = seed, .now_ms = START_MS, .keyspaces = 3};
    assert_int_equal(kvi_sim_open(&(kvi_sim_options_t){.seed = seed}, &f->files), KV_OK);
}

static void close_fixture(fixture_t *f)
{
    (void)kvi_directory_close(f->directory);
    kvi_files_close(f->files);
}

/* A few operations as one turn, which has at least one change. Whether the log has taken them. */
static bool run_turn(fixture_t *f, unsigned operations)
{
    kvi_commit_t *const commit = kvi_directory_commit(f->directory);
    bool taken = true;
    for (unsigned i = 0; i < operations; i++) {
        char key[32];
        char value[200];
        memset(value, 'a' + (int)below(f, 26), sizeof(value));
        (void)snprintf(key, sizeof(key), "key %u", below(f, 300));
        kvi_op_t op = {.kind = i == 0 || below(f, 4) != 0 ? KVI_OP_PUT : KVI_OP_DELETE,
                       .keyspace = below(f, 3),
                       .key = {key, strlen(key)},
                       .value = {value, below(f, sizeof(value))},
                       .deadline_ms = below(f, 5) == 0 ? f->now_ms + 100000 : KVI_NO_DEADLINE};
        kvi_op_result_t result;
        kvi_commit_submit(commit, &op, f->now_ms, &result);
        taken = taken && (result.status == KV_OK || result.status == KV_NOT_FOUND);
    }
    f->now_ms++;
    (void)commit->ops->end_turn(commit);
    return taken;
}

static bool flush(fixture_t *f)
{
    kvi_commit_t *const commit = kvi_directory_commit(f->directory);
    return commit->ops->flush(commit) == KV_OK;
}

static void run_turns(fixture_t *f, unsigned turns)
{
    for (unsigned i = 0; i < turns; i++) {
        assert_true(run_turn(f, 1 + below(f, 10)));
        assert_true(flush(f));
    }
}

static dump_t dump_now(fixture_t *f)
{
    return dump_db(kvi_directory_db(f->directory), f->now_ms);
}

/* Closes and opens again; the content must be the same. */
static void reopen(fixture_t *f)
{
    dump_t before = dump_now(f);
    assert_int_equal(kvi_directory_close(f->directory), KV_OK);
    f->directory = NULL;
    if (open_directory(f) != KV_OK) {
        fail_msg("%s", f->report.reason);
    }
    dump_t after = dump_now(f);
    assert_true(dump_equal(&before, &after));
    dump_free(&before);
    dump_free(&after);
}

static void test_reopen(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, test_seed());
    assert_int_equal(open_directory(&f), KV_OK);
    reopen(&f);
    run_turns(&f, 30);
    reopen(&f);
    assert_true(f.report.wal.batches == 30 && f.report.snapshot_lsn == 0);
    assert_int_equal(kvi_directory_save(f.directory), KV_OK);
    reopen(&f);
    assert_true(f.report.wal.batches == 0 && f.report.snapshot_lsn == 30);
    run_turns(&f, 50);
    reopen(&f);
    assert_true(f.report.wal.batches == 50 && f.report.snapshot_lsn == 30);
    assert_true(f.report.snapshot_entries > 0);
    assert_int_equal(kvi_directory_save(f.directory), KV_OK);
    assert_int_equal(kvi_directory_save(f.directory), KV_OK);
    run_turns(&f, 5);
    reopen(&f);
    close_fixture(&f);
}

static kv_status_t submit(fixture_t *f, const kvi_op_t *op)
{
    kvi_op_result_t result;
    kvi_commit_t *const commit = kvi_directory_commit(f->directory);
    kvi_commit_submit(commit, op, f->now_ms, &result);
    (void)commit->ops->end_turn(commit);
    return flush(f) ? result.status : KV_IO;
}

/* A quota below what a keyspace holds refuses what is new, never what is read back. */
static void test_quotas_do_not_count_while_loading(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, 1);
    assert_int_equal(open_directory(&f), KV_OK);
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    kvi_attributes_t attributes = {.engine = kv_engine_find("bptree"), .quota_bytes = 8 << 20};
    kvi_op_t op = {.kind = KVI_OP_KEYSPACE_CREATE, .key = {"q", 1}, .value = {bytes, 0}};
    op.value.size = kvi_attributes_encode(&attributes, KVI_ATTRIBUTES_ALL, bytes);
    assert_int_equal(submit(&f, &op), KV_OK);
    static char value[4000];
    char key[32];
    kvi_op_t put = {.kind = KVI_OP_PUT,
                    .keyspace = 3,
                    .value = {value, sizeof(value)},
                    .deadline_ms = KVI_NO_DEADLINE};
    for (unsigned i = 0; i < 1000; i++) {
        put.key = (kv_slice_t){key, (size_t)snprintf(key, sizeof(key), "%u", i)};
        assert_int_equal(submit(&f, &put), KV_OK);
    }
    attributes.quota_bytes = 1 << 20;
    op = (kvi_op_t){.kind = KVI_OP_KEYSPACE_SET, .keyspace = 3, .value = {bytes, 0}};
    op.value.size = kvi_attributes_encode(&attributes, KVI_ATTRIBUTE_QUOTA, bytes);
    assert_int_equal(submit(&f, &op), KV_OK);
    reopen(&f);
    assert_int_equal(kvi_directory_save(f.directory), KV_OK);
    reopen(&f);
    assert_int_equal(f.report.snapshot_entries, 1000);
    kv_status_t status = KV_OK;
    for (unsigned i = 1000; i < 2000 && status == KV_OK; i++) { /* blocks that are there fill up */
        put.key = (kv_slice_t){key, (size_t)snprintf(key, sizeof(key), "%u", i)};
        status = submit(&f, &put);
    }
    assert_int_equal(status, KV_QUOTA);
    close_fixture(&f);
}

/* Closes and opens again, with so many numbered keyspaces asked for: how many there are. */
static size_t reopen_with(fixture_t *f, size_t keyspaces)
{
    assert_int_equal(kvi_directory_close(f->directory), KV_OK);
    f->directory = NULL;
    f->keyspaces = keyspaces;
    assert_int_equal(open_directory(f), KV_OK);
    return kvi_db_numbered(kvi_directory_db(f->directory));
}

static bool holds(fixture_t *f, uint32_t keyspace, const char *key)
{
    kvi_keyspace_t *const one = kvi_db_keyspace(kvi_directory_db(f->directory), keyspace);
    kvi_entry_t entry;
    return one != NULL &&
           kvi_keyspace_get(one, (kv_slice_t){key, strlen(key)}, f->now_ms, false, &entry) == KV_OK;
}

static void put_in(fixture_t *f, uint32_t keyspace, const char *key)
{
    const kvi_op_t put = {.kind = KVI_OP_PUT,
                          .keyspace = keyspace,
                          .key = {key, strlen(key)},
                          .deadline_ms = KVI_NO_DEADLINE};
    assert_int_equal(submit(f, &put), KV_OK);
}

/* Log and snapshots name keyspaces by number: a number may not come to mean another one. */
static void test_numbers_keep_their_meaning(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, 1);
    assert_int_equal(open_directory(&f), KV_OK);
    assert_int_equal(reopen_with(&f, 5), 5);
    put_in(&f, 4, "k");
    assert_int_equal(reopen_with(&f, 3), 5);
    const kvi_op_t create = {.kind = KVI_OP_KEYSPACE_CREATE, .key = {"named", 5}};
    assert_int_equal(submit(&f, &create), KV_OK);
    put_in(&f, 5, "n");
    for (int saved = 0; saved < 2; saved++) { /* from the log, then from a snapshot */
        uint32_t number = 0;
        assert_int_equal(reopen_with(&f, 8), 5);
        kvi_db_t *const db = kvi_directory_db(f.directory);
        assert_int_equal(kvi_db_find_keyspace(db, create.key, &number), KV_OK);
        assert_int_equal(number, 5);
        assert_true(holds(&f, 5, "n") && holds(&f, 4, "k"));
        assert_int_equal(kvi_directory_save(f.directory), KV_OK);
    }
    /* Once neither log nor snapshot knows it, there may be more; either file of metadata, of which
     * a power loss may spare one, tells how many. */
    const kvi_op_t drop = {.kind = KVI_OP_KEYSPACE_DROP, .keyspace = 5};
    assert_int_equal(submit(&f, &drop), KV_OK);
    assert_int_equal(reopen_with(&f, 8), 5);
    assert_int_equal(kvi_directory_save(f.directory), KV_OK);
    assert_int_equal(reopen_with(&f, 8), 8);
    put_in(&f, 7, "m");
    for (int file = 0; file < 2; file++) {
        assert_int_equal(f.files->ops->remove(f.files, file == 0 ? "meta-0" : "meta-1"), KV_OK);
        assert_int_equal(reopen_with(&f, 3), 8 + file);
        assert_true(holds(&f, 7, "m") && holds(&f, 4, "k") && !holds(&f, 5, "n"));
        assert_int_equal(reopen_with(&f, 9 + (size_t)file), 9 + file); /* writes both again */
    }
    close_fixture(&f);
}

/* What is read back was applied at the database's time, though the clock had been put back. */
static void test_clock_goes_back(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, 1);
    assert_int_equal(open_directory(&f), KV_OK);
    kvi_op_t op = {
        .kind = KVI_OP_PUT, .key = {"k", 1}, .value = {"10", 2}, .deadline_ms = f.now_ms + 1000};
    assert_int_equal(submit(&f, &op), KV_OK);
    const kvi_op_t missing = {.kind = KVI_OP_DELETE, .key = {"none", 4}};
    f.now_ms += 2000;
    assert_int_equal(submit(&f, &missing), KV_NOT_FOUND); /* and leaves nothing in the log */
    f.now_ms -= 1500;
    op = (kvi_op_t){.kind = KVI_OP_ADD, .key = {"k", 1}, .delta = 1};
    assert_int_equal(submit(&f, &op), KV_OK);
    f.now_ms += 1500;
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(kvi_directory_db(f.directory), 0);
    assert_true(kvi_keyspace_deadlines(keyspace) == 0); /* the sum is a new entry */
    reopen(&f);
    assert_true(holds(&f, 0, "k"));
    close_fixture(&f);
}

static void count_names(void *context, const char *name)
{
    unsigned *const counts = context;
    kvi_snapshot_name_t snapshot;
    kvi_wal_name_t segment;
    counts[0] += kvi_snapshot_name_parse(name, &snapshot);
    counts[1] += kvi_snapshot_name_is_temporary(name);
    counts[2] += kvi_wal_name_parse(name, &segment);
}

/* In the background, between turns; older snapshots and segments go. */
static void test_background(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, test_seed());
    assert_int_equal(open_directory(&f), KV_OK);
    for (unsigned round = 0; round < 5; round++) {
        run_turns(&f, 60);
        assert_int_equal(kvi_directory_snapshot(f.directory), KV_OK);
        assert_int_equal(kvi_directory_snapshot(f.directory), KV_BUSY);
        kvi_directory_state_t now;
        kvi_directory_state(f.directory, &now);
        assert_true(now.running && !now.backup);
        unsigned turns = 0;
        while (now.running) {
            (void)kvi_directory_turn(f.directory, 0);
            run_turns(&f, 1);
            kvi_directory_state(f.directory, &now);
            turns++;
        }
        assert_true(turns > 2);
        assert_int_equal(now.last_status, KV_OK);
        assert_int_equal(now.saves, round + 1);
        (void)kvi_commit_wal_step(kvi_directory_commit(f.directory), kvi_os_monotonic_ns());
        unsigned counts[3] = {0, 0, 0};
        assert_int_equal(f.files->ops->list(f.files, count_names, counts), KV_OK);
        assert_int_equal(counts[0], 1);
        assert_int_equal(counts[1], 0);
        assert_true(counts[2] <= 6);
    }
    reopen(&f);
    close_fixture(&f);
}

static void test_begins_by_itself(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, 1);
    assert_int_equal(open_directory(&f), KV_OK);
    kvi_directory_state_t now = {0};
    kvi_directory_set_snapshot_log_bytes(f.directory, 40000);
    for (unsigned i = 0; i < 20000 && now.saves < 2; i++) {
        run_turns(&f, 1);
        (void)kvi_directory_turn(f.directory, KVI_DIRECTORY_TURN_NS);
        kvi_directory_state(f.directory, &now);
    }
    assert_int_equal(now.saves, 2);
    reopen(&f);
    assert_true(f.report.snapshot_lsn > 0);
    close_fixture(&f);
}

static void flip_somewhere(fixture_t *f, const char *name, size_t from)
{
    size_t size;
    assert_non_null(kvi_sim_bytes(f->files, name, &size));
    kvi_sim_flip(f->files, name, from + below(f, (uint32_t)(size - from)), 1);
}

/* Without its snapshot the log is too short: refused, with the reason; nothing is changed. */
static void test_damaged_snapshot(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, test_seed());
    assert_int_equal(open_directory(&f), KV_OK);
    run_turns(&f, 200);
    assert_int_equal(kvi_directory_save(f.directory), KV_OK);
    (void)kvi_commit_wal_step(kvi_directory_commit(f.directory), kvi_os_monotonic_ns());
    run_turns(&f, 3);
    assert_int_equal(kvi_directory_close(f.directory), KV_OK);
    f.directory = NULL;
    flip_somewhere(&f, "snap-00000000000000000200-0.snap", 0);
    assert_int_equal(open_directory(&f), KV_CORRUPT);
    assert_non_null(strstr(f.report.reason, "snap-00000000000000000200-0.snap"));
    assert_non_null(strstr(f.report.reason, "offset"));
    assert_non_null(strstr(f.report.reason, "LSN"));
    assert_non_null(strstr(f.report.reason, "kvtool repair"));
    assert_null(f.directory);
    close_fixture(&f);
}

/* So little that the log stays in its first segment. */
static void run_small_turns(fixture_t *f)
{
    for (unsigned i = 0; i < 3; i++) {
        assert_true(run_turn(f, 1));
        assert_true(flush(f));
    }
}

/* The log still reaches back: the damaged one is passed over. */
static void test_older_snapshot(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, test_seed());
    assert_int_equal(open_directory(&f), KV_OK);
    run_small_turns(&f);
    assert_int_equal(kvi_directory_save(f.directory), KV_OK);
    size_t size;
    const unsigned char *const bytes =
        kvi_sim_bytes(f.files, "snap-00000000000000000003-0.snap", &size);
    unsigned char *const copy = malloc(size);
    memcpy(copy, bytes, size);
    run_small_turns(&f);
    assert_int_equal(kvi_directory_save(f.directory), KV_OK);
    run_small_turns(&f);
    dump_t before = dump_now(&f);
    assert_int_equal(kvi_directory_close(f.directory), KV_OK);
    f.directory = NULL;
    kvi_file_t *file;
    assert_int_equal(f.files->ops->open(f.files, "snap-00000000000000000003-0.snap",
                                        KVI_OPEN_WRITE | KVI_OPEN_CREATE, &file),
                     KV_OK);
    assert_int_equal(f.files->ops->write_at(file, 0, copy, size), KV_OK);
    f.files->ops->close(file);
    free(copy);
    flip_somewhere(&f, "snap-00000000000000000006-0.snap", KVI_SNAPSHOT_HEADER_BYTES);
    if (open_directory(&f) != KV_OK) {
        fail_msg("%s", f.report.reason);
    }
    assert_int_equal(f.report.snapshots_damaged, 1);
    assert_int_equal(f.report.snapshot_lsn, 3);
    dump_t after = dump_now(&f);
    assert_true(dump_equal(&before, &after));
    dump_free(&before);
    dump_free(&after);
    close_fixture(&f);
}

static void test_lock(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, 1);
    assert_int_equal(open_directory(&f), KV_OK);
    fixture_t other = f;
    other.directory = NULL;
    assert_int_equal(open_directory(&other), KV_BUSY);
    assert_null(other.directory);
    assert_non_null(strstr(other.report.reason, "test_directory, process"));
    close_fixture(&f);
}

static void test_metadata(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, 1);
    assert_int_equal(open_directory(&f), KV_OK);
    run_turns(&f, 3);
    assert_int_equal(kvi_directory_close(f.directory), KV_OK);
    f.directory = NULL;
    /* One of the two is enough. */
    kvi_sim_flip(f.files, "meta-0", 30, 4);
    assert_int_equal(open_directory(&f), KV_OK);
    assert_int_equal(kvi_directory_close(f.directory), KV_OK);
    f.directory = NULL;
    kvi_sim_flip(f.files, "meta-1", 30, 4);
    assert_int_equal(open_directory(&f), KV_CORRUPT);
    assert_non_null(strstr(f.report.reason, "meta-0"));
    assert_int_equal(f.files->ops->remove(f.files, "meta-0"), KV_OK);
    assert_int_equal(f.files->ops->remove(f.files, "meta-1"), KV_OK);
    assert_int_equal(open_directory(&f), KV_CORRUPT);
    close_fixture(&f);
}

/* Formats with a higher version than ours, which are whole: another answer than damage. */
static void raise_version(fixture_t *f, const char *name, size_t offset, size_t size)
{
    size_t all;
    unsigned char bytes[KVI_METADATA_BYTES];
    memcpy(bytes, kvi_sim_bytes(f->files, name, &all), size);
    bytes[offset] = 99;
    kvi_bytes_store_le64(bytes, kvi_hash_bytes(bytes + 8, size - 8, 0));
    kvi_file_t *file;
    assert_int_equal(f->files->ops->open(f->files, name, KVI_OPEN_WRITE, &file), KV_OK);
    assert_int_equal(f->files->ops->write_at(file, 0, bytes, size), KV_OK);
    f->files->ops->close(file);
}

static void test_newer(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, 1);
    assert_int_equal(open_directory(&f), KV_OK);
    run_small_turns(&f);
    assert_int_equal(kvi_directory_save(f.directory), KV_OK);
    assert_int_equal(kvi_directory_close(f.directory), KV_OK);
    f.directory = NULL;
    raise_version(&f, "snap-00000000000000000003-0.snap", 16, KVI_SNAPSHOT_HEADER_BYTES);
    assert_int_equal(open_directory(&f), KV_NEWER);
    assert_non_null(strstr(f.report.reason, "newer version"));
    raise_version(&f, "meta-1", 16, KVI_METADATA_BYTES);
    assert_int_equal(open_directory(&f), KV_NEWER);
    assert_non_null(strstr(f.report.reason, "newer version"));
    close_fixture(&f);
}

static void test_backup(void **state)
{
    (void)state;
    char path[] = "/tmp/kv_directory_XXXXXX";
    assert_non_null(mkdtemp(path));
    char target[64];
    (void)snprintf(target, sizeof(target), "%s/backup", path);
    fixture_t f;
    open_fixture(&f, test_seed());
    assert_int_equal(open_directory(&f), KV_OK);
    run_turns(&f, 20);
    dump_t before = dump_now(&f);
    assert_int_equal(kvi_directory_backup(f.directory, target), KV_OK);
    run_turns(&f, 5);
    assert_int_equal(kvi_directory_wait(f.directory), KV_OK);
    assert_int_equal(kvi_directory_backup(f.directory, target), KV_EXISTS);
    kvi_directory_t *restored;
    kvi_recovery_report_t report;
    const kvi_directory_options_t options = {
        .path = target, .db = {.keyspaces = 3}, .must_exist = true};
    assert_int_equal(kvi_directory_open(&options, &restored, &report), KV_OK);
    dump_t after = dump_db(kvi_directory_db(restored), f.now_ms);
    assert_true(dump_equal(&before, &after));
    dump_free(&before);
    dump_free(&after);
    assert_int_equal(kvi_directory_close(restored), KV_OK);
    close_fixture(&f);
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -r %s", path);
    assert_int_equal(system(command), 0);
}

static void test_must_exist(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, 1);
    kvi_directory_options_t options = {.files = f.files, .must_exist = true};
    assert_int_equal(kvi_directory_open(&options, &f.directory, &f.report), KV_NOT_FOUND);
    options = (kvi_directory_options_t){.path = "/tmp/there/is/no/such", .must_exist = true};
    assert_int_equal(kvi_directory_open(&options, &f.directory, &f.report), KV_NOT_FOUND);
    assert_true(f.report.reason[0] != '\0');
    close_fixture(&f);
}

typedef struct names {
    char names[64][KVI_FILE_NAME_BYTES];
    size_t count;
} names_t;

static void add_name(void *context, const char *name)
{
    names_t *const names = context;
    if (strcmp(name, "LOCK") != 0) {
        assert_in_range(names->count, 0, 63);
        (void)snprintf(names->names[names->count++], KVI_FILE_NAME_BYTES, "%s", name);
    }
}

/* Of all names and bytes in the directory, but for the lock's. */
static uint64_t digest_files(kvi_files_t *files)
{
    names_t names = {.count = 0};
    uint64_t sum = 0;
    assert_int_equal(files->ops->list(files, add_name, &names), KV_OK);
    for (size_t i = 0; i < names.count; i++) {
        size_t size;
        const unsigned char *const bytes = kvi_sim_bytes(files, names.names[i], &size);
        sum += kvi_hash_bytes(bytes, size,
                              kvi_hash_bytes(names.names[i], strlen(names.names[i]), size));
    }
    return sum;
}

/* Says stop when it is told for the n-th time. */
typedef struct stopper {
    unsigned calls;
    unsigned stop_at;
    unsigned phases[2];
} stopper_t;

static kv_status_t count_progress(void *context, const kvi_recovery_progress_t *progress)
{
    stopper_t *const stopper = context;
    assert_true(progress->bytes <= progress->bytes_all);
    stopper->phases[progress->phase]++;
    return ++stopper->calls == stopper->stop_at ? KV_BUSY : KV_OK;
}

static void put_large(fixture_t *f, unsigned count)
{
    static char value[256 << 10];
    kvi_commit_t *const commit = kvi_directory_commit(f->directory);
    for (unsigned i = 0; i < count; i++) {
        memset(value, 'a' + (int)below(f, 26), sizeof(value));
        const kvi_op_t put = {.kind = KVI_OP_PUT,
                              .key = {(const char *)&i, sizeof(i)},
                              .value = {value, sizeof(value)},
                              .deadline_ms = KVI_NO_DEADLINE};
        kvi_op_result_t result;
        kvi_commit_submit(commit, &put, f->now_ms, &result);
        for (unsigned steps = 0; result.status == KV_BUSY && steps < 1000; steps++) {
            /* A larger segment is made first. */
            (void)kvi_commit_wal_step(commit, kvi_os_monotonic_ns());
            kvi_commit_submit(commit, &put, f->now_ms, &result);
        }
        assert_int_equal(result.status, KV_OK);
        (void)commit->ops->end_turn(commit);
        assert_true(flush(f));
    }
}

/* A load that is broken off, wherever that is, leaves the directory as it was. */
static void test_broken_off(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, test_seed());
    assert_int_equal(open_directory(&f), KV_OK);
    put_large(&f, 50);
    assert_int_equal(kvi_directory_save(f.directory), KV_OK);
    put_large(&f, 50);
    dump_t before = dump_now(&f);
    assert_int_equal(kvi_directory_close(f.directory), KV_OK);
    f.directory = NULL;
    const uint64_t digest = digest_files(f.files);
    kv_status_t status = KV_BUSY;
    stopper_t stopper = {0};
    for (unsigned n = 1; status == KV_BUSY; n++) {
        stopper = (stopper_t){.stop_at = n};
        status = open_with(&f, count_progress, &stopper);
        assert_true(status == KV_OK || stopper.calls == n);
        assert_true(status == KV_OK || (f.directory == NULL && digest_files(f.files) == digest));
    }
    assert_int_equal(status, KV_OK);
    assert_true(stopper.phases[KVI_RECOVERY_SNAPSHOT] > 1 && stopper.phases[KVI_RECOVERY_LOG] > 1);
    dump_t after = dump_now(&f);
    assert_true(dump_equal(&before, &after));
    dump_free(&before);
    dump_free(&after);
    close_fixture(&f);
}

/* A life with turns, snapshots in the background and a fault. What is left of it afterwards is the
 * last acknowledged state, or the one after the turn that was under way. */
typedef struct life {
    dump_t acknowledged;
    dump_t latest;
} life_t;

static void run_life(fixture_t *f, life_t *life)
{
    if (open_directory(f) != KV_OK) {
        return;
    }
    bool taken = true;
    for (unsigned i = 0; i < 30 && taken; i++) {
        if (i % 10 == 4) {
            (void)kvi_directory_snapshot(f->directory);
        }
        taken = run_turn(f, 4);
        dump_free(&life->latest);
        life->latest = dump_now(f);
        taken = flush(f) && taken;
        if (taken) {
            dump_free(&life->acknowledged);
            life->acknowledged = dump_now(f);
        }
        (void)kvi_directory_turn(f->directory, 0);
    }
    (void)kvi_directory_close(f->directory);
    f->directory = NULL;
}

static bool is_left(const dump_t *after, const life_t *life)
{
    return dump_equal(after, &life->acknowledged) || dump_equal(after, &life->latest);
}

/* True: the fault has struck. */
static bool survive(kvi_sim_fault_t fault, uint64_t operation, uint64_t seed)
{
    fixture_t f;
    life_t life = {0};
    open_fixture(&f, seed);
    kvi_sim_fault(f.files, operation, fault);
    run_life(&f, &life);
    const bool struck = kvi_sim_struck(f.files);
    kvi_sim_power_loss(f.files, seed + operation * 7);
    /* The first recovery is hit as well. */
    kvi_sim_fault(f.files, kvi_sim_operations(f.files) + 1 + operation % 60, fault);
    if (open_directory(&f) == KV_OK) {
        (void)kvi_directory_close(f.directory);
    }
    f.directory = NULL;
    kvi_sim_power_loss(f.files, seed + operation * 11);
    if (open_directory(&f) != KV_OK) {
        fail_msg("fault %d at operation %llu: %s", (int)fault, (unsigned long long)operation,
                 f.report.reason);
    }
    dump_t after = dump_now(&f);
    if (!is_left(&after, &life)) {
        fail_msg("fault %d at operation %llu: another state", (int)fault,
                 (unsigned long long)operation);
    }
    dump_free(&after);
    dump_free(&life.acknowledged);
    dump_free(&life.latest);
    close_fixture(&f);
    return struck;
}

static void test_faults_everywhere(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    const kvi_sim_fault_t faults[] = {KVI_SIM_CRASH, KVI_SIM_ERROR, KVI_SIM_FULL, KVI_SIM_SHORT};
    for (size_t kind = 0; kind < 4; kind++) {
        uint64_t operation = 1;
        while (survive(faults[kind], operation, seed)) {
            operation++;
        }
        assert_true(operation > 60);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reopen),
        cmocka_unit_test(test_quotas_do_not_count_while_loading),
        cmocka_unit_test(test_numbers_keep_their_meaning),
        cmocka_unit_test(test_clock_goes_back),
        cmocka_unit_test(test_background),
        cmocka_unit_test(test_begins_by_itself),
        cmocka_unit_test(test_damaged_snapshot),
        cmocka_unit_test(test_older_snapshot),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_newer),
        cmocka_unit_test(test_backup),
        cmocka_unit_test(test_must_exist),
        cmocka_unit_test(test_broken_off),
        cmocka_unit_test(test_faults_everywhere),
    };
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
