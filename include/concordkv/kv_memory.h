/* SPDX-License-Identifier: MIT */
/*
 * The memory core of ConcordKV: budgets, arenas, pools and the thread-safe kv_store_malloc family.
 *
 * Which one?
 *   kv_arena_t        many objects that die together. The fastest; no single free. One user.
 *   kv_pool_t         objects that die one by one and belong to one owner (an engine, a keyspace).
 *                     Destroyed in O(blocks), counted to the byte. One user.
 *   kv_store_malloc   objects that any thread allocates and any thread frees.
 *   kv_budget_t       a limit over arenas and pools: the bytes they hold, headers included.
 *
 * One user: any thread at a time, with calls serialised by the caller.
 * All sizes are bytes. No function here aborts, prints or exits.
 */
#ifndef CONCORDKV_KV_MEMORY_H
#define CONCORDKV_KV_MEMORY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_export.h>
#include <concordkv/kv_status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- budgets ---- */

/*
 * A budget limits what arenas and pools obtain. It is charged for whole blocks and for their
 * headers, so the memory behind it never exceeds the hard limit. Budgets form a tree: a charge must
 * fit this budget and every parent. All functions may be called from any thread.
 */
typedef struct kv_budget kv_budget_t;

/* Called after a charge raised the use above the soft limit, once per crossing, on the charging
 * thread and before the allocation returns. It must not use the arena or pool that is charging; it
 * may set a flag or free others. */
typedef void (*kv_budget_soft_fn)(kv_budget_t *budget, size_t used, void *context);

/* A budget under parent (NULL: none) with a hard limit (0: unlimited). NULL when memory is short.
 * The caller owns it and destroys it after everything that is charged to it; the parent must
 * outlive it. */
KV_API kv_budget_t *kv_budget_create(kv_budget_t *parent, size_t hard_limit);
/* NULL is accepted. */
KV_API void kv_budget_destroy(kv_budget_t *budget);
/* Changes the hard limit (0: unlimited). A limit below the present use only refuses further
 * charges. */
KV_API void kv_budget_set_limit(kv_budget_t *budget, size_t hard_limit);
/* Calls soft(budget, used, context) when the use crosses soft_limit upwards; soft_limit 0 or a NULL
 * function: never. */
KV_API void kv_budget_set_soft_limit(kv_budget_t *budget, size_t soft_limit, kv_budget_soft_fn soft,
                                     void *context);
/* Bytes charged now, the most since creation, and the hard limit (0: unlimited). NULL gives 0. */
KV_API size_t kv_budget_used(const kv_budget_t *budget);
KV_API size_t kv_budget_peak(const kv_budget_t *budget);
KV_API size_t kv_budget_limit(const kv_budget_t *budget);

/* ----------------------------------------------------------------- arenas ---- */

/*
 * A bump allocator after LevelDB's util/arena: blocks in a list, a pointer that moves through the
 * newest of them, one call that frees all. An arena has one user at a time.
 *
 *   blocks ──► {data,size,next} ──► {data,size,next} ──► NULL       newest first
 *                │
 *                ▼
 *               [ used ............ | alloc_bytes_remaining ]
 *                                   ▲ alloc_ptr
 *
 * Invariants: alloc_ptr is 8-byte aligned and has alloc_bytes_remaining usable bytes behind it;
 * memory_usage is the sum of size + sizeof(struct arena_block) over blocks, and 0 for a fresh
 * arena; total_allocated is what was handed out, after rounding up to 8.
 */
#define KV_ARENA_BLOCK_SIZE_DEFAULT ((size_t)4096)
#define KV_ARENA_BLOCK_SIZE_MIN ((size_t)1024)
#define KV_ARENA_ALIGNMENT ((size_t)8)

struct arena_block {
    char *data;               /* the usable bytes; the header stands elsewhere */
    size_t size;              /* usable bytes */
    struct arena_block *next; /* the block obtained before this one */
};

