/* SPDX-License-Identifier: MIT */
/* The parts of measure.h that need the system. Thread rule: any thread. */
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *bench_reserve(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) {
        fprintf(stderr, "bench_memory: the system has no %zu bytes\n", bytes);
        exit(1);
    }
    /* A hint; without huge pages the table is only slower, for all contestants alike. */
    (void)madvise(pages, bytes, MADV_HUGEPAGE);
    return pages;
}

void *bench_table(size_t bytes)
{
    void *table = bench_reserve(bytes);
    memset(table, 1, bytes); /* zeros would do, but a clever system may share zero pages */
    memset(table, 0, bytes);
    return table;
}

void bench_warm_host(size_t bytes)
{
    void *pages = bench_reserve(bytes);
    memset(pages, 1, bytes);
    munmap(pages, bytes);
}

size_t bench_resident_bytes(void)
{
    size_t total = 0;
    size_t resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        if (fscanf(file, "%zu %zu", &total, &resident) != 2) {
            resident = 0;
        }
        fclose(file);
    }
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

size_t bench_system_free_bytes(void)
{
    char line[128];
    size_t kilobytes = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    if (file != NULL) {
        while (fgets(line, sizeof(line), file) != NULL) {
            if (sscanf(line, "MemFree: %zu", &kilobytes) == 1) {
                break;
            }
        }
        fclose(file);
    }
    return kilobytes * 1024;
}

static int compare_doubles(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

double bench_median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return count == 0 ? 0.0 : values[count / 2];
}
