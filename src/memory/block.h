/* SPDX-License-Identifier: MIT */
/*
 * The block source: one for the process, under every arena, every pool and kv_store_malloc. It
 * reserves address space once, hands out runs of whole pages, caches free runs up to the idle limit
 * and gives the rest back to the system.
 *
 * Runs below KVI_BLOCK_BYTES are multiples of KVI_PAGE_BYTES cut from a shared block; runs from
 * there on are multiples of KVI_BLOCK_BYTES aligned to it. Thread rule: any thread.
 */
#ifndef KVI_MEMORY_BLOCK_H
#define KVI_MEMORY_BLOCK_H

#include <concordkv/kv_memory.h>

#define KVI_PAGE_BYTES ((size_t)4096)
#define KVI_BLOCK_BYTES ((size_t)65536)

/* Who holds a run: what the block map shows. Must outlive the run; several runs may share one. */
typedef struct kvi_block_owner {
    kv_block_kind_t kind;
    const char *name;
    const void *id;
    kv_huge_pages_t huge_pages;
} kvi_block_owner_t;

/* At least bytes bytes, charged to budget (may be NULL) as *obtained, the rounded size. The content
 * is undefined. NULL, with nothing charged, when the budget or the system refuses. */
void *kvi_block_acquire(kv_budget_t *budget, const kvi_block_owner_t *owner, size_t bytes,
                        size_t *obtained);
/* Takes back a run with the size it was obtained with. */
void kvi_block_release(kv_budget_t *budget, void *run, size_t obtained);

/* Takes back many runs of one owner at once: their neighbours are joined before anything goes back
 * to the system, and the source is locked between begin and end. Nothing of the memory core may be
 * called between them but add. */
typedef struct kvi_block_release {
    kv_budget_t *budget;
    size_t bytes;
} kvi_block_release_t;
void kvi_block_release_begin(kvi_block_release_t *release, kv_budget_t *budget);
void kvi_block_release_add(kvi_block_release_t *release, void *run, size_t obtained);
void kvi_block_release_end(kvi_block_release_t *release);

/* Small objects of the memory core itself (an arena's struct and headers, a pool's tables), 16-byte
 * aligned, charged to budget. The content is undefined. Free with the same size. */
void *kvi_meta_alloc(kv_budget_t *budget, size_t bytes);
void kvi_meta_free(kv_budget_t *budget, void *object, size_t bytes);
/* What an object of bytes bytes is charged with. */
size_t kvi_meta_charge(size_t bytes);

/* Charges and returns bytes; false, with nothing charged, when this budget or a parent would pass
 * its hard limit. A NULL budget always accepts. */
bool kvi_budget_charge(kv_budget_t *budget, size_t bytes);
void kvi_budget_return(kv_budget_t *budget, size_t bytes);

/* Gives idle runs above keep_bytes back to the system, at most max_bytes in this call. Returns the
 * bytes given back. For owners who must not pause: call it in slices. */
size_t kvi_block_purge(size_t keep_bytes, size_t max_bytes);

#endif
