/* SPDX-License-Identifier: MIT */
/* What a run is measured with: the clock, a histogram of latencies, and the processor time of the
 * server's process. */
#ifndef LOAD_GAUGES_H
#define LOAD_GAUGES_H

#include <stdint.h>

uint64_t gauge_now_ns(void);

/* 64 steps for every power of two: at most 1.6 % off. */
#define HISTOGRAM_SLOTS (64 * 40)
typedef struct histogram {
    uint64_t counts[HISTOGRAM_SLOTS];
    uint64_t max_ns;
} histogram_t;

void histogram_add(histogram_t *histogram, uint64_t ns);
/* Microseconds that the given share of the latencies stays below; 0 of an empty histogram. */
double histogram_share_us(const histogram_t *histogram, double share);

/* Nanoseconds of processor time since a process began. */
typedef struct process_time {
    uint64_t
        scheduled; /* the sum over its threads of field 1 of /proc/PID/task/N/schedstat: exact */
    uint64_t user; /* of /proc/PID/stat, in ticks of 10 ms: for cross-checking */
    uint64_t system;
} process_time_t;

/* All zero for pid 0 or a process that is not there. */
process_time_t process_time_read(int pid);
/* The same of this process, from getrusage. */
uint64_t own_time_ns(void);

#endif
