/* SPDX-License-Identifier: MIT */
/*
 * Operations one by one: what each answers and whether it says that data changed; keyspaces that
 * come, go and change; what observers are told; that time never goes back.
 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "db/attributes.h"
#include "db/batch.h"
#include "db/load.h"
#include "db/record.h"

#define NOW INT64_C(1700000000000)

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

static kvi_db_t *open_db(const char *engine)
{
    kvi_db_t *db;
    const kvi_db_options_t options = {.engine = kv_engine_find(engine)};
    assert_int_equal(kvi_db_open(&options, &db), KV_OK);
    return db;
}

static kvi_op_result_t apply_at(kvi_db_t *db, int64_t now_ms, kvi_op_t op)
{
    kvi_op_result_t result;
    kvi_db_apply_op(db, &op, now_ms, &result);
    return result;
}

static kvi_op_result_t apply(kvi_db_t *db, kvi_op_t op)
{
    return apply_at(db, NOW, op);
}

static void assert_applied(kvi_op_result_t result, kv_status_t status, bool changed)
{
    assert_int_equal(result.status, status);
    assert_int_equal(result.changed, changed);
}

static kvi_op_t put(const char *key, const char *value)
{
    return (kvi_op_t){.kind = KVI_OP_PUT,
                      .key = slice(key),
                      .value = slice(value),
                      .deadline_ms = KVI_NO_DEADLINE};
}

static kvi_op_t on_key(kvi_op_kind_t kind, const char *key)
{
    return (kvi_op_t){.kind = kind, .key = slice(key), .deadline_ms = KVI_NO_DEADLINE};
}

static void each_kind_says_what_changed(void **state)
{
    (void)state;
    kvi_db_t *const db = open_db("hash");
    assert_applied(apply(db, put("k", "1")), KV_OK, true);
    assert_applied(apply(db, on_key(KVI_OP_DELETE, "none")), KV_NOT_FOUND, false);
    assert_applied(apply(db, on_key(KVI_OP_SET_DEADLINE, "k")), KV_OK, false);
    kvi_op_t op = on_key(KVI_OP_SET_DEADLINE, "k");
    op.deadline_ms = NOW + 5;
    assert_applied(apply(db, op), KV_OK, true);
    assert_applied(apply(db, on_key(KVI_OP_WRITE_AT, "k")), KV_OK, false);
    assert_applied(apply(db, on_key(KVI_OP_READ, "k")), KV_OK, false);
    op = on_key(KVI_OP_ADD, "k");
    op.delta = 41;
    const kvi_op_result_t added = apply(db, op);
    assert_applied(added, KV_OK, true);
    assert_true(added.sum == 42);
    op = on_key(KVI_OP_COPY, "k");
    op.value = slice("k");
    op.replace = true;
    assert_applied(apply(db, op), KV_OK, false);
    assert_applied(apply(db, on_key(KVI_OP_CLEAR, "")), KV_OK, true);
    assert_applied(apply(db, on_key(KVI_OP_CLEAR, "")), KV_OK, false);
    assert_applied(apply(db, on_key(KVI_OP_DELETE_RANGE, "")), KV_UNSUPPORTED, false);
    op = put("k", "v");
    op.keyspace = 99;
    assert_applied(apply(db, op), KV_INVALID, false);
    op.kind = (kvi_op_kind_t)31;
    assert_applied(apply(db, op), KV_INVALID, false);
    op.kind = (kvi_op_kind_t)0;
    assert_applied(apply(db, op), KV_INVALID, false);
    kvi_db_close(db);
}

static void versions_tell_states_apart(void **state)
{
    (void)state;
    kvi_db_t *const a = open_db("hash");
    kvi_db_t *const b = open_db("bptree");
    kvi_keyspace_t *const space = kvi_db_keyspace(a, 0);
    assert_true(kvi_keyspace_version(space, slice("k"), NOW) == 0);
    (void)apply(a, put("k", "v"));
    (void)apply(b, put("k", "v"));
    const uint64_t version = kvi_keyspace_version(space, slice("k"), NOW);
    assert_true(version != 0);
    assert_true(version == kvi_keyspace_version(kvi_db_keyspace(b, 0), slice("k"), NOW));
    kvi_op_t guard = on_key(KVI_OP_GUARD, "k");
    guard.version = version;
    assert_applied(apply(a, guard), KV_OK, false);
    kvi_op_t swap_in = put("k", "w");
    swap_in.condition = KVI_PUT_IF_VERSION;
    swap_in.version = version;
    assert_applied(apply(a, swap_in), KV_OK, true);
    assert_applied(apply(a, swap_in), KV_CONFLICT, false);
    assert_applied(apply(a, guard), KV_CONFLICT, false);
    assert_applied(apply(a, put("k", "v")), KV_OK, true);
    assert_applied(apply(a, guard), KV_OK, false);
    kvi_op_t deadline = on_key(KVI_OP_SET_DEADLINE, "k");
    deadline.deadline_ms = NOW + 1000;
    (void)apply(a, deadline);
    assert_applied(apply(a, guard), KV_CONFLICT, false);
    swap_in = put("new", "v");
    swap_in.condition = KVI_PUT_IF_VERSION;
    assert_applied(apply(a, swap_in), KV_OK, true);
    assert_applied(apply(a, swap_in), KV_CONFLICT, false);
    kvi_db_close(a);
    kvi_db_close(b);
}

static void time_never_goes_back(void **state)
{
    (void)state;
    kvi_db_t *const db = open_db("hash");
    kvi_op_t op = put("k", "v");
    op.deadline_ms = NOW + 10;
    (void)apply(db, op);
    (void)apply_at(db, NOW + 11, put("other", "v"));
    assert_applied(apply_at(db, NOW, on_key(KVI_OP_READ, "k")), KV_NOT_FOUND, false);
    assert_true(kvi_db_time(db) == NOW + 11);
    kvi_db_close(db);
}

/* ---- ranges ---- */

