/* SPDX-License-Identifier: MIT */
/*
 * Conversion between all rows of the table while reads and writes go on, beside the model: what is
 * there is always what the old engine has, and what is there at the end is the same.
 */
#include "rows.h"

#define KEYS 1500
#define FAR_LARGER ((size_t)1 << 21)

typedef struct fixture {
    const kv_engine_ops_t *row;
    kv_engine_t *engine;
    kv_budget_t *budget;
    model_t model;
    uint64_t random;
    char *key;
    char *value;
} fixture_t;

static uint64_t draw(fixture_t *fixture, uint64_t below)
{
    return (test_random(&fixture->random) >> 16) % below;
}

static fixture_t *begin(void **state)
{
    fixture_t *const fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->row = *state;
    fixture->random = test_seed();
    fixture->budget = kv_budget_create(NULL, 0);
    fixture->key = malloc(MODEL_KEY_BYTES_MAX);
    fixture->value = malloc(FAR_LARGER);
    assert_true(fixture->key != NULL && fixture->value != NULL);
    fixture->engine = rows_open(fixture->row, fixture->budget, fixture->random);
    return fixture;
}

static void end(fixture_t *fixture)
{
    assert_int_equal(fixture->engine->ops->check(fixture->engine), KV_OK);
    fixture->engine->ops->close(fixture->engine);
    assert_int_equal(kv_budget_used(fixture->budget), 0);
    kv_budget_destroy(fixture->budget);
    model_free(&fixture->model);
    free(fixture->key);
    free(fixture->value);
    free(fixture);
}

static kv_slice_t draw_key(fixture_t *fixture)
{
    return model_key(draw(fixture, KEYS), fixture->key);
}

static kv_slice_t draw_value(fixture_t *fixture)
{
    const size_t bytes = model_value_bytes(draw(fixture, UINT64_MAX));
    model_fill(fixture->value, bytes, draw(fixture, UINT64_MAX));
    return (kv_slice_t){fixture->value, bytes};
}

static void do_put(fixture_t *fixture, kv_slice_t key, kv_slice_t value)
{
    assert_int_equal(fixture->engine->ops->put(fixture->engine, key, value), KV_OK);
    model_put(&fixture->model, key, value);
}

/* The value is written after the call, in its place. */
static void do_place(fixture_t *fixture)
{
    char *place = NULL;
    const kv_slice_t key = draw_key(fixture);
    const kv_slice_t value = draw_value(fixture);
    assert_int_equal(fixture->engine->ops->place(fixture->engine, key, value.size, 0, &place),
                     KV_OK);
    memcpy(place, value.data, value.size);
    model_put(&fixture->model, key, value);
}

static void do_delete(fixture_t *fixture, kv_slice_t key)
{
    const bool there = model_find(&fixture->model, key) != NULL;
    assert_int_equal(fixture->engine->ops->del(fixture->engine, key), there ? KV_OK : KV_NOT_FOUND);
    (void)model_delete(&fixture->model, key);
}

/* Overwrites a value where it lies. */
static void do_touch(fixture_t *fixture)
{
    const kv_slice_t key = draw_key(fixture);
    const kv_slice_t filled = draw_value(fixture);
    kv_slice_t value;
    kv_engine_touched(fixture->engine, key);
    if (fixture->engine->ops->get(fixture->engine, key, &value) == KV_OK &&
        value.size <= filled.size) {
        memcpy((char *)(uintptr_t)value.data, filled.data, value.size);
        model_put(&fixture->model, key, (kv_slice_t){filled.data, value.size});
    }
}

