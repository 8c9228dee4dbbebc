/* SPDX-License-Identifier: MIT */
/*
 * Range cursors and positions over every row of the table, beside the model: bounds of every kind,
 * prefixes, both directions, writes between the moves, and tokens that go on from.
 */
#include "rows.h"

#define KEYS 900
#define PAGES 400

typedef struct fixture {
    const kv_engine_ops_t *row;
    kv_engine_t *engine;
    kv_budget_t *budget;
    model_t model;
    uint64_t random;
    char *buffers[4];
} fixture_t;

static uint64_t draw(fixture_t *fixture, uint64_t below)
{
    return (test_random(&fixture->random) >> 16) % below;
}

static kv_slice_t draw_key(fixture_t *fixture, int buffer)
{
    return model_key(draw(fixture, KEYS), fixture->buffers[buffer]);
}

static void write_some(fixture_t *fixture, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const kv_slice_t key = draw_key(fixture, 0);
        const uint64_t number = draw(fixture, UINT64_MAX);
        const kv_slice_t value = {(const char *)&number, draw(fixture, sizeof number + 1)};
        if (draw(fixture, 3) == 0) {
            const bool there = model_delete(&fixture->model, key);
            assert_int_equal(fixture->row->del(fixture->engine, key), there ? KV_OK : KV_NOT_FOUND);
        } else {
            assert_int_equal(fixture->row->put(fixture->engine, key, value), KV_OK);
            model_put(&fixture->model, key, value);
        }
    }
}

static fixture_t *begin(void **state)
{
    fixture_t *const fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->row = *state;
    fixture->random = test_seed();
    fixture->budget = kv_budget_create(NULL, 0);
    for (size_t i = 0; i < sizeof fixture->buffers / sizeof fixture->buffers[0]; i++) {
        fixture->buffers[i] = malloc(MODEL_KEY_BYTES_MAX);
        assert_non_null(fixture->buffers[i]);
    }
    fixture->engine = rows_open(fixture->row, fixture->budget, fixture->random);
    return fixture;
}

static void end(fixture_t *fixture)
{
    assert_int_equal(fixture->row->check(fixture->engine), KV_OK);
    fixture->row->close(fixture->engine);
    assert_int_equal(kv_budget_used(fixture->budget), 0);
    kv_budget_destroy(fixture->budget);
    model_free(&fixture->model);
    for (size_t i = 0; i < sizeof fixture->buffers / sizeof fixture->buffers[0]; i++) {
        free(fixture->buffers[i]);
    }
    free(fixture);
}

/* ---- what is in a range, said plainly ---- */

static kv_slice_t key_of(const model_entry_t *entry)
{
    return (kv_slice_t){entry->key, entry->key_bytes};
}

static int compare(kv_slice_t a, kv_slice_t b)
{
    return model_compare(a.data, a.size, b.data, b.size);
}

static bool is_in_range(const kv_range_t *range, kv_slice_t key)
{
    const kv_bound_t lower = range->lower;
    const kv_bound_t upper = range->upper;
    if (lower.kind == KV_BOUND_INCLUDED && compare(key, lower.key) < 0) {
        return false;
    }
    if (lower.kind == KV_BOUND_EXCLUDED && compare(key, lower.key) <= 0) {
        return false;
    }
    if (upper.kind == KV_BOUND_INCLUDED && compare(key, upper.key) > 0) {
        return false;
    }
    return upper.kind != KV_BOUND_EXCLUDED || compare(key, upper.key) < 0;
}

static bool is_wanted(const kv_range_options_t *options, kv_slice_t key)
{
    const kv_slice_t prefix = options->prefix;
    return is_in_range(&options->range, key) && key.size >= prefix.size &&
           (prefix.size == 0 || memcmp(key.data, prefix.data, prefix.size) == 0);
}

/* The first wanted entry behind last, in the direction of the walk; last NULL: of all. */
static const model_entry_t *wanted_behind(const fixture_t *fixture,
                                          const kv_range_options_t *options, const kv_slice_t *last)
{
    for (size_t i = 0; i < fixture->model.count; i++) {
        const size_t place = options->reverse ? fixture->model.count - 1 - i : i;
        const kv_slice_t key = key_of(&fixture->model.entries[place]);
        const int order = last != NULL ? compare(key, *last) : 0;
        if (is_wanted(options, key) &&
            (last == NULL || (options->reverse ? order < 0 : order > 0))) {
            return &fixture->model.entries[place];
        }
    }
    return NULL;
}

static kv_bound_t draw_bound(fixture_t *fixture, int buffer)
{
    const kv_bound_kind_t kind = (kv_bound_kind_t)draw(fixture, 3);
    return (kv_bound_t){kind, draw_key(fixture, buffer)};
}

