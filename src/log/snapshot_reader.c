/* SPDX-License-Identifier: MIT */
/*
 * A snapshot file being read: chunk by chunk, each handed out only after it has verified.
 * snapshot_file.h has the bytes. Nothing in a file is believed before its checksum was right, and
 * no number in it is used before it was compared with the size of the file.
 */
#include "log/snapshot_file.h"

#include <stdio.h>

#include <concordkv/kv_memory.h>

#include "log/compress.h"
#include "log/snapshot_int.h"

#define SEARCH_BYTES ((size_t)1 << 20)

struct kvi_snapshot_reader {
    kvi_files_t *files;
    kvi_file_t *file;
    kvi_snapshot_head_t head;
    kvi_snapshot_totals_t totals;
    uint64_t size; /* of the file */
    uint64_t at;   /* of the next chunk */
    uint64_t digest;
    bool damaged; /* something was skipped: totals and digest say nothing */
    char *bytes;  /* header and payload of the present chunk */
    size_t capacity;
    char *unpacked;
    size_t unpacked_capacity;
};

static kv_status_t find_fault(kvi_snapshot_fault_t *fault, uint64_t offset, const char *reason)
{
    fault->offset = offset;
    (void)snprintf(fault->reason, sizeof(fault->reason), "%s", reason);
    return KV_CORRUPT;
}

/* Exactly size bytes, which the file is known to have. */
static kv_status_t read_exactly(kvi_snapshot_reader_t *reader, uint64_t offset, char *bytes,
                                size_t size)
{
    size_t got = 0;
    const kv_status_t status = reader->files->ops->read_at(reader->file, offset, bytes, size, &got);
    return status == KV_OK && got != size ? KV_IO : status;
}

static bool make_room(char **bytes, size_t *capacity, size_t size)
{
    if (*capacity >= size) {
        return true;
    }
    kv_store_free(*bytes);
    *bytes = kv_store_malloc(size);
    *capacity = *bytes != NULL ? size : 0;
    return *bytes != NULL;
}

/* ---- opening ---- */

static kv_status_t decode_header(kvi_snapshot_reader_t *reader, const char *bytes,
                                 kvi_snapshot_fault_t *fault)
{
    if (memcmp(bytes + 8, KVI_SNAPSHOT_MAGIC, KVI_SNAPSHOT_MAGIC_BYTES) != 0) {
        return find_fault(fault, 0, "this is no snapshot");
    }
    if (kvi_bytes_load64(bytes) != kvi_hash_bytes(bytes + 8, KVI_SNAPSHOT_HEADER_BYTES - 8, 0)) {
        return find_fault(fault, 0, "the checksum of the header is wrong");
    }
    const uint32_t version = kvi_bytes_load32(bytes + 16);
    if (version > KVI_SNAPSHOT_VERSION) {
        (void)find_fault(fault, 0, "a newer version has made it");
        return KV_NEWER;
    }
    if (version == 0) {
        return find_fault(fault, 0, "it has no version");
    }
    reader->head.lsn = kvi_bytes_load64(bytes + 24);
    reader->head.term = kvi_bytes_load64(bytes + 32);
    reader->head.time_ms = (int64_t)kvi_bytes_load64(bytes + 40);
    memcpy(reader->head.identity, bytes + 48, sizeof(reader->head.identity));
    reader->head.salt = kvi_bytes_load64(bytes + 64);
    reader->digest = kvi_snapshot_digest(0, bytes, KVI_SNAPSHOT_HEADER_BYTES);
    reader->at = KVI_SNAPSHOT_HEADER_BYTES;
    return KV_OK;
}

static kv_status_t read_header(kvi_snapshot_reader_t *reader, kvi_snapshot_fault_t *fault)
{
    kv_status_t status = reader->files->ops->size(reader->file, &reader->size);
    if (status != KV_OK) {
        return status;
    }
    if (reader->size < KVI_SNAPSHOT_HEADER_BYTES) {
        return find_fault(fault, reader->size, "the file ends within its header");
    }
    char bytes[KVI_SNAPSHOT_HEADER_BYTES];
    status = read_exactly(reader, 0, bytes, sizeof(bytes));
    return status == KV_OK ? decode_header(reader, bytes, fault) : status;
}

kv_status_t kvi_snapshot_reader_open(kvi_files_t *files, const char *name,
                                     kvi_snapshot_reader_t **reader, kvi_snapshot_fault_t *fault)
{
    *reader = NULL;
    *fault = (kvi_snapshot_fault_t){0};
    kvi_snapshot_reader_t *const opened = kv_store_calloc(1, sizeof(*opened));
    if (opened == NULL) {
        return KV_NO_MEMORY;
    }
    opened->files = files;
    kv_status_t status = files->ops->open(files, name, KVI_OPEN_READ, &opened->file);
    if (status == KV_OK) {
        status = read_header(opened, fault);
    }
    if (status != KV_OK) {
        kvi_snapshot_reader_close(opened);
        return status;
    }
    *reader = opened;
    return KV_OK;
}