/* Read the fields freely; only the functions below may write them. */
typedef struct kv_arena {
    char *alloc_ptr;              /* where the next allocation goes */
    size_t alloc_bytes_remaining; /* usable bytes at alloc_ptr */
    struct arena_block *blocks;   /* every block, newest first */
    size_t total_allocated;       /* bytes handed out, after rounding */
    size_t total_blocks;          /* blocks in the list */
    size_t memory_usage;          /* bytes of the blocks and of their headers */
    size_t block_size;            /* usable bytes of an ordinary block */
    size_t inline_limit;          /* sizes up to this may go the short way; 0: checked arena */
    struct kv_arena_private *private_state;
} kv_arena_t;

/* Where an arena gets its blocks. acquire returns bytes bytes aligned to 16, or NULL; release gets
 * the same pair back. */
typedef struct kv_block_source {
    void *(*acquire)(void *context, size_t bytes);
    void (*release)(void *context, void *block, size_t bytes);
    void *context;
} kv_block_source_t;

typedef enum kv_huge_pages {
    KV_HUGE_PAGES_AUTO = 0, /* where it pays: large use in few regions */
    KV_HUGE_PAGES_NEVER,
    KV_HUGE_PAGES_ALWAYS
} kv_huge_pages_t;

/* Zero means the default everywhere: `kv_arena_options_t options = {0};` is an ordinary arena. */
typedef struct kv_arena_options {
    size_t block_size;               /* of the first block; 0 is 4,096; at least 1,024 */
    size_t block_size_max;           /* 0: blocks never grow; else they double up to this */
    kv_budget_t *budget;             /* NULL: unlimited */
    const kv_block_source_t *source; /* NULL: the process's cached blocks; copied */
    void *initial_buffer;       /* used before any block; the caller's; must outlive the arena */
    size_t initial_buffer_size; /* its bytes; it does not count as memory_usage */
    kv_huge_pages_t huge_pages;
    bool profile;     /* keep exact counts of bytes asked for and a histogram; about 3 ns a call */
    const char *name; /* shown in the block map; must outlive the arena; NULL is "arena" */
} kv_arena_options_t;

/* block_size 0 means 4,096; values from 1 to 1,023 become 1,024. No block is obtained before the
 * first allocation. NULL when memory is short or block_size is beyond what an address can hold. The
 * caller destroys it. */
KV_API kv_arena_t *kv_arena_create(size_t block_size);
/* NULL options: all defaults. NULL when memory or budget is short, or an option makes no sense. */
KV_API kv_arena_t *kv_arena_create_with(const kv_arena_options_t *options);
/* Runs the clean-up callbacks, newest first, and frees every block. NULL is accepted. O(blocks +
 * callbacks). */
KV_API void kv_arena_destroy(kv_arena_t *arena);

/* The long way of kv_arena_alloc: new blocks, refusals, checked arenas. Not for callers. */
KV_API void *kv_arena_alloc_slow(kv_arena_t *arena, size_t size);

/*
 * size bytes, 8-byte aligned, uninitialised, valid until the arena is reset, rewound before it, or
 * destroyed. NULL, with nothing changed, if arena is NULL, size is 0, or the bytes cannot be had
 * (memory, budget, overflow). A request that does not fit the current block takes a new block; one
 * above the block size gets a block of its own and the current block stays current.
 */
#if defined(KV_ARENA_OUT_OF_LINE)
KV_API void *kv_arena_alloc(kv_arena_t *arena, size_t size);
#else
KV_API inline void *kv_arena_alloc(kv_arena_t *arena, size_t size)
{
    /* size - 1 sends 0 and, because inline_limit is below SIZE_MAX - 7, every size that would wrap
     * the slow way. */
    if (arena != NULL && size - 1 < arena->inline_limit) {
        const size_t bytes = (size + (KV_ARENA_ALIGNMENT - 1)) & ~(KV_ARENA_ALIGNMENT - 1);
        if (bytes <= arena->alloc_bytes_remaining) {
            char *const result = arena->alloc_ptr;
            arena->alloc_ptr = result + bytes;
            arena->alloc_bytes_remaining -= bytes;
            arena->total_allocated += bytes;
            return result;
        }
    }
    return kv_arena_alloc_slow(arena, size);
}
#endif

/* As kv_arena_alloc, aligned to any power of two up to 1 GB. NULL also for an alignment that is 0
 * or no power of two. The bytes skipped for alignment count as lost in the block's tail, not as
 * allocated. */
