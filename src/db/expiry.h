/* SPDX-License-Identifier: MIT */
/*
 * The index of deadlines of one keyspace: the keys that have one, in exact order. Its memory is
 * charged to the keyspace's budget. A zeroed index with a budget is an empty one and holds nothing.
 *
 * An item is made in two steps, so that nothing can fail once data have changed: reserve may fail,
 * add cannot. Between them the item is reserved: it belongs to nobody's order.
 * Thread rule: one user at a time.
 */
#ifndef KVI_DB_EXPIRY_H
#define KVI_DB_EXPIRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_memory.h>
#include <concordkv/kv_status.h>

typedef struct kvi_expiry_item kvi_expiry_item_t;
typedef struct kvi_expiry_entry kvi_expiry_entry_t;

typedef struct kvi_expiry {
    kv_budget_t *budget;
    kv_pool_t *pool;             /* NULL: nothing was ever reserved */
    kvi_expiry_entry_t **chunks; /* the heap, in pieces */
    size_t chunk_count;
    size_t chunk_capacity; /* of the array of chunks */
    size_t count;          /* items in order */
    size_t reserved;       /* items that are not */
    size_t relocate_at;    /* where kvi_expiry_relocate goes on; 0: no round is under way */
    size_t freed;          /* items freed since the last round began */
} kvi_expiry_t;

/* Drops every item in O(blocks); the index is then empty and may be used again. */
void kvi_expiry_clear(kvi_expiry_t *expiry);

/* A new item with a copy of key, and room in the order for it. NULL when memory is short. */
kvi_expiry_item_t *kvi_expiry_reserve(kvi_expiry_t *expiry, kv_slice_t key);
/* Frees a reserved item. NULL is accepted. */
void kvi_expiry_cancel(kvi_expiry_t *expiry, kvi_expiry_item_t *item);
/* Gives a reserved item its place in the order. Cannot fail. */
void kvi_expiry_add(kvi_expiry_t *expiry, kvi_expiry_item_t *item, int64_t deadline_ms);
/* Changes the deadline of an item in the order. Cannot fail. */
void kvi_expiry_move(kvi_expiry_t *expiry, kvi_expiry_item_t *item, int64_t deadline_ms);
/* Takes an item out of the order and frees it. */
void kvi_expiry_remove(kvi_expiry_t *expiry, kvi_expiry_item_t *item);
/* Removes every item whose key is wanted. O(items); needs no memory. */
void kvi_expiry_remove_where(kvi_expiry_t *expiry,
                             bool (*is_wanted)(const void *context, kv_slice_t key),
                             const void *context);

/* Takes up to max items whose deadline lies before now_ms out of the order, earliest first; they
 * are reserved then, to be cancelled by the caller. Returns their number. */
size_t kvi_expiry_take_due(kvi_expiry_t *expiry, int64_t now_ms, kvi_expiry_item_t **items,
                           size_t max);
/* The item in this place of the order's tree, below count: 0 is the earliest, the others are as
 * good as unordered. */
const kvi_expiry_item_t *kvi_expiry_at(const kvi_expiry_t *expiry, size_t place);
/* The earliest deadline; INT64_MAX if there is none. */
int64_t kvi_expiry_next(const kvi_expiry_t *expiry);

/* The item's copy of its key; valid as long as the item. */
kv_slice_t kvi_expiry_item_key(const kvi_expiry_item_t *item);
/* Bytes that an item of this key costs: its own and its place in the order. */
size_t kvi_expiry_item_bytes(const kvi_expiry_t *expiry, const kvi_expiry_item_t *item);

/* Moves items out of sparse blocks, looking at up to steps of them; moved is told each new address
 * before the old item is freed. Begins a round over all items only if enough were freed to be worth
 * it. Returns the number looked at; fewer than steps: nothing is left to do for now. */
size_t kvi_expiry_relocate(kvi_expiry_t *expiry, size_t steps,
                           void (*moved)(void *context, kvi_expiry_item_t *item), void *context);

/* Bytes obtained. */
size_t kvi_expiry_bytes(const kvi_expiry_t *expiry);
/* Verifies order and addresses; *deadline_ms of one item in the order. KV_OK or KV_CORRUPT. */
kv_status_t kvi_expiry_check(const kvi_expiry_t *expiry);
kv_status_t kvi_expiry_check_item(const kvi_expiry_t *expiry, const kvi_expiry_item_t *item,
                                  kv_slice_t key, int64_t deadline_ms);

#endif
