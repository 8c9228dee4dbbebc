/* SPDX-License-Identifier: MIT */
/* Cursors of one memtable: the three walks beside the model, both ways, from any place, and across
 * writes. */
#include "../engine/version_model.h"

static kvi_memtable_cursor_t *open_cursor(fixture_t *fixture, uint64_t sequence, kvi_walk_t walk)
{
    kvi_memtable_cursor_t *cursor = NULL;
    kvi_version_t version;
    assert_int_equal(kvi_memtable_cursor_open(fixture->table, sequence, walk, &cursor), KV_OK);
    assert_false(kvi_memtable_cursor_valid(cursor));
    assert_null(kvi_memtable_cursor_key(cursor).data);
    kvi_memtable_cursor_version(cursor, &version);
    assert_version(&version, NULL);
    assert_int_equal(kvi_memtable_cursor_next(cursor), KV_NOT_FOUND);
    assert_int_equal(kvi_memtable_cursor_prev(cursor), KV_NOT_FOUND);
    return cursor;
}

/* The place in the model from which on (or down to which) the walk shows something; count, or
 * SIZE_MAX, if there is none. */
static size_t shown_from(fixture_t *fixture, size_t place, const kvi_memtable_cursor_t *cursor,
                         bool forwards)
{
    while (place < fixture->model.count &&
           !version_is_shown(&fixture->model, place, cursor->sequence, cursor->walk)) {
        place = forwards ? place + 1 : place - 1;
    }
    return place;
}

/* Whether status and cursor say that it stands at this place of the model. */
static void assert_stands(fixture_t *fixture, const kvi_memtable_cursor_t *cursor,
                          kv_status_t status, size_t place)
{
    const bool there = place < fixture->model.count;
    assert_int_equal(status, there ? KV_OK : KV_NOT_FOUND);
    assert_int_equal(kvi_memtable_cursor_valid(cursor), there);
    if (there) {
        kvi_version_t version;
        const version_t *const expected = &fixture->model.versions[place];
        assert_true(version_has_key(expected, kvi_memtable_cursor_key(cursor)));
        kvi_memtable_cursor_version(cursor, &version);
        assert_version(&version, expected);
    }
}

static void compare_walk(fixture_t *fixture, uint64_t sequence, kvi_walk_t walk)
{
    kvi_memtable_cursor_t *const cursor = open_cursor(fixture, sequence, walk);
    kv_status_t status = kvi_memtable_cursor_first(cursor);
    size_t place = shown_from(fixture, 0, cursor, true);
    assert_stands(fixture, cursor, status, place);
    while (status == KV_OK) {
        status = kvi_memtable_cursor_next(cursor);
        place = shown_from(fixture, place + 1, cursor, true);
        assert_stands(fixture, cursor, status, place);
    }
    status = kvi_memtable_cursor_last(cursor);
    place = shown_from(fixture, fixture->model.count - 1, cursor, false);
    assert_stands(fixture, cursor, status, place);
    while (status == KV_OK) {
        status = kvi_memtable_cursor_prev(cursor);
        place = shown_from(fixture, place - 1, cursor, false);
        assert_stands(fixture, cursor, status, place);
    }
    kvi_memtable_cursor_close(cursor);
}

static void compare_walks(fixture_t *fixture, uint64_t sequence)
{
    compare_walk(fixture, sequence, KVI_WALK_LIVE);
    compare_walk(fixture, sequence, KVI_WALK_DELETED);
    compare_walk(fixture, sequence, KVI_WALK_VERSIONS);
}

static void walks_agree_with_the_model(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    compare_walks(fixture, KVI_SEQUENCE_MAX);
    for (int i = 0; i < 400; i++) {
        write_any(fixture);
        if (i % 10 == 0) {
            compare_walks(fixture, draw(fixture, fixture->sequence + 2));
            compare_walks(fixture, KVI_SEQUENCE_MAX);
        }
    }
    kvi_memtable_freeze(fixture->table);
    compare_walks(fixture, fixture->sequence / 2);
    compare_walks(fixture, 0);
    end(fixture);
}

/* Where seek leads in the model. In walks over keys the number is that of the cursor. */
static size_t sought(fixture_t *fixture, const kvi_memtable_cursor_t *cursor, kv_slice_t key,
                     uint64_t sequence)
{
    const uint64_t from = cursor->walk == KVI_WALK_VERSIONS ? sequence : KVI_SEQUENCE_MAX;
    return shown_from(fixture, version_place(&fixture->model, key, from), cursor, true);
}

