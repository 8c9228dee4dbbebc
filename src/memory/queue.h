/* SPDX-License-Identifier: MIT */
/*
 * A set of spans ordered by address: which one has the lowest? Linked through the entries of their
 * first blocks. Thread rule: one user at a time for each queue.
 */
#ifndef KVI_MEMORY_QUEUE_H
#define KVI_MEMORY_QUEUE_H

#include "memory/block_int.h"

/* The first block of the lowest span; 0: empty. */
typedef uint32_t kvi_queue_t;

void kvi_queue_push(kvi_queue_t *queue, uint32_t span);
void kvi_queue_remove(kvi_queue_t *queue, uint32_t span);
/* Verifies order and links: the number of spans, or SIZE_MAX if they are damaged. */
size_t kvi_queue_check(kvi_queue_t queue);

#endif
