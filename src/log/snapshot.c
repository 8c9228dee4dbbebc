/* SPDX-License-Identifier: MIT */
/*
 * A snapshot in the making: the scan and the observer fill chunks on the executor's thread, a
 * writer takes them from a queue; snapshot.h tells the story.
 *
 *   open chunk ── full ──► queue ──► writer ──► file
 *       ▲                              │
 *       └───────── spare chunks ◄──────┘
 *
 * Invariants:
 *  1. A chunk belongs to the executor (open), to the queue, to the writer, or to the spares;
 *     memory_bytes counts all of them.
 *  2. Everything under "shared" is read and written with the mutex locked only.
 *  3. After the first error nothing is queued any more, and what is queued is dropped.
 */
#include "log/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

#include <concordkv/kv_memory.h>

#include "db/attributes.h"
#include "db/record.h"
#include "log/snapshot_file.h"
#include "os/os.h"

#define SCAN_COUNT_MAX ((size_t)64)     /* entries of one call of an engine's scan */
#define SCAN_BYTES ((uint64_t)32 << 10) /* about as much is copied between two looks at the clock */
#define SPARE_BYTES_MAX KVI_SNAPSHOT_QUEUE_BYTES
/* A disk that is so far behind the writes of the users will not catch up. */
#define OVERFLOW_BYTES ((size_t)64 << 20)
/* Earlier epochs that may be alive when another begins: one number stays free between. */
#define BEHIND_MAX (KVI_EPOCHS - 2)

typedef struct held {
    kvi_content_t *content;
    kv_engine_t *engine;
    uint64_t token;
    uint32_t keyspace;
    bool released;
} held_t;

struct kvi_snapshot {
    kvi_observer_t observer; /* first, so that the observer's address is the snapshot's */
    kvi_snapshot_options_t options;
    kvi_snapshot_head_t head;
    unsigned epoch;
    bool observing;
    bool marks_all; /* every record will bear the epoch at the end of the scan */
    held_t *held;   /* by address of the content */
    size_t held_count;
    size_t held_at; /* that is being scanned */
    size_t scan_count;
    uint64_t scanned_bytes; /* by the present call of scan */
    uint64_t scanned;       /* entries, by the present call of scan */
    kvi_chunk_t *open;
    uint64_t entries;
    uint64_t entries_early;
    uint64_t entries_expected;
    uint64_t longest_step_ns;
    uint64_t step_ns;
    kvi_snapshot_writer_t *writer; /* the writer's own */
    kvi_os_thread_t thread;
    bool threaded;

    /* shared */
    kvi_os_mutex_t mutex;
    kvi_os_condition_t work; /* for the writer */
    kvi_os_condition_t room; /* for finish */
    kvi_chunk_t *first;
    kvi_chunk_t *last;
    kvi_chunk_t *spares;
    size_t spare_bytes;
    size_t queued_bytes; /* what is being written included */
    size_t memory_bytes;
    size_t memory_bytes_max;
    uint64_t file_bytes;
    bool waits;     /* the scan has found the queue full */
    bool complete;  /* the last chunk is queued */
    bool abandoned; /* nobody wants it any more */
    bool ended;     /* the writer has nothing left to do */
    kv_status_t status;
    char reason[256];
};

/* ---- the first error ---- */

static void fail_locked(kvi_snapshot_t *snapshot, kv_status_t status, const char *reason)
{
    if (snapshot->status == KV_OK) {
        snapshot->status = status;
        (void)snprintf(snapshot->reason, sizeof(snapshot->reason), "%s", reason);
    }
}

static void fail(kvi_snapshot_t *snapshot, kv_status_t status, const char *reason)
{
    kvi_os_lock(&snapshot->mutex);
    fail_locked(snapshot, status, reason);
    kvi_os_wake(&snapshot->work);
    kvi_os_unlock(&snapshot->mutex);
}

/* ---- chunks ---- */

static size_t chunk_memory(const kvi_chunk_t *chunk)
{
    return sizeof(*chunk) + KVI_CHUNK_HEADER_BYTES + chunk->capacity;
}

static void free_chunk_locked(kvi_snapshot_t *snapshot, kvi_chunk_t *chunk)
{
    snapshot->memory_bytes -= chunk_memory(chunk);
    kv_store_free(chunk);
}

