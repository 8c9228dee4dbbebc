/* SPDX-License-Identifier: MIT */
/*
 * The commit log on disk: batches go from the executor to the log's thread in a list, and all that
 * has come when the thread looks is one frame, one write and one sync.
 *
 *   executor                                       log's thread
 *   reserve, append ──► open ──► turn ──end_turn──► queue ──► frames ──► written ──► durable
 *        ▲                                            │                                 │
 *        └────────────── items to be used again ◄─────┴──────────── wake ◄──────────────┘
 *
 * Invariants:
 *  1. queued is at most room, in bytes that cannot be exceeded however the batches are cut into
 *     frames. room is what certainly fits into the current segment, or into the spare if that is
 *     larger. So a batch that was accepted never meets a full disk.
 *  2. After the first error nothing is written, and durable stays where it is.
 *  3. awaited is the LSN of the last batch that has to be synced before anybody hears of it.
 *
 * Thread rule: the members of executor_t belong to the executor, those of disk_t to the log's
 * thread, those of shared_t to who holds the mutex; the atomics are read by both. A manual log has
 * one thread, which plays both.
 */
#include "log/wal_writer.h"

#include "base/bytes.h"
#include "os/os.h"

#include <concordkv/kv_memory.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define ITEM_BYTES_KEPT ((size_t)256 << 10) /* a larger item is not used again */
#define ITEM_BYTES_MIN ((size_t)4096)
#define OPEN_BYTES_MAX ((size_t)1 << 20) /* a larger batch is closed before its turn ends */
#define ITEMS_KEPT 64
#define BATCH_HEADER_BYTES ((size_t)16)      /* room for what kvi_batch_begin writes */
#define COUNT_KEYS_BYTES ((uint64_t)1 << 20) /* of batches, after which keys are counted anew */
#define COUNT_KEYS_MIN 1000                  /* fewer need no room ahead */
#define FILL_BYTES_MIN ((uint64_t)256 << 10)
#define FILL_BYTES_MAX ((uint64_t)4 << 20)

typedef struct executor {
    kvi_wal_item_t *open; /* the batch being filled, or NULL */
    int64_t open_time_ms;
    kvi_wal_item_t *spare; /* for the next one */
    kvi_wal_item_t *turn;  /* closed in this turn, */
    kvi_wal_item_t **turn_end;
    uint64_t turn_cost;
    kvi_wal_item_t *used; /* to be used again */
    uint64_t uncounted;   /* bytes since keys were counted */
    uint64_t lsn;
    uint64_t handed_lsn; /* of the last batch that end_turn took */
    uint64_t awaited;
    bool refused;           /* because the disk is full */
    uint64_t late_begun_ns; /* of the last late sync that a write met */
    uint64_t late_syncs;
} executor_t;

typedef struct shared {
    kvi_wal_item_t *queue;
    kvi_wal_item_t **queue_end;
    kvi_wal_item_t *used;
    unsigned used_count;
    uint64_t flush_lsn;
    uint64_t remove_lsn;
    kvi_key_counts_t key_counts; /* of the database, not long ago */
    bool waits;                  /* the log's thread, for work */
    bool stop;
    char reason[256];
} shared_t;

typedef struct disk {
    kvi_wal_writer_t writer;
    uint64_t sync_due_ns; /* 0: nothing has to be synced by itself */
    uint64_t removed_lsn; /* as far as segments have been removed */
} disk_t;

typedef struct wal_commit {
    kvi_commit_t base;
    uint64_t backlog_bytes;
    uint64_t late_sync_ns;
    bool manual;
    void (*wake)(void *context);
    void *wake_context;

    executor_t executor;
    kvi_os_mutex_t mutex;
    kvi_os_condition_t work; /* for the log's thread */
    kvi_os_condition_t done; /* for flush */
    shared_t shared;
    kvi_os_thread_t thread;
    disk_t disk;

    _Atomic uint64_t written;
    _Atomic uint64_t durable;
    _Atomic uint64_t room;
    _Atomic uint64_t queued;
    _Atomic uint64_t wanted;        /* payload that a refused batch needs in the spare; 0: none */
    _Atomic uint64_t full_bytes;    /* disk full: what the next spare needs; 0: it is not full */
    _Atomic uint64_t sync_begun_ns; /* 0: no sync is under way */
    _Atomic uint64_t synced_ns;
    _Atomic uint64_t log_bytes;
    _Atomic int sync; /* the default policy, a kvi_sync_t */
    _Atomic bool failed;
} wal_commit_t;

