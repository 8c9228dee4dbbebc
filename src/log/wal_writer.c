/* SPDX-License-Identifier: MIT */
#include "log/wal_writer.h"

#include "base/bytes.h"
#include "os/os.h"

#include <concordkv/kv_memory.h>

#include <stdio.h>
#include <string.h>

/* The first segment of a process; each new one is twice the last until the largest size. */
#define FIRST_SEGMENT_BYTES ((uint64_t)4 << 20)
#define BLOCK ((size_t)KVI_DIRECT_BYTES)

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);
}

static const unsigned char *zeros(const kvi_wal_writer_t *writer)
{
    return writer->stage + KVI_WAL_STAGE_BYTES;
}

static void print_spare(uint64_t number, const char *ending, char text[KVI_FILE_NAME_BYTES])
{
    (void)snprintf(text, KVI_FILE_NAME_BYTES, "spare-%llu.%s", (unsigned long long)number, ending);
}

static uint64_t segment_bytes_for(uint64_t payload)
{
    return round_up(KVI_SEGMENT_HEADER_BYTES + kvi_frame_bytes(payload));
}

/* ---- the current segment ---- */

uint64_t kvi_wal_writer_room(const kvi_wal_writer_t *writer)
{
    const uint64_t bytes = writer->segment.bytes - writer->at;
    return bytes > KVI_FRAME_HEADER_BYTES ? bytes - KVI_FRAME_HEADER_BYTES : 0;
}

static kv_status_t write_stage(kvi_wal_writer_t *writer, size_t size)
{
    return writer->files->ops->write_at(writer->file, writer->stage_at, writer->stage, size);
}

/* Copies bytes of a frame into the stage and writes it when it is full. */
static kv_status_t put(kvi_wal_writer_t *writer, const void *bytes, size_t size)
{
    const char *next = bytes;
    while (size > 0) {
        const size_t room = KVI_WAL_STAGE_BYTES - writer->staged;
        const size_t now = size < room ? size : room;
        memcpy(writer->stage + writer->staged, next, now);
        writer->staged += now;
        next += now;
        size -= now;
        if (writer->staged == KVI_WAL_STAGE_BYTES) {
            const kv_status_t status = write_stage(writer, KVI_WAL_STAGE_BYTES);
            if (status != KV_OK) {
                return status;
            }
            writer->stage_at += KVI_WAL_STAGE_BYTES;
            writer->staged = 0;
        }
    }
    return KV_OK;
}

/* Writes what is staged, whole blocks, and keeps the last one: the next frame begins in it. */
static kv_status_t put_end(kvi_wal_writer_t *writer)
{
    static const unsigned char padding[KVI_FRAME_ALIGNMENT];
    const size_t over = writer->staged % KVI_FRAME_ALIGNMENT;
    kv_status_t status = put(writer, padding, over > 0 ? KVI_FRAME_ALIGNMENT - over : 0);
    if (status != KV_OK || writer->staged == 0) {
        return status;
    }
    const size_t whole = (size_t)round_up(writer->staged);
    memset(writer->stage + writer->staged, 0, whole - writer->staged);
    status = write_stage(writer, whole);
    if (status != KV_OK) {
        return status;
    }
    const size_t kept = writer->staged % BLOCK;
    memmove(writer->stage, writer->stage + writer->staged - kept, kept);
    writer->stage_at += writer->staged - kept;
    writer->staged = kept;
    return KV_OK;
}

static void store_length(const kvi_wal_item_t *item, unsigned char bytes[KVI_FRAME_BATCH_BYTES])
{
    kvi_bytes_store_le32(bytes, (uint32_t)item->bytes.size);
}

static kv_status_t put_batches(kvi_wal_writer_t *writer, const kvi_wal_item_t *item, uint32_t count)
{
    unsigned char length[KVI_FRAME_BATCH_BYTES];
    for (; count > 0; count--, item = item->next) {
        store_length(item, length);
        kv_status_t status = put(writer, length, sizeof length);
        if (status == KV_OK) {
            status = put(writer, item->bytes.data, item->bytes.size);
        }
        if (status != KV_OK) {
            return status;
        }
    }
    return KV_OK;
}