/* An empty chunk with room for an entry of so many bytes; NULL after an error. */
static kvi_chunk_t *take_chunk(kvi_snapshot_t *snapshot, size_t entry_bytes)
{
    kvi_os_lock(&snapshot->mutex);
    kvi_chunk_t *chunk = snapshot->spares;
    if (chunk != NULL && chunk->capacity >= entry_bytes) {
        snapshot->spares = chunk->next;
        snapshot->spare_bytes -= chunk_memory(chunk);
        kvi_os_unlock(&snapshot->mutex);
        kvi_chunk_reset(chunk, KVI_CHUNK_ENTRIES);
        return chunk;
    }
    kvi_os_unlock(&snapshot->mutex);
    chunk = kvi_chunk_create(entry_bytes);
    if (chunk == NULL) {
        fail(snapshot, KV_NO_MEMORY, "out of memory for a chunk of the snapshot");
        return NULL;
    }
    kvi_os_lock(&snapshot->mutex);
    snapshot->memory_bytes += chunk_memory(chunk);
    if (snapshot->memory_bytes > snapshot->memory_bytes_max) {
        snapshot->memory_bytes_max = snapshot->memory_bytes;
    }
    kvi_os_unlock(&snapshot->mutex);
    return chunk;
}

static void give_back_locked(kvi_snapshot_t *snapshot, kvi_chunk_t *chunk)
{
    if (chunk->capacity > KVI_CHUNK_PAYLOAD_BYTES ||
        snapshot->spare_bytes + chunk_memory(chunk) > SPARE_BYTES_MAX) {
        free_chunk_locked(snapshot, chunk);
        return;
    }
    chunk->next = snapshot->spares;
    snapshot->spares = chunk;
    snapshot->spare_bytes += chunk_memory(chunk);
}

/* Hands the open chunk to the writer. */
static void queue_open(kvi_snapshot_t *snapshot)
{
    kvi_chunk_t *const chunk = snapshot->open;
    snapshot->open = NULL;
    if (chunk == NULL) {
        return;
    }
    chunk->next = NULL;
    kvi_os_lock(&snapshot->mutex);
    if (snapshot->queued_bytes > OVERFLOW_BYTES) {
        fail_locked(snapshot, KV_BUSY, "the disk is much slower than the writes of the users");
    }
    if (snapshot->status != KV_OK || chunk->count == 0) {
        give_back_locked(snapshot, chunk);
    } else {
        if (snapshot->first == NULL) {
            snapshot->first = chunk;
        } else {
            snapshot->last->next = chunk;
        }
        snapshot->last = chunk;
        snapshot->queued_bytes += chunk->size;
    }
    kvi_os_wake(&snapshot->work);
    kvi_os_unlock(&snapshot->mutex);
}

/* ---- the writer ---- */

static kv_status_t open_file(kvi_snapshot_t *snapshot)
{
    return snapshot->writer != NULL
               ? KV_OK
               : kvi_snapshot_writer_open(snapshot->options.files, &snapshot->head,
                                          snapshot->options.compress, &snapshot->writer);
}

static void note_result(kvi_snapshot_t *snapshot, kv_status_t status)
{
    if (status == KV_OK) {
        kvi_snapshot_totals_t totals;
        kvi_snapshot_writer_totals(snapshot->writer, &totals);
        snapshot->file_bytes = totals.bytes;
        return;
    }
    const bool of_files = status == KV_IO || status == KV_DISK_FULL || status == KV_NOT_FOUND;
    fail_locked(snapshot, status, of_files ? kvi_files_reason() : kv_status_text(status));
}

/* Writes one chunk, locked before and after but not meanwhile. */
static void write_chunk(kvi_snapshot_t *snapshot, kvi_chunk_t *chunk)
{
    snapshot->first = chunk->next;
    const bool wanted = snapshot->status == KV_OK && !snapshot->abandoned;
    kv_status_t status = KV_OK;
    if (wanted) {
        kvi_os_unlock(&snapshot->mutex);
        status = open_file(snapshot);
        if (status == KV_OK) {
            status = kvi_snapshot_writer_add(snapshot->writer, chunk);
        }
        kvi_os_lock(&snapshot->mutex);
        note_result(snapshot, status);
    }
    snapshot->queued_bytes -= chunk->size;
    give_back_locked(snapshot, chunk);
}

