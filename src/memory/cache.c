/* SPDX-License-Identifier: MIT */
/* Thread caches, depots and the heap behind kv_store_malloc. Layout, invariants and thread rule:
 * cache.h. */
#include "memory/cache.h"

#include "os/config.h"

#include <string.h>

enum {
    LOCKS = 32, /* checkers of threads follow no more than 64 held at once, as fork needs them */
    ROUNDS_MAX = 128,
    ROUNDS_BYTES_MAX = 65536, /* what may rest in one magazine */
    DEPOT_MIN = 2,            /* magazines */
    DEPOT_PART = 128
};

/* The array of a magazine, with the link that the depot needs. */
typedef struct rounds {
    struct rounds *next;
    void *items[];
} rounds_t;

typedef struct depot {
    rounds_t *full;
    rounds_t *empty;
    uint32_t full_count;
} depot_t;

/* Guards the depots, the classes in the heap and the links in all caches of every LOCKS-th class.
 */
typedef struct class_lock {
    _Alignas(64) kvi_os_mutex_t mutex;
} class_lock_t;

typedef struct cache {
    kvi_magazine_t magazines[KVI_TAGS]; /* first: kvi_cache_magazines points here */
    rounds_t *spare[KVI_CLASSES];       /* NULL: none */
    bool spare_is_full[KVI_CLASSES];
    struct cache *previous; /* in the list of all caches */
    struct cache *next;
} cache_t;

typedef struct store {
    _Atomic bool started;
    bool direct;
    kvi_os_mutex_t mutex; /* guards the start and the list of caches */
    cache_t *caches;
    _Atomic size_t threads;
    kvi_os_mutex_t large_mutex;
    class_lock_t locks[LOCKS];
    depot_t depots[KVI_CLASSES];
} store_t;

/* The documented exception to "no mutable globals": the process's default pool. Zeros are a store
 * not yet started. */
static store_t store;
kvi_heap_t kvi_store_heap;

/* What a thread has before its first call, and after its end: every magazine empty and shut, so
 * that each call goes the long way. Never written, since a count only changes where there is an
 * item or room for one. */
static const kvi_magazine_t no_magazines[KVI_TAGS];
static const kvi_magazine_t gone_magazines[KVI_TAGS];

_Thread_local kvi_magazine_t *kvi_cache_magazines = (kvi_magazine_t *)no_magazines;

static size_t object_bytes(size_t number)
{
    return kvi_class_bytes(number, KVI_STORE_GRANULE_SHIFT);
}

/* How many objects a magazine of this class holds; 0: the class does without magazines. */
static uint32_t capacity_of(size_t number)
{
    const size_t bytes = object_bytes(number);
    const size_t fitting = ROUNDS_BYTES_MAX / bytes;
    if (fitting < 2) {
        return bytes <= 2 * ROUNDS_BYTES_MAX ? 1 : 0;
    }
    return (uint32_t)(fitting < ROUNDS_MAX ? fitting : ROUNDS_MAX);
}

static void lock_class(size_t number)
{
    kvi_os_lock(&store.locks[number % LOCKS].mutex);
}

static void unlock_class(size_t number)
{
    kvi_os_unlock(&store.locks[number % LOCKS].mutex);
}

/* ---- arrays of magazines; the class's mutex is held ---- */

static size_t rounds_bytes(size_t number)
{
    return sizeof(rounds_t) + capacity_of(number) * sizeof(void *);
}

static rounds_t *rounds_of(void **items)
{
    return (void *)((char *)items - offsetof(rounds_t, items));
}

/* An empty array, or NULL when memory is short. */
static rounds_t *get_rounds(size_t number)
{
    depot_t *const depot = &store.depots[number];
    rounds_t *const rounds = depot->empty;
    if (rounds == NULL) {
        return kvi_heap_meta_alloc(&kvi_store_heap, rounds_bytes(number));
    }
    depot->empty = rounds->next;
    return rounds;
}

static void put_rounds(size_t number, rounds_t *rounds)
{
    rounds->next = store.depots[number].empty;
    store.depots[number].empty = rounds;
}

static bool depot_has_room(size_t number)
{
    const size_t taken = kvi_load(&kvi_store_heap.classes[number].taken);
    const size_t part = taken / DEPOT_PART / capacity_of(number);
    return store.depots[number].full_count < (part > DEPOT_MIN ? part : DEPOT_MIN);
}

/* Takes over a full array: into the depot, or its objects into the heap. */
static void give_full(size_t number, rounds_t *rounds)
{
    depot_t *const depot = &store.depots[number];
    if (depot_has_room(number)) {
        rounds->next = depot->full;
        depot->full = rounds;
        depot->full_count++;
        return;
    }
    kvi_heap_give(&kvi_store_heap, number, rounds->items, capacity_of(number));
    put_rounds(number, rounds);
}

