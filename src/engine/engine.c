/* SPDX-License-Identifier: MIT */
/* The table of engines: the only place that knows which there are. */
#include <string.h>

#include "engine/engine.h"
#include "engine/scan_order.h"

static const kv_engine_ops_t *const engines[] = {
    &kvi_hash_engine,  &kvi_bptree_engine,   &kvi_rbtree_engine,
    &kvi_array_engine, &kvi_memtable_engine,
};

const kv_engine_ops_t *kv_engine_at(size_t number)
{
    return number < sizeof engines / sizeof engines[0] ? engines[number] : NULL;
}

const kv_engine_ops_t *kv_engine_find(const char *name)
{
    for (size_t i = 0; name != NULL && kv_engine_at(i) != NULL; i++) {
        if (strcmp(engines[i]->name, name) == 0) {
            return engines[i];
        }
    }
    return NULL;
}

const kvi_scan_order_t *kvi_scan_order(const kv_engine_ops_t *row)
{
    static const struct {
        const kv_engine_ops_t *row;
        const kvi_scan_order_t *order;
    } orders[] = {{&kvi_hash_engine, &kvi_hash_scan_order},
                  {&kvi_array_engine, &kvi_array_scan_order}};
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        if (orders[i].row == row) {
            return orders[i].order;
        }
    }
    return NULL;
}

kv_status_t kv_engine_open(const char *name, const kv_engine_options_t *options,
                           kv_engine_t **engine)
{
    const kv_engine_ops_t *const ops = kv_engine_find(name);
    if (ops == NULL) {
        return KV_UNSUPPORTED;
    }
    return ops->open(options, engine);
}
