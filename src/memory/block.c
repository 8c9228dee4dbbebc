/* SPDX-License-Identifier: MIT */
/*
 * The block source's face: reservation, whole runs, runs of pages below a block, and the idle
 * cache. The tables are described in block_int.h, free runs of blocks in run.c.
 *
 *   kvi_block_acquire   bytes <  64 KB   1 to 15 pages of a shared block, found in a 16-bit mask
 *                       bytes >= 64 KB   a run of whole blocks
 *
 * Invariants
 *   1. Whatever is charged to a budget is charged before it is obtained, and returned after it was
 *      given back.
 *   2. A shared block has at least one page in use; those with a free page are in the list of
 *      shared blocks.
 *   3. After a release that ends above the idle limit, idle runs are given back down to three
 *      quarters of it.
 *
 * Thread rule: any thread. Pages are given back to the system without the mutex: the run is BUSY
 * meanwhile.
 */
#include "memory/block_int.h"

#define RESERVE_BYTES_MAX ((size_t)1 << 40)
#define RESERVE_BYTES_MIN ((size_t)64 << 20)
#define IDLE_BYTES_DEFAULT ((size_t)16 << 20)
#define PATIENCE_NS UINT64_C(1000000000)

kvi_source_t kvi_source = {.idle_limit = (uint32_t)(IDLE_BYTES_DEFAULT >> KVI_BLOCK_SHIFT),
                           .adapts = true,
                           .huge_from = UINT32_MAX};

void kvi_source_lock(void)
{
    kvi_os_lock(&kvi_source.mutex);
}

void kvi_source_unlock(void)
{
    kvi_os_unlock(&kvi_source.mutex);
}

/* ---- the reservation ---- */

static size_t table_bytes(size_t reserved_bytes)
{
    const size_t blocks = reserved_bytes >> KVI_BLOCK_SHIFT;
    return blocks * (sizeof(kvi_block_t) + sizeof(kvi_tag_t) + sizeof *kvi_source.page_owners);
}

/* Under limits of address space, as ulimit -v or a checker sets them, a smaller reservation serves.
 */
static void reserve(void)
{
    for (size_t bytes = RESERVE_BYTES_MAX; bytes >= RESERVE_BYTES_MIN; bytes /= 2) {
        char *const base = kvi_os_reserve(bytes + table_bytes(bytes), KVI_REGION_BYTES);
        if (base != NULL) {
            const size_t blocks = bytes >> KVI_BLOCK_SHIFT;
            kvi_source.reserved_bytes = bytes;
            kvi_source.blocks = (void *)(base + bytes);
            kvi_source.tags = (void *)(kvi_source.blocks + blocks);
            kvi_source.page_owners = (void *)(kvi_source.tags + blocks);
            kvi_source.base = base;
            atomic_store_explicit(&kvi_source.started, true, memory_order_release);
            return;
        }
    }
}

bool kvi_source_start(void)
{
    if (atomic_load_explicit(&kvi_source.started, memory_order_acquire)) {
        return true;
    }
    if (!atomic_exchange(&kvi_source.hooked, true)) {
        kvi_memory_fork_hooks();
    }
    kvi_source_lock();
    if (!kvi_source.started) {
        reserve();
    }
    const bool started = kvi_source.started;
    kvi_source_unlock();
    return started;
}

/* ---- whole blocks ---- */

/* The test hook: whether the system "refuses" this acquisition. */
static bool is_refused(void)
{
    if (kvi_source.refuse_after == 0) {
        return false;
    }
    if (kvi_source.refuse_after > 1) {
        kvi_source.refuse_after--;
        return false;
    }
    return true;
}

static void count_used(uint32_t count)
{
    kvi_source.used += count;
    if (kvi_source.used + kvi_source.idle > kvi_source.peak) {
        kvi_source.peak = kvi_source.used + kvi_source.idle;
    }
}

/* Notes that count clean blocks were taken: whether some of them had better been kept. */
static bool regret(uint32_t count)
{
    const uint32_t again = count < kvi_source.purged ? count : kvi_source.purged;
    kvi_source.purged -= again;
    kvi_source.regret += again;
    if (kvi_source.regret > kvi_source.used) {
        kvi_source.regret = kvi_source.used;
    }
    return again > 0;
}

/* Advises the pages from block begin to block end. */
static void advise(uint32_t begin, uint32_t end, bool huge)
{
    if (begin < end) {
        kvi_os_advise_huge(kvi_block_address(begin), (size_t)(end - begin) << KVI_BLOCK_SHIFT,
                           huge);
    }
}

