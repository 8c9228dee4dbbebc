/* SPDX-License-Identifier: MIT */
/* Commands on keys whatever their values: delete, ask, rename, copy, move. */
#include <string.h>

#include "server/arguments.h"
#include "server/commands.h"
#include "server/errors.h"
#include "server/lookup.h"

void kvi_cmd_del(kvi_request_t *request)
{
    int64_t deleted = 0;
    for (size_t i = 1; i < request->argc; i++) {
        kvi_lookup_ahead(request, i, 1);
        deleted +=
            kvi_keyspace_delete(request->keyspace, request->argv[i], request->now_ms) == KV_OK;
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
    const kv_status_t status =
        kvi_keyspace_rename(request->keyspace, request->argv[1], request->keyspace,
                            request->argv[2], true, request->now_ms);
    if (status == KV_OK) {
        kvi_reply_ok(request->reply);
    } else {
        kvi_reply_status_error(request->reply, status);
    }
}

void kvi_cmd_renamenx(kvi_request_t *request)
{
    const kv_status_t status =
        kvi_keyspace_rename(request->keyspace, request->argv[1], request->keyspace,
                            request->argv[2], false, request->now_ms);
    if (status == KV_OK || status == KV_EXISTS) {
        kvi_reply_integer(request->reply, status == KV_OK);
    } else {
        kvi_reply_status_error(request->reply, status);
    }
}

/* 1 when the key was copied or moved, 0 when one is missing or the other in the way. */
static void reply_done(kvi_request_t *request, kv_status_t status)
{
    if (status == KV_OK || status == KV_EXISTS || status == KV_NOT_FOUND) {
        kvi_reply_integer(request->reply, status == KV_OK);
    } else {
        kvi_reply_status_error(request->reply, status);
    }
}

/* ---- to another keyspace ---- */

/* The keyspace whose number is in this argument, or NULL after an error was answered. */
static kvi_keyspace_t *keyspace_argument(kvi_request_t *request, size_t number)
{
    int64_t index;
    if (!kvi_argument_integer(request, number, &index)) {
        return NULL;
    }
    if (index < INT32_MIN || index > INT32_MAX) {
        kvi_reply_error(request->reply, kvi_error_db_integer);
        return NULL;
    }
    kvi_keyspace_t *const keyspace =
        index >= 0 ? kvi_db_keyspace(request->db, (size_t)index) : NULL;
    if (keyspace == NULL) {
        kvi_reply_error(request->reply, kvi_error_db_range);
    }
    return keyspace;
}

void kvi_cmd_move(kvi_request_t *request)
{
    kvi_keyspace_t *const target = keyspace_argument(request, 2);
    if (target == NULL) {
        return;
    }
    if (target == request->keyspace) {
        kvi_reply_error(request->reply, kvi_error_same_object);
        return;
    }
    const kv_slice_t key = request->argv[1];
    reply_done(request,
               kvi_keyspace_rename(request->keyspace, key, target, key, false, request->now_ms));
}

static bool is_same(kv_slice_t one, kv_slice_t other)
{
    return one.size == other.size && (one.size == 0 || memcmp(one.data, other.data, one.size) == 0);
}

void kvi_cmd_copy(kvi_request_t *request)
{
    kvi_keyspace_t *target = request->keyspace;
    bool replace = false;
    for (size_t i = 3; i < request->argc; i++) {
        if (kvi_argument_is(request->argv[i], "replace")) {
            replace = true;
        } else if (kvi_argument_is(request->argv[i], "db") && i + 1 < request->argc) {
            target = keyspace_argument(request, ++i);
            if (target == NULL) {
                return;
            }
        } else {
            kvi_reply_syntax_error(request->reply);
            return;
        }
    }
    const kv_slice_t key = request->argv[1];
    const kv_slice_t new_key = request->argv[2];
    if (target == request->keyspace && is_same(key, new_key)) {
        kvi_reply_error(request->reply, kvi_error_same_object);
        return;
    }
    reply_done(request, kvi_keyspace_copy(request->keyspace, key, target, new_key, replace,
                                          request->now_ms));
}
