/* SPDX-License-Identifier: MIT */
/*
 * A pairing heap (Fredman, Sedgewick, Sleator and Tarjan, 1986) over block numbers. Push is O(1),
 * remove is O(log n) amortised.
 *
 *   queue ──► lowest            child:   the first of the spans directly above a span
 *               │ child         sibling: the next one beside it
 *               ▼               back:    the sibling before, or for the first child the span below
 *               a ──► b ──► c
 *
 * Invariant: a span's number is below those of its children. 0 ends every link.
 */
#include "memory/queue.h"

static kvi_block_t *entry(uint32_t span)
{
    return &kvi_source.blocks[span];
}

/* One heap of two, neither of which has siblings. */
static uint32_t meld(uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0) {
        return a + b;
    }
    const uint32_t low = a < b ? a : b;
    const uint32_t high = a + b - low;
    entry(high)->queue_back = low;
    entry(high)->queue_sibling = entry(low)->queue_child;
    if (entry(low)->queue_child != 0) {
        entry(entry(low)->queue_child)->queue_back = high;
    }
    entry(low)->queue_child = high;
    return low;
}

/* Takes the first heap off a list of siblings. */
static uint32_t next_of(uint32_t *siblings)
{
    const uint32_t first = *siblings;
    if (first != 0) {
        *siblings = entry(first)->queue_sibling;
        entry(first)->queue_sibling = 0;
        entry(first)->queue_back = 0;
    }
    return first;
}

/* Melds siblings in pairs, then the pairs from the last to the first: what keeps removal
 * logarithmic. */
static uint32_t meld_all(uint32_t siblings)
{
    uint32_t pairs = 0;
    while (siblings != 0) {
        const uint32_t a = next_of(&siblings);
        const uint32_t pair = meld(a, next_of(&siblings));
        entry(pair)->queue_sibling = pairs;
        pairs = pair;
    }
    uint32_t result = 0;
    while (pairs != 0) {
        result = meld(result, next_of(&pairs));
    }
    return result;
}

void kvi_queue_push(kvi_queue_t *queue, uint32_t span)
{
    entry(span)->queue_child = 0;
    entry(span)->queue_sibling = 0;
    entry(span)->queue_back = 0;
    *queue = meld(*queue, span);
}

void kvi_queue_remove(kvi_queue_t *queue, uint32_t span)
{
    const uint32_t above = meld_all(entry(span)->queue_child);
    if (*queue == span) {
        *queue = above;
        return;
    }
    const uint32_t back = entry(span)->queue_back;
    const uint32_t sibling = entry(span)->queue_sibling;
    if (entry(back)->queue_child == span) {
        entry(back)->queue_child = sibling;
    } else {
        entry(back)->queue_sibling = sibling;
    }
    if (sibling != 0) {
        entry(sibling)->queue_back = back;
    }
    *queue = meld(*queue, above);
}

/* Where a walk in depth goes after span, whose children were seen: its sibling, or one of a span
 * below. */
static uint32_t after(uint32_t span)
{
    while (span != 0 && entry(span)->queue_sibling == 0) {
        uint32_t back = entry(span)->queue_back;
        while (back != 0 && entry(back)->queue_child != span) {
            span = back;
            back = entry(span)->queue_back;
        }
        span = back;
    }
    return span == 0 ? 0 : entry(span)->queue_sibling;
}

size_t kvi_queue_check(kvi_queue_t queue)
{
    size_t count = 0;
    for (uint32_t span = queue; span != 0;) {
        const uint32_t child = entry(span)->queue_child;
        const uint32_t sibling = entry(span)->queue_sibling;
        if ((child != 0 && entry(child)->queue_back != span) ||
            (sibling != 0 && entry(sibling)->queue_back != span)) {
            return SIZE_MAX;
        }
        for (uint32_t above = child; above != 0; above = entry(above)->queue_sibling) {
            if (above < span) {
                return SIZE_MAX;
            }
        }
        count++;
        span = child != 0 ? child : after(span);
    }
    return count;
}
