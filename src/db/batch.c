/* SPDX-License-Identifier: MIT */
/*
 * The encoding of batches. All numbers are little endian; a varint is one of base/varint.h in its
 * only shortest form, a signed one is folded first (0, -1, 1, -2 ... become 0, 1, 2, 3 ...).
 *
 *   batch      version u8 | flags u8 | time_ms i64 | count u32 | operations
 *   operation  head u8 | keyspace varint if head says so | options u8 if head says so | fields
 *   head       bits 0-4 kind, 5 a keyspace other than 0, 6 options, 7 always 0
 *   options    bits 0-1 condition, 2 keep_deadline, 3 replace, 4-5 form, 6 a deadline, 7 always 0
 *   fields     those of the kind's row below, in the order of field_t
 *
 * Options are there if any of them is not 0. There is one encoding for an operation, and every
 * other one is refused.
 */
#include "db/batch.h"

#include "base/bytes.h"
#include "base/varint.h"

#define HEADER_BYTES ((size_t)14)
#define COUNT_OFFSET ((size_t)10)

#define HEAD_KIND 0x1fU
#define HEAD_KEYSPACE 0x20U
#define HEAD_OPTIONS 0x40U
#define HEAD_UNUSED 0x80U

#define OPTION_CONDITION 0x03U
#define OPTION_KEEP_DEADLINE 0x04U
#define OPTION_REPLACE 0x08U
#define OPTION_FORM 0x30U
#define OPTION_FORM_SHIFT 4
#define OPTION_DEADLINE 0x40U

#define BOUND_LOWER 0x03U
#define BOUND_UPPER 0x0cU
#define BOUND_UPPER_SHIFT 2

/* In the order of their encoding. */
typedef enum field {
    FIELD_TO_KEYSPACE = 1 << 0, /* varint */
    FIELD_KEY = 1 << 1,         /* its size as varint; all bytes stand behind the other fields */
    FIELD_VALUE = 1 << 2,       /* its size as varint */
    FIELD_DEADLINE = 1 << 3,    /* folded varint, only if the options say so */
    FIELD_DELTA = 1 << 4,       /* folded varint */
    FIELD_OFFSET = 1 << 5,      /* varint */
    FIELD_COUNT = 1 << 6,       /* varint */
    FIELD_VERSION = 1 << 7,     /* u64; of a put only with KVI_PUT_IF_VERSION */
    FIELD_RANGE = 1 << 8        /* kinds of bounds u8, then the size and the bytes of each key */
} field_t;

/* Which options and fields count. */
static const struct shape {
    unsigned options;
    unsigned fields;
} shapes[KVI_OP_KIND_END] = {
    [KVI_OP_PUT] = {OPTION_CONDITION | OPTION_KEEP_DEADLINE | OPTION_FORM | OPTION_DEADLINE,
                    FIELD_KEY | FIELD_VALUE | FIELD_DEADLINE | FIELD_VERSION},
    [KVI_OP_DELETE] = {0, FIELD_KEY},
    [KVI_OP_APPEND] = {0, FIELD_KEY | FIELD_VALUE},
    [KVI_OP_WRITE_AT] = {0, FIELD_KEY | FIELD_VALUE | FIELD_OFFSET},
    [KVI_OP_ADD] = {0, FIELD_KEY | FIELD_DELTA},
    [KVI_OP_ADD_FLOAT] = {0, FIELD_KEY | FIELD_VALUE},
    [KVI_OP_SET_DEADLINE] = {OPTION_DEADLINE, FIELD_KEY | FIELD_DEADLINE},
    [KVI_OP_COPY] = {OPTION_REPLACE, FIELD_TO_KEYSPACE | FIELD_KEY | FIELD_VALUE},
    [KVI_OP_RENAME] = {OPTION_REPLACE, FIELD_TO_KEYSPACE | FIELD_KEY | FIELD_VALUE},
    [KVI_OP_DELETE_RANGE] = {0, FIELD_RANGE},
    [KVI_OP_EXPIRE] = {0, FIELD_COUNT},
    [KVI_OP_CLEAR] = {0, 0},
    [KVI_OP_SWAP] = {0, FIELD_TO_KEYSPACE},
    [KVI_OP_KEYSPACE_CREATE] = {0, FIELD_KEY | FIELD_VALUE},
    [KVI_OP_KEYSPACE_DROP] = {0, 0},
    [KVI_OP_KEYSPACE_SET] = {0, FIELD_VALUE},
    [KVI_OP_GUARD] = {0, FIELD_KEY | FIELD_VERSION},
    [KVI_OP_READ] = {0, FIELD_KEY},
};

