/* SPDX-License-Identifier: MIT */
/*
 * kvbench: what an engine costs, beside the containers and stores people use, in the manner of
 * LevelDB's db_bench.
 *
 *   kvbench --benchmarks=fillrandom,readrandom --engines=hash,glib,absl --num=1000000 --runs=7
 *
 * Every run gives each store in turn the same keys in the same order, so that what disturbs the
 * machine disturbs all.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <concordkv/kv_version.h>

#include "kvbench/report.h"
#include "kvbench/work.h"

#define NUM_MAX 1000000000u
#define RUNS_MAX 1000u
#define THREADS_MAX 256u
#define NAME_BYTES 64

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void complain(const char *format, ...)
{
    va_list arguments;
    fputs("kvbench: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("\n", stderr);
    exit(EXIT_FAILURE);
}

/* ---- options ---- */

typedef struct options {
    work_options_t work;
    const char *benchmarks;
    const char *engines;
    size_t runs;
    bool json;
} options_t;

static const char usage_head[] =
    "usage: kvbench [options]\n"
    "\n"
    "Measures storage engines beside well-known containers and stores.\n"
    "\n"
    "  --benchmarks=A,B,..  which benchmarks, in this order (default: all)\n"
    "  --engines=A,B,..     which engines and peers (default: all there are)\n"
    "  --num=N              entries (default 1000000)\n"
    "  --key-size=N[-M]     bytes of a key, or from N to M (default 16)\n"
    "  --value-size=N[-M]   bytes of a value, or from N to M (default 32)\n"
    "  --decimal            keys are numbers in digits, as db_bench has them, not random bytes\n"
    "  --runs=N             repetitions; minimum, median and maximum are shown (default 7)\n"
    "  --threads=N          readers at once where a benchmark only reads (default 1)\n"
    "  --json               one JSON object instead of tables\n"
    "  --help               this text\n"
    "  --version            the version\n"
    "\n";

static void print_usage(void)
{
    fputs(usage_head, stdout);
    printf("Benchmarks:\n");
    for (size_t i = 0; work_benchmark_at(i) != NULL; i++) {
        printf("  %-20s %s\n", work_benchmark_at(i)->name, work_benchmark_at(i)->help);
    }
    printf("Engines and peers of this build:");
    for (size_t i = 0; store_at(i) != NULL; i++) {
        printf(" %s", store_at(i)->name);
    }
    printf("\n");
}

/* A number from min to max, in decimal; *end is behind it. */
static size_t parse_number(const char *option, const char *text, char **end, size_t min, size_t max)
{
    errno = 0;
    const unsigned long long number = strtoull(text, end, 10);
    if (errno != 0 || *end == text || *text < '0' || *text > '9' || number < min || number > max) {
        complain("--%s wants a number from %zu to %zu, not '%s'", option, min, max, text);
    }
    return (size_t)number;
}

static size_t parse_only_number(const char *option, const char *text, size_t min, size_t max)
{
    char *end = NULL;
    const size_t number = parse_number(option, text, &end, min, max);
    if (*end != '\0') {
        complain("--%s wants a number, not '%s'", option, text);
    }
    return number;
}

static void parse_range(const char *option, const char *text, size_t limits[2], size_t range[2])
{
    char *end = NULL;
    range[0] = parse_number(option, text, &end, limits[0], limits[1]);
    range[1] = range[0];
    if (*end == '-') {
        range[1] = parse_number(option, end + 1, &end, range[0], limits[1]);
    }
    if (*end != '\0') {
        complain("--%s wants N or N-M, not '%s'", option, text);
    }
}

static void parse_sizes(const char *option, const char *text, work_options_t *work)
{
    const bool key = strcmp(option, "key-size") == 0;
    size_t limits[2] = {key ? 8 : 0, key ? WORK_KEY_BYTES_MAX : WORK_VALUE_BYTES_MAX};
    size_t range[2];
    parse_range(option, text, limits, range);
    *(key ? &work->key_bytes_min : &work->value_bytes_min) = range[0];
    *(key ? &work->key_bytes_max : &work->value_bytes_max) = range[1];
}

static void parse_option(options_t *options, const char *name, const char *value)
{
    if (strcmp(name, "help") == 0) {
        print_usage();
        exit(EXIT_SUCCESS);
    } else if (strcmp(name, "version") == 0) {
        printf("kvbench %s\n", KV_VERSION_STRING);
        exit(EXIT_SUCCESS);
    } else if (strcmp(name, "benchmarks") == 0) {
        options->benchmarks = value;
    } else if (strcmp(name, "engines") == 0) {
        options->engines = value;
    } else if (strcmp(name, "num") == 0) {
        options->work.count = parse_only_number(name, value, 1, NUM_MAX);
    } else if (strcmp(name, "runs") == 0) {
        options->runs = parse_only_number(name, value, 1, RUNS_MAX);
    } else if (strcmp(name, "threads") == 0) {
        options->work.threads = parse_only_number(name, value, 1, THREADS_MAX);
    } else if (strcmp(name, "json") == 0) {
        options->json = true;
    } else if (strcmp(name, "decimal") == 0) {
        options->work.decimal = true;
    } else {
        parse_sizes(name, value, &options->work);
    }
}

