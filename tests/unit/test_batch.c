/* SPDX-License-Identifier: MIT */
/*
 * Batches: what is written is read back, every cut and every flipped bit is survived, and the same
 * batches make the same of two databases with different engines.
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "db/attributes.h"
#include "db/batch.h"

#define NOW INT64_C(1700000000000)
#define KEYS 40
#define KEYSPACES 3

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

/* ---- random operations ---- */

typedef struct maker {
    kvi_random_t random;
    char texts[8][300];
    kv_range_t range;
} maker_t;

static uint32_t below(maker_t *maker, uint32_t limit)
{
    return kvi_random_below(&maker->random, limit);
}

static kv_slice_t make_key(maker_t *maker, size_t place)
{
    const int size =
        snprintf(maker->texts[place], sizeof(maker->texts[place]), "key %u", below(maker, KEYS));
    return (kv_slice_t){maker->texts[place], below(maker, 50) == 0 ? 0 : (size_t)size};
}

static kv_slice_t make_value(maker_t *maker, size_t place)
{
    char *const text = maker->texts[place];
    if (below(maker, 3) == 0) {
        const int size =
            snprintf(text, sizeof(maker->texts[place]), "%d", (int)below(maker, 2000) - 1000);
        return (kv_slice_t){text, (size_t)size};
    }
    const size_t size = below(maker, 290);
    for (size_t i = 0; i < size; i++) {
        text[i] = (char)below(maker, 256);
    }
    return (kv_slice_t){text, size};
}

static int64_t make_deadline(maker_t *maker)
{
    static const int64_t deadlines[] = {KVI_NO_DEADLINE, NOW,       NOW + 5, NOW + 100, 0,
                                        INT64_MAX,       INT64_MIN, 1};
    return deadlines[below(maker, sizeof(deadlines) / sizeof(deadlines[0]))];
}

static kv_bound_t make_bound(maker_t *maker, size_t place)
{
    kv_bound_t bound = {.kind = (kv_bound_kind_t)below(maker, 3)};
    if (bound.kind != KV_BOUND_NONE) {
        bound.key = make_key(maker, place);
    }
    return bound;
}

static void make_put(maker_t *maker, kvi_op_t *op)
{
    op->condition = (kvi_put_condition_t)(below(maker, 2) == 0 ? 0 : below(maker, 4));
    op->keep_deadline = below(maker, 4) == 0;
    op->form = (kvi_form_t)below(maker, 3);
    op->deadline_ms = op->keep_deadline ? KVI_NO_DEADLINE : make_deadline(maker);
    if (op->condition == KVI_PUT_IF_VERSION && below(maker, 2) == 0) {
        op->version = kvi_random_next(&maker->random);
    }
}

/* An operation in which only the fields of its kind are set. */
static kvi_op_t make_op(maker_t *maker, uint32_t kinds)
{
    kvi_op_t op = {.kind = (kvi_op_kind_t)(1 + below(maker, kinds))};
    op.keyspace = below(maker, KEYSPACES);
    if (op.kind != KVI_OP_CLEAR && op.kind != KVI_OP_SWAP && op.kind != KVI_OP_EXPIRE &&
        op.kind != KVI_OP_DELETE_RANGE && op.kind != KVI_OP_KEYSPACE_DROP &&
        op.kind != KVI_OP_KEYSPACE_SET) {
        op.key = make_key(maker, 0);
    }
    switch (op.kind) {
    case KVI_OP_PUT:
        make_put(maker, &op);
        op.value = make_value(maker, 1);
        break;
    case KVI_OP_WRITE_AT:
        op.offset = below(maker, 400);
        op.value = make_value(maker, 1);
        break;
    case KVI_OP_APPEND:
    case KVI_OP_KEYSPACE_CREATE:
    case KVI_OP_KEYSPACE_SET:
        op.value = make_value(maker, 1);
        break;
    case KVI_OP_ADD:
        op.delta = (int64_t)kvi_random_next(&maker->random) >> below(maker, 64);
        break;
    case KVI_OP_ADD_FLOAT:
        op.value = slice(below(maker, 8) == 0 ? "no number" : "1.25");
        break;
    case KVI_OP_SET_DEADLINE:
        op.deadline_ms = make_deadline(maker);
        break;
    case KVI_OP_COPY:
    case KVI_OP_RENAME:
        op.to_keyspace = below(maker, KEYSPACES);
        op.value = make_key(maker, 1);
        op.replace = below(maker, 2) == 0;
        break;
    case KVI_OP_DELETE_RANGE:
        maker->range = (kv_range_t){make_bound(maker, 2), make_bound(maker, 3)};
        op.range = &maker->range;
        break;
    case KVI_OP_EXPIRE:
        op.count = below(maker, 10);
        break;
    case KVI_OP_SWAP:
        op.to_keyspace = below(maker, KEYSPACES);
        break;
    case KVI_OP_GUARD:
        op.version = below(maker, 2) == 0 ? 0 : kvi_random_next(&maker->random);
        break;
    default:
        break;
    }
    return op;
}

