/* SPDX-License-Identifier: MIT */
/*
 * Where an arena's blocks come from: runs of the process's block source, which grow with the arena
 * so that a block of 4 KB costs no call of the source, or one run a block from the caller's own
 * source. Layout and invariants: arena_int.h. Thread rule: that of the arena.
 */
#include "memory/arena_int.h"

#include "os/os.h"

/* A new shared run takes a quarter of what the arena has, within these bounds: so at most a fifth
 * is not yet in use. */
static const size_t run_bytes_min = KVI_PAGE_BYTES;
static const size_t run_bytes_max = (size_t)1 << 20;
enum { EPOCH_MAX = 0x7fffffff };
/* What every block's data is aligned to. */
static const size_t block_alignment = 16;

void kvi_arena_hide(const kv_arena_t *arena, const void *start, size_t bytes)
{
    if (arena->private_state->checked && bytes > 0) {
        kvi_os_poison(start, bytes);
    }
}

void kvi_arena_show(const kv_arena_t *arena, const void *start, size_t bytes)
{
    if (arena->private_state->checked && bytes > 0) {
        kvi_os_unpoison(start, bytes);
    }
}

static bool has_caller_source(const kv_arena_t *arena)
{
    return arena->private_state->source.acquire != NULL;
}

/* What a caller's source is asked for: its blocks are aligned to 16, so their sizes are multiples
 * of it. */
static size_t caller_run_bytes(size_t block_bytes)
{
    return round_up(block_bytes, block_alignment);
}

static void *acquire_run(kv_arena_t *arena, size_t bytes, size_t *obtained)
{
    struct kv_arena_private *const state = arena->private_state;
    void *run;
    if (!has_caller_source(arena)) {
        run = kvi_block_acquire(state->budget, &state->owner, bytes, obtained);
    } else {
        *obtained = caller_run_bytes(bytes);
        if (!kvi_budget_charge(state->budget, *obtained)) {
            return NULL;
        }
        run = state->source.acquire(state->source.context, *obtained);
        if (run == NULL) {
            kvi_budget_return(state->budget, *obtained);
        }
    }
    if (run != NULL) {
        state->run_bytes += *obtained;
        kvi_arena_hide(arena, run, *obtained);
    }
    return run;
}

static void release_run(kv_arena_t *arena, void *run, size_t obtained)
{
    struct kv_arena_private *const state = arena->private_state;
    kvi_arena_show(arena, run, obtained);
    state->run_bytes -= obtained;
    if (!has_caller_source(arena)) {
        kvi_block_release(state->budget, run, obtained);
    } else {
        state->source.release(state->source.context, run, obtained);
        kvi_budget_return(state->budget, obtained);
    }
}

/* The largest power of two that is no more than a quarter of what the arena has, within the bounds.
 */
static size_t grown_run_bytes(const kv_arena_t *arena)
{
    const size_t quarter = arena->private_state->run_bytes / 4;
    size_t bytes = run_bytes_min;
    while (bytes < run_bytes_max && bytes * 2 <= quarter) {
        bytes *= 2;
    }
    return bytes;
}

/* A new shared run for a block of size bytes; small again where the budget refuses a large one. */
static bool add_shared_run(kv_arena_t *arena, size_t size)
{
    struct kv_arena_private *const state = arena->private_state;
    const size_t grown = grown_run_bytes(arena);
    size_t obtained = 0;
    char *start = acquire_run(arena, size > grown ? size : grown, &obtained);
    if (start == NULL && size < grown) {
        start = acquire_run(arena, size, &obtained);
    }
    if (start == NULL) {
        return false;
    }
    struct run *const run = &kvi_arena_cell(arena)->run;
    *run = (struct run){.start = start, .bytes = obtained, .older = state->runs};
    state->runs = run;
    return true;
}

/* Where size bytes at the alignment fit into the newest shared run: the place to cut from; NULL if
 * they do not. */
static char *room_in_run(const kv_arena_t *arena, size_t size, size_t alignment)
{
    const struct run *const run = arena->private_state->runs;
    if (run == NULL) {
        return NULL;
    }
    const size_t used = round_up(run->used, block_alignment);
    if (used > run->bytes) {
        return NULL;
    }
    const size_t room = run->bytes - used;
    const size_t skip = skip_to(run->start + used, alignment);
    return skip <= room && size <= room - skip ? run->start + used : NULL;
}