KV_API void *kv_arena_alloc_aligned(kv_arena_t *arena, size_t size, size_t alignment);
/* nmemb * size zeroed bytes; NULL on overflow. */
KV_API void *kv_arena_calloc(kv_arena_t *arena, size_t nmemb, size_t size);
/* Grows or shrinks old (old_size bytes from this arena; NULL: as kv_arena_alloc). The newest
 * allocation changes in place where the block allows. Any other is copied to grow and stays where
 * it is to shrink; the bytes it leaves are lost until reset. A rewind takes back what grew after
 * its mark. NULL, also for new_size 0, leaves old as it is. */
KV_API void *kv_arena_realloc(kv_arena_t *arena, void *old, size_t old_size, size_t new_size);
/* Copies. NULL if the arena or the source is NULL, size is 0, or memory is short. strdup copies the
 * final 0 too. */
KV_API void *kv_arena_memdup(kv_arena_t *arena, const void *data, size_t size);
KV_API char *kv_arena_strdup(kv_arena_t *arena, const char *string);
/* The formatted string in the arena, NUL-terminated; NULL on a format error or short memory. */
KV_API KV_PRINTF(2, 3) char *kv_arena_printf(kv_arena_t *arena, const char *format, ...);
KV_API char *kv_arena_vprintf(kv_arena_t *arena, const char *format, va_list arguments);

/* Has cleanup(context) called by destroy, reset or a rewind past this point, newest first. */
KV_API kv_status_t kv_arena_on_cleanup(kv_arena_t *arena, void (*cleanup)(void *context),
                                       void *context);

/* Empties the arena: runs clean-ups, keeps newest ordinary blocks up to keep_bytes for reuse, gives
 * the others back. All statistics start anew as if just created, but for memory_usage and
 * total_blocks, which count the kept blocks. */
KV_API void kv_arena_reset(kv_arena_t *arena, size_t keep_bytes);

/* A point to come back to. Marks nest; a rewind invalidates every later mark. */
typedef struct {
    char *alloc_ptr;
    size_t alloc_bytes_remaining;
    struct arena_block *blocks;
    size_t total_allocated;
    size_t asked; /* with options.profile, else 0 */
    const void *cleanups;
    uint64_t serial; /* of the arena's last reset, so that a stale mark is refused */
} kv_arena_mark_t;
KV_API kv_arena_mark_t kv_arena_mark(const kv_arena_t *arena);
/* Frees everything allocated after the mark. KV_INVALID, with nothing changed, for a mark that is
 * not of this arena or is older than its last reset. */
KV_API kv_status_t kv_arena_rewind(kv_arena_t *arena, kv_arena_mark_t mark);

/* Whether pointer lies in bytes that this arena has handed out. O(blocks). */
KV_API bool kv_arena_owns(const kv_arena_t *arena, const void *pointer);
/* Bytes obtained for blocks, headers included: 0 for a fresh arena and for NULL. */
KV_API size_t kv_arena_memory_usage(const kv_arena_t *arena);
/* Bytes handed out after rounding to 8: 0 for a fresh arena and for NULL. */
KV_API size_t kv_arena_total_allocated(const kv_arena_t *arena);

#define KV_ARENA_HISTOGRAM_SLOTS 32

/* asked + rounding + tail + remaining + headers = obtained + borrowed, exactly. */
typedef struct {
    size_t asked;       /* bytes asked for; without options.profile the rounding is in here too */
    size_t rounding;    /* lost by rounding up to 8; 0 without options.profile */
    size_t tail;        /* lost at the ends of blocks and before aligned allocations */
    size_t remaining;   /* still usable in the current block and in kept ones */
    size_t headers;     /* of the blocks */
    size_t obtained;    /* memory_usage */
    size_t borrowed;    /* usable bytes of the initial buffer: 0 without one */
    size_t peak;        /* highest obtained since creation */
    size_t held;        /* what the budget is charged: whole pages, headers, the arena itself */
    size_t allocations; /* with options.profile, else 0 */
    /* [i]: allocations of 2^(i-1)+1 .. 2^i bytes; with options.profile */
    size_t histogram[KV_ARENA_HISTOGRAM_SLOTS];
} kv_arena_stats_t;
/* KV_INVALID for NULL. */
KV_API kv_status_t kv_arena_stats(const kv_arena_t *arena, kv_arena_stats_t *stats);
/* Walks everything and verifies the invariants: KV_OK or KV_CORRUPT. For tests. */
KV_API kv_status_t kv_arena_check(const kv_arena_t *arena);