static void append(kvi_batch_t *batch, const kvi_op_t *op)
{
    const size_t before = batch->size;
    assert_int_equal(kvi_batch_reserve(batch, kvi_op_encoded_bytes_max(op)), KV_OK);
    kvi_batch_append(batch, op);
    assert_true(batch->size - before <= kvi_op_encoded_bytes_max(op));
}

/* ---- encoding ---- */

static bool same_slice(kv_slice_t a, kv_slice_t b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool same_bound(kv_bound_t a, kv_bound_t b)
{
    return a.kind == b.kind && (a.kind == KV_BOUND_NONE || same_slice(a.key, b.key));
}

static void assert_same_op(const kvi_op_t *a, const kvi_op_t *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->keyspace, b->keyspace);
    assert_int_equal(a->to_keyspace, b->to_keyspace);
    assert_true(same_slice(a->key, b->key));
    assert_true(same_slice(a->value, b->value));
    assert_int_equal(a->condition, b->condition);
    assert_int_equal(a->keep_deadline, b->keep_deadline);
    assert_int_equal(a->replace, b->replace);
    assert_int_equal(a->form, b->form);
    assert_true(a->deadline_ms == b->deadline_ms);
    assert_true(a->delta == b->delta);
    assert_true(a->offset == b->offset);
    assert_true(a->count == b->count);
    assert_true(a->version == b->version);
    assert_int_equal(a->range != NULL, b->range != NULL);
    if (a->range != NULL) {
        assert_true(same_bound(a->range->lower, b->range->lower));
        assert_true(same_bound(a->range->upper, b->range->upper));
    }
}

static void each_operation_comes_back(void **state)
{
    (void)state;
    maker_t maker = {.random = {test_seed()}};
    kvi_batch_t batch = {0};
    for (int i = 0; i < 20000; i++) {
        const kvi_op_t op = make_op(&maker, KVI_OP_KIND_END - 1);
        assert_int_equal(kvi_batch_begin(&batch, NOW, 0), KV_OK);
        append(&batch, &op);
        kvi_batch_reader_t reader;
        assert_int_equal(kvi_batch_read(kvi_batch_bytes(&batch), &reader), KV_OK);
        assert_true(reader.time_ms == NOW);
        assert_int_equal(reader.count, 1);
        kvi_op_t read;
        assert_int_equal(kvi_batch_next(&reader, &read), KV_OK);
        assert_same_op(&op, &read);
        assert_int_equal(kvi_batch_next(&reader, &read), KV_NOT_FOUND);
    }
    kvi_batch_close(&batch);
}

static void a_small_put_costs_few_bytes(void **state)
{
    (void)state;
    char value[64] = {0};
    const kvi_op_t op = {.kind = KVI_OP_PUT,
                         .key = slice("0123456789abcdef"),
                         .value = {value, sizeof(value)},
                         .deadline_ms = KVI_NO_DEADLINE};
    kvi_batch_t batch = {0};
    assert_int_equal(kvi_batch_begin(&batch, NOW, 0), KV_OK);
    const size_t before = batch.size;
    append(&batch, &op);
    assert_int_equal(batch.size - before, 16 + 64 + 3);
    kvi_batch_close(&batch);
}

