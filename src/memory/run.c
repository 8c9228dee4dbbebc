/* SPDX-License-Identifier: MIT */
/*
 * Free runs of blocks: two sets of lists by length, one of idle (resident) and one of clean runs,
 * joined with their neighbours through the lengths that stand in the first and the last entry of
 * every free run.
 *
 *   bin      0   1   2  ...  63   64     65     66     67     68 ...
 *   blocks   1   2   3  ...  64   65-79  80-95  96-111 112-127 128-159 ...   four bins a doubling
 *
 * Invariants
 *   1. Every committed block but block 0 belongs to exactly one run; a run's first and last entry
 *      carry its state.
 *   2. No two neighbouring runs are both idle or both clean. Idle and clean ones are not joined: a
 *      request prefers resident memory, and a clean run is known to read as zero. A long one may
 *      take both.
 *   3. filled has a bit for every bin that is not empty.
 *
 * Thread rule: the caller holds the source's mutex.
 */
#include "memory/block_int.h"

enum { SET_IDLE = 0, SET_CLEAN = 1 };

static unsigned set_of(kvi_run_state_t state)
{
    return state == KVI_RUN_IDLE ? SET_IDLE : SET_CLEAN;
}

static kvi_run_state_t state_of(unsigned set)
{
    return set == SET_IDLE ? KVI_RUN_IDLE : KVI_RUN_CLEAN;
}

static unsigned bin_of(uint32_t count)
{
    if (count <= 64) {
        return count - 1;
    }
    const unsigned exponent = 31U - (unsigned)__builtin_clz(count);
    const unsigned bin = 64 + (exponent - 6) * 4 + ((count >> (exponent - 2)) & 3);
    return bin < KVI_RUN_BINS ? bin : KVI_RUN_BINS - 1;
}

static void set_state(uint32_t first, uint32_t count, kvi_run_state_t state)
{
    kvi_source.blocks[first].state = (uint8_t)state;
    kvi_source.blocks[first].run_blocks = count;
    kvi_source.blocks[first + count - 1].state = (uint8_t)state;
}

/* Puts a free run into its bin: in front if it lies lower than the first one there, so that low
 * addresses tend to be used first, else behind that one. */
static void insert(uint32_t first, uint32_t count, kvi_run_state_t state)
{
    kvi_block_t *const blocks = kvi_source.blocks;
    const unsigned set = set_of(state);
    const unsigned bin = bin_of(count);
    const uint32_t head = kvi_source.bins[set][bin];
    set_state(first, count, state);
    blocks[first + count - 1].run_blocks = count;
    if (head == 0 || first < head) {
        blocks[first].previous = 0;
        blocks[first].next = head;
        kvi_source.bins[set][bin] = first;
    } else {
        blocks[first].previous = head;
        blocks[first].next = blocks[head].next;
        blocks[head].next = first;
    }
    if (blocks[first].next != 0) {
        blocks[blocks[first].next].previous = first;
    }
    kvi_source.filled[set][bin / 64] |= UINT64_C(1) << (bin % 64);
    kvi_source.idle += state == KVI_RUN_IDLE ? count : 0;
}

static void take_out(uint32_t first)
{
    const kvi_block_t *const run = &kvi_source.blocks[first];
    const unsigned set = set_of((kvi_run_state_t)run->state);
    const unsigned bin = bin_of(run->run_blocks);
    if (run->previous != 0) {
        kvi_source.blocks[run->previous].next = run->next;
    } else {
        kvi_source.bins[set][bin] = run->next;
    }
    if (run->next != 0) {
        kvi_source.blocks[run->next].previous = run->previous;
    }
    if (kvi_source.bins[set][bin] == 0) {
        kvi_source.filled[set][bin / 64] &= ~(UINT64_C(1) << (bin % 64));
    }
    kvi_source.idle -= set == SET_IDLE ? run->run_blocks : 0;
}

/* The first bin from from on that is not empty; KVI_RUN_BINS if there is none. */
static unsigned next_filled(unsigned set, unsigned from)
{
    for (unsigned word = from / 64; word < KVI_RUN_BINS / 64; word++) {
        uint64_t bits = kvi_source.filled[set][word];
        if (word == from / 64) {
            bits &= ~UINT64_C(0) << (from % 64);
        }
        if (bits != 0) {
            return word * 64 + (unsigned)__builtin_ctzll(bits);
        }
    }
    return KVI_RUN_BINS;
}

