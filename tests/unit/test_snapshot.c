/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of a database that goes on changing: what is in the file is the state when it was
 * begun, whatever happened between its steps, on every engine, after others were given up.
 */
#include "test.h"

#include <stdbool.h>
#include <string.h>

#include "db/db.h"
#include "db/op.h"
#include "db/record.h"
#include "log/snapshot.h"
#include "os/files_sim.h"
#include "state_dump.h"

#define START_MS INT64_C(1700000000000)
#define KEYS 400U
#define ROUNDS 12
#define CHANGES 300U

typedef struct fixture {
    kvi_db_t *db;
    kvi_files_t *files;
    uint64_t random;
    int64_t now_ms;
    uint64_t lsn;
    uint64_t early; /* entries that observers wrote, in all rounds */
} fixture_t;

static void open_fixture(fixture_t *f, const kv_engine_ops_t *engine, uint64_t seed)
{
    *f = (fixture_t){.random = seed, .now_ms = START_MS};
    const kvi_db_options_t options = {.engine = engine, .keyspaces = 3};
    assert_int_equal(kvi_db_open(&options, &f->db), KV_OK);
    assert_int_equal(kvi_sim_open(&(kvi_sim_options_t){.seed = seed}, &f->files), KV_OK);
}

static void close_fixture(fixture_t *f)
{
    kvi_db_close(f->db);
    kvi_files_close(f->files);
}

static uint32_t below(fixture_t *f, uint32_t limit)
{
    return (uint32_t)(test_random(&f->random) % limit);
}

/* ---- changes ---- */

static uint32_t pick_keyspace(fixture_t *f)
{
    for (;;) {
        const uint32_t number = below(f, (uint32_t)kvi_db_keyspaces(f->db));
        if (kvi_db_keyspace(f->db, number) != NULL) {
            return number;
        }
    }
}

static int64_t pick_deadline(fixture_t *f)
{
    return below(f, 3) == 0 ? f->now_ms + 1 + below(f, 400) : KVI_NO_DEADLINE;
}

static void fill_op(fixture_t *f, kvi_op_t *op, char key[32], char new_key[32])
{
    static const kvi_op_kind_t kinds[] = {
        KVI_OP_PUT,    KVI_OP_PUT,      KVI_OP_PUT,   KVI_OP_DELETE,       KVI_OP_DELETE,
        KVI_OP_APPEND, KVI_OP_WRITE_AT, KVI_OP_ADD,   KVI_OP_SET_DEADLINE, KVI_OP_SET_DEADLINE,
        KVI_OP_COPY,   KVI_OP_RENAME,   KVI_OP_EXPIRE};
    static char value[3000];
    op->kind = kinds[below(f, sizeof(kinds) / sizeof(kinds[0]))];
    op->keyspace = pick_keyspace(f);
    op->to_keyspace = pick_keyspace(f);
    (void)snprintf(key, 32, "key %u", below(f, KEYS));
    (void)snprintf(new_key, 32, "key %u", below(f, KEYS));
    op->key = (kv_slice_t){key, strlen(key)};
    op->deadline_ms = pick_deadline(f);
    op->delta = 7;
    op->offset = below(f, 50);
    op->count = 5;
    op->replace = below(f, 2) == 0;
    if (op->kind == KVI_OP_COPY || op->kind == KVI_OP_RENAME) {
        op->value = (kv_slice_t){new_key, strlen(new_key)};
        return;
    }
    if (op->kind == KVI_OP_PUT && below(f, 3) == 0) {
        op->value = (kv_slice_t){"12", 2}; /* for ADD, in place */
        return;
    }
    memset(value, 'a' + (int)below(f, 26), sizeof(value));
    op->value = (kv_slice_t){value, below(f, 20) == 0 ? below(f, sizeof(value)) : below(f, 60)};
}

/* Rare ones, which exchange whole contents. */
static void fill_rare_op(fixture_t *f, kvi_op_t *op, char key[32])
{
    static const kvi_op_kind_t kinds[] = {KVI_OP_CLEAR, KVI_OP_SWAP, KVI_OP_KEYSPACE_CREATE,
                                          KVI_OP_KEYSPACE_DROP, KVI_OP_DELETE_RANGE};
    static kv_range_t range;
    op->kind = kinds[below(f, sizeof(kinds) / sizeof(kinds[0]))];
    op->keyspace = pick_keyspace(f);
    op->to_keyspace = pick_keyspace(f);
    if (op->kind == KVI_OP_KEYSPACE_CREATE) {
        (void)snprintf(key, 32, "space %u", below(f, 4));
        op->key = (kv_slice_t){key, strlen(key)};
        op->keyspace = 0;
    }
    if (op->kind == KVI_OP_DELETE_RANGE) {
        range = (kv_range_t){{KV_BOUND_INCLUDED, {"key 1", 5}}, {KV_BOUND_EXCLUDED, {"key 13", 6}}};
        op->range = &range;
    }
}

