/* SPDX-License-Identifier: MIT */
/*
 * The log with its n-th request for memory refused, and with all from the n-th on, for every n:
 * opening, accepting, ending turns, flushing, new segments and reading back. Each call answers
 * KV_NO_MEMORY and nothing has changed, or the log says that it has failed; nothing that was not
 * kept is ever acknowledged, nothing acknowledged is lost, nothing leaks.
 */
#include "failing_store.h"
#include "log_fixture.h"

#include "../unit/state_dump.h"
#include "log/recovery.h"

enum { BATCHES = 700, SEGMENTS_MIN = 17, LARGE_BYTES = 1200000, KEYS = 24, ROUNDS = 4 };

#define START_MS INT64_C(1700000000000)

/* ---- batches on a simulated disk ---- */

/* Writes are taken again as soon as there is memory. False: the log has failed, or there is none.
 */
static bool write_batch(log_model_t *model)
{
    const uint64_t submitted = model->submitted;
    kv_status_t status = model_submit(model, KVI_SYNC_DEFAULT);
    if (status == KV_NO_MEMORY) {
        kvi_commit_state_t state;
        model->commit->ops->state(model->commit, &state);
        assert_true(failing.struck);
        assert_int_equal(state.status, KV_OK);
        assert_int_equal(model->submitted, submitted);
        status = model_submit(model, KVI_SYNC_DEFAULT);
        assert_int_equal(status, failing.once ? KV_OK : KV_NO_MEMORY);
    }
    assert_true(status == KV_OK || failing.struck);
    return status == KV_OK;
}

/* Turns of three batches that fill more segments than the writer's first list has room for. */
static void write_batches(log_model_t *model, int batches)
{
    bool going = true;
    for (int i = 0; i < batches && going; i++) {
        going = write_batch(model);
        if (i % 3 == 2 || !going) {
            (void)model->commit->ops->end_turn(model->commit);
            model->now_ns += UINT64_C(100000000);
            (void)model_step(model);
        }
    }
}

/* What was accepted becomes durable, or the log tells why not and never says that it has. */
static void finish_writing(log_model_t *model)
{
    kvi_commit_state_t state;
    (void)model->commit->ops->end_turn(model->commit);
    const kv_status_t flushed = model->commit->ops->flush(model->commit);
    note_durable(model);
    if (flushed == KV_OK) {
        assert_int_equal(model->durable, model->submitted);
        return;
    }
    assert_int_equal(flushed, KV_READ_ONLY);
    assert_true(failing.struck);
    model->commit->ops->state(model->commit, &state);
    assert_string_equal(state.reason, "the log has failed: out of memory");
    assert_int_equal(model_submit(model, KVI_SYNC_DEFAULT), KV_READ_ONLY);
    assert_int_equal(model->commit->ops->resume(model->commit), KV_READ_ONLY);
    assert_int_equal(model->commit->ops->durable(model->commit), state.durable_lsn);
}

/* A refused opening leaves nothing behind and may be tried again. */
static void start_log(log_model_t *model, int64_t alive)
{
    const kv_status_t opened = model_start(model);
    if (opened != KV_OK) {
        assert_int_equal(opened, KV_NO_MEMORY);
        assert_true(failing.struck);
        assert_null(model->commit);
        assert_int_equal(failing.alive, alive);
        (void)fail_no_more();
        assert_int_equal(model_start(model), KV_OK);
    }
}

/* What was refused to the first reader is granted to the second, and to the writer after it only if
 * nothing was refused so far. */
static void read_back(log_model_t *model)
{
    const kv_status_t status = model_read(model);
    assert_true(status == KV_OK || (status == KV_NO_MEMORY && failing.struck));
    const failing_store_t refusals = failing;
    const bool struck = fail_no_more();
    model_recover(model);
    if (!struck) {
        failing.left = refusals.left;
    }
}

/* A log is begun, filled, read back and gone on with. True: a request was refused. */
static bool run_log(variant_t variant, uint64_t request, bool once, uint64_t seed)
{
    static log_model_t model;
    const kvi_sim_options_t options = {.seed = seed};
    model_open(&model, &options, variant);
    const int64_t alive = failing.alive;
    fail_at(request, once);
    start_log(&model, alive);
    write_batches(&model, BATCHES);
    finish_writing(&model);
    model_stop(&model);
    assert_int_equal(failing.alive, alive);
    kvi_sim_kill(model.files);
    read_back(&model);
    assert_int_equal(failing.alive, alive);
    start_log(&model, alive);
    write_batches(&model, 20);
    finish_writing(&model);
    const bool struck = fail_no_more();
    model_stop(&model);
    kvi_sim_power_loss(model.files, seed + request);
    model_recover(&model);
    assert_true(struck || model.report.segments >= SEGMENTS_MIN);
    assert_true(struck || model.submitted == BATCHES + 20);
    assert_int_equal(failing.alive, alive);
    model_close(&model);
    return struck;
}