static void a_range_goes_with_its_deadlines(void **state)
{
    (void)state;
    kvi_db_t *const db = open_db("bptree");
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, 0);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "%04d", i);
        kvi_op_t op = put(key, "v");
        op.deadline_ms = i % 3 == 0 ? NOW + 10 + i : KVI_NO_DEADLINE;
        assert_applied(apply(db, op), KV_OK, true);
    }
    const struct {
        const char *from;
        const char *to;
        int64_t now_ms;
        uint64_t deleted;
    } steps[] = {{"0100", "0110", NOW, 11},       /* few deadlines: one by one */
                 {"0100", "0110", NOW, 0},        /* gone */
                 {"0200", "0899", NOW, 700},      /* many: in one pass */
                 {"0000", "0099", NOW + 41, 89}}; /* eleven of them are late: 0 to 30 */
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        const kv_range_t range = {{KV_BOUND_INCLUDED, slice(steps[i].from)},
                                  {KV_BOUND_INCLUDED, slice(steps[i].to)}};
        const kvi_op_t op = {.kind = KVI_OP_DELETE_RANGE, .range = &range};
        const kvi_op_result_t result = apply_at(db, steps[i].now_ms, op);
        assert_applied(result, KV_OK, steps[i].deleted > 0);
        assert_true(result.count == steps[i].deleted);
        assert_int_equal(kvi_keyspace_check(keyspace), KV_OK);
    }
    const kvi_op_t rest = {.kind = KVI_OP_DELETE_RANGE};
    assert_true(apply(db, rest).count == 189);
    assert_int_equal(kvi_keyspace_count(keyspace), 0);
    assert_int_equal(kvi_keyspace_deadlines(keyspace), 0);
    assert_int_equal(kvi_keyspace_check(keyspace), KV_OK);
    kvi_db_close(db);
}

/* ---- keyspaces ---- */

static kvi_op_t create(const char *name, const kvi_attributes_t *attributes,
                       char bytes[KVI_ATTRIBUTES_BYTES_MAX])
{
    const size_t size = kvi_attributes_encode(attributes, KVI_ATTRIBUTES_ALL, bytes);
    return (kvi_op_t){.kind = KVI_OP_KEYSPACE_CREATE, .key = slice(name), .value = {bytes, size}};
}

