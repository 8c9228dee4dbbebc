/* SPDX-License-Identifier: MIT */
/*
 * A lock for many readers or one writer, made for reads that are hardly longer than taking a lock.
 * Readers of different processors write to different cache lines, so they cost each other nothing;
 * a writer looks at all the lines. The idea is that of the "big reader" locks of Linux (brlock) and
 * of BRAVO (Dice and Kogan, 2019).
 *
 *   lanes   [readers .....][readers .....] ... [readers let in by a writer]     a cache line each
 *   state   0 free, else WRITING, perhaps with WAITERS
 *
 *   reader   lane + 1, then state is 0: in          else lane - 1, and wait for the writer to leave
 *   writer   state 0 ─► WRITING, then wait until every lane is 0
 *
 * Invariants:
 *  1. Either the state was 0 after a reader counted itself, or a writer let it in while leaving.
 *     Both sides write first and read then, in one order for all (sequentially consistent), so one
 *     of a reader and a writer who come together sees the other.
 *  2. Waiters stand under the mutex and have set WAITERS, so a writer who leaves sees them.
 *  3. Readers who wait are let in by the first writer who leaves, all together, so neither side
 *     waits for more than one turn of the other. A writer may be overtaken by other writers, but
 *     not by one who leaves through hand_over.
 *
 * All zeros is an open gate. Nobody may enter or close it twice: a reader who enters again may wait
 * for a writer who waits for him.
 */
#ifndef KVI_EMBED_GATE_H
#define KVI_EMBED_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "os/os.h"

#define KVI_GATE_LANES 16U

typedef struct kvi_gate_lane {
    _Atomic uint32_t readers;
    char rest[60]; /* of a cache line's bytes, wherever it begins */
} kvi_gate_lane_t;

typedef struct kvi_gate {
    kvi_gate_lane_t lanes[KVI_GATE_LANES + 1]; /* the last one: let in by a writer */
    _Atomic uint32_t state;
    _Atomic bool drains; /* a writer sleeps until lanes are empty */
    /* Under the mutex from here on. */
    kvi_os_mutex_t mutex;
    kvi_os_condition_t readers_may;
    kvi_os_condition_t writers_may;
    kvi_os_condition_t drained;
    uint32_t readers_waiting;
    uint32_t writers_waiting;
    uint64_t turn;    /* counts what readers wait for */
    bool handed_over; /* the state is WRITING for one of the writers who wait */
} kvi_gate_t;

/* As a reader. Answers the lane, which leave wants to know; leave may be called by any thread. */
unsigned kvi_gate_enter(kvi_gate_t *gate);
void kvi_gate_leave(kvi_gate_t *gate, unsigned lane);
/* As the only one. */
void kvi_gate_close(kvi_gate_t *gate);
void kvi_gate_open(kvi_gate_t *gate);
/* As open, but a writer who waits comes before those who come: for who closes it again at once. */
void kvi_gate_hand_over(kvi_gate_t *gate);

#endif
