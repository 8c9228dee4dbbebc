/* SPDX-License-Identifier: MIT */
/*
 * The 24 bits of a record's access clock, in one of two readings, by the keyspace's policy:
 *
 *   ordinary, LRU   seconds of the last access, the lower 24 bits (194 days)
 *   LFU             minutes of the last access, the lower 16 bits (45 days) | counter, 8 bits
 *
 * The counter is Redis's: logarithmic, after Morris 1978. It rises with probability
 * 1 / ((counter - 5) * 10 + 1), falls by one a minute without access, and is 5 at first, so that a
 * new entry is not the next to go. A change of policy leaves the bits as they are; they are right
 * again after the next access.
 */
#ifndef KVI_DB_ACCESS_H
#define KVI_DB_ACCESS_H

#include "base/random.h"
#include "db/db_int.h"

#define KVI_LFU_FIRST 5U
#define KVI_LFU_FACTOR 10U
#define KVI_LFU_MAX 255U
#define KVI_LFU_MINUTES_MASK UINT32_C(0xffff)

static inline uint32_t kvi_lfu_minutes(int64_t now_ms)
{
    return (uint32_t)((uint64_t)now_ms / 60000) & KVI_LFU_MINUTES_MASK;
}

/* The counter as it stands now, with what it lost since the last access. */
static inline uint32_t kvi_lfu_counter(uint32_t access, int64_t now_ms)
{
    const uint32_t minutes = (kvi_lfu_minutes(now_ms) - (access >> 8)) & KVI_LFU_MINUTES_MASK;
    const uint32_t counter = access & KVI_LFU_MAX;
    return counter > minutes ? counter - minutes : 0;
}

/* The bits after an access. */
static inline uint32_t kvi_lfu_touch(uint32_t access, int64_t now_ms, kvi_random_t *random)
{
    uint32_t counter = kvi_lfu_counter(access, now_ms);
    if (counter < KVI_LFU_MAX) {
        const uint32_t base = counter > KVI_LFU_FIRST ? counter - KVI_LFU_FIRST : 0;
        counter += kvi_random_below(random, base * KVI_LFU_FACTOR + 1) == 0;
    }
    return kvi_lfu_minutes(now_ms) << 8 | counter;
}

/* Seconds since the last access, as far as the bits tell. */
static inline uint32_t kvi_idle_seconds(const kvi_keyspace_t *keyspace, const char *record,
                                        int64_t now_ms)
{
    const uint32_t access = kvi_record_access(record);
    if (keyspace->counts_uses) {
        return ((kvi_lfu_minutes(now_ms) - (access >> 8)) & KVI_LFU_MINUTES_MASK) * 60;
    }
    return (kvi_clock(now_ms) - access) & KVI_CLOCK_MASK;
}

/* The bits for a record that is written; old data NULL: it is new. */
static inline uint32_t kvi_access_of_write(kvi_keyspace_t *keyspace, kv_slice_t old, int64_t now_ms)
{
    if (!keyspace->counts_uses) {
        return kvi_clock(now_ms);
    }
    if (old.data == NULL) {
        return kvi_lfu_minutes(now_ms) << 8 | KVI_LFU_FIRST;
    }
    return kvi_lfu_touch(kvi_record_access(old.data), now_ms, &keyspace->db->random);
}

#endif
