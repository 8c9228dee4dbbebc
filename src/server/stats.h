/* SPDX-License-Identifier: MIT */
/*
 * What the server counts: plain numbers, written by the executor alone. CONFIG RESETSTAT sets them
 * to zero.
 */
#ifndef KVI_SERVER_STATS_H
#define KVI_SERVER_STATS_H

#include <stddef.h>
#include <stdint.h>

#define KVI_STATS_ERRORS 32
#define KVI_STATS_ERROR_BYTES 32
#define KVI_STATS_SAMPLES 16

/* One row per command. The time of one call in KVI_STATS_TIMED is taken, since a clock costs as
 * much as a command. */
#define KVI_STATS_TIMED 64
typedef struct kvi_command_stats {
    uint64_t calls;
    uint64_t failed;   /* answered with an error by the command itself */
    uint64_t rejected; /* refused by the dispatcher */
    uint64_t timed_calls;
    uint64_t timed_ns;
} kvi_command_stats_t;

/* Errors by their first word ("ERR", "WRONGTYPE"). */
typedef struct kvi_error_stats {
    char code[KVI_STATS_ERROR_BYTES];
    uint64_t count;
} kvi_error_stats_t;

/* A rate over the last KVI_STATS_SAMPLES ticks of housekeeping. */
typedef struct kvi_rate {
    uint64_t per_second[KVI_STATS_SAMPLES];
    uint64_t last_count;
    size_t next;
} kvi_rate_t;

typedef struct kvi_stats {
    uint64_t connections;
    uint64_t connections_rejected;
    uint64_t commands;
    uint64_t keyspace_hits; /* of reading commands */
    uint64_t keyspace_misses;
    uint64_t expired_before; /* late keys removed before the counters were set to zero */
    uint64_t evicted_before;
    uint64_t input_bytes;
    uint64_t output_bytes;
    uint64_t reads; /* turns of a connection that brought bytes */
    uint64_t writes;
    uint64_t error_replies;
    uint64_t protocol_errors;
    uint64_t output_limit_closes;
    uint64_t turns;
    size_t error_kinds;
    kvi_error_stats_t errors[KVI_STATS_ERRORS];
    kvi_rate_t command_rate;
    kvi_rate_t input_rate;
    kvi_rate_t output_rate;
} kvi_stats_t;

/* Counts an error reply, text beginning behind its '-'. Kinds beyond KVI_STATS_ERRORS count only in
 * the total. */
void kvi_stats_error(kvi_stats_t *stats, const char *text, size_t size);
/* Everything to zero but the rates' bases. */
void kvi_stats_reset(kvi_stats_t *stats);
/* A tick of housekeeping: `elapsed_ms` since the one before. */
void kvi_stats_tick(kvi_stats_t *stats, uint64_t elapsed_ms);
uint64_t kvi_rate_per_second(const kvi_rate_t *rate);

#endif
