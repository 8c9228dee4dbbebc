/* SPDX-License-Identifier: MIT */
/*
 * Going back: clean-up callbacks, marks and rewind, reset.
 *
 *              mark            now
 *                ▼              ▼
 *   [ kept ......|xxxxxx] [xxxx|...]      a rewind drops the blocks newer than the mark's newest,
 *                                         then moves alloc_ptr back into the block it was in
 *
 * A mark is found false before anything changes: its serial must be that of the arena's last reset,
 * its newest block and its clean-up must still be in their lists, and its pointer must lie in what
 * is handed out now. So a mark can be used in the wrong order, but never leads outside the arena's
 * memory. Thread rule: that of the arena.
 */
#include "memory/arena_int.h"

kv_status_t kv_arena_on_cleanup(kv_arena_t *arena, void (*cleanup)(void *context), void *context)
{
    if (arena == NULL || cleanup == NULL) {
        return KV_INVALID;
    }
    if (!kvi_arena_reserve_cells(arena, 1, false) && !kvi_arena_reserve_cells(arena, 1, true)) {
        return KV_NO_MEMORY;
    }
    struct kv_arena_private *const state = arena->private_state;
    struct cleanup *const entry = &kvi_arena_cell(arena)->cleanup;
    *entry = (struct cleanup){.function = cleanup, .context = context, .older = state->cleanups};
    state->cleanups = entry;
    return KV_OK;
}

void kvi_arena_run_cleanups(kv_arena_t *arena, const struct cleanup *until)
{
    struct kv_arena_private *const state = arena->private_state;
    while (state->cleanups != until) {
        /* Off the list before the call, so that a clean-up may allocate or register another. */
        const struct cleanup entry = *state->cleanups;
        kvi_arena_free_cell(arena, state->cleanups);
        state->cleanups = entry.older;
        entry.function(entry.context);
    }
}

/* Back into the initial buffer, or to nothing. */
static void start_at_initial(kv_arena_t *arena, size_t filled)
{
    struct kv_arena_private *const state = arena->private_state;
    state->current = NULL;
    arena->alloc_ptr = state->initial == NULL ? NULL : state->initial + filled;
    arena->alloc_bytes_remaining = state->initial_bytes - filled;
}

void kv_arena_reset(kv_arena_t *arena, size_t keep_bytes)
{
    if (arena == NULL) {
        return;
    }
    struct kv_arena_private *const state = arena->private_state;
    kvi_arena_run_cleanups(arena, NULL);
    kvi_arena_drop_blocks(arena, keep_bytes);
    kvi_arena_trim_cells(arena);
    if (arena->blocks == NULL) {
        state->next_block_size = arena->block_size;
    }
    start_at_initial(arena, 0);
    state->initial_filled = 0;
    kvi_arena_hide(arena, state->initial, state->initial_bytes);
    arena->total_allocated = 0;
    if (state->profile != NULL) {
        *state->profile = (struct profile){0};
    }
    state->serial++;
}

kv_arena_mark_t kv_arena_mark(const kv_arena_t *arena)
{
    if (arena == NULL) {
        return (kv_arena_mark_t){0};
    }
    const struct kv_arena_private *const state = arena->private_state;
    return (kv_arena_mark_t){
        .alloc_ptr = arena->alloc_ptr,
        .alloc_bytes_remaining = arena->alloc_bytes_remaining,
        .blocks = arena->blocks,
        .total_allocated = arena->total_allocated,
        .asked = state->profile != NULL ? state->profile->asked : 0,
        .cleanups = state->cleanups,
        .serial = state->serial,
    };
}

static bool has_block(const kv_arena_t *arena, const struct arena_block *wanted)
{
    const struct arena_block *block = arena->blocks;
    while (block != wanted && block != NULL) {
        block = block->next;
    }
    return block == wanted;
}

