/* SPDX-License-Identifier: MIT */
/*
 * Reads segments back, past the page cache where that is possible: after a sync that failed the
 * cache may show what the disk does not have.
 *
 *   segment before the last   every LSN up to the next segment's first one, else it is damaged or
 *                             a segment is missing. A sequence may be missing without a loss: that
 *                             of a segment whose name never became durable and that held nothing.
 *   last segment              up to the first frame that does not verify. If a frame behind that
 *                             place proves by its durable LSN that more had been acknowledged, the
 *                             place is damaged; else it is the torn end of the last write.
 *
 * Thread rule: one user at a time.
 */
#include "log/wal.h"

#include "base/bytes.h"
#include "log/frame.h"
#include "log/read_ahead.h"

#include <concordkv/kv_memory.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WINDOW_BYTES ((size_t)1 << 20)
#define WINDOW_BYTES_DOUBLED ((size_t)16 << 20) /* a larger one is no larger than it must be */
#define PROGRESS_BYTES ((uint64_t)8 << 20)

typedef struct reader {
    kvi_files_t *files;
    const kvi_wal_visitor_t *visitor;
    kvi_wal_report_t *report;
    uint64_t after;
    uint64_t bytes_all;
    uint64_t bytes_before; /* of segments that are done */
    uint64_t told_at;      /* bytes at the last progress */
    bool salvages;

    /* The segment. */
    kvi_file_t *file;
    kvi_segment_header_t header;
    char name[KVI_FILE_NAME_BYTES];
    uint64_t size;     /* of the file */
    uint64_t at;       /* where the next frame should begin */
    uint64_t expected; /* its LSN */
    uint64_t limit;    /* the last LSN that counts */
    bool is_last;
    bool is_next; /* the segment behind it is the one that came next */

    /* A window on its bytes, in one of two rooms. The other room is where the piece behind the
     * window is read to meanwhile: to its second half, because the end of the window, a frame
     * that goes on in the next piece, is then put before it. */
    unsigned char *rooms[2]; /* each of two times capacity; NULL: not needed so far */
    size_t capacity;         /* of a piece */
    unsigned room;           /* of the window */
    const unsigned char *window;
    uint64_t window_at;
    size_t window_size;
    kvi_read_ahead_t *ahead;
    bool asked;    /* the piece behind the window is being read */
    bool no_ahead; /* nobody can */
} reader_t;

/* ---- refusals ---- */

static void note_place(reader_t *reader)
{
    kvi_wal_report_t *const report = reader->report;
    (void)snprintf(report->file, sizeof report->file, "%s", reader->name);
    report->offset = reader->at;
    report->lsn = reader->expected;
}

static kv_status_t refuse(reader_t *reader, kv_status_t status, const char *what)
{
    note_place(reader);
    const char *const ways =
        status == KV_NEWER
            ? "Start the version that wrote it, or restore a backup made by this one."
            : "Acknowledged data may be lost. Either restore a backup, or have `kvtool repair` "
              "show "
              "on a copy what would be lost and make that copy usable.";
    (void)snprintf(reader->report->reason, sizeof reader->report->reason,
                   "%s, offset %" PRIu64 ", LSN %" PRIu64 ": %s. %s", reader->name, reader->at,
                   reader->expected, what, ways);
    return status;
}

/* ---- bytes ---- */

static bool make_room(reader_t *reader, unsigned room)
{
    if (reader->rooms[room] == NULL) {
        reader->rooms[room] = kv_store_aligned_alloc(KVI_DIRECT_BYTES, 2 * reader->capacity);
    }
    return reader->rooms[room] != NULL;
}

static void free_rooms(reader_t *reader)
{
    kv_store_free(reader->rooms[0]);
    kv_store_free(reader->rooms[1]);
    reader->rooms[0] = reader->rooms[1] = NULL;
}

/* What was asked for is not wanted any more. */
static void forget_ahead(reader_t *reader)
{
    size_t got;
    if (reader->asked) {
        (void)kvi_read_ahead_take(reader->ahead, &got);
        reader->asked = false;
    }
}

