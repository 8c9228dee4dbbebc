/* SPDX-License-Identifier: MIT */
/*
 * bench_memory: the memory core beside glibc's malloc, mimalloc, jemalloc, tcmalloc, LevelDB's
 * arena design and std::pmr::monotonic_buffer_resource, and what of the project's goals it meets.
 *
 *   for each workload that a chosen row needs
 *     for each repetition
 *       for each contestant: a process of its own     (in turn, so that a disturbance hits all)
 *   then the table
 */
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <concordkv/kv_version.h>

#include "bench.h"

#define RUNS_DEFAULT 7
#define RUNS_MAX 101
#define ROWS_MAX 64
#define METRICS_MAX 8
#define QUICK_SHRINK 50

typedef struct options {
    const char *rows; /* NULL: all */
    size_t runs;
    size_t shrink;
    table_format_t format;
    bool huge_peers;
    bool verbose;
} options_t;

/* The values of one metric of one workload: of[contestant][run]. */
typedef struct metric {
    char name[64];
    size_t counts[CONTESTANT_COUNT];
    double values[CONTESTANT_COUNT][RUNS_MAX];
} metric_t;

typedef struct samples {
    metric_t metrics[METRICS_MAX];
    size_t count;
    contestant_id_t contestant; /* who is being measured */
} samples_t;

static void take_sample(const char *name, double value, void *context)
{
    samples_t *samples = context;
    metric_t *metric = NULL;
    for (size_t i = 0; i < samples->count && metric == NULL; i++) {
        metric = strcmp(samples->metrics[i].name, name) == 0 ? &samples->metrics[i] : NULL;
    }
    if (metric == NULL && samples->count < METRICS_MAX) {
        metric = &samples->metrics[samples->count++];
        snprintf(metric->name, sizeof(metric->name), "%s", name);
    }
    if (metric != NULL && metric->counts[samples->contestant] < RUNS_MAX) {
        metric->values[samples->contestant][metric->counts[samples->contestant]++] = value;
    }
}

static int compare_doubles(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

static summary_t summarise(double *values, size_t count)
{
    if (count == 0) {
        return (summary_t){.runs = 0};
    }
    qsort(values, count, sizeof(*values), compare_doubles);
    const double middle = (values[(count - 1) / 2] + values[count / 2]) / 2.0;
    return (summary_t){.runs = count, .min = values[0], .median = middle, .max = values[count - 1]};
}

/* ---- which rows ---- */

/* Whether the comma-separated list names the row, in full or by its beginning. */
static bool row_chosen(const row_t *row, const char *list)
{
    if (list == NULL) {
        return true;
    }
    for (const char *at = list; *at != '\0';) {
        const size_t length = strcspn(at, ",");
        if (length > 0 && strncmp(row->id, at, length) == 0) {
            return true;
        }
        at += length + (at[length] == ',' ? 1 : 0);
    }
    return false;
}

static size_t choose_rows(const char *list, result_t *results)
{
    const row_t *row = NULL;
    size_t count = 0;
    for (size_t i = 0; (row = row_at(i)) != NULL && count < ROWS_MAX; i++) {
        if (row_chosen(row, list)) {
            results[count++].row = row;
        }
    }
    return count;
}

/* The contestants of a workload that some chosen row shows. */
static unsigned needed_contestants(const workload_t *workload, const result_t *results,
                                   size_t count)
{
    unsigned needed = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(results[i].row->workload, workload->name) == 0) {
            needed |= results[i].row->peers | 1U << results[i].row->ours;
        }
    }
    return needed & workload->contestants;
}

/* ---- measuring ---- */

static void measure_workload(const char *program, const workload_t *workload, unsigned needed,
                             const options_t *options, samples_t *samples)
{
    unsigned absent = 0;
    for (size_t run = 0; run < options->runs; run++) {
        for (size_t id = 0; id < CONTESTANT_COUNT; id++) {
            if ((needed >> id & 1U) == 0 || (absent >> id & 1U) != 0) {
                continue;
            }
            samples->contestant = (contestant_id_t)id;
            if (!measure_contestant(program, workload, (contestant_id_t)id, options->shrink,
                                    take_sample, samples)) {
                absent |= 1U << id;
            }
        }
        if (options->verbose) {
            fprintf(stderr, "%s: run %zu of %zu\n", workload->name, run + 1, options->runs);
        }
    }
}

static void fill_results(const workload_t *workload, samples_t *samples, result_t *results,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(results[i].row->workload, workload->name) != 0) {
            continue;
        }
        for (size_t m = 0; m < samples->count; m++) {
            if (strcmp(samples->metrics[m].name, results[i].row->metric) != 0) {
                continue;
            }
            for (size_t id = 0; id < CONTESTANT_COUNT; id++) {
                results[i].of[id] =
                    summarise(samples->metrics[m].values[id], samples->metrics[m].counts[id]);
            }
        }
    }
}

/* By the environment, which the measuring processes inherit. tcmalloc-minimal has no such switch.
 */
static void allow_huge_peers(void)
{
    setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 1);
    setenv("MALLOC_CONF", "thp:always", 1);
    setenv("MIMALLOC_LARGE_OS_PAGES", "1", 1);
}

