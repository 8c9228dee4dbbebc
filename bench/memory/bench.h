/* SPDX-License-Identifier: MIT */
/*
 * The tables of the memory benchmark and how they hang together:
 *
 *   row ──► workload ──► one process for each contestant and repetition ──► metrics
 *    └── goals                                                              ("alloc_ns 0.71")
 *
 * Every measurement is a process of its own: this program started again, with a peer's malloc
 * preloaded where the contestant is one. So no contestant finds a heap that another has left
 * behind, and they take turns.
 */
#ifndef BENCH_MEMORY_BENCH_H
#define BENCH_MEMORY_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- who takes part: X(NAME, label, driver, soname to preload or "") ---- */

#define BENCH_CONTESTANTS(X)                                                       \
    X(ARENA, "kv_arena_t", KV_ARENA, "")                                           \
    X(POOL, "kv_pool_t", KV_POOL, "")                                              \
    X(STORE, "kv_store_malloc", KV_STORE, "")                                      \
    X(GLIBC, "malloc", MALLOC, "")                                                 \
    X(MIMALLOC, "mimalloc", MALLOC, "libmimalloc.so.2")                            \
    X(JEMALLOC, "jemalloc", MALLOC, "libjemalloc.so.2")                            \
    X(TCMALLOC, "tcmalloc", MALLOC, "libtcmalloc_minimal.so.4")                    \
    X(MIMALLOC_HEAP, "mimalloc heap", MIMALLOC_HEAP, "libmimalloc.so.2")           \
    X(LEVELDB, "LevelDB design", LEVELDB, "")                                      \
    X(LEVELDB_MIMALLOC, "LevelDB design on mimalloc", LEVELDB, "libmimalloc.so.2") \
    X(PMR, "pmr::monotonic", PMR, "")                                              \
    X(BUMP, "bare bump", BUMP, "")

typedef enum contestant_id {
#define BENCH_ENUM(name, label, driver, preload) CONTESTANT_##name,
    BENCH_CONTESTANTS(BENCH_ENUM)
#undef BENCH_ENUM
        CONTESTANT_COUNT
} contestant_id_t;

/* Whose functions a workload calls. Several contestants share MALLOC: the loader decides which
 * malloc that is. */
typedef enum driver {
    DRIVER_KV_ARENA,
    DRIVER_KV_POOL,
    DRIVER_KV_STORE,
    DRIVER_MALLOC,
    DRIVER_MIMALLOC_HEAP,
    DRIVER_LEVELDB,
    DRIVER_PMR,
    DRIVER_BUMP /* no allocator: the least that an arena could cost on this machine */
} driver_t;

typedef struct contestant {
    const char *label;
    const char *preload;
    driver_t driver;
} contestant_t;

#define BENCH_BIT(id) (1U << CONTESTANT_##id)

/* The row of a contestant; id < CONTESTANT_COUNT. */
const contestant_t *contestant_at(size_t id);

/* ---- what is done ---- */

/* Runs in the measuring process and prints metrics. shrink divides the number of operations (1: as
 * published). */
typedef void (*workload_fn)(driver_t driver, size_t shrink);

typedef struct workload {
    const char *name;
    workload_fn run;
    unsigned contestants; /* BENCH_BIT of each */
    bool threaded;        /* else the process is pinned to one processor */
} workload_t;

const workload_t *workload_at(size_t number); /* NULL past the last */
const workload_t *workload_find(const char *name);

/* Prints one metric of the measuring process for its parent. */
void report_metric(const char *name, double value);

void run_specification_64k(driver_t driver, size_t shrink);
void run_specification_default(driver_t driver, size_t shrink);
void run_arena_warm(driver_t driver, size_t shrink);
void run_arena_warm_written(driver_t driver, size_t shrink);
void run_arena_warm_random(driver_t driver, size_t shrink);
void run_arena_cold_written(driver_t driver, size_t shrink);
void run_arena_cold_16(driver_t driver, size_t shrink);
void run_arena_efficiency(driver_t driver, size_t shrink);
void run_pool_churn(driver_t driver, size_t shrink);
void run_pool_churn_read(driver_t driver, size_t shrink);
void run_pool_hot(driver_t driver, size_t shrink);
void run_thread_handover(driver_t driver, size_t shrink);
void run_thread_swap(driver_t driver, size_t shrink);
void run_big_compaction(driver_t driver, size_t shrink);
void run_big_destroy(driver_t driver, size_t shrink);

/* ---- what is asked of it: goals.md as data ---- */

typedef enum goal_kind {
    GOAL_NONE = 0,
    GOAL_AT_MOST,  /* ours <= value */
    GOAL_AT_LEAST, /* ours >= value */
    GOAL_FASTER,   /* the best of the peers / ours >= value */
    GOAL_FRACTION  /* ours <= value * the best of the peers */
} goal_kind_t;

typedef struct goal {
    goal_kind_t kind;
    double value;
    unsigned peers; /* whom GOAL_FASTER and GOAL_FRACTION compare with */
} goal_t;

#define ROW_GOALS_MAX 3

typedef struct row {
    const char *id;   /* for --rows */
    const char *work; /* for people */
    const char *unit;
    const char *workload;
    const char *metric;
    contestant_id_t ours;
    unsigned peers;
    goal_t goals[ROW_GOALS_MAX];
} row_t;

const row_t *row_at(size_t number); /* NULL past the last */

/* ---- what came out ---- */

typedef struct summary {
    size_t runs; /* 0: not measured */
    double min;
    double median;
    double max;
} summary_t;

typedef struct result {
    const row_t *row;
    summary_t of[CONTESTANT_COUNT];
} result_t;

/* Whether the medians meet a goal; false also when ours or every peer is missing. */
bool goal_met(const result_t *result, const goal_t *goal);
/* Meets every goal it has; false for a row that was not measured. */
bool result_met(const result_t *result);

typedef enum table_format { TABLE_TEXT, TABLE_MARKDOWN, TABLE_JSON } table_format_t;

/* Prints machine, compiler, flags and commit, and warns of builds that tell nothing about speed. */
void print_header(table_format_t format, size_t runs, size_t shrink);
void print_results(table_format_t format, const result_t *results, size_t count);

/* ---- the processes that measure ---- */

#define CHILD_ABSENT 77 /* exit code: the contestant's library is not on this machine */

/* Whether this process's malloc is the contestant's: false when its library is not there. */
bool contestant_loaded(const contestant_t *contestant);

typedef void (*metric_fn)(const char *name, double value, void *context);
/* Starts program again to run one workload for one contestant and calls take for each metric.
 * False, with nothing taken, when the contestant is not on this machine; ends the program when the
 * measurement failed. */
bool measure_contestant(const char *program, const workload_t *workload, contestant_id_t id,
                        size_t shrink, metric_fn take, void *context);

#endif
