/* SPDX-License-Identifier: MIT */
/* Several memtables as one: merge cursors, compaction, and many readers of frozen tables. */
#include "../engine/version_model.h"

#include <pthread.h>

#define TABLES_MAX 5
#define READERS 3

typedef struct tables {
    fixture_t *fixture;                     /* its table is the newest, and still written */
    const kvi_memtable_t *list[TABLES_MAX]; /* newest first */
    size_t count;
} tables_t;

static void begin_tables(tables_t *tables)
{
    tables->fixture = begin();
    tables->list[0] = tables->fixture->table;
    tables->count = 1;
}

static void end_tables(tables_t *tables)
{
    for (size_t i = 1; i < tables->count; i++) {
        kvi_memtable_close((kvi_memtable_t *)(uintptr_t)tables->list[i]);
    }
    end(tables->fixture);
}

/* The newest table gets a newer one before it. */
static void freeze_newest(tables_t *tables)
{
    fixture_t *const fixture = tables->fixture;
    kvi_memtable_freeze(fixture->table);
    memmove(&tables->list[1], &tables->list[0], tables->count * sizeof tables->list[0]);
    fixture->table = open_table(fixture);
    fixture->sequence++; /* a number is of one table only */
    tables->list[0] = fixture->table;
    tables->count++;
}

static void fill_tables(tables_t *tables, size_t count, int writes)
{
    for (;;) {
        for (int i = 0; i < writes; i++) {
            write_any(tables->fixture);
        }
        if (tables->count == count) {
            break;
        }
        freeze_newest(tables);
    }
}

static kvi_merge_cursor_t *open_merge(tables_t *tables, uint64_t sequence, kvi_walk_t walk)
{
    kvi_merge_cursor_t *cursor = NULL;
    assert_int_equal(kvi_merge_cursor_open(tables->list, tables->count, sequence, walk, &cursor),
                     KV_OK);
    assert_false(kvi_merge_cursor_valid(cursor));
    assert_null(kvi_merge_cursor_key(cursor).data);
    assert_int_equal(kvi_merge_cursor_next(cursor), KV_NOT_FOUND);
    assert_int_equal(kvi_merge_cursor_prev(cursor), KV_NOT_FOUND);
    return cursor;
}

static size_t shown_from(const version_model_t *model, size_t place, uint64_t sequence,
                         kvi_walk_t walk, bool forwards)
{
    while (place < model->count && !version_is_shown(model, place, sequence, walk)) {
        place = forwards ? place + 1 : place - 1;
    }
    return place;
}

static void assert_stands(const version_model_t *model, const kvi_merge_cursor_t *cursor,
                          kv_status_t status, size_t place)
{
    const bool there = place < model->count;
    assert_int_equal(status, there ? KV_OK : KV_NOT_FOUND);
    assert_int_equal(kvi_merge_cursor_valid(cursor), there);
    if (there) {
        kvi_version_t version;
        assert_true(version_has_key(&model->versions[place], kvi_merge_cursor_key(cursor)));
        kvi_merge_cursor_version(cursor, &version);
        assert_version(&version, &model->versions[place]);
    }
}

static void compare_merge(tables_t *tables, uint64_t sequence, kvi_walk_t walk)
{
    const version_model_t *const model = &tables->fixture->model;
    kvi_merge_cursor_t *const cursor = open_merge(tables, sequence, walk);
    kv_status_t status = kvi_merge_cursor_first(cursor);
    size_t place = shown_from(model, 0, sequence, walk, true);
    assert_stands(model, cursor, status, place);
    while (status == KV_OK) {
        status = kvi_merge_cursor_next(cursor);
        place = shown_from(model, place + 1, sequence, walk, true);
        assert_stands(model, cursor, status, place);
    }
    status = kvi_merge_cursor_last(cursor);
    place = shown_from(model, model->count - 1, sequence, walk, false);
    assert_stands(model, cursor, status, place);
    while (status == KV_OK) {
        status = kvi_merge_cursor_prev(cursor);
        place = shown_from(model, place - 1, sequence, walk, false);
        assert_stands(model, cursor, status, place);
    }
    kvi_merge_cursor_close(cursor);
}

static void compare_merges(tables_t *tables, uint64_t sequence)
{
    compare_merge(tables, sequence, KVI_WALK_LIVE);
    compare_merge(tables, sequence, KVI_WALK_DELETED);
    compare_merge(tables, sequence, KVI_WALK_VERSIONS);
}

