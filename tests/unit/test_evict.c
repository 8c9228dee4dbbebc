/* SPDX-License-Identifier: MIT */
/*
 * Eviction: each policy takes what it should, nothing goes that may not, a quota never fails a
 * write that eviction can make room for, and the memory reported adds up.
 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "db/attributes.h"
#include "db/evict.h"

#define NOW INT64_C(1700000000000)
#define MINUTE 60000
#define QUOTA ((size_t)4 << 20)

typedef struct fixture {
    kvi_db_t *db;
    kvi_keyspace_t *keyspace;
    int64_t now_ms;
    uint64_t deletes; /* that came by the submitter */
} fixture_t;

static void submit(void *context, const kvi_op_t *op, int64_t now_ms, kvi_op_result_t *result)
{
    fixture_t *const fixture = context;
    kvi_db_apply_op(fixture->db, op, now_ms, result);
    fixture->deletes += op->kind == KVI_OP_DELETE && result->changed;
}

static void set_attributes(fixture_t *fixture, const kvi_attributes_t *attributes)
{
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    const size_t size = kvi_attributes_encode(attributes, KVI_ATTRIBUTES_ALL, bytes);
    const kvi_op_t op = {.kind = KVI_OP_KEYSPACE_SET, .value = {bytes, size}};
    kvi_op_result_t result;
    kvi_db_apply_op(fixture->db, &op, fixture->now_ms, &result);
    assert_int_equal(result.status, KV_OK);
}

static fixture_t open_fixture(kvi_eviction_t policy, size_t quota)
{
    fixture_t fixture = {.now_ms = NOW};
    const kvi_db_options_t options = {.hash_seed = test_seed()};
    assert_int_equal(kvi_db_open(&options, &fixture.db), KV_OK);
    fixture.keyspace = kvi_db_keyspace(fixture.db, 0);
    set_attributes(&fixture, &(kvi_attributes_t){.quota_bytes = quota, .eviction = policy});
    return fixture;
}

static kv_slice_t key_of(uint32_t number)
{
    static char text[32];
    return (kv_slice_t){text, (size_t)snprintf(text, sizeof(text), "key %08u", number)};
}

static kv_status_t put_in(fixture_t *fixture, uint32_t keyspace, uint32_t number, size_t size,
                          int64_t deadline_ms)
{
    static const char value[20000];
    const kvi_op_t op = {.kind = KVI_OP_PUT,
                         .keyspace = keyspace,
                         .key = key_of(number),
                         .value = {value, size},
                         .deadline_ms = deadline_ms};
    const kvi_submitter_t submitter = {submit, fixture};
    kvi_op_result_t result;
    kvi_db_submit(fixture->db, &op, fixture->now_ms, &submitter, &result);
    return result.status;
}

static kv_status_t put(fixture_t *fixture, uint32_t number, size_t size, int64_t deadline_ms)
{
    return put_in(fixture, 0, number, size, deadline_ms);
}

static bool is_there(fixture_t *fixture, uint32_t number, bool touch)
{
    kvi_entry_t entry;
    return kvi_keyspace_get(fixture->keyspace, key_of(number), fixture->now_ms, touch, &entry) ==
           KV_OK;
}

static size_t quota_used(const fixture_t *fixture)
{
    kv_engine_memory_t memory;
    assert_int_equal(kvi_keyspace_memory(fixture->keyspace, &memory), KV_OK);
    assert_int_equal(memory.key_bytes + memory.value_bytes + memory.index_bytes +
                         memory.slack_bytes,
                     memory.total_bytes);
    /* All that the database obtained is this keyspace's. */
    assert_int_equal(memory.total_bytes, kvi_db_memory_used(fixture->db));
    return memory.total_bytes;
}

static void without_a_policy_writes_are_refused(void **state)
{
    (void)state;
    fixture_t f = open_fixture(KVI_EVICT_NONE, QUOTA);
    uint32_t number = 0;
    while (put(&f, number, 1000, NOW + MINUTE) == KV_OK) {
        number++;
        assert_true(number < 100000);
    }
    assert_int_equal(put(&f, number, 1000, NOW + MINUTE), KV_QUOTA);
    assert_int_equal(kvi_keyspace_count(f.keyspace), number);
    assert_true(is_there(&f, 0, false));
    assert_int_equal(f.deletes, 0);
    kvi_db_set_memory_limit(f.db, kvi_db_memory_used(f.db));
    assert_int_equal(put_in(&f, 1, number, 1000, KVI_NO_DEADLINE), KV_NO_MEMORY);
    /* What is late makes room under any policy. */
    f.now_ms += 2 * MINUTE;
    kvi_db_set_memory_limit(f.db, 0);
    assert_int_equal(put(&f, number, 1000, KVI_NO_DEADLINE), KV_OK);
    kvi_db_close(f.db);
}