static void keyspaces_come_and_go(void **state)
{
    (void)state;
    kvi_db_t *const db = open_db("hash");
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    const kvi_attributes_t attributes = {.engine = kv_engine_find("bptree"),
                                         .quota_bytes = 5 << 20,
                                         .eviction = KVI_EVICT_ALL_LRU,
                                         .sync = KVI_SYNC_ALWAYS,
                                         .default_ttl_ms = 1000,
                                         .max_ttl_ms = 5000};
    const kvi_op_t op = create("orders", &attributes, bytes);
    const kvi_op_result_t made = apply(db, op);
    assert_applied(made, KV_OK, true);
    assert_int_equal(made.keyspace, 16);
    assert_applied(apply(db, op), KV_EXISTS, false);
    assert_int_equal(kvi_db_keyspaces(db), 17);
    uint32_t number = 0;
    assert_int_equal(kvi_db_find_keyspace(db, slice("orders"), &number), KV_OK);
    assert_int_equal(number, 16);
    assert_int_equal(kvi_db_find_keyspace(db, slice("15"), &number), KV_OK);
    assert_int_equal(number, 15);
    assert_int_equal(kvi_db_find_keyspace(db, slice("16"), &number), KV_NOT_FOUND);
    kvi_attributes_t read;
    kvi_keyspace_attributes(kvi_db_keyspace(db, 16), &read);
    assert_ptr_equal(read.engine, attributes.engine);
    assert_int_equal(read.quota_bytes, attributes.quota_bytes);
    assert_int_equal(read.eviction, attributes.eviction);
    assert_int_equal(read.sync, attributes.sync);
    assert_true(read.default_ttl_ms == 1000 && read.max_ttl_ms == 5000);

    assert_applied(apply(db, create("", &attributes, bytes)), KV_INVALID, false);
    assert_applied(apply(db, create("7", &attributes, bytes)), KV_INVALID, false);
    kvi_op_t second = create("second", &attributes, bytes);
    second.keyspace = 20;
    assert_applied(apply(db, second), KV_OK, true);
    assert_null(kvi_db_keyspace(db, 18));
    assert_applied(apply(db, (kvi_op_t){.kind = KVI_OP_KEYSPACE_DROP, .keyspace = 16}), KV_OK,
                   true);
    assert_applied(apply(db, (kvi_op_t){.kind = KVI_OP_KEYSPACE_DROP, .keyspace = 16}), KV_INVALID,
                   false);
    assert_applied(apply(db, (kvi_op_t){.kind = KVI_OP_KEYSPACE_DROP, .keyspace = 3}), KV_INVALID,
                   false);
    assert_int_equal(apply(db, create("third", &attributes, bytes)).keyspace, 16);
    kvi_db_close(db);
}

/* Asks for another engine, and begins to bring entries over. */
static void begin_conversion(kvi_db_t *db, const char *engine)
{
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    const kvi_attributes_t attributes = {.engine = kv_engine_find(engine)};
    kvi_op_t set = create("", &attributes, bytes);
    set.kind = KVI_OP_KEYSPACE_SET;
    assert_applied(apply(db, set), KV_OK, true);
    assert_true(kvi_keyspace_convert(kvi_db_keyspace(db, 0), 64) > 0);
}

/* Of 1,000 keys, a third with a deadline, deletes 700 and sees what is left. */
static void delete_a_range(kvi_db_t *db, bool atomic)
{
    const kv_range_t range = {{KV_BOUND_EXCLUDED, slice("0099")},
                              {KV_BOUND_INCLUDED, slice("0799")}};
    const kvi_op_t op = {.kind = KVI_OP_DELETE_RANGE, .range = &range};
    kvi_batch_t batch = {.bytes = NULL};
    kvi_op_result_t result;
    assert_int_equal(kvi_batch_begin(&batch, NOW, atomic ? KVI_BATCH_ATOMIC : 0), KV_OK);
    assert_int_equal(kvi_batch_reserve(&batch, kvi_op_encoded_bytes_max(&op)), KV_OK);
    kvi_batch_append(&batch, &op);
    assert_int_equal(kvi_db_apply(db, kvi_batch_bytes(&batch), &result), KV_OK);
    kvi_batch_close(&batch);
    assert_applied(result, KV_OK, true);
    assert_true(result.count == 700);
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, 0);
    assert_int_equal(kvi_keyspace_count(keyspace), 300);
    assert_int_equal(kvi_keyspace_deadlines(keyspace), 101);
    assert_int_equal(kvi_keyspace_check(keyspace), KV_OK);
}

