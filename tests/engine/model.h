/* SPDX-License-Identifier: MIT */
/*
 * What an engine is compared with: a sorted array of copies, so simple that it is right at a
 * glance. Also the keys and values of the random scripts: a number makes a key, so that scripts
 * meet the same keys again.
 */
#ifndef KVI_TESTS_MODEL_H
#define KVI_TESTS_MODEL_H

#include <stdbool.h>
#include <string.h>

#include <concordkv/kv_status.h>

#include "../unit/test.h"

#define MODEL_KEY_BYTES_MAX 70000

typedef struct model_entry {
    char *key;
    size_t key_bytes;
    char *value;
    size_t value_bytes;
    int mark; /* for walks */
} model_entry_t;

typedef struct model {
    model_entry_t *entries; /* in memcmp order, a prefix first */
    size_t count;
    size_t room;
    size_t key_bytes;
    size_t value_bytes;
} model_t;

static inline char *model_copy(const char *bytes, size_t size)
{
    char *const copy = malloc(size + 1);
    assert_non_null(copy);
    if (size > 0 && bytes != NULL) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

static inline int model_compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    const size_t common = a_bytes < b_bytes ? a_bytes : b_bytes;
    const int order = common > 0 ? memcmp(a, b, common) : 0;
    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

/* The first place whose key is not before key. */
static inline size_t model_place(const model_t *model, kv_slice_t key)
{
    size_t low = 0;
    size_t high = model->count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const model_entry_t *const entry = &model->entries[middle];
        if (model_compare(entry->key, entry->key_bytes, key.data, key.size) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static inline model_entry_t *model_find(const model_t *model, kv_slice_t key)
{
    const size_t place = model_place(model, key);
    if (place == model->count) {
        return NULL;
    }
    model_entry_t *const entry = &model->entries[place];
    return model_compare(entry->key, entry->key_bytes, key.data, key.size) == 0 ? entry : NULL;
}

static inline model_entry_t *model_insert(model_t *model, kv_slice_t key)
{
    const size_t place = model_place(model, key);
    if (model->count == model->room) {
        model->room = model->room * 2 + 16;
        model->entries = realloc(model->entries, model->room * sizeof model->entries[0]);
        assert_non_null(model->entries);
    }
    model_entry_t *const entry = &model->entries[place];
    memmove(entry + 1, entry, (model->count - place) * sizeof *entry);
    *entry = (model_entry_t){model_copy(key.data, key.size), key.size, NULL, 0, 0};
    model->count++;
    model->key_bytes += key.size;
    return entry;
}

static inline void model_put(model_t *model, kv_slice_t key, kv_slice_t value)
{
    model_entry_t *entry = model_find(model, key);
    char *const copy = model_copy(value.data, value.size);
    if (entry == NULL) {
        entry = model_insert(model, key);
    }
    free(entry->value);
    model->value_bytes += value.size - entry->value_bytes;
    entry->value = copy;
    entry->value_bytes = value.size;
}

static inline bool model_delete(model_t *model, kv_slice_t key)
{
    model_entry_t *const entry = model_find(model, key);
    if (entry == NULL) {
        return false;
    }
    model->key_bytes -= entry->key_bytes;
    model->value_bytes -= entry->value_bytes;
    free(entry->key);
    free(entry->value);
    model->count--;
    memmove(entry, entry + 1, (size_t)(model->entries + model->count - entry) * sizeof *entry);
    return true;
}

static inline void model_free(model_t *model)
{
    for (size_t i = 0; i < model->count; i++) {
        free(model->entries[i].key);
        free(model->entries[i].value);
    }
    free(model->entries);
    *model = (model_t){0};
}

/* The number-th key, in a buffer of MODEL_KEY_BYTES_MAX: empty, one byte, binary with zeros, long
 * shared prefixes, plain. */
static inline kv_slice_t model_key(uint64_t number, char *buffer)
{
    if (number == 0) {
        return (kv_slice_t){buffer, 0};
    }
    if (number == 1 || number == 2) {
        memset(buffer, (int)number, 65536);
        return (kv_slice_t){buffer, number == 1 ? 65536 : 65535};
    }
    switch (number % 6) {
    case 0:
        buffer[0] = (char)(number / 6);
        return (kv_slice_t){buffer, number < 6 * 256 ? 1 : 0};
    case 1:
        memset(buffer, 0, 16);
        memcpy(buffer + 4, &number, sizeof number);
        return (kv_slice_t){buffer, 16};
    case 2:
        memset(buffer, 'p', 200);
        memcpy(buffer + 190, &number, sizeof number);
        return (kv_slice_t){buffer, 200};
    case 3: /* each is the beginning of others */
        memset(buffer, 'x', 300);
        return (kv_slice_t){buffer, number % 300};
    default:
        return (kv_slice_t){buffer,
                            (size_t)sprintf(buffer, "key:%llu", (unsigned long long)number)};
    }
}

/* Fills size bytes with something that depends on seed in every byte. */
static inline void model_fill(char *bytes, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)((seed + i * 131) ^ (seed >> 8));
    }
}

/* Mostly short, sometimes long enough for other ways of keeping a value. */
static inline size_t model_value_bytes(uint64_t random)
{
    const uint64_t kind = random % 1000;
    const uint64_t number = random / 1000;
    if (kind < 900) {
        return number % 150;
    }
    if (kind < 985) {
        return number % 5000;
    }
    return kind < 998 ? 8000 + number % 400 : number % 300000;
}

#endif
