/* SPDX-License-Identifier: MIT */
/*
 * Pools: magazines over a heap. alloc pops and free pushes a pointer; the heap below is asked once
 * in a hundred calls.
 *
 *   kv_pool_alloc / kv_pool_free
 *        │  class by size / by the block's tag
 *        ▼
 *   magazine   one per class, an array of 16 to 256 objects
 *        │  half a magazine at a time
 *        ▼
 *   heap       spans and bitmaps (heap.h)
 *        ▼
 *   block source, charged to the pool's budget
 *
 * Invariants
 *   1. An object is live, in the magazine of its class, or free in its span's bitmap: exactly one
 *      of the three.
 *   2. A magazine's limit is its capacity, or 0 while its class is compacting or without an array
 *      of its own.
 *   3. live + free + metadata = obtained, which is what the budget is charged.
 *
 * Compacting: once the owner has been told that an object is sparse, frees into sparse spans go to
 * the bitmap at once. Through the magazine the next allocation would get the very place that was to
 * be emptied.
 *
 * Thread rule: one user at a time; statistics from any thread.
 */
#include "memory/pool_int.h"

#include "memory/guard.h"
#include "os/config.h"

#include <string.h>

enum {
    MAGAZINE_MAX = 256,
    MAGAZINE_MIN = 16,          /* at first, then four times as many */
    MAGAZINE_PART = 8,          /* of the objects taken may rest */
    MAGAZINE_BYTES_MAX = 16384, /* what may rest in one magazine */
    COMPACTING_FREES = 64
};
#define ALIGNMENT_MAX ((size_t)2 << 20)
#define PIVOTS_BYTES (KVI_CLASSES * sizeof(kvi_pivot_t))

/* ---- the long ways of alloc and free ---- */

/* The items a magazine should have room for: few while its class has few objects. */
static size_t wanted_capacity(const kv_pool_t *pool, size_t number)
{
    const kvi_heap_class_t *const class = &pool->heap.classes[number];
    const size_t fitting = MAGAZINE_BYTES_MAX / class->object_bytes;
    const size_t most = fitting < MAGAZINE_MAX ? fitting : MAGAZINE_MAX;
    size_t capacity = MAGAZINE_MIN;
    while (capacity < most && kvi_load(&class->taken) >= capacity * MAGAZINE_PART) {
        capacity *= 4;
    }
    return capacity < most ? capacity : most;
}

static void free_items(kv_pool_t *pool, size_t number)
{
    if (pool->capacity[number] > 0) {
        kvi_heap_meta_free(&pool->heap, pool->magazines[number].items,
                           pool->capacity[number] * sizeof *pool->magazines[number].items);
    }
}

/* Gives an empty magazine an array, or a larger one when its class has grown. False: it has none.
 * Large classes do without, and so may others while memory is short. */
static bool open_magazine(kv_pool_t *pool, size_t number)
{
    if (pool->direct || pool->heap.classes[number].object_bytes > MAGAZINE_BYTES_MAX / 2) {
        return false;
    }
    const size_t capacity = wanted_capacity(pool, number);
    if (pool->capacity[number] >= capacity) {
        return true;
    }
    void **const items = kvi_heap_meta_alloc(&pool->heap, capacity * sizeof *items);
    if (items == NULL) {
        return pool->capacity[number] > 0;
    }
    free_items(pool, number);
    pool->magazines[number].items = items;
    pool->magazines[number].limit = pool->compacting[number] > 0 ? 0 : (uint32_t)capacity;
    pool->capacity[number] = (uint16_t)capacity;
    return true;
}

/* Empties a magazine into the heap and gives its array back. */
static void close_magazine(kv_pool_t *pool, size_t number)
{
    kvi_magazine_t *const magazine = &pool->magazines[number];
    if (pool->capacity[number] == 0) {
        return;
    }
    kvi_heap_give(&pool->heap, number, magazine->items, kvi_magazine_count(magazine));
    kvi_magazine_set_count(magazine, 0);
    free_items(pool, number);
    magazine->items = NULL;
    magazine->limit = 0;
    pool->capacity[number] = 0;
    pool->compacting[number] = 0;
}