/* Blocks that went back are in use again. Low ones are taken first, so a huge page is mostly full
 * when its last block is taken: from then on it need not stay small, see advise_before_purge. */
static void advise_after_regret(uint32_t first, uint32_t count)
{
    const uint32_t huge = KVI_HUGE_PAGE_BYTES >> KVI_BLOCK_SHIFT;
    advise(first / huge * huge, (first + count) / huge * huge, true);
}

static void label(const kvi_block_request_t *request, uint32_t first)
{
    kvi_block_t *const block = &kvi_source.blocks[first];
    block->owner = request->owner;
    atomic_store_explicit(&block->taken, 0, memory_order_relaxed);
    atomic_store_explicit(&block->pages, 0, memory_order_relaxed);
    atomic_store_explicit(&block->object_bytes, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < request->count; i++) {
        kvi_source.tags[first + i] = (kvi_tag_t){.size_class = request->tag, .window = 0};
    }
    if (request->tag != KVI_TAG_OTHER) {
        for (uint32_t i = 0; i < request->count; i++) {
            kvi_source.blocks[first + i].head = first;
        }
    }
}

/* An aligned run is cut out of a longer one, whose ends are free again at once. */
static uint32_t take_aligned(uint32_t count, uint32_t alignment, kv_huge_pages_t huge_pages,
                             uint32_t *clean)
{
    const uint32_t whole = count + alignment - 1;
    const uint32_t first = kvi_run_take(whole, huge_pages, clean);
    if (first == 0) {
        return 0;
    }
    const uint32_t begin = (first + alignment - 1) & ~(alignment - 1);
    /* Where some blocks are resident, all count as such. */
    const kvi_run_state_t state = *clean == whole ? KVI_RUN_CLEAN : KVI_RUN_IDLE;
    *clean = *clean == whole ? count : 0;
    kvi_source.blocks[begin].state = KVI_RUN_USED;
    kvi_source.blocks[begin].run_blocks = count;
    kvi_source.blocks[begin + count - 1].state = KVI_RUN_USED;
    if (begin > first) {
        kvi_run_give(first, begin - first, state);
    }
    if (first + whole > begin + count) {
        kvi_run_give(begin + count, first + whole - (begin + count), state);
    }
    return begin;
}

uint32_t kvi_blocks_acquire(const kvi_block_request_t *request, bool *zeroed)
{
    const size_t whole = (size_t)request->count << KVI_BLOCK_SHIFT;
    const size_t bytes = request->charge != 0 ? request->charge : whole;
    if (!kvi_source_start() || !kvi_budget_charge(request->budget, bytes)) {
        return 0;
    }
    const kv_huge_pages_t huge = request->owner->huge_pages;
    uint32_t first = 0;
    uint32_t clean = 0;
    bool huge_again = false;
    kvi_source_lock();
    if (!is_refused()) {
        first = request->alignment > 1
                    ? take_aligned(request->count, request->alignment, huge, &clean)
                    : kvi_run_take(request->count, huge, &clean);
    }
    if (first != 0) {
        label(request, first);
        count_used(request->count);
        huge_again = regret(clean) && first >= kvi_source.huge_from;
        *zeroed = clean == request->count;
    }
    kvi_source_unlock();
    if (first == 0) {
        kvi_budget_return(request->budget, bytes);
    }
    if (huge_again) {
        advise_after_regret(first, request->count);
    }
    return first;
}

bool kvi_blocks_extend(kv_budget_t *budget, uint32_t first, uint32_t count, uint32_t new_count)
{
    const size_t bytes = (size_t)(new_count - count) << KVI_BLOCK_SHIFT;
    if (!kvi_budget_charge(budget, bytes)) {
        return false;
    }
    kvi_source_lock();
    const bool extended = !is_refused() && kvi_run_take_at(first + count, new_count - count);
    if (extended) {
        kvi_block_t *const blocks = kvi_source.blocks;
        blocks[first].run_blocks = new_count;
        for (uint32_t i = count; i < new_count; i++) {
            blocks[first + i].head = first;
            kvi_source.tags[first + i] = kvi_source.tags[first];
        }
        count_used(new_count - count);
    }
    kvi_source_unlock();
    if (!extended) {
        kvi_budget_return(budget, bytes);
    }
    return extended;
}

