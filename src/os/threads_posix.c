/* SPDX-License-Identifier: MIT */
/* Threads and conditions as POSIX has them. */
#include "os/os.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Static_assert(sizeof(pthread_cond_t) <= sizeof(kvi_os_condition_t), "a condition fits its place");
_Static_assert(sizeof(pthread_t) <= sizeof(kvi_os_thread_t), "a thread fits its place");

static pthread_cond_t *condition_of(kvi_os_condition_t *condition)
{
    return (pthread_cond_t *)(void *)condition->opaque;
}

static pthread_mutex_t *mutex_of(kvi_os_mutex_t *mutex)
{
    return (pthread_mutex_t *)(void *)mutex->opaque;
}

void kvi_os_wait(kvi_os_condition_t *condition, kvi_os_mutex_t *mutex)
{
    pthread_cond_wait(condition_of(condition), mutex_of(mutex));
}

bool kvi_os_wait_until(kvi_os_condition_t *condition, kvi_os_mutex_t *mutex, uint64_t deadline_ns)
{
    const struct timespec deadline = {(time_t)(deadline_ns / 1000000000U),
                                      (long)(deadline_ns % 1000000000U)};
    return pthread_cond_clockwait(condition_of(condition), mutex_of(mutex), CLOCK_MONOTONIC,
                                  &deadline) == 0;
}

void kvi_os_wake(kvi_os_condition_t *condition)
{
    pthread_cond_signal(condition_of(condition));
}

void kvi_os_wake_all(kvi_os_condition_t *condition)
{
    pthread_cond_broadcast(condition_of(condition));
}

unsigned kvi_os_processor(void)
{
    const int processor = sched_getcpu();
    return processor > 0 ? (unsigned)processor : 0;
}

void kvi_os_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

typedef struct start {
    void (*run)(void *argument);
    void *argument;
} start_t;

static void *run_thread(void *argument)
{
    const start_t start = *(start_t *)argument;
    free(argument);
    start.run(start.argument);
    return NULL;
}

bool kvi_os_thread_start(kvi_os_thread_t *thread, void (*run)(void *argument), void *argument)
{
    start_t *const start = malloc(sizeof *start);
    sigset_t all;
    sigset_t before;
    pthread_t handle;
    if (start == NULL) {
        return false;
    }
    *start = (start_t){run, argument};
    /* The new thread inherits the mask. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool started = pthread_create(&handle, NULL, run_thread, start) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!started) {
        free(start);
        return false;
    }
    memcpy(thread->opaque, &handle, sizeof handle);
    return true;
}

void kvi_os_thread_join(kvi_os_thread_t *thread)
{
    pthread_t handle;
    memcpy(&handle, thread->opaque, sizeof handle);
    pthread_join(handle, NULL);
}