static wal_commit_t *wal_of(kvi_commit_t *commit)
{
    return (wal_commit_t *)(void *)commit;
}

static const wal_commit_t *const_wal_of(const kvi_commit_t *commit)
{
    return (const wal_commit_t *)(const void *)commit;
}

/* ---- items ---- */

/* The most that a batch of this size can take in the log: in a frame of its own. */
static uint64_t cost_of(uint64_t bytes)
{
    return KVI_FRAME_BATCH_BYTES + KVI_FRAME_HEADER_BYTES + KVI_FRAME_ALIGNMENT + bytes;
}

static void free_items(kvi_wal_item_t *item)
{
    while (item != NULL) {
        kvi_wal_item_t *const next = item->next;
        kvi_batch_close(&item->batch);
        kv_store_free(item);
        item = next;
    }
}

/* An empty item with so much room, taken from the used ones or new. */
static kv_status_t make_spare(executor_t *executor, size_t bytes)
{
    if (executor->spare == NULL) {
        kvi_wal_item_t *const used = executor->used;
        if (used != NULL) {
            executor->used = used->next;
            executor->spare = used;
        } else {
            executor->spare = kv_store_calloc(1, sizeof *executor->spare);
        }
        if (executor->spare == NULL) {
            return KV_NO_MEMORY;
        }
        executor->spare->next = NULL;
    }
    kvi_batch_t *const batch = &executor->spare->batch;
    batch->size = 0;
    batch->count = 0;
    const size_t least = bytes + BATCH_HEADER_BYTES;
    return kvi_batch_reserve(batch, least > ITEM_BYTES_MIN ? least : ITEM_BYTES_MIN);
}

/* ---- executor: accepting ---- */

static void kick(wal_commit_t *wal)
{
    kvi_os_lock(&wal->mutex);
    if (wal->shared.waits) {
        kvi_os_wake(&wal->work);
    }
    kvi_os_unlock(&wal->mutex);
}

/* What the turn so far and one more batch of these bytes may take. */
static uint64_t cost_with(const executor_t *executor, size_t bytes)
{
    const uint64_t open = executor->open != NULL ? cost_of(executor->open->batch.size) : 0;
    return executor->turn_cost + open + cost_of(bytes + BATCH_HEADER_BYTES);
}

/* The answer if the log has no room now: it will have when there is a spare. */
static kv_status_t refuse_for_room(wal_commit_t *wal, size_t bytes)
{
    if (wal->full_bytes != 0) {
        wal->executor.refused = true;
        return KV_DISK_FULL;
    }
    const uint64_t payload = cost_of(bytes + BATCH_HEADER_BYTES);
    const uint64_t wanted = wal->wanted;
    wal->wanted = payload > wanted ? payload : wanted;
    kick(wal);
    return KV_BUSY;
}

static bool sync_is_late(wal_commit_t *wal)
{
    const uint64_t begun = wal->sync_begun_ns;
    if (begun == 0 || kvi_os_monotonic_ns() - begun <= wal->late_sync_ns) {
        return false;
    }
    wal->executor.late_syncs += wal->executor.late_begun_ns != begun;
    wal->executor.late_begun_ns = begun;
    return true;
}