/* A run of at least count blocks in this set, or 0. */
static uint32_t find(unsigned set, uint32_t count)
{
    const unsigned own = bin_of(count);
    for (unsigned bin = next_filled(set, own); bin < KVI_RUN_BINS;
         bin = next_filled(set, bin + 1)) {
        for (uint32_t run = kvi_source.bins[set][bin]; run != 0;
             run = kvi_source.blocks[run].next) {
            if (kvi_source.blocks[run].run_blocks >= count) {
                return run;
            }
        }
        if (bin + 1 >= KVI_RUN_BINS) {
            break;
        }
    }
    return 0;
}

/* Makes the blocks from begin to begin + count of a free run used; what is left and right of them
 * stays free. */
static void carve(uint32_t run, uint32_t begin, uint32_t count)
{
    const uint32_t run_blocks = kvi_source.blocks[run].run_blocks;
    const kvi_run_state_t state = (kvi_run_state_t)kvi_source.blocks[run].state;
    take_out(run);
    if (begin > run) {
        insert(run, begin - run, state);
    }
    const uint32_t end = begin + count;
    if (run + run_blocks > end) {
        insert(end, run + run_blocks - end, state);
    }
    set_state(begin, count, KVI_RUN_USED);
}

/* Makes the table elements of the blocks below end usable. */
static bool commit_tables(uint32_t end)
{
    const size_t page = kvi_os_page_size();
    const struct {
        char *start;
        size_t element;
    } tables[] = {{(char *)kvi_source.blocks, sizeof *kvi_source.blocks},
                  {(char *)kvi_source.tags, sizeof *kvi_source.tags},
                  {(char *)kvi_source.page_owners, sizeof *kvi_source.page_owners}};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        const size_t from = kvi_source.committed * tables[i].element & ~(page - 1);
        const size_t to = (end * tables[i].element + page - 1) & ~(page - 1);
        if (!kvi_os_commit(tables[i].start + from, to - from)) {
            return false;
        }
    }
    return true;
}

/* Small processes stay on ordinary pages; from two regions on a huge page is worth its cost. */
static bool wants_huge(kv_huge_pages_t huge_pages)
{
    if (huge_pages == KV_HUGE_PAGES_AUTO) {
        kvi_source.huge = kvi_source.huge || kvi_source.committed >= 2 * KVI_REGION_BLOCKS;
        return kvi_source.huge;
    }
    return huge_pages == KV_HUGE_PAGES_ALWAYS;
}

/* Commits as many regions as count more blocks need and leaves them as one clean run at the end. */
static bool grow(uint32_t count, kv_huge_pages_t huge_pages)
{
    const uint32_t first = kvi_source.committed;
    const uint64_t end =
        ((uint64_t)first + count + KVI_REGION_BLOCKS - 1) / KVI_REGION_BLOCKS * KVI_REGION_BLOCKS;
    if (end > kvi_source.reserved_bytes >> KVI_BLOCK_SHIFT) {
        return false;
    }
    char *const start = kvi_block_address(first);
    const size_t bytes = (size_t)(end - first) << KVI_BLOCK_SHIFT;
    if (!commit_tables((uint32_t)end) || !kvi_os_commit(start, bytes)) {
        return false;
    }
    if (wants_huge(huge_pages)) {
        kvi_os_advise_huge(start, bytes, true);
        if (kvi_source.huge_from == UINT32_MAX) {
            kvi_source.huge_from = first;
        }
    }
    kvi_source.committed = (uint32_t)end;
    atomic_store_explicit(&kvi_source.committed_blocks, end, memory_order_release);
    const uint32_t usable = first == 0 ? 1 : first; /* block 0 means "none" */
    kvi_run_give(usable, (uint32_t)end - usable, KVI_RUN_CLEAN);
    return true;
}

/* The clean blocks at the very end, which a new region would continue. */
static uint32_t clean_end(void)
{
    const uint32_t committed = kvi_source.committed;
    if (committed == 0 || kvi_source.blocks[committed - 1].state != KVI_RUN_CLEAN) {
        return 0;
    }
    return kvi_source.blocks[committed - 1].run_blocks;
}

/* The last bin below this one that has idle runs; KVI_RUN_BINS if there is none. */
static unsigned idle_bin_below(unsigned bin)
{
    while (bin-- > 0) {
        if ((kvi_source.filled[SET_IDLE][bin / 64] >> (bin % 64) & 1) != 0) {
            return bin;
        }
    }
    return KVI_RUN_BINS;
}