/* Prefixes that end with the highest byte, and nothing but such. */
static kv_slice_t draw_prefix(fixture_t *fixture, int buffer)
{
    kv_slice_t prefix = draw_key(fixture, buffer);
    char *const bytes = fixture->buffers[buffer];
    switch (draw(fixture, 5)) {
    case 0:
        prefix.size = prefix.size < 3 ? prefix.size : draw(fixture, 3);
        return prefix;
    case 1:
        memset(bytes, 0xff, 3);
        return (kv_slice_t){bytes, 1 + draw(fixture, 3)};
    case 2:
        memcpy(bytes, "key:1\xff", 6);
        return (kv_slice_t){bytes, 4 + draw(fixture, 3)};
    default:
        return (kv_slice_t){NULL, 0};
    }
}

static kv_range_options_t draw_options(fixture_t *fixture)
{
    return (kv_range_options_t){
        .range = {draw_bound(fixture, 1), draw_bound(fixture, 2)},
        .prefix = draw_prefix(fixture, 3),
        .reverse = draw(fixture, 2) == 1,
    };
}

/* ---- cursors ---- */

static void assert_stands_at(const kv_range_cursor_t *cursor, const model_entry_t *entry)
{
    assert_int_equal(kv_range_cursor_valid(cursor), entry != NULL);
    if (entry != NULL) {
        const kv_slice_t value = kv_range_cursor_value(cursor);
        assert_int_equal(compare(kv_range_cursor_key(cursor), key_of(entry)), 0);
        assert_int_equal(value.size, entry->value_bytes);
        assert_true(value.size == 0 || memcmp(value.data, entry->value, value.size) == 0);
    }
}

/* Up to steps moves, with writes between them. Leaves a token in token, a buffer, empty at the end
 * of the range; it begins with the one that is there. */
static void walk_page(fixture_t *fixture, kv_range_options_t *options, size_t steps, char *token)
{
    kv_range_cursor_t *cursor = NULL;
    const kv_slice_t given = {token + 1, options->token.size > 0 ? options->token.size - 1 : 0};
    const kv_slice_t *last = options->token.size > 0 ? &given : NULL;
    kv_slice_t at;
    char *key = malloc(MODEL_KEY_BYTES_MAX);
    assert_non_null(key);
    assert_int_equal(kv_range_cursor_open(fixture->engine, options, &cursor), KV_OK);
    options->token = (kv_slice_t){token, 0};
    for (size_t i = 0; i < steps; i++) {
        const model_entry_t *const entry = wanted_behind(fixture, options, last);
        assert_stands_at(cursor, entry);
        options->token.size = 0;
        if (entry == NULL) {
            assert_int_equal(kv_range_cursor_next(cursor), KV_INVALID);
            break;
        }
        kv_slice_t taken;
        assert_int_equal(kv_range_cursor_token(cursor, &taken), KV_OK);
        memcpy(key, entry->key, entry->key_bytes);
        at = (kv_slice_t){key, entry->key_bytes};
        last = &at;
        memcpy(token, taken.data, taken.size);
        options->token.size = taken.size;
        write_some(fixture, draw(fixture, 4) == 0 ? 3 : 0);
        assert_int_equal(kv_range_cursor_next(cursor), KV_OK);
    }
    kv_range_cursor_close(cursor);
    free(key);
}

static void ranges_hold_what_they_should(void **state)
{
    fixture_t *const fixture = begin(state);
    char *const token = malloc(MODEL_KEY_BYTES_MAX + 1);
    assert_non_null(token);
    if (fixture->row->ordered) {
        write_some(fixture, KEYS);
        for (int i = 0; i < PAGES; i++) {
            kv_range_options_t options = draw_options(fixture);
            do {
                walk_page(fixture, &options, 1 + draw(fixture, 40), token);
                write_some(fixture, 2);
            } while (options.token.size > 0);
        }
    }
    free(token);
    end(fixture);
}

static void without_options_all_are_met(void **state)
{
    fixture_t *const fixture = begin(state);
    kv_range_cursor_t *cursor = NULL;
    if (fixture->row->ordered) {
        write_some(fixture, 300);
        assert_int_equal(kv_range_cursor_open(fixture->engine, NULL, &cursor), KV_OK);
        for (size_t i = 0; i < fixture->model.count; i++) {
            assert_stands_at(cursor, &fixture->model.entries[i]);
            assert_int_equal(kv_range_cursor_next(cursor), KV_OK);
        }
        assert_stands_at(cursor, NULL);
        kv_range_cursor_close(cursor);
    }
    kv_range_cursor_close(NULL);
    end(fixture);
}