static void every_request_of_the_log(void **state)
{
    (void)state;
    static const variant_t kinds[] = {
        {KVI_SYNC_ALWAYS, false, true}, {KVI_SYNC_ALWAYS, true, false}, {KVI_SYNC_NO, true, false}};
    const uint64_t seed = test_seed();
    for (unsigned kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        for (unsigned once = 0; once < 2; once++) {
            uint64_t request = 1;
            while (run_log(kinds[kind], request, once != 0, seed + request)) {
                request++;
            }
            /* commit, stage twice, names, segments, items and their bytes, window; all again */
            assert_true(request > 12);
        }
    }
}

/* ---- the reader alone ---- */

typedef struct seen {
    uint64_t batches;
    uint64_t bytes;
    uint64_t lost;
} seen_t;

static kv_status_t see_batch(void *context, uint64_t lsn, uint64_t term, kv_slice_t bytes)
{
    seen_t *const seen = context;
    (void)term;
    assert_int_equal(lsn, ++seen->batches);
    seen->bytes += bytes.size;
    return KV_OK;
}

static void see_loss(void *context, const char *file, uint64_t offset, uint64_t first_lsn,
                     uint64_t last_lsn)
{
    (void)file;
    (void)offset;
    (void)first_lsn;
    (void)last_lsn;
    ((seen_t *)context)->lost++;
}

/* A log with a batch that is larger than the reader's first window. */
static void make_log(log_model_t *model)
{
    static char large[LARGE_BYTES];
    const kvi_sim_options_t options = {.seed = 3};
    model_open(model, &options, variants[0]);
    assert_int_equal(model_start(model), KV_OK);
    write_batches(model, 100);
    finish_writing(model);
    kv_status_t status = model->commit->ops->reserve(model->commit, LARGE_BYTES);
    for (int i = 0; i < 20 && status == KV_BUSY; i++) {
        (void)model_step(model);
        status = model->commit->ops->reserve(model->commit, LARGE_BYTES);
    }
    assert_int_equal(status, KV_OK);
    model->commit->ops->append_batch(model->commit, (kv_slice_t){large, LARGE_BYTES},
                                     KVI_SYNC_DEFAULT);
    model->submitted++;
    finish_writing(model);
    model_stop(model);
}

static void every_request_of_the_reader(void **state)
{
    (void)state;
    static log_model_t model;
    make_log(&model);
    const int64_t alive = failing.alive;
    for (unsigned way = 0; way < 4; way++) {
        uint64_t request = 0;
        unsigned refusals = 0;
        bool struck = true;
        while (struck) {
            seen_t seen = {0};
            kvi_wal_report_t report;
            const kvi_wal_visitor_t visitor = {
                .context = &seen, .batch = see_batch, .lost = see_loss};
            fail_at(++request, way % 2 == 0);
            const kv_status_t status = way < 2 ? kvi_wal_read(model.files, 0, &visitor, &report)
                                               : kvi_wal_salvage(model.files, 0, &visitor, &report);
            struck = fail_no_more();
            assert_int_equal(status, status == KV_OK || !struck ? KV_OK : KV_NO_MEMORY);
            assert_int_equal(report.last_lsn, seen.batches);
            assert_int_equal(seen.lost, 0);
            assert_true(status != KV_OK ||
                        (seen.batches == model.submitted && seen.bytes > LARGE_BYTES));
            assert_int_equal(failing.alive, alive);
            refusals += status != KV_OK;
        }
        /* Names, window and larger window must be; nobody needs what reads ahead. */
        assert_int_equal(request, 6);
        assert_int_equal(refusals, way % 2 == 0 ? 3 : 5);
    }
    model_close(&model);
}

/* ---- operations on a database, many in a turn ---- */

typedef struct rig {
    kvi_files_t *files;
    kvi_db_t *db;
    kvi_commit_t *commit;
    unsigned rounds[KEYS]; /* of the value that was last acknowledged; 0: none was */
    bool whole;            /* nothing was refused */
} rig_t;

/* Values of several hundred bytes, so that the open batch of a turn has to grow. */
static kv_slice_t value_of(unsigned key, unsigned round, char value[1024])
{
    const size_t size = 200 + (key * 37 + round * 101) % 800;
    memset(value, (int)('a' + (key + round) % 26), size);
    return (kv_slice_t){value, size};
}

static kv_slice_t name_of(unsigned key, char name[16])
{
    return (kv_slice_t){name, (size_t)snprintf(name, 16, "key %u", key)};
}

static void note(rig_t *rig, kv_status_t status, unsigned key, unsigned round)
{
    if (status == KV_OK) {
        rig->rounds[key] = round;
        return;
    }
    assert_true(failing.struck);
    assert_true(status == KV_NO_MEMORY || status == KV_READ_ONLY);
    rig->whole = false;
}

static void put_one(rig_t *rig, unsigned key, unsigned round)
{
    char name[16];
    char value[1024];
    kvi_op_result_t result;
    const kvi_op_t op = {.kind = KVI_OP_PUT,
                         .key = name_of(key, name),
                         .value = value_of(key, round, value),
                         .deadline_ms = KVI_NO_DEADLINE};
    kvi_commit_submit(rig->commit, &op, START_MS + round, &result);
    note(rig, result.status, key, round);
}

