/* SPDX-License-Identifier: MIT */
/*
 * bench_directory: how long a directory takes to come back, from its log and from a snapshot, and
 * what a snapshot costs while writes go on.
 *
 *   bench_directory [ENTRIES [DIRECTORY]]     default 5000000, in a new directory under /tmp
 *
 * Keys of 16 bytes and values of 64; the log is synced every second. The directory must not exist;
 * it is removed at the end.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "bench_build.h"
#include "log/directory.h"
#include "log/snapshot.h"
#include "os/os.h"

#define TURN 64U /* writes of a turn, as of 4 clients with 16 requests each */
#define VALUE_BYTES ((size_t)64)
#define BASE_TURNS 20000U

typedef struct bench {
    const char *path;
    uint32_t entries;
    kvi_directory_t *directory;
    kvi_recovery_report_t report;
    kvi_random_t random;
    char value[VALUE_BYTES];
} bench_t;

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/* Of this thread: what a step takes even if others want the processor. */
static uint64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void require(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "bench_directory: %s: %s\n", what, kvi_files_reason());
        exit(1);
    }
}

static void open_directory(bench_t *bench)
{
    const kvi_directory_options_t options = {
        .path = bench->path, .owner = "bench_directory", .snapshot_log_bytes = UINT64_MAX};
    const kv_status_t status = kvi_directory_open(&options, &bench->directory, &bench->report);
    require(status == KV_OK, bench->report.reason);
}

static void close_directory(bench_t *bench)
{
    require(kvi_directory_close(bench->directory) == KV_OK, "closing");
    bench->directory = NULL;
}

static void put(bench_t *bench, uint32_t number)
{
    char key[32];
    (void)snprintf(key, sizeof(key), "key:%012u", number);
    memcpy(bench->value, key, 16);
    const kvi_op_t op = {.kind = KVI_OP_PUT,
                         .key = {key, 16},
                         .value = {bench->value, VALUE_BYTES},
                         .deadline_ms = KVI_NO_DEADLINE};
    kvi_commit_t *const commit = kvi_directory_commit(bench->directory);
    kvi_op_result_t result;
    kvi_commit_submit(commit, &op, kvi_os_wall_ms(), &result);
    while (result.status == KV_BUSY) {
        (void)commit->ops->flush(commit);
        kvi_commit_submit(commit, &op, kvi_os_wall_ms(), &result);
    }
    require(result.status == KV_OK, "put");
}

/* A turn of random overwrites; returns its time without the directory's part. */
static uint64_t run_turn(bench_t *bench)
{
    const uint64_t begun = kvi_os_monotonic_ns();
    for (unsigned i = 0; i < TURN; i++) {
        put(bench, kvi_random_below(&bench->random, bench->entries));
    }
    kvi_commit_t *const commit = kvi_directory_commit(bench->directory);
    (void)commit->ops->end_turn(commit);
    return kvi_os_monotonic_ns() - begun;
}

static void fill(bench_t *bench)
{
    const uint64_t begun = kvi_os_monotonic_ns();
    for (uint32_t i = 0; i < bench->entries; i++) {
        put(bench, i);
        if (i % TURN == TURN - 1 || i + 1 == bench->entries) {
            kvi_commit_t *const commit = kvi_directory_commit(bench->directory);
            (void)commit->ops->end_turn(commit);
        }
    }
    const uint64_t spent = kvi_os_monotonic_ns() - begun;
    printf("fill: %.2f s, %.0f thousand/s\n", seconds(spent),
           bench->entries / seconds(spent) / 1e3);
}

static void reload(bench_t *bench, const char *from)
{
    close_directory(bench);
    const clock_t before = clock();
    open_directory(bench);
    const double cpu = (double)(clock() - before) / CLOCKS_PER_SEC;
    const double spent = seconds(bench->report.nanoseconds);
    printf("reload from the %s: %.2f s (%.2f s of CPU), %.0f thousand/s, %.0f ns an entry; %" PRIu64
           " bytes of snapshot, %" PRIu64 " of log\n",
           from, spent, cpu, bench->entries / spent / 1e3, spent * 1e9 / bench->entries,
           bench->report.snapshot_bytes, bench->report.wal.bytes);
    require(kvi_keyspace_count(kvi_db_keyspace(kvi_directory_db(bench->directory), 0)) ==
                bench->entries,
            "entries are missing");
}