static kv_status_t wal_reserve(kvi_commit_t *commit, size_t bytes)
{
    wal_commit_t *const wal = wal_of(commit);
    executor_t *const executor = &wal->executor;
    if (wal->failed) {
        return KV_READ_ONLY;
    }
    if (bytes > KVI_FRAME_PAYLOAD_MAX - 4096) {
        return KV_TOO_LARGE;
    }
    const uint64_t queued = wal->queued;
    const uint64_t cost = cost_with(executor, bytes);
    if (queued + cost > wal->room) {
        return refuse_for_room(wal, bytes);
    }
    if (sync_is_late(wal) || (queued > 0 && queued + cost > wal->backlog_bytes)) {
        return KV_BUSY;
    }
    executor->refused = false;
    kvi_batch_t *const open = executor->open != NULL ? &executor->open->batch : NULL;
    if (open != NULL && open->capacity - open->size < bytes && open->size < OPEN_BYTES_MAX) {
        (void)kvi_batch_reserve(open, bytes); /* else a new batch is begun */
    }
    return make_spare(executor, bytes);
}

/* ---- executor: appending ---- */

static kvi_sync_t resolved(const wal_commit_t *wal, kvi_sync_t sync)
{
    return sync == KVI_SYNC_DEFAULT ? (kvi_sync_t)wal->sync : sync;
}

/* The item's batch gets its LSN and its place in the turn. */
static void close_item(executor_t *executor, kvi_wal_item_t *item)
{
    item->lsn = ++executor->lsn;
    item->next = NULL;
    *executor->turn_end = item;
    executor->turn_end = &item->next;
    executor->turn_cost += cost_of(item->bytes.size);
    if (item->sync == KVI_SYNC_ALWAYS) {
        executor->awaited = item->lsn;
    }
}

static void close_open(executor_t *executor)
{
    kvi_wal_item_t *const item = executor->open;
    if (item != NULL) {
        executor->open = NULL;
        item->bytes = kvi_batch_bytes(&item->batch);
        close_item(executor, item);
    }
}

static kvi_wal_item_t *take_spare_item(executor_t *executor)
{
    kvi_wal_item_t *const item = executor->spare;
    executor->spare = NULL;
    return item;
}

static void wal_append(kvi_commit_t *commit, const kvi_op_t *op, int64_t now_ms, kvi_sync_t sync)
{
    wal_commit_t *const wal = wal_of(commit);
    executor_t *const executor = &wal->executor;
    kvi_wal_item_t *open = executor->open;
    if (open != NULL && (executor->open_time_ms != now_ms ||
                         open->batch.capacity - open->batch.size < kvi_op_encoded_bytes_max(op))) {
        close_open(executor);
        open = NULL;
    }
    if (open == NULL) {
        open = take_spare_item(executor);
        (void)kvi_batch_begin(&open->batch, now_ms, 0); /* within what make_spare reserved */
        open->sync = KVI_SYNC_NO;
        executor->open = open;
        executor->open_time_ms = now_ms;
    }
    kvi_batch_append(&open->batch, op);
    const kvi_sync_t resolved_sync = resolved(wal, sync);
    if (resolved_sync < open->sync) {
        open->sync = resolved_sync; /* the numbers rise as strictness falls */
    }
}

static void wal_append_batch(kvi_commit_t *commit, kv_slice_t bytes, kvi_sync_t sync)
{
    wal_commit_t *const wal = wal_of(commit);
    executor_t *const executor = &wal->executor;
    close_open(executor);
    kvi_wal_item_t *const item = take_spare_item(executor);
    kvi_bytes_copy(item->batch.bytes, bytes.data, bytes.size);
    item->bytes = (kv_slice_t){item->batch.bytes, bytes.size};
    item->sync = resolved(wal, sync);
    close_item(executor, item);
}

/* How many keys the large keyspaces hold, for the header of the next segment. */
static void count_keys(kvi_db_t *db, kvi_key_counts_t *counts)
{
    const size_t keyspaces = db != NULL ? kvi_db_keyspaces(db) : 0;
    counts->count = 0;
    for (size_t i = 0; i < keyspaces && counts->count < KVI_KEY_COUNTS_MAX; i++) {
        const kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, i);
        const uint64_t keys = keyspace != NULL ? kvi_keyspace_count(keyspace) : 0;
        if (keys >= COUNT_KEYS_MIN) {
            counts->of[counts->count++] = (kvi_key_count_t){keys, (uint32_t)i};
        }
    }
}

