/* SPDX-License-Identifier: MIT */
/*
 * A client as commands see it: who it is, which keyspace it selected, how it wants its replies. The
 * socket behind it is connection.c's affair; a test opens a client without one. Used by the
 * executor's thread alone.
 */
#ifndef KVI_SERVER_CLIENT_H
#define KVI_SERVER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/reply.h"
#include "server/command.h"
#include "server/transaction.h"
#include "server/watch.h"

#define KVI_CLIENT_ADDRESS_BYTES 64
/* The selected keyspace was dropped. */
#define KVI_CLIENT_NO_DATABASE SIZE_MAX

typedef enum kvi_client_reply_mode {
    KVI_REPLY_ON,
    KVI_REPLY_OFF,
    KVI_REPLY_SKIP_NEXT,
    KVI_REPLY_SKIP
} kvi_client_reply_mode_t;

struct kvi_client {
    kvi_server_t *server;
    kvi_client_t *next; /* in the order of their ids */
    kvi_client_t *previous;
    uint64_t id;
    size_t database;   /* number of the selected keyspace */
    kvi_reply_t reply; /* reply.protocol is the client's: 2 or 3 */
    kvi_client_reply_mode_t reply_mode;
    bool no_touch; /* its reads do not count as accesses: pass !no_touch to kvi_keyspace_get */
    bool no_evict;
    bool closing; /* no further request is served; what is written goes out, then the connection
                     ends */
    bool killed;  /* ends at once, whatever waits to be sent */
    bool touched; /* a key that it watches was; see watch.h */
    kvi_transaction_t *transaction; /* between MULTI and EXEC; else NULL */
    kvi_watch_t *watches;
    char *name;                                   /* NUL-terminated, or NULL */
    char address[KVI_CLIENT_ADDRESS_BYTES];       /* "127.0.0.1:50000" */
    char local_address[KVI_CLIENT_ADDRESS_BYTES]; /* "127.0.0.1:6379" */
    int descriptor;
    int64_t created_ms;
    int64_t active_ms;            /* last request */
    const kvi_command_t *command; /* last one */
    uint64_t commands;
    size_t input_bytes;    /* received and not yet dropped, for CLIENT LIST: what runs included */
    size_t input_capacity; /* of its own buffer; 0 while its bytes are in the turn's */
    size_t output_bytes;   /* waiting to be sent */
};

/* Puts a zeroed client into the server's list under a new id. */
void kvi_client_open(kvi_server_t *server, kvi_client_t *client, int64_t now_ms);
/* Frees what it owns and takes it out of the list; the struct stays its owner's. */
void kvi_client_close(kvi_client_t *client);
/* Back to the state after connecting (RESET). */
void kvi_client_reset(kvi_client_t *client);

/* A request of this client, for kvi_command_dispatch. */
kvi_request_t kvi_client_request(kvi_client_t *client, int64_t now_ms, size_t argc,
                                 const kv_slice_t *argv);

/* Whether all characters are within '!' to '~': no blanks, no newlines. */
bool kvi_client_is_text(kv_slice_t text);
/* Copies text into *field (a name), NULL for an empty one. KV_INVALID when it is no text by that
 * rule, KV_NO_MEMORY. */
kv_status_t kvi_client_set_text(char **field, kv_slice_t text);

#endif