static void tokens_of_others_are_refused(void **state)
{
    fixture_t *const fixture = begin(state);
    kv_range_cursor_t *cursor = NULL;
    kv_range_options_t options = {.token = {"\3x", 2}};
    if (fixture->row->ordered) {
        kv_slice_t token;
        assert_int_equal(kv_range_cursor_open(fixture->engine, &options, &cursor), KV_INVALID);
        options.token.size = 0;
        assert_int_equal(fixture->row->put(fixture->engine, (kv_slice_t){"k", 1}, options.token),
                         KV_OK);
        model_put(&fixture->model, (kv_slice_t){"k", 1}, options.token);
        assert_int_equal(kv_range_cursor_open(fixture->engine, &options, &cursor), KV_OK);
        assert_int_equal(kv_range_cursor_token(cursor, &token), KV_OK);
        kv_range_cursor_t *other = NULL;
        options = (kv_range_options_t){.token = token, .reverse = true};
        assert_int_equal(kv_range_cursor_open(fixture->engine, &options, &other), KV_INVALID);
        assert_int_equal(kv_range_cursor_next(cursor), KV_OK);
        assert_int_equal(kv_range_cursor_token(cursor, &token), KV_INVALID);
        kv_range_cursor_close(cursor);
    }
    end(fixture);
}

static void unordered_engines_say_so(void **state)
{
    fixture_t *const fixture = begin(state);
    const kv_status_t expected = fixture->row->ordered ? KV_OK : KV_UNSUPPORTED;
    const kv_range_t all = {{0}, {0}};
    kv_range_cursor_t *cursor = NULL;
    kv_cursor_t *own = NULL;
    uint64_t number = 0;
    assert_int_equal(kv_range_cursor_open(fixture->engine, NULL, &cursor), expected);
    kv_range_cursor_close(cursor);
    assert_int_equal(kv_engine_rank(fixture->engine, (kv_slice_t){"k", 1}, &number), expected);
    assert_int_equal(kv_engine_count_range(fixture->engine, &all, &number), expected);
    assert_int_equal(kv_engine_delete_range(fixture->engine, &all, &number), expected);
    assert_int_equal(number, 0);
    assert_int_equal(fixture->row->cursor_open(fixture->engine, &own), KV_OK);
    assert_int_equal(kv_engine_seek_rank(fixture->engine, own, 0),
                     fixture->row->ordered ? KV_NOT_FOUND : KV_UNSUPPORTED);
    fixture->row->cursor_close(own);
    end(fixture);
}

/* ---- positions ---- */

static void check_positions(fixture_t *fixture)
{
    uint64_t number = 0;
    kv_cursor_t *cursor = NULL;
    const kv_slice_t key = draw_key(fixture, 0);
    assert_int_equal(kv_engine_rank(fixture->engine, key, &number), KV_OK);
    assert_int_equal(number, model_place(&fixture->model, key));
    number = draw(fixture, fixture->model.count + 2);
    assert_int_equal(fixture->row->cursor_open(fixture->engine, &cursor), KV_OK);
    const kv_status_t status = kv_engine_seek_rank(fixture->engine, cursor, number);
    if (number < fixture->model.count) {
        assert_int_equal(status, KV_OK);
        assert_int_equal(
            compare(fixture->row->cursor_key(cursor), key_of(&fixture->model.entries[number])), 0);
    } else {
        assert_int_equal(status, KV_NOT_FOUND);
        assert_false(fixture->row->cursor_valid(cursor));
    }
    fixture->row->cursor_close(cursor);
}

static uint64_t count_in_model(const fixture_t *fixture, const kv_range_t *range)
{
    uint64_t count = 0;
    for (size_t i = 0; i < fixture->model.count; i++) {
        count += is_in_range(range, key_of(&fixture->model.entries[i]));
    }
    return count;
}

static void delete_from_model(fixture_t *fixture, const kv_range_t *range)
{
    for (size_t i = fixture->model.count; i-- > 0;) {
        if (is_in_range(range, key_of(&fixture->model.entries[i]))) {
            (void)model_delete(&fixture->model, key_of(&fixture->model.entries[i]));
        }
    }
}

static void positions_agree_with_the_model(void **state)
{
    fixture_t *const fixture = begin(state);
    for (int i = 0; i < 300 && fixture->row->ordered; i++) {
        uint64_t count = 0;
        const kv_range_t range = {draw_bound(fixture, 1), draw_bound(fixture, 2)};
        write_some(fixture, 20);
        check_positions(fixture);
        const uint64_t expected = count_in_model(fixture, &range);
        assert_int_equal(kv_engine_count_range(fixture->engine, &range, &count), KV_OK);
        assert_int_equal(count, expected);
        if (draw(fixture, 4) == 0) {
            assert_int_equal(kv_engine_delete_range(fixture->engine, &range, &count), KV_OK);
            assert_int_equal(count, expected);
            delete_from_model(fixture, &range);
            assert_int_equal(fixture->row->count(fixture->engine), fixture->model.count);
        }
    }
    end(fixture);
}

int main(void)
{
    static const rows_case_t cases[] = {
        ROWS_CASE(ranges_hold_what_they_should),   ROWS_CASE(without_options_all_are_met),
        ROWS_CASE(tokens_of_others_are_refused),   ROWS_CASE(unordered_engines_say_so),
        ROWS_CASE(positions_agree_with_the_model),
    };
    return rows_run(cases, sizeof cases / sizeof cases[0], true);
}