static void count_keys_now_and_then_locked(wal_commit_t *wal)
{
    executor_t *const executor = &wal->executor;
    executor->uncounted += executor->turn_cost;
    if (executor->uncounted >= COUNT_KEYS_BYTES) {
        executor->uncounted = 0;
        count_keys(wal->base.db, &wal->shared.key_counts);
    }
}

/* Hands the turn's batches over and takes used items back. */
static void hand_over(wal_commit_t *wal)
{
    executor_t *const executor = &wal->executor;
    shared_t *const shared = &wal->shared;
    wal->queued += executor->turn_cost;
    kvi_os_lock(&wal->mutex);
    *shared->queue_end = executor->turn;
    shared->queue_end = executor->turn_end;
    count_keys_now_and_then_locked(wal);
    if (executor->used == NULL) {
        executor->used = shared->used;
        shared->used = NULL;
        shared->used_count = 0;
    }
    if (shared->waits) {
        kvi_os_wake(&wal->work);
    }
    kvi_os_unlock(&wal->mutex);
    executor->handed_lsn = executor->lsn;
    executor->turn = NULL;
    executor->turn_end = &executor->turn;
    executor->turn_cost = 0;
}

static uint64_t wal_end_turn(kvi_commit_t *commit)
{
    wal_commit_t *const wal = wal_of(commit);
    executor_t *const executor = &wal->executor;
    close_open(executor);
    if (executor->turn != NULL) {
        hand_over(wal);
    }
    return executor->awaited > wal->durable ? executor->awaited : 0;
}

/* ---- log's thread ---- */

static void publish(wal_commit_t *wal)
{
    const kvi_wal_writer_t *const writer = &wal->disk.writer;
    const uint64_t left = writer->segment.bytes - writer->at;
    const uint64_t spare = kvi_wal_writer_spare_room(writer) + KVI_FRAME_HEADER_BYTES;
    wal->room = left > spare ? left : spare;
    wal->log_bytes = kvi_wal_writer_log_bytes(writer);
    wal->written = writer->written_lsn;
    wal->durable = writer->durable_lsn;
}

/* The first error is the last word. */
static void fail(wal_commit_t *wal, kv_status_t status)
{
    kvi_os_lock(&wal->mutex);
    (void)snprintf(wal->shared.reason, sizeof wal->shared.reason, "the log has failed: %s",
                   status == KV_NO_MEMORY ? "out of memory" : kvi_files_reason());
    wal->failed = true;
    kvi_os_unlock(&wal->mutex);
}

/* Items from first to the end of the current segment as one frame; *first moves on. */
static kv_status_t write_frame(wal_commit_t *wal, kvi_wal_item_t **first)
{
    kvi_wal_writer_t *const writer = &wal->disk.writer;
    const uint64_t room = kvi_wal_writer_room(writer);
    const uint64_t most = room < KVI_FRAME_PAYLOAD_MAX ? room : KVI_FRAME_PAYLOAD_MAX;
    kvi_wal_item_t *item = *first;
    uint64_t payload = 0;
    uint64_t cost = 0;
    uint32_t count = 0;
    while (item != NULL && payload + kvi_wal_batch_bytes(item) <= most) {
        payload += kvi_wal_batch_bytes(item);
        cost += cost_of(item->bytes.size);
        count++;
        item = item->next;
    }
    if (count == 0) {
        kvi_os_lock(&wal->mutex);
        writer->key_counts = wal->shared.key_counts;
        kvi_os_unlock(&wal->mutex);
        return kvi_wal_writer_rotate(writer, kvi_wal_batch_bytes(item));
    }
    const kv_status_t status = kvi_wal_writer_append(writer, *first, count, payload);
    if (status == KV_OK) {
        publish(wal); /* before queued shrinks, so that the sum of both never shows too much room */
        wal->queued -= cost;
        *first = item;
    }
    return status;
}

