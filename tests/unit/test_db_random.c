/* SPDX-License-Identifier: MIT */
/* Random operations on a database and on its model, under a clock that the test moves. */
#include "test.h"

#include "db_model.h"

typedef struct pair {
    kvi_db_t *db;
    model_t model;
    uint64_t random;
} pair_t;

/* One operation's arguments, drawn at random. */
typedef struct step {
    size_t space;
    size_t number;
    kvi_keyspace_t *keyspace;
    kv_slice_t key;
    kv_slice_t bytes;
    model_entry_t *entry; /* NULL: no such key */
} step_t;

static uint64_t draw(pair_t *pair, uint64_t below)
{
    return test_random(&pair->random) % below;
}

static kv_slice_t draw_bytes(pair_t *pair)
{
    static char bytes[300];
    static const size_t sizes[] = {0, 1, 5, 20, 44, 300};
    const size_t most = sizes[draw(pair, sizeof(sizes) / sizeof(sizes[0]))];
    const size_t size = draw(pair, most + 1);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)draw(pair, 256);
    }
    return (kv_slice_t){bytes, size};
}

static int64_t draw_deadline(pair_t *pair)
{
    switch (draw(pair, 4)) {
    case 0:
        return KVI_NO_DEADLINE;
    case 1:
        return pair->model.now_ms - (int64_t)draw(pair, 20);
    default:
        return pair->model.now_ms + 1 + (int64_t)draw(pair, 200);
    }
}

/* ---- operations ---- */

static void do_put(pair_t *pair, const step_t *step)
{
    kvi_put_options_t options = {.condition = (kvi_put_condition_t)draw(pair, 3),
                                 .keep_deadline = draw(pair, 4) == 0,
                                 .deadline_ms = draw_deadline(pair)};
    const bool plain = draw(pair, 3) == 0;
    const kv_status_t status = kvi_keyspace_put(step->keyspace, step->key, step->bytes,
                                                pair->model.now_ms, plain ? NULL : &options);
    if (plain) {
        options = (kvi_put_options_t){.deadline_ms = KVI_NO_DEADLINE};
    }
    if (options.condition == KVI_PUT_IF_ABSENT && step->entry != NULL) {
        assert_int_equal(status, KV_EXISTS);
        return;
    }
    if (options.condition == KVI_PUT_IF_PRESENT && step->entry == NULL) {
        assert_int_equal(status, KV_NOT_FOUND);
        return;
    }
    assert_int_equal(status, KV_OK);
    if (options.keep_deadline) {
        options.deadline_ms = step->entry != NULL ? step->entry->deadline_ms : KVI_NO_DEADLINE;
    }
    /* A deadline that is kept may be this very millisecond, and such a key is still there. */
    model_put(&pair->model, step->space, step->number, step->bytes, options.deadline_ms);
    if (options.keep_deadline) {
        pair->model.entries[step->space][step->number].exists = true;
    }
}

static void do_delete(pair_t *pair, const step_t *step)
{
    assert_int_equal(kvi_keyspace_delete(step->keyspace, step->key, pair->model.now_ms),
                     step->entry != NULL ? KV_OK : KV_NOT_FOUND);
    if (step->entry != NULL) {
        step->entry->exists = false;
    }
}

static void do_write(pair_t *pair, const step_t *step)
{
    const size_t old_size = step->entry != NULL ? step->entry->size : 0;
    const bool append = draw(pair, 2) == 0;
    const size_t offset = append ? old_size : draw(pair, 400);
    const size_t end = offset + step->bytes.size;
    if (end > MODEL_VALUE_BYTES) {
        return;
    }
    size_t new_size = 0;
    const int64_t now_ms = pair->model.now_ms;
    const kv_status_t status =
        append ? kvi_keyspace_append(step->keyspace, step->key, step->bytes, now_ms, &new_size)
               : kvi_keyspace_write_at(step->keyspace, step->key, offset, step->bytes, now_ms,
                                       &new_size);
    assert_int_equal(status, KV_OK);
    if (step->bytes.size == 0 && !append) {
        assert_int_equal(new_size, old_size);
        return;
    }
    model_entry_t *const entry = &pair->model.entries[step->space][step->number];
    if (step->entry == NULL) {
        model_put(&pair->model, step->space, step->number, (kv_slice_t){NULL, 0}, KVI_NO_DEADLINE);
    }
    if (offset > entry->size) {
        memset(entry->value + entry->size, 0, offset - entry->size);
    }
    if (step->bytes.size > 0) {
        memcpy(entry->value + offset, step->bytes.data, step->bytes.size);
    }
    entry->size = end > entry->size ? end : entry->size;
    assert_int_equal(new_size, entry->size);
}

