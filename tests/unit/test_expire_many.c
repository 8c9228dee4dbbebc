/* SPDX-License-Identifier: MIT */
/*
 * Very many keys that are due in the same millisecond: each step removes as many as it was asked
 * for and no more, and other keys do not wait for them.
 */
#include "test.h"

#include <string.h>

#include "db/db.h"
#include "db/op.h"

enum { KEYS = 300000, STEPS = 64 };

#define NOW INT64_C(1700000000000)

static void steps_are_bounded(void **state)
{
    (void)state;
    kvi_db_t *db;
    assert_int_equal(kvi_db_open(NULL, &db), KV_OK);
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, 0);
    const kvi_put_options_t options = {.deadline_ms = NOW + 999};
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        const kv_slice_t name = {key, (size_t)snprintf(key, sizeof key, "%u", i)};
        assert_int_equal(kvi_keyspace_put(keyspace, name, name, NOW, &options), KV_OK);
    }
    const kvi_op_t expire = {.kind = KVI_OP_EXPIRE, .count = STEPS};
    kvi_op_result_t result;
    kvi_db_apply_op(db, &expire, NOW + 999, &result);
    assert_int_equal(result.count, 0);
    uint64_t left = KEYS;
    while (left > 0) {
        const uint64_t wanted = left < STEPS ? left : STEPS;
        kvi_db_apply_op(db, &expire, NOW + 1000, &result);
        assert_int_equal(result.status, KV_OK);
        assert_int_equal(result.count, wanted);
        left -= wanted;
        assert_int_equal(kvi_keyspace_count(keyspace), left);
        assert_int_equal(kvi_keyspace_deadlines(keyspace), left);
    }
    kvi_db_apply_op(db, &expire, NOW + 1000, &result);
    assert_int_equal(result.count, 0);
    assert_int_equal(kvi_keyspace_expired(keyspace), KEYS);
    assert_int_equal(kvi_keyspace_check(keyspace), KV_OK);
    kvi_db_close(db);
}

/* Neither a read nor a write of other keys removes those that wait. */
static void others_do_not_wait(void **state)
{
    (void)state;
    kvi_db_t *db;
    kvi_entry_t entry;
    assert_int_equal(kvi_db_open(NULL, &db), KV_OK);
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, 0);
    const kvi_put_options_t options = {.deadline_ms = NOW + 5};
    const kv_slice_t other = {"other", 5};
    for (unsigned i = 0; i < 1000; i++) {
        char key[16];
        const kv_slice_t name = {key, (size_t)snprintf(key, sizeof key, "%u", i)};
        assert_int_equal(kvi_keyspace_put(keyspace, name, name, NOW, &options), KV_OK);
    }
    assert_int_equal(kvi_keyspace_put(keyspace, other, other, NOW + 6, NULL), KV_OK);
    assert_int_equal(kvi_keyspace_get(keyspace, other, NOW + 6, true, &entry), KV_OK);
    assert_int_equal(kvi_keyspace_expired(keyspace), 0);
    assert_int_equal(kvi_keyspace_get(keyspace, (kv_slice_t){"7", 1}, NOW + 6, true, &entry),
                     KV_NOT_FOUND);
    assert_int_equal(kvi_keyspace_expired(keyspace), 1);
    kvi_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_bounded),
        cmocka_unit_test(others_do_not_wait),
    };
    return cmocka_run_group_tests_name("expire_many", tests, NULL, NULL);
}
