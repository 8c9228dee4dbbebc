/* SPDX-License-Identifier: MIT */
/*
 * kvload: a cheap, verifying, closed-loop load generator.
 *
 * One thread, many non-blocking connections on one epoll, a batch of requests in flight on each:
 *
 *   connection ──► [request][request]...[request] ──► one write()
 *              ◄── [reply][reply]...[reply]       ◄── a read() for each readiness
 *
 * The next batch of a connection goes out only when every reply of the one before it has arrived
 * and has been checked, as redis-benchmark -P does. Any wrong reply ends the run.
 */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gauges.h"
#include "protocol.h"

typedef enum load_mode {
    LOAD_GET,
    LOAD_SET,
    LOAD_MIX,  /* options.get_percent GETs, the rest SETs */
    LOAD_FILL, /* SET of every key once, in order */
    LOAD_DEL   /* DEL of a random options.del_percent of the keys, in order */
} load_mode_t;

typedef struct load_options {
    const char *host;
    int port;
    const char *path; /* a Unix socket instead; NULL: TCP */
    const char *protocol;
    const char *mode_name;
    load_mode_t mode;
    const char *label;
    size_t connections;
    size_t pipeline;
    size_t value_bytes;
    uint64_t keys;
    uint64_t requests; /* stop after so many; 0: after seconds */
    double seconds;
    double warm_up_seconds;
    double del_percent;
    unsigned get_percent;
    uint64_t seed;
    int server_pid; /* 0: no processor time */
    bool spin;      /* poll instead of sleeping */
    bool no_misses; /* a miss is a failure */
} load_options_t;

typedef struct connection {
    int descriptor;
    bool wants_write;
    size_t batch;    /* requests in flight */
    size_t received; /* their replies */
    expected_t *expected;
    char *out;
    size_t out_length;
    size_t out_sent;
    char *in;
    size_t in_length;
    size_t in_size;
    uint64_t batch_start_ns;
} connection_t;

typedef struct load {
    load_options_t options;
    protocol_t protocol;
    connection_t *connections;
    int poll;
    size_t active; /* connections with requests in flight */
    uint64_t random;
    uint64_t next_key; /* of LOAD_FILL and LOAD_DEL */
    uint64_t replies;
    uint64_t misses;
    bool recording; /* latencies count */
    bool draining;  /* no new batches */
    histogram_t latencies;
} load_t;

/* What the measured window was. */
typedef struct load_figures {
    uint64_t replies;
    uint64_t misses;
    double seconds;
    process_time_t server; /* used in the window */
    uint64_t own_ns;
} load_figures_t;

/* Connects. Ends the program with a message if that fails. */
void load_open(load_t *load, const load_options_t *options);
/* Warms up, measures, prints nothing. */
load_figures_t load_run(load_t *load);
/* Reads what is still due, so that no connection is reset with replies under way, and frees
 * everything. */
void load_close(load_t *load);

/* Prints "kvload: message" and bytes, if any, and ends the program with code 2. */
__attribute__((noreturn)) void load_fail(const char *message, const char *bytes, size_t count);

#endif