/* Writes all items; *strictest is the policy that they ask for together. */
static kv_status_t write_items(wal_commit_t *wal, kvi_wal_item_t *items, kvi_sync_t *strictest)
{
    *strictest = KVI_SYNC_NO;
    for (const kvi_wal_item_t *item = items; item != NULL; item = item->next) {
        *strictest = item->sync < *strictest ? item->sync : *strictest;
    }
    const uint64_t begun = kvi_os_monotonic_ns();
    kv_status_t status = KV_OK;
    kvi_wal_item_t *next = items;
    while (status == KV_OK && next != NULL) {
        status = write_frame(wal, &next);
    }
    if (wal->disk.writer.direct && items != NULL) {
        wal->synced_ns = kvi_os_monotonic_ns() - begun;
    }
    return status;
}

static kv_status_t sync_now(wal_commit_t *wal)
{
    const uint64_t begun = kvi_os_monotonic_ns();
    wal->sync_begun_ns = begun;
    const kv_status_t status = kvi_wal_writer_sync(&wal->disk.writer);
    wal->sync_begun_ns = 0;
    wal->synced_ns = kvi_os_monotonic_ns() - begun;
    wal->disk.sync_due_ns = 0;
    return status;
}

/* Syncs if the items, a flush or the second that has passed ask for it. */
static kv_status_t sync_if_due(wal_commit_t *wal, kvi_sync_t strictest, uint64_t flush_lsn,
                               uint64_t now_ns)
{
    disk_t *const disk = &wal->disk;
    if (!disk->writer.unsynced) {
        disk->sync_due_ns = 0;
        return KV_OK;
    }
    if (strictest == KVI_SYNC_EVERYSEC && disk->sync_due_ns == 0) {
        disk->sync_due_ns = now_ns + SECOND_NS;
    }
    const bool second_has_passed = disk->sync_due_ns != 0 && now_ns >= disk->sync_due_ns;
    if (strictest == KVI_SYNC_ALWAYS || flush_lsn > disk->writer.durable_lsn || second_has_passed) {
        return sync_now(wal);
    }
    return KV_OK;
}

static bool needs_spare(const wal_commit_t *wal)
{
    return wal->full_bytes == 0 && kvi_wal_writer_lacks_spare(&wal->disk.writer, wal->wanted);
}

/* A piece of the next spare, the larger the faster the log grows, so that it is ready in time. */
static kv_status_t prepare_spare(wal_commit_t *wal, uint64_t written)
{
    uint64_t bytes = 2 * written;
    bytes = bytes < FILL_BYTES_MIN ? FILL_BYTES_MIN : bytes;
    bytes = bytes > FILL_BYTES_MAX ? FILL_BYTES_MAX : bytes;
    const uint64_t wanted = wal->wanted;
    kv_status_t status = kvi_wal_writer_prepare(&wal->disk.writer, wanted, bytes);
    if (status == KV_DISK_FULL) {
        wal->full_bytes = wal->disk.writer.fill.bytes + FILL_BYTES_MIN;
        status = KV_OK;
    }
    return status;
}

/* Once a spare is there that is large enough, nobody has to wait for it any more. */
static void settle_wanted(wal_commit_t *wal)
{
    uint64_t wanted = wal->wanted;
    if (!kvi_wal_writer_lacks_spare(&wal->disk.writer, wanted)) {
        wal->full_bytes = 0;
        (void)atomic_compare_exchange_strong(&wal->wanted, &wanted, 0);
    } else if (wal->full_bytes != 0) {
        wal->wanted = 0;
    }
}

static kv_status_t drop_oldest(wal_commit_t *wal, uint64_t lsn)
{
    bool done = false;
    const kv_status_t status = kvi_wal_writer_drop_oldest(&wal->disk.writer, lsn, &done);
    if (!done) {
        wal->disk.removed_lsn = lsn;
    }
    return status;
}