static rounds_t *get_full(size_t number)
{
    depot_t *const depot = &store.depots[number];
    rounds_t *const rounds = depot->full;
    if (rounds != NULL) {
        depot->full = rounds->next;
        depot->full_count--;
    }
    return rounds;
}

static void empty_depot(size_t number)
{
    depot_t *const depot = &store.depots[number];
    for (rounds_t *rounds = get_full(number); rounds != NULL; rounds = get_full(number)) {
        kvi_heap_give(&kvi_store_heap, number, rounds->items, capacity_of(number));
        put_rounds(number, rounds);
    }
    while (depot->empty != NULL) {
        rounds_t *const rounds = depot->empty;
        depot->empty = rounds->next;
        kvi_heap_meta_free(&kvi_store_heap, rounds, rounds_bytes(number));
    }
}

/* ---- a cache's magazines; the class's mutex is held ---- */

static void load(kvi_magazine_t *magazine, size_t number, rounds_t *rounds, uint32_t count)
{
    magazine->items = rounds->items;
    magazine->limit = capacity_of(number);
    kvi_magazine_set_count(magazine, count);
}

/* Gives an empty magazine objects: its spare's, a full one of the depot's, or new ones. */
static void refill(cache_t *cache, size_t number)
{
    kvi_magazine_t *const magazine = &cache->magazines[number];
    rounds_t *const own = magazine->items == NULL ? NULL : rounds_of(magazine->items);
    const bool from_spare = cache->spare_is_full[number];
    rounds_t *const full = from_spare ? cache->spare[number] : get_full(number);
    if (full != NULL) {
        if (from_spare || cache->spare[number] == NULL) {
            cache->spare[number] = own;
            cache->spare_is_full[number] = false;
        } else if (own != NULL) {
            put_rounds(number, own);
        }
        load(magazine, number, full, capacity_of(number));
        return;
    }
    rounds_t *const rounds = own != NULL ? own : get_rounds(number);
    if (rounds != NULL) {
        load(magazine, number, rounds,
             kvi_heap_take(&kvi_store_heap, number, rounds->items, capacity_of(number)));
    }
}

/* Makes room in a magazine that is full or has no array yet. */
static void make_room(cache_t *cache, size_t number)
{
    kvi_magazine_t *const magazine = &cache->magazines[number];
    rounds_t *const own = magazine->items == NULL ? NULL : rounds_of(magazine->items);
    rounds_t *empty = cache->spare[number];
    if (cache->spare_is_full[number]) {
        give_full(number, empty);
        empty = NULL;
    }
    if (empty == NULL) {
        empty = get_rounds(number);
    }
    if (empty != NULL) {
        cache->spare[number] = own;
        cache->spare_is_full[number] = own != NULL;
        load(magazine, number, empty, 0);
    } else if (own != NULL) {
        kvi_heap_give(&kvi_store_heap, number, own->items, kvi_magazine_count(magazine));
        kvi_magazine_set_count(magazine, 0);
        cache->spare[number] = NULL;
        cache->spare_is_full[number] = false;
    }
}

static void empty_class(cache_t *cache, size_t number)
{
    kvi_magazine_t *const magazine = &cache->magazines[number];
    if (cache->spare_is_full[number]) {
        give_full(number, cache->spare[number]);
    } else if (cache->spare[number] != NULL) {
        put_rounds(number, cache->spare[number]);
    }
    cache->spare[number] = NULL;
    cache->spare_is_full[number] = false;
    if (magazine->items != NULL) {
        const uint32_t count = kvi_magazine_count(magazine);
        kvi_magazine_set_count(magazine, 0);
        kvi_heap_give(&kvi_store_heap, number, magazine->items, count);
        put_rounds(number, rounds_of(magazine->items));
        magazine->items = NULL;
        magazine->limit = 0;
    }
}

/* ---- the caches of threads ---- */

static void add_to_list(cache_t *cache)
{
    kvi_os_lock(&store.mutex);
    cache->previous = NULL;
    cache->next = store.caches;
    if (cache->next != NULL) {
        cache->next->previous = cache;
    }
    store.caches = cache;
    atomic_fetch_add_explicit(&store.threads, 1, memory_order_relaxed);
    kvi_os_unlock(&store.mutex);
}

static void take_from_list(cache_t *cache)
{
    if (cache->previous != NULL) {
        cache->previous->next = cache->next;
    } else {
        store.caches = cache->next;
    }
    if (cache->next != NULL) {
        cache->next->previous = cache->previous;
    }
    atomic_fetch_sub_explicit(&store.threads, 1, memory_order_relaxed);
}

