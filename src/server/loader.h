/* SPDX-License-Identifier: MIT */
/* Reading data in while the loop already answers; see loader.c. */
#ifndef KVI_SERVER_LOADER_H
#define KVI_SERVER_LOADER_H

#include <stdint.h>

#include <concordkv/kv_status.h>

typedef struct kvi_loop kvi_loop_t;     /* loop.h */
typedef struct kvi_loader kvi_loader_t; /* loader.c */

/* Begins to open the directory of the loop's configuration. KV_NO_MEMORY. */
kv_status_t kvi_loader_start(kvi_loop_t *loop);
/* Takes over what was loaded, if the loader is done: when the loop was woken. */
void kvi_loader_look(kvi_loop_t *loop);
/* Bytes read of the part that is being read. Any thread. */
void kvi_loader_progress(const kvi_loader_t *loader, uint64_t *bytes, uint64_t *bytes_all);
/* Has the load end within a few megabytes; the directory stays as it was unless it was done with
 * already. Does not wait. NULL is accepted. */
void kvi_loader_stop(kvi_loader_t *loader);
/* Stops it and waits for that; closes the directory that it may have opened. NULL is accepted. */
void kvi_loader_close(kvi_loader_t *loader);

#endif