static void put_thousand(kvi_db_t *db)
{
    for (int i = 0; i < 1000; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "%04d", i);
        kvi_op_t op = put(key, "v");
        op.deadline_ms = i % 3 == 0 ? NOW + 10 + i : KVI_NO_DEADLINE;
        assert_applied(apply(db, op), KV_OK, true);
    }
}

static void a_range_goes_while_its_engine_is_converted(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"bptree", "hash"}, {"bptree", "memtable"}, {"rbtree", "bptree"}, {"memtable", "array"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        kvi_db_t *const db = open_db(pairs[i][0]);
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, 0);
        put_thousand(db);
        begin_conversion(db, pairs[i][1]);
        delete_a_range(db, i % 2 == 0);
        while (kvi_keyspace_convert(keyspace, 64) > 0) {
        }
        assert_string_equal(kvi_keyspace_engine(keyspace)->name, pairs[i][1]);
        assert_int_equal(kvi_keyspace_count(keyspace), 300);
        assert_int_equal(kvi_keyspace_check(keyspace), KV_OK);
        kvi_db_close(db);
    }
}

/* The engine may have been another one when the log was written. */
static void a_range_that_is_read_back_goes_on_every_engine(void **state)
{
    (void)state;
    const kv_engine_ops_t *row;
    for (size_t i = 0; (row = kv_engine_at(i)) != NULL; i++) {
        for (int atomic = 0; atomic < 2; atomic++) {
            kvi_db_t *const db = open_db(row->name);
            put_thousand(db);
            kvi_db_load_begin(db);
            delete_a_range(db, atomic != 0);
            kvi_db_load_end(db);
            kvi_db_close(db);
        }
    }
}

static void deadlines_are_limited(void **state)
{
    (void)state;
    kvi_db_t *const db = open_db("hash");
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    const kvi_attributes_t attributes = {.default_ttl_ms = 1000, .max_ttl_ms = 5000};
    kvi_op_t op = create("c", &attributes, bytes);
    assert_applied(apply(db, op), KV_OK, true);
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, 16);
    const struct {
        int64_t asked_ms;
        int64_t got_ms;
    } cases[] = {{KVI_NO_DEADLINE, NOW + 1000},
                 {NOW + 3000, NOW + 3000},
                 {NOW + 5001, NOW + 5000},
                 {INT64_MAX, NOW + 5000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        op = put("k", "v");
        op.keyspace = 16;
        op.deadline_ms = cases[i].asked_ms;
        assert_applied(apply(db, op), KV_OK, true);
        kvi_entry_t entry;
        assert_int_equal(kvi_keyspace_get(keyspace, slice("k"), NOW, false, &entry), KV_OK);
        assert_true(entry.deadline_ms == cases[i].got_ms);
    }
    op = on_key(KVI_OP_SET_DEADLINE, "k");
    op.keyspace = 16;
    op.deadline_ms = KVI_NO_DEADLINE;
    (void)apply_at(db, NOW + 1000, op);
    kvi_entry_t entry;
    assert_int_equal(kvi_keyspace_get(keyspace, slice("k"), NOW + 1000, false, &entry), KV_OK);
    assert_true(entry.deadline_ms == NOW + 6000);
    kvi_db_close(db);
}

