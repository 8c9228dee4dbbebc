/* SPDX-License-Identifier: MIT */
/* What the red-black tree engine will take: an object an entry, and one for a value apart. Pure
 * functions. */
#include "engine/estimate.h"
#include "engine/rbtree_int.h"

size_t kvi_rb_estimate(uint64_t count, size_t key_bytes, size_t value_bytes)
{
    const double entries = (double)count;
    double bytes = kvi_estimate_pool();
    bytes += kvi_estimate_objects(entries, kvi_rb_node_bytes(key_bytes, value_bytes));
    if (kvi_rb_is_apart(value_bytes)) {
        bytes += kvi_estimate_objects(entries, value_bytes);
    }
    return kvi_estimate_bytes(bytes);
}