/* One object straight from the heap. */
static void *take_one(kv_pool_t *pool, size_t number)
{
    void *object = NULL;
    if (kvi_heap_take(&pool->heap, number, &object, 1) == 0) {
        return NULL;
    }
    if (pool->direct) {
        kvi_os_unpoison(object, pool->heap.classes[number].object_bytes);
    }
    return object;
}

static void give_one(kv_pool_t *pool, size_t number, void *object)
{
    if (pool->direct) {
        kvi_os_poison(object, pool->heap.classes[number].object_bytes);
    }
    kvi_heap_give(&pool->heap, number, &object, 1);
}

static __attribute__((noinline)) void *take_slow(kv_pool_t *pool, size_t number)
{
    if (!open_magazine(pool, number)) {
        return take_one(pool, number);
    }
    kvi_magazine_t *const magazine = &pool->magazines[number];
    const unsigned half = pool->capacity[number] / 2U;
    const unsigned taken = kvi_heap_take(&pool->heap, number, magazine->items, half);
    kvi_magazine_set_count(magazine, taken);
    return kvi_magazine_pop(magazine);
}

/* The colder half goes back to the heap. */
static void spill_half(kv_pool_t *pool, size_t number)
{
    kvi_magazine_t *const magazine = &pool->magazines[number];
    const unsigned count = kvi_magazine_count(magazine);
    const unsigned half = (count + 1) / 2;
    kvi_heap_give(&pool->heap, number, magazine->items, half);
    memmove(magazine->items, magazine->items + half, (count - half) * sizeof *magazine->items);
    kvi_magazine_set_count(magazine, count - half);
}

/* Whether object, of a class that is compacting, went to the bitmap of its sparse span. */
static bool give_sparse(kv_pool_t *pool, size_t number, void *object)
{
    pool->compacting[number]--;
    if (pool->compacting[number] == 0) {
        pool->magazines[number].limit = pool->capacity[number];
    }
    if (!kvi_heap_is_sparse(&pool->heap, object)) {
        return false;
    }
    kvi_heap_give(&pool->heap, number, &object, 1);
    return true;
}

static __attribute__((noinline)) void give_slow(kv_pool_t *pool, size_t number, void *object)
{
    if (number == KVI_TAG_LARGE) {
        kvi_heap_give_large(&pool->heap, object);
        return;
    }
    if (number >= KVI_CLASSES) {
        return; /* no object of any pool */
    }
    kvi_magazine_t *const magazine = &pool->magazines[number];
    if (pool->capacity[number] == 0) {
        give_one(pool, number, object);
        return;
    }
    if (pool->compacting[number] > 0 && give_sparse(pool, number, object)) {
        return;
    }
    if (kvi_magazine_count(magazine) == pool->capacity[number]) {
        spill_half(pool, number);
    }
    const uint32_t count = kvi_magazine_count(magazine);
    magazine->items[count] = object;
    kvi_magazine_set_count(magazine, count + 1);
}

/* ---- objects without guards ---- */

static void *take_class(kv_pool_t *pool, size_t number)
{
    void *const object = kvi_magazine_pop(&pool->magazines[number]);
    return object != NULL ? object : take_slow(pool, number);
}

/* Any size; *zeroed: the bytes read as 0. */
static void *take_any(kv_pool_t *pool, size_t size, bool *zeroed)
{
    const size_t number = kvi_class_of(size, pool->granule_shift);
    *zeroed = false;
    return number < KVI_CLASSES ? take_class(pool, number)
                                : kvi_heap_take_large(&pool->heap, size, 1, zeroed);
}

