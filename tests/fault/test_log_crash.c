/* SPDX-License-Identifier: MIT */
/*
 * The power fails at every single operation of a run, and again while the log goes on afterwards:
 * what durable() had promised is there, nothing is wrong, and the log never refuses to start.
 * KV_TEST_ROUNDS multiplies the rounds.
 */
#include "log_fixture.h"

enum { TURNS = 60, FURTHER_CRASHES = 3 };

static int rounds(void)
{
    const char *const given = getenv("KV_TEST_ROUNDS");
    return given != NULL ? atoi(given) : 4;
}

/* Runs until the power fails at this operation, counted from now, or the turns are done. */
static bool run_to_crash(log_model_t *model, uint64_t operation, uint64_t seed)
{
    kvi_sim_fault(model->files, kvi_sim_operations(model->files) + operation, KVI_SIM_CRASH);
    if (model_start(model) == KV_OK) {
        (void)model_turns(model, TURNS);
    }
    const kv_status_t flushed =
        model->commit != NULL ? model->commit->ops->flush(model->commit) : KV_IO;
    const bool struck = kvi_sim_struck(model->files);
    if (!struck) {
        assert_int_equal(flushed, KV_OK);
        note_durable(model);
        assert_int_equal(model->durable, model->submitted);
    }
    model_stop(model);
    kvi_sim_power_loss(model->files, seed);
    check_headers(model);
    return struck;
}

/* Several crashes in a row on one disk; each is a crash point of its own. */
/* The first run is the same for every operation; what the disk keeps differs. */
static bool crash_at(variant_t variant, uint64_t operation, uint64_t seed, unsigned *points)
{
    static log_model_t model;
    const kvi_sim_options_t options = {.seed = seed};
    model_open(&model, &options, variant);
    const bool struck = run_to_crash(&model, operation, seed + operation);
    model.random = seed + operation;
    model_recover(&model);
    *points += struck;
    for (int i = 0; i < FURTHER_CRASHES; i++) {
        const uint64_t next = 1 + test_random(&model.random) % 150;
        *points += run_to_crash(&model, next, test_random(&model.random));
        model_recover(&model);
    }
    model_close(&model);
    return struck;
}

static void power_fails_at_every_operation(void **state)
{
    (void)state;
    const uint64_t start = test_seed();
    unsigned points = 0;
    for (int round = 0; round < rounds(); round++) {
        for (unsigned v = 0; v < VARIANTS; v++) {
            uint64_t operation = 1;
            const uint64_t seed = start + (uint64_t)round * 1000 + v;
            while (crash_at(variants[v], operation, seed, &points)) {
                operation++;
            }
            assert_true(operation > 40);
        }
    }
    printf("# %u crash points\n", points);
}

/* The process is killed, so that all it wrote is still in the cache; the next one relies on that,
 * and then the power fails. */
static void kill_and_then_power_loss(void **state)
{
    (void)state;
    static log_model_t model;
    const uint64_t start = test_seed();
    for (uint64_t trial = 0; trial < (uint64_t)rounds() * 400; trial++) {
        const uint64_t seed = start + trial * 104729;
        const kvi_sim_options_t options = {.seed = seed};
        model_open(&model, &options, variants[trial % VARIANTS]);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(model_start(&model), KV_OK);
            assert_true(model_turns(&model, 10));
            kvi_sim_fault(model.files, kvi_sim_operations(model.files) + 1, KVI_SIM_CRASH);
            model_stop(&model);
            kvi_sim_kill(model.files);
            model_recover(&model);
            /* Once another process has begun, what it read back is safe. */
            assert_int_equal(model_start(&model), KV_OK);
            model.durable = model.submitted;
            assert_true(model_turns(&model, (int)(seed % 4)));
            kvi_sim_fault(model.files, kvi_sim_operations(model.files) + 1, KVI_SIM_CRASH);
            model_stop(&model);
            kvi_sim_power_loss(model.files, seed + (uint64_t)i);
            model_recover(&model);
        }
        model_close(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_fails_at_every_operation),
        cmocka_unit_test(kill_and_then_power_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
