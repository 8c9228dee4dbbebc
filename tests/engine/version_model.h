/* SPDX-License-Identifier: MIT */
/*
 * What memtables are compared with: every version ever written, in a sorted array, so simple that
 * it is right at a glance. And a fixture of a table with small pages beside it, so that few keys
 * make a deep tree.
 */
#ifndef KVI_TESTS_VERSION_MODEL_H
#define KVI_TESTS_VERSION_MODEL_H

#include "model.h"

#include "engine/memtable_int.h"

#define FIXTURE_VALUE_BYTES 400
#define FIXTURE_KEYS 40

typedef struct version {
    char *key;
    size_t key_bytes;
    uint64_t sequence;
    bool deleted;
    char *value;
    size_t value_bytes;
} version_t;

typedef struct version_model {
    version_t *versions; /* by key, and of one key the newest first */
    size_t count;
    size_t room;
} version_model_t;

static inline int version_compare(const version_t *version, kv_slice_t key, uint64_t sequence)
{
    const int order = model_compare(version->key, version->key_bytes, key.data, key.size);
    return order != 0 ? order : (version->sequence < sequence) - (version->sequence > sequence);
}

static inline bool version_has_key(const version_t *version, kv_slice_t key)
{
    return model_compare(version->key, version->key_bytes, key.data, key.size) == 0;
}

/* The first place that is not before (key, sequence). */
static inline size_t version_place(const version_model_t *model, kv_slice_t key, uint64_t sequence)
{
    size_t place = 0;
    while (place < model->count && version_compare(&model->versions[place], key, sequence) < 0) {
        place++;
    }
    return place;
}

/* What a reader at sequence sees of key; NULL: nothing, not even a tombstone. */
static inline const version_t *version_find(const version_model_t *model, kv_slice_t key,
                                            uint64_t sequence)
{
    const size_t place = version_place(model, key, sequence);
    const bool found = place < model->count && version_has_key(&model->versions[place], key);
    return found ? &model->versions[place] : NULL;
}

static inline void version_write(version_model_t *model, uint64_t sequence, kv_slice_t key,
                                 const kv_slice_t *value)
{
    const size_t place = version_place(model, key, sequence);
    const version_t made = {
        .key = model_copy(key.data, key.size),
        .key_bytes = key.size,
        .sequence = sequence,
        .deleted = value == NULL,
        .value = model_copy(value != NULL ? value->data : "", value != NULL ? value->size : 0),
        .value_bytes = value != NULL ? value->size : 0,
    };
    if (place < model->count && version_compare(&model->versions[place], key, sequence) == 0) {
        free(model->versions[place].key);
        free(model->versions[place].value);
        model->versions[place] = made;
        return;
    }
    if (model->count == model->room) {
        model->room = model->room * 2 + 16;
        model->versions = realloc(model->versions, model->room * sizeof model->versions[0]);
        assert_non_null(model->versions);
    }
    memmove(&model->versions[place + 1], &model->versions[place],
            (model->count - place) * sizeof model->versions[0]);
    model->versions[place] = made;
    model->count++;
}

static inline void version_model_free(version_model_t *model)
{
    for (size_t i = 0; i < model->count; i++) {
        free(model->versions[i].key);
        free(model->versions[i].value);
    }
    free(model->versions);
    *model = (version_model_t){0};
}

/* Whether a walk at sequence shows this version. */
static inline bool version_is_shown(const version_model_t *model, size_t place, uint64_t sequence,
                                    kvi_walk_t walk)
{
    const version_t *const version = &model->versions[place];
    const kv_slice_t key = {version->key, version->key_bytes};
    if (version->sequence > sequence) {
        return false;
    }
    return walk == KVI_WALK_VERSIONS || (version_find(model, key, sequence) == version &&
                                         (walk == KVI_WALK_DELETED || !version->deleted));
}

/* ---- fixture ---- */

typedef struct fixture {
    kvi_memtable_t *table;
    kv_budget_t *budget;
    version_model_t model;
    uint64_t random;
    uint64_t sequence;
    char key[MODEL_KEY_BYTES_MAX];
    char value[FIXTURE_VALUE_BYTES];
} fixture_t;