static kv_status_t read_all(kv_slice_t bytes)
{
    kvi_batch_reader_t reader;
    kv_status_t status = kvi_batch_read(bytes, &reader);
    kvi_op_t op;
    while (status == KV_OK) {
        status = kvi_batch_next(&reader, &op);
    }
    return status;
}

static void fill(kvi_batch_t *batch, maker_t *maker, uint32_t kinds, int count, unsigned flags)
{
    assert_int_equal(kvi_batch_begin(batch, NOW, flags), KV_OK);
    for (int i = 0; i < count; i++) {
        const kvi_op_t op = make_op(maker, kinds);
        append(batch, &op);
    }
}

static void every_cut_is_damage(void **state)
{
    (void)state;
    maker_t maker = {.random = {test_seed()}};
    kvi_batch_t batch = {0};
    fill(&batch, &maker, KVI_OP_KIND_END - 1, 60, 0);
    const kv_slice_t whole = kvi_batch_bytes(&batch);
    assert_int_equal(read_all(whole), KV_NOT_FOUND);
    for (size_t size = 0; size < whole.size; size++) {
        /* A copy of its own, so that a checker of memory errors sees every byte too many. */
        char *const copy = malloc(size + 1);
        assert_non_null(copy);
        memcpy(copy + 1, whole.data, size);
        assert_int_equal(read_all((kv_slice_t){copy + 1, size}), KV_CORRUPT);
        free(copy);
    }
    kvi_batch_close(&batch);
}

static void every_flipped_bit_is_survived(void **state)
{
    (void)state;
    maker_t maker = {.random = {test_seed()}};
    kvi_batch_t batch = {0};
    kvi_db_t *db;
    const kvi_db_options_t options = {.keyspaces = KEYSPACES, .memory_limit = 16 << 20};
    assert_int_equal(kvi_db_open(&options, &db), KV_OK);
    fill(&batch, &maker, KVI_OP_KIND_END - 1, 40, KVI_BATCH_ATOMIC);
    const kv_slice_t whole = kvi_batch_bytes(&batch);
    char *const copy = malloc(whole.size);
    assert_non_null(copy);
    memcpy(copy, whole.data, whole.size);
    for (size_t bit = 0; bit < whole.size * 8; bit++) {
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        (void)kvi_db_apply(db, (kv_slice_t){copy, whole.size}, NULL);
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
    }
    copy[0] = KVI_BATCH_VERSION + 1;
    assert_int_equal(read_all((kv_slice_t){copy, whole.size}), KV_NEWER);
    free(copy);
    kvi_db_close(db);
    kvi_batch_close(&batch);
}

/* ---- applying ---- */

static kvi_db_t *open_db(const char *engine)
{
    kvi_db_t *db;
    const kvi_db_options_t options = {.keyspaces = KEYSPACES, .engine = kv_engine_find(engine)};
    assert_int_equal(kvi_db_open(&options, &db), KV_OK);
    return db;
}

static void assert_same_entry(kvi_keyspace_t *a, kvi_keyspace_t *b, kv_slice_t key, int64_t now_ms)
{
    kvi_entry_t left = {0};
    kvi_entry_t right = {0};
    const kv_status_t status = kvi_keyspace_get(a, key, now_ms, false, &left);
    assert_int_equal(kvi_keyspace_get(b, key, now_ms, false, &right), status);
    assert_true(same_slice(left.value, right.value));
    assert_true(left.deadline_ms == right.deadline_ms);
    assert_int_equal(left.form, right.form);
    assert_true(kvi_keyspace_version(a, key, now_ms) == kvi_keyspace_version(b, key, now_ms));
}

