/* SPDX-License-Identifier: MIT */
/* Prints what kvbench measured. Ratios are of medians, ours to the peer's: below 1 is faster. */
#include "kvbench/report.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvbench_commit.h"
#include "kvbench_config.h"

#define LINE_BYTES 256

typedef struct spread {
    double min;
    double median;
    double max;
} spread_t;

work_result_t *report_result(const report_t *report, size_t store, size_t benchmark, size_t run)
{
    return &report->results[(store * report->benchmark_count + benchmark) * report->runs + run];
}

/* ---- the build and the machine ---- */

static bool has_assertions(void)
{
    bool on = false;
    assert((on = true)); /* the one assert with a side effect, which is its purpose */
    return on;
}

static const char *warning(void)
{
    if (strcmp(KVBENCH_SANITIZE, "none") != 0) {
        return "built with sanitizers: the figures mean nothing";
    }
    return has_assertions() ? "built with assertions: not a release build" : NULL;
}

/* The processor's name, as the system tells it. */
static void machine_name(char *name, size_t bytes)
{
    char line[LINE_BYTES];
    FILE *const file = fopen("/proc/cpuinfo", "r");
    snprintf(name, bytes, "unknown processor");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *const colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            snprintf(name, bytes, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void print_range(const char *what, size_t min, size_t max)
{
    if (min == max) {
        printf(", %s of %zu bytes", what, min);
    } else {
        printf(", %s of %zu to %zu bytes", what, min, max);
    }
}

void report_print_head(const report_t *report)
{
    char machine[LINE_BYTES];
    machine_name(machine, sizeof machine);
    printf("machine   %s, %ld cores\n", machine, sysconf(_SC_NPROCESSORS_ONLN));
    printf("compiler  %s %s, %s\n", KVBENCH_COMPILER, __VERSION__, KVBENCH_FLAGS);
    printf("commit    %s\n", KVBENCH_COMMIT);
    printf("work      %zu entries", report->options->count);
    print_range("keys", report->options->key_bytes_min, report->options->key_bytes_max);
    printf("%s", report->options->decimal ? " (decimal)" : "");
    print_range("values", report->options->value_bytes_min, report->options->value_bytes_max);
    printf(", %zu runs, stores in turn, %zu %s\n", report->runs, report->options->threads,
           report->options->threads == 1 ? "thread" : "readers at once");
    if (warning() != NULL) {
        printf("WARNING   %s\n", warning());
    }
    printf("\n");
}

/* ---- spreads ---- */

static int compare_doubles(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

typedef double (*figure_fn)(const work_result_t *result);

static double figure_ns(const work_result_t *result)
{
    return result->ns;
}

static double figure_median(const work_result_t *result)
{
    return result->median_ns;
}

static double figure_longest(const work_result_t *result)
{
    return result->longest_ns;
}

static spread_t spread_of(const report_t *report, size_t store, size_t benchmark, figure_fn figure)
{
    double *const sorted = malloc(report->runs * sizeof *sorted);
    if (sorted == NULL) {
        return (spread_t){0, 0, 0};
    }
    for (size_t run = 0; run < report->runs; run++) {
        sorted[run] = figure(report_result(report, store, benchmark, run));
    }
    qsort(sorted, report->runs, sizeof *sorted, compare_doubles);
    const spread_t spread = {sorted[0], sorted[report->runs / 2], sorted[report->runs - 1]};
    free(sorted);
    return spread;
}

static double ratio(double ours, double theirs)
{
    return theirs > 0 ? ours / theirs : 0;
}

static bool is_peer(const store_ops_t *ops)
{
    return !ops->is_engine;
}

static bool was_run(const report_t *report, size_t store, size_t benchmark)
{
    return report_result(report, store, benchmark, 0)->ns > 0;
}

/* ---- the table ---- */

static void print_ratios(const report_t *report, size_t store, size_t benchmark, figure_fn figure)
{
    const double ours = spread_of(report, store, benchmark, figure).median;
    for (size_t i = 0; i < report->store_count && !is_peer(report->stores[store]); i++) {
        if (is_peer(report->stores[i]) && was_run(report, i, benchmark)) {
            const double theirs = spread_of(report, i, benchmark, figure).median;
            printf("  %.2fx %s", ratio(ours, theirs), report->stores[i]->name);
        }
    }
    printf("\n");
}

static void print_rows(const report_t *report, size_t benchmark, const char *name, figure_fn figure)
{
    for (size_t store = 0; store < report->store_count; store++) {
        const spread_t spread = spread_of(report, store, benchmark, figure);
        if (!was_run(report, store, benchmark)) {
            continue;
        }
        printf("%-16s %-10s %9.1f %9.1f %9.1f", name, report->stores[store]->name, spread.min,
               spread.median, spread.max);
        name = "";
        print_ratios(report, store, benchmark, figure);
    }
}

/* The last run's; NULL if the benchmark was not run or left nothing. */
static const work_result_t *bytes_of(const report_t *report, size_t store, size_t benchmark)
{
    const work_result_t *const result = report_result(report, store, benchmark, report->runs - 1);
    return was_run(report, store, benchmark) && result->entries > 0 ? result : NULL;
}

/* Whether this benchmark leaves other bytes than the ones before it in the list. */
static bool is_own_state(const report_t *report, size_t benchmark)
{
    const int kind = report->benchmarks[benchmark]->kind;
    const bool other = (kind & WORK_LEAVES_OTHER) != 0;
    for (size_t i = 0; i < benchmark && !other; i++) {
        if ((report->benchmarks[i]->kind & WORK_LEAVES_OTHER) == 0) {
            return false;
        }
    }
    return (kind & WORK_LEAVES_EMPTY) == 0;
}

static void print_bytes_after(const report_t *report, size_t benchmark)
{
    const char *name = report->benchmarks[benchmark]->name;
    for (size_t store = 0; store < report->store_count; store++) {
        const work_result_t *const result = bytes_of(report, store, benchmark);
        if (result == NULL) {
            continue;
        }
        const double count = (double)result->entries;
        const store_bytes_t *const bytes = &result->bytes;
        printf("%-16s %-10s %9.2f", name, report->stores[store]->name,
               (double)bytes->total / count);
        name = "";
        if (!is_peer(report->stores[store])) {
            printf(" %9.2f %9.2f %9.2f %9.2f", (double)bytes->key / count,
                   (double)bytes->value / count, (double)bytes->index / count,
                   (double)bytes->slack / count);
        }
        printf("\n");
    }
}

static void print_bytes(const report_t *report)
{
    printf("\n%-16s %-10s %9s %9s %9s %9s %9s\n", "bytes an entry", "store", "total", "key",
           "value", "index", "slack");
    for (size_t i = 0; i < report->benchmark_count; i++) {
        if (is_own_state(report, i)) {
            print_bytes_after(report, i);
        }
    }
}

static bool was_timed_singly(const report_t *report, size_t benchmark)
{
    for (size_t store = 0; store < report->store_count; store++) {
        if (report_result(report, store, benchmark, 0)->longest_ns > 0) {
            return true;
        }
    }
    return false;
}

void report_print_table(const report_t *report)
{
    printf("%-16s %-10s %9s %9s %9s  ratio of medians\n", "CPU ns an op.", "store", "min", "median",
           "max");
    for (size_t i = 0; i < report->benchmark_count; i++) {
        print_rows(report, i, report->benchmarks[i]->name, figure_ns);
        if (was_timed_singly(report, i)) {
            print_rows(report, i, " single put", figure_median);
            print_rows(report, i, " longest put", figure_longest);
        }
    }
    print_bytes(report);
}

/* ---- JSON ---- */

static void print_json_string(const char *string)
{
    putchar('"');
    for (; *string != '\0'; string++) {
        if (*string == '"' || *string == '\\') {
            putchar('\\');
        }
        putchar(*string);
    }
    putchar('"');
}

static void print_json_head(const report_t *report)
{
    char machine[LINE_BYTES];
    machine_name(machine, sizeof machine);
    printf("{\"machine\": ");
    print_json_string(machine);
    printf(", \"cores\": %ld, \"compiler\": ", sysconf(_SC_NPROCESSORS_ONLN));
    print_json_string(KVBENCH_COMPILER " " __VERSION__);
    printf(", \"flags\": ");
    print_json_string(KVBENCH_FLAGS);
    printf(", \"commit\": ");
    print_json_string(KVBENCH_COMMIT);
    printf(", \"warning\": ");
    print_json_string(warning() != NULL ? warning() : "");
    printf(", \"num\": %zu, \"key_size\": [%zu, %zu], \"value_size\": [%zu, %zu], \"runs\": %zu, "
           "\"threads\": %zu, \"decimal\": %s",
           report->options->count, report->options->key_bytes_min, report->options->key_bytes_max,
           report->options->value_bytes_min, report->options->value_bytes_max, report->runs,
           report->options->threads, report->options->decimal ? "true" : "false");
}

static void print_json_spread(const char *name, spread_t spread)
{
    printf(", \"%s\": {\"min\": %.2f, \"median\": %.2f, \"max\": %.2f}", name, spread.min,
           spread.median, spread.max);
}

static void print_json_result(const report_t *report, size_t store, size_t benchmark)
{
    printf("{\"benchmark\": \"%s\", \"store\": \"%s\"", report->benchmarks[benchmark]->name,
           report->stores[store]->name);
    print_json_spread("ns", spread_of(report, store, benchmark, figure_ns));
    if (report_result(report, store, benchmark, 0)->longest_ns > 0) {
        print_json_spread("single_ns", spread_of(report, store, benchmark, figure_median));
        print_json_spread("longest_ns", spread_of(report, store, benchmark, figure_longest));
    }
    const work_result_t *const result = bytes_of(report, store, benchmark);
    if (result != NULL) {
        const store_bytes_t *const bytes = &result->bytes;
        printf(", \"entries\": %zu, \"bytes\": {\"total\": %zu, \"key\": %zu, \"value\": %zu, "
               "\"index\": %zu, \"slack\": %zu}",
               result->entries, bytes->total, bytes->key, bytes->value, bytes->index, bytes->slack);
    }
    printf("}");
}

static void print_json_store(const store_ops_t *store)
{
    printf("{\"name\": \"%s\", \"engine\": %s, \"ordered\": %s}", store->name,
           store->is_engine ? "true" : "false", store->seek != NULL ? "true" : "false");
}

void report_print_json(const report_t *report)
{
    print_json_head(report);
    printf(",\n \"stores\": [");
    for (size_t i = 0; i < report->store_count; i++) {
        printf(i == 0 ? "\n  " : ",\n  ");
        print_json_store(report->stores[i]);
    }
    printf("],\n \"results\": [");
    const char *between = "\n  ";
    for (size_t i = 0; i < report->benchmark_count * report->store_count; i++) {
        const size_t store = i % report->store_count;
        const size_t benchmark = i / report->store_count;
        if (was_run(report, store, benchmark)) {
            printf("%s", between);
            print_json_result(report, store, benchmark);
            between = ",\n  ";
        }
    }
    printf("]}\n");
}