const kvi_snapshot_head_t *kvi_snapshot_reader_head(const kvi_snapshot_reader_t *reader)
{
    return &reader->head;
}

uint64_t kvi_snapshot_reader_bytes(const kvi_snapshot_reader_t *reader)
{
    return reader->size;
}

uint64_t kvi_snapshot_reader_at(const kvi_snapshot_reader_t *reader)
{
    return reader->at;
}

void kvi_snapshot_reader_totals(const kvi_snapshot_reader_t *reader, kvi_snapshot_totals_t *totals)
{
    *totals = reader->totals;
    totals->bytes = reader->at;
}

void kvi_snapshot_reader_close(kvi_snapshot_reader_t *reader)
{
    if (reader == NULL) {
        return;
    }
    if (reader->file != NULL) {
        reader->files->ops->close(reader->file);
    }
    kv_store_free(reader->bytes);
    kv_store_free(reader->unpacked);
    kv_store_free(reader);
}

/* ---- chunks ---- */

/* Whether this can be the header of a chunk that lies at offset: cheap, before any checksum. */
static bool is_plausible(const kvi_snapshot_reader_t *reader, const kvi_chunk_head_t *head,
                         uint64_t offset)
{
    const uint64_t room = reader->size - offset - KVI_CHUNK_HEADER_BYTES;
    if (head->zero != 0 || head->kind < KVI_CHUNK_KEYSPACES || head->kind > KVI_CHUNK_FOOTER ||
        head->packing > KVI_PACKING_ZSTD || head->number < reader->totals.chunks) {
        return false;
    }
    return head->stored_bytes <= room && head->payload_bytes <= KVI_CHUNK_PAYLOAD_MAX &&
           (head->packing != KVI_PACKING_NONE || head->stored_bytes == head->payload_bytes);
}

/* Reads and verifies the payload of the header that already stands in the reader's bytes. */
static kv_status_t read_payload(kvi_snapshot_reader_t *reader, const kvi_chunk_head_t *head,
                                uint64_t offset, kvi_snapshot_fault_t *fault)
{
    const size_t stored = (size_t)head->stored_bytes;
    if (!make_room(&reader->bytes, &reader->capacity, KVI_CHUNK_HEADER_BYTES + stored)) {
        return KV_NO_MEMORY;
    }
    memcpy(reader->bytes, head, sizeof(*head));
    const kv_status_t status = read_exactly(reader, offset + KVI_CHUNK_HEADER_BYTES,
                                            reader->bytes + KVI_CHUNK_HEADER_BYTES, stored);
    if (status != KV_OK) {
        return status;
    }
    if (kvi_chunk_checksum(reader->bytes, stored, reader->head.salt) != head->checksum) {
        return find_fault(fault, offset, "the checksum of a chunk is wrong");
    }
    return KV_OK;
}

/* Where the payload's bytes are. */
static kv_status_t unpack(kvi_snapshot_reader_t *reader, const kvi_chunk_head_t *head,
                          const char **payload, kvi_snapshot_fault_t *fault)
{
    *payload = reader->bytes + KVI_CHUNK_HEADER_BYTES;
    if (head->packing == KVI_PACKING_NONE) {
        return KV_OK;
    }
    if (!kvi_compress_available()) {
        (void)find_fault(fault, reader->at, "it is packed with zstd, which this build lacks");
        return KV_UNSUPPORTED;
    }
    const size_t size = (size_t)head->payload_bytes;
    if (!make_room(&reader->unpacked, &reader->unpacked_capacity, size + 1)) {
        return KV_NO_MEMORY;
    }
    if (!kvi_decompress(reader->unpacked, size, *payload, (size_t)head->stored_bytes)) {
        return find_fault(fault, reader->at, "a chunk cannot be unpacked");
    }
    *payload = reader->unpacked;
    return KV_OK;
}