static void assert_same_data(kvi_db_t *a, kvi_db_t *b)
{
    const int64_t now_ms = kvi_db_time(a);
    assert_true(now_ms == kvi_db_time(b));
    for (uint32_t space = 0; space < KEYSPACES; space++) {
        kvi_keyspace_t *const left = kvi_db_keyspace(a, space);
        kvi_keyspace_t *const right = kvi_db_keyspace(b, space);
        (void)kvi_keyspace_expire(left, now_ms, SIZE_MAX);
        (void)kvi_keyspace_expire(right, now_ms, SIZE_MAX);
        assert_int_equal(kvi_keyspace_count(left), kvi_keyspace_count(right));
        assert_int_equal(kvi_keyspace_deadlines(left), kvi_keyspace_deadlines(right));
        assert_same_entry(left, right, (kv_slice_t){NULL, 0}, now_ms);
        for (uint32_t number = 0; number < KEYS; number++) {
            char text[32];
            const int size = snprintf(text, sizeof(text), "key %u", number);
            assert_same_entry(left, right, (kv_slice_t){text, (size_t)size}, now_ms);
        }
        assert_int_equal(kvi_keyspace_check(left), KV_OK);
        assert_int_equal(kvi_keyspace_check(right), KV_OK);
    }
}

static void assert_same_results(const kvi_op_result_t *a, const kvi_op_result_t *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(a[i].status, b[i].status);
        assert_int_equal(a[i].changed, b[i].changed);
        assert_true(a[i].sum == b[i].sum);
        assert_true(a[i].count == b[i].count);
        assert_int_equal(a[i].size, b[i].size);
        assert_true(same_slice(a[i].value, b[i].value));
    }
}

/* Kinds that every engine can do. */
static void fill_common(kvi_batch_t *batch, maker_t *maker, int64_t now_ms, unsigned flags)
{
    assert_int_equal(kvi_batch_begin(batch, now_ms, flags), KV_OK);
    const uint32_t count = below(maker, 30);
    while (batch->count < count) {
        const kvi_op_t op = make_op(maker, KVI_OP_KIND_END - 1);
        const bool rare = op.kind == KVI_OP_CLEAR && below(maker, 10) != 0;
        if (op.kind != KVI_OP_DELETE_RANGE && op.kind != KVI_OP_KEYSPACE_CREATE &&
            op.kind != KVI_OP_KEYSPACE_DROP && op.kind != KVI_OP_KEYSPACE_SET &&
            op.kind != KVI_OP_EXPIRE && !rare) {
            append(batch, &op);
        }
    }
}

static void different_engines_become_equal(void **state)
{
    (void)state;
    maker_t maker = {.random = {test_seed()}};
    kvi_db_t *const a = open_db("hash");
    kvi_db_t *const b = open_db("bptree");
    kvi_batch_t batch = {0};
    int64_t now_ms = NOW - 3000;
    for (int i = 0; i < 2000; i++) {
        now_ms += (int64_t)below(&maker, 5) - 1;
        const unsigned flags = below(&maker, 3) == 0 ? KVI_BATCH_ATOMIC : 0;
        fill_common(&batch, &maker, now_ms, flags);
        const kv_slice_t bytes = kvi_batch_bytes(&batch);
        kvi_op_result_t left[32] = {{0}};
        kvi_op_result_t right[32] = {{0}};
        assert_int_equal(kvi_db_apply(a, bytes, left), kvi_db_apply(b, bytes, right));
        assert_same_results(left, right, batch.count);
        if (i % 50 == 0) {
            assert_same_data(a, b);
        }
    }
    assert_same_data(a, b);
    kvi_batch_close(&batch);
    kvi_db_close(a);
    kvi_db_close(b);
}

/* What a log gives back is what was done, errors included. */
static void replaying_gives_the_same(void **state)
{
    (void)state;
    maker_t maker = {.random = {test_seed()}};
    kvi_db_t *const a = open_db("hash");
    kvi_db_t *const b = open_db("hash");
    kvi_batch_t batch = {0};
    int64_t now_ms = NOW - 3000;
    for (int i = 0; i < 2000; i++) {
        now_ms += (int64_t)below(&maker, 5) - 1;
        const bool atomic = below(&maker, 3) == 0;
        fill_common(&batch, &maker, now_ms, atomic ? KVI_BATCH_ATOMIC : 0);
        if (!atomic && below(&maker, 2) == 0) {
            const kvi_op_t range = {.kind = KVI_OP_DELETE_RANGE}; /* ends a group */
            append(&batch, &range);
        }
        const kv_slice_t bytes = kvi_batch_bytes(&batch);
        assert_int_equal(kvi_db_replay(b, bytes), kvi_db_apply(a, bytes, NULL));
        if (i % 50 == 0) {
            assert_same_data(a, b);
        }
    }
    assert_same_data(a, b);
    kvi_batch_close(&batch);
    kvi_db_close(a);
    kvi_db_close(b);
}