/* size is a multiple of KVI_DIRECT_BYTES. */
static bool grow_window(reader_t *reader, size_t size)
{
    if (size > reader->capacity) {
        size_t capacity = reader->capacity == 0 ? WINDOW_BYTES : reader->capacity;
        while (capacity < size && capacity < WINDOW_BYTES_DOUBLED) {
            capacity *= 2;
        }
        capacity = capacity < size ? size : capacity;
        forget_ahead(reader);
        free_rooms(reader);
        reader->capacity = capacity;
        reader->window_size = 0;
    }
    return make_room(reader, reader->room);
}

/* Has the piece behind the window read, if the file goes on there. */
static void ask_ahead(reader_t *reader)
{
    const uint64_t behind = reader->window_at + reader->window_size;
    const unsigned other = 1 - reader->room;
    if (behind >= reader->size || reader->no_ahead) {
        return;
    }
    if (reader->ahead == NULL) {
        reader->ahead = kvi_read_ahead_open(reader->files);
    }
    if (reader->ahead == NULL || !make_room(reader, other)) {
        reader->no_ahead = true;
        return;
    }
    kvi_read_ahead_ask(reader->ahead, reader->file, behind, reader->rooms[other] + reader->capacity,
                       reader->capacity);
    reader->asked = true;
}

/* Moves the window on to the piece that was read ahead, and keeps what it shows from first on. */
static kv_status_t take_ahead(reader_t *reader, uint64_t first)
{
    size_t got = 0;
    const unsigned other = 1 - reader->room;
    const kv_status_t status = kvi_read_ahead_take(reader->ahead, &got);
    reader->asked = false;
    if (status != KV_OK) {
        return status;
    }
    const size_t passed = (size_t)(first - reader->window_at);
    const size_t kept = reader->window_size - passed;
    unsigned char *const window = reader->rooms[other] + reader->capacity - kept;
    memcpy(window, reader->window + passed, kept);
    reader->room = other;
    reader->window = window;
    reader->window_at = first;
    reader->window_size = kept + got;
    return KV_OK;
}

static kv_status_t read_window(reader_t *reader, uint64_t first)
{
    unsigned char *const window = reader->rooms[reader->room] + reader->capacity;
    forget_ahead(reader);
    reader->window = window;
    reader->window_at = first;
    reader->window_size = 0;
    return reader->files->ops->read_at(reader->file, first, window, reader->capacity,
                                       &reader->window_size);
}

/* A window from first on, of at least needed bytes unless the file ends. */
static kv_status_t move_window(reader_t *reader, uint64_t first, size_t needed)
{
    if (!grow_window(reader, needed)) {
        return KV_NO_MEMORY;
    }
    const bool follows =
        first >= reader->window_at && first <= reader->window_at + reader->window_size;
    const kv_status_t status =
        reader->asked && follows ? take_ahead(reader, first) : read_window(reader, first);
    if (status == KV_OK) {
        ask_ahead(reader);
    }
    return status;
}

/* Points *bytes to those from offset on; *size, asked for and given, shrinks at the file's end. */
static kv_status_t look_at(reader_t *reader, uint64_t offset, uint64_t *size,
                           const unsigned char **bytes)
{
    if (offset >= reader->size) {
        *size = 0;
        return KV_OK;
    }
    if (*size > reader->size - offset) {
        *size = reader->size - offset;
    }
    const uint64_t end = offset + *size;
    if (offset < reader->window_at || end > reader->window_at + reader->window_size) {
        const uint64_t first = offset & ~(uint64_t)(KVI_DIRECT_BYTES - 1);
        const uint64_t needed = (end - first + KVI_DIRECT_BYTES - 1) & ~(KVI_DIRECT_BYTES - 1);
        const kv_status_t status = move_window(reader, first, (size_t)needed);
        if (status != KV_OK) {
            return status;
        }
        if (end > reader->window_at + reader->window_size) {
            return KV_IO; /* the file has become shorter meanwhile */
        }
    }
    *bytes = reader->window + (offset - reader->window_at);
    return KV_OK;
}

