/* SPDX-License-Identifier: MIT */
/*
 * Housekeeping between requests: late keys, sparse blocks, idle memory, idle connections, rates. A
 * timer ticks every 100 ms; each task gets a slice of time in a tick, and as long as one has more
 * to do the next tick comes after 4 ms, so that requests have most of the thread in any case.
 */
#include <concordkv/kv_memory.h>

#include "memory/block.h"
#include "os/os.h"
#include "server/loop_int.h"
#include "server/submit.h"

#define TICK_MS 100
#define BUSY_TICK_MS 4
#define EXPIRE_SLICE_NS UINT64_C(1000000)
#define RELOCATE_SLICE_NS UINT64_C(500000)
#define PURGE_SLICE_NS UINT64_C(1000000)
#define SNAPSHOT_SLICE_NS UINT64_C(100000)
#define EXPIRE_STEPS 64
#define RELOCATE_STEPS 64
#define CONVERT_SLICE_NS UINT64_C(1000000)
#define CONVERT_STEPS ((size_t)64)
#define SHRINK_SLICE_NS UINT64_C(1000000)
#define SHRINK_STEPS ((size_t)64)
/* Relocation begins when more than a quarter and a megabyte of a keyspace is slack, and after a
 * pass when there is an eighth more than that pass left. */
#define SLACK_SHARE 4
#define SLACK_BYTES_MIN ((size_t)1 << 20)
#define GROWN_SLACK_SHARE 8
#define PURGE_BYTES ((size_t)2 << 20)
/* Idle memory kept for reuse. The program sets no limit of its own, since keeping one would mean to
 * give back a whole keyspace's memory within the request that drops it. */
#define KEPT_IDLE_BYTES ((size_t)4 << 20)
/* How long a connection that is to be closed may keep its last replies unread. */
#define LINGER_MS 60000

static bool has_late_keys(const kvi_keyspace_t *keyspace, int64_t now_ms)
{
    const int64_t deadline = kvi_keyspace_next_deadline(keyspace);
    return deadline != KVI_NO_DEADLINE && deadline < now_ms;
}

/* Removes late keys until none is left (false) or the slice is over (true). */
static bool expire_keys(kvi_loop_t *loop, int64_t now_ms)
{
    kvi_server_t *const server = loop->server;
    const uint64_t end = kvi_os_monotonic_ns() + EXPIRE_SLICE_NS;
    for (size_t i = 0; i < kvi_db_keyspaces(server->db) && server->active_expire; i++) {
        const kvi_keyspace_t *const keyspace = kvi_db_keyspace(server->db, i);
        const kvi_op_t expire = {
            .kind = KVI_OP_EXPIRE, .keyspace = (uint32_t)i, .count = EXPIRE_STEPS};
        while (keyspace != NULL && has_late_keys(keyspace, now_ms)) {
            kvi_op_result_t result;
            kvi_server_submit(server, &expire, now_ms, &result);
            if (result.status != KV_OK || kvi_os_monotonic_ns() >= end) {
                /* A log that takes no writes now may take them later; nobody sees late keys. */
                return result.status == KV_OK;
            }
        }
    }
    return false;
}

/* Whether so much of a keyspace's memory is unused that moving its entries together pays. What a
 * finished pass could not win back is taken as the keyspace's nature until there is clearly more of
 * it. */
static bool is_worth_relocating(const kvi_keyspace_t *keyspace, kvi_relocation_t *relocation)
{
    kv_engine_memory_t memory;
    if (kvi_keyspace_count(keyspace) == 0 || kvi_keyspace_memory(keyspace, &memory) != KV_OK) {
        return false;
    }
    relocation->slack_bytes = memory.slack_bytes;
    const size_t needed = memory.total_bytes / SLACK_SHARE + SLACK_BYTES_MIN;
    const size_t grown = relocation->settled_bytes + memory.total_bytes / GROWN_SLACK_SHARE;
    return memory.slack_bytes > needed && memory.slack_bytes > grown;
}

/* Moves entries out of sparse blocks of one keyspace; true if the slice is over before it is done.
 */
static bool relocate_keyspace(kvi_keyspace_t *keyspace, kvi_relocation_t *relocation, uint64_t end)
{
    if (!relocation->active) {
        relocation->active = is_worth_relocating(keyspace, relocation);
        relocation->settled_bytes = relocation->slack_bytes < relocation->settled_bytes
                                        ? relocation->slack_bytes
                                        : relocation->settled_bytes;
    }
    while (relocation->active) {
        if (kvi_keyspace_relocate(keyspace, RELOCATE_STEPS) < RELOCATE_STEPS) {
            relocation->active = false;
            (void)is_worth_relocating(keyspace, relocation);
            relocation->settled_bytes = relocation->slack_bytes;
        } else if (kvi_os_monotonic_ns() >= end) {
            return true;
        }
    }
    return false;
}

