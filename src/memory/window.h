/* SPDX-License-Identifier: MIT */
/*
 * Windows: the 4 MB pieces of address space in which a pool has blocks, numbered per pool, so that
 * an object can be named by 32 bits. Every block of the pool carries its window's number in its
 * tag.
 *
 *   reference   31          19 18             0
 *               ├─ window ──┤├─ offset / 8 ──┤       window 0 is nowhere: reference 0 is NULL
 *
 * Thread rule: one user at a time.
 */
#ifndef KVI_MEMORY_WINDOW_H
#define KVI_MEMORY_WINDOW_H

#include "memory/block_int.h"

enum { KVI_WINDOW_SHIFT = 22, KVI_WINDOWS_MAX = 1 << 13, KVI_REF_GRANULE_SHIFT = 3 };
enum { KVI_REF_OFFSET_BITS = KVI_WINDOW_SHIFT - KVI_REF_GRANULE_SHIFT };

typedef struct kvi_windows {
    char *const *bases; /* [number]: where the window begins; NULL: the number is free */
    char **own_bases;   /* the same, to be written; NULL without capacity */
    uint8_t *blocks;    /* [number]: blocks of the pool in this window */
    uint32_t capacity;  /* elements in both */
    uint32_t end;       /* no number from here on was ever in use */
    uint32_t latest;    /* where the last block was */
} kvi_windows_t;

void kvi_windows_init(kvi_windows_t *windows);
/* Numbers the windows of count blocks and writes them into the tags. False, with nothing changed,
 * when the numbers or the memory for their table have run out. */
bool kvi_windows_enter(kvi_windows_t *windows, kv_budget_t *budget, uint32_t first, uint32_t count);
void kvi_windows_leave(kvi_windows_t *windows, uint32_t first, uint32_t count);
void kvi_windows_clear(kvi_windows_t *windows, kv_budget_t *budget);
/* Bytes charged for the tables. */
size_t kvi_windows_bytes(const kvi_windows_t *windows);
/* The address below which blocks blocks of this class of the pool lie; past all of them if there
 * are no more. O(windows). */
const char *kvi_windows_pivot(const kvi_windows_t *windows, size_t number, size_t blocks);
/* The blocks in all windows. */
size_t kvi_windows_count(const kvi_windows_t *windows);

#endif