/* Every write succeeds, whatever sizes come, and the quota holds all the time. */
static void fill_with(kvi_eviction_t policy)
{
    fixture_t f = open_fixture(policy, QUOTA);
    kvi_random_t random = {test_seed()};
    for (uint32_t number = 0; number < 12000; number++) {
        static const uint32_t limits[] = {100, 2000, 6000, 10, 500};
        const size_t size = kvi_random_below(&random, limits[number / 2400]);
        assert_int_equal(put(&f, number, size, NOW + 10 * MINUTE + number), KV_OK);
        assert_true(kvi_db_memory_used(f.db) <= QUOTA);
    }
    assert_true(quota_used(&f) <= QUOTA);
    assert_int_equal(f.deletes, kvi_db_evicted(f.db));
    assert_int_equal(kvi_keyspace_count(f.keyspace), 12000 - f.deletes);
    assert_true(f.deletes > 1000);
    assert_int_equal(kvi_keyspace_check(f.keyspace), KV_OK);
    kvi_db_close(f.db);
}

static void every_policy_makes_room(void **state)
{
    (void)state;
    for (kvi_eviction_t policy = KVI_EVICT_ALL_LRU; policy <= KVI_EVICT_VOLATILE_TTL; policy++) {
        fill_with(policy);
    }
}

static void volatile_policies_leave_the_others(void **state)
{
    (void)state;
    for (kvi_eviction_t policy = KVI_EVICT_VOLATILE_LRU; policy <= KVI_EVICT_VOLATILE_TTL;
         policy++) {
        fixture_t f = open_fixture(policy, QUOTA);
        for (uint32_t number = 0; number < 600; number++) {
            assert_int_equal(put(&f, number, 1000, KVI_NO_DEADLINE), KV_OK);
        }
        for (uint32_t number = 600; number < 4000; number++) {
            assert_int_equal(put(&f, number, 1000, NOW + number), KV_OK);
        }
        for (uint32_t number = 0; number < 600; number++) {
            assert_true(is_there(&f, number, false));
        }
        /* When none with a deadline is left, writes are refused. */
        uint32_t number = 4000;
        while (put(&f, number, 1000, KVI_NO_DEADLINE) == KV_OK) {
            assert_true(++number < 100000);
        }
        assert_int_equal(kvi_keyspace_deadlines(f.keyspace), 0);
        assert_int_equal(kvi_keyspace_count(f.keyspace), 600 + number - 4000);
        kvi_db_close(f.db);
    }
}

static void the_earliest_deadline_goes_first(void **state)
{
    (void)state;
    fixture_t f = open_fixture(KVI_EVICT_VOLATILE_TTL, QUOTA);
    for (uint32_t number = 0; number < 5000; number++) {
        assert_int_equal(put(&f, number, 1000, NOW + 100000 - number), KV_OK);
    }
    /* Each new one is earlier than all before it; what was put last goes, but the very last one. */
    const uint64_t kept = kvi_keyspace_count(f.keyspace);
    assert_true(kept < 4500 && kept > 2000);
    for (uint32_t number = 0; number < kept / 2; number++) {
        assert_true(is_there(&f, number, false));
    }
    kvi_db_close(f.db);
}

/* How many of the entries below `hot` are left after many cold ones came by. */
static uint32_t hot_left(kvi_eviction_t policy, uint32_t hot, bool volatiles)
{
    fixture_t f = open_fixture(policy, QUOTA);
    const int64_t deadline_ms = volatiles ? NOW + 1000 * MINUTE : KVI_NO_DEADLINE;
    for (uint32_t number = 0; number < hot; number++) {
        assert_int_equal(put(&f, number, 1000, deadline_ms), KV_OK);
    }
    for (uint32_t cold = 0; cold < 6000; cold++) {
        f.now_ms += 100;
        assert_int_equal(put(&f, hot + cold, 1000, deadline_ms), KV_OK);
        for (uint32_t i = 0; i < 6; i++) {
            (void)is_there(&f, (cold * 6 + i) % hot, true);
        }
    }
    uint32_t left = 0;
    for (uint32_t number = 0; number < hot; number++) {
        left += is_there(&f, number, false);
    }
    kvi_db_close(f.db);
    return left;
}