/* How many idle blocks to give back to, with some room below the limit so that this does not happen
 * at every release; UINT32_MAX: the limit is kept. The mutex is held. */
static uint32_t purge_target(void)
{
    uint32_t limit = kvi_source.idle_limit;
    if (kvi_source.adapts) {
        const uint32_t most = kvi_source.used / 2;
        limit += kvi_source.regret < most ? kvi_source.regret : most;
    }
    return kvi_source.idle > limit ? limit - limit / 4 : UINT32_MAX;
}

static void purge_to(uint32_t target)
{
    if (target != UINT32_MAX) {
        (void)kvi_block_purge((size_t)target << KVI_BLOCK_SHIFT, SIZE_MAX);
    }
}

void kvi_blocks_shrink(kv_budget_t *budget, uint32_t first, uint32_t count, uint32_t new_count)
{
    kvi_source_lock();
    for (uint32_t i = new_count; i < count; i++) {
        kvi_source.tags[first + i].size_class = KVI_TAG_OTHER;
    }
    kvi_source.blocks[first].run_blocks = new_count;
    kvi_source.blocks[first + new_count - 1].state = KVI_RUN_USED;
    kvi_run_give(first + new_count, count - new_count, KVI_RUN_IDLE);
    kvi_source.used -= count - new_count;
    const uint32_t target = purge_target();
    kvi_source_unlock();
    kvi_budget_return(budget, (size_t)(count - new_count) << KVI_BLOCK_SHIFT);
    purge_to(target);
}

static void release_blocks(uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        kvi_source.tags[first + i].size_class = KVI_TAG_OTHER;
    }
    kvi_run_give(first, count, KVI_RUN_IDLE);
    kvi_source.used -= count;
}

/* ---- pages of shared blocks ---- */

static void list_shared(uint32_t block)
{
    kvi_source.blocks[block].previous = 0;
    kvi_source.blocks[block].next = kvi_source.shared;
    if (kvi_source.shared != 0) {
        kvi_source.blocks[kvi_source.shared].previous = block;
    }
    kvi_source.shared = block;
}

static void unlist_shared(uint32_t block)
{
    const kvi_block_t *const entry = &kvi_source.blocks[block];
    if (entry->previous != 0) {
        kvi_source.blocks[entry->previous].next = entry->next;
    } else {
        kvi_source.shared = entry->next;
    }
    if (entry->next != 0) {
        kvi_source.blocks[entry->next].previous = entry->previous;
    }
}

/* The lowest page from which pages pages are free; KVI_PAGES_PER_BLOCK if there is none. */
static unsigned find_pages(uint32_t free_pages, unsigned pages)
{
    for (unsigned i = 1; i < pages; i++) {
        free_pages &= free_pages >> 1;
    }
    return free_pages == 0 ? KVI_PAGES_PER_BLOCK : (unsigned)__builtin_ctz(free_pages);
}

static uint16_t page_mask(unsigned first, unsigned pages)
{
    return (uint16_t)(((1U << pages) - 1) << first);
}

/* A shared block with room for pages pages in a row; a new one if none of the first few has it. */
static uint32_t shared_block_for(unsigned pages, kv_huge_pages_t huge_pages)
{
    unsigned tries = 16;
    for (uint32_t at = kvi_source.shared; at != 0 && tries > 0; at = kvi_source.blocks[at].next) {
        if (find_pages(kvi_source.blocks[at].free_pages, pages) < KVI_PAGES_PER_BLOCK) {
            return at;
        }
        tries--;
    }
    uint32_t clean = 0;
    const uint32_t block = kvi_run_take(1, huge_pages, &clean);
    if (block != 0) {
        kvi_source.blocks[block].state = KVI_RUN_PAGES;
        kvi_source.blocks[block].free_pages = page_mask(0, KVI_PAGES_PER_BLOCK);
        kvi_source.blocks[block].owner = NULL;
        kvi_source.tags[block] = (kvi_tag_t){.size_class = KVI_TAG_OTHER, .window = 0};
        list_shared(block);
        count_used(1);
    }
    return block;
}

static void *take_pages(const kvi_block_owner_t *owner, unsigned pages)
{
    const uint32_t block = shared_block_for(pages, owner->huge_pages);
    if (block == 0) {
        return NULL;
    }
    kvi_block_t *const entry = &kvi_source.blocks[block];
    const unsigned first = find_pages(entry->free_pages, pages);
    entry->free_pages = (uint16_t)(entry->free_pages & ~page_mask(first, pages));
    for (unsigned i = first; i < first + pages; i++) {
        kvi_source.page_owners[block][i] = owner;
    }
    if (entry->free_pages == 0) {
        unlist_shared(block);
    }
    return kvi_block_address(block) + first * KVI_PAGE_BYTES;
}

