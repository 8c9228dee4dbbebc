/* SPDX-License-Identifier: MIT */
/*
 * What the files of the memory core share about blocks: the flat tables beside the reservation.
 *
 *   one reservation of address space, made once
 *   ┌──────────────────────────────────────────────┬──────────────┬──────────┬──────────────┐
 *   │ block 0 │ block 1 │ ...        64 KB each    │ entries 64 B │ tags 4 B │ page owners  │
 *   └──────────────────────────────────────────────┴──────────────┴──────────┴──────────────┘
 *   ▲ base              ▲ base + (committed << 16)
 *
 * Every block has one element in each table, found by (address - base) >> 16. Blocks and their
 * table elements become usable together, a region of 64 blocks (4 MB) at a time and in address
 * order; the system supplies their pages when they are first touched. Block 0 is never handed out,
 * so that index 0 means "none" in every link.
 *
 * The committed blocks are partitioned into runs. A run's first and last element say what it is:
 *
 *   state          list links                 who may write its elements
 *   CLEAN  free    bin of clean runs          holder of the source's mutex
 *   IDLE   free    bin of idle runs           holder of the source's mutex
 *   BUSY           none                       the thread that is giving its pages back
 *   PAGES          shared blocks with room    holder of the source's mutex
 *   USED           its owner's                its owner; owner and tag only under the mutex
 *
 * A clean run reads as zero: it was never touched, or its pages were given back. An idle run is
 * still resident.
 */
#ifndef KVI_MEMORY_BLOCK_INT_H
#define KVI_MEMORY_BLOCK_INT_H

#include "memory/block.h"
#include "os/os.h"

#include <assert.h>
#include <stdatomic.h>

enum { KVI_BLOCK_SHIFT = 16, KVI_REGION_BLOCKS = 64, KVI_PAGES_PER_BLOCK = 16, KVI_RUN_BINS = 128 };
#define KVI_REGION_BYTES ((size_t)KVI_REGION_BLOCKS << KVI_BLOCK_SHIFT)
#define KVI_HUGE_PAGE_BYTES ((size_t)2 << 20)

typedef enum kvi_run_state {
    KVI_RUN_NONE = 0, /* not committed yet */
    KVI_RUN_CLEAN,
    KVI_RUN_IDLE,
    KVI_RUN_BUSY,
    KVI_RUN_PAGES,
    KVI_RUN_USED
} kvi_run_state_t;

/* Tags of blocks that hold no size class; the classes count from 0. */
enum { KVI_TAG_LARGE = 126, KVI_TAG_OTHER = 127, KVI_TAGS = 128 };

/* What every free and every reference needs to know about a block; apart from the entry so that it
 * stays in cache. */
typedef struct kvi_tag {
    uint16_t size_class; /* or KVI_TAG_LARGE, KVI_TAG_OTHER */
    uint16_t window;     /* number of this block's 4 MB in the pool that owns it */
} kvi_tag_t;

typedef struct kvi_block {
    const kvi_block_owner_t *owner;
    uint32_t run_blocks; /* in the first block of every run, and in the last one of a free run */
    uint32_t head;       /* used runs of pools, every block: the first one of the run */
    uint32_t previous;   /* in the list that the state names */
    uint32_t next;
    uint8_t state;
    uint16_t free_pages; /* PAGES: a bit for every free page */

    /* Spans and large objects of a heap (heap.h), in the first block. */
    uint16_t first_word;    /* no free object stands in a bitmap word before this one */
    _Atomic uint16_t pages; /* of the span that are open: charged, and cut into objects */
    uint32_t objects;       /* how many those hold */
    _Atomic uint32_t taken; /* of them not in the bitmap: live, or resting in a magazine */
    uint32_t queue_child;   /* links of the queue of spans with free objects (queue.h) */
    uint32_t queue_sibling;
    uint32_t queue_back;
    _Atomic uint32_t object_bytes; /* 0: not a span */
    uint64_t *bitmap;              /* a bit for every free object */
} kvi_block_t;
_Static_assert(sizeof(kvi_block_t) <= 64, "an entry is at most one cache line");

typedef struct kvi_source {
    _Atomic bool
        started; /* the five below are set and, but for the committed blocks, never change */
    char *base;
    kvi_block_t *blocks;
    kvi_tag_t *tags;
    const kvi_block_owner_t *(*page_owners)[KVI_PAGES_PER_BLOCK];
    _Atomic size_t committed_blocks; /* usable from base on; only grows */
    size_t reserved_bytes;

    kvi_os_mutex_t mutex; /* guards everything below and the states and links of the entries */
    uint32_t committed;   /* blocks */
    uint32_t bins[2][KVI_RUN_BINS]; /* first run of each length class: idle runs, clean runs */
    uint64_t filled[2][KVI_RUN_BINS / 64];
    uint32_t shared;      /* first block with free pages */
    uint32_t used;        /* blocks in used and shared runs */
    uint32_t idle;        /* blocks in idle runs */
    uint32_t peak;        /* highest used + idle */
    uint32_t idle_limit;  /* blocks */
    uint64_t above_since; /* clock reading when only parts of huge pages were left to give; 0: no */
    bool adapts;          /* the limit is the default, which regret raises */
    uint32_t purged;      /* blocks given back to the system and not taken again since */
    uint32_t regret;      /* of those, blocks that were taken again: they should have been kept */
    _Atomic bool hooked;  /* the fork hooks are registered */
    bool huge;            /* regions are advised huge from now on */
    uint32_t huge_from;   /* from this block on regions may have huge pages */
    size_t refuse_after;  /* test hook: acquisitions until the system "refuses"; 0: never */
} kvi_source_t;