static __attribute__((noinline)) void *take_unzeroed(kv_pool_t *pool, size_t size)
{
    bool zeroed = false;
    return take_any(pool, size, &zeroed);
}

static inline void *take(kv_pool_t *pool, size_t size)
{
    if (size <= POOL_SMALL_MAX) {
        const size_t number = pool->small_classes[(size + 7) / 8];
        void *const object = kvi_magazine_pop(&pool->magazines[number]);
        if (object != NULL) {
            return object;
        }
    }
    return take_unzeroed(pool, size);
}

static void *take_aligned(kv_pool_t *pool, size_t size, size_t alignment)
{
    bool zeroed = false;
    if (alignment <= (size_t)1 << pool->granule_shift) {
        return take(pool, size);
    }
    if (alignment <= KVI_BLOCK_BYTES) {
        const size_t number = kvi_class_aligned(size, alignment, pool->granule_shift);
        if (number < KVI_CLASSES) {
            return take_class(pool, number);
        }
    }
    const size_t blocks = alignment >> KVI_BLOCK_SHIFT;
    return kvi_heap_take_large(&pool->heap, size, blocks == 0 ? 1 : (uint32_t)blocks, &zeroed);
}

static inline void give(kv_pool_t *pool, void *object)
{
    const size_t number = kvi_source.tags[kvi_block_number(object)].size_class;
    if (!kvi_magazine_push(&pool->magazines[number], object)) {
        give_slow(pool, number, object);
    }
}

/* Whether an object of this class or this large object can become size bytes long where it stands.
 */
static bool resize(kv_pool_t *pool, void *object, size_t size)
{
    const size_t number = kvi_source.tags[kvi_block_number(object)].size_class;
    const size_t wanted = kvi_class_of(size, pool->granule_shift);
    if (number < KVI_CLASSES) {
        return number == wanted;
    }
    return wanted >= KVI_CLASSES && kvi_heap_resize_large(&pool->heap, object, size);
}

/* ---- guards ---- */

/* The size to take from the heap for size bytes; SIZE_MAX stays what cannot be had. */
static size_t guarded(size_t size)
{
    return kvi_hardened && size < SIZE_MAX - KVI_GUARD_BYTES ? size + KVI_GUARD_BYTES : size;
}

static void *protect(kv_pool_t *pool, void *object, size_t size)
{
    if (kvi_hardened && object != NULL) {
        kvi_guard_protect(object, kvi_heap_object_bytes(&pool->heap, object), size);
    }
    return object;
}

/* Whether object may be freed or resized; tells of a misuse if not. */
static bool is_sound(kv_pool_t *pool, void *object)
{
    if (!kvi_hardened) {
        return true;
    }
    int misuse = KV_MISUSE_FOREIGN_FREE;
    if (kvi_heap_is_object(&pool->heap, object)) {
        misuse = kvi_heap_is_taken(&pool->heap, object)
                     ? kvi_guard_check(object, kvi_heap_object_bytes(&pool->heap, object))
                     : KV_MISUSE_DOUBLE_FREE;
    }
    if (misuse != 0 && pool->misuse != NULL) {
        pool->misuse(pool->misuse_context, (kv_misuse_t)misuse, object);
    }
    return misuse == 0;
}

/* ---- the pool itself ---- */

static bool options_are_valid(const kv_pool_options_t *options)
{
    return (options->granule == 0 || options->granule == 8 || options->granule == 16) &&
           (unsigned)options->huge_pages <= KV_HUGE_PAGES_ALWAYS;
}

