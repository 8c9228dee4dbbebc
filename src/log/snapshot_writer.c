/* SPDX-License-Identifier: MIT */
/*
 * A snapshot file being written: chunks are numbered, packed, sealed and written one after the
 * other; publishing makes a snapshot of them. snapshot_file.h has the bytes.
 *
 * Now and then the file is synced on the way, so that the last sync is short and the log's syncs
 * never queue behind a gigabyte.
 */
#include "log/snapshot_file.h"

#include <stdio.h>

#include <concordkv/kv_memory.h>

#include "log/compress.h"
#include "log/snapshot_int.h"

#define SYNC_BYTES ((uint64_t)4 << 20)

struct kvi_snapshot_writer {
    kvi_files_t *files;
    kvi_file_t *file;
    kvi_snapshot_head_t head;
    kvi_snapshot_totals_t totals;
    uint64_t synced_bytes;
    uint64_t digest;
    bool compress;
    bool created;
    bool published;
    char *packed; /* header and payload of a packed chunk; NULL until the first */
    size_t packed_capacity;
    char name[KVI_FILE_NAME_BYTES]; /* the temporary one */
};

static void print_temporary_name(const kvi_snapshot_head_t *head, char name[KVI_FILE_NAME_BYTES])
{
    (void)snprintf(name, KVI_FILE_NAME_BYTES, "snap-%020llu-%llu.tmp",
                   (unsigned long long)head->lsn, (unsigned long long)head->term);
}

static kv_status_t write_bytes(kvi_snapshot_writer_t *writer, const char *bytes, size_t size)
{
    kv_status_t status =
        writer->files->ops->write_at(writer->file, writer->totals.bytes, bytes, size);
    if (status != KV_OK) {
        return status;
    }
    writer->totals.bytes += size;
    if (writer->totals.bytes - writer->synced_bytes >= SYNC_BYTES) {
        status = writer->files->ops->sync(writer->file);
        writer->synced_bytes = writer->totals.bytes;
    }
    return status;
}

static kv_status_t write_header(kvi_snapshot_writer_t *writer)
{
    const kvi_snapshot_head_t *const head = &writer->head;
    char bytes[KVI_SNAPSHOT_HEADER_BYTES] = {0};
    const uint64_t version = KVI_SNAPSHOT_VERSION;
    memcpy(bytes + 8, KVI_SNAPSHOT_MAGIC, KVI_SNAPSHOT_MAGIC_BYTES);
    (void)kvi_put64(bytes + 16, version);
    (void)kvi_put64(bytes + 24, head->lsn);
    (void)kvi_put64(bytes + 32, head->term);
    (void)kvi_put64(bytes + 40, (uint64_t)head->time_ms);
    memcpy(bytes + 48, head->identity, sizeof(head->identity));
    (void)kvi_put64(bytes + 64, head->salt);
    (void)kvi_put64(bytes, kvi_hash_bytes(bytes + 8, sizeof(bytes) - 8, 0));
    writer->digest = kvi_snapshot_digest(0, bytes, sizeof(bytes));
    return write_bytes(writer, bytes, sizeof(bytes));
}

kv_status_t kvi_snapshot_writer_open(kvi_files_t *files, const kvi_snapshot_head_t *head,
                                     bool compress, kvi_snapshot_writer_t **writer)
{
    *writer = NULL;
    kvi_snapshot_writer_t *const opened = kv_store_calloc(1, sizeof(*opened));
    if (opened == NULL) {
        return KV_NO_MEMORY;
    }
    opened->files = files;
    opened->head = *head;
    opened->compress = compress && kvi_compress_available();
    print_temporary_name(head, opened->name);
    /* What a crash has left of an earlier try is of no use. */
    (void)files->ops->remove(files, opened->name);
    kv_status_t status =
        files->ops->open(files, opened->name, KVI_OPEN_WRITE | KVI_OPEN_CREATE, &opened->file);
    opened->created = status == KV_OK;
    if (status == KV_OK) {
        status = write_header(opened);
    }
    if (status != KV_OK) {
        kvi_snapshot_writer_close(opened);
        return status;
    }
    *writer = opened;
    return KV_OK;
}

