/* SPDX-License-Identifier: MIT */
/* The rows of the table of engines, for engine.c alone. Everybody else asks kv_engine_find. */
#ifndef KVI_ENGINE_ENGINE_H
#define KVI_ENGINE_ENGINE_H

#include <concordkv/kv_engine.h>

extern const kv_engine_ops_t kvi_array_engine;
extern const kv_engine_ops_t kvi_hash_engine;
extern const kv_engine_ops_t kvi_bptree_engine;
extern const kv_engine_ops_t kvi_rbtree_engine;
extern const kv_engine_ops_t kvi_memtable_engine;

#endif