/* Whether all numbers have keys of their own, those that are not there included. */
static bool has_digits_for(const work_options_t *work)
{
    size_t numbers = 1;
    for (size_t i = 0; i < work->key_bytes_min && numbers < 2 * work->count; i++) {
        numbers *= 10;
    }
    return numbers >= 2 * work->count;
}

static options_t parse_options(int argc, char **argv)
{
    static const struct option longs[] = {
        {"benchmarks", required_argument, NULL, 0}, {"engines", required_argument, NULL, 0},
        {"num", required_argument, NULL, 0},        {"key-size", required_argument, NULL, 0},
        {"value-size", required_argument, NULL, 0}, {"runs", required_argument, NULL, 0},
        {"threads", required_argument, NULL, 0},    {"json", no_argument, NULL, 0},
        {"decimal", no_argument, NULL, 0},          {"help", no_argument, NULL, 0},
        {"version", no_argument, NULL, 0},          {NULL, 0, NULL, 0},
    };
    options_t options = {
        .work = {1000000, 16, 16, 32, 32, 1, false},
        .runs = 7,
    };
    int number = 0;
    int result;
    while ((result = getopt_long(argc, argv, "", longs, &number)) != -1) {
        if (result != 0) {
            exit(EXIT_FAILURE); /* getopt has said why */
        }
        parse_option(&options, longs[number].name, optarg);
    }
    if (optind < argc) {
        complain("what is '%s'? All options begin with --", argv[optind]);
    }
    if (options.work.decimal && !has_digits_for(&options.work)) {
        complain("keys of %zu digits are too short for so many", options.work.key_bytes_min);
    }
    return options;
}

/* ---- lists of names ---- */

/* Copies the next name of a list to name; NULL at the end. */
static const char *next_name(const char *list, char name[NAME_BYTES])
{
    const size_t length = strcspn(list, ",");
    snprintf(name, NAME_BYTES, "%.*s", (int)(length < NAME_BYTES ? length : NAME_BYTES - 1), list);
    return list[length] == ',' ? list + length + 1 : NULL;
}

static void add_store(report_t *report, const store_ops_t *ops)
{
    if (report->store_count < REPORT_STORES_MAX) {
        report->stores[report->store_count++] = ops;
    }
}

static bool can_hold(const store_ops_t *ops, size_t count)
{
    return ops->count_max == 0 || count <= ops->count_max;
}

/* Those who cannot hold so many entries are left out, unless they are named. */
static void choose_stores(report_t *report, const char *list)
{
    char name[NAME_BYTES];
    for (size_t i = 0; list == NULL && store_at(i) != NULL; i++) {
        if (can_hold(store_at(i), report->options->count)) {
            add_store(report, store_at(i));
        }
    }
    while (list != NULL) {
        list = next_name(list, name);
        if (store_find(name) == NULL) {
            complain("no engine or peer '%s' in this build; --help lists them", name);
        }
        if (!can_hold(store_find(name), report->options->count)) {
            complain("%s holds at most %zu entries here", name, store_find(name)->count_max);
        }
        add_store(report, store_find(name));
    }
}

static void add_benchmark(report_t *report, const work_benchmark_t *benchmark)
{
    if (report->benchmark_count < REPORT_BENCHMARKS_MAX) {
        report->benchmarks[report->benchmark_count++] = benchmark;
    }
}

static void choose_benchmarks(report_t *report, const char *list)
{
    char name[NAME_BYTES];
    for (size_t i = 0; list == NULL && work_benchmark_at(i) != NULL; i++) {
        add_benchmark(report, work_benchmark_at(i));
    }
    while (list != NULL) {
        list = next_name(list, name);
        if (work_benchmark_find(name) == NULL) {
            complain("no benchmark '%s'; --help lists them", name);
        }
        add_benchmark(report, work_benchmark_find(name));
    }
}

/* ---- runs ---- */

static void run_store(report_t *report, size_t store, size_t run)
{
    work_t work;
    if (!work_begin(&work, report->options, report->stores[store])) {
        complain("%s: out of memory", report->stores[store]->name);
    }
    for (size_t i = 0; i < report->benchmark_count; i++) {
        if (!work_can(report->options, report->stores[store], report->benchmarks[i])) {
            continue;
        }
        if (!work_run(&work, report->benchmarks[i], report_result(report, store, i, run))) {
            complain("%s: %s failed", report->stores[store]->name, report->benchmarks[i]->name);
        }
    }
    work_end(&work);
}

int main(int argc, char **argv)
{
    const options_t options = parse_options(argc, argv);
    report_t report = {.options = &options.work, .runs = options.runs};
    choose_stores(&report, options.engines);
    choose_benchmarks(&report, options.benchmarks);
    report.results =
        calloc(report.store_count * report.benchmark_count * report.runs, sizeof *report.results);
    if (report.results == NULL) {
        complain("out of memory");
    }
    if (!options.json) {
        report_print_head(&report);
        fflush(stdout);
    }
    for (size_t run = 0; run < report.runs; run++) {
        for (size_t store = 0; store < report.store_count; store++) {
            run_store(&report, store, run);
        }
    }
    (options.json ? report_print_json : report_print_table)(&report);
    free(report.results);
    return EXIT_SUCCESS;
}