static struct block *link_block(kv_arena_t *arena, char *data, size_t size)
{
    struct kv_arena_private *const state = arena->private_state;
    struct block *const newest = block_of(arena->blocks);
    struct block *const block = &kvi_arena_cell(arena)->block;
    *block = (struct block){.shown = {.data = data, .size = size, .next = arena->blocks},
                            .epoch = state->epoch & EPOCH_MAX};
    if (newest != NULL) {
        newest->newer = block;
    } else {
        state->oldest = block;
    }
    arena->blocks = &block->shown;
    arena->total_blocks++;
    arena->memory_usage += size + sizeof(struct arena_block);
    if (arena->memory_usage > state->peak) {
        state->peak = arena->memory_usage;
    }
    return block;
}

/* A block that has size bytes at the alignment, from the newest shared run or from a new one, whose
 * start is aligned to a page: so alignment is at most that unless there is room in the newest run.
 */
static struct block *cut_shared(kv_arena_t *arena, size_t size, size_t alignment)
{
    char *data = room_in_run(arena, size, alignment);
    if (data == NULL) {
        if (!add_shared_run(arena, size)) {
            return NULL;
        }
        data = arena->private_state->runs->start;
    }
    const size_t bytes = skip_to(data, alignment) + size;
    struct run *const run = arena->private_state->runs;
    run->used = (size_t)(data - run->start) + bytes;
    return link_block(arena, data, bytes);
}

/* A run for one block alone, which has skip + size bytes: skip leads from the run's start to the
 * alignment. */
static struct block *add_alone(kv_arena_t *arena, size_t size, size_t alignment)
{
    size_t bytes = size;
    if (has_caller_source(arena)) {
        bytes += alignment > block_alignment ? alignment - block_alignment : 0;
    } else if (alignment > KVI_BLOCK_BYTES) {
        bytes += alignment;
    } else if (alignment > KVI_PAGE_BYTES && bytes < KVI_BLOCK_BYTES) {
        bytes = KVI_BLOCK_BYTES; /* runs from this size on are aligned to it */
    }
    if (bytes / KVI_PAGE_BYTES >= UINT32_MAX - KVI_BLOCK_BYTES / KVI_PAGE_BYTES) {
        return NULL;
    }
    size_t obtained = 0;
    char *const start = acquire_run(arena, bytes, &obtained);
    if (start == NULL) {
        return NULL;
    }
    if (has_caller_source(arena)) {
        return link_block(arena, start, bytes);
    }
    struct block *const block = link_block(arena, start, skip_to(start, alignment) + size);
    block->run_pages = (uint32_t)(obtained / KVI_PAGE_BYTES);
    arena->private_state->alone_blocks++;
    return block;
}

static struct block *try_ordinary(kv_arena_t *arena, size_t size, bool sparing)
{
    const struct cell_chunk *const chunks = arena->private_state->chunks;
    if (!kvi_arena_reserve_cells(arena, 2, sparing)) {
        return NULL;
    }
    struct block *const block = has_caller_source(arena) ? add_alone(arena, size, block_alignment)
                                                         : cut_shared(arena, size, block_alignment);
    if (block == NULL) {
        kvi_arena_unreserve_cells(arena, chunks);
    }
    return block;
}

/* Where a budget is nearly used up, the headers may have taken what the block needs. */
static struct block *make_ordinary(kv_arena_t *arena, size_t size)
{
    struct block *const block = try_ordinary(arena, size, false);
    return block != NULL ? block : try_ordinary(arena, size, true);
}

void kvi_arena_enter(kv_arena_t *arena, struct block *block)
{
    struct kv_arena_private *const state = arena->private_state;
    if (state->current != NULL) {
        state->current->filled = state->current->shown.size - arena->alloc_bytes_remaining;
    } else {
        state->initial_filled = state->initial_bytes - arena->alloc_bytes_remaining;
    }
    block->own = 0;
    block->epoch = state->epoch & EPOCH_MAX;
    state->current = block;
    arena->alloc_ptr = block->shown.data;
    arena->alloc_bytes_remaining = block->shown.size;
}

bool kvi_arena_add_ordinary(kv_arena_t *arena, size_t need)
{
    struct kv_arena_private *const state = arena->private_state;
    struct block *block = make_ordinary(arena, state->next_block_size);
    if (block == NULL && state->next_block_size > arena->block_size && need <= arena->block_size) {
        block = make_ordinary(arena, arena->block_size);
    }
    if (block == NULL) {
        return false;
    }
    kvi_arena_enter(arena, block);
    const size_t size = block->shown.size;
    state->next_block_size = size <= state->block_size_max / 2 ? size * 2 : state->block_size_max;
    return true;
}

