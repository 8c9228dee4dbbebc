/* SPDX-License-Identifier: MIT */
/*
 * The log alone: commands of 100 bytes handed to the log in batches and waited for, beside what the
 * disk does when it is asked for nothing but the same writes. No database is behind it.
 *
 *   bench_log [--directory PATH] [--repeat N]
 */
#include "bench_build.h"
#include "memory/build_facts.h"
#include "memory/measure.h"

#include "log/wal.h"
#include "os/os.h"

#include <concordkv/kv_memory.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPEATS_MAX = 101, VALUE_BYTES = 80, FLIGHT_MAX = 256, WRITES = 1000 };

/* One line of the table. */
typedef struct work {
    const char *name;
    unsigned batch;   /* commands */
    unsigned flight;  /* batches that wait at once */
    unsigned batches; /* in all */
    kvi_sync_t sync;
    double goal; /* commands a second; 0: none */
} work_t;

static const work_t works[] = {
    {"always, 1 command, 1 in flight", 1, 1, 2000, KVI_SYNC_ALWAYS, 0},
    {"always, 1 command, 256 in flight", 1, 256, 200000, KVI_SYNC_ALWAYS, 0},
    {"always, batches of 64, 1 in flight", 64, 1, 2000, KVI_SYNC_ALWAYS, 300e3},
    {"always, batches of 64, 16 in flight", 64, 16, 20000, KVI_SYNC_ALWAYS, 2e6},
    {"everysec, batches of 64", 64, 0, 40000, KVI_SYNC_EVERYSEC, 0},
};
enum { WORKS = sizeof works / sizeof *works };

typedef struct figures {
    double rate[REPEATS_MAX];      /* commands a second */
    double cpu_ns[REPEATS_MAX];    /* of all threads, a command */
    double median_us[REPEATS_MAX]; /* from end_turn to durable */
    double p99_us[REPEATS_MAX];
} figures_t;

typedef struct waiter {
    kvi_os_mutex_t mutex;
    kvi_os_condition_t moved;
} waiter_t;

typedef struct run {
    kvi_commit_t *commit;
    waiter_t waiter;
    uint64_t begun_ns[FLIGHT_MAX]; /* of the batches in flight, by LSN */
    float *waits_us;
    size_t waits;
    uint64_t oldest; /* LSN that is waited for */
    uint64_t removed;
} run_t;

static void die(const char *what)
{
    fprintf(stderr, "bench_log: %s: %s\n", what, kvi_files_reason());
    exit(1);
}

static void note_wake(void *context)
{
    waiter_t *const waiter = context;
    kvi_os_lock(&waiter->mutex);
    kvi_os_wake(&waiter->moved);
    kvi_os_unlock(&waiter->mutex);
}

/* Waits until at most flight batches are not durable. */
static void wait_flight(run_t *run, uint64_t lsn, unsigned flight)
{
    uint64_t durable = run->commit->ops->durable(run->commit);
    if (durable + flight < lsn) {
        kvi_os_lock(&run->waiter.mutex);
        while ((durable = run->commit->ops->durable(run->commit)) + flight < lsn) {
            kvi_os_wait(&run->waiter.moved, &run->waiter.mutex);
        }
        kvi_os_unlock(&run->waiter.mutex);
    }
    const uint64_t now = bench_wall_ns();
    for (; run->oldest <= durable; run->oldest++) {
        run->waits_us[run->waits++] = (float)(now - run->begun_ns[run->oldest % FLIGHT_MAX]) / 1e3F;
    }
}

static void submit(run_t *run, const kvi_op_t *op, unsigned count, int64_t now_ms)
{
    for (unsigned i = 0; i < count; i++) {
        kv_status_t status;
        while ((status = run->commit->ops->reserve(run->commit, kvi_op_encoded_bytes_max(op))) ==
               KV_BUSY) {
            (void)run->commit->ops->end_turn(run->commit);
            (void)run->commit->ops->flush(run->commit);
        }
        if (status != KV_OK) {
            die("reserve");
        }
        run->commit->ops->append(run->commit, op, now_ms, KVI_SYNC_DEFAULT);
    }
}

/* Old segments go as if snapshots were made, so that new ones are recycled. */
static void shorten(run_t *run, uint64_t lsn)
{
    if (lsn > run->removed + 1000) {
        run->removed = lsn;
        kvi_commit_wal_remove_through(run->commit, lsn - 500);
    }
}

