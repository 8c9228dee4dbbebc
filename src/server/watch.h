/* SPDX-License-Identifier: MIT */
/*
 * WATCH: who wants to know whether a key was touched before its EXEC. Keys are in a table by
 * keyspace and name; a touch marks the clients that watch the key, a same-value SET too, as in
 * Redis. Versions of entries (db.h) could not tell that, since equal states have equal ones.
 *
 *   buckets[hash]  ─► watch ─► watch          next_in_bucket
 *   client.watches ─► watch ─► watch          next_of_client
 *
 * A key that goes because its time is over touches nobody when it goes; EXEC asks instead whether
 * a key that was there at WATCH still is. So it does not matter when late keys are removed.
 *
 * Thread rule: the executor's.
 */
#ifndef KVI_SERVER_WATCH_H
#define KVI_SERVER_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/op.h"
#include "server/command.h"

#define KVI_WATCH_BUCKETS ((size_t)256)

typedef struct kvi_watch kvi_watch_t;

typedef struct kvi_watch_table {
    kvi_watch_t *buckets[KVI_WATCH_BUCKETS];
    size_t count; /* of all clients */
} kvi_watch_table_t;

/* KV_NO_MEMORY. A key that the client watches already stays watched as it is. */
kv_status_t kvi_watch_add(kvi_client_t *client, kv_slice_t key, int64_t now_ms);
/* Ends all watches of the client and forgets whether one was touched. */
void kvi_watch_clear(kvi_client_t *client);
/* Whether a watched key was touched, or is gone that was there. */
bool kvi_watch_is_broken(kvi_client_t *client, int64_t now_ms);
size_t kvi_watch_count(const kvi_client_t *client);

/* Before an operation is applied: what concerns many keys is looked at while they are there. */
void kvi_watch_before(kvi_server_t *server, const kvi_op_t *op, int64_t now_ms);
/* After an operation that has changed something. */
void kvi_watch_after(kvi_server_t *server, const kvi_op_t *op);

#endif
