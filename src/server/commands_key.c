/* SPDX-License-Identifier: MIT */
/* Commands on keys whatever their values: delete, ask, rename, copy, move. */
#include <string.h>

#include "server/arguments.h"
#include "server/commands.h"
#include "server/errors.h"
#include "server/lookup.h"
#include "server/submit.h"

void kvi_cmd_del(kvi_request_t *request)
{
    int64_t deleted = 0;
    kvi_op_t delete = kvi_request_op(request, KVI_OP_DELETE);
    for (size_t i = 1; i < request->argc; i++) {
        kvi_lookup_ahead(request, i, 1);
        delete.key = request->argv[i];
        const kv_status_t status = kvi_request_do(request, &delete);
        if (status != KV_OK && status != KV_NOT_FOUND) {
            kvi_request_fail(request, status);
            return;
        }
        deleted += status == KV_OK;
    }
    kvi_reply_integer(request->reply, deleted);
}

static void count_found(kvi_request_t *request, bool touch)
{
    int64_t found = 0;
    for (size_t i = 1; i < request->argc; i++) {
        kvi_lookup_ahead(request, i, 1);
        kvi_entry_t entry;
        found += kvi_lookup_as(request, i, touch, &entry);
    }
    kvi_reply_integer(request->reply, found);
}

void kvi_cmd_exists(kvi_request_t *request)
{
    count_found(request, false);
}

void kvi_cmd_touch(kvi_request_t *request)
{
    count_found(request, true);
}

void kvi_cmd_type(kvi_request_t *request)
{
    kvi_entry_t entry;
    const bool found = kvi_lookup_as(request, 1, false, &entry);
    kvi_reply_status(request->reply, found ? "string" : "none");
}

void kvi_cmd_randomkey(kvi_request_t *request)
{
    kv_slice_t key;
    if (kvi_keyspace_random(request->keyspace, kvi_server_random(request->server), request->now_ms,
                            &key) == KV_OK) {
        kvi_reply_bulk(request->reply, key);
    } else {
        kvi_reply_null(request->reply);
    }
}

/* ---- to another name ---- */

void kvi_cmd_rename(kvi_request_t *request)
{
    kvi_op_t rename = kvi_request_op(request, KVI_OP_RENAME);
    rename.to_keyspace = rename.keyspace;
    rename.value = request->argv[2];
    rename.replace = true;
    const kv_status_t status = kvi_request_do(request, &rename);
    if (status == KV_OK) {
        kvi_reply_ok(request->reply);
    } else {
        kvi_request_fail(request, status);
    }
}

void kvi_cmd_renamenx(kvi_request_t *request)
{
    kvi_op_t rename = kvi_request_op(request, KVI_OP_RENAME);
    rename.to_keyspace = rename.keyspace;
    rename.value = request->argv[2];
    const kv_status_t status = kvi_request_do(request, &rename);
    if (status == KV_OK || status == KV_EXISTS) {
        kvi_reply_integer(request->reply, status == KV_OK);
    } else {
        kvi_request_fail(request, status);
    }
}

/* 1 when the key was copied or moved, 0 when one is missing or the other in the way. */
static void reply_done(kvi_request_t *request, kv_status_t status)
{
    if (status == KV_OK || status == KV_EXISTS || status == KV_NOT_FOUND) {
        kvi_reply_integer(request->reply, status == KV_OK);
    } else {
        kvi_request_fail(request, status);
    }
}

/* ---- to another keyspace ---- */

/* The keyspace whose number or name is in this argument; false after an error was answered. */
static bool keyspace_argument(kvi_request_t *request, size_t argument, uint32_t *number)
{
    if (kvi_db_find_keyspace(request->db, request->argv[argument], number) == KV_OK) {
        return true;
    }
    int64_t index;
    if (!kvi_argument_integer(request, argument, &index)) {
        return false;
    }
    const bool fits = index >= INT32_MIN && index <= INT32_MAX;
    kvi_reply_error(request->reply, "%s", fits ? kvi_error_db_range : kvi_error_db_integer);
    return false;
}

void kvi_cmd_move(kvi_request_t *request)
{
    kvi_op_t move = kvi_request_op(request, KVI_OP_RENAME);
    move.value = move.key;
    if (!keyspace_argument(request, 2, &move.to_keyspace)) {
        return;
    }
    if (move.to_keyspace == move.keyspace) {
        kvi_reply_error(request->reply, kvi_error_same_object);
        return;
    }
    reply_done(request, kvi_request_do(request, &move));
}

static bool is_same(kv_slice_t one, kv_slice_t other)
{
    return one.size == other.size && (one.size == 0 || memcmp(one.data, other.data, one.size) == 0);
}

void kvi_cmd_copy(kvi_request_t *request)
{
    kvi_op_t copy = kvi_request_op(request, KVI_OP_COPY);
    copy.to_keyspace = copy.keyspace;
    copy.value = request->argv[2];
    for (size_t i = 3; i < request->argc; i++) {
        if (kvi_argument_is(request->argv[i], "replace")) {
            copy.replace = true;
        } else if (kvi_argument_is(request->argv[i], "db") && i + 1 < request->argc) {
            if (!keyspace_argument(request, ++i, &copy.to_keyspace)) {
                return;
            }
        } else {
            kvi_reply_syntax_error(request->reply);
            return;
        }
    }
    if (copy.to_keyspace == copy.keyspace && is_same(copy.key, copy.value)) {
        kvi_reply_error(request->reply, kvi_error_same_object);
        return;
    }
    reply_done(request, kvi_request_do(request, &copy));
}
