/* SPDX-License-Identifier: MIT */
/*
 * The arena: create, destroy, allocate. A pointer moves through the newest block; the short way of
 * an allocation is inline in kv_memory.h, this file is the long way. Layout and invariants:
 * arena_int.h. After LevelDB's util/arena, with two differences: a request that is too large for a
 * block leaves the current block current, and a block's header stands outside its bytes. Thread
 * rule: one user at a time.
 */
#include "memory/arena_int.h"

#include "os/os.h"

/* The exported symbol of the inline function, for callers that do not inline it. */
extern inline KV_API void *kv_arena_alloc(kv_arena_t *arena, size_t size);

enum { FIRST_CELLS = 4 };

/* One object holds all that an empty arena needs; with options.profile a struct profile follows,
 * then the first cells. */
struct arena_object {
    kv_arena_t shown;
    struct kv_arena_private state;
};

_Static_assert(sizeof(struct arena_object) + sizeof(struct cell_chunk) +
                       FIRST_CELLS * sizeof(cell_t) <=
                   512,
               "an arena takes one small piece of metadata");

static size_t object_bytes(bool profile)
{
    return sizeof(struct arena_object) + (profile ? sizeof(struct profile) : 0) +
           sizeof(struct cell_chunk) + FIRST_CELLS * sizeof(cell_t);
}

size_t kvi_arena_object_bytes(const kv_arena_t *arena)
{
    return object_bytes(arena->private_state->profile != NULL);
}

static bool options_are_valid(const kv_arena_options_t *options, size_t block_size)
{
    if (block_size > arena_bytes_max || options->block_size_max > arena_bytes_max ||
        options->initial_buffer_size > arena_bytes_max) {
        return false;
    }
    if (options->block_size_max != 0 && options->block_size_max < block_size) {
        return false;
    }
    if (options->initial_buffer == NULL && options->initial_buffer_size > 0) {
        return false;
    }
    if (options->source != NULL &&
        (options->source->acquire == NULL || options->source->release == NULL)) {
        return false;
    }
    return options->huge_pages >= KV_HUGE_PAGES_AUTO && options->huge_pages <= KV_HUGE_PAGES_ALWAYS;
}

static size_t block_size_of(const kv_arena_options_t *options)
{
    if (options->block_size == 0) {
        return KV_ARENA_BLOCK_SIZE_DEFAULT;
    }
    return options->block_size < KV_ARENA_BLOCK_SIZE_MIN ? KV_ARENA_BLOCK_SIZE_MIN
                                                         : options->block_size;
}

/* The caller's buffer from its first aligned byte on, if anything is left of it. */
static void set_initial_buffer(struct kv_arena_private *state, const kv_arena_options_t *options)
{
    const size_t skip = skip_to(options->initial_buffer, KV_ARENA_ALIGNMENT);
    if (options->initial_buffer != NULL && options->initial_buffer_size > skip) {
        state->initial = (char *)options->initial_buffer + skip;
        state->initial_bytes = options->initial_buffer_size - skip;
    }
}

static void place_parts(struct arena_object *object, bool profile)
{
    char *next = (char *)(object + 1);
    if (profile) {
        object->state.profile = (struct profile *)(void *)next;
        *object->state.profile = (struct profile){0};
        next += sizeof(struct profile);
    }
    object->state.chunks = (struct cell_chunk *)(void *)next;
    *object->state.chunks = (struct cell_chunk){.count = FIRST_CELLS};
    object->state.cells_total = FIRST_CELLS;
}

static kv_arena_t *build(struct arena_object *object, const kv_arena_options_t *options)
{
    const size_t block_size = block_size_of(options);
    const bool checked = kvi_os_checked();
    object->shown = (kv_arena_t){
        .block_size = block_size,
        .inline_limit = options->profile || checked ? 0 : arena_bytes_max,
        .private_state = &object->state,
    };
    object->state = (struct kv_arena_private){
        .budget = options->budget,
        .owner = {.kind = KV_BLOCK_ARENA,
                  .name = options->name != NULL ? options->name : "arena",
                  .id = &object->shown,
                  .huge_pages = options->huge_pages},
        .block_size_max = options->block_size_max != 0 ? options->block_size_max : block_size,
        .next_block_size = block_size,
        /* So that marks of different arenas differ. */
        .serial = (uint64_t)(uintptr_t)object * UINT64_C(0x9E3779B97F4A7C15),
        .epoch = 1,
        .checked = checked,
    };
    if (options->source != NULL) {
        object->state.source = *options->source;
    }
    place_parts(object, options->profile);
    set_initial_buffer(&object->state, options);
    object->shown.alloc_ptr = object->state.initial;
    object->shown.alloc_bytes_remaining = object->state.initial_bytes;
    kvi_arena_hide(&object->shown, object->state.initial, object->state.initial_bytes);
    return &object->shown;
}