/* How many clean blocks lie before and behind an idle run. */
static uint32_t clean_before(uint32_t run)
{
    const kvi_block_t *const last = &kvi_source.blocks[run - 1];
    return run > 1 && last->state == KVI_RUN_CLEAN ? last->run_blocks : 0;
}

static uint32_t clean_behind(uint32_t run)
{
    const uint32_t behind = run + kvi_source.blocks[run].run_blocks;
    const bool clean =
        behind < kvi_source.committed && kvi_source.blocks[behind].state == KVI_RUN_CLEAN;
    return clean ? kvi_source.blocks[behind].run_blocks : 0;
}

/* Takes count blocks that begin or end with a whole idle run and are clean for the rest. Without
 * this, idle runs that are too short alone would stay idle while clean ones become resident. */
static uint32_t take_joined(uint32_t run, uint32_t count)
{
    const uint32_t idle = kvi_source.blocks[run].run_blocks;
    const uint32_t clean = count - idle;
    if (clean_behind(run) >= clean) {
        carve(run, run, idle);
        carve(run + idle, run + idle, clean);
        set_state(run, count, KVI_RUN_USED);
        return run;
    }
    const uint32_t before = clean_before(run);
    if (before >= clean) {
        carve(run, run, idle);
        carve(run - before, run - clean, clean);
        set_state(run - clean, count, KVI_RUN_USED);
        return run - clean;
    }
    return 0;
}

/* Tries the longest idle runs, all of which are shorter than count. */
static uint32_t join(uint32_t count, uint32_t *clean)
{
    enum { TRIES_MAX = 16 };
    unsigned tries = 0;
    for (unsigned bin = idle_bin_below(KVI_RUN_BINS); bin < KVI_RUN_BINS;
         bin = idle_bin_below(bin)) {
        for (uint32_t run = kvi_source.bins[SET_IDLE][bin]; run != 0 && tries < TRIES_MAX;
             run = kvi_source.blocks[run].next) {
            *clean = count - kvi_source.blocks[run].run_blocks;
            const uint32_t first = take_joined(run, count);
            if (first != 0) {
                return first;
            }
            tries++;
        }
    }
    return 0;
}

uint32_t kvi_run_take(uint32_t count, kv_huge_pages_t huge_pages, uint32_t *clean)
{
    uint32_t run = find(SET_IDLE, count);
    if (run != 0) {
        *clean = 0;
        carve(run, run, count);
        return run;
    }
    run = count > 1 ? join(count, clean) : 0;
    if (run != 0) {
        return run;
    }
    *clean = count;
    run = find(SET_CLEAN, count);
    if (run == 0) {
        /* Block 0 is lost to a very first run. */
        const uint32_t lacking = count - clean_end() + (kvi_source.committed == 0 ? 1 : 0);
        run = grow(lacking, huge_pages) ? find(SET_CLEAN, count) : 0;
    }
    if (run != 0) {
        carve(run, run, count);
    }
    return run;
}

bool kvi_run_take_at(uint32_t first, uint32_t count)
{
    const kvi_block_t *const run = &kvi_source.blocks[first];
    uint32_t there = 0;
    if (first < kvi_source.committed) {
        if (run->state != KVI_RUN_CLEAN && run->state != KVI_RUN_IDLE) {
            return false;
        }
        there = run->run_blocks;
    }
    if (there < count) {
        const bool at_end = first + there == kvi_source.committed;
        const bool joins = there == 0 || run->state == KVI_RUN_CLEAN;
        if (!at_end || !joins || !grow(count - there, KV_HUGE_PAGES_AUTO)) {
            return false;
        }
    }
    carve(first, first, count);
    return true;
}

void kvi_run_give(uint32_t first, uint32_t count, kvi_run_state_t state)
{
    const kvi_block_t *const blocks = kvi_source.blocks;
    if (first > 1 && blocks[first - 1].state == state) {
        const uint32_t before = blocks[first - 1].run_blocks;
        first -= before;
        count += before;
        take_out(first);
    }
    const uint32_t behind = first + count;
    if (behind < kvi_source.committed && blocks[behind].state == state) {
        count += blocks[behind].run_blocks;
        take_out(behind);
    }
    insert(first, count, state);
}

/* The last whole huge pages of an idle run, about count blocks. False if there is none, or if the
 * system was not asked for huge pages there. */
static bool choose_huge(uint32_t run, uint32_t count, uint32_t *begin, uint32_t *end)
{
    const uint32_t huge = KVI_HUGE_PAGE_BYTES >> KVI_BLOCK_SHIFT;
    const uint32_t run_end = run + kvi_source.blocks[run].run_blocks;
    const uint32_t first = (run + huge - 1) / huge * huge;
    *end = run_end / huge * huge;
    if (run_end <= kvi_source.huge_from || *end <= first) {
        return false;
    }
    *begin = *end - first > count ? (*end - count) / huge * huge : first;
    return true;
}