static kv_status_t tell_progress(reader_t *reader, uint64_t at, bool always)
{
    const uint64_t read = reader->bytes_before + at;
    if (reader->visitor->progress == NULL || (!always && read < reader->told_at + PROGRESS_BYTES)) {
        return KV_OK;
    }
    reader->told_at = read;
    return reader->visitor->progress(reader->visitor->context, read, reader->bytes_all);
}

/* ---- frames ---- */

/* The frame at offset, if one verifies there whose LSN is least or above; else KV_NOT_FOUND. */
static kv_status_t look_for_frame(reader_t *reader, uint64_t offset, uint64_t least,
                                  kvi_frame_t *frame, const unsigned char **bytes)
{
    uint64_t size = KVI_FRAME_HEADER_BYTES;
    kv_status_t status = look_at(reader, offset, &size, bytes);
    if (status != KV_OK) {
        return status;
    }
    const uint64_t room = offset < reader->size ? reader->size - offset : 0;
    if (size < KVI_FRAME_HEADER_BYTES || !kvi_frame_decode(*bytes, room, frame) ||
        frame->lsn < least) {
        return KV_NOT_FOUND;
    }
    size = KVI_FRAME_HEADER_BYTES + frame->size;
    status = look_at(reader, offset, &size, bytes);
    if (status != KV_OK) {
        return status;
    }
    return kvi_frame_verify(*bytes, frame, reader->header.salt) ? KV_OK : KV_NOT_FOUND;
}

/* The first place from offset on where a frame can begin, as far as the window shows. What lies
 * behind the last frame, tens of megabytes, is looked through at every start, and mostly it is
 * zeros or what an earlier use left. Only what look_for_frame would refuse is passed over. */
static uint64_t skip_unlikely(const reader_t *reader, uint64_t offset)
{
    const uint64_t end = reader->window_at + reader->window_size;
    if (offset < reader->window_at) {
        return offset;
    }
    while (offset + KVI_FRAME_HEADER_BYTES <= end) {
        const unsigned char *const bytes = reader->window + (offset - reader->window_at);
        if (kvi_frame_lsn(bytes) >= reader->expected &&
            kvi_frame_payload(bytes) < reader->size - offset) {
            break;
        }
        offset += KVI_FRAME_ALIGNMENT;
    }
    return offset;
}

/* The first frame from *offset on that verifies and is not older than the expected one. */
static kv_status_t find_frame(reader_t *reader, uint64_t *offset, kvi_frame_t *frame)
{
    const unsigned char *bytes = NULL;
    for (; *offset + KVI_FRAME_HEADER_BYTES <= reader->size; *offset += KVI_FRAME_ALIGNMENT) {
        *offset = skip_unlikely(reader, *offset);
        const kv_status_t status = look_for_frame(reader, *offset, reader->expected, frame, &bytes);
        if (status != KV_NOT_FOUND) {
            return status;
        }
    }
    return KV_NOT_FOUND;
}

static void tell_lost(reader_t *reader, uint64_t last_lsn)
{
    if (reader->visitor->lost != NULL) {
        reader->visitor->lost(reader->visitor->context, reader->name, reader->at, reader->expected,
                              last_lsn);
    }
}

/* A frame that verifies but cannot be taken apart: only an error of ours writes one. */
static kv_status_t meet_nonsense(reader_t *reader, uint64_t last_lsn)
{
    if (reader->salvages) {
        tell_lost(reader, last_lsn);
        return KV_OK;
    }
    return refuse(reader, KV_CORRUPT, "the frame verifies, but its batches make no sense");
}

static kv_status_t visit_batch(reader_t *reader, uint64_t lsn, uint64_t term, kv_slice_t bytes)
{
    if (lsn <= reader->report->last_lsn || lsn > reader->limit) {
        return KV_OK;
    }
    if (reader->visitor->batch != NULL) {
        const kv_status_t status =
            reader->visitor->batch(reader->visitor->context, lsn, term, bytes);
        if (status != KV_OK) {
            note_place(reader);
            return status;
        }
    }
    reader->report->batches++;
    reader->report->last_lsn = lsn;
    return KV_OK;
}

