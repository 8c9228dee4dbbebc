/* SPDX-License-Identifier: MIT */
/*
 * The way of every change that the server makes, be it for a command, for expiry or for eviction:
 * an operation goes to the commit log, which has it applied and keeps it. Whoever watches a key
 * (watch.h) is told here as well.
 */
#ifndef KVI_SERVER_SUBMIT_H
#define KVI_SERVER_SUBMIT_H

#include "db/evict.h"
#include "db/op.h"
#include "server/client.h"
#include "server/command.h"
#include "server/server.h"

/* Whether operations concern nobody but the database: there is no log, no client watches keys, no
 * transaction might be undone. */
static inline bool kvi_server_is_alone(const kvi_server_t *server)
{
    return !server->commit->keeps && server->watches.count == 0 && server->atomic == NULL;
}

/* Applies the operation and has it logged; result->status is the answer of both. When memory is
 * short, entries go by the policies and it is tried again. */
void kvi_server_submit(kvi_server_t *server, const kvi_op_t *op, int64_t now_ms,
                       kvi_op_result_t *result);

/* The same without making room, for those that make it. */
kvi_submitter_t kvi_server_submitter(kvi_server_t *server);

/* An operation on the key in argument 1 of the selected keyspace. */
static inline kvi_op_t kvi_request_op(const kvi_request_t *request, kvi_op_kind_t kind)
{
    return (kvi_op_t){
        .kind = kind,
        .keyspace = (uint32_t)request->client->database,
        .key = request->argc > 1 ? request->argv[1] : (kv_slice_t){NULL, 0},
        .deadline_ms = KVI_NO_DEADLINE,
    };
}

static inline kv_status_t kvi_request_submit(kvi_request_t *request, const kvi_op_t *op,
                                             kvi_op_result_t *result)
{
    kvi_server_submit(request->server, op, request->now_ms, result);
    return result->status;
}

/* For commands that need to know no more than whether it went well. */
static inline kv_status_t kvi_request_do(kvi_request_t *request, const kvi_op_t *op)
{
    kvi_op_result_t result;
    return kvi_request_submit(request, op, &result);
}

/* A plain put under the key in this argument, by far the commonest write. Where nobody is told of
 * operations, be it a log or a client that watches keys, it is carried out without being written
 * down as one first, which saves a tenth of a SET's instructions
 * (docs/decisions/0010-plain-put.md). */
static inline kv_status_t kvi_request_put(kvi_request_t *request, size_t number, kv_slice_t value)
{
    kvi_server_t *const server = request->server;
    const kv_slice_t key = request->argv[number];
    if (kvi_server_is_alone(server)) {
        const kvi_put_options_t options = {.deadline_ms = KVI_NO_DEADLINE,
                                           .aim = kvi_request_aim(request, number)};
        kvi_db_advance_time(request->db, request->now_ms);
        const kv_status_t status =
            kvi_keyspace_put(request->keyspace, key, value, request->now_ms, &options);
        if (status == KV_OK) {
            server->changes++;
            return KV_OK;
        }
    }
    kvi_op_t put = kvi_request_op(request, KVI_OP_PUT);
    put.key = key;
    put.value = value;
    return kvi_request_do(request, &put);
}

/* The error that Redis answers for a status of the database or of its log; not for KV_OK. */
void kvi_request_fail(kvi_request_t *request, kv_status_t status);

#endif
