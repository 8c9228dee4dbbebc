/* SPDX-License-Identifier: MIT */
/* Attributes of keyspaces as bytes and back, with every bound checked. */
#include "db/attributes.h"

#include <string.h>

#include "base/bytes.h"
#include "base/varint.h"

#define ENGINE_NAME_BYTES_MAX ((size_t)63)

size_t kvi_attributes_encode(const kvi_attributes_t *attributes, unsigned fields,
                             char bytes[KVI_ATTRIBUTES_BYTES_MAX])
{
    if (attributes->engine == NULL) {
        fields &= ~(unsigned)KVI_ATTRIBUTE_ENGINE;
    }
    char *to = bytes;
    *to++ = (char)fields;
    if ((fields & KVI_ATTRIBUTE_ENGINE) != 0) {
        const size_t size = strnlen(attributes->engine->name, ENGINE_NAME_BYTES_MAX);
        *to++ = (char)size;
        kvi_bytes_copy(to, attributes->engine->name, size);
        to += size;
    }
    if ((fields & KVI_ATTRIBUTE_QUOTA) != 0) {
        to = kvi_varint_write(to, attributes->quota_bytes);
    }
    if ((fields & KVI_ATTRIBUTE_EVICTION) != 0) {
        *to++ = (char)attributes->eviction;
    }
    if ((fields & KVI_ATTRIBUTE_SYNC) != 0) {
        *to++ = (char)attributes->sync;
    }
    if ((fields & KVI_ATTRIBUTE_DEFAULT_TTL) != 0) {
        to = kvi_varint_write(to, (uint64_t)attributes->default_ttl_ms);
    }
    if ((fields & KVI_ATTRIBUTE_MAX_TTL) != 0) {
        to = kvi_varint_write(to, (uint64_t)attributes->max_ttl_ms);
    }
    return (size_t)(to - bytes);
}

/* Bytes that may be anything; bad after the first thing that is wrong. */
typedef struct source {
    const char *at;
    const char *end;
    bool bad;
} source_t;

static unsigned read_byte(source_t *source, unsigned max)
{
    const unsigned byte = source->at < source->end ? (unsigned char)*source->at : UINT32_MAX;
    if (byte > max) {
        source->bad = true;
        return 0;
    }
    source->at++;
    return byte;
}

static uint64_t read_number(source_t *source, uint64_t max)
{
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
        const uint64_t byte = read_byte(source, UINT8_MAX);
        number |= (byte & 127) << shift;
        if (byte < 128) {
            source->bad = source->bad || number > max;
            return number;
        }
    }
    source->bad = true;
    return 0;
}

static kv_status_t read_engine(source_t *source, const kv_engine_ops_t **engine)
{
    const size_t size = read_byte(source, ENGINE_NAME_BYTES_MAX);
    if (source->bad || size > (size_t)(source->end - source->at)) {
        return KV_CORRUPT;
    }
    char name[ENGINE_NAME_BYTES_MAX + 1];
    kvi_bytes_copy(name, source->at, size);
    name[size] = 0;
    source->at += size;
    *engine = kv_engine_find(name);
    return *engine != NULL ? KV_OK : KV_UNSUPPORTED;
}

kv_status_t kvi_attributes_decode(kv_slice_t bytes, kvi_attributes_t *attributes)
{
    if (bytes.size == 0) {
        return KV_OK;
    }
    source_t source = {.at = bytes.data, .end = bytes.data + bytes.size};
    kvi_attributes_t read = *attributes;
    const unsigned fields = read_byte(&source, KVI_ATTRIBUTES_ALL);
    kv_status_t status = KV_OK;
    if ((fields & KVI_ATTRIBUTE_ENGINE) != 0) {
        status = read_engine(&source, &read.engine);
    }
    if ((fields & KVI_ATTRIBUTE_QUOTA) != 0) {
        read.quota_bytes = (size_t)read_number(&source, SIZE_MAX / 2);
    }
    if ((fields & KVI_ATTRIBUTE_EVICTION) != 0) {
        read.eviction = (kvi_eviction_t)read_byte(&source, KVI_EVICT_VOLATILE_TTL);
    }
    if ((fields & KVI_ATTRIBUTE_SYNC) != 0) {
        read.sync = (kvi_sync_t)read_byte(&source, KVI_SYNC_NO);
    }
    if ((fields & KVI_ATTRIBUTE_DEFAULT_TTL) != 0) {
        read.default_ttl_ms = (int64_t)read_number(&source, INT64_MAX);
    }
    if ((fields & KVI_ATTRIBUTE_MAX_TTL) != 0) {
        read.max_ttl_ms = (int64_t)read_number(&source, INT64_MAX);
    }
    if (source.bad || source.at != source.end) {
        return KV_CORRUPT;
    }
    if (status == KV_OK) {
        *attributes = read;
    }
    return status;
}