static void do_delete_range(fixture_t *fixture)
{
    const kv_range_t range = {{KV_BOUND_INCLUDED, {"key:10", 6}},
                              {KV_BOUND_EXCLUDED, {"key:11", 6}}};
    const size_t from = model_place(&fixture->model, range.lower.key);
    uint64_t deleted = 0;
    uint64_t expected = 0;
    if (!fixture->engine->ops->ordered) {
        return;
    }
    for (size_t to = model_place(&fixture->model, range.upper.key); to > from; to--) {
        const model_entry_t *const entry = &fixture->model.entries[to - 1];
        expected += model_delete(&fixture->model, (kv_slice_t){entry->key, entry->key_bytes});
    }
    assert_int_equal(kv_engine_delete_range(fixture->engine, &range, &deleted), KV_OK);
    assert_int_equal(deleted, expected);
}

/* Keys and values that are borrowed from the engine itself. */
static void do_borrowed(fixture_t *fixture)
{
    kv_slice_t key;
    kv_slice_t value;
    if (fixture->engine->ops->sample(fixture->engine, draw(fixture, UINT64_MAX), &key, &value) !=
        KV_OK) {
        return;
    }
    const kv_slice_t kept = {memcpy(fixture->key, key.data, key.size), key.size};
    const kv_slice_t other = draw(fixture, 2) == 0 ? kept : (kv_slice_t){"borrowed", 8};
    memcpy(fixture->value, value.data, value.size < FAR_LARGER ? value.size : 0);
    assert_int_equal(fixture->engine->ops->put(fixture->engine, other, value), KV_OK);
    model_put(&fixture->model, other, (kv_slice_t){fixture->value, value.size});
}

static void write_something(fixture_t *fixture)
{
    switch (draw(fixture, 12)) {
    case 0:
    case 1:
        do_delete(fixture, draw_key(fixture));
        break;
    case 2:
    case 3:
        do_place(fixture);
        break;
    case 4:
        do_touch(fixture);
        break;
    case 5:
        do_borrowed(fixture);
        break;
    case 6:
        (void)fixture->engine->ops->relocate(fixture->engine, 3);
        break;
    case 7:
        if (draw(fixture, 20) == 0) {
            do_delete_range(fixture);
        }
        break;
    default:
        do_put(fixture, draw_key(fixture), draw_value(fixture));
    }
}

static void compare_key(fixture_t *fixture, kv_slice_t key)
{
    kv_slice_t value = {NULL, 0};
    const model_entry_t *const entry = model_find(&fixture->model, key);
    assert_int_equal(fixture->engine->ops->get(fixture->engine, key, &value),
                     entry != NULL ? KV_OK : KV_NOT_FOUND);
    if (entry != NULL) {
        assert_int_equal(value.size, entry->value_bytes);
        assert_true(value.size == 0 || memcmp(value.data, entry->value, value.size) == 0);
    }
}

static void visit(void *context, kv_slice_t key, kv_slice_t value)
{
    model_entry_t *const entry = model_find(context, key);
    assert_non_null(entry);
    assert_int_equal(entry->mark++, 0);
    assert_int_equal(value.size, entry->value_bytes);
}

/* By get, by scan, by figures. */
static void compare_all(fixture_t *fixture)
{
    const kv_engine_ops_t *const ops = fixture->engine->ops;
    kv_engine_memory_t memory;
    uint64_t token = 0;
    assert_int_equal(ops->count(fixture->engine), fixture->model.count);
    for (size_t i = 0; i < fixture->model.count; i++) {
        const model_entry_t *const entry = &fixture->model.entries[i];
        fixture->model.entries[i].mark = 0;
        compare_key(fixture, (kv_slice_t){entry->key, entry->key_bytes});
    }
    do {
        token = ops->scan(fixture->engine, token, 100, visit, &fixture->model);
    } while (token != 0);
    for (size_t i = 0; i < fixture->model.count; i++) {
        assert_int_equal(fixture->model.entries[i].mark, 1);
    }
    assert_int_equal(ops->check(fixture->engine), KV_OK);
    assert_int_equal(ops->memory(fixture->engine, &memory), KV_OK);
    assert_int_equal(memory.total_bytes, kv_budget_used(fixture->budget));
    assert_int_equal(memory.key_bytes + memory.value_bytes + memory.index_bytes +
                         memory.slack_bytes,
                     memory.total_bytes);
}

