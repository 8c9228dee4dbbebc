/* SPDX-License-Identifier: MIT */
/* The second example of the arena's document, as printed there, with a main around it. */
#include "kv_memory.h"

#include <stdio.h>

// clang-format off
// KV存储示例
typedef struct {
    char *key;
    char *value;
} kv_pair_t;
// clang-format on

int main(void)
{
    const size_t key_size = 32;
    const size_t value_size = 128;
    // clang-format off
kv_arena_t *arena = kv_arena_create(16384);

// 批量分配键值对
kv_pair_t *pairs = kv_arena_alloc(arena, 100 * sizeof(kv_pair_t));

for (int i = 0; i < 100; i++) {
    // 分配键和值的存储空间
    pairs[i].key = kv_arena_alloc(arena, key_size);
    pairs[i].value = kv_arena_alloc(arena, value_size);
}
    // clang-format on
    for (int i = 0; i < 100; i++) {
        (void)snprintf(pairs[i].key, key_size, "key-%d", i);
        (void)snprintf(pairs[i].value, value_size, "value of %d", i);
    }
    printf("%s: %s\n", pairs[99].key, pairs[99].value);
    // clang-format off

// 统一清理，无需逐个释放
kv_arena_destroy(arena);
    // clang-format on
    return 0;
}