kv_status_t kvi_wal_writer_append(kvi_wal_writer_t *writer, const kvi_wal_item_t *first,
                                  uint32_t count, uint64_t payload)
{
    unsigned char bytes[KVI_FRAME_HEADER_BYTES];
    kvi_frame_t frame = {.size = (uint32_t)payload,
                         .lsn = writer->next_lsn,
                         .durable = writer->durable_lsn,
                         .term = writer->term,
                         .type = KVI_FRAME_BATCHES,
                         .count = count};
    kvi_frame_start(&frame, writer->segment.salt);
    const kvi_wal_item_t *item = first;
    for (uint32_t i = 0; i < count; i++, item = item->next) {
        store_length(item, bytes);
        kvi_frame_add(&frame, bytes, KVI_FRAME_BATCH_BYTES);
        kvi_frame_add(&frame, item->bytes.data, item->bytes.size);
    }
    kvi_frame_encode(&frame, bytes);
    kv_status_t status = put(writer, bytes, sizeof bytes);
    if (status == KV_OK) {
        status = put_batches(writer, first, count);
    }
    if (status == KV_OK) {
        status = put_end(writer);
    }
    if (status != KV_OK) {
        return status;
    }
    writer->at += kvi_frame_bytes(payload);
    writer->next_lsn += count;
    writer->written_lsn = writer->next_lsn - 1;
    writer->unsynced = !writer->direct;
    if (!writer->unsynced) {
        writer->durable_lsn = writer->written_lsn;
    }
    return KV_OK;
}

kv_status_t kvi_wal_writer_sync(kvi_wal_writer_t *writer)
{
    if (writer->unsynced) {
        const kv_status_t status = writer->files->ops->sync(writer->file);
        if (status != KV_OK) {
            return status;
        }
        writer->unsynced = false;
    }
    writer->durable_lsn = writer->written_lsn;
    return KV_OK;
}

/* Opens for writing, direct if that is wanted and possible; *direct says what came of it. */
static kv_status_t open_for_write(kvi_wal_writer_t *writer, const char *name, unsigned flags,
                                  bool *direct, kvi_file_t **file)
{
    const kvi_files_ops_t *const ops = writer->files->ops;
    flags |= KVI_OPEN_WRITE;
    if (*direct && !writer->buffered) {
        const kv_status_t status =
            ops->open(writer->files, name, flags | (unsigned)KVI_OPEN_DIRECT, file);
        if (status != KV_UNSUPPORTED) {
            return status;
        }
        writer->buffered = true;
    }
    *direct = false;
    return ops->open(writer->files, name, flags, file);
}

kv_status_t kvi_wal_writer_set_direct(kvi_wal_writer_t *writer, bool direct)
{
    char name[KVI_FILE_NAME_BYTES];
    kvi_file_t *file = NULL;
    if (direct == writer->direct || (direct && writer->buffered)) {
        return KV_OK;
    }
    kv_status_t status = kvi_wal_writer_sync(writer);
    if (status != KV_OK) {
        return status;
    }
    kvi_wal_name_print(writer->segments[writer->segment_count - 1].name, name);
    status = open_for_write(writer, name, 0, &direct, &file);
    if (status == KV_OK) {
        writer->files->ops->close(writer->file);
        writer->file = file;
        writer->direct = direct;
    }
    return status;
}

/* ---- spares ---- */

uint64_t kvi_wal_writer_spare_room(const kvi_wal_writer_t *writer)
{
    uint64_t bytes = KVI_SEGMENT_HEADER_BYTES + KVI_FRAME_HEADER_BYTES;
    for (unsigned i = 0; i < writer->spare_count; i++) {
        if (writer->spares[i].bytes > bytes) {
            bytes = writer->spares[i].bytes;
        }
    }
    return bytes - KVI_SEGMENT_HEADER_BYTES - KVI_FRAME_HEADER_BYTES;
}

