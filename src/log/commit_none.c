/* SPDX-License-Identifier: MIT */
/* The commit log of a database that keeps nothing. */
#include "log/commit.h"

#include <concordkv/kv_memory.h>

static kv_status_t none_reserve(kvi_commit_t *commit, size_t bytes)
{
    (void)commit;
    (void)bytes;
    return KV_OK;
}

static void none_append(kvi_commit_t *commit, const kvi_op_t *op, int64_t now_ms, kvi_sync_t sync)
{
    (void)commit;
    (void)op;
    (void)now_ms;
    (void)sync;
}

static void none_append_batch(kvi_commit_t *commit, kv_slice_t bytes, kvi_sync_t sync)
{
    (void)commit;
    (void)bytes;
    (void)sync;
}

static uint64_t none_end_turn(kvi_commit_t *commit)
{
    (void)commit;
    return 0;
}

static uint64_t none_durable(const kvi_commit_t *commit)
{
    (void)commit;
    return 0;
}

static kv_status_t none_flush(kvi_commit_t *commit)
{
    (void)commit;
    return KV_OK;
}

static uint64_t none_hurry(kvi_commit_t *commit)
{
    (void)commit;
    return 0;
}

static void none_state(const kvi_commit_t *commit, kvi_commit_state_t *state)
{
    (void)commit;
    *state = (kvi_commit_state_t){.status = KV_OK};
}

static void none_set_sync(kvi_commit_t *commit, kvi_sync_t sync)
{
    (void)commit;
    (void)sync;
}

static void none_close(kvi_commit_t *commit)
{
    kv_store_free(commit);
}

static const kvi_commit_ops_t none_ops = {
    .name = "none",
    .reserve = none_reserve,
    .append = none_append,
    .append_batch = none_append_batch,
    .end_turn = none_end_turn,
    .durable = none_durable,
    .flush = none_flush,
    .hurry = none_hurry,
    .state = none_state,
    .set_sync = none_set_sync,
    .resume = none_flush,
    .close = none_close,
};

kv_status_t kvi_commit_none_open(kvi_db_t *db, kvi_commit_t **commit)
{
    *commit = kv_store_malloc(sizeof **commit);
    if (*commit == NULL) {
        return KV_NO_MEMORY;
    }
    **commit = (kvi_commit_t){&none_ops, db, false};
    return KV_OK;
}