static uint64_t fold(int64_t number)
{
    return ((uint64_t)number << 1) ^ (number < 0 ? UINT64_MAX : 0);
}

static int64_t unfold(uint64_t folded)
{
    return (int64_t)((folded >> 1) ^ ((folded & 1) != 0 ? UINT64_MAX : 0));
}

/* Fields that this operation really has. */
static unsigned fields_of(kvi_op_kind_t kind, unsigned options)
{
    unsigned fields = shapes[kind].fields;
    if ((options & OPTION_DEADLINE) == 0) {
        fields &= ~(unsigned)FIELD_DEADLINE;
    }
    if (kind == KVI_OP_PUT && (options & OPTION_CONDITION) != KVI_PUT_IF_VERSION) {
        fields &= ~(unsigned)FIELD_VERSION;
    }
    return fields;
}

/* ---- writing ---- */

kv_status_t kvi_batch_reserve(kvi_batch_t *batch, size_t bytes)
{
    if (bytes <= batch->capacity - batch->size) {
        return KV_OK;
    }
    if (bytes > SIZE_MAX / 2 - batch->size) {
        return KV_TOO_LARGE;
    }
    size_t capacity = batch->capacity < 256 ? 256 : batch->capacity;
    while (capacity - batch->size < bytes) {
        capacity *= 2;
    }
    char *const grown = kv_store_realloc(batch->bytes, capacity);
    if (grown == NULL) {
        return KV_NO_MEMORY;
    }
    batch->bytes = grown;
    batch->capacity = capacity;
    return KV_OK;
}

kv_status_t kvi_batch_begin(kvi_batch_t *batch, int64_t time_ms, unsigned flags)
{
    batch->size = 0;
    batch->count = 0;
    const kv_status_t status = kvi_batch_reserve(batch, HEADER_BYTES);
    if (status != KV_OK) {
        return status;
    }
    batch->bytes[0] = KVI_BATCH_VERSION;
    batch->bytes[1] = (char)flags;
    kvi_bytes_store_le64(batch->bytes + 2, (uint64_t)time_ms);
    batch->size = HEADER_BYTES;
    return KV_OK;
}

void kvi_batch_set_time(kvi_batch_t *batch, int64_t time_ms)
{
    kvi_bytes_store_le64(batch->bytes + 2, (uint64_t)time_ms);
}

size_t kvi_op_encoded_bytes_max(const kvi_op_t *op)
{
    /* Head, options, and every number at its longest. */
    size_t bytes = 2 + 5 + 5 + 6 * KVI_VARINT_BYTES_MAX + 8 + op->key.size + op->value.size;
    if (op->range != NULL) {
        bytes +=
            1 + 2 * KVI_VARINT_BYTES_MAX + op->range->lower.key.size + op->range->upper.key.size;
    }
    return bytes;
}

static unsigned options_of(const kvi_op_t *op)
{
    unsigned options = (unsigned)op->condition & OPTION_CONDITION;
    options |= op->keep_deadline ? OPTION_KEEP_DEADLINE : 0;
    options |= op->replace ? OPTION_REPLACE : 0;
    options |= (unsigned)op->form << OPTION_FORM_SHIFT & OPTION_FORM;
    /* A deadline that is kept is not another one too. */
    const bool has_deadline = op->deadline_ms != KVI_NO_DEADLINE && !op->keep_deadline;
    options |= has_deadline ? OPTION_DEADLINE : 0;
    return options & shapes[op->kind].options;
}

