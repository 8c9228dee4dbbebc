/* SPDX-License-Identifier: MIT */
/*
 * The lock of embedded databases: readers and writers never meet, whoever waits comes in, and one
 * who takes the gate again and again lets others through. ThreadSanitizer sees the plain numbers.
 */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "embed/gate.h"

#define THREADS 6
#define TURNS 3000

typedef struct shared {
    kvi_gate_t gate;
    uint64_t first; /* always equal outside of a writer's turn */
    uint64_t second;
    _Atomic int inside; /* readers; -1: a writer */
    _Atomic int wrong;
    _Atomic bool ended;
    unsigned lane;
} shared_t;

static void check(shared_t *shared, bool right)
{
    if (!right) {
        atomic_fetch_add(&shared->wrong, 1);
    }
}

static void write_once(shared_t *shared, bool hand_over)
{
    kvi_gate_close(&shared->gate);
    check(shared, atomic_exchange(&shared->inside, -1) == 0);
    shared->first++;
    shared->second++;
    check(shared, atomic_exchange(&shared->inside, 0) == -1);
    if (hand_over) {
        kvi_gate_hand_over(&shared->gate);
    } else {
        kvi_gate_open(&shared->gate);
    }
}

static void read_once(shared_t *shared)
{
    const unsigned lane = kvi_gate_enter(&shared->gate);
    check(shared, lane <= KVI_GATE_LANES);
    check(shared, atomic_fetch_add(&shared->inside, 1) >= 0);
    check(shared, shared->first == shared->second);
    check(shared, atomic_fetch_sub(&shared->inside, 1) > 0);
    kvi_gate_leave(&shared->gate, lane);
}

static void *write_often(void *argument)
{
    for (int i = 0; i < TURNS; i++) {
        write_once(argument, i % 3 == 0);
    }
    return NULL;
}

static void *read_often(void *argument)
{
    for (int i = 0; i < TURNS; i++) {
        read_once(argument);
    }
    return NULL;
}

static void start(pthread_t *thread, void *(*run)(void *), shared_t *shared)
{
    assert_int_equal(pthread_create(thread, NULL, run, shared), 0);
}

static void join(pthread_t thread)
{
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void assert_open(shared_t *shared)
{
    assert_int_equal(atomic_load(&shared->wrong), 0);
    assert_int_equal(atomic_load(&shared->gate.state), 0);
    assert_int_equal(shared->gate.readers_waiting, 0);
    assert_int_equal(shared->gate.writers_waiting, 0);
    assert_false(shared->gate.handed_over);
    for (size_t i = 0; i <= KVI_GATE_LANES; i++) {
        assert_int_equal(atomic_load(&shared->gate.lanes[i].readers), 0);
    }
}

static void readers_and_writers_never_meet(void **state)
{
    (void)state;
    shared_t shared = {.first = 0};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        start(&threads[i], i % 2 == 0 ? write_often : read_often, &shared);
    }
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
    assert_true(shared.first == (uint64_t)THREADS / 2 * TURNS);
    assert_open(&shared);
}

static void *write_until_ended(void *argument)
{
    shared_t *const shared = argument;
    while (!atomic_load(&shared->ended)) {
        write_once(shared, true);
    }
    return NULL;
}

/* Readers and a writer come through while another writer takes every turn that it can get. */
static void who_hands_over_lets_others_through(void **state)
{
    (void)state;
    shared_t shared = {.first = 0};
    pthread_t greedy;
    pthread_t others[2];
    start(&greedy, write_until_ended, &shared);
    start(&others[0], write_often, &shared);
    start(&others[1], read_often, &shared);
    join(others[0]);
    join(others[1]);
    atomic_store(&shared.ended, true);
    join(greedy);
    assert_open(&shared);
}

static void *leave_for_another(void *argument)
{
    shared_t *const shared = argument;
    kvi_gate_leave(&shared->gate, shared->lane);
    return NULL;
}

static void *write_one(void *argument)
{
    write_once(argument, false);
    return NULL;
}

static void *read_one(void *argument)
{
    read_once(argument);
    return NULL;
}

/* Polls for a state that another thread will bring about. */
static void wait_until_closed(shared_t *shared)
{
    while (atomic_load(&shared->gate.state) == 0) {
        kvi_os_relax();
    }
}

static void a_writer_waits_for_those_inside(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        shared_t shared = {.first = 0};
        pthread_t writer;
        pthread_t reader;
        pthread_t leaver;
        shared.lane = kvi_gate_enter(&shared.gate);
        start(&writer, write_one, &shared);
        wait_until_closed(&shared);
        start(&reader, read_one, &shared); /* waits for the writer, who waits for us */
        assert_true(shared.first == 0);
        start(&leaver, leave_for_another, &shared);
        join(leaver);
        join(writer);
        join(reader);
        assert_true(shared.first == 1);
        assert_open(&shared);
    }
}

static void readers_wait_for_the_writer_inside(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        shared_t shared = {.first = 0};
        pthread_t readers[3];
        pthread_t writer;
        kvi_gate_close(&shared.gate);
        for (int j = 0; j < 3; j++) {
            start(&readers[j], read_one, &shared);
        }
        start(&writer, write_one, &shared);
        shared.first++; /* nobody may see this half */
        shared.second++;
        kvi_gate_open(&shared.gate);
        for (int j = 0; j < 3; j++) {
            join(readers[j]);
        }
        join(writer);
        assert_true(shared.first == 2);
        assert_open(&shared);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_and_writers_never_meet),
        cmocka_unit_test(who_hands_over_lets_others_through),
        cmocka_unit_test(a_writer_waits_for_those_inside),
        cmocka_unit_test(readers_wait_for_the_writer_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
