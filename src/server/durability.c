/* SPDX-License-Identifier: MIT */
/*
 * What turns have to do with the log: a turn's changes get their LSN at its end, replies that
 * depend on it are held until the log's thread says that it is durable, and a snapshot that is
 * being made gets a little time in each turn. The loop itself never waits for a disk.
 */
#include "log/directory.h"
#include "server/loop_int.h"

void kvi_loop_wake(void *context)
{
    kvi_loop_t *const loop = context;
    (void)uv_async_send(&loop->wake);
}

bool kvi_loop_step_snapshot(kvi_loop_t *loop, uint64_t budget_ns)
{
    kvi_directory_t *const directory = loop->server->directory;
    if (directory == NULL) {
        return false;
    }
    if (loop->server->snapshot_asked) {
        loop->server->snapshot_asked = false;
        (void)kvi_directory_snapshot(directory); /* what came of it is in its state */
    }
    return kvi_directory_turn(directory, budget_ns);
}

/* What was changed will never be acknowledged: the clients have to find out for themselves. */
static void end_held(kvi_loop_t *loop)
{
    while (loop->held.first != NULL) {
        kvi_connection_t *const connection = loop->held.first;
        connection->client.killed = true;
        kvi_connection_release(connection);
    }
    loop->server->wait_lsn = 0;
}

static void wake_stalled(kvi_loop_t *loop)
{
    kvi_client_t *client = loop->server->first_client;
    for (; client != NULL && loop->stalled > 0; client = client->next) {
        kvi_connection_t *const connection = (kvi_connection_t *)client;
        if (connection->stalled) {
            kvi_connection_mark_ready(connection);
        }
    }
    kvi_loop_turn_soon(loop);
}

void kvi_loop_release_held(kvi_loop_t *loop)
{
    kvi_server_t *const server = loop->server;
    kvi_commit_t *const commit = server->commit;
    const uint64_t durable = commit->ops->durable(commit);
    while (loop->held.first != NULL && loop->held.first->wait_lsn <= durable) {
        kvi_connection_release(loop->held.first);
    }
    if (server->wait_lsn <= durable) {
        server->wait_lsn = 0;
    }
    kvi_server_look_at_log(server);
    if ((server->gates & KVI_GATE_LOG) != 0 && !server->log_may_resume) {
        end_held(loop);
    }
    if (loop->stalled > 0 && commit->ops->reserve(commit, 0) != KV_BUSY) {
        wake_stalled(loop);
    }
}

void kvi_loop_flush(kvi_loop_t *loop)
{
    kvi_commit_t *const commit = loop->server->commit;
    kvi_server_end_turn(loop->server);
    (void)commit->ops->flush(commit);
    kvi_loop_release_held(loop);
}