static char *write_slice(char *to, kv_slice_t bytes)
{
    kvi_bytes_copy(to, bytes.data, bytes.size);
    return to + bytes.size;
}

static char *write_range(char *to, const kv_range_t *range)
{
    static const kv_range_t everything = {{KV_BOUND_NONE, {NULL, 0}}, {KV_BOUND_NONE, {NULL, 0}}};
    const kv_range_t *const chosen = range != NULL ? range : &everything;
    const kv_bound_t *const bounds[2] = {&chosen->lower, &chosen->upper};
    *to++ = (char)((unsigned)bounds[0]->kind | (unsigned)bounds[1]->kind << BOUND_UPPER_SHIFT);
    for (size_t i = 0; i < 2; i++) {
        if (bounds[i]->kind != KV_BOUND_NONE) {
            to = kvi_varint_write(to, bounds[i]->key.size);
            to = write_slice(to, bounds[i]->key);
        }
    }
    return to;
}

static char *write_fields(char *to, const kvi_op_t *op, unsigned fields)
{
    const struct {
        field_t field;
        uint64_t number;
    } numbers[] = {{FIELD_TO_KEYSPACE, op->to_keyspace},
                   {FIELD_KEY, op->key.size},
                   {FIELD_VALUE, op->value.size},
                   {FIELD_DEADLINE, fold(op->deadline_ms)},
                   {FIELD_DELTA, fold(op->delta)},
                   {FIELD_OFFSET, op->offset},
                   {FIELD_COUNT, op->count}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if ((fields & numbers[i].field) != 0) {
            to = kvi_varint_write(to, numbers[i].number);
        }
    }
    if ((fields & FIELD_VERSION) != 0) {
        kvi_bytes_store_le64(to, op->version);
        to += 8;
    }
    if ((fields & FIELD_RANGE) != 0) {
        to = write_range(to, op->range);
    }
    to = (fields & FIELD_KEY) != 0 ? write_slice(to, op->key) : to;
    return (fields & FIELD_VALUE) != 0 ? write_slice(to, op->value) : to;
}

void kvi_batch_append(kvi_batch_t *batch, const kvi_op_t *op)
{
    char *to = batch->bytes + batch->size;
    const unsigned options = options_of(op);
    *to++ = (char)((unsigned)op->kind | (op->keyspace != 0 ? HEAD_KEYSPACE : 0) |
                   (options != 0 ? HEAD_OPTIONS : 0));
    if (op->keyspace != 0) {
        to = kvi_varint_write(to, op->keyspace);
    }
    if (options != 0) {
        *to++ = (char)options;
    }
    /* The field table costs more than a put's two sizes, and most operations are plain puts. */
    if (op->kind == KVI_OP_PUT && options == 0) {
        to = kvi_varint_write(kvi_varint_write(to, op->key.size), op->value.size);
        to = write_slice(write_slice(to, op->key), op->value);
    } else {
        to = write_fields(to, op, fields_of(op->kind, options));
    }
    batch->size = (size_t)(to - batch->bytes);
    batch->count++;
}

kv_slice_t kvi_batch_bytes(kvi_batch_t *batch)
{
    kvi_bytes_store_le32(batch->bytes + COUNT_OFFSET, batch->count);
    return (kv_slice_t){batch->bytes, batch->size};
}

void kvi_batch_close(kvi_batch_t *batch)
{
    kv_store_free(batch->bytes);
    *batch = (kvi_batch_t){0};
}

/* ---- reading ---- */

/* A place in bytes that may be anything. After the first thing that is wrong it stands at the end,
 * and everything read is 0. */
typedef struct source {
    const char *at;
    const char *end;
    bool bad;
} source_t;

