/* SPDX-License-Identifier: MIT */
/*
 * What a database of two keyspaces with a few keys should hold, in the plainest way: arrays. The
 * random tests of the database make every change twice, to the database and here, and compare.
 */
#ifndef KVI_TESTS_DB_MODEL_H
#define KVI_TESTS_DB_MODEL_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "db/db.h"

#define MODEL_SPACES 2
#define MODEL_KEYS 24
#define MODEL_VALUE_BYTES 4096

typedef struct model_entry {
    bool exists;
    size_t size;
    int64_t deadline_ms;
    char value[MODEL_VALUE_BYTES];
} model_entry_t;

typedef struct model {
    model_entry_t entries[MODEL_SPACES][MODEL_KEYS];
    int64_t now_ms;
} model_t;

/* Key 0 is the empty one, the others have different lengths. */
static inline kv_slice_t model_key(size_t number)
{
    static char texts[MODEL_KEYS][MODEL_KEYS * 3 + 16];
    if (number == 0) {
        return (kv_slice_t){NULL, 0};
    }
    const int size =
        snprintf(texts[number], sizeof(texts[number]), "%0*zu", (int)number * 3, number);
    return (kv_slice_t){texts[number], (size_t)size};
}

/* The entry if it is there and not late; a late one goes. */
static inline model_entry_t *model_find(model_t *model, size_t space, size_t number)
{
    model_entry_t *const entry = &model->entries[space][number];
    if (entry->exists && entry->deadline_ms != KVI_NO_DEADLINE &&
        model->now_ms > entry->deadline_ms) {
        entry->exists = false;
    }
    return entry->exists ? entry : NULL;
}

static inline void model_put(model_t *model, size_t space, size_t number, kv_slice_t value,
                             int64_t deadline_ms)
{
    model_entry_t *const entry = &model->entries[space][number];
    entry->exists = deadline_ms == KVI_NO_DEADLINE || deadline_ms > model->now_ms;
    entry->size = value.size;
    entry->deadline_ms = deadline_ms;
    if (value.size > 0) {
        memmove(entry->value, value.data, value.size);
    }
}

static inline size_t model_count(model_t *model, size_t space, bool with_deadline)
{
    size_t count = 0;
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        const model_entry_t *const entry = model_find(model, space, i);
        count += entry != NULL && (!with_deadline || entry->deadline_ms != KVI_NO_DEADLINE);
    }
    return count;
}

#endif
