/* SPDX-License-Identifier: MIT */
/*
 * The merge cursor: one cursor a table, the parts. All stand at or behind the merged place when it
 * moves forwards, at or before it when it moves backwards; the part that is nearest is the current
 * one, and of those at the same place the first. The tables are few, so the nearest is found by
 * looking at all (the algorithm of LevelDB's table/merger.cc).
 *
 * A part must be placed anew, relative to the current place, where the direction turns or its table
 * was written since: a new key may stand before the one it stands at. Threads: memtable.h.
 */
#include "engine/memtable_int.h"

typedef struct part {
    kvi_memtable_cursor_t cursor;
    uint64_t changes; /* of its tree, when the part was placed */
} part_t;

struct kvi_merge_cursor {
    kvi_walk_t walk;
    bool forwards;
    part_t *current; /* NULL: not valid */
    size_t count;
    part_t parts[];
};

kv_status_t kvi_merge_cursor_open(const kvi_memtable_t *const *tables, size_t count,
                                  uint64_t sequence, kvi_walk_t walk, kvi_merge_cursor_t **cursor)
{
    /* Tombstones of one table hide what others have, so the parts show them. */
    const kvi_walk_t part_walk = walk == KVI_WALK_LIVE ? KVI_WALK_DELETED : walk;
    kvi_merge_cursor_t *const made = kv_store_malloc(sizeof *made + count * sizeof made->parts[0]);
    if (made == NULL) {
        return KV_NO_MEMORY;
    }
    made->walk = walk;
    made->forwards = true;
    made->current = NULL;
    made->count = count;
    for (size_t i = 0; i < count; i++) {
        kvi_memtable_cursor_init(&made->parts[i].cursor, tables[i], sequence, part_walk);
    }
    *cursor = made;
    return KV_OK;
}

void kvi_merge_cursor_close(kvi_merge_cursor_t *cursor)
{
    for (size_t i = 0; cursor != NULL && i < cursor->count; i++) {
        kvi_memtable_cursor_release(&cursor->parts[i].cursor);
    }
    kv_store_free(cursor);
}

bool kvi_merge_cursor_valid(const kvi_merge_cursor_t *cursor)
{
    return cursor->current != NULL;
}

kv_slice_t kvi_merge_cursor_key(const kvi_merge_cursor_t *cursor)
{
    return cursor->current != NULL ? kvi_memtable_cursor_key(&cursor->current->cursor)
                                   : (kv_slice_t){NULL, 0};
}

void kvi_merge_cursor_version(const kvi_merge_cursor_t *cursor, kvi_version_t *version)
{
    if (cursor->current != NULL) {
        kvi_memtable_cursor_version(&cursor->current->cursor, version);
    } else {
        *version = (kvi_version_t){0};
    }
}

/* ---- places ---- */

/* The order of the walk; parts with the same key are at one place unless it shows all versions. */
static int compare(const kvi_merge_cursor_t *cursor, const part_t *a, const part_t *b)
{
    const int order =
        kvi_slice_compare(kvi_memtable_cursor_key(&a->cursor), kvi_memtable_cursor_key(&b->cursor));
    if (order != 0 || cursor->walk != KVI_WALK_VERSIONS) {
        return order;
    }
    const uint64_t a_sequence = a->cursor.at.sequence;
    const uint64_t b_sequence = b->cursor.at.sequence;
    return (a_sequence < b_sequence) - (a_sequence > b_sequence);
}

/* Notes where a part stands now. Running off its table's end is no error. */
static kv_status_t placed(part_t *part, kv_status_t status)
{
    part->changes = part->cursor.table->tree->changes;
    return status == KV_NOT_FOUND ? KV_OK : status;
}

static kv_status_t step(part_t *part, bool forwards)
{
    return placed(part, forwards ? kvi_memtable_cursor_next(&part->cursor)
                                 : kvi_memtable_cursor_prev(&part->cursor));
}

/* Puts a part at the first place behind the current one, or at the last before it. */
static kv_status_t place_anew(const kvi_merge_cursor_t *cursor, part_t *part)
{
    const part_t *const current = cursor->current;
    const kv_slice_t key = kvi_memtable_cursor_key(&current->cursor);
    const uint64_t sequence =
        cursor->walk == KVI_WALK_VERSIONS ? current->cursor.at.sequence : KVI_SEQUENCE_MAX;
    const kv_status_t status = kvi_memtable_cursor_seek(&part->cursor, key, sequence);
    if (status == KV_NOT_FOUND && !cursor->forwards) {
        return placed(part, kvi_memtable_cursor_last(&part->cursor));
    }
    if (status != KV_OK) {
        return placed(part, status);
    }
    if (!cursor->forwards || compare(cursor, part, current) == 0) {
        return step(part, cursor->forwards);
    }
    return placed(part, KV_OK);
}