/* What is not urgent, after everybody has heard of what was. */
static kv_status_t tidy(wal_commit_t *wal, uint64_t remove_lsn, uint64_t written, bool *busy)
{
    kv_status_t status = KV_OK;
    if (remove_lsn > wal->disk.removed_lsn) {
        status = drop_oldest(wal, remove_lsn);
        *busy = true;
    }
    settle_wanted(wal);
    if (status == KV_OK && needs_spare(wal)) {
        status = prepare_spare(wal, written);
        *busy = true;
    }
    settle_wanted(wal);
    return status;
}

static void give_back(wal_commit_t *wal, kvi_wal_item_t *items)
{
    shared_t *const shared = &wal->shared;
    kvi_wal_item_t *spoiled = NULL;
    kvi_os_lock(&wal->mutex);
    while (items != NULL) {
        kvi_wal_item_t *const item = items;
        items = item->next;
        const bool keep =
            shared->used_count < ITEMS_KEPT && item->batch.capacity <= ITEM_BYTES_KEPT;
        kvi_wal_item_t **const list = keep ? &shared->used : &spoiled;
        shared->used_count += keep;
        item->next = *list;
        *list = item;
    }
    kvi_os_unlock(&wal->mutex);
    free_items(spoiled);
}

static void announce(wal_commit_t *wal)
{
    kvi_os_lock(&wal->mutex);
    kvi_os_wake_all(&wal->done);
    kvi_os_unlock(&wal->mutex);
    if (wal->wake != NULL) {
        wal->wake(wal->wake_context);
    }
}

/* Takes what has come, writes it and says so, then does some of what can wait. */
static bool run_round(wal_commit_t *wal, uint64_t now_ns)
{
    shared_t *const shared = &wal->shared;
    kvi_os_lock(&wal->mutex);
    kvi_wal_item_t *const items = shared->queue;
    const uint64_t flush_lsn = shared->flush_lsn;
    const uint64_t remove_lsn = shared->remove_lsn;
    shared->queue = NULL;
    shared->queue_end = &shared->queue;
    kvi_os_unlock(&wal->mutex);

    const uint64_t durable = wal->durable;
    const uint64_t bytes = wal->disk.writer.at;
    bool busy = items != NULL;
    if (!wal->failed) {
        kvi_sync_t strictest = KVI_SYNC_NO;
        kv_status_t status =
            kvi_wal_writer_set_direct(&wal->disk.writer, wal->sync == KVI_SYNC_ALWAYS);
        if (status == KV_OK) {
            status = write_items(wal, items, &strictest);
        }
        if (status == KV_OK) {
            status = sync_if_due(wal, strictest, flush_lsn, now_ns);
        }
        if (status == KV_OK) {
            publish(wal);
            if (items != NULL || wal->durable != durable) {
                announce(wal);
                busy = true;
            }
            const uint64_t at = wal->disk.writer.at;
            bool tidied = false;
            status = tidy(wal, remove_lsn, at > bytes ? at - bytes : at, &tidied);
            publish(wal);
            if (tidied) {
                announce(wal);
                busy = true;
            }
        }
        if (status != KV_OK) {
            fail(wal, status);
            announce(wal);
            busy = true;
        }
    }
    give_back(wal, items);
    return busy;
}

/* With the mutex held. */
static bool has_work(const wal_commit_t *wal, uint64_t now_ns)
{
    const shared_t *const shared = &wal->shared;
    if (shared->queue != NULL) {
        return true;
    }
    const disk_t *const disk = &wal->disk;
    return !wal->failed &&
           (shared->flush_lsn > wal->durable || shared->remove_lsn > disk->removed_lsn ||
            needs_spare(wal) || (disk->sync_due_ns != 0 && now_ns >= disk->sync_due_ns) ||
            (wal->wanted != 0 && wal->full_bytes != 0));
}

/* Waits for work; false when there is none and will be none. */
static bool wait_for_work(wal_commit_t *wal)
{
    bool work = false;
    kvi_os_lock(&wal->mutex);
    while (!(work = has_work(wal, kvi_os_monotonic_ns())) && !wal->shared.stop) {
        wal->shared.waits = true;
        if (wal->disk.sync_due_ns != 0 && !wal->failed) {
            (void)kvi_os_wait_until(&wal->work, &wal->mutex, wal->disk.sync_due_ns);
        } else {
            kvi_os_wait(&wal->work, &wal->mutex);
        }
        wal->shared.waits = false;
    }
    /* A spare that is half done is no reason to stay. */
    work = work && !(wal->shared.stop && wal->shared.queue == NULL);
    kvi_os_unlock(&wal->mutex);
    return work;
}

