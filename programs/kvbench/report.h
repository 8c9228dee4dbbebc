/* SPDX-License-Identifier: MIT */
/* What kvbench prints: the machine and the build, a table with ratios, or one JSON object. */
#ifndef KVBENCH_REPORT_H
#define KVBENCH_REPORT_H

#include "kvbench/work.h"

#define REPORT_STORES_MAX 32u
#define REPORT_BENCHMARKS_MAX 32u

/* Everything that was measured: results[store][benchmark][run]. */
typedef struct report {
    const work_options_t *options;
    const store_ops_t *stores[REPORT_STORES_MAX];
    size_t store_count;
    const work_benchmark_t *benchmarks[REPORT_BENCHMARKS_MAX];
    size_t benchmark_count;
    size_t runs;
    work_result_t *results;
} report_t;

work_result_t *report_result(const report_t *report, size_t store, size_t benchmark, size_t run);
void report_print_head(const report_t *report);
void report_print_table(const report_t *report);
void report_print_json(const report_t *report);

#endif