bool kvi_wal_writer_lacks_spare(const kvi_wal_writer_t *writer, uint64_t payload)
{
    for (unsigned i = 0; i < writer->spare_count; i++) {
        if (writer->spares[i].bytes >= segment_bytes_for(payload)) {
            return false;
        }
    }
    return true;
}

/* What a new segment should have. Those who open the log wait for the first one. */
static uint64_t usual_bytes(const kvi_wal_writer_t *writer)
{
    const uint64_t max = writer->segment_bytes_max;
    uint64_t bytes = FIRST_SEGMENT_BYTES;
    if (writer->file != NULL) {
        bytes = writer->segments[writer->segment_count - 1].bytes * 2;
    }
    return bytes < max ? bytes : max;
}

static kv_status_t begin_fill(kvi_wal_writer_t *writer, uint64_t payload)
{
    char name[KVI_FILE_NAME_BYTES];
    const uint64_t needed = segment_bytes_for(payload);
    const uint64_t usual = usual_bytes(writer);
    writer->fill = (kvi_wal_spare_t){writer->spare_number++, needed > usual ? needed : usual};
    writer->filled = 0;
    writer->filling_direct = true;
    print_spare(writer->fill.number, "fill", name);
    return open_for_write(writer, name, KVI_OPEN_CREATE, &writer->filling_direct, &writer->filling);
}

static void give_up_fill(kvi_wal_writer_t *writer)
{
    char name[KVI_FILE_NAME_BYTES];
    writer->files->ops->close(writer->filling);
    writer->filling = NULL;
    print_spare(writer->fill.number, "fill", name);
    (void)writer->files->ops->remove(writer->files, name);
}

/* A file system that opens files for direct writes need not take them. */
static kv_status_t reopen_fill(kvi_wal_writer_t *writer)
{
    char name[KVI_FILE_NAME_BYTES];
    print_spare(writer->fill.number, "fill", name);
    writer->files->ops->close(writer->filling);
    writer->filling = NULL;
    writer->buffered = true;
    return open_for_write(writer, name, 0, &writer->filling_direct, &writer->filling);
}

static kv_status_t fill_piece(kvi_wal_writer_t *writer)
{
    const kvi_files_ops_t *const ops = writer->files->ops;
    const uint64_t left = writer->fill.bytes - writer->filled;
    const size_t size = left < KVI_WAL_STAGE_BYTES / 4 ? (size_t)left : KVI_WAL_STAGE_BYTES / 4;
    kv_status_t status = ops->write_at(writer->filling, writer->filled, zeros(writer), size);
    if (status == KV_UNSUPPORTED && writer->filling_direct) {
        status = reopen_fill(writer);
        if (status == KV_OK) {
            status = ops->write_at(writer->filling, writer->filled, zeros(writer), size);
        }
    }
    if (status == KV_OK && !writer->filling_direct) {
        status = ops->sync(writer->filling);
    }
    if (status == KV_OK) {
        writer->filled += size;
    }
    return status;
}

static kv_status_t end_fill(kvi_wal_writer_t *writer)
{
    char name[KVI_FILE_NAME_BYTES];
    char new_name[KVI_FILE_NAME_BYTES];
    writer->files->ops->close(writer->filling);
    writer->filling = NULL;
    print_spare(writer->fill.number, "fill", name);
    print_spare(writer->fill.number, "free", new_name);
    const kv_status_t status = writer->files->ops->rename(writer->files, name, new_name);
    if (status == KV_OK) {
        if (writer->spare_count == KVI_WAL_SPARES_MAX) {
            /* All of them are too small for what is asked; one makes room. */
            print_spare(writer->spares[--writer->spare_count].number, "free", name);
            (void)writer->files->ops->remove(writer->files, name);
        }
        writer->spares[writer->spare_count++] = writer->fill;
    }
    return status;
}

