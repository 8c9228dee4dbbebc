/* SPDX-License-Identifier: MIT */
/* The clock, the histogram and /proc. Thread rule: one user. */
#include "gauges.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t gauge_now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

/*
 * Slot of a value: below 64 the value itself; else 64 slots for each power of two, chosen by the
 * six bits after the highest one.
 */
static unsigned slot_of(uint64_t ns)
{
    if (ns < 64) {
        return (unsigned)ns;
    }
    const unsigned high = 63U - (unsigned)__builtin_clzll(ns);
    const unsigned slot = (high - 5U) * 64U + (unsigned)(ns >> (high - 6U) & 63U);
    return slot < HISTOGRAM_SLOTS ? slot : HISTOGRAM_SLOTS - 1;
}

static double value_of(unsigned slot)
{
    if (slot < 64) {
        return (double)slot;
    }
    return (double)((uint64_t)(64U + slot % 64U) << (slot / 64U - 1U));
}

void histogram_add(histogram_t *histogram, uint64_t ns)
{
    histogram->counts[slot_of(ns)]++;
    if (ns > histogram->max_ns) {
        histogram->max_ns = ns;
    }
}

double histogram_share_us(const histogram_t *histogram, double share)
{
    uint64_t total = 0;
    uint64_t below = 0;
    for (unsigned slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        total += histogram->counts[slot];
    }
    const uint64_t wanted = (uint64_t)((double)total * share);
    for (unsigned slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        below += histogram->counts[slot];
        if (below > wanted) {
            return value_of(slot) / 1000.0;
        }
    }
    return 0.0;
}

static uint64_t read_scheduled(int pid)
{
    char path[320];
    uint64_t sum = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    if (threads == NULL) {
        return 0;
    }
    const struct dirent *thread = NULL;
    while ((thread = readdir(threads)) != NULL) {
        unsigned long long on_processor = 0;
        snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, thread->d_name);
        FILE *file = thread->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (file != NULL) {
            if (fscanf(file, "%llu", &on_processor) == 1) {
                sum += on_processor;
            }
            fclose(file);
        }
    }
    closedir(threads);
    return sum;
}

/* Fields 14 and 15 of /proc/PID/stat; the name before them may hold blanks, but ends at the last
 * parenthesis. */
static void read_ticks(int pid, process_time_t *time)
{
    char path[64];
    char text[2048];
    unsigned long user = 0;
    unsigned long system = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return;
    }
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    const char *fields = strrchr(text, ')');
    const uint64_t tick_ns = 1000000000U / (uint64_t)sysconf(_SC_CLK_TCK);
    if (fields != NULL && sscanf(fields + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                                 &user, &system) == 2) {
        time->user = user * tick_ns;
        time->system = system * tick_ns;
    }
}

process_time_t process_time_read(int pid)
{
    process_time_t time = {0, 0, 0};
    if (pid > 0) {
        time.scheduled = read_scheduled(pid);
        read_ticks(pid, &time);
    }
    return time;
}

static uint64_t timeval_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_usec * 1000U;
}

uint64_t own_time_ns(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return 0;
    }
    return timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
}