/* All is written, or not wanted: locked before and after but not meanwhile. */
static void end_file(kvi_snapshot_t *snapshot)
{
    const bool wanted = snapshot->status == KV_OK && !snapshot->abandoned;
    kvi_os_unlock(&snapshot->mutex);
    kv_status_t status = KV_OK;
    if (wanted) {
        status = open_file(snapshot);
        if (status == KV_OK) {
            status = kvi_snapshot_writer_publish(snapshot->writer);
        }
        if (status == KV_OK && snapshot->options.published != NULL) {
            status = snapshot->options.published(snapshot->options.published_context);
        }
    }
    kvi_os_lock(&snapshot->mutex);
    if (wanted) {
        note_result(snapshot, status);
    }
    kvi_os_unlock(&snapshot->mutex);
    kvi_snapshot_writer_close(snapshot->writer);
    snapshot->writer = NULL;
    kvi_os_lock(&snapshot->mutex);
    snapshot->ended = true;
}

static bool has_work_locked(const kvi_snapshot_t *snapshot)
{
    return snapshot->first != NULL || snapshot->complete || snapshot->abandoned ||
           snapshot->status != KV_OK;
}

/* One round of work, locked before and after. True: the executor is to be woken. */
static bool work_locked(kvi_snapshot_t *snapshot)
{
    if (snapshot->first != NULL) {
        write_chunk(snapshot, snapshot->first);
        if (snapshot->status == KV_OK &&
            (!snapshot->waits || snapshot->queued_bytes > KVI_SNAPSHOT_QUEUE_BYTES / 2)) {
            return false;
        }
        snapshot->waits = false;
        return true;
    }
    end_file(snapshot);
    return true;
}

static void run_writer(void *argument)
{
    kvi_snapshot_t *const snapshot = argument;
    kvi_os_lock(&snapshot->mutex);
    while (!snapshot->ended) {
        if (!has_work_locked(snapshot)) {
            kvi_os_wait(&snapshot->work, &snapshot->mutex);
            continue;
        }
        if (!work_locked(snapshot)) {
            continue;
        }
        kvi_os_wake_all(&snapshot->room);
        if (snapshot->options.wake != NULL) {
            kvi_os_unlock(&snapshot->mutex);
            snapshot->options.wake(snapshot->options.wake_context);
            kvi_os_lock(&snapshot->mutex);
        }
    }
    kvi_os_unlock(&snapshot->mutex);
}

/* Without a thread: what it would do now. */
static void run_manually(kvi_snapshot_t *snapshot)
{
    kvi_os_lock(&snapshot->mutex);
    while (!snapshot->ended && has_work_locked(snapshot)) {
        (void)work_locked(snapshot);
    }
    kvi_os_unlock(&snapshot->mutex);
}

/* ---- entries ---- */

static void emit(kvi_snapshot_t *snapshot, uint32_t keyspace, kv_slice_t key, kv_slice_t record)
{
    const kvi_snapshot_entry_t entry = {.keyspace = keyspace,
                                        .key = key,
                                        .value = kvi_record_value(record),
                                        .form = kvi_record_form(record.data),
                                        .deadline_ms = kvi_record_deadline(record.data),
                                        .access = kvi_record_access(record.data)};
    if (snapshot->open == NULL || !kvi_chunk_add_entry(snapshot->open, &entry)) {
        queue_open(snapshot);
        snapshot->open = take_chunk(snapshot, kvi_chunk_entry_bytes_max(&entry));
        if (snapshot->open == NULL) {
            return;
        }
        (void)kvi_chunk_add_entry(snapshot->open, &entry);
    }
    snapshot->entries++;
    snapshot->scanned_bytes += record.size + key.size;
}

/* Records are lent as constants; their epoch is ours to write. */
static void mark(const kvi_snapshot_t *snapshot, kv_slice_t record)
{
    kvi_record_set_epoch((char *)(uintptr_t)record.data, snapshot->epoch);
}

static void scan_entry(void *context, kv_slice_t key, kv_slice_t record)
{
    kvi_snapshot_t *const snapshot = context;
    snapshot->scanned++;
    if (kvi_record_epoch(record.data) != snapshot->epoch) {
        emit(snapshot, snapshot->held[snapshot->held_at].keyspace, key, record);
        mark(snapshot, record);
    }
}

static const held_t *find_held(const kvi_snapshot_t *snapshot, const kvi_content_t *content)
{
    size_t low = 0;
    size_t high = snapshot->held_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((uintptr_t)snapshot->held[middle].content < (uintptr_t)content) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const bool found = low < snapshot->held_count && snapshot->held[low].content == content;
    return found ? &snapshot->held[low] : NULL;
}

