/* SPDX-License-Identifier: MIT */
/*
 * Reading an arena: who owns an address, where the bytes went, and whether all invariants of
 * arena_int.h hold. The short way of an allocation keeps one counter; the rest is derived here from
 * the blocks. Thread rule: that of the arena.
 */
#include "memory/arena_int.h"

static bool lies_within(const void *pointer, const char *start, size_t bytes)
{
    return (uintptr_t)pointer >= (uintptr_t)start && (uintptr_t)pointer - (uintptr_t)start < bytes;
}

/* Bytes of the caller's buffer in use, or of a block. */
static size_t initial_filled(const kv_arena_t *arena)
{
    const struct kv_arena_private *const state = arena->private_state;
    return state->current == NULL ? state->initial_bytes - arena->alloc_bytes_remaining
                                  : state->initial_filled;
}

static size_t block_filled(const kv_arena_t *arena, const struct block *block)
{
    if (is_spare(arena->private_state, block)) {
        return 0;
    }
    return block == arena->private_state->current ? block->shown.size - arena->alloc_bytes_remaining
                                                  : block->filled;
}

bool kv_arena_owns(const kv_arena_t *arena, const void *pointer)
{
    if (arena == NULL) {
        return false;
    }
    const struct arena_block *block = arena->blocks;
    for (; block != NULL; block = block->next) {
        if (lies_within(pointer, block->data, block->size)) {
            const struct block *const found = (const struct block *)block;
            return lies_within(pointer, block->data, block_filled(arena, found));
        }
    }
    return lies_within(pointer, arena->private_state->initial, initial_filled(arena));
}

static size_t spare_bytes(const kv_arena_t *arena)
{
    size_t bytes = 0;
    const struct block *block = kvi_arena_next_spare(arena);
    for (; block != NULL && is_spare(arena->private_state, block); block = block->newer) {
        bytes += block->shown.size;
    }
    return bytes;
}

kv_status_t kv_arena_stats(const kv_arena_t *arena, kv_arena_stats_t *stats)
{
    if (arena == NULL || stats == NULL) {
        return KV_INVALID;
    }
    const struct kv_arena_private *const state = arena->private_state;
    const struct profile *const profile = state->profile;
    *stats = (kv_arena_stats_t){
        .asked = arena->total_allocated,
        .remaining = arena->alloc_bytes_remaining + spare_bytes(arena),
        .headers = arena->total_blocks * sizeof(struct arena_block),
        .obtained = arena->memory_usage,
        .borrowed = state->initial_bytes,
        .peak = state->peak,
        .held =
            state->run_bytes + state->chunk_bytes + kvi_meta_charge(kvi_arena_object_bytes(arena)),
    };
    if (profile != NULL) {
        stats->asked = profile->asked;
        stats->rounding = arena->total_allocated - profile->asked;
        stats->allocations = profile->allocations;
        for (size_t i = 0; i < KV_ARENA_HISTOGRAM_SLOTS; i++) {
            stats->histogram[i] = profile->histogram[i];
        }
    }
    stats->tail = stats->obtained + stats->borrowed - stats->headers - stats->remaining -
                  arena->total_allocated;
    return KV_OK;
}

/* Invariant 1: the list in both directions, its sums. */
static bool list_is_sound(const kv_arena_t *arena)
{
    size_t count = 0;
    size_t usage = 0;
    const struct block *newer = NULL;
    const struct arena_block *shown = arena->blocks;
    while (shown != NULL) {
        const struct block *const block = (const struct block *)shown;
        if (block->newer != newer || shown->data == NULL || block->filled > shown->size) {
            return false;
        }
        count++;
        usage += shown->size + sizeof(struct arena_block);
        newer = block;
        shown = shown->next;
    }
    return newer == arena->private_state->oldest && count == arena->total_blocks &&
           usage == arena->memory_usage && usage <= arena->private_state->peak;
}

/* Invariant 2: where the next allocation goes. */
static bool position_is_sound(const kv_arena_t *arena)
{
    const struct kv_arena_private *const state = arena->private_state;
    if ((uintptr_t)arena->alloc_ptr % KV_ARENA_ALIGNMENT != 0) {
        return false;
    }
    const char *const start = state->current != NULL ? state->current->shown.data : state->initial;
    const size_t size = state->current != NULL ? state->current->shown.size : state->initial_bytes;
    if (arena->alloc_bytes_remaining > size ||
        (uintptr_t)start + size - arena->alloc_bytes_remaining != (uintptr_t)arena->alloc_ptr) {
        return false;
    }
    const struct arena_block *shown = arena->blocks;
    while (shown != NULL && (const struct block *)shown != state->current) {
        shown = shown->next;
    }
    return (const struct block *)shown == state->current &&
           (state->current == NULL || (!state->current->own && !is_spare(state, state->current)));
}