static void run_thread(void *argument)
{
    wal_commit_t *const wal = argument;
    while (wait_for_work(wal)) {
        (void)run_round(wal, kvi_os_monotonic_ns());
    }
}

/* ---- executor: the rest ---- */

static uint64_t wal_durable(const kvi_commit_t *commit)
{
    return const_wal_of(commit)->durable;
}

/* Whether a flush has to go on waiting. */
static bool is_pending(const wal_commit_t *wal, uint64_t lsn)
{
    return !wal->failed && (wal->durable < lsn || (wal->wanted != 0 && wal->full_bytes == 0));
}

static uint64_t wal_hurry(kvi_commit_t *commit)
{
    wal_commit_t *const wal = wal_of(commit);
    const uint64_t lsn = wal->executor.handed_lsn;
    kvi_os_lock(&wal->mutex);
    if (wal->shared.flush_lsn < lsn) {
        wal->shared.flush_lsn = lsn;
    }
    if (wal->shared.waits) {
        kvi_os_wake(&wal->work);
    }
    kvi_os_unlock(&wal->mutex);
    return lsn;
}

static kv_status_t wal_flush(kvi_commit_t *commit)
{
    wal_commit_t *const wal = wal_of(commit);
    const uint64_t lsn = wal_hurry(commit);
    kvi_os_lock(&wal->mutex);
    while (!wal->manual && is_pending(wal, lsn)) {
        kvi_os_wait(&wal->done, &wal->mutex);
    }
    kvi_os_unlock(&wal->mutex);
    while (wal->manual && is_pending(wal, lsn)) {
        (void)run_round(wal, kvi_os_monotonic_ns());
    }
    return wal->failed ? KV_READ_ONLY : KV_OK;
}

static void wal_state(const kvi_commit_t *commit, kvi_commit_state_t *state)
{
    wal_commit_t *const wal = (wal_commit_t *)(uintptr_t)commit; /* for its mutex */
    *state = (kvi_commit_state_t){
        .lsn = wal->executor.handed_lsn,
        .written_lsn = wal->written,
        .durable_lsn = wal->durable,
        .log_bytes = wal->log_bytes,
        .queued_bytes = wal->queued,
        .synced_ns = wal->synced_ns,
        .late_syncs = wal->executor.late_syncs,
        .status = KV_OK,
    };
    if (wal->failed) {
        state->status = KV_READ_ONLY;
        kvi_os_lock(&wal->mutex);
        memcpy(state->reason, wal->shared.reason, sizeof state->reason);
        kvi_os_unlock(&wal->mutex);
    } else if (wal->full_bytes != 0 && wal->executor.refused) {
        state->status = KV_DISK_FULL;
        (void)snprintf(state->reason, sizeof state->reason,
                       "the disk is full: no room for the log's next segment of %llu bytes",
                       (unsigned long long)wal->full_bytes);
    }
}

static void wal_set_sync(kvi_commit_t *commit, kvi_sync_t sync)
{
    wal_commit_t *const wal = wal_of(commit);
    wal->sync = (int)(sync == KVI_SYNC_DEFAULT ? KVI_SYNC_EVERYSEC : sync);
}

static kv_status_t wal_resume(kvi_commit_t *commit)
{
    wal_commit_t *const wal = wal_of(commit);
    uint64_t space = 0;
    if (wal->failed) {
        return KV_READ_ONLY;
    }
    const uint64_t needed = wal->full_bytes;
    if (needed != 0) {
        kvi_files_t *const files = wal->disk.writer.files;
        if (files->ops->free_space(files, &space) == KV_OK && space < needed) {
            return KV_DISK_FULL;
        }
        wal->full_bytes = 0;
        wal->executor.refused = false;
        kick(wal);
    }
    return KV_OK;
}