/* ---- merge cursors ---- */

static void merges_agree_with_the_model(void **state)
{
    (void)state;
    for (size_t count = 1; count <= TABLES_MAX; count++) {
        tables_t tables;
        begin_tables(&tables);
        compare_merges(&tables, KVI_SEQUENCE_MAX);
        fill_tables(&tables, count, 60);
        for (int i = 0; i < 6; i++) {
            compare_merges(&tables, draw(tables.fixture, tables.fixture->sequence + 2));
        }
        compare_merges(&tables, KVI_SEQUENCE_MAX);
        end_tables(&tables);
    }
}

static void a_merge_seeks_and_turns(void **state)
{
    (void)state;
    tables_t tables;
    begin_tables(&tables);
    fill_tables(&tables, 4, 80);
    fixture_t *const fixture = tables.fixture;
    const version_model_t *const model = &fixture->model;
    for (int i = 0; i < 500; i++) {
        const kvi_walk_t walk = (kvi_walk_t)draw(fixture, 3);
        const uint64_t sequence = draw(fixture, fixture->sequence + 2);
        kvi_merge_cursor_t *const cursor = open_merge(&tables, sequence, walk);
        const kv_slice_t key = any_key(fixture);
        const uint64_t at =
            walk == KVI_WALK_VERSIONS ? draw(fixture, fixture->sequence + 2) : KVI_SEQUENCE_MAX;
        kv_status_t status = kvi_merge_cursor_seek(cursor, key, at);
        size_t place = shown_from(model, version_place(model, key, at), sequence, walk, true);
        assert_stands(model, cursor, status, place);
        for (int moves = 0; moves < 10 && status == KV_OK; moves++) {
            const bool forwards = draw(fixture, 2) == 0;
            status = forwards ? kvi_merge_cursor_next(cursor) : kvi_merge_cursor_prev(cursor);
            place = shown_from(model, forwards ? place + 1 : place - 1, sequence, walk, forwards);
            assert_stands(model, cursor, status, place);
        }
        kvi_merge_cursor_close(cursor);
    }
    end_tables(&tables);
}

/* The place of the model to which a step leads from a version of key that may be hidden by now. */
static size_t place_beside(const version_model_t *model, kv_slice_t key, uint64_t sequence,
                           kvi_walk_t walk, bool forwards)
{
    if (walk == KVI_WALK_VERSIONS) {
        const size_t own = version_place(model, key, sequence);
        return forwards ? own + 1 : own - 1;
    }
    size_t place = version_place(model, key, KVI_SEQUENCE_MAX);
    while (forwards && place < model->count && version_has_key(&model->versions[place], key)) {
        place++;
    }
    return forwards ? place : place - 1;
}

/* The newest table is written between the steps; a cursor at the newest numbers sees it. */
static void walk_across_writes(tables_t *tables, uint64_t sequence, kvi_walk_t walk, bool forwards)
{
    fixture_t *const fixture = tables->fixture;
    const version_model_t *const model = &fixture->model;
    kvi_merge_cursor_t *const cursor = open_merge(tables, sequence, walk);
    kv_status_t status = forwards ? kvi_merge_cursor_first(cursor) : kvi_merge_cursor_last(cursor);
    size_t place = shown_from(model, forwards ? 0 : model->count - 1, sequence, walk, forwards);
    assert_stands(model, cursor, status, place);
    fixture->sequence++;
    while (status == KV_OK) {
        const version_t stood = model->versions[place];
        const kv_slice_t key = {model_copy(stood.key, stood.key_bytes), stood.key_bytes};
        write_any(fixture);
        fixture->sequence++; /* so that no version is written twice */
        status = forwards ? kvi_merge_cursor_next(cursor) : kvi_merge_cursor_prev(cursor);
        place = place_beside(model, key, stood.sequence, walk, forwards);
        place = shown_from(model, place, sequence, walk, forwards);
        assert_stands(model, cursor, status, place);
        free((char *)(uintptr_t)key.data);
    }
    kvi_merge_cursor_close(cursor);
}

static void a_merge_goes_on_across_writes(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 24; round++) {
        tables_t tables;
        begin_tables(&tables);
        tables.fixture->random += round;
        fill_tables(&tables, 3, 60);
        const uint64_t sequence =
            round % 4 < 2 ? KVI_SEQUENCE_MAX : tables.fixture->sequence - draw(tables.fixture, 50);
        walk_across_writes(&tables, sequence, (kvi_walk_t)(round % 3), round % 2 == 0);
        end_tables(&tables);
    }
}

