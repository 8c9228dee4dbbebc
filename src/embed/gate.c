/* SPDX-License-Identifier: MIT */
/* A lock whose readers do not meet; gate.h has the picture and the invariants. */
#include "embed/gate.h"

#define WRITING 1U
#define WAITERS 2U /* only with WRITING */
#define SPINS 64   /* most turns of the other side are over sooner than a thread can go to sleep */

/* ---- readers ---- */

static bool try_enter(kvi_gate_t *gate, unsigned lane)
{
    (void)atomic_fetch_add(&gate->lanes[lane].readers, 1);
    return atomic_load(&gate->state) == 0;
}

void kvi_gate_leave(kvi_gate_t *gate, unsigned lane)
{
    if (atomic_fetch_sub(&gate->lanes[lane].readers, 1) == 1 && atomic_load(&gate->drains)) {
        kvi_os_lock(&gate->mutex);
        kvi_os_wake(&gate->drained);
        kvi_os_unlock(&gate->mutex);
    }
}

/* Under the mutex: has the writer know that somebody waits. False: there is none. */
static bool announce(kvi_gate_t *gate)
{
    uint32_t state = atomic_load(&gate->state);
    while (state == WRITING &&
           !atomic_compare_exchange_weak(&gate->state, &state, WRITING | WAITERS)) {
    }
    return state != 0;
}

/* Until a writer lets it in, or there is none any more. */
static unsigned wait_to_enter(kvi_gate_t *gate, unsigned lane)
{
    kvi_os_lock(&gate->mutex);
    if (announce(gate)) {
        const uint64_t turn = gate->turn;
        gate->readers_waiting++;
        while (gate->turn == turn) {
            kvi_os_wait(&gate->readers_may, &gate->mutex);
        }
        kvi_os_unlock(&gate->mutex);
        return KVI_GATE_LANES;
    }
    kvi_os_unlock(&gate->mutex);
    return try_enter(gate, lane) ? lane : KVI_GATE_LANES + 1;
}

unsigned kvi_gate_enter(kvi_gate_t *gate)
{
    const unsigned lane = kvi_os_processor() % KVI_GATE_LANES;
    if (try_enter(gate, lane)) {
        return lane;
    }
    for (;;) {
        kvi_gate_leave(gate, lane);
        for (int i = 0; i < SPINS && atomic_load(&gate->state) != 0; i++) {
            kvi_os_relax();
        }
        if (atomic_load(&gate->state) == 0) {
            if (try_enter(gate, lane)) {
                return lane;
            }
            continue;
        }
        const unsigned entered = wait_to_enter(gate, lane);
        if (entered <= KVI_GATE_LANES) {
            return entered;
        }
    }
}

/* ---- writers ---- */

static void drain(kvi_gate_t *gate, unsigned lane)
{
    _Atomic uint32_t *const readers = &gate->lanes[lane].readers;
    for (int i = 0; i < SPINS && atomic_load(readers) != 0; i++) {
        kvi_os_relax();
    }
    if (atomic_load(readers) == 0) {
        return;
    }
    kvi_os_lock(&gate->mutex);
    atomic_store(&gate->drains, true);
    while (atomic_load(readers) != 0) {
        kvi_os_wait(&gate->drained, &gate->mutex);
    }
    atomic_store(&gate->drains, false);
    kvi_os_unlock(&gate->mutex);
}

/* Whether the gate was free and is now this writer's. Under the mutex, so that those who wait are
 * not forgotten. */
static bool take(kvi_gate_t *gate)
{
    uint32_t open = 0;
    return atomic_compare_exchange_strong(&gate->state, &open,
                                          gate->writers_waiting > 0 ? WRITING | WAITERS : WRITING);
}

static void wait_to_close(kvi_gate_t *gate)
{
    bool waited = false;
    kvi_os_lock(&gate->mutex);
    for (;;) {
        if (waited && gate->handed_over) {
            gate->handed_over = false;
            break;
        }
        if (take(gate)) {
            break;
        }
        if (announce(gate)) {
            gate->writers_waiting++;
            kvi_os_wait(&gate->writers_may, &gate->mutex);
            gate->writers_waiting--;
            waited = true;
        }
    }
    kvi_os_unlock(&gate->mutex);
}

void kvi_gate_close(kvi_gate_t *gate)
{
    uint32_t state = 0;
    for (int i = 0; i < SPINS && (state = atomic_load(&gate->state)) != 0; i++) {
        kvi_os_relax();
    }
    state = 0;
    if (!atomic_compare_exchange_strong(&gate->state, &state, WRITING)) {
        wait_to_close(gate);
    }
    for (unsigned lane = 0; lane <= KVI_GATE_LANES; lane++) {
        if (atomic_load(&gate->lanes[lane].readers) != 0) {
            drain(gate, lane);
        }
    }
}

/* There are waiters. */
static void open_to_waiters(kvi_gate_t *gate, bool hand_over)
{
    kvi_os_lock(&gate->mutex);
    if (gate->readers_waiting > 0) {
        (void)atomic_fetch_add(&gate->lanes[KVI_GATE_LANES].readers, gate->readers_waiting);
        gate->readers_waiting = 0;
        gate->turn++;
        kvi_os_wake_all(&gate->readers_may);
    }
    gate->handed_over = hand_over && gate->writers_waiting > 0;
    if (!gate->handed_over) {
        atomic_store(&gate->state, 0);
    }
    if (gate->writers_waiting > 0) {
        kvi_os_wake(&gate->writers_may);
    }
    kvi_os_unlock(&gate->mutex);
}

static void leave_closed(kvi_gate_t *gate, bool hand_over)
{
    uint32_t state = WRITING;
    if (!atomic_compare_exchange_strong(&gate->state, &state, 0)) {
        open_to_waiters(gate, hand_over);
    }
}

void kvi_gate_open(kvi_gate_t *gate)
{
    leave_closed(gate, false);
}

void kvi_gate_hand_over(kvi_gate_t *gate)
{
    leave_closed(gate, true);
}
