/* SPDX-License-Identifier: MIT */
/*
 * Applying whole batches. A batch is read through before the first change, so that damage in its
 * middle changes nothing; an atomic one is undone from what kvi_undo_save kept.
 */
#include "db/batch.h"
#include "db/db_int.h"
#include "db/undo.h"

#define KEPT_BYTES ((size_t)64 << 10)
#define GROUP_OPS ((size_t)64)

/* Operations of a batch that are decoded, prefetched and applied together. */
typedef struct group {
    size_t count;
    kvi_op_t ops[GROUP_OPS];
} group_t;

/* The next operations. KV_NOT_FOUND: the last ones, or none; KV_CORRUPT. A range is the reader's
 * until the next operation, so it is the last of its group. */
static kv_status_t decode_group(kvi_batch_reader_t *reader, group_t *group)
{
    group->count = 0;
    while (group->count < GROUP_OPS) {
        kvi_op_t *const op = &group->ops[group->count];
        const kv_status_t status = kvi_batch_next(reader, op);
        if (status != KV_OK) {
            return status;
        }
        group->count++;
        if (op->range != NULL) {
            break;
        }
    }
    return KV_OK;
}

/* Decodes the first group and reads through the rest. */
static kv_status_t verify(kv_slice_t bytes, kvi_batch_reader_t *reader, group_t *group)
{
    kv_status_t status = kvi_batch_read(bytes, reader);
    if (status != KV_OK) {
        return status;
    }
    status = decode_group(reader, group);
    if (status == KV_OK) {
        kvi_batch_reader_t ahead = *reader;
        kvi_op_t op;
        do {
            status = kvi_batch_next(&ahead, &op);
        } while (status == KV_OK);
    }
    return status == KV_NOT_FOUND ? KV_OK : status;
}

/* Begins to bring what the group will touch into the cache, as far as it stays in one keyspace. */
static void prefetch(kvi_db_t *db, const group_t *group)
{
    kv_slice_t keys[GROUP_OPS];
    size_t count = 0;
    while (count < group->count && group->ops[count].key.data != NULL &&
           group->ops[count].keyspace == group->ops[0].keyspace) {
        keys[count] = group->ops[count].key;
        count++;
    }
    kvi_keyspace_t *const keyspace = count > 1 ? kvi_db_keyspace(db, group->ops[0].keyspace) : NULL;
    if (keyspace != NULL) {
        kvi_keyspace_prefetch(keyspace, count, keys);
    }
}

/* A value that a result points to is the engine's until the next operation; the copy lives until
 * the next batch. */
static kv_status_t keep_value(kvi_db_t *db, kvi_op_result_t *result)
{
    if (result->value.size == 0) {
        return KV_OK;
    }
    if (db->results == NULL) {
        const kv_arena_options_t options = {.block_size = KEPT_BYTES, .name = "results"};
        db->results = kv_arena_create_with(&options);
    }
    char *const copy = kv_arena_memdup(db->results, result->value.data, result->value.size);
    if (copy == NULL) {
        return KV_NO_MEMORY;
    }
    result->value.data = copy;
    return KV_OK;
}

/* One operation of a batch, with its result. */
static kv_status_t apply_next(kvi_db_t *db, const kvi_op_t *op, kvi_undo_t *undo, bool keep,
                              kvi_op_result_t *result)
{
    *result = (kvi_op_result_t){.status = KV_OK};
    if (undo != NULL) {
        result->status = kvi_undo_save(undo, op);
    }
    if (result->status == KV_OK) {
        kvi_db_apply_op(db, op, db->time_ms, result);
    }
    if (keep && result->status == KV_OK && keep_value(db, result) != KV_OK) {
        /* What was done stays done; only the answer is missing. Of an atomic batch nothing stays.
         */
        result->value = (kv_slice_t){NULL, 0};
        if (!result->changed || undo != NULL) {
            result->status = KV_NO_MEMORY;
        }
    }
    return result->status;
}