static kv_status_t visit_batches(reader_t *reader, const kvi_frame_t *frame,
                                 const unsigned char *bytes)
{
    const char *at = (const char *)bytes + KVI_FRAME_HEADER_BYTES;
    const char *const end = at + frame->size;
    for (uint32_t i = 0; i < frame->count; i++) {
        const size_t left = (size_t)(end - at);
        const size_t size = left < KVI_FRAME_BATCH_BYTES ? left : kvi_bytes_load_le32(at);
        if (left < KVI_FRAME_BATCH_BYTES || size > left - KVI_FRAME_BATCH_BYTES) {
            return meet_nonsense(reader, frame->lsn + frame->count - 1);
        }
        at += KVI_FRAME_BATCH_BYTES;
        const kv_status_t status =
            visit_batch(reader, frame->lsn + i, frame->term, (kv_slice_t){at, size});
        if (status != KV_OK) {
            return status;
        }
        at += size;
    }
    return at == end ? KV_OK : meet_nonsense(reader, 0);
}

/* Reads on from at while frames verify and follow one another. */
static kv_status_t read_run(reader_t *reader)
{
    kvi_frame_t frame;
    const unsigned char *bytes = NULL;
    while (reader->expected <= reader->limit) {
        kv_status_t status = look_for_frame(reader, reader->at, reader->expected, &frame, &bytes);
        if (status == KV_NOT_FOUND || (status == KV_OK && frame.lsn != reader->expected)) {
            return KV_OK;
        }
        if (status != KV_OK) {
            return status;
        }
        if (frame.type != KVI_FRAME_BATCHES) {
            return refuse(reader, KV_NEWER, "this kind of frame is unknown");
        }
        status = visit_batches(reader, &frame, bytes);
        if (status != KV_OK) {
            return status;
        }
        reader->report->bytes += kvi_frame_bytes(frame.size);
        reader->at += kvi_frame_bytes(frame.size);
        reader->expected += frame.count;
        status = tell_progress(reader, reader->at, false);
        if (status != KV_OK) {
            return status;
        }
    }
    return KV_OK;
}

/* ---- the end of a segment ---- */

/* How much of the frame that was being written there is to be seen, if nothing follows it. */
static kv_status_t measure_torn(reader_t *reader, uint64_t *end)
{
    kvi_frame_t frame;
    const unsigned char *bytes = NULL;
    uint64_t size = KVI_FRAME_HEADER_BYTES;
    const kv_status_t status = look_at(reader, reader->at, &size, &bytes);
    if (status == KV_OK && size == KVI_FRAME_HEADER_BYTES &&
        kvi_frame_decode(bytes, reader->size - reader->at, &frame) &&
        frame.lsn == reader->expected) {
        *end = reader->at + kvi_frame_bytes(frame.size);
    }
    return status;
}

/* Decides whether the last segment ends here or is damaged here. */
static kv_status_t judge_tail(reader_t *reader)
{
    kvi_frame_t frame;
    uint64_t end = reader->at;
    uint64_t offset = reader->at;
    kv_status_t status;
    while ((status = find_frame(reader, &offset, &frame)) == KV_OK) {
        if (frame.durable >= reader->expected) {
            return refuse(reader, KV_CORRUPT,
                          "the frame is damaged, and a later one shows that it was safely stored");
        }
        offset += kvi_frame_bytes(frame.size);
        end = offset;
    }
    if (status == KV_NOT_FOUND) {
        status = end == reader->at ? measure_torn(reader, &end) : KV_OK;
    }
    reader->report->torn_bytes = end - reader->at;
    return status;
}

static kv_status_t read_strictly(reader_t *reader)
{
    const kv_status_t status = read_run(reader);
    if (status != KV_OK || reader->expected > reader->limit) {
        return status;
    }
    if (reader->is_last) {
        return judge_tail(reader);
    }
    return refuse(reader, KV_CORRUPT,
                  reader->is_next ? "the frame is damaged in a segment that was complete"
                                  : "the log ends here, and the next segment begins later");
}

