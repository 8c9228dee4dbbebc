/* SPDX-License-Identifier: MIT */
/*
 * Metadata: the small objects of the memory core itself. A plain slab allocator over the block
 * source: chunks of one size class each, with a header in front and a list through the free
 * objects.
 *
 *   size               class               chunk
 *      1 ..  512       multiples of 16     4 KB
 *    513 .. 8,192      multiples of 512    64 KB
 *   8,193 ..           none                a run of its own
 *
 *   ┌────────┬────────┬────────┬─────┬─────────────────────┐
 *   │ header │ object │ object │ ... │ never handed out yet│
 *   └────────┴────────┴────────┴─────┴─────────────────────┘
 *
 * Invariants
 *   1. A chunk is in its class's list if and only if it has room. An empty chunk goes back at once.
 *   2. An object is charged to its budget with the size of its class; the rest of its chunk is
 *      charged to nobody.
 *
 * Thread rule: any thread.
 */
#include "memory/block_int.h"

enum { SMALL_STEP = 16, SMALL_MAX = 512, MEDIUM_STEP = 512, MEDIUM_MAX = 8192 };
enum { SMALL_CLASSES = SMALL_MAX / SMALL_STEP, CLASSES = SMALL_CLASSES + MEDIUM_MAX / MEDIUM_STEP };

typedef struct chunk {
    struct chunk *previous;
    struct chunk *next;
    void *free_list; /* the first word of a free object points to the next one */
    uint32_t fresh;  /* offset of what was never handed out */
    uint32_t live;
    uint64_t padding[4];
} chunk_t;
_Static_assert(sizeof(chunk_t) == 64, "objects begin on a cache line");

typedef struct meta {
    kvi_os_mutex_t mutex;
    chunk_t *rooms[CLASSES]; /* chunks with room */
} meta_t;

static meta_t meta; /* part of the process's one block source */

static const kvi_block_owner_t meta_owner = {.kind = KV_BLOCK_METADATA, .name = "metadata"};

void kvi_meta_lock(void)
{
    kvi_os_lock(&meta.mutex);
}

void kvi_meta_unlock(void)
{
    kvi_os_unlock(&meta.mutex);
}

static unsigned class_of(size_t bytes)
{
    if (bytes <= SMALL_MAX) {
        return (unsigned)((bytes == 0 ? 1 : bytes) - 1) / SMALL_STEP;
    }
    return SMALL_CLASSES + (unsigned)(bytes - 1) / MEDIUM_STEP;
}

static size_t class_size(unsigned number)
{
    return number < SMALL_CLASSES ? (number + 1) * (size_t)SMALL_STEP
                                  : (number - SMALL_CLASSES + 1) * (size_t)MEDIUM_STEP;
}

static size_t chunk_size(unsigned number)
{
    return number < SMALL_CLASSES ? KVI_PAGE_BYTES : KVI_BLOCK_BYTES;
}

static bool has_room(const chunk_t *chunk, unsigned number)
{
    return chunk->free_list != NULL || chunk->fresh + class_size(number) <= chunk_size(number);
}

static void put_in_list(chunk_t *chunk, unsigned number)
{
    chunk->previous = NULL;
    chunk->next = meta.rooms[number];
    if (chunk->next != NULL) {
        chunk->next->previous = chunk;
    }
    meta.rooms[number] = chunk;
}

static void take_from_list(chunk_t *chunk, unsigned number)
{
    if (chunk->previous != NULL) {
        chunk->previous->next = chunk->next;
    } else {
        meta.rooms[number] = chunk->next;
    }
    if (chunk->next != NULL) {
        chunk->next->previous = chunk->previous;
    }
}

static chunk_t *open_chunk(unsigned number)
{
    size_t obtained = 0;
    chunk_t *const chunk = kvi_block_acquire(NULL, &meta_owner, chunk_size(number), &obtained);
    if (chunk != NULL) {
        *chunk = (chunk_t){.fresh = sizeof *chunk};
        put_in_list(chunk, number);
    }
    return chunk;
}

static void *take_object(unsigned number)
{
    chunk_t *const chunk = meta.rooms[number] != NULL ? meta.rooms[number] : open_chunk(number);
    if (chunk == NULL) {
        return NULL;
    }
    void *object = chunk->free_list;
    if (object != NULL) {
        chunk->free_list = *(void **)object;
    } else {
        object = (char *)chunk + chunk->fresh;
        chunk->fresh += (uint32_t)class_size(number);
    }
    chunk->live++;
    if (!has_room(chunk, number)) {
        take_from_list(chunk, number);
    }
    return object;
}

static void give_object(void *object, unsigned number)
{
    const size_t chunk_bytes = chunk_size(number);
    chunk_t *const chunk = (void *)((char *)object - ((uintptr_t)object & (chunk_bytes - 1)));
    const bool was_listed = has_room(chunk, number);
    *(void **)object = chunk->free_list;
    chunk->free_list = object;
    chunk->live--;
    if (!was_listed) {
        put_in_list(chunk, number);
    }
    if (chunk->live == 0) {
        take_from_list(chunk, number);
        kvi_block_release(NULL, chunk, chunk_bytes);
    }
}

void *kvi_meta_alloc(kv_budget_t *budget, size_t bytes)
{
    if (bytes > MEDIUM_MAX) {
        size_t obtained = 0;
        return kvi_block_acquire(budget, &meta_owner, bytes, &obtained);
    }
    const unsigned number = class_of(bytes);
    if (!kvi_budget_charge(budget, class_size(number))) {
        return NULL;
    }
    kvi_meta_lock();
    void *const object = take_object(number);
    kvi_meta_unlock();
    if (object == NULL) {
        kvi_budget_return(budget, class_size(number));
    }
    return object;
}

void kvi_meta_free(kv_budget_t *budget, void *object, size_t bytes)
{
    if (bytes > MEDIUM_MAX) {
        kvi_block_release(budget, object, kvi_meta_charge(bytes));
        return;
    }
    const unsigned number = class_of(bytes);
    kvi_meta_lock();
    give_object(object, number);
    kvi_meta_unlock();
    kvi_budget_return(budget, class_size(number));
}

size_t kvi_meta_charge(size_t bytes)
{
    return bytes > MEDIUM_MAX ? kvi_block_rounded(bytes) : class_size(class_of(bytes));
}
