/* SPDX-License-Identifier: MIT */
/*
 * Budgets: a tree of atomic counters over everything that arenas and pools obtain. A charge walks
 * from a budget up to the root and is undone where a level refuses, so that no level ever passes
 * its hard limit.
 *
 * Invariants
 *   1. used <= limit at every moment, unless the limit was lowered below what was in use already.
 *   2. used of a budget is at most used of its parent: what a child holds is charged to every level
 *      above it.
 *   3. above is false whenever used last fell to the soft limit or below, so that each upward
 *      crossing is told once.
 *
 * Thread rule: any thread. The soft-limit callback is read under the budget's mutex and called
 * without it.
 */
#include "memory/block.h"
#include "os/os.h"

#include <stdatomic.h>

struct kv_budget {
    kv_budget_t *parent;
    _Atomic size_t used;
    _Atomic size_t peak;
    _Atomic size_t limit;      /* SIZE_MAX: unlimited */
    _Atomic size_t soft_limit; /* SIZE_MAX: never */
    _Atomic bool above;        /* the crossing of the soft limit was told already */
    kvi_os_mutex_t soft_mutex; /* guards soft and soft_context */
    kv_budget_soft_fn soft;
    void *soft_context;
};

static void raise_peak(kv_budget_t *budget, size_t used)
{
    size_t peak = atomic_load_explicit(&budget->peak, memory_order_relaxed);
    while (used > peak &&
           !atomic_compare_exchange_weak_explicit(&budget->peak, &peak, used, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

/* Adds bytes to this level alone, if its limit allows. */
static bool charge_level(kv_budget_t *budget, size_t bytes)
{
    const size_t limit = atomic_load_explicit(&budget->limit, memory_order_relaxed);
    size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    do {
        if (used > limit || bytes > limit - used) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&budget->used, &used, used + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void return_level(kv_budget_t *budget, size_t bytes)
{
    const size_t used =
        atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed) - bytes;
    if (used <= atomic_load_explicit(&budget->soft_limit, memory_order_relaxed) &&
        atomic_load_explicit(&budget->above, memory_order_relaxed)) {
        atomic_store(&budget->above, false);
    }
}

static void tell_soft_limit(kv_budget_t *budget, size_t used)
{
    if (used <= atomic_load_explicit(&budget->soft_limit, memory_order_relaxed) ||
        atomic_load_explicit(&budget->above, memory_order_relaxed) ||
        atomic_exchange(&budget->above, true)) {
        return;
    }
    kvi_os_lock(&budget->soft_mutex);
    const kv_budget_soft_fn soft = budget->soft;
    void *const context = budget->soft_context;
    kvi_os_unlock(&budget->soft_mutex);
    if (soft != NULL) {
        soft(budget, used, context);
    }
}

bool kvi_budget_charge(kv_budget_t *budget, size_t bytes)
{
    for (kv_budget_t *level = budget; level != NULL; level = level->parent) {
        if (!charge_level(level, bytes)) {
            for (kv_budget_t *undo = budget; undo != level; undo = undo->parent) {
                return_level(undo, bytes);
            }
            return false;
        }
    }
    /* Only a charge that every level accepted counts for peaks and crossings. */
    for (kv_budget_t *level = budget; level != NULL; level = level->parent) {
        const size_t used = atomic_load_explicit(&level->used, memory_order_relaxed);
        raise_peak(level, used);
        tell_soft_limit(level, used);
    }
    return true;
}

void kvi_budget_return(kv_budget_t *budget, size_t bytes)
{
    for (kv_budget_t *level = budget; level != NULL; level = level->parent) {
        return_level(level, bytes);
    }
}

kv_budget_t *kv_budget_create(kv_budget_t *parent, size_t hard_limit)
{
    kv_budget_t *const budget = kvi_meta_alloc(NULL, sizeof *budget);
    if (budget == NULL) {
        return NULL;
    }
    *budget = (kv_budget_t){.parent = parent};
    atomic_store(&budget->limit, hard_limit == 0 ? SIZE_MAX : hard_limit);
    atomic_store(&budget->soft_limit, SIZE_MAX);
    return budget;
}

void kv_budget_destroy(kv_budget_t *budget)
{
    if (budget != NULL) {
        kvi_meta_free(NULL, budget, sizeof *budget);
    }
}

void kv_budget_set_limit(kv_budget_t *budget, size_t hard_limit)
{
    if (budget != NULL) {
        atomic_store(&budget->limit, hard_limit == 0 ? SIZE_MAX : hard_limit);
    }
}

void kv_budget_set_soft_limit(kv_budget_t *budget, size_t soft_limit, kv_budget_soft_fn soft,
                              void *context)
{
    if (budget == NULL) {
        return;
    }
    const bool never = soft_limit == 0 || soft == NULL;
    kvi_os_lock(&budget->soft_mutex);
    budget->soft = never ? NULL : soft;
    budget->soft_context = context;
    kvi_os_unlock(&budget->soft_mutex);
    atomic_store(&budget->soft_limit, never ? SIZE_MAX : soft_limit);
    /* A limit set below the present use tells nothing before the use has fallen and crosses it
     * again. */
    atomic_store(&budget->above, kv_budget_used(budget) > (never ? SIZE_MAX : soft_limit));
}

size_t kv_budget_used(const kv_budget_t *budget)
{
    return budget == NULL ? 0 : atomic_load_explicit(&budget->used, memory_order_relaxed);
}

size_t kv_budget_peak(const kv_budget_t *budget)
{
    return budget == NULL ? 0 : atomic_load_explicit(&budget->peak, memory_order_relaxed);
}

size_t kv_budget_limit(const kv_budget_t *budget)
{
    const size_t limit =
        budget == NULL ? SIZE_MAX : atomic_load_explicit(&budget->limit, memory_order_relaxed);
    return limit == SIZE_MAX ? 0 : limit;
}