/* Moves every part past the current place, and last the current one, with which the others are
 * compared. */
static kv_status_t pass_current(kvi_merge_cursor_t *cursor, bool turned)
{
    kv_status_t status = KV_OK;
    for (size_t i = 0; status == KV_OK && i < cursor->count; i++) {
        part_t *const part = &cursor->parts[i];
        if (part == cursor->current) {
            continue;
        }
        if (turned || part->changes != part->cursor.table->tree->changes) {
            status = place_anew(cursor, part);
        } else if (kvi_memtable_cursor_valid(&part->cursor) &&
                   compare(cursor, part, cursor->current) == 0) {
            status = step(part, cursor->forwards);
        }
    }
    return status == KV_OK ? step(cursor->current, cursor->forwards) : status;
}

static void choose_current(kvi_merge_cursor_t *cursor)
{
    cursor->current = NULL;
    for (size_t i = 0; i < cursor->count; i++) {
        part_t *const part = &cursor->parts[i];
        if (!kvi_memtable_cursor_valid(&part->cursor)) {
            continue;
        }
        const int order = cursor->current != NULL ? compare(cursor, part, cursor->current) : 0;
        if (cursor->current == NULL || (cursor->forwards ? order < 0 : order > 0)) {
            cursor->current = part;
        }
    }
}

/* Goes on from where the parts were put to the first place that the walk shows. */
static kv_status_t settle(kvi_merge_cursor_t *cursor, kv_status_t status)
{
    if (status == KV_OK) {
        choose_current(cursor);
    }
    while (status == KV_OK && cursor->current != NULL && cursor->walk == KVI_WALK_LIVE &&
           cursor->current->cursor.at.kind == KVI_VERSION_DELETED) {
        status = pass_current(cursor, false);
        if (status == KV_OK) {
            choose_current(cursor);
        }
    }
    if (status != KV_OK) {
        cursor->current = NULL;
        return status;
    }
    return cursor->current != NULL ? KV_OK : KV_NOT_FOUND;
}

/* ---- moving ---- */

kv_status_t kvi_merge_cursor_first(kvi_merge_cursor_t *cursor)
{
    kv_status_t status = KV_OK;
    cursor->forwards = true;
    for (size_t i = 0; status == KV_OK && i < cursor->count; i++) {
        part_t *const part = &cursor->parts[i];
        status = placed(part, kvi_memtable_cursor_first(&part->cursor));
    }
    return settle(cursor, status);
}

kv_status_t kvi_merge_cursor_last(kvi_merge_cursor_t *cursor)
{
    kv_status_t status = KV_OK;
    cursor->forwards = false;
    for (size_t i = 0; status == KV_OK && i < cursor->count; i++) {
        part_t *const part = &cursor->parts[i];
        status = placed(part, kvi_memtable_cursor_last(&part->cursor));
    }
    return settle(cursor, status);
}

kv_status_t kvi_merge_cursor_seek(kvi_merge_cursor_t *cursor, kv_slice_t key, uint64_t sequence)
{
    kv_status_t status = KV_OK;
    cursor->forwards = true;
    for (size_t i = 0; status == KV_OK && i < cursor->count; i++) {
        part_t *const part = &cursor->parts[i];
        status = placed(part, kvi_memtable_cursor_seek(&part->cursor, key, sequence));
    }
    return settle(cursor, status);
}

static kv_status_t move(kvi_merge_cursor_t *cursor, bool forwards)
{
    if (cursor->current == NULL) {
        return KV_NOT_FOUND;
    }
    const bool turned = cursor->forwards != forwards;
    cursor->forwards = forwards;
    return settle(cursor, pass_current(cursor, turned));
}

kv_status_t kvi_merge_cursor_next(kvi_merge_cursor_t *cursor)
{
    return move(cursor, true);
}

kv_status_t kvi_merge_cursor_prev(kvi_merge_cursor_t *cursor)
{
    return move(cursor, false);
}