/* Whether an atomic batch ends here. That a key is not there to be read, deleted or given a
 * deadline is an answer, not an error. */
static bool is_failure(const kvi_op_t *op, kv_status_t status)
{
    const bool may_miss =
        op->kind == KVI_OP_READ || op->kind == KVI_OP_DELETE || op->kind == KVI_OP_SET_DEADLINE;
    return status != KV_OK && !(status == KV_NOT_FOUND && may_miss);
}

/* The group and all that follows it in the batch. */
static kv_status_t apply_all(kvi_db_t *db, kvi_batch_reader_t *reader, group_t *group,
                             kvi_undo_t *undo, kvi_op_result_t *results)
{
    size_t done = 0;
    while (group->count > 0) {
        prefetch(db, group);
        for (size_t i = 0; i < group->count; i++) {
            const kvi_op_t *const op = &group->ops[i];
            kvi_op_result_t result;
            const kv_status_t status = apply_next(db, op, undo, results != NULL, &result);
            if (results != NULL) {
                results[done + i] = result;
            }
            if (undo != NULL && is_failure(op, status)) {
                return status;
            }
        }
        done += group->count;
        (void)decode_group(reader, group); /* verified before */
    }
    return KV_OK;
}

static kv_status_t apply_atomic(kvi_db_t *db, kvi_batch_reader_t *reader, group_t *group,
                                kvi_op_result_t *results)
{
    kvi_undo_t undo;
    kv_status_t status = kvi_undo_begin(db, &undo);
    if (status != KV_OK) {
        return status;
    }
    const uint64_t changes = db->changes;
    status = apply_all(db, reader, group, &undo, results);
    if (status != KV_OK) {
        status = kvi_undo_run(&undo) == KV_OK ? status : KV_CORRUPT;
        db->changes = changes;
    }
    kvi_undo_end(&undo);
    return status;
}

kv_status_t kvi_db_apply(kvi_db_t *db, kv_slice_t bytes, kvi_op_result_t *results)
{
    kvi_batch_reader_t reader;
    group_t group;
    const kv_status_t status = verify(bytes, &reader, &group);
    if (status != KV_OK) {
        return status;
    }
    kvi_db_advance_time(db, reader.time_ms);
    if (db->results != NULL) {
        kv_arena_reset(db->results, KEPT_BYTES);
    }
    if ((reader.flags & KVI_BATCH_ATOMIC) != 0) {
        return apply_atomic(db, &reader, &group, results);
    }
    return apply_all(db, &reader, &group, NULL, results);
}

/* An operation that failed when it was new fails again and has changed nothing either time. Only
 * memory may make a difference, and that must not pass unseen. */
static kv_status_t replay_group(kvi_db_t *db, const group_t *group)
{
    prefetch(db, group);
    for (size_t i = 0; i < group->count; i++) {
        kvi_op_result_t result;
        kvi_db_apply_op(db, &group->ops[i], db->time_ms, &result);
        if (result.status == KV_NO_MEMORY || result.status == KV_QUOTA) {
            return result.status;
        }
    }
    return KV_OK;
}

kv_status_t kvi_db_replay(kvi_db_t *db, kv_slice_t bytes)
{
    kvi_batch_reader_t reader;
    kv_status_t status = kvi_batch_read(bytes, &reader);
    if (status != KV_OK) {
        return status;
    }
    if ((reader.flags & KVI_BATCH_ATOMIC) != 0) {
        return kvi_db_apply(db, bytes, NULL);
    }
    kvi_db_advance_time(db, reader.time_ms);
    while (status == KV_OK) {
        group_t group;
        status = decode_group(&reader, &group);
        if (status == KV_OK || status == KV_NOT_FOUND) {
            const kv_status_t applied = replay_group(db, &group);
            status = applied != KV_OK ? applied : status;
        }
    }
    return status == KV_NOT_FOUND ? KV_OK : status;
}
