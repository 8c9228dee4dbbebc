/* SPDX-License-Identifier: MIT */
/*
 * What the arena's own files know of each other.
 *
 *   arena.c         create, destroy, allocate
 *   arena_blocks.c  runs from the block source and blocks cut from them
 *   arena_cells.c   cells: where the headers of runs, blocks and clean-ups stand
 *   arena_marks.c   clean-ups, mark, rewind, reset
 *   arena_text.c    calloc, realloc, copies, printf
 *   arena_stats.c   owns, statistics, check
 *
 * Two sizes of memory stand under an arena. A run is what the block source gives: whole pages, 4 KB
 * at first and larger as the arena grows, so that few calls are made. A block is what the reader of
 * kv_arena_t sees: exactly block_size usable bytes, cut from a run. Headers of both live in cells,
 * away from the bytes.
 *
 *   run     |<- block 1 ->|<- block 2 ->|<- own ->|<- block 3 ->|......|    in order of making
 *                                                               ▲ start + used
 *   blocks  block 3 ──► own ──► block 2 ──► block 1 ──► NULL    newest first, `newer` the other way
 *
 * A request above the block size gets a block of its own: cut from the run like the others if it is
 * small against the runs, else with a run of its own. A caller's block source gives one run for
 * every block.
 *
 * Invariants, verified by kv_arena_check:
 *  1. blocks and newer are one list in both directions, oldest its end; total_blocks and
 *     memory_usage are its sums.
 *  2. current is a block of the list that is neither own nor spare and holds alloc_ptr; NULL means
 *     the initial buffer or nothing.
 *  3. Shared blocks lie in shared runs, in the same order and without overlap; every shared run
 *     holds at least one.
 *  4. Spare blocks are those a reset has kept and nothing uses yet: all that are newer than current
 *     up to the first block made since that reset. Their epoch is not the arena's, so that a reset
 *     which keeps everything need not visit them.
 *  5. Cells in use are the blocks, the shared runs and the clean-ups; all others are in the free
 *     list or fresh.
 */
#ifndef KVI_MEMORY_ARENA_INT_H
#define KVI_MEMORY_ARENA_INT_H

#include "memory/block.h"

struct block {
    struct arena_block shown; /* first, so that the public list leads here */
    struct block *newer;
    size_t filled;       /* bytes in use when the arena went on to another block */
    uint32_t run_pages;  /* of the run that holds this block alone; 0: shared, or a caller's */
    uint32_t own : 1;    /* made for one oversized request */
    uint32_t epoch : 31; /* the arena's when the block was last taken into use */
};

/* A run from the process's source that is cut into blocks. */
struct run {
    char *start;
    size_t bytes;
    size_t used; /* bytes cut so far */
    struct run *older;
    bool kept; /* only within a reset */
};

struct cleanup {
    void (*function)(void *context);
    void *context;
    struct cleanup *older;
};

typedef union cell {
    struct block block;
    struct run run;
    struct cleanup cleanup;
    union cell *next_free;
} cell_t;

/* Cells come in chunks that grow with the arena; the first stands inside the arena's own object. */
struct cell_chunk {
    struct cell_chunk *older;
    size_t count;
    size_t fresh; /* cells from this one on were never used */
    cell_t cells[];
};

struct profile {
    size_t asked;
    size_t allocations;
    size_t histogram[KV_ARENA_HISTOGRAM_SLOTS];
};

struct kv_arena_private {
    kv_budget_t *budget;
    kv_block_source_t source; /* acquire is NULL: the process's source */
    kvi_block_owner_t owner;
    char *initial; /* the caller's buffer, aligned; NULL: none */
    size_t initial_bytes;
    size_t initial_filled;  /* bytes in use when the arena went on to a block */
    size_t block_size_max;  /* equal to block_size when blocks do not grow */
    size_t next_block_size; /* of the next ordinary block */
    struct block *current;
    struct block *oldest;
    struct run *runs; /* shared ones, newest first; blocks are cut from the first */
    struct cleanup *cleanups;
    struct cell_chunk *chunks; /* newest first */
    cell_t *free_cells;
    size_t cells_in_use;
    size_t cells_total;
    size_t run_bytes;    /* all runs and caller's blocks */
    size_t chunk_bytes;  /* all chunks but the first */
    size_t alone_blocks; /* blocks with a run of their own */
    size_t peak;         /* highest memory_usage */
    uint64_t serial;
    struct profile *profile; /* NULL: off */
    uint32_t epoch; /* of the last reset that kept blocks: those of another epoch are spare */
    bool checked;   /* unused bytes are poisoned */
};