static bool has_cleanup(const kv_arena_t *arena, const void *wanted)
{
    const struct cleanup *entry = arena->private_state->cleanups;
    while (entry != wanted && entry != NULL) {
        entry = entry->older;
    }
    return entry == wanted;
}

/* Whether a mark's position lies in these bytes, of which filled are in use now. */
static bool lies_in(const kv_arena_mark_t *mark, const char *data, size_t size, size_t filled)
{
    const uintptr_t start = (uintptr_t)data;
    const uintptr_t place = (uintptr_t)mark->alloc_ptr;
    return place >= start && place - start <= filled &&
           size - (size_t)(place - start) == mark->alloc_bytes_remaining;
}

static size_t filled_now(const kv_arena_t *arena, const struct block *block)
{
    return block == arena->private_state->current ? block->shown.size - arena->alloc_bytes_remaining
                                                  : block->filled;
}

static bool lies_in_block(const kv_arena_t *arena, const kv_arena_mark_t *mark,
                          const struct block *block)
{
    return !block->own && !is_spare(arena->private_state, block) &&
           lies_in(mark, block->shown.data, block->shown.size, filled_now(arena, block));
}

/* The block the mark was made in, one that stays: *block is NULL for the initial buffer and for a
 * mark made before the first block. False if there is none. */
static bool find_block(const kv_arena_t *arena, const kv_arena_mark_t *mark, struct block **block)
{
    const struct kv_arena_private *const state = arena->private_state;
    if (state->current != NULL && mark->blocks == arena->blocks &&
        lies_in_block(arena, mark, state->current)) {
        *block = state->current; /* most often no block was made since */
        return true;
    }
    for (*block = block_of(mark->blocks); *block != NULL; *block = block_of((*block)->shown.next)) {
        if (lies_in_block(arena, mark, *block)) {
            return true;
        }
    }
    const size_t filled = state->current == NULL
                              ? state->initial_bytes - arena->alloc_bytes_remaining
                              : state->initial_filled;
    return lies_in(mark, state->initial, state->initial_bytes, filled);
}

/* Ordinary blocks that were kept by a reset and stand after the current one wait for use again. */
static void respare(kv_arena_t *arena)
{
    struct kv_arena_private *const state = arena->private_state;
    struct block *block = state->current != NULL ? state->current->newer : state->oldest;
    while (block != NULL) {
        if (!block->own) {
            block->epoch = 0;
            kvi_arena_hide(arena, block->shown.data, block->shown.size);
        }
        block = block->newer;
    }
}

static void return_to(kv_arena_t *arena, const kv_arena_mark_t *mark, struct block *block)
{
    struct kv_arena_private *const state = arena->private_state;
    const struct block *const left = state->current;
    kvi_arena_run_cleanups(arena, mark->cleanups);
    while (arena->blocks != mark->blocks) {
        kvi_arena_drop_newest(arena);
    }
    if (block != NULL) {
        state->current = block;
        arena->alloc_ptr = mark->alloc_ptr;
        arena->alloc_bytes_remaining = mark->alloc_bytes_remaining;
    } else {
        start_at_initial(arena, state->initial_bytes - mark->alloc_bytes_remaining);
    }
    if (block != left) {
        respare(arena);
    }
    kvi_arena_trim_cells(arena);
    kvi_arena_hide(arena, arena->alloc_ptr, arena->alloc_bytes_remaining);
    arena->total_allocated = mark->total_allocated;
    if (state->profile != NULL) {
        state->profile->asked = mark->asked;
    }
}

kv_status_t kv_arena_rewind(kv_arena_t *arena, kv_arena_mark_t mark)
{
    if (arena == NULL || mark.serial != arena->private_state->serial ||
        mark.total_allocated > arena->total_allocated || !has_block(arena, mark.blocks) ||
        !has_cleanup(arena, mark.cleanups)) {
        return KV_INVALID;
    }
    struct block *block;
    if (!find_block(arena, &mark, &block)) {
        return KV_INVALID;
    }
    return_to(arena, &mark, block);
    return KV_OK;
}
