/* SPDX-License-Identifier: MIT */
/*
 * The work kvbench gives to a store, and its timing. Keys are numbers turned into bytes: random
 * ones, or digits as db_bench has them. Either way they come in an order that was shuffled once,
 * the same for all stores. One user at a time.
 */
#ifndef KVBENCH_WORK_H
#define KVBENCH_WORK_H

#include "kvbench/store.h"

#define WORK_KEY_BYTES_MAX 1024u
#define WORK_VALUE_BYTES_MAX ((size_t)1 << 20)
#define WORK_GROUP 16u
#define WORK_VALUE_OFFSETS 4096u

typedef struct work_options {
    size_t count; /* entries */
    size_t key_bytes_min;
    size_t key_bytes_max;
    size_t value_bytes_min;
    size_t value_bytes_max;
    size_t threads; /* of readers */
    bool decimal;   /* keys are their numbers in digits, else random bytes */
} work_options_t;

/* What one run of one benchmark on one store gave. */
typedef struct work_result {
    double ns;           /* an operation */
    double median_ns;    /* of single operations, where they were timed one by one, else 0 */
    double longest_ns;   /* likewise */
    size_t entries;      /* that the store holds afterwards */
    store_bytes_t bytes; /* behind them, unless there are none */
} work_result_t;

/* A store being measured: opened and filled as the benchmarks need it. */
typedef struct work {
    const work_options_t *options;
    const store_ops_t *ops;
    void *store;
    bool is_full;
    size_t heap_before; /* bytes of malloc before the store was opened */
    uint32_t *order;    /* the numbers below count, shuffled */
    bool sequential;    /* keys ascend with their numbers */
    uint32_t *zipf;     /* numbers, the popular ones often; NULL until they are needed */
    char *values;       /* random bytes; a value is a stretch of them */
    uint64_t sum;       /* of what was read, so that reading is not left out */
    bool failed;        /* the store refused something, or did not have what it should */
} work_t;

typedef enum work_kind {
    WORK_WANTS_EMPTY = 1,  /* begins with an empty store; others with a full one */
    WORK_READS_ONLY = 2,   /* may be done by several threads at once */
    WORK_LEAVES_OTHER = 4, /* the store is not as fillrandom leaves it */
    WORK_LEAVES_EMPTY = 8,
    WORK_LEAVES_HALF = 16 /* half of the entries, and what else can be given back is */
} work_kind_t;

typedef struct work_benchmark {
    const char *name;
    const char *help;
    int kind;                            /* of work_kind_t, together */
    bool (*can)(const store_ops_t *ops); /* whether the store has what it needs */
    /* Returns the number of operations; fills what it knows of result besides ns. */
    size_t (*run)(work_t *work, work_result_t *result);
} work_benchmark_t;

/* ---- keys.c ---- */

/* The number-th key, in a buffer of WORK_KEY_BYTES_MAX + 8; and its value's version-th state. */
kv_slice_t work_key(const work_t *work, uint64_t number, char *buffer);
kv_slice_t work_value(const work_t *work, uint64_t number, uint64_t version);
/* The numbers below count, shuffled; and count of them drawn as Zipf's law has it, the popular ones
 * anywhere in that order. NULL when memory is short. Free them. */
uint32_t *work_order(size_t count);
uint32_t *work_zipf(const uint32_t *order, size_t count);

/* ---- benchmarks.c ---- */

/* The number-th benchmark, NULL past the last; the one called name, or NULL. */
const work_benchmark_t *work_benchmark_at(size_t number);
const work_benchmark_t *work_benchmark_find(const char *name);

/* ---- work.c ---- */

/* Whether this benchmark means anything for this store. */
bool work_can(const work_options_t *options, const store_ops_t *ops,
              const work_benchmark_t *benchmark);
/* False when memory is short. */
bool work_begin(work_t *work, const work_options_t *options, const store_ops_t *ops);
void work_end(work_t *work);
/* Brings the store into the state the benchmark wants, runs it and times it. False when the store
 * failed. */
bool work_run(work_t *work, const work_benchmark_t *benchmark, work_result_t *result);

#endif