/* Whether a block of its own had better be cut from the shared runs than have a run of its own. */
static bool is_small_for_runs(const kv_arena_t *arena, size_t bytes, size_t alignment)
{
    if (has_caller_source(arena)) {
        return false;
    }
    return room_in_run(arena, bytes, alignment) != NULL ||
           (alignment <= KVI_PAGE_BYTES && bytes <= grown_run_bytes(arena) / 8);
}

static struct block *try_own(kv_arena_t *arena, size_t bytes, size_t alignment, bool sparing)
{
    const struct cell_chunk *const chunks = arena->private_state->chunks;
    if (!kvi_arena_reserve_cells(arena, 2, sparing)) {
        return NULL;
    }
    struct block *const block = is_small_for_runs(arena, bytes, alignment)
                                    ? cut_shared(arena, bytes, alignment)
                                    : add_alone(arena, bytes, alignment);
    if (block == NULL) {
        kvi_arena_unreserve_cells(arena, chunks);
    }
    return block;
}

void *kvi_arena_add_own(kv_arena_t *arena, size_t bytes, size_t alignment)
{
    struct block *block = try_own(arena, bytes, alignment, false);
    if (block == NULL) {
        block = try_own(arena, bytes, alignment, true);
    }
    if (block == NULL) {
        return NULL;
    }
    char *const result = block->shown.data + skip_to(block->shown.data, alignment);
    block->own = 1;
    block->filled = (size_t)(result - block->shown.data) + bytes;
    return result;
}

struct block *kvi_arena_next_spare(const kv_arena_t *arena)
{
    const struct kv_arena_private *const state = arena->private_state;
    struct block *const next = state->current != NULL ? state->current->newer : state->oldest;
    return next != NULL && is_spare(state, next) ? next : NULL;
}

static bool is_shared(const kv_arena_t *arena, const struct block *block)
{
    return !has_caller_source(arena) && block->run_pages == 0;
}

/* Gives back the run of a block that has one of its own. */
static void release_alone(kv_arena_t *arena, const struct block *block)
{
    arena->private_state->alone_blocks -= has_caller_source(arena) ? 0 : 1;
    release_run(arena, block->shown.data,
                has_caller_source(arena) ? caller_run_bytes(block->shown.size)
                                         : (size_t)block->run_pages * KVI_PAGE_BYTES);
}

/* The newest shared run, which holds no block any more. */
static void drop_run(kv_arena_t *arena, struct run *run)
{
    release_run(arena, run->start, run->bytes);
    kvi_arena_free_cell(arena, run);
}

static void uncount(kv_arena_t *arena, const struct block *block)
{
    arena->total_blocks--;
    arena->memory_usage -= block->shown.size + sizeof(struct arena_block);
}

void kvi_arena_drop_newest(kv_arena_t *arena)
{
    struct kv_arena_private *const state = arena->private_state;
    struct block *const block = block_of(arena->blocks);
    arena->blocks = block->shown.next;
    if (arena->blocks != NULL) {
        block_of(arena->blocks)->newer = NULL;
    } else {
        state->oldest = NULL;
    }
    uncount(arena, block);
    if (!block->own) {
        state->next_block_size = block->shown.size;
    }
    if (!is_shared(arena, block)) {
        release_alone(arena, block);
    } else {
        struct run *const run = state->runs;
        run->used = (size_t)(block->shown.data - run->start);
        kvi_arena_hide(arena, block->shown.data, block->shown.size);
        if (run->used == 0) {
            state->runs = run->older;
            drop_run(arena, run);
        }
    }
    kvi_arena_free_cell(arena, block);
}

/* Marks the newest shared runs that fit into keep_bytes. */
static void choose_runs(kv_arena_t *arena, size_t keep_bytes)
{
    for (struct run *run = arena->private_state->runs; run != NULL; run = run->older) {
        run->kept = run->bytes <= keep_bytes;
        keep_bytes -= run->kept ? run->bytes : 0;
    }
}

static void drop_unchosen_runs(kv_arena_t *arena)
{
    struct run **link = &arena->private_state->runs;
    while (*link != NULL) {
        struct run *const run = *link;
        if (run->kept) {
            link = &run->older;
        } else {
            *link = run->older;
            drop_run(arena, run);
        }
    }
}

