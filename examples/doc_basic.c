/* SPDX-License-Identifier: MIT */
/* The first example of the arena's document, as printed there, with a main around it. */
#include "kv_memory.h"

#include <stdio.h>

int main(void)
{
    // clang-format off
// 创建arena
kv_arena_t *arena = kv_arena_create(8192);

// 分配内存
void *ptr1 = kv_arena_alloc(arena, 256);
void *ptr2 = kv_arena_alloc(arena, 512);

// 对齐分配
void *aligned_ptr = kv_arena_alloc_aligned(arena, 100, 16);

// 获取统计信息
size_t usage = kv_arena_memory_usage(arena);
size_t allocated = kv_arena_total_allocated(arena);
    // clang-format on

    printf("%p %p %p: %zu bytes handed out of %zu\n", ptr1, ptr2, aligned_ptr, allocated, usage);
    // clang-format off

// 清理
kv_arena_destroy(arena);
    // clang-format on
    return 0;
}
