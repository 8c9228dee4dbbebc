/* SPDX-License-Identifier: MIT */
/*
 * A log on a simulated disk beside a model of what was promised: which batch every LSN holds, and
 * up to where durable() has ever come. Batches are opaque bytes made of a number, so that each can
 * be recognised and none be mistaken for another.
 */
#ifndef KVI_TESTS_LOG_FIXTURE_H
#define KVI_TESTS_LOG_FIXTURE_H

#include "../unit/test.h"

#include <concordkv/kv_memory.h>

#include "log/frame.h"
#include "log/wal.h"
#include "os/files_sim.h"

#include <string.h>

enum { MODEL_BATCHES = 4096, BATCH_MAX = 700, SEGMENT_BYTES = 8192 };

typedef struct variant {
    kvi_sync_t sync;
    bool buffered;
    bool no_recycling;
} variant_t;

static const variant_t variants[] = {
    {KVI_SYNC_ALWAYS, false, false},   {KVI_SYNC_ALWAYS, true, false},
    {KVI_SYNC_ALWAYS, false, true},    {KVI_SYNC_ALWAYS, true, true},
    {KVI_SYNC_EVERYSEC, false, false}, {KVI_SYNC_EVERYSEC, true, false},
    {KVI_SYNC_EVERYSEC, false, true},  {KVI_SYNC_NO, true, false},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

typedef struct log_model {
    kvi_files_t *files;
    variant_t variant;
    uint64_t random;
    uint64_t numbers[MODEL_BATCHES]; /* of the batch of each LSN */
    uint64_t next_number;
    uint64_t submitted; /* the last LSN that was given */
    uint64_t durable;   /* the highest that was ever promised */
    uint64_t snapshot;  /* an LSN up to which a snapshot holds everything */
    uint64_t now_ns;
    kvi_commit_t *commit;
    kvi_wal_report_t report;
} log_model_t;

static inline size_t make_batch(uint64_t number, char bytes[BATCH_MAX])
{
    uint64_t sequence = number;
    const size_t size = 8 + test_random(&sequence) % (number % 16 == 0 ? BATCH_MAX - 8 : 200);
    for (size_t i = 0; i < size; i += 8) {
        const uint64_t word = i == 0 ? number : test_random(&sequence);
        memcpy(bytes + i, &word, size - i < 8 ? size - i : 8);
    }
    return size;
}

static inline void model_open(log_model_t *model, const kvi_sim_options_t *options,
                              variant_t variant)
{
    memset(model, 0, sizeof *model);
    model->variant = variant;
    model->random = options->seed;
    model->next_number = 1;
    assert_int_equal(kvi_sim_open(options, &model->files), KV_OK);
}

static inline void model_close(log_model_t *model)
{
    if (model->commit != NULL) {
        model->commit->ops->close(model->commit);
    }
    kvi_files_close(model->files);
}

static inline void note_durable(log_model_t *model)
{
    const uint64_t durable = model->commit->ops->durable(model->commit);
    assert_true(durable <= model->submitted);
    if (durable > model->durable) {
        model->durable = durable;
    }
}

/* ---- recovery against the model ---- */

static inline kv_status_t check_batch(void *context, uint64_t lsn, uint64_t term, kv_slice_t bytes)
{
    log_model_t *const model = context;
    char expected[BATCH_MAX];
    assert_int_equal(term, 7);
    assert_true(lsn > 0 && lsn <= model->submitted);
    assert_int_equal(bytes.size, make_batch(model->numbers[lsn], expected));
    assert_memory_equal(bytes.data, expected, bytes.size);
    return KV_OK;
}

/* Reads the log back; what is wrong in it fails the test at once. */
static inline kv_status_t model_read(log_model_t *model)
{
    const kvi_wal_visitor_t visitor = {.context = model, .batch = check_batch};
    return kvi_wal_read(model->files, model->snapshot, &visitor, &model->report);
}

/* No segment has a name that belongs to another one, needed for recovery or not. */
static inline void check_headers(log_model_t *model)
{
    char text[KVI_FILE_NAME_BYTES];
    kvi_wal_name_t *names = NULL;
    size_t count = 0;
    assert_int_equal(kvi_wal_list(model->files, &names, &count), KV_OK);
    for (size_t i = 0; i < count; i++) {
        size_t size = 0;
        kvi_segment_header_t header;
        kvi_wal_name_print(names[i], text);
        const unsigned char *const bytes = kvi_sim_bytes(model->files, text, &size);
        assert_int_equal(kvi_segment_header_decode(bytes, &header), KV_OK);
        assert_int_equal(header.sequence, names[i].sequence);
        assert_int_equal(header.first_lsn, names[i].first_lsn);
        assert_int_equal(header.bytes, size);
    }
    kv_store_free(names);
}

/* Recovery after a crash: must succeed, and hold all that was promised. */
static inline void model_recover(log_model_t *model)
{
    const kv_status_t status = model_read(model);
    if (status != KV_OK) {
        printf("# refused: %s\n", model->report.reason);
    }
    assert_int_equal(status, KV_OK);
    assert_true(model->report.last_lsn >= model->durable);
    assert_int_equal(model->report.batches, model->report.last_lsn - model->snapshot);
    model->submitted = model->report.last_lsn;
}

/* ---- running ---- */

static inline kv_status_t model_start(log_model_t *model)
{
    const kvi_wal_options_t options = {
        .files = model->files,
        .sync = model->variant.sync,
        .segment_bytes = SEGMENT_BYTES,
        .next_lsn = model->report.last_lsn + 1,
        .next_sequence = model->report.next_sequence,
        .term = 7,
        .salt_seed = test_random(&model->random) | 1,
        .buffered = model->variant.buffered,
        .no_recycling = model->variant.no_recycling,
        .manual = true,
    };
    return kvi_commit_wal_open(NULL, &options, &model->commit);
}

static inline void model_stop(log_model_t *model)
{
    if (model->commit != NULL) {
        model->commit->ops->close(model->commit);
        model->commit = NULL;
    }
}

/* A step of the log's thread. */
static inline bool model_step(log_model_t *model)
{
    const bool busy = kvi_commit_wal_step(model->commit, model->now_ns);
    note_durable(model);
    return busy;
}

/* One more batch of the turn, with this policy; the status of reserve. */
static inline kv_status_t model_submit(log_model_t *model, kvi_sync_t sync)
{
    char bytes[BATCH_MAX];
    assert_true(model->submitted + 1 < MODEL_BATCHES);
    const size_t size = make_batch(model->next_number, bytes);
    kv_status_t status = model->commit->ops->reserve(model->commit, size);
    for (int i = 0; status == KV_BUSY && i < 20; i++) {
        (void)model->commit->ops->end_turn(model->commit);
        (void)model_step(model);
        status = model->commit->ops->reserve(model->commit, size);
    }
    if (status == KV_OK) {
        model->numbers[++model->submitted] = model->next_number++;
        model->commit->ops->append_batch(model->commit, (kv_slice_t){bytes, size}, sync);
    }
    return status;
}

/* A turn of one to three batches, now and then a snapshot, and some work of the log's thread. False
 * once the log has failed. */
static inline bool model_turn(log_model_t *model)
{
    const uint64_t dice = test_random(&model->random);
    for (uint64_t i = 0; i <= dice % 3; i++) {
        const bool strict = model->variant.sync != KVI_SYNC_ALWAYS && dice / 3 % 16 == 0;
        if (model_submit(model, strict ? KVI_SYNC_ALWAYS : KVI_SYNC_DEFAULT) != KV_OK) {
            return false;
        }
    }
    const uint64_t awaited = model->commit->ops->end_turn(model->commit);
    model->now_ns += 100 * UINT64_C(1000000);
    if (dice / 48 % 4 != 0) {
        (void)model_step(model);
    }
    if (awaited != 0 && model->commit->ops->durable(model->commit) >= awaited) {
        assert_true(model->durable >= awaited);
    }
    if (dice / 192 % 8 == 0) {
        model->snapshot = model->submitted;
        kvi_commit_wal_remove_through(model->commit, model->snapshot);
    }
    return true;
}

static inline bool model_turns(log_model_t *model, int turns)
{
    for (int i = 0; i < turns; i++) {
        if (!model_turn(model)) {
            return false;
        }
    }
    return true;
}

#endif