static int run_benchmark(const char *program, const options_t *options)
{
    static result_t results[ROWS_MAX];
    const size_t count = choose_rows(options->rows, results);
    const workload_t *workload = NULL;
    if (count == 0) {
        fprintf(stderr, "bench_memory: no row begins with \"%s\"; see --list\n", options->rows);
        return 1;
    }
    samples_t *samples = malloc(sizeof(*samples));
    if (samples == NULL) {
        fprintf(stderr, "bench_memory: out of memory\n");
        return 1;
    }
    if (options->huge_peers) {
        allow_huge_peers();
    }
    print_header(options->format, options->runs, options->shrink);
    fflush(stdout);
    for (size_t i = 0; (workload = workload_at(i)) != NULL; i++) {
        const unsigned needed = needed_contestants(workload, results, count);
        if (needed != 0) {
            memset(samples, 0, sizeof(*samples));
            measure_workload(program, workload, needed, options, samples);
            fill_results(workload, samples, results, count);
        }
    }
    print_results(options->format, results, count);
    free(samples);
    return 0;
}

/* ---- the measuring process ---- */

void report_metric(const char *name, double value)
{
    printf("%s %.9g\n", name, value);
}

/* The last processor: interrupts and other programs tend to sit on the first. A hint. */
static void pin_process(void)
{
    cpu_set_t allowed;
    cpu_set_t one;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return;
    }
    for (size_t i = CPU_SETSIZE; i > 0; i--) {
        if (CPU_ISSET(i - 1, &allowed)) {
            CPU_ZERO(&one);
            CPU_SET(i - 1, &one);
            (void)sched_setaffinity(0, sizeof(one), &one);
            return;
        }
    }
}

static int run_child(char **arguments)
{
    const workload_t *workload = workload_find(arguments[0]);
    const size_t id = strtoul(arguments[1], NULL, 10);
    const size_t shrink = strtoul(arguments[2], NULL, 10);
    if (workload == NULL || id >= CONTESTANT_COUNT || shrink == 0) {
        return 1;
    }
    const contestant_t *contestant = contestant_at(id);
    if (!contestant_loaded(contestant)) {
        return CHILD_ABSENT;
    }
    if (!workload->threaded) {
        pin_process();
    }
    workload->run(contestant->driver, shrink);
    fflush(stdout);
    _exit(0); /* a gigabyte of live objects need not be taken down in order */
}

/* ---- options ---- */

static void print_help(void)
{
    printf("Usage: bench_memory [OPTION]...\n"
           "Measures the memory core beside its peers and says which goals it meets.\n\n"
           "  -r, --rows=LIST   only the rows whose names begin so, separated by commas\n"
           "  -n, --runs=N      repetitions of each measurement, 1 to %d; default %d\n"
           "  -q, --quick       a fiftieth of the operations and one run: shows that it works, not "
           "how fast\n"
           "  -H, --huge-peers  glibc, jemalloc and mimalloc are told to ask for huge pages, as "
           "ours does\n"
           "  -m, --markdown    print a Markdown table\n"
           "  -j, --json        print JSON\n"
           "  -v, --verbose     say on standard error how far it is\n"
           "  -l, --list        print the names of the rows\n"
           "  -h, --help        print this help\n"
           "  -V, --version     print the version\n",
           RUNS_MAX, RUNS_DEFAULT);
}

static void print_list(void)
{
    const row_t *row = NULL;
    for (size_t i = 0; (row = row_at(i)) != NULL; i++) {
        printf("%-24s %s\n", row->id, row->work);
    }
}

static size_t parse_runs(const char *text)
{
    char *end = NULL;
    const unsigned long runs = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || runs < 1 || runs > RUNS_MAX) {
        fprintf(stderr, "bench_memory: --runs takes a number from 1 to %d, not \"%s\"\n", RUNS_MAX,
                text);
        exit(1);
    }
    return runs;
}

static options_t parse_options(int argc, char **argv)
{
    static const struct option known[] = {{"rows", required_argument, NULL, 'r'},
                                          {"runs", required_argument, NULL, 'n'},
                                          {"quick", no_argument, NULL, 'q'},
                                          {"huge-peers", no_argument, NULL, 'H'},
                                          {"markdown", no_argument, NULL, 'm'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {"list", no_argument, NULL, 'l'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {NULL, 0, NULL, 0}};
    options_t options = {.runs = 0, .shrink = 1};
    int option = 0;
    while ((option = getopt_long(argc, argv, "r:n:qHmjvlhV", known, NULL)) != -1) {
        switch (option) {
        case 'r':
            options.rows = optarg;
            break;
        case 'n':
            options.runs = parse_runs(optarg);
            break;
        case 'q':
            options.shrink = QUICK_SHRINK;
            break;
        case 'H':
            options.huge_peers = true;
            break;
        case 'm':
            options.format = TABLE_MARKDOWN;
            break;
        case 'j':
            options.format = TABLE_JSON;
            break;
        case 'v':
            options.verbose = true;
            break;
        case 'l':
            print_list();
            exit(0);
        case 'h':
            print_help();
            exit(0);
        case 'V':
            printf("bench_memory %s\n", KV_VERSION_STRING);
            exit(0);
        default:
            exit(1);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "bench_memory: unexpected argument \"%s\"\n", argv[optind]);
        exit(1);
    }
    if (options.runs == 0) {
        options.runs = options.shrink > 1 ? 1 : RUNS_DEFAULT;
    }
    return options;
}

int main(int argc, char **argv)
{
    char program[4096];
    if (argc == 5 && strcmp(argv[1], "--child") == 0) {
        return run_child(argv + 2);
    }
    const options_t options = parse_options(argc, argv);
    const ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length <= 0) {
        fprintf(stderr, "bench_memory: cannot find its own program in /proc/self/exe\n");
        return 1;
    }
    program[length] = '\0';
    return run_benchmark(program, &options);
}
