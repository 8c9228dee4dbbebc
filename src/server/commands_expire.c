/* SPDX-License-Identifier: MIT */
/* Commands about deadlines: set them, ask for them, take them away. */
#include "server/arguments.h"
#include "server/commands.h"
#include "server/deadlines.h"
#include "server/lookup.h"
#include "server/submit.h"

static void set_expire(kvi_request_t *request, kvi_time_kind_t kind)
{
    kvi_expire_conditions_t conditions;
    int64_t deadline_ms;
    if (!kvi_parse_expire_conditions(request, &conditions) ||
        !kvi_parse_any_deadline(request, 2, kind, &deadline_ms)) {
        return;
    }
    const kv_slice_t key = request->argv[1];
    kvi_entry_t entry;
    if (kvi_keyspace_get(request->keyspace, key, request->now_ms, true, &entry) != KV_OK ||
        !kvi_expire_conditions_hold(&conditions, entry.deadline_ms, deadline_ms)) {
        kvi_reply_integer(request->reply, 0);
        return;
    }
    /* Any past time deletes the key; a negative one must not be taken for KVI_NO_DEADLINE. */
    kvi_op_t change = kvi_request_op(request, KVI_OP_SET_DEADLINE);
    change.deadline_ms = deadline_ms > 0 ? deadline_ms : 0;
    const kv_status_t status = kvi_request_do(request, &change);
    if (status == KV_OK) {
        kvi_reply_integer(request->reply, 1);
    } else {
        kvi_request_fail(request, status);
    }
}

void kvi_cmd_expire(kvi_request_t *request)
{
    set_expire(request, KVI_TIME_EX);
}

void kvi_cmd_pexpire(kvi_request_t *request)
{
    set_expire(request, KVI_TIME_PX);
}

void kvi_cmd_expireat(kvi_request_t *request)
{
    set_expire(request, KVI_TIME_EXAT);
}

void kvi_cmd_pexpireat(kvi_request_t *request)
{
    set_expire(request, KVI_TIME_PXAT);
}

/* Answers when the key goes in this form; -1 for a key that stays, -2 for none. */
static void tell_deadline(kvi_request_t *request, kvi_time_kind_t kind)
{
    kvi_entry_t entry;
    if (!kvi_lookup_as(request, 1, false, &entry)) {
        kvi_reply_integer(request->reply, -2);
        return;
    }
    if (entry.deadline_ms == KVI_NO_DEADLINE) {
        kvi_reply_integer(request->reply, -1);
        return;
    }
    int64_t time = entry.deadline_ms;
    if (kind == KVI_TIME_EX || kind == KVI_TIME_PX) {
        time -= request->now_ms;
    }
    if (kind == KVI_TIME_EX || kind == KVI_TIME_EXAT) {
        time = time / 1000 + (time % 1000 >= 500);
    }
    kvi_reply_integer(request->reply, time);
}

void kvi_cmd_ttl(kvi_request_t *request)
{
    tell_deadline(request, KVI_TIME_EX);
}

void kvi_cmd_pttl(kvi_request_t *request)
{
    tell_deadline(request, KVI_TIME_PX);
}

void kvi_cmd_expiretime(kvi_request_t *request)
{
    tell_deadline(request, KVI_TIME_EXAT);
}

void kvi_cmd_pexpiretime(kvi_request_t *request)
{
    tell_deadline(request, KVI_TIME_PXAT);
}

void kvi_cmd_persist(kvi_request_t *request)
{
    const kv_slice_t key = request->argv[1];
    kvi_entry_t entry;
    if (kvi_keyspace_get(request->keyspace, key, request->now_ms, true, &entry) != KV_OK ||
        entry.deadline_ms == KVI_NO_DEADLINE) {
        kvi_reply_integer(request->reply, 0);
        return;
    }
    const kvi_op_t change = kvi_request_op(request, KVI_OP_SET_DEADLINE);
    const kv_status_t status = kvi_request_do(request, &change);
    if (status == KV_OK) {
        kvi_reply_integer(request->reply, 1);
    } else {
        kvi_request_fail(request, status);
    }
}