static void before_change(kvi_observer_t *observer, kvi_content_t *content, kv_slice_t key,
                          kv_slice_t record)
{
    kvi_snapshot_t *const snapshot = (kvi_snapshot_t *)(void *)observer;
    if (record.data == NULL || kvi_record_epoch(record.data) == snapshot->epoch) {
        return;
    }
    const held_t *const held = find_held(snapshot, content);
    if (held != NULL) {
        emit(snapshot, held->keyspace, key, record);
        snapshot->entries_early++;
        mark(snapshot, record);
    }
}

/* ---- beginning ---- */

static int order_by_address(const void *a, const void *b)
{
    const uintptr_t first = (uintptr_t)((const held_t *)a)->content;
    const uintptr_t second = (uintptr_t)((const held_t *)b)->content;
    return (first > second) - (first < second);
}

/* The row of the keyspace in the file's table, in the open chunk. */
static kv_status_t add_keyspace(kvi_snapshot_t *snapshot, uint32_t number,
                                const kvi_keyspace_t *keyspace)
{
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    kvi_attributes_t attributes;
    kvi_keyspace_attributes(keyspace, &attributes);
    const size_t size = kvi_attributes_encode(&attributes, KVI_ATTRIBUTES_ALL, bytes);
    const kvi_snapshot_keyspace_t row = {.number = number,
                                         .name = kvi_keyspace_name(keyspace),
                                         .attributes = {bytes, size},
                                         .expected_count = kvi_keyspace_count(keyspace)};
    snapshot->entries_expected += row.expected_count;
    if (snapshot->open != NULL && kvi_chunk_add_keyspace(snapshot->open, &row)) {
        return KV_OK;
    }
    queue_open(snapshot);
    snapshot->open = take_chunk(snapshot, 0);
    if (snapshot->open == NULL) {
        return KV_NO_MEMORY;
    }
    snapshot->open->kind = KVI_CHUNK_KEYSPACES;
    (void)kvi_chunk_add_keyspace(snapshot->open, &row);
    return KV_OK;
}

static kv_status_t hold_all(kvi_snapshot_t *snapshot)
{
    kvi_db_t *const db = snapshot->options.db;
    const size_t count = kvi_db_keyspaces(db);
    snapshot->held = kv_store_calloc(count > 0 ? count : 1, sizeof(*snapshot->held));
    if (snapshot->held == NULL) {
        return KV_NO_MEMORY;
    }
    kv_status_t status = KV_OK;
    for (size_t number = 0; number < count && status == KV_OK; number++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, number);
        if (keyspace == NULL) {
            continue;
        }
        status = add_keyspace(snapshot, (uint32_t)number, keyspace);
        kvi_content_t *const content = kvi_content_hold(keyspace);
        if (content != NULL) {
            snapshot->held[snapshot->held_count++] = (held_t){.content = content,
                                                              .engine = kvi_content_engine(content),
                                                              .keyspace = (uint32_t)number};
            snapshot->marks_all = snapshot->marks_all && !kvi_content_is_converting(content);
        }
    }
    queue_open(snapshot);
    qsort(snapshot->held, snapshot->held_count, sizeof(*snapshot->held), order_by_address);
    return status;
}

static void release_all(kvi_snapshot_t *snapshot)
{
    for (size_t i = 0; i < snapshot->held_count; i++) {
        if (!snapshot->held[i].released) {
            kvi_content_release(snapshot->held[i].content);
            snapshot->held[i].released = true;
        }
    }
}

static void mark_entry(void *context, kv_slice_t key, kv_slice_t record)
{
    (void)key;
    mark(context, record);
}

/* Gives every record the present epoch, so that earlier numbers are free again: after many
 * snapshots in a row that were given up. */
static kv_status_t mark_everything(kvi_snapshot_t *snapshot)
{
    if (!snapshot->marks_all) {
        return KV_BUSY;
    }
    kvi_epochs_t *const epochs = kvi_db_epochs(snapshot->options.db);
    snapshot->epoch = epochs->now;
    for (size_t i = 0; i < snapshot->held_count; i++) {
        kv_engine_t *const engine = snapshot->held[i].engine;
        uint64_t token = 0;
        do {
            token = engine->ops->scan(engine, token, SCAN_COUNT_MAX, mark_entry, snapshot);
        } while (token != 0);
    }
    epochs->behind = 0;
    return KV_OK;
}