static void set_bad(source_t *source)
{
    source->bad = true;
    source->at = source->end;
}

static unsigned read_byte(source_t *source)
{
    if (source->at == source->end) {
        set_bad(source);
        return 0;
    }
    return (unsigned char)*source->at++;
}

static uint64_t read_long_varint(source_t *source, uint64_t max)
{
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint64_t byte = read_byte(source);
        if (shift == 63 && byte > 1) {
            break;
        }
        number |= (byte & 127) << shift;
        if (byte < 128) {
            if ((byte == 0 && shift > 0) || number > max) {
                break;
            }
            return number;
        }
    }
    set_bad(source);
    return 0;
}

static inline uint64_t read_varint(source_t *source, uint64_t max)
{
    if (source->at < source->end && (unsigned char)*source->at < 128 &&
        (unsigned char)*source->at <= max) {
        return (unsigned char)*source->at++;
    }
    return read_long_varint(source, max);
}

static uint64_t read_u64(source_t *source)
{
    if ((size_t)(source->end - source->at) < 8) {
        set_bad(source);
        return 0;
    }
    const uint64_t number = kvi_bytes_load_le64(source->at);
    source->at += 8;
    return number;
}

static kv_slice_t read_slice(source_t *source, uint64_t size)
{
    if (size > (uint64_t)(source->end - source->at)) {
        set_bad(source);
    }
    if (source->bad || size == 0) {
        return (kv_slice_t){NULL, 0};
    }
    const kv_slice_t bytes = {source->at, (size_t)size};
    source->at += size;
    return bytes;
}

static void read_bound(source_t *source, unsigned kind, kv_bound_t *bound)
{
    if (kind > KV_BOUND_EXCLUDED) {
        set_bad(source);
    }
    *bound = (kv_bound_t){.kind = source->bad ? KV_BOUND_NONE : (kv_bound_kind_t)kind};
    if (bound->kind != KV_BOUND_NONE) {
        bound->key = read_slice(source, read_varint(source, KV_KEY_BYTES_MAX));
    }
}

static void read_range(source_t *source, kv_range_t *range)
{
    const unsigned kinds = read_byte(source);
    if ((kinds & ~(BOUND_LOWER | BOUND_UPPER)) != 0) {
        set_bad(source);
    }
    read_bound(source, kinds & BOUND_LOWER, &range->lower);
    read_bound(source, (kinds & BOUND_UPPER) >> BOUND_UPPER_SHIFT, &range->upper);
}

static void read_options(source_t *source, kvi_op_t *op, unsigned options)
{
    const unsigned form = (options & OPTION_FORM) >> OPTION_FORM_SHIFT;
    const unsigned both = OPTION_KEEP_DEADLINE | OPTION_DEADLINE;
    if ((options & ~shapes[op->kind].options) != 0 || form > KVI_FORM_TEXT ||
        (options & both) == both) {
        set_bad(source);
        return;
    }
    op->condition = (kvi_put_condition_t)(options & OPTION_CONDITION);
    op->keep_deadline = (options & OPTION_KEEP_DEADLINE) != 0;
    op->replace = (options & OPTION_REPLACE) != 0;
    op->form = (kvi_form_t)form;
}

static void read_fields(source_t *source, kvi_op_t *op, unsigned fields, kv_range_t *range)
{
    if ((fields & FIELD_TO_KEYSPACE) != 0) {
        op->to_keyspace = (uint32_t)read_varint(source, UINT32_MAX);
    }
    const uint64_t key_bytes =
        (fields & FIELD_KEY) != 0 ? read_varint(source, KV_KEY_BYTES_MAX) : 0;
    const uint64_t value_bytes =
        (fields & FIELD_VALUE) != 0 ? read_varint(source, KV_VALUE_BYTES_MAX) : 0;
    if ((fields & FIELD_DEADLINE) != 0) {
        op->deadline_ms = unfold(read_varint(source, UINT64_MAX));
        if (op->deadline_ms == KVI_NO_DEADLINE) {
            set_bad(source);
        }
    }
    op->delta = (fields & FIELD_DELTA) != 0 ? unfold(read_varint(source, UINT64_MAX)) : 0;
    op->offset = (fields & FIELD_OFFSET) != 0 ? read_varint(source, UINT64_MAX) : 0;
    op->count = (fields & FIELD_COUNT) != 0 ? read_varint(source, UINT64_MAX) : 0;
    op->version = (fields & FIELD_VERSION) != 0 ? read_u64(source) : 0;
    if ((fields & FIELD_RANGE) != 0) {
        read_range(source, range);
        op->range = range;
    }
    op->key = read_slice(source, key_bytes);
    op->value = read_slice(source, value_bytes);
}