kv_status_t kvi_wal_writer_prepare(kvi_wal_writer_t *writer, uint64_t payload, uint64_t bytes)
{
    kv_status_t status = KV_OK;
    if (writer->filling != NULL && writer->fill.bytes < segment_bytes_for(payload)) {
        writer->fill.bytes = segment_bytes_for(payload);
    }
    if (writer->filling == NULL) {
        status = begin_fill(writer, payload);
    }
    const uint64_t goal = writer->filled + bytes;
    while (status == KV_OK && writer->filled < writer->fill.bytes && writer->filled < goal) {
        status = fill_piece(writer);
    }
    if (status == KV_OK && writer->filled == writer->fill.bytes) {
        status = end_fill(writer);
    }
    if (status == KV_DISK_FULL && writer->filling != NULL) {
        give_up_fill(writer);
    }
    return status;
}

/* ---- rotation ---- */

static bool reserve_segment(kvi_wal_writer_t *writer)
{
    if (writer->segment_count < writer->segment_capacity) {
        return true;
    }
    const size_t capacity = writer->segment_capacity == 0 ? 16 : writer->segment_capacity * 2;
    kvi_wal_segment_t *const larger = kv_store_realloc(writer->segments, capacity * sizeof *larger);
    if (larger == NULL) {
        return false;
    }
    writer->segments = larger;
    writer->segment_capacity = capacity;
    return true;
}

static kvi_wal_spare_t take_spare(kvi_wal_writer_t *writer, uint64_t payload)
{
    unsigned i = 0;
    while (writer->spares[i].bytes < segment_bytes_for(payload)) {
        i++;
    }
    const kvi_wal_spare_t spare = writer->spares[i];
    writer->spares[i] = writer->spares[--writer->spare_count];
    return spare;
}

/* Writes the new segment's header into the spare and makes it durable. The stage is not needed by
 * the old segment any more. */
static kv_status_t write_header(kvi_wal_writer_t *writer, const kvi_segment_header_t *header,
                                kvi_file_t *file, bool direct)
{
    kvi_segment_header_encode(header, &writer->key_counts, writer->stage);
    writer->staged = 0;
    kv_status_t status =
        writer->files->ops->write_at(file, 0, writer->stage, KVI_SEGMENT_HEADER_BYTES);
    if (status == KV_OK && !direct) {
        status = writer->files->ops->sync(file);
    }
    return status;
}

/* Gives the spare its new header, then its new name, and each is durable before the next step. */
static kv_status_t become_segment(kvi_wal_writer_t *writer, kvi_wal_spare_t spare,
                                  const kvi_segment_header_t *header, bool *direct,
                                  kvi_file_t **file)
{
    const kvi_files_ops_t *const ops = writer->files->ops;
    char name[KVI_FILE_NAME_BYTES];
    char new_name[KVI_FILE_NAME_BYTES];
    print_spare(spare.number, "free", name);
    kvi_wal_name_print((kvi_wal_name_t){header->sequence, header->first_lsn}, new_name);
    kv_status_t status = open_for_write(writer, name, 0, direct, file);
    if (status == KV_OK) {
        status = write_header(writer, header, *file, *direct);
    }
    if (status == KV_OK) {
        status = ops->rename(writer->files, name, new_name);
    }
    if (status == KV_OK) {
        status = ops->sync_directory(writer->files);
    }
    return status;
}

static void enter_segment(kvi_wal_writer_t *writer, const kvi_segment_header_t *header,
                          kvi_file_t *file, bool direct)
{
    writer->files->ops->close(writer->file);
    if (writer->file != NULL) {
        writer->sealed_bytes += writer->segment.bytes;
    }
    writer->file = file;
    writer->direct = direct;
    writer->segment = *header;
    writer->at = KVI_SEGMENT_HEADER_BYTES;
    writer->stage_at = KVI_SEGMENT_HEADER_BYTES;
    writer->staged = 0;
    writer->segments[writer->segment_count++] = (kvi_wal_segment_t){
        .name = {header->sequence, header->first_lsn},
        .bytes = header->bytes,
    };
}