/* Giving a part of a huge page back frees nothing, and its place has small pages from then on: so
 * whole ones go first. The longest runs are looked at, since all may be many. */
static bool choose_whole(uint32_t count, uint32_t *run, uint32_t *begin, uint32_t *end)
{
    enum { TRIES_MAX = 32 };
    unsigned tries = 0;
    for (unsigned bin = idle_bin_below(KVI_RUN_BINS); bin < KVI_RUN_BINS;
         bin = idle_bin_below(bin)) {
        *run = kvi_source.bins[SET_IDLE][bin];
        for (; *run != 0 && tries < TRIES_MAX; *run = kvi_source.blocks[*run].next, tries++) {
            if (choose_huge(*run, count, begin, end)) {
                return true;
            }
        }
    }
    return false;
}

uint32_t kvi_run_take_idle(uint32_t count, bool split, uint32_t *taken)
{
    uint32_t run;
    uint32_t begin;
    uint32_t end;
    if (!choose_whole(count, &run, &begin, &end)) {
        const unsigned bin = idle_bin_below(KVI_RUN_BINS);
        if (bin == KVI_RUN_BINS) {
            return 0;
        }
        run = kvi_source.bins[SET_IDLE][bin];
        end = run + kvi_source.blocks[run].run_blocks;
        begin = end - run > count ? end - count : run;
        if (!split && end > kvi_source.huge_from) {
            return 0;
        }
    }
    carve(run, begin, end - begin);
    set_state(begin, end - begin, KVI_RUN_BUSY);
    *taken = end - begin;
    return begin;
}

/* Whether the free run at first stands in the bin where it belongs. */
static bool is_listed(uint32_t first)
{
    const kvi_block_t *const run = &kvi_source.blocks[first];
    uint32_t at = kvi_source.bins[set_of((kvi_run_state_t)run->state)][bin_of(run->run_blocks)];
    uint32_t previous = 0;
    while (at != 0 && at != first && kvi_source.blocks[at].previous == previous) {
        previous = at;
        at = kvi_source.blocks[at].next;
    }
    return at == first;
}

static bool run_is_valid(uint32_t first, uint32_t behind)
{
    const kvi_block_t *const run = &kvi_source.blocks[first];
    if (run->run_blocks == 0 || run->run_blocks > kvi_source.committed - first) {
        return false;
    }
    const kvi_block_t *const last = run + run->run_blocks - 1;
    if (run->state == KVI_RUN_NONE || last->state != run->state) {
        return false;
    }
    const bool is_free = run->state == KVI_RUN_CLEAN || run->state == KVI_RUN_IDLE;
    if (!is_free) {
        return true;
    }
    const bool alone = behind == 0 || kvi_source.blocks[behind].state != run->state;
    return alone && last->run_blocks == run->run_blocks && is_listed(first);
}

static kv_status_t check_runs(void)
{
    uint64_t idle = 0;
    uint64_t used = 0;
    uint32_t behind = 0; /* first block of the run before */
    for (uint32_t run = 1; run < kvi_source.committed; run += kvi_source.blocks[run].run_blocks) {
        if (!run_is_valid(run, behind)) {
            return KV_CORRUPT;
        }
        const kvi_block_t *const block = &kvi_source.blocks[run];
        idle += block->state == KVI_RUN_IDLE ? block->run_blocks : 0;
        used +=
            block->state == KVI_RUN_USED || block->state == KVI_RUN_PAGES ? block->run_blocks : 0;
        behind = run;
    }
    for (unsigned set = SET_IDLE; set <= SET_CLEAN; set++) {
        for (unsigned bin = 0; bin < KVI_RUN_BINS; bin++) {
            const bool filled = (kvi_source.filled[set][bin / 64] >> (bin % 64) & 1) != 0;
            const uint32_t first = kvi_source.bins[set][bin];
            if (filled != (first != 0) ||
                (filled && kvi_source.blocks[first].state != state_of(set))) {
                return KV_CORRUPT;
            }
        }
    }
    return idle == kvi_source.idle && used == kvi_source.used ? KV_OK : KV_CORRUPT;
}

kv_status_t kvi_run_check(void)
{
    kvi_source_lock();
    const kv_status_t status = check_runs();
    kvi_source_unlock();
    return status;
}