static void an_atomic_batch_undoes_keyspaces_too(void **state)
{
    (void)state;
    kvi_db_t *const db = open_db("hash");
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    const kvi_attributes_t attributes = {.quota_bytes = 1 << 20};
    (void)apply(db, create("old", &attributes, bytes));
    kvi_op_t op = put("a", "1");
    op.keyspace = 16;
    (void)apply(db, op);
    (void)apply(db, put("b", "2"));
    kvi_keyspace_t *const old = kvi_db_keyspace(db, 16);

    const kvi_attributes_t other = {.quota_bytes = 2 << 20};
    char more[KVI_ATTRIBUTES_BYTES_MAX];
    kvi_op_t set = create("", &other, more);
    set.kind = KVI_OP_KEYSPACE_SET;
    set.keyspace = 16;
    kvi_op_t swap = {.kind = KVI_OP_SWAP, .to_keyspace = 16};
    const kvi_op_t ops[] = {set,
                            swap,
                            put("a", "changed"),
                            {.kind = KVI_OP_CLEAR},
                            put("c", "3"),
                            {.kind = KVI_OP_KEYSPACE_DROP, .keyspace = 16},
                            create("new", &attributes, bytes),
                            {.kind = KVI_OP_GUARD, .key = slice("c"), .version = 1}};
    kvi_batch_t batch = {0};
    assert_int_equal(kvi_batch_begin(&batch, NOW, KVI_BATCH_ATOMIC), KV_OK);
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        assert_int_equal(kvi_batch_reserve(&batch, kvi_op_encoded_bytes_max(&ops[i])), KV_OK);
        kvi_batch_append(&batch, &ops[i]);
    }
    assert_int_equal(kvi_db_apply(db, kvi_batch_bytes(&batch), NULL), KV_CONFLICT);
    assert_ptr_equal(kvi_db_keyspace(db, 16), old);
    kvi_attributes_t read;
    kvi_keyspace_attributes(old, &read);
    assert_int_equal(read.quota_bytes, 1 << 20);
    kvi_entry_t entry;
    assert_int_equal(kvi_keyspace_get(old, slice("a"), NOW, false, &entry), KV_OK);
    assert_int_equal(entry.value.size, 1);
    assert_int_equal(kvi_keyspace_get(kvi_db_keyspace(db, 0), slice("b"), NOW, false, &entry),
                     KV_OK);
    assert_int_equal(kvi_keyspace_count(kvi_db_keyspace(db, 0)), 1);
    uint32_t number;
    assert_int_equal(kvi_db_find_keyspace(db, slice("new"), &number), KV_NOT_FOUND);
    kvi_batch_close(&batch);
    kvi_db_close(db);
}

static void attributes_from_outside_are_checked(void **state)
{
    (void)state;
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    const kvi_attributes_t attributes = {.engine = kv_engine_find("hash"),
                                         .quota_bytes = 12345678,
                                         .eviction = KVI_EVICT_ALL_LFU,
                                         .sync = KVI_SYNC_NO,
                                         .default_ttl_ms = 99999,
                                         .max_ttl_ms = INT64_MAX};
    const size_t size = kvi_attributes_encode(&attributes, KVI_ATTRIBUTES_ALL, bytes);
    kvi_attributes_t read = {0};
    for (size_t cut = 1; cut < size; cut++) {
        assert_int_not_equal(kvi_attributes_decode((kv_slice_t){bytes, cut}, &read), KV_OK);
        assert_null(read.engine);
    }
    assert_int_equal(kvi_attributes_decode((kv_slice_t){bytes, size}, &read), KV_OK);
    assert_true(read.max_ttl_ms == INT64_MAX && read.default_ttl_ms == 99999);
    bytes[2] = 'x';
    assert_int_equal(kvi_attributes_decode((kv_slice_t){bytes, size}, &read), KV_UNSUPPORTED);
    /* Only what is named changes. */
    const kvi_attributes_t quota = {.quota_bytes = 7};
    const size_t one = kvi_attributes_encode(&quota, KVI_ATTRIBUTE_QUOTA, bytes);
    assert_int_equal(kvi_attributes_decode((kv_slice_t){bytes, one}, &read), KV_OK);
    assert_int_equal(read.quota_bytes, 7);
    assert_int_equal(read.eviction, KVI_EVICT_ALL_LFU);
}