static kv_status_t rotate_to(kvi_wal_writer_t *writer, uint64_t payload, bool direct)
{
    kv_status_t status = KV_OK;
    while (status == KV_OK && kvi_wal_writer_lacks_spare(writer, payload)) {
        status = kvi_wal_writer_prepare(writer, payload, UINT64_MAX / 2);
    }
    if (status != KV_OK) {
        return status;
    }
    if (!reserve_segment(writer)) {
        return KV_NO_MEMORY;
    }
    const kvi_wal_spare_t spare = take_spare(writer, payload);
    const kvi_segment_header_t header = {
        .sequence = writer->segment.sequence + 1,
        .first_lsn = writer->next_lsn,
        .bytes = spare.bytes,
        .salt = (uint32_t)kvi_random_next(&writer->salts),
    };
    kvi_file_t *file = NULL;
    status = become_segment(writer, spare, &header, &direct, &file);
    if (status != KV_OK) {
        writer->files->ops->close(file);
        return status;
    }
    enter_segment(writer, &header, file, direct);
    return KV_OK;
}

kv_status_t kvi_wal_writer_rotate(kvi_wal_writer_t *writer, uint64_t payload)
{
    /* Whoever reads the next segment may rely on all of this one. */
    const kv_status_t status = kvi_wal_writer_sync(writer);
    return status == KV_OK ? rotate_to(writer, payload, writer->direct) : status;
}

/* ---- old segments ---- */

static kv_status_t recycle(kvi_wal_writer_t *writer, const kvi_wal_segment_t *segment)
{
    char name[KVI_FILE_NAME_BYTES];
    char new_name[KVI_FILE_NAME_BYTES];
    const kvi_wal_spare_t spare = {writer->spare_number++, segment->bytes};
    kvi_wal_name_print(segment->name, name);
    print_spare(spare.number, "free", new_name);
    kv_status_t status = writer->files->ops->rename(writer->files, name, new_name);
    if (status == KV_OK) {
        /* Before the header changes: else the old name might come back with a foreign header. */
        status = writer->files->ops->sync_directory(writer->files);
    }
    if (status == KV_OK) {
        writer->spares[writer->spare_count++] = spare;
    }
    return status;
}

static kv_status_t remove_segment(kvi_wal_writer_t *writer, const kvi_wal_segment_t *segment)
{
    char name[KVI_FILE_NAME_BYTES];
    kvi_wal_name_print(segment->name, name);
    return writer->files->ops->remove(writer->files, name);
}

kv_status_t kvi_wal_writer_drop_oldest(kvi_wal_writer_t *writer, uint64_t lsn, bool *done)
{
    *done = false;
    /* The next one's first LSN says where the oldest ends. */
    if (writer->segment_count < 2 || writer->segments[1].name.first_lsn > lsn + 1) {
        return KV_OK;
    }
    const kvi_wal_segment_t oldest = writer->segments[0];
    const bool recycles = writer->recycles && writer->spare_count < writer->spares_kept &&
                          oldest.bytes >= writer->segment.bytes &&
                          oldest.bytes <= writer->segment_bytes_max;
    const kv_status_t status =
        recycles ? recycle(writer, &oldest) : remove_segment(writer, &oldest);
    if (status == KV_OK) {
        writer->segment_count--;
        memmove(writer->segments, writer->segments + 1,
                writer->segment_count * sizeof *writer->segments);
        writer->sealed_bytes -= oldest.bytes;
        *done = true;
    }
    return status;
}

uint64_t kvi_wal_writer_log_bytes(const kvi_wal_writer_t *writer)
{
    return writer->sealed_bytes + writer->at;
}

/* ---- opening and closing ---- */

typedef struct found_spares {
    uint64_t fills[KVI_WAL_SPARES_MAX];
    unsigned fill_count;
    uint64_t frees[KVI_WAL_SPARES_MAX];
    unsigned free_count;
    uint64_t highest;
    bool more; /* than fit here */
} found_spares_t;