static void begin_conversion(fixture_t *fixture, const char *name)
{
    const kv_engine_options_t options = {.budget = fixture->budget, .hash_seed = 5};
    kv_engine_t *converting = NULL;
    assert_int_equal(kv_engine_convert_begin(fixture->engine, name, &options, &converting), KV_OK);
    assert_int_equal(kv_engine_convert_begin(converting, name, &options, &converting), KV_BUSY);
    assert_string_equal(converting->ops->name, fixture->engine->ops->name);
    assert_int_equal(converting->ops->ordered, fixture->engine->ops->ordered);
    fixture->engine = converting;
}

static void convert_under_writes(fixture_t *fixture, const char *name)
{
    bool done = false;
    begin_conversion(fixture, name);
    for (size_t i = 0; !done; i++) {
        write_something(fixture);
        compare_key(fixture, draw_key(fixture));
        if (i % 4 == 0) {
            assert_int_equal(kv_engine_convert_step(fixture->engine, 1 + draw(fixture, 20), &done),
                             KV_OK);
        }
        if (i % 64 == 0) {
            compare_all(fixture);
        }
    }
    for (size_t i = 0; i < 50; i++) {
        write_something(fixture);
    }
    compare_all(fixture);
    assert_int_equal(kv_engine_convert_end(fixture->engine, &fixture->engine), KV_OK);
    assert_string_equal(fixture->engine->ops->name, name);
    compare_all(fixture);
}

static void every_row_becomes_every_row(void **state)
{
    fixture_t *const fixture = begin(state);
    for (int i = 0; i < KEYS; i++) {
        write_something(fixture);
    }
    for (size_t i = 0; kv_engine_at(i) != NULL; i++) {
        convert_under_writes(fixture, kv_engine_at(i)->name);
        convert_under_writes(fixture, fixture->row->name);
    }
    end(fixture);
}

static void all_at_once(void **state)
{
    fixture_t *const fixture = begin(state);
    const kv_engine_options_t options = {.budget = fixture->budget};
    for (size_t i = 0; kv_engine_at(i) != NULL; i++) {
        assert_int_equal(kv_engine_convert(&fixture->engine, kv_engine_at(i)->name, &options),
                         KV_OK); /* empty the first time */
        assert_ptr_equal(fixture->engine->ops, kv_engine_at(i));
        do_put(fixture, draw_key(fixture), draw_value(fixture));
        compare_all(fixture);
    }
    assert_int_equal(kv_engine_convert(&fixture->engine, "no such engine", NULL), KV_UNSUPPORTED);
    compare_all(fixture);
    end(fixture);
}

static void an_end_before_the_end_changes_nothing(void **state)
{
    fixture_t *const fixture = begin(state);
    bool done = true;
    for (int i = 0; i < KEYS; i++) {
        write_something(fixture);
    }
    begin_conversion(fixture, fixture->row->name);
    assert_int_equal(kv_engine_convert_step(fixture->engine, 1, &done), KV_OK);
    assert_false(done);
    do_place(fixture);
    assert_int_equal(kv_engine_convert_end(fixture->engine, &fixture->engine), KV_BUSY);
    compare_all(fixture);
    kv_engine_t *other = fixture->engine;
    assert_int_equal(kv_engine_convert_step(fixture->engine, 1, &done), KV_INVALID);
    assert_int_equal(kv_engine_convert_end(fixture->engine, &other), KV_INVALID);
    kv_engine_touched(fixture->engine, (kv_slice_t){"k", 1});
    begin_conversion(fixture, fixture->row->name);
    end(fixture); /* closes both */
}