/* ------------------------------------------------------------------ pools ---- */

/*
 * A pool is a general allocator with one owner: size classes at most 12.5 % apart in 64 KB blocks,
 * no header on any object, real free. Empty blocks go back to the process and serve any class and
 * any pool. Destroy is O(blocks). One user at a time; the statistics may be read by any thread.
 */
typedef struct kv_pool kv_pool_t;

typedef enum kv_misuse {
    KV_MISUSE_DOUBLE_FREE = 1, /* the object is free already */
    KV_MISUSE_FOREIGN_FREE,    /* the pointer is not the start of an object of this pool */
    KV_MISUSE_OVERRUN          /* bytes behind the object were overwritten */
} kv_misuse_t;
/* Told of a misuse in a hardened build (-Dhardened=true). The bad call itself does nothing. */
typedef void (*kv_misuse_fn)(void *context, kv_misuse_t misuse, const void *pointer);

typedef struct kv_pool_options {
    kv_budget_t *budget; /* NULL: unlimited */
    size_t granule; /* 8 (default) or 16: step of the small classes, alignment of all objects */
    kv_huge_pages_t huge_pages;
    kv_misuse_fn misuse; /* NULL: misuse is ignored */
    void *misuse_context;
    const char *name; /* shown in the block map; must outlive the pool; NULL is "pool" */
} kv_pool_options_t;

/* NULL options: all defaults. NULL when memory or budget is short, or an option makes no sense. */
KV_API kv_pool_t *kv_pool_create(const kv_pool_options_t *options);
/* Frees every object at once, in O(blocks). NULL is accepted. */
KV_API void kv_pool_destroy(kv_pool_t *pool);
/* size bytes aligned to the granule. Size 0 gives a unique pointer, as malloc may. NULL when memory
 * or the budget is short or the size cannot be had. */
KV_API void *kv_pool_alloc(kv_pool_t *pool, size_t size);
/* alignment: a power of two up to 2 MB; else NULL. Such objects are freed and resized like all
 * others. */
KV_API void *kv_pool_alloc_aligned(kv_pool_t *pool, size_t size, size_t alignment);
KV_API void *kv_pool_calloc(kv_pool_t *pool, size_t nmemb, size_t size);
/* As realloc: keeps min(old, new) bytes; NULL pointer: alloc; NULL result: the old object is as it
 * was. */
KV_API void *kv_pool_realloc(kv_pool_t *pool, void *pointer, size_t size);
/* NULL is accepted. */
KV_API void kv_pool_free(kv_pool_t *pool, void *pointer);
/* Bytes that may be used behind pointer: at least what was asked for. NULL gives 0. */
KV_API size_t kv_pool_usable_size(const kv_pool_t *pool, const void *pointer);
/* Whether pointer lies in a block of this pool. O(1). */
KV_API bool kv_pool_owns(const kv_pool_t *pool, const void *pointer);
/* Whether moving this object elsewhere would help to free its block: the block is much emptier than
 * the others of its class. Copy it to a new allocation and free it to give memory back after many
 * deletes. */
KV_API bool kv_pool_sparse(const kv_pool_t *pool, const void *pointer);
/* Returns every empty block. The number of bytes given back to the process. O(classes + free
 * objects). */
KV_API size_t kv_pool_trim(kv_pool_t *pool);
/* Verifies all invariants: KV_OK or KV_CORRUPT. O(objects). For tests. */
KV_API kv_status_t kv_pool_check(const kv_pool_t *pool);

typedef struct {
    size_t live_objects;
    size_t live_bytes; /* their usable sizes */
    size_t free_bytes; /* free objects inside the pool's blocks, tails included */
    size_t metadata_bytes;
    size_t obtained_bytes; /* live + free + metadata: what the budget is charged */
    size_t peak_bytes;     /* highest obtained */
    size_t blocks;         /* of 64 KB */
    unsigned classes;      /* valid numbers for kv_pool_class_stats: 0 .. classes - 1 */
} kv_pool_stats_t;
typedef struct {
    size_t object_bytes;
    size_t live_objects;
    size_t free_objects;
    size_t blocks;
} kv_pool_class_stats_t;
/* KV_INVALID for NULL or an unknown class. Any thread, while the pool exists; the figures may be
 * some calls apart. */