/* Both or none. */
static void put_two(rig_t *rig, unsigned key, unsigned round)
{
    char names[2][16];
    char values[2][1024];
    kvi_op_result_t results[2];
    kvi_batch_t batch = {0};
    kv_status_t status = kvi_batch_begin(&batch, START_MS + round, KVI_BATCH_ATOMIC);
    for (unsigned i = 0; i < 2 && status == KV_OK; i++) {
        const kvi_op_t op = {.kind = KVI_OP_PUT,
                             .key = name_of(key + i, names[i]),
                             .value = value_of(key + i, round, values[i]),
                             .deadline_ms = KVI_NO_DEADLINE};
        status = kvi_batch_reserve(&batch, kvi_op_encoded_bytes_max(&op));
        if (status == KV_OK) {
            kvi_batch_append(&batch, &op);
        }
    }
    if (status == KV_OK) {
        status = kvi_commit_submit_batch(rig->commit, kvi_batch_bytes(&batch), results);
    }
    kvi_batch_close(&batch);
    note(rig, status, key, round);
    note(rig, status, key + 1, round);
}

/* The database holds exactly what was acknowledged. */
static void check_content(const rig_t *rig, kvi_db_t *db)
{
    char name[16];
    char value[1024];
    for (unsigned key = 0; key < KEYS; key++) {
        kvi_entry_t entry;
        const kv_status_t status = kvi_keyspace_get(kvi_db_keyspace(db, 0), name_of(key, name),
                                                    START_MS + ROUNDS, false, &entry);
        assert_int_equal(status, rig->rounds[key] != 0 ? KV_OK : KV_NOT_FOUND);
        if (status == KV_OK) {
            const kv_slice_t expected = value_of(key, rig->rounds[key], value);
            assert_int_equal(entry.value.size, expected.size);
            assert_memory_equal(entry.value.data, value, expected.size);
        }
    }
}

static void put_rounds(rig_t *rig)
{
    for (unsigned round = 1; round <= ROUNDS; round++) {
        for (unsigned key = 0; key + 2 < KEYS; key++) {
            put_one(rig, key, round);
        }
        put_two(rig, KEYS - 2, round);
        (void)rig->commit->ops->end_turn(rig->commit);
        (void)kvi_commit_wal_step(rig->commit, round * UINT64_C(100000000));
    }
}

/* Refusals happen while operations are submitted and while the log is recovered. */
static bool run_operations(uint64_t request, bool once)
{
    rig_t rig = {.whole = true};
    const kvi_sim_options_t sim = {.seed = request};
    const kvi_db_options_t options = {.keyspaces = 1};
    assert_int_equal(kvi_sim_open(&sim, &rig.files), KV_OK);
    assert_int_equal(kvi_db_open(&options, &rig.db), KV_OK);
    const kvi_wal_options_t wal = {.files = rig.files,
                                   .sync = KVI_SYNC_ALWAYS,
                                   .segment_bytes = 131072,
                                   .salt_seed = 5,
                                   .manual = true};
    assert_int_equal(kvi_commit_wal_open(rig.db, &wal, &rig.commit), KV_OK);
    fail_at(request, once);
    put_rounds(&rig);
    assert_int_equal(rig.commit->ops->flush(rig.commit), KV_OK);
    assert_true(rig.whole || failing.struck);
    check_content(&rig, rig.db);
    rig.commit->ops->close(rig.commit);
    kvi_db_close(rig.db);

    kvi_sim_power_loss(rig.files, request);
    kvi_recovery_report_t report;
    const uint64_t left = failing.left;
    failing.left = 0;
    assert_int_equal(kvi_db_open(&options, &rig.db), KV_OK);
    failing.left = left;
    const kv_status_t status = kvi_recover(rig.files, rig.db, NULL, NULL, &report);
    const bool struck = fail_no_more();
    assert_true(status == KV_OK || (struck && status == KV_NO_MEMORY));
    if (status != KV_OK) {
        kvi_db_close(rig.db);
        assert_int_equal(kvi_db_open(&options, &rig.db), KV_OK);
        assert_int_equal(kvi_recover(rig.files, rig.db, NULL, NULL, &report), KV_OK);
    }
    check_content(&rig, rig.db);
    kvi_db_close(rig.db);
    kvi_files_close(rig.files);
    return struck;
}

static void every_request_of_operations(void **state)
{
    (void)state;
    const int64_t alive = failing.alive;
    for (unsigned once = 0; once < 2; once++) {
        uint64_t request = 1;
        while (run_operations(request, once != 0)) {
            assert_int_equal(failing.alive, alive);
            request++;
        }
        assert_int_equal(failing.alive, alive);
        assert_true(request > 6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_of_the_log),
        cmocka_unit_test(every_request_of_the_reader),
        cmocka_unit_test(every_request_of_operations),
    };
    return cmocka_run_group_tests_name("log_memory", tests, NULL, NULL);
}