static void replaying_refuses_every_cut(void **state)
{
    (void)state;
    maker_t maker = {.random = {test_seed()}};
    kvi_batch_t batch = {0};
    fill(&batch, &maker, KVI_OP_KIND_END - 1, 100, 0);
    const kv_slice_t whole = kvi_batch_bytes(&batch);
    for (size_t size = 0; size < whole.size; size++) {
        kvi_db_t *const db = open_db("hash");
        char *const copy = malloc(size + 1);
        assert_non_null(copy);
        memcpy(copy + 1, whole.data, size);
        assert_int_equal(kvi_db_replay(db, (kv_slice_t){copy + 1, size}), KV_CORRUPT);
        free(copy);
        kvi_db_close(db);
    }
    kvi_batch_close(&batch);
}

static void replaying_tells_that_memory_is_short(void **state)
{
    (void)state;
    static char value[1 << 20];
    kvi_db_t *db;
    const kvi_db_options_t options = {.keyspaces = KEYSPACES, .memory_limit = 4 << 20};
    assert_int_equal(kvi_db_open(&options, &db), KV_OK);
    kvi_batch_t batch = {0};
    assert_int_equal(kvi_batch_begin(&batch, NOW, 0), KV_OK);
    for (char key = 'a'; key < 'i'; key++) {
        const kvi_op_t put = {.kind = KVI_OP_PUT,
                              .key = {&key, 1},
                              .value = {value, sizeof(value)},
                              .deadline_ms = KVI_NO_DEADLINE};
        append(&batch, &put);
    }
    const kvi_op_t last = {.kind = KVI_OP_PUT, .key = slice("z"), .deadline_ms = KVI_NO_DEADLINE};
    append(&batch, &last);
    assert_int_equal(kvi_db_replay(db, kvi_batch_bytes(&batch)), KV_NO_MEMORY);
    kvi_batch_close(&batch);
    kvi_db_close(db);
}

/* An atomic batch that fails at its end leaves a database equal to one that never saw it. */
static void a_failed_atomic_batch_changes_nothing(void **state)
{
    (void)state;
    maker_t maker = {.random = {test_seed()}};
    kvi_db_t *const a = open_db("bptree");
    kvi_db_t *const b = open_db("bptree");
    kvi_batch_t batch = {0};
    for (int i = 0; i < 1000; i++) {
        fill_common(&batch, &maker, NOW - 3000 + i, 0);
        assert_int_equal(kvi_db_apply(a, kvi_batch_bytes(&batch), NULL), KV_OK);
        assert_int_equal(kvi_db_apply(b, kvi_batch_bytes(&batch), NULL), KV_OK);
        fill_common(&batch, &maker, NOW - 3000 + i, KVI_BATCH_ATOMIC);
        const kvi_op_t range = {.kind = KVI_OP_DELETE_RANGE};
        append(&batch, &range);
        const kvi_op_t guard = {.kind = KVI_OP_GUARD, .key = slice("never"), .version = 1};
        append(&batch, &guard);
        assert_int_not_equal(kvi_db_apply(a, kvi_batch_bytes(&batch), NULL), KV_OK);
        if (i % 20 == 0) {
            assert_same_data(a, b);
        }
    }
    assert_same_data(a, b);
    kvi_batch_close(&batch);
    kvi_db_close(a);
    kvi_db_close(b);
}

static void set_quota(kvi_batch_t *batch, size_t quota_bytes, char bytes[KVI_ATTRIBUTES_BYTES_MAX])
{
    const kvi_attributes_t attributes = {.quota_bytes = quota_bytes};
    const size_t size = kvi_attributes_encode(&attributes, KVI_ATTRIBUTE_QUOTA, bytes);
    const kvi_op_t set = {.kind = KVI_OP_KEYSPACE_SET, .value = {bytes, size}};
    append(batch, &set);
}