static void free_snapshot(kvi_snapshot_t *snapshot)
{
    release_all(snapshot);
    kvi_snapshot_writer_close(snapshot->writer);
    while (snapshot->first != NULL) {
        kvi_chunk_t *const chunk = snapshot->first;
        snapshot->first = chunk->next;
        kv_store_free(chunk);
    }
    while (snapshot->spares != NULL) {
        kvi_chunk_t *const chunk = snapshot->spares;
        snapshot->spares = chunk->next;
        kv_store_free(chunk);
    }
    kv_store_free(snapshot->open);
    kv_store_free(snapshot->held);
    kv_store_free(snapshot);
}

/* From here on nothing can fail: the epoch goes up. */
static void start(kvi_snapshot_t *snapshot)
{
    kvi_epochs_t *const epochs = kvi_db_epochs(snapshot->options.db);
    epochs->now = (unsigned char)((epochs->now + 1U) % KVI_EPOCHS);
    epochs->behind++;
    snapshot->epoch = epochs->now;
    snapshot->observer.before_change = before_change;
    kvi_db_observe(snapshot->options.db, &snapshot->observer);
    snapshot->observing = true;
}

static kv_status_t begin(kvi_snapshot_t *snapshot)
{
    if (!kvi_os_random(&snapshot->head.salt, sizeof(snapshot->head.salt))) {
        snapshot->head.salt = kvi_os_monotonic_ns();
    }
    kv_status_t status = hold_all(snapshot);
    if (status == KV_OK && kvi_db_epochs(snapshot->options.db)->behind >= BEHIND_MAX) {
        status = mark_everything(snapshot);
    }
    if (status == KV_OK && !snapshot->options.manual) {
        snapshot->threaded = kvi_os_thread_start(&snapshot->thread, run_writer, snapshot);
        status = snapshot->threaded ? KV_OK : KV_NO_MEMORY;
    }
    return status;
}

kv_status_t kvi_snapshot_begin(const kvi_snapshot_options_t *options, kvi_snapshot_t **snapshot)
{
    *snapshot = NULL;
    kvi_snapshot_t *const begun = kv_store_calloc(1, sizeof(*begun));
    if (begun == NULL) {
        return KV_NO_MEMORY;
    }
    begun->options = *options;
    begun->head.lsn = options->lsn;
    begun->head.term = options->term;
    begun->head.time_ms = kvi_db_time(options->db);
    memcpy(begun->head.identity, options->identity, sizeof(begun->head.identity));
    begun->marks_all = true;
    begun->scan_count = 1;
    const kv_status_t status = begin(begun);
    if (status != KV_OK) {
        free_snapshot(begun);
        return status;
    }
    start(begun);
    *snapshot = begun;
    return KV_OK;
}

/* ---- steps ---- */

static void stop_observing(kvi_snapshot_t *snapshot)
{
    if (snapshot->observing) {
        kvi_db_unobserve(snapshot->options.db, &snapshot->observer);
        snapshot->observing = false;
    }
    release_all(snapshot);
}

/* Everything is scanned: the rest is the writer's. */
static void end_scan(kvi_snapshot_t *snapshot)
{
    stop_observing(snapshot);
    if (snapshot->marks_all) {
        kvi_db_epochs(snapshot->options.db)->behind = 0;
    }
    queue_open(snapshot);
    kvi_os_lock(&snapshot->mutex);
    snapshot->complete = true;
    kvi_os_wake(&snapshot->work);
    kvi_os_unlock(&snapshot->mutex);
}

/* As many entries as make up SCAN_BYTES, judged by those of the call before. */
static void adapt_scan_count(kvi_snapshot_t *snapshot)
{
    const uint64_t entries = snapshot->scanned > 0 ? snapshot->scanned : 1;
    const uint64_t each = snapshot->scanned_bytes / entries + 1;
    const uint64_t fitting = SCAN_BYTES / each;
    const size_t doubled = snapshot->scan_count * 2;
    size_t count = fitting < SCAN_COUNT_MAX ? (size_t)fitting : SCAN_COUNT_MAX;
    count = count < doubled ? count : doubled;
    snapshot->scan_count = count > 0 ? count : 1;
}

