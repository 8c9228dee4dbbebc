/* SPDX-License-Identifier: MIT */
/* Commands that read and write whole strings, one or many. */
#include "server/arguments.h"
#include "server/commands.h"
#include "server/deadlines.h"
#include "server/errors.h"
#include "server/lookup.h"
#include "server/submit.h"

/* Answers the value in argument 1 or null; false: there is none. */
static bool reply_value(kvi_request_t *request)
{
    kv_slice_t value;
    if (!kvi_lookup_value(request, 1, &value)) {
        kvi_reply_null(request->reply);
        return false;
    }
    kvi_reply_bulk(request->reply, value);
    return true;
}

/* What a status of a put without a condition comes to. */
static void reply_ok_or_error(kvi_request_t *request, kv_status_t status)
{
    if (status == KV_OK) {
        kvi_reply_ok(request->reply);
    } else {
        kvi_request_fail(request, status);
    }
}

void kvi_cmd_get(kvi_request_t *request)
{
    (void)reply_value(request);
}

static void set_with_options(kvi_request_t *request)
{
    kvi_value_options_t options;
    kvi_op_t put = kvi_request_op(request, KVI_OP_PUT);
    put.value = request->argv[2];
    if (!kvi_parse_set_options(request, &options) ||
        (options.kind != KVI_TIME_NONE &&
         !kvi_parse_deadline(request, options.time_argument, options.kind, &put.deadline_ms))) {
        return;
    }
    put.keep_deadline = options.keep_deadline;
    if (options.if_absent) {
        put.condition = KVI_PUT_IF_ABSENT;
    } else if (options.if_present) {
        put.condition = KVI_PUT_IF_PRESENT;
    }
    kvi_reply_t *const reply = request->reply;
    const size_t begin = reply->size;
    if (options.get) {
        (void)reply_value(request);
    }
    const kv_status_t status = kvi_request_do(request, &put);
    if (status == KV_OK || status == KV_EXISTS || status == KV_NOT_FOUND) {
        if (!options.get && status == KV_OK) {
            kvi_reply_ok(reply);
        } else if (!options.get) {
            kvi_reply_null(reply);
        }
        return;
    }
    kvi_reply_truncate(reply, begin);
    kvi_request_fail(request, status);
}

void kvi_cmd_set(kvi_request_t *request)
{
    if (request->argc == 3) {
        reply_ok_or_error(request, kvi_request_put(request, 1, request->argv[2]));
    } else {
        set_with_options(request);
    }
}

void kvi_cmd_setnx(kvi_request_t *request)
{
    kvi_op_t put = kvi_request_op(request, KVI_OP_PUT);
    put.value = request->argv[2];
    put.condition = KVI_PUT_IF_ABSENT;
    const kv_status_t status = kvi_request_do(request, &put);
    if (status == KV_OK || status == KV_EXISTS) {
        kvi_reply_integer(request->reply, status == KV_OK);
    } else {
        kvi_request_fail(request, status);
    }
}

static void set_for_a_time(kvi_request_t *request, kvi_time_kind_t kind)
{
    kvi_op_t put = kvi_request_op(request, KVI_OP_PUT);
    put.value = request->argv[3];
    if (kvi_parse_deadline(request, 2, kind, &put.deadline_ms)) {
        reply_ok_or_error(request, kvi_request_do(request, &put));
    }
}

void kvi_cmd_setex(kvi_request_t *request)
{
    set_for_a_time(request, KVI_TIME_EX);
}

void kvi_cmd_psetex(kvi_request_t *request)
{
    set_for_a_time(request, KVI_TIME_PX);
}

void kvi_cmd_getset(kvi_request_t *request)
{
    const size_t begin = request->reply->size;
    (void)reply_value(request);
    const kv_status_t status = kvi_request_put(request, 1, request->argv[2]);
    if (status != KV_OK) {
        kvi_reply_truncate(request->reply, begin);
        kvi_request_fail(request, status);
    }
}

void kvi_cmd_getdel(kvi_request_t *request)
{
    const size_t begin = request->reply->size;
    if (!reply_value(request)) {
        return;
    }
    const kvi_op_t delete = kvi_request_op(request, KVI_OP_DELETE);
    const kv_status_t status = kvi_request_do(request, &delete);
    if (status != KV_OK) {
        kvi_reply_truncate(request->reply, begin);
        kvi_request_fail(request, status);
    }
}

void kvi_cmd_getex(kvi_request_t *request)
{
    kvi_value_options_t options;
    if (!kvi_parse_getex_options(request, &options)) {
        return;
    }
    kvi_entry_t entry;
    if (!kvi_lookup(request, 1, &entry)) {
        kvi_reply_null(request->reply);
        return;
    }
    kvi_op_t change = kvi_request_op(request, KVI_OP_SET_DEADLINE);
    if (options.kind != KVI_TIME_NONE &&
        !kvi_parse_deadline(request, options.time_argument, options.kind, &change.deadline_ms)) {
        return;
    }
    const size_t begin = request->reply->size;
    kvi_reply_bulk(request->reply, entry.value);
    if (options.kind == KVI_TIME_NONE && !options.persist) {
        return;
    }
    const kv_status_t status = kvi_request_do(request, &change);
    if (status != KV_OK) {
        kvi_reply_truncate(request->reply, begin);
        kvi_request_fail(request, status);
    }
}

void kvi_cmd_mget(kvi_request_t *request)
{
    kvi_reply_array(request->reply, request->argc - 1);
    for (size_t i = 1; i < request->argc; i++) {
        kvi_lookup_ahead(request, i, 1);
        kv_slice_t value;
        if (kvi_lookup_value(request, i, &value)) {
            kvi_reply_bulk(request->reply, value);
        } else {
            kvi_reply_null(request->reply);
        }
    }
}

/* Keys and values must come in pairs. */
static bool check_pairs(kvi_request_t *request)
{
    if (request->argc % 2 == 0) {
        kvi_reply_error(request->reply, kvi_error_arity_of, request->client->command->name);
        return false;
    }
    return true;
}

/* Each put is whole; when memory runs out in between, those before it stay. */
static kv_status_t put_pairs(kvi_request_t *request)
{
    for (size_t i = 1; i < request->argc; i += 2) {
        kvi_lookup_ahead(request, i, 2);
        const kv_status_t status = kvi_request_put(request, i, request->argv[i + 1]);
        if (status != KV_OK) {
            return status;
        }
    }
    return KV_OK;
}

void kvi_cmd_mset(kvi_request_t *request)
{
    if (check_pairs(request)) {
        reply_ok_or_error(request, put_pairs(request));
    }
}

void kvi_cmd_msetnx(kvi_request_t *request)
{
    if (!check_pairs(request)) {
        return;
    }
    for (size_t i = 1; i < request->argc; i += 2) {
        kvi_lookup_ahead(request, i, 2);
        kvi_entry_t entry;
        if (kvi_keyspace_get(request->keyspace, request->argv[i], request->now_ms, true, &entry) ==
            KV_OK) {
            kvi_reply_integer(request->reply, 0);
            return;
        }
    }
    const kv_status_t status = put_pairs(request);
    if (status == KV_OK) {
        kvi_reply_integer(request->reply, 1);
    } else {
        kvi_request_fail(request, status);
    }
}