/* A keyspace above its quota loses a record and then the quota, and gets both back. */
static void undoing_is_not_stopped_by_a_quota(void **state)
{
    (void)state;
    static char value[1 << 20];
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    kvi_db_t *const db = open_db("hash");
    const kvi_op_t put = {.kind = KVI_OP_PUT,
                          .key = slice("large"),
                          .value = {value, sizeof(value)},
                          .deadline_ms = KVI_NO_DEADLINE};
    kvi_batch_t batch = {0};
    assert_int_equal(kvi_batch_begin(&batch, NOW, 0), KV_OK);
    append(&batch, &put);
    set_quota(&batch, 1 << 16, bytes);
    assert_int_equal(kvi_db_apply(db, kvi_batch_bytes(&batch), NULL), KV_OK);
    assert_int_equal(kvi_batch_begin(&batch, NOW, KVI_BATCH_ATOMIC), KV_OK);
    const kvi_op_t delete = {.kind = KVI_OP_DELETE, .key = slice("large")};
    append(&batch, &delete);
    set_quota(&batch, 0, bytes);
    const kvi_op_t guard = {.kind = KVI_OP_GUARD, .key = slice("never"), .version = 1};
    append(&batch, &guard);
    assert_int_equal(kvi_db_apply(db, kvi_batch_bytes(&batch), NULL), KV_CONFLICT);
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, 0);
    kvi_entry_t entry;
    assert_int_equal(kvi_keyspace_get(keyspace, slice("large"), NOW, false, &entry), KV_OK);
    assert_int_equal(entry.value.size, sizeof(value));
    kvi_attributes_t read;
    kvi_keyspace_attributes(keyspace, &read);
    assert_int_equal(read.quota_bytes, 1 << 16);
    const kv_slice_t again = {value, sizeof(value)};
    assert_int_equal(kvi_keyspace_put(keyspace, slice("more"), again, NOW, NULL), KV_NO_MEMORY);
    kvi_batch_close(&batch);
    kvi_db_close(db);
}

static void reads_stand_between_their_neighbours(void **state)
{
    (void)state;
    kvi_db_t *const db = open_db("hash");
    const kvi_op_t put = {.kind = KVI_OP_PUT,
                          .key = slice("k"),
                          .value = slice("one"),
                          .deadline_ms = KVI_NO_DEADLINE};
    const kvi_op_t read = {.kind = KVI_OP_READ, .key = slice("k")};
    const kvi_op_t more = {.kind = KVI_OP_APPEND, .key = slice("k"), .value = slice(" two")};
    const kvi_op_t missing = {.kind = KVI_OP_READ, .key = slice("missing")};
    const kvi_op_t *const ops[] = {&put, &read, &more, &read, &missing};
    kvi_batch_t batch = {0};
    assert_int_equal(kvi_batch_begin(&batch, NOW, KVI_BATCH_ATOMIC), KV_OK);
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        append(&batch, ops[i]);
    }
    kvi_op_result_t results[5];
    assert_int_equal(kvi_db_apply(db, kvi_batch_bytes(&batch), results), KV_OK);
    assert_true(results[0].changed && !results[1].changed && results[2].changed);
    assert_true(same_slice(results[1].value, slice("one")));
    assert_true(same_slice(results[3].value, slice("one two")));
    assert_int_equal(results[4].status, KV_NOT_FOUND);
    kvi_batch_close(&batch);
    kvi_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operation_comes_back),
        cmocka_unit_test(a_small_put_costs_few_bytes),
        cmocka_unit_test(every_cut_is_damage),
        cmocka_unit_test(every_flipped_bit_is_survived),
        cmocka_unit_test(different_engines_become_equal),
        cmocka_unit_test(a_failed_atomic_batch_changes_nothing),
        cmocka_unit_test(undoing_is_not_stopped_by_a_quota),
        cmocka_unit_test(replaying_gives_the_same),
        cmocka_unit_test(replaying_refuses_every_cut),
        cmocka_unit_test(replaying_tells_that_memory_is_short),
        cmocka_unit_test(reads_stand_between_their_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
