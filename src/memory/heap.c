/* SPDX-License-Identifier: MIT */
/* Spans, bitmaps and large objects. Layout, invariants and thread rule: heap.h. */
#include "memory/heap.h"

#include <string.h>

enum {
    SPAN_BLOCKS_MAX = 16,
    TAIL_PART_MAX = 32,     /* a tail of at most a 32nd of the span is good enough */
    SPANS_PER_TAKE_MAX = 16 /* so that one call stays short when free objects lie scattered */
};

static kvi_block_t *entry(uint32_t block)
{
    return &kvi_source.blocks[block];
}

/* Counters have one writer per class, but the heap's own are shared by classes. */
static void add(_Atomic size_t *counter, size_t value)
{
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

static void subtract(_Atomic size_t *counter, size_t value)
{
    atomic_fetch_sub_explicit(counter, value, memory_order_relaxed);
}

static uint32_t taken_of(uint32_t span)
{
    return atomic_load_explicit(&entry(span)->taken, memory_order_relaxed);
}

static void set_taken(uint32_t span, uint32_t taken)
{
    atomic_store_explicit(&entry(span)->taken, taken, memory_order_relaxed);
}

static void set_class_taken(kvi_heap_class_t *class, size_t taken)
{
    atomic_store_explicit(&class->taken, taken, memory_order_relaxed);
}

static void note_peak(kvi_heap_t *heap)
{
    const size_t obtained = kvi_heap_obtained(heap);
    size_t peak = kvi_load(&heap->peak_bytes);
    while (obtained > peak &&
           !atomic_compare_exchange_weak_explicit(&heap->peak_bytes, &peak, obtained,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* ---- metadata ---- */

void *kvi_heap_meta_alloc(kvi_heap_t *heap, size_t bytes)
{
    void *const object = kvi_meta_alloc(heap->budget, bytes);
    if (object != NULL) {
        add(&heap->metadata_bytes, kvi_meta_charge(bytes));
        note_peak(heap);
    }
    return object;
}

void kvi_heap_meta_free(kvi_heap_t *heap, void *object, size_t bytes)
{
    kvi_meta_free(heap->budget, object, bytes);
    subtract(&heap->metadata_bytes, kvi_meta_charge(bytes));
}

void kvi_heap_count_metadata(kvi_heap_t *heap, size_t bytes)
{
    add(&heap->metadata_bytes, bytes);
    note_peak(heap);
}

static bool enter_windows(kvi_heap_t *heap, uint32_t first, uint32_t count)
{
    if (heap->windows == NULL) {
        return true;
    }
    const size_t before = kvi_windows_bytes(heap->windows);
    const bool entered = kvi_windows_enter(heap->windows, heap->budget, first, count);
    add(&heap->metadata_bytes, kvi_windows_bytes(heap->windows) - before);
    return entered;
}

static void leave_windows(kvi_heap_t *heap, uint32_t first, uint32_t count)
{
    if (heap->windows != NULL) {
        kvi_windows_leave(heap->windows, first, count);
    }
}

/* ---- lists of spans and of large objects ---- */

static void put_in_list(uint32_t *list, uint32_t first)
{
    entry(first)->previous = 0;
    entry(first)->next = *list;
    if (*list != 0) {
        entry(*list)->previous = first;
    }
    *list = first;
}

static void take_from_list(uint32_t *list, uint32_t first)
{
    const kvi_block_t *const block = entry(first);
    if (block->previous != 0) {
        entry(block->previous)->next = block->next;
    } else {
        *list = block->next;
    }
    if (block->next != 0) {
        entry(block->next)->previous = block->previous;
    }
}

/* ---- spans ---- */

uint32_t kvi_heap_span_blocks(size_t bytes)
{
    size_t best_blocks = 0;
    size_t best_tail = 1;
    for (size_t blocks = 1; blocks <= SPAN_BLOCKS_MAX; blocks++) {
        const size_t span = blocks << KVI_BLOCK_SHIFT;
        const size_t tail = span % bytes;
        if (span < bytes) {
            continue;
        }
        if (best_blocks == 0 || tail * best_blocks < best_tail * blocks) {
            best_blocks = blocks;
            best_tail = tail;
        }
        if (tail * TAIL_PART_MAX <= span) {
            break;
        }
    }
    return (uint32_t)best_blocks;
}

static void choose_span(kvi_heap_class_t *class)
{
    const size_t bytes = class->object_bytes;
    class->span_blocks = (uint16_t)kvi_heap_span_blocks(bytes);
    class->reciprocal = (uint32_t)((((uint64_t)1 << 32) + bytes - 1) / bytes);
    class->span_objects = (uint16_t)(((size_t) class->span_blocks << KVI_BLOCK_SHIFT) / bytes);
}

static size_t bitmap_bytes(const kvi_heap_class_t *class)
{
    return (class->span_objects + 63U) / 64 * sizeof(uint64_t);
}

/* Objects from begin to end become free. */
static void fill_bitmap(uint64_t *bitmap, uint32_t begin, uint32_t end)
{
    while (begin < end) {
        const uint32_t word_end = (begin / 64 + 1) * 64;
        const uint32_t stop = end < word_end ? end : word_end;
        bitmap[begin / 64] |= ~UINT64_C(0) >> (64 - (stop - begin)) << (begin % 64);
        begin = stop;
    }
}

static size_t open_bytes(uint32_t span)
{
    return atomic_load_explicit(&entry(span)->pages, memory_order_relaxed) * KVI_PAGE_BYTES;
}

/* What was charged for the run of a span or of a large object. */
static size_t charged_bytes(uint32_t first)
{
    const size_t open = open_bytes(first);
    return open != 0 ? open : (size_t)entry(first)->run_blocks << KVI_BLOCK_SHIFT;
}

static void add_run(const kvi_heap_t *heap, kvi_block_release_t *release, uint32_t first,
                    size_t charged)
{
    const uint32_t count = entry(first)->run_blocks;
    if (heap->poison) {
        kvi_os_unpoison(kvi_block_address(first), (size_t)count << KVI_BLOCK_SHIFT);
    }
    kvi_blocks_release_add(release, first, count, charged);
}

static void release_run(const kvi_heap_t *heap, uint32_t first, size_t charged)
{
    kvi_block_release_t release;
    kvi_block_release_begin(&release, heap->budget);
    add_run(heap, &release, first, charged);
    kvi_block_release_end(&release);
}

/* The bytes that should be open in a span of which the first open ones are: for one more object at
 * least, and if generous for as many as keep the number of steps low. A whole span when all objects
 * fit. */
static size_t open_target(const kvi_heap_class_t *class, size_t open, bool generous)
{
    const size_t bytes = class->object_bytes;
    const size_t step = kvi_load(&class->objects) * bytes / KVI_GROWTH_PART;
    const size_t least = (open / bytes + 1) * bytes;
    const size_t target = generous && open + step > least ? open + step : least;
    const size_t pages = (target + KVI_PAGE_BYTES - 1) & ~(KVI_PAGE_BYTES - 1);
    return pages / bytes < class->span_objects ? pages
                                               : (size_t) class->span_blocks << KVI_BLOCK_SHIFT;
}

/* Opens the pages of a span up to open bytes, which are charged already. */
static void open_pages(kvi_heap_t *heap, kvi_heap_class_t *class, uint32_t first, size_t open)
{
    kvi_block_t *const span = entry(first);
    const uint32_t before = span->objects;
    const size_t fitting = open / class->object_bytes;
    span->objects = fitting < class->span_objects ? (uint32_t)fitting : class->span_objects;
    span->first_word = (uint16_t)(before / 64);
    fill_bitmap(span->bitmap, before, span->objects);
    const size_t added = span->objects - before;
    atomic_store_explicit(&class->objects, kvi_load(&class->objects) + added, memory_order_relaxed);
    add(&heap->span_bytes, open - open_bytes(first));
    atomic_store_explicit(&span->pages, (uint16_t)(open / KVI_PAGE_BYTES), memory_order_relaxed);
    class->growing = span->objects < class->span_objects ? first : 0;
    note_peak(heap);
}

/* Opens more of the growing span, all of whose objects are taken, and returns it; 0 when memory is
 * short. */
static uint32_t extend_span(kvi_heap_t *heap, kvi_heap_class_t *class)
{
    const uint32_t first = class->growing;
    const size_t before = open_bytes(first);
    size_t open = open_target(class, before, true);
    if (!kvi_budget_charge(heap->budget, open - before)) {
        open = open_target(class, before, false);
        if (!kvi_budget_charge(heap->budget, open - before)) {
            return 0;
        }
    }
    open_pages(heap, class, first, open);
    return first;
}

/* The first block of a new span of which open bytes are charged, with an empty bitmap; 0 when
 * memory is short. */
static uint32_t acquire_span(kvi_heap_t *heap, size_t number, size_t open)
{
    kvi_heap_class_t *const class = &heap->classes[number];
    uint64_t *const bitmap = kvi_heap_meta_alloc(heap, bitmap_bytes(class));
    if (bitmap == NULL) {
        return 0;
    }
    const kvi_block_request_t request = {.budget = heap->budget,
                                         .owner = &heap->span_owner,
                                         .count = class->span_blocks,
                                         .tag = (uint16_t)number,
                                         .charge = open};
    bool zeroed = false;
    const uint32_t first = kvi_blocks_acquire(&request, &zeroed);
    const bool entered = first != 0 && enter_windows(heap, first, class->span_blocks);
    if (first != 0 && !entered) {
        release_run(heap, first, open);
    }
    if (!entered) {
        kvi_heap_meta_free(heap, bitmap, bitmap_bytes(class));
        return 0;
    }
    memset(bitmap, 0, bitmap_bytes(class));
    entry(first)->bitmap = bitmap;
    return first;
}

static uint32_t open_span(kvi_heap_t *heap, size_t number)
{
    kvi_heap_class_t *const class = &heap->classes[number];
    size_t open = open_target(class, 0, true);
    uint32_t first = acquire_span(heap, number, open);
    if (first == 0 && open > open_target(class, 0, false)) {
        open = open_target(class, 0, false);
        first = acquire_span(heap, number, open);
    }
    if (first == 0) {
        return 0;
    }
    kvi_block_t *const span = entry(first);
    span->objects = 0;
    atomic_store_explicit(&span->object_bytes, class->object_bytes, memory_order_relaxed);
    set_taken(first, 0);
    put_in_list(&class->list, first);
    atomic_store_explicit(&class->spans, class->spans + 1, memory_order_relaxed);
    open_pages(heap, class, first, open);
    if (heap->poison) {
        kvi_os_poison(kvi_block_address(first), (size_t) class->span_blocks << KVI_BLOCK_SHIFT);
    }
    return first;
}

/* Gives back a span none of whose objects is taken. */
static void close_span(kvi_heap_t *heap, size_t number, uint32_t first)
{
    kvi_heap_class_t *const class = &heap->classes[number];
    if (class->current == first) {
        class->current = 0;
    } else {
        kvi_queue_remove(&class->queue, first);
    }
    if (class->growing == first) {
        class->growing = 0;
    }
    take_from_list(&class->list, first);
    atomic_store_explicit(&class->spans, class->spans - 1, memory_order_relaxed);
    atomic_store_explicit(&class->objects, kvi_load(&class->objects) - entry(first)->objects,
                          memory_order_relaxed);
    subtract(&heap->span_bytes, open_bytes(first));
    kvi_heap_meta_free(heap, entry(first)->bitmap, bitmap_bytes(class));
    leave_windows(heap, first, class->span_blocks);
    release_run(heap, first, open_bytes(first));
}

/* Makes the lowest span with free objects current; the growing one, or a new one, only if open is
 * true. 0: there is none. */
static uint32_t next_span(kvi_heap_t *heap, size_t number, bool open)
{
    kvi_heap_class_t *const class = &heap->classes[number];
    if (class->current == 0 && class->queue != 0) {
        class->current = class->queue;
        kvi_queue_remove(&class->queue, class->current);
    }
    if (class->current == 0 && open) {
        class->current = class->growing != 0 ? extend_span(heap, class) : open_span(heap, number);
    }
    return class->current;
}

/* Takes up to count free objects of one span, in address order. */
static unsigned take_from_span(const kvi_heap_class_t *class, uint32_t first, void **objects,
                               unsigned count)
{
    kvi_block_t *const span = entry(first);
    char *const start = kvi_block_address(first);
    const uint32_t words = (span->objects + 63) / 64;
    uint32_t word = span->first_word;
    unsigned taken = 0;
    while (taken < count && word < words) {
        uint64_t bits = span->bitmap[word];
        while (bits != 0 && taken < count) {
            const size_t index = (size_t)word * 64 + (unsigned)__builtin_ctzll(bits);
            objects[taken++] = start + index * class->object_bytes;
            bits &= bits - 1;
        }
        span->bitmap[word] = bits;
        word += bits == 0;
    }
    span->first_word = (uint16_t)word;
    set_taken(first, taken_of(first) + taken);
    return taken;
}

static void reverse(void **objects, unsigned count)
{
    for (unsigned i = 0; i < count / 2; i++) {
        void *const object = objects[i];
        objects[i] = objects[count - 1 - i];
        objects[count - 1 - i] = object;
    }
}

unsigned kvi_heap_take(kvi_heap_t *heap, size_t number, void **objects, unsigned count)
{
    kvi_heap_class_t *const class = &heap->classes[number];
    unsigned taken = 0;
    for (unsigned spans = 0; taken < count && spans < SPANS_PER_TAKE_MAX; spans++) {
        const uint32_t first = next_span(heap, number, taken == 0);
        if (first == 0) {
            break;
        }
        taken += take_from_span(class, first, objects + taken, count - taken);
        if (taken_of(first) == entry(first)->objects) {
            class->current = 0;
        }
    }
    set_class_taken(class, kvi_load(&class->taken) + taken);
    reverse(objects, taken);
    return taken;
}

static void give_object(kvi_heap_t *heap, size_t number, const void *object)
{
    kvi_heap_class_t *const class = &heap->classes[number];
    const uint32_t first = entry(kvi_block_number(object))->head;
    kvi_block_t *const span = entry(first);
    const uint64_t offset = (uint64_t)((const char *)object - kvi_block_address(first));
    const uint32_t index = (uint32_t)(offset * class->reciprocal >> 32);
    const uint32_t taken = taken_of(first);
    assert((span->bitmap[index / 64] >> (index % 64) & 1) == 0);
    span->bitmap[index / 64] |= UINT64_C(1) << (index % 64);
    if (index / 64 < span->first_word) {
        span->first_word = (uint16_t)(index / 64);
    }
    set_taken(first, taken - 1);
    if (taken == span->objects) {
        kvi_queue_push(&class->queue, first);
    }
    if (taken == 1) {
        close_span(heap, number, first);
    }
}

void kvi_heap_give(kvi_heap_t *heap, size_t number, void *const *objects, unsigned count)
{
    enum { AHEAD = 8 };
    kvi_heap_class_t *const class = &heap->classes[number];
    for (unsigned i = 0; i < count; i++) {
        if (i + AHEAD < count) {
            __builtin_prefetch(entry(kvi_block_number(objects[i + AHEAD])), 1);
        }
        give_object(heap, number, objects[i]);
    }
    set_class_taken(class, kvi_load(&class->taken) - count);
}

/* ---- large objects ---- */

void *kvi_heap_take_large(kvi_heap_t *heap, size_t bytes, uint32_t alignment_blocks, bool *zeroed)
{
    const size_t size = kvi_block_rounded(bytes > KVI_BLOCK_BYTES ? bytes : KVI_BLOCK_BYTES);
    if (size == 0) {
        return NULL;
    }
    const kvi_block_request_t request = {.budget = heap->budget,
                                         .owner = &heap->large_owner,
                                         .count = (uint32_t)(size >> KVI_BLOCK_SHIFT),
                                         .alignment = alignment_blocks,
                                         .tag = KVI_TAG_LARGE};
    const uint32_t first = kvi_blocks_acquire(&request, zeroed);
    if (first == 0) {
        return NULL;
    }
    if (!enter_windows(heap, first, 1)) {
        release_run(heap, first, size);
        return NULL;
    }
    put_in_list(&heap->large_list, first);
    add(&heap->large_objects, 1);
    add(&heap->large_blocks, request.count);
    note_peak(heap);
    return kvi_block_address(first);
}

void kvi_heap_give_large(kvi_heap_t *heap, void *object)
{
    const uint32_t first = kvi_block_number(object);
    const uint32_t count = entry(first)->run_blocks;
    take_from_list(&heap->large_list, first);
    subtract(&heap->large_objects, 1);
    subtract(&heap->large_blocks, count);
    leave_windows(heap, first, 1);
    release_run(heap, first, (size_t)count << KVI_BLOCK_SHIFT);
}

bool kvi_heap_resize_large(kvi_heap_t *heap, void *object, size_t bytes)
{
    const uint32_t first = kvi_block_number(object);
    const uint32_t count = entry(first)->run_blocks;
    const size_t size = kvi_block_rounded(bytes);
    const uint32_t new_count = (uint32_t)(size >> KVI_BLOCK_SHIFT);
    if (size < KVI_BLOCK_BYTES) {
        return false;
    }
    if (new_count < count) {
        kvi_blocks_shrink(heap->budget, first, count, new_count);
        subtract(&heap->large_blocks, count - new_count);
    } else if (new_count > count) {
        if (!kvi_blocks_extend(heap->budget, first, count, new_count)) {
            return false;
        }
        add(&heap->large_blocks, new_count - count);
        note_peak(heap);
    }
    return true;
}

/* ---- questions ---- */

size_t kvi_heap_obtained(const kvi_heap_t *heap)
{
    const size_t large_bytes = kvi_load(&heap->large_blocks) << KVI_BLOCK_SHIFT;
    return kvi_load(&heap->span_bytes) + large_bytes + kvi_load(&heap->metadata_bytes);
}

size_t kvi_heap_object_bytes(const kvi_heap_t *heap, const void *object)
{
    const uint32_t block = kvi_block_number(object);
    const uint16_t number = kvi_source.tags[block].size_class;
    if (number < KVI_CLASSES) {
        return heap->classes[number].object_bytes;
    }
    return number == KVI_TAG_LARGE ? (size_t)entry(block)->run_blocks << KVI_BLOCK_SHIFT : 0;
}

bool kvi_heap_owns(const kvi_heap_t *heap, const void *address)
{
    if (!kvi_source_owns(address)) {
        return false;
    }
    const uint32_t block = kvi_block_number(address);
    if (kvi_source.tags[block].size_class == KVI_TAG_OTHER) {
        return false;
    }
    const kvi_block_t *const head = entry(entry(block)->head);
    return head->state == KVI_RUN_USED &&
           (head->owner == &heap->span_owner || head->owner == &heap->large_owner);
}

bool kvi_heap_is_object(const kvi_heap_t *heap, const void *address)
{
    if (!kvi_heap_owns(heap, address)) {
        return false;
    }
    const uint32_t first = entry(kvi_block_number(address))->head;
    const uint16_t number = kvi_source.tags[first].size_class;
    const size_t offset = (size_t)((const char *)address - kvi_block_address(first));
    if (number == KVI_TAG_LARGE) {
        return offset == 0;
    }
    const size_t bytes = heap->classes[number].object_bytes;
    return offset % bytes == 0 && offset / bytes < entry(first)->objects;
}

bool kvi_heap_is_taken(const kvi_heap_t *heap, const void *address)
{
    if (!kvi_heap_is_object(heap, address)) {
        return false;
    }
    const uint32_t first = entry(kvi_block_number(address))->head;
    const uint16_t number = kvi_source.tags[first].size_class;
    if (number == KVI_TAG_LARGE) {
        return true;
    }
    const size_t offset = (size_t)((const char *)address - kvi_block_address(first));
    const size_t index = offset / heap->classes[number].object_bytes;
    return (entry(first)->bitmap[index / 64] >> (index % 64) & 1) == 0;
}

bool kvi_heap_is_sparse(const kvi_heap_t *heap, const void *object)
{
    const uint32_t block = kvi_block_number(object);
    const uint16_t number = kvi_source.tags[block].size_class;
    if (number >= KVI_CLASSES) {
        return false;
    }
    const kvi_heap_class_t *const class = &heap->classes[number];
    const uint32_t first = entry(block)->head;
    const uint64_t taken = taken_of(first);
    const uint64_t all_taken = kvi_load(&class->taken);
    const uint64_t all = kvi_load(&class->objects);
    const uint64_t own = entry(first)->objects;
    /* Worth while if the objects of this span fit into the others and at least a 32nd of the class
     * is free. */
    const uint64_t all_free = all - all_taken;
    if (first == class->current || all_free < class->span_objects || all_free < all / 32) {
        return false;
    }
    /* A quarter empty, or emptier than 9/8 of the average: while all spans are alike, half of them
     * must make the beginning. */
    return taken * 4 < own * 3 || (taken * all * 8 < all_taken * own * 9 && taken < own);
}

/* ---- beginning and end ---- */

void kvi_heap_init(kvi_heap_t *heap, const kvi_heap_options_t *options)
{
    memset(heap, 0, sizeof *heap);
    heap->budget = options->budget;
    heap->windows = options->windows;
    heap->granule_shift = options->granule_shift;
    heap->poison = options->poison;
    heap->span_owner = (kvi_block_owner_t){.kind = KV_BLOCK_POOL,
                                           .name = options->name,
                                           .id = options->id,
                                           .huge_pages = options->huge_pages};
    heap->large_owner = heap->span_owner;
    heap->large_owner.kind = KV_BLOCK_LARGE;
    for (size_t i = 0; i < KVI_CLASSES; i++) {
        heap->classes[i].object_bytes = (uint32_t)kvi_class_bytes(i, options->granule_shift);
        choose_span(&heap->classes[i]);
    }
}

static void release_list(const kvi_heap_t *heap, kvi_block_release_t *release, uint32_t list)
{
    while (list != 0) {
        const uint32_t next = entry(list)->next;
        add_run(heap, release, list, charged_bytes(list));
        list = next;
    }
}

void kvi_heap_clear(kvi_heap_t *heap)
{
    for (size_t i = 0; i < KVI_CLASSES; i++) {
        kvi_heap_class_t *const class = &heap->classes[i];
        for (uint32_t span = class->list; span != 0; span = entry(span)->next) {
            kvi_heap_meta_free(heap, entry(span)->bitmap, bitmap_bytes(class));
        }
    }
    kvi_block_release_t release;
    kvi_block_release_begin(&release, heap->budget);
    for (size_t i = 0; i < KVI_CLASSES; i++) {
        release_list(heap, &release, heap->classes[i].list);
        heap->classes[i].list = 0;
        heap->classes[i].current = 0;
        heap->classes[i].queue = 0;
        heap->classes[i].growing = 0;
    }
    release_list(heap, &release, heap->large_list);
    heap->large_list = 0;
    kvi_block_release_end(&release);
    if (heap->windows != NULL) {
        kvi_windows_clear(heap->windows, heap->budget);
    }
}

/* ---- sealing ---- */

static bool protect_list(uint32_t list, bool writable)
{
    bool done = true;
    for (uint32_t first = list; first != 0; first = entry(first)->next) {
        const size_t bytes = (size_t)entry(first)->run_blocks << KVI_BLOCK_SHIFT;
        done = kvi_os_protect(kvi_block_address(first), bytes, writable) && done;
    }
    return done;
}

bool kvi_heap_protect(const kvi_heap_t *heap, bool writable)
{
    bool done = protect_list(heap->large_list, writable);
    for (size_t i = 0; i < KVI_CLASSES; i++) {
        done = protect_list(heap->classes[i].list, writable) && done;
    }
    return done;
}

/* ---- check ---- */

static size_t free_bits(uint32_t first)
{
    size_t bits = 0;
    for (uint32_t word = 0; word < (entry(first)->objects + 63) / 64; word++) {
        bits += (size_t)__builtin_popcountll(entry(first)->bitmap[word]);
        if (entry(first)->bitmap[word] != 0 && word < entry(first)->first_word) {
            return SIZE_MAX; /* the hint hides a free object */
        }
    }
    return bits;
}

static bool span_is_valid(const kvi_heap_t *heap, size_t number, uint32_t first, uint32_t previous)
{
    const kvi_block_t *const span = entry(first);
    const kvi_heap_class_t *const class = &heap->classes[number];
    for (uint32_t i = 0; i < class->span_blocks; i++) {
        if (kvi_source.tags[first + i].size_class != number || entry(first + i)->head != first) {
            return false;
        }
    }
    const size_t open = open_bytes(first);
    const size_t fitting = open / class->object_bytes;
    const bool whole = first != class->growing;
    const bool open_agree = whole ? open == (size_t) class->span_blocks << KVI_BLOCK_SHIFT &&
                                        span->objects == class->span_objects
                                  : fitting == span->objects && fitting < class->span_objects;
    return span->state == KVI_RUN_USED && span->owner == &heap->span_owner &&
           span->previous == previous && span->run_blocks == class->span_blocks && open_agree &&
           taken_of(first) > 0 && free_bits(first) == span->objects - taken_of(first);
}

static bool class_is_valid(const kvi_heap_t *heap, size_t number)
{
    const kvi_heap_class_t *const class = &heap->classes[number];
    size_t spans = 0;
    size_t taken = 0;
    size_t objects = 0;
    size_t with_room = 0;
    bool growing_listed = class->growing == 0;
    uint32_t previous = 0;
    for (uint32_t first = class->list; first != 0; first = entry(first)->next) {
        if (!span_is_valid(heap, number, first, previous)) {
            return false;
        }
        spans++;
        taken += taken_of(first);
        objects += entry(first)->objects;
        growing_listed = growing_listed || first == class->growing;
        with_room += taken_of(first) < entry(first)->objects;
        previous = first;
    }
    const bool current_has_room =
        class->current == 0 || taken_of(class->current) < entry(class->current)->objects;
    const size_t queued = kvi_queue_check(class->queue);
    return current_has_room && queued == with_room - (class->current != 0) && growing_listed &&
           spans == class->spans && taken == kvi_load(&class->taken) &&
           objects == kvi_load(&class->objects);
}

kv_status_t kvi_heap_check(const kvi_heap_t *heap)
{
    size_t span_blocks = 0;
    size_t span_bytes = 0;
    for (size_t i = 0; i < KVI_CLASSES; i++) {
        if (!class_is_valid(heap, i)) {
            return KV_CORRUPT;
        }
        span_blocks += (size_t)heap->classes[i].spans * heap->classes[i].span_blocks;
        for (uint32_t first = heap->classes[i].list; first != 0; first = entry(first)->next) {
            span_bytes += open_bytes(first);
        }
    }
    size_t large_blocks = 0;
    size_t large_objects = 0;
    for (uint32_t first = heap->large_list; first != 0; first = entry(first)->next) {
        large_blocks += entry(first)->run_blocks;
        large_objects++;
        if (entry(first)->owner != &heap->large_owner || entry(first)->state != KVI_RUN_USED) {
            return KV_CORRUPT;
        }
    }
    if (heap->windows != NULL && kvi_windows_count(heap->windows) != span_blocks + large_objects) {
        return KV_CORRUPT;
    }
    const bool agree = span_bytes == kvi_load(&heap->span_bytes) &&
                       large_blocks == kvi_load(&heap->large_blocks) &&
                       large_objects == kvi_load(&heap->large_objects);
    return agree ? KV_OK : KV_CORRUPT;
}
