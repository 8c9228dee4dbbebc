/* SPDX-License-Identifier: MIT */
/*
 * The heap: what stands below the magazines of a pool and of kv_store_malloc. It cuts spans of 1 to
 * 16 blocks into objects of one size class and keeps their free objects in bitmaps beside them, so
 * that it never touches an object. The pages of a class's last span are opened a few at a time, as
 * its objects need them, so that little is charged that no object lies in.
 *
 *   class ─► current span: objects are taken from here, lowest address first
 *         ─► queue: further spans with free objects, lowest address first
 *         ─► list: all spans, full ones too
 *         ─► growing: the span that still has pages to open
 *
 *   span   │ object 0 │ object 1 │ ... │ object n-1 │ tail │    the tail at most 1/32 if possible
 *   bitmap       0          1                1                   1: free
 *   pages  │ 4 KB │ 4 KB │ 4 KB │ not open yet ....        │    no object there, no free bit
 *
 * Invariants, for every class
 *   1. A span with free objects is the current one or stands in the queue, a full one is neither.
 *   2. taken + bits set in the bitmap = objects; a span without a taken object goes back at once.
 *   3. taken and objects of the class are the sums over its spans, spans their number.
 *   4. All pages of a span are open, but for the growing one. That one is opened further before
 *      another span is taken; what is not open was never charged.
 *
 * Taking the lowest address first packs long-lived objects at one end, so that whole huge pages can
 * empty at the other.
 *
 * Thread rule: one user at a time for each class and for large objects; different classes may be
 * used at once. The counters may be read by any thread.
 */
#ifndef KVI_MEMORY_HEAP_H
#define KVI_MEMORY_HEAP_H

#include "memory/block_int.h"
#include "memory/class.h"
#include "memory/queue.h"
#include "memory/window.h"

/* A class opens a 512th of what it has at a time, and a page at least. */
enum { KVI_GROWTH_PART = 512 };

typedef struct kvi_heap_class {
    uint32_t object_bytes;
    uint32_t reciprocal; /* of object_bytes, times 2^32 */
    uint16_t span_blocks;
    uint16_t span_objects;
    uint32_t current; /* 0: none */
    kvi_queue_t queue;
    uint32_t list;
    uint32_t growing; /* 0: none */
    _Atomic uint32_t spans;
    _Atomic size_t objects; /* which the open pages hold */
    _Atomic size_t taken;   /* of them */
} kvi_heap_class_t;

typedef struct kvi_heap {
    kv_budget_t *budget;
    kvi_block_owner_t span_owner;
    kvi_block_owner_t large_owner;
    kvi_windows_t *windows; /* NULL: nobody needs references */
    unsigned granule_shift;
    bool poison; /* free objects are poisoned */
    uint32_t large_list;
    _Atomic size_t large_objects;
    _Atomic size_t large_blocks;
    _Atomic size_t span_bytes; /* of open pages */
    _Atomic size_t metadata_bytes;
    _Atomic size_t peak_bytes;
    kvi_heap_class_t classes[KVI_CLASSES];
} kvi_heap_t;

typedef struct kvi_heap_options {
    kv_budget_t *budget;
    const char *name;
    const void *id;
    kv_huge_pages_t huge_pages;
    kvi_windows_t *windows;
    unsigned granule_shift;
    bool poison;
} kvi_heap_options_t;

void kvi_heap_init(kvi_heap_t *heap, const kvi_heap_options_t *options);
/* Gives back everything, in O(blocks). */
void kvi_heap_clear(kvi_heap_t *heap);

/* Takes up to count objects; the last one has the lowest address. At least one unless memory is
 * short; a new span is opened only if none had a free object. */
unsigned kvi_heap_take(kvi_heap_t *heap, size_t number, void **objects, unsigned count);
/* Takes back count objects of this class. */
void kvi_heap_give(kvi_heap_t *heap, size_t number, void *const *objects, unsigned count);

/* Objects above the largest class: runs of whole blocks, aligned to alignment_blocks. *zeroed: they
 * read as 0. */
void *kvi_heap_take_large(kvi_heap_t *heap, size_t bytes, uint32_t alignment_blocks, bool *zeroed);
void kvi_heap_give_large(kvi_heap_t *heap, void *object);
/* Makes a large object at least bytes long where it stands, by as little as it can. */
bool kvi_heap_resize_large(kvi_heap_t *heap, void *object, size_t bytes);

/* Memory of the owner's own tables, counted as metadata of the heap. */
void *kvi_heap_meta_alloc(kvi_heap_t *heap, size_t bytes);
void kvi_heap_meta_free(kvi_heap_t *heap, void *object, size_t bytes);
/* Counts metadata that the owner obtained by itself. */
void kvi_heap_count_metadata(kvi_heap_t *heap, size_t bytes);

/* Bytes of an object of ours, from the first byte of it; 0 if it is none. */
size_t kvi_heap_object_bytes(const kvi_heap_t *heap, const void *object);
/* Whether the heap's blocks hold address. */
bool kvi_heap_owns(const kvi_heap_t *heap, const void *address);
/* Whether address is where an object of ours starts, be it free or not. */
bool kvi_heap_is_object(const kvi_heap_t *heap, const void *address);
/* Whether it is one, and not in a bitmap. */
bool kvi_heap_is_taken(const kvi_heap_t *heap, const void *address);
/* Whether the span of this object of a class is much emptier than those of its class, and moving
 * could free it. */
bool kvi_heap_is_sparse(const kvi_heap_t *heap, const void *object);
/* Blocks of the spans for objects of this size: the fewest whose tail is small enough, or else
 * those with the smallest part lost. */
uint32_t kvi_heap_span_blocks(size_t object_bytes);
size_t kvi_heap_obtained(const kvi_heap_t *heap);
/* Makes all blocks read-only, or writable again. False when the system refused somewhere. */
bool kvi_heap_protect(const kvi_heap_t *heap, bool writable);
kv_status_t kvi_heap_check(const kvi_heap_t *heap);

static inline size_t kvi_load(const _Atomic size_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The whole of an object, to be shown to a checker of memory errors. */
static inline size_t kvi_heap_class_bytes(const kvi_heap_t *heap, size_t number)
{
    return heap->classes[number].object_bytes;
}

#endif
