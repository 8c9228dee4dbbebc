/* SPDX-License-Identifier: MIT */
/*
 * Fork: every mutex of the memory core is held while the process is copied, so that the child finds
 * no structure half changed. Thread rule: called once, by the block source.
 */
#include "memory/block_int.h"
#include "memory/cache.h"

/* In the order in which the memory core itself nests them. */
static void before_fork(void)
{
    kvi_cache_before_fork();
    kvi_meta_lock();
    kvi_source_lock();
}

static void after_fork(void)
{
    kvi_source_unlock();
    kvi_meta_unlock();
    kvi_cache_after_fork();
}

static void after_fork_in_child(void)
{
    kvi_source_unlock();
    kvi_meta_unlock();
    kvi_cache_after_fork_in_child();
}

void kvi_memory_fork_hooks(void)
{
    (void)kvi_os_on_fork(before_fork, after_fork, after_fork_in_child);
}