kv_arena_t *kv_arena_create(size_t block_size)
{
    const kv_arena_options_t options = {.block_size = block_size};
    return kv_arena_create_with(&options);
}

kv_arena_t *kv_arena_create_with(const kv_arena_options_t *options)
{
    const kv_arena_options_t defaults = {0};
    if (options == NULL) {
        options = &defaults;
    }
    if (!options_are_valid(options, block_size_of(options))) {
        return NULL;
    }
    struct arena_object *const object =
        kvi_meta_alloc(options->budget, object_bytes(options->profile));
    return object == NULL ? NULL : build(object, options);
}

void kv_arena_destroy(kv_arena_t *arena)
{
    if (arena == NULL) {
        return;
    }
    struct kv_arena_private *const state = arena->private_state;
    kvi_arena_run_cleanups(arena, NULL);
    kvi_arena_drop_blocks(arena, 0);
    kvi_arena_show(arena, state->initial, state->initial_bytes);
    kvi_meta_free(state->budget, arena, kvi_arena_object_bytes(arena));
}

/* 2^(slot-1)+1 .. 2^slot bytes. */
static unsigned histogram_slot(size_t size)
{
    unsigned slot = 0;
    while (slot < KV_ARENA_HISTOGRAM_SLOTS - 1 && ((size_t)1 << slot) < size) {
        slot++;
    }
    return slot;
}

static void count_allocation(kv_arena_t *arena, size_t size, size_t bytes)
{
    struct profile *const profile = arena->private_state->profile;
    arena->total_allocated += bytes;
    if (profile != NULL) {
        profile->asked += size;
        profile->allocations++;
        profile->histogram[histogram_slot(size)]++;
    }
}

static bool fits(const char *place, size_t room, size_t bytes, size_t alignment)
{
    const size_t skip = skip_to(place, alignment);
    return skip <= room && bytes <= room - skip;
}

/* Makes a block current that has the bytes at the alignment. False when they had better get a block
 * of their own, or when memory is short: then *refused is set. */
static bool open_block(kv_arena_t *arena, size_t bytes, size_t alignment, bool *refused)
{
    struct block *const spare = kvi_arena_next_spare(arena);
    if (spare != NULL) {
        if (!fits(spare->shown.data, spare->shown.size, bytes, alignment)) {
            return false;
        }
        kvi_arena_enter(arena, spare);
        return true;
    }
    /* A new block is aligned to 16; its address beyond that is not known yet. */
    const size_t need = bytes + (alignment > 16 ? alignment - 16 : 0);
    if (need > arena->private_state->next_block_size) {
        return false;
    }
    *refused = !kvi_arena_add_ordinary(arena, need);
    return !*refused;
}

static void *bump(kv_arena_t *arena, size_t bytes, size_t alignment)
{
    const size_t skip = skip_to(arena->alloc_ptr, alignment);
    char *const result = arena->alloc_ptr + skip;
    arena->alloc_ptr = result + bytes;
    arena->alloc_bytes_remaining -= skip + bytes;
    return result;
}

void *kvi_arena_take(kv_arena_t *arena, size_t size, size_t alignment)
{
    const size_t bytes = round_up(size, KV_ARENA_ALIGNMENT);
    void *result;
    bool refused = false;
    if (fits(arena->alloc_ptr, arena->alloc_bytes_remaining, bytes, alignment) ||
        open_block(arena, bytes, alignment, &refused)) {
        result = bump(arena, bytes, alignment);
    } else {
        result = refused ? NULL : kvi_arena_add_own(arena, bytes, alignment);
        if (result == NULL) {
            return NULL;
        }
    }
    count_allocation(arena, size, bytes);
    kvi_arena_show(arena, result, size);
    return result;
}

void *kv_arena_alloc_slow(kv_arena_t *arena, size_t size)
{
    if (arena == NULL || size == 0 || size > arena_bytes_max) {
        return NULL;
    }
    return kvi_arena_take(arena, size, KV_ARENA_ALIGNMENT);
}

void *kv_arena_alloc_aligned(kv_arena_t *arena, size_t size, size_t alignment)
{
    if (arena == NULL || size == 0 || size > arena_bytes_max) {
        return NULL;
    }
    if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > arena_alignment_max) {
        return NULL;
    }
    return kvi_arena_take(arena, size,
                          alignment < KV_ARENA_ALIGNMENT ? KV_ARENA_ALIGNMENT : alignment);
}

size_t kv_arena_memory_usage(const kv_arena_t *arena)
{
    return arena == NULL ? 0 : arena->memory_usage;
}

size_t kv_arena_total_allocated(const kv_arena_t *arena)
{
    return arena == NULL ? 0 : arena->total_allocated;
}
