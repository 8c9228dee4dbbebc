/* SPDX-License-Identifier: MIT */
/* Changes on their way to the commit log, and the errors that come back from it. */
#include "server/submit.h"

#include "log/commit.h"
#include "server/arguments.h"
#include "server/atomic.h"
#include "server/errors.h"
#include "server/watch.h"

/* With somebody beside the log who has to know. */
static void submit_watched(kvi_server_t *server, const kvi_op_t *op, int64_t now_ms,
                           kvi_op_result_t *result)
{
    /* What a whole keyspace held is known only before it goes. */
    kvi_watch_before(server, op, now_ms);
    if (server->atomic != NULL) {
        kvi_atomic_submit(server->atomic, op, now_ms, result);
    } else {
        kvi_commit_submit(server->commit, op, now_ms, result);
    }
    if (result->changed) {
        kvi_watch_after(server, op);
    }
}

static void submit_once(void *context, const kvi_op_t *op, int64_t now_ms, kvi_op_result_t *result)
{
    kvi_server_t *const server = context;
    if (server->watches.count == 0 && server->atomic == NULL) {
        kvi_commit_submit(server->commit, op, now_ms, result);
    } else {
        submit_watched(server, op, now_ms, result);
    }
    server->changes += result->changed;
}

kvi_submitter_t kvi_server_submitter(kvi_server_t *server)
{
    return (kvi_submitter_t){submit_once, server};
}

void kvi_server_submit(kvi_server_t *server, const kvi_op_t *op, int64_t now_ms,
                       kvi_op_result_t *result)
{
    submit_once(server, op, now_ms, result);
    if (__builtin_expect(result->status == KV_NO_MEMORY || result->status == KV_QUOTA, 0)) {
        const kvi_submitter_t submitter = kvi_server_submitter(server);
        kvi_db_submit(server->db, op, now_ms, &submitter, result);
    }
}

/* What the log says of itself, or what the status says if it has no more to say. */
static void fail_for_log(kvi_request_t *request, kv_status_t status)
{
    kvi_commit_t *const commit = request->server->commit;
    kvi_commit_state_t state = {.status = KV_OK};
    commit->ops->state(commit, &state);
    kvi_reply_error(request->reply, kvi_error_misconf_of,
                    state.reason[0] != '\0' ? state.reason : kv_status_text(status));
}

void kvi_request_fail(kvi_request_t *request, kv_status_t status)
{
    switch (status) {
    case KV_READ_ONLY:
    case KV_DISK_FULL:
    case KV_IO:
    case KV_BUSY:
        fail_for_log(request, status);
        break;
    case KV_QUOTA:
        kvi_reply_error(request->reply, "%s", kvi_error_quota);
        break;
    default:
        kvi_reply_status_error(request->reply, status);
        break;
    }
}