/* Header and payload as they go into the file: packed ones if that pays. */
static char *pack(kvi_snapshot_writer_t *writer, kvi_chunk_t *chunk, kvi_chunk_head_t *head)
{
    if (!writer->compress || chunk->kind == KVI_CHUNK_FOOTER) {
        return chunk->bytes;
    }
    if (writer->packed_capacity < chunk->size) {
        kv_store_free(writer->packed);
        writer->packed = kv_store_malloc(KVI_CHUNK_HEADER_BYTES + chunk->size);
        writer->packed_capacity = writer->packed != NULL ? chunk->size : 0;
    }
    if (writer->packed == NULL) {
        return chunk->bytes; /* less room on the disk is no reason to fail */
    }
    const size_t packed =
        kvi_compress(writer->packed + KVI_CHUNK_HEADER_BYTES, writer->packed_capacity,
                     chunk->bytes + KVI_CHUNK_HEADER_BYTES, chunk->size);
    if (packed == 0) {
        return chunk->bytes;
    }
    head->packing = KVI_PACKING_ZSTD;
    head->stored_bytes = packed;
    return writer->packed;
}

kv_status_t kvi_snapshot_writer_add(kvi_snapshot_writer_t *writer, kvi_chunk_t *chunk)
{
    kvi_chunk_head_t head = {.number = writer->totals.chunks,
                             .stored_bytes = chunk->size,
                             .payload_bytes = chunk->size,
                             .count = chunk->count,
                             .kind = (unsigned char)chunk->kind};
    char *const bytes = pack(writer, chunk, &head);
    memcpy(bytes, &head, sizeof(head));
    head.checksum = kvi_chunk_checksum(bytes, (size_t)head.stored_bytes, writer->head.salt);
    memcpy(bytes, &head, sizeof(head));
    const kv_status_t status =
        write_bytes(writer, bytes, KVI_CHUNK_HEADER_BYTES + (size_t)head.stored_bytes);
    if (status != KV_OK) {
        return status;
    }
    writer->digest = kvi_snapshot_digest(writer->digest, bytes, KVI_CHUNK_HEADER_BYTES);
    writer->totals.chunks++;
    writer->totals.entries += chunk->kind == KVI_CHUNK_ENTRIES ? chunk->count : 0;
    writer->totals.keyspaces += chunk->kind == KVI_CHUNK_KEYSPACES ? chunk->count : 0;
    return KV_OK;
}

static kv_status_t write_footer(kvi_snapshot_writer_t *writer)
{
    const kvi_snapshot_totals_t totals = writer->totals;
    char bytes[KVI_CHUNK_HEADER_BYTES + KVI_FOOTER_BYTES] = {0};
    kvi_chunk_head_t head = {.number = totals.chunks,
                             .stored_bytes = KVI_FOOTER_BYTES,
                             .payload_bytes = KVI_FOOTER_BYTES,
                             .kind = KVI_CHUNK_FOOTER};
    char *at = bytes + KVI_CHUNK_HEADER_BYTES;
    at = kvi_put64(at, writer->head.lsn);
    at = kvi_put64(at, writer->head.term);
    at = kvi_put64(at, totals.chunks);
    at = kvi_put64(at, totals.entries);
    at = kvi_put64(at, totals.keyspaces);
    at = kvi_put64(at, totals.bytes);
    (void)kvi_put64(at, writer->digest);
    memcpy(bytes, &head, sizeof(head));
    head.checksum = kvi_chunk_checksum(bytes, KVI_FOOTER_BYTES, writer->head.salt);
    memcpy(bytes, &head, sizeof(head));
    return write_bytes(writer, bytes, sizeof(bytes));
}

kv_status_t kvi_snapshot_writer_publish(kvi_snapshot_writer_t *writer)
{
    const kvi_files_ops_t *const ops = writer->files->ops;
    kv_status_t status = write_footer(writer);
    if (status == KV_OK) {
        status = ops->sync(writer->file);
    }
    if (status != KV_OK) {
        return status;
    }
    ops->drop_cache(writer->file);
    ops->close(writer->file);
    writer->file = NULL;
    char name[KVI_FILE_NAME_BYTES];
    kvi_snapshot_name_print((kvi_snapshot_name_t){writer->head.lsn, writer->head.term}, name);
    status = ops->rename(writer->files, writer->name, name);
    if (status != KV_OK) {
        return status;
    }
    writer->published = true;
    return ops->sync_directory(writer->files);
}

void kvi_snapshot_writer_totals(const kvi_snapshot_writer_t *writer, kvi_snapshot_totals_t *totals)
{
    *totals = writer->totals;
}

void kvi_snapshot_writer_close(kvi_snapshot_writer_t *writer)
{
    if (writer == NULL) {
        return;
    }
    if (writer->file != NULL) {
        writer->files->ops->close(writer->file);
    }
    if (writer->created && !writer->published) {
        (void)writer->files->ops->remove(writer->files, writer->name);
    }
    kv_store_free(writer->packed);
    kv_store_free(writer);
}