/* Goes on behind every damaged place. */
static kv_status_t read_all_that_verifies(reader_t *reader)
{
    kvi_frame_t frame;
    for (;;) {
        kv_status_t status = read_run(reader);
        if (status != KV_OK || reader->expected > reader->limit) {
            return status;
        }
        uint64_t offset = reader->at;
        status = find_frame(reader, &offset, &frame);
        if (status == KV_NOT_FOUND) {
            if (!reader->is_last) {
                tell_lost(reader, reader->limit);
            }
            return KV_OK;
        }
        if (status != KV_OK) {
            return status;
        }
        tell_lost(reader, frame.lsn - 1);
        reader->at = offset;
        reader->expected = frame.lsn;
    }
}

/* ---- segments ---- */

static kv_status_t open_segment(reader_t *reader)
{
    const kvi_files_ops_t *const ops = reader->files->ops;
    kv_status_t status =
        ops->open(reader->files, reader->name, KVI_OPEN_READ | KVI_OPEN_DIRECT, &reader->file);
    if (status == KV_UNSUPPORTED) {
        status = ops->open(reader->files, reader->name, KVI_OPEN_READ, &reader->file);
        if (status == KV_OK) {
            ops->drop_cache(reader->file);
        }
    }
    return status == KV_OK ? ops->size(reader->file, &reader->size) : status;
}

static kv_status_t read_header(reader_t *reader, kvi_wal_name_t name)
{
    const unsigned char *bytes = NULL;
    uint64_t size = KVI_SEGMENT_HEADER_BYTES;
    kv_status_t status = look_at(reader, 0, &size, &bytes);
    if (status != KV_OK) {
        return status;
    }
    if (size < KVI_SEGMENT_HEADER_BYTES) {
        return refuse(reader, KV_CORRUPT, "the file ends in its header");
    }
    status = kvi_segment_header_decode(bytes, &reader->header);
    if (status == KV_NEWER) {
        return refuse(reader, status, "a newer version wrote it");
    }
    if (status != KV_OK) {
        return refuse(reader, status, "its header is damaged");
    }
    if (reader->header.sequence != name.sequence || reader->header.first_lsn != name.first_lsn) {
        return refuse(reader, KV_CORRUPT, "its header belongs to another segment");
    }
    return KV_OK;
}

static kv_status_t read_open_segment(reader_t *reader, kvi_wal_name_t name)
{
    const kv_status_t status = read_header(reader, name);
    if (status == KV_CORRUPT && reader->salvages) {
        /* Without its salt nothing in it can be verified. */
        tell_lost(reader, reader->is_last ? 0 : reader->limit);
        return KV_OK;
    }
    if (status != KV_OK) {
        return status;
    }
    if (reader->header.bytes != reader->size && !reader->salvages) {
        return refuse(reader, KV_CORRUPT, "the file has not the size that its header names");
    }
    reader->at = KVI_SEGMENT_HEADER_BYTES;
    return reader->salvages ? read_all_that_verifies(reader) : read_strictly(reader);
}

/* next is NULL for the last segment. */
static kv_status_t read_segment(reader_t *reader, kvi_wal_name_t name, const kvi_wal_name_t *next)
{
    kvi_wal_name_print(name, reader->name);
    reader->is_last = next == NULL;
    reader->is_next = next != NULL && next->sequence == name.sequence + 1;
    reader->limit = next != NULL ? next->first_lsn - 1 : UINT64_MAX - 1;
    reader->expected = name.first_lsn;
    reader->at = 0;
    reader->size = 0;
    reader->window_size = 0;
    kv_status_t status = open_segment(reader);
    if (status == KV_OK) {
        status = read_open_segment(reader, name);
    }
    forget_ahead(reader);
    reader->files->ops->close(reader->file);
    reader->file = NULL;
    if (status == KV_OK) {
        note_place(reader);
        reader->report->segments++;
        reader->bytes_before += reader->size;
        status = tell_progress(reader, 0, reader->is_last);
    }
    return status;
}

static kv_status_t sum_sizes(kvi_files_t *files, const kvi_wal_name_t *names, size_t count,
                             uint64_t *sum)
{
    kv_status_t status = KV_OK;
    for (size_t i = 0; status == KV_OK && i < count; i++) {
        kvi_file_t *file = NULL;
        uint64_t size = 0;
        char name[KVI_FILE_NAME_BYTES];
        kvi_wal_name_print(names[i], name);
        status = files->ops->open(files, name, KVI_OPEN_READ, &file);
        if (status == KV_OK) {
            status = files->ops->size(file, &size);
            files->ops->close(file);
        }
        *sum += size;
    }
    return status;
}