/* Runs at a thread's end. Frees that come later, from destructors of others, go to the heap
 * directly. */
static void end_thread(void *value)
{
    cache_t *const cache = value;
    kvi_cache_magazines = (kvi_magazine_t *)gone_magazines;
    for (size_t i = 0; i < KVI_CLASSES; i++) {
        lock_class(i);
        empty_class(cache, i);
        unlock_class(i);
    }
    kvi_os_lock(&store.mutex);
    take_from_list(cache);
    kvi_os_unlock(&store.mutex);
    kvi_heap_meta_free(&kvi_store_heap, cache, sizeof *cache);
}

bool kvi_store_start(bool direct)
{
    if (atomic_load_explicit(&store.started, memory_order_acquire)) {
        return true;
    }
    if (!kvi_source_start()) {
        return false;
    }
    kvi_os_lock(&store.mutex);
    if (!store.started) {
        const kvi_heap_options_t options = {.name = "store",
                                            .id = &kvi_store_heap,
                                            .granule_shift = KVI_STORE_GRANULE_SHIFT,
                                            .poison = direct};
        kvi_heap_init(&kvi_store_heap, &options);
        store.direct = direct || !kvi_os_thread_on_end(end_thread);
        atomic_store_explicit(&store.started, true, memory_order_release);
    }
    kvi_os_unlock(&store.mutex);
    return true;
}

/* The calling thread's cache, made at its first call. NULL: it must do without. */
static cache_t *own_cache(void)
{
    kvi_magazine_t *const magazines = kvi_cache_magazines;
    if (magazines != no_magazines) {
        return magazines == gone_magazines ? NULL : (void *)magazines;
    }
    if (!kvi_store_start(kvi_os_checked()) || store.direct) {
        return NULL;
    }
    cache_t *const cache = kvi_heap_meta_alloc(&kvi_store_heap, sizeof *cache);
    if (cache == NULL) {
        return NULL;
    }
    memset(cache, 0, sizeof *cache);
    add_to_list(cache);
    /* Before telling the system, which may allocate for it. */
    kvi_cache_magazines = cache->magazines;
    kvi_os_thread_set(cache);
    return cache;
}

/* ---- the long ways ---- */

static void *take_direct(size_t number)
{
    void *object = NULL;
    lock_class(number);
    const unsigned taken = kvi_heap_take(&kvi_store_heap, number, &object, 1);
    unlock_class(number);
    if (taken > 0 && kvi_store_heap.poison) {
        kvi_os_unpoison(object, object_bytes(number));
    }
    return taken > 0 ? object : NULL;
}

static void give_direct(size_t number, void *object)
{
    if (kvi_store_heap.poison) {
        kvi_os_poison(object, object_bytes(number));
    }
    lock_class(number);
    kvi_heap_give(&kvi_store_heap, number, &object, 1);
    unlock_class(number);
}

__attribute__((noinline)) void *kvi_cache_take_slow(size_t number)
{
    cache_t *const cache = own_cache();
    if (cache == NULL || capacity_of(number) == 0) {
        return kvi_store_start(kvi_os_checked()) ? take_direct(number) : NULL;
    }
    lock_class(number);
    refill(cache, number);
    unlock_class(number);
    return kvi_magazine_pop(&cache->magazines[number]);
}

__attribute__((noinline)) void kvi_cache_give_slow(size_t number, void *object)
{
    if (number == KVI_TAG_LARGE) {
        kvi_store_give_large(object);
        return;
    }
    if (number >= KVI_CLASSES) {
        return; /* no object of ours */
    }
    cache_t *const cache = own_cache();
    if (cache == NULL || capacity_of(number) == 0) {
        give_direct(number, object);
        return;
    }
    lock_class(number);
    make_room(cache, number);
    unlock_class(number);
    if (!kvi_magazine_push(&cache->magazines[number], object)) {
        give_direct(number, object);
    }
}

/* ---- large objects ---- */

void *kvi_store_take_large(size_t bytes, size_t alignment, bool *zeroed)
{
    if (!kvi_store_start(kvi_os_checked())) {
        return NULL;
    }
    const size_t blocks = alignment >> KVI_BLOCK_SHIFT;
    kvi_os_lock(&store.large_mutex);
    void *const object =
        kvi_heap_take_large(&kvi_store_heap, bytes, blocks == 0 ? 1 : (uint32_t)blocks, zeroed);
    kvi_os_unlock(&store.large_mutex);
    return object;
}

