/* SPDX-License-Identifier: MIT */
/* Commands on parts of strings and on strings as numbers. */
#include "base/long_double.h"
#include "server/arguments.h"
#include "server/commands.h"
#include "server/errors.h"
#include "server/lookup.h"
#include "server/submit.h"

/* ---- parts ---- */

static void reply_size_or_error(kvi_request_t *request, const kvi_op_t *op)
{
    kvi_op_result_t result;
    const kv_status_t status = kvi_request_submit(request, op, &result);
    if (status == KV_OK) {
        kvi_reply_integer(request->reply, (int64_t)result.size);
    } else {
        kvi_request_fail(request, status);
    }
}

void kvi_cmd_append(kvi_request_t *request)
{
    kvi_op_t append = kvi_request_op(request, KVI_OP_APPEND);
    append.value = request->argv[2];
    reply_size_or_error(request, &append);
}

void kvi_cmd_strlen(kvi_request_t *request)
{
    kvi_entry_t entry;
    const bool found = kvi_lookup(request, 1, &entry);
    kvi_reply_integer(request->reply, found ? (int64_t)entry.value.size : 0);
}

void kvi_cmd_setrange(kvi_request_t *request)
{
    int64_t offset;
    if (!kvi_argument_integer(request, 2, &offset)) {
        return;
    }
    if (offset < 0) {
        kvi_reply_error(request->reply, kvi_error_offset);
        return;
    }
    kvi_op_t write = kvi_request_op(request, KVI_OP_WRITE_AT);
    write.value = request->argv[3];
    write.offset = (uint64_t)offset;
    reply_size_or_error(request, &write);
}

/* The bytes from start to end inclusive; negative places count from the end. */
static kv_slice_t slice_between(kv_slice_t value, int64_t start, int64_t end)
{
    const int64_t size = (int64_t)value.size;
    const kv_slice_t empty = {NULL, 0};
    if (start < 0 && end < 0 && start > end) {
        return empty;
    }
    start = start < 0 ? start + size : start;
    end = end < 0 ? end + size : end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    end = end >= size ? size - 1 : end;
    if (start > end) {
        return empty;
    }
    return (kv_slice_t){value.data + start, (size_t)(end - start + 1)};
}

void kvi_cmd_getrange(kvi_request_t *request)
{
    int64_t start;
    int64_t end;
    if (!kvi_argument_integer(request, 2, &start) || !kvi_argument_integer(request, 3, &end)) {
        return;
    }
    kvi_entry_t entry = {.value = {NULL, 0}};
    if (kvi_lookup(request, 1, &entry)) {
        entry.value = slice_between(entry.value, start, end);
    }
    kvi_reply_bulk(request->reply, entry.value);
}

/* ---- numbers ---- */

static void add(kvi_request_t *request, int64_t delta)
{
    kvi_op_t op = kvi_request_op(request, KVI_OP_ADD);
    op.delta = delta;
    kvi_op_result_t result;
    const kv_status_t status = kvi_request_submit(request, &op, &result);
    if (status == KV_OK) {
        kvi_reply_integer(request->reply, result.sum);
    } else {
        kvi_request_fail(request, status);
    }
}

void kvi_cmd_incr(kvi_request_t *request)
{
    add(request, 1);
}

void kvi_cmd_decr(kvi_request_t *request)
{
    add(request, -1);
}

void kvi_cmd_incrby(kvi_request_t *request)
{
    int64_t delta;
    if (kvi_argument_integer(request, 2, &delta)) {
        add(request, delta);
    }
}

void kvi_cmd_decrby(kvi_request_t *request)
{
    int64_t delta;
    if (!kvi_argument_integer(request, 2, &delta)) {
        return;
    }
    if (delta == INT64_MIN) { /* has no opposite */
        kvi_reply_error(request->reply, kvi_error_decrement);
        return;
    }
    add(request, -delta);
}

/* Redis looks at the stored number before the increment, and both errors read the same. */
void kvi_cmd_incrbyfloat(kvi_request_t *request)
{
    long double delta;
    if (!kvi_long_double_parse(request->argv[2], &delta)) {
        kvi_reply_error(request->reply, kvi_error_not_float);
        return;
    }
    kvi_op_t op = kvi_request_op(request, KVI_OP_ADD_FLOAT);
    op.value = request->argv[2];
    kvi_op_result_t result;
    const kv_status_t status = kvi_request_submit(request, &op, &result);
    if (status == KV_OK) {
        kvi_reply_bulk(request->reply, result.value);
    } else if (status == KV_NOT_NUMBER) {
        kvi_reply_error(request->reply, kvi_error_not_float);
    } else if (status == KV_OVERFLOW) {
        kvi_reply_error(request->reply, kvi_error_nan);
    } else {
        kvi_request_fail(request, status);
    }
}