/* The new engine's budget ends somewhere: in a step, a write, or not before the end. */
static void want_of_memory_ends_the_conversion_only(void **state)
{
    fixture_t *const fixture = begin(state);
    kv_budget_t *const small = kv_budget_create(NULL, 0);
    for (int i = 0; i < KEYS; i++) {
        write_something(fixture);
    }
    kv_status_t status = KV_NO_MEMORY;
    for (size_t limit = (size_t)1 << 17; status != KV_OK; limit += limit / 4) {
        const kv_engine_options_t options = {.budget = small};
        kv_engine_t *converting = NULL;
        bool done = false;
        kv_budget_set_limit(small, limit);
        status = kv_engine_convert_begin(fixture->engine, "bptree", &options, &converting);
        if (status != KV_OK) {
            assert_int_equal(status, KV_NO_MEMORY);
            continue;
        }
        fixture->engine = converting;
        while (status == KV_OK && !done) {
            status = kv_engine_convert_step(converting, 20, &done);
            do_put(fixture, draw_key(fixture), draw_value(fixture));
            do_place(fixture);
        }
        assert_int_equal(fixture->engine->ops->count(fixture->engine), fixture->model.count);
        status = kv_engine_convert_end(converting, &fixture->engine);
        if (status != KV_OK) {
            assert_int_equal(status, KV_NO_MEMORY);
            assert_int_equal(kv_budget_used(small), 0);
            compare_all(fixture);
        }
    }
    assert_string_equal(fixture->engine->ops->name, "bptree");
    assert_int_equal(fixture->engine->ops->count(fixture->engine), fixture->model.count);
    assert_int_equal(kv_budget_used(fixture->budget), 0);
    end(fixture);
    assert_int_equal(kv_budget_used(small), 0);
    kv_budget_destroy(small);
}

/* A step ends early where entries are large, so that it stays short. */
static void steps_are_bounded_in_bytes(void **state)
{
    fixture_t *const fixture = begin(state);
    enum { LARGE = 40 };
    size_t steps = 0;
    bool done = false;
    memset(fixture->value, 'l', FAR_LARGER);
    for (int i = 0; i < LARGE; i++) {
        const kv_slice_t key = {(const char *)&i, sizeof i};
        do_put(fixture, key, (kv_slice_t){fixture->value, (size_t)1 << 19});
    }
    begin_conversion(fixture, fixture->row->name);
    while (!done) {
        assert_int_equal(kv_engine_convert_step(fixture->engine, SIZE_MAX, &done), KV_OK);
        steps++;
    }
    assert_true(steps >= 2);
    assert_int_equal(kv_engine_convert_end(fixture->engine, &fixture->engine), KV_OK);
    compare_all(fixture);
    end(fixture);
}

/* Keys that are equal in their first bytes, in two families: a step stays as short as it was asked
 * for. */
static void steps_are_bounded_in_entries(void **state)
{
    fixture_t *const fixture = begin(state);
    enum { ENTRIES = 3000, STEP = 10 };
    size_t steps = 0;
    bool done = false;
    for (int i = 0; i < ENTRIES; i++) {
        char key[64];
        const int bytes =
            snprintf(key, sizeof key, "%s:of-a-long-name:%d", i % 2 == 0 ? "session" : "user", i);
        do_put(fixture, (kv_slice_t){key, (size_t)bytes}, (kv_slice_t){key, 8});
    }
    begin_conversion(fixture, "bptree");
    while (!done) {
        assert_int_equal(kv_engine_convert_step(fixture->engine, STEP, &done), KV_OK);
        steps++;
    }
    assert_true(steps >= ENTRIES / (4 * STEP));
    assert_int_equal(kv_engine_convert_end(fixture->engine, &fixture->engine), KV_OK);
    compare_all(fixture);
    end(fixture);
}

int main(void)
{
    static const rows_case_t cases[] = {
        ROWS_CASE(every_row_becomes_every_row),
        ROWS_CASE(all_at_once),
        ROWS_CASE(an_end_before_the_end_changes_nothing),
        ROWS_CASE(want_of_memory_ends_the_conversion_only),
        ROWS_CASE(steps_are_bounded_in_bytes),
        ROWS_CASE(steps_are_bounded_in_entries),
    };
    return rows_run(cases, sizeof cases / sizeof cases[0], false);
}