/* Reads and deadlines that are asked for again write access clocks where records lie. */
static void access_clocks_are_converted(const char *from, const char *to, kvi_eviction_t eviction)
{
    kvi_db_t *const db = open_db(from);
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, 0);
    kvi_db_set_eviction(db, eviction);
    char key[16];
    for (int i = 0; i < 500; i++) {
        (void)snprintf(key, sizeof(key), "%04d", i);
        assert_int_equal(apply(db, put(key, "value")).status, KV_OK);
    }
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    const kvi_attributes_t attributes = {.engine = kv_engine_find(to), .eviction = eviction};
    kvi_op_t set = create("", &attributes, bytes);
    set.kind = KVI_OP_KEYSPACE_SET;
    assert_applied(apply(db, set), KV_OK, true);
    const int64_t later_ms = NOW + 3600000;
    bool more = true;
    for (int i = 0; more; i++) {
        more = kvi_keyspace_convert(keyspace, 8) > 0;
        kvi_entry_t entry;
        kv_slice_t value;
        (void)snprintf(key, sizeof(key), "%04d", i * 7 % 250 * 2);
        const kv_slice_t read = {key, strlen(key)};
        assert_int_equal(kvi_keyspace_get(keyspace, read, later_ms, true, &entry), KV_OK);
        assert_int_equal(kvi_keyspace_check(keyspace), KV_OK);
        (void)snprintf(key, sizeof(key), "%04d", i * 11 % 250 * 2);
        assert_int_equal(kvi_keyspace_get_value(keyspace, read, 0, later_ms + 1000, true, &value),
                         KV_OK);
        (void)snprintf(key, sizeof(key), "%04d", i * 13 % 250 * 2);
        assert_int_equal(
            kvi_keyspace_set_deadline(keyspace, read, KVI_NO_DEADLINE, later_ms + 2000), KV_OK);
        assert_int_equal(kvi_keyspace_check(keyspace), KV_OK);
    }
    assert_string_equal(kvi_keyspace_engine(keyspace)->name, to);
    for (int i = 0; i < 500; i++) {
        /* Odd keys were never read; of the others all that were are as young as that. */
        kvi_entry_t entry;
        (void)snprintf(key, sizeof(key), "%04d", i);
        assert_int_equal(kvi_keyspace_get(keyspace, (kv_slice_t){key, strlen(key)}, later_ms + 3000,
                                          false, &entry),
                         KV_OK);
        assert_true(i % 2 == 0 || entry.idle_seconds >= 3600);
        if (i == 0) {
            assert_true(entry.idle_seconds <= 60);
        }
    }
    kvi_db_close(db);
}

static void access_clocks_written_meanwhile_are_converted(void **state)
{
    (void)state;
    const char *const names[] = {"hash", "bptree", "rbtree", "memtable", "array"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        access_clocks_are_converted(names[i], i == 1 ? "hash" : "bptree", KVI_EVICT_ALL_LRU);
        access_clocks_are_converted(names[i], i == 0 ? "memtable" : "hash", KVI_EVICT_ALL_LFU);
    }
}

static void engines_are_converted_in_steps(void **state)
{
    (void)state;
    kvi_db_t *const db = open_db("hash");
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, 0);
    char key[16];
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(key, sizeof(key), "%04d", i);
        kvi_op_t op = put(key, "10");
        op.deadline_ms = i % 2 == 0 ? NOW + 100000 + i : KVI_NO_DEADLINE;
        (void)apply(db, op);
    }
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    const kvi_attributes_t attributes = {.engine = kv_engine_find("bptree")};
    kvi_op_t set = create("", &attributes, bytes);
    set.kind = KVI_OP_KEYSPACE_SET;
    assert_applied(apply(db, set), KV_OK, true);
    int steps = 0;
    while (kvi_keyspace_convert(keyspace, 64) > 0) {
        /* Changes in place go to both. */
        (void)snprintf(key, sizeof(key), "%04d", steps * 37 % 3000);
        kvi_op_t op = on_key(KVI_OP_ADD, key);
        op.delta = 1;
        assert_int_equal(apply(db, op).status, KV_OK);
        op = on_key(KVI_OP_SET_DEADLINE, key);
        op.deadline_ms = NOW + 500000;
        assert_int_equal(apply(db, op).status, KV_OK);
        assert_non_null(kvi_keyspace_records(keyspace)); /* a look in between stops nothing */
        assert_true(kvi_keyspace_converting(keyspace));
        if (steps == 20) { /* somebody holds it: from the beginning again, afterwards */
            kvi_content_t *const held = kvi_content_hold(keyspace);
            assert_true(!kvi_keyspace_converting(keyspace));
            assert_int_equal(kvi_keyspace_convert(keyspace, 64), 0);
            kvi_content_release(held);
        }
        steps++;
    }
    assert_true(steps > 40 && steps < 100);
    assert_string_equal(kvi_keyspace_engine(keyspace)->name, "bptree");
    assert_int_equal(kvi_keyspace_check(keyspace), KV_OK);
    assert_int_equal(kvi_keyspace_count(keyspace), 3000);
    for (int i = 0; i < steps; i++) {
        (void)snprintf(key, sizeof(key), "%04d", i * 37 % 3000);
        kvi_entry_t entry;
        assert_int_equal(kvi_keyspace_get(keyspace, slice(key), NOW, false, &entry), KV_OK);
        assert_memory_equal(entry.value.data, i * 37 % 3000 == 0 && i > 0 ? "12" : "11", 2);
        assert_true(entry.deadline_ms == NOW + 500000);
    }
    kvi_db_close(db);
}