static kv_status_t read_names(reader_t *reader, const kvi_wal_name_t *names, size_t count)
{
    size_t first = count;
    while (first > 0 && names[first - 1].first_lsn > reader->after + 1) {
        first--;
    }
    if (first == 0) {
        kvi_wal_name_print(names[0], reader->name);
        reader->expected = reader->after + 1;
        if (!reader->salvages) {
            return refuse(reader, KV_CORRUPT, "the log begins too late, segments are missing");
        }
        tell_lost(reader, names[0].first_lsn - 1);
    } else {
        first--;
    }
    kv_status_t status = KV_OK;
    if (reader->visitor->progress != NULL) {
        status = sum_sizes(reader->files, names + first, count - first, &reader->bytes_all);
    }
    for (size_t i = first; status == KV_OK && i < count; i++) {
        status = read_segment(reader, names[i], i + 1 < count ? &names[i + 1] : NULL);
    }
    return status;
}

static kv_status_t read_log(reader_t *reader)
{
    kvi_wal_name_t *names = NULL;
    size_t count = 0;
    kv_status_t status = kvi_wal_list(reader->files, &names, &count);
    if (status == KV_OK && count > 0) {
        reader->report->next_sequence = names[count - 1].sequence + 1;
        status = read_names(reader, names, count);
    }
    kv_store_free(names);
    kvi_read_ahead_close(reader->ahead);
    free_rooms(reader);
    return status;
}

static kv_status_t start_reader(kvi_files_t *files, uint64_t after_lsn,
                                const kvi_wal_visitor_t *visitor, kvi_wal_report_t *report,
                                bool salvages)
{
    reader_t reader = {
        .files = files,
        .visitor = visitor,
        .report = report,
        .after = after_lsn,
        .salvages = salvages,
    };
    *report = (kvi_wal_report_t){.last_lsn = after_lsn, .next_sequence = 1};
    const kv_status_t status = read_log(&reader);
    if (status == KV_OK) {
        report->reason[0] = '\0';
    }
    return status;
}

kv_status_t kvi_wal_read(kvi_files_t *files, uint64_t after_lsn, const kvi_wal_visitor_t *visitor,
                         kvi_wal_report_t *report)
{
    return start_reader(files, after_lsn, visitor, report, false);
}

kv_status_t kvi_wal_salvage(kvi_files_t *files, uint64_t after_lsn,
                            const kvi_wal_visitor_t *visitor, kvi_wal_report_t *report)
{
    return start_reader(files, after_lsn, visitor, report, true);
}

/* ---- counts ---- */

static void read_key_counts(reader_t *reader, kvi_wal_name_t name, kvi_key_counts_t *counts)
{
    size_t got = 0;
    kvi_wal_name_print(name, reader->name);
    if (open_segment(reader) == KV_OK && grow_window(reader, KVI_SEGMENT_HEADER_BYTES) &&
        reader->files->ops->read_at(reader->file, 0, reader->rooms[0], KVI_SEGMENT_HEADER_BYTES,
                                    &got) == KV_OK &&
        got == KVI_SEGMENT_HEADER_BYTES &&
        kvi_segment_header_decode(reader->rooms[0], &reader->header) == KV_OK) {
        kvi_segment_counts_decode(reader->rooms[0], counts);
    }
    reader->files->ops->close(reader->file);
    free_rooms(reader);
}

void kvi_wal_key_counts(kvi_files_t *files, kvi_key_counts_t *counts, uint64_t *log_bytes)
{
    reader_t reader = {.files = files};
    kvi_wal_name_t *names = NULL;
    size_t count = 0;
    counts->count = 0;
    *log_bytes = 0;
    if (kvi_wal_list(files, &names, &count) == KV_OK && count > 0 &&
        sum_sizes(files, names, count, log_bytes) == KV_OK) {
        read_key_counts(&reader, names[count - 1], counts);
    }
    kv_store_free(names);
}
