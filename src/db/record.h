/* SPDX-License-Identifier: MIT */
/*
 * A record: what a keyspace stores in its engine under a key. Unaligned; numbers are little endian.
 *
 *   offset  bytes
 *        0      1  flags
 *        1      3  access clock: seconds, the lower 24 bits, written in place by reads
 *        4      8  deadline, milliseconds since 1970, or KVI_NO_DEADLINE     only if flags say so
 *       12      8  address of the deadline's item in the expiry index, or 0  only if flags say so
 *   4 / 20    ...  the value's bytes
 *
 * Invariants:
 *  1. The deadline is KVI_NO_DEADLINE if and only if the item is 0. A key that was made persistent
 *     keeps the two fields, so that taking a deadline away never needs memory.
 *  2. Values of type 0 are strings; no other type exists yet.
 */
#ifndef KVI_DB_RECORD_H
#define KVI_DB_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "db/db.h"
#include "db/expiry.h"

#define KVI_RECORD_TIMED 0x01U /* has the two fields for a deadline */
#define KVI_RECORD_FORM 0x06U  /* a kvi_form_t */
#define KVI_RECORD_FORM_SHIFT 1
#define KVI_RECORD_TYPE 0x18U  /* kept free for further types */
#define KVI_RECORD_EPOCH 0xe0U /* of kvi_epochs_t: when it was written */
#define KVI_RECORD_EPOCH_SHIFT 5

#define KVI_RECORD_HEAD_BYTES ((size_t)4)
#define KVI_RECORD_TIMED_HEAD_BYTES ((size_t)20)

#define KVI_CLOCK_MASK UINT32_C(0xffffff)

static inline unsigned kvi_record_flags(const char *record)
{
    return (unsigned char)record[0];
}

static inline bool kvi_record_is_timed(const char *record)
{
    return (kvi_record_flags(record) & KVI_RECORD_TIMED) != 0;
}

static inline kvi_form_t kvi_record_form(const char *record)
{
    return (kvi_form_t)((kvi_record_flags(record) & KVI_RECORD_FORM) >> KVI_RECORD_FORM_SHIFT);
}

static inline void kvi_record_set_form(char *record, kvi_form_t form)
{
    record[0] = (char)((kvi_record_flags(record) & ~KVI_RECORD_FORM) |
                       ((unsigned)form << KVI_RECORD_FORM_SHIFT));
}

static inline unsigned kvi_record_epoch(const char *record)
{
    return (kvi_record_flags(record) & KVI_RECORD_EPOCH) >> KVI_RECORD_EPOCH_SHIFT;
}

static inline void kvi_record_set_epoch(char *record, unsigned epoch)
{
    record[0] =
        (char)((kvi_record_flags(record) & ~KVI_RECORD_EPOCH) | (epoch << KVI_RECORD_EPOCH_SHIFT));
}

static inline size_t kvi_record_head_bytes(const char *record)
{
    return kvi_record_is_timed(record) ? KVI_RECORD_TIMED_HEAD_BYTES : KVI_RECORD_HEAD_BYTES;
}

static inline kv_slice_t kvi_record_value(kv_slice_t record)
{
    const size_t head = kvi_record_head_bytes(record.data);
    return (kv_slice_t){record.data + head, record.size - head};
}

static inline uint32_t kvi_clock(int64_t now_ms)
{
    return (uint32_t)((uint64_t)now_ms / 1000) & KVI_CLOCK_MASK;
}

static inline uint32_t kvi_record_access(const char *record)
{
    return kvi_bytes_load_le32(record) >> 8; /* without the flags */
}

static inline void kvi_record_set_access(char *record, uint32_t clock)
{
    record[1] = (char)clock;
    record[2] = (char)(clock >> 8);
    record[3] = (char)(clock >> 16);
}

/* The same while many readers note accesses: byte by byte, since a record may begin anywhere. Bytes
 * of two accesses may get mixed where a byte carries over; until its next access such an entry
 * seems used up to 18 hours too early or too late, which only the samples of eviction see. */
typedef _Atomic unsigned char kvi_record_byte_t;

static inline uint32_t kvi_record_access_beside(const char *record)
{
    uint32_t clock = 0;
    for (unsigned i = 0; i < 3; i++) {
        const kvi_record_byte_t *const byte = (const kvi_record_byte_t *)record + 1 + i;
        clock |= (uint32_t)atomic_load_explicit(byte, memory_order_relaxed) << 8 * i;
    }
    return clock;
}

static inline void kvi_record_set_access_beside(char *record, uint32_t clock)
{
    for (unsigned i = 0; i < 3; i++) {
        kvi_record_byte_t *const byte = (kvi_record_byte_t *)record + 1 + i;
        atomic_store_explicit(byte, (unsigned char)(clock >> 8 * i), memory_order_relaxed);
    }
}

static inline int64_t kvi_record_deadline(const char *record)
{
    int64_t deadline_ms = KVI_NO_DEADLINE;
    if (kvi_record_is_timed(record)) {
        memcpy(&deadline_ms, record + 4, sizeof(deadline_ms));
    }
    return deadline_ms;
}

static inline kvi_expiry_item_t *kvi_record_item(const char *record)
{
    kvi_expiry_item_t *item = NULL;
    if (kvi_record_is_timed(record)) {
        memcpy(&item, record + 12, sizeof(item));
    }
    return item;
}

/* Of a timed record. */
static inline void kvi_record_set_deadline(char *record, int64_t deadline_ms,
                                           kvi_expiry_item_t *item)
{
    memcpy(record + 4, &deadline_ms, sizeof(deadline_ms));
    memcpy(record + 12, &item, sizeof(item));
}

/* Never 0, and the same on every machine, whatever seed hides the engines' hashes. */
static inline uint64_t kvi_record_version(kv_slice_t record)
{
    const kv_slice_t value = kvi_record_value(record);
    const uint64_t deadline = (uint64_t)kvi_record_deadline(record.data);
    const uint64_t seed = kvi_hash_mix(deadline << 2 ^ (uint64_t)kvi_record_form(record.data));
    const uint64_t digest = kvi_hash_bytes(value.data, value.size, seed);
    return digest != 0 ? digest : 1;
}

/* As in Redis, a key is still there in the millisecond of its deadline. */
static inline bool kvi_record_is_late(const char *record, int64_t now_ms)
{
    if (!kvi_record_is_timed(record)) {
        return false;
    }
    const int64_t deadline_ms = kvi_record_deadline(record);
    return deadline_ms != KVI_NO_DEADLINE && now_ms > deadline_ms;
}

#endif
