/* SPDX-License-Identifier: MIT */
/*
 * What the estimates of engines are made of: the bytes of a pool that holds given objects. All are
 * sums, in floating point, since an estimate must neither overflow nor be exact. Pure functions.
 */
#ifndef KVI_ENGINE_ESTIMATE_H
#define KVI_ENGINE_ESTIMATE_H

#include <stddef.h>
#include <stdint.h>

/* An empty pool of granule 8: its own tables. */
double kvi_estimate_pool(void);
/* count objects of this size in one: their size class, the tails of spans, the bitmaps. */
double kvi_estimate_objects(double count, size_t bytes);
/* What an engine's estimate returns. */
size_t kvi_estimate_bytes(double bytes);

#endif