static void no_tables_are_an_empty_one(void **state)
{
    (void)state;
    kvi_merge_cursor_t *cursor = NULL;
    assert_int_equal(kvi_merge_cursor_open(NULL, 0, 1, KVI_WALK_LIVE, &cursor), KV_OK);
    assert_int_equal(kvi_merge_cursor_first(cursor), KV_NOT_FOUND);
    assert_int_equal(kvi_merge_cursor_last(cursor), KV_NOT_FOUND);
    kvi_merge_cursor_close(cursor);
    kvi_merge_cursor_close(NULL);
}

/* ---- compaction ---- */

/* Every read at oldest or above finds in the new table what it found in the old ones; but where
 * tombstones that hide nothing are gone, it may find nothing instead of one. */
static void compare_compacted(tables_t *tables, kvi_memtable_t *compacted,
                              const kvi_compaction_t *wish)
{
    fixture_t *const fixture = tables->fixture;
    for (uint64_t sequence = wish->oldest_reader; sequence <= fixture->sequence; sequence++) {
        for (uint64_t i = 0; i < FIXTURE_KEYS; i++) {
            kvi_version_t version;
            const kv_slice_t key = model_key(i, fixture->key);
            const version_t *expected = version_find(&fixture->model, key, sequence);
            (void)kvi_memtable_get(compacted, key, sequence, &version);
            if (version.kind == KVI_VERSION_NONE && wish->is_last && expected != NULL &&
                expected->deleted) {
                continue;
            }
            assert_version(&version, expected);
        }
    }
}

/* How many versions must stay. */
static size_t count_needed(const version_model_t *model, const kvi_compaction_t *wish)
{
    size_t needed = 0;
    size_t trailing = 0; /* of the present key: tombstones at its old end */
    for (size_t i = 0; i < model->count; i++) {
        const version_t *const version = &model->versions[i];
        const kv_slice_t key = {version->key, version->key_bytes};
        const bool is_newest = i == 0 || !version_has_key(&model->versions[i - 1], key);
        const bool stays = is_newest || model->versions[i - 1].sequence > wish->oldest_reader;
        const bool is_seen = is_newest || stays;
        if (is_newest) {
            needed -= wish->is_last ? trailing : 0;
            trailing = 0;
        }
        if (is_seen) {
            needed++;
            trailing = version->deleted ? trailing + 1 : 0;
        }
    }
    return needed - (wish->is_last ? trailing : 0);
}

static void compact_once(tables_t *tables, bool is_last)
{
    fixture_t *const fixture = tables->fixture;
    const kvi_compaction_t wish = {
        .options = {.budget = fixture->budget, .hash_seed = 7},
        .oldest_reader = draw(fixture, fixture->sequence + 2),
        .is_last = is_last,
    };
    kvi_memtable_t *compacted = NULL;
    kvi_memtable_figures_t figures;
    assert_int_equal(kvi_memtable_compact(tables->list, tables->count, &wish, &compacted), KV_OK);
    assert_int_equal(kvi_memtable_check(compacted), KV_OK);
    assert_int_equal(kvi_memtable_sequence(compacted), fixture->sequence);
    assert_false(kvi_memtable_is_frozen(compacted));
    kvi_memtable_figures(compacted, &figures);
    assert_int_equal(figures.live_keys + figures.deleted_keys + figures.old_versions,
                     count_needed(&fixture->model, &wish));
    compare_compacted(tables, compacted, &wish);
    kvi_memtable_freeze(compacted);
    compare_compacted(tables, compacted, &wish);
    kvi_memtable_close(compacted);
}

static void compaction_keeps_what_is_read(void **state)
{
    (void)state;
    for (size_t count = 1; count <= TABLES_MAX; count++) {
        tables_t tables;
        begin_tables(&tables);
        fill_tables(&tables, count, 80);
        for (int i = 0; i < 4; i++) {
            compact_once(&tables, i % 2 == 0);
        }
        end_tables(&tables);
    }
}