static bool holds(const struct run *run, const struct block *block)
{
    return block->shown.data >= run->start && block->shown.data < run->start + run->bytes;
}

/* Whether a reset keeps this block: *run follows the shared blocks from the newest run to the
 * oldest. */
static bool keeps_block(const kv_arena_t *arena, const struct block *block, struct run **run,
                        size_t *caller_keep)
{
    if (is_shared(arena, block)) {
        while (!holds(*run, block)) {
            *run = (*run)->older;
        }
        return (*run)->kept;
    }
    const size_t bytes = caller_run_bytes(block->shown.size);
    if (!has_caller_source(arena) || block->own || bytes > *caller_keep) {
        return false;
    }
    *caller_keep -= bytes;
    return true;
}

/* The general case: visits every block. */
static void keep_chosen(kv_arena_t *arena, size_t keep_bytes)
{
    struct kv_arena_private *const state = arena->private_state;
    struct run *run = state->runs;
    choose_runs(arena, keep_bytes);
    struct arena_block **link = &arena->blocks;
    struct block *newer = NULL;
    while (*link != NULL) {
        struct block *const block = block_of(*link);
        if (keeps_block(arena, block, &run, &keep_bytes)) {
            block->newer = newer;
            block->filled = 0;
            block->own = 0;
            block->epoch = 0;
            kvi_arena_hide(arena, block->shown.data, block->shown.size);
            newer = block;
            link = &block->shown.next;
            continue;
        }
        *link = block->shown.next;
        uncount(arena, block);
        if (!is_shared(arena, block)) {
            release_alone(arena, block);
        }
        kvi_arena_free_cell(arena, block);
    }
    drop_unchosen_runs(arena);
    state->oldest = newer;
    state->epoch = 1; /* no kept block has it */
}

/* Every caller's block. */
static void release_to_caller(kv_arena_t *arena)
{
    for (struct arena_block *shown = arena->blocks; shown != NULL; shown = shown->next) {
        release_alone(arena, block_of(shown));
    }
}

/* Every run of the process's source at once: so that the source can join them before any of it goes
 * back to the system. Blocks in shared runs need not be visited. */
static void release_to_process(kv_arena_t *arena)
{
    struct kv_arena_private *const state = arena->private_state;
    kvi_block_release_t release;
    kvi_block_release_begin(&release, state->budget);
    for (const struct run *run = state->runs; run != NULL; run = run->older) {
        kvi_arena_show(arena, run->start, run->bytes);
        kvi_block_release_add(&release, run->start, run->bytes);
    }
    const struct arena_block *shown = state->alone_blocks > 0 ? arena->blocks : NULL;
    for (; shown != NULL; shown = shown->next) {
        const size_t bytes = (size_t)((const struct block *)shown)->run_pages * KVI_PAGE_BYTES;
        if (bytes > 0) {
            kvi_arena_show(arena, shown->data, bytes);
            kvi_block_release_add(&release, shown->data, bytes);
        }
    }
    kvi_block_release_end(&release);
    state->run_bytes = 0;
    state->alone_blocks = 0;
}

/* Nothing is kept: all cells go with their chunks. */
static void drop_all(kv_arena_t *arena)
{
    struct kv_arena_private *const state = arena->private_state;
    if (has_caller_source(arena)) {
        release_to_caller(arena);
    } else if (state->run_bytes > 0) {
        release_to_process(arena);
    }
    arena->blocks = NULL;
    arena->total_blocks = 0;
    arena->memory_usage = 0;
    state->oldest = NULL;
    state->runs = NULL;
    state->epoch = 1;
    kvi_arena_free_all_cells(arena);
}

void kvi_arena_drop_blocks(kv_arena_t *arena, size_t keep_bytes)
{
    struct kv_arena_private *const state = arena->private_state;
    const bool keeps_all = keep_bytes >= state->run_bytes && state->alone_blocks == 0;
    if (keep_bytes < run_bytes_min && (!has_caller_source(arena) || keep_bytes == 0)) {
        drop_all(arena);
    } else if (keeps_all && !has_caller_source(arena) && !state->checked &&
               state->epoch < EPOCH_MAX) {
        state->epoch++; /* which makes every block spare */
    } else {
        keep_chosen(arena, keep_bytes);
    }
    state->current = NULL;
}