KV_API kv_status_t kv_pool_stats(const kv_pool_t *pool, kv_pool_stats_t *stats);
KV_API kv_status_t kv_pool_class_stats(const kv_pool_t *pool, unsigned number,
                                       kv_pool_class_stats_t *stats);

/* -------------------------------------------------- the process's allocator ---- */

/*
 * malloc's contract, safe for any thread: a cache per thread over one shared pool; an object may be
 * freed by any thread. Alignment 16. Built with ENABLE_MEM_POOL undefined or 0 these are plain
 * malloc, calloc, realloc and free; with ENABLE_MEM_POOL 1 or bare they are the pool. Safe across
 * fork, in the child too.
 */
KV_API void *kv_store_malloc(size_t size);
/* Zeroed; NULL if nmemb * size overflows. */
KV_API void *kv_store_calloc(size_t nmemb, size_t size);
/* Keeps min(old, new) bytes. A NULL pointer allocates; size 0 frees and returns NULL. On NULL for
 * want of memory the old object is as it was. */
KV_API void *kv_store_realloc(void *pointer, size_t size);
KV_API void *kv_store_aligned_alloc(size_t alignment, size_t size);
KV_API void kv_store_free(void *pointer);
KV_API size_t kv_store_usable_size(const void *pointer);

/* Gives back what is not in use: the calling thread's cache, empty blocks, idle pages. Live objects
 * stay valid and the allocator goes on working. Any thread. */
KV_API void kv_memory_cleanup(void);

typedef struct {
    bool pool_enabled;           /* ENABLE_MEM_POOL of this build */
    size_t store_live_bytes;     /* kv_store_malloc: usable bytes of live and cached objects */
    size_t store_obtained_bytes; /* blocks and metadata behind kv_store_malloc */
    size_t system_bytes;         /* obtained from the operating system for all arenas and pools */
    size_t system_peak_bytes;
    size_t idle_bytes; /* free blocks kept for reuse, part of system_bytes */
    size_t threads;    /* threads with a cache now */
} kv_memory_stats_t;
KV_API kv_status_t kv_memory_stats(kv_memory_stats_t *stats);

/* Sets how many idle bytes the process keeps for reuse (default 16 MB) and gives back what is
 * above. Any thread. */
KV_API void kv_memory_set_idle_limit(size_t bytes);

/* --------------------------------------------------------- the picture of memory ---- */

typedef enum kv_block_kind {
    KV_BLOCK_FREE = 0, /* idle, kept for reuse */
    KV_BLOCK_ARENA,
    KV_BLOCK_POOL,  /* objects of one size class */
    KV_BLOCK_LARGE, /* one object */
    KV_BLOCK_METADATA
} kv_block_kind_t;
typedef struct kv_memory_block {
    const void *address;
    size_t bytes;
    kv_block_kind_t kind;
    const char *owner;    /* options.name of the owner, "store" for kv_store_malloc, "" for none */
    const void *owner_id; /* the arena or pool */
    size_t object_bytes;  /* size class; 0 where it has none */
    size_t used_bytes;    /* its fill; objects resting in caches count as used */
} kv_memory_block_t;
/* Calls visit for every block in address order until it returns false. visit must not allocate from
 * or free to this library: the source is locked. Any thread. */
KV_API kv_status_t kv_memory_map(bool (*visit)(const kv_memory_block_t *block, void *context),
                                 void *context);

/* The names of the specification. */
#define kv_malloc(size) kv_store_malloc(size)
#define kv_calloc(nmemb, size) kv_store_calloc((nmemb), (size))
#define kv_realloc(pointer, size) kv_store_realloc((pointer), (size))
#define kv_free(pointer) kv_store_free(pointer)
#define kv_arena_malloc(arena, size) kv_arena_alloc((arena), (size))
#define kv_arena_aligned_malloc(arena, size, alignment) \
    kv_arena_alloc_aligned((arena), (size), (alignment))

#ifdef __cplusplus
}
#endif

#endif
