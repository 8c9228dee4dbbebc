/* SPDX-License-Identifier: MIT */
/*
 * The table of a pool's windows. A number is free again when the last block of its window has left.
 *
 * Invariants
 *   1. bases[0] is NULL and stays so.
 *   2. bases[n] is NULL if and only if blocks[n] is 0.
 */
#include "memory/window.h"

#include <string.h>

enum { FIRST_CAPACITY = 32 };

/* The table of a pool without windows, so that reference 0 is NULL there too. */
static char *const no_bases[1] = {NULL};

static char *window_of(uint32_t block)
{
    char *const address = kvi_block_address(block);
    return address - ((uintptr_t)address & (((uintptr_t)1 << KVI_WINDOW_SHIFT) - 1));
}

static bool grow(kvi_windows_t *windows, kv_budget_t *budget)
{
    const uint32_t capacity = windows->capacity == 0 ? FIRST_CAPACITY : windows->capacity * 2;
    if (capacity > KVI_WINDOWS_MAX) {
        return false;
    }
    char **const bases = kvi_meta_alloc(budget, capacity * sizeof *bases);
    uint8_t *const blocks = kvi_meta_alloc(budget, capacity);
    if (bases == NULL || blocks == NULL) {
        if (bases != NULL) {
            kvi_meta_free(budget, bases, capacity * sizeof *bases);
        }
        if (blocks != NULL) {
            kvi_meta_free(budget, blocks, capacity);
        }
        return false;
    }
    memset(bases, 0, capacity * sizeof *bases);
    memset(blocks, 0, capacity);
    if (windows->capacity > 0) {
        memcpy(bases, windows->bases, windows->capacity * sizeof *bases);
        memcpy(blocks, windows->blocks, windows->capacity);
    }
    const uint32_t end = windows->end == 0 ? 1 : windows->end;
    kvi_windows_clear(windows, budget);
    *windows = (kvi_windows_t){
        .bases = bases, .own_bases = bases, .blocks = blocks, .capacity = capacity, .end = end};
    return true;
}

void kvi_windows_init(kvi_windows_t *windows)
{
    *windows = (kvi_windows_t){.bases = no_bases};
}

/* The number of this window, a new one if it has none; 0: there is no more. */
static uint32_t number_of(kvi_windows_t *windows, kv_budget_t *budget, char *base)
{
    if (windows->bases[windows->latest] == base) {
        return windows->latest;
    }
    uint32_t unused = 0;
    for (uint32_t i = 1; i < windows->end; i++) {
        if (windows->bases[i] == base) {
            return i;
        }
        if (unused == 0 && windows->bases[i] == NULL) {
            unused = i;
        }
    }
    if (unused == 0) {
        if (windows->end >= windows->capacity && !grow(windows, budget)) {
            return 0;
        }
        unused = windows->end++;
    }
    windows->own_bases[unused] = base;
    return unused;
}

bool kvi_windows_enter(kvi_windows_t *windows, kv_budget_t *budget, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t number = number_of(windows, budget, window_of(first + i));
        if (number == 0) {
            kvi_windows_leave(windows, first, i);
            return false;
        }
        kvi_source.tags[first + i].window = (uint16_t)number;
        windows->blocks[number]++;
        windows->latest = number;
    }
    return true;
}

void kvi_windows_leave(kvi_windows_t *windows, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t number = kvi_source.tags[first + i].window;
        windows->blocks[number]--;
        if (windows->blocks[number] == 0) {
            windows->own_bases[number] = NULL;
        }
    }
}

void kvi_windows_clear(kvi_windows_t *windows, kv_budget_t *budget)
{
    if (windows->capacity > 0) {
        kvi_meta_free(budget, windows->own_bases, windows->capacity * sizeof *windows->bases);
        kvi_meta_free(budget, windows->blocks, windows->capacity);
    }
    *windows = (kvi_windows_t){.bases = no_bases};
}

size_t kvi_windows_bytes(const kvi_windows_t *windows)
{
    if (windows->capacity == 0) {
        return 0;
    }
    return kvi_meta_charge(windows->capacity * sizeof *windows->bases) +
           kvi_meta_charge(windows->capacity);
}

size_t kvi_windows_count(const kvi_windows_t *windows)
{
    size_t blocks = 0;
    for (uint32_t i = 0; i < windows->end; i++) {
        blocks += windows->blocks[i];
    }
    return blocks;
}

/* Whether this block belongs to this class and to the pool's window. A block of another pool may
 * look the same, which moves the pivot a little. */
static bool is_of_class(uint32_t block, size_t window, size_t number)
{
    const kvi_tag_t tag = kvi_source.tags[block];
    return tag.size_class == number && tag.window == window;
}

/* The blocks of the class in each window. */
static void count_class(const kvi_windows_t *windows, size_t number, uint8_t *counts)
{
    for (uint32_t i = 1; i < windows->end; i++) {
        counts[i] = 0;
        if (windows->bases[i] == NULL) {
            continue;
        }
        const uint32_t first = kvi_block_number(windows->bases[i]);
        for (uint32_t j = 0; j < KVI_REGION_BLOCKS; j++) {
            counts[i] = (uint8_t)(counts[i] + is_of_class(first + j, i, number));
        }
    }
}

/* The blocks counted in windows that begin below this block. */
static size_t count_below(const kvi_windows_t *windows, const uint8_t *counts, uint32_t block)
{
    size_t blocks = 0;
    for (uint32_t i = 1; i < windows->end; i++) {
        if (windows->bases[i] != NULL && kvi_block_number(windows->bases[i]) < block) {
            blocks += counts[i];
        }
    }
    return blocks;
}

/* Goes from block through its window until left more blocks of the class are behind. */
static uint32_t walk_window(const kvi_windows_t *windows, size_t number, uint32_t block,
                            size_t left)
{
    uint32_t window = 1;
    while (window < windows->end &&
           (windows->bases[window] == NULL || kvi_block_number(windows->bases[window]) != block)) {
        window++;
    }
    const uint32_t end = block + KVI_REGION_BLOCKS;
    while (left > 0 && block < end) {
        left -= is_of_class(block, window, number);
        block++;
    }
    return block;
}

const char *kvi_windows_pivot(const kvi_windows_t *windows, size_t number, size_t blocks)
{
    uint8_t counts[KVI_WINDOWS_MAX];
    count_class(windows, number, counts);
    /* The last window with fewer blocks of the class below it, by halving the address space. */
    uint32_t low = 0;
    uint32_t high = (uint32_t)(kvi_source.reserved_bytes >> KVI_WINDOW_SHIFT);
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (count_below(windows, counts, middle * KVI_REGION_BLOCKS) < blocks) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const uint32_t first = low * KVI_REGION_BLOCKS;
    const size_t below = count_below(windows, counts, first);
    return kvi_block_address(walk_window(windows, number, first, blocks - below));
}
