/* SPDX-License-Identifier: MIT */
/* What an arena does, step by step, and how fast: make demo. */
#include "kv_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void print_figures(const kv_arena_t *arena)
{
    const size_t allocated = kv_arena_total_allocated(arena);
    const size_t usage = kv_arena_memory_usage(arena);
    printf("   %zu bytes handed out of %zu in %zu blocks: %.2f %%\n", allocated, usage,
           arena->total_blocks, usage == 0 ? 0.0 : 100.0 * (double)allocated / (double)usage);
}

static void show_basic_use(void)
{
    printf("1. Basic use: an arena of 8 KB blocks\n");
    kv_arena_t *const arena = kv_arena_create(8192);
    print_figures(arena);
    char *const first = kv_arena_alloc(arena, 256);
    char *const second = kv_arena_alloc(arena, 512);
    const char *const text = kv_arena_printf(arena, "%s number %d", "a string", 7);
    printf("   the second object stands %td bytes behind the first; then comes \"%s\"\n",
           second - first, text);
    print_figures(arena);
    kv_arena_destroy(arena);
}

typedef struct pair {
    const char *key;
    const char *value;
} pair_t;

static void show_pairs(void)
{
    enum { PAIRS = 1000 };
    printf("2. Key-value pairs: %d of them, freed by one call\n", PAIRS);
    kv_arena_t *const arena = kv_arena_create(16384);
    pair_t *const pairs = kv_arena_calloc(arena, PAIRS, sizeof *pairs);
    size_t payload = 0;
    for (int i = 0; i < PAIRS; i++) {
        pairs[i].key = kv_arena_printf(arena, "user:%04d", i);
        pairs[i].value =
            kv_arena_printf(arena, "{\"name\": \"user %d\", \"visits\": %d}", i, i * i);
        payload += strlen(pairs[i].key) + strlen(pairs[i].value) + 2;
    }
    printf("   %s = %s\n", pairs[42].key, pairs[42].value);
    printf("   %.1f bytes a pair, of which %.1f are its key and value\n",
           (double)kv_arena_memory_usage(arena) / PAIRS, (double)payload / PAIRS);
    print_figures(arena);
    kv_arena_destroy(arena);
}

static void show_alignments(void)
{
    static const size_t alignments[] = {8, 16, 64, 256};
    printf("3. Alignments\n");
    kv_arena_t *const arena = kv_arena_create(4096);
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        void *const bytes = kv_arena_alloc_aligned(arena, 100, alignments[i]);
        printf("   100 bytes at %3zu: %p, remainder %zu\n", alignments[i], bytes,
               (size_t)((uintptr_t)bytes % alignments[i]));
    }
    print_figures(arena);
    kv_arena_destroy(arena);
}

static void show_many_blocks(void)
{
    printf("4. Many blocks, and one request that is too large for any\n");
    kv_arena_t *const arena = kv_arena_create(0);
    for (size_t i = 0; i < 500; i++) {
        (void)kv_arena_alloc(arena, 100 + i);
    }
    (void)kv_arena_alloc(arena, 100000);
    print_figures(arena);
    size_t shown = 0;
    const struct arena_block *block = arena->blocks;
    for (; block != NULL && shown < 3; block = block->next, shown++) {
        printf("   block %zu: %zu bytes at %p\n", arena->total_blocks - shown, block->size,
               (void *)block->data);
    }
    kv_arena_reset(arena, SIZE_MAX);
    printf("   after a reset that keeps the blocks:\n");
    print_figures(arena);
    kv_arena_destroy(arena);
}

static double microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

enum { COUNT = 100000, SIZE = 64, ROUNDS = 7 };
static void *pointers[COUNT];

static double time_arena(size_t block_size)
{
    const double start = microseconds();
    kv_arena_t *const arena = kv_arena_create(block_size);
    for (size_t i = 0; i < COUNT; i++) {
        pointers[i] = kv_arena_alloc(arena, SIZE);
    }
    kv_arena_destroy(arena);
    return microseconds() - start;
}

static double time_malloc(void)
{
    const double start = microseconds();
    for (size_t i = 0; i < COUNT; i++) {
        pointers[i] = malloc(SIZE);
    }
    for (size_t i = 0; i < COUNT; i++) {
        free(pointers[i]);
    }
    return microseconds() - start;
}

static void show_speed(void)
{
    printf("5. Speed: %d allocations of %d bytes and their end, best of %d rounds\n", COUNT, SIZE,
           ROUNDS);
    double small = 1e18;
    double large = 1e18;
    double plain = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        const double times[] = {time_arena(0), time_arena(65536), time_malloc()};
        small = times[0] < small ? times[0] : small;
        large = times[1] < large ? times[1] : large;
        plain = times[2] < plain ? times[2] : plain;
    }
    printf("   malloc and free       %7.0f us\n", plain);
    printf("   arena,  4 KB blocks   %7.0f us, %.1f times as fast\n", small, plain / small);
    printf("   arena, 64 KB blocks   %7.0f us, %.1f times as fast\n", large, plain / large);
}

int main(void)
{
    show_basic_use();
    show_pairs();
    show_alignments();
    show_many_blocks();
    show_speed();
    return 0;
}
