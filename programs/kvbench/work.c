/* SPDX-License-Identifier: MIT */
/* Brings a store into the state a benchmark wants, and the clock around it; with several threads,
 * one clock each. */
#include "kvbench/work.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"

#define READS_MIN 20000u

/* ---- states ---- */

static size_t heap_bytes(void)
{
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static bool open_store(work_t *work)
{
    if (work->store != NULL) {
        work->ops->close(work->store);
    }
    work->is_full = false;
    work->heap_before = heap_bytes();
    work->store = work->ops->open(work->ops);
    return work->store != NULL;
}

bool work_begin(work_t *work, const work_options_t *options, const store_ops_t *ops)
{
    const size_t bytes = options->value_bytes_max + WORK_VALUE_OFFSETS + 8;
    kvi_random_t random = {0};
    memset(work, 0, sizeof *work);
    work->options = options;
    work->ops = ops;
    work->order = work_order(options->count);
    work->values = malloc(bytes);
    if (work->order == NULL || work->values == NULL) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        work->values[i] = (char)kvi_random_next(&random);
    }
    return open_store(work);
}

void work_end(work_t *work)
{
    if (work->store != NULL) {
        work->ops->close(work->store);
    }
    free(work->values);
    free(work->order);
    free(work->zipf);
    memset(work, 0, sizeof *work);
}

static void measure_bytes(work_t *work, store_bytes_t *bytes)
{
    if (work->ops->bytes != NULL) {
        work->ops->bytes(work->store, bytes);
    } else {
        *bytes = (store_bytes_t){.total = heap_bytes() - work->heap_before};
    }
}

static bool fill(work_t *work)
{
    work_result_t ignored;
    if (!open_store(work)) {
        return false;
    }
    (void)work_benchmark_find("fillrandom")->run(work, &ignored);
    work->is_full = true;
    return !work->failed;
}

static bool prepare(work_t *work, const work_benchmark_t *benchmark)
{
    if (benchmark->run == work_benchmark_find("readzipf")->run && work->zipf == NULL) {
        work->zipf = work_zipf(work->order, work->options->count);
        if (work->zipf == NULL) {
            return false;
        }
    }
    if ((benchmark->kind & WORK_WANTS_EMPTY) != 0) {
        return open_store(work);
    }
    return work->is_full || fill(work);
}

/* ---- the clock ---- */

/* Time of this thread on a processor, the kernel's for it included: what others do meanwhile does
 * not count. */
static double processor_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Few entries are read again and again, since asking for the time costs as much as many reads. */
static size_t rounds_of(const work_t *work, const work_benchmark_t *benchmark)
{
    return (benchmark->kind & WORK_READS_ONLY) != 0 ? READS_MIN / work->options->count + 1 : 1;
}

static void run_timed(work_t *work, const work_benchmark_t *benchmark, work_result_t *result)
{
    const double begin = processor_ns();
    size_t operations = 0;
    for (size_t rounds = rounds_of(work, benchmark); rounds > 0; rounds--) {
        operations += benchmark->run(work, result);
    }
    result->ns = (processor_ns() - begin) / (double)(operations > 0 ? operations : 1);
}

/* ---- several threads ---- */

typedef struct reader {
    pthread_t thread;
    work_t work; /* a copy: the store and the keys are shared */
    const work_benchmark_t *benchmark;
    work_result_t result;
    bool started;
} reader_t;

static void *read_along(void *context)
{
    reader_t *const reader = context;
    run_timed(&reader->work, reader->benchmark, &reader->result);
    return NULL;
}

/* The mean of the readers' times. */
static void run_readers(work_t *work, const work_benchmark_t *benchmark, work_result_t *result)
{
    const size_t count = work->options->threads;
    reader_t *const readers = calloc(count, sizeof *readers);
    for (size_t i = 0; readers != NULL && i < count; i++) {
        readers[i].work = *work;
        readers[i].benchmark = benchmark;
        readers[i].started = pthread_create(&readers[i].thread, NULL, read_along, &readers[i]) == 0;
    }
    work->failed |= readers == NULL;
    for (size_t i = 0; readers != NULL && i < count; i++) {
        work->failed |= !readers[i].started;
        if (readers[i].started) {
            pthread_join(readers[i].thread, NULL);
            result->ns += readers[i].result.ns / (double)count;
            work->sum += readers[i].work.sum;
            work->failed |= readers[i].work.failed;
        }
    }
    free(readers);
}

bool work_can(const work_options_t *options, const store_ops_t *ops,
              const work_benchmark_t *benchmark)
{
    const bool several = options->threads > 1 && (benchmark->kind & WORK_READS_ONLY) != 0;
    return benchmark->can(ops) && (!several || ops->shares_reads);
}

bool work_run(work_t *work, const work_benchmark_t *benchmark, work_result_t *result)
{
    memset(result, 0, sizeof *result);
    if (!prepare(work, benchmark)) {
        return false;
    }
    if (work->options->threads > 1 && (benchmark->kind & WORK_READS_ONLY) != 0) {
        run_readers(work, benchmark, result);
    } else {
        run_timed(work, benchmark, result);
    }
    work->is_full = (benchmark->kind & WORK_LEAVES_OTHER) == 0;
    if ((benchmark->kind & WORK_LEAVES_EMPTY) == 0) {
        result->entries = work->options->count;
        if ((benchmark->kind & WORK_LEAVES_HALF) != 0) {
            result->entries -= work->options->count / 2;
            if (work->ops->compact != NULL) {
                work->ops->compact(work->store);
            }
        }
        measure_bytes(work, &result->bytes);
    }
    return !work->failed;
}