static void give_pages(void *run, unsigned pages)
{
    const uint32_t block = kvi_block_number(run);
    const unsigned first = (unsigned)(kvi_source_offset(run) % KVI_BLOCK_BYTES / KVI_PAGE_BYTES);
    kvi_block_t *const entry = &kvi_source.blocks[block];
    assert(entry->state == KVI_RUN_PAGES && (entry->free_pages & page_mask(first, pages)) == 0);
    if (entry->free_pages == 0) {
        list_shared(block);
    }
    entry->free_pages = (uint16_t)(entry->free_pages | page_mask(first, pages));
    if (entry->free_pages == page_mask(0, KVI_PAGES_PER_BLOCK)) {
        unlist_shared(block);
        release_blocks(block, 1);
    }
}

/* ---- the contract of block.h ---- */

size_t kvi_block_rounded(size_t bytes)
{
    if (bytes > RESERVE_BYTES_MAX) {
        return 0;
    }
    const size_t unit =
        bytes <= KVI_BLOCK_BYTES - KVI_PAGE_BYTES ? KVI_PAGE_BYTES : KVI_BLOCK_BYTES;
    return bytes == 0 ? KVI_PAGE_BYTES : (bytes + unit - 1) & ~(unit - 1);
}

static void *acquire_pages(kv_budget_t *budget, const kvi_block_owner_t *owner, size_t bytes)
{
    if (!kvi_source_start() || !kvi_budget_charge(budget, bytes)) {
        return NULL;
    }
    kvi_source_lock();
    void *const run = is_refused() ? NULL : take_pages(owner, (unsigned)(bytes / KVI_PAGE_BYTES));
    kvi_source_unlock();
    if (run == NULL) {
        kvi_budget_return(budget, bytes);
    }
    return run;
}

void *kvi_block_acquire(kv_budget_t *budget, const kvi_block_owner_t *owner, size_t bytes,
                        size_t *obtained)
{
    const size_t size = kvi_block_rounded(bytes);
    void *run = NULL;
    if (size > 0 && size < KVI_BLOCK_BYTES) {
        run = acquire_pages(budget, owner, size);
    } else if (size > 0) {
        const kvi_block_request_t request = {.budget = budget,
                                             .owner = owner,
                                             .count = (uint32_t)(size >> KVI_BLOCK_SHIFT),
                                             .tag = KVI_TAG_OTHER};
        bool zeroed = false;
        const uint32_t first = kvi_blocks_acquire(&request, &zeroed);
        run = first == 0 ? NULL : kvi_block_address(first);
    }
    if (run != NULL) {
        *obtained = size;
    }
    return run;
}

void kvi_block_release_begin(kvi_block_release_t *release, kv_budget_t *budget)
{
    *release = (kvi_block_release_t){.budget = budget, .bytes = 0};
    kvi_source_lock();
}

void kvi_block_release_add(kvi_block_release_t *release, void *run, size_t obtained)
{
    if (obtained < KVI_BLOCK_BYTES) {
        give_pages(run, (unsigned)(obtained / KVI_PAGE_BYTES));
    } else {
        release_blocks(kvi_block_number(run), (uint32_t)(obtained >> KVI_BLOCK_SHIFT));
    }
    release->bytes += obtained;
}

void kvi_blocks_release_add(kvi_block_release_t *release, uint32_t first, uint32_t count,
                            size_t charged)
{
    release_blocks(first, count);
    release->bytes += charged;
}

void kvi_block_release_end(kvi_block_release_t *release)
{
    const uint32_t target = purge_target();
    kvi_source_unlock();
    kvi_budget_return(release->budget, release->bytes);
    purge_to(target);
}

void kvi_block_release(kv_budget_t *budget, void *run, size_t obtained)
{
    kvi_block_release_t release;
    kvi_block_release_begin(&release, budget);
    kvi_block_release_add(&release, run, obtained);
    kvi_block_release_end(&release);
}