static void save_under_load(bench_t *bench)
{
    uint64_t base_ns = 0;
    for (unsigned i = 0; i < BASE_TURNS; i++) {
        base_ns += run_turn(bench);
    }
    uint64_t turns = 0;
    uint64_t work_ns = 0;
    uint64_t longest_ns = 0;
    uint64_t longest_cpu_ns = 0;
    const uint64_t begun = kvi_os_monotonic_ns();
    require(kvi_directory_snapshot(bench->directory) == KV_OK, "beginning a snapshot");
    const uint64_t begin_ns = kvi_os_monotonic_ns() - begun;
    kvi_directory_state_t state;
    do {
        work_ns += run_turn(bench);
        const uint64_t before = kvi_os_monotonic_ns();
        const uint64_t cpu_before = cpu_ns();
        (void)kvi_directory_turn(bench->directory, KVI_DIRECTORY_TURN_NS);
        const uint64_t step = kvi_os_monotonic_ns() - before;
        const uint64_t cpu = cpu_ns() - cpu_before;
        longest_ns = step > longest_ns ? step : longest_ns;
        longest_cpu_ns = cpu > longest_cpu_ns ? cpu : longest_cpu_ns;
        turns++;
        kvi_directory_state(bench->directory, &state);
    } while (state.running);
    const double spent = seconds(kvi_os_monotonic_ns() - begun);
    require(state.last_status == KV_OK, state.last_reason);
    printf("snapshot under load: %.2f s, %" PRIu64 " entries, %" PRIu64
           " bytes; begin %.1f us, longest step %.1f us (%.1f us of CPU)\n",
           spent, state.last_entries, state.last_bytes, (double)begin_ns / 1e3,
           (double)longest_ns / 1e3, (double)longest_cpu_ns / 1e3);
    printf("  writes: %.0f thousand/s meanwhile, %.0f before; %.2f times the time each\n",
           (double)turns * TURN / spent / 1e3, (double)BASE_TURNS * TURN / seconds(base_ns) / 1e3,
           ((double)work_ns / (double)turns) / ((double)base_ns / BASE_TURNS));
    printf("  extra memory: %.1f MiB at most\n", (double)state.last_memory_bytes / 1048576);
}

static void save_alone(bench_t *bench)
{
    const uint64_t begun = kvi_os_monotonic_ns();
    require(kvi_directory_save(bench->directory) == KV_OK, "saving");
    const double spent = seconds(kvi_os_monotonic_ns() - begun);
    printf("save alone: %.2f s, %.0f thousand/s\n", spent, bench->entries / spent / 1e3);
}

static void remove_directory(const char *path)
{
    DIR *const folder = opendir(path);
    for (struct dirent *entry = folder != NULL ? readdir(folder) : NULL; entry != NULL;
         entry = readdir(folder)) {
        char name[4096];
        (void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        (void)unlink(name);
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    (void)rmdir(path);
}

int main(int argc, char **argv)
{
    char made[] = "/tmp/bench_directory_XXXXXX";
    bench_t bench = {.entries = 5000000, .random = {1}};
    if (argc > 1) {
        bench.entries = (uint32_t)strtoul(argv[1], NULL, 10);
    }
    bench.path = argc > 2 ? argv[2] : mkdtemp(made);
    if (bench.entries < 1000 || bench.path == NULL) {
        fprintf(stderr, "usage: bench_directory [ENTRIES [DIRECTORY]], 1000 entries at least\n");
        return 1;
    }
    printf("bench_directory: commit %s, %s\n", BENCH_COMMIT, BENCH_FLAGS);
    printf("%u entries, 16 + %zu bytes, turns of %u\n", bench.entries, VALUE_BYTES, TURN);
    open_directory(&bench);
    fill(&bench);
    reload(&bench, "log");
    save_alone(&bench);
    reload(&bench, "snapshot");
    save_under_load(&bench);
    reload(&bench, "snapshot and log");
    close_directory(&bench);
    remove_directory(bench.path);
    return 0;
}