static void it_seeks_and_goes_both_ways(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    for (int i = 0; i < 600; i++) {
        write_any(fixture);
        const kvi_walk_t walk = (kvi_walk_t)draw(fixture, 3);
        const uint64_t sequence = draw(fixture, fixture->sequence + 2);
        kvi_memtable_cursor_t *const cursor = open_cursor(fixture, sequence, walk);
        const kv_slice_t key = any_key(fixture);
        const uint64_t at =
            draw(fixture, 2) == 0 ? KVI_SEQUENCE_MAX : draw(fixture, fixture->sequence + 2);
        kv_status_t status = kvi_memtable_cursor_seek(cursor, key, at);
        size_t place = sought(fixture, cursor, key, at);
        assert_stands(fixture, cursor, status, place);
        for (int moves = 0; moves < 10 && status == KV_OK; moves++) {
            const bool forwards = draw(fixture, 2) == 0;
            status = forwards ? kvi_memtable_cursor_next(cursor) : kvi_memtable_cursor_prev(cursor);
            place = shown_from(fixture, forwards ? place + 1 : place - 1, cursor, forwards);
            assert_stands(fixture, cursor, status, place);
        }
        kvi_memtable_cursor_close(cursor);
    }
    end(fixture);
}

/* A reader's walk shows the same whatever is written behind its sequence number. */
static void a_walk_goes_on_across_writes(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) { /* each step writes, so each walk has a new table */
        fixture_t *const fixture = begin();
        for (int i = 0; i < round; i++) { /* another script each time */
            (void)test_random(&fixture->random);
        }
        for (int i = 0; i < 80; i++) {
            write_any(fixture);
        }
        const bool forwards = draw(fixture, 2) == 0;
        kvi_memtable_cursor_t *const cursor =
            open_cursor(fixture, fixture->sequence, (kvi_walk_t)draw(fixture, 3));
        fixture->sequence++;
        kv_status_t status =
            forwards ? kvi_memtable_cursor_first(cursor) : kvi_memtable_cursor_last(cursor);
        size_t place =
            shown_from(fixture, forwards ? 0 : fixture->model.count - 1, cursor, forwards);
        assert_stands(fixture, cursor, status, place);
        while (status == KV_OK) {
            /* Places of the model move when it is written; versions do not. */
            const version_t stood = fixture->model.versions[place];
            write_any(fixture);
            place = version_place(&fixture->model, (kv_slice_t){stood.key, stood.key_bytes},
                                  stood.sequence);
            assert_stands(fixture, cursor, KV_OK, place);
            status = forwards ? kvi_memtable_cursor_next(cursor) : kvi_memtable_cursor_prev(cursor);
            place = shown_from(fixture, forwards ? place + 1 : place - 1, cursor, forwards);
            assert_stands(fixture, cursor, status, place);
        }
        kvi_memtable_cursor_close(cursor);
        end(fixture);
    }
}

/* A cursor at the newest numbers shows at its place what was written there last. */
static void it_shows_what_stands_there_now(void **state)
{
    (void)state;
    fixture_t *const fixture = begin();
    const kv_slice_t a = {"a", 1};
    kvi_version_t version;
    assert_int_equal(kvi_memtable_put(fixture->table, 1, a, a), KV_OK);
    kvi_memtable_cursor_t *const latest = open_cursor(fixture, KVI_SEQUENCE_MAX, KVI_WALK_LIVE);
    kvi_memtable_cursor_t *const all = open_cursor(fixture, KVI_SEQUENCE_MAX, KVI_WALK_VERSIONS);
    assert_int_equal(kvi_memtable_cursor_first(latest), KV_OK);
    assert_int_equal(kvi_memtable_cursor_first(all), KV_OK);
    assert_int_equal(kvi_memtable_delete(fixture->table, 2, a), KV_OK);
    kvi_memtable_cursor_version(latest, &version);
    assert_int_equal(version.kind, KVI_VERSION_DELETED);
    kvi_memtable_cursor_version(all, &version);
    assert_int_equal(version.sequence, 1);
    assert_int_equal(kvi_memtable_cursor_next(all), KV_NOT_FOUND);
    assert_int_equal(kvi_memtable_cursor_first(all), KV_OK);
    kvi_memtable_set_oldest_reader(fixture->table, KVI_SEQUENCE_MAX);
    assert_int_equal(kvi_memtable_put(fixture->table, 3, a, a), KV_OK);
    kvi_memtable_cursor_version(latest, &version);
    assert_int_equal(version.sequence, 3);
    kvi_memtable_cursor_version(all, &version); /* number 2 is gone */
    assert_int_equal(version.kind, KVI_VERSION_NONE);
    assert_int_equal(kvi_memtable_cursor_prev(all), KV_OK);
    kvi_memtable_cursor_version(all, &version);
    assert_int_equal(version.sequence, 3);
    kvi_memtable_cursor_close(latest);
    kvi_memtable_cursor_close(all);
    kvi_memtable_cursor_close(NULL);
    end(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_agree_with_the_model),
        cmocka_unit_test(it_seeks_and_goes_both_ways),
        cmocka_unit_test(a_walk_goes_on_across_writes),
        cmocka_unit_test(it_shows_what_stands_there_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