static void find_spare(void *context, const char *name)
{
    found_spares_t *const found = context;
    char expected[KVI_FILE_NAME_BYTES];
    unsigned long long number = 0;
    if (sscanf(name, "spare-%llu.", &number) != 1) {
        return;
    }
    if (number > found->highest) {
        found->highest = number;
    }
    print_spare(number, "fill", expected);
    const bool fills = strcmp(name, expected) == 0;
    print_spare(number, "free", expected);
    if (!fills && strcmp(name, expected) != 0) {
        return;
    }
    unsigned *const count = fills ? &found->fill_count : &found->free_count;
    if (*count == KVI_WAL_SPARES_MAX) {
        found->more = true;
        return;
    }
    (fills ? found->fills : found->frees)[(*count)++] = number;
}

static kv_status_t size_of(kvi_files_t *files, const char *name, uint64_t *bytes)
{
    kvi_file_t *file = NULL;
    kv_status_t status = files->ops->open(files, name, KVI_OPEN_READ, &file);
    if (status == KV_OK) {
        status = files->ops->size(file, bytes);
        files->ops->close(file);
    }
    return status;
}

/* Spares of an earlier process are used again, what it did not finish is removed. */
static kv_status_t adopt_spare(kvi_wal_writer_t *writer, uint64_t number)
{
    char name[KVI_FILE_NAME_BYTES];
    uint64_t bytes = 0;
    print_spare(number, "free", name);
    const kv_status_t status = size_of(writer->files, name, &bytes);
    if (status != KV_OK) {
        return status;
    }
    if (bytes < 2 * BLOCK || bytes % BLOCK != 0 || writer->spare_count >= writer->spares_kept) {
        return writer->files->ops->remove(writer->files, name);
    }
    writer->spares[writer->spare_count++] = (kvi_wal_spare_t){number, bytes};
    return KV_OK;
}

static kv_status_t tidy_spares_once(kvi_wal_writer_t *writer, bool *more)
{
    char name[KVI_FILE_NAME_BYTES];
    found_spares_t found = {0};
    writer->spare_count = 0;
    kv_status_t status = writer->files->ops->list(writer->files, find_spare, &found);
    for (unsigned i = 0; status == KV_OK && i < found.fill_count; i++) {
        print_spare(found.fills[i], "fill", name);
        status = writer->files->ops->remove(writer->files, name);
    }
    for (unsigned i = 0; status == KV_OK && i < found.free_count; i++) {
        status = adopt_spare(writer, found.frees[i]);
    }
    writer->spare_number = found.highest + 1;
    *more = found.more;
    return status;
}

static kv_status_t tidy_spares(kvi_wal_writer_t *writer)
{
    bool more = true;
    kv_status_t status = KV_OK;
    while (status == KV_OK && more) {
        status = tidy_spares_once(writer, &more);
    }
    return status;
}

static kv_status_t list_segments(kvi_wal_writer_t *writer)
{
    kvi_wal_name_t *names = NULL;
    size_t count = 0;
    kv_status_t status = kvi_wal_list(writer->files, &names, &count);
    for (size_t i = 0; status == KV_OK && i < count; i++) {
        char name[KVI_FILE_NAME_BYTES];
        uint64_t bytes = 0;
        kvi_wal_name_print(names[i], name);
        status = size_of(writer->files, name, &bytes);
        if (status == KV_OK && !reserve_segment(writer)) {
            status = KV_NO_MEMORY;
        }
        if (status == KV_OK) {
            writer->segments[writer->segment_count++] = (kvi_wal_segment_t){names[i], bytes};
            writer->sealed_bytes += bytes;
        }
    }
    kv_store_free(names);
    return status;
}

/* An earlier process may have been killed before it synced what has just been read back from its
 * last segment. Nobody may rely on the next segment before that has been made good. */
static kv_status_t seal_last(kvi_wal_writer_t *writer)
{
    char name[KVI_FILE_NAME_BYTES];
    kvi_file_t *file = NULL;
    if (writer->segment_count == 0) {
        return KV_OK;
    }
    kvi_wal_name_print(writer->segments[writer->segment_count - 1].name, name);
    kv_status_t status = writer->files->ops->open(writer->files, name, KVI_OPEN_WRITE, &file);
    if (status == KV_OK) {
        status = writer->files->ops->sync(file);
        writer->files->ops->close(file);
    }
    return status;
}