/* ---- observers and epochs ---- */

typedef struct watcher {
    kvi_observer_t observer;
    int calls;
    kvi_content_t *content;
    char key[32];
    char old[32]; /* "-": none */
} watcher_t;

static void watch(kvi_observer_t *observer, kvi_content_t *content, kv_slice_t key,
                  kv_slice_t record)
{
    watcher_t *const watcher = (watcher_t *)observer;
    watcher->calls++;
    watcher->content = content;
    (void)snprintf(watcher->key, sizeof(watcher->key), "%.*s", (int)key.size, key.data);
    const kv_slice_t value = record.data != NULL ? kvi_record_value(record) : slice("-");
    (void)snprintf(watcher->old, sizeof(watcher->old), "%.*s", (int)value.size, value.data);
}

static void assert_told(watcher_t *watcher, const char *key, const char *old)
{
    assert_true(watcher->calls > 0);
    assert_string_equal(watcher->key, key);
    assert_string_equal(watcher->old, old);
    watcher->calls = 0;
}

static void observers_are_told_before_each_change(void **state)
{
    (void)state;
    kvi_db_t *const db = open_db("bptree");
    watcher_t watcher = {.observer = {.before_change = watch}};
    kvi_db_observe(db, &watcher.observer);
    (void)apply(db, put("k", "1"));
    assert_told(&watcher, "k", "-");
    assert_ptr_equal(watcher.content, kvi_content_hold(kvi_db_keyspace(db, 0)));
    kvi_content_release(watcher.content);
    (void)apply(db, put("k", "5"));
    assert_told(&watcher, "k", "1");
    kvi_op_t op = on_key(KVI_OP_ADD, "k");
    op.delta = 1;
    (void)apply(db, op);
    assert_told(&watcher, "k", "5");
    op = on_key(KVI_OP_SET_DEADLINE, "k");
    op.deadline_ms = NOW + 5;
    (void)apply(db, op);
    assert_told(&watcher, "k", "6");
    (void)apply(db, on_key(KVI_OP_READ, "k"));
    assert_int_equal(watcher.calls, 0);
    (void)apply_at(db, NOW + 6, on_key(KVI_OP_READ, "k"));
    assert_told(&watcher, "k", "6"); /* it was late and is removed */
    (void)apply(db, put("a", "x"));
    (void)apply(db, on_key(KVI_OP_DELETE, "a"));
    assert_told(&watcher, "a", "x");
    (void)apply(db, put("b", "y"));
    watcher.calls = 0;
    (void)apply(db, (kvi_op_t){.kind = KVI_OP_DELETE_RANGE});
    assert_told(&watcher, "b", "y");
    op = put("c", "z");
    op.deadline_ms = NOW + 10;
    (void)apply(db, op);
    watcher.calls = 0;
    (void)apply_at(db, NOW + 11, (kvi_op_t){.kind = KVI_OP_EXPIRE, .count = 5});
    assert_told(&watcher, "c", "z");
    kvi_db_unobserve(db, &watcher.observer);
    (void)apply(db, put("k", "1"));
    assert_int_equal(watcher.calls, 0);
    kvi_db_close(db);
}

static unsigned epoch_of(kvi_db_t *db, const char *key)
{
    kvi_content_t *const content = kvi_content_hold(kvi_db_keyspace(db, 0));
    kv_engine_t *const engine = kvi_content_engine(content);
    kv_slice_t record;
    assert_int_equal(engine->ops->get(engine, slice(key), &record), KV_OK);
    const unsigned epoch = kvi_record_epoch(record.data);
    kvi_content_release(content);
    return epoch;
}