static void do_add(pair_t *pair, const step_t *step)
{
    char text[32];
    if (draw(pair, 2) == 0) { /* give it something to add to */
        const int size = snprintf(text, sizeof(text), "%lld", (long long)draw(pair, 2000) - 1000);
        const kv_slice_t number = {text, (size_t)size};
        assert_int_equal(
            kvi_keyspace_put(step->keyspace, step->key, number, pair->model.now_ms, NULL), KV_OK);
        model_put(&pair->model, step->space, step->number, number, KVI_NO_DEADLINE);
    }
    model_entry_t *const entry = model_find(&pair->model, step->space, step->number);
    long long old = 0;
    bool number = true;
    if (entry != NULL) {
        char copy[MODEL_VALUE_BYTES + 1] = {0};
        memcpy(copy, entry->value, entry->size);
        char *end;
        old = strtoll(copy, &end, 10);
        (void)snprintf(text, sizeof(text), "%lld", old);
        number = strlen(text) == entry->size && memcmp(text, entry->value, entry->size) == 0;
    }
    const int64_t delta = (int64_t)draw(pair, 20000) - 10000;
    int64_t sum = 0;
    const kv_status_t status =
        kvi_keyspace_add(step->keyspace, step->key, delta, pair->model.now_ms, &sum);
    if (!number) {
        assert_int_equal(status, KV_NOT_NUMBER);
        return;
    }
    assert_int_equal(status, KV_OK);
    assert_int_equal(sum, old + delta);
    const int size = snprintf(text, sizeof(text), "%lld", (long long)sum);
    const int64_t deadline_ms = entry != NULL ? entry->deadline_ms : KVI_NO_DEADLINE;
    model_put(&pair->model, step->space, step->number, (kv_slice_t){text, (size_t)size},
              deadline_ms);
    pair->model.entries[step->space][step->number].exists = true;
}

static void do_set_deadline(pair_t *pair, const step_t *step)
{
    const int64_t deadline_ms = draw_deadline(pair);
    assert_int_equal(
        kvi_keyspace_set_deadline(step->keyspace, step->key, deadline_ms, pair->model.now_ms),
        step->entry != NULL ? KV_OK : KV_NOT_FOUND);
    if (step->entry != NULL) {
        step->entry->deadline_ms = deadline_ms;
        step->entry->exists = deadline_ms == KVI_NO_DEADLINE || deadline_ms > pair->model.now_ms;
    }
}

static void do_copy(pair_t *pair, const step_t *step)
{
    const size_t space = draw(pair, MODEL_SPACES);
    const size_t number = draw(pair, MODEL_KEYS);
    const bool replace = draw(pair, 2) == 0;
    const bool move = draw(pair, 2) == 0;
    const bool taken = model_find(&pair->model, space, number) != NULL;
    kvi_keyspace_t *const to = kvi_db_keyspace(pair->db, space);
    const kv_status_t status = (move ? kvi_keyspace_rename : kvi_keyspace_copy)(
        step->keyspace, step->key, to, model_key(number), replace, pair->model.now_ms);
    if (step->entry == NULL) {
        assert_int_equal(status, KV_NOT_FOUND);
    } else if (taken && !replace) {
        assert_int_equal(status, KV_EXISTS);
    } else {
        assert_int_equal(status, KV_OK);
        model_entry_t *const target = &pair->model.entries[space][number];
        if (target != step->entry) {
            *target = *step->entry;
            step->entry->exists = !move;
        }
    }
}

static void do_housekeeping(pair_t *pair, const step_t *step)
{
    switch (draw(pair, 4)) {
    case 0: {
        const size_t steps = 1 + draw(pair, 40);
        const size_t removed = kvi_keyspace_expire(step->keyspace, pair->model.now_ms, steps);
        assert_true(removed <= steps);
        if (removed < steps) { /* nothing late is left */
            assert_int_equal(kvi_keyspace_count(step->keyspace),
                             model_count(&pair->model, step->space, false));
            assert_int_equal(kvi_keyspace_deadlines(step->keyspace),
                             model_count(&pair->model, step->space, true));
        }
        break;
    }
    case 1:
        (void)kvi_keyspace_relocate(step->keyspace, 100);
        break;
    case 2: {
        kv_slice_t key;
        const kv_status_t status = kvi_keyspace_random(step->keyspace, test_random(&pair->random),
                                                       pair->model.now_ms, &key);
        const size_t count = model_count(&pair->model, step->space, false);
        assert_int_equal(status, count > 0 ? KV_OK : KV_NOT_FOUND);
        break;
    }
    default:
        pair->model.now_ms += (int64_t)draw(pair, 30);
        break;
    }
}