static bool make_stage(kvi_wal_writer_t *writer)
{
    /* The zeros are never written to, so they cost no memory. */
    writer->stage = kvi_os_reserve(2 * KVI_WAL_STAGE_BYTES, BLOCK);
    return writer->stage != NULL && kvi_os_commit(writer->stage, 2 * KVI_WAL_STAGE_BYTES);
}

static bool seed_salts(kvi_wal_writer_t *writer, uint64_t seed)
{
    writer->salts.counter = seed;
    return seed != 0 || kvi_os_random(&writer->salts.counter, sizeof writer->salts.counter);
}

static void set_options(kvi_wal_writer_t *writer, const kvi_wal_options_t *options)
{
    const uint64_t wanted =
        options->segment_bytes != 0 ? options->segment_bytes : KVI_WAL_SEGMENT_BYTES;
    const unsigned spares = options->spares != 0 ? options->spares : 2;
    *writer = (kvi_wal_writer_t){
        .files = options->files,
        .segment_bytes_max = round_up(wanted > 2 * BLOCK ? wanted : 2 * BLOCK),
        .term = options->term,
        .spares_kept = spares < KVI_WAL_SPARES_MAX ? spares : KVI_WAL_SPARES_MAX,
        .recycles = !options->no_recycling,
        .buffered = options->buffered,
        .next_lsn = options->next_lsn != 0 ? options->next_lsn : 1,
        .segment.sequence = options->next_sequence != 0 ? options->next_sequence - 1 : 0,
    };
    writer->written_lsn = writer->durable_lsn = writer->next_lsn - 1;
}

kv_status_t kvi_wal_writer_open(kvi_wal_writer_t *writer, const kvi_wal_options_t *options,
                                const kvi_key_counts_t *counts, bool direct)
{
    set_options(writer, options);
    writer->key_counts = *counts;
    kv_status_t status = KV_NO_MEMORY;
    if (make_stage(writer) && seed_salts(writer, options->salt_seed)) {
        status = list_segments(writer);
    }
    if (status == KV_OK) {
        status = seal_last(writer);
    }
    if (status == KV_OK) {
        status = tidy_spares(writer);
    }
    if (status == KV_OK && writer->segment_count > 0 &&
        writer->segments[writer->segment_count - 1].name.sequence > writer->segment.sequence) {
        status = KV_INVALID;
    }
    if (status == KV_OK) {
        status = rotate_to(writer, 0, direct);
    }
    if (status != KV_OK) {
        kvi_wal_writer_close(writer);
    }
    return status;
}

void kvi_wal_writer_close(kvi_wal_writer_t *writer)
{
    writer->files->ops->close(writer->file);
    writer->files->ops->close(writer->filling);
    kv_store_free(writer->segments);
    if (writer->stage != NULL) {
        kvi_os_release(writer->stage, 2 * KVI_WAL_STAGE_BYTES);
    }
    writer->file = NULL;
    writer->filling = NULL;
    writer->segments = NULL;
    writer->stage = NULL;
}

kv_status_t kvi_wal_writer_check(const kvi_wal_writer_t *writer)
{
    const bool places = writer->at >= KVI_SEGMENT_HEADER_BYTES &&
                        writer->at <= writer->segment.bytes &&
                        writer->at % KVI_FRAME_ALIGNMENT == 0 && writer->stage_at % BLOCK == 0 &&
                        writer->staged < BLOCK && writer->stage_at + writer->staged == writer->at;
    const bool numbers = writer->written_lsn == writer->next_lsn - 1 &&
                         writer->durable_lsn <= writer->written_lsn &&
                         (writer->unsynced || writer->durable_lsn == writer->written_lsn);
    uint64_t sealed = 0;
    bool rising = writer->segment_count > 0;
    for (size_t i = 1; i < writer->segment_count; i++) {
        rising =
            rising && writer->segments[i].name.sequence > writer->segments[i - 1].name.sequence;
        sealed += writer->segments[i - 1].bytes;
    }
    return places && numbers && rising && sealed == writer->sealed_bytes ? KV_OK : KV_CORRUPT;
}