void kvi_store_give_large(void *object)
{
    kvi_os_lock(&store.large_mutex);
    kvi_heap_give_large(&kvi_store_heap, object);
    kvi_os_unlock(&store.large_mutex);
}

bool kvi_store_resize_large(void *object, size_t bytes)
{
    kvi_os_lock(&store.large_mutex);
    const bool resized = kvi_heap_resize_large(&kvi_store_heap, object, bytes);
    kvi_os_unlock(&store.large_mutex);
    return resized;
}

/* ---- questions and clean-up ---- */

bool kvi_store_is_object(const void *address)
{
    return atomic_load(&store.started) && kvi_heap_is_object(&kvi_store_heap, address);
}

bool kvi_store_is_taken(const void *address)
{
    const size_t number = kvi_source.tags[kvi_block_number(address)].size_class;
    if (number >= KVI_CLASSES) {
        return number == KVI_TAG_LARGE;
    }
    lock_class(number);
    const bool taken = kvi_heap_is_taken(&kvi_store_heap, address);
    unlock_class(number);
    return taken;
}

void kvi_cache_flush(void)
{
    if (!atomic_load(&store.started)) {
        return;
    }
    kvi_magazine_t *const magazines = kvi_cache_magazines;
    const bool has_cache = magazines != no_magazines && magazines != gone_magazines;
    for (size_t i = 0; i < KVI_CLASSES; i++) {
        lock_class(i);
        if (has_cache) {
            empty_class((void *)magazines, i);
        }
        empty_depot(i);
        unlock_class(i);
    }
}

size_t kvi_cache_threads(void)
{
    return kvi_load(&store.threads);
}

size_t kvi_store_live_bytes(void)
{
    if (!atomic_load(&store.started)) {
        return 0;
    }
    size_t bytes = kvi_load(&kvi_store_heap.large_blocks) << KVI_BLOCK_SHIFT;
    for (size_t i = 0; i < KVI_CLASSES; i++) {
        lock_class(i);
        const size_t resting = (size_t)store.depots[i].full_count * capacity_of(i);
        const size_t taken = kvi_load(&kvi_store_heap.classes[i].taken);
        unlock_class(i);
        bytes += (taken - resting) * object_bytes(i);
    }
    return bytes;
}

/* Whether these objects are taken from spans of this class. */
static bool items_are_valid(size_t number, void *const *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!kvi_heap_is_taken(&kvi_store_heap, items[i]) ||
            kvi_source.tags[kvi_block_number(items[i])].size_class != number) {
            return false;
        }
    }
    return true;
}

static bool depot_is_valid(size_t number)
{
    size_t count = 0;
    for (const rounds_t *rounds = store.depots[number].full; rounds != NULL;
         rounds = rounds->next) {
        if (!items_are_valid(number, rounds->items, capacity_of(number))) {
            return false;
        }
        count++;
    }
    return count == store.depots[number].full_count;
}

kv_status_t kvi_store_check(void)
{
    if (!atomic_load(&store.started)) {
        return KV_OK;
    }
    for (size_t i = 0; i < KVI_CLASSES; i++) {
        const kvi_magazine_t *const magazine = &kvi_cache_magazines[i];
        if (!depot_is_valid(i) || kvi_magazine_count(magazine) > magazine->limit ||
            !items_are_valid(i, magazine->items, kvi_magazine_count(magazine))) {
            return KV_CORRUPT;
        }
    }
    return kvi_heap_check(&kvi_store_heap);
}

/* ---- fork ---- */

void kvi_cache_before_fork(void)
{
    kvi_os_lock(&store.mutex);
    for (size_t i = 0; i < LOCKS; i++) {
        lock_class(i);
    }
    kvi_os_lock(&store.large_mutex);
}

void kvi_cache_after_fork(void)
{
    kvi_os_unlock(&store.large_mutex);
    for (size_t i = LOCKS; i-- > 0;) {
        unlock_class(i);
    }
    kvi_os_unlock(&store.mutex);
}

/* The other threads do not exist in the child: what rested in their caches is free there. An object
 * that such a thread had just popped, and not yet handed to its caller, stays lost. */
void kvi_cache_after_fork_in_child(void)
{
    cache_t *cache = store.caches;
    while (cache != NULL) {
        cache_t *const next = cache->next;
        if (cache->magazines != kvi_cache_magazines) {
            for (size_t i = 0; i < KVI_CLASSES; i++) {
                empty_class(cache, i);
            }
            take_from_list(cache);
            kvi_heap_meta_free(&kvi_store_heap, cache, sizeof *cache);
        }
        cache = next;
    }
    kvi_cache_after_fork();
}