/* The largest size that is worth trying. Sums of two such sizes and an alignment cannot wrap. */
static const size_t arena_bytes_max = (size_t)PTRDIFF_MAX / 2;
static const size_t arena_alignment_max = (size_t)1 << 30;

static inline size_t round_up(size_t size, size_t alignment)
{
    return (size + alignment - 1) & ~(alignment - 1);
}

static inline size_t skip_to(const void *address, size_t alignment)
{
    return (size_t)(-(uintptr_t)address & (alignment - 1));
}

static inline bool is_spare(const struct kv_arena_private *state, const struct block *block)
{
    return block->epoch != state->epoch;
}

/* NULL is accepted. shown is the first member. */
static inline struct block *block_of(struct arena_block *shown)
{
    return (struct block *)shown;
}

/* arena_blocks.c */

/* A new ordinary block of at least need bytes, which becomes current. False, with nothing changed,
 * when memory or the budget is short. need is at most next_block_size. */
bool kvi_arena_add_ordinary(kv_arena_t *arena, size_t need);
/* bytes at the alignment in a block of their own; the current block stays current. */
void *kvi_arena_add_own(kv_arena_t *arena, size_t bytes, size_t alignment);
/* Leaves the current block for another (or the initial buffer, for NULL), to be used from its
 * start. */
void kvi_arena_enter(kv_arena_t *arena, struct block *block);
/* The kept block that would be used next, or NULL. */
struct block *kvi_arena_next_spare(const kv_arena_t *arena);
/* Takes the newest block off the list and gives its memory back. */
void kvi_arena_drop_newest(kv_arena_t *arena);
/* For a reset, after the clean-ups: gives every block back but for shared runs of up to keep_bytes,
 * whose blocks are spare afterwards. current is NULL then. */
void kvi_arena_drop_blocks(kv_arena_t *arena, size_t keep_bytes);

/* arena_cells.c */

/* Makes sure that the next `count` calls of kvi_arena_cell succeed. sparing: with as little memory
 * as possible, where more was refused. False, with nothing changed, if that is impossible. */
bool kvi_arena_reserve_cells(kv_arena_t *arena, size_t count, bool sparing);
/* Takes a reservation back after which no cell was taken: chunks is what it was before. */
void kvi_arena_unreserve_cells(kv_arena_t *arena, const struct cell_chunk *chunks);
/* One of the reserved cells. */
cell_t *kvi_arena_cell(kv_arena_t *arena);
void kvi_arena_free_cell(kv_arena_t *arena, void *cell);
/* Gives the chunks back if no cell is in use. */
void kvi_arena_trim_cells(kv_arena_t *arena);
/* Declares every cell unused at once. */
void kvi_arena_free_all_cells(kv_arena_t *arena);

/* arena.c */

/* What the arena itself takes of the metadata. */
size_t kvi_arena_object_bytes(const kv_arena_t *arena);

/* size bytes (1 .. arena_bytes_max) at the alignment (a power of two from 8 to
 * arena_alignment_max). The functions that allocate end here. */
void *kvi_arena_take(kv_arena_t *arena, size_t size, size_t alignment);

/* arena_marks.c */

/* Runs and removes the clean-ups that are newer than until. */
void kvi_arena_run_cleanups(kv_arena_t *arena, const struct cleanup *until);

/* Under a sanitizer or valgrind: bytes that nobody may touch from now on, and bytes that were
 * handed out. */
void kvi_arena_hide(const kv_arena_t *arena, const void *start, size_t bytes);
void kvi_arena_show(const kv_arena_t *arena, const void *start, size_t bytes);

#endif