static void change(fixture_t *f)
{
    kvi_op_t op = {.kind = KVI_OP_PUT};
    char key[32];
    char new_key[32];
    if (below(f, 150) == 0) {
        fill_rare_op(f, &op, key);
    } else {
        fill_op(f, &op, key, new_key);
    }
    kvi_op_result_t result;
    f->now_ms += below(f, 4) == 0;
    kvi_db_apply_op(f->db, &op, f->now_ms, &result);
    if (below(f, 40) == 0) {
        (void)kvi_keyspace_relocate(kvi_db_keyspace(f->db, pick_keyspace(f)), 20);
    }
}

/* ---- snapshots ---- */

static kvi_snapshot_t *begin(fixture_t *f, bool manual, bool compress)
{
    kvi_snapshot_t *snapshot;
    const kvi_snapshot_options_t options = {.files = f->files,
                                            .db = f->db,
                                            .lsn = ++f->lsn,
                                            .term = 1,
                                            .manual = manual,
                                            .compress = compress};
    assert_int_equal(kvi_snapshot_begin(&options, &snapshot), KV_OK);
    return snapshot;
}

static void count_epochs(void *context, kv_slice_t key, kv_slice_t record)
{
    (void)key;
    unsigned *const counts = context;
    counts[kvi_record_epoch(record.data)]++;
}

/* After a snapshot was made nothing bears an earlier epoch. */
static void assert_one_epoch(fixture_t *f)
{
    unsigned counts[KVI_EPOCHS] = {0};
    for (size_t i = 0; i < kvi_db_keyspaces(f->db); i++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(f->db, i);
        kvi_content_t *const content = keyspace != NULL ? kvi_content_hold(keyspace) : NULL;
        if (content != NULL) {
            kv_engine_t *const engine = kvi_content_engine(content);
            uint64_t token = 0;
            do {
                token = engine->ops->scan(engine, token, 100, count_epochs, counts);
            } while (token != 0);
            kvi_content_release(content);
        }
    }
    for (unsigned i = 0; i < KVI_EPOCHS; i++) {
        assert_true(counts[i] == 0 || i == kvi_db_epochs(f->db)->now);
    }
    assert_int_equal(kvi_db_epochs(f->db)->behind, 0);
}

static void assert_file_holds(fixture_t *f, const dump_t *expected)
{
    char name[KVI_FILE_NAME_BYTES];
    kvi_snapshot_name_print((kvi_snapshot_name_t){f->lsn, 1}, name);
    kv_status_t status;
    dump_t read = dump_file(f->files, name, expected->now_ms, &status);
    assert_int_equal(status, KV_NOT_FOUND);
    assert_true(dump_equal(&read, expected));
    dump_free(&read);
    assert_int_equal(f->files->ops->remove(f->files, name), KV_OK);
}

/* Changes between steps of as little as one scan; some snapshots are given up. */
static void run_round(fixture_t *f, bool manual)
{
    for (unsigned i = 0; i < CHANGES; i++) {
        change(f);
    }
    dump_t expected = dump_db(f->db, f->now_ms);
    kvi_snapshot_t *const snapshot = begin(f, manual, below(f, 2) == 0);
    const bool give_up = below(f, 3) == 0;
    unsigned steps_left = give_up ? below(f, 20) : UINT32_MAX;
    kvi_snapshot_phase_t phase;
    do {
        for (unsigned i = below(f, 8); i > 0; i--) {
            change(f);
        }
        phase = kvi_snapshot_step(snapshot, 0);
    } while (phase == KVI_SNAPSHOT_SCANS && steps_left-- > 0);
    if (phase == KVI_SNAPSHOT_SCANS) {
        kvi_snapshot_close(snapshot);
    } else {
        assert_int_equal(kvi_snapshot_finish(snapshot), KV_OK);
        kvi_snapshot_state_t state;
        kvi_snapshot_state(snapshot, &state);
        assert_int_equal(state.phase, KVI_SNAPSHOT_DONE);
        f->early += state.entries_early;
        kvi_snapshot_close(snapshot);
        assert_file_holds(f, &expected);
        assert_one_epoch(f);
    }
    dump_free(&expected);
}

static void test_equal_to_the_state_at_its_lsn(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    for (size_t row = 0; kv_engine_at(row) != NULL; row++) {
        for (int manual = 0; manual < 2; manual++) {
            fixture_t f;
            open_fixture(&f, kv_engine_at(row), seed + row * 2 + (uint64_t)manual);
            for (unsigned round = 0; round < ROUNDS; round++) {
                run_round(&f, manual != 0);
            }
            assert_true(f.early > 0);
            close_fixture(&f);
        }
    }
}

/* Twenty given up in a row, with what remains of each epoch: nothing is left out. */
static void test_epochs_after_many_given_up(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    fixture_t f;
    open_fixture(&f, NULL, seed);
    for (unsigned i = 0; i < KEYS; i++) {
        change(&f);
    }
    for (unsigned round = 0; round < 20; round++) {
        kvi_snapshot_t *const snapshot = begin(&f, true, false);
        (void)kvi_snapshot_step(snapshot, 0);
        for (unsigned i = 0; i < 5; i++) {
            change(&f);
        }
        kvi_snapshot_close(snapshot);
        assert_true(kvi_db_epochs(f.db)->behind < KVI_EPOCHS - 1);
    }
    dump_t expected = dump_db(f.db, f.now_ms);
    kvi_snapshot_t *const snapshot = begin(&f, true, false);
    assert_int_equal(kvi_snapshot_finish(snapshot), KV_OK);
    kvi_snapshot_close(snapshot);
    assert_file_holds(&f, &expected);
    assert_one_epoch(&f);
    dump_free(&expected);
    close_fixture(&f);
}