kv_pool_t *kvi_pool_create_direct(const kv_pool_options_t *options, bool direct)
{
    static const kv_pool_options_t defaults = {.name = NULL};
    const kv_pool_options_t *const chosen = options != NULL ? options : &defaults;
    if (!options_are_valid(chosen)) {
        return NULL;
    }
    kv_pool_t *const pool = kvi_meta_alloc(chosen->budget, sizeof *pool);
    if (pool == NULL) {
        return NULL;
    }
    memset(pool, 0, sizeof *pool);
    kvi_windows_init(&pool->windows);
    pool->granule_shift = chosen->granule == 16 ? 4 : 3;
    for (size_t i = 0; i <= POOL_SMALL_MAX / 8; i++) {
        pool->small_classes[i] = (uint8_t)kvi_class_of(i * 8, pool->granule_shift);
    }
    pool->direct = direct;
    pool->misuse = chosen->misuse;
    pool->misuse_context = chosen->misuse_context;
    const kvi_heap_options_t heap_options = {.budget = chosen->budget,
                                             .name = chosen->name != NULL ? chosen->name : "pool",
                                             .id = pool,
                                             .huge_pages = chosen->huge_pages,
                                             .windows = &pool->windows,
                                             .granule_shift = pool->granule_shift,
                                             .poison = direct};
    kvi_heap_init(&pool->heap, &heap_options);
    kvi_heap_count_metadata(&pool->heap, kvi_meta_charge(sizeof *pool));
    return pool;
}

kv_pool_t *kv_pool_create(const kv_pool_options_t *options)
{
    return kvi_pool_create_direct(options, kvi_os_checked());
}

void kv_pool_destroy(kv_pool_t *pool)
{
    if (pool == NULL) {
        return;
    }
    kv_budget_t *const budget = pool->heap.budget;
    for (size_t i = 0; i < KVI_CLASSES; i++) {
        free_items(pool, i);
    }
    if (pool->pivots != NULL) {
        kvi_heap_meta_free(&pool->heap, pool->pivots, PIVOTS_BYTES);
    }
    kvi_heap_clear(&pool->heap);
    kvi_meta_free(budget, pool, sizeof *pool);
}

void *kv_pool_alloc(kv_pool_t *pool, size_t size)
{
    return protect(pool, take(pool, guarded(size)), size);
}

void *kv_pool_alloc_aligned(kv_pool_t *pool, size_t size, size_t alignment)
{
    if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > ALIGNMENT_MAX) {
        return NULL;
    }
    return protect(pool, take_aligned(pool, guarded(size), alignment), size);
}

void *kv_pool_calloc(kv_pool_t *pool, size_t nmemb, size_t size)
{
    size_t bytes = 0;
    if (__builtin_mul_overflow(nmemb, size, &bytes)) {
        return NULL;
    }
    bool zeroed = false;
    void *const object = take_any(pool, guarded(bytes), &zeroed);
    if (object != NULL && !zeroed) {
        memset(object, 0, bytes);
    }
    return protect(pool, object, bytes);
}

void *kv_pool_realloc(kv_pool_t *pool, void *pointer, size_t size)
{
    if (pointer == NULL) {
        return kv_pool_alloc(pool, size);
    }
    if (!is_sound(pool, pointer)) {
        return NULL;
    }
    if (resize(pool, pointer, guarded(size))) {
        return protect(pool, pointer, size);
    }
    const size_t old_size = kv_pool_usable_size(pool, pointer);
    void *const object = kv_pool_alloc(pool, size);
    if (object == NULL) {
        /* Too little memory to move into a smaller place: the old one is large enough. */
        return size <= old_size ? protect(pool, pointer, size) : NULL;
    }
    memcpy(object, pointer, old_size < size ? old_size : size);
    kv_pool_free(pool, pointer);
    return object;
}

void kv_pool_free(kv_pool_t *pool, void *pointer)
{
    if (pointer == NULL || !is_sound(pool, pointer)) {
        return;
    }
    if (kvi_hardened) {
        const size_t capacity = kvi_heap_object_bytes(&pool->heap, pointer);
        kvi_guard_write(pointer, capacity, KVI_GUARD_DEAD, 0);
    }
    give(pool, pointer);
}