static void what_is_used_stays(void **state)
{
    (void)state;
    assert_true(hot_left(KVI_EVICT_ALL_LRU, 400, false) > 380);
    assert_true(hot_left(KVI_EVICT_VOLATILE_LRU, 400, true) > 380);
    assert_true(hot_left(KVI_EVICT_ALL_LFU, 400, false) > 360);
    assert_true(hot_left(KVI_EVICT_VOLATILE_LFU, 400, true) > 360);
    /* Chance spares nobody: the test of the tests. */
    assert_true(hot_left(KVI_EVICT_ALL_RANDOM, 400, false) < 300);
}

static void the_counter_of_uses_rises_slowly_and_falls(void **state)
{
    (void)state;
    fixture_t f = open_fixture(KVI_EVICT_ALL_LFU, 0);
    assert_int_equal(put(&f, 1, 10, KVI_NO_DEADLINE), KV_OK);
    kvi_entry_t entry;
    assert_int_equal(kvi_keyspace_get(f.keyspace, key_of(1), f.now_ms, false, &entry), KV_OK);
    assert_int_equal(entry.uses, 5);
    for (int i = 0; i < 1000; i++) {
        (void)is_there(&f, 1, true);
    }
    assert_int_equal(kvi_keyspace_get(f.keyspace, key_of(1), f.now_ms, false, &entry), KV_OK);
    assert_in_range(entry.uses, 12, 30); /* Redis documents 18 for a factor of 10 */
    const uint8_t uses = entry.uses;
    assert_int_equal(kvi_keyspace_get(f.keyspace, key_of(1), f.now_ms + 3 * MINUTE, false, &entry),
                     KV_OK);
    assert_int_equal(entry.uses, uses - 3);
    assert_int_equal(entry.idle_seconds, 180);
    kvi_db_close(f.db);
}

static void the_limit_of_all_takes_from_those_that_allow_it(void **state)
{
    (void)state;
    fixture_t f = open_fixture(KVI_EVICT_DEFAULT, 0);
    const kvi_attributes_t none = {.eviction = KVI_EVICT_NONE};
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    const kvi_op_t op = {.kind = KVI_OP_KEYSPACE_SET,
                         .keyspace = 1,
                         .value = {bytes, kvi_attributes_encode(&none, KVI_ATTRIBUTES_ALL, bytes)}};
    kvi_op_result_t result;
    kvi_db_apply_op(f.db, &op, f.now_ms, &result);
    assert_int_equal(result.status, KV_OK);
    kvi_db_set_eviction(f.db, KVI_EVICT_ALL_LRU);
    kvi_db_set_memory_limit(f.db, QUOTA);
    for (uint32_t number = 0; number < 500; number++) {
        assert_int_equal(put_in(&f, 1, number, 1000, KVI_NO_DEADLINE), KV_OK);
    }
    for (uint32_t number = 0; number < 6000; number++) {
        assert_int_equal(put_in(&f, number % 2 * 2, number, 1000, KVI_NO_DEADLINE), KV_OK);
        assert_true(kvi_db_memory_used(f.db) <= QUOTA);
    }
    assert_int_equal(kvi_keyspace_count(kvi_db_keyspace(f.db, 1)), 500);
    assert_true(kvi_keyspace_evicted(f.keyspace) > 0);
    assert_true(kvi_keyspace_evicted(kvi_db_keyspace(f.db, 2)) > 0);
    kvi_db_close(f.db);
}

static void a_lowered_limit_is_reached_in_steps(void **state)
{
    (void)state;
    fixture_t f = open_fixture(KVI_EVICT_ALL_RANDOM, 0);
    for (uint32_t number = 0; number < 8000; number++) {
        assert_int_equal(put(&f, number, 1000, KVI_NO_DEADLINE), KV_OK);
    }
    kvi_db_set_memory_limit(f.db, 4 << 20);
    kvi_db_set_eviction(f.db, KVI_EVICT_ALL_RANDOM);
    const kvi_submitter_t submitter = {submit, &f};
    assert_true(kvi_db_memory_used(f.db) > 4 << 20);
    for (int i = 0; kvi_db_shrink(f.db, 64, &submitter) > 0; i++) {
        assert_true(i < 10000);
    }
    assert_true(kvi_db_memory_used(f.db) <= 4 << 20);
    assert_true(kvi_keyspace_count(f.keyspace) > 1500);
    kvi_db_close(f.db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_policy_writes_are_refused),
        cmocka_unit_test(every_policy_makes_room),
        cmocka_unit_test(volatile_policies_leave_the_others),
        cmocka_unit_test(the_earliest_deadline_goes_first),
        cmocka_unit_test(what_is_used_stays),
        cmocka_unit_test(the_counter_of_uses_rises_slowly_and_falls),
        cmocka_unit_test(the_limit_of_all_takes_from_those_that_allow_it),
        cmocka_unit_test(a_lowered_limit_is_reached_in_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
