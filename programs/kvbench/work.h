/* SPDX-License-Identifier: MIT */
/*
 * The work kvbench gives to a store, and its timing. Keys are numbers turned into bytes, so that
 * they need no memory and are met in an order that has nothing to do with where a store keeps them.
 * One user at a time.
 */
#ifndef KVBENCH_WORK_H
#define KVBENCH_WORK_H

#include "kvbench/store.h"

#define WORK_KEY_BYTES_MAX 1024u
#define WORK_VALUE_BYTES_MAX ((size_t)1 << 20)
#define WORK_GROUP 16u

typedef struct work_options {
    size_t count; /* entries */
    size_t key_bytes_min;
    size_t key_bytes_max;
    size_t value_bytes_min;
    size_t value_bytes_max;
} work_options_t;

/* What one run of one benchmark on one store gave. */
typedef struct work_result {
    double ns;           /* an operation */
    double median_ns;    /* of single operations, where they were timed one by one, else 0 */
    double longest_ns;   /* likewise */
    store_bytes_t bytes; /* unless the benchmark empties; of the store, not an entry */
} work_result_t;

/* A store being measured: opened and filled as the benchmarks need it. */
typedef struct work {
    const work_options_t *options;
    const store_ops_t *ops;
    void *store;
    bool is_full;
    size_t heap_before; /* bytes of malloc before the store was opened */
    size_t step;        /* from one number to the next, prime to count */
    char *values;       /* random bytes; a value is a stretch of them */
    uint64_t sum;       /* of what was read, so that reading is not left out */
    bool failed;        /* the store refused something, or did not have what it should */
} work_t;

typedef struct work_benchmark {
    const char *name;
    const char *help;
    bool wants_empty;
    bool leaves_empty;
    /* Returns the number of operations; fills what it knows of result besides ns. */
    size_t (*run)(work_t *work, work_result_t *result);
} work_benchmark_t;

/* The number-th benchmark, NULL past the last; the one called name, or NULL. */
const work_benchmark_t *work_benchmark_at(size_t number);
const work_benchmark_t *work_benchmark_find(const char *name);

/* False when memory is short. */
bool work_begin(work_t *work, const work_options_t *options, const store_ops_t *ops);
void work_end(work_t *work);
/* Brings the store into the state the benchmark wants, runs it and times it. False when the store
 * failed. */
bool work_run(work_t *work, const work_benchmark_t *benchmark, work_result_t *result);

#endif