size_t kv_pool_usable_size(const kv_pool_t *pool, const void *pointer)
{
    if (pointer == NULL) {
        return 0;
    }
    const size_t capacity = kvi_heap_object_bytes(&pool->heap, pointer);
    return kvi_hardened ? kvi_guard_size(pointer, capacity) : capacity;
}

bool kv_pool_owns(const kv_pool_t *pool, const void *pointer)
{
    return kvi_heap_owns(&pool->heap, pointer);
}

static bool differs_much(uint32_t number, uint32_t before)
{
    const uint32_t change = number > before ? number - before : before - number;
    return before == 0 || change > before / 8;
}

/* The kept pivot of a class; memory for them is obtained when the first is asked for. NULL while
 * there is none. */
static kvi_pivot_t *kept_pivot(kv_pool_t *pool, size_t number)
{
    if (pool->pivots == NULL) {
        pool->pivots = kvi_heap_meta_alloc(&pool->heap, PIVOTS_BYTES);
        if (pool->pivots == NULL) {
            return NULL;
        }
        memset(pool->pivots, 0, PIVOTS_BYTES);
    }
    return &pool->pivots[number];
}

/* The address below which the class has spans enough for its objects. What stands there stays, so
 * that the blocks above it, and with them whole huge pages, become empty. */
static const char *pivot_of(kv_pool_t *pool, size_t number)
{
    const kvi_heap_class_t *const class = &pool->heap.classes[number];
    kvi_pivot_t once = {.address = NULL};
    kvi_pivot_t *const kept = kept_pivot(pool, number);
    kvi_pivot_t *const pivot = kept != NULL ? kept : &once;
    const size_t objects = kvi_load(&class->taken);
    const uint32_t needed = (uint32_t)((objects + objects / 64) / class->span_objects + 1);
    if (differs_much(class->spans, pivot->spans) || differs_much(needed, pivot->needed)) {
        *pivot = (kvi_pivot_t){.address = kvi_windows_pivot(&pool->windows, number,
                                                            (size_t)needed * class->span_blocks),
                               .spans = class->spans,
                               .needed = needed};
    }
    return pivot->address;
}

bool kv_pool_sparse(const kv_pool_t *pool, const void *pointer)
{
    if (!kvi_heap_is_sparse(&pool->heap, pointer)) {
        return false;
    }
    /* The pool is the caller's to use, and this is a hint to it: see "Compacting" above. */
    kv_pool_t *const own = (kv_pool_t *)(uintptr_t)pool;
    const size_t number = kvi_source.tags[kvi_block_number(pointer)].size_class;
    if ((const char *)pointer < pivot_of(own, number)) {
        return false;
    }
    if (own->compacting[number] == 0) {
        close_magazine(own, number);
        if (!open_magazine(own, number)) {
            return true;
        }
        own->magazines[number].limit = 0;
    }
    own->compacting[number] = COMPACTING_FREES;
    return true;
}

size_t kv_pool_trim(kv_pool_t *pool)
{
    const size_t before = kvi_heap_obtained(&pool->heap);
    for (size_t i = 0; i < KVI_CLASSES; i++) {
        close_magazine(pool, i);
    }
    return before - kvi_heap_obtained(&pool->heap);
}

bool kvi_pool_seal(kv_pool_t *pool)
{
    const bool sealed = kvi_heap_protect(&pool->heap, false);
    if (!sealed) {
        kvi_pool_unseal(pool);
    }
    return sealed;
}

void kvi_pool_unseal(kv_pool_t *pool)
{
    (void)kvi_heap_protect(&pool->heap, true);
}

size_t kvi_pool_good_size(const kv_pool_t *pool, size_t size)
{
    const size_t bytes = guarded(size);
    const size_t number = kvi_class_of(bytes, pool->granule_shift);
    const size_t whole = number < KVI_CLASSES ? kvi_class_bytes(number, pool->granule_shift)
                                              : kvi_block_rounded(bytes);
    return kvi_hardened ? size : whole;
}

