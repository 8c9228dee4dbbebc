/* SPDX-License-Identifier: MIT */
/*
 * Cells: equal small pieces of metadata for the headers of blocks and runs and for clean-ups. They
 * come in chunks from the memory core, charged to the arena's budget.
 *
 *   chunks ──► [ newest: used .. | fresh .. ] ──► [ used .. ] ──► [ first, in the arena's object ]
 *   free_cells ──► cell ──► cell ──► NULL          given back, from any chunk
 *
 * Invariants: 1. only the newest chunk has fresh cells. 2. free_cells, the fresh cells and
 * cells_in_use make cells_total. Thread rule: that of the arena.
 */
#include "memory/arena_int.h"

/* The largest chunk takes one block of the source. */
enum { CELLS_MIN = 8, CELLS_MAX = 1364 };

static size_t chunk_bytes(size_t count)
{
    return sizeof(struct cell_chunk) + count * sizeof(cell_t);
}

_Static_assert(sizeof(struct cell_chunk) + CELLS_MAX * sizeof(cell_t) <= KVI_BLOCK_BYTES,
               "a chunk of the largest size fits a block");

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static bool add_chunk(kv_arena_t *arena, size_t count)
{
    struct kv_arena_private *const state = arena->private_state;
    struct cell_chunk *const chunk = kvi_meta_alloc(state->budget, chunk_bytes(count));
    if (chunk == NULL) {
        return false;
    }
    while (state->chunks->fresh < state->chunks->count) {
        cell_t *const cell = &state->chunks->cells[state->chunks->fresh++];
        cell->next_free = state->free_cells;
        state->free_cells = cell;
    }
    *chunk = (struct cell_chunk){.older = state->chunks, .count = count};
    state->chunks = chunk;
    state->cells_total += count;
    state->chunk_bytes += kvi_meta_charge(chunk_bytes(count));
    return true;
}

/* No cell of it may be in use or in the free list. */
static void drop_newest_chunk(kv_arena_t *arena)
{
    struct kv_arena_private *const state = arena->private_state;
    struct cell_chunk *const chunk = state->chunks;
    state->chunks = chunk->older;
    state->cells_total -= chunk->count;
    state->chunk_bytes -= kvi_meta_charge(chunk_bytes(chunk->count));
    kvi_meta_free(state->budget, chunk, chunk_bytes(chunk->count));
}

bool kvi_arena_reserve_cells(kv_arena_t *arena, size_t count, bool sparing)
{
    const struct kv_arena_private *const state = arena->private_state;
    if (state->cells_total - state->cells_in_use >= count) {
        return true;
    }
    const size_t doubling = smaller(larger(state->cells_total, CELLS_MIN), CELLS_MAX);
    return add_chunk(arena, sparing ? CELLS_MIN : doubling);
}

void kvi_arena_unreserve_cells(kv_arena_t *arena, const struct cell_chunk *chunks)
{
    if (arena->private_state->chunks != chunks) {
        drop_newest_chunk(arena);
    }
}

cell_t *kvi_arena_cell(kv_arena_t *arena)
{
    struct kv_arena_private *const state = arena->private_state;
    cell_t *cell = state->free_cells;
    if (cell != NULL) {
        state->free_cells = cell->next_free;
    } else {
        cell = &state->chunks->cells[state->chunks->fresh++];
    }
    state->cells_in_use++;
    return cell;
}

void kvi_arena_free_cell(kv_arena_t *arena, void *cell)
{
    struct kv_arena_private *const state = arena->private_state;
    cell_t *const freed = cell;
    freed->next_free = state->free_cells;
    state->free_cells = freed;
    state->cells_in_use--;
}

void kvi_arena_trim_cells(kv_arena_t *arena)
{
    struct kv_arena_private *const state = arena->private_state;
    if (state->cells_in_use > 0) {
        return;
    }
    while (state->chunks->older != NULL) {
        drop_newest_chunk(arena);
    }
    state->chunks->fresh = 0;
    state->free_cells = NULL;
}

void kvi_arena_free_all_cells(kv_arena_t *arena)
{
    arena->private_state->cells_in_use = 0;
    kvi_arena_trim_cells(arena);
}
