/* SPDX-License-Identifier: MIT */
/*
 * What the files of the loop share: loop.c (listener, signals), connection.c (buffers and sockets),
 * executor.c (turns) and housekeeping.c.
 *
 * A turn is one round of libuv's loop:
 *
 *   poll    read callbacks put bytes into the turn's input, write callbacks free buffers; both only
 *           mark a connection ready
 *   check   the executor parses every ready connection, runs commands in groups, writes each
 *           connection's replies once
 *           and has the turn's changes logged; connections whose replies have to wait for the disk
 *           are held until the log's thread wakes the loop
 *   close   connections that the executor gave up are freed
 *
 *   turn input   [ A's bytes ][ B's bytes ][ C's ...       free             ]
 *                                                   ^ input_used
 *   packed, so that fifty small requests stay within few cache lines
 *
 * What is left of an unfinished request when the turn ends moves to the connection's own buffer, so
 * idle connections hold none. Replies are written into one of a few spare buffers that the next
 * connection uses again.
 *
 * Invariants: 1. only the executor closes a connection (everybody else marks it killed and
 * ready); 2. a connection stands at most once in the ready list; 3. its bytes are either in the
 * turn's input or in its own buffer, never in both; 4. at the end of a turn no connection refers to
 * the turn's input; 5. a held connection's replies are not written, and it is not parsed further;
 * 6. held connections stand in the order of the LSNs they wait for.
 */
#ifndef KVI_SERVER_LOOP_INT_H
#define KVI_SERVER_LOOP_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "resp/parser.h"
#include "server/loader.h"
#include "server/loop.h"

#define KVI_TURN_INPUT_BYTES ((size_t)1 << 20)
/* What one connection may bring into a turn: bounds the time others wait for it. */
#define KVI_TURN_CONNECTION_BYTES ((size_t)64 << 10)
#define KVI_TURN_GROUP 16
#define KVI_SPARE_REPLIES 32
#define KVI_SPARE_REPLY_BYTES ((size_t)16 << 10)
#define KVI_SPARE_REPLY_BYTES_MAX ((size_t)256 << 10)
/* An argument list longer than this is not kept for the next command. */
#define KVI_SPARE_ARGUMENTS_MAX ((size_t)1024)

typedef struct kvi_connection kvi_connection_t;

struct kvi_connection {
    kvi_client_t client;
    kvi_loop_t *loop;
    uv_tcp_t tcp;
    uv_write_t write;
    kvi_connection_t *next_ready;
    kvi_connection_t *next_held;
    kvi_connection_t *previous_held;
    uint64_t wait_lsn; /* what its replies wait for; 0: it is not held */
    kvi_parser_t parser;
    char *input; /* bytes to be parsed: own buffer, or within the turn's input */
    size_t input_size;
    size_t input_capacity; /* of the own buffer; 0: input is in the turn's */
    size_t input_used;     /* parsed in this turn */
    size_t turn_bytes;     /* read in this turn */
    kvi_reply_t sending;   /* handed to libuv because the socket was full */
    size_t sent;           /* of sending */
    bool ready;            /* in the list */
    bool writing;          /* sending is with libuv */
    bool reading;
    bool blocked; /* too much output waits, so requests that have arrived do too; nothing is read
                     meanwhile */
    bool stalled; /* its next request is a write, and the log takes none at the moment */
    bool ended;   /* the peer will send nothing more */
};

typedef struct kvi_slot {
    kvi_connection_t *connection;
    const kvi_command_t *command; /* NULL: unknown */
    size_t begin;                 /* of its bytes in the connection's input */
    kv_slice_t *argv;
    size_t argc;
    size_t argv_capacity;
    char *inline_copy;
    size_t inline_capacity;
    uint64_t aim; /* of the key in argument 1, or 0 */
} kvi_slot_t;

typedef struct kvi_ready_list {
    kvi_connection_t *first;
    kvi_connection_t *last;
} kvi_ready_list_t;

typedef struct kvi_held_list {
    kvi_connection_t *first;
    kvi_connection_t *last;
} kvi_held_list_t;

/* Where the moving together of a keyspace's entries stands. */
typedef struct kvi_relocation {
    bool active;
    size_t slack_bytes;   /* as last seen */
    size_t settled_bytes; /* slack that the last pass left */
} kvi_relocation_t;

struct kvi_loop {
    uv_loop_t uv;
    uv_tcp_t listener;
    uv_check_t check;
    uv_idle_t idle;  /* active while the ready list must not wait for the next event */
    uv_async_t wake; /* sent by the threads of log and snapshot */
    uv_timer_t timer;
    uv_signal_t terminate;
    uv_signal_t interrupt;
    kvi_server_t *server;
    kvi_ready_list_t ready;
    kvi_held_list_t held;
    bool defers;          /* replies of this turn are written at its end, when their LSN is known */
    size_t stalled;       /* connections */
    kvi_loader_t *loader; /* while data are being read in */
    kvi_loop_events_t events;
    char failure[KVI_LOOP_MESSAGE_BYTES]; /* why the loop ended by itself; "" */
    char *input;
    size_t input_used;
    kvi_slot_t slots[KVI_TURN_GROUP];
    size_t slots_used;
    char last_name[16]; /* the last command's, as it came */
    size_t last_name_size;
    const kvi_command_t *last_command;
    kvi_connection_t *unflushed; /* first of the turn whose replies have not been written */
    kvi_reply_t spare_replies[KVI_SPARE_REPLIES];
    size_t spare_reply_count;
    kvi_relocation_t *relocations; /* one a keyspace */
    size_t relocation_count;
    int64_t now_ms;
    uint64_t last_tick_ns;
    uint64_t ticks;
    bool accept_waits; /* for memory: housekeeping tries again */
    bool open;         /* uv's loop has been initialised */
};

/* connection.c */
void kvi_connection_accept(kvi_loop_t *loop);
void kvi_connection_mark_ready(kvi_connection_t *connection);
/* Bytes that wait to be sent. */
size_t kvi_connection_backlog(const kvi_connection_t *connection);
/* Before the first command of a turn: a buffer for its replies. */
void kvi_connection_take_reply(kvi_connection_t *connection);
/* Its replies wait for this LSN. */
void kvi_connection_hold(kvi_connection_t *connection, uint64_t lsn);
/* Held no more: writes the replies, and has what came meanwhile parsed. */
void kvi_connection_release(kvi_connection_t *connection);
/* After the last command of a turn: writes the replies, keeps the rest of the input, closes what is
 * to be closed. */
void kvi_connection_finish_turn(kvi_connection_t *connection);
/* Begins to close every connection: the end of the loop. */
void kvi_connection_close_all(kvi_loop_t *loop);

/* executor.c */
void kvi_loop_turn(kvi_loop_t *loop);
/* The next turn comes without waiting for an event. */
void kvi_loop_turn_soon(kvi_loop_t *loop);
/* Marks connections that commands or housekeeping killed. */
void kvi_loop_collect_killed(kvi_loop_t *loop);

/* durability.c */
/* Gives a running snapshot its share; true: it has more to do. */
bool kvi_loop_step_snapshot(kvi_loop_t *loop, uint64_t budget_ns);
/* Releases connections whose LSN is durable, or ends them when it never will be. */
void kvi_loop_release_held(kvi_loop_t *loop);
/* uv_async_send for the threads of log and snapshot; context is the loop. */
void kvi_loop_wake(void *context);
/* At the end: makes everything durable and answers who waits for it. */
void kvi_loop_flush(kvi_loop_t *loop);

/* housekeeping.c */
void kvi_housekeeping_start(kvi_loop_t *loop);

#endif