kv_status_t kvi_batch_read(kv_slice_t bytes, kvi_batch_reader_t *reader)
{
    if (bytes.size < 1) {
        return KV_CORRUPT;
    }
    const unsigned version = (unsigned char)bytes.data[0];
    if (version > KVI_BATCH_VERSION) {
        return KV_NEWER;
    }
    if (version == 0 || bytes.size < HEADER_BYTES) {
        return KV_CORRUPT;
    }
    const unsigned flags = (unsigned char)bytes.data[1];
    if ((flags & ~KVI_BATCH_ATOMIC) != 0) {
        return KV_CORRUPT;
    }
    *reader = (kvi_batch_reader_t){.at = bytes.data + HEADER_BYTES,
                                   .end = bytes.data + bytes.size,
                                   .time_ms = (int64_t)kvi_bytes_load_le64(bytes.data + 2),
                                   .count = kvi_bytes_load_le32(bytes.data + COUNT_OFFSET),
                                   .flags = flags};
    return KV_OK;
}

/* What stands behind the head of an operation. */
static void read_operation(source_t *source, kvi_op_t *op, unsigned head, kv_range_t *range)
{
    const unsigned kind = head & HEAD_KIND;
    *op = (kvi_op_t){.kind = (kvi_op_kind_t)kind};
    if ((shapes[kind].options & OPTION_DEADLINE) != 0) {
        op->deadline_ms = KVI_NO_DEADLINE;
    }
    unsigned options = 0;
    if ((head & HEAD_KEYSPACE) != 0) {
        op->keyspace = (uint32_t)read_varint(source, UINT32_MAX);
        source->bad = source->bad || op->keyspace == 0;
    }
    if ((head & HEAD_OPTIONS) != 0) {
        options = read_byte(source);
        source->bad = source->bad || options == 0;
        read_options(source, op, options);
    }
    read_fields(source, op, fields_of(op->kind, options), range);
}

kv_status_t kvi_batch_next(kvi_batch_reader_t *reader, kvi_op_t *op)
{
    if (reader->count == 0) {
        return reader->at == reader->end ? KV_NOT_FOUND : KV_CORRUPT;
    }
    source_t source = {.at = reader->at, .end = reader->end};
    const unsigned head = read_byte(&source);
    const unsigned kind = head & HEAD_KIND;
    if ((head & HEAD_UNUSED) != 0 || kind == 0 || kind >= KVI_OP_KIND_END) {
        return KV_CORRUPT;
    }
    if (head == KVI_OP_PUT) { /* a plain one, as most are */
        const uint64_t key_bytes = read_varint(&source, KV_KEY_BYTES_MAX);
        const uint64_t value_bytes = read_varint(&source, KV_VALUE_BYTES_MAX);
        *op = (kvi_op_t){.kind = KVI_OP_PUT, .deadline_ms = KVI_NO_DEADLINE};
        op->key = read_slice(&source, key_bytes);
        op->value = read_slice(&source, value_bytes);
    } else {
        read_operation(&source, op, head, &reader->range);
    }
    if (source.bad) {
        return KV_CORRUPT;
    }
    reader->at = source.at;
    reader->count--;
    return KV_OK;
}