static inline uint64_t draw(fixture_t *fixture, uint64_t below)
{
    return (test_random(&fixture->random) >> 16) % below;
}

static inline kvi_memtable_t *open_table(fixture_t *fixture)
{
    kvi_memtable_t *table = NULL;
    const kvi_memtable_options_t options = {.budget = fixture->budget,
                                            .hash_seed = fixture->random};
    assert_int_equal(kvi_memtable_open(&options, &table), KV_OK);
    table->tree->leaf_max = 4;
    table->tree->inner_max = 4;
    return table;
}

static inline fixture_t *begin(void)
{
    fixture_t *const fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->random = test_seed();
    fixture->budget = kv_budget_create(NULL, 0);
    fixture->table = open_table(fixture);
    return fixture;
}

static inline void end(fixture_t *fixture)
{
    kvi_memtable_close(fixture->table);
    assert_int_equal(kv_budget_used(fixture->budget), 0);
    kv_budget_destroy(fixture->budget);
    version_model_free(&fixture->model);
    free(fixture);
}

/* Empty, one byte, binary with zeros, shared prefixes, and two of 64 KB. */
static inline kv_slice_t any_key(fixture_t *fixture)
{
    return model_key(draw(fixture, FIXTURE_KEYS), fixture->key);
}

static inline kv_slice_t any_value(fixture_t *fixture)
{
    static const size_t sizes[] = {0, 1, 8, 32, 115, 116, 117, 128, 400};
    const size_t bytes = sizes[draw(fixture, sizeof sizes / sizeof sizes[0])];
    model_fill(fixture->value, bytes, test_random(&fixture->random));
    return (kv_slice_t){fixture->value, bytes};
}

/* One write to table and model: a put, or in one of four cases a tombstone; mostly with a new
 * sequence number. */
static inline void write_any(fixture_t *fixture)
{
    const kv_slice_t key = any_key(fixture);
    fixture->sequence += draw(fixture, 8) > 0 ? 1 : 0;
    if (draw(fixture, 4) == 0) {
        assert_int_equal(kvi_memtable_delete(fixture->table, fixture->sequence, key), KV_OK);
        version_write(&fixture->model, fixture->sequence, key, NULL);
    } else {
        const kv_slice_t value = any_value(fixture);
        assert_int_equal(kvi_memtable_put(fixture->table, fixture->sequence, key, value), KV_OK);
        version_write(&fixture->model, fixture->sequence, key, &value);
    }
}

static inline void assert_version(const kvi_version_t *found, const version_t *expected)
{
    if (expected == NULL) {
        assert_int_equal(found->kind, KVI_VERSION_NONE);
        assert_null(found->value.data);
        return;
    }
    assert_int_equal(found->kind, expected->deleted ? KVI_VERSION_DELETED : KVI_VERSION_VALUE);
    assert_int_equal(found->sequence, expected->sequence);
    assert_int_equal(found->value.size, expected->value_bytes);
    assert_int_equal(found->value.data == NULL, expected->deleted);
    assert_true(expected->value_bytes == 0 ||
                memcmp(found->value.data, expected->value, expected->value_bytes) == 0);
}

/* Every key at one sequence number. */
static inline void compare_reads(fixture_t *fixture, uint64_t sequence)
{
    for (uint64_t i = 0; i < FIXTURE_KEYS; i++) {
        kvi_version_t version;
        const kv_slice_t key = model_key(i, fixture->key);
        const kvi_version_kind_t kind = kvi_memtable_get(fixture->table, key, sequence, &version);
        assert_int_equal(kind, version.kind);
        assert_version(&version, version_find(&fixture->model, key, sequence));
    }
}

static inline void assert_sound(fixture_t *fixture)
{
    kvi_memtable_figures_t figures;
    assert_int_equal(kvi_memtable_check(fixture->table), KV_OK);
    kvi_memtable_figures(fixture->table, &figures);
    assert_int_equal(figures.live_keys + figures.deleted_keys, fixture->table->tree->count);
}

#endif
