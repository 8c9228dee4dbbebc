/* SPDX-License-Identifier: MIT */
/*
 * The picture of memory: a walk over the runs of the block source in address order.
 *
 *   run of blocks   one visit: a span of a pool, a large object, an arena's run, metadata, or an
 *                   idle run; what a span has not opened yet is visited as a free block behind it
 *   shared block    one visit for each row of pages with the same owner; free pages are idle
 *
 * Clean runs, which hold no memory of the system, are not visited.
 *
 * Thread rule: any thread. The source is locked during the walk.
 */
#include "memory/block_int.h"

typedef struct walk {
    bool (*visit)(const kv_memory_block_t *block, void *context);
    void *context;
} walk_t;

static bool show(const walk_t *walk, const void *address, size_t bytes,
                 const kvi_block_owner_t *owner)
{
    kv_memory_block_t block = {.address = address, .bytes = bytes, .owner = ""};
    if (owner != NULL) {
        block.kind = owner->kind;
        block.owner = owner->name;
        block.owner_id = owner->id;
        block.used_bytes = bytes;
    }
    return walk->visit(&block, walk->context);
}

static bool show_used(const walk_t *walk, uint32_t first)
{
    const kvi_block_t *const run = &kvi_source.blocks[first];
    const size_t bytes = (size_t)run->run_blocks << KVI_BLOCK_SHIFT;
    const size_t object_bytes = atomic_load_explicit(&run->object_bytes, memory_order_relaxed);
    if (run->owner->kind != KV_BLOCK_POOL) {
        return show(walk, kvi_block_address(first), bytes, run->owner);
    }
    const size_t taken = atomic_load_explicit(&run->taken, memory_order_relaxed);
    const size_t pages = atomic_load_explicit(&run->pages, memory_order_relaxed);
    const size_t open = pages != 0 ? pages * KVI_PAGE_BYTES : bytes;
    /* The pool's user may be at work between the two loads. */
    const size_t used = taken * object_bytes;
    const kv_memory_block_t block = {.address = kvi_block_address(first),
                                     .bytes = open,
                                     .kind = KV_BLOCK_POOL,
                                     .owner = run->owner->name,
                                     .owner_id = run->owner->id,
                                     .object_bytes = object_bytes,
                                     .used_bytes = used < open ? used : open};
    return walk->visit(&block, walk->context) &&
           (open == bytes || show(walk, kvi_block_address(first) + open, bytes - open, NULL));
}

/* The owner of a page of a shared block; NULL: it is free. */
static const kvi_block_owner_t *page_owner(uint32_t block, unsigned page)
{
    const bool is_free = (kvi_source.blocks[block].free_pages >> page & 1) != 0;
    return is_free ? NULL : kvi_source.page_owners[block][page];
}

static bool show_pages(const walk_t *walk, uint32_t block)
{
    unsigned first = 0;
    for (unsigned page = 1; page <= KVI_PAGES_PER_BLOCK; page++) {
        const kvi_block_owner_t *const owner = page_owner(block, first);
        if (page < KVI_PAGES_PER_BLOCK && page_owner(block, page) == owner) {
            continue;
        }
        if (!show(walk, kvi_block_address(block) + first * KVI_PAGE_BYTES,
                  (page - first) * KVI_PAGE_BYTES, owner)) {
            return false;
        }
        first = page;
    }
    return true;
}

static bool show_run(const walk_t *walk, uint32_t first)
{
    const kvi_block_t *const run = &kvi_source.blocks[first];
    const size_t bytes = (size_t)run->run_blocks << KVI_BLOCK_SHIFT;
    switch ((kvi_run_state_t)run->state) {
    case KVI_RUN_USED:
        return show_used(walk, first);
    case KVI_RUN_PAGES:
        return show_pages(walk, first);
    case KVI_RUN_IDLE:
    case KVI_RUN_BUSY:
        return show(walk, kvi_block_address(first), bytes, NULL);
    case KVI_RUN_CLEAN:
    case KVI_RUN_NONE:
        break;
    }
    return true;
}

kv_status_t kv_memory_map(bool (*visit)(const kv_memory_block_t *block, void *context),
                          void *context)
{
    if (visit == NULL) {
        return KV_INVALID;
    }
    const walk_t walk = {.visit = visit, .context = context};
    kvi_source_lock();
    uint32_t run = 1;
    while (run < kvi_source.committed && show_run(&walk, run)) {
        run += kvi_source.blocks[run].run_blocks;
    }
    kvi_source_unlock();
    return KV_OK;
}