static void do_rare(pair_t *pair, const step_t *step)
{
    if (draw(pair, 2) == 0) {
        assert_int_equal(kvi_keyspace_clear(step->keyspace), KV_OK);
        memset(pair->model.entries[step->space], 0, sizeof(pair->model.entries[0]));
        assert_int_equal(kvi_keyspace_count(step->keyspace), 0);
    } else {
        static model_entry_t entries[MODEL_KEYS];
        assert_int_equal(kvi_db_swap(pair->db, 0, 1), KV_OK);
        memcpy(entries, pair->model.entries[0], sizeof(entries));
        memcpy(pair->model.entries[0], pair->model.entries[1], sizeof(entries));
        memcpy(pair->model.entries[1], entries, sizeof(entries));
    }
}

/* ---- comparison ---- */

static void verify_key(pair_t *pair, size_t space, size_t number)
{
    const model_entry_t *const expected = model_find(&pair->model, space, number);
    kvi_entry_t entry;
    const kv_status_t status = kvi_keyspace_get(kvi_db_keyspace(pair->db, space), model_key(number),
                                                pair->model.now_ms, true, &entry);
    assert_int_equal(status, expected != NULL ? KV_OK : KV_NOT_FOUND);
    if (expected != NULL) {
        assert_int_equal(entry.value.size, expected->size);
        assert_memory_equal(entry.value.data, expected->value, expected->size);
        assert_int_equal(entry.deadline_ms, expected->deadline_ms);
    }
}

static void count_visit(void *context, kv_slice_t key, const kvi_entry_t *entry)
{
    (void)key;
    (void)entry;
    ++*(size_t *)context;
}

static void verify_all(pair_t *pair)
{
    for (size_t space = 0; space < MODEL_SPACES; space++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(pair->db, space);
        const int64_t now_ms = pair->model.now_ms;
        assert_int_equal(kvi_keyspace_check(keyspace), KV_OK);
        size_t visited = 0;
        uint64_t token = 0;
        do {
            token = kvi_keyspace_scan(keyspace, token, 5, now_ms, count_visit, &visited);
        } while (token != 0);
        assert_int_equal(visited, model_count(&pair->model, space, false));
        const int64_t next_ms = kvi_keyspace_next_deadline(keyspace);
        for (size_t i = 0; i < MODEL_KEYS; i++) {
            verify_key(pair, space, i);
            const model_entry_t *const entry = &pair->model.entries[space][i];
            if (entry->exists && entry->deadline_ms != KVI_NO_DEADLINE) {
                assert_true(next_ms != KVI_NO_DEADLINE && next_ms <= entry->deadline_ms);
            }
        }
    }
}

static void test_random_operations_agree_with_the_model(void **state)
{
    (void)state;
    static void (*const common[])(pair_t *, const step_t *) = {
        do_put, do_put, do_delete, do_write, do_add, do_set_deadline, do_copy, do_housekeeping};
    static pair_t pair;
    pair = (pair_t){.random = test_seed(), .model = {.now_ms = 1000000}};
    const kvi_db_options_t options = {.keyspaces = MODEL_SPACES, .hash_seed = 7};
    assert_int_equal(kvi_db_open(&options, &pair.db), KV_OK);
    for (size_t i = 0; i < 40000; i++) {
        step_t step = {.space = draw(&pair, MODEL_SPACES), .number = draw(&pair, MODEL_KEYS)};
        step.keyspace = kvi_db_keyspace(pair.db, step.space);
        step.key = model_key(step.number);
        step.bytes = draw_bytes(&pair);
        step.entry = model_find(&pair.model, step.space, step.number);
        if (draw(&pair, 2000) == 0) {
            do_rare(&pair, &step);
        } else {
            common[draw(&pair, sizeof(common) / sizeof(common[0]))](&pair, &step);
        }
        verify_key(&pair, step.space, step.number);
        if (i % 50 == 0) {
            verify_all(&pair);
        }
    }
    verify_all(&pair);
    kvi_db_close(pair.db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations_agree_with_the_model),
    };
    return cmocka_run_group_tests_name("db_random", tests, NULL, NULL);
}