/* The one source of the process. Zeros are a source that has not reserved yet. */
extern kvi_source_t kvi_source;

/* Makes the reservation if it has not been made. False when no address space can be had. */
bool kvi_source_start(void);
void kvi_source_lock(void);
void kvi_source_unlock(void);

static inline char *kvi_block_address(uint32_t block)
{
    return kvi_source.base + ((size_t)block << KVI_BLOCK_SHIFT);
}

/* Where address lies from base; at least reserved_bytes if it is none of ours. */
static inline size_t kvi_source_offset(const void *address)
{
    return (size_t)((uintptr_t)address - (uintptr_t)kvi_source.base);
}

/* Whether address lies in a committed block; *block is its number then. NULL does not. */
static inline bool kvi_block_find(const void *address, size_t *block)
{
    *block = kvi_source_offset(address) >> KVI_BLOCK_SHIFT;
    return *block < atomic_load_explicit(&kvi_source.committed_blocks, memory_order_acquire);
}

static inline bool kvi_source_owns(const void *address)
{
    size_t block = 0;
    return kvi_block_find(address, &block);
}

/* The number of the block that holds address, which must be one of ours. */
static inline uint32_t kvi_block_number(const void *address)
{
    return (uint32_t)(kvi_source_offset(address) >> KVI_BLOCK_SHIFT);
}

/* ---- run.c: free runs; the mutex is held ---- */

/* Takes count blocks out of the free runs or from fresh regions; 0 when the system refuses. *clean
 * of them were not resident; if that is all of them, they read as 0. */
uint32_t kvi_run_take(uint32_t count, kv_huge_pages_t huge_pages, uint32_t *clean);
/* Takes the count blocks from first on if they are all free, or beyond what was committed. */
bool kvi_run_take_at(uint32_t first, uint32_t count);
/* Makes count used blocks idle, or clean, and joins them with free neighbours of that state. */
void kvi_run_give(uint32_t first, uint32_t count, kvi_run_state_t state);
/* Takes about count blocks off an idle run, to be given back to the system: state BUSY. Whole huge
 * pages first, then the longest run's end, unless that is a part of huge pages and split is false.
 * 0: there is none. */
uint32_t kvi_run_take_idle(uint32_t count, bool split, uint32_t *taken);
/* Verifies that the runs partition the committed blocks and that bins and counts agree. Takes the
 * mutex. */
kv_status_t kvi_run_check(void);

/* ---- block.c ---- */

/* A request in full; what kvi_block_acquire leaves out is zero. */
typedef struct kvi_block_request {
    kv_budget_t *budget;
    const kvi_block_owner_t *owner;
    uint32_t count;     /* blocks */
    uint32_t alignment; /* in blocks, a power of two; 0: one */
    uint16_t tag;       /* for every block; KVI_TAG_OTHER: heads are not recorded either */
    size_t charge;      /* bytes to charge for now; 0: all of them */
} kvi_block_request_t;

/* As kvi_block_purge, but parts of huge pages go back at once. */
size_t kvi_block_purge_now(size_t keep_bytes, size_t max_bytes);
/* What kvi_block_acquire obtains for bytes: whole pages or blocks; 0 for what no address space
 * could hold. */
size_t kvi_block_rounded(size_t bytes);
/* The first block of a used run of request->count, or 0 with nothing charged. */
uint32_t kvi_blocks_acquire(const kvi_block_request_t *request, bool *zeroed);
/* kvi_block_release_add for whole blocks of which only charged bytes were charged. */
void kvi_blocks_release_add(kvi_block_release_t *release, uint32_t first, uint32_t count,
                            size_t charged);
/* Makes a used run longer in place. False, with nothing charged, when the blocks behind it are not
 * free. */
bool kvi_blocks_extend(kv_budget_t *budget, uint32_t first, uint32_t count, uint32_t new_count);
/* Gives the end of a used run back. */
void kvi_blocks_shrink(kv_budget_t *budget, uint32_t first, uint32_t count, uint32_t new_count);

/* Fills in the figures of the system and of the idle cache. */
void kvi_block_stats(kv_memory_stats_t *stats);

/* ---- fork.c ---- */

/* Has every mutex of the memory core held across fork. Called once, by the source. */
void kvi_memory_fork_hooks(void);

/* ---- meta.c ---- */
void kvi_meta_lock(void);
void kvi_meta_unlock(void);

#endif