static kv_status_t check_footer(kvi_snapshot_reader_t *reader, const kvi_chunk_head_t *head,
                                kvi_snapshot_fault_t *fault)
{
    if (head->stored_bytes != KVI_FOOTER_BYTES || head->count != 0) {
        return find_fault(fault, reader->at, "the footer has a wrong size");
    }
    if (reader->at + KVI_CHUNK_HEADER_BYTES + KVI_FOOTER_BYTES != reader->size) {
        return find_fault(fault, reader->at + KVI_CHUNK_HEADER_BYTES + KVI_FOOTER_BYTES,
                          "the file goes on behind its footer");
    }
    if (reader->damaged) {
        return KV_NOT_FOUND;
    }
    const uint64_t expected[] = {
        reader->head.lsn,         reader->head.term, reader->totals.chunks, reader->totals.entries,
        reader->totals.keyspaces, reader->at,        reader->digest,        0};
    _Static_assert(sizeof(expected) == KVI_FOOTER_BYTES, "all of the footer is compared");
    if (memcmp(expected, reader->bytes + KVI_CHUNK_HEADER_BYTES, sizeof(expected)) != 0) {
        return find_fault(fault, reader->at, "the footer does not fit the chunks before it");
    }
    return KV_NOT_FOUND;
}

/* The chunk in the reader's bytes is the next one: counts it and shows it. */
static void take_chunk(kvi_snapshot_reader_t *reader, const kvi_chunk_head_t *head,
                       const char *payload, kvi_chunk_view_t *view)
{
    *view = (kvi_chunk_view_t){.kind = (kvi_chunk_kind_t)head->kind,
                               .number = head->number,
                               .offset = reader->at,
                               .start = payload,
                               .at = payload,
                               .end = payload + head->payload_bytes,
                               .left = head->count};
    reader->digest = kvi_snapshot_digest(reader->digest, reader->bytes, KVI_CHUNK_HEADER_BYTES);
    reader->at += KVI_CHUNK_HEADER_BYTES + head->stored_bytes;
    reader->totals.chunks = head->number + 1;
    reader->totals.entries += head->kind == KVI_CHUNK_ENTRIES ? head->count : 0;
    reader->totals.keyspaces += head->kind == KVI_CHUNK_KEYSPACES ? head->count : 0;
}

kv_status_t kvi_snapshot_reader_next(kvi_snapshot_reader_t *reader, kvi_chunk_view_t *view,
                                     kvi_snapshot_fault_t *fault)
{
    if (reader->size - reader->at < KVI_CHUNK_HEADER_BYTES) {
        return find_fault(fault, reader->at, "the file ends before its footer");
    }
    kvi_chunk_head_t head;
    kv_status_t status = read_exactly(reader, reader->at, (char *)&head, sizeof(head));
    if (status != KV_OK) {
        return status;
    }
    if (!is_plausible(reader, &head, reader->at)) {
        return find_fault(fault, reader->at,
                          "the header of a chunk is damaged, or the file was cut off");
    }
    if (head.number != reader->totals.chunks && !reader->damaged) {
        return find_fault(fault, reader->at, "a chunk is missing");
    }
    const char *payload = NULL;
    status = read_payload(reader, &head, reader->at, fault);
    if (status == KV_OK) {
        status = unpack(reader, &head, &payload, fault);
    }
    if (status != KV_OK) {
        return status;
    }
    if (head.kind == KVI_CHUNK_FOOTER) {
        return check_footer(reader, &head, fault);
    }
    take_chunk(reader, &head, payload, view);
    return KV_OK;
}

/* ---- salvage ---- */

/* Whether a chunk that verifies begins here. */
static kv_status_t try_chunk(kvi_snapshot_reader_t *reader, const char *bytes, uint64_t offset)
{
    kvi_chunk_head_t head;
    memcpy(&head, bytes, sizeof(head));
    if (!is_plausible(reader, &head, offset)) {
        return KV_CORRUPT;
    }
    kvi_snapshot_fault_t fault;
    return read_payload(reader, &head, offset, &fault);
}

kv_status_t kvi_snapshot_reader_skip(kvi_snapshot_reader_t *reader)
{
    reader->damaged = true;
    char *const window = kv_store_malloc(SEARCH_BYTES);
    if (window == NULL) {
        return KV_NO_MEMORY;
    }
    kv_status_t status = KV_CORRUPT;
    uint64_t offset = reader->at + 1;
    while (status == KV_CORRUPT && offset + KVI_CHUNK_HEADER_BYTES <= reader->size) {
        const uint64_t rest = reader->size - offset;
        const size_t size = rest < SEARCH_BYTES ? (size_t)rest : SEARCH_BYTES;
        status = read_exactly(reader, offset, window, size);
        size_t at = 0;
        for (; status == KV_OK && at + KVI_CHUNK_HEADER_BYTES <= size; at++) {
            status = try_chunk(reader, window + at, offset + at);
            if (status == KV_OK) {
                reader->at = offset + at;
                kv_store_free(window);
                return KV_OK;
            }
            status = status == KV_CORRUPT ? KV_OK : status;
        }
        offset += at;
        status = status == KV_OK ? KV_CORRUPT : status;
    }
    kv_store_free(window);
    return status == KV_CORRUPT ? KV_NOT_FOUND : status;
}