static void records_bear_the_epoch_of_their_change(void **state)
{
    (void)state;
    kvi_db_t *const db = open_db("hash");
    (void)apply(db, put("k", "1"));
    (void)apply(db, put("other", "1"));
    kvi_op_t op = on_key(KVI_OP_SET_DEADLINE, "k");
    op.deadline_ms = NOW + 5;
    (void)apply(db, op);
    assert_int_equal(epoch_of(db, "k"), 0);
    kvi_db_epochs(db)->now = 5;
    assert_int_equal(epoch_of(db, "k"), 0);
    op.deadline_ms = NOW + 6;
    (void)apply(db, op); /* in place */
    assert_int_equal(epoch_of(db, "k"), 5);
    kvi_db_epochs(db)->now = 7;
    op = on_key(KVI_OP_ADD, "k");
    (void)apply(db, op); /* in place */
    assert_int_equal(epoch_of(db, "k"), 7);
    assert_int_equal(epoch_of(db, "other"), 0);
    kvi_db_epochs(db)->now = 1;
    (void)apply(db, put("other", "22"));
    assert_int_equal(epoch_of(db, "other"), 1);
    kvi_db_close(db);
}

static void a_held_content_outlives_its_keyspace(void **state)
{
    (void)state;
    kvi_db_t *const db = open_db("hash");
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    (void)apply(db, create("gone", &(kvi_attributes_t){0}, bytes));
    kvi_op_t op = put("k", "v");
    op.keyspace = 16;
    (void)apply(db, op);
    kvi_content_t *const content = kvi_content_hold(kvi_db_keyspace(db, 16));
    (void)apply(db, (kvi_op_t){.kind = KVI_OP_CLEAR, .keyspace = 16});
    assert_int_equal(kvi_keyspace_count(kvi_db_keyspace(db, 16)), 0);
    (void)apply(db, (kvi_op_t){.kind = KVI_OP_KEYSPACE_DROP, .keyspace = 16});
    kv_engine_t *const engine = kvi_content_engine(content);
    kv_slice_t record;
    assert_int_equal(engine->ops->get(engine, slice("k"), &record), KV_OK);
    assert_true(kvi_db_memory_used(db) > 0);
    kvi_content_release(content);
    assert_int_equal(kvi_db_memory_used(db), 0);
    kvi_db_close(db);
}

/* ---- expiry ---- */

static void lateness_is_counted(void **state)
{
    (void)state;
    kvi_db_t *const db = open_db("hash");
    for (int i = 0; i < 100; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "%d", i);
        kvi_op_t op = put(key, "v");
        op.deadline_ms = NOW + 1000;
        (void)apply(db, op);
    }
    const kvi_op_t expire = {.kind = KVI_OP_EXPIRE, .count = 60};
    assert_applied(apply_at(db, NOW + 1000, expire), KV_OK, false);
    const kvi_op_result_t result = apply_at(db, NOW + 1001, expire);
    assert_true(result.count == 60);
    const uint64_t *const lags = kvi_db_lags(db);
    assert_true(lags[0] == 0 && lags[1] == 60);
    assert_true(apply_at(db, NOW + 1300, expire).count == 40);
    assert_true(lags[9] == 40); /* 256 to 511 ms */
    assert_true(kvi_db_expired(db) == 100);
    kvi_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_says_what_changed),
        cmocka_unit_test(versions_tell_states_apart),
        cmocka_unit_test(time_never_goes_back),
        cmocka_unit_test(a_range_goes_with_its_deadlines),
        cmocka_unit_test(keyspaces_come_and_go),
        cmocka_unit_test(deadlines_are_limited),
        cmocka_unit_test(an_atomic_batch_undoes_keyspaces_too),
        cmocka_unit_test(attributes_from_outside_are_checked),
        cmocka_unit_test(engines_are_converted_in_steps),
        cmocka_unit_test(access_clocks_written_meanwhile_are_converted),
        cmocka_unit_test(a_range_goes_while_its_engine_is_converted),
        cmocka_unit_test(a_range_that_is_read_back_goes_on_every_engine),
        cmocka_unit_test(observers_are_told_before_each_change),
        cmocka_unit_test(records_bear_the_epoch_of_their_change),
        cmocka_unit_test(a_held_content_outlives_its_keyspace),
        cmocka_unit_test(lateness_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
