/* SPDX-License-Identifier: MIT */
/*
 * Every operation of a run fails in every way: nothing that was promised is lost, and nothing is
 * promised after the first error. A disk that runs full refuses writes while the log is still
 * whole, and takes them again when it is told to.
 */
#include "log_fixture.h"

enum { TURNS = 25 };

static kvi_commit_state_t state_of(const log_model_t *model)
{
    kvi_commit_state_t state;
    model->commit->ops->state(model->commit, &state);
    return state;
}

/* After an error of the log: it says why, refuses, and promises nothing more. */
static void check_sticky(log_model_t *model)
{
    const uint64_t durable = model->commit->ops->durable(model->commit);
    assert_non_null(strstr(state_of(model).reason, "the log has failed: cannot "));
    assert_int_equal(model_submit(model, KVI_SYNC_ALWAYS), KV_READ_ONLY);
    assert_int_equal(model->commit->ops->resume(model->commit), KV_READ_ONLY);
    (void)model->commit->ops->end_turn(model->commit);
    for (int i = 0; i < 3; i++) {
        model->now_ns += UINT64_C(2000000000);
        (void)model_step(model);
    }
    assert_int_equal(model->commit->ops->flush(model->commit), KV_READ_ONLY);
    assert_int_equal(model->commit->ops->durable(model->commit), durable);
}

/* Turns until the log refuses; a full disk is resumed. */
static void run_with_fault(log_model_t *model)
{
    for (int i = 0; i < TURNS; i++) {
        if (model_turn(model)) {
            continue;
        }
        const kvi_commit_state_t state = state_of(model);
        if (state.status == KV_READ_ONLY) {
            check_sticky(model);
            return;
        }
        assert_int_equal(state.status, KV_DISK_FULL);
        assert_non_null(strstr(state.reason, "the disk is full"));
        assert_int_equal(model->commit->ops->resume(model->commit), KV_OK);
    }
    (void)model->commit->ops->end_turn(model->commit); /* of a turn that a full disk broke off */
    if (model->commit->ops->flush(model->commit) == KV_OK) {
        note_durable(model);
        assert_int_equal(model->durable, model->submitted);
    } else {
        check_sticky(model);
    }
}

static bool fail_at(variant_t variant, uint64_t operation, kvi_sim_fault_t fault, uint64_t seed)
{
    static log_model_t model;
    const kvi_sim_options_t options = {.seed = seed};
    model_open(&model, &options, variant);
    kvi_sim_fault(model.files, operation, fault);
    if (model_start(&model) == KV_OK) {
        run_with_fault(&model);
    }
    const bool struck = kvi_sim_struck(model.files);
    model_stop(&model);
    if ((seed + operation) % 2 == 0) {
        kvi_sim_power_loss(model.files, seed + operation);
    } else {
        kvi_sim_kill(model.files);
    }
    model_recover(&model);
    /* And the log goes on from there. */
    assert_int_equal(model_start(&model), KV_OK);
    assert_true(model_turns(&model, 5));
    assert_int_equal(model.commit->ops->flush(model.commit), KV_OK);
    note_durable(&model);
    assert_int_equal(model.durable, model.submitted);
    model_stop(&model);
    kvi_sim_power_loss(model.files, seed);
    model_recover(&model);
    model_close(&model);
    return struck;
}

static void every_operation_fails(void **state)
{
    (void)state;
    static const kvi_sim_fault_t faults[] = {KVI_SIM_ERROR, KVI_SIM_SHORT, KVI_SIM_FULL};
    const uint64_t seed = test_seed();
    unsigned count = 0;
    for (unsigned v = 0; v < VARIANTS; v++) {
        for (unsigned f = 0; f < 3; f++) {
            uint64_t operation = 1;
            while (fail_at(variants[v], operation, faults[f], seed + v)) {
                operation++;
                count++;
            }
            assert_true(operation > 20);
        }
    }
    printf("# %u faults\n", count);
}

/* Reading is stopped by a fault, but never misled. */
static void every_read_fails(void **state)
{
    (void)state;
    static log_model_t model;
    const kvi_sim_options_t options = {.seed = test_seed()};
    model_open(&model, &options, variants[0]);
    assert_int_equal(model_start(&model), KV_OK);
    assert_true(model_turns(&model, TURNS));
    assert_int_equal(model.commit->ops->flush(model.commit), KV_OK);
    model_stop(&model);
    kv_status_t status = KV_IO;
    uint64_t operation = 0;
    while (status != KV_OK) {
        operation++;
        kvi_sim_fault(model.files, kvi_sim_operations(model.files) + operation, KVI_SIM_ERROR);
        status = model_read(&model);
        assert_true(status == KV_OK || status == KV_IO);
    }
    assert_true(operation > 3);
    model_close(&model);
}

/* A disk of each size: what was accepted is durable, and writes go on once there is room. */
static void disk_of_every_size_runs_full(void **state)
{
    (void)state;
    static log_model_t model;
    const uint64_t seed = test_seed();
    for (uint64_t capacity = 3 * SEGMENT_BYTES / 2; capacity < 5 * SEGMENT_BYTES;
         capacity += 1500) {
        const variant_t variant = {KVI_SYNC_EVERYSEC, capacity % 8 < 4, true};
        const kvi_sim_options_t options = {.seed = seed + capacity, .capacity = capacity};
        model_open(&model, &options, variant);
        assert_int_equal(model_start(&model), KV_OK);
        uint64_t accepted = 0;
        while (model_submit(&model, KVI_SYNC_DEFAULT) == KV_OK) {
            (void)model.commit->ops->end_turn(model.commit);
            accepted = model.submitted;
            if (accepted % 3 == 0) {
                (void)model_step(&model);
            }
        }
        assert_int_equal(state_of(&model).status, KV_DISK_FULL);
        assert_int_equal(model.commit->ops->flush(model.commit), KV_OK);
        note_durable(&model);
        assert_int_equal(model.durable, accepted);
        assert_int_equal(model.commit->ops->resume(model.commit), KV_DISK_FULL);
        kvi_sim_set_capacity(model.files, 0);
        assert_int_equal(model_submit(&model, KVI_SYNC_DEFAULT), KV_DISK_FULL);
        assert_int_equal(model.commit->ops->resume(model.commit), KV_OK);
        assert_true(model_turns(&model, TURNS));
        assert_int_equal(state_of(&model).status, KV_OK);
        model_stop(&model);
        kvi_sim_power_loss(model.files, seed);
        model_recover(&model);
        model_close(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_fails),
        cmocka_unit_test(every_read_fails),
        cmocka_unit_test(disk_of_every_size_runs_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