static void run_batches(run_t *run, const work_t *work, uint64_t first_lsn)
{
    static char key[16] = "key:000000000000";
    static char value[VALUE_BYTES];
    const kvi_op_t op = {.kind = KVI_OP_PUT,
                         .key = {key, sizeof key},
                         .value = {value, sizeof value},
                         .deadline_ms = KVI_NO_DEADLINE};
    run->oldest = first_lsn;
    for (uint64_t lsn = first_lsn; lsn < first_lsn + work->batches; lsn++) {
        submit(run, &op, work->batch, (int64_t)lsn);
        run->begun_ns[lsn % FLIGHT_MAX] = bench_wall_ns();
        (void)run->commit->ops->end_turn(run->commit);
        shorten(run, lsn);
        if (work->flight > 0) {
            wait_flight(run, lsn, work->flight - 1);
        }
    }
    if (run->commit->ops->flush(run->commit) != KV_OK) {
        die("flush");
    }
}

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a;
    const float y = *(const float *)b;
    return (x > y) - (x < y);
}

static void measure(kvi_files_t *files, const work_t *work, figures_t *figures, int repeat)
{
    run_t run = {.waits = 0};
    kvi_wal_report_t report;
    const kvi_wal_visitor_t nobody = {.batch = NULL};
    if (kvi_wal_read(files, UINT64_MAX / 2, &nobody, &report) != KV_OK) {
        die("read");
    }
    kvi_wal_options_t options = {.files = files,
                                 .sync = work->sync,
                                 .next_sequence = report.next_sequence,
                                 .wake = note_wake,
                                 .wake_context = &run.waiter};
    run.waits_us = malloc((work->batches + 1) * sizeof *run.waits_us);
    if (run.waits_us == NULL || kvi_commit_wal_open(NULL, &options, &run.commit) != KV_OK) {
        die("open");
    }
    (void)run.commit->ops->flush(run.commit);
    /* The spares are made before the clock starts. */
    work_t warm = *work;
    warm.batches = work->flight == 1 ? 100 : 2000;
    run_batches(&run, &warm, 1);
    run.waits = 0;
    const uint64_t begun = bench_wall_ns();
    const uint64_t cpu = bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    run_batches(&run, work, warm.batches + 1);
    const double commands = (double)work->batches * work->batch;
    figures->rate[repeat] = commands / ((double)(bench_wall_ns() - begun) / 1e9);
    figures->cpu_ns[repeat] = (double)(bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / commands;
    if (run.waits > 0) {
        qsort(run.waits_us, run.waits, sizeof *run.waits_us, compare_floats);
        figures->median_us[repeat] = run.waits_us[run.waits / 2];
        figures->p99_us[repeat] = run.waits_us[run.waits * 99 / 100];
    }
    run.commit->ops->close(run.commit);
    free(run.waits_us);
}

/* ---- what the disk does ---- */

typedef struct bound {
    const char *name;
    size_t bytes;
    bool direct;
} bound_t;

static const bound_t bounds[] = {
    {"4 KiB, O_DIRECT|O_DSYNC", 4096, true},
    {"4 KiB, write and fdatasync", 4096, false},
    {"64 KiB, O_DIRECT|O_DSYNC", 65536, true},
};
enum { BOUNDS = sizeof bounds / sizeof *bounds };

static double measure_bound(kvi_files_t *files, const bound_t *bound, unsigned char *block)
{
    kvi_file_t *file = NULL;
    const unsigned flags = KVI_OPEN_WRITE | (bound->direct ? (unsigned)KVI_OPEN_DIRECT : 0U);
    const kv_status_t status = files->ops->open(files, "bound", flags, &file);
    if (status == KV_UNSUPPORTED) {
        return 0;
    }
    if (status != KV_OK) {
        die("bound");
    }
    const uint64_t begun = bench_wall_ns();
    for (uint64_t i = 0; i < WRITES; i++) {
        if (files->ops->write_at(file, i * bound->bytes % (64 << 20), block, bound->bytes) !=
                KV_OK ||
            (!bound->direct && files->ops->sync(file) != KV_OK)) {
            die("bound");
        }
    }
    const double us = (double)(bench_wall_ns() - begun) / 1e3 / WRITES;
    files->ops->close(file);
    return us;
}

static void make_bound_file(kvi_files_t *files, const unsigned char *block)
{
    kvi_file_t *file = NULL;
    if (files->ops->open(files, "bound", KVI_OPEN_WRITE | KVI_OPEN_CREATE, &file) != KV_OK) {
        die("bound");
    }
    for (uint64_t at = 0; at < 64 << 20; at += 65536) {
        if (files->ops->write_at(file, at, block, 65536) != KV_OK) {
            die("bound");
        }
    }
    if (files->ops->sync(file) != KV_OK) {
        die("bound");
    }
    files->ops->close(file);
}

/* ---- the table ---- */

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_spread(double *values, int count, double scale, int digits)
{
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    printf(" %10.*f %10.*f %10.*f", digits, values[0] * scale, digits, values[count / 2] * scale,
           digits, values[count - 1] * scale);
}

static void print_rows(figures_t *figures, int repeats)
{
    printf("\n%-36s %32s %32s %8s %8s %8s\n", "", "thousand commands/s (min/med/max)",
           "CPU us a command (min/med/max)", "p50 us", "p99 us", "of goal");
    for (int w = 0; w < WORKS; w++) {
        figures_t *const row = &figures[w];
        printf("%-36s", works[w].name);
        print_spread(row->rate, repeats, 1e-3, 0);
        print_spread(row->cpu_ns, repeats, 1e-3, 3);
        qsort(row->median_us, (size_t)repeats, sizeof(double), compare_doubles);
        qsort(row->p99_us, (size_t)repeats, sizeof(double), compare_doubles);
        if (works[w].flight > 0) {
            printf(" %8.0f %8.0f", row->median_us[repeats / 2], row->p99_us[repeats / 2]);
        }
        if (works[w].goal > 0) {
            printf(" %7.2fx", row->rate[repeats / 2] / works[w].goal);
        }
        printf("\n");
    }
}

static void remove_name(void *context, const char *name)
{
    kvi_files_t *const files = context;
    (void)files->ops->remove(files, name);
}

static void print_head(const char *directory)
{
    printf("bench_log, commit %s, %s\n%s\n", BENCH_COMMIT, BENCH_COMPILER, BENCH_FLAGS);
    printf("commands of 16 + %d bytes, files in %s\n", VALUE_BYTES, directory);
    if (BENCH_ASSERTS || !BENCH_OPTIMIZED || BENCH_SANITIZED) {
        printf("WARNING: not a release build, the figures mean nothing\n");
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"directory", required_argument, NULL, 'd'},
                                            {"repeat", required_argument, NULL, 'r'},
                                            {NULL, 0, NULL, 0}};
    static figures_t figures[WORKS];
    static double bound_us[BOUNDS][REPEATS_MAX];
    char folder[256];
    const char *directory = ".";
    int repeats = 7;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'd') {
            directory = optarg;
        } else if (option == 'r' && atoi(optarg) > 0 && atoi(optarg) < REPEATS_MAX) {
            repeats = atoi(optarg);
        } else {
            fprintf(stderr, "usage: bench_log [--directory PATH] [--repeat N]\n");
            return 1;
        }
    }
    (void)snprintf(folder, sizeof folder, "%s/bench-log-XXXXXX", directory);
    kvi_files_t *files = NULL;
    if (mkdtemp(folder) == NULL || kvi_files_open(folder, false, &files) != KV_OK) {
        die(folder);
    }
    unsigned char *const block = kv_store_aligned_alloc(KVI_DIRECT_BYTES, 65536);
    if (block == NULL) {
        die("memory");
    }
    memset(block, 'x', 65536);
    print_head(directory);
    make_bound_file(files, block);
    for (int r = 0; r < repeats; r++) {
        for (int b = 0; b < BOUNDS; b++) {
            bound_us[b][r] = measure_bound(files, &bounds[b], block);
        }
        for (int w = 0; w < WORKS; w++) {
            measure(files, &works[w], &figures[w], r);
        }
    }
    printf("\n%-36s %32s\n", "the disk alone", "us a write (min/med/max)");
    for (int b = 0; b < BOUNDS; b++) {
        printf("%-36s", bounds[b].name);
        print_spread(bound_us[b], repeats, 1, 0);
        printf("\n");
    }
    print_rows(figures, repeats);
    kv_store_free(block);
    (void)files->ops->list(files, remove_name, files);
    kvi_files_close(files);
    return rmdir(folder) == 0 ? 0 : 1;
}