/* Values that are larger than chunks and queue. */
static void test_large_values(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, NULL, 1);
    static char value[20 << 20];
    memset(value, 'v', sizeof(value));
    const size_t sizes[] = {1, 900000, 1 << 20, 3 << 20, sizeof(value), 0};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const kv_slice_t key = {(const char *)&sizes[i], sizeof(sizes[i])};
        assert_int_equal(kvi_keyspace_put(kvi_db_keyspace(f.db, 0), key,
                                          (kv_slice_t){value, sizes[i]}, START_MS, NULL),
                         KV_OK);
    }
    dump_t expected = dump_db(f.db, f.now_ms);
    kvi_snapshot_t *const snapshot = begin(&f, false, false);
    assert_int_equal(kvi_snapshot_finish(snapshot), KV_OK);
    kvi_snapshot_close(snapshot);
    assert_file_holds(&f, &expected);
    dump_free(&expected);
    close_fixture(&f);
}

static void test_empty_database(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, NULL, 1);
    dump_t expected = dump_db(f.db, f.now_ms);
    kvi_snapshot_t *const snapshot = begin(&f, false, false);
    assert_int_equal(kvi_snapshot_finish(snapshot), KV_OK);
    kvi_snapshot_close(snapshot);
    assert_file_holds(&f, &expected);
    close_fixture(&f);
}

static void count_file(void *context, const char *name)
{
    (void)name;
    ++*(unsigned *)context;
}

/* At every operation, every error: it says what failed, leaves no file, and the next one works. */
static void test_faults(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    const kvi_sim_fault_t faults[] = {KVI_SIM_ERROR, KVI_SIM_SHORT, KVI_SIM_FULL};
    unsigned failures = 0;
    for (size_t kind = 0; kind < 3; kind++) {
        bool struck = true;
        for (uint64_t operation = 1; struck; operation++) {
            fixture_t f;
            open_fixture(&f, NULL, seed + operation);
            for (unsigned i = 0; i < KEYS; i++) {
                change(&f);
            }
            kvi_sim_fault(f.files, operation, faults[kind]);
            dump_t expected = dump_db(f.db, f.now_ms);
            kvi_snapshot_t *snapshot = begin(&f, true, false);
            const kv_status_t status = kvi_snapshot_finish(snapshot);
            kvi_snapshot_state_t result;
            kvi_snapshot_state(snapshot, &result);
            kvi_snapshot_close(snapshot);
            struck = kvi_sim_struck(f.files);
            kvi_sim_fault(f.files, 0, KVI_SIM_NONE);
            if (status != KV_OK) {
                assert_int_equal(result.phase, KVI_SNAPSHOT_FAILED);
                assert_true(result.reason[0] != '\0');
                failures++;
                snapshot = begin(&f, true, false);
                assert_int_equal(kvi_snapshot_finish(snapshot), KV_OK);
                kvi_snapshot_close(snapshot);
            }
            assert_file_holds(&f, &expected);
            unsigned left = 0;
            assert_int_equal(f.files->ops->list(f.files, count_file, &left), KV_OK);
            assert_true(left <= 1);
            dump_free(&expected);
            close_fixture(&f);
        }
    }
    assert_true(failures >= 12);
}

/* Memory stays bounded while the disk stands still: the scan waits. */
static void test_queue_is_bounded(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, NULL, 1);
    static char value[10000];
    for (uint32_t i = 0; i < 4000; i++) {
        const kv_slice_t key = {(const char *)&i, sizeof(i)};
        assert_int_equal(kvi_keyspace_put(kvi_db_keyspace(f.db, 0), key,
                                          (kv_slice_t){value, sizeof(value)}, START_MS, NULL),
                         KV_OK);
    }
    kvi_snapshot_t *const snapshot = begin(&f, true, false);
    /* Manual: one step scans until the queue is full, and only then the writer runs. */
    unsigned waits = 0;
    while (kvi_snapshot_step(snapshot, UINT64_MAX) == KVI_SNAPSHOT_SCANS) {
        waits++;
    }
    kvi_snapshot_state_t result;
    kvi_snapshot_state(snapshot, &result);
    assert_true(waits >= 3);
    assert_int_equal(result.entries, 4000);
    assert_true(result.memory_bytes_max <= (size_t)16 << 20);
    kvi_snapshot_close(snapshot);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_to_the_state_at_its_lsn),
        cmocka_unit_test(test_epochs_after_many_given_up),
        cmocka_unit_test(test_large_values),
        cmocka_unit_test(test_empty_database),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_queue_is_bounded),
    };
    return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