static void scan_some(kvi_snapshot_t *snapshot)
{
    if (snapshot->held_at == snapshot->held_count) {
        end_scan(snapshot);
        return;
    }
    held_t *const held = &snapshot->held[snapshot->held_at];
    snapshot->scanned = 0;
    snapshot->scanned_bytes = 0;
    held->token = held->engine->ops->scan(held->engine, held->token, snapshot->scan_count,
                                          scan_entry, snapshot);
    adapt_scan_count(snapshot);
    if (held->token == 0) {
        kvi_content_release(held->content);
        held->released = true;
        snapshot->held_at++;
    }
}

static kvi_snapshot_phase_t phase_locked(const kvi_snapshot_t *snapshot)
{
    if (snapshot->status != KV_OK) {
        return KVI_SNAPSHOT_FAILED;
    }
    if (snapshot->ended) {
        return KVI_SNAPSHOT_DONE;
    }
    return snapshot->complete ? KVI_SNAPSHOT_WRITES : KVI_SNAPSHOT_SCANS;
}

/* The phase; *waits: there is no room for more. */
static kvi_snapshot_phase_t look(kvi_snapshot_t *snapshot, bool *waits)
{
    kvi_os_lock(&snapshot->mutex);
    const kvi_snapshot_phase_t phase = phase_locked(snapshot);
    *waits = snapshot->queued_bytes >= KVI_SNAPSHOT_QUEUE_BYTES;
    snapshot->waits = *waits;
    kvi_os_unlock(&snapshot->mutex);
    return phase;
}

kvi_snapshot_phase_t kvi_snapshot_step(kvi_snapshot_t *snapshot, uint64_t budget_ns)
{
    const uint64_t begun = kvi_os_monotonic_ns();
    uint64_t spent = 0;
    bool waits;
    kvi_snapshot_phase_t phase = look(snapshot, &waits);
    while (phase == KVI_SNAPSHOT_SCANS && !waits) {
        scan_some(snapshot);
        spent = kvi_os_monotonic_ns() - begun;
        phase = look(snapshot, &waits);
        if (spent >= budget_ns) {
            break;
        }
    }
    snapshot->step_ns += spent;
    if (spent > snapshot->longest_step_ns) {
        snapshot->longest_step_ns = spent;
    }
    if (snapshot->options.manual) {
        run_manually(snapshot);
        phase = look(snapshot, &waits);
    }
    if (phase == KVI_SNAPSHOT_FAILED) {
        stop_observing(snapshot);
    }
    return phase;
}

kv_status_t kvi_snapshot_finish(kvi_snapshot_t *snapshot)
{
    for (;;) {
        const kvi_snapshot_phase_t phase = kvi_snapshot_step(snapshot, UINT64_MAX);
        kvi_os_lock(&snapshot->mutex);
        if (phase == KVI_SNAPSHOT_DONE || phase == KVI_SNAPSHOT_FAILED) {
            const kv_status_t status = snapshot->status;
            kvi_os_unlock(&snapshot->mutex);
            return status;
        }
        while (!snapshot->ended && snapshot->status == KV_OK &&
               (snapshot->complete || snapshot->waits)) {
            kvi_os_wait(&snapshot->room, &snapshot->mutex);
        }
        kvi_os_unlock(&snapshot->mutex);
    }
}

void kvi_snapshot_state(kvi_snapshot_t *snapshot, kvi_snapshot_state_t *state)
{
    *state = (kvi_snapshot_state_t){.lsn = snapshot->head.lsn,
                                    .entries = snapshot->entries,
                                    .entries_early = snapshot->entries_early,
                                    .entries_expected = snapshot->entries_expected,
                                    .longest_step_ns = snapshot->longest_step_ns,
                                    .step_ns = snapshot->step_ns};
    kvi_os_lock(&snapshot->mutex);
    state->phase = phase_locked(snapshot);
    state->waits = snapshot->waits;
    state->bytes = snapshot->file_bytes;
    state->memory_bytes_max = snapshot->memory_bytes_max;
    state->status = snapshot->status;
    memcpy(state->reason, snapshot->reason, sizeof(state->reason));
    kvi_os_unlock(&snapshot->mutex);
}

void kvi_snapshot_close(kvi_snapshot_t *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    stop_observing(snapshot);
    kvi_os_lock(&snapshot->mutex);
    snapshot->abandoned = true;
    kvi_os_wake(&snapshot->work);
    kvi_os_unlock(&snapshot->mutex);
    if (snapshot->threaded) {
        kvi_os_thread_join(&snapshot->thread);
    } else {
        run_manually(snapshot);
    }
    free_snapshot(snapshot);
}
