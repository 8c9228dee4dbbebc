/* SPDX-License-Identifier: MIT */
/*
 * What engines have in common that live whole in a pool of their own, their own struct included:
 * how they are opened, and their bytes. Thread rule: as the engine's.
 */
#ifndef KVI_ENGINE_POOLED_H
#define KVI_ENGINE_POOLED_H

#include <concordkv/kv_engine.h>

/* A zeroed struct of so many bytes in a new pool. NULL options: all defaults. NULL when memory is
 * short. */
static inline void *kvi_pooled_open(const kv_engine_ops_t *row, const kv_engine_options_t *options,
                                    size_t bytes, kv_pool_t **pool)
{
    static const kv_engine_options_t defaults = {0};
    const kv_engine_options_t *const chosen = options != NULL ? options : &defaults;
    const kv_pool_options_t pool_options = {
        .budget = chosen->budget,
        .granule = 8,
        .huge_pages = chosen->huge_pages,
        .name = chosen->name != NULL ? chosen->name : row->name,
    };
    *pool = kv_pool_create(&pool_options);
    void *const opened = *pool != NULL ? kv_pool_calloc(*pool, 1, bytes) : NULL;
    if (opened == NULL) {
        kv_pool_destroy(*pool);
    }
    return opened;
}

/* As kv_engine_ops.memory: slack is what the pool obtained beyond the three. */
static inline kv_status_t kvi_pooled_memory(const kv_pool_t *pool, size_t key_bytes,
                                            size_t value_bytes, size_t index_bytes,
                                            kv_engine_memory_t *memory)
{
    kv_pool_stats_t stats;
    const kv_status_t status = kv_pool_stats(pool, &stats);
    if (status == KV_OK) {
        *memory = (kv_engine_memory_t){
            .key_bytes = key_bytes,
            .value_bytes = value_bytes,
            .index_bytes = index_bytes,
            .slack_bytes = stats.obtained_bytes - key_bytes - value_bytes - index_bytes,
            .total_bytes = stats.obtained_bytes,
        };
    }
    return status;
}

#endif