/* Invariant 3: shared blocks, newest first, lie one before the other in the shared runs, and no run
 * is without one. */
static bool runs_are_sound(const kv_arena_t *arena)
{
    const struct kv_arena_private *const state = arena->private_state;
    const bool caller_source = state->source.acquire != NULL;
    const struct arena_block *shown = caller_source ? NULL : arena->blocks;
    for (const struct run *run = state->runs; run != NULL; run = run->older) {
        uintptr_t end = (uintptr_t)run->start + run->used;
        size_t blocks = 0;
        if (run->used > run->bytes) {
            return false;
        }
        for (; shown != NULL; shown = shown->next) {
            const uintptr_t data = (uintptr_t)shown->data;
            if (((const struct block *)shown)->run_pages != 0) {
                continue;
            }
            if (data < (uintptr_t)run->start || data >= (uintptr_t)run->start + run->bytes) {
                break;
            }
            if (data + shown->size > end) {
                return false;
            }
            end = data;
            blocks++;
        }
        if (blocks == 0 || end != (uintptr_t)run->start) {
            return false;
        }
    }
    for (; shown != NULL; shown = shown->next) {
        if (((const struct block *)shown)->run_pages == 0) {
            return false;
        }
    }
    return true;
}

/* What the runs of both kinds hold is what was counted. */
static bool run_bytes_are_sound(const kv_arena_t *arena)
{
    const struct kv_arena_private *const state = arena->private_state;
    size_t bytes = 0;
    size_t alone = 0;
    for (const struct run *run = state->runs; run != NULL; run = run->older) {
        bytes += run->bytes;
    }
    const struct arena_block *shown = arena->blocks;
    for (; shown != NULL; shown = shown->next) {
        const size_t pages = ((const struct block *)shown)->run_pages;
        alone += pages > 0 ? 1 : 0;
        bytes += pages * KVI_PAGE_BYTES;
        bytes += state->source.acquire != NULL ? round_up(shown->size, 16) : 0;
    }
    return bytes == state->run_bytes && alone == state->alone_blocks;
}

/* Invariant 4: from the newest block to the current one come own blocks, then spare ones, mixed
 * with nothing else; older ones are never spare. */
static bool spares_are_sound(const kv_arena_t *arena)
{
    const struct kv_arena_private *const state = arena->private_state;
    const struct arena_block *shown = arena->blocks;
    bool newer_than_current = true;
    bool seen_spare = false;
    for (; shown != NULL; shown = shown->next) {
        const struct block *const block = (const struct block *)shown;
        if (block == state->current) {
            newer_than_current = false;
        }
        const bool spare = is_spare(state, block);
        const bool sound = !newer_than_current ? !spare : spare || (block->own && !seen_spare);
        if (!sound) {
            return false;
        }
        seen_spare = seen_spare || spare;
    }
    return true;
}

/* Invariant 5: every cell is in use, free or fresh. */
static bool cells_are_sound(const kv_arena_t *arena)
{
    const struct kv_arena_private *const state = arena->private_state;
    size_t in_use = arena->total_blocks;
    for (const struct run *run = state->runs; run != NULL; run = run->older) {
        in_use++;
    }
    for (const struct cleanup *entry = state->cleanups; entry != NULL; entry = entry->older) {
        in_use++;
    }
    size_t unused = 0;
    for (const cell_t *cell = state->free_cells; cell != NULL; cell = cell->next_free) {
        unused++;
    }
    size_t total = 0;
    for (const struct cell_chunk *chunk = state->chunks; chunk != NULL; chunk = chunk->older) {
        total += chunk->count;
        unused += chunk->count - chunk->fresh;
        if (chunk->fresh > chunk->count ||
            (chunk != state->chunks && chunk->fresh != chunk->count)) {
            return false;
        }
    }
    return in_use == state->cells_in_use && total == state->cells_total && in_use + unused == total;
}

kv_status_t kv_arena_check(const kv_arena_t *arena)
{
    if (arena == NULL) {
        return KV_INVALID;
    }
    if (!list_is_sound(arena) || !position_is_sound(arena) || !runs_are_sound(arena) ||
        !run_bytes_are_sound(arena) || !spares_are_sound(arena) || !cells_are_sound(arena)) {
        return KV_CORRUPT;
    }
    const struct profile *const profile = arena->private_state->profile;
    if (profile != NULL && profile->asked > arena->total_allocated) {
        return KV_CORRUPT;
    }
    kv_arena_stats_t stats;
    (void)kv_arena_stats(arena, &stats);
    return stats.tail <= stats.obtained + stats.borrowed ? KV_OK : KV_CORRUPT;
}