/* As many as there are keyspaces now. */
static bool make_relocations(kvi_loop_t *loop, size_t count)
{
    if (count <= loop->relocation_count) {
        return true;
    }
    kvi_relocation_t *const larger = kv_store_realloc(loop->relocations, count * sizeof larger[0]);
    if (larger == NULL) {
        return false;
    }
    for (size_t i = loop->relocation_count; i < count; i++) {
        larger[i] = (kvi_relocation_t){.active = false};
    }
    loop->relocations = larger;
    loop->relocation_count = count;
    return true;
}

static bool relocate_entries(kvi_loop_t *loop)
{
    kvi_db_t *const db = loop->server->db;
    const uint64_t end = kvi_os_monotonic_ns() + RELOCATE_SLICE_NS;
    if (!make_relocations(loop, kvi_db_keyspaces(db))) {
        return false;
    }
    for (size_t i = 0; i < kvi_db_keyspaces(db); i++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, i);
        if (keyspace != NULL && relocate_keyspace(keyspace, &loop->relocations[i], end)) {
            return true;
        }
    }
    return false;
}

/* Goes on with conversions to another engine; true if the slice is over before they are done. */
static bool convert_keyspaces(kvi_loop_t *loop)
{
    kvi_db_t *const db = loop->server->db;
    const uint64_t end = kvi_os_monotonic_ns() + CONVERT_SLICE_NS;
    for (size_t i = 0; i < kvi_db_keyspaces(db); i++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, i);
        while (keyspace != NULL && kvi_keyspace_convert(keyspace, CONVERT_STEPS) == CONVERT_STEPS) {
            if (kvi_os_monotonic_ns() >= end) {
                return true;
            }
        }
    }
    return false;
}

/* Evicts until the use is below a limit that was lowered. */
static bool shrink_database(kvi_loop_t *loop)
{
    const kvi_submitter_t submitter = kvi_server_submitter(loop->server);
    const uint64_t end = kvi_os_monotonic_ns() + SHRINK_SLICE_NS;
    while ((loop->server->gates & KVI_GATE_MEMORY) != 0 &&
           kvi_db_shrink(loop->server->db, SHRINK_STEPS, &submitter) == SHRINK_STEPS) {
        if (kvi_os_monotonic_ns() >= end) {
            return true;
        }
    }
    return false;
}

static bool purge_memory(void)
{
    const uint64_t end = kvi_os_monotonic_ns() + PURGE_SLICE_NS;
    while (kvi_block_purge(KEPT_IDLE_BYTES, PURGE_BYTES) > 0) {
        if (kvi_os_monotonic_ns() >= end) {
            return true;
        }
    }
    return false;
}

static void end_idle_connections(kvi_loop_t *loop, int64_t now_ms)
{
    kvi_server_t *const server = loop->server;
    const int64_t timeout_ms = server->config.timeout * 1000;
    for (kvi_client_t *client = server->first_client; client != NULL; client = client->next) {
        const int64_t idle_ms = now_ms - client->active_ms;
        if ((timeout_ms > 0 && idle_ms > timeout_ms) || (client->closing && idle_ms > LINGER_MS)) {
            client->killed = true;
            server->kills++;
        }
    }
    kvi_loop_collect_killed(loop);
}

static void tick(uv_timer_t *timer)
{
    kvi_loop_t *const loop = timer->data;
    const uint64_t now_ns = kvi_os_monotonic_ns();
    const int64_t now_ms = kvi_server_now(loop->server);
    bool more = expire_keys(loop, now_ms);
    more = relocate_entries(loop) || more;
    more = convert_keyspaces(loop) || more;
    more = shrink_database(loop) || more;
    more = purge_memory() || more;
    const uint64_t elapsed_ms = (now_ns - loop->last_tick_ns) / 1000000;
    if (elapsed_ms >= TICK_MS) {
        kvi_stats_tick(&loop->server->stats, elapsed_ms);
        loop->last_tick_ns = now_ns;
        loop->ticks++;
        if (loop->ticks % (1000 / TICK_MS) == 0) {
            end_idle_connections(loop, now_ms);
        }
    }
    kvi_server_end_turn(loop->server);
    kvi_loop_release_held(loop);
    if (kvi_loop_step_snapshot(loop, SNAPSHOT_SLICE_NS)) {
        kvi_loop_turn_soon(loop);
    }
    if (loop->accept_waits) {
        loop->accept_waits = false;
        kvi_connection_accept(loop);
    }
    (void)uv_timer_start(timer, tick, more ? BUSY_TICK_MS : TICK_MS, 0);
}

void kvi_housekeeping_start(kvi_loop_t *loop)
{
    loop->last_tick_ns = kvi_os_monotonic_ns();
    loop->timer.data = loop;
    (void)uv_timer_start(&loop->timer, tick, TICK_MS, 0);
}