static void compaction_of_little(void **state)
{
    (void)state;
    tables_t tables;
    kvi_memtable_t *compacted = NULL;
    kvi_memtable_figures_t figures;
    begin_tables(&tables);
    const kvi_compaction_t wish = {.oldest_reader = KVI_SEQUENCE_MAX, .is_last = true};
    assert_int_equal(kvi_memtable_compact(tables.list, 1, &wish, &compacted), KV_OK);
    kvi_memtable_close(compacted);
    /* Only tombstones: nothing is left, and the numbers go on from where they were. */
    for (uint64_t i = 1; i < 30; i++) {
        assert_int_equal(
            kvi_memtable_delete(tables.fixture->table, i, model_key(i, tables.fixture->key)),
            KV_OK);
    }
    assert_int_equal(kvi_memtable_compact(tables.list, 1, &wish, &compacted), KV_OK);
    kvi_memtable_figures(compacted, &figures);
    assert_int_equal(figures.live_keys + figures.deleted_keys + figures.old_versions, 0);
    assert_int_equal(kvi_memtable_sequence(compacted), 29);
    assert_int_equal(kvi_memtable_check(compacted), KV_OK);
    kvi_memtable_close(compacted);
    end_tables(&tables);
}

/* Dropping the old tables gives back what they held. */
static void compaction_gives_memory_back(void **state)
{
    (void)state;
    enum { KEYS = 20000 };
    kvi_memtable_t *table = NULL;
    kvi_memtable_t *compacted = NULL;
    kv_budget_t *const budget = kv_budget_create(NULL, 0);
    const kvi_compaction_t wish = {
        .options = {.budget = budget}, .oldest_reader = KVI_SEQUENCE_MAX, .is_last = true};
    char value[100] = "value";
    uint64_t sequence = 0;
    assert_int_equal(kvi_memtable_open(&wish.options, &table), KV_OK);
    for (int round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < KEYS; i++) {
            const kv_slice_t key = {(const char *)&i, sizeof i};
            assert_int_equal(
                kvi_memtable_put(table, ++sequence, key, (kv_slice_t){value, sizeof value}), KV_OK);
        }
    }
    const size_t before = kv_budget_used(budget);
    const kvi_memtable_t *const list[] = {table};
    assert_int_equal(kvi_memtable_compact(list, 1, &wish, &compacted), KV_OK);
    kvi_memtable_close(table);
    assert_true(kv_budget_used(budget) < before / 4);
    kvi_memtable_close(compacted);
    assert_int_equal(kv_budget_used(budget), 0);
    kv_budget_destroy(budget);
}

/* ---- threads ---- */

/* Reads everything a few times; the sum is the same for all. */
static void *read_all(void *context)
{
    const tables_t *const tables = context;
    uintptr_t sum = 0;
    for (uint64_t round = 0; round < 5; round++) {
        kvi_merge_cursor_t *cursor = NULL;
        kvi_version_t version;
        if (kvi_merge_cursor_open(&tables->list[1], tables->count - 1, KVI_SEQUENCE_MAX - round,
                                  KVI_WALK_VERSIONS, &cursor) != KV_OK) {
            return NULL;
        }
        for (kv_status_t status = kvi_merge_cursor_first(cursor); status == KV_OK;
             status = kvi_merge_cursor_next(cursor)) {
            const kv_slice_t key = kvi_merge_cursor_key(cursor);
            kvi_merge_cursor_version(cursor, &version);
            sum = sum * 31 + version.sequence;
            (void)kvi_memtable_get(tables->list[1], key, version.sequence, &version);
            sum = sum * 31 + version.value.size;
        }
        kvi_merge_cursor_close(cursor);
    }
    return (void *)sum;
}

static void frozen_tables_have_many_readers(void **state)
{
    (void)state;
    tables_t tables;
    pthread_t threads[READERS];
    void *sums[READERS];
    begin_tables(&tables);
    fill_tables(&tables, 3, 200);
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &tables), 0);
    }
    for (int i = 0; i < 200; i++) { /* which are not the one that is written */
        write_any(tables.fixture);
    }
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(threads[i], &sums[i]), 0);
        assert_non_null(sums[i]);
        assert_ptr_equal(sums[i], sums[0]);
    }
    end_tables(&tables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_agree_with_the_model),
        cmocka_unit_test(a_merge_seeks_and_turns),
        cmocka_unit_test(a_merge_goes_on_across_writes),
        cmocka_unit_test(no_tables_are_an_empty_one),
        cmocka_unit_test(compaction_keeps_what_is_read),
        cmocka_unit_test(compaction_of_little),
        cmocka_unit_test(compaction_gives_memory_back),
        cmocka_unit_test(frozen_tables_have_many_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