static void free_commit(wal_commit_t *wal)
{
    free_items(wal->executor.open);
    free_items(wal->executor.spare);
    free_items(wal->executor.turn);
    free_items(wal->executor.used);
    free_items(wal->shared.queue);
    free_items(wal->shared.used);
    kv_store_free(wal);
}

static void wal_close(kvi_commit_t *commit)
{
    if (commit == NULL) {
        return;
    }
    wal_commit_t *const wal = wal_of(commit);
    (void)wal_end_turn(commit);
    (void)wal_flush(commit);
    if (!wal->manual) {
        kvi_os_lock(&wal->mutex);
        wal->shared.stop = true;
        kvi_os_wake(&wal->work);
        kvi_os_unlock(&wal->mutex);
        kvi_os_thread_join(&wal->thread);
    }
    kvi_wal_writer_close(&wal->disk.writer);
    free_commit(wal);
}

static const kvi_commit_ops_t wal_ops = {
    .name = "wal",
    .reserve = wal_reserve,
    .append = wal_append,
    .append_batch = wal_append_batch,
    .end_turn = wal_end_turn,
    .durable = wal_durable,
    .flush = wal_flush,
    .hurry = wal_hurry,
    .state = wal_state,
    .set_sync = wal_set_sync,
    .resume = wal_resume,
    .close = wal_close,
};

static wal_commit_t *make_commit(kvi_db_t *db, const kvi_wal_options_t *options)
{
    wal_commit_t *const wal = kv_store_calloc(1, sizeof *wal);
    if (wal == NULL) {
        return NULL;
    }
    const uint64_t lsn = options->next_lsn != 0 ? options->next_lsn - 1 : 0;
    wal->base = (kvi_commit_t){&wal_ops, db, true};
    wal->backlog_bytes = options->backlog_bytes != 0 ? options->backlog_bytes : (uint64_t)256 << 20;
    wal->late_sync_ns = options->late_sync_ns != 0 ? options->late_sync_ns : 2 * SECOND_NS;
    wal->manual = options->manual;
    wal->wake = options->wake;
    wal->wake_context = options->wake_context;
    wal->executor.turn_end = &wal->executor.turn;
    wal->executor.lsn = wal->executor.handed_lsn = lsn;
    wal->shared.queue_end = &wal->shared.queue;
    wal_set_sync(&wal->base, options->sync);
    return wal;
}

kv_status_t kvi_commit_wal_open(kvi_db_t *db, const kvi_wal_options_t *options,
                                kvi_commit_t **commit)
{
    *commit = NULL;
    wal_commit_t *const wal = make_commit(db, options);
    if (wal == NULL) {
        return KV_NO_MEMORY;
    }
    const bool direct = wal->sync == KVI_SYNC_ALWAYS;
    count_keys(db, &wal->shared.key_counts);
    const kv_status_t status =
        kvi_wal_writer_open(&wal->disk.writer, options, &wal->shared.key_counts, direct);
    if (status != KV_OK) {
        kv_store_free(wal);
        return status;
    }
    publish(wal);
    if (!wal->manual && !kvi_os_thread_start(&wal->thread, run_thread, wal)) {
        kvi_wal_writer_close(&wal->disk.writer);
        kv_store_free(wal);
        return KV_NO_MEMORY;
    }
    *commit = &wal->base;
    return KV_OK;
}

void kvi_commit_wal_remove_through(kvi_commit_t *commit, uint64_t lsn)
{
    wal_commit_t *const wal = wal_of(commit);
    kvi_os_lock(&wal->mutex);
    if (lsn > wal->shared.remove_lsn) {
        wal->shared.remove_lsn = lsn;
    }
    if (wal->shared.waits) {
        kvi_os_wake(&wal->work);
    }
    kvi_os_unlock(&wal->mutex);
}

bool kvi_commit_wal_step(kvi_commit_t *commit, uint64_t now_ns)
{
    return run_round(wal_of(commit), now_ns);
}