/* ---- statistics and check ---- */

static void read_class(const kv_pool_t *pool, size_t number, kv_pool_class_stats_t *stats)
{
    const kvi_heap_class_t *const class = &pool->heap.classes[number];
    const size_t spans = atomic_load_explicit(&class->spans, memory_order_relaxed);
    const size_t objects = kvi_load(&class->objects);
    const size_t taken = kvi_load(&class->taken);
    const size_t resting = kvi_magazine_count(&pool->magazines[number]);
    stats->object_bytes = class->object_bytes;
    /* Another thread may read between two steps of the pool's user. */
    stats->live_objects = taken > resting ? taken - resting : 0;
    stats->free_objects = objects > stats->live_objects ? objects - stats->live_objects : 0;
    stats->blocks = spans * class->span_blocks;
}

kv_status_t kv_pool_class_stats(const kv_pool_t *pool, unsigned number,
                                kv_pool_class_stats_t *stats)
{
    if (pool == NULL || stats == NULL || number > KVI_CLASSES) {
        return KV_INVALID;
    }
    if (number < KVI_CLASSES) {
        read_class(pool, number, stats);
        return KV_OK;
    }
    *stats = (kv_pool_class_stats_t){.live_objects = kvi_load(&pool->heap.large_objects),
                                     .blocks = kvi_load(&pool->heap.large_blocks)};
    return KV_OK;
}

kv_status_t kv_pool_stats(const kv_pool_t *pool, kv_pool_stats_t *stats)
{
    if (pool == NULL || stats == NULL) {
        return KV_INVALID;
    }
    *stats = (kv_pool_stats_t){.classes = KVI_CLASSES + 1};
    for (unsigned i = 0; i < KVI_CLASSES; i++) {
        kv_pool_class_stats_t class;
        read_class(pool, i, &class);
        stats->live_objects += class.live_objects;
        stats->live_bytes += class.live_objects * class.object_bytes;
        stats->blocks += class.blocks;
    }
    const size_t large_blocks = kvi_load(&pool->heap.large_blocks);
    stats->live_objects += kvi_load(&pool->heap.large_objects);
    stats->live_bytes += large_blocks << KVI_BLOCK_SHIFT;
    stats->blocks += large_blocks;
    const size_t open_bytes = kvi_load(&pool->heap.span_bytes) + (large_blocks << KVI_BLOCK_SHIFT);
    stats->free_bytes = open_bytes > stats->live_bytes ? open_bytes - stats->live_bytes : 0;
    stats->metadata_bytes = kvi_load(&pool->heap.metadata_bytes);
    stats->obtained_bytes = stats->live_bytes + stats->free_bytes + stats->metadata_bytes;
    stats->peak_bytes = kvi_load(&pool->heap.peak_bytes);
    return KV_OK;
}

static bool magazine_is_valid(const kv_pool_t *pool, size_t number)
{
    const kvi_magazine_t *const magazine = &pool->magazines[number];
    const uint32_t count = kvi_magazine_count(magazine);
    const uint32_t limit = pool->compacting[number] > 0 ? 0 : pool->capacity[number];
    if (count > pool->capacity[number] || magazine->limit != limit) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        void *const object = magazine->items[i];
        if (!kvi_heap_is_taken(&pool->heap, object) ||
            kvi_source.tags[kvi_block_number(object)].size_class != number) {
            return false;
        }
        for (uint32_t j = 0; j < i; j++) {
            if (magazine->items[j] == object) {
                return false;
            }
        }
    }
    return true;
}

kv_status_t kv_pool_check(const kv_pool_t *pool)
{
    for (size_t i = 0; i < KVI_CLASSES; i++) {
        if (!magazine_is_valid(pool, i)) {
            return KV_CORRUPT;
        }
    }
    return kvi_heap_check(&pool->heap);
}