/* How many idle blocks to give back next: down to keep, at most max. The mutex is held. */
static uint32_t purge_step(size_t keep_bytes, size_t max_bytes)
{
    const size_t idle = (size_t)kvi_source.idle << KVI_BLOCK_SHIFT;
    if (idle <= keep_bytes || max_bytes == 0) {
        return 0;
    }
    const size_t above = idle - keep_bytes;
    const size_t step = above < max_bytes ? above : max_bytes;
    return (uint32_t)((step + KVI_BLOCK_BYTES - 1) >> KVI_BLOCK_SHIFT);
}

/* Whether parts of huge pages may go back. Not at once: giving a part back frees nothing before the
 * system is short, and an owner that empties blocks here and there has whole ones soon. */
static bool may_split(void)
{
    const uint64_t now = kvi_os_monotonic_ns();
    if (kvi_source.above_since == 0) {
        kvi_source.above_since = now;
    }
    return !kvi_source.adapts || now - kvi_source.above_since >= PATIENCE_NS;
}

/* Takes the next idle run to be given back; 0: it is enough. */
static uint32_t take_idle(size_t keep_bytes, size_t max_bytes, bool split, uint32_t *count)
{
    const uint32_t step = purge_step(keep_bytes, max_bytes);
    if (step == 0) {
        kvi_source.above_since = 0;
        return 0;
    }
    const uint32_t first = kvi_run_take_idle(step, split, count);
    return first != 0 || !may_split() ? first : kvi_run_take_idle(step, true, count);
}

/* Before blocks go back: the system's collector would fill a huge page of which a part went back
 * again, after seconds and with nothing asked for. So those are advised to stay small, and whole
 * ones, which cost nothing empty, may be huge again. */
static void advise_before_purge(uint32_t first, uint32_t count, uint32_t huge_from)
{
    const uint32_t huge = KVI_HUGE_PAGE_BYTES >> KVI_BLOCK_SHIFT;
    const uint32_t end = first + count;
    const uint32_t whole_begin = (first + huge - 1) / huge * huge;
    const uint32_t whole_end = end / huge * huge;
    if (end <= huge_from) {
        return;
    }
    if (whole_begin > whole_end) {
        advise(whole_end, whole_begin, false);
        return;
    }
    advise(first / huge * huge, whole_begin, false);
    advise(whole_begin, whole_end, true);
    advise(whole_end, (end + huge - 1) / huge * huge, false);
}

static size_t purge(size_t keep_bytes, size_t max_bytes, bool split)
{
    size_t purged = 0;
    while (purged < max_bytes) {
        uint32_t count = 0;
        kvi_source_lock();
        const uint32_t first = take_idle(keep_bytes, max_bytes - purged, split, &count);
        const uint32_t huge_from = kvi_source.huge_from;
        kvi_source_unlock();
        if (first == 0) {
            break;
        }
        advise_before_purge(first, count, huge_from);
        kvi_os_purge(kvi_block_address(first), (size_t)count << KVI_BLOCK_SHIFT);
        kvi_source_lock();
        kvi_run_give(first, count, KVI_RUN_CLEAN);
        kvi_source.purged += count;
        kvi_source_unlock();
        purged += (size_t)count << KVI_BLOCK_SHIFT;
    }
    return purged;
}

size_t kvi_block_purge(size_t keep_bytes, size_t max_bytes)
{
    return purge(keep_bytes, max_bytes, false);
}

size_t kvi_block_purge_now(size_t keep_bytes, size_t max_bytes)
{
    return purge(keep_bytes, max_bytes, true);
}

void kv_memory_set_idle_limit(size_t bytes)
{
    const size_t limit = bytes < RESERVE_BYTES_MAX ? bytes : RESERVE_BYTES_MAX;
    kvi_source_lock();
    kvi_source.idle_limit = (uint32_t)(limit >> KVI_BLOCK_SHIFT);
    kvi_source.adapts = false;
    kvi_source_unlock();
    (void)kvi_block_purge_now(limit, SIZE_MAX);
}

void kvi_block_stats(kv_memory_stats_t *stats)
{
    const size_t table_bytes_per_block = sizeof(kvi_block_t) + sizeof(kvi_tag_t);
    kvi_source_lock();
    const size_t tables = kvi_source.committed * table_bytes_per_block;
    stats->idle_bytes = (size_t)kvi_source.idle << KVI_BLOCK_SHIFT;
    stats->system_bytes = ((size_t)kvi_source.used << KVI_BLOCK_SHIFT) + stats->idle_bytes + tables;
    stats->system_peak_bytes = ((size_t)kvi_source.peak << KVI_BLOCK_SHIFT) + tables;
    kvi_source_unlock();
}
